//! What the parts of one supervisor's stay at etcd share: the lease, the term in hand, and whom to tell.
//!
//! The lock is held for a look or a change, never while anything is waited for.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::cluster::{self, ClusterError};
use super::connection::Settings;
use super::keys::Keys;
use super::transactions::HolderKey;
use crate::authority::Fault;
use crate::authority::news::{News, Part, Surroundings};
use crate::authority::stored::StoredRecord;
use crate::engine::AuthorityNews;
use crate::engine::values::{Millis, NodeName, RecordMark, Term};

/// One outage shows itself in many words.
const SAME_TROUBLE_MS: u64 = 30_000;

/// A lease as this node knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lease {
    pub(super) id: i64,
    /// Good until then: the time of the last request that was answered, and the time to live that was granted.
    pub(super) until: Millis,
}

/// The term in hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) term: i64,
    pub(super) lease: i64,
    /// Where the record stood when we last knew: its revision, 0 for none.
    pub(super) record_at: i64,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) lease: Option<Lease>,
    /// A lease that this node rests nothing on any more, and that etcd may still keep.
    pub(super) given_up: Option<i64>,
    pub(super) held: Option<Held>,
    /// The record that is final since the term was acquired.
    pub(super) found: Option<StoredRecord>,
    /// No lease is wanted any more.
    pub(super) leaving: bool,
    /// Acquisitions under way: a holder key of ours is theirs to account for.
    pub(super) acquiring: u32,
    attempts: u64,
    /// The holder as the watch saw it last.
    pub(super) holder: Option<HolderKey>,
    troubles: BTreeMap<Part, (Fault, Millis)>,
    /// When etcd answered last.
    pub(super) answered: Option<Millis>,
    /// The cluster that this node is known to belong to.
    cluster: Option<u64>,
}

/// One supervisor's stay.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) keys: Keys,
    pub(super) identity: [u8; 32],
    pub(super) node: NodeName,
    pub(super) settings: Settings,
    pub(super) clock: fn() -> Millis,
    pub(super) ttl_s: i64,
    pub(super) interval: std::time::Duration,
    state_dir: PathBuf,
    tell: Tell,
    state: Mutex<State>,
}

impl Session {
    pub(super) fn new(
        keys: Keys,
        identity: [u8; 32],
        node: NodeName,
        settings: Settings,
        config: &crate::config::EtcdConfig,
        surroundings: Surroundings,
    ) -> Self {
        Self {
            keys,
            identity,
            node,
            settings,
            clock: surroundings.clock,
            ttl_s: i64::try_from(config.ttl.as_secs()).unwrap_or(i64::MAX),
            interval: config.interval,
            state_dir: surroundings.state_dir,
            tell: Tell(surroundings.tell),
            state: Mutex::default(),
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn now(&self) -> Millis {
        (self.clock)()
    }

    /// What an earlier run of this node has left at etcd is gone after it.
    pub(super) fn lease_ms(&self) -> u64 {
        self.ttl_ms() + 2_000
    }

    pub(super) fn ttl_ms(&self) -> u64 {
        u64::try_from(self.ttl_s)
            .unwrap_or_default()
            .saturating_mul(1000)
    }

    pub(super) fn tell(&self, news: News) {
        (self.tell.0)(news);
    }

    pub(super) fn tell_term(&self, news: AuthorityNews) {
        self.tell(News::Term(news));
    }

    /// Tells a trouble when it begins, and when it changes. A refusal says more than a silence, and is told at once.
    pub(super) fn trouble(&self, part: Part, fault: &Fault) {
        let now = self.now();
        let mut state = self.state();
        let is_said = |(before, at): &(Fault, Millis)| {
            let says_more = matches!((before, fault), (Fault::Unknown(_), Fault::Refused(_)));
            before == fault || (!says_more && now.since(*at) < SAME_TROUBLE_MS)
        };
        if state.troubles.get(&part).is_some_and(is_said) {
            return;
        }
        state.troubles.insert(part.clone(), (fault.clone(), now));
        drop(state);
        let why = fault.to_string();
        self.tell(News::Trouble { part, why });
    }

    /// That part works as it should.
    pub(super) fn well(&self, part: Part) {
        if self.state().troubles.remove(&part).is_some() {
            self.tell(News::Well(part));
        }
    }

    /// etcd has answered.
    pub(super) fn answered(&self) {
        self.state().answered = Some(self.now());
    }

    /// A number that no other request of this supervisor has.
    pub(super) fn next_attempt(&self) -> u64 {
        let mut state = self.state();
        state.attempts += 1;
        state.attempts
    }

    /// The term is in hand from here on.
    pub(super) fn take(&self, held: Held, found: Option<StoredRecord>) {
        let mut state = self.state();
        state.held = Some(held);
        state.found = found;
        let lease = state.lease.filter(|lease| lease.id == held.lease);
        drop(state);
        if let Some(lease) = lease {
            self.tell_term(AuthorityNews::Lease {
                term: term(held.term),
                until: lease.until,
            });
        }
    }

    /// Nothing is committed under this term any more; 0: under none.
    pub(super) fn drop_term(&self, term: i64) {
        let mut state = self.state();
        if state
            .held
            .is_some_and(|held| term == 0 || held.term == term)
        {
            state.held = None;
        }
    }

    /// The term is certainly over.
    pub(super) fn lost(&self, lost: i64) {
        self.drop_term(lost);
        self.tell_term(AuthorityNews::TermLost(term(lost)));
    }

    /// Whether this is the etcd that the node has known before; remembers the first.
    pub(super) fn knows_cluster(&self, id: u64) -> Result<(), Fault> {
        // Only the first answer is compared with the disk: a disk that hangs later costs no lease.
        if self.state().cluster == Some(id) {
            return Ok(());
        }
        cluster::check(&self.state_dir, id)
            .map_err(|error: ClusterError| Fault::Refused(error.to_string()))?;
        self.state().cluster = Some(id);
        Ok(())
    }

    /// What was committed last under the term in hand.
    pub(super) fn found_mark(&self) -> Option<RecordMark> {
        self.state().found.as_ref().map(|found| found.mark)
    }
}

struct Tell(Box<dyn Fn(News) + Send + Sync>);

impl std::fmt::Debug for Tell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tell")
    }
}

/// Revisions are never negative.
pub(super) fn term(revision: i64) -> Term {
    Term(u64::try_from(revision).unwrap_or_default())
}

pub(super) fn revision(term: Term) -> i64 {
    i64::try_from(term.0).unwrap_or(i64::MAX)
}
