//! The tower of Tower BFT: the votes a node is bound by, and for how many slots.
//!
//! A vote for slot `s` with confirmation count `c` binds until slot `s + 2^c`. A new vote drops what
//! has expired, and every vote that has as many votes above it as it has confirmations doubles.
//! No forks here: the stand-in chain has one.

use serde::{Deserialize, Serialize};

/// Most votes a tower holds; the oldest becomes the root when another one comes.
pub const DEPTH_MAX: usize = 31;

/// A vote and how often it was confirmed by later ones, 1 to 31.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Lockout {
    pub slot: u64,
    pub confirmations: u32,
}

impl Lockout {
    /// The last slot for which a vote on another fork is forbidden.
    #[must_use]
    pub fn last_locked_slot(&self) -> u64 {
        self.slot
            .saturating_add(1u64 << self.confirmations.min(DEPTH_MAX as u32))
    }
}

/// Oldest vote first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Tower {
    pub votes: Vec<Lockout>,
    pub root: Option<u64>,
}

impl Tower {
    #[must_use]
    pub fn last_slot(&self) -> Option<u64> {
        self.votes.last().map(|vote| vote.slot)
    }

    /// Votes for `slot`. False, and nothing changes, when `slot` is not above the last one.
    pub fn vote(&mut self, slot: u64) -> bool {
        if self.last_slot().is_some_and(|last| slot <= last) {
            return false;
        }
        while self
            .votes
            .last()
            .is_some_and(|vote| vote.last_locked_slot() < slot)
        {
            self.votes.pop();
        }
        if self.votes.len() == DEPTH_MAX {
            self.root = Some(self.votes.remove(0).slot);
        }
        self.votes.push(Lockout {
            slot,
            confirmations: 1,
        });
        self.deepen();
        true
    }

    fn deepen(&mut self) {
        let depth = self.votes.len();
        for (position, vote) in self.votes.iter_mut().enumerate() {
            if depth > position + vote.confirmations as usize {
                vote.confirmations += 1;
            }
        }
    }
}
