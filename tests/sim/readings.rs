//! What a supervisor reads of its validator, the cluster and the chain, and what it hears of the other nodes.

use crate::authority::Authority;
use crate::event::Event;
use crate::world::World;
use validator_supervisor::engine::values::{Millis, Role};
use validator_supervisor::engine::{Input, Leads, Observation, PeerFacts};

impl World {
    /// Probes: the validator's word about itself, the cluster's, the chain's.
    pub(crate) fn observe(&mut self, node: usize, life: u64) {
        if self.nodes[node].life() != Some(life) {
            return;
        }
        self.after(300, Event::Observe { node, life });
        let (tip, now, chain_vote) = (self.slot, self.now, self.chain_vote);
        let n = &mut self.nodes[node];
        let cut = n.trouble.cut_from_cluster > now;
        let ready = n
            .child
            .as_ref()
            .filter(|child| child.ready)
            .map(|child| child.slot);
        let Some(sup) = &mut n.sup else { return };
        let own = match ready {
            None => Observation::OwnSilent,
            Some(slot) => Observation::Own {
                healthy: true,
                slot,
                behind: (!cut).then_some(tip - slot),
            },
        };
        let own_advancing = ready.is_some_and(|slot| slot > sup.last_slot);
        sup.last_slot = ready.unwrap_or(0);
        sup.client.cached = self
            .store
            .record
            .as_ref()
            .map(|(record, _)| record.clone())
            .filter(|_| self.rng.chance(20))
            .or(sup.client.cached.take());
        let halted = self.halted > now;
        let cluster = Observation::Cluster {
            asked: 3,
            advancing: if cut || halted { 0 } else { 3 },
            failed: if cut { 3 } else { 0 },
            own_advancing,
        };
        self.tell(node, life, Input::Observed(own));
        self.tell(node, life, Input::Observed(cluster));
        let leads = Observation::Leads(Leads::Never);
        self.tell(node, life, Input::Observed(leads));
        if self.authority == Authority::Peers {
            self.observe_peers(node, life);
        }
        if !cut && chain_vote > 0 {
            self.tell(
                node,
                life,
                Input::Observed(Observation::ChainVote { slot: chain_vote }),
            );
        }
    }

    /// One node hears of the others.
    pub(crate) fn meet(&mut self, node: usize) {
        self.after(600, Event::Meet { node });
        let Some(life) = self.nodes[node].life() else {
            return;
        };
        if self.nodes[node].trouble.cut_from_cluster > self.now {
            return;
        }
        for other in (0..self.nodes.len()).filter(|other| *other != node) {
            let Some(sup) = self.nodes[other].sup.as_ref() else {
                continue;
            };
            let trouble = &self.nodes[other].trouble;
            if [trouble.cut_from_cluster, trouble.hung, trouble.suspended]
                .iter()
                .any(|until| *until > self.now)
            {
                continue;
            }
            let role = sup.engine.role();
            let seen = Observation::Peer(PeerFacts {
                node: self.name(other),
                ready: sup.engine.unready(Millis(self.now)).map_or(Ok(()), Err),
                behind: Some(0),
                priority: 0,
                record: None,
                active_term: sup.engine.term().filter(|_| role == Role::Active),
                asks: sup.engine.plea(),
            });
            self.after(
                10,
                Event::Tell {
                    node,
                    life,
                    input: Input::Observed(seen),
                },
            );
        }
    }
}
