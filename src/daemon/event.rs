//! Everything that reaches the daemon's loop, in one closed list.

use crate::authority::news::{News, Rehearsed};
use crate::config::{ConfigError, Loaded};
use crate::ctl::server;
use crate::engine::Outcome;
use crate::engine::values::{Millis, OpId, RecordMark, RequestId, Term};
use crate::probe::Silence;
use crate::probe::cluster::Survey;
use crate::probe::validator::{Facts, Profile};
use crate::validator::command_line::CommandLine;
use crate::validator::gate::GateEvent;
use crate::validator::identity_link::Pointed;
use crate::validator::record::VoteRecord;

use super::signals::Signal;

/// One thing that happened.
#[derive(Debug)]
pub(super) enum Event {
    /// An effect has ended.
    Done(OpId, Outcome),
    /// A record was installed under this term; the next vote is compared with it.
    Installed(OpId, Term, Option<Box<(RecordMark, VoteRecord)>>),
    /// The child with this process number has become the validator, with this command line.
    CommandLine(i32, Box<CommandLine>),
    /// The child with this process number answers on its admin RPC.
    ChildReady(i32),
    /// The gate tells something besides its counters.
    Gate(GateEvent),
    /// The gate's counters have moved.
    GateMoved,
    /// What the RPC of the child with this process number says, or why it does not.
    Probed(i32, Result<Facts, Silence>),
    /// What the cluster's RPCs say, beside that child.
    Surveyed(i32, Survey),
    /// The newest vote that the chain shows, for the child with this process number to start behind.
    ChainVote(i32, u64),
    /// What its RPC says and changes rarely.
    Profiled(Profile),
    /// The identity link was changed by somebody else.
    LinkChanged(Pointed),
    /// This operator's pause is written down, or why it is not.
    PauseKept(RequestId, Millis, Result<(), String>),
    /// This node's part of that drill is done.
    Rehearsed(u64, Vec<Rehearsed>),
    /// The authority tells something.
    Authority(News),
    /// An operator.
    Ctl(server::Event),
    Signal(Signal),
    /// The configuration was read again, or could not be.
    Reloaded(Result<Box<Loaded>, ConfigError>),
}
