//! What a stand-in validator and the stand-in chain tell each other: one JSON value a line, over TCP.
//!
//! Times are microseconds of `CLOCK_MONOTONIC`, which every process of a machine shares: a vote is
//! dated by its sender just before it goes out, so that the merged order does not depend on which
//! connection is read first.

use crate::history;
use crate::tower::Tower;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

/// Microseconds of `CLOCK_MONOTONIC`.
#[must_use]
pub fn now_us() -> u64 {
    nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).map_or(0, |now| {
        u64::try_from(now.tv_sec()).unwrap_or(0) * 1_000_000
            + u64::try_from(now.tv_nsec()).unwrap_or(0) / 1_000
    })
}

/// One run of one stand-in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Instance {
    /// The name its test gave it; a restart keeps it.
    pub node: String,
    pub pid: u32,
    /// When it started. Of two with one identity, gossip ends the one with the older outset.
    pub outset_us: u64,
}

/// What a vote says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Content {
    /// Tower BFT sends the whole tower, with the bank hash of its last slot (base-58).
    Tower {
        tower: Tower,
        hash: String,
    },
    Alpenglow(history::Vote),
}

impl Content {
    /// The slot voted for; for a tower the last one. 0 for an empty tower.
    #[must_use]
    pub fn slot(&self) -> u64 {
        match self {
            Self::Tower { tower, .. } => tower.last_slot().unwrap_or(0),
            Self::Alpenglow(vote) => vote.slot(),
        }
    }
}

/// A vote as it left a stand-in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentVote {
    /// The node identity, base-58.
    pub identity: String,
    pub vote_account: String,
    pub instance: Instance,
    pub sent_us: u64,
    pub content: Content,
}

/// Sent by a stand-in.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ToChain {
    /// First on every connection, and again after each change of identity.
    Hello(Peer),
    Vote(SentVote),
    /// Everything sent before this has been read once this is.
    Pong {
        nonce: u64,
    },
}

/// Sent by the chain.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FromChain {
    /// At every slot, and between slots when something else changes.
    State(Box<ClusterState>),
    Ping {
        nonce: u64,
    },
}

/// A node as gossip shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    pub identity: String,
    pub instance: Instance,
    pub gossip: SocketAddr,
    pub rpc: Option<SocketAddr>,
    pub version: String,
}

/// A vote account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VoteAccount {
    /// The identity whose votes it takes.
    pub node: String,
    pub authorized_voter: String,
    /// Lamports.
    pub stake: u64,
    /// Last slot voted for, 0 before the first vote.
    pub last_vote: u64,
    /// The tower as it landed; none in Alpenglow.
    pub tower: Option<Tower>,
}

/// Everything the chain shows, as of one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterState {
    pub slot: u64,
    /// The block of `slot`; none when its leader left the slot empty.
    pub block: Option<String>,
    pub genesis_hash: String,
    pub slots_in_epoch: u64,
    /// Leads every slot that `leader_slots` gives to nobody.
    pub other_leader: String,
    pub leader_slots: BTreeMap<String, BTreeSet<u64>>,
    pub vote_accounts: BTreeMap<String, VoteAccount>,
    pub peers: Vec<Peer>,
}
