//! What can happen next in a state, within the bound.
//!
//! What a party does by itself at once (a step on its own machine, an answer on its way back, a vote on its way to the gate) is
//! all that can happen next, unless a fault makes it slow; requests, watches, deaths and clocks take their time without one. That
//! keeps apart the orders that matter.

use crate::action::{Action, Slow};
use crate::bound::Bound;
use crate::mistake::Mistake;
use crate::node::{Local, Node, ROUND_MS};
use crate::store::{Call, TTL_MS};
use crate::world::{Message, World};
use validator_supervisor::engine::values::{Identity, Role};
use validator_supervisor::engine::{Engine, Reason};

impl World {
    pub(crate) fn actions(&self, bound: &Bound, out: &mut Vec<Action>) {
        if self.broken.is_some() {
            return;
        }
        let faulty = self.spent.faults < bound.faults;
        if let Some((action, slow)) = self.urgent() {
            if faulty {
                out.extend(slow.map(Action::Slow));
                self.failures(&action, out);
            }
            return out.push(action);
        }
        self.progress(bound, out);
        for node in 0..self.nodes.len() {
            let n = &self.nodes[node];
            if !n.is_up() {
                out.push(Action::Restart(node));
            }
            if self.spent.rounds < bound.rounds && self.stage_ends(n).is_some() {
                out.push(Action::Stage(node));
            }
            if self.spent.commands < bound.commands {
                self.commands(node, out);
            }
            if faulty {
                self.faults(node, out);
            }
        }
        if faulty {
            self.faults_between(out);
        }
    }

    /// What happens next at once, and what it is when it takes its time.
    fn urgent(&self) -> Option<(Action, Option<Slow>)> {
        let quick = |message: &&Message| matches!(message, Message::Answer { slow: false, .. });
        if let Some(answer) = self.net.iter().find(quick) {
            return Some((
                Action::Deliver(answer.clone()),
                Some(Slow::Answer(answer.clone())),
            ));
        }
        (0..self.nodes.len()).find_map(|node| self.urgent_at(node))
    }

    fn urgent_at(&self, node: usize) -> Option<(Action, Option<Slow>)> {
        let n = &self.nodes[node];
        let engine = self.engine(node);
        if n.local.is_some() && !n.slow.local && !self.gate_is_busy(n) {
            return Some((Action::Local(node), Some(Slow::Local(node))));
        }
        if engine.is_some_and(|engine| engine.last_committed() != n.let_go) {
            return Some((Action::GateNews(node), None));
        }
        if n.client.renewal.is_some() && !n.slow.renewal {
            return Some((Action::RenewalAnswered(node), None));
        }
        let child = n.child.as_ref()?;
        if child.built.is_some() && !n.slow.vote && n.waiting.is_none() {
            return Some((Action::AtGate(node), Some(Slow::Vote(node))));
        }
        let back = child.admin == Identity::Unstaked && child.thread == Identity::Staked;
        (back && !child.dying).then_some((Action::Switch(node), None))
    }

    /// What leads on without a fault, a command, or time.
    pub(crate) fn progress(&self, bound: &Bound, out: &mut Vec<Action>) {
        if let Some((action, _)) = self.urgent() {
            return out.push(action);
        }
        out.extend(self.net.iter().cloned().map(Action::Deliver));
        for (node, n) in self.nodes.iter().enumerate() {
            if let Some(engine) = self.engine(node) {
                self.supervisor_acts(node, n, engine, out);
            }
            self.validator_acts(node, n, bound, out);
        }
        for lease in &self.store.leases {
            if self.nodes[lease.id.node].clock >= lease.ends_at {
                out.push(Action::Expire(lease.id));
            }
        }
    }

    fn supervisor_acts(&self, node: usize, n: &Node, engine: &Engine, out: &mut Vec<Action>) {
        if n.client.watched < self.store.changes.len() {
            out.push(Action::Watch(node));
        }
        if n.local.is_some() && !self.gate_is_busy(n) {
            out.push(Action::Local(node));
        }
        if self.moment(n, engine).is_some() {
            out.push(Action::Moment(node));
        }
        let lease = self.store.lease(self.lease_id(node));
        let old = lease.is_none_or(|lease| lease.ends_at < n.round() + TTL_MS);
        if old && n.client.renewal.is_none() {
            out.push(Action::Renew(node));
        }
        if n.client.renewal.is_some() {
            out.push(Action::RenewalAnswered(node));
        }
    }

    /// A gate that closes gently waits for the vote in it.
    fn gate_is_busy(&self, n: &Node) -> bool {
        matches!(n.local, Some((_, Local::CloseGate(true)))) && n.waiting.is_some()
    }

    fn validator_acts(&self, node: usize, n: &Node, bound: &Bound, out: &mut Vec<Action>) {
        let Some(child) = &n.child else { return };
        if child.built.is_some() && n.waiting.is_none() {
            out.push(Action::AtGate(node));
        }
        if child.dying {
            return out.push(Action::Reap(node));
        }
        if child.thread != child.admin {
            out.push(Action::Switch(node));
        }
        let able = child.thread == Identity::Staked && child.voters;
        let more = self.built.len() < Bound::FIRST_VOTES + bound.votes;
        if able && more && child.built.is_none() && n.waiting.is_none() {
            out.push(Action::Build(node));
        }
    }

    /// A deadline that was slept through, or one that comes at once where nothing else is waited for: a restart, a takeover, the
    /// return of a stray term.
    pub(crate) fn moment(&self, n: &Node, engine: &Engine) -> Option<u64> {
        let (at, reason) = engine.next_deadline()?;
        if at.0 <= n.clock {
            return Some(n.clock);
        }
        let told = n.client.jobs.is_empty() && n.client.watched == self.store.changes.len();
        let right = match reason {
            Reason::Backoff => true,
            Reason::Takeover | Reason::Return => told,
            _ => false,
        };
        (right && at.0 <= n.clock + 1 && at.0 % ROUND_MS <= Bound::MOMENTS).then_some(at.0)
    }

    /// A moment would come, and the bound has no more of them.
    pub(crate) fn out_of_moments(&self) -> bool {
        let far = |n: &Node| {
            let deadline = n
                .engine
                .as_ref()
                .and_then(|kept| kept.get().next_deadline());
            deadline.is_some_and(|(at, reason)| {
                matches!(reason, Reason::Backoff | Reason::Takeover | Reason::Return)
                    && at.0 % ROUND_MS > Bound::MOMENTS
            })
        };
        self.nodes.iter().any(far)
    }

    /// When the present stage of a node's lease ends; `None` while a step of its engine has to end first.
    pub(crate) fn stage_ends(&self, n: &Node) -> Option<u64> {
        let round = n.round() + ROUND_MS;
        let Some(kept) = &n.engine else {
            return Some(round + ROUND_MS);
        };
        match kept.get().next_deadline() {
            Some((at, _)) if at.0 <= n.clock => None,
            Some((at, Reason::LeaseMargin)) => Some(at.0.min(round)),
            Some((at, Reason::LeaseEnd)) => Some((at.0 + 1).min(round)),
            Some((at, _)) if at.0 <= round => None,
            _ => Some(round),
        }
    }

    fn commands(&self, node: usize, out: &mut Vec<Action>) {
        match self.role(node) {
            Some(Role::Active) => {
                out.push(Action::Handover(node));
                out.push(Action::Elsewhere(node));
            }
            Some(Role::Standby) => out.push(Action::Promote(node)),
            _ => {}
        }
    }

    /// How a step on a machine can fail.
    fn failures(&self, action: &Action, out: &mut Vec<Action>) {
        let Action::Local(node) = action else { return };
        match self.nodes[*node].local {
            Some((_, Local::Mute | Local::Unmute | Local::Identity(_))) => {
                out.push(Action::LocalFails(*node, true));
                out.push(Action::LocalFails(*node, false));
            }
            Some((_, Local::Install)) => out.push(Action::LocalFails(*node, false)),
            _ => {}
        }
        out.push(Action::Crash(*node));
        out.push(Action::ChildDies(*node));
    }

    fn faults(&self, node: usize, out: &mut Vec<Action>) {
        let n = &self.nodes[node];
        let Some(engine) = self.engine(node) else {
            return;
        };
        out.push(Action::Crash(node));
        if n.live_child().is_some() {
            out.push(Action::ChildDies(node));
        }
        if n.client.asked.is_some() {
            out.push(Action::GiveUpJob(node));
        }
        if n.client.committing.is_some() {
            out.push(Action::GiveUpCommit(node));
        }
        let dying = n.child.as_ref().is_some_and(|child| child.dying);
        let waits = |(_, reason): &(_, Reason)| matches!(reason, Reason::Step | Reason::Answer);
        if engine.next_deadline().filter(waits).is_some() && !dying {
            out.push(Action::Late(node));
        }
        let ends_at = self
            .store
            .lease(self.lease_id(node))
            .map_or(0, |lease| lease.ends_at);
        if engine.term().is_some() && n.clock < ends_at {
            out.push(Action::Stall(node));
            if n.client.renewal.is_none() {
                out.push(Action::Slow(Slow::Renewal(node)));
            }
        }
    }

    fn faults_between(&self, out: &mut Vec<Action>) {
        let changing = |message: &&Message| matches!(message, Message::Request { call, .. } if !matches!(call, Call::Read | Call::Confirm { .. }));
        out.extend(self.net.iter().filter(changing).cloned().map(Action::Twice));
        if let Some(id) = self.store.holder.and_then(|holding| holding.lease) {
            out.push(Action::Revoke(id));
        }
    }

    /// Forgets what can make no difference any more, so that states that behave alike are one.
    pub(crate) fn tidy(&mut self) {
        let told = self
            .nodes
            .iter()
            .filter(|n| n.is_up())
            .map(|n| n.client.watched)
            .min();
        let told = told.unwrap_or(self.store.changes.len());
        self.store.changes.drain(..told);
        for n in self.nodes.iter_mut().filter(|n| n.is_up()) {
            n.client.watched -= told;
        }
        let kept = std::mem::take(&mut self.net);
        self.net = kept
            .into_iter()
            .filter(|message| self.matters(message))
            .collect();
        for node in 0..self.nodes.len() {
            let silent = |message: &Message| {
                let (Message::Request { node: of, .. } | Message::Answer { node: of, .. }) =
                    message;
                *of != node
            };
            let quiet = self.net.iter().all(silent);
            let client = &mut self.nodes[node].client;
            if quiet && client.asked.is_none() && client.committing.is_none() {
                client.calls = 0;
            }
        }
    }

    fn matters(&self, message: &Message) -> bool {
        let (Message::Request { node, id, .. } | Message::Answer { node, id, .. }) = message;
        let client = &self.nodes[*node].client;
        if client.asked == Some(*id) || client.committing == Some(*id) {
            return true;
        }
        match message {
            Message::Answer { .. } => self.mistake == Some(Mistake::LateAnswerAccepted),
            // A term that has ended never comes back.
            Message::Request { call, .. } => match call {
                Call::Read | Call::Confirm { .. } => false,
                Call::Acquire { lease, .. } => self.store.lease(*lease).is_some(),
                Call::Commit { .. } if self.mistake == Some(Mistake::TermNotCompared) => true,
                Call::Commit { term, .. }
                | Call::Retake { term, .. }
                | Call::Release { term }
                | Call::Pass { term, .. } => self.store.holds(*term),
            },
        }
    }
}
