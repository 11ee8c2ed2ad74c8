//! What the engine remembers between two inputs.

use std::collections::BTreeSet;

use super::input::{Exit, GateFacts, Leads};
use super::table::Transition;
use super::values::{
    Identity, Millis, NodeName, Plea, PromoteFlags, RecordKind, RecordMark, RequestId, Role, Term,
};

/// A role with what is under way in it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Stage {
    Starting(Launch),
    CatchingUp,
    Standby,
    Promoting(Promotion),
    Active(Tenure),
    Demoting(Demotion),
    Fenced(Quiet),
    Parked,
    Stopping(Stop),
}

impl Stage {
    pub(super) fn role(&self) -> Role {
        match self {
            Self::Starting(_) => Role::Starting,
            Self::CatchingUp => Role::CatchingUp,
            Self::Standby => Role::Standby,
            Self::Promoting(_) => Role::Promoting,
            Self::Active(_) => Role::Active,
            Self::Demoting(_) => Role::Demoting,
            Self::Fenced(_) => Role::Fenced,
            Self::Parked => Role::Parked,
            Self::Stopping(_) => Role::Stopping,
        }
    }
}

/// Proof that the authority answered "held"; made only from that answer. `record` is the final one of the terms before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct TermHeld {
    pub(super) term: Term,
    pub(super) record: Option<RecordMark>,
}

impl TermHeld {
    /// Whether a record installed here lacks votes that an earlier holder may have sent.
    pub(super) fn is_newer_than(self, installed: Option<RecordMark>) -> bool {
        let place = |mark: RecordMark| (mark.term, mark.seq);
        self.record.map(place) > installed.map(place)
    }
}

/// Proof that the newest record is on this disk; made only from that answer. `None`: an operator says there never was one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct RecordDurable(pub(super) Option<RecordMark>);

/// Bringing the child up.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Launch {
    /// An earlier child is being ended, in order.
    EndFirst(End),
    /// A dead child's term is given back.
    Release(Pause),
    /// The wait before the next try.
    Backoff,
    /// Asking for the term again, where it outlives the child.
    Acquire,
    Install(TermHeld),
    OpenGate(TermHeld, RecordDurable),
    Link(Carry),
    Spawn(Carry),
    AwaitReady(Carry),
    /// It is up, and its votes wait in the gate until the record was compared with what the chain shows.
    Compare(TermHeld, RecordDurable),
    Mute,
    /// It is being killed. `counts`: for its own failure, such as not to answer.
    Kill {
        counts: bool,
    },
}

/// What comes between a dead child's release and the next start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Pause {
    /// The wait after a death, which counts against the restarts allowed.
    Died(Exit),
    /// The wait after an end that was wanted, which does not.
    Ended,
    /// The rest of a wait that was under way.
    Until(Millis),
}

/// The identity a child starts with, and what entitles it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Carry {
    Unstaked,
    Staked(TermHeld, RecordDurable),
}

impl Carry {
    pub(super) fn identity(self) -> Identity {
        match self {
            Self::Unstaked => Identity::Unstaked,
            Self::Staked(..) => Identity::Staked,
        }
    }
}

/// From standby to the first vote.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Promotion {
    pub(super) flags: PromoteFlags,
    /// The node that passed the term, and gets it back if this fails.
    pub(super) passed_by: Option<NodeName>,
    pub(super) step: PromoteStep,
    pub(super) fencing: Fencing,
    /// How often its first vote was reported late.
    pub(super) late: u32,
}

/// Whether a promotion may end nodes that cannot be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Fencing {
    /// It may not, or has tried.
    No,
    May,
}

/// The fence command was run. It outlives the promotion that ran it: whatever lets this node have the term later, the record here
/// may lack votes of the holder that was ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct FencedOff {
    /// Those that it was run for. With the holder among them, it is about that one alone.
    pub(super) nodes: BTreeSet<NodeName>,
    /// When it had ended, or its time was over.
    pub(super) ended_at: Millis,
    /// Since when they are gone, where that is known.
    pub(super) gone_at: Option<Millis>,
    /// The term of the newest record, once that was looked at. Under a later one somebody has gone on from the votes in question.
    pub(super) judged: Option<Term>,
    /// Why only an operator can have this node vote.
    pub(super) barred: Option<String>,
}

/// What the chain shows of the identity's votes, and what of it is accounted for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Chain {
    /// The newest vote it showed last, and when.
    pub(super) seen: Option<(u64, Millis)>,
    /// When it first showed that one.
    pub(super) moved: Millis,
    /// Up to this slot its votes are in the record that this holding starts from, or were vouched for by an operator. `None`:
    /// the record does not compare with what the chain shows.
    pub(super) accounted: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum PromoteStep {
    /// The switch of an earlier demotion has not shown yet.
    AwaitEarlierSwitch,
    Acquire,
    /// Those that cannot be asked for the term are being ended.
    Fence,
    /// What they had sent until then gets the time to show.
    AwaitVotes,
    Install(TermHeld),
    OpenGate(TermHeld, RecordDurable),
    TakeIdentity,
    AwaitSwitch,
    Unmute,
    Link,
    AwaitFirstVote,
}

/// Holding the term and voting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Tenure {
    /// When the last new commit was seen.
    pub(super) voted_at: Millis,
    /// Slot of the validator at that time.
    pub(super) slot_then: u64,
    /// When the silence was last reported.
    pub(super) paged_at: Option<Millis>,
}

/// From voting to unstaked, and what becomes of the term.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Demotion {
    pub(super) step: DemoteStep,
    pub(super) then: Then,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum DemoteStep {
    Quiet(Quiet),
    Settle,
}

/// Where a demotion leads.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Then {
    Stand,
    Park,
    Pass(NodeName),
}

/// Taking the child off the staked identity; the same for demotion, fencing and stopping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Quiet {
    /// The term is gone: what waits is refused before anything else.
    RefuseVotes,
    Mute,
    Unstake,
    CloseGate,
    Kill,
    Link,
}

/// Ending the supervisor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Stop {
    pub(super) step: StopStep,
    pub(super) code: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum StopStep {
    Quiet(Quiet),
    Release,
    End(End),
}

/// Ending the child in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum End {
    Asked,
    Terminated,
    Killed,
}

/// What is known of the child.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Child {
    pub(super) alive: bool,
    /// Its admin RPC has answered.
    pub(super) ready: bool,
    /// `None`: a change was asked for and its outcome is unknown.
    pub(super) identity: Option<Identity>,
    /// Certain to have no authorized voter.
    pub(super) muted: bool,
    /// This identity was asked for, and the thread that votes has not shown that it switched to it.
    pub(super) switch_due: Option<Identity>,
    /// When it was asked for.
    pub(super) switch_asked: Millis,
    /// Something that leads towards voting was asked of it, and may still be carried out behind whatever is asked next.
    pub(super) in_doubt: bool,
}

impl Child {
    pub(super) const DEAD: Self = Self {
        alive: false,
        ready: false,
        identity: Some(Identity::Unstaked),
        muted: true,
        switch_due: None,
        switch_asked: Millis(0),
        in_doubt: false,
    };

    /// No vote of the staked identity can be built by it, not even an unsent one.
    pub(super) fn harmless(self) -> bool {
        !self.alive || (self.muted && self.identity == Some(Identity::Unstaked) && !self.in_doubt)
    }

    /// Only its death is certain to take it off the staked identity. A voting thread that has yet to switch to the staked
    /// identity shows nothing when it is told to go back in time, so how far it got would never be known; and a late change
    /// may overtake the one that undoes it.
    pub(super) fn past_undoing(self) -> bool {
        self.in_doubt
            || (self.identity != Some(Identity::Unstaked)
                && self.switch_due == Some(Identity::Staked))
    }
}

/// A term in our hands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Hold {
    pub(super) term: Term,
    pub(super) lease_until: Option<Millis>,
    /// The lease ended with the child still on the identity, and the child was killed for it.
    pub(super) killed: bool,
}

/// Who holds the term, as last told.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Holder {
    Unknown,
    Nobody { since: Millis },
    Node(NodeName),
}

/// The validator's last word about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct OwnView {
    pub(super) at: Millis,
    pub(super) healthy: bool,
    pub(super) slot: u64,
    pub(super) behind: Option<u64>,
    /// When its slot was last seen to advance.
    pub(super) moved_at: Option<Millis>,
}

/// A peer's last word.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct PeerView {
    pub(super) at: Millis,
    pub(super) ready: Result<(), String>,
    pub(super) behind: Option<u64>,
    pub(super) priority: u32,
    pub(super) record: Option<RecordKind>,
    pub(super) active_term: Option<Term>,
}

/// What moves the identity from one node to another: planned here, wished for, or given away and not over yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Moves {
    /// Where the term went last, until we vote again.
    pub(super) passed_to: Option<NodeName>,
    pub(super) planned: Option<Planned>,
    pub(super) handed: Option<Handed>,
    /// The validator is restarted when the node that was handed the term votes.
    pub(super) restarts_next: bool,
    /// This node gave its term up for a handover, and nobody has been seen to vote since: it takes the term back where that can be had,
    /// whatever failover.mode and a pause say.
    pub(super) takes_back: bool,
    /// Why the term could not be passed on last.
    pub(super) not_passed: Option<String>,
    /// This standby asks the holder for the term.
    pub(super) wish: Option<Wish>,
    /// What the holder says to that.
    pub(super) wish_answer: Option<String>,
    /// A node that asks for our term, and why it is not given it yet.
    pub(super) declined: Option<(NodeName, String)>,
    pub(super) leads: Leads,
}

/// A handover that waits for a stretch without leader slots of ours.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Planned {
    pub(super) to: NodeName,
    pub(super) until: Millis,
    /// What the transition is to say.
    pub(super) detail: String,
    /// The validator is restarted once the other node votes.
    pub(super) restarts: bool,
    /// It is a demotion: whatever becomes of the other node, this one stops voting by then.
    pub(super) parks: bool,
    /// That node's operator asked for it, and may take it back.
    pub(super) wished: bool,
    /// What was told of last, of what it waits for.
    pub(super) told: Option<String>,
}

/// What an operator wants of the node that votes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Wish {
    /// It is asked for its term until then.
    pub(super) until: Millis,
    pub(super) plea: Plea,
    /// Since when that node is gone.
    pub(super) gone_at: Option<Millis>,
}

/// A term that another node was given.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Handed {
    pub(super) to: NodeName,
    /// The term that was ours.
    pub(super) under: Term,
    /// By when it is to vote.
    pub(super) until: Millis,
    /// The term under which it was seen to vote.
    pub(super) votes: Option<Term>,
}

/// An operator who waits, and for what.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Waiter {
    pub(super) request: RequestId,
    pub(super) wants: Want,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Want {
    Vote,
    Off,
    /// Another node votes.
    Handover,
    Up,
}

/// The last transition, for `explain`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Entered {
    pub(super) at: Millis,
    pub(super) by: Option<TransitionRef>,
    pub(super) detail: String,
}

/// Place of a row in the table; rows themselves do not hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct TransitionRef(pub(super) usize);

impl TransitionRef {
    pub(super) fn row(self) -> Option<&'static Transition> {
        super::table::TRANSITIONS.get(self.0)
    }
}

/// What is known of the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Gate {
    /// Open, or being opened or closed, under this term. `None`: certainly closed.
    pub(super) open: Option<Term>,
    pub(super) facts: GateFacts,
}
