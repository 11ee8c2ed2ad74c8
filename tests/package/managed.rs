//! A supervisor around a stand-in validator whose service manager is the test.

use std::ops::Deref;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::unistd::Pid;
use serde_json::Value;
use testkit::chain::{Chain, ChainSpec};
use testkit::children::signal;
use testkit::keys;
use testkit::node::Node;
pub(crate) use testkit::node::SOON_MS;
use testkit::stand_in::{self, Protocol, StandIn};

const SOON: Duration = Duration::from_millis(SOON_MS);

/// What differs from one test to the other.
#[derive(Default)]
pub(crate) struct Plan<'p> {
    pub(crate) faults: &'p [(&'p str, &'p str)],
    /// `WATCHDOG_USEC`.
    pub(crate) watchdog: Option<Duration>,
    /// More of the configuration.
    pub(crate) config: &'p str,
    /// In place of one that the supervisor makes.
    pub(crate) state_dir: Option<PathBuf>,
}

/// A supervisor whose service manager is the test. Dropping it kills the supervisor, and the kernel the rest.
pub(crate) struct Managed {
    node: Node,
    pub(crate) chain: Chain,
    socket: UnixDatagram,
    _dir: tempfile::TempDir,
}

impl Deref for Managed {
    type Target = Node;

    fn deref(&self) -> &Node {
        &self.node
    }
}

impl Managed {
    pub(crate) fn start(faults: &[(&str, &str)], watchdog: Option<Duration>) -> Self {
        Self::planned(Plan {
            faults,
            watchdog,
            ..Plan::default()
        })
    }

    pub(crate) fn planned(plan: Plan<'_>) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let staked = keys::from_seed("the staked identity");
        let account = keys::address_from_seed("the vote account");
        let chain =
            Chain::start(ChainSpec::new(50).vote_account(&account, &keys::address(&staked)))
                .expect("a chain");
        let stand_in = StandIn::new(
            dir.path(),
            "a",
            chain.addr(),
            Protocol::Tower,
            &account,
            &staked,
        )
        .expect("a stand-in");
        stand_in.faults(plan.faults).expect("the faults");
        let supervisor = env!("CARGO_BIN_EXE_supervisor").into();
        let mut node = Node::new(stand_in, supervisor, None).expect("a node");
        if let Some(state_dir) = plan.state_dir {
            node.state_dir = state_dir;
        }
        node.configure(plan.config);
        let path = node.path("notify.sock");
        let socket = UnixDatagram::bind(&path).expect("a notify socket");
        let mut set = |name: &str, value: String| node.environment.push((name.into(), value));
        set("NOTIFY_SOCKET", path.display().to_string());
        if let Some(watchdog) = plan.watchdog {
            set("WATCHDOG_USEC", watchdog.as_micros().to_string());
        }
        node.start();
        Self {
            node,
            chain,
            socket,
            _dir: dir,
        }
    }

    pub(crate) fn signal(&self, with: Signal) {
        signal(self.supervisor(), with);
    }

    /// The next datagram, its lines joined by newlines; `None` when none comes within the time.
    pub(crate) fn hear(&self, within: Duration) -> Option<String> {
        let mut bytes = [0; 4096];
        self.socket
            .set_read_timeout(Some(within.max(Duration::from_millis(1))))
            .expect("a timeout");
        let len = self.socket.recv(&mut bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes[..len]).into_owned())
    }

    /// Listens until a datagram fits. Answers all that came, that one last.
    #[track_caller]
    pub(crate) fn until(&self, what: &str, fits: impl Fn(&str) -> bool) -> Vec<String> {
        let deadline = Instant::now() + SOON;
        let mut heard = Vec::new();
        while let Some(text) = self.hear(deadline.saturating_duration_since(Instant::now())) {
            heard.push(text);
            if heard.last().is_some_and(|text| fits(text)) {
                return heard;
            }
        }
        panic!("no {what} among {heard:?}\n{}", self.log());
    }

    #[track_caller]
    pub(crate) fn until_ready(&self) -> Vec<String> {
        self.until("READY=1", |text| has_line(text, "READY=1"))
    }

    pub(crate) fn admin_answers(&self) -> bool {
        let socket = self.node.path("ledger/admin.rpc");
        let answer = stand_in::admin(&socket, "startProgress", &serde_json::json!([]));
        answer.is_ok_and(|answer| answer["result"] == "Running")
    }

    /// Promotes the node to its first vote.
    #[track_caller]
    pub(crate) fn vote(&self) {
        self.until("standby", |text| {
            value_of(text, "STATUS").is_some_and(|line| line.starts_with("standby ·"))
        });
        self.must(&["promote", "--first-vote"]);
        self.await_votes(5);
    }

    #[track_caller]
    pub(crate) fn await_votes(&self, more: usize) {
        let before = self.chain.votes().len();
        let came = self
            .chain
            .wait(SOON_MS, |votes| votes.len() >= before + more);
        assert!(came, "no {more} more votes\n{}", self.log());
    }

    /// Slots go by, and no vote is sent.
    #[track_caller]
    pub(crate) fn expect_silence(&self, slots: u64) {
        self.chain.settle();
        let votes = self.chain.votes().len();
        self.chain.let_slots_pass(slots);
        self.chain.settle();
        let more = self.chain.votes().len() - votes;
        assert_eq!(more, 0, "votes were sent\n{}", self.log());
    }

    /// `None` where the supervisor does not answer within seconds.
    pub(crate) fn status(&self) -> Option<Value> {
        let mut command = Command::new("timeout");
        command
            .arg("5")
            .arg(env!("CARGO_BIN_EXE_supervisor"))
            .args(["ctl", "--json", "--socket"])
            .arg(self.node.path("ctl.sock"))
            .arg("status");
        let output = command.output().expect("supervisor ctl");
        let line: Value = serde_json::from_slice(&output.stdout).ok()?;
        Some(line.get("status").cloned().unwrap_or(line))
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_raw(self.supervisor())
    }

    /// The validator, also of a supervisor that does not answer.
    pub(crate) fn validator(&self) -> Option<Pid> {
        self.validator_now().map(Pid::from_raw)
    }

    /// Fills the socket, as that of a service manager that has stopped reading.
    pub(crate) fn deafen(&self) {
        let socket = self.node.path("notify.sock");
        let fits = || {
            // A sender of its own each time: one alone runs out of room of its own before.
            let sender = UnixDatagram::unbound().expect("a socket");
            sender.set_nonblocking(true).expect("its mode");
            sender.send_to(b"FILLER=1", &socket).is_ok()
        };
        while fits() {}
    }

    /// All that has come and was not heard yet.
    pub(crate) fn heard(&self) -> Vec<String> {
        std::iter::from_fn(|| self.hear(Duration::ZERO)).collect()
    }

    /// Listens for as long as that to nothing but a watchdog that is not fed.
    #[track_caller]
    pub(crate) fn expect_no_watchdog(&self, during: Duration) {
        let until = Instant::now() + during;
        while let Some(text) = self.hear(until.saturating_duration_since(Instant::now())) {
            assert!(!has_line(&text, "WATCHDOG=1"), "{text}\n{}", self.log());
        }
    }

    /// Ends the supervisor in order, and has the judge speak.
    #[track_caller]
    pub(crate) fn end(mut self) {
        self.signal(Signal::SIGTERM);
        assert!(
            self.node.ended().is_some(),
            "the supervisor does not end\n{}",
            self.log()
        );
        self.chain.expect_clean();
    }
}

pub(crate) fn has_line(text: &str, line: &str) -> bool {
    text.lines().any(|other| other == line)
}

pub(crate) fn value_of<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    text.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
}
