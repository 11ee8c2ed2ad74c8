//! What must hold between nodes that have nobody above them.

use super::World;
use crate::record::Record;
use validator_supervisor::engine::ballot::Ballot;

impl World {
    /// Without a lease, two are never at it at once: neither by what they hold, nor by what their validators carry.
    pub(crate) fn check_peers(&self) -> Result<(), String> {
        if self.peers.is_risked {
            return Ok(());
        }
        let holds = |node: &usize| self.peer(*node).is_some_and(|peer| peer.pact.holds());
        if (0..self.nodes.len()).filter(holds).count() > 1 {
            return Err(format!("I1: two hold a term each: {:?}", self.ballots()));
        }
        let carries = |node: &usize| self.nodes[*node].carries_identity();
        if (0..self.nodes.len()).filter(carries).count() > 1 {
            return Err("I3: two validators carry the staked identity".into());
        }
        Ok(())
    }

    /// Once a newer term is taken nothing leaves under an older one.
    pub(crate) fn judge_leaving(&mut self, node: usize, record: &Record) {
        let (newest, by) = self.peers.taken;
        let term = record.mark.term;
        if term < newest && !self.peers.is_risked {
            self.break_rule(Err(format!(
                "I1: n{node} sends a vote under term {term} after n{by} has taken {newest}"
            )));
        }
    }

    pub(crate) fn ballots(&self) -> Vec<&Ballot> {
        self.nodes.iter().map(|node| &node.disk.ballot).collect()
    }
}
