//! From standby to the first vote.
//!
//! The order is one of completion: the child gets the staked identity only from `take_identity`, whose arguments exist only when
//! the authority has answered "held" and the disk has answered "durable".

use super::effect::Effect;
use super::input::Outcome;
use super::state::{Hold, PromoteStep, Promotion, RecordDurable, Stage, Tenure, TermHeld, Then};
use super::table::Cause;
use super::values::{Identity, Millis, NodeName, PromoteFlags, Verdict};
use super::{Engine, Reason};

impl Engine {
    /// Begins a promotion. Allowed in `standby` and `parked`, with a fit child.
    pub(super) fn promote(&mut self, now: Millis, cause: Cause, flags: PromoteFlags, passed_by: Option<NodeName>) {
        let step = PromoteStep::AwaitEarlierSwitch;
        self.failure = (Verdict::Refused, String::new());
        self.enter(now, Stage::Promoting(Promotion { flags, passed_by, step }), cause, "");
        if self.child.switch_due {
            self.progress("waiting for the validator to finish its earlier change of identity");
            self.await_until(now.plus(self.setup.timing.promote_ms), Reason::Step);
        } else {
            self.acquire(now);
        }
    }

    /// The thread that votes has loaded the record of the identity it now carries.
    pub(super) fn switched(&mut self, now: Millis) {
        self.child.switch_due = false;
        match self.promote_step() {
            Some(PromoteStep::AwaitEarlierSwitch) => self.acquire(now),
            Some(PromoteStep::AwaitSwitch) => self.unmute(now),
            _ => {}
        }
    }

    /// A step of it has ended or is late.
    pub(super) fn promotion_goes_on(&mut self, now: Millis, outcome: Outcome) {
        let Some(step) = self.promote_step() else { return };
        match (step, outcome) {
            (PromoteStep::AwaitEarlierSwitch, _) => {
                self.refused(now, "the validator has not finished its earlier change of identity; is its slot advancing?");
            }
            (PromoteStep::Acquire, Outcome::Held { term, .. }) => self.install(now, TermHeld(term)),
            (PromoteStep::Acquire, Outcome::Refused(why)) => self.refused(now, &why),
            (PromoteStep::Install(held), Outcome::Durable(mark)) => self.installed(now, held, RecordDurable(mark)),
            (PromoteStep::OpenGate(held, durable), Outcome::Done) => self.take_identity(now, held, durable),
            (PromoteStep::TakeIdentity, Outcome::Done) => self.identity_taken(now),
            (PromoteStep::Unmute, Outcome::Done) => self.unmuted(now),
            (PromoteStep::Link, Outcome::Done) => self.linked(now),
            (PromoteStep::AwaitFirstVote, _) => self.first_vote_is_late(now),
            (step, other) => self.promotion_failed(now, step, &other.sentence()),
        }
    }

    /// Waits for the vote that makes the node active, which may have come already.
    pub(super) fn await_first_vote(&mut self, now: Millis) {
        self.set_promote(PromoteStep::AwaitFirstVote);
        self.progress("waiting for the first vote");
        self.await_until(now.plus(self.setup.timing.promote_ms), Reason::Step);
        self.see_first_vote(now);
    }

    /// Enters `active` when a vote was committed under the term in our hands.
    pub(super) fn see_first_vote(&mut self, now: Millis) {
        let Some(last) = self.gate.facts.last else { return };
        if self.promote_step() != Some(PromoteStep::AwaitFirstVote) || self.term() != Some(last.term) {
            return;
        }
        let slot_then = self.own.map_or(0, |own| own.slot);
        let unparks = std::mem::take(&mut self.parked);
        self.enter(now, Stage::Active(Tenure { voted_at: now, slot_then, paged_at: None }), Cause::FirstVote, format!("slot {}", last.slot));
        if unparks {
            self.remember(false);
        }
    }

    fn acquire(&mut self, now: Millis) {
        self.set_promote(PromoteStep::Acquire);
        self.progress("acquiring the term");
        self.ask(now, |op| Effect::Acquire { op });
    }

    fn install(&mut self, now: Millis, held: TermHeld) {
        self.hold = Some(Hold::new(held.0));
        self.set_promote(PromoteStep::Install(held));
        self.progress("installing the newest record");
        self.ask(now, |op| Effect::InstallRecord { op, term: held.0 });
    }

    fn installed(&mut self, now: Millis, held: TermHeld, durable: RecordDurable) {
        let Stage::Promoting(promotion) = &self.stage else { return };
        if durable.0.is_none() && !promotion.flags.first_vote {
            let why = "no vote record is known here or with the authority; if this identity has never voted, say `promote --first-vote`";
            self.failure.0 = Verdict::Unsafe;
            return self.demote(now, Cause::PromotionFailed, self.back_to(), why);
        }
        self.set_promote(PromoteStep::OpenGate(held, durable));
        self.gate.open = Some(held.0);
        self.ask(now, |op| Effect::OpenGate { op, term: held.0 });
    }

    fn take_identity(&mut self, now: Millis, _held: TermHeld, durable: RecordDurable) {
        self.set_promote(PromoteStep::TakeIdentity);
        self.progress("setting the staked identity");
        self.child.identity = None;
        self.child.switch_due = true;
        let require = durable.0.map(|mark| mark.kind);
        self.ask(now, |op| Effect::SetIdentity { op, to: Identity::Staked, require });
    }

    fn identity_taken(&mut self, now: Millis) {
        self.child.identity = Some(Identity::Staked);
        if self.child.switch_due {
            self.set_promote(PromoteStep::AwaitSwitch);
            self.progress("waiting for the validator to switch");
            self.await_until(now.plus(self.setup.timing.promote_ms), Reason::Step);
        } else {
            self.unmute(now);
        }
    }

    fn unmute(&mut self, now: Millis) {
        self.child.muted = false;
        self.set_promote(PromoteStep::Unmute);
        self.progress("adding the authorized voters");
        self.ask(now, |op| Effect::Unmute { op });
    }

    fn unmuted(&mut self, now: Millis) {
        self.link = None;
        self.set_promote(PromoteStep::Link);
        self.ask(now, |op| Effect::PointLink { op, to: Identity::Staked });
    }

    fn linked(&mut self, now: Millis) {
        self.link = Some(Identity::Staked);
        self.await_first_vote(now);
    }

    /// Nothing was granted, and nothing has changed.
    fn refused(&mut self, now: Millis, why: &str) {
        let stage = self.resting(now);
        self.enter(now, stage, Cause::PromotionRefused, why);
    }

    fn promotion_failed(&mut self, now: Millis, step: PromoteStep, why: &str) {
        let detail = format!("{}: {why}", step_name(step));
        let then = self.back_to();
        if step == PromoteStep::AwaitSwitch {
            // A validator that does not switch leaves open which record its voting thread works on: only a new process is certain.
            self.demote_by_kill(now, then, detail);
        } else {
            self.demote(now, Cause::PromotionFailed, then, detail);
        }
    }

    fn demote_by_kill(&mut self, now: Millis, then: Then, detail: String) {
        self.child.ready = false;
        self.demote(now, Cause::PromotionFailed, then, detail);
    }

    /// Where nobody else can vote, giving up helps nobody: the node keeps waiting, loudly.
    fn first_vote_is_late(&mut self, now: Millis) {
        let waited_s = self.setup.timing.promote_ms / 1000;
        if !self.setup.authority.alone {
            return self.promotion_failed(now, PromoteStep::AwaitFirstVote, &format!("no vote within {waited_s} s"));
        }
        self.page(format!("the validator may vote and has not for {waited_s} s; is its vote account this identity's, and does the cluster move?"));
        self.answer_late_first_vote();
        self.await_until(now.plus(self.setup.timing.promote_ms), Reason::Step);
    }

    /// A failed promotion returns the term to the node that passed it.
    fn back_to(&self) -> Then {
        match &self.stage {
            Stage::Promoting(Promotion { passed_by: Some(node), .. }) => Then::Pass(node.clone()),
            _ => Then::Stand,
        }
    }

    fn promote_step(&self) -> Option<PromoteStep> {
        match &self.stage {
            Stage::Promoting(promotion) => Some(promotion.step),
            _ => None,
        }
    }

    fn set_promote(&mut self, step: PromoteStep) {
        if let Stage::Promoting(promotion) = &mut self.stage {
            promotion.step = step;
        }
    }
}

/// The step in words, for messages and `explain`.
pub(super) fn step_name(step: PromoteStep) -> &'static str {
    match step {
        PromoteStep::AwaitEarlierSwitch => "waiting for the earlier change of identity",
        PromoteStep::Acquire => "acquiring the term",
        PromoteStep::Install(_) => "installing the record",
        PromoteStep::OpenGate(..) => "opening the gate",
        PromoteStep::TakeIdentity => "setting the staked identity",
        PromoteStep::AwaitSwitch => "waiting for the validator to switch",
        PromoteStep::Unmute => "adding the authorized voters",
        PromoteStep::Link => "pointing the identity link",
        PromoteStep::AwaitFirstVote => "waiting for the first vote",
    }
}
