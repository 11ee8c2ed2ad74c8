//! The nodes that have nobody above them: each has promised terms to the others by the rules of [`Pact`], and keeps the record of
//! the one that votes. What stands here follows the program step by step, with time and links that the simulation owns.

mod checks;
mod fault;
mod fence;
mod hear;
mod link;
pub(crate) mod message;
mod operator;
mod term;
mod vote;
mod word;

use crate::authority::Wish;
use crate::event::{Event, PeerEvent};
use crate::mistake::Mistake;
use crate::record::Record;
use crate::world::World;
use link::Cable;
use message::{Member, Message, Place};
use std::collections::{BTreeMap, VecDeque};
use validator_supervisor::engine::ballot::Ballot;
use validator_supervisor::engine::pact::{Pact, Presence};
use validator_supervisor::engine::values::{NodeName, OpId, Term};
use validator_supervisor::engine::{AuthorityNews, GateFacts, Input};

/// Between two signs of life.
const WORD_MS: u64 = 150;
/// How long an heir that is there has the first word.
const HEIR_FIRST_MS: u64 = 1_500;

/// What is between the nodes, and what is known of all of them together.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    pub(super) cables: BTreeMap<(usize, usize), Cable>,
    /// The newest term that was taken, and by whom.
    pub(crate) taken: (Term, usize),
    /// The newest record that was committed.
    committed: Option<Record>,
    /// Nodes that a vote did not wait for, as its holder counted, and that were not brought up to date since.
    lacking: Vec<usize>,
    /// An operator has passed over a node that lives. Two may hold a term then; no vote may be lost all the same.
    pub(crate) is_risked: bool,
}

/// One node's part. Dies with its process.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) pact: Pact,
    others: BTreeMap<usize, Other>,
    /// What its engine was told last of the holder.
    told: Option<Option<NodeName>>,
    heir_since: Option<u64>,
    member: Option<Member>,
    has_news: bool,
    wishes: VecDeque<(OpId, Wish)>,
    asking: Option<Asking>,
    commits: BTreeMap<u64, Commit>,
    /// By a mistake: the final record is thought to be with the others.
    is_sealed: bool,
    /// By a mistake: it passed its term on then, and takes it back where the heir is slow.
    passed_at: Option<u64>,
}

/// Another node, as it is seen from one.
#[derive(Debug, Default)]
struct Other {
    /// The connection over which it is heard.
    link: Option<u64>,
    /// One that was called, and since when.
    greeting: Option<(u64, u64)>,
    newest: u64,
    call_at: u64,
    alive_at: u64,
    /// The newest record on its disk, as it said over this link.
    record: Option<Place>,
    /// It has the newest record of when the link came up: votes wait for it from here on.
    in_step: bool,
    due: Option<Place>,
    member: Option<Member>,
    claim: Option<Ballot>,
    heard_at: Option<u64>,
    /// Since it was met last it was ended, or an operator says so: no vote waits for it.
    is_dead: bool,
}

/// A wish that waits for others.
#[derive(Debug)]
struct Asking {
    op: OpId,
    until: u64,
    waits: Waits,
}

#[derive(Clone, Debug)]
enum Waits {
    Promises {
        term: Term,
        of: Vec<usize>,
        regardless: bool,
    },
    Heir {
        to: usize,
        ended: Ballot,
    },
    Words {
        term: Term,
        since: u64,
    },
}

/// A record that is being made durable.
#[derive(Clone, Debug)]
struct Commit {
    record: Record,
    until: u64,
    is_written: bool,
    purpose: Purpose,
}

#[derive(Clone, Copy, Debug)]
enum Purpose {
    Vote,
    /// It is installed since then, under a new term.
    Install {
        op: OpId,
        since: u64,
    },
}

impl Other {
    fn presence(&self) -> Presence {
        match (self.link, &self.claim) {
            (None, _) => Presence::Away,
            (Some(_), None) => Presence::Met,
            (Some(_), Some(_)) => Presence::There,
        }
    }

    /// It can be asked: it has said what it has promised, and is heard.
    fn is_there(&self) -> bool {
        self.link.is_some() && self.claim.is_some()
    }

    /// It has said that it keeps this record. One of a higher term is no answer.
    fn has(&self, (term, number): Place) -> bool {
        let kept = |(of, newest): Place| of == term && newest >= number;
        self.record.is_some_and(kept)
    }
}

impl World {
    fn peer(&self, node: usize) -> Option<&Peer> {
        self.nodes[node].sup.as_ref()?.peer.as_ref()
    }

    fn peer_mut(&mut self, node: usize) -> Option<&mut Peer> {
        self.nodes[node].sup.as_mut()?.peer.as_mut()
    }

    fn other_mut(&mut self, node: usize, other: usize) -> Option<&mut Other> {
        self.peer_mut(node)?.others.get_mut(&other)
    }

    fn makes(&self, mistake: Mistake) -> bool {
        self.mistake == Some(mistake)
    }

    pub(crate) fn join_peers(&mut self, node: usize, life: u64) {
        let name = self.name(node);
        let found = self.nodes[node].disk.ballot.clone();
        let mut pact = Pact::begin(name.clone(), &found);
        if self.makes(Mistake::RightOutlivesItsProcess) {
            let held = found.is_of(&name) && !found.ended;
            pact.keep(found);
            if held {
                pact.take();
            }
        }
        self.nodes[node].disk.ballot = pact.ballot().clone();
        let others = (0..self.nodes.len()).filter(|other| *other != node);
        let peer = Peer {
            pact,
            others: others.map(|other| (other, Other::default())).collect(),
            told: None,
            heir_since: None,
            member: None,
            has_news: false,
            wishes: VecDeque::new(),
            asking: None,
            commits: BTreeMap::new(),
            is_sealed: false,
            passed_at: None,
        };
        if let Some(sup) = &mut self.nodes[node].sup {
            sup.peer = Some(peer);
        }
        let what = PeerEvent::Word;
        self.after(1, Event::Peer { node, life, what });
    }

    pub(crate) fn peer_goes_on(&mut self, node: usize, life: u64, what: PeerEvent) {
        if self.nodes[node].life() != Some(life) {
            return;
        }
        match what {
            PeerEvent::Word => self.word_is_due(node, life),
            PeerEvent::News => self.tell_others(node),
            PeerEvent::WishLate | PeerEvent::KeptLate => {}
            PeerEvent::Written { id } => self.written(node, id),
            PeerEvent::InstallAgain { op, since } => self.install_sealed(node, op, since),
            PeerEvent::KeepLate { record } => self.nodes[node].disk.keep(Some(record)),
            PeerEvent::Fenced { op, absent } => self.fenced(node, life, op, &absent),
            PeerEvent::RecordLate { to } => self.record_follows(node, to),
        }
        self.peer_changed(node);
    }

    /// Whatever waits for a message, for the disk or for its time looks again.
    fn peer_changed(&mut self, node: usize) {
        self.wish_goes_on(node);
        self.commits_go_on(node);
    }

    fn word_is_due(&mut self, node: usize, life: u64) {
        let what = PeerEvent::Word;
        self.after(WORD_MS, Event::Peer { node, life, what });
        self.keep_links(node);
        self.tell_others(node);
        self.tell_holder(node);
    }

    /// Has a ballot on the disk before anything rests on it. What it takes from this node is told.
    fn keep(&mut self, node: usize, ballot: Ballot) -> Result<(), ()> {
        if self.nodes[node].disk.failing {
            return Err(());
        }
        self.nodes[node].disk.ballot = ballot.clone();
        self.keep_in_memory(node, ballot);
        Ok(())
    }

    fn keep_in_memory(&mut self, node: usize, ballot: Ballot) {
        let now = self.now;
        let Some(peer) = self.peer_mut(node) else {
            return;
        };
        peer.heir_since = ballot.heir.as_ref().map(|_| now);
        if !ballot.is_of(peer.pact.node()) {
            // Another node has, or had, a term since: whoever has promised it may live.
            peer.others
                .values_mut()
                .for_each(|other| other.is_dead = false);
        }
        if let Some(lost) = peer.pact.keep(ballot) {
            self.tell_engine(node, AuthorityNews::TermLost(lost));
        }
    }

    fn tell_engine(&mut self, node: usize, news: AuthorityNews) {
        if let Some(life) = self.nodes[node].life() {
            let input = Input::Authority(news);
            self.after(0, Event::Tell { node, life, input });
        }
    }

    /// Tells the engine who holds the term, where that has changed and where it is known.
    fn tell_holder(&mut self, node: usize) {
        let Some(holder) = self.holder(node) else {
            return;
        };
        let Some(sup) = &mut self.nodes[node].sup else {
            return;
        };
        let (life, knows_none) = (sup.life, sup.engine.last_committed().is_none());
        let Some(peer) = &mut sup.peer else { return };
        if peer.told.as_ref() == Some(&holder) {
            return;
        }
        peer.told = Some(holder.clone());
        let newest = self.nodes[node].disk.record.as_ref();
        if let Some(mark) = newest.map(|record| record.mark).filter(|_| knows_none) {
            let facts = GateFacts {
                last: Some(mark),
                waiting: 0,
            };
            let input = Input::Gate(facts);
            self.after(0, Event::Tell { node, life, input });
        }
        self.tell_engine(node, AuthorityNews::Holder(holder));
    }

    /// `Some(None)`: nobody, and this node could take it. `None`: it cannot be told.
    fn holder(&self, node: usize) -> Option<Option<NodeName>> {
        let peer = self.peer(node)?;
        let ballot = peer.pact.ballot();
        if self.takes_back(node) {
            return Some(None);
        }
        let believes_silence = self.makes(Mistake::SilenceTakenForDeath);
        let is_silent = |of: &NodeName| {
            let other = peer.others.get(&self.index(of));
            other.is_some_and(|other| other.link.is_none())
        };
        if !ballot.ended
            && let Some(holder) = &ballot.holder
            && !(believes_silence && is_silent(holder))
        {
            return Some(Some(holder.clone()));
        }
        if peer.pact.is_entitled() || believes_silence {
            return Some(None);
        }
        if let Some(heir) = &ballot.heir {
            let is_early = peer
                .heir_since
                .is_some_and(|since| since + HEIR_FIRST_MS > self.now);
            if is_early && !is_silent(heir) {
                return Some(Some(heir.clone()));
            }
        }
        peer.others.values().all(Other::is_there).then_some(None)
    }

    /// By a mistake: a handover that takes long is given up by one side alone.
    fn takes_back(&self, node: usize) -> bool {
        let Some(peer) = self.peer(node) else {
            return false;
        };
        let mut members = peer.others.values().filter_map(|other| other.member);
        let is_late = peer.passed_at.is_some_and(|at| at + 800 < self.now);
        is_late && !members.any(|member| member.active_term.is_some())
    }

    /// By a mistake: only now, and only where there still is a link.
    fn record_follows(&mut self, node: usize, to: usize) {
        let link = self.other_mut(node, to).and_then(|other| other.link);
        let record = self.nodes[node].disk.record.clone();
        if let (Some(conn), Some(record)) = (link, record) {
            self.send_on(node, to, conn, Message::Record(record));
        }
    }

    /// Where the newest record on this disk stands.
    fn newest(&self, node: usize) -> Option<Place> {
        self.nodes[node].disk.record.as_ref().map(Record::place)
    }
}
