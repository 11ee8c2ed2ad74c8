//! Nodes that are out of reach and were ended from outside: a term may be taken without them, until they are heard again.

use super::node::{Inner, Node};
use crate::engine::values::NodeName;

/// A node that cannot be reached, as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Absent {
    pub node: NodeName,
    /// `host:port`.
    pub address: String,
    /// How often it had been met by then.
    met: u64,
}

impl Node {
    /// The other nodes that are out of reach.
    pub(super) fn absent(&self) -> Vec<Absent> {
        let state = self.state();
        let absent = state
            .others
            .iter()
            .filter(|(_, other)| other.link.is_none());
        absent
            .map(|(name, other)| Absent {
                node: name.clone(),
                address: self.address_of(name).unwrap_or_default().to_owned(),
                met: other.met,
            })
            .collect()
    }

    /// This one was ended for certain, after it was found absent. Says whether that still tells anything: one that was met
    /// meanwhile may have been ended before.
    pub(super) fn bury(&self, absent: &Absent) -> bool {
        let mut state = self.state();
        if !is_still(&state, absent) {
            return false;
        }
        if let Some(other) = state.others.get_mut(&absent.node) {
            other.is_dead = true;
        }
        state.pact.bury(absent.node.clone());
        true
    }

    /// It has not been met since it was found absent.
    pub(super) fn is_still_absent(&self, absent: &Absent) -> bool {
        is_still(&self.state(), absent)
    }
}

fn is_still(state: &Inner, absent: &Absent) -> bool {
    let other = state.others.get(&absent.node);
    other.is_some_and(|other| other.link.is_none() && other.met == absent.met)
}
