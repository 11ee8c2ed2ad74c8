//! The votes of Alpenglow: what a node has cast for each slot, and which votes exclude each other.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// A block id, base-58.
pub type BlockId = String;

/// One Alpenglow vote.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Vote {
    Notarize { slot: u64, block: BlockId },
    Finalize { slot: u64 },
    Skip { slot: u64 },
    NotarizeFallback { slot: u64, block: BlockId },
    SkipFallback { slot: u64 },
}

impl Vote {
    #[must_use]
    pub fn slot(&self) -> u64 {
        match self {
            Self::Notarize { slot, .. }
            | Self::Finalize { slot }
            | Self::Skip { slot }
            | Self::NotarizeFallback { slot, .. }
            | Self::SkipFallback { slot } => *slot,
        }
    }

    /// Whether one node may not send both. Symmetric. The pairs are those for which agave-votor's
    /// consensus pool refuses the second vote (`common.rs`, `conflicting_types`), and a second block
    /// notarized in a slot.
    #[must_use]
    pub fn excludes(&self, other: &Self) -> bool {
        self.slot() == other.slot()
            && (self.excludes_one_way(other) || other.excludes_one_way(self))
    }

    fn excludes_one_way(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Notarize { block: one, .. }, Self::Notarize { block: two, .. }) => one != two,
            (Self::Notarize { block: one, .. }, Self::NotarizeFallback { block: two, .. }) => {
                one == two
            }
            (Self::Notarize { .. } | Self::SkipFallback { .. }, Self::Skip { .. }) => true,
            (
                Self::Finalize { .. },
                Self::Skip { .. } | Self::SkipFallback { .. } | Self::NotarizeFallback { .. },
            ) => true,
            _ => false,
        }
    }
}

impl fmt::Display for Vote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Notarize { slot, block } => write!(f, "notarize {slot} {block}"),
            Self::Finalize { slot } => write!(f, "finalize {slot}"),
            Self::Skip { slot } => write!(f, "skip {slot}"),
            Self::NotarizeFallback { slot, block } => write!(f, "notarize-fallback {slot} {block}"),
            Self::SkipFallback { slot } => write!(f, "skip-fallback {slot}"),
        }
    }
}

/// Everything cast for the slots from `root` on, in the order in which it was cast.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    pub root: u64,
    pub cast: BTreeMap<u64, Vec<Vote>>,
}

impl History {
    /// Records `vote`. False, and nothing changes, when it was cast already, excludes one that was,
    /// or is older than the root.
    pub fn vote(&mut self, vote: &Vote) -> bool {
        let cast = self.cast.get(&vote.slot());
        let barred = |other: &Vote| other == vote || other.excludes(vote);
        if vote.slot() < self.root || cast.is_some_and(|votes| votes.iter().any(barred)) {
            return false;
        }
        self.cast.entry(vote.slot()).or_default().push(vote.clone());
        true
    }

    /// Forgets the slots below `root`.
    pub fn set_root(&mut self, root: u64) {
        self.root = self.root.max(root);
        self.cast = self.cast.split_off(&self.root);
    }

    #[must_use]
    pub fn votes(&self) -> BTreeSet<Vote> {
        self.cast.values().flatten().cloned().collect()
    }
}
