//! The stage without a real validator: stand-ins that store, rename and then send their votes to a chain that judges them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use testkit::chain::{Chain, ChainSpec};
use testkit::judge;
use testkit::keys;
use testkit::node::Node;
use testkit::stand_in::{Protocol, StandIn};
use testkit::wire::{Content, SentVote, now_us};

use crate::machine::{Machine, NAMES, place_of};
use crate::narrator::{NODES, Narrator};
use crate::score::{Count, Moment};
use crate::stage::{Failure, Stage};

/// As on a real cluster: how long a stand-in takes for a change of its identity is real as well.
const SLOT_MS: u64 = 400;

/// The nodes are dropped, and so ended, before the chain.
pub(crate) struct StandInStage {
    nodes: Vec<Node>,
    chain: Chain,
    dir: PathBuf,
    identity: String,
    /// Since when which node may send no vote.
    barred_us: BTreeMap<String, u64>,
}

impl StandInStage {
    pub(crate) fn set_up(
        dir: &Path,
        supervisor: &Path,
        narrator: &mut Narrator,
    ) -> Result<Self, Failure> {
        narrator.title(&[
            (
                "validator",
                &format!(
                    "a stand-in that stores, renames, then sends ({})",
                    why_no_real_one()
                ),
            ),
            (
                "cluster",
                "a chain of 400 ms slots on this machine that receives and judges every vote sent",
            ),
            NODES,
        ]);
        let staked = keys::from_seed("the staked identity of the demo");
        let identity = keys::address(&staked);
        let vote_account = keys::address_from_seed("the vote account of the demo");
        let chain = Chain::start(ChainSpec::new(SLOT_MS).vote_account(&vote_account, &identity))?;
        chain.turns_are_marked();
        let node = |name: &str| {
            let dir = dir.join(name);
            std::fs::create_dir(&dir)?;
            let protocol = Protocol::Tower;
            let addr = chain.addr();
            let stand_in = StandIn::new(&dir, name, addr, protocol, &vote_account, &staked)?;
            Node::new(stand_in, supervisor.to_owned(), None)
        };
        Ok(Self {
            nodes: NAMES.into_iter().map(node).collect::<Result<_, _>>()?,
            chain,
            dir: dir.to_owned(),
            identity,
            barred_us: BTreeMap::new(),
        })
    }

    fn node(&self, name: &str) -> &Node {
        &self.nodes[place_of(name)]
    }

    fn votes_since(&self, since: Moment) -> (u64, Vec<SentVote>) {
        let elapsed_us = u64::try_from(since.at.elapsed().as_micros()).unwrap_or(u64::MAX);
        let mut votes = self.chain.votes();
        votes.sort_by_key(|vote| vote.sent_us);
        (now_us().saturating_sub(elapsed_us), votes)
    }
}

impl Stage for StandInStage {
    fn dir(&self) -> &Path {
        &self.dir
    }

    fn supervisor(&self) -> &Path {
        &self.nodes[0].program
    }

    fn validator(&self) -> &str {
        "stand-in-validator"
    }

    fn identity(&self) -> &str {
        &self.identity
    }

    fn cluster_rpc(&self) -> Vec<String> {
        vec![self.chain.rpc_url()]
    }

    fn machine(&self, name: &str) -> &dyn Machine {
        self.node(name)
    }

    fn machine_mut(&mut self, name: &str) -> &mut dyn Machine {
        &mut self.nodes[place_of(name)]
    }

    fn spare(&self, name: &str) -> String {
        keys::address(&self.node(name).unstaked)
    }

    /// One of loopback that few other processes have.
    fn address(&self, name: &str) -> String {
        let [.., high, low] = std::process::id().to_be_bytes();
        let node = if name == NAMES[0] { 192 } else { 193 };
        Ipv4Addr::new(127, node, high, low.max(1)).to_string()
    }

    fn up_within(&self) -> Duration {
        Duration::from_secs(30)
    }

    fn watched_slots(&self) -> u64 {
        12
    }

    fn now(&self) -> Result<Moment, Failure> {
        Ok(Moment {
            slot: self.chain.slot(),
            at: std::time::Instant::now(),
        })
    }

    fn newest_vote(&self) -> Result<u64, Failure> {
        let votes = self.chain.votes();
        Ok(votes.last().map_or(0, |vote| vote.content.slot()))
    }

    fn first_vote(&self, name: &str, since: Moment) -> Result<Option<Duration>, Failure> {
        let (since_us, votes) = self.votes_since(since);
        let first = votes
            .iter()
            .find(|vote| vote.instance.node == name && vote.sent_us > since_us);
        Ok(first.map(|vote| Duration::from_micros(vote.sent_us - since_us)))
    }

    fn count_since(&mut self, since: Moment) -> Result<Count, Failure> {
        let (since_us, votes) = self.votes_since(since);
        let (from, to) = (since.slot, self.newest_vote()?);
        let voted: BTreeSet<u64> = votes.iter().flat_map(slots_of).collect();
        let gaps = votes.windows(2).filter(|pair| pair[1].sent_us > since_us);
        let longest_us = gaps.map(|pair| pair[1].sent_us - pair[0].sent_us).max();
        Ok(Count {
            from,
            to,
            looked_at: (from..=to).count(),
            without: (from..=to).filter(|slot| !voted.contains(slot)).collect(),
            silence: Duration::from_micros(longest_us.unwrap_or(0)),
        })
    }

    fn bar(&mut self, name: &str) -> Result<(), Failure> {
        self.barred_us.insert(name.to_owned(), now_us());
        self.chain.demoted(&self.identity, Some(name));
        Ok(())
    }

    fn allow(&mut self, name: &str) {
        self.barred_us.remove(name);
        self.chain.promoted(&self.identity, name);
    }

    fn offence(&self) -> Result<Option<String>, Failure> {
        let votes = self.chain.votes();
        let sent = votes.iter().rev().find(|vote| {
            let since_us = self.barred_us.get(&vote.instance.node);
            since_us.is_some_and(|since_us| vote.sent_us > *since_us)
        });
        Ok(sent.map(|vote| {
            format!(
                "{} sent a vote for slot {} where it may send none",
                vote.instance.node,
                vote.content.slot()
            )
        }))
    }

    fn verdict(&mut self) -> Result<String, Failure> {
        match self.chain.verdict() {
            Ok(summary) => Ok(format!("The judge is content: {summary}.")),
            Err(findings) => Err(Failure(format!(
                "the judge has {}",
                judge::report(&findings)
            ))),
        }
    }
}

/// As a chain counts: a tower also names the slots before its last one, one that was voted for and not sent among them.
fn slots_of(vote: &SentVote) -> Vec<u64> {
    match &vote.content {
        Content::Tower { tower, .. } => tower.votes.iter().map(|vote| vote.slot).collect(),
        Content::Alpenglow(vote) => vec![vote.slot()],
    }
}

fn why_no_real_one() -> &'static str {
    if std::env::var_os("SUPERVISOR_DEMO").is_some_and(|asked| asked == "stand-in") {
        "as asked for"
    } else {
        "no agave-validator 4.2 on PATH or in the cache of `make test-real`"
    }
}
