//! What operators of nodes without a store do besides: they pass over a node that is certainly off.

use super::World;
use validator_supervisor::engine::values::{Command, PromoteFlags};

impl World {
    /// Somebody says `promote --accept-double-vote-risk` here, if that may be said.
    pub(crate) fn pass_over(&mut self, node: usize) {
        if self.may_be_passed_over(node) {
            self.ask(
                node,
                Command::Promote(PromoteFlags {
                    first_vote: false,
                    accept_double_vote_risk: true,
                    at_once: false,
                }),
            );
        }
    }

    /// Whether the nodes that this one does not hear can get no vote out, and have sent none that is not known here: they are off
    /// for a while; or there is one that votes with this node's word alone. Looked at again when the term is asked for: the word
    /// is not a promise.
    pub(super) fn may_be_passed_over(&mut self, node: usize) -> bool {
        let Some(peer) = self.peer(node) else {
            return false;
        };
        let (here, away): (Vec<usize>, Vec<usize>) = peer
            .others
            .keys()
            .partition(|other| peer.others[*other].is_there());
        let known = here.iter().chain([&node]);
        let mut up_to_date = known.filter(|knows| !self.peers.lacking.contains(knows));
        if away.is_empty() || up_to_date.next().is_none() {
            return false;
        }
        let is_off = |other: &usize| {
            let n = &self.nodes[*other];
            n.sup.is_none() && n.child.is_none() && n.trouble.off > self.now + 1_000
        };
        if away.iter().all(is_off) {
            return true;
        }
        let waits = |at: &usize| {
            let counts_us_dead = self
                .peer(*at)
                .is_some_and(|peer| peer.others.values().all(|other| other.is_dead));
            self.nodes[*at].holds_on_loss && !counts_us_dead
        };
        let harmless = self.nodes.len() == 2 && away.iter().all(waits);
        if harmless && !std::mem::replace(&mut self.peers.is_risked, true) {
            self.tally.count("worlds with a living node passed over");
        }
        harmless
    }
}
