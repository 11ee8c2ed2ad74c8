//! The signed part of a Tower BFT record.
//!
//! It begins with identity, threshold depth and size, then a vote state of the 1.14.11 layout, of
//! which a tower fills in only the votes and the root (solana-core `consensus/tower1_14_11.rs`).
//! What follows the root (authorized voters, credits, the last vote instruction, a timestamp) is
//! left unread: it is signed, nothing here depends on it, and a new kind of vote instruction in it
//! must not stop a validator.

use super::reader::Reader;
use super::{Part, RecordError};

/// A full stack pushes its oldest vote out as the root (`MAX_LOCKOUT_HISTORY`).
pub(super) const VOTES_MAX: usize = 31;

/// Threshold depth (8) and size (8).
const THRESHOLDS_LEN: usize = 16;
/// Node (32), withdrawer (32) and commission (1) of the vote state, all unset in a tower.
const ACCOUNT_LEN: usize = 65;
/// Slot (8) and confirmation count (4).
const VOTE_LEN: usize = 12;

/// The stack of votes that still bind the identity, oldest first, slots strictly rising.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tower {
    pub(super) votes: Vec<Lockout>,
    /// All validators write one; the format allows none.
    pub(super) root: Option<u64>,
}

/// One vote of the stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lockout {
    pub(super) slot: u64,
    pub(super) confirmation_count: u32,
}

impl Lockout {
    /// The last slot at which this vote still forbids a vote on another fork: 2 to the power of
    /// the confirmation count after its own (solana-vote-interface `Lockout`).
    pub(super) fn binds_until(self) -> u64 {
        let power = self.confirmation_count.min(VOTES_MAX as u32);
        self.slot.saturating_add(1 << power)
    }
}

/// Reads what follows the identity.
pub(super) fn read(reader: &mut Reader<'_>) -> Result<Tower, RecordError> {
    reader.take(THRESHOLDS_LEN + ACCOUNT_LEN, Part::VoteState)?;
    let count = reader.count(VOTE_LEN, Part::TowerVotes)?;
    if count > VOTES_MAX {
        return Err(RecordError::NonsenseCount {
            part: Part::TowerVotes,
            count: count as u64,
            max: VOTES_MAX,
        });
    }
    let mut votes = Vec::with_capacity(count);
    for _ in 0..count {
        votes.push(read_vote(reader, votes.last())?);
    }
    Ok(Tower {
        votes,
        root: read_root(reader)?,
    })
}

fn read_vote(reader: &mut Reader<'_>, below: Option<&Lockout>) -> Result<Lockout, RecordError> {
    let slot = reader.u64(Part::TowerVotes)?;
    let confirmation_count = reader.u32(Part::TowerVotes)?;
    if below.is_some_and(|below| slot <= below.slot) {
        return Err(RecordError::NonsenseValue {
            part: Part::TowerVotes,
            value: slot,
        });
    }
    Ok(Lockout {
        slot,
        confirmation_count,
    })
}

fn read_root(reader: &mut Reader<'_>) -> Result<Option<u64>, RecordError> {
    match reader.u8(Part::Root)? {
        0 => Ok(None),
        1 => reader.u64(Part::Root).map(Some),
        other => Err(RecordError::NonsenseValue {
            part: Part::Root,
            value: other.into(),
        }),
    }
}
