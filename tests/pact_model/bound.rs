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
    /// When it begins, the first and the last of three nodes are off, and every cable is cut. The first one has ended its term; with
    /// the last one as its heir, or without one.
    pub(crate) off: Option<bool>,
}

impl Bound {
    pub(crate) const fn new(nodes: usize, votes: u8, faults: u8, asks: u8) -> Self {
        Self {
            nodes,
            votes,
            faults,
            asks,
            alone: false,
            off: None,
        }
    }

    pub(crate) const fn off(self, named: bool) -> Self {
        Self {
            off: Some(named),
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
                off: None,
            }),
            _ => None,
        }
    }
}
