//! The stage with unmodified agave-validator processes: two that keep a cluster going, and ours under the supervisor.
//!
//! The judge is the chain: it shows every vote of ours that landed, and in which block.

use std::path::{Path, PathBuf};
use std::time::Duration;

use testkit::stand_in::until;

use crate::chain::Chain;
use crate::cluster::Cluster;
use crate::genesis::Protocol;
use crate::narrator::Narrator;
use crate::node::Node;
use crate::stage::{Cast, Failure, Stage};

pub(crate) struct RealStage {
    dir: PathBuf,
    node: Node,
    chain: Chain,
    /// The newest slot for which a vote may be on the chain; none while votes may come.
    last_allowed: Option<u64>,
    /// Slot of the chain when the story began.
    began: u64,
    _cluster: Cluster,
}

impl RealStage {
    pub(crate) fn set_up(dir: &Path, narrator: &mut Narrator) -> Result<Self, Failure> {
        let bin = std::env::var("SUPERVISOR_AGAVE_BIN").unwrap_or_default();
        narrator.title(&[
            ("validator", &format!("the real agave-validator, unmodified, of {bin}")),
            ("cluster", "two further validators on 127.0.0.1 and .2, Tower BFT, 400 ms slots; the chain is the judge"),
            ("authority", "local: the vote's record is on this disk before the vote leaves"),
        ]);
        narrator.begin("a cluster of two validators starts");
        let cluster = Cluster::start(Protocol::TowerBft);
        let (node, chain) = (cluster.node("a"), cluster.chain());
        let began = chain.slot().map_err(Failure)?;
        narrator.then(&format!("the chain moves: slot {began}"));
        Ok(Self {
            dir: dir.to_owned(),
            node,
            chain,
            last_allowed: None,
            began,
            _cluster: cluster,
        })
    }

    /// Slots of our votes in the order of the blocks they landed in.
    fn landed(&self, from: u64, to: u64) -> Result<Vec<u64>, Failure> {
        let mut landed = Err("not asked".to_owned());
        let _ = until(60_000, || {
            landed = self.chain.tower_votes(from, to);
            landed.is_ok()
        });
        let mut slots: Vec<u64> = Vec::new();
        for vote in landed.map_err(Failure)?.into_values().flatten() {
            // One that landed again later is no vote of its own.
            let slot = vote.tower.last_slot();
            slots.extend(slot.filter(|slot| !slots.contains(slot)));
        }
        Ok(slots)
    }
}

impl Stage for RealStage {
    fn cast(&self) -> Cast {
        Cast {
            argv: self.node.argv(),
            env: self.node.env(),
            staked: self.node.staked.path.clone(),
            unstaked: self.node.unstaked.path.clone(),
            identity: self.node.staked.pubkey.clone(),
            spare: self.node.unstaked.pubkey.clone(),
        }
    }

    fn dir(&self) -> &Path {
        &self.dir
    }

    fn up_within(&self) -> Duration {
        Duration::from_secs(300)
    }

    /// Longer than a vote takes to land.
    fn watched_slots(&self) -> u64 {
        12 + self.chain.landing_slots()
    }

    fn slot(&self) -> Result<u64, Failure> {
        self.chain.slot().map_err(Failure)
    }

    fn newest_vote(&self) -> Result<u64, Failure> {
        self.chain.our_last_vote().map_err(Failure)
    }

    /// What the validator has stored may be under way; nothing newer may land.
    fn bar(&mut self) -> Result<(), Failure> {
        self.last_allowed = Some(self.node.last_recorded_slot().unwrap_or(0));
        Ok(())
    }

    fn allow(&mut self) -> Result<(), Failure> {
        self.last_allowed = None;
        Ok(())
    }

    fn offence(&self) -> Result<Option<String>, Failure> {
        let Some(last_allowed) = self.last_allowed else {
            return Ok(None);
        };
        let newest = self.newest_vote()?;
        Ok((newest > last_allowed).then(|| {
            format!("a vote for slot {newest} is on the chain; {last_allowed} was the last allowed")
        }))
    }

    fn verdict(&mut self) -> Result<String, Failure> {
        let now = self.slot()?;
        // Blocks are served once they are confirmed.
        let votes = self.landed(self.began, now.saturating_sub(self.chain.landing_slots()))?;
        if now <= self.began || votes.is_empty() {
            return Err(Failure(format!(
                "the chain went from slot {} to {now}, with {} votes of ours",
                self.began,
                votes.len()
            )));
        }
        if let Some(pair) = votes.windows(2).find(|pair| pair[1] <= pair[0]) {
            return Err(Failure(format!(
                "a vote for slot {} landed after one for slot {}",
                pair[1], pair[0]
            )));
        }
        Ok(format!(
            "The chain is content: {} votes of ours landed, each for a later slot than the one before, none where none was allowed.\n\
             Slots {} to {now}; the chain moved on throughout.",
            votes.len(),
            self.began
        ))
    }
}
