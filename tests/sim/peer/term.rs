//! The term: taken, confirmed, passed on and given back, as the program does it.

use super::message::{Message, Place, State};
use super::{Asking, Waits, World};
use crate::authority::Wish;
use crate::event::PeerEvent;
use crate::mistake::Mistake;
use std::collections::BTreeMap;
use validator_supervisor::engine::Outcome;
use validator_supervisor::engine::ballot::Ballot;
use validator_supervisor::engine::pact::{Barred, Presence};
use validator_supervisor::engine::values::{Identity, NodeName, OpId, Term};

/// How long a wish may take: less than a step of the engine.
const WISH_MS: u64 = 350;
/// The tip of the cluster at the beginning of a run; it moves with the time, and all nodes see the same.
pub(super) const TIP: u64 = 1_000_000;

impl World {
    pub(crate) fn ask_peers(&mut self, node: usize, op: OpId, wish: Wish) {
        if let Some(peer) = self.peer_mut(node) {
            peer.wishes.push_back((op, wish));
            self.next_wish(node);
        }
    }

    fn next_wish(&mut self, node: usize) {
        let Some(peer) = self.peer_mut(node).filter(|peer| peer.asking.is_none()) else {
            return;
        };
        let Some((op, wish)) = peer.wishes.pop_front() else {
            return;
        };
        let waits = match wish {
            Wish::Acquire { regardless } => self.ask_for_term(node, regardless),
            Wish::Release { term, to_nobody } => self.release_term(node, term, to_nobody),
            Wish::Pass { term, to } => self.pass_term(node, term, to),
            Wish::Confirm { term } => self.confirm_term(node, term),
        };
        match waits {
            Ok(waits) => {
                self.await_others(node, op, waits);
                self.wish_goes_on(node);
            }
            Err(outcome) => {
                self.grant(node, op, outcome);
            }
        }
    }

    fn await_others(&mut self, node: usize, op: OpId, waits: Waits) {
        let until = self.now + WISH_MS;
        let life = self.nodes[node].life();
        if let (Some(life), Some(peer)) = (life, self.peer_mut(node)) {
            peer.asking = Some(Asking { op, until, waits });
            self.after(WISH_MS, PeerEvent::WishLate.of(node, life));
        }
    }

    fn grant(&mut self, node: usize, op: OpId, outcome: Outcome) {
        if let Some(life) = self.nodes[node].life() {
            self.done(node, life, op, 0, outcome);
        }
        self.next_wish(node);
    }

    /// Whether what is asked of the others has come.
    pub(super) fn wish_goes_on(&mut self, node: usize) {
        let now = self.now;
        let Some(peer) = self.peer(node) else { return };
        let Some(asking) = &peer.asking else { return };
        let (op, late, waits) = (asking.op, asking.until <= now, asking.waits.clone());
        let outcome = match waits {
            Waits::Promises { .. } if peer.pact.is_open() && !late => return,
            Waits::Promises {
                term,
                of,
                regardless,
            } => self.conclude(node, term, &of, regardless),
            Waits::Heir { to, ended } => {
                let claim = peer.others.get(&to).and_then(|other| other.claim.as_ref());
                let has_it = |claim: &Ballot| *claim == ended || claim.term > ended.term;
                match claim.is_some_and(has_it) {
                    true => Outcome::Done,
                    false if late => Outcome::Failed(format!("n{to} has not confirmed")),
                    false => return,
                }
            }
            Waits::Words { term, since } => {
                let mut there = peer.others.values().filter(|other| other.link.is_some());
                let silent = there.any(|other| other.heard_at.is_none_or(|at| at < since));
                let alone = peer.others.values().all(|other| other.link.is_none());
                match silent {
                    true if late => Outcome::Failed("the other nodes do not answer".into()),
                    true => return,
                    false if alone => Outcome::Failed("no other node can be reached".into()),
                    false if peer.pact.may_commit(term) => Outcome::Done,
                    false => Outcome::Refused(format!("term {term} is over")),
                }
            }
        };
        if let Some(peer) = self.peer_mut(node) {
            peer.asking = None;
        }
        self.grant(node, op, outcome);
    }

    fn ask_for_term(&mut self, node: usize, regardless: bool) -> Result<Waits, Outcome> {
        let regardless = regardless && self.may_be_passed_over(node);
        let takes_back = self.takes_back(node);
        let careless = self.makes(Mistake::SilenceTakenForDeath) || takes_back;
        let (now, record) = (self.now, self.newest(node));
        let names: Vec<NodeName> = (0..self.nodes.len()).map(|at| self.name(at)).collect();
        let Some(peer) = self.peer_mut(node) else {
            return Err(Outcome::Failed("no process".into()));
        };
        let others: BTreeMap<NodeName, Presence> = peer
            .others
            .iter()
            .map(|(other, known)| (names[*other].clone(), known.presence()))
            .filter(|(_, presence)| (*presence == Presence::There && !takes_back) || !careless)
            .collect();
        if takes_back {
            let own = Ballot::held(peer.pact.ballot().term, &names[node]);
            peer.pact.keep(own.ended_for(None));
            peer.pact.take();
        }
        let claims = peer
            .others
            .values()
            .filter_map(|other| other.claim.as_ref());
        let seen = claims
            .map(|ballot| ballot.term)
            .chain(record.map(|(term, _)| Term(term)));
        let seen = seen.max().unwrap_or_default();
        let asked = peer.pact.ask(&others, seen, TIP + now, regardless);
        let term = asked.map_err(|barred| match barred {
            Barred::Held { by, term } => Outcome::Refused(format!("{by} holds term {term}")),
            Barred::Met(met) => Outcome::Refused(format!("{met:?} has not spoken yet")),
            Barred::Away(away) => Outcome::Unsafe(format!("{away:?} cannot be reached")),
        })?;
        let there = peer.others.iter().filter(|(_, other)| other.is_there());
        let mut of: Vec<(usize, Option<u64>)> =
            there.map(|(at, other)| (*at, other.link)).collect();
        of.retain(|_| !takes_back);
        if of.len() + 1 < names.len() {
            let how = if regardless {
                "asked regardless"
            } else {
                "asked with a right"
            };
            self.tally.count(how);
        }
        for (other, link) in &of {
            if let Some(conn) = link {
                self.send_on(node, *other, *conn, Message::Ask { term, record });
            }
        }
        let of: Vec<usize> = of.into_iter().map(|(at, _)| at).collect();
        self.cut_at_ask(node, &of);
        Ok(Waits::Promises {
            term,
            of,
            regardless,
        })
    }

    fn conclude(&mut self, node: usize, term: Term, of: &[usize], regardless: bool) -> Outcome {
        let Some(peer) = self.peer_mut(node) else {
            return Outcome::Failed("no process".into());
        };
        let ballot = match peer.pact.conclude() {
            Ok(ballot) => ballot,
            Err(why) => {
                self.tell_holder(node);
                return Outcome::Refused(why);
            }
        };
        if self.keep(node, ballot).is_err() {
            return Outcome::Refused("the ballot cannot be kept".into());
        }
        if let Some(peer) = self.peer_mut(node) {
            peer.pact.take();
            peer.passed_at = None;
            peer.is_sealed = false;
            let away = peer
                .others
                .values_mut()
                .filter(|other| other.link.is_none());
            away.for_each(|other| other.is_dead |= regardless);
        }
        self.judge_taken(node, term, of);
        self.tell_others(node);
        self.tell_holder(node);
        let record = self.nodes[node].disk.record.as_ref();
        let record = record.map(|record| record.mark);
        Outcome::Held { term, record }
    }

    /// Who was asked has its promise on the disk, and terms only grow.
    fn judge_taken(&mut self, node: usize, term: Term, of: &[usize]) {
        self.tally.count("terms taken");
        if of.len() + 1 < self.nodes.len() {
            self.tally.count("terms taken without a node");
        }
        let forgets = of
            .iter()
            .find(|other| self.nodes[**other].disk.ballot.term < term);
        if let Some(other) = forgets {
            self.break_rule(Err(format!(
                "I1: n{node} takes term {term}, which n{other} has not promised on its disk"
            )));
        }
        let holds = |other: &usize| self.peer(*other).is_some_and(|peer| peer.pact.holds());
        let rival = (0..self.nodes.len()).find(|other| *other != node && holds(other));
        if let Some(other) = rival.filter(|_| !self.peers.is_risked) {
            self.break_rule(Err(format!(
                "I1: n{node} takes term {term} while n{other} holds one"
            )));
        }
        let (newest, by) = self.peers.taken;
        if term <= newest && !self.peers.is_risked {
            self.break_rule(Err(format!(
                "I1: n{node} takes term {term} after n{by} has taken {newest}"
            )));
        }
        self.peers.taken = self.peers.taken.max((term, node));
    }

    fn has(&self, node: usize, term: Term) -> bool {
        self.peer(node).is_some_and(|peer| {
            peer.pact.holds() && (term == Term::default() || peer.pact.may_commit(term))
        })
    }

    /// A node that is there and ready gets the right to the next term; without one, this node keeps it.
    fn release_term(&mut self, node: usize, term: Term, to_nobody: bool) -> Result<Waits, Outcome> {
        if !self.has(node, term) || self.makes(Mistake::ReleaseNotSent) {
            return Err(Outcome::Done);
        }
        let heir = self.successor(node).filter(|_| !to_nobody);
        self.end_term(node, heir, false)?;
        Err(Outcome::Done)
    }

    fn successor(&self, node: usize) -> Option<usize> {
        let peer = self.peer(node)?;
        let mut ready = peer.others.iter().filter(|(_, other)| {
            other.link.is_some() && other.member.is_some_and(|member| member.ready)
        });
        ready.next().map(|(other, _)| *other)
    }

    fn pass_term(&mut self, node: usize, term: Term, to: usize) -> Result<Waits, Outcome> {
        if !self.has(node, term) {
            return Err(Outcome::Refused(format!("term {term} is not held")));
        }
        let late = self.makes(Mistake::TermPassedBeforeTheRecord);
        let other = self.peer(node).and_then(|peer| peer.others.get(&to));
        match other.filter(|other| other.link.is_some()) {
            None => return Err(Outcome::Refused(format!("n{to} cannot be reached"))),
            Some(other) if !other.in_step && !late => {
                return Err(Outcome::Refused(format!("n{to} lacks the record")));
            }
            Some(_) => {}
        }
        self.end_term(node, Some(to), true)?;
        self.tally.count("terms passed");
        let ended = self.peer(node).map(|peer| peer.pact.ballot().clone());
        let ended = ended.unwrap_or_default();
        Ok(Waits::Heir { to, ended })
    }

    /// First the record, then this disk, then the word: whoever hears that it may take the next term has the final record.
    fn end_term(
        &mut self,
        node: usize,
        heir: Option<usize>,
        hands_over: bool,
    ) -> Result<(), Outcome> {
        self.judge_end(node);
        self.bring_all_up_to_date(node);
        let name = heir.map(|heir| self.name(heir));
        let Some(peer) = self.peer_mut(node) else {
            return Err(Outcome::Failed("no process".into()));
        };
        let ended = peer.pact.end(name);
        if self.keep(node, ended).is_err() {
            return Err(Outcome::Failed("the ballot cannot be kept".into()));
        }
        let takes_back = self.makes(Mistake::BothResumeAfterAFailedHandover) && hands_over;
        let passed_at = takes_back.then_some(self.now);
        if let Some(peer) = self.peer_mut(node) {
            peer.passed_at = passed_at;
        }
        self.tell_end(node, heir, hands_over);
        self.tell_holder(node);
        self.trouble_at_end(node, heir);
        Ok(())
    }

    /// In one message: the heir must not take what it is given for something that is left over.
    fn tell_end(&mut self, node: usize, heir: Option<usize>, hands_over: bool) {
        let Some(word) = self.word(node) else { return };
        for (other, conn) in self.linked(node) {
            let is_given = hands_over && heir == Some(other);
            let word = State {
                hands_over: is_given,
                asks: is_given,
                ..word.clone()
            };
            self.send_on(node, other, conn, Message::State(word));
        }
    }

    pub(super) fn bring_all_up_to_date(&mut self, node: usize) {
        let Some(peer) = self.peer(node).filter(|peer| !peer.is_sealed) else {
            return;
        };
        let others = peer.others.iter();
        let has: Vec<(usize, Option<u64>, Option<Place>)> = others
            .map(|(other, known)| (*other, known.link, known.record))
            .collect();
        for (other, link, record) in has {
            if let Some(conn) = link {
                self.bring_up_to_date(node, other, conn, record);
            }
        }
    }

    fn judge_end(&mut self, node: usize) {
        let child = self.nodes[node].child.as_ref();
        let votes = child.is_some_and(|child| child.voters && child.thread == Identity::Staked);
        if votes || self.nodes[node].carries_identity() {
            self.break_rule(Err(format!(
                "I3: n{node} gives its term away with its child on the identity"
            )));
        }
    }

    fn confirm_term(&mut self, node: usize, term: Term) -> Result<Waits, Outcome> {
        let since = self.now;
        let Some(mut word) = self.word(node) else {
            return Err(Outcome::Failed("no process".into()));
        };
        word.asks = true;
        for (other, conn) in self.linked(node) {
            self.send_on(node, other, conn, Message::State(word.clone()));
        }
        Ok(Waits::Words { term, since })
    }
}
