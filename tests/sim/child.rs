//! The validator as `validator-facts.md` describes it: stores, waits at the gate, sends; changes identity at a bank reset.

use crate::record::{Record, Tower, Vote};
use std::collections::VecDeque;
use std::rc::Rc;
use validator_supervisor::engine::values::{Identity, RecordKind};

#[derive(Clone, Debug)]
pub(crate) struct Child {
    pub(crate) pid: u64,
    /// Life of the supervisor that listens at its gate.
    pub(crate) listener: u64,
    pub(crate) ready: bool,
    /// Identity that the admin RPC set.
    pub(crate) admin: Identity,
    /// Identity that the voting thread works with.
    pub(crate) thread: Identity,
    pub(crate) voters: bool,
    /// What the voting thread remembers of the staked identity's votes.
    pub(crate) tower: Tower,
    pub(crate) slot: u64,
    /// Built votes that have not passed the gate, the first one waiting in it.
    pub(crate) queue: VecDeque<Tower>,
}

impl Child {
    pub(crate) fn new(
        pid: u64,
        listener: u64,
        identity: Identity,
        on_disk: Option<&Record>,
        slot: u64,
    ) -> Self {
        let tower = if identity == Identity::Staked {
            on_disk.map(|record| Rc::clone(&record.tower))
        } else {
            None
        };
        Self {
            pid,
            listener,
            ready: false,
            admin: identity,
            thread: identity,
            voters: true,
            tower: tower.unwrap_or_default(),
            slot,
            queue: VecDeque::new(),
        }
    }

    /// Follows the cluster, faster while it is behind.
    pub(crate) fn replay(&mut self, tip: u64) -> bool {
        let before = self.slot;
        self.slot = (self.slot + 4).min(tip).max(self.slot);
        self.slot > before
    }

    /// Builds this slot's votes; says how many.
    pub(crate) fn build_votes(&mut self, kind: RecordKind) -> usize {
        let last = self.tower.last().map_or(0, |vote| vote.slot);
        if self.thread != Identity::Staked || !self.voters || self.slot <= last {
            return 0;
        }
        let phases = if kind == RecordKind::VoteHistory {
            2
        } else {
            1
        };
        for phase in 0..phases {
            let mut tower = (*self.tower).clone();
            tower.push(Vote {
                slot: self.slot,
                phase,
            });
            self.tower = Rc::new(tower);
            self.queue.push_back(Rc::clone(&self.tower));
        }
        phases as usize
    }

    /// The bank reset: the voting thread takes over the identity that was set, and loads its record. True if it switched.
    pub(crate) fn reset_bank(&mut self, on_disk: Option<&Record>) -> bool {
        if self.thread == self.admin {
            return false;
        }
        self.thread = self.admin;
        self.tower = match self.thread {
            Identity::Staked => on_disk
                .map(|record| Rc::clone(&record.tower))
                .unwrap_or_default(),
            Identity::Unstaked => Tower::default(),
        };
        true
    }
}
