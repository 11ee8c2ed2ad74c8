//! The voting thread: decides each slot's vote, and switches to another identity some time after it was set.
//!
//! ```text
//! setIdentity returns ──► a slot with the old identity (the straggler, unless muted)
//!                     ──► first slot after `switch_ms`: mkdir, load the record, 1 ms, first vote
//! ```

use crate::node::Node;
use crate::vote_service::Job;
use ed25519_dalek::SigningKey;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::thread;
use std::time::{Duration, Instant};
use testkit::faults::Faults;
use testkit::history::{History, Vote};
use testkit::keys;
use testkit::record::{self, State};
use testkit::wire::{ClusterState, Content, VoteAccount};

/// Between loading the record and the first vote with it.
const MARKER_LEAD: Duration = Duration::from_millis(1);
/// Slots that an Alpenglow history goes back.
const HISTORY_SLOTS: u64 = 16;

#[derive(Debug)]
pub(crate) struct Replay {
    node: Arc<Node>,
    jobs: Sender<Job>,
    key: SigningKey,
    /// None until the first slot, when no record was found.
    state: Option<State>,
    last_slot: u64,
    /// Slots seen since another identity was set.
    slots_before_switch: u64,
    /// The thread that votes is gone, and the process goes on.
    is_lost: bool,
}

impl Replay {
    /// Loads the record of the identity we start with, in the thread that calls.
    pub(crate) fn new(node: Arc<Node>, jobs: Sender<Job>) -> Self {
        let key = node.shared().identity.clone();
        let state = load_record(&node, &key).ok();
        Self {
            node,
            jobs,
            key,
            state,
            last_slot: 0,
            slots_before_switch: 0,
            is_lost: false,
        }
    }

    /// A new state of the cluster. Only a new slot is of interest here.
    pub(crate) fn take(&mut self, cluster: &ClusterState) {
        let faults = self.node.faults();
        if self.is_lost || cluster.slot <= self.last_slot || faults.is("stall_replay") {
            return;
        }
        self.last_slot = cluster.slot;
        self.follow_identity(&faults);
        if self.is_lost {
            return;
        }
        let Some(account) = cluster.vote_accounts.get(&self.node.flags.vote_account) else {
            let account = &self.node.flags.vote_account;
            self.node.log.line(
                "WARN",
                &format!("Vote account {account} does not exist.  Unable to vote"),
            );
            return;
        };
        let state = match self.state.take() {
            Some(state) => state,
            None => self.state_from_chain(account),
        };
        self.state = Some(self.vote(state, cluster, account, &faults));
    }

    fn follow_identity(&mut self, faults: &Faults) {
        let (identity, since) = {
            let shared = self.node.shared();
            (shared.identity.clone(), shared.identity_since)
        };
        if identity == self.key {
            self.slots_before_switch = 0;
            return;
        }
        let delay = Duration::from_millis(faults.number("switch_ms").unwrap_or(300));
        if self.slots_before_switch == 0 || Instant::now() < since + delay {
            self.slots_before_switch += 1;
            return;
        }
        self.slots_before_switch = 0;
        if faults.is("lose_voting_thread") {
            self.is_lost = true;
            return;
        }
        let (old, new) = (keys::address(&self.key), keys::address(&identity));
        self.state = match load_record(&self.node, &identity) {
            Ok(state) => Some(state),
            Err(problem) => {
                self.node.log.line(
                    "WARN",
                    &format!("no record of {new}, going on without: {problem}"),
                );
                None
            }
        };
        self.key = identity;
        self.node
            .log
            .line("WARN", &format!("Identity changed from {old} to {new}"));
        thread::sleep(MARKER_LEAD);
    }

    /// Without a record, a tower is taken from the chain; a history starts empty.
    fn state_from_chain(&self, account: &VoteAccount) -> State {
        if self.node.flags.alpenglow {
            return State::History(History::default());
        }
        let mut tower = account.tower.clone().unwrap_or_default();
        tower.root = tower.root.or(Some(0));
        State::Tower(tower)
    }

    fn vote(
        &self,
        state: State,
        cluster: &ClusterState,
        account: &VoteAccount,
        faults: &Faults,
    ) -> State {
        let may_vote = self.may_vote(account, faults);
        match state {
            State::Tower(tower) => self.vote_tower(tower, cluster, may_vote),
            State::History(history) => self.vote_history(history, cluster, may_vote, faults),
        }
    }

    fn may_vote(&self, account: &VoteAccount, faults: &Faults) -> bool {
        let own_account = account.node == keys::address(&self.key) || faults.is("ignore_node");
        let voters: Vec<String> = self
            .node
            .shared()
            .voters
            .iter()
            .map(keys::address)
            .collect();
        let muted = !voters.contains(&account.authorized_voter) && !faults.is("vote_though_muted");
        own_account && !muted && !faults.is("stop_voting")
    }

    /// The tower in memory takes every vote, also those that are not sent: so does the real one.
    fn vote_tower(
        &self,
        mut tower: testkit::tower::Tower,
        cluster: &ClusterState,
        may_vote: bool,
    ) -> State {
        let Some(block) = &cluster.block else {
            return State::Tower(tower);
        };
        let is_new = tower.vote(cluster.slot);
        let state = State::Tower(tower.clone());
        if is_new && may_vote {
            self.send(
                &state,
                Some(Content::Tower {
                    tower,
                    hash: block.clone(),
                }),
            );
        }
        state
    }

    /// Two stores for a slot with a block, one for a slot without.
    fn vote_history(
        &self,
        mut history: History,
        cluster: &ClusterState,
        may_vote: bool,
        faults: &Faults,
    ) -> State {
        let slot = cluster.slot;
        if !may_vote && !faults.is("store_unstaked") {
            return State::History(history);
        }
        let votes = match &cluster.block {
            Some(block) => vec![
                Vote::Notarize {
                    slot,
                    block: block.clone(),
                },
                Vote::Finalize { slot },
            ],
            None => vec![Vote::Skip { slot }],
        };
        history.set_root(slot.saturating_sub(HISTORY_SLOTS));
        for vote in votes {
            if history.vote(&vote) {
                let state = State::History(history.clone());
                self.send(&state, may_vote.then_some(Content::Alpenglow(vote)));
            }
        }
        State::History(history)
    }

    fn send(&self, state: &State, content: Option<Content>) {
        let job = Job {
            key: self.key.clone(),
            vote_account: self.node.flags.vote_account.clone(),
            state: state.clone(),
            content,
        };
        // The storing thread lives as long as the process.
        let _ = self.jobs.send(job);
    }
}

/// Reads the record of `key`. Makes the directory first: that call is how a switch shows outside.
pub(crate) fn load_record(node: &Node, key: &SigningKey) -> Result<State, String> {
    let identity = keys::address(key);
    load_record_of(node, &identity, node.flags.alpenglow)
}

pub(crate) fn load_record_of(
    node: &Node,
    identity: &str,
    alpenglow: bool,
) -> Result<State, String> {
    let io = |error: std::io::Error| format!("IO Error: {error}");
    std::fs::create_dir_all(&node.flags.tower).map_err(io)?;
    let path = node
        .flags
        .records(alpenglow)
        .join(record::file_name(alpenglow, identity));
    let bytes = std::fs::read(path).map_err(io)?;
    record::from_bytes(alpenglow, identity, &bytes)
}
