//! What each thing that happens does.

use crate::mistake::Mistake;
use crate::world::{Action, Claim, Message, Other, Place, Process, World, index, name};
use std::collections::BTreeMap;
use validator_supervisor::engine::ballot::Ballot;
use validator_supervisor::engine::pact::{Pact, Presence};
use validator_supervisor::engine::values::Term;

impl World {
    pub(crate) fn act(&mut self, action: &Action) {
        match *action {
            Action::Deliver(from, to) => self.deliver(from, to),
            Action::Ask(node) => self.ask(node, false),
            Action::AskRegardless(node) => self.ask(node, true),
            Action::Conclude(node) => self.conclude(node),
            Action::BeginVote(node) => self.begin_vote(node),
            Action::WriteVote(node) => {
                let place = self.process_mut(node).and_then(|process| {
                    let (place, written) = process.vote.as_mut()?;
                    *written = true;
                    Some(*place)
                });
                let record = &mut self.nodes[node].record;
                *record = place.map_or(*record, |place| place.max(*record));
            }
            Action::SendVote(node) => self.send_vote(node),
            Action::End(node, heir) => self.end(node, heir),
            Action::Crash(node) => {
                self.faults += 1;
                self.die(node);
            }
            Action::Fence(by, node) => {
                self.faults += 1;
                if !self.makes(Mistake::DeathBelieved) {
                    self.die(node);
                }
                if let Some(process) = self.process_mut(by) {
                    process.pact.bury(name(node));
                    process.buried.insert(node, process.pact.ballot().clone());
                }
            }
            Action::Start(node) => self.start(node),
            Action::Cut(one, other) => {
                self.faults += 1;
                self.part(one, other);
                self.links.remove(&(one, other));
                self.links.remove(&(other, one));
            }
            Action::Notice(node, other) => {
                self.links.remove(&(other, node));
                if let Some(process) = self.process_mut(node) {
                    process.hears.remove(&other);
                }
                self.lost(node, other);
            }
            Action::Join(one, other) => self.join(one, other),
            Action::Write(node) => self.write(node),
        }
        self.proofs_end();
    }

    /// With the next ballot, whoever's it is.
    fn proofs_end(&mut self) {
        let keeps_proof = self.makes(Mistake::ProofKept);
        for process in self
            .nodes
            .iter_mut()
            .filter_map(|node| node.process.as_mut())
        {
            let Process { pact, buried, .. } = process;
            if keeps_proof {
                buried.keys().for_each(|dead| pact.bury(name(*dead)));
            } else {
                buried.retain(|_, under| under == pact.ballot());
            }
        }
    }

    fn die(&mut self, node: usize) {
        self.nodes[node].process = None;
        // A process that ends closes its links: what it sent may still arrive.
        for other in (0..self.nodes.len()).filter(|other| *other != node) {
            self.part(node, other);
        }
    }

    fn part(&mut self, one: usize, other: usize) {
        let pair = (one.min(other), one.max(other));
        self.whole.retain(|whole| *whole != pair);
        if self.nodes[one].process.is_none() {
            self.links.remove(&(other, one));
        }
    }

    fn lost(&mut self, node: usize, other: usize) {
        let counts = self.makes(Mistake::LossTakenAsAPromise);
        let Some(process) = self.process_mut(node) else {
            return;
        };
        if counts {
            for term in 0..9 {
                process.pact.promised(Term(term), &name(other));
            }
        }
        process.pact.lost(&name(other), "the link is lost");
    }

    fn ask(&mut self, node: usize, regardless: bool) {
        self.asks += 1;
        let time = 100 * u64::from(self.asks);
        let forget = self.makes(Mistake::AwayForgotten);
        let keeps =
            self.makes(Mistake::HolderKeepsTheRight) || self.makes(Mistake::RightKeptAfterAPromise);
        let restarted = self.makes(Mistake::RightKeptOverARestart);
        let met_is_away = self.makes(Mistake::MetPassedOver);
        let count = self.nodes.len();
        let record = self.nodes[node].record;
        let taken = self.taken;
        let Some(process) = self.process_mut(node) else {
            return;
        };
        let held_last = process.pact.ballot().is_of(&name(node));
        let careless = forget || (keeps && taken.1 == node) || (restarted && held_last);
        let others: BTreeMap<_, _> = (0..count)
            .filter(|other| *other != node)
            .map(|other| {
                let presence = match process.hears.get(&other) {
                    None => Presence::Away,
                    Some(heard) if heard.claimed => Presence::There,
                    Some(_) if met_is_away => Presence::Away,
                    Some(_) => Presence::Met,
                };
                (name(other), presence)
            })
            .filter(|(_, presence)| *presence != Presence::Away || !careless)
            .collect();
        let Ok(term) = process.pact.ask(&others, Term(record.0), time, regardless) else {
            return;
        };
        for other in self.heard_by(node) {
            let claimed = self
                .process(node)
                .is_some_and(|process| process.hears[&other].claimed);
            if claimed {
                let ask = Message::Ask {
                    term: term.0,
                    record,
                };
                self.send(node, other, ask);
            }
        }
    }

    fn conclude(&mut self, node: usize) {
        let record = self.nodes[node].record;
        let early = self.makes(Mistake::TermTakenBeforeTheDisk);
        let Some(process) = self.process_mut(node) else {
            return;
        };
        let Ok(ballot) = process.pact.conclude() else {
            return;
        };
        let term = ballot.term.0;
        if early {
            process.pact.keep(ballot.clone());
            process.unkept = Some(ballot);
        } else {
            self.keep(node, ballot);
        }
        if let Some(process) = self.process_mut(node) {
            process.pact.take();
        }
        if record < self.sent {
            let sent = self.sent;
            self.break_rule(format!(
                "n{node} takes term {term} with the record {record:?}, and {sent:?} has left"
            ));
        }
        if term <= self.taken.0 {
            let taken = self.taken;
            self.break_rule(format!("n{node} takes term {term} after {taken:?}"));
        }
        self.taken = (term, node);
        self.tell_others(node);
    }

    fn begin_vote(&mut self, node: usize) {
        let (_, seq) = self.nodes[node].record;
        let Some(process) = self.process_mut(node) else {
            return;
        };
        let place = (process.pact.ballot().term.0, seq + 1);
        process.vote = Some((place, false));
        self.votes += 1;
        for other in self.heard_by(node) {
            self.send(node, other, Message::Commit(place));
        }
    }

    fn send_vote(&mut self, node: usize) {
        let Some(process) = self.process_mut(node) else {
            return;
        };
        let Some((place, _)) = process.vote.take() else {
            return;
        };
        if self.taken != (place.0, node) {
            let taken = self.taken;
            self.break_rule(format!(
                "n{node} sends a vote under term {}, after {taken:?} was taken",
                place.0
            ));
        }
        self.sent = self.sent.max(place);
        self.last_voter = Some(node);
    }

    fn end(&mut self, node: usize, heir: Option<usize>) {
        self.asks += 1;
        let late = self.makes(Mistake::EndedBeforeTheRecord);
        let has: Vec<(usize, Place)> = self.process(node).map_or(Vec::new(), |process| {
            let others = process.hears.iter();
            others
                .map(|(other, known)| (*other, known.record))
                .collect()
        });
        let bring = |world: &mut Self| {
            for (other, record) in &has {
                world.bring_up_to_date(node, *other, *record);
            }
        };
        if !late {
            bring(self);
        }
        let Some(process) = self.process(node) else {
            return;
        };
        let ended = process.pact.end(heir.map(name));
        self.keep(node, ended);
        self.tell_others(node);
        if late {
            bring(self);
        }
    }

    fn start(&mut self, node: usize) {
        let found = self.nodes[node].ballot.clone();
        let pact = Pact::begin(name(node), &found);
        self.nodes[node].ballot = pact.ballot().clone();
        self.nodes[node].process = Some(Process {
            pact,
            hears: BTreeMap::new(),
            buried: BTreeMap::new(),
            vote: None,
            unwritten: None,
            unkept: None,
        });
    }

    fn join(&mut self, one: usize, other: usize) {
        self.whole.push((one.min(other), one.max(other)));
        self.whole.sort_unstable();
        self.links.remove(&(one, other));
        self.links.remove(&(other, one));
        for (from, to) in [(one, other), (other, one)] {
            let (own, theirs) = (self.nodes[from].record, self.nodes[to].record);
            let keeps_proof = self.makes(Mistake::ProofKept);
            if let Some(process) = self.process_mut(from) {
                let known = Other {
                    record: theirs,
                    due: own,
                    claimed: false,
                };
                process.hears.insert(to, known);
                process.pact.met(&name(to));
                if !keeps_proof {
                    process.buried.remove(&to);
                }
            }
            if !self.makes(Mistake::RecordForgotten) {
                self.bring_up_to_date(from, to, theirs);
            }
            let word = self
                .process(from)
                .map(|process| Claim::from(&self.told(process)));
            if let Some(word) = word {
                self.send(from, to, Message::State(word));
            }
        }
    }

    fn write(&mut self, node: usize) {
        let Some(process) = self.process_mut(node) else {
            return;
        };
        let (place, ballot) = (process.unwritten.take(), process.unkept.take());
        let disk = &mut self.nodes[node];
        disk.record = disk.record.max(place.unwrap_or_default());
        disk.ballot = ballot.unwrap_or_else(|| disk.ballot.clone());
    }

    fn deliver(&mut self, from: usize, to: usize) {
        let queue = self.links.get_mut(&(from, to));
        let Some(message) = queue.and_then(std::collections::VecDeque::pop_front) else {
            return;
        };
        if self
            .links
            .get(&(from, to))
            .is_some_and(|queue| queue.is_empty())
        {
            self.links.remove(&(from, to));
        }
        let hears = |process: &Process| process.hears.contains_key(&from);
        if self.process(to).is_some_and(hears) {
            self.hear(from, to, message);
        }
    }

    fn hear(&mut self, from: usize, node: usize, message: Message) {
        match message {
            Message::State(claim) => self.hear_state(from, node, &claim),
            Message::Record(place) => {
                let holds = self
                    .process(node)
                    .is_some_and(|process| process.pact.holds());
                if !holds {
                    let record = &mut self.nodes[node].record;
                    *record = place.max(*record);
                }
                let kept = self.nodes[node].record;
                self.send(node, from, Message::Kept(kept));
            }
            Message::Commit(place) => self.hear_commit(from, node, place),
            Message::Kept(place) => {
                let other = self
                    .process_mut(node)
                    .and_then(|process| process.hears.get_mut(&from));
                if let Some(other) = other {
                    other.record = other.record.max(place);
                }
            }
            Message::Ask { term, record } => self.hear_ask(from, node, term, record),
            Message::Promised(term) => {
                if let Some(process) = self.process_mut(node) {
                    process.pact.promised(Term(term), &name(from));
                }
            }
            Message::Refused(term) => {
                if let Some(process) = self.process_mut(node) {
                    process.pact.refused(Term(term), format!("n{from} refuses"));
                }
            }
        }
    }

    fn hear_state(&mut self, from: usize, node: usize, claim: &Claim) {
        let Some(process) = self.process_mut(node) else {
            return;
        };
        if let Some(other) = process.hears.get_mut(&from) {
            other.claimed = true;
        }
        let theirs = claim.ballot();
        let next = process.pact.hear(&theirs, &name(from));
        let record = process
            .hears
            .get(&from)
            .map_or((0, 0), |other| other.record);
        if let Some(next) = next {
            self.keep(node, next);
            if self.nodes.len() > 2 {
                self.tell_others(node);
            }
        }
        let left = self.process(node).filter(|process| {
            let others = (0..self.nodes.len()).filter(|other| *other != node);
            let there = |other: usize| {
                let heard = process.hears.get(&other);
                heard.is_some_and(|other| other.claimed) || self.makes(Mistake::LeftOverGivenAway)
            };
            process.pact.is_left_over(others.map(there))
        });
        if let Some(named) = left.map(|process| process.pact.end(Some(name(from)))) {
            self.bring_up_to_date(node, from, record);
            self.keep(node, named);
            self.tell_others(node);
        }
    }

    fn hear_commit(&mut self, from: usize, node: usize, place: Place) {
        let early = self.makes(Mistake::AckBeforeTheDisk);
        let Some(process) = self.process(node) else {
            return;
        };
        if !process.pact.has_promised(Term(place.0), &name(from)) {
            let claim = Claim::from(&self.told(process));
            return self.send(node, from, Message::State(claim));
        }
        let Some(process) = self.process_mut(node) else {
            return;
        };
        if early {
            process.unwritten = process.unwritten.max(Some(place));
            return self.send(node, from, Message::Kept(place));
        }
        let record = &mut self.nodes[node].record;
        *record = place.max(*record);
        let kept = *record;
        self.send(node, from, Message::Kept(kept));
    }

    fn hear_ask(&mut self, from: usize, node: usize, term: u64, record: Place) {
        let careless = self.makes(Mistake::PromisedWhileHolding);
        let keeps = self.makes(Mistake::RightKeptAfterAPromise);
        let unkept = self.makes(Mistake::PromisedBeforeTheDisk);
        let Some(process) = self.process_mut(node) else {
            return;
        };
        let is_there = |other: &validator_supervisor::engine::values::NodeName| {
            process.hears.contains_key(&index(other))
        };
        let asked = if careless {
            Ok(Ballot::held(Term(term), &name(from)))
        } else {
            process.pact.asked(Term(term), &name(from), is_there)
        };
        let Ok(promised) = asked else {
            return self.send(node, from, Message::Refused(term));
        };
        if careless {
            // It goes on as the holder.
            self.nodes[node].ballot = promised;
        } else if unkept {
            process.pact.keep(promised.clone());
            process.unkept = Some(promised);
        } else {
            let before = process.pact.clone();
            self.keep(node, promised);
            if let Some(process) = self.process_mut(node).filter(|_| keeps) {
                process.pact = before;
            }
        }
        if !self.makes(Mistake::RecordForgotten) {
            self.bring_up_to_date(node, from, record);
        }
        self.send(node, from, Message::Promised(term));
    }
}
