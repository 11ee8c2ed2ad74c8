//! A holder that cannot be heard: when it is to be ended by the fence command, so that this standby may take its term.
//!
//! A dead node and a cut cable look alike, so silence alone is no reason. What is asked for besides: this process has heard the holder
//! before, the chain can be read, and it has shown no new vote of the identity for a while. Only the command's success then
//! counts as the holder's death; the record here is compared with the chain all the same.

use super::effect::Effect;
use super::state::{Holder, PromoteStep, Stage};
use super::values::{Millis, NodeName, Verdict};
use super::{Engine, Reason};

impl Engine {
    /// A node that is there no more.
    pub(super) fn peer_is_gone(&mut self, now: Millis, node: &NodeName) {
        if self.peers.remove(node).is_some() {
            self.absent.insert(node.clone(), now);
        }
    }

    /// When the holder, which is gone, is to be ended by the fence command.
    pub(super) fn fence_deadline(&self) -> Option<(Millis, Reason)> {
        let gone_at = self.holder_gone_at()?;
        let fence_ms = self.setup.fence_ms?;
        let told = !self.setup.automatic && self.told_of_absence == Some(gone_at);
        let timing = &self.setup.timing;
        let own = self.own.as_ref()?;
        let (_, read_at) = self.chain.seen?;
        if told || own.at.since(read_at) > timing.stale_ms || self.isolated_since.is_some() {
            return None;
        }
        let quiet_since = gone_at.max(self.chain.moved);
        let turn_ms =
            u64::from(self.setup.rank).saturating_mul(fence_ms.saturating_add(timing.promote_ms));
        let earliest = self.entered.at.max(self.retry_at.unwrap_or_default());
        let at = quiet_since
            .plus(timing.chain_quiet_ms)
            .plus(turn_ms)
            .max(earliest);
        Some((at, Reason::Takeover))
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
        let Stage::Promoting(promotion) = &mut self.stage else {
            return;
        };
        let (Some(fence_ms), false) = (self.setup.fence_ms, promotion.fences) else {
            return self.refused(now, why);
        };
        promotion.fences = true;
        if let Some(votes) = self.votes_still_come(now) {
            return self.refused(now, &votes);
        }
        self.set_promote(PromoteStep::Fence);
        self.progress("running the fence command, to end what cannot be reached");
        self.ask(now, |op| Effect::FencePeers { op });
        self.await_outcome_until(now.plus(fence_ms));
    }
}
