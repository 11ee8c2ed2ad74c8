//! Whole nodes of this build with stand-in validators, on one chain.

use std::path::Path;
use std::time::Duration;

use testkit::chain::{Chain, ChainSpec};
use testkit::keys;
use testkit::node::{Node, SOON_MS};
use testkit::stand_in::{Protocol, StandIn, until};
use testkit::wire::SentVote;

use crate::{AnyError, built_into};

/// The nodes are dropped, and so ended, before the chain.
pub(crate) struct Lab {
    pub(crate) nodes: Vec<Node>,
    pub(crate) chain: Chain,
    slot_ms: u64,
}

impl Lab {
    /// Each in a directory of its own under `dir`; nothing is configured or runs yet but the chain.
    pub(crate) fn new(dir: &Path, slot_ms: u64, names: &[&str]) -> Result<Self, AnyError> {
        let staked = keys::from_seed("the staked identity of the bench");
        let account = keys::address_from_seed("the vote account of the bench");
        let spec = ChainSpec::new(slot_ms).vote_account(&account, &keys::address(&staked));
        let chain = Chain::start(spec)?;
        let node = |name: &&str| {
            let dir = dir.join(name);
            std::fs::create_dir(&dir)?;
            let addr = chain.addr();
            let stand_in = StandIn::new(&dir, name, addr, Protocol::Tower, &account, &staked)?;
            Node::new(stand_in, built_into()?.join("supervisor"), None)
        };
        Ok(Self {
            nodes: names.iter().map(node).collect::<Result<_, _>>()?,
            chain,
            slot_ms,
        })
    }

    /// The first node votes, the others stand by.
    pub(crate) fn start_voting(&mut self) -> Result<(), AnyError> {
        self.nodes[0].start();
        self.nodes[0].await_role("standby");
        self.nodes[0].must(&["promote", "--first-vote"]);
        self.await_votes(3)?;
        self.nodes[1..].iter_mut().for_each(Node::start);
        self.nodes[1..]
            .iter()
            .for_each(|node| node.await_role("standby"));
        Ok(())
    }

    /// All begin together, for none can have the term without the others; the first node votes.
    pub(crate) fn start_peers(&mut self) -> Result<(), AnyError> {
        self.nodes.iter_mut().for_each(Node::start);
        self.nodes
            .iter()
            .for_each(|node| node.await_role("standby"));
        let promoted = || {
            let output = self.nodes[0].ctl(&["promote", "--first-vote"]);
            output.status.success()
        };
        if !until(SOON_MS, promoted) {
            return Err("the first node does not vote".into());
        }
        self.await_votes(3)
    }

    pub(crate) fn await_votes(&self, more: usize) -> Result<(), AnyError> {
        let goal = self.chain.votes().len() + more;
        let within_ms = SOON_MS + more as u64 * self.slot_ms * 2;
        if self.chain.wait(within_ms, |votes| votes.len() >= goal) {
            return Ok(());
        }
        Err(format!("no {more} votes came").into())
    }

    /// The node that votes, and the other one of two that is ready to take over.
    pub(crate) fn await_pair(&self) -> Result<(usize, usize), AnyError> {
        let sorted = || {
            let role = |at: usize| self.nodes[at].role();
            match (role(0)?.as_str(), role(1)?.as_str()) {
                ("active", "standby") => Some((0, 1)),
                ("standby", "active") => Some((1, 0)),
                _ => None,
            }
        };
        if !until(SOON_MS, || sorted().is_some()) {
            return Err("the two nodes are not active and standby".into());
        }
        // What each says of itself, the other has to have heard.
        self.await_votes(10)?;
        sorted().ok_or_else(|| "the two nodes changed places by themselves".into())
    }

    /// From `from_us` to the first vote of another node than `gone`.
    pub(crate) fn gap(&self, gone: usize, from_us: u64) -> Result<Duration, AnyError> {
        let gone = self.nodes[gone].name();
        let first = |votes: &[SentVote]| {
            let mut others = votes
                .iter()
                .filter(|vote| vote.sent_us > from_us && vote.instance.node != gone);
            others.next().map(|vote| vote.sent_us)
        };
        let _ = self.chain.wait(SOON_MS, |votes| first(votes).is_some());
        let sent_us = first(&self.chain.votes()).ok_or("nobody took over")?;
        Ok(Duration::from_micros(sent_us - from_us))
    }
}
