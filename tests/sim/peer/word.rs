//! What a node says of itself, and what its engine is told of the others.

use super::World;
use super::message::{Member, Message, State};
use crate::event::{Event, PeerEvent};
use crate::mistake::Mistake;
use validator_supervisor::engine::ballot::Ballot;
use validator_supervisor::engine::values::{Millis, Role};
use validator_supervisor::engine::{Input, Observation, PeerFacts};

impl World {
    /// What a node says of itself.
    fn member(&self, node: usize) -> Option<Member> {
        let engine = &self.nodes[node].sup.as_ref()?.engine;
        let role = engine.role();
        Some(Member {
            role,
            ready: engine.unready(Millis(self.now)).is_none(),
            asks: engine.plea(),
            record: self.nodes[node]
                .disk
                .record
                .as_ref()
                .map(|record| record.mark.kind),
            active_term: engine.term().filter(|_| role == Role::Active),
        })
    }

    /// The engine has gone on: what it is now may be news to the others.
    pub(crate) fn note_member(&mut self, node: usize) {
        if self.peer(node).is_none() {
            return;
        }
        let member = self.member(node);
        let Some(life) = self.nodes[node].life() else {
            return;
        };
        let Some(peer) = self.peer_mut(node) else {
            return;
        };
        if peer.member != member {
            peer.member = member;
            if !std::mem::replace(&mut peer.has_news, true) {
                let what = PeerEvent::News;
                self.after(1, Event::Peer { node, life, what });
            }
        }
    }

    /// What a node says of its ballot.
    pub(super) fn claim(&self, node: usize) -> Option<Ballot> {
        let hasty = self.makes(Mistake::GivenAwayUnheard);
        let peer = self.peer(node)?;
        let others = peer.others.values();
        Some(
            peer.pact
                .told(others.map(|other| other.is_there() || hasty)),
        )
    }

    pub(super) fn word(&self, node: usize) -> Option<State> {
        let peer = self.peer(node)?;
        Some(State {
            ballot: self.claim(node)?,
            member: peer.member?,
            hands_over: false,
            asks: false,
        })
    }

    /// Tells every node that is there how this one is.
    pub(super) fn tell_others(&mut self, node: usize) {
        let Some(word) = self.word(node) else { return };
        if let Some(peer) = self.peer_mut(node) {
            peer.has_news = false;
        }
        for (other, conn) in self.linked(node) {
            self.send_on(node, other, conn, Message::State(word.clone()));
        }
    }

    /// What the engine is told of another node. `in_step`: votes wait for it.
    pub(super) fn peer_facts(&self, other: usize, member: Member, in_step: bool) -> Input {
        let Member {
            role,
            ready,
            asks,
            record,
            active_term,
        } = member;
        Input::Observed(Observation::Peer(PeerFacts {
            node: self.name(other),
            ready: match (ready, in_step) {
                (false, _) => Err(role.to_string()),
                (true, false) => Err("has not got the newest record yet".into()),
                (true, true) => Ok(()),
            },
            behind: Some(0),
            priority: 0,
            record,
            active_term,
            asks,
        }))
    }

    /// Every node that is there, as of this moment.
    pub(crate) fn observe_peers(&mut self, node: usize, life: u64) {
        let Some(peer) = self.peer(node) else { return };
        let there = peer.others.iter();
        let facts: Vec<Input> = there
            .filter_map(|(other, known)| {
                Some(self.peer_facts(*other, known.member?, known.in_step))
            })
            .collect();
        for input in facts {
            self.after(0, Event::Tell { node, life, input });
        }
    }
}
