//! The signed part of an Alpenglow record (agave-votor `vote_history.rs`).
//!
//! After the identity come the sets of slots and blocks voted for, then every vote cast since the
//! root, then what certificates have told, then the root. Only the votes cast and the root are
//! kept: the sets before them are summaries of the votes, and the certificates bind nobody. The
//! data must end with the root, because a field added anywhere would make the root another number.

use super::reader::Reader;
use super::{Part, RecordError};

const SLOT_LEN: usize = 8;
const HASH_LEN: usize = 32;
/// A set or list without items: its length.
const LIST_LEN_MIN: usize = 8;
/// A vote without a block: tag (1), slot (8), shred version (2).
const CAST_LEN_MIN: usize = 11;

/// Votes made room for before they are seen.
const ROOM_VOTES_MAX: usize = 1024;

/// What was voted since the root, sorted, so that one pass compares two histories. The real file
/// lists it in no particular order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct History {
    pub(super) votes: Vec<CastVote>,
    pub(super) root: u64,
}

/// One vote. Its shred version is left out: a stored vote carries 0 and is signed anew when sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct CastVote {
    pub(super) slot: u64,
    pub(super) ballot: Ballot,
}

/// What was said of the slot; the array is a block id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Ballot {
    Notarize([u8; 32]),
    Finalize,
    Skip,
    NotarizeFallback([u8; 32]),
    SkipFallback,
    Genesis([u8; 32]),
}

impl Ballot {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Notarize(_) => "notarize",
            Self::Finalize => "finalize",
            Self::Skip => "skip",
            Self::NotarizeFallback(_) => "notarize-fallback",
            Self::SkipFallback => "skip-fallback",
            Self::Genesis(_) => "genesis",
        }
    }
}

/// Reads what follows the identity, to the end.
pub(super) fn read(reader: &mut Reader<'_>) -> Result<History, RecordError> {
    skip_list(reader, SLOT_LEN, Part::SlotSets)?; // voted
    skip_list(reader, SLOT_LEN + HASH_LEN, Part::BlockSets)?; // notarized
    skip_lists_by_slot(reader, HASH_LEN, Part::BlockSets)?; // notarize fallback
    skip_list(reader, SLOT_LEN, Part::SlotSets)?; // skip fallback
    skip_list(reader, SLOT_LEN, Part::SlotSets)?; // skipped in any way
    skip_list(reader, SLOT_LEN, Part::SlotSets)?; // finalized
    let votes = read_votes(reader)?;
    skip_list(reader, SLOT_LEN + HASH_LEN, Part::Certificates)?; // notarized by all
    skip_lists_by_slot(reader, SLOT_LEN + HASH_LEN, Part::Certificates)?; // parents ready
    let root = reader.u64(Part::Root)?;
    match reader.left() {
        0 => Ok(History { votes, root }),
        extra => Err(RecordError::TrailingBytes { extra }),
    }
}

fn skip_list(reader: &mut Reader<'_>, item_len: usize, part: Part) -> Result<(), RecordError> {
    let count = reader.count(item_len, part)?;
    // In range: `count` items of this length were seen to fit into what is left.
    reader.take(count * item_len, part)?;
    Ok(())
}

fn skip_lists_by_slot(
    reader: &mut Reader<'_>,
    item_len: usize,
    part: Part,
) -> Result<(), RecordError> {
    for _ in 0..reader.count(SLOT_LEN + LIST_LEN_MIN, part)? {
        reader.take(SLOT_LEN, part)?;
        skip_list(reader, item_len, part)?;
    }
    Ok(())
}

fn read_votes(reader: &mut Reader<'_>) -> Result<Vec<CastVote>, RecordError> {
    let slots = reader.count(SLOT_LEN + LIST_LEN_MIN, Part::VotesCast)?;
    // A slot has two votes as a rule, and histories are short: a long one grows as it is read.
    let mut votes = Vec::with_capacity((slots * 2).min(ROOM_VOTES_MAX));
    for _ in 0..slots {
        reader.take(SLOT_LEN, Part::VotesCast)?; // repeated in each vote
        for _ in 0..reader.count(CAST_LEN_MIN, Part::VotesCast)? {
            votes.push(read_vote(reader)?);
        }
    }
    votes.sort_unstable();
    votes.dedup();
    Ok(votes)
}

fn read_vote(reader: &mut Reader<'_>) -> Result<CastVote, RecordError> {
    let part = Part::VotesCast;
    let tag = reader.u8(part)?;
    let slot = reader.u64(part)?;
    let ballot = match tag {
        1 => Ballot::Notarize(reader.array(part)?),
        2 => Ballot::Finalize,
        3 => Ballot::Skip,
        4 => Ballot::NotarizeFallback(reader.array(part)?),
        5 => Ballot::SkipFallback,
        6 => Ballot::Genesis(reader.array(part)?),
        _ => {
            return Err(RecordError::NonsenseValue {
                part,
                value: tag.into(),
            });
        }
    };
    reader.take(2, part)?; // shred version
    Ok(CastVote { slot, ballot })
}
