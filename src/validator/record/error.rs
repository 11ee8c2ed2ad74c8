//! Why bytes are not a vote record that this supervisor accepts.

use std::fmt;

use crate::engine::values::RecordKind;
use crate::validator::pubkey::Pubkey;

/// Why [`super::parse`] refuses a record. Nothing is changed by a refused one: the last committed
/// record stays the one to go on from.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    #[error(
        "vote record ends inside its {part}: {needed} bytes needed at offset {at}, {left} left; \
         the write was cut short or the disk is full, use the last committed record"
    )]
    Truncated {
        part: Part,
        at: usize,
        needed: usize,
        left: usize,
    },
    #[error(
        "{} record has {len} bytes, at most {max} are accepted; this is not what a validator \
         writes, use the last committed record", kind.name()
    )]
    Oversized {
        kind: RecordKind,
        len: usize,
        max: usize,
    },
    #[error(
        "{} record has version tag {tag}, this supervisor reads {known}; {}", kind.name(),
        version_remedy(*kind, *tag)
    )]
    UnknownVersion {
        kind: RecordKind,
        tag: u32,
        known: u32,
    },
    #[error(
        "vote record has {extra} bytes behind its end, which nobody signed; use the last committed record"
    )]
    TrailingBytes { extra: usize },
    #[error(
        "vote record was written for identity {found}, expected {expected}; point the staked \
         identity and the record at the same key"
    )]
    WrongIdentity { found: Pubkey, expected: Pubkey },
    #[error(
        "vote record is not signed by {identity}: it is damaged or was edited, use the last \
         committed record"
    )]
    WrongSignature { identity: Pubkey },
    #[error(
        "vote record claims {count} items in its {part}, at most {max} are possible; the \
         validator writes another format than this supervisor reads, update the supervisor"
    )]
    NonsenseCount { part: Part, count: u64, max: usize },
    #[error(
        "vote record has {value} in its {part}, which is not in the known format; the validator \
         writes another format than this supervisor reads, update the supervisor"
    )]
    NonsenseValue { part: Part, value: u64 },
}

fn version_remedy(kind: RecordKind, tag: u32) -> &'static str {
    match (kind, tag) {
        (RecordKind::Tower, 0) => {
            "tag 0 was written before 1.14: let a current validator vote once from it"
        }
        _ => {
            "the validator is newer than the supervisor, or the file is damaged: update the supervisor"
        }
    }
}

/// The part of a record in which something is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Version,
    Signature,
    Length,
    Identity,
    VoteState,
    TowerVotes,
    Root,
    SlotSets,
    BlockSets,
    VotesCast,
    Certificates,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Version => "version tag",
            Self::Signature => "signature",
            Self::Length => "data length",
            Self::Identity => "identity",
            Self::VoteState => "vote state",
            Self::TowerVotes => "list of tower votes",
            Self::Root => "root",
            Self::SlotSets => "sets of voted slots",
            Self::BlockSets => "sets of voted blocks",
            Self::VotesCast => "list of votes cast",
            Self::Certificates => "certified blocks",
        })
    }
}
