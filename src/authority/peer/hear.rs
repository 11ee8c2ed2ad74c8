//! What another node says, and what follows from it here. The table of the protocol:
//!
//! | message | here |
//! |---|---|
//! | `State` | a higher ballot is kept; what this node held under a lower one is lost |
//! | `Record` | kept where it is newer, this node does not vote, and no holder that is there could send it itself; answered with what is on this disk |
//! | `Commit` | kept under the promise of its term and sender, in one piece with the look at that promise; else `Fenced` |
//! | `Kept` | a vote may wait for it |
//! | `Fenced` | as `State` |
//! | `Ask` | promised on this disk, the newest record first; refused while a node that is there holds a term, or for a low one |
//! | `Promised`, `Refused` | counted where this node asks for that very term |

use std::sync::Arc;
use std::time::Instant;

use super::link::{Link, LinkError};
use super::message::{Answered, Asked, Claim, Hello, Message, Place, Refused, State, VERSION};
use super::node::{Inner, Node, Other};
use crate::authority::news::{News, Part};
use crate::authority::stored::StoredRecord;
use crate::config::is_node_name;
use crate::engine::AuthorityNews;
use crate::engine::values::{NodeName, Term};

impl Node {
    /// What this node says first.
    pub(super) fn hello(&self) -> Message {
        Message::Hello(Hello {
            version: VERSION,
            node: self.name.0.clone(),
            identity: bs58::encode(self.identity).into_string(),
            record: self.newest(),
        })
    }

    /// Whether the other side is whom its certificate names, and speaks of the same identity.
    pub(super) fn meet(&self, hello: &Hello, from: &NodeName) -> Result<(), LinkError> {
        let unfit = |why: String| Err(LinkError::Unfit(why));
        let identity = bs58::encode(self.identity).into_string();
        if hello.version != VERSION {
            return unfit(format!(
                "it speaks version {} of the protocol, and this one {VERSION}: install the same release on both nodes",
                hello.version
            ));
        }
        if hello.node != from.0 {
            return unfit(format!(
                "it calls itself {:?}, and its certificate is for {from}: set `node` there, or make it another certificate",
                hello.node
            ));
        }
        if hello.identity != identity {
            return unfit(format!(
                "it votes for {}, and this node for {identity}: identity.staked must be the same key on both",
                hello.identity
            ));
        }
        Ok(())
    }

    /// From here on that node is there. It gets the newest record, then the word of this node, then every vote.
    pub(super) fn link_up(
        &self,
        from: &NodeName,
        link: &Arc<Link>,
        hello: &Hello,
    ) -> Result<(), LinkError> {
        let mut state = self.state();
        // It lives, whatever becomes of the link.
        state.pact.met(from);
        if let Some(other) = state.others.get_mut(from) {
            other.met += 1;
            other.is_dead = false;
        }
        let due = self.newest();
        self.bring_up_to_date(link, hello.record)?;
        let word = Message::State(State {
            asks: true,
            ..self.word(&state)
        });
        link.send(&word)?;
        let Some(other) = state.others.get_mut(from) else {
            return Ok(());
        };
        if let Some(before) = other.link.replace(Arc::clone(link)) {
            before.close();
        }
        other.record = hello.record;
        other.due = due;
        self.put_in_step(from, other, due <= hello.record);
        other.claim = None;
        self.well(&mut state, Part::Link(from.clone()));
        self.has_changed();
        Ok(())
    }

    /// That link has ended.
    pub(super) fn link_down(&self, from: &NodeName, link: &Arc<Link>, why: &LinkError) {
        let mut state = self.state();
        let Some(other) = state.others.get_mut(from) else {
            return;
        };
        if !other
            .link
            .as_ref()
            .is_some_and(|now| Arc::ptr_eq(now, link))
        {
            return;
        }
        other.link = None;
        other.in_step.set(false);
        other.claim = None;
        other.member = None;
        other.told = None;
        state.pact.lost(from, &why.to_string());
        self.trouble(&mut state, Part::Link(from.clone()), why.to_string());
        self.tell(News::Member {
            node: from.clone(),
            member: None,
        });
        self.tell_holder(&mut state);
        self.has_changed();
    }

    /// One message. An error ends the link.
    pub(super) fn hear(
        &self,
        from: &NodeName,
        link: &Link,
        message: Message,
    ) -> Result<(), LinkError> {
        let mut state = self.state();
        match message {
            Message::Hello(_) => {
                return Err(LinkError::Unfit("it says hello again".into()));
            }
            Message::State(word) => self.hear_state(&mut state, from, link, word)?,
            Message::Record(record) => self.hear_record(&mut state, from, link, &record)?,
            Message::Commit(record) => self.hear_commit(&mut state, from, link, &record)?,
            Message::Kept(place) => self.hear_kept(&mut state, from, place),
            Message::Fenced(claim) => self.hear_claim(&mut state, from, &claim)?,
            Message::Ask(asked) => self.hear_ask(&mut state, from, link, asked)?,
            Message::Promised(Answered { term }) => state.pact.promised(Term(term), from),
            Message::Refused(refused) => self.hear_refused(&mut state, from, refused)?,
        }
        self.tell_holder(&mut state);
        // Who waits for it takes the lock at once.
        drop(state);
        self.has_changed();
        Ok(())
    }

    fn hear_state(
        &self,
        state: &mut Inner,
        from: &NodeName,
        link: &Link,
        word: State,
    ) -> Result<(), LinkError> {
        self.hear_claim(state, from, &word.claim)?;
        let Some(other) = state.others.get_mut(from) else {
            return Ok(());
        };
        let now = Instant::now();
        other.claim = Some(word.claim.ballot());
        if word.answers {
            other.answered_at = Some(now);
        }
        other.member = Some(word.member);
        if other.told != other.member && other.ration.allows(now) {
            other.told.clone_from(&other.member);
            self.tell(News::Member {
                node: from.clone(),
                member: other.member.clone(),
            });
        }
        let (ballot, entitled) = (state.pact.ballot(), state.pact.is_entitled());
        let term = ballot.term;
        if word.hands_over && ballot.is_of(from) && entitled && state.passed != Some(term) {
            state.passed = Some(term);
            self.tell_term(AuthorityNews::Passed {
                term,
                from: from.clone(),
            });
        }
        if word.asks {
            link.send(&Message::State(State {
                answers: true,
                ..self.word(state)
            }))?;
        }
        self.name_heir(state, from, link)
    }

    /// What this node held before its process started again is for whoever is there, once all are.
    fn name_heir(&self, state: &mut Inner, heir: &NodeName, link: &Link) -> Result<(), LinkError> {
        if !state
            .pact
            .is_left_over(state.others.values().map(Other::is_there))
        {
            return Ok(());
        }
        let has = state.others.get(heir).and_then(|other| other.record);
        self.bring_up_to_date(link, has)?;
        let named = state.pact.end(Some(heir.clone()));
        self.keep(state, named)?;
        self.tell_others(state);
        Ok(())
    }

    fn hear_claim(
        &self,
        state: &mut Inner,
        from: &NodeName,
        claim: &Claim,
    ) -> Result<(), LinkError> {
        reachable(claim.term)?;
        // What is kept has to fit its file. A node that was taken from the list may be named.
        for named in [&claim.holder, &claim.heir].into_iter().flatten() {
            if !is_node_name(named) {
                let why = format!("it names a holder that is not a node's name: {named:.64?}");
                return Err(LinkError::Unfit(why));
            }
        }
        if let Some(next) = state.pact.hear(&claim.ballot(), from) {
            self.keep(state, next)?;
        }
        Ok(())
    }

    fn hear_record(
        &self,
        state: &mut Inner,
        from: &NodeName,
        link: &Link,
        record: &StoredRecord,
    ) -> Result<(), LinkError> {
        // The records of a term that is held are its holder's to send.
        let holder = state.pact.ballot().holder.clone();
        let holder = holder.filter(|holder| state.pact.has_promised(record.mark.term, holder));
        let is_anothers = holder.is_some_and(|holder| {
            let link = state.others.get(&holder).map(|other| &other.link);
            holder != *from && link.is_some_and(Option::is_some)
        });
        if !state.pact.holds() && !is_anothers {
            self.keep_record(state, record)?;
        }
        self.answer_kept(link)
    }

    fn hear_commit(
        &self,
        state: &mut Inner,
        from: &NodeName,
        link: &Link,
        record: &StoredRecord,
    ) -> Result<(), LinkError> {
        if !state.pact.has_promised(record.mark.term, from) {
            link.send(&Message::Fenced(state.claim()))?;
            return Ok(());
        }
        self.keep_record(state, record)?;
        self.answer_kept(link)
    }

    fn keep_record(&self, state: &mut Inner, record: &StoredRecord) -> Result<(), LinkError> {
        reachable(record.mark.term.0)?;
        if record.identity != self.identity {
            return Err(LinkError::Unfit(format!(
                "it sends a record of {}",
                bs58::encode(record.identity).into_string()
            )));
        }
        if Some(Place::from(record.mark)) > self.newest() {
            let kept = self.record.write(record.mark, &record.bytes);
            self.is_kept(state, kept, self.record.path())?;
        }
        Ok(())
    }

    fn answer_kept(&self, link: &Link) -> Result<(), LinkError> {
        match self.newest() {
            Some(newest) => link.send(&Message::Kept(newest)),
            None => Ok(()),
        }
    }

    /// Nothing has come for a while: the next record is kept the sooner for what is done now.
    pub(super) fn rest(&self) -> Result<(), LinkError> {
        let settled = self.record.settle();
        Ok(self.is_kept(&mut self.state(), settled, self.record.path())?)
    }

    fn hear_kept(&self, state: &mut Inner, from: &NodeName, place: Place) {
        if let Some(other) = state.others.get_mut(from) {
            other.record = other.record.max(Some(place));
            if other.link.is_some() && other.due <= other.record {
                self.put_in_step(from, other, true);
            }
        }
    }

    fn hear_ask(
        &self,
        state: &mut Inner,
        from: &NodeName,
        link: &Link,
        asked: Asked,
    ) -> Result<(), LinkError> {
        reachable(asked.term)?;
        let term = Term(asked.term);
        let is_there = |name: &NodeName| {
            let other = state.others.get(name);
            other.is_some_and(|other| other.link.is_some())
        };
        match state.pact.asked(term, from, is_there) {
            Ok(promised) => {
                self.bring_up_to_date(link, asked.record)?;
                self.keep(state, promised)?;
                link.send(&Message::Promised(Answered { term: asked.term }))?;
            }
            Err(why) => link.send(&Message::Refused(Refused {
                term: asked.term,
                why,
                claim: state.claim(),
            }))?,
        }
        Ok(())
    }

    fn hear_refused(
        &self,
        state: &mut Inner,
        from: &NodeName,
        refused: Refused,
    ) -> Result<(), LinkError> {
        self.hear_claim(state, from, &refused.claim)?;
        state.pact.refused(Term(refused.term), refused.why);
        Ok(())
    }
}

/// Terms grow by ones, or to the newest slot of the cluster. One near the end of the numbers would be the last for ever.
pub(super) const TERM_MAX: u64 = 1 << 53;

fn reachable(term: u64) -> Result<(), LinkError> {
    if term <= TERM_MAX {
        return Ok(());
    }
    Err(LinkError::Unfit(format!(
        "it names term {term}, which no node can have reached: its ballot or its record is damaged"
    )))
}
