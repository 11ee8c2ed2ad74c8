//! What goes wrong between nodes that have nobody above them.

use super::World;
use crate::event::Event;
use crate::fault::Fault;
use validator_supervisor::engine::values::Command;

/// A connection was hardly made, and is lost again.
pub(super) fn cut_again(one: usize, other: usize) -> Fault {
    Fault::CutLink {
        one,
        other,
        ms: 3_000,
        torn: true,
    }
}

impl World {
    /// Of what concerns links, promises and machines that are off; everything else is in [`crate::fault`].
    pub(crate) fn any_fault_of_peers(&mut self, node: usize, ms: u64) -> Fault {
        let count = self.nodes.len();
        let other = (node + self.rng.within(1, count as u64 - 1) as usize) % count;
        match self.rng.within(0, 16) {
            0..=2 => Fault::CutLink {
                one: node,
                other,
                ms,
                torn: self.rng.chance(60),
            },
            3 => Fault::CutFromAuthority { node, ms },
            4 => Fault::SlowLink {
                one: node,
                other,
                ms: ms * 2,
            },
            5 => Fault::DiskSlow { node, ms: ms * 2 },
            6 | 7 => Fault::MachineOff {
                node,
                ms: ms + 7_000,
            },
            8 => Fault::BackAndGone {
                one: node,
                other,
                ms,
            },
            9 => Fault::CutAtEnd { node, ms },
            10..=12 if count == 2 => Fault::TakenForDead {
                node,
                ms: ms + 7_000,
            },
            13 if count > 2 => Fault::OffAtEnd { node, ms },
            10..=13 => Fault::EndsAlone {
                node,
                ms: ms + 2_000,
            },
            _ => Fault::CutLink {
                one: node,
                other,
                ms: ms / 8,
                torn: self.rng.chance(30),
            },
        }
    }

    fn others_of(&self, node: usize) -> impl Iterator<Item = usize> + use<> {
        (0..self.nodes.len()).filter(move |other| *other != node)
    }

    pub(crate) fn cut_from_peers(&mut self, node: usize, ms: u64) {
        let torn = self.rng.chance(50);
        for other in self.others_of(node) {
            self.cut(node, other, ms, torn);
        }
    }

    pub(crate) fn slow_link(&mut self, one: usize, other: usize, ms: u64) {
        self.cable(one, other).slow = self.now + ms;
    }

    /// A machine is off for long enough that operators pass it over; where it comes back, it may hear nobody at first.
    pub(crate) fn machine_off(&mut self, node: usize, ms: u64) {
        self.switch_off(node, ms);
        for other in self.others_of(node) {
            for after in [5_600, 6_500] {
                let what = Fault::PassOver { node: other };
                self.after(after, Event::Fault(what));
            }
        }
        if self.rng.chance(60) {
            let what = Fault::CutFromAuthority { node, ms: 4_000 };
            self.after(ms - 500, Event::Fault(what));
        }
    }

    /// A node hears nobody, and is taken for dead: the one that votes, where its votes would wait for the other.
    pub(crate) fn taken_for_dead(&mut self, node: usize, ms: u64) {
        let holds = |node: &usize| self.peer(*node).is_some_and(|peer| peer.pact.holds());
        let node = (0..self.nodes.len()).find(holds).unwrap_or(node);
        self.cut_from_peers(node, ms);
        if self.nodes.len() > 2 || !self.nodes[node].holds_on_loss {
            return;
        }
        let other = 1 - node;
        for after in [5_600, 6_500, 7_400] {
            self.after(after, Event::Fault(Fault::PassOver { node: other }));
        }
        if self.rng.chance(80) {
            let what = Fault::SlowLink {
                one: node,
                other,
                ms: 6_000,
            };
            self.after(ms - 100, Event::Fault(what));
        }
    }

    /// The holder ends its term with no other node ready. When they are, one asks for the next term, and loses the holder.
    pub(crate) fn ends_alone(&mut self, node: usize, ms: u64) {
        let holds = |node: &usize| self.peer(*node).is_some_and(|peer| peer.pact.holds());
        let node = (0..self.nodes.len()).find(holds).unwrap_or(node);
        for other in self.others_of(node) {
            self.ask(other, Command::Demote { at_once: false });
            self.nodes[other].trouble.cut_at_ask = Some((node, ms));
            let what = Fault::Says {
                node: other,
                command: Command::Resume,
            };
            let after = self.rng.within(600, 1_200);
            self.after(after, Event::Fault(what));
        }
        let what = Fault::ChildCrash { node };
        self.after(400, Event::Fault(what));
    }

    /// Just when a term is asked for one that should promise it is lost, if that was planned.
    pub(super) fn cut_at_ask(&mut self, node: usize, of: &[usize]) {
        let planned = self.nodes[node].trouble.cut_at_ask;
        let Some((other, ms)) = planned.filter(|(other, _)| of.contains(other)) else {
            return;
        };
        self.nodes[node].trouble.cut_at_ask = None;
        let after = self.rng.within(0, 12);
        let what = Fault::CutLink {
            one: node,
            other,
            ms,
            torn: true,
        };
        self.after(after, Event::Fault(what));
    }

    /// The cable is cut, and the holder's child dies just when it is whole again, and cut again.
    pub(crate) fn back_and_gone(&mut self, one: usize, other: usize, ms: u64) {
        self.cut(one, other, ms.min(2_500), true);
        self.cable(one, other).trap = true;
    }

    /// The holder hands over, and both are off before the heir votes. Another node is passed over them, and is off when they return.
    pub(crate) fn off_at_end(&mut self, node: usize, ms: u64) {
        let holds = |node: &usize| self.peer(*node).is_some_and(|peer| peer.pact.holds());
        let node = (0..self.nodes.len()).find(holds).unwrap_or(node);
        self.nodes[node].trouble.off_at_end = ms + 8_000;
        let command = Command::Handover {
            to: None,
            at_once: true,
        };
        self.ask(node, command);
    }

    fn both_off(&mut self, node: usize, heir: usize, ms: u64) {
        for gone in [node, heir] {
            let after = self.rng.within(8, 60);
            self.after(after, Event::Fault(Fault::MachineOff { node: gone, ms }));
        }
        for other in self.others_of(node).filter(|other| *other != heir) {
            let what = Fault::MachineOff {
                node: other,
                ms: 12_000,
            };
            self.after(ms - 200, Event::Fault(what));
        }
    }

    /// Just when a term is given away the cable to the heir is cut, or both are off, if that was planned.
    pub(super) fn trouble_at_end(&mut self, node: usize, heir: Option<usize>) {
        let off = std::mem::take(&mut self.nodes[node].trouble.off_at_end);
        if let Some(heir) = heir.filter(|_| off > 0) {
            self.both_off(node, heir, off);
        }
        let ms = std::mem::take(&mut self.nodes[node].trouble.cut_at_end);
        if let Some(heir) = heir.filter(|_| ms > 0) {
            let within = if self.rng.chance(50) { 20 } else { 400 };
            let after = self.rng.within(0, within);
            let what = Fault::CutLink {
                one: node,
                other: heir,
                ms,
                torn: self.rng.chance(60),
            };
            self.after(after, Event::Fault(what));
        }
    }

    /// Everything between this node and the others works again, and it is switched on.
    pub(crate) fn heal_peer(&mut self, node: usize) {
        let now = self.now;
        for other in self.others_of(node) {
            let cable = self.cable(node, other);
            cable.cut = cable.cut.min(now);
            cable.slow = 0;
            cable.trap = false;
        }
        let after = self.rng.within(0, 1_000);
        self.after(after, Event::Boot { node });
    }
}
