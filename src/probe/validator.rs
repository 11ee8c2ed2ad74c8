//! Asks the validator's own JSON-RPC how it is, and the cluster's RPCs where the tip is.
//!
//! How far behind the validator is comes from the best witness there is: other people's RPC nodes, else the newest
//! shred that has reached the validator itself, else the validator's own verdict on its health.

use std::time::Duration;

use solana_client::client_error::ClientErrorKind;
use solana_client::nonblocking::rpc_client::RpcClient;
use solana_client::rpc_config::{RpcGetVoteAccountsConfig, RpcLeaderScheduleConfig};
use solana_client::rpc_request::{RpcError, RpcResponseErrorData};
use solana_commitment_config::CommitmentConfig;

/// What one round of questions has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    pub healthy: bool,
    /// Newest slot replayed.
    pub slot: u64,
    /// Slots behind the best known tip.
    pub behind: Option<u64>,
    /// Newest slot that the vote account shows a vote for.
    pub chain_vote: Option<u64>,
}

/// What changes rarely.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    pub version: Option<String>,
    pub next_leader_slot: Option<u64>,
}

/// A client of the validator's RPC and of the cluster's.
pub struct Prober {
    own: RpcClient,
    cluster: Vec<RpcClient>,
    vote_account: Option<String>,
    identity: String,
}

impl std::fmt::Debug for Prober {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Prober")
            .field("own", &self.own.url())
            .finish_non_exhaustive()
    }
}

impl Prober {
    /// `within` bounds every single question.
    #[must_use]
    pub fn new(
        own: String,
        cluster: &[String],
        vote_account: Option<String>,
        identity: String,
        within: Duration,
    ) -> Self {
        let client = |url: String| {
            RpcClient::new_with_timeout_and_commitment(url, within, CommitmentConfig::processed())
        };
        Self {
            own: client(own),
            cluster: cluster.iter().cloned().map(client).collect(),
            vote_account,
            identity,
        }
    }

    /// One round. `None`: the validator does not answer.
    pub async fn ask(&self) -> Option<Facts> {
        let slot = self.own.get_slot().await.ok()?;
        let health = self.health().await?;
        let behind = match self.tip().await {
            Some(tip) => Some(tip.saturating_sub(slot)),
            None => health.behind(),
        };
        Some(Facts {
            healthy: health == Health::Good,
            slot,
            behind,
            chain_vote: self.chain_vote().await,
        })
    }

    /// What is worth asking once a minute.
    pub async fn profile(&self, slot: u64) -> Profile {
        let version = self
            .own
            .get_version()
            .await
            .ok()
            .map(|version| version.solana_core);
        Profile {
            version,
            next_leader_slot: self.next_leader_slot(slot).await,
        }
    }

    async fn health(&self) -> Option<Health> {
        let error = match self.own.get_health().await {
            Ok(()) => return Some(Health::Good),
            Err(error) => error,
        };
        match error.kind() {
            ClientErrorKind::RpcError(RpcError::RpcResponseError { data, .. }) => {
                Some(match data {
                    RpcResponseErrorData::NodeUnhealthy {
                        num_slots_behind: Some(slots),
                    } => Health::Behind(*slots),
                    _ => Health::Bad,
                })
            }
            _ => None,
        }
    }

    /// The highest slot that anybody tells of.
    async fn tip(&self) -> Option<u64> {
        let mut tip = self.own.get_max_shred_insert_slot().await.ok();
        // All at once: the round takes as long as the slowest of them, and one that is dead costs one limit.
        let asked = self.cluster.iter().map(|rpc| rpc.get_slot());
        for slot in futures_util::future::join_all(asked).await {
            tip = tip.max(slot.ok());
        }
        tip
    }

    async fn chain_vote(&self) -> Option<u64> {
        let config = RpcGetVoteAccountsConfig {
            vote_pubkey: Some(self.vote_account.clone()?),
            commitment: Some(CommitmentConfig::processed()),
            keep_unstaked_delinquents: Some(true),
            delinquent_slot_distance: None,
        };
        let accounts = self.own.get_vote_accounts_with_config(config).await.ok()?;
        let account = accounts
            .current
            .into_iter()
            .chain(accounts.delinquent)
            .next()?;
        Some(account.last_vote)
    }

    async fn next_leader_slot(&self, slot: u64) -> Option<u64> {
        let config = RpcLeaderScheduleConfig {
            identity: Some(self.identity.clone()),
            commitment: None,
        };
        let epoch = self.own.get_epoch_info().await.ok()?;
        let schedule = self
            .own
            .get_leader_schedule_with_config(Some(slot), config)
            .await
            .ok()??;
        let first = epoch.absolute_slot - epoch.slot_index;
        let slots = schedule.get(&self.identity)?;
        slots
            .iter()
            .map(|index| first + *index as u64)
            .filter(|leads| *leads > slot)
            .min()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Health {
    Good,
    Behind(u64),
    Bad,
}

impl Health {
    /// A validator that calls itself healthy is within its own limit of the tip; that is all it says.
    fn behind(self) -> Option<u64> {
        match self {
            Self::Good => Some(0),
            Self::Behind(slots) => Some(slots),
            Self::Bad => None,
        }
    }
}
