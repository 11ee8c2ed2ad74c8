//! Who grants the right to vote and keeps the record.
//!
//! An authority fences: a commit under a term that is over never succeeds. It does not decide who should vote.

pub mod durable_file;
pub mod local;
pub mod stored;

use std::sync::Arc;

use local::{CommitError, Local, OpenError};
use stored::StoredRecord;

use crate::engine::values::{RecordMark, Term};

/// One of the authorities, as configured.
#[derive(Clone, Debug)]
pub enum Authority {
    /// This disk; no other node.
    Local(Arc<Local>),
}

impl Authority {
    /// Makes a record durable under its term. Blocks; called by the gate.
    ///
    /// # Errors
    /// The term is over, or the outcome is not certain yet.
    pub fn commit(&self, mark: RecordMark, bytes: &[u8]) -> Result<(), CommitError> {
        match self {
            Self::Local(local) => local.commit(mark, bytes),
        }
    }

    /// Obtains the right to vote. Blocks.
    ///
    /// # Errors
    /// It is not granted, and nothing has changed.
    pub fn acquire(&self) -> std::io::Result<Term> {
        match self {
            Self::Local(local) => local.acquire(),
        }
    }

    /// Gives the right to vote back. Blocks.
    ///
    /// # Errors
    /// It is not certain that it was given back.
    pub fn release(&self, term: Term) -> std::io::Result<()> {
        match self {
            Self::Local(local) => local.release(term),
        }
    }

    /// The newest committed record. Blocks.
    ///
    /// # Errors
    /// It cannot be read, or is damaged.
    pub fn record(&self) -> Result<Option<StoredRecord>, OpenError> {
        match self {
            Self::Local(local) => local.record(),
        }
    }

    /// The word for it in the configuration.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Local(_) => "local",
        }
    }

    /// Whether no other node can ever hold the term.
    #[must_use]
    pub fn is_alone(&self) -> bool {
        matches!(self, Self::Local(_))
    }

    /// Whether this node held the term when the supervisor last ended.
    #[must_use]
    pub fn held_before(&self) -> bool {
        match self {
            Self::Local(local) => local.holds(),
        }
    }

    /// What is known of the newest committed record.
    #[must_use]
    pub fn newest_mark(&self) -> Option<RecordMark> {
        match self {
            Self::Local(local) => local.mark(),
        }
    }
}
