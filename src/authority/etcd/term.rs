//! The term: taken, confirmed, passed on and given back. Whatever is unknown is settled by another transaction, until there
//! is no time left for it.

use std::time::{Duration, Instant};

use etcd_client::{Txn, TxnResponse};

use super::connection::Connection;
use super::forms::Holder;
use super::session::{Held, Session, revision, term};
use super::transactions::{self, HolderKey, KeyError};
use crate::authority::Fault;
use crate::authority::stored::StoredRecord;
use crate::engine::values::{NodeName, RecordMark, Term};

/// Between two tries.
const PAUSE: Duration = Duration::from_millis(50);

impl From<KeyError> for Fault {
    fn from(error: KeyError) -> Self {
        Self::Refused(error.to_string())
    }
}

/// One request about the term, and the time it has.
#[derive(Debug)]
pub(super) struct Request<'a> {
    session: &'a Session,
    connection: &'a mut Connection,
    until: Instant,
}

impl<'a> Request<'a> {
    pub(super) fn new(
        session: &'a Session,
        connection: &'a mut Connection,
        within: Duration,
    ) -> Self {
        Self {
            session,
            connection,
            until: Instant::now() + within,
        }
    }

    /// Takes the term, and reads the record that is final from then on. `seen`: the newest record on this disk.
    pub(super) async fn acquire(
        &mut self,
        seen: Option<RecordMark>,
    ) -> Result<(Term, Option<RecordMark>), Fault> {
        self.session.drop_term(0);
        self.session.state().acquiring += 1;
        let taken = self.take(seen).await;
        self.session.state().acquiring -= 1;
        taken
    }

    async fn take(
        &mut self,
        seen: Option<RecordMark>,
    ) -> Result<(Term, Option<RecordMark>), Fault> {
        let session = self.session;
        let lease = loop {
            match fresh_lease(session) {
                Ok(lease) => break lease,
                Err(refused) if self.is_over() => return Err(refused),
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        };
        let attempt = session.next_attempt();
        let holder = Holder {
            node: session.node.0.clone(),
            attempt,
            from: None,
        };
        let mut txn = transactions::acquire(&session.keys, &holder, lease);
        loop {
            let answer = self.ask(&txn).await?;
            if answer.succeeded() {
                let at = transactions::revision(&answer)?;
                return self.taken(at, lease, &answer, seen).await;
            }
            txn = match transactions::holder(&answer, &session.keys)? {
                // It was given up in between.
                None => transactions::acquire(&session.keys, &holder, lease),
                // The answer to an earlier try got lost.
                Some(key) if key.lease == lease && key.holder == holder => {
                    return self.taken(key.revision, lease, &answer, seen).await;
                }
                Some(key) if key.lease == lease => {
                    transactions::acquire_anew(&session.keys, key.revision, &holder, lease)
                }
                Some(key) => return Err(Fault::Refused(held_by(&key, session))),
            };
            self.pause().await?;
        }
    }

    /// The term is ours. Where its record cannot be used, it goes back.
    async fn taken(
        &mut self,
        at: i64,
        lease: i64,
        answer: &TxnResponse,
        seen: Option<RecordMark>,
    ) -> Result<(Term, Option<RecordMark>), Fault> {
        let session = self.session;
        let record = transactions::record(answer, &session.keys, &session.identity);
        let usable = record
            .map_err(Fault::from)
            .and_then(|record| {
                goes_on(at, record.as_ref().map(|key| &key.stored), seen).map(|()| record)
            })
            .and_then(|record| of_our_cluster(session, answer).map(|()| record));
        let record = match usable {
            Ok(record) => record,
            Err(fault) => {
                self.give_back(at).await?;
                return Err(fault);
            }
        };
        let record_at = record.as_ref().map_or(0, |key| key.revision);
        let stored = record.map(|key| key.stored);
        let mark = stored.as_ref().map(|stored| stored.mark);
        let held = Held {
            term: at,
            lease,
            record_at,
        };
        session.take(held, stored);
        Ok((term(at), mark))
    }

    /// Gives a term back; 0: whatever this node has.
    pub(super) async fn release(&mut self, asked: Term) -> Result<(), Fault> {
        let session = self.session;
        let at = revision(asked);
        session.drop_term(at);
        if at != 0 {
            return self.give_back(at).await.map(drop);
        }
        let answer = self.ask(&transactions::read(&session.keys)).await?;
        match transactions::holder(&answer, &session.keys)? {
            Some(key) if is_ours(&key, session) => self.give_back(key.revision).await.map(drop),
            _ => Ok(()),
        }
    }

    /// Whichever way the comparison goes, the term is not held after it. Whether it was before.
    pub(super) async fn give_back(&mut self, at: i64) -> Result<bool, Fault> {
        let txn = transactions::release(&self.session.keys, at);
        self.ask(&txn).await.map(|answer| answer.succeeded())
    }

    /// Passes a term to a node that is there.
    pub(super) async fn pass(&mut self, from: Term, to: &NodeName) -> Result<(), Fault> {
        let session = self.session;
        let at = revision(from);
        let lease = self.lease_of(to).await?;
        session.drop_term(at);
        let holder = Holder {
            node: to.0.clone(),
            attempt: 0,
            from: Some(session.node.0.clone()),
        };
        let answer = self
            .ask(&transactions::pass(&session.keys, at, &holder, lease))
            .await?;
        if answer.succeeded() {
            return Ok(());
        }
        match transactions::holder(&answer, &session.keys)? {
            // The answer to an earlier try got lost.
            Some(key) if key.lease == lease => Ok(()),
            Some(key) if key.revision == at => Err(Fault::Refused(format!(
                "{to} has left: its lease is over, and the term stays here"
            ))),
            _ => Err(Fault::Refused(format!(
                "term {from} is not this node's any more"
            ))),
        }
    }

    async fn lease_of(&mut self, node: &NodeName) -> Result<i64, Fault> {
        let key = self.session.keys.member(&node.0);
        let read = Txn::new().and_then([etcd_client::TxnOp::get(key.clone(), None)]);
        let answer = self.ask(&read).await?;
        transactions::found(&answer, &key)
            .map(|kv| kv.lease())
            .ok_or_else(|| Fault::Refused(format!("{node} is not there: etcd has no {key}")))
    }

    /// Whether a term is still held, by a fresh transaction.
    pub(super) async fn confirm(&mut self, asked: Term) -> Result<bool, Fault> {
        let answer = self.ask(&transactions::read(&self.session.keys)).await?;
        let holder = transactions::holder(&answer, &self.session.keys)?;
        let held = holder.is_some_and(|key| key.revision == revision(asked));
        if !held {
            self.session.lost(revision(asked));
        }
        Ok(held)
    }

    /// Repeats a transaction until its answer is there: at each node once where they refuse it, for one may be busy, or be no
    /// etcd. Right for those alone that may be applied twice. A refusal says nothing of the tries before it.
    async fn ask(&mut self, txn: &Txn) -> Result<TxnResponse, Fault> {
        let (mut refusals, mut may_be_applied) = (0, false);
        loop {
            let asked = self.connection.call(|client| {
                let txn = txn.clone();
                async move { client.kv_client().txn(txn).await }
            });
            match asked.await {
                Ok(answer) => {
                    self.session.answered();
                    return Ok(answer);
                }
                Err(Fault::Unknown(why)) if self.is_over() => return Err(Fault::Unknown(why)),
                Err(Fault::Unknown(_)) => {
                    may_be_applied = true;
                    tokio::time::sleep(PAUSE).await;
                }
                Err(refused) => {
                    refusals += 1;
                    if refusals >= self.session.settings.count() || self.is_over() {
                        return Err(match refused {
                            Fault::Refused(why) if may_be_applied => Fault::Unknown(why),
                            refused => refused,
                        });
                    }
                }
            }
        }
    }

    fn is_over(&self) -> bool {
        Instant::now() + self.session.settings.within() > self.until
    }

    async fn pause(&self) -> Result<(), Fault> {
        if self.is_over() {
            return Err(Fault::Unknown(
                "the holder changes too often to be caught up with".into(),
            ));
        }
        tokio::time::sleep(PAUSE).await;
        Ok(())
    }
}

/// A lease with time left: a term on one that is about to end would have to be given up at once.
fn fresh_lease(session: &Session) -> Result<i64, Fault> {
    let lease = session.state().lease;
    let lease =
        lease.ok_or_else(|| Fault::Refused("etcd has not granted this node a lease yet".into()))?;
    if lease.until.since(session.now()) < session.ttl_ms() / 2 {
        return Err(Fault::Refused(
            "the lease at etcd was not renewed lately: etcd is out of reach, or slow".into(),
        ));
    }
    Ok(lease.id)
}

/// A holder key on the lease of this supervisor; one of an earlier run is not.
pub(super) fn is_ours(key: &HolderKey, session: &Session) -> bool {
    let lease = session.state().lease.map(|lease| lease.id);
    Some(key.lease) == lease && key.holder.node == session.node.0
}

fn held_by(key: &HolderKey, session: &Session) -> String {
    if key.holder.node == session.node.0 {
        return format!(
            "term {} is still on an earlier lease of this node, until that is over",
            key.revision
        );
    }
    format!("{} holds term {}", key.holder.node, key.revision)
}

/// A term is above every one before it. If it is not, etcd forgot some.
fn goes_on(at: i64, record: Option<&StoredRecord>, seen: Option<RecordMark>) -> Result<(), Fault> {
    let newest = record
        .map(|stored| stored.mark.term)
        .max(seen.map(|mark| mark.term));
    match newest {
        Some(newest) if newest >= term(at) => Err(Fault::Refused(format!(
            "etcd grants term {at}, and term {newest} is over already: it was restored from a backup, or replaced. No node may vote with it before its revision is above {newest}"
        ))),
        _ => Ok(()),
    }
}

fn of_our_cluster(session: &Session, answer: &TxnResponse) -> Result<(), Fault> {
    let header = answer.header().ok_or(KeyError::Answer)?;
    session.knows_cluster(header.cluster_id())
}
