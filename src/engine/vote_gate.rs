//! The decision about one vote at the gate: under which term it may be committed, or why it is refused.
//!
//! Pure and tiny, so that the thread that serves the gate and the simulation decide by the same code. It neither commits
//! nor waits, and it never decides that a vote was committed: only the authority's answer does, through [`VoteGate::committed`].

use super::values::{Millis, RecordKind, RecordMark, Term};
use std::fmt;

/// What the gate knows between two votes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct VoteGate {
    open: Option<Term>,
    last: Option<RecordMark>,
    /// The highest number that was given to a vote.
    numbered: u64,
    lease_until: Option<Millis>,
}

/// Why a vote is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// No term is held here.
    Closed,
    /// The record goes back behind what was committed.
    Rollback { slot: u64, last: u64 },
    /// It was committed, and the answer came, or was seen, after the lease had ended.
    LeaseOver { late_ms: u64 },
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("this node holds no term"),
            Self::Rollback { slot, last } => {
                write!(
                    f,
                    "its record ends at slot {slot}, and slot {last} was committed: replayed or rolled back"
                )
            }
            Self::LeaseOver { late_ms } => write!(
                f,
                "its commit was seen {late_ms} ms after the end of the lease"
            ),
        }
    }
}

impl VoteGate {
    /// Lets votes begin under `term`, none of which may go behind `last`, nor behind what was committed here before.
    pub fn open(&mut self, term: Term, last: Option<RecordMark>) {
        if self.open != Some(term) {
            self.lease_until = None;
        }
        self.open = Some(term);
        self.last = newer(self.last, last);
    }

    /// Lets no vote begin.
    pub fn close(&mut self) {
        self.open = None;
    }

    /// The lease of the open term lasts until then; without one, a term has no end.
    pub fn lease(&mut self, until: Millis) {
        self.lease_until = self.lease_until.max(Some(until));
    }

    /// Whether a committed vote may still leave: a process or a machine that stood still must not send one out of the past.
    ///
    /// # Errors
    /// [`Refusal::LeaseOver`].
    pub fn may_leave(&self, now: Millis) -> Result<(), Refusal> {
        match self.lease_until {
            Some(until) if now > until => Err(Refusal::LeaseOver {
                late_ms: now.since(until),
            }),
            _ => Ok(()),
        }
    }

    /// The last committed record.
    #[must_use]
    pub fn last(&self) -> Option<RecordMark> {
        self.last
    }

    /// The term votes may begin under.
    #[must_use]
    pub fn term(&self) -> Option<Term> {
        self.open
    }

    /// The mark to commit a record under that ends at `slot`. No two votes get the same: one whose commit came to nothing may
    /// still be found committed when the next one comes.
    ///
    /// # Errors
    /// The reason to refuse the vote.
    pub fn admit(&mut self, kind: RecordKind, slot: u64) -> Result<RecordMark, Refusal> {
        let term = self.open.ok_or(Refusal::Closed)?;
        // A chain that moves to Alpenglow votes anew for slots that its last towers had voted for.
        let last = self
            .last
            .filter(|mark| mark.kind == kind)
            .map_or(0, |mark| mark.slot);
        if slot < last {
            return Err(Refusal::Rollback { slot, last });
        }
        let seq = self.last.map_or(0, |mark| mark.seq).max(self.numbered) + 1;
        self.numbered = seq;
        Ok(RecordMark {
            term,
            seq,
            slot,
            kind,
        })
    }

    /// The authority has answered that `mark` is committed. An answer that was overtaken changes nothing.
    pub fn committed(&mut self, mark: RecordMark) {
        self.last = newer(self.last, Some(mark));
    }
}

fn newer(one: Option<RecordMark>, other: Option<RecordMark>) -> Option<RecordMark> {
    let place = |mark: RecordMark| (mark.term, mark.seq);
    if other.map(place) > one.map(place) {
        other
    } else {
        one
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOWER: RecordKind = RecordKind::Tower;

    #[test]
    fn a_closed_gate_admits_nothing() {
        let mut gate = VoteGate::default();
        assert_eq!(gate.admit(TOWER, 5), Err(Refusal::Closed));
        gate.open(Term(1), None);
        gate.close();
        assert_eq!(gate.admit(TOWER, 5), Err(Refusal::Closed));
    }

    #[test]
    fn commits_are_numbered_on_from_the_installed_record() {
        let mut gate = VoteGate::default();
        gate.open(
            Term(3),
            Some(RecordMark {
                term: Term(2),
                seq: 41,
                slot: 100,
                kind: TOWER,
            }),
        );
        let mark = gate.admit(TOWER, 101);
        assert_eq!(
            mark,
            Ok(RecordMark {
                term: Term(3),
                seq: 42,
                slot: 101,
                kind: TOWER
            })
        );
    }

    #[test]
    fn a_committed_vote_does_not_leave_after_the_lease() {
        let mut gate = VoteGate::default();
        gate.open(Term(1), None);
        assert_eq!(gate.may_leave(Millis(u64::MAX)), Ok(()));
        gate.lease(Millis(500));
        gate.lease(Millis(400));
        assert_eq!(gate.may_leave(Millis(500)), Ok(()));
        assert_eq!(
            gate.may_leave(Millis(503)),
            Err(Refusal::LeaseOver { late_ms: 3 })
        );
        gate.open(Term(2), None);
        assert_eq!(gate.may_leave(Millis(503)), Ok(()));
    }

    #[test]
    fn an_admitted_vote_counts_only_when_committed() {
        let mut gate = VoteGate::default();
        gate.open(Term(1), None);
        let first = gate.admit(TOWER, 9);
        assert_eq!(gate.admit(TOWER, 8).map(|mark| mark.seq), Ok(2));
        gate.committed(first.unwrap_or(RecordMark {
            term: Term(0),
            seq: 0,
            slot: 0,
            kind: TOWER,
        }));
        assert_eq!(
            gate.admit(TOWER, 8),
            Err(Refusal::Rollback { slot: 8, last: 9 })
        );
        assert_eq!(gate.admit(TOWER, 9).map(|mark| mark.seq), Ok(3));
    }

    #[test]
    fn the_first_vote_history_may_end_below_the_last_tower() {
        let mut gate = VoteGate::default();
        gate.open(
            Term(1),
            Some(RecordMark {
                term: Term(1),
                seq: 1,
                slot: 900,
                kind: TOWER,
            }),
        );
        assert_eq!(
            gate.admit(RecordKind::VoteHistory, 800)
                .map(|mark| mark.seq),
            Ok(2)
        );
    }
}
