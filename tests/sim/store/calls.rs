//! The way to the store: a network that delays, loses and reorders, and a client that settles what it does not know.

use super::client::{Asked, Job};
use super::{Call, Reply, TTL_MS};
use crate::authority::Wish;
use crate::event::Event;
use crate::mistake::Mistake;
use crate::node::Waiting;
use crate::record::Record;
use crate::world::World;
use validator_supervisor::engine::values::{Identity, Millis, OpId, RecordMark, Term};
use validator_supervisor::engine::{AuthorityNews, GateFacts, Input, Outcome};

const CALL_MS: u64 = 150;
const TRIES: u32 = 2;

impl World {
    pub(crate) fn join_store(&mut self, node: usize, life: u64) {
        self.after(1, Event::Keepalive { node, life });
        self.after(20, Event::Watch { node, life });
        if self.store.changes.is_empty() {
            self.after(
                30,
                Event::Tell {
                    node,
                    life,
                    input: Input::Authority(AuthorityNews::Holder(None)),
                },
            );
        }
    }

    pub(crate) fn ask_store(&mut self, node: usize, op: OpId, wish: Wish) {
        let Some(sup) = &self.nodes[node].sup else {
            return;
        };
        let life = sup.life;
        let call = match wish {
            Wish::Acquire { .. } => {
                let (lease, cached) = (sup.client.lease, sup.client.cached.clone());
                self.next_id += 1;
                Call::Acquire {
                    lease,
                    nonce: self.next_id,
                    cached,
                }
            }
            Wish::Release { term: Term(0), .. } => Call::Read,
            Wish::Release { term, .. } => Call::Release { term },
            Wish::Pass { term, to } => Call::Pass { term, to },
            Wish::Confirm { .. } => return self.done(node, life, op, 5, Outcome::Done),
        };
        self.enqueue(node, Job { op, call, tries: 0 });
    }

    /// Operations of one node are performed one after the other.
    fn enqueue(&mut self, node: usize, job: Job) {
        let Some(sup) = &mut self.nodes[node].sup else {
            return;
        };
        let life = sup.life;
        if self.mistake == Some(Mistake::ReleaseNotSent)
            && matches!(job.call, Call::Release { .. } | Call::Read)
        {
            return self.done(node, life, job.op, 2, Outcome::Done);
        }
        sup.client.jobs.push_back(job);
        self.next_job(node);
    }

    fn next_job(&mut self, node: usize) {
        let Some(sup) = &mut self.nodes[node].sup else {
            return;
        };
        if sup.client.busy {
            return;
        }
        let Some(job) = sup.client.jobs.pop_front() else {
            return;
        };
        sup.client.busy = true;
        let call = job.call.clone();
        self.send(node, call, Asked::Job(job));
    }

    fn send(&mut self, node: usize, call: Call, asked: Asked) {
        self.next_id += 1;
        let id = self.next_id;
        let Some(sup) = &mut self.nodes[node].sup else {
            return;
        };
        sup.client.in_flight.insert(id, asked);
        let life = sup.life;
        self.after(CALL_MS, Event::GiveUp { node, life, id });
        if let Some(after) = self.network(node) {
            self.after(
                after,
                Event::ToStore {
                    node,
                    life,
                    id,
                    call,
                },
            );
        }
    }

    /// How long a message takes, or `None` where it is lost.
    fn network(&mut self, node: usize) -> Option<u64> {
        let lossy = self.nodes[node].trouble.lossy > self.now;
        if self.nodes[node].trouble.cut_from_store > self.now {
            return None;
        }
        if lossy && self.rng.chance(20) {
            return None;
        }
        Some(if lossy && self.rng.chance(15) {
            self.rng.within(100, 2_500)
        } else {
            self.rng.within(1, 15)
        })
    }

    /// A request arrives, however late, whoever still waits for it.
    pub(crate) fn store_receives(&mut self, node: usize, life: u64, id: u64, call: Call) {
        if self.store_down > self.now {
            return;
        }
        let (now, mistake) = (self.now, self.mistake);
        self.store.expire(now);
        self.judge_call(node, &call);
        let standstill = matches!(call, Call::Commit { .. })
            .then(|| std::mem::take(&mut self.nodes[node].trouble.suspend_at_commit));
        if let Some(ms) = standstill.filter(|ms| *ms > 0) {
            self.suspend(node, ms);
        }
        let reply = self.store.call(now, node, call, mistake);
        self.spread_changes();
        if let Some(after) = self.network(node) {
            self.after(
                after,
                Event::FromStore {
                    node,
                    life,
                    id,
                    reply,
                },
            );
        }
    }

    /// Whether what is about to be done may be done, seen from above.
    fn judge_call(&mut self, node: usize, call: &Call) {
        let holding = self.store.holder;
        match call {
            Call::Commit { term, last, record }
                if self.store.would_commit(*term, *last, record, self.mistake) =>
            {
                let current = holding.is_some_and(|holding| holding.term == *term);
                let before = self.store.record.as_ref().map(|(record, _)| record.clone());
                let verdict = self.judge.committed(record, current, before.as_ref());
                self.break_rule(verdict);
            }
            Call::Release { term } | Call::Pass { term, .. } => {
                let votes =
                    |child: &crate::child::Child| child.voters && child.thread == Identity::Staked;
                let harmful = self.nodes[node].child.as_ref().is_some_and(votes)
                    || self.nodes[node].carries_identity();
                if harmful && holding.is_some_and(|holding| holding.term == *term) {
                    self.break_rule(Err(format!(
                        "I3: node {node} gives term {term} away with its child on the identity"
                    )));
                }
            }
            _ => {}
        }
    }

    /// The answer to a request, or none in time.
    pub(crate) fn store_answered(&mut self, node: usize, life: u64, id: u64, reply: Option<Reply>) {
        let Some(sup) = self.nodes[node].sup.as_mut().filter(|sup| sup.life == life) else {
            return;
        };
        let Some(asked) = sup.client.in_flight.remove(&id) else {
            return;
        };
        match asked {
            Asked::Job(job) => self.job_ended(node, life, job, reply),
            Asked::Commit { mark, record } => self.commit_ended(node, life, mark, &record, reply),
            Asked::Keepalive { sent } => self.keepalive_ended(node, life, sent, reply),
        }
    }

    fn job_ended(&mut self, node: usize, life: u64, mut job: Job, reply: Option<Reply>) {
        let Some(sup) = &mut self.nodes[node].sup else {
            return;
        };
        sup.client.busy = false;
        let outcome = match reply {
            None if job.tries < TRIES => {
                job.tries += 1;
                sup.client.jobs.push_front(job);
                return self.next_job(node);
            }
            None => Outcome::Failed("the store does not answer".into()),
            Some(Reply::Held {
                term,
                record,
                revision,
            }) => {
                let mark = record.as_ref().map(|record| record.mark);
                sup.client.held = Some(term);
                sup.client.given = record;
                sup.client.record_revision = revision;
                let until = told_lease(sup.client.lease_until, self.mistake);
                self.after(
                    0,
                    Event::Tell {
                        node,
                        life,
                        input: Input::Authority(AuthorityNews::Lease { term, until }),
                    },
                );
                Outcome::Held { term, record: mark }
            }
            Some(Reply::Holder(Some((holder, term)))) if holder == node => {
                job.call = match job.call {
                    Call::Acquire { lease, nonce, .. } => Call::Retake { lease, nonce, term },
                    _ => Call::Release { term },
                };
                sup.client.jobs.push_front(job);
                return self.next_job(node);
            }
            Some(Reply::Holder(_) | Reply::Done) => {
                sup.client.held = None;
                Outcome::Done
            }
            Some(Reply::Refused(why)) => Outcome::Refused(why),
            Some(other) => Outcome::Failed(format!("{other:?}")),
        };
        self.done(node, life, job.op, 0, outcome);
        self.next_job(node);
    }

    pub(crate) fn commit_to_store(&mut self, node: usize, waiting: Waiting) {
        let Some(sup) = &self.nodes[node].sup else {
            return;
        };
        let Waiting { mark, record, .. } = waiting;
        let call = Call::Commit {
            term: mark.term,
            last: sup.client.record_revision,
            record: record.clone(),
        };
        self.send(node, call, Asked::Commit { mark, record });
    }

    fn commit_ended(
        &mut self,
        node: usize,
        life: u64,
        mark: RecordMark,
        record: &Record,
        reply: Option<Reply>,
    ) {
        let Some(sup) = &mut self.nodes[node].sup else {
            return;
        };
        match reply {
            Some(Reply::Committed { revision }) => {
                sup.client.record_revision = sup.client.record_revision.max(revision);
                self.vote_committed(node, mark);
            }
            Some(_) => {
                if let Some(waiting) = sup
                    .gate
                    .waiting
                    .clone()
                    .filter(|waiting| waiting.record == *record)
                {
                    self.refuse_vote(node, waiting.pid);
                }
                self.term_lost(node, life, mark.term);
            }
            None if self.mistake == Some(Mistake::UnknownCommitTakenAsDone) => {
                self.vote_committed(node, mark)
            }
            None => self.after(1, Event::CommitAgain { node, life, mark }),
        }
    }

    fn term_lost(&mut self, node: usize, life: u64, term: Term) {
        let Some(sup) = &mut self.nodes[node].sup else {
            return;
        };
        if sup.client.held == Some(term) {
            sup.client.held = None;
            self.after(
                0,
                Event::Tell {
                    node,
                    life,
                    input: Input::Authority(AuthorityNews::TermLost(term)),
                },
            );
        }
    }

    pub(crate) fn keepalive(&mut self, node: usize, life: u64) {
        let Some(sup) = self.nodes[node].sup.as_ref().filter(|sup| sup.life == life) else {
            return;
        };
        let call = Call::Keepalive {
            lease: sup.client.lease,
        };
        self.after(500, Event::Keepalive { node, life });
        let sent = self.now;
        self.send(node, call, Asked::Keepalive { sent });
    }

    fn keepalive_ended(&mut self, node: usize, life: u64, sent: u64, reply: Option<Reply>) {
        let (now, mistake) = (self.now, self.mistake);
        self.next_id += 1;
        let fresh = self.next_id;
        let Some(sup) = &mut self.nodes[node].sup else {
            return;
        };
        let held = sup.client.held;
        match reply {
            Some(Reply::Alive) => {
                let from = if mistake == Some(Mistake::LeaseCountedFromTheAnswer) {
                    now + 1_500
                } else {
                    sent
                };
                sup.client.lease_until = sup.client.lease_until.max(from + TTL_MS);
                if sup.gate.vote.term().is_some() && sup.gate.vote.term() == held {
                    sup.gate.vote.lease(Millis(sup.client.lease_until));
                }
                let until = told_lease(sup.client.lease_until, mistake);
                if let Some(term) = held {
                    self.after(
                        0,
                        Event::Tell {
                            node,
                            life,
                            input: Input::Authority(AuthorityNews::Lease { term, until }),
                        },
                    );
                }
            }
            Some(Reply::LeaseGone) => {
                sup.client.lease = fresh;
                sup.client.lease_until = 0;
                if let Some(term) = held {
                    self.term_lost(node, life, term);
                }
            }
            _ => {}
        }
    }

    /// Sends every supervisor to look at its watch soon.
    pub(crate) fn spread_changes(&mut self) {
        for node in 0..self.nodes.len() {
            let Some(sup) = &mut self.nodes[node].sup else {
                continue;
            };
            let life = sup.life;
            if sup.client.watched < self.store.changes.len() && !sup.client.looks_soon {
                sup.client.looks_soon = true;
                let after = self.rng.within(1, 40);
                self.after(after, Event::Watch { node, life });
            }
        }
    }

    /// Tells one supervisor what has changed, in order.
    pub(crate) fn watch(&mut self, node: usize, life: u64) {
        let reachable =
            self.nodes[node].trouble.cut_from_store <= self.now && self.store_down <= self.now;
        let Some(sup) = self.nodes[node].sup.as_mut().filter(|sup| sup.life == life) else {
            return;
        };
        sup.client.looks_soon = false;
        if !reachable {
            return;
        }
        let Some(change) = self.store.changes.get(sup.client.watched).copied() else {
            return;
        };
        sup.client.watched += 1;
        let held = sup.client.held;
        let knows_none = sup.engine.last_committed().is_none();
        if let Some((record, _)) = self.store.record.as_ref().filter(|_| knows_none) {
            // What the watch has read is kept, and known as the newest record.
            let last = Some(record.mark);
            let input = Input::Gate(GateFacts { last, waiting: 0 });
            self.after(0, Event::Tell { node, life, input });
        }
        if let Some(term) = held
            && change.revision > term.0
        {
            self.term_lost(node, life, term);
        }
        let holder = change.holder.map(|(holder, _)| self.name(holder));
        let mut news = vec![AuthorityNews::Holder(holder)];
        if let (Some((holder, term)), Some(from)) = (change.holder, change.passed_by)
            && holder == node
        {
            if let Some(sup) = &mut self.nodes[node].sup {
                sup.client.held = Some(term);
            }
            let from = self.name(from);
            news.push(AuthorityNews::Passed { term, from });
        }
        for news in news {
            let input = Input::Authority(news);
            self.after(0, Event::Tell { node, life, input });
        }
        self.spread_changes();
    }
}

fn told_lease(until: u64, mistake: Option<Mistake>) -> Millis {
    Millis(until).plus(if mistake == Some(Mistake::LeaseToldTooLong) {
        60_000
    } else {
        0
    })
}
