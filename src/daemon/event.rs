//! Everything that reaches the daemon's loop, in one closed list.

use crate::ctl::server;
use crate::engine::Outcome;
use crate::engine::values::{OpId, RecordMark, Term};
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
    /// The start script with this process number has become the validator.
    CommandLine(i32, Box<CommandLine>),
    /// The child with this process number answers on its admin RPC.
    ChildReady(i32),
    /// The gate tells something besides its counters.
    Gate(GateEvent),
    /// The gate's counters have moved.
    GateMoved,
    /// What the RPC of the child with this process number says, or nothing when it does not answer.
    Probed(i32, Option<Facts>),
    /// What its RPC says and changes rarely.
    Profiled(Profile),
    /// The identity link was changed by somebody else.
    LinkChanged(Pointed),
    /// An operator.
    Ctl(server::Event),
    Signal(Signal),
}
