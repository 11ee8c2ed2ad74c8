//! How far a run looks: what may happen at most, and how often.

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Bound {
    pub(crate) nodes: usize,
    pub(crate) votes: u8,
    /// Cables cut and processes killed.
    pub(crate) faults: u8,
    /// How often a node asks for a term or ends one, beyond the first one of all.
    pub(crate) asks: u8,
    /// A holder votes on without the others. Then nobody may take a term by the proof of its death: what it voted alone is lost.
    pub(crate) alone: bool,
    /// When it begins, the first two nodes do not hear each other, and the second has missed a vote.
    pub(crate) apart: bool,
}

impl Bound {
    pub(crate) const fn new(nodes: usize, votes: u8, faults: u8, asks: u8) -> Self {
        Self {
            nodes,
            votes,
            faults,
            asks,
            alone: false,
            apart: false,
        }
    }

    pub(crate) const fn apart(self) -> Self {
        Self {
            apart: true,
            ..self
        }
    }

    pub(crate) const fn alone(self) -> Self {
        Self {
            alone: true,
            ..self
        }
    }

    /// Nodes, votes, faults and asks, with commas between, and a last one of 1 where a holder votes on alone.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let numbers: Option<Vec<u8>> = text.split(',').map(|n| n.trim().parse().ok()).collect();
        match numbers?[..] {
            [nodes, votes, faults, asks, alone] => Some(Self {
                nodes: nodes.into(),
                votes,
                faults,
                asks,
                alone: alone == 1,
                apart: false,
            }),
            _ => None,
        }
    }
}
