//! What goes wrong, and who asks for what, at random times until everything heals.

use crate::authority::Authority;
use crate::event::Event;
use crate::world::{HEALED_AT, World};
use validator_supervisor::engine::values::{Command, Millis, PromoteFlags};
use validator_supervisor::engine::{Input, Observation};

#[derive(Clone, Debug)]
pub(crate) enum Fault {
    ChildCrash {
        node: usize,
    },
    SupervisorCrash {
        node: usize,
        orphan: bool,
    },
    MachineCrash {
        node: usize,
        record_lost: bool,
    },
    Hang {
        node: usize,
        ms: u64,
    },
    Suspend {
        node: usize,
        ms: u64,
    },
    /// Stands still just when its next commit is done.
    SuspendAtCommit {
        node: usize,
        ms: u64,
    },
    CutFromAuthority {
        node: usize,
        ms: u64,
    },
    CutFromCluster {
        node: usize,
        ms: u64,
    },
    CutOff {
        node: usize,
        ms: u64,
    },
    AuthorityDown {
        ms: u64,
    },
    ClusterHalts {
        ms: u64,
    },
    DiskFails {
        node: usize,
        ms: u64,
    },
    AdminFlaky {
        node: usize,
        ms: u64,
    },
    NetworkLossy {
        node: usize,
        ms: u64,
    },
    ReplayStalls {
        node: usize,
        ms: u64,
    },
    Stubborn {
        node: usize,
        ms: u64,
    },
    SlowStart {
        node: usize,
        ms: u64,
    },
    DiskWorks {
        node: usize,
    },
    Terminated {
        node: usize,
    },
    IdentityElsewhere {
        node: usize,
    },
    Says {
        node: usize,
        command: Command,
    },
    /// A handover and back again, while the replay of the first node stands still.
    ThereAndBack {
        node: usize,
    },
    /// `torn`: what is under way on its connection is lost.
    CutLink {
        one: usize,
        other: usize,
        ms: u64,
        torn: bool,
    },
    SlowLink {
        one: usize,
        other: usize,
        ms: u64,
    },
    DiskSlow {
        node: usize,
        ms: u64,
    },
    /// Off for long enough that operators do without it.
    MachineOff {
        node: usize,
        ms: u64,
    },
    /// Heard by nobody for long enough that operators do without it.
    TakenForDead {
        node: usize,
        ms: u64,
    },
    /// An operator of this node does without those that it does not hear.
    PassOver {
        node: usize,
    },
    /// The holder's child dies just when a cable is whole again, which is cut once more.
    BackAndGone {
        one: usize,
        other: usize,
        ms: u64,
    },
    /// A node ends its term with nobody to take it.
    EndsAlone {
        node: usize,
        ms: u64,
    },
    /// The holder hands over, and both nodes are off just then.
    OffAtEnd {
        node: usize,
        ms: u64,
    },
    /// When this node gives its term away next, the cable to the heir is cut.
    CutAtEnd {
        node: usize,
        ms: u64,
    },
}

impl World {
    pub(crate) fn plan_faults(&mut self) {
        for _ in 0..self.rng.within(1, 14) {
            let at = self.rng.within(3_000, HEALED_AT - 3_000);
            let fault = self.any_fault();
            self.after(at, Event::Fault(fault));
        }
    }

    fn any_fault(&mut self) -> Fault {
        let node = self.rng.within(0, self.nodes.len() as u64 - 1) as usize;
        let ms = self.rng.within(100, 6_000);
        if self.authority == Authority::Peers && self.rng.chance(50) {
            return self.any_fault_of_peers(node, ms);
        }
        match self.rng.within(0, 33) {
            0 => Fault::ChildCrash { node },
            1 => Fault::SupervisorCrash {
                node,
                orphan: self.rng.chance(40),
            },
            2 => Fault::MachineCrash {
                node,
                record_lost: self.rng.chance(60),
            },
            3 | 4 => Fault::Hang { node, ms },
            5 => Fault::Suspend { node, ms },
            6 | 7 => Fault::CutFromAuthority { node, ms },
            8 => Fault::CutFromCluster { node, ms },
            9 => Fault::CutOff { node, ms },
            10 => Fault::AuthorityDown { ms },
            11 => Fault::ClusterHalts { ms },
            12 => Fault::DiskFails { node, ms },
            13 | 14 => Fault::AdminFlaky { node, ms: ms * 3 },
            15 | 16 => Fault::NetworkLossy { node, ms: ms * 3 },
            17 => Fault::ReplayStalls { node, ms },
            18 => Fault::Stubborn { node, ms },
            19 => Fault::SlowStart { node, ms: ms * 2 },
            20 => Fault::Terminated { node },
            21 => Fault::IdentityElsewhere { node },
            22 | 23 => Fault::ThereAndBack { node },
            24 => Fault::SuspendAtCommit {
                node,
                ms: ms + 2_000,
            },
            _ => Fault::Says {
                node,
                command: self.any_command(),
            },
        }
    }

    fn any_command(&mut self) -> Command {
        match self.rng.within(0, 9) {
            0..=2 => Command::Demote {
                at_once: self.rng.chance(50),
            },
            3 | 4 => Command::Promote(PromoteFlags {
                first_vote: self.rng.chance(30),
                accept_double_vote_risk: false,
                at_once: self.rng.chance(30),
            }),
            5 | 6 => Command::Handover {
                to: None,
                at_once: true,
            },
            7 => Command::Resume,
            8 if self.rng.chance(50) => Command::Relieve { at_once: true },
            8 => Command::Restart {
                at_once: self.rng.chance(50),
            },
            _ => Command::Pause {
                until: Millis(self.now + self.rng.within(0, 30_000)),
            },
        }
    }

    pub(crate) fn strike(&mut self, fault: Fault) {
        let now = self.now;
        // What was to follow another fault is over as well.
        if self.healed && !matches!(fault, Fault::Says { .. } | Fault::DiskWorks { .. }) {
            return;
        }
        match fault {
            Fault::ChildCrash { node } => {
                if let Some(pid) = self.nodes[node].child.as_ref().map(|child| child.pid) {
                    self.after(
                        0,
                        Event::Die {
                            node,
                            pid,
                            by_signal: false,
                        },
                    );
                }
            }
            Fault::SupervisorCrash { node, orphan } => self.crash(node, orphan),
            Fault::MachineCrash { node, record_lost } => self.machine_crashes(node, record_lost),
            Fault::Hang { node, ms } => self.hang(node, ms),
            Fault::Suspend { node, ms } => self.suspend(node, ms),
            Fault::SuspendAtCommit { node, ms } => self.nodes[node].trouble.suspend_at_commit = ms,
            Fault::CutFromAuthority { node, ms } => self.cut_from_authority(node, ms),
            Fault::CutFromCluster { node, ms } => {
                self.nodes[node].trouble.cut_from_cluster = now + ms
            }
            Fault::CutOff { node, ms } => {
                self.cut_from_authority(node, ms);
                self.nodes[node].trouble.cut_from_cluster = now + ms;
            }
            Fault::AuthorityDown { ms } if self.authority == Authority::Peers => {
                (0..self.nodes.len()).for_each(|node| self.cut_from_peers(node, ms));
            }
            Fault::AuthorityDown { ms } => self.store_down = now + ms,
            Fault::ClusterHalts { ms } => self.halted = now + ms,
            Fault::DiskFails { node, ms } => {
                self.nodes[node].disk.failing = true;
                self.after(ms, Event::Fault(Fault::DiskWorks { node }));
            }
            Fault::DiskWorks { node } => self.nodes[node].disk.failing = false,
            Fault::AdminFlaky { node, ms } => self.nodes[node].trouble.admin = now + ms,
            Fault::NetworkLossy { node, ms } => self.nodes[node].trouble.lossy = now + ms,
            Fault::ReplayStalls { node, ms } => self.nodes[node].trouble.stalled = now + ms,
            Fault::Stubborn { node, ms } => self.nodes[node].trouble.stubborn = now + ms,
            Fault::SlowStart { node, ms } => self.nodes[node].trouble.slow_start = now + ms,
            Fault::Terminated { node } => self.inform(node, Input::Stop),
            Fault::IdentityElsewhere { node } => {
                self.inform(node, Input::Observed(Observation::IdentityElsewhere))
            }
            Fault::Says { node, command } => self.ask(node, command),
            Fault::ThereAndBack { node } => self.there_and_back(node),
            Fault::CutLink {
                one,
                other,
                ms,
                torn,
            } => self.cut(one, other, ms, torn),
            Fault::SlowLink { one, other, ms } => self.slow_link(one, other, ms),
            Fault::DiskSlow { node, ms } => self.nodes[node].trouble.disk_slow = now + ms,
            Fault::MachineOff { node, ms } => self.machine_off(node, ms),
            Fault::TakenForDead { node, ms } => self.taken_for_dead(node, ms),
            Fault::PassOver { node } => self.pass_over(node),
            Fault::BackAndGone { one, other, ms } => self.back_and_gone(one, other, ms),
            Fault::EndsAlone { node, ms } => self.ends_alone(node, ms),
            Fault::OffAtEnd { node, ms } => self.off_at_end(node, ms),
            Fault::CutAtEnd { node, ms } => self.nodes[node].trouble.cut_at_end = ms,
        }
    }

    fn cut_from_authority(&mut self, node: usize, ms: u64) {
        match self.authority {
            Authority::Peers => self.cut_from_peers(node, ms),
            Authority::Store | Authority::Local => {
                self.nodes[node].trouble.cut_from_store = self.now + ms;
            }
        }
    }

    fn inform(&mut self, node: usize, input: Input) {
        if let Some(life) = self.nodes[node].life() {
            self.after(0, Event::Tell { node, life, input });
        }
    }

    fn there_and_back(&mut self, node: usize) {
        let other = (node + 1) % self.nodes.len();
        let stall = self.rng.within(400, 2_000);
        let (there, back) = (self.rng.within(400, 1_200), self.rng.within(20, 400));
        self.nodes[node].trouble.stalled = self.now + stall;
        self.ask(
            node,
            Command::Handover {
                to: None,
                at_once: true,
            },
        );
        let promote = Command::Promote(PromoteFlags::default());
        self.after(
            there,
            Event::Fault(Fault::Says {
                node: other,
                command: Command::Demote { at_once: false },
            }),
        );
        self.after(
            there + back,
            Event::Fault(Fault::Says {
                node,
                command: promote,
            }),
        );
        self.after(
            there + back + 5_000,
            Event::Fault(Fault::Says {
                node: other,
                command: Command::Resume,
            }),
        );
    }

    /// Everything works again, and operators take back what they said.
    pub(crate) fn heal(&mut self) {
        self.healed = true;
        self.store_down = 0;
        self.halted = 0;
        for node in 0..self.nodes.len() {
            let trouble = &mut self.nodes[node].trouble;
            let (suspended, resumed_at, hung, since) = (
                trouble.suspended,
                trouble.resumed_at,
                trouble.hung,
                trouble.unguarded_since,
            );
            *trouble = crate::node::Trouble {
                suspended,
                resumed_at,
                hung,
                unguarded_since: since,
                ..Default::default()
            };
            self.nodes[node].disk.failing = false;
            if self.authority == Authority::Peers {
                self.heal_peer(node);
            }
            self.ask(node, Command::Resume);
            for after in [6_000, 12_000] {
                self.after(
                    after,
                    Event::Fault(Fault::Says {
                        node,
                        command: Command::Resume,
                    }),
                );
            }
        }
    }
}
