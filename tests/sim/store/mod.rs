//! The fenced store: a holder on a lease, and a record that only the holder's term may replace. Every call is one transaction.

pub(crate) mod calls;
pub(crate) mod client;

use crate::mistake::Mistake;
use crate::record::Record;
use std::collections::BTreeMap;
use validator_supervisor::engine::values::Term;

pub(crate) const TTL_MS: u64 = 3000;

#[derive(Clone, Debug)]
pub(crate) enum Call {
    /// `cached` is the record that a client knew before it asked; only a mistaken store looks at it.
    Acquire {
        lease: u64,
        nonce: u64,
        cached: Option<Record>,
    },
    /// Takes a term that is here already under a new number.
    Retake {
        lease: u64,
        nonce: u64,
        term: Term,
    },
    Commit {
        term: Term,
        last: u64,
        record: Record,
    },
    Read,
    Release {
        term: Term,
    },
    Pass {
        term: Term,
        to: usize,
    },
    Keepalive {
        lease: u64,
    },
}

#[derive(Clone, Debug)]
pub(crate) enum Reply {
    Held {
        term: Term,
        record: Option<Record>,
        revision: u64,
    },
    Refused(String),
    Committed {
        revision: u64,
    },
    Holder(Option<(usize, Term)>),
    Done,
    Alive,
    LeaseGone,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Holding {
    pub(crate) node: usize,
    pub(crate) lease: u64,
    /// Names the acquisition, so that its answer can be asked for again.
    pub(crate) nonce: u64,
    pub(crate) term: Term,
}

/// One change of the holder, as a watch tells it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Change {
    pub(crate) revision: u64,
    pub(crate) holder: Option<(usize, Term)>,
    pub(crate) passed_by: Option<usize>,
}

#[derive(Clone, Debug)]
struct Lease {
    node: usize,
    ends_at: u64,
    gone: bool,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Store {
    revision: u64,
    pub(crate) holder: Option<Holding>,
    pub(crate) record: Option<(Record, u64)>,
    leases: BTreeMap<u64, Lease>,
    pub(crate) changes: Vec<Change>,
}

impl Store {
    pub(crate) fn call(
        &mut self,
        now: u64,
        node: usize,
        call: Call,
        mistake: Option<Mistake>,
    ) -> Reply {
        match call {
            Call::Acquire {
                lease,
                nonce,
                cached,
            } => self.acquire(node, lease, nonce, cached, mistake),
            Call::Retake { lease, nonce, term } => self.retake(node, lease, nonce, term),
            Call::Commit { term, last, record } => self.commit(term, last, record, mistake),
            Call::Read => Reply::Holder(self.holder.map(|holding| (holding.node, holding.term))),
            Call::Release { term } => self.release(term),
            Call::Pass { term, to } => self.pass(term, to, mistake),
            Call::Keepalive { lease } => self.keepalive(now, node, lease),
        }
    }

    /// Ends leases that ran out; the store is free to be late with it.
    pub(crate) fn expire(&mut self, now: u64) {
        for lease in self.leases.values_mut() {
            lease.gone |= lease.ends_at <= now;
        }
        if self.holder.is_some_and(|holding| {
            self.leases
                .get(&holding.lease)
                .is_none_or(|lease| lease.gone)
        }) {
            self.set_holder(None, None);
        }
    }

    fn set_holder(&mut self, to: Option<(usize, u64, u64)>, passed_by: Option<usize>) -> Term {
        self.revision += 1;
        let term = Term(self.revision);
        self.holder = to.map(|(node, lease, nonce)| Holding {
            node,
            lease,
            nonce,
            term,
        });
        let holder = to.map(|(node, ..)| (node, term));
        self.changes.push(Change {
            revision: self.revision,
            holder,
            passed_by,
        });
        term
    }

    /// When the last lease of a node ended or will end.
    pub(crate) fn lease_end(&self, node: usize) -> u64 {
        self.leases
            .values()
            .filter(|lease| lease.node == node)
            .map(|lease| lease.ends_at)
            .max()
            .unwrap_or(0)
    }

    fn alive(&self, lease: u64) -> bool {
        self.leases.get(&lease).is_some_and(|lease| !lease.gone)
    }

    fn acquire(
        &mut self,
        node: usize,
        lease: u64,
        nonce: u64,
        cached: Option<Record>,
        mistake: Option<Mistake>,
    ) -> Reply {
        let term = match self.holder {
            Some(holding) if holding.node == node && holding.nonce == nonce => holding.term,
            Some(holding) if holding.node == node => {
                return Reply::Holder(Some((node, holding.term)));
            }
            Some(holding) => {
                return Reply::Refused(format!(
                    "node {} holds term {}",
                    holding.node, holding.term
                ));
            }
            None if self.alive(lease) => self.set_holder(Some((node, lease, nonce)), None),
            None => return Reply::Refused("the lease is gone".into()),
        };
        let Reply::Held {
            record, revision, ..
        } = self.held(term)
        else {
            return Reply::Done;
        };
        let record = if mistake == Some(Mistake::RecordReadBeforeTheFence) {
            cached
        } else {
            record
        };
        Reply::Held {
            term,
            record,
            revision,
        }
    }

    fn held(&self, term: Term) -> Reply {
        let (record, revision) = self
            .record
            .clone()
            .map_or((None, 0), |(record, revision)| (Some(record), revision));
        Reply::Held {
            term,
            record,
            revision,
        }
    }

    fn retake(&mut self, node: usize, lease: u64, nonce: u64, term: Term) -> Reply {
        match self.holder {
            Some(holding) if holding.node == node && holding.nonce == nonce => {
                self.held(holding.term)
            }
            Some(holding) if holding.node == node && holding.term == term && self.alive(lease) => {
                let term = self.set_holder(Some((node, lease, nonce)), None);
                self.held(term)
            }
            _ => Reply::Refused(format!("term {term} is not held")),
        }
    }

    /// Whether a commit would replace the record, or has done so already.
    pub(crate) fn would_commit(
        &self,
        term: Term,
        last: u64,
        record: &Record,
        mistake: Option<Mistake>,
    ) -> bool {
        let fenced = mistake != Some(Mistake::StoreWithoutTermCompare);
        let holds = self.holder.is_some_and(|holding| holding.term == term);
        let (stored, revision) = self
            .record
            .as_ref()
            .map_or((None, 0), |(stored, revision)| (Some(stored), *revision));
        !fenced || (holds && (stored == Some(record) || revision == last))
    }

    fn commit(&mut self, term: Term, last: u64, record: Record, mistake: Option<Mistake>) -> Reply {
        if !self.would_commit(term, last, &record, mistake) {
            return Reply::Refused(format!(
                "term {term} is not held, or the record was replaced"
            ));
        }
        match &self.record {
            Some((stored, revision)) if *stored == record => Reply::Committed {
                revision: *revision,
            },
            _ => {
                self.revision += 1;
                self.record = Some((record, self.revision));
                Reply::Committed {
                    revision: self.revision,
                }
            }
        }
    }

    fn release(&mut self, term: Term) -> Reply {
        if self.holder.is_some_and(|holding| holding.term == term) {
            self.set_holder(None, None);
        }
        // Whichever it was, the term is not held after it.
        Reply::Done
    }

    fn pass(&mut self, term: Term, to: usize, mistake: Option<Mistake>) -> Reply {
        let Some(holding) = self.holder.filter(|holding| holding.term == term) else {
            return Reply::Refused(format!("term {term} is not held"));
        };
        let lease = self
            .leases
            .iter()
            .filter(|(_, lease)| lease.node == to && !lease.gone)
            .map(|(id, _)| *id)
            .next_back();
        let Some(lease) = lease else {
            return Reply::Refused(format!("node {to} is gone"));
        };
        if mistake == Some(Mistake::TermPassedToNobody) {
            self.set_holder(Some((usize::MAX, lease, 0)), Some(holding.node));
        } else {
            self.set_holder(Some((to, lease, 0)), Some(holding.node));
        }
        Reply::Done
    }

    fn keepalive(&mut self, now: u64, node: usize, lease: u64) -> Reply {
        let entry = self.leases.entry(lease).or_insert(Lease {
            node,
            ends_at: 0,
            gone: false,
        });
        if entry.gone {
            return Reply::LeaseGone;
        }
        entry.ends_at = now + TTL_MS;
        Reply::Alive
    }
}
