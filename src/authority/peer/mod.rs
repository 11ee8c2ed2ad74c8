//! Authority `peer`: the other supervisors keep the record, and promise the term. No third machine.
//!
//! ```text
//! <state_dir>/ballot   what this node has promised: the term, whose it is, and who may take the next one
//! <state_dir>/record   the newest record, as the authority `local` has it
//! ```
//!
//! A vote is committed when its record is on this disk and on that of every other node that is in step, each of which has promised
//! the term. Terms are taken by the rules of [`crate::engine::pact`]. There is no lease: two nodes cannot tell a dead one from
//! a cut cable, so nobody takes over from one that says nothing.
//!
//! Threads: one listens, one calls each node that comes later by name, one tells the others how this one is, and one reads from
//! each link ([`connect`]). What a message does is in [`hear`], a vote in [`vote`], the term in [`term`].

mod ballot_file;
mod burial;
mod connect;
mod hear;
pub mod inspect;
mod link;
pub mod message;
mod node;
mod ration;
mod term;
mod tls;
mod vote;

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use super::news::{Member, Surroundings};
use super::record_file::{OpenError, RecordFile};
use super::stored::StoredRecord;
use super::{CommitError, Fault};
use crate::config::PeerConfig;
use crate::engine::pact::Pact;
use crate::engine::values::{NodeName, RecordMark, Term};
use ballot_file::BallotFile;
use node::Node;

#[doc(hidden)]
pub use ballot_file::read_and_write_ballot;
pub use burial::Absent;
#[doc(hidden)]
pub use tls::name_in_certificate;

/// Why this authority cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error("peer.listen = \"{address}\" cannot be listened on: {source}")]
    Listen {
        address: std::net::SocketAddr,
        source: std::io::Error,
    },
    #[error("its threads cannot be started: {0}")]
    Thread(#[from] std::io::Error),
}

/// The authority, as this supervisor uses it.
#[derive(Debug)]
pub struct Peer(Arc<Node>);

impl Drop for Peer {
    fn drop(&mut self) {
        self.0.stop();
    }
}

impl Peer {
    /// Starts the threads. Waits for no other node.
    ///
    /// # Errors
    /// A file of the state directory that cannot be used, or an address that cannot be listened on.
    pub fn start(
        config: &PeerConfig,
        identity: [u8; 32],
        name: NodeName,
        surroundings: Surroundings,
    ) -> Result<Self, StartError> {
        let record = RecordFile::open(&surroundings.state_dir, identity)?;
        // The others are told of it as of one that is on this disk, and an earlier process may not have come so far.
        if let Err(error) = record.write_again() {
            tracing::warn!("the record that was found cannot be written again: {error}");
        }
        let (mut file, ballot) = BallotFile::open(&surroundings.state_dir, identity)?;
        let pact = Pact::begin(name.clone(), &ballot);
        if *pact.ballot() != ballot {
            file.write(pact.ballot())?;
        }
        let listener = TcpListener::bind(config.listen).map_err(|source| StartError::Listen {
            address: config.listen,
            source,
        })?;
        let node = Node::new(config, identity, name, record, (file, pact), surroundings);
        let node = Arc::new(node);
        connect::start(&node, listener)?;
        Ok(Self(node))
    }

    /// Makes a record durable under its term, here and at every other node that is in step. Blocks, for about a second at most, and for
    /// one more for each node that does not read.
    ///
    /// # Errors
    /// The term is over, or the outcome is not certain yet.
    pub fn commit(&self, mark: RecordMark, bytes: &[u8]) -> Result<(), CommitError> {
        self.0.commit(mark, bytes)
    }

    /// What is left to do for this disk once the vote is out.
    ///
    /// # Errors
    /// The disk refuses; the next commit tries again.
    pub fn settle(&self) -> std::io::Result<()> {
        self.0.record.settle()
    }

    /// Obtains the right to vote, and has the final record of the terms before on this disk. `regardless` of nodes out of reach:
    /// an operator's word, or proof of their death; the term is above `tip` then, the newest slot of the cluster. Blocks, for `within` at
    /// most.
    ///
    /// # Errors
    /// Another node holds it or does not promise it, or one cannot be asked.
    pub fn acquire(
        &self,
        within: Duration,
        regardless: bool,
        tip: u64,
    ) -> Result<(Term, Option<RecordMark>), Fault> {
        self.0.acquire(within, regardless, tip)
    }

    /// Gives the right to vote back; term 0: whatever this node has.
    ///
    /// # Errors
    /// This disk refuses.
    pub fn release(&self, term: Term, to_nobody: bool) -> Result<(), Fault> {
        self.0.release(term, to_nobody)
    }

    /// Passes the right to vote to another node. Blocks, for `within` at most.
    ///
    /// # Errors
    /// It is not there or has not got the record, the term is not ours, or nothing is certain.
    pub fn pass(&self, term: Term, to: &NodeName, within: Duration) -> Result<(), Fault> {
        self.0.pass(term, to, within)
    }

    /// Writes a ballot, as passing a term does, where it is of no account.
    ///
    /// # Errors
    /// This disk refuses.
    pub fn rehearse_passing(&self) -> std::io::Result<()> {
        let dir = self.0.record.path().parent();
        ballot_file::rehearse(dir.unwrap_or(std::path::Path::new(".")))
    }

    /// Whether a term is still held, as the others say now. Blocks, for `within` at most.
    ///
    /// # Errors
    /// Nothing is certain.
    pub fn confirm(&self, term: Term, within: Duration) -> Result<bool, Fault> {
        self.0.confirm(term, within)
    }

    /// The other nodes that are out of reach.
    #[must_use]
    pub fn absent(&self) -> Vec<Absent> {
        self.0.absent()
    }

    /// It has not been heard since it was found absent.
    #[must_use]
    pub fn is_still_absent(&self, absent: &Absent) -> bool {
        self.0.is_still_absent(absent)
    }

    /// This one was ended for certain, after it was found absent: terms are taken without it until it is heard again. `false`: it
    /// was heard meanwhile, and nothing is certain.
    #[must_use]
    pub fn bury(&self, absent: &Absent) -> bool {
        self.0.bury(absent)
    }

    /// Ends the links, as the last thing of all.
    pub fn leave(&self) {
        self.0.stop();
    }

    /// The newest record on this disk.
    ///
    /// # Errors
    /// It cannot be read, or is damaged.
    pub fn record(&self) -> Result<Option<StoredRecord>, OpenError> {
        self.0.record.read()
    }

    /// What is known of the newest record.
    #[must_use]
    pub fn newest_mark(&self) -> Option<RecordMark> {
        self.0.record.mark()
    }

    /// Whether votes wait for that node to keep their record. Never waits.
    #[must_use]
    pub fn is_in_step(&self, node: &NodeName) -> Option<bool> {
        self.0.in_step.get(node).map(node::Flag::get)
    }

    /// What the other nodes are to know of this one.
    pub fn tell_member(&self, member: Member) {
        self.0.note_member(member);
    }
}
