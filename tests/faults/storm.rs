//! Faults at random, several at once, while votes go on: for `FAULTS_SECONDS` (15), from `FAULTS_SEED` (the time of day).
//!
//! A seed gives the faults, their places and their times again; the machine's own timing it does not. A failure prints the seed
//! and what was done when.

use crate::lab::{BACK_WITHIN_MS, Lab, Shape};
use crate::stopped::{continue_validator, stop_validator};
use nix::sys::signal::Signal;
use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use testkit::children::signal;
use testkit::netns::Link;
use testkit::stand_in::Protocol;
use testkit::wall_clock::WallClock;

const NODES: [&str; 2] = ["a", "b"];
const MEMBERS: [&str; 3] = ["e0", "e1", "e2"];
const AT_ONCE_MAX: usize = 2;
/// Up to twice the time to live.
const FAULT_MS_MAX: u64 = 4_000;
/// Up to so many slots from one fault to the next, where there is room for one.
const SLOTS_BETWEEN_MAX: u64 = 30;
/// A node whose promotions came to nothing waits longer from one to the next: 1, 2, 4, 8 s.
const STORM_BACK_WITHIN_MS: u64 = BACK_WITHIN_MS + 10_000;

#[test]
fn a_storm_of_faults_leaves_one_voter_in_tower_bft() {
    Storm::new(Protocol::Tower).rage();
}

#[test]
fn a_storm_of_faults_leaves_one_voter_in_alpenglow() {
    Storm::new(Protocol::Alpenglow).rage();
}

/// What goes wrong, and where: a node or a member of etcd.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    KillValidator(usize),
    KillSupervisor(usize),
    StopValidator(usize),
    StopSupervisor(usize),
    StopMachine(usize),
    KillMember(usize),
    StopMember(usize),
    CutMember(usize),
    CutFromEtcd(usize),
    LoseRequests(usize),
    LoseAnswers(usize),
    CutOff(usize),
    SlowLinks,
    RevokeLease,
    StepClock(usize),
}

impl Fault {
    fn roll(dice: &mut Dice) -> Self {
        let kind = dice.below(15);
        let node = dice.index(NODES.len());
        let member = dice.index(MEMBERS.len());
        match kind {
            0 => Self::KillValidator(node),
            1 => Self::KillSupervisor(node),
            2 => Self::StopValidator(node),
            3 => Self::StopSupervisor(node),
            4 => Self::StopMachine(node),
            5 => Self::KillMember(member),
            6 => Self::StopMember(member),
            7 => Self::CutMember(member),
            8 => Self::CutFromEtcd(node),
            9 => Self::LoseRequests(node),
            10 => Self::LoseAnswers(node),
            11 => Self::CutOff(node),
            12 => Self::SlowLinks,
            13 => Self::RevokeLease,
            _ => Self::StepClock(node),
        }
    }

    /// Faults of one thing do not overlap: its processes, a server of etcd.
    fn excludes(self, other: Self) -> bool {
        use Fault::{
            KillMember, KillSupervisor, KillValidator, StopMachine, StopMember, StopSupervisor,
            StopValidator,
        };
        let process_of = |fault| match fault {
            KillValidator(node) | KillSupervisor(node) | StopValidator(node)
            | StopSupervisor(node) | StopMachine(node) => Some((0, node)),
            KillMember(member) | StopMember(member) => Some((1, member)),
            _ => None,
        };
        self == other || (process_of(self).is_some() && process_of(self) == process_of(other))
    }
}

struct Storm {
    lab: Lab,
    seed: u64,
    dice: Dice,
    began: Instant,
    /// In force, and until when.
    faults: BTreeMap<Fault, Instant>,
    trace: Vec<String>,
}

impl Storm {
    fn new(protocol: Protocol) -> Self {
        let seed = number("FAULTS_SEED").unwrap_or_else(|| {
            let now = SystemTime::now().duration_since(UNIX_EPOCH);
            now.map_or(1, |now| now.as_secs())
        });
        let mut lab = Lab::new(Shape {
            protocol,
            nodes: &NODES,
            members: 3,
            hosts: true,
            // A storm ends more validators than any node should put up with.
            more: "[restart]\nmax = 1000\nwindow = \"1s\"",
            ..Shape::default()
        });
        for name in NODES {
            lab.node_mut(name).clock = Some(WallClock::new().expect("a clock"));
        }
        lab.start_voting();
        Self {
            lab,
            seed,
            dice: Dice(seed.wrapping_mul(2).wrapping_add(1)),
            began: Instant::now(),
            faults: BTreeMap::new(),
            trace: Vec::new(),
        }
    }

    fn rage(mut self) {
        let seconds = number("FAULTS_SECONDS").unwrap_or(15);
        while self.began.elapsed() < Duration::from_secs(seconds) {
            self.end_due();
            if self.faults.len() < AT_ONCE_MAX {
                self.begin();
            }
            let slots = 1 + self.dice.below(SLOTS_BETWEEN_MAX);
            self.lab.chain.let_slots_pass(slots);
        }
        let all: Vec<_> = self.faults.keys().copied().collect();
        all.into_iter().for_each(|fault| self.end(fault));
        self.note("all is well again");
        let voter = self.lab.await_one_voter(STORM_BACK_WITHIN_MS);
        self.note(&format!("{voter} votes"));
        let terms = self.lab.read_ledger();
        self.note(&format!("there were votes under {terms} terms"));
        self.lab.finish();
    }

    fn note(&mut self, what: &str) {
        let at_ms = self.began.elapsed().as_millis();
        self.trace.push(format!("{at_ms:>6} ms  {what}"));
    }

    fn begin(&mut self) {
        let fault = Fault::roll(&mut self.dice);
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
                if let Some(pid) = self.lab.node(NODES[node]).validator_now() {
                    signal(pid, Signal::SIGKILL);
                }
                return false;
            }
            Fault::RevokeLease => {
                // There may be no holder, or no etcd to ask.
                if let Ok(Some(holder)) = self.lab.etcd.get(&self.lab.key("holder")) {
                    let _ = self.lab.etcd.revoke(holder.lease);
                }
                return false;
            }
            Fault::KillSupervisor(node) => self.lab.node_mut(NODES[node]).kill(),
            Fault::StopValidator(node) => return stop_validator(self.lab.node(NODES[node])),
            Fault::StopSupervisor(node) => {
                signal(self.lab.node(NODES[node]).supervisor(), Signal::SIGSTOP);
            }
            Fault::StopMachine(node) => {
                let stopped = stop_validator(self.lab.node(NODES[node]));
                if stopped {
                    signal(self.lab.node(NODES[node]).supervisor(), Signal::SIGSTOP);
                }
                return stopped;
            }
            Fault::KillMember(member) => self.lab.etcd.member(member).kill().expect("a kill"),
            Fault::StopMember(member) => self.lab.etcd.member(member).pause().expect("a pause"),
            Fault::StepClock(node) => {
                let offset_ms = i64::try_from(self.dice.below(7_200_000)).unwrap_or_default();
                self.lab.step_clock(NODES[node], offset_ms - 3_600_000);
            }
            Fault::CutOff(node) => self.lab.chain.cut_off(NODES[node], true),
            Fault::CutMember(_)
            | Fault::CutFromEtcd(_)
            | Fault::LoseRequests(_)
            | Fault::LoseAnswers(_)
            | Fault::SlowLinks => {}
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
        self.note(&format!("{fault:?} ends"));
        self.apply_links();
        match fault {
            Fault::KillSupervisor(node) => self.lab.node_mut(NODES[node]).start(),
            Fault::StopValidator(node) => continue_validator(self.lab.node(NODES[node])),
            Fault::StopSupervisor(node) => {
                signal(self.lab.node(NODES[node]).supervisor(), Signal::SIGCONT);
            }
            Fault::StopMachine(node) => {
                continue_validator(self.lab.node(NODES[node]));
                signal(self.lab.node(NODES[node]).supervisor(), Signal::SIGCONT);
            }
            Fault::KillMember(member) => self.restart_member(member),
            Fault::StopMember(member) => self.lab.etcd.member(member).resume().expect("it runs"),
            Fault::StepClock(node) => self.lab.step_clock(NODES[node], 0),
            Fault::CutOff(node) => self.lab.chain.cut_off(NODES[node], false),
            _ => {}
        }
    }

    /// It answers once it has a quorum: whatever else ails etcd ends first.
    fn restart_member(&mut self, member: usize) {
        let others = self.faults.keys().copied();
        let others: Vec<_> = others
            .filter(|fault| matches!(fault, Fault::StopMember(_) | Fault::CutMember(_)))
            .collect();
        others.into_iter().for_each(|fault| self.end(fault));
        self.lab.etcd.member(member).restart().expect("a restart");
    }

    /// The links as the faults in force have them.
    fn apply_links(&self) {
        let network = self.lab.network();
        network.heal();
        if self.faults.contains_key(&Fault::SlowLinks) {
            let slow = Link {
                delay_ms: 20,
                jitter_ms: 40,
                loss_percent: 2,
                ..Link::default()
            };
            for (node, member) in pairs() {
                network.set(node, member, slow);
                network.set(member, node, slow);
            }
        }
        for fault in self.faults.keys() {
            match *fault {
                Fault::CutFromEtcd(node) | Fault::CutOff(node) => {
                    MEMBERS
                        .iter()
                        .for_each(|member| network.cut(NODES[node], member));
                }
                Fault::LoseRequests(node) => MEMBERS
                    .iter()
                    .for_each(|member| network.cut_one_way(NODES[node], member)),
                Fault::LoseAnswers(node) => MEMBERS
                    .iter()
                    .for_each(|member| network.cut_one_way(member, NODES[node])),
                Fault::CutMember(cut) => MEMBERS
                    .iter()
                    .filter(|member| **member != MEMBERS[cut])
                    .for_each(|member| network.cut(MEMBERS[cut], member)),
                _ => {}
            }
        }
    }
}

impl Drop for Storm {
    fn drop(&mut self) {
        // The harness keeps it, and shows it when the test has failed.
        println!("FAULTS_SEED={}\n{}", self.seed, self.trace.join("\n"));
    }
}

fn pairs() -> impl Iterator<Item = (&'static str, &'static str)> {
    NODES
        .into_iter()
        .flat_map(|node| MEMBERS.map(|member| (node, member)))
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{variable}={text} is no number")),
    )
}

/// xorshift, never of 0.
struct Dice(u64);

impl Dice {
    fn below(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }

    fn index(&mut self, count: usize) -> usize {
        usize::try_from(self.below(count as u64)).unwrap_or_default()
    }
}
