//! The other nodes, as the authority tells of them, and what this node tells of itself.
//!
//! Readings for people and for the choice of a successor. A member is there for as long as its lease lives, so each is handed
//! to the engine anew with every round of probes.

use std::collections::BTreeMap;

use super::{Daemon, clock};
use crate::authority::news::{Member, News, Part};
use crate::config::PeerConfig;
use crate::ctl::status::PeerStatus;
use crate::ctl::time::Timestamp;
use crate::engine::values::{Millis, NodeName, Plea, Role, Term};
use crate::engine::{AuthorityNews, Input, Observation, PeerFacts};

/// What is known of the others.
#[derive(Debug, Default)]
pub(super) struct Members {
    /// This node is among them.
    known: BTreeMap<NodeName, (Member, Millis)>,
    /// Those that have gone, as they were, and when they were seen last.
    gone: BTreeMap<NodeName, (Member, Millis)>,
    /// Who holds the term.
    pub(super) holder: Option<NodeName>,
    troubles: BTreeMap<Part, String>,
}

impl Members {
    /// How many of those that could take over go before this node: by priority, then by name.
    pub(super) fn rank(&self, node: &NodeName, priority: u32) -> u32 {
        let before = |other: &NodeName, member: &Member| {
            // One that is about to take the term has not made way.
            (member.ready || member.role == Role::Promoting.name())
                && other != node
                && (std::cmp::Reverse(member.priority), other) < (std::cmp::Reverse(priority), node)
        };
        let count = self
            .known
            .iter()
            .filter(|(other, (member, _))| before(other, member))
            .count();
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    /// The other node of a handover: the one that votes, or the first of those that do not.
    pub(super) fn counterpart(&self, node: &str, votes: bool) -> Option<NodeName> {
        let mut others = self.known.iter().filter(|(other, _)| other.0 != node);
        let found = others.find(|(_, (member, _))| votes || member.active_term.is_some());
        found.map(|(other, _)| other.clone())
    }

    pub(super) fn member(&self, node: &NodeName) -> Option<Member> {
        self.known.get(node).map(|(member, _)| member.clone())
    }

    /// Whether the authority answers as it should.
    pub(super) fn all_is_well(&self) -> bool {
        self.troubles.is_empty()
    }

    /// What the authority tells of members may be old. A link that is lost tells so itself.
    fn is_out_of_date(&self) -> bool {
        let tells = |part: &Part| !matches!(part, Part::Link(_) | Part::Disk);
        self.troubles.keys().any(tells)
    }

    /// All others: those that are there, those that have gone, and those of the configuration that were never seen.
    pub(super) fn status(&self, node: &NodeName, peer: Option<&PeerConfig>) -> Vec<PeerStatus> {
        let now = clock::now();
        let is_new = |other: &NodeName| !self.known.contains_key(other);
        let nodes = peer.map(|peer| peer.nodes.as_slice()).unwrap_or_default();
        let unseen = nodes.iter().map(|other| NodeName(other.name.clone()));
        let unseen = unseen
            .filter(|other| is_new(other) && !self.gone.contains_key(other))
            .map(|other| unreachable(other, None, None));
        let gone = self.gone.iter().map(|(other, (member, seen))| {
            unreachable(other.clone(), member.record_slot, Some(now.since(*seen)))
        });
        let there = self.known.iter().map(|(other, (member, seen))| PeerStatus {
            node: other.0.clone(),
            role: Role::ALL
                .into_iter()
                .find(|role| role.name() == member.role),
            healthy: member.healthy,
            slots_behind: member.slots_behind,
            record_slot: member.record_slot,
            version: member.version.clone(),
            validator_since: member.validator_since_unix_ms.map(Timestamp::from_unix_ms),
            restarts: Some(member.restarts),
            in_step: None,
            seen_ms: Some(now.since(*seen)),
            paused_until: member.paused_until_unix_ms.map(Timestamp::from_unix_ms),
        });
        let mut all: Vec<PeerStatus> = there.chain(gone).chain(unseen).collect();
        all.retain(|other| other.node != node.0);
        all.sort_by(|one, other| one.node.cmp(&other.node));
        all
    }
}

fn unreachable(node: NodeName, record_slot: Option<u64>, seen_ms: Option<u64>) -> PeerStatus {
    PeerStatus {
        node: node.0,
        role: None,
        healthy: None,
        slots_behind: None,
        record_slot,
        version: None,
        validator_since: None,
        restarts: None,
        in_step: None,
        seen_ms,
        paused_until: None,
    }
}

impl Daemon {
    pub(super) fn authority_tells(&mut self, news: News) -> Option<u8> {
        match news {
            News::Term(news) => {
                if let AuthorityNews::Holder(holder) = &news {
                    self.members.holder.clone_from(holder);
                    self.know_record();
                }
                self.step(Input::Authority(news))
            }
            News::Member { node, member } => self.member_changed(node, member),
            News::Trouble { part, why } => {
                let authority = self.authority.name();
                tracing::error!(EVENT = authority, PART = %part, "{why}");
                self.members.troubles.insert(part, why);
                None
            }
            News::Well(part) => {
                let authority = self.authority.name();
                tracing::info!(EVENT = authority, PART = %part, "{authority} answers as it should again");
                self.members.troubles.remove(&part);
                None
            }
        }
    }

    /// What the watch has read before is on this disk: the engine learns from it that the identity has voted.
    fn know_record(&mut self) {
        let newest = self.authority.newest_mark();
        let none_yet = self.reports.facts.borrow().last.is_none();
        if none_yet && newest.is_some() {
            self.reports.facts.send_modify(|facts| facts.last = newest);
            self.step_gate();
        }
    }

    fn member_changed(&mut self, node: NodeName, member: Option<Member>) -> Option<u8> {
        let in_step = self.authority.is_in_step(&node);
        let observed = member
            .as_ref()
            .map(|member| observation(&node, member, in_step));
        let declined = member.as_ref().and_then(|member| {
            Some(Observation::PeerDeclines {
                node: node.clone(),
                why: member.declines.clone()?,
            })
        });
        let before = self.rank();
        let others = node.0 != self.config.node;
        if let Some(member) = member.as_ref().filter(|_| others) {
            self.drill_with(&node, member);
        }
        match member {
            Some(member) => {
                self.members.gone.remove(&node);
                let came = self
                    .members
                    .known
                    .insert(node.clone(), (member, clock::now()))
                    .is_none();
                if came && others {
                    tracing::info!(EVENT = "member", "{node} is there");
                }
            }
            None => {
                if let Some((member, _)) = self.members.known.remove(&node) {
                    if others {
                        tracing::warn!(EVENT = "member", "{node} has gone");
                    }
                    let seen = clock::now();
                    self.members.gone.insert(node.clone(), (member, seen));
                }
            }
        }
        let observed = observed.unwrap_or(Observation::PeerGone(node));
        let exit = others
            .then(|| self.step(Input::Observed(observed)))
            .flatten();
        let exit = exit.or_else(|| self.step(Input::Observed(declined.filter(|_| others)?)));
        exit.or_else(|| {
            let changed = self.rank() != before;
            changed.then(|| self.reconfigure()).flatten()
        })
    }

    fn rank(&self) -> u32 {
        let node = NodeName(self.config.node.clone());
        self.members.rank(&node, self.config.failover.priority)
    }

    /// The engine's constants, as they are from here on.
    pub(super) fn reconfigure(&mut self) -> Option<u8> {
        let setup = super::start::setup(&self.config, &self.authority, self.rank());
        self.step(Input::Reconfigured(Box::new(setup)))
    }

    /// Every member that is there, as of this moment: unless the authority is silent.
    pub(super) fn observe_members(&mut self) -> Option<u8> {
        if self.members.is_out_of_date() {
            return None;
        }
        let there: Vec<_> = self
            .members
            .known
            .iter()
            .filter(|(node, _)| node.0 != self.config.node)
            .map(|(node, (member, _))| observation(node, member, self.authority.is_in_step(node)))
            .collect();
        there
            .into_iter()
            .find_map(|observed| self.step(Input::Observed(observed)))
    }

    /// Tells the others of this node.
    pub(super) fn tell_members(&self) {
        let (role, plea) = (self.engine.role(), self.engine.plea());
        let unready = self.engine.unready(clock::now());
        let newest = self.authority.newest_mark();
        self.authority.tell_member(Member {
            role: role.name().to_owned(),
            ready: unready.is_none(),
            unready: unready.map(Into::into),
            asks: plea.is_some(),
            relieves: plea.is_some_and(|plea| plea.restarts),
            at_once: plea.is_some_and(|plea| plea.at_once),
            validator_since_unix_ms: self.validator_since.map(|at| at.unix_ms()),
            restarts: self.restarts,
            version: self.profile.version.clone(),
            drill: self.drills.asks(),
            rehearsal: self.drills.told().map(Box::new),
            declines: self.engine.why_declined().map(str::to_owned),
            healthy: self.facts.map(|facts| facts.healthy),
            slots_behind: self.facts.and_then(|facts| facts.behind),
            record_slot: newest.map(|mark| mark.slot),
            record_kind: newest.map(|mark| mark.kind),
            priority: self.config.failover.priority,
            active_term: (role == Role::Active).then(|| self.engine.term().unwrap_or_default().0),
            paused_until_unix_ms: self
                .engine
                .paused_until()
                .map(|at| clock::wall(at).unix_ms()),
        });
    }
}

/// What a member says of itself, and whether votes wait for it to keep their records.
fn observation(node: &NodeName, member: &Member, in_step: Option<bool>) -> Observation {
    Observation::Peer(PeerFacts {
        node: node.clone(),
        ready: match (member.ready, in_step) {
            (false, _) => Err(unready(member)),
            (true, Some(false)) => Err("has not got the newest record yet".into()),
            (true, _) => Ok(()),
        },
        behind: member.slots_behind,
        priority: member.priority,
        record: member.record_kind,
        active_term: member.active_term.map(Term),
        asks: member.asks.then_some(Plea {
            restarts: member.relieves,
            at_once: member.at_once,
        }),
    })
}

/// Why a member could not vote at once.
fn unready(member: &Member) -> String {
    let why = member.unready.as_deref().map(str::to_owned);
    let mut why = why.unwrap_or_else(|| format!("is {}", member.role));
    match (member.healthy, member.slots_behind) {
        (None, _) => why.push_str(", and its validator says nothing"),
        (Some(false), _) => why.push_str(", and its validator is not healthy"),
        (Some(true), Some(slots @ 1..)) => {
            why.push_str(&format!(", and its validator is {slots} slots behind"));
        }
        (Some(true), _) => {}
    }
    why
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::values::RecordKind;

    #[test]
    fn the_ready_ones_with_a_higher_priority_or_an_earlier_name_go_first() {
        let mut members = Members::default();
        let node = |name: &str| NodeName(name.to_owned());
        for (name, priority, ready) in [
            ("a", 1, true),
            ("b", 5, true),
            ("c", 5, false),
            ("d", 1, true),
        ] {
            let member = Member {
                ready,
                priority,
                ..Member::default()
            };
            members.known.insert(node(name), (member, Millis(0)));
        }
        let rank = |name: &str, priority| members.rank(&node(name), priority);
        assert_eq!(rank("b", 5), 0);
        assert_eq!(rank("a", 1), 1);
        assert_eq!(rank("d", 1), 2);
        assert_eq!(rank("c", 5), 1);
        assert_eq!(rank("z", 9), 0);
    }

    #[test]
    fn one_that_is_about_to_take_the_term_still_goes_first() {
        let mut members = Members::default();
        let taking = Member {
            role: Role::Promoting.name().to_owned(),
            ..Member::default()
        };
        members
            .known
            .insert(NodeName("b".into()), (taking, Millis(0)));
        assert_eq!(members.rank(&NodeName("c".into()), 0), 1);
    }

    #[test]
    fn one_that_votes_do_not_wait_for_is_not_ready() {
        let member = Member {
            ready: true,
            record_kind: Some(RecordKind::VoteHistory),
            ..Member::default()
        };
        let facts = |in_step| match observation(&NodeName("b".into()), &member, in_step) {
            Observation::Peer(facts) => facts,
            other => panic!("{other:?}"),
        };
        assert_eq!(facts(None).ready, Ok(()), "no node keeps records");
        assert_eq!(facts(Some(true)).ready, Ok(()));
        let why = "has not got the newest record yet";
        assert_eq!(facts(Some(false)).ready, Err(why.into()));
        assert_eq!(facts(None).record, Some(RecordKind::VoteHistory));
    }
}
