//! The judge: sees everything, helps nobody, and names the invariant of the design that an action broke.

use crate::node::{Child, name};
use crate::record::{Record, Votes};
use crate::store::{Call, Store};
use crate::world::World;
use validator_supervisor::engine::Engine;
use validator_supervisor::engine::values::{Identity, Term};

/// An invariant of the design, or the engine's own word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Rule {
    /// `Engine::check`.
    Engine,
    /// Every vote sent was committed first, under the term current then, and is in the record any later holder starts from.
    I1,
    /// Any two votes that were sent know of each other in the order they were built in.
    I2,
    /// The identity is off before the term is given away.
    I3,
    /// The record never goes back.
    I4,
    /// No vote, and no validator on the identity, after the lease.
    I5,
    /// Every state has an exit.
    I6,
    /// When nothing is left to happen, exactly one node votes.
    I7,
    /// Nobody takes a term that another node holds.
    I9,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Broken {
    pub(crate) rule: Rule,
    pub(crate) how: String,
}

impl World {
    /// A vote leaves the machine, by the commit of `term`.
    pub(crate) fn leaves(&mut self, node: usize, slot: u64, term: Option<Term>) {
        let who = name(node);
        let vote = self.vote(slot);
        if vote.committed.is_none() {
            self.break_rule(Rule::I1, || {
                format!("{who} sends vote {slot}, which was not committed")
            });
        }
        let mut later = self.nodes.iter().filter_map(|other| other.start);
        let lacking = later.find(|(start, votes)| Some(*start) > term && !votes.has(slot));
        if let Some((start, _)) = lacking {
            self.break_rule(Rule::I1, || {
                format!("{who} sends vote {slot}, which is not in the record that term {start} started from")
            });
        }
        let conflicts = |other: &u64| {
            *other != slot && !vote.knows.has(*other) && !self.vote(*other).knows.has(slot)
        };
        if let Some(other) = self.sent.slots().find(conflicts) {
            self.break_rule(Rule::I2, || {
                format!("{who} sends vote {slot}, which knows nothing of vote {other}")
            });
        }
        let over = term.is_some_and(|term| !self.store.holds(term) && !self.revoked.has(term.0));
        if over {
            self.break_rule(Rule::I5, || {
                format!("{who} sends vote {slot} after its term has ended")
            });
        }
        self.sent = self.sent.with(slot);
    }

    /// A node is about to let votes out under `term`, from a record with these votes.
    pub(crate) fn judge_start(&mut self, node: usize, term: Term, votes: Votes) {
        let earlier = |slot: &u64| self.vote(*slot).committed < Some(term) && !votes.has(*slot);
        if let Some(slot) = self.sent.slots().find(earlier) {
            self.break_rule(Rule::I1, || {
                format!(
                    "{} starts term {term} from a record without vote {slot}, which was sent",
                    name(node)
                )
            });
        }
    }

    /// The store has carried out a call of `node`.
    pub(crate) fn judge_call(&mut self, before: &Store, node: usize, call: &Call) {
        self.judge_commit(before, node, call);
        if before.holder != self.store.holder {
            self.judge_holder(before, node, call);
        }
    }

    fn judge_commit(&mut self, before: &Store, node: usize, call: &Call) {
        let Call::Commit { term, record, .. } = call else {
            return;
        };
        let who = name(node);
        if term.0 > self.store.revision || self.never_granted(*term) {
            self.break_rule(Rule::I1, || {
                format!("{who} commits under term {term}, which nobody was granted")
            });
        }
        if before.record == self.store.record {
            return;
        }
        if before.holds(*term) {
            self.built[record.mark.slot as usize - 1].committed = Some(*term);
        }
        let back = |(before, _): &(Record, u64)| {
            before.place() > record.place() || before.mark.slot > record.mark.slot
        };
        if before.record.as_ref().is_some_and(back) {
            self.break_rule(Rule::I4, || format!("the record goes back to {record:?}"));
        }
    }

    /// The number is not that of any holding so far.
    fn never_granted(&self, term: Term) -> bool {
        !self.granted.has(term.0)
    }

    fn judge_holder(&mut self, before: &Store, node: usize, call: &Call) {
        if let Some(holding) = self.store.holder {
            self.granted = self.granted.with(holding.term.0);
        }
        let who = name(node);
        let staked = self.nodes[node]
            .child
            .as_ref()
            .is_some_and(Child::is_staked);
        match (call, before.holder) {
            (Call::Acquire { .. } | Call::Retake { .. }, Some(holding)) if holding.node != node => {
                self.break_rule(Rule::I9, || {
                    format!("{who} takes the term from {}", name(holding.node))
                });
            }
            (Call::Release { .. } | Call::Pass { .. }, _) if staked => {
                self.break_rule(Rule::I3, || {
                    format!("{who} gives its term away with its validator on the identity")
                });
            }
            _ => {}
        }
    }

    /// What must hold in every state.
    pub(crate) fn look(&mut self) {
        for node in 0..self.nodes.len() {
            self.look_at(node);
        }
    }

    fn look_at(&mut self, node: usize) {
        let n = &self.nodes[node];
        let Some(engine) = self.engine(node) else {
            return;
        };
        let awake = engine.next_deadline().is_none_or(|(at, _)| at.0 > n.clock);
        let lease = self.store.lease(self.lease_id(node));
        let over = lease.map_or(self.revoked.is_empty(), |lease| n.clock >= lease.ends_at);
        let idle = engine.term().is_none() && n.gate.term().is_some();
        if awake && over && n.carries_identity() {
            self.break_rule(Rule::I5, || {
                format!("{} is on the identity after its lease", name(node))
            });
        }
        if idle {
            self.break_rule(Rule::I5, || {
                format!("the gate of {} is open, and it holds no term", name(node))
            });
        }
    }

    pub(crate) fn settled(&self) -> bool {
        (0..self.nodes.len())
            .filter(|node| self.votes(*node))
            .count()
            == 1
    }

    /// It holds the term, and its validator can build votes that pass.
    fn votes(&self, node: usize) -> bool {
        let n = &self.nodes[node];
        let term = self.engine(node).and_then(Engine::term);
        let able = |child: &Child| child.thread == Identity::Staked && child.voters;
        term.is_some_and(|term| self.store.holds(term))
            && n.gate.term() == term
            && n.live_child().is_some_and(able)
    }
}
