//! Vote records: reading, verifying and ordering the file that a validator writes before it votes.
//!
//! Two kinds share one frame, `version tag (u32) | signature (64) | length (u64) | data`, all
//! little-endian (solana-core `consensus/tower_storage.rs`, agave-votor `vote_history_storage.rs`).
//! This module judges one record, and one record against the last. It touches no file, keeps no
//! bytes, and does not ask whether the votes in a record agree with each other: that is the
//! validator's own business.
//!
//! It runs once for every vote. A record is read in place; the only allocation is the list of its
//! votes, and no length that the input merely claims is ever believed.

mod error;
mod history;
mod order;
mod reader;
mod tower;

use std::fmt;

use ed25519_dalek::{Signature, VerifyingKey};
use sha2::{Digest, Sha256};

pub use self::error::{Part, RecordError};
use self::history::History;
pub use self::order::{RollbackError, may_follow};
use self::reader::Reader;
use self::tower::Tower;
use super::pubkey::Pubkey;
use crate::engine::values::RecordKind;

/// What a record says, and what [`may_follow`] needs of it. The bytes stay with the caller.
#[derive(Clone, PartialEq, Eq)]
pub struct VoteRecord {
    pub kind: RecordKind,
    /// Who signed it.
    pub identity: Pubkey,
    /// The highest slot voted for. A record that holds no vote answers its root, below which all is
    /// settled, and 0 without a root: slot 0 is genesis, for which nobody votes.
    pub last_slot: u64,
    /// Of the whole file.
    pub sha256: [u8; 32],
    body: Body,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Body {
    Tower(Tower),
    History(History),
}

impl VoteRecord {
    /// The slot up to which everything is settled; a tower may have none.
    #[must_use]
    pub fn root(&self) -> Option<u64> {
        match &self.body {
            Body::Tower(tower) => tower.root,
            Body::History(history) => Some(history.root),
        }
    }

    /// Number of votes it holds: at most 31 in a tower, those since the root in a vote history.
    #[must_use]
    pub fn votes(&self) -> usize {
        match &self.body {
            Body::Tower(tower) => tower.votes.len(),
            Body::History(history) => history.votes.len(),
        }
    }
}

/// Leaves out the votes: a history may hold thousands.
impl fmt::Debug for VoteRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VoteRecord")
            .field("kind", &self.kind)
            .field("identity", &self.identity)
            .field("last_slot", &self.last_slot)
            .field("root", &self.root())
            .field("votes", &self.votes())
            .finish_non_exhaustive()
    }
}

/// The name a validator gives the record in its tower directory. It writes to this name with
/// `.new` behind it (`.bin.new`), then renames.
#[must_use]
pub fn file_name(kind: RecordKind, identity: &Pubkey) -> String {
    match kind {
        RecordKind::Tower => format!("tower-1_9-{identity}.bin"),
        RecordKind::VoteHistory => format!("vote_history-{identity}.bin"),
    }
}

/// The most bytes that are read as a record of this kind.
///
/// A full tower has about 2.4 kB, and one that carries a whole vote account under 5 kB. A vote
/// history grows by at most about 250 bytes for each slot since the root, which trails by seconds:
/// the cap is 33,000 slots, over three hours of a cluster that finalizes nothing. Beyond it, memory
/// and the time of a commit are no longer those of a vote.
#[must_use]
pub const fn len_max(kind: RecordKind) -> usize {
    match kind {
        RecordKind::Tower => 16 << 10,
        RecordKind::VoteHistory => 8 << 20,
    }
}

/// Reads a record, and verifies that `expected` wrote and signed it.
///
/// # Errors
/// Anything that is not a record of this kind, of this identity, whole, unchanged and in a known
/// version. No input panics.
pub fn parse(kind: RecordKind, bytes: &[u8], expected: &Pubkey) -> Result<VoteRecord, RecordError> {
    if bytes.len() > len_max(kind) {
        return Err(RecordError::Oversized {
            kind,
            len: bytes.len(),
            max: len_max(kind),
        });
    }
    let data = verified_data(kind, bytes, expected)?;
    let mut reader = Reader::new(data);
    reader.take(expected.as_bytes().len(), Part::Identity)?;
    let (body, last_slot) = match kind {
        RecordKind::Tower => {
            let tower = tower::read(&mut reader)?;
            let last_slot = tower.votes.last().map(|vote| vote.slot).or(tower.root);
            (Body::Tower(tower), last_slot.unwrap_or(0))
        }
        RecordKind::VoteHistory => {
            let history = history::read(&mut reader)?;
            let last_slot = history.votes.last().map_or(history.root, |vote| vote.slot);
            (Body::History(history), last_slot)
        }
    };
    Ok(VoteRecord {
        kind,
        identity: *expected,
        last_slot,
        sha256: Sha256::digest(bytes).into(),
        body,
    })
}

/// Opens the frame. Nothing but the identity is read from data before its signature is known good.
fn verified_data<'a>(
    kind: RecordKind,
    bytes: &'a [u8],
    expected: &Pubkey,
) -> Result<&'a [u8], RecordError> {
    let mut reader = Reader::new(bytes);
    let tag = reader.u32(Part::Version)?;
    let known = version(kind);
    if tag != known {
        return Err(RecordError::UnknownVersion { kind, tag, known });
    }
    let signature = Signature::from_bytes(&reader.array(Part::Signature)?);
    let len = reader.count(1, Part::Length)?;
    let data = reader.take(len, Part::Length)?;
    if reader.left() > 0 {
        return Err(RecordError::TrailingBytes {
            extra: reader.left(),
        });
    }
    let found = Pubkey::new(Reader::new(data).array(Part::Identity)?);
    if found != *expected {
        return Err(RecordError::WrongIdentity {
            found,
            expected: *expected,
        });
    }
    verify(data, &signature, expected)?;
    Ok(data)
}

/// The version tag that validators write. Tower tag 0 is the layout before 1.14: whatever it still
/// locks out has long expired, and reading it would let a flipped bit in the tag, which no
/// signature covers, pass.
const fn version(kind: RecordKind) -> u32 {
    match kind {
        RecordKind::Tower => 1,
        RecordKind::VoteHistory => 0,
    }
}

/// The validator loads only what passes strict verification (solana-signature `Signature::verify`),
/// so a record that passes here is one that the next holder can start from.
fn verify(data: &[u8], signature: &Signature, identity: &Pubkey) -> Result<(), RecordError> {
    VerifyingKey::from_bytes(identity.as_bytes())
        .and_then(|key| key.verify_strict(data, signature))
        .map_err(|_| RecordError::WrongSignature {
            identity: *identity,
        })
}
