//! Faults at random, several at once, while votes go on: for `FAULTS_SECONDS` (10), from `FAULTS_SEED` (the time of day).
//!
//! A seed gives the faults, their places and their times again; the machine's own timing it does not. A failure prints the seed
//! and what was done when.

mod etcd;
mod fault;
mod peers;

use crate::lab::{BACK_WITHIN_MS, Lab};
use crate::pair::Pair;
use crate::scene::Scene;
use crate::stopped::{continue_validator, stop_validator};
use fault::{Dice, Fault, Kind};
use nix::sys::signal::Signal;
use std::collections::BTreeMap;
use std::ops::DerefMut;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use testkit::children::{self, signal, signal_if_there};
use testkit::netns::Link;
use testkit::stand_in::Protocol;
use testkit::wall_clock::WallClock;

const NODES: [&str; 2] = ["a", "b"];
/// At most so many servers beside the nodes.
const MEMBERS_MAX: usize = etcd::MEMBERS.len();
/// A storm ends more validators than any node should put up with.
const MORE: &str = "[restart]\nmax = 1000\nwindow = \"1s\"";
const AT_ONCE_MAX: usize = 2;
/// Up to twice the time to live of a lease.
const FAULT_MS_MAX: u64 = 4_000;
/// Up to so many slots from one fault to the next, where there is room for one.
const SLOTS_BETWEEN_MAX: u64 = 30;
/// A node whose promotions came to nothing waits longer from one to the next: 1, 2, 4, 8 s.
const STORM_BACK_WITHIN_MS: u64 = BACK_WITHIN_MS + 10_000;

#[test]
fn a_storm_of_faults_leaves_one_voter_in_tower_bft() {
    Storm::<Lab>::over(Protocol::Tower).rage();
}

#[test]
fn a_storm_of_faults_leaves_one_voter_in_alpenglow() {
    Storm::<Lab>::over(Protocol::Alpenglow).rage();
}

#[test]
fn a_storm_over_peers_leaves_one_voter_in_tower_bft() {
    Storm::<Pair>::over(Protocol::Tower).rage();
}

#[test]
fn a_storm_over_peers_leaves_one_voter_in_alpenglow() {
    Storm::<Pair>::over(Protocol::Alpenglow).rage();
}

/// What a storm rages over: two nodes that vote by an authority of some kind.
trait Ground: DerefMut<Target = Scene> + Sized {
    /// What goes wrong here, each as likely as the others.
    const KINDS: &'static [Kind];

    fn start(protocol: Protocol) -> Self;

    /// The cables between those that have to hear each other.
    fn wires(&self) -> Vec<(&'static str, &'static str)>;

    /// What is not the nodes' own. Says whether it lasts.
    fn strike_own(&mut self, fault: Fault) -> bool;

    fn end_own(&mut self, fault: Fault);

    /// Whether the end of `fault` is only possible after that of `other`.
    fn ends_before(fault: Fault, other: Fault) -> bool;

    /// Cuts the cables as the fault has it.
    fn cut(&self, fault: Fault);

    /// The last word: nothing was sent that should not have been.
    fn conclude(&mut self) -> String;
}

/// Every node goes by a clock of its own.
fn clocks(scene: &mut Scene) {
    for name in NODES {
        scene.node_mut(name).clock = Some(WallClock::new().expect("a clock"));
    }
}

struct Storm<G: Ground> {
    ground: G,
    seed: u64,
    dice: Dice,
    began: Instant,
    /// In force, and until when.
    faults: BTreeMap<Fault, Instant>,
    /// Of operators, who wait for their answer.
    clients: Vec<Child>,
    trace: Vec<String>,
}

impl<G: Ground> Storm<G> {
    fn over(protocol: Protocol) -> Self {
        let seed = number("FAULTS_SEED").unwrap_or_else(|| {
            let now = SystemTime::now().duration_since(UNIX_EPOCH);
            now.map_or(1, |now| now.as_secs())
        });
        Self {
            ground: G::start(protocol),
            seed,
            dice: Dice::of(seed),
            began: Instant::now(),
            faults: BTreeMap::new(),
            clients: Vec::new(),
            trace: Vec::new(),
        }
    }

    fn rage(mut self) {
        let seconds = number("FAULTS_SECONDS").unwrap_or(10);
        while self.began.elapsed() < Duration::from_secs(seconds) {
            self.end_due();
            if self.faults.len() < AT_ONCE_MAX {
                self.begin();
            }
            let slots = 1 + self.dice.below(SLOTS_BETWEEN_MAX);
            self.ground.chain.let_slots_pass(slots);
        }
        let all: Vec<_> = self.faults.keys().copied().collect();
        all.into_iter().for_each(|fault| self.end(fault));
        self.dismiss_clients();
        self.note("all is well again");
        let voter = self.ground.await_one_voter(STORM_BACK_WITHIN_MS);
        self.note(&format!("{voter} votes"));
        let end = self.ground.conclude();
        self.note(&end);
    }

    fn dismiss_clients(&mut self) {
        for mut client in self.clients.drain(..) {
            // Most have had their answer.
            let _ = client.kill();
            let _ = client.wait();
        }
    }

    fn note(&mut self, what: &str) {
        let at_ms = self.began.elapsed().as_millis();
        self.trace.push(format!("{at_ms:>6} ms  {what}"));
    }

    fn begin(&mut self) {
        let kind = G::KINDS[self.dice.index(G::KINDS.len())];
        let (node, member) = (self.dice.index(NODES.len()), self.dice.index(MEMBERS_MAX));
        let fault = kind(node, member);
        let lasts_ms = 100 + self.dice.below(FAULT_MS_MAX);
        if self.faults.keys().any(|other| fault.excludes(*other)) {
            return;
        }
        self.note(&format!("{fault:?} for {lasts_ms} ms"));
        if self.strike(fault) {
            let until = Instant::now() + Duration::from_millis(lasts_ms);
            self.faults.insert(fault, until);
            self.apply_links();
        }
    }

    /// Says whether it lasts.
    fn strike(&mut self, fault: Fault) -> bool {
        match fault {
            Fault::KillValidator(node) => {
                if let Some(pid) = self.ground.node(NODES[node]).validator_now() {
                    let _ = signal_if_there(pid, Signal::SIGKILL);
                }
                return false;
            }
            Fault::HandOver(node) => {
                let mut command = self
                    .ground
                    .node(NODES[node])
                    .ctl_command(&["handover", "--now"]);
                command.stdout(Stdio::null()).stderr(Stdio::null());
                let client = children::spawn(command).expect("supervisor ctl");
                self.clients.push(client);
                return false;
            }
            Fault::KillSupervisor(node) => self.ground.node_mut(NODES[node]).kill(),
            Fault::StopValidator(node) => return stop_validator(self.ground.node(NODES[node])),
            Fault::StopSupervisor(node) => {
                signal(self.ground.node(NODES[node]).supervisor(), Signal::SIGSTOP);
            }
            Fault::StopMachine(node) => {
                let stopped = stop_validator(self.ground.node(NODES[node]));
                if stopped {
                    signal(self.ground.node(NODES[node]).supervisor(), Signal::SIGSTOP);
                }
                return stopped;
            }
            Fault::StepClock(node) => {
                let offset_ms = i64::try_from(self.dice.below(7_200_000)).unwrap_or_default();
                self.ground.step_clock(NODES[node], offset_ms - 3_600_000);
            }
            Fault::CutOff(node) => self.ground.chain.cut_off(NODES[node], true),
            other => return self.ground.strike_own(other),
        }
        true
    }

    fn end_due(&mut self) {
        let now = Instant::now();
        let due = self.faults.iter().filter(|(_, until)| **until <= now);
        let due: Vec<_> = due.map(|(fault, _)| *fault).collect();
        due.into_iter().for_each(|fault| self.end(fault));
    }

    fn end(&mut self, fault: Fault) {
        if self.faults.remove(&fault).is_none() {
            return;
        }
        let others = self.faults.keys().copied();
        let first: Vec<_> = others
            .filter(|other| G::ends_before(fault, *other))
            .collect();
        first.into_iter().for_each(|other| self.end(other));
        self.note(&format!("{fault:?} ends"));
        self.apply_links();
        match fault {
            Fault::KillSupervisor(node) => self.ground.node_mut(NODES[node]).start(),
            Fault::StopValidator(node) => continue_validator(self.ground.node(NODES[node])),
            Fault::StopSupervisor(node) => {
                signal(self.ground.node(NODES[node]).supervisor(), Signal::SIGCONT);
            }
            Fault::StopMachine(node) => {
                continue_validator(self.ground.node(NODES[node]));
                signal(self.ground.node(NODES[node]).supervisor(), Signal::SIGCONT);
            }
            Fault::StepClock(node) => self.ground.step_clock(NODES[node], 0),
            Fault::CutOff(node) => self.ground.chain.cut_off(NODES[node], false),
            other => self.ground.end_own(other),
        }
    }

    /// The links as the faults in force have them.
    fn apply_links(&self) {
        let network = self.ground.network();
        network.heal();
        if self.faults.contains_key(&Fault::SlowLinks) {
            let slow = Link {
                delay_ms: 20,
                jitter_ms: 40,
                loss_percent: 2,
                ..Link::default()
            };
            for (one, other) in self.ground.wires() {
                network.set(one, other, slow);
                network.set(other, one, slow);
            }
        }
        self.faults.keys().for_each(|fault| self.ground.cut(*fault));
    }
}

impl<G: Ground> Drop for Storm<G> {
    fn drop(&mut self) {
        self.dismiss_clients();
        // The harness keeps it, and shows it when the test has failed.
        println!("FAULTS_SEED={}\n{}", self.seed, self.trace.join("\n"));
    }
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{variable}={text} is no number")),
    )
}
