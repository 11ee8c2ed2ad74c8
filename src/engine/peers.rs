//! The other nodes: what they say of themselves, who of them votes, and who could.

use super::Engine;
use super::input::PeerFacts;
use super::state::PeerView;
use super::table::Cause;
use super::values::{Millis, NodeName, RecordKind};

impl Engine {
    /// A peer's word, as of now.
    pub(super) fn peer_says(&mut self, now: Millis, facts: PeerFacts) {
        let PeerFacts {
            node,
            ready,
            behind,
            priority,
            record,
            active_term,
            asks,
        } = facts;
        let view = PeerView {
            at: now,
            ready,
            behind,
            priority,
            record,
            active_term,
        };
        self.absent.remove(&node);
        self.held_last &= active_term.is_none();
        self.moves.takes_back &= active_term.is_none();
        self.peers.insert(node.clone(), view);
        self.forget_handed(&node);
        self.wish_is_heard(&node);
        self.look_at_fenced_off();
        self.see_successor_vote(now);
        if let (Some(theirs), Some(ours)) = (active_term, self.term())
            && theirs > ours
        {
            return self.fence(
                now,
                Cause::HigherTermSeen,
                format!("{node} votes under term {theirs}, ours is {ours}"),
            );
        }
        self.peer_wishes(now, node, asks);
    }

    /// The other node that votes, as it said itself lately.
    pub(super) fn voter(&self, now: Millis) -> Option<&NodeName> {
        let fresh = |view: &PeerView| now.since(view.at) <= self.setup.timing.stale_ms;
        let votes = self
            .peers
            .iter()
            .filter(|(_, view)| fresh(view))
            .filter_map(|(node, view)| Some((view.active_term?, node)));
        votes.max().map(|(_, node)| node)
    }

    /// A peer that could take over where this node has to leave: `wanted`, or the first of all.
    pub(super) fn successor(&self, now: Millis, wanted: Option<&NodeName>) -> Option<NodeName> {
        self.first(wanted, |view| self.against(now, view)).ok()
    }

    /// A peer that could vote without a gap, or what stands against it.
    pub(super) fn choose(
        &self,
        now: Millis,
        wanted: Option<&NodeName>,
    ) -> Result<NodeName, String> {
        self.first(wanted, |view| {
            self.against(now, view).or_else(|| self.too_far(view))
        })
    }

    fn first(
        &self,
        wanted: Option<&NodeName>,
        against_it: impl Fn(&PeerView) -> Option<String>,
    ) -> Result<NodeName, String> {
        if wanted == Some(&self.setup.node) {
            return Err(format!("{} is this node", self.setup.node));
        }
        let right = |node: &NodeName| wanted.is_none_or(|wanted| wanted == node);
        let (mut best, mut against) = (None, Vec::new());
        for (node, view) in self.peers.iter().filter(|(node, _)| right(node)) {
            match against_it(view) {
                None => best = best.max(Some((view.priority, std::cmp::Reverse(node)))),
                Some(why) => against.push(format!("{node} {why}")),
            }
        }
        match (best, wanted) {
            (Some((_, std::cmp::Reverse(node))), _) => Ok(node.clone()),
            (None, Some(wanted)) if against.is_empty() => {
                Err(format!("no node called {wanted} is there"))
            }
            (None, None) if against.is_empty() => {
                Err("no standby is ready: no other node is there".into())
            }
            (None, _) => Err(format!("no standby is ready: {}", against.join("; "))),
        }
    }

    fn against(&self, now: Millis, view: &PeerView) -> Option<String> {
        let silent_ms = now.since(view.at);
        if silent_ms > self.setup.timing.stale_ms {
            return Some(format!("has said nothing for {} s", silent_ms / 1000));
        }
        view.ready
            .clone()
            .err()
            .or_else(|| self.other_kind(view.record?))
    }

    fn too_far(&self, view: &PeerView) -> Option<String> {
        let limit = self.setup.timing.handover_slots;
        let behind = view.behind.filter(|behind| *behind > limit)?;
        Some(format!(
            "is {behind} slots behind the cluster, and would vote that much later: {limit} are the most (failover.handover_within)"
        ))
    }

    /// A chain moves from towers to vote histories once. A node whose newest record is from the other side of that move lacks
    /// what this one's validator votes by.
    fn other_kind(&self, theirs: RecordKind) -> Option<String> {
        let ours = self.gate.facts.last?.kind;
        (theirs != ours).then(|| {
            let (theirs, ours) = (theirs.name(), ours.name());
            format!("has a {theirs} as its newest record, and this node a {ours}: it has not got this one's yet")
        })
    }
}
