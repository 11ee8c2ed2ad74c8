//! The term: taken, confirmed, passed on and given back. See [`crate::engine::ballot`] for the rules.

use std::sync::MutexGuard;
use std::time::{Duration, Instant};

use super::message::{Asked, Message, State};
use super::node::{Asking, Inner, Node};
use crate::authority::Fault;
use crate::engine::ballot::{Ballot, OVERRIDE_STEP};
use crate::engine::values::{NodeName, RecordMark, Term};

impl Node {
    /// Takes a term above all that is known. `regardless`: an operator, or proof of death, stands for the promise of every node
    /// that is out of reach.
    pub(super) fn acquire(
        &self,
        within: Duration,
        regardless: bool,
    ) -> Result<(Term, Option<RecordMark>), Fault> {
        let until = Instant::now() + within;
        let mut state = self.state();
        if let Some(why) = self.held_elsewhere(&state) {
            return Err(Fault::Refused(why));
        }
        if !regardless {
            self.expect_right(&state)?;
        }
        let term = self.next_term(&state, regardless);
        self.ask_others(&mut state, term);
        while still_open(&state) && Instant::now() < until {
            state = self.wait(state, until);
        }
        let asking = state.asking.take();
        let refused = match asking {
            Some(Asking {
                refused: Some(why), ..
            }) => Some(why),
            Some(Asking { open, .. }) if !open.is_empty() => {
                Some(format!("{} has not answered", names(&open)))
            }
            _ if state.ballot.term >= term => Some(format!(
                "term {} was promised to {} meanwhile",
                state.ballot.term,
                of(&state.ballot)
            )),
            _ => None,
        };
        if let Some(why) = refused {
            self.tell_holder(&mut state);
            return Err(Fault::Refused(why));
        }
        // One that was held here ends with this one.
        state.holds = false;
        self.keep(&mut state, Ballot::held(term, &self.name))
            .map_err(|error| Fault::Refused(format!("the ballot cannot be kept: {error}")))?;
        state.holds = true;
        self.tell_others(&state);
        self.tell_holder(&mut state);
        Ok((term, self.record.mark()))
    }

    /// The one that holds a term is there: it would refuse, and no other node need be asked to leave it.
    pub(super) fn held_elsewhere(&self, state: &Inner) -> Option<String> {
        let ballot = &state.ballot;
        let holder = ballot.holder.as_ref().filter(|_| !ballot.ended)?;
        let other = state.others.get(holder)?;
        other
            .link
            .as_ref()
            .map(|_| format!("{holder} holds term {}", ballot.term))
    }

    /// With every other node there, or as the holder or its heir.
    fn expect_right(&self, state: &Inner) -> Result<(), Fault> {
        let there = |name: &NodeName| {
            let other = state.others.get(name);
            other.is_some_and(|other| other.link.is_some() && other.claim.is_some())
        };
        let away: Vec<NodeName> = state
            .others
            .keys()
            .filter(|name| !there(name))
            .cloned()
            .collect();
        if away.is_empty() || state.ballot.entitles(&self.name, state.holds) {
            return Ok(());
        }
        let last = match &state.ballot.holder {
            None => "no node has ever voted, as far as is known here".to_owned(),
            Some(holder) => format!("term {} was the last, and of {holder}", state.ballot.term),
        };
        Err(Fault::Unsafe(format!(
            "{} cannot be reached, and may vote ({last}). Where it is certainly off: `supervisor ctl promote --accept-double-vote-risk`",
            names(&away)
        )))
    }

    fn next_term(&self, state: &Inner, regardless: bool) -> Term {
        let claims = state
            .others
            .values()
            .filter_map(|other| other.claim.as_ref());
        let seen = claims
            .map(|ballot| ballot.term)
            .chain([state.ballot.term])
            .chain(self.record.mark().map(|mark| mark.term))
            .max()
            .unwrap_or_default();
        let step = if regardless { OVERRIDE_STEP } else { 1 };
        Term(seen.0.saturating_add(step))
    }

    fn ask_others(&self, state: &mut Inner, term: Term) {
        let ask = Message::Ask(Asked {
            term: term.0,
            record: self.newest(),
        });
        let there = state.others.iter().filter_map(|(name, other)| {
            let link = other.link.as_ref().filter(|_| other.claim.is_some())?;
            Some((name.clone(), link.clone()))
        });
        let there: Vec<_> = there.collect();
        state.asking = Some(Asking {
            term,
            open: there.iter().map(|(name, _)| name.clone()).collect(),
            refused: None,
        });
        for (_, link) in there {
            // One that fails ends, and its reader says so.
            let _ = link.send(&ask);
        }
    }

    /// Gives a term back; 0: whatever this node has. Nothing of it may vote any more. A node that is there and ready gets the
    /// right to the next one; without one, this node keeps it.
    pub(super) fn release(&self, asked: Term) -> Result<(), Fault> {
        let mut state = self.state();
        if !self.has(&state, asked) {
            return Ok(());
        }
        let heir = state.successor();
        self.end_term(&mut state, heir, false)
    }

    /// Ends the term for `to`, which is asked to take the next one.
    pub(super) fn pass(&self, term: Term, to: &NodeName, within: Duration) -> Result<(), Fault> {
        let until = Instant::now() + within;
        let mut state = self.state();
        if !self.has(&state, term) {
            return Err(Fault::Refused(format!(
                "term {term} is not this node's any more"
            )));
        }
        let other = state.others.get(to).filter(|other| other.link.is_some());
        match other {
            None => return Err(Fault::Refused(format!("{to} cannot be reached"))),
            Some(other) if !other.in_step => {
                return Err(Fault::Refused(format!(
                    "{to} has not got the newest record yet"
                )));
            }
            Some(_) => {}
        }
        self.end_term(&mut state, Some(to.clone()), true)?;
        let ended = state.ballot.clone();
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
        let ballot = &state.ballot;
        ballot.is_of(&self.name)
            && !ballot.ended
            && (term == Term::default() || term == ballot.term)
    }

    /// First the record, then this disk, then the word: whoever hears that it may take the next term has the final record.
    fn end_term(
        &self,
        state: &mut MutexGuard<'_, Inner>,
        heir: Option<NodeName>,
        hands_over: bool,
    ) -> Result<(), Fault> {
        for other in state.others.values().filter(|other| other.link.is_some()) {
            if let Some(link) = &other.link {
                // One that does not get it closes the link, and hears nothing of the end either.
                let _ = self.bring_up_to_date(link, other.record);
            }
        }
        let ended = state.ballot.ended_for(heir.clone());
        self.keep(state, ended)
            .map_err(|error| Fault::Unknown(format!("the ballot cannot be kept: {error}")))?;
        if heir.is_some() {
            state.holds = false;
        }
        self.tell_others(state);
        let heir = heir.filter(|_| hands_over);
        if let Some(other) = heir.and_then(|heir| state.others.get(&heir))
            && let Some(link) = &other.link
        {
            let _ = link.send(&Message::State(State {
                hands_over: true,
                asks: true,
                ..self.word(state)
            }));
        }
        self.tell_holder(state);
        Ok(())
    }

    /// Whether a term is still held, by what the others say now.
    pub(super) fn confirm(&self, term: Term, within: Duration) -> Result<bool, Fault> {
        let (until, asked) = (Instant::now() + within, Instant::now());
        let mut state = self.state();
        let word = Message::State(State {
            asks: true,
            ..self.word(&state)
        });
        let mut sent = 0;
        for link in state.others.values().filter_map(|other| other.link.clone()) {
            sent += usize::from(link.send(&word).is_ok());
        }
        let silent = |state: &Inner| {
            let there = state.others.values().filter(|other| other.link.is_some());
            let mut unheard = there.filter(|other| other.heard_at.is_none_or(|at| at < asked));
            unheard.next().is_some()
        };
        while sent > 0 && silent(&state) {
            if Instant::now() >= until {
                return Err(Fault::Unknown("the other nodes do not answer".into()));
            }
            state = self.wait(state, until);
        }
        if state.others.values().all(|other| other.link.is_none()) {
            return Err(Fault::Unknown("no other node can be reached".into()));
        }
        Ok(state.holds && state.ballot.term == term && !state.ballot.ended)
    }
}

fn still_open(state: &Inner) -> bool {
    let open = |asking: &Asking| !asking.open.is_empty() && asking.refused.is_none();
    state.asking.as_ref().is_some_and(open)
}

fn names(nodes: &[NodeName]) -> String {
    let names: Vec<&str> = nodes.iter().map(|node| node.0.as_str()).collect();
    names.join(" and ")
}

fn of(ballot: &Ballot) -> &str {
    ballot
        .holder
        .as_ref()
        .map_or("nobody", |node| node.0.as_str())
}
