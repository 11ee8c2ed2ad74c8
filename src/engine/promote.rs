//! From standby to the first vote.
//!
//! The order is one of completion: the child gets the staked identity only from `take_identity`, whose arguments exist only when
//! the authority has answered "held" and the disk has answered "durable".

use super::effect::Effect;
use super::input::Outcome;
use super::state::{Fencing, PromoteStep, Promotion, RecordDurable, Stage, Tenure, TermHeld, Then};
use super::table::Cause;
use super::values::{Identity, Millis, NodeName, PromoteFlags, Verdict};
use super::{Engine, Reason};

/// The longest silence between two reports of a first vote that does not come.
const LATE_PAGES_AT_MOST_MS: u64 = 3_600_000;

impl Engine {
    /// Begins a promotion. Allowed in `standby` and `parked`, with a fit child.
    pub(super) fn promote(
        &mut self,
        now: Millis,
        cause: Cause,
        flags: PromoteFlags,
        passed_by: Option<NodeName>,
    ) {
        let step = PromoteStep::AwaitEarlierSwitch;
        let is_wanted = matches!(cause, Cause::HolderSilent | Cause::OperatorPromoted);
        let fencing = if is_wanted && !flags.accept_double_vote_risk {
            Fencing::May
        } else {
            Fencing::No
        };
        self.failure = (Verdict::Refused, String::new());
        self.overrule_demotions();
        self.returning = None;
        self.enter(
            now,
            Stage::Promoting(Promotion {
                flags,
                passed_by,
                step,
                fencing,
                late: 0,
            }),
            cause,
            "",
        );
        if self.child.switch_due.is_some() {
            self.progress("waiting for the validator to finish its earlier change of identity");
            self.await_until(now.plus(self.setup.timing.promote_ms), Reason::Step);
        } else {
            self.acquire(now);
        }
    }

    /// The thread that votes has loaded the record of the identity it now carries. Of which kind is not compared: a validator
    /// that migrates from one protocol to the other may load either, and a wrong refusal would cost a restart.
    pub(super) fn switched(&mut self, now: Millis) {
        self.child.switch_due = None;
        match self.promote_step() {
            Some(PromoteStep::AwaitEarlierSwitch) => self.acquire(now),
            Some(PromoteStep::AwaitSwitch) => self.unmute(now),
            _ => {}
        }
    }

    /// A step of it has ended or is late.
    pub(super) fn promotion_goes_on(&mut self, now: Millis, outcome: Outcome) {
        let Some(step) = self.promote_step() else {
            return;
        };
        match (step, outcome) {
            (PromoteStep::AwaitEarlierSwitch, _) => {
                self.refused(now, "the validator has not finished its earlier change of identity: is its slot advancing? `supervisor ctl restart` starts it without one");
            }
            (PromoteStep::Acquire, Outcome::Held { term, record }) => {
                self.install(now, TermHeld { term, record })
            }
            (PromoteStep::Acquire, Outcome::Refused(why)) => {
                self.claimed = false;
                self.refused(now, &why);
            }
            (PromoteStep::Acquire, Outcome::Unsafe(why)) => self.term_is_unsafe(now, &why),
            (PromoteStep::Fence, Outcome::Done) => {
                self.failure.0 = Verdict::Refused;
                self.await_votes(now);
            }
            (PromoteStep::AwaitVotes, _) => self.acquire(now),
            (PromoteStep::Fence, other) => {
                let why = format!(
                    "{}; where those nodes are certainly off: `supervisor ctl promote --accept-double-vote-risk`",
                    other.sentence()
                );
                self.page(format!("the fence command gave no proof: {why}"));
                self.refused(now, &why);
            }
            (PromoteStep::Install(held), Outcome::Durable(mark)) => {
                self.installed(now, held, RecordDurable(mark))
            }
            (PromoteStep::OpenGate(held, durable), Outcome::Done) => {
                self.take_identity(now, held, durable)
            }
            (PromoteStep::TakeIdentity, Outcome::Done) => self.identity_taken(now),
            (PromoteStep::TakeIdentity, Outcome::Refused(why)) => self.identity_refused(now, &why),
            (PromoteStep::Unmute, Outcome::Done) => self.unmuted(now),
            (PromoteStep::Link, Outcome::Done) => self.linked(now),
            (PromoteStep::AwaitFirstVote, _) => self.first_vote_is_late(now),
            (step, other) => self.promotion_failed(now, step, &other.sentence()),
        }
    }

    /// When a node that was given the term gives it back: the one that gave it can vote as well.
    pub(super) fn step_back_deadline(&self) -> Option<(Millis, Reason)> {
        match &self.stage {
            Stage::Promoting(Promotion {
                passed_by: Some(_), ..
            }) => {
                let until = self.entered.at.plus(self.setup.timing.handover_ms);
                Some((until, Reason::Handover))
            }
            _ => None,
        }
    }

    pub(super) fn watch_step_back(&mut self, now: Millis) {
        if let Some(step) = self.promote_step()
            && self.step_back_deadline().is_some_and(|(at, _)| at <= now)
        {
            let within_s = self.setup.timing.handover_ms / 1000;
            let why = format!("no vote within {within_s} s of being given the term");
            self.promotion_failed(now, step, &why);
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
        let Some(last) = self.gate.facts.last else {
            return;
        };
        if self.promote_step() != Some(PromoteStep::AwaitFirstVote)
            || self.term() != Some(last.term)
        {
            return;
        }
        let slot_then = self.own.map_or(0, |own| own.slot);
        self.failures = 0;
        self.moves.passed_to = None;
        self.fenced_off = None;
        let unparks = std::mem::take(&mut self.parked);
        self.enter(
            now,
            Stage::Active(Tenure {
                voted_at: now,
                slot_then,
                paged_at: None,
            }),
            Cause::FirstVote,
            format!("slot {}", last.slot),
        );
        if unparks {
            self.remember(now, false);
        }
    }

    fn acquire(&mut self, now: Millis) {
        self.set_promote(PromoteStep::Acquire);
        self.progress("acquiring the term");
        self.claimed = true;
        let regardless = match &self.stage {
            Stage::Promoting(promotion) => promotion.flags.accept_double_vote_risk,
            _ => false,
        };
        let tip = self.tip;
        self.ask(now, |op| Effect::Acquire {
            op,
            regardless,
            tip,
        });
    }

    fn install(&mut self, now: Millis, held: TermHeld) {
        self.take_hold(now, held.term);
        // Before the record here is committed under the new term, and so goes before the one that a dead node may come back with.
        if let Some(why) = self.voted_alone(now, held.record) {
            return self.promotion_needs_a_flag(now, why);
        }
        self.set_promote(PromoteStep::Install(held));
        self.progress("installing the newest record");
        self.ask(now, |op| Effect::InstallRecord {
            op,
            term: held.term,
        });
    }

    fn installed(&mut self, now: Millis, held: TermHeld, durable: RecordDurable) {
        let Stage::Promoting(promotion) = &self.stage else {
            return;
        };
        if held.is_newer_than(durable.0) {
            return self.promotion_failed(
                now,
                PromoteStep::Install(held),
                "the record on this disk is older than the authority's",
            );
        }
        let flags = promotion.flags;
        if let Some(why) = self.beyond_record(now, flags, durable.0) {
            return self.promotion_needs_a_flag(now, why);
        }
        if durable.0.is_none() && !flags.first_vote {
            let why = "no vote record is known here or with the authority; if this identity has never voted, say `promote --first-vote`";
            return self.promotion_needs_a_flag(now, why.into());
        }
        self.account_for(flags, durable);
        self.set_promote(PromoteStep::OpenGate(held, durable));
        self.gate.open = Some(held.term);
        self.ask(now, |op| Effect::OpenGate {
            op,
            term: held.term,
        });
    }

    fn take_identity(&mut self, now: Millis, _held: TermHeld, durable: RecordDurable) {
        self.set_promote(PromoteStep::TakeIdentity);
        self.progress("setting the staked identity");
        self.child.identity = None;
        self.child.switch_due = Some(Identity::Staked);
        self.child.switch_asked = now;
        self.child.in_doubt = true;
        let require = durable.0.map(|mark| mark.kind);
        self.ask(now, |op| Effect::SetIdentity {
            op,
            to: Identity::Staked,
            require,
        });
    }

    fn identity_taken(&mut self, now: Millis) {
        self.child.identity = Some(Identity::Staked);
        self.child.in_doubt = false;
        if self.child.switch_due.is_some() {
            self.set_promote(PromoteStep::AwaitSwitch);
            self.progress("waiting for the validator to switch");
            self.await_until(now.plus(self.setup.timing.promote_ms), Reason::Step);
        } else {
            self.unmute(now);
        }
    }

    /// The validator is as it was.
    fn identity_refused(&mut self, now: Millis, why: &str) {
        self.child.identity = Some(Identity::Unstaked);
        self.child.switch_due = None;
        self.child.in_doubt = false;
        self.promotion_failed(now, PromoteStep::TakeIdentity, why);
    }

    fn unmute(&mut self, now: Millis) {
        self.child.muted = false;
        self.child.in_doubt = true;
        self.set_promote(PromoteStep::Unmute);
        self.progress("adding the authorized voters");
        self.ask(now, |op| Effect::Unmute { op });
    }

    fn unmuted(&mut self, now: Millis) {
        self.child.in_doubt = false;
        self.link = None;
        self.set_promote(PromoteStep::Link);
        self.ask(now, |op| Effect::PointLink {
            op,
            to: Identity::Staked,
        });
    }

    fn linked(&mut self, now: Millis) {
        self.link = Some(Identity::Staked);
        self.await_first_vote(now);
    }

    /// Nothing was granted, and nothing has changed; but a term that was passed to this node must not stay here unused.
    pub(super) fn refused(&mut self, now: Millis, why: &str) {
        if matches!(
            &self.stage,
            Stage::Promoting(Promotion {
                passed_by: Some(_),
                ..
            })
        ) {
            return self.demote(now, Cause::PromotionFailed, Then::Stand, why);
        }
        self.put_off_takeover(now);
        let stage = self.resting(now);
        self.enter(now, stage, Cause::PromotionRefused, why);
    }

    fn promotion_failed(&mut self, now: Millis, step: PromoteStep, why: &str) {
        let detail = format!("{}: {why}", step_name(step));
        let then = self.back_to();
        self.put_off_takeover(now);
        self.demote(now, Cause::PromotionFailed, then, detail);
    }

    /// Trying again changes nothing: only an operator's word does.
    fn promotion_needs_a_flag(&mut self, now: Millis, why: String) {
        self.failure.0 = Verdict::Unsafe;
        self.put_off_takeover(now);
        self.reclaims = false;
        if self.failures.is_power_of_two() && self.waiters.is_empty() {
            self.page(format!("this node cannot take the identity: {why}"));
        }
        self.demote(now, Cause::PromotionFailed, self.back_to(), why);
    }

    /// A node whose promotions fail leaves the others time to try, more with each failure.
    pub(super) fn put_off_takeover(&mut self, now: Millis) {
        let timing = &self.setup.timing;
        let wait_ms = timing
            .backoff_min_ms
            .saturating_mul(1 << self.failures.min(16))
            .min(timing.backoff_max_ms);
        self.failures = self.failures.saturating_add(1);
        self.retry_at = Some(now.plus(wait_ms));
    }

    /// Where nobody else can vote, giving up helps nobody: the node keeps waiting, loudly, and less and less often.
    fn first_vote_is_late(&mut self, now: Millis) {
        let promote_ms = self.setup.timing.promote_ms;
        if !self.setup.authority.alone {
            let waited_s = promote_ms / 1000;
            return self.promotion_failed(
                now,
                PromoteStep::AwaitFirstVote,
                &format!("no vote within {waited_s} s"),
            );
        }
        let Stage::Promoting(promotion) = &mut self.stage else {
            return;
        };
        promotion.late = promotion.late.saturating_add(1);
        let wait_ms = promote_ms
            .saturating_mul(1 << promotion.late.min(16))
            .min(LATE_PAGES_AT_MOST_MS.max(promote_ms));
        let waited_s = now.since(self.entered.at) / 1000;
        self.page(format!("no vote {waited_s} s after the promotion began, and the validator may vote; is its vote account this identity's, and does the cluster move?"));
        self.answer_late_first_vote();
        self.await_until(now.plus(wait_ms), Reason::Step);
    }

    /// A failed promotion returns the term to the node that passed it.
    pub(super) fn back_to(&self) -> Then {
        match &self.stage {
            // One that comes back unused from there would only wander.
            Stage::Promoting(Promotion {
                passed_by: Some(node),
                ..
            }) if self.moves.passed_to.as_ref() != Some(node) => Then::Pass(node.clone()),
            _ => Then::Stand,
        }
    }

    fn promote_step(&self) -> Option<PromoteStep> {
        match &self.stage {
            Stage::Promoting(promotion) => Some(promotion.step),
            _ => None,
        }
    }

    pub(super) fn set_promote(&mut self, step: PromoteStep) {
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
        PromoteStep::Fence => "running the fence command",
        PromoteStep::AwaitVotes => "waiting for votes that were under way",
        PromoteStep::Install(_) => "installing the record",
        PromoteStep::OpenGate(..) => "opening the gate",
        PromoteStep::TakeIdentity => "setting the staked identity",
        PromoteStep::AwaitSwitch => "waiting for the validator to switch",
        PromoteStep::Unmute => "adding the authorized voters",
        PromoteStep::Link => "pointing the identity link",
        PromoteStep::AwaitFirstVote => "waiting for the first vote",
    }
}
