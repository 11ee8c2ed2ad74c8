//! Where terms come from: a single node's disk, a fenced store, or the other nodes; and who answers what a supervisor asks.

use crate::world::World;
use validator_supervisor::engine::AuthorityTraits;
use validator_supervisor::engine::values::{OpId, Term};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Authority {
    Local,
    Store,
    Peers,
}

/// What a supervisor wants of the term. Wishes of one node are granted one after the other.
#[derive(Clone, Debug)]
pub(crate) enum Wish {
    Acquire { regardless: bool },
    Release { term: Term, to_nobody: bool },
    Pass { term: Term, to: usize },
    Confirm { term: Term },
}

impl Authority {
    pub(crate) fn traits(self) -> AuthorityTraits {
        AuthorityTraits {
            alone: self == Self::Local,
            passes: self != Self::Local,
            leased: self == Self::Store,
        }
    }
}

impl World {
    /// A supervisor has started.
    pub(crate) fn join_authority(&mut self, node: usize, life: u64) {
        match self.authority {
            Authority::Local => {}
            Authority::Store => self.join_store(node, life),
            Authority::Peers => self.join_peers(node, life),
        }
    }

    /// A supervisor has ended.
    pub(crate) fn leave_authority(&mut self, node: usize) {
        if self.authority == Authority::Peers {
            self.leave_peers(node);
        }
    }

    pub(crate) fn ask_authority(&mut self, node: usize, op: OpId, wish: Wish) {
        match self.authority {
            Authority::Local => self.ask_local(node, op, &wish),
            Authority::Store => self.ask_store(node, op, wish),
            Authority::Peers => self.ask_peers(node, op, wish),
        }
    }

    /// The vote that waits in the gate.
    pub(crate) fn commit(&mut self, node: usize) {
        let Some(sup) = &self.nodes[node].sup else {
            return;
        };
        let (Some(waiting), life) = (sup.gate.waiting.clone(), sup.life) else {
            return;
        };
        match self.authority {
            Authority::Local => self.commit_to_disk(node, life, &waiting),
            Authority::Store => self.commit_to_store(node, waiting),
            Authority::Peers => self.commit_to_peers(node, waiting),
        }
    }
}
