//! The words between `supervisor ctl` and the supervisor: one JSON object a line, both ways.
//!
//! A connection carries one request. The answer is any number of `progress` lines and then one
//! line of another kind, after which the supervisor closes. Every line says its version, `"v":1`:
//!
//! ```text
//! > {"v":1,"request":"promote","first_vote":true}
//! < {"v":1,"reply":"progress","text":"acquired term 7"}
//! < {"v":1,"reply":"final","verdict":"done","text":"fra-1 votes, term 7"}
//! ```

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::status::role_name;
pub use super::status::{
    AuthorityStatus, GateStatus, LatencyStatus, PeerStatus, RecordStatus, Status, ValidatorStatus,
};
pub use super::time::Timestamp;
use crate::engine::values::{self, Command, Millis, NodeName, PromoteFlags, Role};

/// The one version of these words so far.
pub const VERSION: u64 = 1;
/// A longer request line is refused unread.
pub const REQUEST_BYTES_MAX: usize = 64 * 1024;
/// A client gives up on a longer reply line.
pub const REPLY_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What an operator asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    Status {},
    Explain {},
    /// The last `limit` transitions, or all that are kept.
    History {
        #[serde(default)]
        limit: Option<u32>,
    },
    Demote {
        /// Do not wait for leader slots to pass.
        #[serde(default, skip_serializing_if = "is_false")]
        now: bool,
    },
    Promote {
        /// This identity has never voted: no record is expected anywhere.
        #[serde(default)]
        first_vote: bool,
        /// The other node may still be voting, and that risk is taken.
        #[serde(default)]
        accept_double_vote_risk: bool,
        /// The node that votes does not wait for a stretch without leader slots.
        #[serde(default, skip_serializing_if = "is_false")]
        now: bool,
    },
    /// Pass the term to `to`, or to the best ready standby.
    Handover {
        #[serde(default)]
        to: Option<String>,
        /// Do not wait for a stretch without leader slots.
        #[serde(default)]
        now: bool,
    },
    Resume {},
    /// Decide nothing automatically for this long.
    Pause {
        for_ms: u64,
    },
    Restart {
        /// One that votes does not wait for a stretch without leader slots.
        #[serde(default, skip_serializing_if = "is_false")]
        now: bool,
    },
    /// Rehearse a handover.
    Drill {},
    /// Vote here in place of the node that votes, which restarts its validator then.
    Relieve {
        #[serde(default, skip_serializing_if = "is_false")]
        now: bool,
    },
}

/// A supervisor of an earlier version takes a request that asks for nothing new.
fn is_false(flag: &bool) -> bool {
    !flag
}

impl Request {
    /// Whether its end may be minutes away: of leader slots, of another node, or of a validator that starts.
    #[must_use]
    pub fn may_take_long(&self) -> bool {
        match self {
            Self::Demote { now } => !now,
            Self::Promote { .. }
            | Self::Handover { .. }
            | Self::Restart { .. }
            | Self::Drill {}
            | Self::Relieve { .. } => true,
            Self::Status {}
            | Self::Explain {}
            | Self::History { .. }
            | Self::Resume {}
            | Self::Pause { .. } => false,
        }
    }

    /// The engine's command for it, given at `now` of the engine's clock; none for a request that only reads.
    #[must_use]
    pub fn command(&self, now: Millis) -> Option<Command> {
        match self {
            Self::Status {} | Self::Explain {} | Self::History { .. } | Self::Drill {} => None,
            Self::Demote { now } => Some(Command::Demote { at_once: *now }),
            Self::Promote {
                first_vote,
                accept_double_vote_risk,
                now,
            } => Some(Command::Promote(PromoteFlags {
                first_vote: *first_vote,
                accept_double_vote_risk: *accept_double_vote_risk,
                at_once: *now,
            })),
            Self::Handover { to, now } => Some(Command::Handover {
                to: to.clone().map(NodeName),
                at_once: *now,
            }),
            Self::Resume {} => Some(Command::Resume),
            Self::Pause { for_ms } => Some(Command::Pause {
                until: now.plus(*for_ms),
            }),
            Self::Restart { now } => Some(Command::Restart { at_once: *now }),
            Self::Relieve { now } => Some(Command::Relieve { at_once: *now }),
        }
    }
}

/// What the supervisor answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "kebab-case")]
pub enum Reply {
    /// The command is admitted, or got one step further. More lines follow.
    Progress {
        text: String,
    },
    /// The command has ended.
    Final {
        verdict: Verdict,
        text: String,
    },
    Status {
        status: Box<Status>,
    },
    Explain {
        explain: Box<Explain>,
    },
    /// Oldest first.
    History {
        entries: Vec<HistoryEntry>,
    },
    /// The request was not understood, not allowed, or went unanswered.
    Error {
        text: String,
    },
}

impl Reply {
    #[must_use]
    pub fn progress(text: impl Into<String>) -> Self {
        Self::Progress { text: text.into() }
    }

    #[must_use]
    pub fn end(verdict: values::Verdict, text: impl Into<String>) -> Self {
        Self::Final {
            verdict: verdict.into(),
            text: text.into(),
        }
    }

    /// Whether the connection closes after it.
    #[must_use]
    pub fn is_last(&self) -> bool {
        !matches!(self, Self::Progress { .. })
    }
}

/// How a command ended; see [`values::Verdict`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    Done,
    Refused,
    Unsafe,
}

impl From<values::Verdict> for Verdict {
    fn from(verdict: values::Verdict) -> Self {
        match verdict {
            values::Verdict::Done => Self::Done,
            values::Verdict::Refused => Self::Refused,
            values::Verdict::Unsafe => Self::Unsafe,
        }
    }
}

/// Why the node is in its role, and what comes next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explain {
    pub node: String,
    #[serde(with = "role_name")]
    pub role: Role,
    pub since: Timestamp,
    /// The sentence of the transition that led here.
    pub because: String,
    /// What that transition adds, such as a slot or an error.
    pub detail: Option<String>,
    /// What is under way.
    pub doing: String,
    /// What would end this role; null when it ends as soon as what is under way is done.
    pub next: Option<String>,
    /// When what is under way has to be done.
    pub deadline: Option<Timestamp>,
    /// What the deadline is for.
    pub deadline_for: Option<String>,
}

/// One change of role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryEntry {
    pub at: Timestamp,
    #[serde(with = "role_name")]
    pub from: Role,
    #[serde(with = "role_name")]
    pub to: Role,
    pub term: Option<u64>,
    /// The table's short name for the cause.
    pub cause: String,
    /// The table's sentence, with its values.
    pub text: String,
}

/// A line that is not a message of this version.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    #[error("the line is not JSON: {0}")]
    NotJson(#[source] serde_json::Error),
    #[error("the line is JSON, but not an object")]
    NotAnObject,
    #[error("`v` is missing: begin with {{\"v\":{VERSION}, …}}")]
    NoVersion,
    #[error(
        "`v` is {0}, and this program speaks {VERSION}: use the `supervisor ctl` of the running version"
    )]
    OtherVersion(String),
    #[error("not a message of version {VERSION}: {0}")]
    NotUnderstood(#[source] serde_json::Error),
}

/// A request from its line, with or without the newline.
///
/// # Errors
/// What is wrong with the line, in words for its sender.
pub fn parse_request(line: &[u8]) -> Result<Request, WireError> {
    parse(line)
}

/// A reply from its line, with or without the newline.
///
/// # Errors
/// What is wrong with the line.
pub fn parse_reply(line: &[u8]) -> Result<Reply, WireError> {
    parse(line)
}

/// The line of a request, newline included.
#[must_use]
pub fn request_line(request: &Request) -> String {
    line(request)
}

/// The line of a reply, newline included.
#[must_use]
pub fn reply_line(reply: &Reply) -> String {
    line(reply)
}

fn parse<T: for<'de> Deserialize<'de>>(line: &[u8]) -> Result<T, WireError> {
    let value: Value = serde_json::from_slice(line).map_err(WireError::NotJson)?;
    let Value::Object(mut fields) = value else {
        return Err(WireError::NotAnObject);
    };
    match fields.remove("v") {
        None => return Err(WireError::NoVersion),
        Some(v) if v.as_u64() == Some(VERSION) => {}
        Some(v) => {
            return Err(WireError::OtherVersion(
                v.to_string().chars().take(20).collect(),
            ));
        }
    }
    serde_json::from_value(Value::Object(fields)).map_err(WireError::NotUnderstood)
}

fn line<T: Serialize>(message: &T) -> String {
    #[derive(Serialize)]
    struct Line<'a, T> {
        v: u64,
        #[serde(flatten)]
        message: &'a T,
    }
    // These types have string keys and no failing serializer; should one fail all the same, an
    // error line still tells the other side more than a closed connection.
    let mut text = serde_json::to_string(&Line {
        v: VERSION,
        message,
    })
    .unwrap_or_else(|_| {
        format!(
            r#"{{"v":{VERSION},"reply":"error","text":"the answer cannot be written as JSON"}}"#
        )
    });
    text.push('\n');
    text
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
