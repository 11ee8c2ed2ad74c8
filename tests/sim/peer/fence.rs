//! The fence command: it switches off the machines that a node does not hear, or fails, or is never heard of again.
//!
//! Only in worlds in which no node votes without another one: a holder that has voted alone is followed by an operator's word, as the
//! engine's own tests show.

use super::World;
use crate::authority::Authority;
use crate::event::PeerEvent;
use crate::seed::Seed;
use validator_supervisor::engine::values::OpId;
use validator_supervisor::engine::{Fence, Outcome};

const WITHIN_MS: u64 = 2_000;
/// One world in so many.
const ONE_IN: u64 = 3;

impl World {
    pub(crate) fn arm(&mut self, seed: Seed) {
        if self.authority != Authority::Peers || seed.number % ONE_IN != ONE_IN - 1 {
            return;
        }
        let names = (0..self.nodes.len()).map(|node| self.name(node));
        let fence = Fence {
            within_ms: WITHIN_MS,
            nodes: names.collect(),
        };
        for node in &mut self.nodes {
            node.holds_on_loss = true;
            node.setup.fence = Some(fence.clone());
        }
    }

    pub(crate) fn fence_peers(&mut self, node: usize, life: u64, op: OpId) {
        let Some(peer) = self.peer(node) else { return };
        let others = peer.others.iter();
        let absent = others
            .filter(|(_, other)| other.link.is_none())
            .map(|(at, other)| (*at, other.newest))
            .collect();
        self.tally.count("fence commands");
        let takes = self.rng.within(20, WITHIN_MS + 500);
        self.after(takes, PeerEvent::Fenced { op, absent }.of(node, life));
    }

    /// `absent`: with the connection over which each was heard last.
    pub(super) fn fenced(&mut self, node: usize, life: u64, op: OpId, absent: &[(usize, u64)]) {
        let works = self.rng.chance(70);
        // One that says that it failed may have done it all the same.
        if works || self.rng.chance(30) {
            for (other, _) in absent {
                let ms = self.rng.within(3_000, 12_000);
                self.switch_off(*other, ms);
            }
        }
        if !works {
            if self.rng.chance(60) {
                let why = "it ended with exit code 1";
                self.done(node, life, op, 1, Outcome::Refused(why.into()));
            }
            return;
        }
        for (other, met) in absent {
            let name = self.name(*other);
            let Some(known) = self.other_mut(node, *other) else {
                return;
            };
            if known.link.is_some() || known.newest != *met {
                let why = format!("n{other} was heard again");
                return self.done(node, life, op, 1, Outcome::Refused(why));
            }
            known.is_dead = true;
            if let Some(peer) = self.peer_mut(node) {
                peer.pact.bury(name);
            }
        }
        self.tally.count("nodes ended by a fence command");
        self.done(node, life, op, 1, Outcome::Done);
    }

    /// The power goes.
    pub(super) fn switch_off(&mut self, node: usize, ms: u64) {
        self.nodes[node].trouble.off = self.now + ms;
        self.crash(node, false);
        self.nodes[node].child = None;
    }
}
