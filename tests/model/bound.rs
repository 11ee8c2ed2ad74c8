//! How far a run looks: what may happen at most, and how often.

use std::fmt;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bound {
    pub(crate) nodes: usize,
    /// Votes built.
    pub(crate) votes: usize,
    /// Faults, of whatever kind.
    pub(crate) faults: u8,
    /// How often a clock moves on by a stage of its node's lease: renewed, due for a renewal, in its margin, over.
    pub(crate) rounds: u8,
    /// What operators and gossip ask for: a handover, a promotion, a confirmation.
    pub(crate) commands: u8,
    /// Messages under way at once.
    pub(crate) messages: usize,
}

impl Bound {
    /// One vote from before, and the one with which the first holder begins.
    pub(crate) const FIRST_VOTES: usize = 2;
    /// How often, between two stages of its lease, a node waits a moment: for a restart, for the next try of a takeover or of the
    /// return of a stray term.
    pub(crate) const MOMENTS: u64 = 1;

    pub(crate) const fn new(
        nodes: usize,
        votes: usize,
        faults: u8,
        rounds: u8,
        commands: u8,
    ) -> Self {
        Self {
            nodes,
            votes,
            faults,
            rounds,
            commands,
            messages: 5,
        }
    }

    /// Nodes, votes, faults, stages and commands, with commas between.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let numbers: Option<Vec<u8>> = text.split(',').map(|n| n.parse().ok()).collect();
        match numbers?[..] {
            [nodes, votes, faults, rounds, commands] => Some(Self::new(
                nodes.into(),
                votes.into(),
                faults,
                rounds,
                commands,
            )),
            _ => None,
        }
    }

    /// So many faults and stages more.
    pub(crate) fn deeper(self, by: u8) -> Self {
        let (faults, rounds) = (self.faults + by, self.rounds + by);
        Self {
            faults,
            rounds,
            ..self
        }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} nodes, {} votes, {} faults, {} stages of a lease, {} commands, {} messages under way",
            self.nodes, self.votes, self.faults, self.rounds, self.commands, self.messages
        )
    }
}

/// What `cargo test` looks at: everything within each of these.
pub(crate) const QUICK: &[Bound] = &[
    Bound::new(2, 2, 1, 0, 0),
    Bound::new(2, 1, 1, 0, 1),
    Bound::new(2, 1, 0, 4, 1),
    Bound::new(3, 1, 0, 3, 0),
    Bound::new(3, 1, 1, 0, 0),
];

/// Further, in minutes and gigabytes.
pub(crate) const DEEP: &[Bound] = &[
    Bound::new(2, 0, 2, 0, 0),
    Bound::new(2, 1, 1, 2, 0),
    Bound::new(2, 1, 0, 5, 1),
    Bound::new(3, 1, 0, 4, 0),
];
