//! The state of the model, and what stands for the shell: feeds the engines and performs their effects.
//!
//! What touches neither the store nor the staked identity (start, link, memory, readings) is done at once; everything else is an
//! action of its own, in any order.

use crate::client::Client;
use crate::judge::{Broken, Rule};
use crate::mistake::Mistake;
use crate::node::{Child, Kept, Local, Node, SlowParts, index, name, setup};
use crate::record::{KIND, Record, Votes, newest};
use crate::store::{Call, Reply, Store};
use std::collections::{BTreeSet, VecDeque};
use validator_supervisor::engine::PeerFacts;
use validator_supervisor::engine::values::{Identity, Millis, OpId, RecordMark, Role, Term};
use validator_supervisor::engine::vote_gate::VoteGate;
use validator_supervisor::engine::{
    AuthorityNews, Effect, Engine, Exit, GateFacts, Input, Memory, Observation, Outcome,
};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct World {
    pub(crate) mistake: Option<Mistake>,
    pub(crate) store: Store,
    pub(crate) nodes: Vec<Node>,
    /// Under way, to arrive in any order or never.
    pub(crate) net: BTreeSet<Message>,
    /// Every vote ever built, by its slot.
    pub(crate) built: Vec<Vote>,
    /// Votes that have left.
    pub(crate) sent: Votes,
    /// Terms that there were.
    pub(crate) granted: Votes,
    /// Terms that ended before their lease did.
    pub(crate) revoked: Votes,
    pub(crate) spent: Spent,
    pub(crate) broken: Option<Broken>,
    /// Inputs on their way to an engine; empty between two actions.
    inbox: VecDeque<(usize, Input)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Vote {
    /// What its builder knew, itself included.
    pub(crate) knows: Votes,
    /// The term under which the store took its record, if that was the current one.
    pub(crate) committed: Option<Term>,
}

/// How much of the bound is used up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Spent {
    pub(crate) faults: u8,
    pub(crate) rounds: u8,
    pub(crate) commands: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Message {
    Request {
        node: usize,
        id: u8,
        call: Call,
    },
    Answer {
        node: usize,
        id: u8,
        reply: Reply,
        /// By a fault; otherwise it comes at once.
        slow: bool,
    },
}

impl World {
    /// Somebody has voted once, and is long gone.
    pub(crate) fn new(nodes: usize) -> Self {
        let mark = RecordMark {
            term: Term(1),
            seq: 1,
            slot: 1,
            kind: KIND,
        };
        let votes = Votes::default().with(1);
        let store = Store {
            revision: 2,
            record: Some((Record { mark, votes }, 2)),
            ..Store::default()
        };
        Self {
            mistake: None,
            store,
            nodes: (0..nodes).map(|_| Node::new()).collect(),
            net: BTreeSet::new(),
            built: vec![Vote {
                knows: votes,
                committed: Some(Term(1)),
            }],
            sent: votes,
            granted: votes,
            revoked: Votes::default(),
            spent: Spent::default(),
            broken: None,
            inbox: VecDeque::new(),
        }
    }

    pub(crate) fn engine(&self, node: usize) -> Option<&Engine> {
        self.nodes[node].engine.as_ref().map(Kept::get)
    }

    pub(crate) fn role(&self, node: usize) -> Option<Role> {
        self.engine(node).map(Engine::role)
    }

    /// Starts a supervisor, which first ends what an earlier one left behind. It hears who holds the term before anything else.
    pub(crate) fn boot(&mut self, node: usize) {
        let n = &mut self.nodes[node];
        n.child = None;
        let engine = Engine::new(setup(node), Memory::default(), Millis(n.clock));
        n.engine = Some(Kept::new(engine));
        self.grant(node);
        self.nodes[node].client.watched = self.store.changes.len();
        let holder = self.store.holder.map(|holding| name(holding.node));
        self.later(node, Input::Begin);
        // The watch begins with a read of everything: the record is kept, and shown as the newest one known.
        let last = self.store.record.as_ref().map(|(record, _)| record.mark);
        self.later(node, Input::Gate(GateFacts { last, waiting: 0 }));
        self.later(node, Input::Authority(AuthorityNews::Holder(holder)));
        for other in (0..self.nodes.len()).filter(|other| *other != node) {
            self.later(node, peer(other));
            if self.nodes[other].is_up() {
                self.later(other, peer(node));
            }
        }
        self.settle();
    }

    /// The supervisor is gone, and with it its gate: the validator is about to end.
    pub(crate) fn crash(&mut self, node: usize) {
        let calls = self.nodes[node].client.calls;
        let lease = self.nodes[node].client.lease;
        let n = &mut self.nodes[node];
        n.engine = None;
        n.client = Client {
            calls,
            lease,
            ..Client::default()
        };
        n.gate = VoteGate::default();
        n.waiting = None;
        n.local = None;
        n.slow = SlowParts::default();
        n.let_go = None;
        n.start = None;
        if let Some(child) = &mut n.child {
            child.dying = true;
        }
    }

    /// Hands an input over when this action has ended.
    pub(crate) fn later(&mut self, node: usize, input: Input) {
        self.inbox.push_back((node, input));
    }

    /// Hands over what is due, until nothing is left to hand over.
    pub(crate) fn settle(&mut self) {
        loop {
            while let Some((node, input)) = self.inbox.pop_front() {
                self.tell(node, input);
            }
            if self.inbox.is_empty() {
                return;
            }
        }
    }

    fn tell(&mut self, node: usize, input: Input) {
        let Some(kept) = &self.nodes[node].engine else {
            return;
        };
        let now = Millis(self.nodes[node].clock);
        let mut engine = kept.get().clone();
        let mut effects = engine.step(now, input);
        let due = |engine: &Engine| engine.next_deadline().is_some_and(|(at, _)| at <= now);
        let mut ticks = 0;
        while due(&engine) && ticks < 4 {
            effects.extend(engine.step(now, Input::Tick));
            ticks += 1;
        }
        if ticks == 4 {
            self.break_rule(Rule::I6, || {
                format!("{} wants to be woken for ever", name(node))
            });
        }
        if let Err(violation) = engine.check() {
            self.break_rule(Rule::Engine, || format!("{}: {violation}", name(node)));
        }
        let catching_up = engine.role() == Role::CatchingUp;
        self.nodes[node].engine = Some(Kept::new(engine));
        for effect in effects {
            self.perform(node, effect);
        }
        if catching_up {
            // The second reading shows that the slot advances.
            self.later(node, reading(1));
            self.later(node, reading(2));
        }
    }

    fn perform(&mut self, node: usize, effect: Effect) {
        match effect {
            Effect::Acquire { op, .. } => self.acquire(node, op),
            Effect::Release { op, term, .. } if term.0 == 0 => self.enqueue(node, op, Call::Read),
            Effect::Release { op, term, .. } => self.enqueue(node, op, Call::Release { term }),
            Effect::PassTerm { op, term, to } => match self.store.lease_of(index(&to)) {
                Some(to) => self.enqueue(node, op, Call::Pass { term, to }),
                None => self.later(node, Input::Done(op, Outcome::Refused("it is gone".into()))),
            },
            Effect::FencePeers { op } => {
                let why = "there is no fence command".into();
                self.later(node, Input::Done(op, Outcome::Refused(why)));
            }
            Effect::ConfirmTerm { op, term } => self.enqueue(node, op, Call::Confirm { term }),
            Effect::Spawn { op } => {
                self.nodes[node].child = Some(Child::new());
                self.later(node, Input::Done(op, Outcome::Done));
                self.later(node, Input::ChildReady);
            }
            Effect::PointLink { op, .. } | Effect::Remember { op, .. } => {
                self.later(node, Input::Done(op, Outcome::Done));
            }
            Effect::Mute { op } => self.on_machine(node, op, Local::Mute),
            Effect::Unmute { op } => self.on_machine(node, op, Local::Unmute),
            Effect::SetIdentity { op, to, .. } => self.on_machine(node, op, Local::Identity(to)),
            Effect::InstallRecord { op, .. } => self.on_machine(node, op, Local::Install),
            Effect::OpenGate { op, term } => self.on_machine(node, op, Local::OpenGate(term)),
            Effect::CloseGate { op, quiet_ms } => {
                self.on_machine(node, op, Local::CloseGate(quiet_ms > 0));
            }
            Effect::Kill | Effect::AskExit | Effect::Terminate => self.kill(node),
            Effect::Exit { .. } => self.crash(node),
            Effect::Progress { .. }
            | Effect::Answer { .. }
            | Effect::Transition { .. }
            | Effect::Page { .. } => {}
        }
    }

    /// One thing at a time; on a validator that never carried the identity, at once.
    fn on_machine(&mut self, node: usize, op: OpId, what: Local) {
        self.nodes[node].local = Some((op, what));
        if self.role(node) == Some(Role::Starting) {
            self.local_done(node);
        }
    }

    /// What the supervisor is doing on its machine is done.
    pub(crate) fn local_done(&mut self, node: usize) {
        self.nodes[node].slow.local = false;
        if let Some((op, what)) = self.nodes[node].local.take() {
            let outcome = self.apply_local(node, what);
            self.later(node, Input::Done(op, outcome));
        }
    }

    pub(crate) fn apply_local(&mut self, node: usize, what: Local) -> Outcome {
        let n = &mut self.nodes[node];
        let child = n.child.as_mut().filter(|child| !child.dying);
        match (what, child) {
            (Local::Install, _) => return self.install(node),
            (Local::OpenGate(term), _) => self.open_gate(node, term),
            (Local::CloseGate(_), _) => self.close_gate(node),
            (_, None) => return Outcome::Failed("no validator".into()),
            (Local::Mute, Some(child)) => child.voters = false,
            (Local::Unmute, Some(child)) => child.voters = true,
            (Local::Identity(to), Some(child)) => child.admin = to,
        }
        Outcome::Done
    }

    fn install(&mut self, node: usize) -> Outcome {
        let lies = self.mistake == Some(Mistake::RecordNotInstalled);
        let n = &mut self.nodes[node];
        let given = n.client.given;
        let installed = newest(given, n.disk);
        if !lies {
            n.disk = installed;
        }
        Outcome::Durable(installed.map(|record| record.mark))
    }

    fn kill(&mut self, node: usize) {
        if let Some(child) = &mut self.nodes[node].child {
            child.dying = true;
            if self.mistake == Some(Mistake::DeathBelievedTooEarly) {
                self.close_gate(node);
                self.later(node, Input::ChildExited(Exit::Signal(9)));
            }
        }
    }

    /// The validator has ended.
    pub(crate) fn reap(&mut self, node: usize) {
        let n = &mut self.nodes[node];
        n.child = None;
        n.waiting = None;
        n.client.committing = None;
        n.local = None;
        n.slow = SlowParts::default();
        n.gate.close();
        self.later(node, Input::ChildExited(Exit::Code(1)));
    }

    pub(crate) fn tell_gate(&mut self, node: usize) {
        let last = self.nodes[node].let_go;
        self.later(node, Input::Gate(GateFacts { last, waiting: 0 }));
    }

    /// The voting thread takes over the identity that was set, and loads its record.
    pub(crate) fn switch(&mut self, node: usize) {
        let n = &mut self.nodes[node];
        let record = n.disk.map(|record| record.votes);
        let Some(child) = &mut n.child else { return };
        child.thread = child.admin;
        child.memory = match child.thread {
            Identity::Staked => record.unwrap_or_default(),
            Identity::Unstaked => Votes::default(),
        };
        self.later(node, Input::SwitchMarker(KIND));
    }

    pub(crate) fn vote(&self, slot: u64) -> Vote {
        self.built[slot as usize - 1]
    }

    pub(crate) fn break_rule(&mut self, rule: Rule, how: impl FnOnce() -> String) {
        if self.broken.is_none() {
            self.broken = Some(Broken { rule, how: how() });
        }
    }
}

fn reading(slot: u64) -> Input {
    Input::Observed(Observation::Own {
        healthy: true,
        slot,
        behind: Some(0),
    })
}

fn peer(node: usize) -> Input {
    Input::Observed(Observation::Peer(PeerFacts {
        node: name(node),
        ready: Ok(()),
        behind: Some(0),
        priority: 0,
        record: None,
        active_term: None,
        asks: None,
    }))
}
