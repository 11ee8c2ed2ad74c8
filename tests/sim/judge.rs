//! The judge: sees everything, helps nobody, and names the invariant of the design that an event broke.

use crate::record::{Record, Tower, Vote};
use std::collections::BTreeMap;
use validator_supervisor::engine::values::Term;

#[derive(Clone, Debug, Default)]
pub(crate) struct Judge {
    /// Every commit that the authority made durable, by its place.
    committed: BTreeMap<(u64, u64), Tower>,
    /// The records that later holders started from.
    starts: BTreeMap<Term, Tower>,
    pub(crate) sent: Vec<Sent>,
}

#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) at: u64,
    pub(crate) node: usize,
    pub(crate) vote: Vote,
    place: (u64, u64),
    tower: Tower,
}

impl Judge {
    /// The authority has made `record` durable; `current` says whether its term was the one held.
    pub(crate) fn committed(
        &mut self,
        record: &Record,
        current: bool,
        before: Option<&Record>,
    ) -> Result<(), String> {
        if !current {
            return Err(format!(
                "I1: a commit under term {} that is not held",
                record.mark.term
            ));
        }
        let back = before.is_some_and(|before| {
            before.place() > record.place() || before.mark.slot > record.mark.slot
        });
        if back {
            return Err(format!(
                "I4: the stored record goes back to {:?}",
                record.mark
            ));
        }
        self.committed.insert(record.place(), record.tower.clone());
        Ok(())
    }

    /// A node is about to vote under `term`, from `record`.
    pub(crate) fn started(&mut self, term: Term, record: Option<&Record>) -> Result<(), String> {
        let tower = record
            .map(|record| record.tower.clone())
            .unwrap_or_default();
        if let Some(missing) = self.sent.iter().find(|sent| !knows(&tower, sent.vote)) {
            return Err(format!(
                "I1: term {term} starts from a record without {missing:?}"
            ));
        }
        self.starts.insert(term, tower);
        Ok(())
    }

    /// A vote has left a machine.
    pub(crate) fn sent(&mut self, at: u64, node: usize, record: &Record) -> Result<(), String> {
        let Some(vote) = record.tower.last().copied() else {
            return Err("an empty vote".into());
        };
        if self.committed.get(&record.place()) != Some(&record.tower) {
            return Err(format!(
                "I1: {vote:?} of node {node} was sent and not committed"
            ));
        }
        let later = self
            .starts
            .range(Term(record.mark.term.0 + 1)..)
            .find(|(_, tower)| !knows(tower, vote));
        if let Some((term, _)) = later {
            return Err(format!(
                "I1: {vote:?} of node {node} is not in the record that term {term} started from"
            ));
        }
        // In the order of their records each vote knows all before it, however late one of them leaves.
        let place = record.place();
        let before = self
            .sent
            .iter()
            .rev()
            .find(|sent| sent.place < place && !knows(&record.tower, sent.vote));
        if let Some(forgotten) = before {
            return Err(format!(
                "I2: {vote:?} of node {node} was built without knowing of {forgotten:?}"
            ));
        }
        let wrong = |sent: &&Sent| {
            (sent.place < place) != (sent.vote < vote)
                || !(sent.place < place || knows(&sent.tower, vote))
        };
        if let Some(other) = self.sent.iter().rev().find(wrong) {
            return Err(format!("I2: {vote:?} of node {node} contradicts {other:?}"));
        }
        let tower = record.tower.clone();
        self.sent.push(Sent {
            at,
            node,
            vote,
            place,
            tower,
        });
        Ok(())
    }
}

/// Votes are in the order of their slots.
fn knows(tower: &Tower, vote: Vote) -> bool {
    tower.binary_search(&vote).is_ok()
}
