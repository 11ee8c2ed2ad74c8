//! Whether a record may take the place of the last one.
//!
//! A record never goes back: what the last one binds the identity to, the next one must still know,
//! unless it is settled. Only what follows for certain from the two records is refused, because a
//! refusal ends the validator. In particular neither record says which fork a slot is on.
//!
//! **Tower.** Each stored tower is the last one with a newer vote pushed on it. A vote leaves the
//! stack in two ways: its lockout ends before the new slot, or it is at or below the root. (The root
//! also moves when a validator loads the record: everything up to its own root is dropped then.)
//! The confirmation count of a vote in the stack only grows, so a lockout that `last` shows is a
//! lower bound, also when votes between the two records were not seen.
//!
//! **Vote history.** Votes are only added, and forgotten below the root, which only rises. A validator
//! may store the same votes again in another order, and may vote for an older slot after a newer one:
//! the set of votes decides, not the highest slot. A vote for the root slot itself is not asked for,
//! as that slot is finalized.
//!
//! **From tower to vote history** the chain moves once, and any history may follow any tower. Slots say
//! nothing there: the blocks past the Alpenglow genesis are thrown away and their numbers voted
//! for anew, so the first history is older by slot than the last tower. There is no way back: a tower
//! after a history comes from a validator that has not replayed the migration yet.
//!
//! A cluster restarted from an earlier slot (hard fork) makes validators discard their records. Their
//! first vote then is a rollback here, as it must be: the operator has to set the last record aside.

use super::history::{CastVote, History};
use super::tower::Tower;
use super::{Body, VoteRecord};
use crate::validator::pubkey::Pubkey;

const REMEDY: &str = "restore the newest record from the authority and make sure that no other \
                      validator votes with this identity";

/// Why a record must not follow the last one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RollbackError {
    #[error("record of identity {new} cannot follow one of {last}: configure one staked identity")]
    OtherIdentity { new: Pubkey, last: Pubkey },
    #[error("tower ends at slot {new}, the last committed one at slot {last}: {REMEDY}")]
    Older { new: u64, last: u64 },
    #[error("tower differs from the last committed one, which also ends at slot {slot}: {REMEDY}")]
    SameSlot { slot: u64 },
    #[error("root {} is below root {last} of the last committed record: {REMEDY}", root_text(*new))]
    RootBack { new: Option<u64>, last: u64 },
    #[error(
        "tower votes for slot {new_slot} without its vote for slot {slot}, which binds until slot \
         {until}: {REMEDY}"
    )]
    LockoutBroken {
        slot: u64,
        until: u64,
        new_slot: u64,
    },
    #[error(
        "vote history has forgotten its {ballot} vote for slot {slot}, above its root {root}: {REMEDY}"
    )]
    VoteForgotten {
        slot: u64,
        ballot: &'static str,
        root: u64,
    },
    #[error(
        "tower for slot {new_slot} cannot follow a vote history: let the validator replay the \
         migration to Alpenglow before it votes"
    )]
    BackToTower { new_slot: u64 },
}

impl RollbackError {
    /// What is wrong, for a message that has a remedy of its own.
    #[must_use]
    pub fn without_remedy(&self) -> String {
        let text = self.to_string();
        let bare = text
            .strip_suffix(REMEDY)
            .map(|text| text.trim_end_matches(": "));
        bare.map_or(text.clone(), str::to_owned)
    }
}

fn root_text(root: Option<u64>) -> String {
    root.map_or_else(|| "(none)".to_owned(), |root| root.to_string())
}

/// Decides whether `new` may be committed after `last`. The identical file always may.
///
/// # Errors
/// What `last` binds the identity to, and `new` does not honour.
pub fn may_follow(new: &VoteRecord, last: &VoteRecord) -> Result<(), RollbackError> {
    if new.identity != last.identity {
        return Err(RollbackError::OtherIdentity {
            new: new.identity,
            last: last.identity,
        });
    }
    if new.sha256 == last.sha256 {
        return Ok(());
    }
    match (&new.body, &last.body) {
        (Body::Tower(tower), Body::Tower(before)) => {
            slot_rises(new.last_slot, last.last_slot)?;
            root_stays(tower.root, before.root)?;
            lockouts_hold(tower, new.last_slot, before)
        }
        (Body::History(history), Body::History(before)) => {
            root_stays(Some(history.root), Some(before.root))?;
            votes_are_kept(history, before)
        }
        (Body::History(_), Body::Tower(_)) => Ok(()),
        (Body::Tower(_), Body::History(_)) => Err(RollbackError::BackToTower {
            new_slot: new.last_slot,
        }),
    }
}

fn slot_rises(new: u64, last: u64) -> Result<(), RollbackError> {
    match new.cmp(&last) {
        std::cmp::Ordering::Greater => Ok(()),
        std::cmp::Ordering::Equal => Err(RollbackError::SameSlot { slot: new }),
        std::cmp::Ordering::Less => Err(RollbackError::Older { new, last }),
    }
}

fn root_stays(new: Option<u64>, last: Option<u64>) -> Result<(), RollbackError> {
    match last {
        Some(last) if new < Some(last) => Err(RollbackError::RootBack { new, last }),
        _ => Ok(()),
    }
}

fn lockouts_hold(tower: &Tower, new_slot: u64, before: &Tower) -> Result<(), RollbackError> {
    let is_kept = |slot| {
        tower
            .votes
            .binary_search_by_key(&slot, |vote| vote.slot)
            .is_ok()
    };
    for vote in &before.votes {
        let is_settled = Some(vote.slot) <= tower.root || vote.binds_until() < new_slot;
        if !is_settled && !is_kept(vote.slot) {
            return Err(RollbackError::LockoutBroken {
                slot: vote.slot,
                until: vote.binds_until(),
                new_slot,
            });
        }
    }
    Ok(())
}

/// Both lists are sorted, so one pass over each is enough.
fn votes_are_kept(history: &History, before: &History) -> Result<(), RollbackError> {
    let mut kept = history.votes.iter().peekable();
    for vote in before.votes.iter().filter(|vote| vote.slot > history.root) {
        while kept.next_if(|other| *other < vote).is_some() {}
        if kept.peek() != Some(&vote) {
            return Err(forgotten(*vote, history.root));
        }
    }
    Ok(())
}

fn forgotten(vote: CastVote, root: u64) -> RollbackError {
    RollbackError::VoteForgotten {
        slot: vote.slot,
        ballot: vote.ballot.name(),
        root,
    }
}
