//! What another node says, and what follows from it here: the table of the program's own `hear`.

use super::message::{Message, Place, State};
use super::{Asking, Waits, World};
use crate::event::{Event, PeerEvent};
use crate::mistake::Mistake;
use crate::record::Record;
use validator_supervisor::engine::AuthorityNews;
use validator_supervisor::engine::ballot::Ballot;
use validator_supervisor::engine::values::{NodeName, Term};

impl World {
    /// One message. An error ends the link.
    pub(super) fn hear(
        &mut self,
        node: usize,
        from: usize,
        conn: u64,
        message: Message,
    ) -> Result<(), ()> {
        match message {
            Message::Hello { .. } => return Err(()),
            Message::Closed => {}
            Message::State(word) => self.hear_state(node, from, conn, word)?,
            Message::Record(record) => self.hear_record(node, from, conn, record)?,
            Message::Commit(record) => self.hear_commit(node, from, conn, record)?,
            Message::Kept(place) => self.hear_kept(node, from, place),
            Message::Fenced(ballot) => self.hear_ballot(node, from, &ballot)?,
            Message::Ask { term, record } => self.hear_ask(node, from, conn, term, record)?,
            Message::Promised(term) => {
                let name = self.name(from);
                if let Some(peer) = self.peer_mut(node) {
                    peer.pact.promised(term, &name);
                }
            }
            Message::Refused { term, why, ballot } => {
                self.hear_ballot(node, from, &ballot)?;
                if let Some(peer) = self.peer_mut(node) {
                    peer.pact.refused(term, why);
                }
            }
        }
        Ok(())
    }

    fn hear_state(&mut self, node: usize, from: usize, conn: u64, word: State) -> Result<(), ()> {
        self.hear_ballot(node, from, &word.ballot)?;
        let (now, name) = (self.now, self.name(from));
        let Some(other) = self.other_mut(node, from) else {
            return Ok(());
        };
        let changed = other.member.replace(word.member) != Some(word.member);
        other.claim = Some(word.ballot);
        other.heard_at = Some(now);
        let in_step = other.in_step;
        let input = self.peer_facts(from, word.member, in_step);
        if let Some(life) = self.nodes[node].life().filter(|_| changed) {
            self.after(0, Event::Tell { node, life, input });
        }
        let Some(peer) = self.peer(node) else {
            return Ok(());
        };
        let ballot = peer.pact.ballot();
        if word.hands_over && ballot.is_of(&name) && peer.pact.is_entitled() {
            let term = ballot.term;
            self.tell_engine(node, AuthorityNews::Passed { term, from: name });
        }
        if word.asks
            && let Some(word) = self.word(node)
        {
            self.send_on(node, from, conn, Message::State(word));
        }
        self.name_heir(node, from, conn)
    }

    /// What this node held before its process started again is for whoever is there, once all are.
    fn name_heir(&mut self, node: usize, heir: usize, conn: u64) -> Result<(), ()> {
        let name = self.name(heir);
        let hasty = self.makes(Mistake::GivenAwayUnheard);
        let Some(peer) = self.peer(node) else {
            return Ok(());
        };
        let there = peer.others.values().map(|other| other.is_there() || hasty);
        if !peer.pact.is_left_over(there) {
            return Ok(());
        }
        let has = peer.others.get(&heir).and_then(|other| other.record);
        let named = peer.pact.end(Some(name));
        self.bring_up_to_date(node, heir, conn, has);
        self.keep(node, named)?;
        self.tell_others(node);
        Ok(())
    }

    fn hear_ballot(&mut self, node: usize, from: usize, theirs: &Ballot) -> Result<(), ()> {
        let teller = self.name(from);
        let peer = self.peer(node);
        let heard = peer.and_then(|peer| peer.pact.hear(theirs, &teller));
        heard.map_or(Ok(()), |next| self.keep(node, next))
    }

    fn hear_record(
        &mut self,
        node: usize,
        from: usize,
        conn: u64,
        record: Record,
    ) -> Result<(), ()> {
        let holds = self.peer(node).is_some_and(|peer| peer.pact.holds());
        if !holds {
            self.keep_record(node, record)?;
        }
        self.answer_kept(node, from, conn);
        Ok(())
    }

    fn hear_commit(
        &mut self,
        node: usize,
        from: usize,
        conn: u64,
        record: Record,
    ) -> Result<(), ()> {
        let (term, name) = (record.mark.term, self.name(from));
        let Some(peer) = self.peer(node) else {
            return Ok(());
        };
        if !peer.pact.has_promised(term, &name) && !self.makes(Mistake::KeptUnderAnOldPromise) {
            self.tally.count("commits fenced");
            let ballot = self.claim(node).unwrap_or_default();
            self.send_on(node, from, conn, Message::Fenced(ballot));
            return Ok(());
        }
        self.judge_kept(node, from, term);
        if self.makes(Mistake::KeptBeforeTheDisk) {
            return self.keep_afterwards(node, from, conn, record);
        }
        self.keep_record(node, record)?;
        self.answer_kept(node, from, conn);
        Ok(())
    }

    /// A node vouches for a record only under the promise that is on its disk.
    fn judge_kept(&mut self, node: usize, from: usize, term: Term) {
        let ballot = &self.nodes[node].disk.ballot;
        if ballot.term == term && ballot.is_of(&self.name(from)) && !ballot.ended {
            return;
        }
        let ballot = ballot.clone();
        self.break_rule(Err(format!(
            "I1: n{node} vouches for a record of n{from} under term {term}, and has promised {ballot:?}"
        )));
    }

    fn keep_afterwards(
        &mut self,
        node: usize,
        from: usize,
        conn: u64,
        record: Record,
    ) -> Result<(), ()> {
        let (place, life) = (record.place(), self.nodes[node].life());
        self.send_on(node, from, conn, Message::Kept(place));
        let after = self.rng.within(5, 60);
        if let Some(life) = life {
            self.after(after, PeerEvent::KeepLate { record }.of(node, life));
        }
        Ok(())
    }

    fn keep_record(&mut self, node: usize, record: Record) -> Result<(), ()> {
        if Some(record.place()) <= self.newest(node) {
            return Ok(());
        }
        if self.nodes[node].disk.failing {
            return Err(());
        }
        self.nodes[node].disk.keep(Some(record));
        Ok(())
    }

    fn answer_kept(&mut self, node: usize, from: usize, conn: u64) {
        if let Some(newest) = self.newest(node) {
            self.send_on(node, from, conn, Message::Kept(newest));
        }
    }

    fn hear_kept(&mut self, node: usize, from: usize, place: Place) {
        let Some(other) = self.other_mut(node, from) else {
            return;
        };
        other.record = other.record.max(Some(place));
        let in_step = other.link.is_some() && other.due <= other.record;
        let is_news = in_step && !other.in_step;
        other.in_step |= in_step;
        let member = other.member.filter(|_| is_news);
        if let (Some(member), Some(life)) = (member, self.nodes[node].life()) {
            let input = self.peer_facts(from, member, true);
            self.after(0, Event::Tell { node, life, input });
        }
    }

    fn hear_ask(
        &mut self,
        node: usize,
        from: usize,
        conn: u64,
        term: Term,
        record: Option<Place>,
    ) -> Result<(), ()> {
        let candidate = self.name(from);
        let Some(peer) = self.peer(node) else {
            return Ok(());
        };
        let is_there = |name: &NodeName| {
            let other = peer.others.get(&self.index(name));
            other.is_some_and(|other| other.link.is_some())
        };
        let asked = match peer.pact.asked(term, &candidate, is_there) {
            Err(_) if self.makes(Mistake::PromisedWhileHolding) => {
                // It goes on as before.
                self.nodes[node].disk.ballot = Ballot::held(term, &candidate);
                self.send_on(node, from, conn, Message::Promised(term));
                return Ok(());
            }
            asked => asked,
        };
        let ballot = self.claim(node).unwrap_or_default();
        match asked {
            Ok(promised) => {
                self.bring_up_to_date(node, from, conn, record);
                if self.makes(Mistake::PromiseNotOnTheDisk) {
                    self.keep_in_memory(node, promised);
                } else {
                    self.keep(node, promised)?;
                }
                self.send_on(node, from, conn, Message::Promised(term));
            }
            Err(why) => {
                self.send_on(node, from, conn, Message::Refused { term, why, ballot });
            }
        }
        Ok(())
    }

    /// Sends the newest record to a node that has an older one. It arrives before whatever is sent after.
    pub(super) fn bring_up_to_date(
        &mut self,
        node: usize,
        other: usize,
        conn: u64,
        has: Option<Place>,
    ) {
        if self.newest(node) <= has || self.makes(Mistake::MissedRecordsNotSent) {
            return;
        }
        let late = self.makes(Mistake::TermPassedBeforeTheRecord);
        if let Some(life) = self.nodes[node].life().filter(|_| late) {
            let after = self.rng.within(100, 600);
            return self.after(after, PeerEvent::RecordLate { to: other }.of(node, life));
        }
        if let Some(record) = self.nodes[node].disk.record.clone() {
            self.send_on(node, other, conn, Message::Record(record));
        }
    }

    /// By a mistake: a link that is lost counts as a promise.
    pub(super) fn believe_lost(&mut self, node: usize, from: usize) {
        if !self.makes(Mistake::LossTakenAsAPromise) {
            return;
        }
        let name = self.name(from);
        let Some(peer) = self.peer_mut(node) else {
            return;
        };
        if let Some(Asking {
            waits: Waits::Promises { term, .. },
            ..
        }) = &peer.asking
        {
            peer.pact.promised(*term, &name);
        }
    }
}
