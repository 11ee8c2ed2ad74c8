//! The term: taken, confirmed, passed on and given back. See [`crate::engine::pact`] for the rules.

use std::collections::BTreeMap;
use std::sync::MutexGuard;
use std::time::{Duration, Instant};

use super::hear::TERM_MAX;
use super::message::{Asked, Message, State};
use super::node::{Inner, Node};
use crate::authority::Fault;
use crate::authority::news::Part;
use crate::engine::pact::{Barred, Presence};
use crate::engine::values::{NodeName, RecordMark, Role, Term};

/// It takes a round trip and a write on either side.
const GIVEN_BACK_WITHIN: Duration = Duration::from_secs(2);
/// A term is passed to a node that has just answered. A cut after the end of the term leaves it to nobody, for neither side can know what
/// the other has; one that is there already, and that nobody has noticed, must not. A link that is silent for so long has ended.
const ANSWERED_WITHIN: Duration = Duration::from_secs(2);

impl Node {
    /// Takes a term above all that is known. `regardless`: an operator, or proof of death, stands for the promise of every node
    /// that is out of reach.
    pub(super) fn acquire(
        &self,
        within: Duration,
        regardless: bool,
        tip: u64,
    ) -> Result<(Term, Option<RecordMark>), Fault> {
        let until = Instant::now() + within;
        let mut state = self.state();
        let others = state.others.iter();
        let others: BTreeMap<NodeName, Presence> = others
            .map(|(name, other)| (name.clone(), other.presence()))
            .collect();
        let seen = self.newest_term(&state);
        // A tip that no cluster can have reached is a reading that is wrong.
        let tip = if tip <= TERM_MAX / 2 { tip } else { 0 };
        let asked = state.pact.ask(&others, seen, tip, regardless);
        let term = asked.map_err(|barred| self.in_words(&state, barred))?;
        self.ask_others(&state, term);
        while state.pact.is_open() && Instant::now() < until {
            state = self.wait(state, until);
        }
        let ballot = match state.pact.conclude() {
            Ok(ballot) => ballot,
            Err(why) => {
                self.tell_holder(&mut state);
                return Err(Fault::Refused(why));
            }
        };
        self.keep(&mut state, ballot)
            .map_err(|error| Fault::Refused(error.to_string()))?;
        state.pact.take();
        if regardless {
            // Those of whom the word was said.
            let away = state.others.iter_mut();
            away.filter(|(name, other)| {
                other.link.is_none() && others.get(*name) == Some(&Presence::Away)
            })
            .for_each(|(_, other)| other.is_dead = true);
        }
        self.tell_others(&state);
        self.tell_holder(&mut state);
        Ok((term, self.record.mark()))
    }

    fn newest_term(&self, state: &Inner) -> Term {
        let claims = state
            .others
            .values()
            .filter_map(|other| other.claim.as_ref());
        let terms = claims.map(|ballot| ballot.term);
        let newest = terms.chain(self.record.mark().map(|mark| mark.term)).max();
        newest.unwrap_or_default()
    }

    fn in_words(&self, state: &Inner, barred: Barred) -> Fault {
        let away = match barred {
            Barred::Held { by, term } => {
                return Fault::Refused(format!(
                    "{by} holds term {term}: have it hand over, or stop its supervisor where it cannot"
                ));
            }
            Barred::Met(met) => {
                let met = names(&met);
                return Fault::Refused(format!(
                    "{met} is there again, and has not said yet what it has promised: ask again"
                ));
            }
            Barred::Away(away) => away,
        };
        let ballot = state.pact.ballot();
        let last = match &ballot.holder {
            None => "no node has ever voted, as far as is known here".to_owned(),
            Some(holder) => format!("term {} was the last, and of {holder}", ballot.term),
        };
        Fault::Unsafe(format!(
            "{} cannot be reached, and may vote ({last}). Where it is certainly off: `supervisor ctl promote --accept-double-vote-risk`",
            names(&away)
        ))
    }

    fn ask_others(&self, state: &Inner, term: Term) {
        let ask = Message::Ask(Asked {
            term: term.0,
            record: self.newest(),
        });
        for other in state.others.values().filter(|other| other.is_there()) {
            if let Some(link) = &other.link {
                // One that fails ends, and its reader says so.
                let _ = link.send(&ask);
            }
        }
    }

    /// Gives a term back; 0: whatever this node has. Nothing of it may vote any more. A node that is there and ready gets the
    /// right to the next one; without one, or where it is to nobody, this node keeps it.
    pub(super) fn release(&self, asked: Term, to_nobody: bool) -> Result<(), Fault> {
        let mut state = self.state();
        if asked == Term::default() && state.pact.inherits() && !to_nobody {
            return self.give_back(state);
        }
        if !self.has(&state, asked) {
            return Ok(());
        }
        let heir = state.successor().filter(|_| !to_nobody);
        self.end_term(&mut state, heir, false)
    }

    /// A right to the next term that cannot be used here goes back to the node that gave it, where that one stands by: that term is
    /// taken, and ended at once. Else the right stays here, for when it can be used.
    fn give_back(&self, state: MutexGuard<'_, Inner>) -> Result<(), Fault> {
        let stands_by = |node: &NodeName| {
            let member = state
                .others
                .get(node)
                .and_then(|other| other.member.as_ref());
            member.is_some_and(|member| member.role == Role::Standby.name())
        };
        let giver = state.pact.ballot().holder.clone();
        let Some(giver) = giver.filter(stands_by) else {
            return Ok(());
        };
        drop(state);
        // Whoever it is taken without, no vote is cast under it.
        let (term, _) = self.acquire(GIVEN_BACK_WITHIN, false, 0)?;
        let mut state = self.state();
        if !state.pact.may_commit(term) {
            return Ok(());
        }
        self.end_term(&mut state, Some(giver), false)
    }

    /// Ends the term for `to`, which is asked to take the next one.
    pub(super) fn pass(&self, term: Term, to: &NodeName, within: Duration) -> Result<(), Fault> {
        let until = Instant::now() + within;
        let answered = until.min(Instant::now() + ANSWERED_WITHIN);
        let (mut state, silent) = self.hear_from(self.state(), |node| node == to, answered);
        if !silent.is_empty() {
            return Err(Fault::Refused(format!("{to} does not answer")));
        }
        if !self.has(&state, term) {
            return Err(Fault::Refused(format!(
                "term {term} is not this node's any more"
            )));
        }
        let other = state.others.get(to).filter(|other| other.link.is_some());
        match other {
            None => return Err(Fault::Refused(format!("{to} cannot be reached"))),
            Some(other) if !other.in_step.get() => {
                return Err(Fault::Refused(format!(
                    "{to} has not got the newest record yet"
                )));
            }
            Some(_) => {}
        }
        self.end_term(&mut state, Some(to.clone()), true)?;
        let ended = state.pact.ballot().clone();
        let has_it = |state: &Inner| {
            let claim = state.others.get(to).and_then(|other| other.claim.clone());
            claim.is_some_and(|claim| claim == ended || claim.term > ended.term)
        };
        while !has_it(&state) {
            if Instant::now() >= until || self.is_stopping() {
                return Err(Fault::Unknown(format!(
                    "{to} has not confirmed that it got term {term}"
                )));
            }
            state = self.wait(state, until);
        }
        Ok(())
    }

    fn has(&self, state: &Inner, term: Term) -> bool {
        let pact = &state.pact;
        pact.holds() && (term == Term::default() || pact.may_commit(term))
    }

    /// First the record, then this disk, then the word: whoever hears that it may take the next term has the final record.
    fn end_term(
        &self,
        state: &mut MutexGuard<'_, Inner>,
        mut heir: Option<NodeName>,
        hands_over: bool,
    ) -> Result<(), Fault> {
        for (name, link) in state.links_of(|_| true) {
            let has = state.others.get(&name).and_then(|other| other.record);
            // One that does not get it hears nothing of the end either.
            if let Err(error) = self.bring_up_to_date(&link, has) {
                self.trouble(state, Part::Link(name.clone()), error.to_string());
                // Nor does it get the right to the next one.
                if heir.as_ref() == Some(&name) {
                    if hands_over {
                        return Err(Fault::Refused(format!("{name}: {error}")));
                    }
                    heir = None;
                }
            }
        }
        let ended = state.pact.end(heir.clone());
        self.keep(state, ended)
            .map_err(|error| Fault::Unknown(error.to_string()))?;
        let word = self.word(state);
        for (name, other) in &state.others {
            let Some(link) = &other.link else { continue };
            // In one message: the heir must not take what it is given for something that is left over.
            let is_given = hands_over && heir.as_ref() == Some(name);
            let _ = link.send(&Message::State(State {
                hands_over: is_given,
                asks: is_given,
                ..word.clone()
            }));
        }
        self.tell_holder(state);
        Ok(())
    }

    /// Whether a term is still held, by what the others say now.
    pub(super) fn confirm(&self, term: Term, within: Duration) -> Result<bool, Fault> {
        let until = Instant::now() + within;
        let (state, silent) = self.hear_from(self.state(), |_| true, until);
        if !silent.is_empty() {
            return Err(Fault::Unknown(format!(
                "{} has not answered in time",
                names(&silent)
            )));
        }
        if state.others.values().all(|other| other.link.is_none()) {
            let all: Vec<NodeName> = state.others.keys().cloned().collect();
            return Err(Fault::Unknown(format!("{} cannot be reached", names(&all))));
        }
        Ok(state.pact.may_commit(term))
    }

    /// Asks those nodes for their word, and waits for it. Says which have not answered, of those that are there.
    fn hear_from<'a>(
        &'a self,
        mut state: MutexGuard<'a, Inner>,
        whom: impl Fn(&NodeName) -> bool,
        until: Instant,
    ) -> (MutexGuard<'a, Inner>, Vec<NodeName>) {
        let asked = Instant::now();
        let word = Message::State(State {
            asks: true,
            ..self.word(&state)
        });
        for (name, link) in state.links_of(|_| true) {
            if whom(&name) {
                // One that fails ends, and its reader says so.
                let _ = link.send(&word);
            }
        }
        loop {
            let unheard = state.links_of(|other| other.answered_at.is_none_or(|at| at < asked));
            let names = unheard.into_iter().map(|(name, _)| name);
            let silent: Vec<NodeName> = names.filter(&whom).collect();
            if silent.is_empty() || Instant::now() >= until {
                return (state, silent);
            }
            state = self.wait(state, until);
        }
    }
}

fn names(nodes: &[NodeName]) -> String {
    let names: Vec<&str> = nodes.iter().map(|node| node.0.as_str()).collect();
    names.join(" and ")
}
