//! Vote records as a validator writes them, byte for byte, signed by a given key.
//!
//! Written from the formats and independent of the parser, so that the two check each other. It
//! judges nothing: a record that breaks every rule of voting is encoded as readily as a good one.
//!
//! All integers are little-endian, every list is preceded by its length as `u64`.

use std::collections::BTreeMap;

use ed25519_dalek::{Signer, SigningKey};

/// Outer tag of a tower in the format that is written since 1.14.
pub const TOWER_TAG: u32 = 1;
/// Outer tag of a vote history.
pub const VOTE_HISTORY_TAG: u32 = 0;

/// One Alpenglow vote, as a vote history lists it under its slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CastVote {
    /// 1 notarize, 2 finalize, 3 skip, 4 notarize fallback, 5 skip fallback, 6 genesis.
    pub tag: u8,
    /// Tags 1, 4 and 6 name a block; the others must not.
    pub block_id: Option<[u8; 32]>,
}

/// A saved tower. `votes` are `(slot, confirmation count)`, oldest first; the real ones hold at
/// most 31 and start at or above `root`.
#[must_use]
pub fn tower(key: &SigningKey, votes: &[(u64, u32)], root: Option<u64>) -> Vec<u8> {
    frame(key, TOWER_TAG, &tower_data(key, votes, root))
}

/// A saved vote history: what was cast in each slot at or above `root`.
#[must_use]
pub fn vote_history(
    key: &SigningKey,
    votes_cast: &BTreeMap<u64, Vec<CastVote>>,
    root: u64,
) -> Vec<u8> {
    let data = vote_history_data(key, votes_cast, root);
    frame(key, VOTE_HISTORY_TAG, &data)
}

/// The envelope of both kinds: tag, signature over `data`, length, `data`.
#[must_use]
pub fn frame(key: &SigningKey, tag: u32, data: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(76 + data.len());
    out.extend(tag.to_le_bytes());
    out.extend(key.sign(data).to_bytes());
    put_len(&mut out, data.len());
    out.extend(data);
    out
}

/// The signed part of a tower.
#[must_use]
pub fn tower_data(key: &SigningKey, votes: &[(u64, u32)], root: Option<u64>) -> Vec<u8> {
    let mut out = Vec::with_capacity(2400);
    out.extend(key.verifying_key().to_bytes());
    out.extend(8u64.to_le_bytes()); // threshold depth
    out.extend((2.0f64 / 3.0).to_le_bytes()); // threshold size
    put_vote_state(&mut out, votes, root);
    put_last_vote(&mut out, votes, root);
    put_timestamp(&mut out, votes);
    out
}

/// The vote state inside a tower: only its votes and root are ever filled in.
fn put_vote_state(out: &mut Vec<u8>, votes: &[(u64, u32)], root: Option<u64>) {
    out.extend([0; 32]); // node
    out.extend([0; 32]); // withdrawer
    out.push(0); // commission
    put_len(out, votes.len());
    for (slot, confirmations) in votes {
        out.extend(slot.to_le_bytes());
        out.extend(confirmations.to_le_bytes());
    }
    put_option(out, root.map(u64::to_le_bytes));
    put_len(out, 0); // authorized voters
    out.extend([0; 32 * 48]); // prior voters: 32 times (key, epoch, epoch)
    out.extend(31u64.to_le_bytes());
    out.push(1);
    put_len(out, 0); // credits
    out.extend([0; 16]); // last timestamp
}

/// The last vote instruction: a tower sync, its slots written as differences.
fn put_last_vote(out: &mut Vec<u8>, votes: &[(u64, u32)], root: Option<u64>) {
    out.extend(3u32.to_le_bytes());
    out.extend(root.unwrap_or(u64::MAX).to_le_bytes());
    put_varint(out, votes.len() as u64);
    let mut previous = root.unwrap_or(0);
    for (slot, confirmations) in votes {
        put_varint(out, slot.wrapping_sub(previous));
        out.push(*confirmations as u8);
        previous = *slot;
    }
    out.extend(hash_of(votes, 1)); // bank hash
    put_option(out, votes.last().map(|(slot, _)| timestamp_s(*slot)));
    out.extend(hash_of(votes, 2)); // block id
}

fn put_timestamp(out: &mut Vec<u8>, votes: &[(u64, u32)]) {
    let slot = votes.last().map_or(0, |(slot, _)| *slot);
    out.extend(slot.to_le_bytes());
    out.extend(timestamp_s(slot));
}

/// Unix seconds of a slot, on a chain that began on some day with slots of 400 ms.
fn timestamp_s(slot: u64) -> [u8; 8] {
    (1_700_000_000 + slot / 5 * 2).to_le_bytes()
}

/// Some 32 bytes that differ from slot to slot.
fn hash_of(votes: &[(u64, u32)], salt: u8) -> [u8; 32] {
    let slot = votes.last().map_or(0, |(slot, _)| *slot);
    let mut hash = [salt; 32];
    hash[..8].copy_from_slice(&slot.to_le_bytes());
    hash
}

/// The signed part of a vote history.
#[must_use]
pub fn vote_history_data(
    key: &SigningKey,
    votes_cast: &BTreeMap<u64, Vec<CastVote>>,
    root: u64,
) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend(key.verifying_key().to_bytes());
    put_slots(&mut out, votes_cast, &[1, 3]); // voted
    put_notarized(&mut out, votes_cast);
    put_fallbacks(&mut out, votes_cast);
    put_slots(&mut out, votes_cast, &[5]); // skip fallback
    put_slots(&mut out, votes_cast, &[3, 4, 5]); // skipped in any way
    put_slots(&mut out, votes_cast, &[2]); // finalized
    put_len(&mut out, votes_cast.len());
    for (slot, votes) in votes_cast {
        out.extend(slot.to_le_bytes());
        put_len(&mut out, votes.len());
        for vote in votes {
            put_cast(&mut out, *slot, vote);
        }
    }
    put_certified(&mut out, votes_cast);
    out.extend(root.to_le_bytes());
    out
}

/// One vote, with the shred version 0 that stored votes carry.
fn put_cast(out: &mut Vec<u8>, slot: u64, vote: &CastVote) {
    out.push(vote.tag);
    out.extend(slot.to_le_bytes());
    out.extend(vote.block_id.iter().flatten());
    out.extend(0u16.to_le_bytes());
}

/// The slots in which a vote with one of `tags` was cast.
fn put_slots(out: &mut Vec<u8>, votes_cast: &BTreeMap<u64, Vec<CastVote>>, tags: &[u8]) {
    let has = |votes: &[CastVote]| votes.iter().any(|vote| tags.contains(&vote.tag));
    let slots: Vec<u64> = votes_cast
        .iter()
        .filter(|(_, votes)| has(votes))
        .map(|(slot, _)| *slot)
        .collect();
    put_len(out, slots.len());
    out.extend(slots.iter().flat_map(|slot| slot.to_le_bytes()));
}

/// Slot and block of every notarize vote.
fn put_notarized(out: &mut Vec<u8>, votes_cast: &BTreeMap<u64, Vec<CastVote>>) {
    let blocks: Vec<(u64, [u8; 32])> = votes_cast
        .iter()
        .filter_map(|(slot, votes)| Some((*slot, blocks_of(votes, 1).next()?)))
        .collect();
    put_len(out, blocks.len());
    for (slot, block_id) in blocks {
        out.extend(slot.to_le_bytes());
        out.extend(block_id);
    }
}

/// Slot and set of blocks of every notarize-fallback vote.
fn put_fallbacks(out: &mut Vec<u8>, votes_cast: &BTreeMap<u64, Vec<CastVote>>) {
    let slots: Vec<(u64, Vec<[u8; 32]>)> = votes_cast
        .iter()
        .map(|(slot, votes)| (*slot, blocks_of(votes, 4).collect::<Vec<_>>()))
        .filter(|(_, blocks)| !blocks.is_empty())
        .collect();
    put_len(out, slots.len());
    for (slot, blocks) in slots {
        out.extend(slot.to_le_bytes());
        put_len(out, blocks.len());
        out.extend(blocks.iter().flatten());
    }
}

/// What the certificates say: each notarized block is certified and readies the slot after it.
fn put_certified(out: &mut Vec<u8>, votes_cast: &BTreeMap<u64, Vec<CastVote>>) {
    let certified: Vec<(u64, [u8; 32])> = votes_cast
        .iter()
        .filter_map(|(slot, votes)| Some((*slot, blocks_of(votes, 1).next()?)))
        .collect();
    put_len(out, certified.len());
    for (slot, block_id) in &certified {
        out.extend(slot.to_le_bytes());
        out.extend(block_id);
    }
    put_len(out, certified.len());
    for (slot, block_id) in &certified {
        out.extend(slot.wrapping_add(1).to_le_bytes());
        put_len(out, 1);
        out.extend(slot.to_le_bytes());
        out.extend(block_id);
    }
}

fn blocks_of(votes: &[CastVote], tag: u8) -> impl Iterator<Item = [u8; 32]> {
    votes
        .iter()
        .filter(move |vote| vote.tag == tag)
        .filter_map(|vote| vote.block_id)
}

fn put_len(out: &mut Vec<u8>, len: usize) {
    out.extend((len as u64).to_le_bytes());
}

fn put_option<const N: usize>(out: &mut Vec<u8>, value: Option<[u8; N]>) {
    out.push(u8::from(value.is_some()));
    out.extend(value.iter().flatten());
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
