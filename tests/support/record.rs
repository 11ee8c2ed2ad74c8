//! Vote records as the stand-in keeps them: the state in and out of the bytes of a record file.
//!
//! Reads what a stand-in has to go on with, and checks the signature as a real validator does. It is
//! written apart from the supervisor's parser, so that the two check each other.

use crate::encode::{self, CastVote};
use crate::history::{History, Vote};
use crate::keys;
use crate::tower::{Lockout, Tower};
use ed25519_dalek::{Signature, SigningKey};
use std::collections::BTreeMap;

/// A vote record's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    Tower(Tower),
    History(History),
}

/// The name of the file of `identity`'s record.
#[must_use]
pub fn file_name(alpenglow: bool, identity: &str) -> String {
    if alpenglow {
        format!("vote_history-{identity}.bin")
    } else {
        format!("tower-1_9-{identity}.bin")
    }
}

/// The record file's bytes, signed by `key`.
#[must_use]
pub fn to_bytes(key: &SigningKey, state: &State) -> Vec<u8> {
    match state {
        State::Tower(tower) => {
            let votes: Vec<_> = tower
                .votes
                .iter()
                .map(|vote| (vote.slot, vote.confirmations))
                .collect();
            encode::tower(key, &votes, tower.root)
        }
        State::History(history) => {
            let cast = history.cast.iter();
            let cast = cast.map(|(slot, votes)| (*slot, votes.iter().map(cast_vote).collect()));
            encode::vote_history(key, &cast.collect(), history.root)
        }
    }
}

fn cast_vote(vote: &Vote) -> CastVote {
    let (tag, block) = match vote {
        Vote::Notarize { block, .. } => (1, Some(block)),
        Vote::Finalize { .. } => (2, None),
        Vote::Skip { .. } => (3, None),
        Vote::NotarizeFallback { block, .. } => (4, Some(block)),
        Vote::SkipFallback { .. } => (5, None),
    };
    CastVote {
        tag,
        block_id: block.map(|block| block_bytes(block)),
    }
}

/// A block id that is not 32 bytes of base-58 becomes zeros: the stand-in chain names its blocks so.
fn block_bytes(block: &str) -> [u8; 32] {
    let bytes = bs58::decode(block).into_vec().unwrap_or_default();
    bytes.try_into().unwrap_or_default()
}

/// Reads a record of `identity` back.
///
/// # Errors
/// What is wrong with it: too short, another tag, a signature that is not of `identity`, another
/// identity inside.
pub fn from_bytes(alpenglow: bool, identity: &str, bytes: &[u8]) -> Result<State, String> {
    let mut outer = Reader { rest: bytes };
    let tag = outer.u32()?;
    let signature = Signature::from_bytes(&outer.take()?);
    let length = outer.length()?;
    let data = outer.slice(length)?;
    let tag_due = if alpenglow {
        encode::VOTE_HISTORY_TAG
    } else {
        encode::TOWER_TAG
    };
    if tag != tag_due {
        return Err(format!("tag {tag} where {tag_due} is due"));
    }
    let public = keys::public(identity)?;
    public
        .verify_strict(data, &signature)
        .map_err(|_| "The signature on the saved record is invalid".to_owned())?;
    let mut inner = Reader { rest: data };
    if inner.take::<32>()? != public.to_bytes() {
        return Err(format!("the record is not of {identity}"));
    }
    if alpenglow {
        Ok(State::History(history(&mut inner)?))
    } else {
        Ok(State::Tower(tower(&mut inner)?))
    }
}

fn tower(data: &mut Reader<'_>) -> Result<Tower, String> {
    data.slice(8 + 8 + 32 + 32 + 1)?;
    let mut votes = Vec::new();
    for _ in 0..data.length()? {
        votes.push(Lockout {
            slot: data.u64()?,
            confirmations: data.u32()?,
        });
    }
    let root = if data.take::<1>()? == [1] {
        Some(data.u64()?)
    } else {
        None
    };
    Ok(Tower { votes, root })
}

fn history(data: &mut Reader<'_>) -> Result<History, String> {
    data.list(|data| data.u64())?; // voted
    data.list(|data| data.slice(8 + 32).map(drop))?; // notarized
    data.list(|data| {
        data.u64()?;
        data.list(|data| data.take::<32>())
    })?; // notarized as fallback
    for _ in ["skip fallback", "skipped", "finalized"] {
        data.list(|data| data.u64())?;
    }
    let cast = data.list(|data| Ok((data.u64()?, data.list(cast_from)?)))?;
    data.list(|data| data.slice(8 + 32).map(drop))?; // certified
    data.list(|data| {
        data.u64()?;
        data.list(|data| data.slice(8 + 32).map(drop))
    })?; // parents ready
    let root = data.u64()?;
    Ok(History {
        root,
        cast: BTreeMap::from_iter(cast),
    })
}

fn cast_from(data: &mut Reader<'_>) -> Result<Vote, String> {
    let [tag] = data.take::<1>()?;
    let slot = data.u64()?;
    let vote = match tag {
        1 => Vote::Notarize {
            slot,
            block: data.block()?,
        },
        2 => Vote::Finalize { slot },
        3 => Vote::Skip { slot },
        4 => Vote::NotarizeFallback {
            slot,
            block: data.block()?,
        },
        5 => Vote::SkipFallback { slot },
        _ => return Err(format!("vote type {tag} is unknown")),
    };
    data.take::<2>()?; // shred version
    Ok(vote)
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn slice(&mut self, length: usize) -> Result<&'a [u8], String> {
        let (head, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or_else(|| format!("ends {} bytes early", length - self.rest.len()))?;
        self.rest = rest;
        Ok(head)
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], String> {
        self.slice(N)?.try_into().map_err(|_| "length".to_owned())
    }

    fn u32(&mut self) -> Result<u32, String> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, String> {
        self.take().map(u64::from_le_bytes)
    }

    fn length(&mut self) -> Result<usize, String> {
        let length = self.u64()?;
        usize::try_from(length).map_err(|_| format!("length {length}"))
    }

    fn block(&mut self) -> Result<String, String> {
        Ok(bs58::encode(self.take::<32>()?).into_string())
    }

    /// A counted list. A count beyond the data fails at its end, before much is allocated.
    fn list<T>(
        &mut self,
        mut item: impl FnMut(&mut Self) -> Result<T, String>,
    ) -> Result<Vec<T>, String> {
        let count = self.length()?;
        (0..count).map(|_| item(self)).collect()
    }
}
