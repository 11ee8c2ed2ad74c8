//! An operator's wish that this standby vote while another node does: the holder is asked, and decides. What the holder makes of
//! another node's wish is here as well.

use super::Engine;
use super::state::{Holder, Planned, Stage, Want, Wish};
use super::table::Cause;
use super::values::{Millis, NodeName, Plea, PromoteFlags, RequestId, Verdict};

impl Engine {
    /// Whether this standby asks the holder for the term.
    #[must_use]
    pub fn asks_for_term(&self) -> bool {
        self.moves.wish.is_some()
    }

    /// What it asks of the holder beside that; `None`: it asks for nothing.
    #[must_use]
    pub fn plea(&self) -> Option<Plea> {
        self.moves.wish.map(|wish| wish.plea)
    }

    /// Why this node, which votes, does not hand over to one that asks for it.
    #[must_use]
    pub fn why_declined(&self) -> Option<&str> {
        self.moves.declined.as_ref().map(|(_, why)| why.as_str())
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
    pub(super) fn ask_for_term(&mut self, now: Millis, request: RequestId, plea: Plea) {
        self.await_for(request, Want::Vote);
        let timing = &self.setup.timing;
        let patience_ms = timing.clear_within_ms.saturating_add(timing.promote_ms);
        let restarts = self.moves.wish.is_some_and(|wish| wish.plea.restarts);
        self.moves.wish = Some(Wish {
            until: now.plus(patience_ms),
            plea: Plea {
                restarts: plea.restarts || restarts,
                ..plea
            },
            gone_at: None,
        });
        self.moves.wish_answer = None;
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

    /// Whom it asked is heard again.
    pub(super) fn wish_is_heard(&mut self, node: &NodeName) {
        self.set_wish_gone(node, None);
    }

    /// Whom it asked is gone: whoever waits is told what a promotion then takes, once that is no short gap.
    pub(super) fn wish_is_unheard(&mut self, now: Millis, node: &NodeName) {
        self.set_wish_gone(node, Some(now));
    }

    fn set_wish_gone(&mut self, node: &NodeName, gone_at: Option<Millis>) {
        let is_asked = matches!(&self.holder, Holder::Node(holder) if holder == node);
        if let Some(wish) = self.moves.wish.as_mut().filter(|_| is_asked) {
            wish.gone_at = gone_at;
        }
    }

    pub(super) fn wish_deadline(&self) -> Option<Millis> {
        let wish = self.moves.wish?;
        let quiet_ms = self.setup.timing.chain_quiet_ms;
        let gone = wish.gone_at.map_or(wish.until, |at| at.plus(quiet_ms));
        Some(wish.until.min(gone))
    }

    /// A validator that cannot vote any more is not to be given the term.
    pub(super) fn drop_wish_as_unfit(&mut self, now: Millis) {
        if let (true, Err(why)) = (self.asks_for_term(), self.fit(now)) {
            self.drop_wish(&why);
            self.answer_waiters(now);
        }
    }

    pub(super) fn drop_wish(&mut self, why: &str) {
        if self.moves.wish.take().is_some() {
            self.failure = (Verdict::Refused, why.to_owned());
        }
    }

    /// The operator hears it when it is new, and again when the wish comes to nothing.
    pub(super) fn wish_is_declined(&mut self, now: Millis, node: &NodeName, why: String) {
        let is_voter = self.voter(now) == Some(node);
        if self.asks_for_term() && is_voter && self.moves.wish_answer.as_ref() != Some(&why) {
            self.progress(&format!("{node} does not hand over yet: {why}"));
            self.moves.wish_answer = Some(why);
        }
    }

    /// A voter hands over to a node that wishes for it, until that one takes it back.
    pub(super) fn peer_wishes(&mut self, now: Millis, node: NodeName, asks: Option<Plea>) {
        match asks {
            Some(plea) => self.grant(now, &node, plea),
            None => self.forget_wish_of(&node),
        }
        let why = self.why_not_yet(now, &node).filter(|_| asks.is_some());
        let is_its = self
            .moves
            .declined
            .as_ref()
            .is_some_and(|(of, _)| *of == node);
        if why.is_some() || is_its {
            self.moves.declined = why.map(|why| (node, why));
        }
    }

    /// Nobody but the one that votes has an answer.
    fn why_not_yet(&self, now: Millis, node: &NodeName) -> Option<String> {
        if !matches!(self.stage, Stage::Active(_)) {
            return None;
        }
        match &self.moves.planned {
            None => self.choose(now, Some(node)).err(),
            Some(plan) if plan.to != *node => {
                Some(format!("it is about to hand over to {}", plan.to))
            }
            Some(plan) if self.leader_slot_near().is_none() => plan.told.clone(),
            Some(plan) => plan.told.as_ref().map(|near| {
                let slots = self.setup.timing.clear_slots;
                format!("it waits for {slots} slots without a leader slot of this identity; {near}")
            }),
        }
    }

    fn grant(&mut self, now: Millis, node: &NodeName, plea: Plea) {
        let votes = matches!(self.stage, Stage::Active(_));
        let is_new = self.moves.planned.is_none();
        if !votes || (is_new && self.choose(now, Some(node)).is_err()) {
            return;
        }
        let plan = match self.moves.planned.take() {
            Some(plan) => plan,
            None => Planned {
                wished: true,
                ..self.plan(now, node.clone(), format!("{node} asks for it"))
            },
        };
        let is_its = plan.to == *node;
        self.moves.planned = Some(Planned {
            restarts: plan.restarts || (is_its && plea.restarts),
            ..plan
        });
        if is_its && plea.at_once {
            self.begin_handover(now);
        } else if is_new {
            self.try_plan(now);
        }
    }

    /// A demotion that came to it goes on without that wish.
    fn forget_wish_of(&mut self, node: &NodeName) {
        let taken_back = |plan: &Planned| plan.wished && !plan.parks && plan.to == *node;
        if self.moves.planned.as_ref().is_some_and(taken_back) {
            self.abandon_plan("the other node does not ask for it any more");
        }
    }

    pub(super) fn wish_is_late(&mut self, now: Millis) {
        let is_gone = self
            .moves
            .wish
            .take()
            .is_some_and(|wish| wish.gone_at.is_some());
        if is_gone && self.fit(now).is_ok() {
            let flags = PromoteFlags::default();
            return self.promote(now, Cause::OperatorPromoted, flags, None);
        }
        let holds = match self.voter(now) {
            Some(node) => format!("{node} votes, and has"),
            None => "the holder has".into(),
        };
        let why = self.moves.wish_answer.take();
        let why = why.as_deref().unwrap_or("see its journal");
        let text = format!("{holds} not handed over in time: {why}");
        self.refuse_waiters(&text, |wants| wants == Want::Vote);
    }
}
