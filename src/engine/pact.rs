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
    /// Those that were proven dead, and have not been met since. Like a right, a proof never outlives the process that has it.
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
    /// passes over a node is at least `unix_ms`, the time: one may have been taken there that nobody here has heard of, and the later
    /// of two is to be above the earlier one.
    ///
    /// Each node takes terms of its own, those that leave its place among all nodes when divided by their number.
    ///
    /// # Errors
    /// The reason not to.
    pub fn ask(
        &mut self,
        others: &BTreeMap<NodeName, Presence>,
        seen: Term,
        unix_ms: u64,
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
        let least = if passes_over { unix_ms } else { 0 };
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
        self.heir_is_old &= ballot == self.ballot;
        self.ballot = ballot;
        lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str) -> NodeName {
        NodeName(name.into())
    }

    fn there(names: &[(&str, bool)]) -> BTreeMap<NodeName, Presence> {
        let presence = |is: bool| if is { Presence::There } else { Presence::Away };
        let names = names.iter();
        names
            .map(|(name, is)| (node(name), presence(*is)))
            .collect()
    }

    /// An operator's word, or a right, is not for one that has just come back (a trace of the model of three nodes).
    #[test]
    fn one_that_is_met_and_has_not_spoken_yet_is_not_passed_over() {
        let mut pact = Pact::begin(node("a"), &Ballot::default());
        let met = BTreeMap::from([(node("b"), Presence::Met)]);
        let barred = Err(Barred::Met(vec![node("b")]));
        assert_eq!(pact.ask(&met, Term(7), 1_000, true), barred);
        let mut entitled = holder();
        entitled.keep(entitled.end(None));
        assert_eq!(entitled.ask(&met, Term(2), 1_000, false), barred);
    }

    /// `a`, which holds a term that `b` has promised.
    fn holder() -> Pact {
        let mut pact = Pact::begin(node("a"), &Ballot::default());
        let asked = pact.ask(&there(&[("b", true)]), Term(0), 0, false);
        assert_eq!(asked, Ok(Term(2)));
        pact.promised(Term(2), &node("b"));
        let ballot = pact.conclude().expect("a term");
        assert_eq!(pact.keep(ballot), None);
        pact.take();
        pact
    }

    #[test]
    fn a_term_takes_the_promise_of_everybody_that_can_be_asked() {
        let mut pact = Pact::begin(node("a"), &Ballot::default());
        let away = pact.ask(&there(&[("b", true), ("c", false)]), Term(0), 0, false);
        assert_eq!(away, Err(Barred::Away(vec![node("c")])));
        let both = there(&[("b", true), ("c", true)]);
        assert_eq!(pact.ask(&both, Term(4), 0, false), Ok(Term(6)));
        pact.promised(Term(6), &node("b"));
        pact.promised(Term(3), &node("c"));
        assert!(pact.is_open(), "an answer to another question");
        let mut late = pact.clone();
        assert_eq!(late.conclude(), Err("c has not answered".into()));
        pact.promised(Term(6), &node("c"));
        assert_eq!(pact.conclude(), Ok(Ballot::held(Term(6), &node("a"))));
    }

    #[test]
    fn a_dead_node_is_done_without_until_it_is_met_again() {
        let mut pact = Pact::begin(node("b"), &Ballot::held(Term(7), &node("a")));
        let away = there(&[("a", false), ("c", false)]);
        pact.bury(node("a"));
        let barred = pact.clone().ask(&away, Term(7), 1_000, false);
        assert_eq!(barred, Err(Barred::Away(vec![node("c")])), "the other one");
        pact.bury(node("c"));
        assert_eq!(
            pact.clone().ask(&away, Term(7), 1_000, false),
            Ok(Term(1_000))
        );
        pact.met(&node("a"));
        let barred = pact.ask(&away, Term(7), 1_000, false);
        assert_eq!(barred, Err(Barred::Away(vec![node("a")])));
    }

    #[test]
    fn the_word_of_an_operator_is_above_every_one_given_before() {
        let asks = |by: &str, other: &str, at: u64| {
            let mut pact = Pact::begin(node(by), &Ballot::held(Term(7), &node("a")));
            pact.ask(&there(&[(other, false)]), Term(7), at, true)
                .map(|term| term.0)
        };
        assert_eq!(
            (asks("b", "a", 1_000), asks("a", "b", 1_002)),
            (Ok(1_001), Ok(1_002))
        );
        let mut pact = Pact::begin(node("b"), &Ballot::held(Term(7), &node("a")));
        let held = pact.ask(&there(&[("a", true)]), Term(7), 1_000, true);
        assert!(matches!(held, Err(Barred::Held { .. })), "it is there");
    }

    /// Seed p335 of the simulation: `a` was passed over, hears of a record of `b`, and loses the link before it hears of its term.
    #[test]
    fn a_record_of_a_higher_term_ends_the_right_by_a_lower_one() {
        let mut a = holder();
        a.keep(a.end(None));
        let apart = there(&[("b", false)]);
        assert_eq!(a.clone().ask(&apart, Term(2), 0, false), Ok(Term(4)));
        let away = a.ask(&apart, Term(1_001), 0, false);
        assert_eq!(away, Err(Barred::Away(vec![node("b")])));
    }

    #[test]
    fn a_holder_promises_nothing_and_loses_its_term_to_a_higher_one_alone() {
        let mut pact = holder();
        assert!(pact.may_commit(Term(2)));
        let refused = pact.asked(Term(9), &node("b"), |_| true);
        assert_eq!(refused, Err("a holds term 2".into()));
        assert_eq!(
            pact.hear(&Ballot::held(Term(2), &node("a")), &node("b")),
            None
        );
        let higher = pact.hear(&Ballot::held(Term(9), &node("b")), &node("b"));
        assert_eq!(pact.keep(higher.expect("a ballot")), Some(Term(2)));
        assert!(!pact.may_commit(Term(2)) && !pact.is_entitled());
    }

    #[test]
    fn a_standby_does_not_help_to_depose_a_holder_that_is_there() {
        let pact = Pact::begin(node("b"), &Ballot::held(Term(7), &node("a")));
        let refused = pact.asked(Term(8), &node("c"), |_| true);
        assert_eq!(refused, Err("a holds term 7".into()));
        assert!(pact.asked(Term(8), &node("c"), |_| false).is_ok());
        assert!(pact.asked(Term(8), &node("a"), |_| true).is_ok());
    }

    #[test]
    fn a_term_that_ended_without_an_heir_leaves_the_right_with_its_process() {
        let mut pact = holder();
        pact.keep(pact.end(None));
        assert!(!pact.holds() && pact.is_entitled() && !is_left_over(&pact));
        assert!(pact.asked(Term(3), &node("b"), |_| true).is_ok());
        let mut named = holder();
        named.keep(named.end(Some(node("b"))));
        assert!(!named.is_entitled());
        let again = Pact::begin(node("a"), holder().ballot());
        assert!(is_left_over(&again) && !again.is_entitled());
    }

    fn is_left_over(pact: &Pact) -> bool {
        pact.is_left_over([true, true].into_iter())
    }

    /// `a` held a term and was off, and an operator had `c` take the next one, which `b` has not heard of: as the heir of `a`, `b`
    /// would vote without what `c` has voted (simulation, seed p1958).
    #[test]
    fn an_heir_of_an_earlier_process_is_named_again_only_where_all_others_are_heard() {
        let mut named = holder();
        named.keep(named.end(Some(node("c"))));
        assert_eq!(named.told([false, true].into_iter()).heir, Some(node("c")));
        let again = Pact::begin(node("a"), named.ballot());
        assert_eq!(again.ballot().heir, Some(node("c")), "it stays on the disk");
        assert_eq!(again.told([false, true].into_iter()).heir, None);
        assert_eq!(again.told([true, true].into_iter()).heir, Some(node("c")));
    }

    #[test]
    fn what_was_held_is_given_away_only_where_all_others_are_heard() {
        let a = Pact::begin(node("a"), holder().ballot());
        assert!(is_left_over(&a));
        assert!(!a.is_left_over([true, false].into_iter()));
    }

    /// Of three nodes `c` ends its term and keeps the right. `a` asks both others, `b` promises, and the link to `c` is lost. What
    /// `b` has promised is not left over at `a`: as its heir `b` would vote beside `c` (simulation, seed p179).
    #[test]
    fn a_term_that_was_promised_and_never_taken_gives_nobody_a_right() {
        let others = there(&[("b", true), ("c", true)]);
        let mut c = Pact::begin(node("c"), &Ballot::default());
        let asked = c.ask(&there(&[("a", true), ("b", true)]), Term(2), 0, false);
        assert_eq!(asked, Ok(Term(5)));
        c.promised(Term(5), &node("a"));
        c.promised(Term(5), &node("b"));
        let held = c.conclude().expect("a term");
        c.keep(held);
        c.take();
        c.keep(c.end(None));
        let mut a = Pact::begin(node("a"), c.ballot());
        let mut b = Pact::begin(node("b"), c.ballot());
        assert_eq!(a.ask(&others, Term(5), 0, false), Ok(Term(6)));
        b.keep(b.asked(Term(6), &node("a"), |_| true).expect("a promise"));
        a.lost(&node("c"), "the link is lost");
        assert!(a.conclude().is_err());
        a.keep(a.hear(b.ballot(), &node("b")).expect("a ballot"));
        assert!(!is_left_over(&a) && !a.is_entitled());
        assert!(!is_left_over(&Pact::begin(node("a"), a.ballot())));
        assert!(c.is_entitled(), "it has not heard of it");
    }

    #[test]
    fn of_two_that_ask_at_once_one_gives_way() {
        let asks = |name: &str, other: &str| {
            let mut pact = Pact::begin(node(name), &Ballot::default());
            let term = pact.ask(&there(&[(other, true)]), Term(0), 0, false);
            (pact, term.expect("asked"))
        };
        let ((a, high), (b, low)) = (asks("a", "b"), asks("b", "a"));
        assert_eq!((high, low), (Term(2), Term(1)));
        assert!(a.asked(low, &node("b"), |_| true).is_err());
        let given = b.asked(high, &node("a"), |_| true);
        let mut b = b;
        b.keep(given.expect("a ballot"));
        b.promised(low, &node("a"));
        assert!(b.conclude().is_err(), "it has given way");
    }
}
