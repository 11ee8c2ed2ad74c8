//! Why `supervisor ctl` has nothing to show, and what to do about it.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::ctl::wire::WireError;

#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error(
        "no supervisor listens at {}: there is no such socket. Is the unit running (`systemctl status validator-supervisor`)? Else name the socket of its `[control] socket` with --socket",
        .0.display()
    )]
    NoSocket(PathBuf),
    #[error(
        "no supervisor listens at {}: the one that made the socket is gone. See `systemctl status validator-supervisor`",
        .0.display()
    )]
    NobodyListens(PathBuf),
    #[error("permission denied on {}: run it with sudo{}", path.display(), or_group(group.as_deref()))]
    Denied {
        path: PathBuf,
        group: Option<String>,
    },
    #[error("socket path {} is {len} bytes long, and a unix socket's is at most 107", path.display())]
    PathTooLong { path: PathBuf, len: usize },
    #[error(
        "the supervisor at {} has not answered for {waited:?}: it hangs, or is overloaded. See `journalctl -u validator-supervisor`",
        path.display()
    )]
    Hangs { path: PathBuf, waited: Duration },
    #[error("the supervisor at {} closed the connection without an answer: it has stopped or restarts", path.display())]
    Closed { path: PathBuf },
    #[error(
        "the supervisor ended while the command was running: it may be half done, see `supervisor ctl status` when the unit is up again"
    )]
    ClosedUnderWay,
    #[error("cannot talk to {}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("the answer is not understood: {0}")]
    Wire(#[from] WireError),
    #[error("the answer is longer than {0} bytes, and is not read on")]
    TooLong(usize),
    #[error("the answer is not one to this request")]
    Unexpected,
    /// In the supervisor's words.
    #[error("{0}")]
    Answered(String),
    #[error("interrupted")]
    Interrupted,
    #[error("cannot watch for Ctrl-C: {0}")]
    Signals(io::Error),
}

fn or_group(group: Option<&str>) -> String {
    group.map_or_else(String::new, |group| {
        format!(", or as a member of group `{group}`")
    })
}
