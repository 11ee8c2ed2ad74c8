//! A storm over two nodes and three members of etcd.

use super::fault::{Fault, Kind};
use super::{Ground, MORE, NODES, clocks};
use crate::lab::{Lab, Shape};
use testkit::stand_in::Protocol;

pub(super) const MEMBERS: [&str; 3] = ["e0", "e1", "e2"];

impl Ground for Lab {
    const KINDS: &'static [Kind] = &[
        |node, _| Fault::KillValidator(node),
        |node, _| Fault::KillSupervisor(node),
        |node, _| Fault::StopValidator(node),
        |node, _| Fault::StopSupervisor(node),
        |node, _| Fault::StopMachine(node),
        |_, member| Fault::KillMember(member),
        |_, member| Fault::StopMember(member),
        |_, member| Fault::CutMember(member),
        |node, _| Fault::CutFromEtcd(node),
        |node, _| Fault::LoseRequests(node),
        |node, _| Fault::LoseAnswers(node),
        |node, _| Fault::CutOff(node),
        |_, _| Fault::SlowLinks,
        |_, _| Fault::RevokeLease,
        |node, _| Fault::StepClock(node),
    ];

    fn start(protocol: Protocol) -> Self {
        let mut lab = Self::new(Shape {
            protocol,
            nodes: &NODES,
            members: MEMBERS.len(),
            hosts: true,
            more: MORE,
            ..Shape::default()
        });
        clocks(&mut lab);
        lab.start_voting();
        lab
    }

    fn wires(&self) -> Vec<(&'static str, &'static str)> {
        let nodes = NODES.into_iter();
        nodes
            .flat_map(|node| MEMBERS.map(|member| (node, member)))
            .collect()
    }

    fn strike_own(&mut self, fault: Fault) -> bool {
        match fault {
            Fault::RevokeLease => {
                // There may be no holder, or no etcd to ask.
                if let Ok(Some(holder)) = self.etcd.get(&self.key("holder")) {
                    let _ = self.etcd.revoke(holder.lease);
                }
                return false;
            }
            Fault::KillMember(member) => self.etcd.member(member).kill().expect("a kill"),
            Fault::StopMember(member) => self.etcd.member(member).pause().expect("a pause"),
            _ => {}
        }
        true
    }

    fn end_own(&mut self, fault: Fault) {
        match fault {
            Fault::KillMember(member) => self.etcd.member(member).restart().expect("a restart"),
            Fault::StopMember(member) => self.etcd.member(member).resume().expect("it runs"),
            _ => {}
        }
    }

    /// A member that was killed answers once it has a quorum.
    fn ends_before(fault: Fault, other: Fault) -> bool {
        matches!(fault, Fault::KillMember(_))
            && matches!(other, Fault::StopMember(_) | Fault::CutMember(_))
    }

    fn cut(&self, fault: Fault) {
        let network = self.network();
        match fault {
            Fault::CutFromEtcd(node) | Fault::CutOff(node) => MEMBERS
                .iter()
                .for_each(|member| network.cut(NODES[node], member)),
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

    fn conclude(&mut self) -> String {
        let terms = self.read_ledger();
        self.finish();
        format!("there were votes under {terms} terms")
    }
}
