//! The methods of the admin RPC, with the errors of the real one.

use crate::node::Node;
use crate::{ending, link, replay};
use ed25519_dalek::SigningKey;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Instant, UNIX_EPOCH};
use testkit::http::Failure;
use testkit::keys;
use testkit::wire::now_us;

type Outcome = Result<Value, Failure>;

pub(crate) fn answer(node: &Arc<Node>, method: &str, params: &Value) -> Outcome {
    match method {
        "exit" => {
            ending::exit_on_request(node);
            Ok(Value::Null)
        }
        "pid" => Ok(json!(std::process::id())),
        "rpcAddress" => Ok(json!(node.flags.rpc)),
        "startTime" => Ok(start_time(node)),
        "startProgress" => Ok(progress(node)),
        "contactInfo" => contact_info(node),
        "addAuthorizedVoter" => {
            let (path,): (String,) = read(params)?;
            add_voter(node, keys::read(path.as_ref()).map_err(invalid)?)
        }
        "addAuthorizedVoterFromBytes" => {
            let (bytes,): (Vec<u8>,) = read(params)?;
            let problem = "Failed to read authorized voter keypair from provided byte array";
            add_voter(node, from_bytes(&bytes, problem)?)
        }
        "removeAllAuthorizedVoters" => {
            node.shared().voters.clear();
            node.log.line("INFO", "removed all authorized voters");
            Ok(Value::Null)
        }
        "setIdentity" => {
            let (path, tower, history): (String, _, _) = identity_params(node, params)?;
            let key = keys::read(path.as_ref()).map_err(|error| {
                invalid(format!(
                    "Failed to read identity keypair from {path}: {error}"
                ))
            })?;
            set_identity(node, key, tower, history)
        }
        "setIdentityFromBytes" => {
            let (bytes, tower, history): (Vec<u8>, _, _) = identity_params(node, params)?;
            let problem = "Failed to read identity keypair from provided byte array";
            set_identity(node, from_bytes(&bytes, problem)?, tower, history)
        }
        _ => Err(Failure::new(-32601, "Method not found")),
    }
}

fn invalid(message: impl Into<String>) -> Failure {
    Failure::new(-32602, message)
}

/// A wrong number of parameters fails with serde's own words, which are those of the real one.
fn read<T: DeserializeOwned>(params: &Value) -> Result<T, Failure> {
    let read = serde_json::from_value(params.clone());
    read.map_err(|error| invalid(format!("Invalid params: {error}.")))
}

/// Keypair, whether the tower is required, whether the vote history is: the third came with 4.2.
fn identity_params<T: DeserializeOwned>(
    node: &Node,
    params: &Value,
) -> Result<(T, bool, bool), Failure> {
    if node.flags.old_admin {
        let (keypair, tower) = read(params)?;
        return Ok((keypair, tower, false));
    }
    read(params)
}

fn from_bytes(bytes: &[u8], problem: &str) -> Result<SigningKey, Failure> {
    keys::from_bytes(bytes).map_err(|error| invalid(format!("{problem}: {error}")))
}

fn add_voter(node: &Node, voter: SigningKey) -> Outcome {
    let mut shared = node.shared();
    if shared.voters.contains(&voter) {
        return Err(invalid("Authorized voter already present"));
    }
    shared.voters.push(voter);
    Ok(Value::Null)
}

fn set_identity(node: &Node, key: SigningKey, tower: bool, history: bool) -> Outcome {
    after_start_up(node)?;
    let identity = keys::address(&key);
    if tower {
        replay::load_record_of(node, &identity, false).map_err(|error| {
            invalid(format!(
                "Unable to load tower file for identity {identity}: {error}"
            ))
        })?;
    }
    if history && has_voted(node, &identity) {
        replay::load_record_of(node, &identity, true).map_err(|error| {
            let account = &node.flags.vote_account;
            invalid(format!(
                "Unable to load vote history file for identity {identity}: {error}. \
                 The vote account {account} has prior Alpenglow votes."
            ))
        })?;
    }
    {
        let mut shared = node.shared();
        shared.identity = key;
        shared.identity_since = Instant::now();
        shared.outset_us = now_us();
    }
    link::announce(node);
    node.log
        .line("WARN", &format!("Identity set to {identity}"));
    Ok(Value::Null)
}

/// Whether the vote account shows Alpenglow votes of `identity`.
fn has_voted(node: &Node, identity: &str) -> bool {
    let shared = node.shared();
    let accounts = shared
        .cluster
        .as_ref()
        .map(|cluster| &cluster.vote_accounts);
    let account = accounts.and_then(|accounts| accounts.get(&node.flags.vote_account));
    node.flags.alpenglow
        && account.is_some_and(|account| account.node == identity && account.last_vote > 0)
}

fn after_start_up(node: &Node) -> Result<(), Failure> {
    if node.shared().running {
        return Ok(());
    }
    Err(invalid("Retry once validator start up is complete"))
}

fn start_time(node: &Node) -> Value {
    let since = node.started.duration_since(UNIX_EPOCH).unwrap_or_default();
    json!({"secs_since_epoch": since.as_secs(), "nanos_since_epoch": since.subsec_nanos()})
}

fn progress(node: &Node) -> Value {
    if node.shared().running {
        return json!("Running");
    }
    json!({"ProcessingLedger": {"slot": 0, "max_slot": 1}})
}

fn contact_info(node: &Node) -> Outcome {
    after_start_up(node)?;
    let peer = node.peer();
    let rpc = node.flags.rpc.unwrap_or_else(|| ([0, 0, 0, 0], 0).into());
    let none = "0.0.0.0:0";
    Ok(json!({
        "id": peer.identity,
        "gossip": peer.gossip,
        "tvu": none, "serve_repair_quic": none, "tpu": none, "tpu_forwards": none, "tpu_vote": none,
        "rpc": rpc,
        "rpc_pubsub": none, "serve_repair": none,
        "last_updated_timestamp": node.started.elapsed().map_or(0, |up| up.as_millis() as u64),
        "shred_version": 1,
    }))
}
