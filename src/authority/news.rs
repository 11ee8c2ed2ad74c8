//! What an authority with other nodes tells the daemon, and what the daemon gives it.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::engine::AuthorityNews;
use crate::engine::values::{Millis, NodeName, RecordKind};

/// What an authority with other nodes tells without being asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// For the engine.
    Term(AuthorityNews),
    /// A member has come or changed; `None`: it has gone.
    Member {
        node: NodeName,
        member: Option<Member>,
    },
    /// Something an operator should know; told when it begins, and again when it changes, not too often.
    Trouble { part: Part, why: String },
    /// That trouble has passed.
    Well(Part),
}

/// Which of the things that run at once has trouble.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    Lease,
    Watch,
    Member,
    /// What stands under the holder's key or the record's.
    Keys,
    /// The link to another node.
    Link(NodeName),
    /// The files of the state directory.
    Disk,
}

/// The word for it in logs.
impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Lease => f.write_str("lease"),
            Self::Watch => f.write_str("watch"),
            Self::Member => f.write_str("member"),
            Self::Keys => f.write_str("keys"),
            Self::Link(node) => write!(f, "link to {node}"),
            Self::Disk => f.write_str("disk"),
        }
    }
}

/// What a supervisor says of itself to the others. Readings, good for a person and for the choice of a
/// successor; nothing that safety rests on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// The role's word.
    pub role: String,
    /// It could be promoted at once.
    pub ready: bool,
    /// Why it could not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unready: Option<Box<str>>,
    /// Its validator is healthy; `None`: not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub healthy: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slots_behind: Option<u64>,
    /// Last slot of the newest record on its own disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record_slot: Option<u64>,
    /// And what that record is; none, too, for a kind that only a newer supervisor knows.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "record_kind_name"
    )]
    pub record_kind: Option<RecordKind>,
    /// Its operator wants it to vote.
    #[serde(default)]
    pub asks: bool,
    /// And the node that hands over to restart its validator then.
    #[serde(default)]
    pub relieves: bool,
    /// And not to wait for a stretch without leader slots.
    #[serde(default)]
    pub at_once: bool,
    /// When it started its validator last, in milliseconds of Unix time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validator_since_unix_ms: Option<u64>,
    /// How often its validator was started again because it had ended by itself.
    #[serde(default)]
    pub restarts: u64,
    /// The version of its validator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// It votes, and another node asks for the term: why that one is not given it yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub declines: Option<String>,
    /// Higher goes first.
    #[serde(default)]
    pub priority: u32,
    /// The term it votes under.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_term: Option<u64>,
    /// Its operator asks the others to rehearse a handover: a number, another one for every drill.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drill: Option<u64>,
    /// What came of the last rehearsal here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rehearsal: Option<Box<Rehearsal>>,
    /// It decides nothing by itself until then, in milliseconds of Unix time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused_until_unix_ms: Option<u64>,
}

/// [`RecordKind`] as the word that status and logs use for it.
mod record_kind_name {
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    use crate::engine::values::RecordKind;

    pub(super) fn serialize<S: Serializer>(
        kind: &Option<RecordKind>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        kind.map(RecordKind::name).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<RecordKind>, D::Error> {
        let name = Option::<String>::deserialize(from)?;
        let mut kinds = RecordKind::ALL.into_iter();
        Ok(kinds.find(|kind| Some(kind.name()) == name.as_deref()))
    }
}

impl Member {
    /// In more than a reading that moves with every slot.
    pub(super) fn differs_in_kind(&self, other: &Self) -> bool {
        let still = |member: &Self| Self {
            slots_behind: None,
            record_slot: None,
            ..member.clone()
        };
        still(self) != still(other)
    }
}

/// What one node found when it rehearsed its part of a handover.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rehearsal {
    /// The drill it was for.
    pub drill: u64,
    pub steps: Vec<Rehearsed>,
}

/// One step of it, done for real.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rehearsed {
    pub step: String,
    pub took_us: u64,
    /// What would have been refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

/// What the daemon gives to an authority that runs on its own.
pub struct Surroundings {
    /// The engine's clock.
    pub clock: fn() -> Millis,
    /// Exists, and is this supervisor's alone.
    pub state_dir: PathBuf,
    /// Takes news, and never waits.
    pub tell: Box<dyn Fn(News) + Send + Sync>,
}

impl std::fmt::Debug for Surroundings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Surroundings")
            .field("state_dir", &self.state_dir)
            .finish_non_exhaustive()
    }
}
