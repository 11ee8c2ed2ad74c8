//! One node's part in the agreement on terms between nodes that have nobody above them: what it answers, and what it may do.
//!
//! The rules of [`Ballot`], with what a process knows besides: whether it is itself the holder, and what it is asking for. It
//! decides and keeps nothing: a ballot that it gives is put on the disk by the caller, and counts when that has told it so by
//! [`Pact::keep`].

use super::ballot::{Ballot, Refusal};
use super::values::{NodeName, Term};
use std::collections::{BTreeMap, BTreeSet};

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pact {
    node: NodeName,
    ballot: Ballot,
    /// This process has taken the term of the ballot, and the right to the next one is still here.
    holds: bool,
    asking: Option<Asking>,
    /// The heir of the ballot was named by an earlier process of this node.
    heir_is_old: bool,
    /// Those that were proven dead, and have not been met since. Like a right, a proof never outlives the process that has it. It is
    /// for one term: once any other ballot is kept here, who is in that one, or has promised it, may live.
    dead: BTreeSet<NodeName>,
}

/// A term that the others are being asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Asking {
    term: Term,
    /// What was promised here when it began, on which the right to ask rests.
    under: Ballot,
    /// Those that have not answered.
    open: Vec<NodeName>,
    refused: Option<String>,
}

/// How much of another node is heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Presence {
    Away,
    /// It is there, and has not said yet what it has promised.
    Met,
    There,
}

/// Why no term is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Barred {
    /// The holder is there, and would refuse.
    Held { by: NodeName, term: Term },
    /// These cannot be asked, and this node has no right to do without them.
    Away(Vec<NodeName>),
    /// These are there, and can be asked in a moment. No word stands for them.
    Met(Vec<NodeName>),
}

impl Pact {
    /// As it is when a process starts, with the ballot that was found on the disk. Where that is not the ballot it has then, the
    /// caller keeps it before anything else.
    #[must_use]
    pub fn begin(node: NodeName, found: &Ballot) -> Self {
        let ballot = found.after_restart(&node);
        Self {
            heir_is_old: ballot.is_of(&node) && ballot.heir.is_some(),
            ballot,
            node,
            holds: false,
            asking: None,
            dead: BTreeSet::new(),
        }
    }

    /// The ballot as the other nodes are told of it. `others` says of each whether it is there, and so has said what it has
    /// promised. An heir that an earlier process of this node has named may be a new process by now, and one that is away may have
    /// been given a term since: it is named again only where all are there.
    #[must_use]
    pub fn told(&self, mut others: impl Iterator<Item = bool>) -> Ballot {
        if self.heir_is_old && !others.all(|there| there) {
            return self.ballot.ended_for(None);
        }
        self.ballot.clone()
    }

    #[must_use]
    pub fn node(&self) -> &NodeName {
        &self.node
    }

    #[must_use]
    pub fn ballot(&self) -> &Ballot {
        &self.ballot
    }

    /// This process holds a term, and may commit under it.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.holds && !self.ballot.ended
    }

    /// Whether a vote under this term may be committed here.
    #[must_use]
    pub fn may_commit(&self, term: Term) -> bool {
        self.holds() && self.ballot.term == term
    }

    /// Whether a record of `holder` under this term may be kept for it here.
    #[must_use]
    pub fn has_promised(&self, term: Term, holder: &NodeName) -> bool {
        self.ballot.term == term && self.ballot.is_of(holder) && !self.ballot.ended
    }

    /// The holder of the term that has ended has named this node, which has not taken the next one.
    #[must_use]
    pub fn inherits(&self) -> bool {
        self.ballot.ended && self.ballot.heir.as_ref() == Some(&self.node)
    }

    /// Whether this node may take the next term without those that it cannot ask.
    #[must_use]
    pub fn is_entitled(&self) -> bool {
        self.ballot.entitles(&self.node, self.holds)
    }

    /// The ballot to keep after hearing of that of another node, if any.
    #[must_use]
    pub fn hear(&self, theirs: &Ballot, teller: &NodeName) -> Option<Ballot> {
        let asking = self.asking.as_ref().map(|asking| asking.term);
        // Whether this node takes the term that it is just being promised is not decided yet.
        if asking == Some(theirs.term) && theirs.is_of(&self.node) {
            return None;
        }
        self.ballot.after_hearing(theirs, teller, &self.node)
    }

    /// The ballot to keep before `candidate` is promised `term`. `is_there` says whom this node hears.
    ///
    /// # Errors
    /// The reason not to promise it, for a person.
    pub fn asked(
        &self,
        term: Term,
        candidate: &NodeName,
        is_there: impl Fn(&NodeName) -> bool,
    ) -> Result<Ballot, String> {
        let own = self.asking.as_ref().map(|asking| (asking.term, &self.node));
        if own > Some((term, candidate)) {
            return Err(format!("{} asks for a term itself", self.node));
        }
        let holder = self.ballot.holder.as_ref().filter(|_| !self.ballot.ended);
        if let Some(holder) = holder.filter(|holder| *holder != candidate && is_there(holder)) {
            return Err(format!("{holder} holds term {}", self.ballot.term));
        }
        match self.ballot.promise(term, candidate, self.holds()) {
            Ok(promised) => Ok(promised),
            Err(Refusal::Holds(term)) => Err(format!("{} holds term {term}", self.node)),
            Err(Refusal::Promised { term, to }) => Err(format!("term {term} is promised to {to}")),
        }
    }

    /// Begins to ask for a term above `seen`, the highest that this node knows of. `others` says of every other node how much of it is
    /// heard. Those that are away may be dead ([`Self::bury`]), or an operator's word stands for all of them, `regardless`. A term that
    /// passes over a node is at least `tip`, the newest slot of the cluster: one may have been taken there that nobody here has heard
    /// of, and the later of two is to be above the earlier one. All nodes see one cluster, and no clock of theirs has a say in it.
    ///
    /// Each node takes terms of its own, those that leave its place among all nodes when divided by their number.
    ///
    /// # Errors
    /// The reason not to.
    pub fn ask(
        &mut self,
        others: &BTreeMap<NodeName, Presence>,
        seen: Term,
        tip: u64,
        regardless: bool,
    ) -> Result<Term, Barred> {
        let holder = self.ballot.holder.as_ref().filter(|_| !self.ballot.ended);
        if let Some(by) = holder.filter(|by| others.get(*by) == Some(&Presence::There)) {
            return Err(Barred::Held {
                by: by.clone(),
                term: self.ballot.term,
            });
        }
        let named = |presence: Presence| {
            let nodes = others.iter().filter(move |(_, of)| **of == presence);
            nodes.map(|(name, _)| name.clone()).collect::<Vec<_>>()
        };
        let met = named(Presence::Met);
        if !met.is_empty() {
            return Err(Barred::Met(met));
        }
        let mut away = named(Presence::Away);
        let is_entitled = self.is_entitled() && seen <= self.ballot.term;
        let passes_over = !away.is_empty() && !is_entitled;
        away.retain(|node| !self.dead.contains(node));
        if passes_over && !away.is_empty() && !regardless {
            return Err(Barred::Away(away));
        }
        let above = seen.max(self.ballot.term).0.saturating_add(1);
        let least = if passes_over { tip } else { 0 };
        let term = self.own_term(others, above.max(least));
        self.asking = Some(Asking {
            term,
            under: self.ballot.clone(),
            open: named(Presence::There),
            refused: None,
        });
        Ok(term)
    }

    /// The lowest of this node's own terms that is not below `least`.
    fn own_term(&self, others: &BTreeMap<NodeName, Presence>, least: u64) -> Term {
        let place = others.keys().filter(|other| **other < self.node).count() as u64;
        let count = others.len() as u64 + 1;
        let over = (least % count + count - place) % count;
        Term(least.saturating_add(if over == 0 { 0 } else { count - over }))
    }

    /// `from` has the promise on its disk.
    pub fn promised(&mut self, term: Term, from: &NodeName) {
        if let Some(asking) = self.asking.as_mut().filter(|asking| asking.term == term) {
            asking.open.retain(|open| open != from);
        }
    }

    /// `from` does not promise it.
    pub fn refused(&mut self, term: Term, why: String) {
        if let Some(asking) = self.asking.as_mut().filter(|asking| asking.term == term) {
            asking.refused = Some(why);
        }
    }

    /// `from` cannot be heard any more.
    pub fn lost(&mut self, from: &NodeName, why: &str) {
        if let Some(asking) = &mut self.asking
            && asking.open.contains(from)
        {
            asking.refused = Some(format!("{from}: {why}"));
        }
    }

    /// `node` has ended for certain, since it was heard last: it had no time to begin anew and be promised something.
    pub fn bury(&mut self, node: NodeName) {
        self.dead.insert(node);
    }

    /// `from` can be heard again: a term that is being asked for without it cannot be had without it any more.
    pub fn met(&mut self, from: &NodeName) {
        self.dead.remove(from);
        if let Some(asking) = &mut self.asking {
            asking.refused = Some(format!("{from} is there again, and has not been asked"));
        }
    }

    /// Answers are still to come, and can still make a difference.
    #[must_use]
    pub fn is_open(&self) -> bool {
        let open = |asking: &Asking| !asking.open.is_empty() && asking.refused.is_none();
        self.asking.as_ref().is_some_and(open)
    }

    /// Ends the asking: the ballot to keep, after which [`Self::take`] is to be called.
    ///
    /// # Errors
    /// The term is not this node's, with the reason.
    pub fn conclude(&mut self) -> Result<Ballot, String> {
        let asking = self.asking.take().ok_or("nothing was asked for")?;
        let Asking {
            term,
            under,
            open,
            refused,
        } = asking;
        if let Some(why) = refused {
            return Err(why);
        }
        if let Some(silent) = open.first() {
            return Err(format!("{silent} has not answered"));
        }
        // It may have been named the heir meanwhile, which is more than it had.
        let named = self.ballot == under.ended_for(Some(self.node.clone()));
        if self.ballot != under && !named {
            let of = self.ballot.holder.as_ref().map_or("nobody", |of| &of.0);
            return Err(format!(
                "term {}, of {of}, was heard of meanwhile",
                self.ballot.term
            ));
        }
        Ok(Ballot::held(term, &self.node))
    }

    /// The term of the ballot, which was concluded and kept, is this node's.
    pub fn take(&mut self) {
        self.holds = true;
    }

    /// The ballot to keep when nothing of this node votes any more. Who is to have the right to the next term has the final record
    /// before it hears of it.
    #[must_use]
    pub fn end(&self, heir: Option<NodeName>) -> Ballot {
        self.ballot.ended_for(heir)
    }

    /// What a process before this one held, and nobody has the right to: whoever is there may have it. `others` says of every other
    /// node whether it is there, and so has said what it has promised.
    #[must_use]
    pub fn is_left_over(&self, mut others: impl Iterator<Item = bool>) -> bool {
        let ballot = &self.ballot;
        let was_held = ballot.is_of(&self.node) && !ballot.void;
        let is_left = was_held && ballot.ended && ballot.heir.is_none();
        is_left && !self.holds && self.asking.is_none() && others.all(|there| there)
    }

    /// A ballot is on the disk. Says which term this node has lost by it.
    pub fn keep(&mut self, ballot: Ballot) -> Option<Term> {
        let stays = ballot.term == self.ballot.term && ballot.is_of(&self.node);
        // One that this node is about to take ends what it held, which is not lost.
        let is_next = ballot.is_of(&self.node) && !ballot.void;
        let lost = (self.holds && !stays && !is_next).then_some(self.ballot.term);
        self.holds &= stays && ballot.heir.is_none();
        if ballot != self.ballot {
            self.heir_is_old = false;
            self.dead.clear();
        }
        self.ballot = ballot;
        lost
    }
}

#[cfg(test)]
mod tests;
