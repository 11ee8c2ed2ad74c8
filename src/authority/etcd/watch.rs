//! What stands under the keys, followed as it changes: who holds the term, the newest record, who is there.
//!
//! It begins with a read by way of the leader and goes on from the revision of that read. Whatever breaks it (a node that
//! fails, a compaction, a cancelled watch) makes it begin anew, and everything is told again. It decides nothing.

use std::collections::BTreeSet;
use std::time::Duration;

use etcd_client::{EventType, GetOptions, KeyValue, WatchOptions, WatchStream};

use super::connection::Connection;
use super::replica::Replica;
use super::session::{Session, term};
use super::term::is_ours;
use super::transactions::{self, HolderKey};
use crate::authority::Fault;
use crate::authority::news::{Member, News, Part};
use crate::engine::AuthorityNews;
use crate::engine::values::NodeName;

const PAUSE: Duration = Duration::from_millis(200);

/// Follows for as long as the supervisor lives.
pub(super) async fn follow(session: &Session, connection: &mut Connection, replica: &Replica) {
    let mut watch = Watch {
        session,
        replica,
        members: BTreeSet::new(),
    };
    loop {
        if let Err(fault) = watch.once(connection).await {
            session.trouble(Part::Watch, &fault);
            connection.next_endpoint();
        }
        tokio::time::sleep(PAUSE).await;
    }
}

struct Watch<'a> {
    session: &'a Session,
    replica: &'a Replica,
    members: BTreeSet<NodeName>,
}

impl Watch<'_> {
    /// Reads everything, then follows until it breaks.
    async fn once(&mut self, connection: &mut Connection) -> Result<(), Fault> {
        let from = self.read(connection).await?;
        let base = self.session.keys.base().to_owned();
        let options = WatchOptions::new()
            .with_prefix()
            .with_start_revision(from + 1);
        let mut stream = connection
            .call(|client| async move { client.watch_client().watch(base, Some(options)).await })
            .await?;
        self.session.well(Part::Watch);
        loop {
            self.next(&mut stream).await?;
        }
    }

    async fn read(&mut self, connection: &mut Connection) -> Result<i64, Fault> {
        let base = self.session.keys.base().to_owned();
        let all = connection
            .call(|client| async move {
                let prefix = Some(GetOptions::new().with_prefix());
                client.kv_client().get(base, prefix).await
            })
            .await?;
        let header = all
            .header()
            .ok_or_else(|| Fault::Unknown("a read without a header".into()))?;
        self.session.knows_cluster(header.cluster_id())?;
        let before = std::mem::take(&mut self.members);
        let mut has_holder = false;
        for kv in all.kvs() {
            has_holder |= kv.key() == self.session.keys.holder.as_bytes();
            self.put(kv);
        }
        if !has_holder {
            self.nobody_holds();
        }
        for node in before.difference(&self.members) {
            self.left(node.clone());
        }
        Ok(header.revision())
    }

    async fn next(&mut self, stream: &mut WatchStream) -> Result<(), Fault> {
        let broken = |why: String| Fault::Unknown(format!("the watch has ended: {why}"));
        let within = self.session.settings.within();
        let message = match tokio::time::timeout(within, stream.message()).await {
            Ok(message) => message,
            // Nothing has changed, or the node is out of reach: one that is not says so when asked.
            Err(_) => {
                let asked = stream.request_progress().await;
                asked.map_err(|error| broken(error.to_string()))?;
                let answer = tokio::time::timeout(within, stream.message()).await;
                answer.map_err(|_| broken(format!("no answer within {} ms", within.as_millis())))?
            }
        };
        let message = message.map_err(|error| broken(error.to_string()))?;
        let message = message.ok_or_else(|| broken("the stream was closed".into()))?;
        if message.canceled() {
            return Err(broken(message.cancel_reason().to_owned()));
        }
        for event in message.events() {
            match (event.event_type(), event.kv()) {
                (EventType::Put, Some(kv)) => self.put(kv),
                (EventType::Delete, Some(kv)) => self.deleted(kv),
                _ => {}
            }
        }
        Ok(())
    }

    fn put(&mut self, kv: &KeyValue) {
        let keys = &self.session.keys;
        if kv.key() == keys.holder.as_bytes() {
            match transactions::holder_of(kv, keys) {
                Ok(key) => {
                    self.session.well(Part::Keys);
                    self.holds(key);
                }
                Err(error) => self.session.trouble(Part::Keys, &error.into()),
            }
        } else if kv.key() == keys.record.as_bytes() {
            match transactions::record_of(kv, keys, &self.session.identity) {
                Ok(record) => self.replica.offer(record.stored),
                Err(error) => self.session.trouble(Part::Keys, &error.into()),
            }
        } else if let Some(node) = self.node_of(kv) {
            match Member::read(kv.value()) {
                Ok(member) => {
                    self.members.insert(node.clone());
                    let member = Some(member);
                    self.session.tell(News::Member { node, member });
                }
                Err(error) => {
                    tracing::warn!("what etcd says of member {node} cannot be used: {error}")
                }
            }
        }
    }

    fn deleted(&mut self, kv: &KeyValue) {
        if kv.key() == self.session.keys.holder.as_bytes() {
            self.nobody_holds();
        } else if let Some(node) = self.node_of(kv) {
            self.members.remove(&node);
            self.left(node);
        }
    }

    fn node_of(&self, kv: &KeyValue) -> Option<NodeName> {
        let key = kv.key_str().ok()?;
        self.session
            .keys
            .node_of(key)
            .map(|node| NodeName(node.to_owned()))
    }

    fn holds(&self, key: HolderKey) {
        let session = self.session;
        let node = NodeName(key.holder.node.clone());
        let held = session.state().held;
        session.state().holder = Some(key.clone());
        // A term that was passed to us is told before that we hold it: it must not look like one that is left over.
        match (held, key.holder.from.clone()) {
            (Some(held), _) if key.revision > held.term && !is_ours(&key, session) => {
                session.lost(held.term)
            }
            (None, Some(from)) if is_ours(&key, session) => self.passed(&key, NodeName(from)),
            _ => {}
        }
        session.tell_term(AuthorityNews::Holder(Some(node)));
    }

    fn passed(&self, key: &HolderKey, from: NodeName) {
        let lease = self.session.state().lease;
        let term = term(key.revision);
        if let Some(lease) = lease.filter(|lease| lease.id == key.lease) {
            self.session.tell_term(AuthorityNews::Lease {
                term,
                until: lease.until,
            });
        }
        self.session.tell_term(AuthorityNews::Passed { term, from });
    }

    fn nobody_holds(&self) {
        self.session.state().holder = None;
        self.session.tell_term(AuthorityNews::Holder(None));
    }

    fn left(&self, node: NodeName) {
        self.session.tell(News::Member { node, member: None });
    }
}
