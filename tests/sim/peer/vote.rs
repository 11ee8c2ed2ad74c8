//! The path of a vote: its record to the other nodes and to this disk, at once; then it waits for the slowest that is in step.

use super::message::{Message, Place};
use super::term::TIP;
use super::{Commit, Other, Purpose, World};
use crate::event::{Event, PeerEvent};
use crate::mistake::Mistake;
use crate::node::Waiting;
use crate::record::Record;
use validator_supervisor::engine::values::{OpId, RecordMark, Role};
use validator_supervisor::engine::{AuthorityNews, Outcome};

/// A node that takes longer is let go of.
const KEPT_WITHIN_MS: u64 = 250;
/// How long the record is tried to be installed: less than a step of the engine.
const SETTLE_MS: u64 = 300;

/// How a commit has ended.
enum Fate {
    Committed,
    TermLost,
    Unsettled,
}

impl World {
    pub(crate) fn commit_to_peers(&mut self, node: usize, waiting: Waiting) {
        self.begin_commit(node, waiting.record, Purpose::Vote);
    }

    /// The newest record goes to the validator, and is sealed under the new term.
    pub(crate) fn install_by_peers(&mut self, node: usize, op: OpId) {
        let since = self.now;
        if self.mistake != Some(Mistake::InstallKeepsTheOldRecord) {
            let n = &mut self.nodes[node];
            n.ledger = n.disk.record.clone();
        }
        self.install_sealed(node, op, since);
    }

    pub(super) fn install_sealed(&mut self, node: usize, op: OpId, since: u64) {
        let Some(peer) = self.peer(node) else { return };
        let term = peer.pact.ballot().term;
        let Some(mut record) = self.nodes[node].disk.record.clone() else {
            let life = self.nodes[node].life().unwrap_or_default();
            return self.done(node, life, op, 1, Outcome::Durable(None));
        };
        record.mark = RecordMark {
            term,
            seq: record.mark.seq + 1,
            ..record.mark
        };
        self.begin_commit(node, record, Purpose::Install { op, since });
    }

    fn begin_commit(&mut self, node: usize, record: Record, purpose: Purpose) {
        let Some(life) = self.nodes[node].life() else {
            return;
        };
        let Some(peer) = self.peer(node) else { return };
        if !peer.pact.may_commit(record.mark.term) {
            return self.commit_decided(node, &record, purpose, Fate::TermLost);
        }
        let is_sealed = peer.is_sealed;
        for (other, conn) in self.linked(node) {
            if !is_sealed {
                self.send_on(node, other, conn, Message::Commit(record.clone()));
            }
        }
        self.next_id += 1;
        let (id, until) = (self.next_id, self.now + KEPT_WITHIN_MS);
        let commit = Commit {
            record,
            until,
            is_written: false,
            purpose,
        };
        if let Some(peer) = self.peer_mut(node) {
            peer.commits.insert(id, commit);
        }
        let slow = self.nodes[node].trouble.disk_slow > self.now;
        let takes = self.rng.within(1, 6) + if slow { self.rng.within(20, 400) } else { 0 };
        self.after(takes, PeerEvent::Written { id }.of(node, life));
        self.after(KEPT_WITHIN_MS, PeerEvent::KeptLate.of(node, life));
    }

    pub(super) fn written(&mut self, node: usize, id: u64) {
        let failing = self.nodes[node].disk.failing;
        let Some(peer) = self.peer_mut(node) else {
            return;
        };
        let Some(commit) = peer.commits.get_mut(&id) else {
            return;
        };
        let (record, purpose) = (commit.record.clone(), commit.purpose);
        if failing {
            peer.commits.remove(&id);
            return self.commit_decided(node, &record, purpose, Fate::Unsettled);
        }
        commit.is_written = true;
        self.nodes[node].disk.keep(Some(record));
        let ms = std::mem::take(&mut self.nodes[node].trouble.suspend_at_commit);
        if ms > 0 {
            self.suspend(node, ms);
        }
    }

    /// Whether the nodes in step have it.
    pub(super) fn commits_go_on(&mut self, node: usize) {
        let ids: Vec<u64> = match self.peer(node) {
            Some(peer) => peer.commits.keys().copied().collect(),
            None => return,
        };
        for id in ids {
            if let Some(fate) = self.fate_of_commit(node, id)
                && let Some(peer) = self.peer_mut(node)
                && let Some(commit) = peer.commits.remove(&id)
            {
                self.commit_decided(node, &commit.record, commit.purpose, fate);
            }
        }
    }

    fn fate_of_commit(&mut self, node: usize, id: u64) -> Option<Fate> {
        let now = self.now;
        let heedless = self.makes(Mistake::CommittedWithoutTheOthers);
        let holds_on = self.nodes[node].holds_on_loss;
        let peer = self.peer(node)?;
        let commit = peer.commits.get(&id).filter(|commit| commit.is_written)?;
        let place = commit.record.place();
        let has = |other: &Other| other.has(place);
        // Who is being brought up to date has missed nothing only when this one is there too.
        if let Some(peer) = self.peer_mut(node) {
            for other in peer.others.values_mut().filter(|other| !other.in_step) {
                other.due = other.due.max(Some(place));
            }
        }
        let peer = self.peer(node)?;
        let commit = peer.commits.get(&id)?;
        if !peer.pact.may_commit(commit.record.mark.term) {
            return Some(Fate::TermLost);
        }
        let others = peer.others.iter();
        let late: Vec<usize> = others
            .filter(|(_, other)| other.in_step && !has(other))
            .map(|(other, _)| *other)
            .collect();
        if !late.is_empty() && !heedless && !peer.is_sealed {
            if commit.until > now {
                return None;
            }
            for other in late {
                self.close(node, other, "it has not kept a record in time");
            }
        }
        let peer = self.peer(node)?;
        let others = || peer.others.values();
        let elsewhere = others().any(|other| other.in_step && has(other));
        let is_here_alone = !elsewhere && !others().all(|other| other.is_dead);
        Some(if holds_on && is_here_alone && !heedless {
            Fate::Unsettled
        } else {
            Fate::Committed
        })
    }

    fn commit_decided(&mut self, node: usize, record: &Record, purpose: Purpose, fate: Fate) {
        let Some(life) = self.nodes[node].life() else {
            return;
        };
        let mark = record.mark;
        if matches!(fate, Fate::Committed) {
            self.judge_commit(node, record);
        }
        match (purpose, fate) {
            (Purpose::Vote, Fate::Committed) => self.vote_committed(node, mark),
            (Purpose::Vote, Fate::TermLost) => {
                let waits = self.waiting_with(node, record);
                if let Some(pid) = waits {
                    self.refuse_vote(node, pid);
                }
                self.tell_engine(node, AuthorityNews::TermLost(mark.term));
            }
            (Purpose::Vote, Fate::Unsettled) => {
                if self.makes(Mistake::UnknownCommitTakenAsDone) {
                    return self.vote_committed(node, mark);
                }
                self.after(20, Event::CommitAgain { node, life, mark });
            }
            (Purpose::Install { op, .. }, Fate::Committed) => {
                self.done(node, life, op, 1, Outcome::Durable(Some(mark)));
            }
            (Purpose::Install { op, since }, Fate::Unsettled) if self.now < since + SETTLE_MS => {
                let what = PeerEvent::InstallAgain { op, since };
                self.after(40, what.of(node, life));
            }
            (Purpose::Install { op, .. }, _) => {
                let why = "the record cannot be committed";
                self.done(node, life, op, 1, Outcome::Refused(why.into()));
            }
        }
    }

    fn waiting_with(&self, node: usize, record: &Record) -> Option<u64> {
        let gate = &self.nodes[node].sup.as_ref()?.gate;
        let waiting = gate.waiting.as_ref();
        waiting
            .filter(|waiting| waiting.record == *record)
            .map(|waiting| waiting.pid)
    }

    /// A commit is acknowledged with the record on this disk and on that of every node in step; and, where no operator took a risk,
    /// under the newest term.
    fn judge_commit(&mut self, node: usize, record: &Record) {
        let place: Option<Place> = Some(record.place());
        let Some(peer) = self.peer(node) else { return };
        let others = peer.others.iter();
        let counted: Vec<usize> = others
            .filter(|(_, other)| other.in_step)
            .map(|(other, _)| *other)
            .collect();
        let mut disks = counted.iter().chain([&node]);
        if let Some(without) = disks.find(|disk| self.newest(**disk) < place) {
            self.break_rule(Err(format!(
                "I1: n{node} lets go of {record:?}, which is not on the disk of n{without}"
            )));
        }
        if counted.is_empty() {
            self.tally.count("votes alone");
        }
        if record.mark.term.0 > TIP {
            self.tally.count("votes after a node was passed over");
        }
        let others = (0..self.nodes.len()).filter(|other| *other != node);
        let without = others.filter(|other| !counted.contains(other));
        self.peers.lacking = without.collect();
        let current = self.peers.is_risked || self.peers.taken == (record.mark.term, node);
        let before = self.peers.committed.take();
        let before = before.filter(|_| !self.peers.is_risked);
        let verdict = self.judge.committed(record, current, before.as_ref());
        self.peers.committed = Some(record.clone());
        self.break_rule(verdict);
    }

    /// By a mistake: the final record is sent, and what is committed after it stays here.
    pub(crate) fn seal_early(&mut self, node: usize) {
        let sup = self.nodes[node].sup.as_ref();
        let demotes = sup.is_some_and(|sup| sup.engine.role() == Role::Demoting);
        if !demotes || !self.makes(Mistake::RecordSentBeforeTheMute) {
            return;
        }
        self.bring_all_up_to_date(node);
        if let Some(peer) = self.peer_mut(node) {
            peer.is_sealed = true;
        }
    }
}
