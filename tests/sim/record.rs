//! A vote record with its whole content, so that the judge can see what a mark alone hides.

use std::rc::Rc;
use validator_supervisor::engine::values::RecordMark;

/// One vote: its slot, and which of the slot's two votes it is under Alpenglow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Vote {
    pub(crate) slot: u64,
    pub(crate) phase: u8,
}

/// Every vote up to and including the last.
pub(crate) type Tower = Rc<Vec<Vote>>;

#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) mark: RecordMark,
    pub(crate) tower: Tower,
}

impl std::fmt::Debug for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let RecordMark {
            term, seq, slot, ..
        } = self.mark;
        write!(
            f,
            "Record(term {term}, seq {seq}, slot {slot}, {} votes)",
            self.tower.len()
        )
    }
}

impl Record {
    /// Place in the order of all commits.
    pub(crate) fn place(&self) -> (u64, u64) {
        (self.mark.term.0, self.mark.seq)
    }
}

pub(crate) fn newest(one: Option<Record>, other: Option<Record>) -> Option<Record> {
    if other.as_ref().map(Record::place) > one.as_ref().map(Record::place) {
        other
    } else {
        one
    }
}
