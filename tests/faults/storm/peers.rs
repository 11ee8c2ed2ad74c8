//! A storm over two nodes that are each other's authority.

use super::fault::{Fault, Kind};
use super::{Ground, MORE, NODES, clocks};
use crate::pair::Pair;
use testkit::stand_in::Protocol;

impl Ground for Pair {
    const KINDS: &'static [Kind] = &[
        |node, _| Fault::KillValidator(node),
        |node, _| Fault::KillSupervisor(node),
        |node, _| Fault::StopValidator(node),
        |node, _| Fault::StopSupervisor(node),
        |node, _| Fault::StopMachine(node),
        |node, _| Fault::CutOff(node),
        |_, _| Fault::SlowLinks,
        |node, _| Fault::StepClock(node),
        |_, _| Fault::CutCable,
        |node, _| Fault::LoseWords(node),
        |_, _| Fault::HandOver(0),
        |_, _| Fault::HandOver(1),
        |node, _| Fault::HandOver(node),
    ];

    fn start(protocol: Protocol) -> Self {
        let mut pair = Self::new(protocol, true, MORE);
        clocks(&mut pair);
        pair.begin();
        pair
    }

    fn wires(&self) -> Vec<(&'static str, &'static str)> {
        vec![(NODES[0], NODES[1])]
    }

    fn strike_own(&mut self, _: Fault) -> bool {
        true
    }

    fn end_own(&mut self, _: Fault) {}

    fn ends_before(_: Fault, _: Fault) -> bool {
        false
    }

    fn cut(&self, fault: Fault) {
        match fault {
            Fault::CutCable => self.network().cut(NODES[0], NODES[1]),
            Fault::LoseWords(node) => self.network().cut_one_way(NODES[node], NODES[1 - node]),
            _ => {}
        }
    }

    fn conclude(&mut self) -> String {
        self.judge();
        "the judge is content".into()
    }
}
