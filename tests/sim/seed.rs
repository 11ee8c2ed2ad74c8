//! The name of a run: what kind of world it is, and the number that everything random in it comes from.

use crate::authority::Authority;
use crate::rng::Rng;

/// Written as a number, with a `p` before it for nodes that have nobody above them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Seed {
    pub(crate) peers: bool,
    pub(crate) number: u64,
}

impl Seed {
    pub(crate) const fn store(number: u64) -> Self {
        Self {
            peers: false,
            number,
        }
    }

    pub(crate) const fn peers(number: u64) -> Self {
        Self {
            peers: true,
            number,
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text.strip_prefix('p') {
            Some(number) => number.parse().ok().map(Self::peers),
            None => text.parse().ok().map(Self::store),
        }
    }

    pub(crate) fn rng(self) -> Rng {
        Rng::new(self.number)
    }

    /// Some of the seeds without peers are runs of a single node.
    pub(crate) fn authority(self, rng: &mut Rng) -> Authority {
        match rng.chance(25) {
            _ if self.peers => Authority::Peers,
            true => Authority::Local,
            false => Authority::Store,
        }
    }
}

impl std::fmt::Display for Seed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = if self.peers { "p" } else { "" };
        write!(f, "{kind}{}", self.number)
    }
}
