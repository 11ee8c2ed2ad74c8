//! The lease that the holder's key and the member's key live on: granted, kept alive, and replaced when it is over.
//!
//! It counts from the moment a request was sent, never from its answer, on a clock that counts suspended time: etcd cannot end
//! it earlier than that. It is for liveness; what may be committed is decided by comparisons.

use std::time::Duration;

use super::connection::Connection;
use super::session::{Lease, Session, term};
use super::term::{Request, is_ours};
use super::version;
use crate::authority::Fault;
use crate::authority::news::Part;
use crate::engine::AuthorityNews;

/// After a failure; short against every interval.
const PAUSE: Duration = Duration::from_millis(100);
/// How long a term that nobody asked for is tried to be given back.
const RETURN_WITHIN: Duration = Duration::from_secs(2);

const ENDED: &str = "the lease at etcd was over before it was renewed: this machine or its link to etcd stood still, or somebody revoked it";
const UNHEARD: &str = "nothing was heard from etcd for the whole time of the lease, which is given up: etcd or the way to it is down or slow, or this machine stood still";

/// Keeps a lease for as long as the supervisor lives.
pub(super) async fn keep(session: &Session, connection: &mut Connection) {
    loop {
        let begun = tokio::time::Instant::now();
        let (known, leaving) = {
            let state = session.state();
            (state.lease, state.leaving)
        };
        if leaving {
            return;
        }
        let kept = match known {
            None => grant(session, connection).await,
            Some(lease) if lease.until <= session.now() => {
                is_over(session, lease.id, UNHEARD);
                session.state().given_up = Some(lease.id);
                grant(session, connection).await
            }
            Some(lease) => renew(session, connection, lease.id).await,
        };
        end_given_up(session, connection).await;
        match kept {
            Ok(()) => {
                session.answered();
                return_stray(session, connection).await;
                tokio::time::sleep_until(begun + session.interval).await;
            }
            Err(fault) => {
                session.trouble(Part::Lease, &fault);
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Without a lease no term is taken: so whatever must not be used is refused here.
async fn grant(session: &Session, connection: &mut Connection) -> Result<(), Fault> {
    let status = connection
        .call(|client| async move { client.maintenance_client().status().await })
        .await?;
    version::check(status.version()).map_err(|error| {
        let endpoint = connection.endpoint();
        Fault::Refused(format!("{endpoint}: {error}"))
    })?;
    let (sent, ttl_s) = (session.now(), session.ttl_s);
    let granted = connection
        .call(|client| async move { client.lease_client().grant(ttl_s, None).await })
        .await?;
    let header = granted
        .header()
        .ok_or_else(|| Fault::Unknown("a grant without a header".into()))?;
    session.knows_cluster(header.cluster_id())?;
    if granted.ttl() < ttl_s {
        return Err(Fault::Refused(format!(
            "etcd grants a lease of {} s and not authority.etcd.ttl ({ttl_s} s)",
            granted.ttl()
        )));
    }
    let until = sent.plus(seconds(granted.ttl()));
    session.state().lease = Some(Lease {
        id: granted.id(),
        until,
    });
    Ok(())
}

/// The time to live is the one that was granted; etcd renews with no other.
async fn renew(session: &Session, connection: &mut Connection, id: i64) -> Result<(), Fault> {
    let sent = session.now();
    let renewed = connection
        .call(|client| async move { client.lease_client().keep_alive(id).await })
        .await;
    match renewed {
        Ok(_) => {
            is_good_until(session, id, sent.plus(seconds(session.ttl_s)));
            session.well(Part::Lease);
            Ok(())
        }
        // Another node is asked at once: there is no time for a question about a silence.
        Err(Fault::Unknown(why)) => Err(Fault::Unknown(why)),
        // Also said of a lease that is over.
        Err(fault) => match time_to_live(connection, id).await? {
            ttl_s if ttl_s > 0 => Err(fault),
            _ => {
                is_over(session, id, ENDED);
                Ok(())
            }
        },
    }
}

async fn time_to_live(connection: &mut Connection, id: i64) -> Result<i64, Fault> {
    let answer = connection
        .call(|client| async move { client.lease_client().time_to_live(id, None).await })
        .await?;
    Ok(answer.ttl())
}

fn is_good_until(session: &Session, id: i64, until: crate::engine::values::Millis) {
    let mut state = session.state();
    if state.leaving {
        return;
    }
    state.lease = Some(Lease { id, until });
    let held = state.held.filter(|held| held.lease == id);
    drop(state);
    if let Some(held) = held {
        session.tell_term(AuthorityNews::Lease {
            term: term(held.term),
            until,
        });
    }
}

/// Nothing rests on it any more here. Its keys are gone, or go with it.
fn is_over(session: &Session, id: i64, why: &str) {
    let mut state = session.state();
    state.lease = None;
    let held = state.held.filter(|held| held.lease == id);
    drop(state);
    session.trouble(Part::Lease, &Fault::Refused(why.into()));
    if let Some(held) = held {
        session.lost(held.term);
    }
}

/// Ends a lease that was given up: etcd may have heard every request to keep it alive, and the others wait for its end. Tried until
/// etcd answers; where nothing arrives either, the lease runs out.
async fn end_given_up(session: &Session, connection: &mut Connection) {
    let Some(id) = session.state().given_up else {
        return;
    };
    let revoked = connection
        .call(|client| async move { client.lease_client().revoke(id).await })
        .await;
    if !matches!(revoked, Err(Fault::Unknown(_))) {
        session.state().given_up = None;
    }
}

/// Ends the lease, so that the others know at once that this node has left.
pub(super) async fn end(session: &Session, connection: &mut Connection) {
    let leases = {
        let mut state = session.state();
        state.leaving = true;
        let lease = state.lease.take().map(|lease| lease.id);
        [lease, state.given_up.take()]
    };
    for id in leases.into_iter().flatten() {
        // Where it fails, the lease runs out.
        let _ = connection
            .call(|client| async move { client.lease_client().revoke(id).await })
            .await;
    }
}

/// A term that is ours and in nobody's hands, from a request that was applied after it was given up, goes back.
async fn return_stray(session: &Session, connection: &mut Connection) {
    let stray = {
        let state = session.state();
        let idle = state.acquiring == 0 && state.held.is_none();
        state.holder.clone().filter(|_| idle)
    };
    let Some(key) = stray.filter(|key| key.holder.from.is_none() && is_ours(key, session)) else {
        return;
    };
    let mut request = Request::new(session, connection, RETURN_WITHIN);
    if request.give_back(key.revision).await == Ok(true) {
        tracing::warn!(
            EVENT = "term-returned",
            TERM = key.revision,
            "term {} was ours at etcd and in nobody's hands: given back",
            key.revision
        );
    }
}

fn seconds(seconds: i64) -> u64 {
    u64::try_from(seconds)
        .unwrap_or_default()
        .saturating_mul(1000)
}
