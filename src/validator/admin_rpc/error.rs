//! What can go wrong with one call, told apart.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use nix::unistd::Pid;

use super::exchange::Shown;
use super::{ANSWER_BYTES_MAX, PATH_BYTES_MAX};

/// One call of the admin RPC that did not succeed.
#[derive(Debug, thiserror::Error)]
#[error("admin RPC {method} on {}: {fault}", path.display())]
pub struct AdminError {
    pub method: &'static str,
    pub path: PathBuf,
    pub fault: Fault,
}

/// The kind of failure. From [`Fault::TimedOut`] on, the validator may have done what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    #[error(
        "the path is {len} bytes long and a unix socket's is at most {PATH_BYTES_MAX}, for the validator too: use a shorter --ledger path"
    )]
    PathTooLong { len: usize },
    #[error(
        "there is no such socket: the validator has not opened it yet, or runs on another ledger"
    )]
    NoSocket,
    #[error("nobody listens on it: the validator that made it is gone")]
    Refused,
    #[error("permission denied: run the supervisor as the validator's user or as root")]
    Denied,
    #[error(
        "pid {pid} ({name}, uid {uid}) listens on it, which is not the validator that this supervisor started: it was told nothing; end it, and the validator opens the socket anew at its next start"
    )]
    Stranger { pid: Pid, name: Shown, uid: u32 },
    #[error("the connection failed: {0}")]
    Io(io::Error),
    /// The validator's "Retry once validator start up is complete".
    #[error("the validator is still starting; try again when its start is complete")]
    NotStarted,
    #[error("the validator answers with error {code}: {message}")]
    Rpc { code: i64, message: Shown },
    #[error(
        "this validator's setIdentity has no require_vote_history: it is older than 4.2, update it before it votes in Alpenglow"
    )]
    CannotRequireVoteHistory,
    #[error("no answer within {within:?}: the validator hangs, or the machine is overloaded")]
    TimedOut { within: Duration },
    #[error("the connection was closed after {bytes} bytes of the answer")]
    ClosedHalfWay { bytes: usize },
    #[error("the answer is longer than {ANSWER_BYTES_MAX} bytes")]
    TooLarge,
    #[error("the answer is not a JSON-RPC one: {0}")]
    Garbage(Shown),
    #[error("the answer is to another request: id {got}, asked with {asked}")]
    WrongId { asked: u64, got: Shown },
}

impl Fault {
    /// The validator has certainly not done what it was asked: it was not reached, or it said no.
    #[must_use]
    pub fn is_certain(&self) -> bool {
        matches!(
            self,
            Self::PathTooLong { .. }
                | Self::NoSocket
                | Self::Refused
                | Self::Denied
                | Self::Stranger { .. }
                | Self::NotStarted
                | Self::Rpc { .. }
                | Self::CannotRequireVoteHistory
        )
    }
}
