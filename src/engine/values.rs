//! The words of the engine: plain values, shared by everything around it.
//!
//! Nothing here holds a channel, a handle, a clock or a secret: values compare, log and replay.

use std::fmt;

/// Milliseconds on a clock that never steps and counts suspended time (`CLOCK_BOOTTIME`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Millis(pub u64);

impl Millis {
    #[must_use]
    pub fn plus(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Milliseconds from `earlier` to `self`; 0 when `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// Fencing number of one holding. Grows with every acquisition, in whoever's hands; 0 is "never held".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Term(pub u64);

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Ties an outcome to the effect that asked for it, and to the term it was asked under.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpId {
    pub term: Term,
    pub seq: u64,
}

/// A configured name of a node of the set, such as `fra-1`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeName(pub String);

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// The two keypairs a node can carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Identity {
    Staked,
    Unstaked,
}

impl Identity {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Staked => "staked",
            Self::Unstaked => "unstaked",
        }
    }
}

/// Which consensus protocol a vote record belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RecordKind {
    /// `tower-1_9-<identity>.bin`, Tower BFT.
    Tower,
    /// `vote_history-<identity>.bin`, Alpenglow.
    VoteHistory,
}

impl RecordKind {
    pub const ALL: [Self; 2] = [Self::Tower, Self::VoteHistory];

    /// The word for it in output and in stored forms.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Tower => "tower",
            Self::VoteHistory => "vote-history",
        }
    }
}

/// What the engine knows of a vote record. The bytes stay outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordMark {
    /// Term under which it was committed; 0 for one found in a ledger and never committed.
    pub term: Term,
    /// Grows with every commit of this identity, across terms.
    pub seq: u64,
    /// Last slot voted for.
    pub slot: u64,
    pub kind: RecordKind,
}

/// What a node is doing. `table::TRANSITIONS` says how it gets from one to the next, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// The child is being started, or waits for its restart.
    Starting,
    /// The child is up and muted, and not yet known to be healthy.
    CatchingUp,
    /// Healthy, muted, unstaked: may be promoted.
    Standby,
    /// On the way from standby to the first committed vote.
    Promoting,
    /// Holds the term, and its child votes.
    Active,
    /// On the way from voting to unstaked, the term not yet passed on.
    Demoting,
    /// The term is lost: the child is being taken off the staked identity, by force if need be.
    Fenced,
    /// As a standby, but not promoted until an operator says so.
    Parked,
    /// Told to end: gives everything back, then exits.
    Stopping,
}

impl Role {
    pub const ALL: [Self; 9] = [
        Self::Starting,
        Self::CatchingUp,
        Self::Standby,
        Self::Promoting,
        Self::Active,
        Self::Demoting,
        Self::Fenced,
        Self::Parked,
        Self::Stopping,
    ];

    /// The word for it in status, logs and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::CatchingUp => "catching-up",
            Self::Standby => "standby",
            Self::Promoting => "promoting",
            Self::Active => "active",
            Self::Demoting => "demoting",
            Self::Fenced => "fenced",
            Self::Parked => "parked",
            Self::Stopping => "stopping",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Names one request of an operator for as long as it is being served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// What an operator can ask of the engine. Reading requests (`status`, `explain`, `history`) never reach it.
///
/// `at_once`: what hands over does not wait for a stretch without leader slots of the identity.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Command {
    /// Stop voting here, hand over if possible, and park.
    Demote { at_once: bool },
    /// Vote here.
    Promote(PromoteFlags),
    /// Pass the term to `to`, or to the best ready standby.
    Handover { to: Option<NodeName>, at_once: bool },
    /// Unpark, and end a pause.
    Resume,
    /// Decide nothing automatically until `until`.
    Pause { until: Millis },
    /// Restart the validator in place.
    Restart { at_once: bool },
    /// Vote here in place of the node that votes, which restarts its validator then.
    Relieve { at_once: bool },
}

/// What an operator says of a promotion beside it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PromoteFlags {
    /// This identity has never voted: no record is expected anywhere.
    pub first_vote: bool,
    /// The other node may still be voting, and that risk is taken.
    pub accept_double_vote_risk: bool,
    /// The node that votes, if there is one, is to hand over without waiting for a stretch without leader slots.
    pub at_once: bool,
}

/// What the operator of a standby wants of the node that votes, beside its term.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Plea {
    /// It is to restart its validator when it has handed over.
    pub restarts: bool,
    /// It is not to wait for a stretch without leader slots.
    pub at_once: bool,
}

/// How an admitted or refused command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// Done, or nothing had to be done.
    Done,
    /// Refused or failed; nothing is left half-way.
    Refused,
    /// Refused because it needs an explicit flag.
    Unsafe,
}
