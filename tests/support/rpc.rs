//! The answers of a node's JSON-RPC, in the form that `solana-client` 4.2 reads.

use crate::http::Failure;
use crate::wire::{ClusterState, Peer, VoteAccount};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Votes this many slots behind make an account delinquent.
const DELINQUENT_SLOTS: u64 = 128;
/// The slots by which the commitments trail.
const CONFIRMED_SLOTS: u64 = 1;
pub const FINALIZED_SLOTS: u64 = 32;

/// What a node says of its own health.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Health {
    #[default]
    Ok,
    /// Slots behind.
    Behind(u64),
    Unknown,
}

/// The node that answers.
#[derive(Clone, Debug)]
pub struct View<'a> {
    pub cluster: &'a ClusterState,
    pub identity: &'a str,
    pub version: &'a str,
    pub health: Health,
    /// Slots by which this node's own view trails the cluster's.
    pub slots_behind: u64,
    /// By which `finalized` trails the newest slot: [`FINALIZED_SLOTS`] in Tower BFT, one or two in Alpenglow.
    pub finalized_behind: u64,
}

/// Answers `method`.
///
/// # Errors
/// An unknown method, unusable parameters, or a node that is unhealthy when asked for its health.
pub fn answer(view: &View<'_>, method: &str, params: &Value) -> Result<Value, Failure> {
    let slot = view.slot(params);
    Ok(match method {
        "getHealth" => return health(view.health),
        "getIdentity" => json!({"identity": view.identity}),
        "getVersion" => json!({"solana-core": view.version, "feature-set": 1}),
        "getGenesisHash" => json!(view.cluster.genesis_hash),
        "getSlot" | "getBlockHeight" => json!(slot),
        "minimumLedgerSlot" | "getFirstAvailableBlock" => json!(0),
        "getEpochInfo" => epoch_info(view, slot),
        "getEpochSchedule" => json!({
            "slotsPerEpoch": view.cluster.slots_in_epoch,
            "leaderScheduleSlotOffset": view.cluster.slots_in_epoch,
            "warmup": false,
            "firstNormalEpoch": 0,
            "firstNormalSlot": 0,
        }),
        "getVoteAccounts" => vote_accounts(view, params),
        "getClusterNodes" => view.cluster.peers.iter().map(contact).collect(),
        "getLeaderSchedule" => leader_schedule(view, params, slot),
        "getSlotLeader" => json!(leader_of(view.cluster, slot)),
        "getSlotLeaders" => slot_leaders(view, params)?,
        _ => return Err(Failure::new(-32601, "Method not found")),
    })
}

impl View<'_> {
    /// The slot at the commitment that the last parameter names.
    fn slot(&self, params: &Value) -> u64 {
        let slot = self.cluster.slot.saturating_sub(self.slots_behind);
        slot.saturating_sub(self.trail_of(params))
    }

    /// Slots by which the named commitment trails; without a name it is `finalized`.
    fn trail_of(&self, params: &Value) -> u64 {
        let named = params
            .as_array()
            .into_iter()
            .flatten()
            .find_map(|param| param["commitment"].as_str());
        match named {
            Some("processed") => 0,
            Some("confirmed") => CONFIRMED_SLOTS,
            _ => self.finalized_behind,
        }
    }
}

fn health(health: Health) -> Result<Value, Failure> {
    let (message, slots) = match health {
        Health::Ok => return Ok(json!("ok")),
        Health::Behind(slots) => (format!("Node is behind by {slots} slots"), Some(slots)),
        Health::Unknown => ("Node is unhealthy".to_owned(), None),
    };
    let data = Some(json!({"numSlotsBehind": slots}));
    Err(Failure {
        code: -32005,
        message,
        data,
    })
}

fn epoch_info(view: &View<'_>, slot: u64) -> Value {
    let slots_in_epoch = view.cluster.slots_in_epoch;
    json!({
        "epoch": slot / slots_in_epoch,
        "slotIndex": slot % slots_in_epoch,
        "slotsInEpoch": slots_in_epoch,
        "absoluteSlot": slot,
        "blockHeight": slot,
        "transactionCount": slot,
    })
}

fn vote_accounts(view: &View<'_>, params: &Value) -> Value {
    let trail = view.slots_behind + view.trail_of(params);
    let wanted = params
        .as_array()
        .into_iter()
        .flatten()
        .find_map(|param| param["votePubkey"].as_str());
    let (mut current, mut delinquent) = (Vec::new(), Vec::new());
    for (address, account) in &view.cluster.vote_accounts {
        if wanted.is_some_and(|wanted| wanted != address) {
            continue;
        }
        // The chain keeps the newest vote only: older commitments see as much of it as was there then.
        let last_vote = account
            .last_vote
            .min(view.cluster.slot.saturating_sub(trail));
        let list = if last_vote + DELINQUENT_SLOTS > view.cluster.slot {
            &mut current
        } else {
            &mut delinquent
        };
        list.push(vote_account(address, account, last_vote));
    }
    json!({"current": current, "delinquent": delinquent})
}

fn vote_account(address: &str, account: &VoteAccount, last_vote: u64) -> Value {
    let root = account.tower.as_ref().and_then(|tower| tower.root);
    json!({
        "votePubkey": address,
        "nodePubkey": account.node,
        "activatedStake": account.stake,
        "commission": 100,
        "epochVoteAccount": true,
        "epochCredits": [],
        "lastVote": last_vote,
        "rootSlot": root.unwrap_or(0),
    })
}

fn contact(peer: &Peer) -> Value {
    json!({
        "pubkey": peer.identity,
        "gossip": peer.gossip,
        "tvu": null, "tpu": null, "tpuQuic": null, "tpuForwards": null, "tpuForwardsQuic": null,
        "tpuVote": null, "serveRepair": null, "pubsub": null,
        "rpc": peer.rpc,
        "version": peer.version,
        "clientId": "Agave",
        "featureSet": 1,
        "shredVersion": 1,
    })
}

/// Who leads `slot`.
#[must_use]
pub fn leader_of(cluster: &ClusterState, slot: u64) -> &str {
    let mut led = cluster.leader_slots.iter();
    led.find(|(_, slots)| slots.contains(&slot))
        .map_or(&cluster.other_leader, |(leader, _)| leader)
}

/// Slot indices in the epoch of the slot that the first parameter names, or of the current one. Known to the end of the next one.
fn leader_schedule(view: &View<'_>, params: &Value, now: u64) -> Value {
    let slots_in_epoch = view.cluster.slots_in_epoch;
    let slot = params.get(0).and_then(Value::as_u64).unwrap_or(now);
    // What is known does not depend on the commitment of the question.
    if slot / slots_in_epoch > view.cluster.slot / slots_in_epoch + 1 {
        return Value::Null;
    }
    let first = slot - slot % slots_in_epoch;
    let wanted = params
        .as_array()
        .into_iter()
        .flatten()
        .find_map(|param| param["identity"].as_str());
    let mut schedule: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for index in 0..slots_in_epoch {
        let leader = leader_of(view.cluster, first + index);
        if wanted.is_none_or(|wanted| wanted == leader) {
            schedule.entry(leader).or_default().push(index);
        }
    }
    json!(schedule)
}

fn slot_leaders(view: &View<'_>, params: &Value) -> Result<Value, Failure> {
    let number = |index| params.get(index).and_then(Value::as_u64);
    let (Some(first), Some(count @ 1..=5000)) = (number(0), number(1)) else {
        return Err(Failure::new(-32602, "Invalid limit; max 5000"));
    };
    Ok((first..first + count)
        .map(|slot| leader_of(view.cluster, slot))
        .collect())
}
