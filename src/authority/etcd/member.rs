//! This node's own entry among the members, on its lease, kept as it is told to be.

use std::time::Duration;

use tokio::sync::watch::Receiver;

use super::connection::Connection;
use super::session::Session;
use super::transactions;
use crate::authority::Fault;
use crate::authority::news::{Member, Part};

/// Changes that come faster than this are put together.
const PAUSE: Duration = Duration::from_millis(200);

/// The entry as it stands at etcd.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    member: Member,
    lease: i64,
    revision: i64,
}

/// Keeps the entry for as long as the supervisor lives.
pub(super) async fn tell(
    session: &Session,
    connection: &mut Connection,
    mut wanted: Receiver<Member>,
) {
    let mut entry: Option<Entry> = None;
    let mut failing_since = None;
    loop {
        let member = wanted.borrow_and_update().clone();
        let lease = session.state().lease.map(|lease| lease.id);
        let stands = entry
            .as_ref()
            .is_some_and(|entry| entry.member == member && Some(entry.lease) == lease);
        if let (false, Some(lease)) = (stands, lease) {
            match enter(session, connection, entry.as_ref(), member, lease).await {
                Ok(new) => {
                    entry = Some(new);
                    failing_since = None;
                    session.well(Part::Member);
                }
                // What is left of an earlier lease ends with it.
                Err(fault) => {
                    let since = *failing_since.get_or_insert(session.now());
                    if session.now().since(since) > session.lease_ms() {
                        session.trouble(Part::Member, &fault);
                    }
                }
            }
        }
        wait(session.interval, entry.as_ref(), &mut wanted).await;
    }
}

/// Until there is something to tell: at once what a successor is chosen by, the rest once in an interval.
async fn wait(interval: Duration, entry: Option<&Entry>, wanted: &mut Receiver<Member>) {
    tokio::time::sleep(PAUSE).await;
    let until = tokio::time::Instant::now() + interval;
    while tokio::time::timeout_at(until, wanted.changed())
        .await
        .is_ok()
    {
        let urgent = entry.is_none_or(|entry| wanted.borrow().differs_in_kind(&entry.member));
        if urgent {
            return;
        }
    }
}

async fn enter(
    session: &Session,
    connection: &mut Connection,
    before: Option<&Entry>,
    member: Member,
    lease: i64,
) -> Result<Entry, Fault> {
    let mut own = before
        .filter(|entry| entry.lease == lease)
        .map_or(0, |entry| entry.revision);
    // A second time where the answer to an earlier try got lost.
    for _ in 0..2 {
        let txn = transactions::enter(&session.keys, &session.node.0, member.form(), lease, own);
        let answer = connection
            .call(|client| async move { client.kv_client().txn(txn).await })
            .await?;
        if answer.succeeded() {
            let revision = transactions::revision(&answer)?;
            return Ok(Entry {
                member,
                lease,
                revision,
            });
        }
        let key = session.keys.member(&session.node.0);
        match transactions::found(&answer, &key) {
            Some(kv) if kv.lease() == lease => own = kv.mod_revision(),
            Some(_) => {
                return Err(Fault::Refused(format!(
                    "etcd has a member {} on another lease: an earlier one of this supervisor, which runs out, or that of another node with the same `node`",
                    session.node
                )));
            }
            None => own = 0,
        }
    }
    Err(Fault::Unknown(
        "the entry of this member changes under our hands".into(),
    ))
}
