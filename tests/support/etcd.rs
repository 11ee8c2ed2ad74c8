//! Real etcd servers, of Debian's `etcd-server`, alone or as a cluster, for tests.
//!
//! ```text
//! let etcd = Etcd::single()?;                      // or Etcd::cluster(3), or Etcd::start(&Options { … })
//! etcd.endpoint();                                 // "http://127.70.1.1:40123"
//! etcd.put("key", b"value")?;
//! etcd.member(0).kill()?;                          // -9; then restart() on the same data
//! ```
//!
//! Every server ends when the [`Etcd`] is dropped, and when the test is killed. A test that panics
//! shows the end of every log.

pub use crate::etcd_gateway::{Status, Stored};
pub use crate::etcd_member::{Member, possible_hosts};
pub use crate::etcd_options::{Options, Place, Tls};

use crate::etcd_gateway::{encoded, first_stored, number};
use crate::etcd_member::{Plan, free_addresses};
use crate::stand_in::until;
use serde_json::{Value, json};
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tempfile::TempDir;

/// Long enough for a busy machine; servers that are up end the wait at once.
const READY_WITHIN_MS: u64 = 30_000;
/// How often other ports are tried when somebody took one of ours in between.
const PORT_TRIES: usize = 5;

/// A running cluster, of one server or more.
#[derive(Debug)]
pub struct Etcd {
    members: Vec<Member>,
    /// Of the superuser, when there are users.
    token: Mutex<Option<String>>,
    _dir: TempDir,
}

impl Etcd {
    /// One server, without TLS or users.
    ///
    /// # Errors
    /// See [`Etcd::start`].
    pub fn single() -> io::Result<Self> {
        Self::cluster(1)
    }

    /// `members` servers on loopback, without TLS or users.
    ///
    /// # Errors
    /// See [`Etcd::start`].
    pub fn cluster(members: usize) -> io::Result<Self> {
        Self::start(&Options {
            members,
            ..Options::default()
        })
    }

    /// Starts the servers and waits until they have a leader.
    ///
    /// # Errors
    /// `etcd` is not installed, does not start, or has no leader within 30 s; with the end of its log.
    pub fn start(options: &Options) -> io::Result<Self> {
        if options.members == 0 {
            return Err(io::Error::other("a cluster has at least one member"));
        }
        let mut tries = PORT_TRIES;
        loop {
            let failure = match Self::try_start(options) {
                Ok(mut etcd) => {
                    etcd.set_users(options)?;
                    return Ok(etcd);
                }
                Err(failure) => failure,
            };
            tries -= 1;
            if tries == 0 || !failure.to_string().contains("address already in use") {
                return Err(failure);
            }
        }
    }

    fn try_start(options: &Options) -> io::Result<Self> {
        let under = options.under.clone().unwrap_or_else(std::env::temp_dir);
        let dir = tempfile::Builder::new().prefix("etcd-").tempdir_in(under)?;
        let plans = Plan::lay_out(options, dir.path(), &free_addresses(options)?)?;
        let members: io::Result<_> = plans.into_iter().map(Member::start).collect();
        let mut etcd = Self {
            members: members?,
            token: Mutex::default(),
            _dir: dir,
        };
        etcd.wait_until_ready()?;
        Ok(etcd)
    }

    /// Waits until all members agree on a leader; an ended member ends the wait.
    fn wait_until_ready(&mut self) -> io::Result<()> {
        let mut ended = None;
        let ready = until(READY_WITHIN_MS, || {
            ended = self.members.iter_mut().position(Member::has_ended);
            ended.is_some() || self.agree()
        });
        let (index, what) = match ended {
            Some(index) => (index, "ended"),
            None if ready => return Ok(()),
            None => (0, "has no leader"),
        };
        let log = self.members[index].log();
        Err(io::Error::other(format!("etcd {index} {what}:\n{log}")))
    }

    fn agree(&self) -> bool {
        let mut leaders = self.members.iter().map(|member| match member.status() {
            Ok(status) if status.leader != 0 => Some(status.leader),
            _ => None,
        });
        let first = leaders.next().flatten();
        first.is_some() && leaders.all(|leader| leader == first)
    }

    fn set_users(&mut self, options: &Options) -> io::Result<()> {
        let Some((name, password)) = &options.user else {
            return Ok(());
        };
        // The server's own superuser, which the test speaks as.
        let root = json!({"name": "root", "password": "root"});
        self.ask("/v3/auth/user/add", &root)?;
        self.ask("/v3/auth/role/add", &json!({"name": "root"}))?;
        let grant = json!({"user": "root", "role": "root"});
        self.ask("/v3/auth/user/grant", &grant)?;
        let user = json!({"name": name, "password": password});
        self.ask("/v3/auth/user/add", &user)?;
        self.ask("/v3/auth/role/add", &json!({"name": "all"}))?;
        self.permit("READWRITE")?;
        self.ask("/v3/auth/user/grant", &json!({"user": name, "role": "all"}))?;
        self.ask("/v3/auth/enable", &json!({}))?;
        self.log_in()
    }

    /// What the user may do to every key: `READ` or `READWRITE`.
    ///
    /// # Errors
    /// etcd cannot be asked, or has no users.
    pub fn permit(&self, what: &str) -> io::Result<()> {
        // From the zero byte, to the zero byte: every key.
        let every = encoded(&[0]);
        let permission = json!({"permType": what, "key": every, "range_end": every});
        let grant = json!({"name": "all", "perm": permission});
        self.ask("/v3/auth/role/grant", &grant).map(drop)
    }

    /// Becomes the superuser. A server forgets its tokens when it restarts, and each after five minutes unused.
    fn log_in(&self) -> io::Result<()> {
        let root = json!({"name": "root", "password": "root"});
        let answer = self.ask_each("/v3/auth/authenticate", None, &root)?;
        *self.token() = answer["token"].as_str().map(str::to_owned);
        Ok(())
    }

    fn token(&self) -> MutexGuard<'_, Option<String>> {
        self.token.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// To kill, stop and restart it.
    ///
    /// # Panics
    /// There is no such member.
    pub fn member(&mut self, index: usize) -> &mut Member {
        &mut self.members[index]
    }

    /// Where clients find the first member.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        self.members[0].endpoint()
    }

    #[must_use]
    pub fn endpoints(&self) -> Vec<String> {
        let endpoints = self.members.iter().map(Member::endpoint);
        endpoints.map(str::to_owned).collect()
    }

    /// The member that leads, as the one with the highest term has it; none when that one knows of no leader.
    #[must_use]
    pub fn leader(&self) -> Option<usize> {
        let status = |member: &Member| member.status().ok();
        let known: Vec<_> = self.members.iter().map(status).collect();
        let newest = known.iter().flatten().max_by_key(|status| status.term)?;
        known.iter().position(|status| {
            status.is_some_and(|status| status.member == newest.leader && newest.leader != 0)
        })
    }

    /// # Errors
    /// No member that lives has a leader within 30 s.
    pub fn wait_for_leader(&self) -> io::Result<usize> {
        let mut leader = None;
        let _ = until(READY_WITHIN_MS, || {
            leader = self.leader();
            leader.is_some()
        });
        leader.ok_or_else(|| io::Error::other("etcd has no leader after 30 s"))
    }

    /// The stored value of `key`, as the quorum has it.
    ///
    /// # Errors
    /// No member answers.
    pub fn get(&self, key: &str) -> io::Result<Option<Stored>> {
        let range = json!({"key": encoded(key.as_bytes())});
        first_stored(&self.ask("/v3/kv/range", &range)?)
    }

    /// The revision it got.
    ///
    /// # Errors
    /// No member takes it.
    pub fn put(&self, key: &str, value: &[u8]) -> io::Result<i64> {
        let put = json!({"key": encoded(key.as_bytes()), "value": encoded(value)});
        number(&self.ask("/v3/kv/put", &put)?["header"]["revision"])
    }

    /// How many keys went: 0 or 1.
    ///
    /// # Errors
    /// No member takes it.
    pub fn delete(&self, key: &str) -> io::Result<i64> {
        let range = json!({"key": encoded(key.as_bytes())});
        number(&self.ask("/v3/kv/deleterange", &range)?["deleted"])
    }

    /// Asks the members in turn, until one answers: for what is not in this face. Bytes are base64, 64-bit numbers strings.
    ///
    /// # Errors
    /// What the last one says.
    pub fn ask(&self, path: &str, body: &Value) -> io::Result<Value> {
        self.logged_in(|token| self.ask_each(path, token, body))
    }

    /// Asks one member.
    ///
    /// # Errors
    /// What it says.
    ///
    /// # Panics
    /// There is no such member.
    pub fn ask_one(&self, member: usize, path: &str, body: &Value) -> io::Result<Value> {
        self.logged_in(|token| self.members[member].ask(path, token, body))
    }

    fn ask_each(&self, path: &str, token: Option<&str>, body: &Value) -> io::Result<Value> {
        let mut answer = Err(io::Error::other("no member"));
        for member in &self.members {
            answer = member.ask(path, token, body);
            if answer.is_ok() {
                break;
            }
        }
        answer
    }

    fn logged_in(&self, ask: impl Fn(Option<&str>) -> io::Result<Value>) -> io::Result<Value> {
        let token = self.token().clone();
        let answer = ask(token.as_deref());
        let forgotten =
            |error: &io::Error| token.is_some() && error.to_string().contains("invalid auth token");
        if !answer.as_ref().is_err_and(forgotten) {
            return answer;
        }
        self.log_in()?;
        let token = self.token().clone();
        ask(token.as_deref())
    }
}
