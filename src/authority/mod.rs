//! Who grants the right to vote and keeps the record.
//!
//! An authority fences: a commit under a term that is over never succeeds. It does not decide who should vote.

pub mod durable_file;
pub mod etcd;
pub mod files;
pub mod local;
pub mod news;
pub mod peer;
mod record_file;
pub mod stored;

use std::sync::Arc;
use std::time::Duration;

use etcd::Etcd;
use local::{Local, OpenError};
use news::Member;
use peer::{Absent, Peer};
use stored::StoredRecord;

use crate::engine::AuthorityTraits;
use crate::engine::values::{Millis, NodeName, RecordMark, Term};

/// One of the authorities, as configured.
#[derive(Clone, Debug)]
pub enum Authority {
    /// This disk; no other node.
    Local(Arc<Local>),
    /// An etcd cluster.
    Etcd(Arc<Etcd>),
    /// The other supervisors.
    Peer(Arc<Peer>),
}

/// Why a record was not committed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// Its term is over, or the record cannot be trusted any more: it never will be committed.
    #[error("{0}")]
    TermLost(String),
    /// Unknown, or failed in a way that may pass. Asking again settles it.
    #[error("{0}")]
    Unsettled(String),
}

/// Why a request about the term did not succeed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Nothing was changed by it.
    #[error("{0}")]
    Refused(String),
    /// The same, because of what is not known; an operator who knows it may have it all the same.
    #[error("{0}")]
    Unsafe(String),
    /// Whether it has changed anything is not known.
    #[error("{0}")]
    Unknown(String),
}

impl From<std::io::Error> for Fault {
    fn from(error: std::io::Error) -> Self {
        Self::Unknown(error.to_string())
    }
}

impl From<local::CommitError> for CommitError {
    fn from(error: local::CommitError) -> Self {
        match error {
            local::CommitError::TermLost { .. } => Self::TermLost(error.to_string()),
            local::CommitError::Io { .. } => Self::Unsettled(error.to_string()),
        }
    }
}

/// Every call blocks, none longer than it is given. A disk that hangs is the exception.
impl Authority {
    /// Makes a record durable under its term. Called by the gate.
    ///
    /// # Errors
    /// The term is over, or the outcome is not certain yet.
    pub fn commit(&self, mark: RecordMark, bytes: &[u8]) -> Result<(), CommitError> {
        match self {
            Self::Local(local) => Ok(local.commit(mark, bytes)?),
            Self::Etcd(etcd) => etcd.commit(mark, bytes),
            Self::Peer(peer) => peer.commit(mark, bytes),
        }
    }

    /// Does what [`Self::commit`] leaves for after the vote. Called by the gate; without it, the next commit does it.
    ///
    /// # Errors
    /// The next commit tries again, and reports what is still wrong.
    pub fn settle(&self) -> std::io::Result<()> {
        match self {
            Self::Local(local) => local.settle(),
            Self::Etcd(_) => Ok(()),
            Self::Peer(peer) => peer.settle(),
        }
    }

    /// Obtains the right to vote, and the final record of the terms before where it is not on this disk. `regardless` of nodes that
    /// cannot be asked, where the authority is these nodes: above `tip` then, the newest slot of the cluster.
    ///
    /// # Errors
    /// It is not granted, or nothing is certain.
    pub fn acquire(
        &self,
        within: Duration,
        regardless: bool,
        tip: u64,
    ) -> Result<(Term, Option<RecordMark>), Fault> {
        match self {
            Self::Local(local) => Ok((local.acquire()?, None)),
            Self::Etcd(etcd) => etcd.acquire(within),
            Self::Peer(peer) => peer.acquire(within, regardless, tip),
        }
    }

    /// Gives the right to vote back; term 0: whatever this node has. `to_nobody`: no other node gets a right of its own by it,
    /// where an authority gives such.
    ///
    /// # Errors
    /// It is not certain that it was given back.
    pub fn release(&self, term: Term, to_nobody: bool, within: Duration) -> Result<(), Fault> {
        match self {
            Self::Local(local) => Ok(local.release(term)?),
            Self::Etcd(etcd) => etcd.release(term, within),
            Self::Peer(peer) => peer.release(term, to_nobody),
        }
    }

    /// Writes what passing a term writes here, where it is of no account.
    ///
    /// # Errors
    /// This disk refuses.
    pub fn rehearse_passing(&self) -> std::io::Result<()> {
        match self {
            // Nothing of it is written here.
            Self::Local(_) | Self::Etcd(_) => Ok(()),
            Self::Peer(peer) => peer.rehearse_passing(),
        }
    }

    /// Passes the right to vote to another node.
    ///
    /// # Errors
    /// There is none, it cannot take it, or nothing is certain.
    pub fn pass(&self, term: Term, to: &NodeName, within: Duration) -> Result<(), Fault> {
        match self {
            Self::Local(_) => Err(self.has_no_other_node()),
            Self::Etcd(etcd) => etcd.pass(term, to, within),
            Self::Peer(peer) => peer.pass(term, to, within),
        }
    }

    /// Whether a term is still held, asked anew.
    ///
    /// # Errors
    /// Nothing is certain.
    pub fn confirm(&self, term: Term, within: Duration) -> Result<bool, Fault> {
        match self {
            Self::Local(_) => Err(self.has_no_other_node()),
            Self::Etcd(etcd) => etcd.confirm(term, within),
            Self::Peer(peer) => peer.confirm(term, within),
        }
    }

    fn has_no_other_node(&self) -> Fault {
        Fault::Refused(format!("authority {} has no other node", self.name()))
    }

    /// The newest committed record.
    ///
    /// # Errors
    /// It cannot be read, or is damaged.
    pub fn record(&self) -> Result<Option<StoredRecord>, OpenError> {
        match self {
            Self::Local(local) => local.record(),
            Self::Etcd(etcd) => etcd.record(),
            Self::Peer(peer) => peer.record(),
        }
    }

    /// The word for it in the configuration.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Local(_) => "local",
            Self::Etcd(_) => "etcd",
            Self::Peer(_) => "peer",
        }
    }

    /// What its protocol makes possible.
    #[must_use]
    pub fn traits(&self) -> AuthorityTraits {
        match self {
            Self::Local(_) => AuthorityTraits {
                alone: true,
                passes: false,
                leased: false,
            },
            Self::Etcd(_) => AuthorityTraits {
                alone: false,
                passes: true,
                leased: true,
            },
            Self::Peer(_) => AuthorityTraits {
                alone: false,
                passes: true,
                leased: false,
            },
        }
    }

    /// Whether this node held the term when the supervisor last ended, under an authority where nobody else can.
    #[must_use]
    pub fn held_before(&self) -> bool {
        match self {
            Self::Local(local) => local.holds(),
            Self::Etcd(_) | Self::Peer(_) => false,
        }
    }

    /// What the other nodes are to know of this one.
    pub fn tell_member(&self, member: Member) {
        match self {
            Self::Local(_) => {}
            Self::Etcd(etcd) => etcd.tell_member(member),
            Self::Peer(peer) => peer.tell_member(member),
        }
    }

    /// Tells the others that this node has left, as the last thing of all: with no child alive, nothing of it can vote.
    pub fn leave(&self) {
        match self {
            Self::Local(_) => {}
            Self::Etcd(etcd) => etcd.leave(),
            Self::Peer(peer) => peer.leave(),
        }
    }

    /// The other nodes that are out of reach, where the authority is these nodes.
    #[must_use]
    pub fn absent(&self) -> Vec<Absent> {
        match self {
            Self::Local(_) | Self::Etcd(_) => Vec::new(),
            Self::Peer(peer) => peer.absent(),
        }
    }

    /// It has not been heard since it was found absent.
    #[must_use]
    pub fn is_still_absent(&self, absent: &Absent) -> bool {
        match self {
            Self::Local(_) | Self::Etcd(_) => false,
            Self::Peer(peer) => peer.is_still_absent(absent),
        }
    }

    /// This one was ended for certain, after it was found absent. `false`: that tells nothing any more.
    #[must_use]
    pub fn bury(&self, absent: &Absent) -> bool {
        match self {
            Self::Local(_) | Self::Etcd(_) => false,
            Self::Peer(peer) => peer.bury(absent),
        }
    }

    /// Whether votes wait for another node to keep their record; `None`: no node keeps it. Never waits.
    #[must_use]
    pub fn is_in_step(&self, node: &NodeName) -> Option<bool> {
        match self {
            Self::Local(_) | Self::Etcd(_) => None,
            Self::Peer(peer) => peer.is_in_step(node),
        }
    }

    /// What is known of the newest committed record.
    #[must_use]
    pub fn newest_mark(&self) -> Option<RecordMark> {
        match self {
            Self::Local(local) => local.mark(),
            Self::Etcd(etcd) => etcd.newest_mark(),
            Self::Peer(peer) => peer.newest_mark(),
        }
    }

    /// Until when a vote that is committed may leave; `None`: for ever, or no term is held.
    #[must_use]
    pub fn lease_until(&self) -> Option<Millis> {
        match self {
            Self::Local(_) | Self::Peer(_) => None,
            Self::Etcd(etcd) => etcd.lease_until(),
        }
    }
}
