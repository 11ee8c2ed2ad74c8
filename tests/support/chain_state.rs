//! What the chain knows, and how votes and slots change it. No sockets, no clock.

use crate::keys;
use crate::wire::{ClusterState, Content, Peer, SentVote, VoteAccount};
use std::collections::{BTreeMap, BTreeSet};

/// The chain's own node: leads what nobody else leads, and answers the cluster RPC.
pub const OTHER_LEADER: &str = "other leader";

#[derive(Debug)]
pub(crate) struct ChainState {
    pub(crate) cluster: ClusterState,
    /// By connection.
    connected: BTreeMap<u64, Peer>,
    /// Shown in gossip although nobody is connected under it.
    made_up: Vec<Peer>,
    pub(crate) halted: bool,
    empty_slots: u64,
    pub(crate) cut_off: BTreeSet<String>,
    pub(crate) votes: Vec<SentVote>,
}

impl ChainState {
    pub(crate) fn new(
        first_slot: u64,
        slots_in_epoch: u64,
        vote_accounts: BTreeMap<String, VoteAccount>,
    ) -> Self {
        let cluster = ClusterState {
            slot: first_slot,
            block: Some(block_of(first_slot)),
            genesis_hash: keys::address_from_seed("genesis"),
            slots_in_epoch,
            other_leader: keys::address(&keys::from_seed(OTHER_LEADER)),
            leader_slots: BTreeMap::new(),
            vote_accounts,
            peers: Vec::new(),
        };
        Self {
            cluster,
            connected: BTreeMap::new(),
            made_up: Vec::new(),
            halted: false,
            empty_slots: 0,
            cut_off: BTreeSet::new(),
            votes: Vec::new(),
        }
    }

    pub(crate) fn next_slot(&mut self) {
        self.cluster.slot += 1;
        let empty = self.empty_slots > 0;
        self.empty_slots = self.empty_slots.saturating_sub(1);
        self.cluster.block = (!empty).then(|| block_of(self.cluster.slot));
    }

    pub(crate) fn leave_empty(&mut self, slots: u64) {
        self.empty_slots = slots;
    }

    pub(crate) fn show(&mut self, connection: u64, peer: Peer) {
        self.connected.insert(connection, peer);
        self.gossip();
    }

    pub(crate) fn hide(&mut self, connection: u64) {
        self.connected.remove(&connection);
        self.gossip();
    }

    pub(crate) fn make_up(&mut self, peers: Vec<Peer>) {
        self.made_up = peers;
        self.gossip();
    }

    fn gossip(&mut self) {
        self.cluster.peers = self
            .connected
            .values()
            .chain(&self.made_up)
            .cloned()
            .collect();
    }

    pub(crate) fn is_cut_off(&self, connection: u64) -> bool {
        self.connected
            .get(&connection)
            .is_some_and(|peer| self.cut_off.contains(&peer.instance.node))
    }

    /// Keeps `vote` for the judge, and lands it if the vote account takes votes of that identity and
    /// the sender can be heard.
    pub(crate) fn take_vote(&mut self, vote: SentVote) {
        let heard = !self.cut_off.contains(&vote.instance.node);
        let account = self.cluster.vote_accounts.get_mut(&vote.vote_account);
        if let Some(account) = account.filter(|account| heard && account.node == vote.identity) {
            let slot = vote.content.slot();
            if slot > account.last_vote {
                account.last_vote = slot;
                if let Content::Tower { tower, .. } = &vote.content {
                    account.tower = Some(tower.clone());
                }
            }
        }
        self.votes.push(vote);
    }
}

/// The id of the one block of `slot`, base-58 of 32 bytes.
pub(crate) fn block_of(slot: u64) -> String {
    keys::address_from_seed(&format!("block {slot}"))
}
