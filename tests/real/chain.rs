//! The chain as the bootstrap sees it, and which votes of ours are on it. Observes only.
//!
//! Where a vote of ours shows:
//! - Tower BFT: a vote is a transaction; the vote account carries it as soon as the block that holds it is replayed,
//!   as a rule the block after the one voted for. Blocks tell exactly which votes landed where.
//! - Alpenglow: a vote is a message between validators and in no block. The leader of slot `s + 8` writes into its
//!   block who voted (to notarize or to skip) in slot `s`, and replaying that block sets the vote account to `s`. A
//!   finalization certificate that names us does the same earlier, but is as a rule complete without our stake.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use testkit::tower::{Lockout, Tower};

use crate::genesis::Protocol;
use crate::rpc::Rpc;
use crate::until::until;

/// Slots from the slot voted for to the block that shows an Alpenglow vote (`NUM_SLOTS_FOR_REWARD`, agave-votor-messages).
const ALPENGLOW_LANDING_SLOTS: u64 = 8;

/// Slots within which a Tower BFT vote that was sent lands, leaders being up.
const TOWER_LANDING_SLOTS: u64 = 4;

/// No slot takes longer than this on a machine that is merely busy.
const SLOT_AT_MOST: Duration = Duration::from_secs(3);

/// Our vote account in the newest block that the bootstrap has replayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OurVote {
    /// The block in which this was read.
    pub(crate) chain_slot: u64,
    /// The newest slot that a vote of ours names; 0 when none has landed.
    pub(crate) last_vote: u64,
    pub(crate) root_slot: Option<u64>,
}

/// A vote transaction of ours: the whole tower, and the bank hash of its last slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TowerVote {
    pub(crate) tower: Tower,
    pub(crate) hash: String,
}

/// The bootstrap's view of the chain and of our vote account.
pub(crate) struct Chain {
    rpc: Rpc,
    vote_account: String,
    protocol: Protocol,
}

impl Chain {
    pub(crate) fn new(rpc: Rpc, vote_account: &str, protocol: Protocol) -> Self {
        Self {
            rpc,
            vote_account: vote_account.to_owned(),
            protocol,
        }
    }

    /// The newest slot that the bootstrap has replayed.
    pub(crate) fn slot(&self) -> Result<u64, String> {
        self.rpc.processed_slot()
    }

    /// Whether `identity` leads none of the next so many slots.
    pub(crate) fn is_clear_of(&self, identity: &str, slots: u64) -> bool {
        let from = self.slot().ok();
        let leaders = from.and_then(|from| {
            let leaders = self.rpc.call("getSlotLeaders", json!([from, slots])).ok()?;
            leaders.as_array().cloned()
        });
        leaders.is_some_and(|leaders| leaders.iter().all(|leader| leader != identity))
    }

    pub(crate) fn wait_for_slot(&self, slot: u64, within: Duration) -> u64 {
        until(&format!("slot {slot}"), within, || {
            self.slot().ok().filter(|&seen| seen >= slot)
        })
    }

    /// Our vote account as it is on the chain.
    pub(crate) fn our_vote(&self) -> Result<OurVote, String> {
        let options = json!({"commitment": "processed", "encoding": "jsonParsed"});
        let answer = self
            .rpc
            .call("getAccountInfo", json!([self.vote_account, options]))?;
        read_vote_account(&answer)
            .ok_or_else(|| format!("getAccountInfo: no vote account: {answer}"))
    }

    /// The newest slot that a landed vote of ours names; 0 when none has landed.
    pub(crate) fn our_last_vote(&self) -> Result<u64, String> {
        Ok(self.our_vote()?.last_vote)
    }

    /// The newest slot that a landed vote of any account names.
    pub(crate) fn last_vote_of(&self, vote_account: &str) -> Option<u64> {
        let options = json!({"commitment": "processed", "votePubkey": vote_account});
        let answer = self.rpc.call("getVoteAccounts", json!([options])).ok()?;
        ["current", "delinquent"]
            .iter()
            .find_map(|list| answer[list][0]["lastVote"].as_u64())
    }

    /// Waits until a landed vote of ours names `slot` or a later one, and gives what it names.
    pub(crate) fn wait_until_our_vote_at_or_after(&self, slot: u64, within: Duration) -> u64 {
        until(
            &format!("our vote for slot {slot} or later"),
            within,
            || self.our_last_vote().ok().filter(|&seen| seen >= slot),
        )
    }

    /// Slots after which a vote that was sent shows on the chain, if it ever does.
    pub(crate) fn landing_slots(&self) -> u64 {
        match self.protocol {
            Protocol::TowerBft => TOWER_LANDING_SLOTS,
            Protocol::Alpenglow => ALPENGLOW_LANDING_SLOTS,
        }
    }

    /// Fails when a vote of ours for a slot after `last_allowed` lands in the next `slots` slots.
    ///
    /// `last_allowed` is the newest slot that the record held when voting had to end. Votes up to it may be in
    /// flight and may land meanwhile: that is no failure. The chain is watched until it is `slots` past the later of
    /// its slot at the call and `last_allowed`, and then for the time that a vote takes to land, so a vote sent at
    /// any moment of these `slots` would have been seen. Gives the last vote that did land.
    pub(crate) fn assert_no_vote_of_ours_after(&self, last_allowed: u64, slots: u64) -> u64 {
        let start = self.slot().expect("the bootstrap answers");
        let end = start.max(last_allowed) + slots + self.landing_slots();
        let within = SLOT_AT_MOST * u32::try_from(end - start).expect("a few slots");
        until(
            &format!("slot {end} without a vote of ours"),
            within,
            || {
                let seen = self.our_vote().ok()?;
                assert!(
                    seen.last_vote <= last_allowed,
                    "a vote of ours for slot {} is on the chain in block {}, and {last_allowed} was the last allowed",
                    seen.last_vote,
                    seen.chain_slot,
                );
                (seen.chain_slot >= end).then_some(seen.last_vote)
            },
        )
    }

    /// Tower BFT: every confirmed block of `from..=to`, with the votes of ours in it in their order, refused ones among them. Exact.
    ///
    /// Blocks are served once they are confirmed; wait until the chain is a few slots past `to`.
    pub(crate) fn tower_votes(
        &self,
        from: u64,
        to: u64,
    ) -> Result<BTreeMap<u64, Vec<TowerVote>>, String> {
        assert_eq!(
            self.protocol,
            Protocol::TowerBft,
            "only a Tower BFT vote is a transaction"
        );
        let confirmed = json!({"commitment": "confirmed"});
        let blocks = self.rpc.call("getBlocks", json!([from, to, confirmed]))?;
        let blocks = blocks.as_array().into_iter().flatten();
        blocks
            .filter_map(Value::as_u64)
            .map(|block| Ok((block, self.votes_in_block(block)?)))
            .collect()
    }

    fn votes_in_block(&self, block: u64) -> Result<Vec<TowerVote>, String> {
        let options = json!({
            "commitment": "confirmed", "encoding": "jsonParsed", "rewards": false, "maxSupportedTransactionVersion": 0,
        });
        let block = self.rpc.call("getBlock", json!([block, options]))?;
        let transactions = block["transactions"].as_array().into_iter().flatten();
        Ok(transactions
            .filter_map(|transaction| self.our_tower_vote(transaction))
            .collect())
    }

    fn our_tower_vote(&self, transaction: &Value) -> Option<TowerVote> {
        let vote = &transaction["transaction"]["message"]["instructions"][0]["parsed"]["info"];
        if vote["voteAccount"] != self.vote_account.as_str() {
            return None;
        }
        let sync = &vote["towerSync"];
        let votes = sync["lockouts"].as_array()?.iter().map(|lockout| {
            Some(Lockout {
                slot: lockout["slot"].as_u64()?,
                confirmations: u32::try_from(lockout["confirmation_count"].as_u64()?).ok()?,
            })
        });
        Some(TowerVote {
            hash: sync["hash"].as_str()?.to_owned(),
            tower: Tower {
                votes: votes.collect::<Option<_>>()?,
                root: sync["root"].as_u64(),
            },
        })
    }
}

fn read_vote_account(answer: &Value) -> Option<OurVote> {
    let state = &answer["value"]["data"]["parsed"]["info"];
    let votes = state["votes"].as_array()?;
    Some(OurVote {
        chain_slot: answer["context"]["slot"].as_u64()?,
        last_vote: votes.last().map_or(Some(0), |vote| vote["slot"].as_u64())?,
        root_slot: state["rootSlot"].as_u64(),
    })
}
