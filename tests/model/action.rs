//! Everything that can happen, and doing it. Each is one step of one party, so that every order of them is a path.

use crate::node::{Local, name};
use crate::store::LeaseId;
use crate::world::{Message, World};
use std::fmt;
use validator_supervisor::engine::values::{Command, PromoteFlags, RequestId};
use validator_supervisor::engine::{Engine, Input, Observation, Outcome};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    // What happens by itself.
    Deliver(Message),
    /// A watch tells what it has not told yet, in order.
    Watch(usize),
    /// What the supervisor does on its machine is done.
    Local(usize),
    /// The voting thread takes over the identity that was set.
    Switch(usize),
    Build(usize),
    AtGate(usize),
    GateNews(usize),
    Reap(usize),
    /// A moment passes: a restart, a takeover, the return of a stray term, or what was slept through.
    Moment(usize),
    Renew(usize),
    RenewalAnswered(usize),
    Expire(LeaseId),
    Restart(usize),
    /// A clock moves on to the next stage of its node's lease, the engine awake.
    Stage(usize),
    // What somebody asks for.
    Handover(usize),
    Promote(usize),
    Elsewhere(usize),
    // Faults.
    /// What would happen next at once takes its time.
    Slow(Slow),
    /// A request arrives, and will arrive again.
    Twice(Message),
    GiveUpJob(usize),
    GiveUpCommit(usize),
    /// A local step has no answer; whether it was carried out is said here.
    LocalFails(usize, bool),
    /// The deadline of a step comes first.
    Late(usize),
    /// The supervisor stands still until its lease is over.
    Stall(usize),
    Crash(usize),
    ChildDies(usize),
    Revoke(LeaseId),
}

/// What can take its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Slow {
    Local(usize),
    Vote(usize),
    Renewal(usize),
    Answer(Message),
}

impl World {
    /// Does it, and everything that follows at once.
    pub(crate) fn act(&mut self, action: &Action) {
        match action {
            Action::Deliver(message) => {
                self.net.remove(message);
                self.arrive(message);
            }
            Action::Watch(node) => self.watch(*node),
            Action::Local(node) => self.local_done(*node),
            Action::Switch(node) => self.switch(*node),
            Action::Build(node) => self.build(*node),
            Action::AtGate(node) => self.at_gate(*node),
            Action::GateNews(node) => self.tell_gate(*node),
            Action::Reap(node) => self.reap(*node),
            Action::Moment(node) => self.moment_comes(*node),
            Action::Renew(node) => self.renew(*node),
            Action::RenewalAnswered(node) => self.renewal_answered(*node),
            Action::Expire(id) => self.store.end(*id),
            Action::Restart(node) => self.boot(*node),
            Action::Stage(node) => self.stage(*node),
            Action::Handover(node) => self.ask(
                *node,
                Command::Handover {
                    to: None,
                    at_once: true,
                },
            ),
            Action::Promote(node) => self.ask(*node, Command::Promote(PromoteFlags::default())),
            Action::Elsewhere(node) => {
                self.spent.commands += 1;
                self.later(*node, Input::Observed(Observation::IdentityElsewhere));
            }
            fault => {
                self.spent.faults += 1;
                self.fail(fault);
            }
        }
        self.settle();
        self.tidy();
        self.look();
    }

    fn fail(&mut self, fault: &Action) {
        match fault {
            Action::Slow(what) => self.slow_down(what),
            Action::Twice(message) => self.arrive(message),
            Action::GiveUpJob(node) => self.give_up_job(*node),
            Action::GiveUpCommit(node) => self.give_up_commit(*node),
            Action::LocalFails(node, applied) => self.local_fails(*node, *applied),
            Action::Late(node) => self.step_is_late(*node),
            Action::Stall(node) => self.stall(*node),
            Action::Crash(node) => self.crash(*node),
            Action::ChildDies(node) => self.reap(*node),
            Action::Revoke(id) => {
                if let Some(holding) = self.store.holder {
                    self.revoked = self.revoked.with(holding.term.0);
                }
                self.store.end(*id);
            }
            _ => {}
        }
    }

    fn slow_down(&mut self, what: &Slow) {
        match what {
            Slow::Local(node) => self.nodes[*node].slow.local = true,
            Slow::Vote(node) => self.nodes[*node].slow.vote = true,
            Slow::Renewal(node) => {
                self.renew(*node);
                self.nodes[*node].slow.renewal = true;
            }
            Slow::Answer(message) => {
                self.net.remove(message);
                if let Message::Answer {
                    node, id, reply, ..
                } = message.clone()
                {
                    self.net.insert(Message::Answer {
                        node,
                        id,
                        reply,
                        slow: true,
                    });
                }
            }
        }
    }

    fn local_fails(&mut self, node: usize, applied: bool) {
        let Some((op, what)) = self.nodes[node].local.take() else {
            return;
        };
        self.nodes[node].slow.local = false;
        if applied {
            self.apply_local(node, what);
        }
        self.later(node, Input::Done(op, Outcome::Failed("no answer".into())));
    }

    /// An admin request that is late is not carried out any more.
    fn step_is_late(&mut self, node: usize) {
        let deadline = self.engine(node).and_then(Engine::next_deadline);
        let n = &mut self.nodes[node];
        n.clock = n.clock.max(deadline.map_or(0, |(at, _)| at.0));
        if !matches!(n.local, Some((_, Local::CloseGate(_)))) {
            n.local = None;
            n.slow.local = false;
        }
        self.later(node, Input::Tick);
    }

    fn stall(&mut self, node: usize) {
        let ends_at = self
            .store
            .lease(self.lease_id(node))
            .map(|lease| lease.ends_at);
        let n = &mut self.nodes[node];
        n.clock = n.clock.max(ends_at.unwrap_or(0));
    }

    fn arrive(&mut self, message: &Message) {
        match message {
            Message::Request { node, id, call } => {
                let before = self.store.clone();
                let reply = self.store.call(call, self.mistake);
                self.judge_call(&before, *node, call);
                self.net.insert(Message::Answer {
                    node: *node,
                    id: *id,
                    reply,
                    slow: false,
                });
            }
            Message::Answer {
                node, id, reply, ..
            } => self.answered(*node, *id, reply.clone()),
        }
    }

    fn moment_comes(&mut self, node: usize) {
        let at = self
            .engine(node)
            .and_then(|engine| self.moment(&self.nodes[node], engine));
        if let Some(at) = at {
            self.nodes[node].clock = self.nodes[node].clock.max(at);
            self.later(node, Input::Tick);
        }
    }

    fn stage(&mut self, node: usize) {
        self.spent.rounds += 1;
        if let Some(at) = self.stage_ends(&self.nodes[node]) {
            self.nodes[node].clock = at;
            self.later(node, Input::Tick);
        }
    }

    fn ask(&mut self, node: usize, command: Command) {
        self.spent.commands += 1;
        self.later(node, Input::Asked(RequestId(0), command));
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slow = |message: &Message| match message {
            Message::Answer { slow: true, .. } => ", late",
            _ => "",
        };
        match self {
            Self::Deliver(message) => write!(f, "{message}{}", slow(message)),
            Self::Watch(node) => write!(f, "{}'s watch tells what has changed", name(*node)),
            Self::Local(node) => write!(f, "{}'s step on its machine is done", name(*node)),
            Self::Switch(node) => write!(f, "{}'s voting thread switches", name(*node)),
            Self::Build(node) => write!(f, "{}'s validator builds a vote", name(*node)),
            Self::AtGate(node) => write!(f, "{}'s vote reaches the gate", name(*node)),
            Self::GateNews(node) => write!(f, "{}'s engine hears of the commit", name(*node)),
            Self::Reap(node) => write!(f, "{}'s validator is dead", name(*node)),
            Self::Moment(node) => write!(f, "a moment passes at {}", name(*node)),
            Self::Renew(node) => write!(f, "{} renews its lease", name(*node)),
            Self::RenewalAnswered(node) => write!(f, "{}'s renewal is answered", name(*node)),
            Self::Expire(id) => write!(f, "lease {id} is over"),
            Self::Restart(node) => write!(f, "{}'s supervisor starts", name(*node)),
            Self::Stage(node) => write!(f, "{}'s clock moves on", name(*node)),
            Self::Handover(node) => write!(f, "an operator has {} hand over", name(*node)),
            Self::Promote(node) => write!(f, "an operator promotes {}", name(*node)),
            Self::Elsewhere(node) => {
                write!(f, "{} sees its identity elsewhere in gossip", name(*node))
            }
            Self::Slow(what) => write!(f, "FAULT: {what}"),
            Self::Twice(message) => write!(f, "FAULT: {message}, and will again"),
            Self::GiveUpJob(node) => write!(
                f,
                "FAULT: {} waits no longer for its operation",
                name(*node)
            ),
            Self::GiveUpCommit(node) => {
                write!(f, "FAULT: {} waits no longer for its commit", name(*node))
            }
            Self::LocalFails(node, applied) => {
                let word = if *applied {
                    "takes effect"
                } else {
                    "has no effect"
                };
                write!(
                    f,
                    "FAULT: {}'s step on its machine has no answer; it {word}",
                    name(*node)
                )
            }
            Self::Late(node) => write!(f, "FAULT: {}'s step is late", name(*node)),
            Self::Stall(node) => write!(
                f,
                "FAULT: {}'s supervisor stands still until its lease is over",
                name(*node)
            ),
            Self::Crash(node) => write!(f, "FAULT: {}'s supervisor dies", name(*node)),
            Self::ChildDies(node) => write!(f, "FAULT: {}'s validator dies", name(*node)),
            Self::Revoke(id) => write!(f, "FAULT: lease {id} is revoked"),
        }
    }
}

impl fmt::Display for Slow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(node) => write!(f, "{}'s step on its machine takes its time", name(*node)),
            Self::Vote(node) => write!(f, "{}'s vote takes its time to the gate", name(*node)),
            Self::Renewal(node) => {
                write!(f, "the answer to {}'s renewal takes its time", name(*node))
            }
            Self::Answer(message) => write!(f, "this takes its time: {message}"),
        }
    }
}

impl fmt::Display for LeaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.number, name(self.node))
    }
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request { node, call, .. } => {
                write!(f, "{}'s request arrives: {call:?}", name(*node))
            }
            Self::Answer { node, reply, .. } => write!(f, "{} is answered: {reply:?}", name(*node)),
        }
    }
}
