//! Alpenglow: for each slot, no two votes that exclude each other, and no vote cast by two instances.

use super::Rule;
use super::trial::name;
use crate::history::Vote;
use crate::wire::{Instance, SentVote};
use std::collections::BTreeMap;

/// Everything sent so far, by slot, with the first sender of each vote.
#[derive(Debug, Default)]
pub(super) struct Reference {
    sent: BTreeMap<u64, Vec<(Vote, Instance)>>,
}

impl Reference {
    pub(super) fn has_votes(&self) -> bool {
        !self.sent.is_empty()
    }

    /// The same vote sent again by the same instance is no finding: nodes refresh their votes.
    pub(super) fn take(&mut self, sent: &SentVote, cast: &Vote) -> Vec<(Rule, String)> {
        let earlier = self.sent.entry(cast.slot()).or_default();
        let found = earlier
            .iter()
            .filter_map(|(other, by)| judge_pair(sent, cast, other, by))
            .collect();
        if !earlier.iter().any(|(other, _)| other == cast) {
            earlier.push((cast.clone(), sent.instance.clone()));
        }
        found
    }
}

fn judge_pair(sent: &SentVote, cast: &Vote, other: &Vote, by: &Instance) -> Option<(Rule, String)> {
    let (sender, by_node) = (name(&sent.instance), name(by));
    if other.excludes(cast) {
        return Some((
            Rule::Conflict,
            format!("{sender} sent `{cast}` after {by_node} sent `{other}`"),
        ));
    }
    (other == cast && *by != sent.instance).then(|| {
        (
            Rule::TwoVoters,
            format!("{by_node} and {sender} both sent `{cast}`"),
        )
    })
}
