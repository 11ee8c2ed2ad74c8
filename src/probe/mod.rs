//! Observations of the validator and the cluster. Facts only: what they mean is the engine's to say.
//!
//! The validator's own RPC and the cluster's are asked in rounds of their own, so that neither waits for the other. Every
//! question ends within its limit: the client repeats a question that a server puts off (HTTP 429), for as long as that
//! server likes.

pub mod chain_vote;
pub mod cluster;
mod progress;
pub mod roots;
#[cfg(test)]
mod tests;
mod tip;
pub mod validator;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use solana_client::client_error::Result as ClientResult;
use solana_client::nonblocking::rpc_client::RpcClient;
use solana_commitment_config::CommitmentConfig;

use crate::config::without_credentials;
use cluster::Cluster;
use validator::Prober;

/// Whom to ask, and about whom.
#[derive(Clone, Debug)]
pub struct Subject {
    /// URL of the validator's own RPC.
    pub own: String,
    /// URLs of other people's RPC nodes.
    pub cluster: Vec<String>,
    /// Base58, where it is known.
    pub vote_account: Option<String>,
    /// The staked identity, base58.
    pub identity: String,
    /// Bounds every single question.
    pub within: Duration,
}

/// One asks the validator, the other the cluster.
#[must_use]
pub fn probers(subject: &Subject) -> (Prober, Cluster) {
    let shared = Rc::new(Shared::default());
    (
        Prober::new(subject, Rc::clone(&shared)),
        Cluster::new(subject, shared),
    )
}

/// A URL that does not answer as it should, without credentials, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Silence {
    pub url: String,
    pub why: String,
}

impl std::fmt::Display for Silence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.url, self.why)
    }
}

/// What the two rounds tell each other.
#[derive(Debug, Default)]
struct Shared {
    own: Cell<Option<Own>>,
    /// Slots that the cluster's RPCs told of in one round, and when.
    told: RefCell<Option<(Vec<u64>, Instant)>>,
    /// Genesis hash of the validator's cluster, once known.
    genesis: RefCell<Option<String>>,
}

/// The validator's last word.
#[derive(Clone, Copy, Debug)]
struct Own {
    slot: u64,
    healthy: bool,
    at: Instant,
}

/// One RPC.
struct Client {
    rpc: RpcClient,
    /// Without credentials.
    url: String,
    within: Duration,
}

impl Client {
    fn new(url: &str, within: Duration) -> Self {
        let commitment = CommitmentConfig::processed();
        Self {
            rpc: RpcClient::new_with_timeout_and_commitment(url.to_owned(), within, commitment),
            url: without_credentials(url),
            within,
        }
    }

    /// The answer to one question, or why there is none.
    async fn ask<'a, T>(
        &'a self,
        question: impl Future<Output = ClientResult<T>> + 'a,
    ) -> Result<T, Silence> {
        let why = match tokio::time::timeout(self.within, question).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => with_causes(&error),
            Err(_) => self.too_late(),
        };
        Err(self.silence(&why))
    }

    fn too_late(&self) -> String {
        format!("no answer within {} ms", self.within.as_millis())
    }

    fn silence(&self, why: &str) -> Silence {
        Silence {
            url: self.url.clone(),
            why: without_credentials(why),
        }
    }
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}
