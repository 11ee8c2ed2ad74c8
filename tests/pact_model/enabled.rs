//! What can happen next.

use crate::bound::Bound;
use crate::mistake::Mistake;
use crate::world::{Action, Other, Place, Process, World};
use validator_supervisor::engine::values::Term;

impl World {
    pub(crate) fn actions(&self, bound: &Bound, out: &mut Vec<Action>) {
        if self.broken.is_some() {
            return;
        }
        for (pair, queue) in &self.links {
            if !queue.is_empty() {
                out.push(Action::Deliver(pair.0, pair.1));
            }
        }
        for node in 0..self.nodes.len() {
            match self.process(node) {
                Some(process) => self.of_process(bound, node, process, out),
                None => out.push(Action::Start(node)),
            }
        }
        for (one, other) in pairs(self.nodes.len()) {
            self.of_cable(bound, one, other, out);
        }
    }

    fn of_process(&self, bound: &Bound, node: usize, process: &Process, out: &mut Vec<Action>) {
        let pact = &process.pact;
        let may_ask =
            self.asks < bound.asks && process.vote.is_none() && !self.asks_already(process);
        if may_ask && (!pact.holds() || node == 0) {
            out.push(Action::Ask(node));
        }
        if may_ask && !self.alone && self.is_dead_for(node) {
            out.push(Action::AskRegardless(node));
        }
        if self.asks_already(process) {
            out.push(Action::Conclude(node));
        }
        match process.vote {
            None if pact.holds() && self.votes < bound.votes => out.push(Action::BeginVote(node)),
            Some((_, false)) => out.push(Action::WriteVote(node)),
            Some((place, true)) if self.may_leave(process, place) => {
                out.push(Action::SendVote(node));
            }
            _ => {}
        }
        if pact.holds()
            && self.asks < bound.asks
            && (process.vote.is_none() || self.makes(Mistake::VoteAfterTheEnd))
        {
            out.push(Action::End(node, None));
            let heirs = process.hears.keys().copied();
            out.extend(heirs.map(|heir| Action::End(node, Some(heir))));
        }
        if process.unwritten.is_some() || process.unkept.is_some() {
            out.push(Action::Write(node));
        }
        if self.faults < bound.faults {
            out.push(Action::Crash(node));
            let others = (0..self.nodes.len()).filter(|other| *other != node);
            let silent = others.filter(|other| {
                !process.hears.contains_key(other) && !process.buried.contains_key(other)
            });
            out.extend(
                silent
                    .filter(|_| !self.alone)
                    .map(|other| Action::Fence(node, other)),
            );
        }
    }

    fn of_cable(&self, bound: &Bound, one: usize, other: usize, out: &mut Vec<Action>) {
        let hears = |from: usize, to: usize| {
            let process = self.process(from);
            process.is_some_and(|process| process.hears.contains_key(&to))
        };
        let (there, back) = (hears(one, other), hears(other, one));
        if self.is_whole(one, other) {
            if self.faults < bound.faults && there && back {
                out.push(Action::Cut(one, other));
            }
            return;
        }
        if there {
            out.push(Action::Notice(one, other));
        }
        if back {
            out.push(Action::Notice(other, one));
        }
        let both = self.process(one).is_some() && self.process(other).is_some();
        if both && !there && !back {
            out.push(Action::Join(one, other));
        }
    }

    fn asks_already(&self, process: &Process) -> bool {
        // What the pact does not show: it is open, or its answers are complete.
        let mut copy = process.pact.clone();
        copy.conclude() != Err("nothing was asked for".into())
    }

    /// Every node that it does not hear was switched off, by something that cannot be wrong.
    fn is_dead_for(&self, node: usize) -> bool {
        let Some(process) = self.process(node) else {
            return false;
        };
        let mut silent = (0..self.nodes.len())
            .filter(|other| *other != node && !process.hears.contains_key(other))
            .peekable();
        let dead = |other: usize| self.nodes[other].process.is_none();
        silent.peek().is_some()
            && silent.all(|other| dead(other) || self.makes(Mistake::DeathBelieved))
    }

    /// With every node that it hears and that is in step, and with at least one unless it votes on alone.
    fn may_leave(&self, process: &Process, place: Place) -> bool {
        let late = self.makes(Mistake::VoteAfterTheEnd);
        if !process.pact.may_commit(Term(place.0)) && !late {
            return false;
        }
        if self.makes(Mistake::VoteBeforeTheAck) {
            return true;
        }
        let in_step = |other: &&Other| other.due <= other.record;
        let mut heard = process.hears.values().filter(in_step).peekable();
        (self.alone || heard.peek().is_some()) && heard.all(|other| other.record >= place)
    }
}

fn pairs(count: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..count).flat_map(|one| (0..one).map(move |other| (other, one)))
}
