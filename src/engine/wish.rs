//! An operator's wish that this standby vote while another node does: the holder is asked, and decides. What the holder makes of
//! another node's wish is here as well.

use super::Engine;
use super::state::{Holder, Planned, Stage, Want, Wish};
use super::table::Cause;
use super::values::{Millis, NodeName, PromoteFlags, RequestId, Verdict};

impl Engine {
    /// Whether this standby asks the holder for the term.
    #[must_use]
    pub fn asks_for_term(&self) -> bool {
        self.wish.is_some()
    }

    /// Whether the holder is to restart its validator when it has handed over.
    #[must_use]
    pub fn relieves(&self) -> bool {
        self.wish.is_some_and(|wish| wish.restarts)
    }

    /// Why this node, which votes, does not hand over to one that asks for it.
    #[must_use]
    pub fn why_declined(&self) -> Option<&str> {
        self.declined.as_ref().map(|(_, why)| why.as_str())
    }

    /// Whether a promotion is the other node's to begin: it has the term, and votes. Who takes the risk of two does not ask.
    pub(super) fn must_ask(&self, now: Millis, flags: PromoteFlags) -> bool {
        let holds =
            |node: &NodeName| matches!(&self.holder, Holder::Node(holder) if holder == node);
        self.setup.authority.passes
            && self.voter(now).is_some_and(holds)
            && !flags.accept_double_vote_risk
    }

    /// An operator wants this standby to vote while another node does: that one is asked to hand over.
    pub(super) fn ask_for_term(&mut self, now: Millis, request: RequestId, restarts: bool) {
        self.await_for(request, Want::Vote);
        let timing = &self.setup.timing;
        let patience_ms = timing.clear_within_ms.saturating_add(timing.promote_ms);
        self.wish = Some(Wish {
            until: now.plus(patience_ms),
            restarts,
        });
        self.wish_answer = None;
        let asked = match self.voter(now) {
            Some(node) => format!("asking {node}, which votes, to hand over"),
            None => "asking the holder to hand over".into(),
        };
        self.progress(&asked);
    }

    /// Whom it asked holds the term no more: nothing is left to wait for.
    pub(super) fn follow_wish(&mut self, now: Millis) {
        let free = matches!(self.holder, Holder::Nobody { .. });
        if free && self.asks_for_term() && self.fit(now).is_ok() {
            self.promote(now, Cause::OperatorPromoted, PromoteFlags::default(), None);
        }
    }

    pub(super) fn drop_wish(&mut self, why: &str) {
        if self.wish.take().is_some() {
            self.failure = (Verdict::Refused, why.to_owned());
        }
    }

    /// The operator hears it when it is new, and again when the wish comes to nothing.
    pub(super) fn wish_is_declined(&mut self, now: Millis, node: &NodeName, why: String) {
        let is_voter = self.voter(now) == Some(node);
        if self.asks_for_term() && is_voter && self.wish_answer.as_ref() != Some(&why) {
            self.progress(&format!("{node} does not hand over yet: {why}"));
            self.wish_answer = Some(why);
        }
    }

    /// A voter hands over to a node that wishes for it, until that one takes it back.
    pub(super) fn peer_wishes(&mut self, now: Millis, node: NodeName, asks: bool, relieves: bool) {
        self.grant(now, &node, asks, relieves);
        let why = self.why_not_yet(now, &node).filter(|_| asks);
        let is_its = self.declined.as_ref().is_some_and(|(of, _)| *of == node);
        if why.is_some() || is_its {
            self.declined = why.map(|why| (node, why));
        }
    }

    /// Nobody but the one that votes has an answer.
    fn why_not_yet(&self, now: Millis, node: &NodeName) -> Option<String> {
        if !matches!(self.stage, Stage::Active(_)) {
            return None;
        }
        match &self.planned {
            None => self.choose(now, Some(node)).err(),
            Some(plan) if plan.to != *node => {
                Some(format!("it is about to hand over to {}", plan.to))
            }
            Some(plan) => plan.told.as_ref().map(|near| {
                let slots = self.setup.timing.clear_slots;
                format!("it waits for {slots} slots without a leader slot of this identity; {near}")
            }),
        }
    }

    fn grant(&mut self, now: Millis, node: &NodeName, asks: bool, relieves: bool) {
        let votes = matches!(self.stage, Stage::Active(_));
        if asks && votes && self.planned.is_none() && self.choose(now, Some(node)).is_ok() {
            let detail = format!("{node} asks for it");
            self.planned = Some(Planned {
                wished: true,
                restarts: relieves,
                ..self.plan(now, node.clone(), detail)
            });
            return self.try_plan(now);
        }
        let taken_back = |plan: &Planned| plan.wished && plan.to == *node;
        if !asks && self.planned.as_ref().is_some_and(taken_back) {
            self.abandon_plan("the other node does not ask for it any more");
        }
    }

    pub(super) fn wish_is_late(&mut self, now: Millis) {
        self.wish = None;
        let holds = match self.voter(now) {
            Some(node) => format!("{node} votes, and has"),
            None => "the holder has".into(),
        };
        let why = self.wish_answer.take();
        let why = why.as_deref().unwrap_or("see its journal");
        let text = format!("{holds} not handed over in time: {why}");
        self.refuse_waiters(&text, |wants| wants == Want::Vote);
    }
}
