//! Tower BFT: each tower sent must be a lawful successor of every tower sent before it.
//!
//! The reference is the newest tower sent. The rules are those by which the vote program takes a
//! tower or refuses it (`process_new_vote_state`): slots ascend, confirmations descend, each vote
//! binds at least until the next one; and against the reference, no root goes back, no confirmation
//! is lost, and a vote that is missing had expired when the vote above it was cast. Votes that were
//! recorded and never sent are lawful: they show up in a later tower.

use super::Rule;
use super::trial::name;
use crate::tower::{DEPTH_MAX, Lockout, Tower};
use crate::wire::SentVote;

/// The newest tower sent, and by whom.
#[derive(Debug, Default)]
pub(super) struct Reference {
    newest: Option<(SentVote, Tower, String)>,
}

impl Reference {
    pub(super) fn has_votes(&self) -> bool {
        self.newest.is_some()
    }

    pub(super) fn take(
        &mut self,
        sent: &SentVote,
        tower: &Tower,
        hash: &str,
    ) -> Vec<(Rule, String)> {
        if let Some(what) = malformed(tower) {
            return vec![(
                Rule::MalformedTower,
                format!("{} sent {what}", name(&sent.instance)),
            )];
        }
        let found = match &self.newest {
            Some((earlier, newest, newest_hash)) if tower.last_slot() == newest.last_slot() => {
                let same = tower == newest && hash == newest_hash;
                same_slot(sent, earlier, same).into_iter().collect()
            }
            Some((earlier, newest, _)) => successor(sent, earlier, tower, newest),
            None => Vec::new(),
        };
        let newest_slot = self
            .newest
            .as_ref()
            .and_then(|(_, newest, _)| newest.last_slot());
        if tower.last_slot() > newest_slot {
            self.newest = Some((sent.clone(), tower.clone(), hash.to_owned()));
        }
        found
    }
}

/// A vote for the slot of the newest one: a refresh, if it says the same and comes from the same instance.
fn same_slot(sent: &SentVote, earlier: &SentVote, same: bool) -> Option<(Rule, String)> {
    let slot = sent.content.slot();
    if !same {
        let what = format!(
            "{} sent another vote for slot {slot} than {}",
            name(&sent.instance),
            name(&earlier.instance)
        );
        return Some((Rule::SecondVote, what));
    }
    (sent.instance != earlier.instance).then(|| {
        let what = format!(
            "{} and {} both voted for slot {slot}",
            name(&earlier.instance),
            name(&sent.instance)
        );
        (Rule::TwoVoters, what)
    })
}

fn successor(
    sent: &SentVote,
    earlier: &SentVote,
    tower: &Tower,
    newest: &Tower,
) -> Vec<(Rule, String)> {
    let (slot, newest_slot) = (sent.content.slot(), earlier.content.slot());
    if slot < newest_slot {
        let by = name(&earlier.instance);
        let what = format!(
            "{} voted for slot {slot} after {by} voted for {newest_slot}",
            name(&sent.instance)
        );
        return vec![(Rule::OldSlot, what)];
    }
    let mut found = Vec::new();
    if tower.root < newest.root {
        let what = format!(
            "{} sent root {:?} after {:?}",
            name(&sent.instance),
            tower.root,
            newest.root
        );
        found.push((Rule::RootRollback, what));
    }
    for old in &newest.votes {
        if tower.root.is_some_and(|root| old.slot <= root) {
            continue;
        }
        let kept = tower.votes.iter().find(|vote| vote.slot == old.slot);
        match kept {
            Some(kept) if kept.confirmations < old.confirmations => {
                let (had, has) = (old.confirmations, kept.confirmations);
                let what = format!(
                    "{} sent slot {} with {has} confirmations after {had}",
                    name(&sent.instance),
                    old.slot
                );
                found.push((Rule::ConfirmationRollback, what));
            }
            Some(_) => {}
            None => found.extend(left_out(sent, tower, *old)),
        }
    }
    found
}

/// `old` is not in `tower`: lawful only if it had expired at the slot of the vote cast above it.
fn left_out(sent: &SentVote, tower: &Tower, old: Lockout) -> Option<(Rule, String)> {
    let above = tower.votes.iter().find(|vote| vote.slot > old.slot)?;
    (above.slot <= old.last_locked_slot()).then(|| {
        let (slot, until) = (old.slot, old.last_locked_slot());
        let what = format!(
            "{} voted for slot {} without slot {slot}, which binds until {until}",
            name(&sent.instance),
            above.slot
        );
        (Rule::LockoutViolation, what)
    })
}

/// Confirmations from 31 down to 1 also bound the depth.
fn malformed(tower: &Tower) -> Option<String> {
    if tower.votes.is_empty() {
        return Some("an empty tower".to_owned());
    }
    if let Some(vote) = tower
        .votes
        .iter()
        .find(|vote| !(1..=DEPTH_MAX as u32).contains(&vote.confirmations))
    {
        return Some(format!(
            "slot {} with {} confirmations",
            vote.slot, vote.confirmations
        ));
    }
    // Slot 0 as a root stands for none in a tower that has rooted nothing.
    let root = tower.root.filter(|root| *root > 0);
    if let Some(root) = root.filter(|root| tower.votes[0].slot <= *root) {
        return Some(format!(
            "slot {} at or below its root {root}",
            tower.votes[0].slot
        ));
    }
    tower.votes.windows(2).find_map(|pair| {
        let (lower, upper) = (pair[0], pair[1]);
        let (low, high) = (lower.slot, upper.slot);
        if low >= high {
            Some(format!("slot {high} above slot {low}"))
        } else if lower.confirmations <= upper.confirmations {
            Some(format!(
                "slot {high} with as many confirmations as slot {low} below it"
            ))
        } else if high > lower.last_locked_slot() {
            Some(format!("slot {high} above slot {low}, which had expired"))
        } else {
            None
        }
    })
}
