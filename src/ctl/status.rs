//! What `ctl status --json` prints, field by field. The names are fixed: scripts read them.
//!
//! A value that the supervisor does not know is `null`, never missing and never 0.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::time::Timestamp;
use crate::engine::values::Role;

/// One node as it sees itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Configured name of this node.
    pub node: String,
    /// Staked identity, base58.
    pub identity: Option<String>,
    /// Vote account, base58.
    pub vote_account: Option<String>,
    #[serde(with = "role_name")]
    pub role: Role,
    /// When the role began.
    pub since: Timestamp,
    /// Fencing number of this node's own holding; null while it has none.
    pub term: Option<u64>,
    /// Why the node is in this role, one sentence.
    pub reason: String,
    pub authority: AuthorityStatus,
    pub record: RecordStatus,
    pub gate: GateStatus,
    pub validator: ValidatorStatus,
    /// The other configured nodes, by name.
    pub peers: Vec<PeerStatus>,
    /// End of a pause; null when not paused.
    pub paused_until: Option<Timestamp>,
    /// Next slot in which the staked identity leads.
    pub next_leader_slot: Option<u64>,
}

/// Who grants the right to vote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthorityStatus {
    /// `etcd`, `peer` or `local`.
    pub kind: String,
    /// Node that holds the term.
    pub holder: Option<String>,
    pub healthy: Option<bool>,
    /// Until this node's own lease deadline; null without a lease.
    pub lease_left_ms: Option<u64>,
}

/// The newest committed vote record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordStatus {
    /// `tower` or `vote-history`.
    pub kind: Option<String>,
    /// Last slot voted for.
    pub slot: Option<u64>,
    /// Commits of this identity so far, across terms.
    pub seq: Option<u64>,
    /// Of the record's bytes, lower-case hex.
    pub sha256: Option<String>,
}

/// Votes at the gate since the supervisor started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateStatus {
    pub commits: u64,
    pub refused: u64,
    /// Votes that wait for their commit at this moment.
    pub waiting: u64,
    pub latency_us: LatencyStatus,
}

/// Microseconds from a vote's arrival at the gate to its release; null before the first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LatencyStatus {
    pub p50: Option<u64>,
    pub p99: Option<u64>,
    pub max: Option<u64>,
}

/// The child.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ValidatorStatus {
    /// `agave`, `jito`, …
    pub client: Option<String>,
    pub version: Option<String>,
    /// Null while no child runs.
    pub pid: Option<u32>,
    /// Identity that the child carries, base58.
    pub identity: Option<String>,
    pub healthy: Option<bool>,
    pub slot: Option<u64>,
    pub slots_behind: Option<u64>,
    /// URL of its RPC and why it does not answer; null while it does.
    #[serde(default)]
    pub rpc_trouble: Option<String>,
    /// How often the child was started again because it had ended by itself, since the supervisor started.
    pub restarts: u64,
}

/// Another node, as this one last heard of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerStatus {
    pub node: String,
    /// Null while it cannot be reached.
    #[serde(with = "role_name_or_null")]
    pub role: Option<Role>,
    pub healthy: Option<bool>,
    pub slots_behind: Option<u64>,
    /// Last slot in the vote record that it keeps.
    pub record_slot: Option<u64>,
    /// Version of its validator.
    #[serde(default)]
    pub version: Option<String>,
    /// When its validator was started.
    #[serde(default)]
    pub validator_since: Option<Timestamp>,
    /// How often its validator was started again because it had ended by itself.
    #[serde(default)]
    pub restarts: Option<u64>,
    /// Votes wait for its disk to have their record; null where the record is not kept by peers.
    #[serde(default)]
    pub in_step: Option<bool>,
    /// Age of its last message, in milliseconds; null when none came yet.
    pub seen_ms: Option<u64>,
    /// End of its pause; null when not paused.
    #[serde(default)]
    pub paused_until: Option<Timestamp>,
}

fn role_of<E: de::Error>(name: &str) -> Result<Role, E> {
    let found = Role::ALL.into_iter().find(|role| role.name() == name);
    found.ok_or_else(|| E::custom(format!("unknown role `{name}`")))
}

/// [`Role`] as the word that status, logs and metrics use for it.
pub(super) mod role_name {
    use super::{Deserialize, Deserializer, Role, Serializer, role_of};

    pub(in crate::ctl) fn serialize<S: Serializer>(role: &Role, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(role.name())
    }

    pub(in crate::ctl) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Role, D::Error> {
        role_of(&String::deserialize(from)?)
    }
}

mod role_name_or_null {
    use super::{Deserialize, Deserializer, Role, Serialize, Serializer, role_of};

    pub(super) fn serialize<S: Serializer>(role: &Option<Role>, to: S) -> Result<S::Ok, S::Error> {
        role.map(Role::name).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Role>, D::Error> {
        Option::<String>::deserialize(from)?
            .map(|name| role_of(&name))
            .transpose()
    }
}
