//! Tests of the engine: exact lists of effects, in words.

mod absent;
mod chain;
mod clear_of_leader_slots;
mod comes_to_nothing;
mod demoting;
mod dying;
mod fencing;
mod handover;
mod operators;
mod promoting;
mod relieving;
mod starting;
mod stopping;
mod successor;
mod troubles;
mod walk;
mod wish;

use super::effect::Effect;
use super::input::{AuthorityNews, GateFacts, Input, Leads, Observation, Outcome, PeerFacts};
use super::setup::{AuthorityTraits, Setup, Timing};
use super::values::{
    Command, Identity, Millis, NodeName, OpId, Plea, PromoteFlags, RecordKind, RecordMark,
    RequestId, Role, Term,
};
use super::{Engine, Memory};

pub(super) const PROMOTE: Command = Command::Promote(PromoteFlags {
    first_vote: false,
    accept_double_vote_risk: false,
    at_once: false,
});
pub(super) const DEMOTE: Command = Command::Demote { at_once: false };
pub(super) const RESTART: Command = Command::Restart { at_once: false };
pub(super) const RELIEVE: Command = Command::Relieve { at_once: false };
pub(super) const FIRST_VOTE: Command = Command::Promote(PromoteFlags {
    first_vote: true,
    accept_double_vote_risk: false,
    at_once: false,
});

pub(super) fn name(text: &str) -> NodeName {
    NodeName(text.into())
}

pub(super) fn mark(term: u64, seq: u64, slot: u64) -> RecordMark {
    RecordMark {
        term: Term(term),
        seq,
        slot,
        kind: RecordKind::Tower,
    }
}

pub(super) fn setup(alone: bool) -> Setup {
    let timing = Timing {
        step_ms: 100,
        promote_ms: 4_000,
        handover_ms: 2_000,
        handover_slots: 8,
        clear_slots: 12,
        clear_within_ms: 20_000,
        demote_clear_ms: 5_000,
        gate_quiet_ms: 60,
        start_ms: 10_000,
        exit_ms: 600,
        term_ms: 500,
        stale_ms: 2_000,
        caught_up_slots: 4,
        lease_margin_ms: 1_000,
        takeover_stagger_ms: 400,
        isolated_ms: 1_500,
        silent_ms: 3_000,
        chain_quiet_ms: 5_000,
        backoff_min_ms: 200,
        backoff_max_ms: 3_000,
        restart_max: 2,
        restart_window_ms: 60_000,
    };
    let authority = AuthorityTraits {
        alone,
        passes: !alone,
        leased: !alone,
    };
    Setup {
        node: name("a"),
        authority,
        automatic: true,
        rank: 0,
        fence: None,
        timing,
    }
}

/// One engine, its time, and what it waits for.
pub(super) struct Rig {
    pub(super) engine: Engine,
    pub(super) now: Millis,
    slot: u64,
    op: Option<OpId>,
    /// The texts of all answers.
    answers: Vec<String>,
}

impl Rig {
    pub(super) fn with(setup: Setup, memory: Memory) -> Self {
        let now = Millis(1_000_000);
        Self {
            engine: Engine::new(setup, memory, now),
            now,
            slot: 500,
            op: None,
            answers: Vec::new(),
        }
    }

    /// A node that has just caught up, and has heard of no holder.
    pub(super) fn caught_up(alone: bool) -> Self {
        let mut rig = Self::with(setup(alone), Memory::default());
        rig.feed(Input::Begin);
        rig.done();
        rig.done();
        rig.feed(Input::ChildReady);
        rig.done();
        rig.reads_well();
        assert_eq!(rig.engine.role(), Role::Standby);
        rig
    }

    /// A node that stands by, under an authority with other nodes or alone.
    pub(super) fn standby(alone: bool) -> Self {
        let mut rig = Self::caught_up(alone);
        if !alone {
            let other = NodeName("b".into());
            rig.feed(Input::Authority(AuthorityNews::Holder(Some(other))));
        }
        rig
    }

    /// A node that waits for the switch of a promotion to term 7.
    pub(super) fn awaiting_switch(alone: bool) -> Self {
        let mut rig = Self::standby(alone);
        rig.ask(1, PROMOTE);
        rig.held(7);
        rig.tell(Outcome::Durable(Some(mark(6, 40, 90))));
        rig.done();
        rig.done();
        rig
    }

    /// A node that votes under term 7; its last vote is for slot 100.
    pub(super) fn active(alone: bool) -> Self {
        let mut rig = Self::awaiting_switch(alone);
        rig.feed(Input::SwitchMarker(RecordKind::Tower));
        rig.done();
        rig.done();
        rig.votes(100);
        assert_eq!(rig.engine.role(), Role::Active);
        rig
    }

    pub(super) fn feed(&mut self, input: Input) -> Vec<String> {
        let effects = self.engine.step(self.now, input);
        if let Some(op) = effects.iter().rev().find_map(step_op) {
            self.op = Some(op);
        }
        assert_eq!(self.engine.check(), Ok(()));
        self.answers
            .extend(effects.iter().filter_map(|effect| match effect {
                Effect::Answer { text, .. } => Some(text.clone()),
                _ => None,
            }));
        effects.iter().map(words).collect()
    }

    /// Answers the effect that was issued last.
    pub(super) fn tell(&mut self, outcome: Outcome) -> Vec<String> {
        let op = self.op.take().unwrap_or(OpId {
            term: Term(0),
            seq: 0,
        });
        self.feed(Input::Done(op, outcome))
    }

    pub(super) fn done(&mut self) -> Vec<String> {
        self.tell(Outcome::Done)
    }

    pub(super) fn fails(&mut self) -> Vec<String> {
        self.tell(Outcome::Failed("it broke".into()))
    }

    pub(super) fn refused(&mut self) -> Vec<String> {
        self.tell(Outcome::Refused("it says no".into()))
    }

    /// The authority grants `term`, with a lease of five seconds where it has leases.
    pub(super) fn held(&mut self, term: u64) -> Vec<String> {
        if self.engine.setup.authority.leased {
            self.lease(term, 5_000);
        }
        self.tell(Outcome::Held {
            term: Term(term),
            record: None,
        })
    }

    /// The authority grants `term`, where this is the newest record.
    pub(super) fn held_with(&mut self, term: u64, record: RecordMark) -> Vec<String> {
        self.tell(Outcome::Held {
            term: Term(term),
            record: Some(record),
        })
    }

    pub(super) fn lease(&mut self, term: u64, ms: u64) -> Vec<String> {
        self.feed(Input::Authority(AuthorityNews::Lease {
            term: Term(term),
            until: self.now.plus(ms),
        }))
    }

    pub(super) fn ask(&mut self, request: u64, command: Command) -> Vec<String> {
        self.feed(Input::Asked(RequestId(request), command))
    }

    /// Asks for a demotion, and has its parking written.
    pub(super) fn demote(&mut self, request: u64) {
        self.ask(request, DEMOTE);
        let step = self.op;
        self.op = self.engine.remembering.map(|(op, _)| op);
        self.done();
        self.op = step;
    }

    /// The clock moves to the next deadline.
    pub(super) fn wait(&mut self) -> Vec<String> {
        let (at, _) = self
            .engine
            .next_deadline()
            .unwrap_or((self.now, super::Reason::Step));
        self.now = self.now.max(at);
        self.feed(Input::Tick)
    }

    pub(super) fn later(&mut self, ms: u64) -> Vec<String> {
        self.now = self.now.plus(ms);
        self.feed(Input::Tick)
    }

    /// A good reading, with its slot advanced.
    pub(super) fn reads_well(&mut self) -> Vec<String> {
        self.slot += 1;
        let slot = self.slot;
        self.feed(Input::Observed(Observation::Own {
            healthy: true,
            slot,
            behind: Some(0),
        }))
    }

    pub(super) fn votes(&mut self, slot: u64) -> Vec<String> {
        let term = self.engine.term().unwrap_or_default().0;
        self.feed(Input::Gate(GateFacts {
            last: Some(mark(term, slot, slot)),
            waiting: 0,
        }))
    }

    pub(super) fn peer(&mut self, node: &str, ready: bool) -> Vec<String> {
        self.feed(Input::Observed(Observation::Peer(peer(node, ready))))
    }

    /// A peer that votes under `term`.
    pub(super) fn peer_votes(&mut self, node: &str, term: u64) -> Vec<String> {
        self.feed(Input::Observed(Observation::Peer(PeerFacts {
            active_term: Some(Term(term)),
            ..peer(node, false)
        })))
    }

    pub(super) fn nobody_holds(&mut self) -> Vec<String> {
        self.feed(Input::Authority(AuthorityNews::Holder(None)))
    }
}

pub(super) fn peer(node: &str, ready: bool) -> PeerFacts {
    PeerFacts {
        node: name(node),
        behind: Some(0),
        ready: if ready {
            Ok(())
        } else {
            Err("is catching-up".into())
        },
        priority: 100,
        record: None,
        active_term: None,
        asks: None,
    }
}

/// The id of an effect that the current step waits for.
fn step_op(effect: &Effect) -> Option<OpId> {
    match effect {
        Effect::PointLink { op, .. }
        | Effect::Spawn { op }
        | Effect::Mute { op }
        | Effect::Unmute { op }
        | Effect::SetIdentity { op, .. }
        | Effect::Acquire { op, .. }
        | Effect::FencePeers { op }
        | Effect::InstallRecord { op, .. }
        | Effect::OpenGate { op, .. }
        | Effect::CloseGate { op, .. }
        | Effect::Release { op, .. }
        | Effect::PassTerm { op, .. }
        | Effect::ConfirmTerm { op, .. }
        | Effect::Remember { op, .. } => Some(*op),
        _ => None,
    }
}

/// An effect in words; texts for people are left to the tests that are about them.
fn words(effect: &Effect) -> String {
    match effect {
        Effect::PointLink { to, .. } => format!("link {}", to.name()),
        Effect::Spawn { .. } => "spawn".into(),
        Effect::Mute { .. } => "mute".into(),
        Effect::Unmute { .. } => "unmute".into(),
        Effect::SetIdentity {
            to: Identity::Staked,
            require,
            ..
        } => {
            format!(
                "identity staked, {}",
                require.map_or("no record", RecordKind::name)
            )
        }
        Effect::SetIdentity { to, .. } => format!("identity {}", to.name()),
        Effect::Acquire { .. } => "acquire".into(),
        Effect::FencePeers { .. } => "fence".into(),
        Effect::InstallRecord { term, .. } => format!("install for {term}"),
        Effect::OpenGate { term, .. } => format!("open gate {term}"),
        Effect::CloseGate { quiet_ms, .. } => format!("close gate after {quiet_ms}"),
        Effect::Release {
            term,
            to_nobody: true,
            ..
        } => format!("release {term} to nobody"),
        Effect::Release { term, .. } => format!("release {term}"),
        Effect::PassTerm { term, to, .. } => format!("pass {term} to {to}"),
        Effect::ConfirmTerm { term, .. } => format!("confirm {term}"),
        Effect::Remember { parked, .. } => format!("remember parked={parked}"),
        Effect::AskExit => "ask exit".into(),
        Effect::Terminate => "terminate".into(),
        Effect::Kill => "kill".into(),
        Effect::Progress { request, .. } => format!("progress {}", request.0),
        Effect::Answer {
            request, verdict, ..
        } => format!("answer {} {verdict:?}", request.0),
        Effect::Transition {
            from, to, cause, ..
        } => format!("{from} -> {to}: {}", cause.name()),
        Effect::Page { .. } => "page".into(),
        Effect::Exit { code } => format!("exit {code}"),
    }
}
