//! The stand-in chain: ticks slots, takes in every vote that stand-in validators send, shows the
//! cluster over JSON-RPC, and has the votes judged at the end.
//!
//! It has one fork, believes every vote and checks no signature. It never stops a node: what a node
//! sends reaches the judge even when it is cut off.
//!
//! ```text
//! use testkit::chain::{Chain, ChainSpec};
//!
//! let chain = Chain::start(ChainSpec::new(50).vote_account(&vote_account, &staked_identity))?;
//! // start `stand-in-validator … --stand-in-chain <chain.addr()> --stand-in-name a`;
//! // put chain.rpc_url() under `[cluster] rpc`
//! assert!(chain.wait(10_000, |votes| votes.len() > 20));    // polls, with a deadline in ms
//! // demote node a in some way, then say so:
//! chain.demoted(&staked_identity, Some("a"));                // from here on no vote of a
//! chain.let_slots_pass(20);
//! chain.verdict()                                            // Result<Summary, Vec<Finding>>
//! chain.expect_clean();                                      // or: panics with the findings
//! ```
//!
//! Trouble on request: [`Chain::halt`], [`Chain::leave_empty`], [`Chain::cut_off`],
//! [`Chain::set_node`], [`Chain::land_foreign_vote`], [`Chain::make_up_peers`],
//! [`Chain::set_rpc_health`], [`Chain::fail_rpc`].
//!
//! All of it ends when the `Chain` is dropped.

use crate::chain_shared::Shared;
use crate::chain_state::ChainState;
use crate::http::Server;
use crate::judge::{self, Finding, Judge, Summary};
use crate::record::State;
use crate::rpc::Health;
use crate::wire::{ClusterState, Peer, SentVote, VoteAccount, now_us};
use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// How long [`Chain::settle`] waits for a stand-in to answer; a stopped one does not.
const SETTLE_MS: u64 = 1_000;

/// What a chain starts with.
#[derive(Clone, Debug)]
pub struct ChainSpec {
    slot_ms: u64,
    first_slot: u64,
    slots_in_epoch: u64,
    listen: SocketAddr,
    vote_accounts: BTreeMap<String, VoteAccount>,
}

impl ChainSpec {
    /// A chain with slots of `slot_ms` (real ones have 400) that starts at slot 1000, on free ports
    /// of 127.0.0.1.
    #[must_use]
    pub fn new(slot_ms: u64) -> Self {
        Self {
            slot_ms,
            first_slot: 1_000,
            slots_in_epoch: 8_192,
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            vote_accounts: BTreeMap::new(),
        }
    }

    /// A vote account (address) that takes votes of the identity `node`, which is its authorized
    /// voter too.
    #[must_use]
    pub fn vote_account(mut self, address: &str, node: &str) -> Self {
        let account = VoteAccount {
            node: node.to_owned(),
            authorized_voter: node.to_owned(),
            stake: 1_000_000_000,
            last_vote: 0,
            tower: None,
        };
        self.vote_accounts.insert(address.to_owned(), account);
        self
    }

    #[must_use]
    pub fn first_slot(mut self, slot: u64) -> Self {
        self.first_slot = slot;
        self
    }

    /// At least 1.
    #[must_use]
    pub fn slots_in_epoch(mut self, slots: u64) -> Self {
        self.slots_in_epoch = slots.max(1);
        self
    }

    /// Where stand-ins connect.
    #[must_use]
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.listen = address;
        self
    }
}

/// A running chain; see the module.
#[derive(Debug)]
pub struct Chain {
    shared: Arc<Shared>,
    address: SocketAddr,
    rpc: Server,
    marks: Mutex<Judge>,
}

impl Chain {
    /// # Errors
    /// A port cannot be listened on, or no thread can be started.
    pub fn start(spec: ChainSpec) -> io::Result<Self> {
        let listener = TcpListener::bind(spec.listen)?;
        let address = listener.local_addr()?;
        let state = ChainState::new(spec.first_slot, spec.slots_in_epoch, spec.vote_accounts);
        let shared = Arc::new(Shared::new(state));
        let answering = Arc::clone(&shared);
        let rpc = Server::start(
            SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            Arc::new(move |method, params| answering.answer(method, params)),
        )?;
        let ticking = Arc::clone(&shared);
        let slot = Duration::from_millis(spec.slot_ms.max(1));
        thread::Builder::new()
            .name("chain-slots".into())
            .spawn(move || ticking.tick(slot))?;
        let accepting = Arc::clone(&shared);
        thread::Builder::new()
            .name("chain-accept".into())
            .spawn(move || accepting.accept(&listener))?;
        Ok(Self {
            shared,
            address,
            rpc,
            marks: Mutex::new(Judge::new()),
        })
    }

    /// Where stand-ins connect: `--stand-in-chain`.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.address
    }

    /// The cluster's JSON-RPC.
    #[must_use]
    pub fn rpc_url(&self) -> String {
        format!("http://{}", self.rpc.address())
    }

    #[must_use]
    pub fn slot(&self) -> u64 {
        self.shared.lock().chain.cluster.slot
    }

    #[must_use]
    pub fn cluster(&self) -> ClusterState {
        self.shared.lock().chain.cluster.clone()
    }

    /// Every vote received, in the order in which it was received.
    #[must_use]
    pub fn votes(&self) -> Vec<SentVote> {
        self.shared.lock().chain.votes.clone()
    }

    /// Waits until `enough` holds for the votes received, for `within_ms` at most. Says whether it does.
    #[must_use]
    pub fn wait(&self, within_ms: u64, enough: impl Fn(&[SentVote]) -> bool) -> bool {
        self.shared
            .wait(within_ms, |inner| enough(&inner.chain.votes))
    }

    /// Waits until `count` slots have gone by. Does not return on a halted chain before that goes on.
    pub fn let_slots_pass(&self, count: u64) {
        let until = self.slot() + count;
        while !self
            .shared
            .wait(60_000, |inner| inner.chain.cluster.slot >= until)
        {}
    }

    /// Waits until everything that stand-ins sent before the call has been received.
    pub fn settle(&self) {
        let nonce = self.shared.ping();
        let _ = self.shared.wait(SETTLE_MS, |inner| {
            inner.links.values().all(|link| link.answered >= nonce)
        });
    }

    /// From this moment on, `node` (or every node) may send no vote of `identity`.
    pub fn demoted(&self, identity: &str, node: Option<&str>) {
        self.marks().demoted(identity, node, now_us());
    }

    /// From this moment on, `node` may send votes of `identity` again.
    pub fn promoted(&self, identity: &str, node: &str) {
        self.marks().promoted(identity, node, now_us());
    }

    /// See [`Judge::turns_are_marked`].
    pub fn turns_are_marked(&self) {
        self.marks().turns_are_marked();
    }

    /// `record` of `identity` became durable at `at_us`; see [`Judge::committed`].
    pub fn committed(&self, identity: &str, at_us: u64, record: State) {
        self.marks().committed(identity, at_us, record);
    }

    /// The judge's verdict on everything sent so far.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn verdict(&self) -> Result<Summary, Vec<Finding>> {
        self.settle();
        let mut judge = self.marks().clone();
        for vote in self.votes() {
            judge.vote(vote);
        }
        judge.verdict()
    }

    /// The summary of a clean verdict.
    ///
    /// # Panics
    /// With the findings, when there are any.
    pub fn expect_clean(&self) -> Summary {
        match self.verdict() {
            Ok(summary) => summary,
            Err(findings) => panic!("the judge has {}", judge::report(&findings)),
        }
    }

    /// Everyone's slot stands still, or goes on.
    pub fn halt(&self, halted: bool) {
        self.shared.change(|chain| chain.halted = halted);
    }

    /// The next `slots` slots have no block. Alpenglow votes skip, Tower BFT does not vote.
    pub fn leave_empty(&self, slots: u64) {
        self.shared.change(|chain| chain.leave_empty(slots));
    }

    /// `node` hears nothing of the chain, and its votes do not land; the judge gets them all the same.
    pub fn cut_off(&self, node: &str, cut: bool) {
        self.shared.change(|chain| {
            if cut {
                chain.cut_off.insert(node.to_owned());
            } else {
                chain.cut_off.remove(node);
            }
        });
    }

    /// The vote account takes votes of the identity `node` from now on.
    pub fn set_node(&self, vote_account: &str, node: &str) {
        self.change_account(vote_account, |account| node.clone_into(&mut account.node));
    }

    pub fn set_authorized_voter(&self, vote_account: &str, voter: &str) {
        self.change_account(vote_account, |account| {
            voter.clone_into(&mut account.authorized_voter);
        });
    }

    /// The vote account shows a vote for `slot` that none of the stand-ins sent.
    pub fn land_foreign_vote(&self, vote_account: &str, slot: u64) {
        self.change_account(vote_account, |account| account.last_vote = slot);
    }

    /// `identity` leads these slots, and no others.
    pub fn set_leader_slots(&self, identity: &str, slots: impl IntoIterator<Item = u64>) {
        let slots = slots.into_iter().collect();
        self.shared.change(|chain| {
            chain
                .cluster
                .leader_slots
                .insert(identity.to_owned(), slots);
        });
    }

    /// Gossip shows these too, in place of those made up before.
    pub fn make_up_peers(&self, peers: Vec<Peer>) {
        self.shared.change(|chain| chain.make_up(peers));
    }

    /// What the cluster's RPC says of its own health.
    pub fn set_rpc_health(&self, health: Health) {
        self.shared.lock().rpc_health = health;
    }

    /// The cluster's RPC answers every call with an internal error, or answers again.
    pub fn fail_rpc(&self, failing: bool) {
        self.shared.lock().rpc_fails = failing;
    }

    fn change_account(&self, vote_account: &str, change: impl FnOnce(&mut VoteAccount)) {
        self.shared.change(|chain| {
            if let Some(account) = chain.cluster.vote_accounts.get_mut(vote_account) {
                change(account);
            }
        });
    }

    fn marks(&self) -> MutexGuard<'_, Judge> {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Chain {
    fn drop(&mut self) {
        self.shared.lock().ending = true;
        self.shared.news.notify_all();
        // Wakes the accepting thread, so that it sees the end.
        let _ = TcpStream::connect(self.address);
    }
}
