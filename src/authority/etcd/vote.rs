//! The path of a vote: one transaction, over a connection of its own.
//!
//! The connection is driven by the thread that commits, and by it alone: a vote waits for no other thread to be woken. So
//! nothing is read from it between votes, and what has ended it meanwhile is found by the next call; a term begins with a
//! new one.

use etcd_client::{GetOptions, TxnResponse};
use tokio::runtime::{Builder, Runtime};

use super::connection::Connection;
use super::session::{Held, Session, revision};
use super::transactions::{self, RecordKey};
use crate::authority::CommitError;
use crate::authority::Fault;
use crate::authority::stored;
use crate::engine::values::RecordMark;

/// Room that is kept from vote to vote.
#[derive(Debug)]
pub(super) struct VotePath {
    /// There until it is dropped.
    runtime: Option<Runtime>,
    line: Line,
}

impl Drop for VotePath {
    /// Whoever drops it last may itself run in a runtime, where no other may be waited for.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

#[derive(Debug)]
struct Line {
    connection: Connection,
    form: Vec<u8>,
}

/// What an answer says of a commit.
enum Said {
    /// It is committed, and the record stands at this revision.
    Committed(i64),
    /// An earlier commit of ours, whose answer got lost, is the newest: it stands at this revision, and we go on from it.
    Behind(i64),
}

impl VotePath {
    pub(super) fn new(connection: Connection) -> std::io::Result<Self> {
        Ok(Self {
            runtime: Some(Builder::new_current_thread().enable_all().build()?),
            line: Line {
                connection,
                form: Vec::new(),
            },
        })
    }

    /// Connects anew, to the node that just answered, so that the first vote of a term need not. Blocks, for the time of one call.
    pub(super) fn prepare(&mut self, session: &Session, endpoint: usize) {
        let line = &mut self.line;
        line.connection.begin_anew_at(endpoint);
        let look = line.connection.call(|client| async move {
            let keys_alone = GetOptions::new().with_keys_only();
            let key = session.keys.holder.clone();
            client.kv_client().get(key, Some(keys_alone)).await
        });
        if let Some(runtime) = &self.runtime {
            // What is wrong with it the first vote will find as well, and say.
            let _ = runtime.block_on(look);
        }
    }

    /// Makes a record durable under its term. One try, or two where an earlier one was applied without our knowledge. Blocks,
    /// for the time of as many calls.
    pub(super) fn commit(
        &mut self,
        session: &Session,
        mark: RecordMark,
        bytes: &[u8],
    ) -> Result<(), CommitError> {
        let Some(runtime) = &self.runtime else {
            return Err(CommitError::Unsettled("the supervisor is ending".into()));
        };
        runtime.block_on(self.line.commit(session, mark, bytes))
    }
}

impl Line {
    async fn commit(
        &mut self,
        session: &Session,
        mark: RecordMark,
        bytes: &[u8],
    ) -> Result<(), CommitError> {
        let mut held = in_hand(session, mark)?;
        stored::write_record(&mut self.form, mark, &session.identity, bytes);
        loop {
            let txn =
                transactions::commit(&session.keys, held.term, held.record_at, self.form.clone());
            let answer = self
                .connection
                .call(|client| async move { client.kv_client().txn(txn).await })
                .await
                .map_err(|fault: Fault| CommitError::Unsettled(fault.to_string()))?;
            match said(session, held, mark, bytes, &answer)? {
                Said::Committed(at) => return stands_at(session, held, at),
                Said::Behind(at) => held.record_at = at,
            }
        }
    }
}

fn in_hand(session: &Session, mark: RecordMark) -> Result<Held, CommitError> {
    let held = session.state().held;
    held.filter(|held| held.term == revision(mark.term))
        .ok_or_else(|| CommitError::TermLost(format!("term {} is not in hand", mark.term)))
}

/// The next commit compares with this one. A term given up meanwhile fences it all the same.
fn stands_at(session: &Session, held: Held, at: i64) -> Result<(), CommitError> {
    let mut state = session.state();
    match &mut state.held {
        Some(now) if now.term == held.term => {
            now.record_at = at;
            Ok(())
        }
        _ => Err(CommitError::TermLost(format!(
            "term {} was given up while its vote was committed",
            held.term
        ))),
    }
}

fn said(
    session: &Session,
    held: Held,
    mark: RecordMark,
    bytes: &[u8],
    answer: &TxnResponse,
) -> Result<Said, CommitError> {
    let unusable = |error: transactions::KeyError| {
        session.drop_term(held.term);
        CommitError::TermLost(error.to_string())
    };
    if answer.succeeded() {
        return transactions::revision(answer)
            .map(Said::Committed)
            .map_err(unusable);
    }
    let holder = transactions::holder(answer, &session.keys).map_err(unusable)?;
    if holder.as_ref().map(|key| key.revision) != Some(held.term) {
        session.drop_term(held.term);
        let now = holder.map_or_else(
            || "nobody holds one".to_owned(),
            |key| format!("{} holds term {}", key.holder.node, key.revision),
        );
        return Err(CommitError::TermLost(format!(
            "term {} is over: {now}",
            held.term
        )));
    }
    let record =
        transactions::record(answer, &session.keys, &session.identity).map_err(unusable)?;
    match record {
        Some(RecordKey { revision, stored }) if stored.mark == mark && stored.bytes == bytes => {
            Ok(Said::Committed(revision))
        }
        Some(RecordKey { revision, stored })
            if revision > held.record_at
                && stored.mark.term == mark.term
                && stored.mark.seq < mark.seq =>
        {
            Ok(Said::Behind(revision))
        }
        _ => {
            session.drop_term(held.term);
            Err(CommitError::TermLost(format!(
                "etcd's {} was changed by something else than the holder of the term: find out what writes there, then restore the record from `replica` in the state_dir of the node that voted last",
                session.keys.record
            )))
        }
    }
}
