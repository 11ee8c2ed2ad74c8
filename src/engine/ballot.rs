//! Who may take the next term, between nodes that have nobody above them: what one of them has promised, and to whom.
//!
//! Every node keeps one ballot on its disk, and every ballot only grows. The rules, which together let at most one node hold a
//! term, and no node hold one without the record of the one before:
//!
//! - A term is taken with the promise of every other node, each of which has it on its disk before it answers. Who has promised
//!   a term takes no vote of an older one any more, so the older one is fenced wherever it would need that node.
//! - Who holds a term promises no other one. It ends its term first, when nothing of it can vote any more: its record is final.
//! - A node out of reach cannot promise. Only one node can do without its promise: the holder, as long as its process lives and
//!   it has ended nothing; or the heir, whom the holder has named as it ended its term. The holder has that on its disk before
//!   the heir hears of it, so both never have the right at once. Nobody can be asked to give it back: where the word is lost
//!   with the link, nobody votes until the link is whole, or an operator decides.
//! - A process that has ended cannot know what happened since: somebody may have proven its machine dead, and taken a term. So what
//!   it held is ended when it starts again, and a right that it had is gone, until the holder says anew that it has it.
//!
//! Pure: the caller keeps the ballot, and has it on the disk before anybody hears of it.

use super::values::{NodeName, Term};
use std::cmp::Ordering;

/// What a node has promised.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Ballot {
    pub term: Term,
    /// Whose term it is; nobody's before the first.
    pub holder: Option<NodeName>,
    /// Nothing of the holder votes any more: its record is final.
    pub ended: bool,
    /// Who may take the next term without the promises of nodes out of reach. Only of a term that has ended.
    pub heir: Option<NodeName>,
    /// The holder has never taken it, and ended it when it heard of the promises: nobody gets a right by it.
    pub void: bool,
}

/// Why a term is not promised.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// This node holds one.
    Holds(Term),
    /// As high a one, or a higher one, is promised to this node.
    Promised { term: Term, to: NodeName },
}

impl Ballot {
    /// Promises `asked` to `candidate`. `holds`: this node's process holds the term of its ballot, and has not ended it.
    ///
    /// # Errors
    /// The reason to refuse.
    pub fn promise(&self, asked: Term, candidate: &NodeName, holds: bool) -> Result<Self, Refusal> {
        if holds {
            return Err(Refusal::Holds(self.term));
        }
        match &self.holder {
            Some(to) if asked <= self.term => Err(Refusal::Promised {
                term: self.term,
                to: to.clone(),
            }),
            _ => Ok(Self::held(asked, candidate)),
        }
    }

    /// A term in the hands of `holder`.
    #[must_use]
    pub fn held(term: Term, holder: &NodeName) -> Self {
        Self {
            term,
            holder: Some(holder.clone()),
            ended: false,
            heir: None,
            void: false,
        }
    }

    /// The holder's own ballot when nothing of it votes any more, with an heir where one is to have the right.
    #[must_use]
    pub fn ended_for(&self, heir: Option<NodeName>) -> Self {
        Self {
            ended: true,
            heir,
            ..self.clone()
        }
    }

    /// A node's own ballot when its process starts: whatever right it had, it may have been taken for dead meanwhile.
    #[must_use]
    pub fn after_restart(&self, node: &NodeName) -> Self {
        let was_heir = self.heir.as_ref() == Some(node);
        if was_heir || (self.is_of(node) && !self.ended) {
            return self.ended_for(None);
        }
        self.clone()
    }

    /// What `node` keeps after it has seen `theirs`, told by `teller`; `None`: what it has.
    ///
    /// Who is heir counts only from the holder itself, which sends its final record first. A term that others have promised to
    /// `node`, and that it never took, has ended before it began: what was held before it is not this node's to give.
    #[must_use]
    pub fn after_hearing(&self, theirs: &Self, teller: &NodeName, node: &NodeName) -> Option<Self> {
        let mut heard = theirs.clone();
        if !heard.is_of(teller) {
            heard.heir = None;
        }
        if heard.is_of(node) {
            if heard.term <= self.term {
                return None;
            }
            heard = Self {
                void: true,
                ..heard.ended_for(None)
            };
        }
        (heard.compare(self) == Ordering::Greater).then_some(heard)
    }

    /// Whether `node` may take the next term without the promise of a node out of reach. `holds` as in [`Self::promise`], or since
    /// then ended without an heir, by the same process.
    #[must_use]
    pub fn entitles(&self, node: &NodeName, holds: bool) -> bool {
        let inherits = self.ended && self.heir.as_ref() == Some(node);
        inherits || (holds && self.is_of(node) && self.heir.is_none())
    }

    #[must_use]
    pub fn is_of(&self, node: &NodeName) -> bool {
        self.holder.as_ref() == Some(node)
    }

    /// The order in which ballots grow. Two nodes never take the same term (see [`super::pact`]), so that their names come second
    /// decides nothing.
    fn compare(&self, other: &Self) -> Ordering {
        let place = |ballot: &Self| {
            (
                ballot.term,
                ballot.holder.clone(),
                ballot.ended,
                ballot.heir.is_some(),
            )
        };
        place(self).cmp(&place(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str) -> NodeName {
        NodeName(name.into())
    }

    fn held(term: u64, by: &str) -> Ballot {
        Ballot::held(Term(term), &node(by))
    }

    #[test]
    fn a_higher_term_is_promised_once_and_by_no_holder() {
        let (a, b) = (node("a"), node("b"));
        let first = Ballot::default().promise(Term(1), &a, false);
        assert_eq!(first, Ok(held(1, "a")));
        let promised = held(1, "a");
        let refused = promised.promise(Term(1), &b, false);
        assert!(matches!(refused, Err(Refusal::Promised { to, .. }) if to == a));
        assert_eq!(promised.promise(Term(2), &b, false), Ok(held(2, "b")));
        assert_eq!(
            promised.promise(Term(2), &b, true),
            Err(Refusal::Holds(Term(1)))
        );
    }

    #[test]
    fn the_right_is_with_the_holder_or_with_its_heir_and_with_nobody_after_a_restart() {
        let (a, b) = (node("a"), node("b"));
        let ballot = held(3, "a");
        assert!(ballot.entitles(&a, true) && !ballot.entitles(&b, true));
        assert!(!ballot.entitles(&a, false));
        let restarted = ballot.after_restart(&a);
        assert!(restarted.ended && !restarted.entitles(&a, false));
        assert_eq!(ballot.after_restart(&b), ballot);
        let ended = ballot.ended_for(Some(b.clone()));
        assert!(ended.entitles(&b, false));
        assert!(!ended.after_restart(&b).entitles(&b, false));
        assert!(!ended.entitles(&a, true), "it has given the right away");
    }

    #[test]
    fn an_heir_is_believed_from_the_holder_alone_which_sends_its_record_first() {
        let (a, b, c) = (node("a"), node("b"), node("c"));
        let ended = held(3, "a").ended_for(Some(b.clone()));
        let from_another = held(3, "a").after_hearing(&ended, &c, &b);
        assert_eq!(from_another, Some(held(3, "a").ended_for(None)));
        let from_holder = from_another.and_then(|ballot| ballot.after_hearing(&ended, &a, &b));
        assert_eq!(from_holder, Some(ended));
    }

    #[test]
    fn ballots_only_grow() {
        let (a, b) = (node("a"), node("b"));
        let ended = held(3, "a").ended_for(Some(b.clone()));
        for older in [
            held(2, "b"),
            held(3, "a"),
            held(3, "a").ended_for(None),
            ended.clone(),
        ] {
            assert_eq!(ended.after_hearing(&older, &a, &b), None, "{older:?}");
        }
        assert_eq!(
            ended.after_hearing(&held(4, "a"), &a, &b),
            Some(held(4, "a"))
        );
    }

    #[test]
    fn a_term_that_others_have_promised_to_a_node_that_never_took_it_has_ended() {
        let (a, b) = (node("a"), node("b"));
        let heard = held(3, "b").after_hearing(&held(4, "a"), &b, &a);
        let void = Ballot {
            void: true,
            ..held(4, "a").ended_for(None)
        };
        assert_eq!(heard, Some(void));
        let own = held(4, "a").after_hearing(&held(4, "a"), &b, &a);
        assert_eq!(own, None, "its own term is ended by itself alone");
    }
}
