//! The nodes with their disks, the links between them, and what has left.

use crate::bound::Bound;
use crate::mistake::Mistake;
use std::collections::{BTreeMap, VecDeque};
use validator_supervisor::engine::ballot::Ballot;
use validator_supervisor::engine::pact::Pact;
use validator_supervisor::engine::values::{NodeName, Term};

/// Where a record stands: its term, and its number.
pub(crate) type Place = (u64, u8);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct World {
    pub(crate) mistake: Option<Mistake>,
    pub(crate) alone: bool,
    pub(crate) nodes: Vec<Node>,
    /// What is under way from one node to another, in order.
    pub(crate) links: BTreeMap<(usize, usize), VecDeque<Message>>,
    /// The cables that are whole.
    pub(crate) whole: Vec<(usize, usize)>,
    /// The newest record whose vote has left.
    pub(crate) sent: Place,
    /// The newest term that was taken, and by whom.
    pub(crate) taken: (u64, usize),
    pub(crate) last_voter: Option<usize>,
    pub(crate) votes: u8,
    pub(crate) faults: u8,
    pub(crate) asks: u8,
    pub(crate) broken: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Node {
    /// On the disk.
    pub(crate) ballot: Ballot,
    pub(crate) record: Place,
    /// Gone with the process.
    pub(crate) process: Option<Process>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Process {
    pub(crate) pact: Pact,
    /// What it knows of each node that it hears.
    pub(crate) hears: BTreeMap<usize, Other>,
    /// Those that it has had ended, each under the ballot that it had then: the proof is for the next one.
    pub(crate) buried: BTreeMap<usize, Ballot>,
    /// A record that is being committed: its place, and whether it is on this disk.
    pub(crate) vote: Option<(Place, bool)>,
    /// Acknowledged or promised, and not on the disk yet: by a mistake.
    pub(crate) unwritten: Option<Place>,
    pub(crate) unkept: Option<Ballot>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Other {
    /// The newest record on its disk, as it said.
    pub(crate) record: Place,
    /// What it was brought up to when the link came up; votes wait for it from there on.
    pub(crate) due: Place,
    /// It has said what it has promised.
    pub(crate) claimed: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Message {
    State(Claim),
    Record(Place),
    Commit(Place),
    Kept(Place),
    Ask { term: u64, record: Place },
    Promised(u64),
    Refused(u64),
}

/// A ballot that has an order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Claim {
    pub(crate) term: u64,
    pub(crate) holder: Option<NodeName>,
    pub(crate) ended: bool,
    pub(crate) heir: Option<NodeName>,
    pub(crate) void: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Action {
    /// The first message from one to the other arrives.
    Deliver(usize, usize),
    Ask(usize),
    /// By the word of an operator that the nodes it does not hear are off.
    AskRegardless(usize),
    /// The first one has the other ended by the fence command.
    Fence(usize, usize),
    /// The asking ends: with all answers, or because its time is over.
    Conclude(usize),
    BeginVote(usize),
    WriteVote(usize),
    SendVote(usize),
    End(usize, Option<usize>),
    Crash(usize),
    Start(usize),
    Cut(usize, usize),
    /// The first one notices that the link to the other is gone.
    Notice(usize, usize),
    Join(usize, usize),
    /// A mistake comes to an end: what should have been on the disk gets there.
    Write(usize),
}

pub(crate) fn name(node: usize) -> NodeName {
    NodeName(format!("n{node}"))
}

pub(crate) fn index(name: &NodeName) -> usize {
    name.0.trim_start_matches('n').parse().unwrap_or(0)
}

impl From<&Ballot> for Claim {
    fn from(ballot: &Ballot) -> Self {
        Self {
            term: ballot.term.0,
            holder: ballot.holder.clone(),
            ended: ballot.ended,
            heir: ballot.heir.clone(),
            void: ballot.void,
        }
    }
}

impl Claim {
    pub(crate) fn ballot(&self) -> Ballot {
        Ballot {
            term: Term(self.term),
            holder: self.holder.clone(),
            ended: self.ended,
            heir: self.heir.clone(),
            void: self.void,
        }
    }
}

impl World {
    /// All nodes are there and have promised the first term to the first one, which holds it and has sent one vote.
    pub(crate) fn new(bound: Bound, mistake: Option<Mistake>) -> Self {
        let ballot = Ballot::held(Term(1), &name(0));
        let record = (1, 1);
        let other = Other {
            record,
            due: record,
            claimed: true,
        };
        let node = |at: usize| {
            let mut pact = Pact::begin(name(at), &Ballot::default());
            pact.keep(ballot.clone());
            if at == 0 {
                pact.take();
            }
            let others = (0..bound.nodes).filter(|other| *other != at);
            Node {
                ballot: ballot.clone(),
                record,
                process: Some(Process {
                    pact,
                    hears: others.map(|at| (at, other.clone())).collect(),
                    buried: BTreeMap::new(),
                    vote: None,
                    unwritten: None,
                    unkept: None,
                }),
            }
        };
        let pairs = (0..bound.nodes).flat_map(|one| (0..one).map(move |other| (other, one)));
        let whole: Vec<_> = pairs.collect();
        let mut world = Self {
            mistake,
            alone: bound.alone,
            nodes: (0..bound.nodes).map(node).collect(),
            links: BTreeMap::new(),
            whole,
            sent: record,
            taken: (1, 0),
            last_voter: Some(0),
            votes: 0,
            faults: 0,
            asks: 0,
            broken: None,
        };
        if let Some(named) = bound.off {
            world.whole.clear();
            let ended = ballot.ended_for(named.then(|| name(2)));
            for node in [0, 2] {
                world.nodes[node].ballot = ended.clone();
                world.nodes[node].process = None;
            }
            if let Some(process) = world.process_mut(1) {
                process.hears.clear();
            }
        }
        world
    }

    pub(crate) fn makes(&self, mistake: Mistake) -> bool {
        self.mistake == Some(mistake)
    }

    pub(crate) fn break_rule(&mut self, what: String) {
        self.broken.get_or_insert(what);
    }

    pub(crate) fn process(&self, node: usize) -> Option<&Process> {
        self.nodes[node].process.as_ref()
    }

    pub(crate) fn process_mut(&mut self, node: usize) -> Option<&mut Process> {
        self.nodes[node].process.as_mut()
    }

    /// The cable between two is whole, and both hear each other.
    pub(crate) fn is_whole(&self, one: usize, other: usize) -> bool {
        let pair = (one.min(other), one.max(other));
        self.whole.contains(&pair)
    }

    pub(crate) fn send(&mut self, from: usize, to: usize, message: Message) {
        let hears = self
            .process(from)
            .is_some_and(|process| process.hears.contains_key(&to));
        // Into a cable that is cut, it is lost.
        if hears && self.is_whole(from, to) {
            self.links.entry((from, to)).or_default().push_back(message);
        }
    }

    pub(crate) fn heard_by(&self, node: usize) -> Vec<usize> {
        let process = self.process(node);
        process.map_or(Vec::new(), |process| {
            process.hears.keys().copied().collect()
        })
    }

    pub(crate) fn tell_others(&mut self, node: usize) {
        let Some(process) = self.process(node) else {
            return;
        };
        let word = Message::State(Claim::from(&self.told(process)));
        for other in self.heard_by(node) {
            self.send(node, other, word.clone());
        }
    }

    /// What a process tells of its ballot: it knows of those that it hears whether they are there.
    pub(crate) fn told(&self, process: &Process) -> Ballot {
        if self.makes(Mistake::HeirNamedAnew) {
            return process.pact.ballot().clone();
        }
        let away = self.nodes.len() - 1 - process.hears.len();
        let there = process.hears.values().map(|other| other.claimed);
        let others = there.chain((0..away).map(|_| false));
        process.pact.told(others)
    }

    pub(crate) fn bring_up_to_date(&mut self, node: usize, other: usize, has: Place) {
        let record = self.nodes[node].record;
        if record > has {
            self.send(node, other, Message::Record(record));
        }
    }

    /// On the disk, then in the process.
    pub(crate) fn keep(&mut self, node: usize, ballot: Ballot) {
        self.nodes[node].ballot = ballot.clone();
        if let Some(process) = self.process_mut(node) {
            process.pact.keep(ballot);
        }
    }
}
