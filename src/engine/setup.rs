//! What the engine is told once, before anything happens.

use super::values::NodeName;
use std::collections::BTreeSet;

/// The constants of one run, and of one reload.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Setup {
    pub node: NodeName,
    pub authority: AuthorityTraits,
    /// Takes over by itself when the holder is gone.
    pub automatic: bool,
    /// Place among the standbys: 0 takes over first.
    pub rank: u32,
    /// The command that ends nodes out of reach; `None`: there is none.
    pub fence: Option<Fence>,
    pub timing: Timing,
}

/// A command that ends nodes out of reach.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Fence {
    /// By when it has ended, for all of them.
    pub within_ms: u64,
    /// All nodes of the configuration. In the order of their names they take turns, whoever of them is heard.
    pub nodes: BTreeSet<NodeName>,
}

/// What the protocol of an authority makes possible.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AuthorityTraits {
    /// Nobody else can hold the term, so it outlives the child and the supervisor.
    pub alone: bool,
    /// The term can be passed to a chosen node.
    pub passes: bool,
    /// A term lives no longer than its lease. One whose lease was never told (`AuthorityNews::Lease`) counts as run out.
    pub leased: bool,
}

/// Spans in milliseconds, counts in units.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Timing {
    /// One admin RPC, one link, one record install.
    pub step_ms: u64,
    /// From the start of a promotion to its first committed vote.
    pub promote_ms: u64,
    /// From being given the term to the first vote; then it goes back.
    pub handover_ms: u64,
    /// Slots behind the cluster at which a node is not handed the term: it would vote that much later.
    pub handover_slots: u64,
    /// Slots without a leader slot of ours that a handover waits for.
    pub clear_slots: u64,
    /// How long it waits for them.
    pub clear_within_ms: u64,
    /// How long a demotion does, which then begins all the same.
    pub demote_clear_ms: u64,
    /// Silence at the gate before it closes in a demotion.
    pub gate_quiet_ms: u64,
    /// From exec to the first answer of the admin RPC.
    pub start_ms: u64,
    /// From the exit request to SIGTERM.
    pub exit_ms: u64,
    /// From SIGTERM to SIGKILL.
    pub term_ms: u64,
    /// How old a reading of the validator may be and still count.
    pub stale_ms: u64,
    /// Slots behind the cluster at which a validator counts as caught up.
    pub caught_up_slots: u64,
    /// How long before the end of the lease the child is taken off the identity.
    pub lease_margin_ms: u64,
    /// How long a standby waits per rank before it takes over.
    pub takeover_stagger_ms: u64,
    /// How long the node may look cut off before it steps down.
    pub isolated_ms: u64,
    /// How long the cluster may go on without a vote of ours before that is trouble.
    pub silent_ms: u64,
    /// How long the chain must have shown no new vote before a node that cannot be asked is passed over. Longer than a vote takes
    /// to show.
    pub chain_quiet_ms: u64,
    /// First wait before a restart; doubles up to `backoff_max_ms`.
    pub backoff_min_ms: u64,
    pub backoff_max_ms: u64,
    /// Restarts allowed within `restart_window_ms`.
    pub restart_max: u32,
    pub restart_window_ms: u64,
}
