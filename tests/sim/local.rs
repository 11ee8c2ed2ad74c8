//! The authority of a single node: its own disk.

use crate::authority::Wish;
use crate::event::Event;
use crate::mistake::Mistake;
use crate::node::Waiting;
use crate::record::Record;
use crate::world::World;
use validator_supervisor::engine::Outcome;
use validator_supervisor::engine::values::{OpId, RecordMark, Term};

impl World {
    pub(crate) fn ask_local(&mut self, node: usize, op: OpId, wish: &Wish) {
        let Some(life) = self.nodes[node].life() else {
            return;
        };
        match wish {
            Wish::Acquire { .. } => self.acquire_local(node, life, op),
            Wish::Release { .. } | Wish::Pass { .. } => {
                self.nodes[node].disk.holds = false;
                self.done(node, life, op, 3, Outcome::Done);
            }
            Wish::Confirm { .. } => self.done(node, life, op, 5, Outcome::Done),
        }
    }

    fn acquire_local(&mut self, node: usize, life: u64, op: OpId) {
        let n = &mut self.nodes[node];
        if n.disk.failing {
            return self.done(node, life, op, 5, Outcome::Failed("the disk fails".into()));
        }
        n.disk.term += 1;
        n.disk.holds = true;
        let (term, record) = (
            Term(n.disk.term),
            n.disk.record.as_ref().map(|record| record.mark),
        );
        let after = self.rng.within(1, 8);
        self.done(node, life, op, after, Outcome::Held { term, record });
    }

    pub(crate) fn commit_to_disk(&mut self, node: usize, life: u64, waiting: &Waiting) {
        let mark = waiting.mark;
        let after = self.rng.within(1, 6);
        if self.mistake == Some(Mistake::LocalRecordNotSynced) {
            return self.local_commit_unsynced(node, life, mark, &waiting.record);
        }
        self.after(after, Event::DiskCommit { node, life, mark });
    }

    /// The single node's record reaches its disk.
    pub(crate) fn disk_commit(&mut self, node: usize, life: u64, mark: RecordMark) {
        let Some(waiting) = self.waiting_at(node, life, mark) else {
            return;
        };
        let disk = &mut self.nodes[node].disk;
        if disk.failing {
            return self.after(100, Event::CommitAgain { node, life, mark });
        }
        let before = disk.record.clone();
        let current = disk.term == mark.term.0;
        disk.keep(Some(waiting.record.clone()));
        let verdict = self
            .judge
            .committed(&waiting.record, current, before.as_ref());
        self.break_rule(verdict);
        self.vote_committed(node, mark);
    }

    fn local_commit_unsynced(&mut self, node: usize, life: u64, mark: RecordMark, record: &Record) {
        let before = self.nodes[node].disk.record.clone();
        let verdict = self.judge.committed(record, true, before.as_ref());
        self.break_rule(verdict);
        self.vote_committed(node, mark);
        if self.nodes[node].life() == Some(life) && self.rng.chance(30) {
            self.nodes[node].disk.record = before;
        }
    }
}
