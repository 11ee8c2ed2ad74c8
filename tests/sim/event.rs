//! What happens in a run, one thing after the other.

use crate::fault::Fault;
use crate::peer::message::Message;
use crate::record::Record;
use crate::store::{Call, Reply};
use validator_supervisor::engine::Input;
use validator_supervisor::engine::values::{Identity, OpId, RecordKind, RecordMark};

/// What happens next, and to whom.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    Wake {
        node: usize,
        life: u64,
    },
    Tell {
        node: usize,
        life: u64,
        input: Input,
    },
    Boot {
        node: usize,
    },
    Thaw {
        node: usize,
    },
    Slot,
    Observe {
        node: usize,
        life: u64,
    },
    Meet {
        node: usize,
    },
    Ready {
        node: usize,
        pid: u64,
    },
    Die {
        node: usize,
        pid: u64,
        by_signal: bool,
    },
    AtGate {
        node: usize,
        pid: u64,
    },
    CommitAgain {
        node: usize,
        life: u64,
        mark: RecordMark,
    },
    GateQuiet {
        node: usize,
        life: u64,
        op: OpId,
    },
    DiskCommit {
        node: usize,
        life: u64,
        mark: RecordMark,
    },
    Send {
        node: usize,
        pid: u64,
        record: Record,
        let_go: u64,
    },
    Admin {
        node: usize,
        pid: u64,
        life: u64,
        op: OpId,
        what: Admin,
    },
    AdminLate {
        node: usize,
        pid: u64,
        what: Admin,
    },
    Keepalive {
        node: usize,
        life: u64,
    },
    ToStore {
        node: usize,
        life: u64,
        id: u64,
        call: Call,
    },
    FromStore {
        node: usize,
        life: u64,
        id: u64,
        reply: Reply,
    },
    GiveUp {
        node: usize,
        life: u64,
        id: u64,
    },
    Watch {
        node: usize,
        life: u64,
    },
    Expire,
    /// A message of one node reaches another one.
    Message {
        to: usize,
        from: usize,
        conn: u64,
        message: Message,
    },
    /// The authority's part of a supervisor has something to do.
    Peer {
        node: usize,
        life: u64,
        what: PeerEvent,
    },
    Fault(Fault),
    SupDies {
        node: usize,
        life: u64,
        orphan: bool,
    },
    Heal,
    Nudge,
}

/// What the authority `peer` of one node does by itself.
#[derive(Clone, Debug)]
pub(crate) enum PeerEvent {
    /// Tells the others how it is, calls those that are away, and lets go of those that are silent.
    Word,
    /// Something in its word should not wait.
    News,
    /// The time for what is asked of the others is over.
    WishLate,
    /// A record that is being committed is on its own disk.
    Written {
        id: u64,
    },
    KeptLate,
    /// A record is installed under a new term, once more.
    InstallAgain {
        op: OpId,
        since: u64,
    },
    /// The fence command ends, which was run for those that had not been heard since those connections.
    Fenced {
        op: OpId,
        absent: Vec<(usize, u64)>,
    },
    /// By a mistake: what was acknowledged gets to the disk.
    KeepLate {
        record: Record,
    },
    /// By a mistake: the record comes after the word.
    RecordLate {
        to: usize,
    },
}

impl PeerEvent {
    pub(crate) fn of(self, node: usize, life: u64) -> Event {
        Event::Peer {
            node,
            life,
            what: self,
        }
    }
}

impl Event {
    /// Worth a line of a trace.
    pub(crate) fn is_news(&self) -> bool {
        let routine = matches!(
            self,
            Self::Slot
                | Self::Thaw { .. }
                | Self::Expire
                | Self::Nudge
                | Self::Wake { .. }
                | Self::Observe { .. }
                | Self::Meet { .. }
                | Self::Watch { .. }
                | Self::Keepalive { .. }
                | Self::GiveUp { .. }
                | Self::ToStore {
                    call: Call::Keepalive { .. },
                    ..
                }
                | Self::FromStore {
                    reply: Reply::Alive,
                    ..
                }
                | Self::Tell {
                    input: Input::Observed(_),
                    ..
                }
                | Self::Message {
                    message: Message::State(_),
                    ..
                }
                | Self::Peer {
                    what: PeerEvent::Word | PeerEvent::KeptLate | PeerEvent::WishLate,
                    ..
                }
        );
        !routine
    }

    /// The node whose machine, and the one whose supervisor, has to move for it to happen.
    pub(crate) fn stands_still_with(&self) -> (Option<usize>, Option<usize>) {
        match self {
            Self::Wake { node, .. }
            | Self::Tell { node, .. }
            | Self::Observe { node, .. }
            | Self::CommitAgain { node, .. }
            | Self::GateQuiet { node, .. }
            | Self::DiskCommit { node, .. }
            | Self::Keepalive { node, .. }
            | Self::FromStore { node, .. }
            | Self::GiveUp { node, .. }
            | Self::Watch { node, .. }
            | Self::Message { to: node, .. }
            | Self::Peer { node, .. }
            | Self::AtGate { node, .. } => (Some(*node), Some(*node)),
            Self::Ready { node, .. }
            | Self::Die { node, .. }
            | Self::Send { node, .. }
            | Self::Admin { node, .. }
            | Self::AdminLate { node, .. } => (Some(*node), None),
            _ => (None, None),
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) enum Admin {
    Mute,
    Unmute,
    Identity(Identity, Option<RecordKind>),
}
