//! The cluster's JSON-RPC, read with the client that the supervisor uses.

use serde_json::json;
use solana_client::client_error::ClientErrorKind;
use solana_client::rpc_client::RpcClient;
use solana_client::rpc_request::{RpcError, RpcRequest, RpcResponseErrorData};
use solana_client::rpc_response::RpcVoteAccountStatus;
use testkit::chain::{Chain, ChainSpec};
use testkit::keys;
use testkit::rpc::Health;

struct Setup {
    chain: Chain,
    client: RpcClient,
    identity: String,
    account: String,
}

fn setup() -> Setup {
    let identity = keys::address(&keys::from_seed("staked"));
    let account = keys::address_from_seed("vote account");
    let spec = ChainSpec::new(20).first_slot(500).slots_in_epoch(64);
    let chain = Chain::start(spec.vote_account(&account, &identity)).expect("ports are free");
    let client = RpcClient::new(chain.rpc_url());
    Setup {
        chain,
        client,
        identity,
        account,
    }
}

#[test]
fn every_answer_can_be_read() {
    let Setup {
        chain,
        client,
        identity,
        account,
    } = setup();
    chain.set_leader_slots(&identity, 512..516);
    client.get_health().expect("getHealth");
    assert!(client.get_slot().expect("getSlot") >= 468);
    assert!(client.get_block_height().expect("getBlockHeight") >= 468);
    assert_eq!(client.minimum_ledger_slot().expect("minimumLedgerSlot"), 0);
    assert_eq!(
        client.get_version().expect("getVersion").solana_core,
        "4.2.2"
    );
    assert_eq!(
        client.get_genesis_hash().expect("hash").to_string(),
        chain.cluster().genesis_hash
    );
    assert_eq!(
        client.get_identity().expect("getIdentity").to_string(),
        chain.cluster().other_leader
    );
    assert_eq!(
        client
            .get_epoch_info()
            .expect("getEpochInfo")
            .slots_in_epoch,
        64
    );
    assert!(
        client
            .get_cluster_nodes()
            .expect("getClusterNodes")
            .is_empty()
    );
    let accounts = client.get_vote_accounts().expect("getVoteAccounts");
    assert_eq!(
        accounts.delinquent[0].vote_pubkey, account,
        "it has not voted"
    );
    let schedule = client
        .get_leader_schedule(Some(512))
        .expect("getLeaderSchedule")
        .expect("one");
    assert_eq!(schedule[&identity], [0, 1, 2, 3]);
    assert_eq!(schedule.values().map(Vec::len).sum::<usize>(), 64);
}

#[test]
fn a_foreign_vote_shows_in_the_vote_account() {
    let Setup {
        chain,
        client,
        account,
        ..
    } = setup();
    chain.land_foreign_vote(&account, 499);
    let commitment = json!([{"commitment": "processed"}]);
    let accounts: RpcVoteAccountStatus = client
        .send(RpcRequest::GetVoteAccounts, commitment)
        .expect("getVoteAccounts");
    assert_eq!(
        (accounts.current[0].last_vote, accounts.current.len()),
        (499, 1)
    );
}

#[test]
fn an_unhealthy_node_says_by_how_many_slots() {
    let Setup { chain, client, .. } = setup();
    chain.set_rpc_health(Health::Behind(42));
    let error = client.get_health().expect_err("it is behind");
    let ClientErrorKind::RpcError(RpcError::RpcResponseError { code, data, .. }) = error.kind()
    else {
        panic!("{error}");
    };
    assert_eq!(*code, -32005);
    let RpcResponseErrorData::NodeUnhealthy { num_slots_behind } = data else {
        panic!("{data}")
    };
    assert_eq!(*num_slots_behind, Some(42));
}

#[test]
fn a_halted_chain_stands_still_and_goes_on() {
    let Setup { chain, .. } = setup();
    chain.halt(true);
    let slot = chain.slot();
    assert!(!chain.wait(100, |_| false));
    assert_eq!(chain.slot(), slot);
    chain.halt(false);
    chain.let_slots_pass(2);
    assert!(chain.slot() >= slot + 2);
}

#[test]
fn a_failing_rpc_fails_and_recovers() {
    let Setup { chain, client, .. } = setup();
    chain.fail_rpc(true);
    assert!(client.get_slot().is_err());
    chain.fail_rpc(false);
    assert!(client.get_slot().is_ok());
}
