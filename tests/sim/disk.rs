//! What is on one machine's disk.

use crate::record::{Record, newest};
use validator_supervisor::engine::ballot::Ballot;

/// Survives everything but its owner's mistakes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    pub(crate) parked: bool,
    /// The authority `local`: its term, and whether it is held.
    pub(crate) term: u64,
    pub(crate) holds: bool,
    /// The authority `peer`: what this node has promised.
    pub(crate) ballot: Ballot,
    pub(crate) record: Option<Record>,
    pub(crate) failing: bool,
}

impl Disk {
    pub(crate) fn keep(&mut self, record: Option<Record>) {
        self.record = newest(self.record.take(), record);
    }
}
