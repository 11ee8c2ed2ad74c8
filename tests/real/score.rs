//! What the chain tells of our votes over a stretch of it: the slots without one, and the conflicts.
//!
//! What is counted:
//! - Tower BFT: the blocks of the stretch that no tower of ours on the chain holds a vote for. Slots without a block count
//!   for nothing: nobody can vote for them. Exact.
//! - Alpenglow: the slots that our vote account never named as its last vote, of those whose votes are written eight slots
//!   later into a block that was looked at. A vote to skip counts as a vote.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::{Duration, Instant};

use testkit::record::State;
use testkit::wire::Content;

use crate::chain::{Chain, TowerVote};
use crate::cluster::Cluster;
use crate::commits::Commit;
use crate::genesis::Protocol;
use crate::until::until;
use crate::vote_log::VoteLog;

const SERVED_WITHIN: Duration = Duration::from_secs(60);
/// Slots past the end of a stretch in which votes for it land.
const AFTER: u64 = 12;

/// Follows the chain from its making on.
pub(crate) struct Score {
    chain: Chain,
    protocol: Protocol,
    log: VoteLog,
    /// Of a validator that nobody touches, in Alpenglow.
    untouched: Option<VoteLog>,
    /// Tower BFT: the confirmed blocks read so far, with our votes in them.
    blocks: BTreeMap<u64, Vec<TowerVote>>,
    next_block: u64,
}

/// A moment on the chain.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    pub(crate) slot: u64,
    pub(crate) at: Instant,
}

/// A stretch of the chain, and what is missing in it.
#[derive(Debug)]
pub(crate) struct Count {
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) looked_at: usize,
    pub(crate) without: Vec<u64>,
    pub(crate) silence: Duration,
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            from,
            to,
            looked_at,
            without,
            silence,
        } = self;
        write!(
            f,
            "slots {from} to {to}: {} of {looked_at} without a vote {}, longest silence {:.1} s",
            without.len(),
            ranges(without),
            silence.as_secs_f64()
        )
    }
}

/// Slots as ranges: `[7-9 12]`.
fn ranges(slots: &[u64]) -> String {
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    for &slot in slots {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == slot => *last = slot,
            _ => ranges.push((slot, slot)),
        }
    }
    let shown = ranges.iter().map(|(first, last)| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    });
    format!("[{}]", shown.collect::<Vec<_>>().join(" "))
}

impl Score {
    pub(crate) fn start(cluster: &Cluster) -> Self {
        Self {
            chain: cluster.chain(),
            protocol: cluster.protocol,
            log: VoteLog::start(cluster.chain()),
            untouched: (cluster.protocol == Protocol::Alpenglow)
                .then(|| VoteLog::start(cluster.chain_of_relay())),
            blocks: BTreeMap::new(),
            next_block: 0,
        }
    }

    pub(crate) fn now(&self) -> Moment {
        Moment {
            slot: self.chain.slot().expect("the bootstrap answers"),
            at: Instant::now(),
        }
    }

    /// The stretch from after `since` to our newest vote.
    pub(crate) fn count_since(&mut self, since: Moment) -> Count {
        let (from, to) = (
            since.slot + 1,
            self.chain.our_last_vote().expect("the bootstrap answers"),
        );
        let (looked_at, without) = self.without_vote(from, to);
        Count {
            from,
            to,
            looked_at,
            without,
            silence: self.log.longest_silence_since(since.at),
        }
    }

    /// How many slots of a stretch were looked at, and which of them have no vote of ours. Waits until all that belongs to it is on
    /// the chain.
    pub(crate) fn without_vote(&mut self, from: u64, to: u64) -> (usize, Vec<u64>) {
        self.chain.wait_for_slot(to + AFTER, SERVED_WITHIN);
        match self.protocol {
            Protocol::TowerBft => {
                let looked_at = self.blocks_of(from, to);
                let voted = self.tower_slots();
                let without = looked_at.difference(&voted).copied().collect();
                (looked_at.len(), without)
            }
            Protocol::Alpenglow => self.without_vote_in(&self.log, from, to),
        }
    }

    /// The same of a validator that nobody touched, for a stretch that is whole on the chain: what it lost, too, was lost by the machine
    /// or the cluster. Alpenglow alone.
    pub(crate) fn without_vote_of_untouched(
        &self,
        from: u64,
        to: u64,
    ) -> Option<(usize, Vec<u64>)> {
        let log = self.untouched.as_ref()?;
        Some(self.without_vote_in(log, from, to))
    }

    /// The newest block that was seen by then.
    pub(crate) fn slot_at(&self, at: Instant) -> u64 {
        let seen = self.log.seen();
        let by_then = seen.iter().filter(|(_, seen)| seen.at <= at);
        by_then.map(|(block, _)| *block).max().unwrap_or_default()
    }

    fn without_vote_in(&self, log: &VoteLog, from: u64, to: u64) -> (usize, Vec<u64>) {
        let looked_at = self.shown_slots(log, from, to);
        let voted = log.votes();
        let without = looked_at.iter().filter(|slot| !voted.contains_key(slot));
        (looked_at.len(), without.copied().collect())
    }

    /// The confirmed blocks of the stretch.
    fn blocks_of(&mut self, from: u64, to: u64) -> BTreeSet<u64> {
        self.read_blocks(to + AFTER / 2);
        self.blocks
            .range(from..=to)
            .map(|(block, _)| *block)
            .collect()
    }

    fn read_blocks(&mut self, to: u64) {
        until(&format!("block {to} is served"), SERVED_WITHIN, || {
            if let Ok(read) = self.chain.tower_votes(self.next_block, to + AFTER) {
                let last = read.keys().next_back().copied();
                self.blocks.extend(read);
                self.next_block = last.map_or(self.next_block, |last| last + 1);
            }
            (self.next_block > to).then_some(())
        });
    }

    fn tower_slots(&self) -> BTreeSet<u64> {
        let votes = self.blocks.values().flatten();
        votes
            .flat_map(|vote| vote.tower.votes.iter().map(|vote| vote.slot))
            .collect()
    }

    fn shown_slots(&self, log: &VoteLog, from: u64, to: u64) -> BTreeSet<u64> {
        let landing = self.chain.landing_slots();
        let seen = log.seen().into_keys();
        seen.filter_map(|block| block.checked_sub(landing))
            .filter(|slot| (from..=to).contains(slot))
            .collect()
    }

    /// Every vote of ours that can be told, in its order. Tower BFT: those on the chain. Alpenglow, whose votes are in no block:
    /// those that each committed record has more than the ones before.
    pub(crate) fn votes(&mut self, commits: &[Commit]) -> Vec<Content> {
        if self.protocol == Protocol::Alpenglow {
            return cast_in(commits);
        }
        let slot = self.chain.slot().expect("the bootstrap answers");
        self.read_blocks(slot.saturating_sub(AFTER));
        let votes = self.blocks.values().flatten();
        votes
            .map(|vote| Content::Tower {
                tower: vote.tower.clone(),
                hash: vote.hash.clone(),
            })
            .collect()
    }
}

fn cast_in(commits: &[Commit]) -> Vec<Content> {
    let mut known = BTreeSet::new();
    let mut votes = Vec::new();
    for commit in commits {
        if let State::History(history) = &commit.state {
            let cast = history.cast.values().flatten();
            votes.extend(cast.filter(|vote| known.insert((*vote).clone())).cloned());
        }
    }
    votes.into_iter().map(Content::Alpenglow).collect()
}
