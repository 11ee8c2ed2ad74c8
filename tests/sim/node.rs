//! One machine: its disk, its supervisor, its validator, and what is wrong with it.

use crate::child::Child;
use crate::client::Client;
use crate::record::Record;
use crate::store::Disk;
use validator_supervisor::engine::values::{Identity, Millis, OpId, RecordMark, RequestId};
use validator_supervisor::engine::vote_gate::VoteGate;
use validator_supervisor::engine::{Engine, GateFacts, Setup};

#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) setup: Setup,
    pub(crate) disk: Disk,
    /// The record file in the validator's directory, and the one before it.
    pub(crate) ledger: Option<Record>,
    pub(crate) ledger_before: Option<Record>,
    pub(crate) link: Identity,
    pub(crate) sup: Option<Sup>,
    pub(crate) child: Option<Child>,
    pub(crate) trouble: Trouble,
    /// When it was last told to vote, and when each `demote` reached it; whether the last word was an answered `demote`.
    pub(crate) wanted_up: u64,
    pub(crate) wanted_off: std::collections::BTreeMap<RequestId, u64>,
    pub(crate) demoted: bool,
    /// What happens when it moves again.
    pub(crate) stalled: std::collections::VecDeque<crate::world::Event>,
}

/// Until when something is wrong; 0 where nothing is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trouble {
    pub(crate) cut_from_store: u64,
    pub(crate) cut_from_cluster: u64,
    pub(crate) hung: u64,
    pub(crate) suspended: u64,
    pub(crate) suspend_at_commit: u64,
    pub(crate) stalled: u64,
    pub(crate) admin: u64,
    pub(crate) lossy: u64,
    pub(crate) stubborn: u64,
    pub(crate) slow_start: u64,
    /// A supervisor is dead or hung since then.
    pub(crate) unguarded_since: Option<u64>,
    /// When its last suspend ended.
    pub(crate) resumed_at: u64,
}

#[derive(Debug)]
pub(crate) struct Sup {
    pub(crate) life: u64,
    pub(crate) engine: Engine,
    pub(crate) client: Client,
    pub(crate) gate: Gate,
    pub(crate) woken_at: Option<Millis>,
    pub(crate) last_slot: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Gate {
    pub(crate) vote: VoteGate,
    /// Not opened yet for a child that started staked: what comes waits.
    pub(crate) holding: bool,
    pub(crate) held_since: Option<u64>,
    pub(crate) waiting: Option<Waiting>,
    pub(crate) closing: Option<(OpId, u64)>,
    pub(crate) busy_at: u64,
    pub(crate) facts: GateFacts,
}

#[derive(Clone, Debug)]
pub(crate) struct Waiting {
    pub(crate) pid: u64,
    pub(crate) record: Record,
    pub(crate) mark: RecordMark,
    pub(crate) since: u64,
}

impl Node {
    /// The staked identity is set in a live validator.
    pub(crate) fn carries_identity(&self) -> bool {
        self.child
            .as_ref()
            .is_some_and(|child| child.admin == Identity::Staked)
    }

    pub(crate) fn life(&self) -> Option<u64> {
        self.sup.as_ref().map(|sup| sup.life)
    }
}
