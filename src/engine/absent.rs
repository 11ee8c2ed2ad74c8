//! A holder that cannot be heard: when it is to be ended by the fence command, so that this standby may take its term.
//!
//! A dead node and a cut cable look alike, so silence alone is no reason. What is asked for besides: this process has heard the holder
//! before, the chain can be read, and it has shown no new vote of the identity for a while. Only the command's success then
//! counts as the holder's death. Two that would end each other take turns, in an order that needs no word between them.
//!
//! A holder that has voted on alone had records that nobody else has: what the chain shows of its votes is compared with the
//! record here, and with the time since which it is gone.

use std::collections::BTreeSet;

use super::effect::Effect;
use super::state::{FencedOff, Fencing, Holder, PromoteStep, Stage};
use super::values::{Millis, NodeName, PromoteFlags, RecordKind, RecordMark, Term, Verdict};
use super::{Engine, Reason};

impl Engine {
    /// A node that is there no more.
    pub(super) fn peer_is_gone(&mut self, now: Millis, node: &NodeName) {
        if self.peers.remove(node).is_some() {
            self.absent.insert(node.clone(), now);
            self.forget_handed(node);
            self.wish_is_unheard(now, node);
            self.tell_loss(node);
        }
    }

    /// Among peers a node that is gone has no more of the record, so that nothing could take over from the holder.
    fn tell_loss(&mut self, node: &NodeName) {
        let authority = self.setup.authority;
        if authority.passes && !authority.leased && matches!(self.stage, Stage::Active(_)) {
            self.page(format!(
                "{node} is out of reach and keeps no record of the votes any more: is it off, or is the cable cut? Where no other node keeps them, peer.on_loss says whether votes go on"
            ));
        }
    }

    /// When the holder, which is gone, is to be ended by the fence command.
    pub(super) fn fence_deadline(&self) -> Option<(Millis, Reason)> {
        let gone_at = self.holder_gone_at()?;
        let fence = self.setup.fence.as_ref()?;
        let told = !self.setup.automatic && self.told_of_absence == Some(gone_at);
        let timing = &self.setup.timing;
        let own = self.own.as_ref()?;
        let (_, read_at) = self.chain.seen?;
        if told || own.at.since(read_at) > timing.stale_ms || self.isolated_since.is_some() {
            return None;
        }
        let last_gone = self.absent.values().copied().max();
        let quiet_since = gone_at
            .max(self.chain.moved)
            .max(last_gone.unwrap_or(gone_at));
        let turn_ms = fence.within_ms.saturating_add(timing.promote_ms);
        let earliest = self.entered.at.max(self.retry_at.unwrap_or_default());
        let at = quiet_since
            .plus(timing.chain_quiet_ms)
            .plus(turn_ms.saturating_mul(self.turn()))
            .max(earliest);
        Some((at, Reason::Takeover))
    }

    /// How many others go before this node. One that held the term last lets the one go first that may not have heard of its
    /// end: to each of the two, the other is the holder.
    fn turn(&self) -> u64 {
        let nodes = self.setup.fence.iter().flat_map(|fence| &fence.nodes);
        let is_holder = |node: &NodeName| matches!(&self.holder, Holder::Node(of) if of == node);
        let before = nodes.filter(|node| **node < self.setup.node && !is_holder(node));
        before.count() as u64 + u64::from(self.held_last)
    }

    /// Since when the holder, another node that was heard before, is gone.
    pub(super) fn holder_gone_at(&self) -> Option<Millis> {
        match &self.holder {
            Holder::Node(node) => self.absent.get(node).copied(),
            Holder::Unknown | Holder::Nobody { .. } => None,
        }
    }

    /// The term was refused because nodes cannot be asked.
    pub(super) fn term_is_unsafe(&mut self, now: Millis, why: &str) {
        self.claimed = false;
        self.failure.0 = Verdict::Unsafe;
        let may = match &self.stage {
            Stage::Promoting(promotion) => promotion.fencing == Fencing::May,
            _ => false,
        };
        let (Some(fence), true) = (&self.setup.fence, may) else {
            return self.refused(now, why);
        };
        let until = now.plus(fence.within_ms);
        let nodes = fence.nodes.iter();
        let away = nodes
            .filter(|node| **node != self.setup.node && !self.peers.contains_key::<NodeName>(node));
        let away: BTreeSet<NodeName> = away.cloned().collect();
        if let Stage::Promoting(promotion) = &mut self.stage {
            promotion.fencing = Fencing::No;
        }
        if away.is_empty() {
            // Whoever it was is heard again.
            return self.refused(now, why);
        }
        if let Some(against) = self.against_fence(now) {
            let text = format!("{why}; the fence command is not run: {against}");
            return self.refused(now, &text);
        }
        let names: Vec<&str> = away.iter().map(|node| node.0.as_str()).collect();
        let text = format!(
            "running the fence command: {} cannot be asked",
            names.join(" and ")
        );
        // Before it runs: what it has done may never be heard of.
        let nodes = match &self.holder {
            Holder::Node(holder) if away.contains(holder) => [holder.clone()].into(),
            _ => away,
        };
        let gone = nodes.iter().filter_map(|node| self.absent.get(node));
        self.fenced_off = Some(FencedOff {
            ended_at: until,
            gone_at: gone.min().copied(),
            nodes,
            judged: None,
            barred: None,
        });
        self.set_promote(PromoteStep::Fence);
        self.progress(&text);
        self.ask(now, |op| Effect::FencePeers { op });
        self.await_outcome_until(until);
    }

    /// Why nothing may be ended now, though an operator or this node's own turn wants it.
    fn against_fence(&self, now: Millis) -> Option<String> {
        let quiet_ms = self.setup.timing.chain_quiet_ms;
        if let Some(votes) = self.votes_still_come(now) {
            return Some(votes);
        }
        if self.seen_lately(now).is_none() {
            return Some(
                "the votes on the chain cannot be read: look at the validator's RPC and cluster.rpc"
                    .into(),
            );
        }
        if self.isolated_since.is_some() {
            return Some("this node looks cut off itself".into());
        }
        let (node, gone_at) = self.absent.iter().max_by_key(|(_, at)| **at)?;
        let gone_ms = now.since(*gone_at);
        (gone_ms < quiet_ms).then(|| {
            format!(
                "{node} was heard {gone_ms} ms ago, and has to be silent for {} s",
                quiet_ms / 1000
            )
        })
    }

    /// It may have voted until the command had ended it, and the chain shows a vote a while after it was sent.
    pub(super) fn await_votes(&mut self, now: Millis) {
        if let Some(fenced_off) = &mut self.fenced_off {
            fenced_off.ended_at = now;
        }
        self.set_promote(PromoteStep::AwaitVotes);
        self.progress("waiting for votes that were under way to show on the chain");
        let shown_at = now.plus(self.setup.timing.chain_quiet_ms);
        self.await_until(shown_at, Reason::Step);
    }

    /// Those that were ended are heard, and have said what they have voted; or somebody votes, and has accounted for it.
    pub(super) fn look_at_fenced_off(&mut self) {
        let is_over = |fenced_off: &FencedOff| {
            let mut nodes = fenced_off.nodes.iter();
            let votes = self.peers.values().any(|peer| peer.active_term.is_some());
            votes || nodes.all(|node| self.peers.contains_key(node))
        };
        if self.fenced_off.as_ref().is_some_and(is_over) {
            self.fenced_off = None;
        }
    }

    /// Why only an operator can have this node vote.
    #[must_use]
    pub fn barred(&self) -> Option<&str> {
        self.fenced_off.as_ref()?.barred.as_deref()
    }

    /// Why the record here may lack votes of a holder that was ended by the fence command: it may have voted on alone before.
    pub(super) fn voted_alone(
        &mut self,
        now: Millis,
        newest: Option<RecordMark>,
    ) -> Option<String> {
        let flags = match &self.stage {
            Stage::Promoting(promotion) => promotion.flags,
            _ => return None,
        };
        let fenced_off = self.fenced_off.as_mut()?;
        let term = newest.map_or(Term::default(), |mark| mark.term);
        if flags.accept_double_vote_risk || *fenced_off.judged.get_or_insert(term) < term {
            self.fenced_off = None;
            return None;
        }
        let (gone_at, ended_at) = (fenced_off.gone_at, fenced_off.ended_at);
        let quiet_ms = self.setup.timing.chain_quiet_ms;
        if now < ended_at.plus(quiet_ms) {
            return Some(format!(
                "votes that were under way when the fence command ended may still show on the chain: wait for {} s",
                quiet_ms / 1000
            ));
        }
        let flag = "where its votes are known to be in the record here, or long past, say `promote --accept-double-vote-risk`";
        if self.seen_lately(now).is_none() {
            return Some(format!(
                "the votes on the chain cannot be read, and so not be compared with the record here; {flag}"
            ));
        }
        let barred = self.lacks_votes(now, gone_at, newest);
        let barred = barred.map(|why| format!("{why}; {flag}"));
        if let Some(fenced_off) = &mut self.fenced_off {
            fenced_off.barred.clone_from(&barred);
        }
        barred
    }

    /// A tower is compared with the chain; of a vote history is known only until when its votes came.
    fn lacks_votes(
        &self,
        now: Millis,
        gone_at: Option<Millis>,
        newest: Option<RecordMark>,
    ) -> Option<String> {
        if newest.is_none_or(|mark| mark.kind == RecordKind::Tower) {
            return self.beyond_record(now, PromoteFlags::default(), newest);
        }
        let Some(gone_at) = gone_at else {
            return Some(
                "the holder was never heard by this process, and may have voted on alone".into(),
            );
        };
        // What it had sent before shows a while later.
        let alone_ms = self.chain.moved.since(gone_at);
        (alone_ms > self.setup.timing.chain_quiet_ms).then(|| {
            format!(
                "the holder voted on for {} s after it was heard last, and the record here lacks those votes",
                alone_ms / 1000
            )
        })
    }
}
