//! Authority `etcd`: the term is a key on the holder's lease, and every vote is one transaction that compares it.
//!
//! ```text
//! <prefix>/<identity>/holder           who holds the term; its mod_revision is the term; on the holder's lease
//! <prefix>/<identity>/record           the vote record, written under the term alone
//! <prefix>/<identity>/members/<node>   who is there; on each member's own lease
//! ```
//!
//! A thread of its own runs four things, each over its own connection, so that none waits for another: the lease is kept
//! ([`lease`]), the keys are followed ([`watch`]), this node's entry is told ([`member`]), the term is asked for ([`term`]).
//! It ends when the authority is dropped. Votes are committed over a fifth, which the gate's thread drives itself ([`vote`]).
//!
//! Failures: what is unknown is settled by another transaction; what breaks begins anew at the next endpoint. With etcd out
//! of reach nothing here ends: votes wait, the lease runs out, and all goes on when it answers again.

mod cluster;
mod connection;
mod forms;
pub mod inspect;
mod keys;
mod lease;
mod member;
mod replica;
mod session;
mod term;
mod transactions;
mod version;
mod vote;
mod watch;

use std::sync::{Arc, Mutex as StdMutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{Mutex, watch as latest};

pub use connection::SettingsError;
#[doc(hidden)]
pub use forms::read_and_write_form;

use super::news::{Member, Surroundings};
use super::record_file::OpenError;
use super::stored::StoredRecord;
use super::{CommitError, Fault};
use crate::config::EtcdConfig;
use crate::engine::values::{Millis, NodeName, RecordMark, Term};
use connection::{Connection, Settings};
use keys::Keys;
use replica::Replica;
use session::Session;
use term::Request;
use vote::VotePath;

/// Why this authority cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error(transparent)]
    Replica(#[from] OpenError),
    #[error("its thread cannot be started: {0}")]
    Thread(#[from] std::io::Error),
}

/// The authority, as this supervisor uses it.
#[derive(Debug)]
pub struct Etcd {
    session: Arc<Session>,
    runtime: Handle,
    terms: Mutex<Connection>,
    votes: StdMutex<VotePath>,
    member: latest::Sender<Member>,
    replica: Replica,
}

impl Etcd {
    /// Starts the thread. Waits for no answer: a node comes up while etcd is down.
    ///
    /// # Errors
    /// A file of the configuration or of the state directory that cannot be used.
    pub fn start(
        config: &EtcdConfig,
        identity: [u8; 32],
        node: NodeName,
        surroundings: Surroundings,
    ) -> Result<Self, StartError> {
        let settings = Settings::read(config)?;
        let replica = Replica::open(&surroundings.state_dir, identity)?;
        let keys = Keys::new(&config.prefix, &bs58::encode(identity).into_string());
        let session = Arc::new(Session::new(
            keys,
            identity,
            node,
            settings.clone(),
            config,
            surroundings,
        ));
        let (member, wanted) = latest::channel(Member::default());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let handle = runtime.handle().clone();
        let (own, own_replica) = (Arc::clone(&session), replica.clone());
        std::thread::Builder::new()
            .name("etcd".into())
            .spawn(move || {
                runtime.block_on(run(&own, &own_replica, wanted));
            })?;
        let connection = || Connection::new(settings.clone());
        Ok(Self {
            session,
            runtime: handle,
            terms: Mutex::new(connection()),
            votes: StdMutex::new(VotePath::new(connection())?),
            member,
            replica,
        })
    }

    /// Makes a record durable under its term: one round trip. Blocks, for the time of one call.
    ///
    /// # Errors
    /// The term is over, or the outcome is not certain yet; then asking again settles it.
    pub fn commit(&self, mark: RecordMark, bytes: &[u8]) -> Result<(), CommitError> {
        self.votes().commit(&self.session, mark, bytes)
    }

    fn votes(&self) -> MutexGuard<'_, VotePath> {
        self.votes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Obtains the right to vote, and the final record of the terms before it. Blocks, for `within` at most.
    ///
    /// # Errors
    /// Somebody else holds it, or nothing is certain.
    pub fn acquire(&self, within: Duration) -> Result<(Term, Option<RecordMark>), Fault> {
        let seen = self.replica.mark();
        let (acquired, endpoint) = self.runtime.block_on(async {
            let mut terms = self.terms.lock().await;
            let acquired = Request::new(&self.session, &mut terms, within)
                .acquire(seen)
                .await;
            (acquired, terms.at())
        });
        if acquired.is_ok() {
            self.votes().prepare(&self.session, endpoint);
        }
        acquired
    }

    /// Gives the right to vote back; term 0: whatever this node has. Blocks, for `within` at most.
    ///
    /// # Errors
    /// It is not certain that it was given back.
    pub fn release(&self, term: Term, within: Duration) -> Result<(), Fault> {
        self.runtime.block_on(async {
            let mut terms = self.terms.lock().await;
            Request::new(&self.session, &mut terms, within)
                .release(term)
                .await
        })
    }

    /// Passes the right to vote to a member. Blocks, for `within` at most.
    ///
    /// # Errors
    /// It has left, the term is not ours, or nothing is certain.
    pub fn pass(&self, term: Term, to: &NodeName, within: Duration) -> Result<(), Fault> {
        self.runtime.block_on(async {
            let mut terms = self.terms.lock().await;
            Request::new(&self.session, &mut terms, within)
                .pass(term, to)
                .await
        })
    }

    /// Whether a term is still held, by a fresh transaction. Blocks, for `within` at most.
    ///
    /// # Errors
    /// Nothing is certain.
    pub fn confirm(&self, term: Term, within: Duration) -> Result<bool, Fault> {
        self.runtime.block_on(async {
            let mut terms = self.terms.lock().await;
            Request::new(&self.session, &mut terms, within)
                .confirm(term)
                .await
        })
    }

    /// Leaves the members, as the last thing of all. Blocks, for the time of two calls at most.
    pub fn leave(&self) {
        self.runtime.block_on(async {
            let mut terms = self.terms.lock().await;
            lease::end(&self.session, &mut terms).await;
        });
    }

    /// The newest record: of what the term was acquired with, and of what this disk has. It is durable here when this returns.
    ///
    /// # Errors
    /// This disk refuses it.
    pub fn record(&self) -> Result<Option<StoredRecord>, OpenError> {
        if let Some(found) = self.session.state().found.clone() {
            self.replica.offer(found);
        }
        self.replica.settle()?;
        Ok(self.replica.newest())
    }

    /// What is known of the newest record.
    #[must_use]
    pub fn newest_mark(&self) -> Option<RecordMark> {
        self.replica.mark().max(self.session.found_mark())
    }

    /// Until when the lease of the term in hand is good.
    #[must_use]
    pub fn lease_until(&self) -> Option<Millis> {
        let state = self.session.state();
        let held = state.held?;
        let lease = state.lease.filter(|lease| lease.id == held.lease)?;
        Some(lease.until)
    }

    /// When etcd answered last.
    #[must_use]
    pub fn answered_at(&self) -> Option<Millis> {
        self.session.state().answered
    }

    /// What the other nodes are to know of this one.
    pub fn tell_member(&self, member: Member) {
        self.member.send_if_modified(|now| {
            let changed = *now != member;
            *now = member;
            changed
        });
    }
}

async fn run(session: &Session, replica: &Replica, wanted: latest::Receiver<Member>) {
    let connection = || Connection::new(session.settings.clone());
    let (mut leases, mut watches, mut members) = (connection(), connection(), connection());
    let mut owner = wanted.clone();
    let dropped = async { while owner.changed().await.is_ok() {} };
    let stay = async {
        tokio::join!(
            lease::keep(session, &mut leases),
            watch::follow(session, &mut watches, replica),
            member::tell(session, &mut members, wanted),
        )
    };
    tokio::select! {
        () = dropped => {}
        _ = stay => {}
    }
}
