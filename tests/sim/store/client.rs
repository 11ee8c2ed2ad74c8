//! One node's side of the authority: operations in order, commits beside them, a lease, a watch. Dies with its supervisor.

use super::Call;
use crate::record::Record;
use std::collections::{BTreeMap, VecDeque};
use validator_supervisor::engine::values::{OpId, RecordMark, Term};

#[derive(Clone, Debug)]
pub(crate) struct Job {
    /// Nobody waits for one without an id.
    pub(crate) op: OpId,
    pub(crate) call: Call,
    pub(crate) tries: u32,
}

/// What an answer is for.
#[derive(Clone, Debug)]
pub(crate) enum Asked {
    Job(Job),
    Commit { mark: RecordMark, record: Record },
    Keepalive { sent: u64 },
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Client {
    pub(crate) lease: u64,
    pub(crate) lease_until: u64,
    pub(crate) held: Option<Term>,
    /// The record that came with the term.
    pub(crate) given: Option<Record>,
    /// The record as it was read some time ago.
    pub(crate) cached: Option<Record>,
    pub(crate) record_revision: u64,
    pub(crate) jobs: VecDeque<Job>,
    pub(crate) busy: bool,
    pub(crate) in_flight: BTreeMap<u64, Asked>,
    pub(crate) watched: usize,
    pub(crate) looks_soon: bool,
}
