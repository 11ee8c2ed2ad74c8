//! A client of the validator's admin RPC: JSON-RPC 2.0 on the unix socket `<ledger>/admin.rpc`.
//!
//! It asks and reports; it never retries except once to learn a parameter count, and decides nothing.
//! Each call opens a connection of its own: connecting costs some tens of microseconds, and there is
//! no dead connection to a former child to be found out about at the moment of a mute. Nothing is sent before it is certain that
//! a process below us listens.
//!
//! Method names, parameters and answers are those of agave-validator 4.2.2, `admin_rpc_service.rs`,
//! and its older 2-parameter `setIdentity`. Every method takes the time it may last, from connecting
//! to the end of the answer.

mod error;
mod exchange;
mod peer;
mod request;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

pub use self::error::{AdminError, Fault};
pub use self::exchange::Shown;
use self::request::{Params, Request};
use crate::engine::values::RecordKind;

/// Longest path of a unix socket: `sun_path` less its closing zero (unix(7)).
pub const PATH_BYTES_MAX: usize = 107;
/// A longer answer is given up.
pub const ANSWER_BYTES_MAX: usize = 1024 * 1024;
/// `(keypair, require_tower, require_vote_history)`, since 4.2.
const SET_IDENTITY_PARAMS_NEW: usize = 3;
/// `(keypair, require_tower)`, 2.x to 4.0.
const SET_IDENTITY_PARAMS_OLD: usize = 2;

/// The admin RPC of the validator on one ledger. Cheap to keep; holds no connection and no secret.
#[derive(Debug)]
pub struct AdminRpc {
    path: PathBuf,
    next_id: AtomicU64,
    set_identity_params: AtomicUsize,
}

/// How far the validator has come in its start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StartProgress {
    Running,
    /// `phase` is the validator's own word, such as `LoadingLedger`; the slots come with some.
    Starting {
        phase: String,
        slot: Option<u64>,
        max_slot: Option<u64>,
    },
}

/// How the validator presents itself in gossip.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
pub struct ContactInfo {
    /// Identity it carries at this moment, base58.
    pub id: String,
    pub gossip: SocketAddr,
    pub rpc: SocketAddr,
    pub shred_version: u16,
}

impl AdminRpc {
    /// The client for `<ledger>/admin.rpc`. Touches nothing.
    #[must_use]
    pub fn of_ledger(ledger: &Path) -> Self {
        Self {
            path: ledger.join("admin.rpc"),
            next_id: AtomicU64::new(1),
            set_identity_params: AtomicUsize::new(SET_IDENTITY_PARAMS_NEW),
        }
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// # Errors
    /// No usable answer in time.
    pub async fn start_progress(&self, within: Duration) -> Result<StartProgress, AdminError> {
        let method = "startProgress";
        let result = self.call(method, Params::None, within).await?;
        progress_of(&result).ok_or_else(|| self.unexpected(method, &result))
    }

    /// Mutes: from the answer on, the validator builds no vote.
    ///
    /// # Errors
    /// No usable answer in time. The mute may have happened all the same.
    pub async fn remove_all_authorized_voters(&self, within: Duration) -> Result<(), AdminError> {
        self.call("removeAllAuthorizedVoters", Params::None, within)
            .await
            .map(drop)
    }

    /// Lets the validator sign votes with `keypair`. One that it has already counts as success.
    ///
    /// # Errors
    /// No usable answer in time, or a refusal. None of them repeats a byte of the keypair.
    pub async fn add_authorized_voter_from_bytes(
        &self,
        keypair: &[u8; 64],
        within: Duration,
    ) -> Result<(), AdminError> {
        let params = Params::Keypair {
            keypair,
            flags: &[],
        };
        match self
            .call("addAuthorizedVoterFromBytes", params, within)
            .await
        {
            Err(AdminError {
                fault: Fault::Rpc { message, .. },
                ..
            }) if message.contains("Authorized voter already present") => Ok(()),
            other => other.map(drop),
        }
    }

    /// Changes the identity. With `require`, the record file of that kind for the new identity has
    /// to be there and sound, or the identity stays; an Alpenglow node is never asked for a tower,
    /// which it would look for and miss.
    ///
    /// # Errors
    /// No usable answer in time, a refusal, or a validator too old to require a vote history. None
    /// of them repeats a byte of the keypair.
    pub async fn set_identity_from_bytes(
        &self,
        keypair: &[u8; 64],
        require: Option<RecordKind>,
        within: Duration,
    ) -> Result<(), AdminError> {
        let deadline = Instant::now() + within;
        // What an older child taught must not keep a newer one from being asked for a vote history.
        let count = match require {
            Some(RecordKind::VoteHistory) => SET_IDENTITY_PARAMS_NEW,
            _ => self.set_identity_params.load(Ordering::Relaxed),
        };
        let first = self
            .set_identity(keypair, require, count, within, deadline)
            .await;
        let wanted = match &first {
            Err(AdminError {
                fault: Fault::Rpc { code, message },
                ..
            }) => params_wanted(*code, message, count),
            _ => None,
        };
        let Some(wanted) = wanted else { return first };
        self.set_identity_params.store(wanted, Ordering::Relaxed);
        self.set_identity(keypair, require, wanted, within, deadline)
            .await
    }

    /// # Errors
    /// No usable answer in time, or [`Fault::NotStarted`].
    pub async fn contact_info(&self, within: Duration) -> Result<ContactInfo, AdminError> {
        self.get("contactInfo", within).await
    }

    /// Asks the validator to end. It answers at once and takes seconds to follow.
    ///
    /// # Errors
    /// No usable answer in time. The validator may be ending all the same.
    pub async fn exit(&self, within: Duration) -> Result<(), AdminError> {
        self.call("exit", Params::None, within).await.map(drop)
    }

    /// When the validator process started, by its wall clock.
    ///
    /// # Errors
    /// No usable answer in time.
    pub async fn start_time(&self, within: Duration) -> Result<SystemTime, AdminError> {
        self.get("startTime", within).await
    }

    /// Address of the validator's JSON-RPC; none when it serves none.
    ///
    /// # Errors
    /// No usable answer in time.
    pub async fn rpc_address(&self, within: Duration) -> Result<Option<SocketAddr>, AdminError> {
        self.get("rpcAddress", within).await
    }

    async fn set_identity(
        &self,
        keypair: &[u8; 64],
        require: Option<RecordKind>,
        count: usize,
        within: Duration,
        deadline: Instant,
    ) -> Result<(), AdminError> {
        let method = "setIdentityFromBytes";
        let tower = require == Some(RecordKind::Tower);
        let history = require == Some(RecordKind::VoteHistory);
        if history && count == SET_IDENTITY_PARAMS_OLD {
            return Err(self.error(method, Fault::CannotRequireVoteHistory));
        }
        let flags = &[tower, history][..count - 1];
        let params = Params::Keypair { keypair, flags };
        self.call_until(method, params, within, deadline)
            .await
            .map(drop)
    }

    async fn get<T: DeserializeOwned>(
        &self,
        method: &'static str,
        within: Duration,
    ) -> Result<T, AdminError> {
        let result = self.call(method, Params::None, within).await?;
        T::deserialize(&result).map_err(|_| self.unexpected(method, &result))
    }

    async fn call(
        &self,
        method: &'static str,
        params: Params<'_>,
        within: Duration,
    ) -> Result<Value, AdminError> {
        self.call_until(method, params, within, Instant::now() + within)
            .await
    }

    async fn call_until(
        &self,
        method: &'static str,
        params: Params<'_>,
        within: Duration,
        deadline: Instant,
    ) -> Result<Value, AdminError> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let request = Request::new(id, method, params);
        let answer = timeout_at(deadline, exchange::ask(&self.path, &request)).await;
        answer
            .unwrap_or(Err(Fault::TimedOut { within }))
            .map_err(|fault| self.error(method, fault))
    }

    /// For an answer of the right form with a result of the wrong one. Only for calls without secrets.
    fn unexpected(&self, method: &'static str, result: &Value) -> AdminError {
        let shown = Shown::plain(result.to_string().as_bytes());
        self.error(method, Fault::Garbage(shown))
    }

    fn error(&self, method: &'static str, fault: Fault) -> AdminError {
        AdminError {
            method,
            path: self.path.clone(),
            fault,
        }
    }
}

/// A word, or an object whose only key is the word (`ValidatorStartProgress` in solana-core).
fn progress_of(result: &Value) -> Option<StartProgress> {
    match result {
        Value::String(word) if word == "Running" => Some(StartProgress::Running),
        Value::String(word) => Some(StartProgress::Starting {
            phase: word.clone(),
            slot: None,
            max_slot: None,
        }),
        Value::Object(fields) if fields.len() == 1 => {
            let (phase, inner) = fields.iter().next()?;
            let slot = |key| inner.get(key).and_then(Value::as_u64);
            Some(StartProgress::Starting {
                phase: phase.clone(),
                slot: slot("slot"),
                max_slot: slot("max_slot"),
            })
        }
        _ => None,
    }
}

/// The parameter count that the other generation of validators takes, if `message` says that `tried`
/// was not it. The texts are serde_json's for a tuple read from too short and too long an array.
fn params_wanted(code: i64, message: &Shown, tried: usize) -> Option<usize> {
    const INVALID_PARAMS: i64 = -32602;
    let (wanted, sign) = if tried == SET_IDENTITY_PARAMS_NEW {
        (
            SET_IDENTITY_PARAMS_OLD,
            ["expected a tuple of size 2", "expected fewer elements"],
        )
    } else {
        (
            SET_IDENTITY_PARAMS_NEW,
            ["expected a tuple of size 3", "expected a tuple of size 3"],
        )
    };
    let named = sign.iter().any(|sign| message.contains(sign));
    (code == INVALID_PARAMS && named).then_some(wanted)
}
