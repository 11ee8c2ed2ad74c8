//! The engine: every decision of the supervisor, and nothing else.
//!
//! It has no clock, no IO, no environment, no randomness, no threads and no async. Time comes in with every input,
//! effects go out as data, their outcomes come back as inputs.
//!
//! ```text
//!            +----------------------- child died -----------------------+
//!            v                                                          |
//!  starting --> catching-up <--> standby --> promoting --> active ------+
//!                                  ^  ^          |            |
//!                         resume   |  |          v            |
//!                 parked ----------+  +------ demoting <------+
//!                    ^                           |            |
//!                    +---------------------------+            v
//!                                  catching-up <---------- fenced      (any) --> stopping
//! ```
//!
//! Happy path: the child starts unstaked, is muted, catches up, stands by. A promotion acquires the term, makes the record
//! durable, gives the child the staked identity, waits until the voting thread has switched, unmutes it, and ends with
//! the first vote that was committed and let out.
//!
//! Failures: a step that fails or is late is undone by taking the child off the identity ([`quiet`]); where that fails or
//! is late as well the child is killed. The term is given back only with the child off the identity or dead.

mod absent;
mod admission;
pub mod ballot;
mod chain;
mod demote;
mod effect;
mod ending;
mod explain;
mod handover;
mod input;
mod invariants;
mod launch;
pub mod pact;
mod peers;
mod plan;
mod promote;
mod quiet;
mod setup;
mod state;
pub mod table;
mod term;
#[cfg(test)]
mod tests;
mod trouble;
pub mod values;
mod view;
pub mod vote_gate;
mod wish;

pub use effect::Effect;
pub use explain::Explanation;
pub use input::{AuthorityNews, Exit, GateFacts, Input, Leads, Observation, Outcome, PeerFacts};
pub use invariants::Violation;
pub use setup::{AuthorityTraits, Fence, Setup, Timing};

use state::{
    Chain, Child, Entered, FencedOff, Gate, Hold, Holder, Launch, Moves, OwnView, PeerView, Stage,
    TransitionRef, Waiter,
};
use std::collections::{BTreeMap, VecDeque};
use table::Cause;
use values::{Identity, Millis, NodeName, OpId, RequestId, Role, Term, Verdict};

/// Why the engine wants to be woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// A step must have ended by then.
    Step,
    /// The child is restarted then.
    Backoff,
    /// The last reading of the validator is too old then.
    Reading,
    /// The child must begin to leave the identity then.
    LeaseMargin,
    /// The child must be off the identity by then.
    LeaseEnd,
    /// The cluster went on without a vote of ours for this long.
    Silence,
    /// The node has looked cut off for this long.
    Isolation,
    /// The child should have caught up by then.
    CatchUp,
    /// It is this standby's turn to take over.
    Takeover,
    /// A pause ends.
    Pause,
    /// An answer about the term or about what is remembered should be there by then.
    Answer,
    /// A term that is ours and not in our hands is given back.
    Return,
    /// The thread of the validator that votes should have switched its identity by then.
    Switch,
    /// What waits for another node, or for the right time to hand over, is given up then.
    Handover,
}

/// What survives a restart of the supervisor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Memory {
    /// An operator wants this node parked.
    pub parked: bool,
    /// This node held the term when its supervisor ended, under an authority where nobody else can.
    pub holds: bool,
}

/// The state of one node. See the module's head.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Engine {
    setup: Setup,
    /// `Input::Begin` was taken.
    begun: bool,
    stage: Stage,
    entered: Entered,
    child: Child,
    gate: Gate,
    hold: Option<Hold>,
    /// The newest lease told of, whether or not its term is in our hands yet.
    lease: Option<(Term, Millis)>,
    /// The authority may count us as the holder: an acquisition was asked for, and nothing was given back since.
    claimed: bool,
    holder: Holder,
    /// Since when that node holds it, as far as is known here.
    holder_since: Millis,
    moves: Moves,
    /// Promotions that came to nothing since the last vote.
    failures: u32,
    /// The identity is known to have voted: there is a record, or somebody held the term.
    has_voted: bool,
    /// The time since which nobody holds the term, where it was said that this node would take over.
    told_of_absence: Option<Millis>,
    /// No takeover by itself before then.
    retry_at: Option<Millis>,
    /// The term outlives the child and is to be taken up again at its next start.
    reclaims: bool,
    parked: bool,
    paused_until: Option<Millis>,
    own: Option<OwnView>,
    /// The newest slot of the cluster that the validator has told of.
    tip: u64,
    peers: BTreeMap<NodeName, PeerView>,
    /// This node held the term last, as far as it knows: it has seen nobody vote since.
    held_last: bool,
    /// Those that were heard, and are gone, since then.
    absent: BTreeMap<NodeName, Millis>,
    fenced_off: Option<FencedOff>,
    chain: Chain,
    isolated_since: Option<Millis>,
    waiters: Vec<Waiter>,
    restarts: VecDeque<Millis>,
    seq: u64,
    pending: Option<OpId>,
    step_deadline: Option<(Millis, Reason)>,
    confirming: Option<(OpId, Millis)>,
    remembering: Option<(OpId, Millis)>,
    returning: Option<(OpId, Millis)>,
    /// The start of a child whose outcome is not known.
    spawning: Option<OpId>,
    /// Why the parking could not be written down.
    memory_failed: Option<String>,
    /// Where the identity link points, as far as we know.
    link: Option<Identity>,
    /// Why the supervisor kills the child, while it does.
    killed_for: Option<String>,
    /// How the child ended in the demotion or the fence under way.
    death: String,
    /// The record that this process starts from was compared with the chain, or need not be.
    compared: bool,
    /// Why the last promotion came to nothing, and how that is to be answered.
    failure: (Verdict, String),
    exited: bool,
    broken: Option<String>,
    out: Vec<Effect>,
}

impl Engine {
    /// An engine at rest; its first input must be `Input::Begin`.
    #[must_use]
    pub fn new(setup: Setup, memory: Memory, now: Millis) -> Self {
        let reclaims = memory.holds && setup.authority.alone && !memory.parked;
        Self {
            begun: false,
            stage: Stage::Starting(Launch::Backoff),
            entered: Entered {
                at: now,
                by: None,
                detail: String::new(),
            },
            child: Child::DEAD,
            gate: Gate {
                open: None,
                facts: GateFacts::default(),
            },
            hold: None,
            lease: None,
            claimed: memory.holds && setup.authority.alone,
            holder: Holder::Unknown,
            holder_since: now,
            moves: Moves::default(),
            failures: 0,
            has_voted: false,
            told_of_absence: None,
            retry_at: None,
            reclaims,
            parked: memory.parked,
            paused_until: None,
            own: None,
            tip: 0,
            peers: BTreeMap::new(),
            held_last: false,
            absent: BTreeMap::new(),
            fenced_off: None,
            chain: Chain::default(),
            isolated_since: None,
            waiters: Vec::new(),
            restarts: VecDeque::new(),
            seq: 0,
            pending: None,
            step_deadline: None,
            confirming: None,
            remembering: None,
            returning: None,
            spawning: None,
            memory_failed: None,
            link: None,
            killed_for: None,
            death: String::new(),
            compared: !reclaims,
            failure: (Verdict::Refused, String::new()),
            exited: false,
            broken: None,
            out: Vec::new(),
            setup,
        }
    }

    /// Takes one input and says what to do about it. Total: every input is allowed in every state.
    pub fn step(&mut self, now: Millis, input: Input) -> Vec<Effect> {
        // After a suspend anything may come before the tick; nothing may be begun under a lease that is over.
        if !matches!(input, Input::Authority(_)) {
            self.watch_lease(now);
        }
        match input {
            Input::Begin if self.begun => {}
            Input::Begin => {
                self.begun = true;
                self.launch(now);
            }
            Input::Tick => self.tick(now),
            Input::Done(op, outcome) => self.done(now, op, outcome),
            Input::ChildReady => self.child_ready(now),
            Input::ChildExited(exit) => self.child_exited(now, exit),
            Input::SwitchMarker(_) => self.switched(now),
            Input::Gate(facts) => self.gate_moved(now, facts),
            Input::Authority(news) => self.authority_says(now, news),
            Input::Observed(observation) => self.observed(now, observation),
            Input::Asked(request, command) => self.admit(now, request, command),
            Input::Forgotten(request) => self.waiters.retain(|waiter| waiter.request != request),
            Input::Stop => self.stop(now, 0, Cause::StopAsked, String::new()),
            Input::Reconfigured(setup) => self.setup = *setup,
        }
        std::mem::take(&mut self.out)
    }

    /// The next time at which `Input::Tick` changes something, and why.
    #[must_use]
    pub fn next_deadline(&self) -> Option<(Millis, Reason)> {
        if self.exited {
            return None;
        }
        let ours = [
            self.step_deadline,
            self.pause_deadline(),
            self.answer_deadline(),
            self.handover_deadline(),
            self.step_back_deadline(),
        ];
        ours.into_iter()
            .chain([
                self.lease_deadline(),
                self.watch_deadline(),
                self.stray_deadline(),
                self.takeover_deadline(),
            ])
            .flatten()
            .min()
    }

    fn tick(&mut self, now: Millis) {
        if self.step_deadline.is_some_and(|(at, _)| at <= now) {
            self.step_deadline = None;
            self.step_is_late(now);
        }
        if self.pause_deadline().is_some_and(|(at, _)| at <= now) {
            self.paused_until = None;
        }
        self.answers_are_late(now);
        self.watch_handover(now);
        self.watch_step_back(now);
        self.watch_lease(now);
        self.watch_trouble(now);
        self.watch_stray(now);
        self.watch_takeover(now);
    }

    /// A step's deadline has come without its outcome.
    fn step_is_late(&mut self, now: Millis) {
        self.pending = None;
        let late = Outcome::Failed("no answer in time".into());
        match self.stage {
            Stage::Starting(_) => self.launch_goes_on(now, late),
            Stage::Promoting(_) => self.promotion_goes_on(now, late),
            Stage::Demoting(_) | Stage::Fenced(_) => self.quiet_goes_on(now, late),
            Stage::Stopping(_) => self.stopping_goes_on(now, late),
            Stage::CatchingUp => self.still_catching_up(now),
            Stage::Standby | Stage::Parked | Stage::Active(_) => {}
        }
    }

    fn done(&mut self, now: Millis, op: OpId, outcome: Outcome) {
        let answers = |asked: Option<(OpId, Millis)>| asked.is_some_and(|(asked, _)| asked == op);
        if answers(self.confirming) {
            self.confirming = None;
            return if self.term() == Some(op.term) {
                self.term_confirmed(now, outcome)
            };
        }
        if answers(self.remembering) {
            self.remembering = None;
            return self.remembered(now, outcome);
        }
        if answers(self.returning) {
            return self.stray_returned(now, op, &outcome);
        }
        let spawned = self.spawning == Some(op);
        self.spawning = self.spawning.filter(|_| !spawned);
        if spawned && outcome != Outcome::Done {
            self.page(format!(
                "the validator could not be started: {}",
                outcome.sentence()
            ));
            return self.child_exited(now, Exit::NotStarted);
        }
        if self.pending != Some(op) {
            return;
        }
        self.pending = None;
        self.step_deadline = None;
        match self.stage {
            Stage::Starting(_) => self.launch_goes_on(now, outcome),
            Stage::Promoting(_) => self.promotion_goes_on(now, outcome),
            Stage::Demoting(_) | Stage::Fenced(_) => self.quiet_goes_on(now, outcome),
            Stage::Stopping(_) => self.stopping_goes_on(now, outcome),
            Stage::CatchingUp | Stage::Standby | Stage::Parked | Stage::Active(_) => {}
        }
    }

    /// By when the answers are due that no step waits for.
    fn answer_deadline(&self) -> Option<(Millis, Reason)> {
        let due = |asked: Option<(OpId, Millis)>| asked.map(|(_, until)| (until, Reason::Answer));
        due(self.confirming)
            .into_iter()
            .chain(due(self.remembering))
            .min()
    }

    fn answers_are_late(&mut self, now: Millis) {
        for asked in [self.confirming, self.remembering] {
            if let Some((op, until)) = asked
                && until <= now
            {
                self.done(now, op, Outcome::Failed("no answer in time".into()));
            }
        }
    }

    fn pause_deadline(&self) -> Option<(Millis, Reason)> {
        self.paused_until.map(|at| (at, Reason::Pause))
    }

    /// A fresh id, bound to the term in our hands.
    fn next_op(&mut self) -> OpId {
        self.seq += 1;
        OpId {
            term: self.term().unwrap_or_default(),
            seq: self.seq,
        }
    }

    /// Issues an effect whose outcome the current step waits for.
    fn ask(&mut self, now: Millis, effect: impl FnOnce(OpId) -> Effect) {
        let op = self.next_op();
        self.pending = Some(op);
        self.step_deadline = Some((now.plus(self.setup.timing.step_ms), Reason::Step));
        self.out.push(effect(op));
    }

    /// Gives the outcome that was just asked for a deadline of its own.
    fn await_outcome_until(&mut self, at: Millis) {
        self.step_deadline = Some((at, Reason::Step));
    }

    /// Waits for something that is not an outcome.
    fn await_until(&mut self, at: Millis, reason: Reason) {
        self.pending = None;
        self.step_deadline = Some((at, reason));
    }

    /// Changes the role. A transition without a row is a fault of the engine and is kept for `check`.
    fn enter(&mut self, now: Millis, stage: Stage, cause: Cause, detail: impl Into<String>) {
        let (from, to) = (self.role(), stage.role());
        let detail = detail.into();
        let row = table::TRANSITIONS
            .iter()
            .position(|row| row.from == from && row.cause == cause && row.to == to);
        if row.is_none() {
            self.broken = Some(format!(
                "no transition from {from} to {to} because of {}",
                cause.name()
            ));
        }
        if from == Role::Promoting && to != Role::Active {
            let because = row.map_or("", |at| table::TRANSITIONS[at].because);
            self.failure.1 = match (cause, detail.is_empty()) {
                (_, true) => because.to_owned(),
                (Cause::ChildDied, _) => format!("{} ({detail}).", because.trim_end_matches('.')),
                _ => detail.clone(),
            };
        }
        self.pending = None;
        self.step_deadline = None;
        self.stage = stage;
        self.plans_end_with_role(to, &detail);
        if to == Role::CatchingUp {
            self.await_until(now.plus(self.setup.timing.start_ms), Reason::CatchUp);
        }
        self.entered = Entered {
            at: now,
            by: row.map(TransitionRef),
            detail: detail.clone(),
        };
        self.out.push(Effect::Transition {
            from,
            to,
            cause,
            detail,
        });
        self.answer_waiters(now);
        if to == Role::Active {
            self.moves.handed = None;
            self.moves.takes_back = false;
        }
    }

    fn page(&mut self, text: impl Into<String>) {
        self.out.push(Effect::Page { text: text.into() });
    }

    fn answer(&mut self, request: RequestId, verdict: Verdict, text: impl Into<String>) {
        self.out.push(Effect::Answer {
            request,
            verdict,
            text: text.into(),
        });
    }

    /// Tells every waiting operator what is being done.
    fn progress(&mut self, text: &str) {
        for waiter in &self.waiters {
            self.out.push(Effect::Progress {
                request: waiter.request,
                text: text.to_owned(),
            });
        }
    }
}
