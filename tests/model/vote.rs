//! A vote: built by the validator, taken up at the gate, let go or refused. The gate decides by the real `VoteGate`.

use crate::mistake::Mistake;
use crate::record::{KIND, Record};
use crate::world::{Vote, World};
use validator_supervisor::engine::values::{Millis, Term};

impl World {
    /// The voting thread builds a vote for a slot of its own: the cluster has moved on since any other.
    pub(crate) fn build(&mut self, node: usize) {
        let slot = self.built.len() as u64 + 1;
        let Some(child) = &mut self.nodes[node].child else {
            return;
        };
        child.memory = child.memory.with(slot);
        child.built = Some(slot);
        let knows = child.memory;
        self.built.push(Vote {
            knows,
            committed: None,
        });
    }

    /// The vote that was built reaches the gate.
    pub(crate) fn at_gate(&mut self, node: usize) {
        let served = self.nodes[node].is_up();
        let Some(slot) = self.nodes[node]
            .child
            .as_mut()
            .and_then(|child| child.built.take())
        else {
            return;
        };
        self.nodes[node].slow.vote = false;
        let votes = self.vote(slot).knows;
        if !served {
            if self.mistake == Some(Mistake::GateOpenWithoutSupervisor) {
                self.leaves(node, slot, None);
            }
            return;
        }
        let Ok(mark) = self.nodes[node].gate.admit(KIND, slot) else {
            return self.refuse(node);
        };
        let record = Record { mark, votes };
        self.nodes[node].waiting = Some(record);
        self.commit(node);
        if self.mistake == Some(Mistake::VoteBeforeTheAnswer) {
            self.leaves(node, slot, Some(mark.term));
        }
    }

    /// The rename fails: the validator exits, and the vote is not sent.
    pub(crate) fn refuse(&mut self, node: usize) {
        let n = &mut self.nodes[node];
        n.waiting = None;
        n.client.committing = None;
        if let Some(child) = &mut n.child {
            child.dying = true;
            child.built = None;
        }
    }

    /// The commit of the vote that waited was answered.
    pub(crate) fn let_go(&mut self, node: usize, record: Record) {
        let n = &mut self.nodes[node];
        n.gate.committed(record.mark);
        let overdue = n.gate.may_leave(Millis(n.clock)).is_err();
        if overdue && self.mistake != Some(Mistake::LeaseForgottenAtTheGate) {
            return self.refuse(node);
        }
        n.disk = Some(record);
        n.let_go = n.gate.last();
        if self.mistake != Some(Mistake::VoteBeforeTheAnswer) {
            self.leaves(node, record.mark.slot, Some(record.mark.term));
        }
    }

    pub(crate) fn open_gate(&mut self, node: usize, term: Term) {
        let n = &mut self.nodes[node];
        n.gate.open(term, n.disk.map(|record| record.mark));
        n.gate.lease(Millis(n.client.lease_until));
        let votes = n.disk.map(|record| record.votes).unwrap_or_default();
        n.start = Some((term, votes));
        self.judge_start(node, term, votes);
    }

    pub(crate) fn close_gate(&mut self, node: usize) {
        if self.nodes[node].waiting.is_some() {
            self.refuse(node);
        }
        if self.mistake != Some(Mistake::GateOpenOverALostTerm) {
            self.nodes[node].gate.close();
        }
    }
}
