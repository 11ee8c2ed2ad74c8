//! One node's side of the authority: operations in order, commits beside them, a lease, a watch; what is unknown is settled by another
//! transaction. Dies with its supervisor.

use crate::mistake::Mistake;
use crate::node::{ROUND_MS, name};
use crate::record::Record;
use crate::store::{Call, Change, LeaseId, Reply, TTL_MS};
use crate::world::{Message, World};
use std::collections::VecDeque;
use validator_supervisor::engine::values::{Millis, OpId, Term};
use validator_supervisor::engine::{AuthorityNews, Input, Outcome};

/// How often an operation is tried before the engine hears that its outcome is unknown.
const TRIES: u8 = 2;

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Client {
    /// Number of its lease.
    pub(crate) lease: u8,
    /// The lease is good until then, as far as the client knows.
    pub(crate) lease_until: u64,
    /// A renewal that the store has carried out and not yet answered: when it was sent.
    pub(crate) renewal: Option<u64>,
    pub(crate) held: Option<Term>,
    /// The record that came with the term.
    pub(crate) given: Option<Record>,
    pub(crate) record_revision: u64,
    pub(crate) jobs: VecDeque<Job>,
    /// The call that an answer is awaited for: of the first job, and of the vote that waits.
    pub(crate) asked: Option<u8>,
    pub(crate) committing: Option<u8>,
    pub(crate) calls: u8,
    /// How many of the store's changes its watch has told.
    pub(crate) watched: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Job {
    pub(crate) op: OpId,
    pub(crate) call: Call,
    pub(crate) tries: u8,
}

impl World {
    pub(crate) fn lease_id(&self, node: usize) -> LeaseId {
        let number = self.nodes[node].client.lease;
        LeaseId { node, number }
    }

    /// Operations of one node are performed one after the other.
    pub(crate) fn enqueue(&mut self, node: usize, op: OpId, call: Call) {
        let job = Job { op, call, tries: 0 };
        self.nodes[node].client.jobs.push_back(job);
        self.next_job(node);
    }

    /// An acquisition begins with a renewal: a term that is held on a lease in its margin would be given back at once.
    pub(crate) fn acquire(&mut self, node: usize, op: OpId) {
        if self.nodes[node].client.lease_until < until(self.nodes[node].round()) {
            self.renew(node);
            self.renewal_answered(node);
        }
        let call = self.acquisition(node);
        self.enqueue(node, op, call);
    }

    fn acquisition(&self, node: usize) -> Call {
        let early = self.mistake == Some(Mistake::RecordReadBeforeTheFence);
        let seen = self.store.record.as_ref().filter(|_| early);
        Call::Acquire {
            lease: self.lease_id(node),
            seen: seen.map(|(record, _)| *record),
        }
    }

    fn next_job(&mut self, node: usize) {
        let client = &self.nodes[node].client;
        let (None, Some(job)) = (client.asked, client.jobs.front()) else {
            return;
        };
        let call = job.call.clone();
        let id = self.send(node, call);
        self.nodes[node].client.asked = Some(id);
    }

    fn send(&mut self, node: usize, call: Call) -> u8 {
        let client = &mut self.nodes[node].client;
        client.calls += 1;
        let id = client.calls;
        self.net.insert(Message::Request { node, id, call });
        id
    }

    /// The answer to one of this node's calls.
    pub(crate) fn answered(&mut self, node: usize, id: u8, reply: Reply) {
        let client = &self.nodes[node].client;
        if client.asked == Some(id) {
            return self.job_answered(node, reply);
        }
        let any = self.mistake == Some(Mistake::LateAnswerAccepted)
            && matches!(reply, Reply::Committed { .. });
        if client.committing == Some(id) || (any && client.committing.is_some()) {
            self.commit_answered(node, reply);
        }
    }

    fn job_answered(&mut self, node: usize, reply: Reply) {
        self.nodes[node].client.asked = None;
        let Some(mut job) = self.nodes[node].client.jobs.pop_front() else {
            return;
        };
        let outcome = match (&job.call, reply) {
            (
                Call::Acquire { .. } | Call::Retake { .. },
                Reply::Held {
                    term,
                    record,
                    revision,
                },
            ) => self.held(node, term, record, revision),
            (Call::Acquire { .. } | Call::Retake { .. }, Reply::Holder(Some(holding)))
                if holding.node == node && self.mistake != Some(Mistake::UnknownTakenAsFailure) =>
            {
                let lease = self.lease_id(node);
                job.call = Call::Retake {
                    lease,
                    term: holding.term,
                };
                return self.again(node, job);
            }
            (Call::Read, Reply::Holder(Some(holding))) if holding.node == node => {
                job.call = Call::Release { term: holding.term };
                return self.again(node, job);
            }
            (Call::Read, Reply::Holder(_))
            | (Call::Release { .. } | Call::Pass { .. }, Reply::Done) => {
                self.nodes[node].client.held = None;
                Outcome::Done
            }
            (Call::Confirm { .. }, Reply::Done) => Outcome::Done,
            // An earlier try may have been the one that did it.
            (Call::Release { .. }, _) if job.tries > 0 => Outcome::Done,
            (Call::Pass { to, .. }, Reply::Holder(Some(holding)))
                if job.tries > 0 && holding.node == to.node =>
            {
                Outcome::Done
            }
            (_, reply) => Outcome::Refused(refusal(&reply).into()),
        };
        self.later(node, Input::Done(job.op, outcome));
        self.next_job(node);
    }

    fn held(&mut self, node: usize, term: Term, record: Option<Record>, revision: u64) -> Outcome {
        let client = &mut self.nodes[node].client;
        client.held = Some(term);
        client.given = record;
        client.record_revision = revision;
        let until = Millis(client.lease_until);
        self.later(node, Input::Authority(AuthorityNews::Lease { term, until }));
        Outcome::Held {
            term,
            record: record.map(|record| record.mark),
        }
    }

    fn again(&mut self, node: usize, job: Job) {
        self.nodes[node].client.jobs.push_front(job);
        self.next_job(node);
    }

    /// No answer to an operation for long. The request may still arrive, and its answer is not waited for any more.
    pub(crate) fn give_up_job(&mut self, node: usize) {
        self.nodes[node].client.asked = None;
        let Some(mut job) = self.nodes[node].client.jobs.pop_front() else {
            return;
        };
        job.tries += 1;
        let acquiring = matches!(job.call, Call::Acquire { .. } | Call::Retake { .. });
        if acquiring && self.mistake == Some(Mistake::UnknownTakenAsFailure) {
            let outcome = Outcome::Refused("no answer".into());
            self.later(node, Input::Done(job.op, outcome));
            return self.next_job(node);
        }
        if job.tries < TRIES {
            if acquiring {
                job.call = self.acquisition(node);
            }
            return self.again(node, job);
        }
        self.later(
            node,
            Input::Done(job.op, Outcome::Failed("no answer".into())),
        );
        self.next_job(node);
    }

    /// Has the vote that waits committed, or settles whether it was.
    pub(crate) fn commit(&mut self, node: usize) {
        let Some(record) = self.nodes[node].waiting else {
            return;
        };
        let last = self.nodes[node].client.record_revision;
        let term = record.mark.term;
        let id = self.send(node, Call::Commit { term, last, record });
        self.nodes[node].client.committing = Some(id);
    }

    fn commit_answered(&mut self, node: usize, reply: Reply) {
        let n = &mut self.nodes[node];
        n.client.committing = None;
        let Some(record) = n.waiting.take() else {
            return;
        };
        if let Reply::Committed { revision } = reply {
            n.client.record_revision = n.client.record_revision.max(revision);
            self.let_go(node, record);
        } else {
            self.refuse(node);
            self.term_lost(node, record.mark.term);
        }
    }

    pub(crate) fn give_up_commit(&mut self, node: usize) {
        if self.mistake == Some(Mistake::UnknownTakenAsSuccess) {
            self.nodes[node].client.committing = None;
            if let Some(record) = self.nodes[node].waiting.take() {
                self.let_go(node, record);
            }
        } else {
            self.commit(node);
        }
    }

    pub(crate) fn term_lost(&mut self, node: usize, term: Term) {
        let client = &mut self.nodes[node].client;
        if client.held == Some(term) {
            client.held = None;
            self.later(node, Input::Authority(AuthorityNews::TermLost(term)));
        }
    }

    /// The store renews the lease; its answer may take its time. A lease that is gone is replaced.
    pub(crate) fn renew(&mut self, node: usize) {
        let (id, now) = (self.lease_id(node), self.nodes[node].round());
        if self.store.lease(id).is_some() {
            self.store.renew(id, now);
            self.nodes[node].client.renewal = Some(now);
            self.nodes[node].slow.renewal = false;
            return;
        }
        let held = self.nodes[node].client.held;
        if let Some(term) = held {
            self.term_lost(node, term);
        }
        self.grant(node);
    }

    /// A new lease.
    pub(crate) fn grant(&mut self, node: usize) {
        self.nodes[node].client.lease += 1;
        let (id, now) = (self.lease_id(node), self.nodes[node].round());
        self.store.renew(id, now);
        self.nodes[node].client.renewal = None;
        self.nodes[node].client.lease_until = until(now);
    }

    pub(crate) fn renewal_answered(&mut self, node: usize) {
        let mistaken = self.mistake == Some(Mistake::LeaseCountedFromTheAnswer);
        let n = &mut self.nodes[node];
        n.slow.renewal = false;
        let Some(sent) = n.client.renewal.take() else {
            return;
        };
        let from = if mistaken { n.round() } else { sent };
        n.client.lease_until = n.client.lease_until.max(until(from));
        let until = Millis(n.client.lease_until);
        let Some(term) = n.client.held else { return };
        if n.gate.term() == Some(term) {
            n.gate.lease(until);
        }
        self.later(node, Input::Authority(AuthorityNews::Lease { term, until }));
    }

    /// The watch tells what has changed, in order.
    pub(crate) fn watch(&mut self, node: usize) {
        let watched = self.nodes[node].client.watched;
        self.nodes[node].client.watched = self.store.changes.len();
        for at in watched..self.store.changes.len() {
            self.told(node, self.store.changes[at]);
        }
    }

    fn told(&mut self, node: usize, change: Change) {
        let own = change.holder.is_some_and(|(holder, _)| holder == node);
        let missed = self.mistake == Some(Mistake::UnknownTakenAsFailure);
        if own && change.passed_by.is_none() && missed {
            return;
        }
        if let Some(term) = self.nodes[node].client.held
            && change.revision > term.0
        {
            self.term_lost(node, term);
        }
        let holder = change.holder.map(|(holder, _)| name(holder));
        self.later(node, Input::Authority(AuthorityNews::Holder(holder)));
        if let (Some((_, term)), Some(from)) = (change.holder, change.passed_by)
            && own
        {
            let from = name(from);
            let passed = AuthorityNews::Passed { term, from };
            self.later(node, Input::Authority(passed));
        }
    }
}

/// How long a node counts on a lease whose renewal it sent in this round: the store counts from later.
fn until(sent: u64) -> u64 {
    debug_assert!(sent.is_multiple_of(ROUND_MS));
    sent + TTL_MS - 1
}

fn refusal(reply: &Reply) -> &'static str {
    match reply {
        Reply::Holder(Some(_)) => "another term is held",
        Reply::Holder(None) => "no term is held",
        Reply::LeaseGone => "the lease is gone",
        _ => "an answer to something else",
    }
}
