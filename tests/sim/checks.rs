//! What must hold between all nodes after every event, and when a world has come to rest.

use crate::authority::Authority;
use crate::node::Node;
use crate::world::{KILL_GRACE_MS, WATCHDOG_MS, World};
use validator_supervisor::engine::values::{Identity, Role};

impl World {
    /// What must hold between all nodes, after every event.
    pub(crate) fn check(&mut self) -> Result<(), String> {
        if let Some(rule) = self.broken.take() {
            return Err(rule);
        }
        for node in 0..self.nodes.len() {
            self.check_node(node)?;
        }
        if self.authority == Authority::Peers {
            return self.check_peers();
        }
        self.check_overlap()
    }

    fn check_overlap(&self) -> Result<(), String> {
        let carrying = self
            .nodes
            .iter()
            .filter(|node| node.carries_identity())
            .count();
        for node in 0..self.nodes.len() {
            let excused = self.nodes[node].trouble.suspended > self.now
                || !self.nodes[node].carries_identity();
            let holds = self
                .store
                .holder
                .is_some_and(|holding| holding.node == node);
            if carrying > 1 && !excused && !holds && self.now > self.overlap_ends(node) {
                return Err(format!(
                    "I3: node {node} carries the staked identity beside another, and its time is over"
                ));
            }
        }
        Ok(())
    }

    fn check_node(&self, index: usize) -> Result<(), String> {
        let node = &self.nodes[index];
        let (Some(sup), Some(child)) = (&node.sup, &node.child) else {
            return Ok(());
        };
        let awake = node.trouble.hung <= self.now && node.trouble.suspended <= self.now;
        let resting = matches!(
            sup.engine.role(),
            Role::CatchingUp | Role::Standby | Role::Parked
        );
        if resting
            && child.listener == sup.life
            && (child.voters || child.admin == Identity::Staked)
        {
            return Err(format!(
                "node {index} is {} with a validator that is {:?}, voters: {}",
                sup.engine.role(),
                child.admin,
                child.voters
            ));
        }
        if awake
            && self.authority == Authority::Store
            && sup.engine.term().is_some()
            && node.carries_identity()
            && self.now > self.overlap_ends(index)
        {
            return Err(format!(
                "I5: node {index} carries the staked identity after its lease"
            ));
        }
        Ok(())
    }

    /// By when a node that may have lost its term is off the identity.
    fn overlap_ends(&self, node: usize) -> u64 {
        let trouble = &self.nodes[node].trouble;
        let watched = trouble
            .unguarded_since
            .map_or(0, |since| since + WATCHDOG_MS);
        let awake = trouble.resumed_at.max(trouble.hung.min(self.now));
        let lease = self.store.lease_end(node);
        lease.max(watched).max(awake) + KILL_GRACE_MS
    }

    /// One node votes, and the others stand by.
    pub(crate) fn settled(&self) -> bool {
        let recent: Vec<usize> = self
            .judge
            .sent
            .iter()
            .rev()
            .take_while(|sent| sent.at + 3_000 > self.now)
            .map(|sent| sent.node)
            .collect();
        let Some(voter) = recent.first() else {
            return false;
        };
        let rest = self.nodes.iter().enumerate().all(|(index, node)| {
            let role = node.sup.as_ref().map(|sup| sup.engine.role());
            role == Some(if index == *voter {
                Role::Active
            } else {
                Role::Standby
            })
        });
        rest && recent.len() >= 6
            && recent.iter().all(|node| node == voter)
            && self.requests.is_empty()
    }

    pub(crate) fn roles(&self) -> String {
        let role = |node: &Node| {
            node.sup.as_ref().map_or("down".to_owned(), |sup| {
                format!(
                    "{} ({:?})",
                    sup.engine.role(),
                    sup.engine
                        .explain(validator_supervisor::engine::values::Millis(self.now))
                )
            })
        };
        let roles = self.nodes.iter().map(role).collect::<Vec<_>>().join(", ");
        let terms = match self.authority {
            Authority::Peers => format!("{:?}", self.ballots()),
            Authority::Store | Authority::Local => format!("store {:?}", self.store.holder),
        };
        format!("{roles}; {terms}; open requests {:?}", self.requests)
    }
}
