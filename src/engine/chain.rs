//! Votes of our identity that the chain shows: is any of them not from here, and not in the record we start from?
//!
//! A vote is on the chain only after its record was committed, so the newest one never exceeds the newest record, and a
//! demotion and promotion on the same node, or a handover, raises no alarm. Only a Tower's last slot compares with what a
//! vote account shows before the first commit of a holding.
//!
//! Alpenglow has one exception: a validator counts its own vote before it stores it, and the certificates in the blocks that it
//! leads name it. So while a vote waits for its commit, the chain may show it and those that are queued behind it.

use super::Engine;
use super::state::{Holder, PromoteStep, RecordDurable, Stage, Then};
use super::table::Cause;
use super::values::{Millis, PromoteFlags, RecordKind, RecordMark};

impl Engine {
    /// The newest vote of our identity on the chain is for `slot`.
    pub(super) fn chain_shows(&mut self, now: Millis, slot: u64) {
        if self.chain.seen.is_none_or(|(known, _)| slot > known) {
            self.chain.moved = now;
        }
        self.chain.seen = Some((slot, now));
        match &self.stage {
            Stage::Active(_) => self.judge_chain_vote(now, slot),
            // The operator takes the risk, so what lands before our own first vote is accounted for.
            Stage::Promoting(promotion) if promotion.flags.accept_double_vote_risk => {
                let accounted = self.chain.accounted.map(|known| known.max(slot));
                self.chain.accounted = accounted;
            }
            Stage::Promoting(promotion)
                if has_identity(promotion.step) && self.chain.accounted.is_some() =>
            {
                self.judge_chain_vote(now, slot);
            }
            Stage::Starting(_) => self.compare_at_start(now),
            _ => {}
        }
    }

    /// A vote of ours that we did not commit: somebody else votes with the identity.
    fn judge_chain_vote(&mut self, now: Millis, slot: u64) {
        let committed = self.gate.facts.last.map_or(0, |mark| mark.slot);
        let ours = committed.max(self.chain.accounted.unwrap_or(0));
        if slot <= ours || self.may_show_waiting_votes() {
            return;
        }
        let text = format!(
            "the chain shows a vote for slot {slot}; the newest known here is for slot {ours}"
        );
        self.page(format!("somebody else votes with this identity: {text}"));
        self.parked = true;
        self.remember(now, true);
        self.demote(now, Cause::ForeignVote, Then::Park, text);
    }

    fn may_show_waiting_votes(&self) -> bool {
        let facts = &self.gate.facts;
        let kind = facts.last.map(|mark| mark.kind);
        facts.waiting > 0 && kind == Some(RecordKind::VoteHistory)
    }

    /// Why it is unsafe to start from this record: the chain shows a vote that is not in it.
    pub(super) fn beyond_record(
        &self,
        now: Millis,
        flags: PromoteFlags,
        newest: Option<RecordMark>,
    ) -> Option<String> {
        let slot = self.seen_lately(now)?;
        if flags.accept_double_vote_risk || slot <= last_slot(newest)? {
            return None;
        }
        let (newest, flag) = match newest {
            Some(mark) => (
                format!("the newest record known here ends at slot {}", mark.slot),
                "--accept-double-vote-risk",
            ),
            None => (
                "no record of it is known here".into(),
                "--first-vote --accept-double-vote-risk",
            ),
        };
        Some(format!(
            "the chain shows a vote of this identity for slot {slot}, {newest}: restore the newest record, or wait until the cluster is well past slot {slot} and say `promote {flag}`"
        ))
    }

    /// Whether a record can be taken for the newest: the chain was seen lately, or the record does not compare with it.
    pub(super) fn is_compared(&self, now: Millis, durable: RecordDurable) -> bool {
        last_slot(durable.0).is_none() || self.seen_lately(now).is_some()
    }

    pub(super) fn seen_lately(&self, now: Millis) -> Option<u64> {
        let (slot, at) = self.chain.seen?;
        (now.since(at) <= self.setup.timing.stale_ms).then_some(slot)
    }

    /// Why no word of an operator can stand for a node that cannot be asked: somebody votes, so it is not dead.
    pub(super) fn votes_still_come(&self, now: Millis) -> Option<String> {
        let slot = self.seen_lately(now)?;
        let since_ms = now.since(self.chain.moved);
        let quiet_ms = self.setup.timing.chain_quiet_ms;
        (since_ms < quiet_ms).then(|| {
            format!(
                "the chain showed a new vote of this identity, for slot {slot}, {since_ms} ms ago, and has to show none for {} s: the node that votes is not dead. End it first",
                quiet_ms / 1000
            )
        })
    }

    /// Votes that showed for too long after the last holder's end to be its own: somebody votes whom nobody has granted it, or this
    /// node's view of the chain is still coming up to date. `None` in any other case, and once none has shown for a while.
    pub(super) fn votes_without_holder(&self, now: Millis) -> Option<String> {
        let since = self.unaccounted_since()?;
        let why = self.votes_still_come(now)?;
        let for_s = self.chain.moved.since(since) / 1000;
        Some(format!("nobody has held the term for {for_s} s, and {why}"))
    }

    /// The end of the last holder that such votes have followed.
    pub(super) fn unaccounted_since(&self) -> Option<Millis> {
        let quiet_ms = self.setup.timing.chain_quiet_ms;
        match self.holder {
            Holder::Nobody { since } if self.chain.moved > since.plus(quiet_ms) => Some(since),
            _ => None,
        }
    }

    /// A holding starts from this record.
    pub(super) fn account_for(&mut self, flags: PromoteFlags, durable: RecordDurable) {
        let vouched = self
            .chain
            .seen
            .filter(|_| flags.accept_double_vote_risk)
            .map_or(0, |(slot, _)| slot);
        self.chain.accounted = last_slot(durable.0).map(|slot| slot.max(vouched));
    }
}

/// The slot to compare with the chain's. Where there was never a record, every vote on the chain is too many.
fn last_slot(newest: Option<RecordMark>) -> Option<u64> {
    match newest {
        None => Some(0),
        Some(mark) if mark.kind == RecordKind::Tower => Some(mark.slot),
        Some(_) => None,
    }
}

/// The child carries the staked identity, and may vote or is about to.
fn has_identity(step: PromoteStep) -> bool {
    matches!(
        step,
        PromoteStep::AwaitSwitch
            | PromoteStep::Unmute
            | PromoteStep::Link
            | PromoteStep::AwaitFirstVote
    )
}
