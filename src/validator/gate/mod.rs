//! The gate: where a vote of the child waits until its record is committed.
//!
//! The child asks before every rename and mkdir ([`filter`]). One thread takes the questions and answers at once
//! whatever is no vote record. A vote it commits itself, and a second thread takes the questions from there on ([`turns`]). It is
//! fail-closed: a vote goes on only after the answer "committed"; when the supervisor dies the kernel fails the call, and
//! the validator exits.
//!
//! ```text
//! vote thread      one thread                      authority          the other one
//!     | rename(.new) -> | a record of ours? ---------- | ---------------> | takes what comes
//!     |                 | read, verify, order          |                  |
//!     |                 | commit under the term -----> |                  |
//!     |                 | <-------------- committed    |                  |
//!     | <--- go on ---- |                              |                  |
//!     | sends the vote  | what may come after it ----> |                  |
//! ```
//!
//! Failures: a record that is damaged, foreign or older than the last committed is refused (`EIO`); a commit whose outcome is
//! unknown is repeated until the term is lost or `hold_max` is over, then refused. This module decides nothing about terms.
//!
//! A vote that stores no record: when a chain moves to Alpenglow, the validator votes for the block it begins with, and stores
//! an empty vote history of the all-zero key first (solana-core `replay_stage.rs`, `maybe_send_genesis_vote`; agave-votor
//! `voting_service.rs`). Nothing in it can be committed: it passes while the gate is open, and is refused otherwise. A term
//! lost at the authority is seen by the next vote that has a record, not by this one.
//!
//! A supervisor whose loop hangs ([`Meter::loop_is_alive`] not called for 3 s) could neither demote nor be asked to. Votes that
//! come then wait, and go on when the loop turns again; those that have waited for `hold_max` are refused. A vote whose commit
//! has begun before is not stopped. A gate for which no loop ever called it, as in a test of its own, waits for none.
//!
//! Several gates share one [`Reports`] one after another, and an event may be read when the next child runs. What would be wrong
//! there names its origin: [`GateEvent::Switched`] the gate, [`GateEvent::TermLost`] the term. The others are for the log.

mod committer;
mod filter;
mod listener;
mod meter;
pub(crate) mod pass_fd;
mod receiver;
mod self_test;
#[cfg(test)]
mod tests;
mod turns;

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc as events, watch};

use super::pubkey::Pubkey;
use super::record::{VoteRecord, file_name};
use crate::engine::GateFacts;
use crate::engine::values::{Millis, RecordKind, RecordMark, Term};
use crate::engine::vote_gate::VoteGate;

use committer::{Committer, Vote};
use listener::{PathBuffer, Question};
use turns::Turns;

pub use filter::Filter;
pub use listener::Listener;
pub use meter::{Meter, Reading};
pub use self_test::{SelfTestError, self_test};

/// Votes that may wait at once. A validator has one thread that stores votes; more are no validator.
const WAITING_MAX: usize = 64;
/// How often the gate shows that it lives while nothing comes.
const SIGN_OF_LIFE: Duration = Duration::from_millis(500);
/// After a vote was answered. Its rename and whatever sends it get the cores and the disk to themselves; the next vote comes much
/// later, most of the time.
const REST: Duration = Duration::from_millis(10);
/// The committer refuses a vote by itself when its commit fails; past this it does not get to it.
const OVERDUE: Duration = Duration::from_millis(250);

/// Keeps records. Called by the gate's own threads, one record at a time; may block.
pub trait Keeper: Send {
    /// Makes `bytes` durable as `mark`, if `mark.term` is still the newest.
    fn keep(&mut self, mark: RecordMark, bytes: &[u8]) -> Kept;

    /// What time it is, and until when a vote that is committed may leave; `None`: at any time.
    fn lease(&self) -> Option<Lease> {
        None
    }

    /// Does what may come after a vote; called once none has come for [`REST`]. May block: votes wait behind it as behind `keep`.
    fn rest(&mut self) {}
}

/// The lease of the term, as it is at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    pub now: Millis,
    pub until: Millis,
}

/// What became of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// It is committed.
    Committed,
    /// Its term is not current any more; it never will be committed.
    TermLost(String),
    /// Unknown, or failed in a way that may pass. Asking again settles it.
    Unsettled(String),
}

/// Tells the gates apart that share one [`Reports`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GateId(u64);

/// What the gate tells besides its counters. Sent after the vote was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GateEvent {
    /// The thread that votes has loaded the record of its new identity. Counts for the child of this gate only.
    Switched { gate: GateId, kind: RecordKind },
    /// A commit is not settled at the first try, and the vote waits.
    Waiting { slot: u64, why: String },
    /// The record of a vote was refused. A validator whose own it is exits.
    Refused { slot: Option<u64>, why: String },
    /// The term under which votes are committed is lost.
    TermLost { term: Term, why: String },
}

/// Where the gate reports to.
#[derive(Clone, Debug)]
pub struct Reports {
    pub facts: watch::Sender<GateFacts>,
    pub events: events::UnboundedSender<GateEvent>,
    /// Outlives the gate, so that counters go on over a restart of the child.
    pub meter: Arc<Meter>,
}

/// The gate of one child.
#[derive(Clone, Debug)]
pub struct Gate {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    id: GateId,
    listener: Listener,
    identity: Pubkey,
    tower_name: String,
    history_name: String,
    /// Of the empty vote history.
    nobodys_name: String,
    /// The directories whose making marks a switch of identity, once known.
    record_dirs: Mutex<Vec<PathBuf>>,
    hold_max_ms: AtomicU64,
    state: Mutex<State>,
    changed: Condvar,
    turns: Turns<Vote>,
    /// Votes that are committed or wait for it, for whoever listens to refuse when they wait too long.
    unanswered: Mutex<Vec<(Question, Instant)>>,
    reports: Reports,
}

#[derive(Debug, Default)]
struct State {
    gate: VoteGate,
    /// The record the next one is compared with.
    last: Option<VoteRecord>,
    /// The last commit that went through here.
    committed: Option<RecordMark>,
    /// What waits is to be refused.
    refusing: bool,
    /// What comes is to wait, though no term is open yet.
    holding: bool,
    /// No more questions will be served.
    ended: bool,
}

impl Gate {
    /// Starts serving a child's listener. Votes are refused until [`Self::open`].
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub fn start(
        listener: Listener,
        identity: Pubkey,
        hold_max: Duration,
        keeper: Box<dyn Keeper>,
        reports: Reports,
    ) -> io::Result<Self> {
        reports.meter.receiver_is_alive();
        reports.meter.committer_is_alive();
        let shared = Arc::new(Shared {
            id: reports.meter.next_gate(),
            listener,
            identity,
            tower_name: file_name(RecordKind::Tower, &identity),
            history_name: file_name(RecordKind::VoteHistory, &identity),
            nobodys_name: file_name(RecordKind::VoteHistory, &Pubkey::new([0; 32])),
            record_dirs: Mutex::default(),
            hold_max_ms: AtomicU64::new(hold_max.as_millis() as u64),
            state: Mutex::default(),
            changed: Condvar::new(),
            turns: Turns::new(),
            unanswered: Mutex::new(Vec::with_capacity(WAITING_MAX + 2)),
            reports,
        });
        let committer = Arc::new(Mutex::new(Committer::new(keeper)));
        for name in ["gate-1", "gate-2"] {
            let (shared, committer) = (Arc::clone(&shared), Arc::clone(&committer));
            std::thread::Builder::new()
                .name(name.into())
                .stack_size(512 * 1024)
                .spawn(move || serve(&shared, &committer))?;
        }
        Ok(Self { shared })
    }

    /// Which one it is, of those that share its [`Reports`].
    #[must_use]
    pub fn id(&self) -> GateId {
        self.shared.id
    }

    /// Has votes wait for [`Self::open`], as long as for a commit, instead of refusing them.
    pub fn hold(&self) {
        self.shared.state().holding = true;
    }

    /// Lets votes pass under `term`, each after its commit, none of them going behind `last`.
    pub fn open(&self, term: Term, last: Option<(RecordMark, VoteRecord)>) {
        let (mark, record) = last.unzip();
        let mut state = self.shared.state();
        state.gate.open(term, mark);
        state.last = record;
        state.refusing = false;
        state.holding = false;
        drop(state);
        self.shared.changed.notify_all();
        self.shared.report_facts();
    }

    /// Lets no vote begin, once none has come or left for `quiet` from here on; returns when none waits and the last has left
    /// that long ago. With no `quiet`, what waits is refused.
    pub async fn close(&self, quiet: Duration) {
        if !quiet.is_zero() {
            // A silence from before the call says nothing: a vote may have been built just then.
            tokio::time::sleep(quiet).await;
            self.settled(quiet).await;
        }
        self.shut(quiet.is_zero(), false);
        self.settled(quiet).await;
        self.shared.report_facts();
    }

    async fn settled(&self, quiet: Duration) {
        let meter = &self.shared.reports.meter;
        while meter.waiting() > 0 || meter.silence() < quiet {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Ends it: what waits is refused, and whatever the child asks from then on fails.
    pub fn end(&self) {
        self.shut(true, true);
    }

    fn shut(&self, refusing: bool, ended: bool) {
        let mut state = self.shared.state();
        state.gate.close();
        state.refusing = refusing;
        state.holding = false;
        state.ended |= ended;
        drop(state);
        self.shared.changed.notify_all();
        if refusing {
            // Its commit may hang. One that succeeds all the same makes the record newer than what was sent.
            self.shared.refuse_unanswered(Duration::ZERO);
        }
    }

    /// The checksum of the last record that was committed or installed.
    #[must_use]
    pub fn last_sha256(&self) -> Option<[u8; 32]> {
        self.shared
            .state()
            .last
            .as_ref()
            .map(|record| record.sha256)
    }

    /// Names the directories of the records: the voting thread makes the one it uses when it switches identity.
    pub fn set_record_dirs(&self, dirs: Vec<PathBuf>) {
        *lock(&self.shared.record_dirs) = dirs;
    }

    /// Changes how long a vote may wait.
    pub fn set_hold_max(&self, hold_max: Duration) {
        self.shared
            .hold_max_ms
            .store(hold_max.as_millis() as u64, Ordering::Relaxed);
    }
}

/// One of the threads.
fn serve(shared: &Shared, committer: &Mutex<Committer>) {
    let mut buffer = PathBuffer::new();
    while shared.turns.await_listening() {
        match receiver::listen(shared, &mut buffer) {
            Some(vote) => lock(committer).serve(shared, vote),
            None => shared.turns.end(),
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    fn ended(&self) -> bool {
        self.state().ended
    }

    /// Before the vote goes out: whoever then sees it on the chain finds it here. Wakes nobody, so it costs two locks that nobody
    /// holds for long; [`Self::report_facts`] tells of it.
    fn note_committed(&self) {
        let committed = self.state().committed;
        self.reports.facts.send_if_modified(|facts| {
            facts.last = newer(facts.last, committed);
            false
        });
    }

    /// An installed record is none that went through, and a gate whose child has ended may report after the next one.
    fn report_facts(&self) {
        let committed = self.state().committed;
        let waiting = self.reports.meter.waiting();
        self.reports.facts.send_modify(|facts| {
            facts.waiting = waiting;
            facts.last = newer(facts.last, committed);
        });
    }

    fn expect_answer(&self, vote: &Vote) {
        lock(&self.unanswered).push((vote.question, vote.arrived));
    }

    fn is_unanswered(&self, vote: &Vote) -> bool {
        lock(&self.unanswered)
            .iter()
            .any(|(question, _)| question.id == vote.question.id)
    }

    /// Whether the vote is still to be answered. Whoever asks then answers it.
    fn may_answer(&self, question: &Question) -> bool {
        let mut unanswered = lock(&self.unanswered);
        let before = unanswered.len();
        unanswered.retain(|(asked, _)| asked.id != question.id);
        unanswered.len() < before
    }

    /// Refuses votes while a commit hangs, as on a disk that does not answer: nothing else can reach the committer.
    fn refuse_overdue(&self) {
        let hold_max = self.hold_max();
        if self.refuse_unanswered(hold_max + OVERDUE) {
            let ms = hold_max.as_millis();
            self.report(GateEvent::Refused {
                slot: None,
                why: format!(
                    "its commit did not return within gate.hold_max ({ms} ms): does the disk or the authority hang?"
                ),
            });
        }
    }

    /// Refuses the votes with the committer that have waited for longer than that. Whether there was one.
    fn refuse_unanswered(&self, longer_than: Duration) -> bool {
        let mut unanswered = lock(&self.unanswered);
        let before = unanswered.len();
        unanswered.retain(|(question, arrived)| {
            let waits_on = arrived.elapsed() <= longer_than;
            if !waits_on {
                self.listener.refuse(question);
                self.reports.meter.refused();
            }
            waits_on
        });
        unanswered.len() < before
    }

    /// Nobody listens only when the supervisor ends.
    fn report(&self, event: GateEvent) {
        let _ = self.reports.events.send(event);
    }

    fn hold_max(&self) -> Duration {
        Duration::from_millis(self.hold_max_ms.load(Ordering::Relaxed))
    }
}

fn newer(one: Option<RecordMark>, other: Option<RecordMark>) -> Option<RecordMark> {
    let place = |mark: RecordMark| (mark.term, mark.seq);
    if other.map(place) > one.map(place) {
        other
    } else {
        one
    }
}

/// A panic of one thread of the gate ends the process, so a poisoned lock is never seen in practice.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
