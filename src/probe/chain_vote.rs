//! Asks the cluster's RPCs for the newest vote of an account, once, before the validator's own RPC can tell.

use std::time::Duration;

use futures_util::future::join_all;
use solana_client::rpc_config::RpcGetVoteAccountsConfig;
use solana_commitment_config::CommitmentConfig;

use super::Client;

/// The limit of one question, and the pause between two rounds of them.
const WITHIN: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(500);

/// The slot of the newest vote that any of these RPCs shows, asked again until one of them tells.
pub async fn awaited(cluster: &[String], vote_account: &str) -> u64 {
    let clients: Vec<Client> = cluster.iter().map(|url| Client::new(url, WITHIN)).collect();
    loop {
        let told = join_all(clients.iter().map(|client| newest(client, vote_account))).await;
        if let Some(slot) = told.into_iter().flatten().max() {
            return slot;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// `None`: it does not answer, or knows no such account, as one of another cluster does.
async fn newest(client: &Client, vote_account: &str) -> Option<u64> {
    let config = RpcGetVoteAccountsConfig {
        vote_pubkey: Some(vote_account.to_owned()),
        commitment: Some(CommitmentConfig::processed()),
        keep_unstaked_delinquents: Some(true),
        delinquent_slot_distance: None,
    };
    let asked = client.rpc.get_vote_accounts_with_config(config);
    let accounts = client.ask(asked).await.ok()?;
    let found = accounts.current.into_iter().chain(accounts.delinquent);
    found.map(|account| account.last_vote).next()
}
