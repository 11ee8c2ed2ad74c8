//! Everything the engine can ask for. Effects are data: no channels, no handles, no secrets.

use super::table::Cause;
use super::values::{Identity, NodeName, OpId, RecordKind, RequestId, Role, Term, Verdict};

/// One thing to do. Those with an `OpId` are answered by exactly one `Input::Done` with that id.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Point the identity link, atomically. Issued before every exec, and after every change of identity.
    PointLink { op: OpId, to: Identity },
    /// Start the child, behind a closed gate. Issued when the link is known to point where it should. Any outcome but `Done`
    /// means that there is no child.
    Spawn { op: OpId },
    /// Remove all authorized voters. Issued as soon as the child answers, and as the first step off the staked identity.
    Mute { op: OpId },
    /// Add the authorized voters. Issued after the switch marker of a promotion.
    Unmute { op: OpId },
    /// Change the child's identity. To the staked one only with the term held and the record durable here.
    SetIdentity {
        op: OpId,
        to: Identity,
        require: Option<RecordKind>,
    },
    /// Obtain the right to vote, fencing every term before it. A term that this node has already is taken anew under a
    /// higher number, so that a late request about the earlier number cannot touch it. Performed in order with `Release` and
    /// `PassTerm`.
    ///
    /// `regardless`: an operator's word stands for that of the nodes that cannot be asked. `tip`: the newest slot of the cluster that is
    /// known here.
    Acquire {
        op: OpId,
        regardless: bool,
        tip: u64,
    },
    /// Run the fence command for every other node that cannot be reached. `Done`: each was ended, and has not been met since; an
    /// `Acquire` may do without it. Issued where an `Acquire` was refused for such nodes, and the chain shows no votes.
    FencePeers { op: OpId },
    /// Make the newest known record durable here and in the validator's directory. Issued after `Acquire`, before the identity.
    InstallRecord { op: OpId, term: Term },
    /// Let votes pass under `term`, each after its commit.
    OpenGate { op: OpId, term: Term },
    /// Let no vote begin a commit any more, and answer when none waits. `quiet_ms` of silence come first, so that a vote built
    /// just before the mute still passes; 0 refuses at once what waits.
    CloseGate { op: OpId, quiet_ms: u64 },
    /// Give the right to vote back, with the record as it stands. Issued with the child off the identity, or dead. Term 0: what
    /// this node may hold is unknown, because an outcome was lost; whatever it is goes back, and `Done` says that nothing is held.
    /// `to_nobody`: no other node gets a right by it.
    Release {
        op: OpId,
        term: Term,
        to_nobody: bool,
    },
    /// Pass the right to vote to `to`. Issued where a release would be.
    PassTerm { op: OpId, term: Term, to: NodeName },
    /// Confirm by a fresh transaction that `term` is still held.
    ConfirmTerm { op: OpId, term: Term },
    /// Remember across restarts whether this node is parked. Issued before the operator is answered.
    Remember { op: OpId, parked: bool },
    /// Ask the child to exit over its admin RPC. The first step of an orderly end; its answer is not waited for.
    AskExit,
    /// Send the child SIGTERM. Issued when it was asked and stays.
    Terminate,
    /// Send the child SIGKILL. Issued when nothing gentler is certain or quick enough.
    Kill,
    /// Tell a waiting operator what is being done.
    Progress { request: RequestId, text: String },
    /// Tell a waiting operator how it ended. The last word on that request.
    Answer {
        request: RequestId,
        verdict: Verdict,
        text: String,
    },
    /// The role has changed.
    Transition {
        from: Role,
        to: Role,
        cause: Cause,
        detail: String,
    },
    /// Someone should look at this.
    Page { text: String },
    /// End the process with this code. The last effect of an engine.
    Exit { code: u8 },
}
