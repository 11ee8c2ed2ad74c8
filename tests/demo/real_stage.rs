//! The stage with unmodified agave-validator processes: two that keep a cluster going, and ours under the supervisors.
//!
//! The judge is the chain: it shows every vote of ours that landed. What a node has stored tells whose vote it was.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::cluster::Cluster;
use crate::genesis::Protocol;
use crate::machine::{Machine, NAMES, RealMachine, place_of};
use crate::narrator::{NODES, Narrator};
use crate::node::Node;
use crate::score::{Count, Moment, Score};
use crate::stage::{Failure, Stage};
use crate::supervisor::Supervisor;
use crate::verdict;

/// The fields are dropped in this order: the machines before what watches the cluster.
pub(crate) struct RealStage<'a> {
    machines: Vec<RealMachine<'a>>,
    score: Score,
    cluster: &'a Cluster,
    dir: PathBuf,
    program: PathBuf,
    /// Slot of the chain when the story began.
    began: u64,
    /// What each node that may not vote had recorded when that began.
    barred: BTreeMap<String, u64>,
}

/// The cluster that the stage stands on.
pub(crate) fn cluster(narrator: &mut Narrator) -> Cluster {
    let bin = std::env::var("SUPERVISOR_AGAVE_BIN").unwrap_or_default();
    narrator.title(&[
        (
            "validator",
            &format!("the real agave-validator, unmodified, of {bin}"),
        ),
        (
            "cluster",
            "two further validators on this machine, Tower BFT, 400 ms slots; the chain is the judge",
        ),
        NODES,
    ]);
    narrator.begin("a cluster of two validators starts");
    Cluster::start(Protocol::TowerBft)
}

impl<'a> RealStage<'a> {
    pub(crate) fn set_up(
        cluster: &'a Cluster,
        dir: &Path,
        supervisor: &Path,
        narrator: &mut Narrator,
    ) -> Result<Self, Failure> {
        let score = Score::start(cluster);
        let began = score.now().slot;
        narrator.then(&format!("the chain moves: slot {began}"));
        std::fs::copy(supervisor, cluster.supervisor())?;
        let machine = |name: &str| RealMachine {
            supervisor: Supervisor::new(cluster, name),
            process: None,
        };
        Ok(Self {
            machines: NAMES.into_iter().map(machine).collect(),
            score,
            cluster,
            dir: dir.to_owned(),
            program: cluster.supervisor(),
            began,
            barred: BTreeMap::new(),
        })
    }

    fn node(&self, name: &str) -> &Node {
        &self.machines[place_of(name)].supervisor.node
    }

    fn recorded(&self, name: &str) -> u64 {
        self.node(name).last_recorded_slot().unwrap_or(0)
    }

    /// The newest slot that a vote of ours may name, where nobody may vote.
    fn last_allowed(&self) -> Option<u64> {
        let all = self.barred.len() == NAMES.len();
        self.barred.values().copied().max().filter(|_| all)
    }
}

impl Stage for RealStage<'_> {
    fn dir(&self) -> &Path {
        &self.dir
    }

    fn supervisor(&self) -> &Path {
        &self.program
    }

    fn validator(&self) -> &str {
        "agave-validator"
    }

    fn identity(&self) -> &str {
        &self.node(NAMES[0]).staked.pubkey
    }

    fn cluster_rpc(&self) -> Vec<String> {
        self.cluster.rpc_urls().into()
    }

    fn machine(&self, name: &str) -> &dyn Machine {
        &self.machines[place_of(name)]
    }

    fn machine_mut(&mut self, name: &str) -> &mut dyn Machine {
        &mut self.machines[place_of(name)]
    }

    fn spare(&self, name: &str) -> String {
        self.node(name).unstaked.pubkey.clone()
    }

    fn address(&self, name: &str) -> String {
        self.node(name).launch.address.to_string()
    }

    fn up_within(&self) -> Duration {
        Duration::from_secs(300)
    }

    /// Longer than a vote takes to land.
    fn watched_slots(&self) -> u64 {
        12 + self.cluster.chain().landing_slots()
    }

    fn now(&self) -> Result<Moment, Failure> {
        Ok(self.score.now())
    }

    fn newest_vote(&self) -> Result<u64, Failure> {
        self.cluster.chain().our_last_vote().map_err(Failure)
    }

    /// A vote is stored just before it leaves, and the other node's votes end before.
    fn first_vote(&self, name: &str, since: Moment) -> Result<Option<Duration>, Failure> {
        let others = NAMES.into_iter().filter(|other| *other != name);
        let before = others.map(|other| self.recorded(other)).max();
        Ok((self.recorded(name) > before.unwrap_or(0)).then(|| since.at.elapsed()))
    }

    fn count_since(&mut self, since: Moment) -> Result<Count, Failure> {
        let slot = since.slot.saturating_sub(1);
        Ok(self.score.count_since(Moment { slot, ..since }))
    }

    /// What the validator has stored may be under way; nothing newer may follow.
    fn bar(&mut self, name: &str) -> Result<(), Failure> {
        let recorded = self.recorded(name);
        self.barred.insert(name.to_owned(), recorded);
        Ok(())
    }

    fn allow(&mut self, name: &str) {
        self.barred.remove(name);
    }

    fn offence(&self) -> Result<Option<String>, Failure> {
        for (name, allowed) in &self.barred {
            let recorded = self.recorded(name);
            if recorded > *allowed {
                return Ok(Some(format!(
                    "{name} has stored a vote for slot {recorded}; {allowed} was its last allowed"
                )));
            }
        }
        let newest = self.newest_vote()?;
        let last_allowed = self.last_allowed().filter(|allowed| newest > *allowed);
        Ok(last_allowed.map(|allowed| {
            format!("a vote for slot {newest} is on the chain; {allowed} was the last allowed")
        }))
    }

    fn verdict(&mut self) -> Result<String, Failure> {
        if let Some(offence) = self.offence()? {
            return Err(Failure(offence));
        }
        let votes = self.score.votes(&[]);
        let (now, count) = (self.now()?.slot, votes.len());
        if now <= self.began || votes.is_empty() {
            return Err(Failure(format!(
                "the chain went from slot {} to {now}, with {count} votes of ours",
                self.began
            )));
        }
        verdict::of(votes, &[]).map_err(|found| Failure(format!("the judge has {found}")))?;
        Ok(format!(
            "The judge is content: {count} votes of ours are on the chain; none breaks a lockout, none was sent by a node that might not vote.\n\
             Slots {} to {now}; the chain moved on throughout.",
            self.began
        ))
    }
}
