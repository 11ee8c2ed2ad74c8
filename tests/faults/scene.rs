//! What every lab has, whoever the authority is: a chain with its judge, the nodes, and the network between them if one is wanted.

use crate::SOON_MS;
use crate::lab::TTL_MS;
use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::{Condvar, Mutex, PoisonError};
use testkit::chain::{Chain, ChainSpec};
use testkit::etcd::Place;
use testkit::keys;
use testkit::netns::Network;
use testkit::node::Node;
use testkit::stand_in::{Protocol, StandIn, until};
use testkit::wire::{Peer, SentVote, now_us};

/// How late a busy machine may be.
pub(crate) const LATE_MS: u64 = 2_000;
const SLOT_MS: u64 = 50;

/// The fields are dropped in this order: the nodes before what they stand on.
#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) nodes: Vec<Node>,
    pub(crate) chain: PlacedChain,
    pub(crate) network: Option<Network>,
    pub(crate) protocol: Protocol,
    pub(crate) identity: String,
    pub(crate) dir: tempfile::TempDir,
    _seat: Seat,
}

impl Scene {
    /// Everything but the supervisors runs, which are not configured yet.
    pub(crate) fn new(
        protocol: Protocol,
        names: &[&str],
        network: Option<Network>,
        room: usize,
    ) -> Self {
        let seat = Seat::take(room);
        let dir = tempfile::tempdir().expect("a temporary directory");
        let place = |name: &str| network.as_ref().map(|network| network.host(name).place());
        let staked = keys::from_seed("the staked identity");
        let identity = keys::address(&staked);
        let vote_account = keys::address_from_seed("the vote account");
        let spec = ChainSpec::new(SLOT_MS).vote_account(&vote_account, &identity);
        let chain = PlacedChain::start(spec, place("chain"));
        let node = |name: &&str| {
            let dir = dir.path().join(name);
            std::fs::create_dir(&dir).expect("a directory");
            let addr = chain.addr();
            let stand_in = StandIn::new(&dir, name, addr, protocol, &vote_account, &staked);
            let supervisor = env!("CARGO_BIN_EXE_supervisor").into();
            let node = Node::new(stand_in.expect("a stand-in"), supervisor, place(name));
            node.expect("a node")
        };
        Self {
            nodes: names.iter().map(node).collect(),
            chain,
            network,
            protocol,
            identity,
            dir,
            _seat: seat,
        }
    }

    /// The last word of the chain's judge.
    pub(crate) fn judge(&mut self) {
        self.nodes.iter_mut().for_each(Node::kill);
        // Votes that left before the end are on their way.
        self.chain.let_slots_pass(2);
        self.chain.settle();
        println!("{}", self.chain.expect_clean());
    }

    /// The first node begins alone: where nobody has voted yet, every standby tries and finds no record.
    #[track_caller]
    pub(crate) fn start_voting(&mut self) {
        let first = self.nodes[0].name().to_owned();
        self.nodes[0].start();
        self.nodes[0].await_role("standby");
        let votes = || {
            // Refused where it votes already, or has lost the term to a busy machine and takes it by itself.
            let _ = self.nodes[0].ctl(&["promote", "--first-vote"]);
            self.chain.wait(SLOT_MS, |votes| votes.len() >= 5)
        };
        assert!(until(SOON_MS, votes), "the first votes");
        self.nodes[1..].iter_mut().for_each(Node::start);
        self.nodes[1..]
            .iter()
            .for_each(|node| node.await_role("standby"));
        let votes = || {
            // A busy machine may have cost it the term meanwhile, and another node votes: it asks for it back.
            if self.nodes[0].role().as_deref() == Some("standby") {
                let _ = self.nodes[0].ctl(&["promote", "--timeout", "5s"]);
            }
            self.sends_votes(&first)
        };
        assert!(until(SOON_MS, votes), "votes of {first} beside the others");
    }

    /// # Panics
    /// There is no such node.
    pub(crate) fn node(&self, name: &str) -> &Node {
        let node = self.nodes.iter().find(|node| node.name() == name);
        node.unwrap_or_else(|| panic!("no node {name}"))
    }

    /// # Panics
    /// There is no such node.
    pub(crate) fn node_mut(&mut self, name: &str) -> &mut Node {
        let node = self.nodes.iter_mut().find(|node| node.name() == name);
        node.unwrap_or_else(|| panic!("no node {name}"))
    }

    pub(crate) fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Waits until `name` knows so many others that are ready.
    #[track_caller]
    pub(crate) fn await_peers(&self, name: &str, count: usize) {
        let ready = || {
            let status = self.node(name).status()?;
            let peers = status["peers"].as_array()?.iter();
            Some(
                peers
                    .filter(|peer| peer["role"] == "standby" || peer["role"] == "active")
                    .count(),
            )
        };
        assert!(until(SOON_MS, || ready() >= Some(count)), "{count} others");
    }

    /// Whether `name` takes the other one for a standby that could vote at once.
    pub(crate) fn knows_as_ready(&self, name: &str, other: &str) -> bool {
        let peers = self
            .node(name)
            .status()
            .map(|status| status["peers"].clone());
        let mut peers = peers.iter().flat_map(|peers| peers.as_array()).flatten();
        peers.any(|peer| {
            peer["node"] == other && peer["role"] == "standby" && peer["in_step"] != false
        })
    }

    /// Waits until each knows the other one, and the one that does not vote could at once.
    #[track_caller]
    pub(crate) fn await_ready(&self) {
        for (name, other) in [("a", "b"), ("b", "a")] {
            // Of a process that was killed its last word may be known for a while.
            let votes = self.node(name).role().as_deref() == Some("active");
            let wanted = if votes { "standby" } else { "active" };
            let role = || {
                let status = self.node(name).status()?;
                status["peers"].as_array()?.iter().find_map(|peer| {
                    let role = peer["role"].as_str()?;
                    let is_ready = !votes || peer["in_step"] != false;
                    (peer["node"] == other && is_ready).then(|| role.to_owned())
                })
            };
            let known = until(SOON_MS, || role().as_deref() == Some(wanted));
            assert!(known, "{name} knows {other} as {:?}", role());
        }
    }

    /// Whether `name` says that it cannot reach the other one.
    pub(crate) fn has_lost_the_other(&self, name: &str) -> bool {
        let status = self.node(name).status();
        status.is_some_and(|status| status["peers"][0]["role"].is_null())
    }

    /// # Panics
    /// The node goes by no clock of its own.
    pub(crate) fn step_clock(&self, name: &str, offset_ms: i64) {
        let clock = self.node(name).clock.as_ref().expect("a clock");
        clock.set(offset_ms).expect("a step");
    }

    /// # Panics
    /// The lab has no hosts.
    pub(crate) fn network(&self) -> &Network {
        self.network.as_ref().expect("a lab with hosts")
    }

    /// `count` votes of a node, sent after this call.
    #[track_caller]
    pub(crate) fn await_votes_of(&self, name: &str, count: usize, within_ms: u64) {
        let from_us = now_us();
        let of_it = |vote: &&SentVote| vote.instance.node == name && vote.sent_us >= from_us;
        let enough = |votes: &[SentVote]| votes.iter().filter(of_it).count() >= count;
        let came = self.chain.wait(within_ms, enough);
        assert!(came, "no {count} votes of {name} within {within_ms} ms");
    }

    /// Milliseconds from `from_us` to the first vote of a node after it.
    #[track_caller]
    pub(crate) fn gap_ms(&self, name: &str, from_us: u64) -> u64 {
        let first = |votes: &[SentVote]| {
            let after = votes.iter().filter(|vote| vote.sent_us > from_us);
            let mut of_it = after.filter(|vote| vote.instance.node == name);
            of_it.next().map(|vote| vote.sent_us)
        };
        let came = self.chain.wait(SOON_MS, |votes| first(votes).is_some());
        assert!(came, "no vote of {name}");
        first(&self.chain.votes()).map_or(0, |sent_us| (sent_us - from_us) / 1000)
    }

    /// Whether the validator of `name` shows the staked identity in gossip.
    pub(crate) fn carries_identity(&self, name: &str) -> bool {
        let peers = self.chain.cluster().peers;
        let of_it = |peer: &Peer| peer.instance.node == name && peer.identity == self.identity;
        peers.iter().any(of_it)
    }

    /// A holder whose lease cannot be renewed since `from_us` is off the identity by its end, and sends nothing after it.
    #[track_caller]
    pub(crate) fn expect_off_by_lease_end(&self, name: &str, from_us: u64) {
        // What the machine is late by is no fault of the node.
        let end_us = from_us + (TTL_MS + LATE_MS) * 1000;
        let left_ms = end_us.saturating_sub(now_us()) / 1000;
        let off = until(left_ms, || !self.carries_identity(name));
        assert!(
            off,
            "{name} is still on the identity at the end of its lease"
        );
        let late = |vote: &&SentVote| vote.instance.node == name && vote.sent_us > end_us;
        assert_eq!(
            self.chain.votes().iter().filter(late).count(),
            0,
            "votes of {name} after its lease"
        );
    }

    /// The longest time between two votes in a row until `count` more were sent after `from_us`.
    #[track_caller]
    pub(crate) fn longest_gap_ms(&self, from_us: u64, count: usize) -> u64 {
        let after = |votes: &[SentVote]| votes.iter().filter(|vote| vote.sent_us > from_us).count();
        let came = self.chain.wait(SOON_MS, |votes| after(votes) >= count);
        assert!(came, "no {count} votes");
        let mut sent: Vec<u64> = self.chain.votes().iter().map(|vote| vote.sent_us).collect();
        sent.sort_unstable();
        let gaps = sent.windows(2).filter(|pair| pair[1] > from_us);
        gaps.map(|pair| (pair[1] - pair[0]) / 1000)
            .max()
            .unwrap_or(0)
    }

    /// The chain goes on for so long.
    pub(crate) fn let_ms_pass(&self, ms: u64) {
        self.chain.let_slots_pass(ms / SLOT_MS);
    }

    /// From here on nothing leaves until somebody is marked as promoted, but what was committed before this call.
    pub(crate) fn nothing_can_be_committed(&self) {
        self.let_votes_arrive();
        self.chain.demoted(&self.identity, None);
    }

    /// A vote committed just before may still be on its way out: a busy machine keeps its threads waiting.
    fn let_votes_arrive(&self) {
        self.chain.let_slots_pass(4);
        self.chain.settle();
    }

    /// Nobody sends a vote for so long.
    #[track_caller]
    pub(crate) fn expect_silence_for(&self, ms: u64) {
        self.let_votes_arrive();
        let votes = self.chain.votes().len();
        self.let_ms_pass(ms);
        self.chain.settle();
        assert_eq!(self.chain.votes().len(), votes, "votes were sent");
    }

    /// Waits until one node votes and all others that run are off the identity, and votes have come from it. Says which.
    #[track_caller]
    pub(crate) fn await_one_voter(&self, within_ms: u64) -> String {
        let mut seen = Vec::new();
        let mut voter = None;
        let came = until(within_ms, || {
            seen = self.nodes.iter().map(Node::role).collect::<Vec<_>>();
            voter = self.one_voter(&seen);
            voter.is_some_and(|voter| self.sends_votes(voter.name()))
        });
        assert!(came, "within {within_ms} ms no single node votes: {seen:?}");
        voter
            .map(|voter| voter.name().to_owned())
            .unwrap_or_default()
    }

    fn one_voter(&self, roles: &[Option<String>]) -> Option<&Node> {
        let off = |role: &str| ["standby", "parked", "catching-up", "starting"].contains(&role);
        let mut others = roles.iter().enumerate().filter(|(_, role)| {
            // One that is killed has no role.
            role.as_deref().is_some_and(|role| !off(role))
        });
        let (index, role) = others.next()?;
        let alone = others.next().is_none() && role.as_deref() == Some("active");
        alone.then(|| &self.nodes[index])
    }

    fn sends_votes(&self, name: &str) -> bool {
        let from_us = now_us();
        let of_it = |vote: &&SentVote| vote.instance.node == name && vote.sent_us >= from_us;
        self.chain
            .wait(LATE_MS, |votes| votes.iter().filter(of_it).count() >= 5)
    }
}

/// A chain on a host of its own, or beside the test.
#[derive(Debug)]
pub(crate) struct PlacedChain {
    chain: Option<Chain>,
    place: Option<Place>,
}

impl PlacedChain {
    fn start(spec: ChainSpec, place: Option<Place>) -> Self {
        let chain = match &place {
            Some(place) => {
                let spec = spec.listen(SocketAddr::from((place.address, 0)));
                let start = || Chain::start(spec);
                place
                    .namespace
                    .within(start)
                    .expect("the host of the chain")
            }
            None => Chain::start(spec),
        };
        Self {
            chain: Some(chain.expect("a chain")),
            place,
        }
    }
}

impl Deref for PlacedChain {
    type Target = Chain;

    fn deref(&self) -> &Chain {
        self.chain.as_ref().expect("a chain until it is dropped")
    }
}

impl Drop for PlacedChain {
    /// Its end is a connection to itself, which is made where it listens.
    fn drop(&mut self) {
        if let (Some(chain), Some(place)) = (self.chain.take(), &self.place) {
            // The host is there as long as the handle is.
            let _ = place.namespace.within(move || drop(chain));
        }
    }
}

/// The right to have a lab: leases of two seconds live on a machine that is busy with a few of them only, however many threads
/// the tests run on.
#[derive(Debug)]
struct Seat(usize);

static TAKEN: Mutex<usize> = Mutex::new(0);
static FREED: Condvar = Condvar::new();
const ROOM: usize = 15;
/// Three labs with etcd at once.
pub(crate) const ROOM_OF_LAB: usize = 5;
/// There is no etcd in it, and no lease: five of them.
pub(crate) const ROOM_OF_PAIR: usize = 3;

impl Seat {
    fn take(room: usize) -> Self {
        let taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
        let free = FREED.wait_while(taken, |taken| *taken + room > ROOM);
        *free.unwrap_or_else(PoisonError::into_inner) += room;
        Self(room)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        *TAKEN.lock().unwrap_or_else(PoisonError::into_inner) -= self.0;
        FREED.notify_all();
    }
}
