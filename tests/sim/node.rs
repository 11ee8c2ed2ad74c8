//! One machine: its disk, its supervisor, its validator, and what is wrong with it.

use crate::authority::Authority;
use crate::child::Child;
use crate::disk::Disk;
use crate::event::Event;
use crate::peer::Peer;
use crate::record::Record;
use crate::rng::Rng;
use crate::store::client::Client;
use std::collections::BTreeMap;
use validator_supervisor::engine::values::{
    Identity, Millis, NodeName, OpId, RecordMark, RequestId,
};
use validator_supervisor::engine::vote_gate::VoteGate;
use validator_supervisor::engine::{Engine, GateFacts, Setup, Timing};

#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) setup: Setup,
    pub(crate) disk: Disk,
    /// The record file in the validator's directory, and the one before it.
    pub(crate) ledger: Option<Record>,
    pub(crate) ledger_before: Option<Record>,
    pub(crate) link: Identity,
    /// Under the authority `peer`: votes wait while no other node keeps their records.
    pub(crate) holds_on_loss: bool,
    pub(crate) sup: Option<Sup>,
    pub(crate) child: Option<Child>,
    pub(crate) trouble: Trouble,
    /// When it was last told to vote, and when each `demote` reached it; whether the last word was an answered `demote`.
    pub(crate) wanted_up: u64,
    pub(crate) wanted_off: BTreeMap<RequestId, u64>,
    pub(crate) demoted: bool,
    /// What happens when it moves again.
    pub(crate) stalled: std::collections::VecDeque<Event>,
}

impl Node {
    pub(crate) fn new(index: usize, authority: Authority, rng: &mut Rng) -> Self {
        let restart_max = if rng.chance(10) { 3 } else { 1_000 };
        let timing = Timing {
            step_ms: 400,
            promote_ms: 4_000,
            handover_ms: 2_000,
            handover_slots: 8,
            clear_slots: 12,
            clear_within_ms: 20_000,
            demote_clear_ms: 5_000,
            gate_quiet_ms: 60,
            start_ms: 6_000,
            exit_ms: 600,
            term_ms: 500,
            stale_ms: 1_200,
            caught_up_slots: 4,
            lease_margin_ms: 1_100,
            takeover_stagger_ms: 400,
            isolated_ms: 1_500,
            silent_ms: 3_000,
            chain_quiet_ms: 5_000,
            backoff_min_ms: 200,
            backoff_max_ms: 3_000,
            restart_max,
            restart_window_ms: 20_000,
        };
        let setup = Setup {
            node: NodeName(format!("n{index}")),
            authority: authority.traits(),
            automatic: true,
            rank: index as u32,
            fence: None,
            timing,
        };
        Self {
            setup,
            disk: Disk::default(),
            ledger: None,
            ledger_before: None,
            link: Identity::Unstaked,
            holds_on_loss: authority == Authority::Peers && rng.chance(50),
            sup: None,
            child: None,
            trouble: Trouble::default(),
            wanted_up: 0,
            wanted_off: BTreeMap::new(),
            demoted: false,
            stalled: Default::default(),
        }
    }
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
    pub(crate) disk_slow: u64,
    pub(crate) cut_at_end: u64,
    pub(crate) off_at_end: u64,
    pub(crate) cut_at_ask: Option<(usize, u64)>,
    /// The machine is switched off until then.
    pub(crate) off: u64,
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
    /// Its side of the store.
    pub(crate) client: Client,
    /// Its side of the agreement with the other nodes.
    pub(crate) peer: Option<Peer>,
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
