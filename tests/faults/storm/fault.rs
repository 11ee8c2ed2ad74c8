//! What goes wrong in a storm, and where: a node, a member of etcd, the cables.

/// Nodes and members by their place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    KillValidator(usize),
    KillSupervisor(usize),
    StopValidator(usize),
    StopSupervisor(usize),
    StopMachine(usize),
    /// From the chain, and from etcd where there is one.
    CutOff(usize),
    SlowLinks,
    StepClock(usize),
    /// An operator wants the other node to vote.
    HandOver(usize),
    KillMember(usize),
    StopMember(usize),
    CutMember(usize),
    CutFromEtcd(usize),
    LoseRequests(usize),
    LoseAnswers(usize),
    RevokeLease,
    /// Between the two nodes.
    CutCable,
    /// What a node says to the other one.
    LoseWords(usize),
}

/// A kind of fault, for a node and a member.
pub(crate) type Kind = fn(usize, usize) -> Fault;

impl Fault {
    /// Faults of one thing do not overlap: its processes, a server of etcd.
    pub(crate) fn excludes(self, other: Self) -> bool {
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

/// xorshift, never of 0.
#[derive(Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn of(seed: u64) -> Self {
        Self(seed.wrapping_mul(2).wrapping_add(1))
    }

    pub(crate) fn below(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }

    pub(crate) fn index(&mut self, count: usize) -> usize {
        usize::try_from(self.below(count as u64)).unwrap_or_default()
    }
}
