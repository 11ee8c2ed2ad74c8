//! Has validator and cluster asked again and again, hands what they say to the engine, and says who does not answer.
//!
//! Every trouble is logged when it begins and when it ends, not in between.

use std::collections::BTreeMap;
use std::mem::discriminant;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedSender;

use super::Daemon;
use super::child::Child;
use super::event::Event;
use crate::engine::{Input, Observation};
use crate::probe::cluster::{Cluster, Doubt, Survey};
use crate::probe::roots::Roots;
use crate::probe::validator::{Facts, Prober};
use crate::probe::{Silence, Subject, probers};

/// Between two readings, and the limit of one question.
const PROBE_EVERY: Duration = Duration::from_millis(500);
const PROBE_WITHIN: Duration = Duration::from_secs(2);
/// Rounds between two looks at what changes rarely.
const PROFILE_EVERY: u32 = 120;
/// The same, while what was asked for is not known.
const PROFILE_UNKNOWN_EVERY: u32 = 4;
/// A single question may get lost on a busy machine.
const SILENT_ROUNDS: u32 = 2;
/// A validator that is up, and whose RPC says nothing for this long, needs somebody who looks at it.
const PAGE_AFTER: Duration = Duration::from_secs(30);

/// What is wrong with those who are asked.
#[derive(Debug, Default)]
pub(super) struct Probing {
    own: Option<OwnSilence>,
    doubts: BTreeMap<String, Doubt>,
}

/// The validator's RPC does not answer.
#[derive(Debug)]
struct OwnSilence {
    last: Silence,
    since: Instant,
    rounds: u32,
    paged: bool,
}

impl Probing {
    /// The validator's RPC and what is wrong with it, while something is.
    pub(super) fn own_trouble(&self) -> Option<String> {
        self.own.as_ref().map(|silence| silence.last.to_string())
    }

    fn note_own(&mut self, told: Result<(), &Silence>) {
        let last = match told {
            Ok(()) => {
                let told_of = self.own.take().filter(|own| own.rounds >= SILENT_ROUNDS);
                if let Some(own) = told_of {
                    tracing::info!(
                        EVENT = "rpc-answers",
                        "the validator's RPC {} answers again, after {} s",
                        own.last.url,
                        own.since.elapsed().as_secs()
                    );
                }
                return;
            }
            Err(last) => last.clone(),
        };
        let own = self.own.get_or_insert_with(|| OwnSilence {
            last: last.clone(),
            since: Instant::now(),
            rounds: 0,
            paged: false,
        });
        own.last = last;
        own.rounds = own.rounds.saturating_add(1);
        if own.rounds == SILENT_ROUNDS {
            tracing::warn!(
                EVENT = "rpc-silent",
                "the validator's RPC does not answer, so its health and slot are unknown: {}: check validator.rpc and --rpc-port",
                own.last
            );
        }
        let silent = own.since.elapsed();
        if !own.paged && silent >= PAGE_AFTER {
            own.paged = true;
            tracing::error!(
                EVENT = "page",
                "the validator is up, and its RPC has not answered for {} s: {}: this node cannot be promoted, and what the chain shows of its votes is not seen: check validator.rpc and --rpc-port",
                silent.as_secs(),
                own.last
            );
        }
    }

    fn note_doubts(&mut self, doubts: BTreeMap<String, Doubt>) {
        for (url, doubt) in &doubts {
            let before = self.doubts.get(url);
            if before.map(discriminant) != Some(discriminant(doubt)) {
                tracing::warn!(EVENT = "cluster-rpc", "cluster.rpc {url}: {doubt}");
            }
        }
        for url in self.doubts.keys().filter(|url| !doubts.contains_key(*url)) {
            tracing::info!(
                EVENT = "cluster-rpc",
                "cluster.rpc {url}: it answers as the others do again"
            );
        }
        self.doubts = doubts;
    }
}

impl Daemon {
    /// For as long as this child lives.
    pub(super) fn start_probing(&mut self) {
        let (
            Some(paths),
            Some(Child {
                tasks,
                process,
                roots,
                ..
            }),
        ) = (&self.paths, &mut self.child)
        else {
            return;
        };
        *roots = Some(Rc::new(Roots::of(&paths.rpc)));
        let pid = process.pid().as_raw();
        self.probing = Probing::default();
        let (prober, cluster) = probers(&Subject {
            own: paths.rpc.clone(),
            cluster: self.config.cluster.rpc.clone(),
            vote_account: self.vote_account.clone(),
            identity: self.keys.staked.pubkey().to_string(),
            within: PROBE_WITHIN,
        });
        let (own, others) = (self.events.clone(), self.events.clone());
        tasks.push(tokio::task::spawn_local(probe(pid, prober, own)));
        if !cluster.is_empty() {
            tasks.push(tokio::task::spawn_local(survey(pid, cluster, others)));
        }
    }

    pub(super) fn probed(&mut self, told: Result<Facts, Silence>) -> Option<u8> {
        self.probing.note_own(told.as_ref().map(|_| ()));
        let facts = told.ok();
        self.facts = facts;
        let observation = match facts {
            Some(Facts {
                healthy,
                slot,
                behind,
                ..
            }) => Observation::Own {
                healthy,
                slot,
                behind,
            },
            None => Observation::OwnSilent,
        };
        let exit = self
            .step_gate()
            .or_else(|| self.step(Input::Observed(observation)));
        let chain_vote = facts.and_then(|facts| facts.chain_vote);
        let leads = self.leads();
        let exit = exit.or_else(|| self.step(Input::Observed(Observation::Leads(leads))));
        let exit = exit.or_else(|| self.observe_members());
        exit.or_else(|| {
            self.step(Input::Observed(Observation::ChainVote {
                slot: chain_vote?,
            }))
        })
    }

    /// While the validator itself says nothing, nothing follows from what the others do.
    pub(super) fn surveyed(&mut self, survey: Survey) -> Option<u8> {
        let observation = Observation::Cluster {
            asked: survey.own_advancing.map_or(0, |_| survey.asked),
            advancing: survey.advancing,
            failed: survey.failed,
            own_advancing: survey.own_advancing == Some(true),
        };
        self.probing.note_doubts(survey.doubts);
        self.step(Input::Observed(observation))
    }
}

async fn probe(pid: i32, prober: Prober, events: UnboundedSender<Event>) {
    let mut known = false;
    for round in 0u32.. {
        let told = prober.ask().await;
        let slot = told.as_ref().ok().map(|facts| facts.slot);
        if events.send(Event::Probed(pid, told)).is_err() {
            return;
        }
        let every = if known {
            PROFILE_EVERY
        } else {
            PROFILE_UNKNOWN_EVERY
        };
        if let Some(slot) = slot.filter(|_| round % every == 0) {
            let profile = prober.profile(slot).await;
            known = profile.schedule.is_some();
            let _ = events.send(Event::Profiled(profile));
        }
        tokio::time::sleep(PROBE_EVERY).await;
    }
}

async fn survey(pid: i32, mut cluster: Cluster, events: UnboundedSender<Event>) {
    while events
        .send(Event::Surveyed(pid, cluster.ask().await))
        .is_ok()
    {
        tokio::time::sleep(PROBE_EVERY).await;
    }
}
