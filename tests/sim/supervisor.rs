//! What stands for the shell: feeds the engine, performs its effects, and dies and comes back as the machine wants it.

use crate::authority::{Authority, Wish};
use crate::event::{Admin, Event};
use crate::mistake::Mistake;
use crate::node::{Gate, Sup};
use crate::record::newest;
use crate::store::client::Client;
use crate::world::World;
use validator_supervisor::engine::values::{
    Command, Identity, Millis, OpId, PromoteFlags, RequestId, Role, Verdict,
};
use validator_supervisor::engine::{Effect, Engine, Input, Memory, Outcome};

impl World {
    /// Starts a supervisor, which first ends what an earlier one left behind.
    pub(crate) fn boot(&mut self, node: usize) {
        if self.nodes[node].sup.is_some() {
            return;
        }
        let off = self.nodes[node].trouble.off;
        let no_ballot = self.authority == Authority::Peers && self.nodes[node].disk.failing;
        if off > self.now || no_ballot {
            let after = off.saturating_sub(self.now).max(300);
            return self.after(after, Event::Boot { node });
        }
        if self.mistake != Some(Mistake::StaleChildLeftAlone) {
            self.nodes[node].child = None;
        }
        self.next_id += 1;
        let life = self.next_id;
        let n = &mut self.nodes[node];
        n.trouble.hung = 0;
        n.trouble.unguarded_since = None;
        let memory = Memory {
            parked: n.disk.parked,
            holds: n.disk.holds,
        };
        let engine = Engine::new(n.setup.clone(), memory, Millis(self.now));
        let client = Client {
            lease: life,
            watched: self.store.changes.len().saturating_sub(1),
            ..Client::default()
        };
        n.sup = Some(Sup {
            life,
            engine,
            client,
            peer: None,
            gate: Gate::default(),
            woken_at: None,
            last_slot: 0,
        });
        self.after(
            0,
            Event::Tell {
                node,
                life,
                input: Input::Begin,
            },
        );
        self.after(50, Event::Observe { node, life });
        self.join_authority(node, life);
    }

    pub(crate) fn tell(&mut self, node: usize, life: u64, input: Input) {
        let now = Millis(self.now);
        let (flags, demoted) = (matches!(&input, Input::Asked(..)), self.nodes[node].demoted);
        self.note_wish(node, &input);
        if let Input::Forgotten(request) = &input {
            self.requests.remove(request);
        }
        let Some(sup) = self.nodes[node].sup.as_mut().filter(|sup| sup.life == life) else {
            return;
        };
        let before = sup.engine.role();
        let effects = sup.engine.step(now, input);
        let role = sup.engine.role();
        let sound = sup
            .engine
            .check()
            .map_err(|violation| format!("check(): {violation}"));
        self.break_rule(sound);
        if demoted && !flags && before != Role::Promoting && role == Role::Promoting {
            self.break_rule(Err(format!(
                "node {node} promotes itself after its demotion was answered"
            )));
        }
        for effect in effects {
            self.note(|| format!("    n{node} {effect:?}"));
            self.perform(node, life, effect);
        }
        self.note_member(node);
        self.plan_wake(node, life);
    }

    /// What counts is the order in which wishes reach the engine.
    fn note_wish(&mut self, node: usize, input: &Input) {
        let Input::Asked(request, command) = input else {
            return;
        };
        self.next_id += 1;
        let n = &mut self.nodes[node];
        match command {
            Command::Promote(_) | Command::Relieve { .. } | Command::Resume => {
                n.wanted_up = self.next_id;
                n.demoted = false;
            }
            Command::Demote { .. } => {
                n.wanted_off.insert(*request, self.next_id);
            }
            _ => {}
        }
    }

    fn plan_wake(&mut self, node: usize, life: u64) {
        let now = Millis(self.now);
        let Some(sup) = self.nodes[node].sup.as_mut().filter(|sup| sup.life == life) else {
            return;
        };
        let next = sup.engine.next_deadline();
        if let Some((at, _)) = next
            && sup.woken_at != Some(at)
        {
            sup.woken_at = Some(at);
            self.after(at.since(now), Event::Wake { node, life });
        }
    }

    /// A deadline. One tick has to be enough: an engine that wants to be woken for the same moment again would spin.
    pub(crate) fn wake(&mut self, node: usize, life: u64) {
        let now = Millis(self.now);
        let Some(sup) = self.nodes[node].sup.as_mut().filter(|sup| sup.life == life) else {
            return;
        };
        sup.woken_at = None;
        if sup.engine.next_deadline().is_none_or(|(at, _)| at > now) {
            return self.plan_wake(node, life);
        }
        for _ in 0..4 {
            self.tell(node, life, Input::Tick);
            let due = |sup: &Sup| sup.engine.next_deadline().filter(|(at, _)| *at <= now);
            let Some(sup) = self.nodes[node].sup.as_ref().filter(|sup| sup.life == life) else {
                return;
            };
            if due(sup).is_none() {
                return;
            }
        }
        if self.mistake.is_none() {
            let roles = self.roles();
            self.break_rule(Err(format!(
                "node {node} wants to be woken for the same moment for ever: {roles}"
            )));
        }
    }

    fn perform(&mut self, node: usize, life: u64, effect: Effect) {
        match effect {
            Effect::PointLink { op, to } => self.point_link(node, life, op, to),
            Effect::Spawn { op } => self.perform_spawn(node, life, op),
            Effect::Mute { op } => {
                self.seal_early(node);
                self.ask_admin(node, life, op, Admin::Mute);
            }
            Effect::Unmute { op } => self.ask_admin(node, life, op, Admin::Unmute),
            Effect::SetIdentity { op, to, require } => {
                self.ask_admin(node, life, op, Admin::Identity(to, require))
            }
            Effect::Acquire { op, regardless, .. } => {
                self.ask_authority(node, op, Wish::Acquire { regardless })
            }
            Effect::FencePeers { op } => self.fence_peers(node, life, op),
            Effect::InstallRecord { op, .. } => self.install(node, life, op),
            Effect::OpenGate { op, term } => {
                let n = &mut self.nodes[node];
                let record = n.ledger.clone();
                let verdict = self.judge.started(term, record.as_ref());
                if let Some(sup) = &mut n.sup {
                    sup.gate
                        .vote
                        .open(term, n.disk.record.as_ref().map(|record| record.mark));
                    sup.gate.closing = None;
                    sup.gate.holding = false;
                    if sup.client.lease_until > 0 {
                        sup.gate.vote.lease(Millis(sup.client.lease_until));
                    }
                }
                self.break_rule(verdict);
                self.done(node, life, op, 1, Outcome::Done);
            }
            Effect::CloseGate { op, quiet_ms } => self.close_gate(node, life, op, quiet_ms),
            Effect::Release {
                op,
                term,
                to_nobody,
            } => self.ask_authority(node, op, Wish::Release { term, to_nobody }),
            Effect::PassTerm { op, term, to } => {
                let to = self.index(&to);
                self.ask_authority(node, op, Wish::Pass { term, to });
            }
            Effect::ConfirmTerm { op, term } => {
                self.ask_authority(node, op, Wish::Confirm { term })
            }
            Effect::Remember { op, parked } => self.remember(node, life, op, parked),
            Effect::AskExit => self.ask_to_end(node, 400),
            Effect::Terminate => self.ask_to_end(node, 200),
            Effect::Kill => self.kill(node),
            Effect::Answer {
                request, verdict, ..
            } => self.answered(node, request, verdict),
            Effect::Exit { .. } => {
                let after = self.rng.within(500, 2_500);
                self.leave_authority(node);
                self.nodes[node].sup = None;
                self.nodes[node].trouble.unguarded_since = Some(self.now);
                if self.nodes[node].child.is_some() {
                    self.break_rule(Err(format!("node {node} exits and leaves its child")));
                }
                self.requests
                    .retain(|_, (at, of, _)| *at != node || *of != life);
                self.after(after, Event::Boot { node });
            }
            Effect::Progress { .. } | Effect::Transition { .. } | Effect::Page { .. } => {}
        }
    }

    pub(crate) fn done(&mut self, node: usize, life: u64, op: OpId, after: u64, outcome: Outcome) {
        self.after(
            after,
            Event::Tell {
                node,
                life,
                input: Input::Done(op, outcome),
            },
        );
    }

    fn point_link(&mut self, node: usize, life: u64, op: OpId, to: Identity) {
        let n = &mut self.nodes[node];
        if n.disk.failing {
            return self.done(node, life, op, 5, Outcome::Failed("the disk fails".into()));
        }
        n.link = to;
        self.done(node, life, op, 1, Outcome::Done);
    }

    fn perform_spawn(&mut self, node: usize, life: u64, op: OpId) {
        if self.nodes[node].child.is_some() {
            self.break_rule(Err(format!("node {node} starts a second child")));
        }
        if self.nodes[node].trouble.stubborn > self.now && self.rng.chance(30) {
            let late = self.rng.within(1, 700);
            return self.done(
                node,
                life,
                op,
                late,
                Outcome::Refused("the exec failed".into()),
            );
        }
        if let Some(sup) = &mut self.nodes[node].sup {
            sup.gate.holding = sup.engine.child_identity() == Some(Identity::Staked);
            sup.gate.held_since = None;
        }
        self.spawn(node);
        self.done(node, life, op, 2, Outcome::Done);
    }

    fn ask_admin(&mut self, node: usize, life: u64, op: OpId, what: Admin) {
        let Some(pid) = self.nodes[node].child.as_ref().map(|child| child.pid) else {
            return self.done(node, life, op, 1, Outcome::Failed("no validator".into()));
        };
        let after = self.rng.within(1, 5);
        self.after(
            after,
            Event::Admin {
                node,
                pid,
                life,
                op,
                what,
            },
        );
    }

    fn install(&mut self, node: usize, life: u64, op: OpId) {
        let mistake = self.mistake;
        let n = &mut self.nodes[node];
        if n.disk.failing {
            return self.done(node, life, op, 5, Outcome::Failed("the disk fails".into()));
        }
        if self.authority == Authority::Peers {
            return self.install_by_peers(node, op);
        }
        let given = n.sup.as_ref().and_then(|sup| sup.client.given.clone());
        if mistake != Some(Mistake::InstallKeepsTheOldRecord) {
            n.disk.record = newest(given.clone(), n.disk.record.take());
        }
        n.ledger = n.disk.record.clone();
        let mark = if mistake == Some(Mistake::InstallKeepsTheOldRecord) {
            given.map(|record| record.mark)
        } else {
            n.ledger.as_ref().map(|record| record.mark)
        };
        let after = self.rng.within(1, 10);
        self.done(node, life, op, after, Outcome::Durable(mark));
    }

    fn close_gate(&mut self, node: usize, life: u64, op: OpId, quiet_ms: u64) {
        let now = self.now;
        let Some(sup) = &mut self.nodes[node].sup else {
            return;
        };
        if quiet_ms > 0 {
            sup.gate.closing = Some((op, quiet_ms));
            sup.gate.busy_at = sup.gate.busy_at.max(now);
            return self.after(quiet_ms, Event::GateQuiet { node, life, op });
        }
        sup.gate.vote.close();
        sup.gate.holding = false;
        if let Some(pid) = sup.gate.waiting.take().map(|waiting| waiting.pid) {
            self.refuse_vote(node, pid);
        }
        self.done(node, life, op, 0, Outcome::Done);
    }

    fn remember(&mut self, node: usize, life: u64, op: OpId, parked: bool) {
        if self.nodes[node].disk.failing {
            return self.done(node, life, op, 5, Outcome::Failed("the disk fails".into()));
        }
        if self.mistake != Some(Mistake::ParkingNotWritten) {
            self.nodes[node].disk.parked = parked;
        }
        self.done(node, life, op, 2, Outcome::Done);
    }

    fn ask_to_end(&mut self, node: usize, within: u64) {
        let stubborn = self.nodes[node].trouble.stubborn > self.now;
        let Some(pid) = self.nodes[node]
            .child
            .as_ref()
            .map(|child| child.pid)
            .filter(|_| !stubborn)
        else {
            return;
        };
        let after = self.rng.within(20, within);
        self.after(
            after,
            Event::Die {
                node,
                pid,
                by_signal: false,
            },
        );
    }

    fn answered(&mut self, node: usize, request: RequestId, verdict: Verdict) {
        let Some((_, _, command)) = self.requests.remove(&request) else {
            return self.break_rule(Err(format!(
                "request {request:?} is answered twice, or was never asked"
            )));
        };
        let n = &mut self.nodes[node];
        if matches!(command, Command::Demote { .. })
            && verdict == Verdict::Done
            && n.wanted_off.get(&request).copied() > Some(n.wanted_up)
        {
            n.demoted = true;
        }
    }

    pub(crate) fn ask(&mut self, node: usize, command: Command) {
        let Some(life) = self.nodes[node].life() else {
            return;
        };
        self.next_id += 1;
        let request = RequestId(self.next_id);
        self.requests.insert(request, (node, life, command.clone()));
        self.after(
            0,
            Event::Tell {
                node,
                life,
                input: Input::Asked(request, command),
            },
        );
        if self.rng.chance(20) {
            let patience = self.rng.within(0, 500);
            self.after(
                patience,
                Event::Tell {
                    node,
                    life,
                    input: Input::Forgotten(request),
                },
            );
        }
    }

    /// The operators' patience: as long as the identity has never voted, or the single node rests, somebody promotes.
    pub(crate) fn nudge(&mut self) {
        self.after(2_500, Event::Nudge);
        let voted = !self.judge.sent.is_empty();
        let busy = self.nodes.iter().any(|node| {
            node.sup
                .as_ref()
                .is_some_and(|sup| matches!(sup.engine.role(), Role::Promoting | Role::Active))
        });
        if busy || (voted && !(self.authority == Authority::Local && self.healed)) {
            return;
        }
        let standby = |node: &crate::node::Node| {
            node.sup
                .as_ref()
                .is_some_and(|sup| sup.engine.role() == Role::Standby)
        };
        if let Some(node) = self.nodes.iter().position(standby) {
            let flags = PromoteFlags {
                first_vote: !voted,
                accept_double_vote_risk: false,
                at_once: false,
            };
            self.ask(node, Command::Promote(flags));
        }
    }

    /// The supervisor is gone, and with it the child, unless that was orphaned too well.
    pub(crate) fn sup_dies(&mut self, node: usize, life: u64, orphan: bool) {
        if self.nodes[node].life() != Some(life) {
            return;
        }
        self.leave_authority(node);
        self.nodes[node].sup = None;
        let hung = self.nodes[node].trouble.hung > self.now;
        let since = self.nodes[node]
            .trouble
            .unguarded_since
            .filter(|_| hung)
            .unwrap_or(self.now);
        self.nodes[node].trouble.unguarded_since = Some(since);
        self.requests
            .retain(|_, (at, of, _)| *at != node || *of != life);
        if let Some(pid) = self.nodes[node]
            .child
            .as_ref()
            .map(|child| child.pid)
            .filter(|_| !orphan)
        {
            let after = self.rng.within(1, 20);
            self.after(
                after,
                Event::Die {
                    node,
                    pid,
                    by_signal: true,
                },
            );
        }
        let after = self.rng.within(300, 2_000);
        self.after(after, Event::Boot { node });
    }
}
