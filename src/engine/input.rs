//! Everything that can happen to the engine. Inputs are facts; none of them is a decision.

use super::setup::Setup;
use super::values::{
    Command, Millis, NodeName, OpId, Plea, RecordKind, RecordMark, RequestId, Term,
};

/// One thing that happened, handed to `Engine::step` together with the time.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Input {
    /// The process has started; the first input of every engine, exactly once.
    Begin,
    /// A deadline named by `next_deadline` has come. Harmless when it has not.
    Tick,
    /// An effect has ended.
    Done(OpId, Outcome),
    /// The admin RPC of the child answers `Running`.
    ChildReady,
    /// The child has ended and is reaped.
    ChildExited(Exit),
    /// The thread that votes has loaded the record of the identity it now carries.
    SwitchMarker(RecordKind),
    /// What the gate has done so far. Handed over before any `ChainVote` that may show one of its votes.
    Gate(GateFacts),
    /// News from whoever grants the right to vote.
    Authority(AuthorityNews),
    /// A fact about the validator, the cluster or the peers, true at the time of the step.
    Observed(Observation),
    /// An operator asks for something, and waits.
    Asked(RequestId, Command),
    /// That operator no longer waits.
    Forgotten(RequestId),
    /// SIGTERM or SIGINT to the supervisor.
    Stop,
    /// The configuration was read again.
    Reconfigured(Box<Setup>),
}

/// How an effect ended. A failure carries a sentence for the operator.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It was done, and there is nothing more to say.
    Done,
    /// `Acquire`: the term is held, and this is the final record of the terms before it, if there is one.
    Held {
        term: Term,
        record: Option<RecordMark>,
    },
    /// `InstallRecord`: the newest known record is durable here and in the validator's directory; `None`: there is none.
    Durable(Option<RecordMark>),
    /// It was refused, and nothing has changed.
    Refused(String),
    /// The same, and an operator who knows more may have it all the same, by a flag.
    Unsafe(String),
    /// It failed; whether anything has changed is unknown.
    Failed(String),
}

impl Outcome {
    /// The outcome in words, for messages about a step that did not end as it should.
    pub(super) fn sentence(&self) -> String {
        match self {
            Self::Refused(why) | Self::Unsafe(why) | Self::Failed(why) => why.clone(),
            other => format!("unexpected outcome {other:?}"),
        }
    }
}

/// How the child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Exit {
    /// `exit(code)`.
    Code(u8),
    /// Ended by a signal of this number.
    Signal(u8),
    /// It never ran: the exec failed.
    NotStarted,
}

impl Exit {
    /// The exit code a supervisor uses to pass this on: the child's, or 128 + signal.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => signal.saturating_add(128),
            Self::NotStarted => 127,
        }
    }
}

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
            Self::NotStarted => f.write_str("it could not be started"),
        }
    }
}

/// A reading of the gate's counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct GateFacts {
    /// The last record committed through it, under whatever term.
    pub last: Option<RecordMark>,
    /// Votes that wait for their commit.
    pub waiting: u32,
}

/// News from the authority.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum AuthorityNews {
    /// Who holds the term; `None` after a sealed release or an expired lease. Told at every change, in order, and anew after
    /// every gap in the watch.
    Holder(Option<NodeName>),
    /// The lease of `term` is good until `until` on our own clock. The first one comes before the `Held` it belongs to.
    Lease { term: Term, until: Millis },
    /// `term` is certainly not ours any more.
    TermLost(Term),
    /// The holder has passed the term to this node.
    Passed { term: Term, from: NodeName },
}

/// A fact, with the age it has when it is handed over: none.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Observation {
    /// The validator's own answer about itself. `behind` is `None` when it could not be told.
    Own {
        healthy: bool,
        slot: u64,
        behind: Option<u64>,
    },
    /// The validator's RPC did not answer.
    OwnSilent,
    /// The newest vote of our identity that the chain shows.
    ChainVote { slot: u64 },
    /// Our identity is in gossip at an address that is not ours, for longer than a stale entry lives.
    IdentityElsewhere,
    /// Of `asked` independent cluster RPCs, `advancing` have moved on since the last reading and `failed` gave no answer;
    /// `own_advancing` says whether our validator has moved on.
    Cluster {
        asked: u32,
        advancing: u32,
        failed: u32,
        own_advancing: bool,
    },
    /// A peer that answers.
    Peer(PeerFacts),
    /// Why the node that votes does not hand over to this one, which asks for it.
    PeerDeclines { node: NodeName, why: String },
    /// A peer whose lease has ended.
    PeerGone(NodeName),
    /// When our identity leads next.
    Leads(Leads),
}

/// The next slot that an identity leads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Leads {
    /// Nobody could be asked.
    #[default]
    Unknown,
    /// None as far as the schedule is known, which is well ahead.
    Never,
    /// This one, which may be the present one.
    At(u64),
}

/// What a peer says of itself. Readings: nothing that safety rests on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PeerFacts {
    pub node: NodeName,
    /// It could be promoted at once; the error says why not.
    pub ready: Result<(), String>,
    /// Slots behind the cluster; `None`: it does not know.
    pub behind: Option<u64>,
    /// Higher goes first.
    pub priority: u32,
    /// What its newest record is; `None`: it has none, or does not say.
    pub record: Option<RecordKind>,
    /// The term it votes under.
    pub active_term: Option<Term>,
    /// Its operator wants it to vote.
    pub asks: Option<Plea>,
}
