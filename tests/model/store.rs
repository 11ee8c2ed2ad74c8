//! The abstract etcd: a holder on a lease, a record, one revision counter, and the transactions of the design.
//!
//! Every call is one transaction. It knows no network, no clock and no judge.

use crate::mistake::Mistake;
use crate::record::Record;
use validator_supervisor::engine::values::Term;

/// How long the store keeps a lease after a renewal, on the clock of the node that renews it.
pub(crate) const TTL_MS: u64 = 2_000;

/// A lease of a node; each life of its client, and each loss, has a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct LeaseId {
    pub(crate) node: usize,
    pub(crate) number: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Call {
    /// `if create_revision(holder) == 0 then put holder; get record`, else get holder. `seen` is the record as it was when this was
    /// asked: only a mistaken store looks at it.
    Acquire {
        lease: LeaseId,
        seen: Option<Record>,
    },
    /// `if mod_revision(holder) == term then put holder; get record`: a term that the node has is taken anew.
    Retake { lease: LeaseId, term: Term },
    /// `if mod_revision(holder) == term && mod_revision(record) == last then put record`, else get both.
    Commit {
        term: Term,
        last: u64,
        record: Record,
    },
    /// Get holder, from the leader.
    Read,
    /// `if mod_revision(holder) == term then delete holder`.
    Release { term: Term },
    /// `if mod_revision(holder) == term then put holder` on the lease of another node.
    Pass { term: Term, to: LeaseId },
    /// `if mod_revision(holder) == term`, and nothing more.
    Confirm { term: Term },
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Reply {
    Held {
        term: Term,
        record: Option<Record>,
        revision: u64,
    },
    Holder(Option<Holding>),
    Committed {
        revision: u64,
    },
    /// The compare failed; whose record is there was read in the same transaction.
    NotCommitted,
    Done,
    LeaseGone,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Holding {
    pub(crate) node: usize,
    /// `None` only by mistake: nothing ends such a holding.
    pub(crate) lease: Option<LeaseId>,
    pub(crate) term: Term,
}

/// One change of the holder, as a watch tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Change {
    pub(crate) revision: u64,
    pub(crate) holder: Option<(usize, Term)>,
    pub(crate) passed_by: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Lease {
    pub(crate) id: LeaseId,
    /// The store ends it at this time of its node's clock, or later.
    pub(crate) ends_at: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Store {
    pub(crate) revision: u64,
    pub(crate) holder: Option<Holding>,
    pub(crate) record: Option<(Record, u64)>,
    /// The record before the last commit, as a member that lags still has it.
    pub(crate) lagging: Option<Record>,
    pub(crate) leases: Vec<Lease>,
    /// What some watch has not told yet.
    pub(crate) changes: Vec<Change>,
}

impl Store {
    pub(crate) fn call(&mut self, call: &Call, mistake: Option<Mistake>) -> Reply {
        match call {
            Call::Acquire { lease, seen } => self.acquire(*lease, seen.as_ref(), mistake),
            Call::Retake { lease, term } => self.retake(*lease, *term, mistake),
            Call::Commit { term, last, record } => self.commit(*term, *last, record, mistake),
            Call::Read => Reply::Holder(self.holder),
            Call::Release { term } if self.holds(*term) => {
                self.set_holder(None, None);
                Reply::Done
            }
            Call::Pass { term, to } => self.pass(*term, *to, mistake),
            Call::Confirm { term } if self.holds(*term) => Reply::Done,
            Call::Release { .. } | Call::Confirm { .. } => Reply::Holder(self.holder),
        }
    }

    pub(crate) fn holds(&self, term: Term) -> bool {
        self.holder.is_some_and(|holding| holding.term == term)
    }

    pub(crate) fn lease(&self, id: LeaseId) -> Option<&Lease> {
        self.leases.iter().find(|lease| lease.id == id)
    }

    /// The newest lease of a node, as its member key tells it.
    pub(crate) fn lease_of(&self, node: usize) -> Option<LeaseId> {
        let of_it = self.leases.iter().filter(|lease| lease.id.node == node);
        of_it.map(|lease| lease.id).max()
    }

    /// Grants a lease, or renews it.
    pub(crate) fn renew(&mut self, id: LeaseId, now: u64) {
        let ends_at = now + TTL_MS;
        match self.leases.iter_mut().find(|lease| lease.id == id) {
            Some(lease) => lease.ends_at = lease.ends_at.max(ends_at),
            None => self.leases.push(Lease { id, ends_at }),
        }
        self.leases.sort_by_key(|lease| lease.id);
    }

    /// Ends a lease, and the holding on it.
    pub(crate) fn end(&mut self, id: LeaseId) {
        self.leases.retain(|lease| lease.id != id);
        if self.holder.is_some_and(|holding| holding.lease == Some(id)) {
            self.set_holder(None, None);
        }
    }

    fn set_holder(
        &mut self,
        to: Option<(usize, Option<LeaseId>)>,
        passed_by: Option<usize>,
    ) -> Term {
        self.revision += 1;
        let term = Term(self.revision);
        self.holder = to.map(|(node, lease)| Holding { node, lease, term });
        self.changes.push(Change {
            revision: self.revision,
            holder: to.map(|(node, _)| (node, term)),
            passed_by,
        });
        term
    }

    fn acquire(
        &mut self,
        lease: LeaseId,
        seen: Option<&Record>,
        mistake: Option<Mistake>,
    ) -> Reply {
        let free = self.holder.is_none() || mistake == Some(Mistake::HolderNotCompared);
        match self.holder {
            Some(holding)
                if holding.node == lease.node
                    && mistake == Some(Mistake::TermTakenFromTheAnswer) =>
            {
                // Other keys move the revision on all the time.
                return self.held(Term(self.revision + 1), mistake);
            }
            Some(_) if !free => return Reply::Holder(self.holder),
            _ => {}
        }
        if self.lease(lease).is_none() {
            return Reply::LeaseGone;
        }
        let term = self.set_holder(Some((lease.node, Some(lease))), None);
        let reply = self.held(term, mistake);
        match (reply, mistake) {
            (Reply::Held { term, revision, .. }, Some(Mistake::RecordReadBeforeTheFence)) => {
                let record = seen.cloned();
                Reply::Held {
                    term,
                    record,
                    revision,
                }
            }
            (reply, _) => reply,
        }
    }

    fn retake(&mut self, lease: LeaseId, term: Term, mistake: Option<Mistake>) -> Reply {
        if !self.holds(term) {
            return Reply::Holder(self.holder);
        }
        if self.lease(lease).is_none() {
            return Reply::LeaseGone;
        }
        let anew = mistake != Some(Mistake::TermNotTakenAnew);
        let term = if anew {
            self.set_holder(Some((lease.node, Some(lease))), None)
        } else {
            term
        };
        self.held(term, mistake)
    }

    fn held(&self, term: Term, mistake: Option<Mistake>) -> Reply {
        let revision = self.record.as_ref().map_or(0, |(_, revision)| *revision);
        let newest = self.record.as_ref().map(|(record, _)| *record);
        let record = if mistake == Some(Mistake::StaleReadTrusted) {
            self.lagging.or(newest)
        } else {
            newest
        };
        Reply::Held {
            term,
            record,
            revision,
        }
    }

    fn commit(
        &mut self,
        term: Term,
        last: u64,
        record: &Record,
        mistake: Option<Mistake>,
    ) -> Reply {
        let stored = self.record.as_ref();
        let replaced = stored.is_some_and(|(_, revision)| *revision != last);
        let fenced = mistake != Some(Mistake::TermNotCompared);
        let ordered = mistake != Some(Mistake::RecordNotCompared);
        if fenced && !self.holds(term) {
            return Reply::NotCommitted;
        }
        if let Some((_, revision)) = stored.filter(|(stored, _)| stored == record) {
            return Reply::Committed {
                revision: *revision,
            };
        }
        if ordered && replaced {
            return Reply::NotCommitted;
        }
        if mistake == Some(Mistake::StaleReadTrusted) {
            self.lagging = self.record.as_ref().map(|(record, _)| *record);
        }
        self.revision += 1;
        self.record = Some((*record, self.revision));
        Reply::Committed {
            revision: self.revision,
        }
    }

    fn pass(&mut self, term: Term, to: LeaseId, mistake: Option<Mistake>) -> Reply {
        let Some(holding) = self.holder.filter(|holding| holding.term == term) else {
            return Reply::Holder(self.holder);
        };
        let lease = if mistake == Some(Mistake::PassedWithoutTheLease) {
            None
        } else {
            Some(to)
        };
        if lease.is_some_and(|lease| self.lease(lease).is_none()) {
            return Reply::LeaseGone;
        }
        self.set_holder(Some((to.node, lease)), Some(holding.node));
        Reply::Done
    }
}
