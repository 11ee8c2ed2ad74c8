//! Vote records through their public face: what the encoder writes is read back, anything else is
//! refused, and the order of records agrees with a tower that is kept in plain sight.

mod fixtures;
mod ordering;
mod reading;

use std::collections::BTreeMap;

use ed25519_dalek::SigningKey;
use testkit::encode::{self, CastVote};
use validator_supervisor::engine::values::RecordKind;
use validator_supervisor::validator::pubkey::Pubkey;
use validator_supervisor::validator::record::{RecordError, VoteRecord, parse};

type Cast = BTreeMap<u64, Vec<CastVote>>;

const NOTARIZE: u8 = 1;
const FINALIZE: u8 = 2;
const SKIP: u8 = 3;

fn key() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

fn identity(key: &SigningKey) -> Pubkey {
    Pubkey::new(key.verifying_key().to_bytes())
}

fn read(kind: RecordKind, bytes: &[u8]) -> Result<VoteRecord, RecordError> {
    parse(kind, bytes, &identity(&key()))
}

fn tower(votes: &[(u64, u32)], root: Option<u64>) -> VoteRecord {
    read(RecordKind::Tower, &encode::tower(&key(), votes, root)).unwrap()
}

fn history(votes_cast: &Cast, root: u64) -> VoteRecord {
    read(
        RecordKind::VoteHistory,
        &encode::vote_history(&key(), votes_cast, root),
    )
    .unwrap()
}

fn vote(tag: u8) -> CastVote {
    CastVote {
        tag,
        block_id: matches!(tag, 1 | 4 | 6).then_some([tag; 32]),
    }
}

fn cast(slots: &[(u64, &[u8])]) -> Cast {
    slots
        .iter()
        .map(|(slot, tags)| (*slot, tags.iter().map(|tag| vote(*tag)).collect()))
        .collect()
}
