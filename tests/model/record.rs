//! A vote record with its whole content, small enough to compare and to hash: a vote is a bit.

use validator_supervisor::engine::values::{RecordKind, RecordMark};

pub(crate) const KIND: RecordKind = RecordKind::Tower;

/// The votes that a record, or a validator's memory, knows of. Every vote ever built has a slot of its own, so a slot names a vote.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Votes(u32);

impl Votes {
    pub(crate) fn with(self, slot: u64) -> Self {
        Self(self.0 | 1 << slot)
    }

    pub(crate) fn has(self, slot: u64) -> bool {
        self.0 & 1 << slot != 0
    }

    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(crate) fn slots(self) -> impl Iterator<Item = u64> {
        (1..32).filter(move |slot| self.has(*slot))
    }
}

impl std::fmt::Debug for Votes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.slots()).finish()
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Record {
    pub(crate) mark: RecordMark,
    pub(crate) votes: Votes,
}

impl Record {
    /// Place in the order of all commits.
    pub(crate) fn place(&self) -> (u64, u64) {
        (self.mark.term.0, self.mark.seq)
    }
}

impl std::fmt::Debug for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let RecordMark { term, seq, .. } = self.mark;
        write!(f, "record {seq} of term {term} with votes {:?}", self.votes)
    }
}

pub(crate) fn newest(one: Option<Record>, other: Option<Record>) -> Option<Record> {
    if other.map(|record| record.place()) > one.map(|record| record.place()) {
        other
    } else {
        one
    }
}
