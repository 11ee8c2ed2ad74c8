//! When this node hands over, or stops voting: in a stretch without leader slots of its identity, or at once.
//!
//! Until then it votes as if nothing had been asked. A handover that finds no such stretch in time is given up; a demotion begins at its
//! deadline all the same. What follows is in [`super::handover`].

use super::Engine;
use super::input::Leads;
use super::state::{Planned, Then, Want};
use super::table::Cause;
use super::values::{Millis, NodeName};

impl Engine {
    /// When the identity leads next.
    pub(super) fn leads(&mut self, now: Millis, leads: Leads) {
        self.moves.leads = leads;
        self.try_plan(now);
    }

    /// Stops voting, and a standby that is ready votes in its place. Next to a leader slot that waits, but not for long; where no
    /// standby is ready, or nothing is known of leader slots, it does not.
    pub(super) fn stop_voting_when_clear(&mut self, now: Millis, at_once: bool) {
        let is_passed = self.setup.authority.passes;
        let to = self.successor(now, None).filter(|_| is_passed);
        let (false, Some(to)) = (at_once || self.leader_slot_known_near().is_none(), to) else {
            self.plans_go_on_as_demotion();
            return self.stop_voting(now, None);
        };
        let until = now.plus(self.setup.timing.demote_clear_ms);
        let plan = self.moves.planned.take();
        let plan = plan.unwrap_or_else(|| self.plan(now, to, String::new()));
        self.moves.planned = Some(Planned {
            parks: true,
            until: plan.until.min(until),
            told: None,
            ..plan
        });
        self.try_plan(now);
    }

    /// A restart that was to follow a handover follows the demotion.
    fn plans_go_on_as_demotion(&mut self) {
        let plan = self.moves.planned.take();
        self.moves.restarts_next |= plan.is_some_and(|plan| plan.restarts);
    }

    fn stop_voting(&mut self, now: Millis, to: Option<&NodeName>) {
        let wanted = to.and_then(|to| self.successor(now, Some(to)));
        let then = wanted
            .or_else(|| self.successor(now, None))
            .filter(|_| self.setup.authority.passes)
            .map_or(Then::Park, Then::Pass);
        self.demote(now, Cause::OperatorDemoted, then, "");
    }

    /// A demotion waits for leader slots to pass.
    pub(super) fn demotion_waits(&self) -> bool {
        self.moves.planned.as_ref().is_some_and(|plan| plan.parks)
    }

    /// An operator wants this node to vote on, and a demotion has not begun.
    pub(super) fn take_back_demotion(&mut self) {
        if self.demotion_waits() {
            let why = "this node was told to go on voting before it had stopped";
            self.abandon_plan(why);
            self.refuse_waiters(why, |wants| wants == Want::Off);
        }
    }

    pub(super) fn plan(&self, now: Millis, to: NodeName, detail: String) -> Planned {
        Planned {
            to,
            until: now.plus(self.setup.timing.clear_within_ms),
            detail,
            restarts: false,
            parks: false,
            wished: false,
            told: None,
        }
    }

    /// What is known of a leader slot that is near, or may be. Where that is not known, one may be.
    pub(super) fn leader_slot_near(&self) -> Option<String> {
        let clear_slots = self.setup.timing.clear_slots;
        match (self.moves.leads, self.own) {
            (Leads::Never, _) => None,
            (Leads::At(next), Some(own)) if next >= own.slot.saturating_add(clear_slots) => None,
            (Leads::At(next), Some(_)) => Some(format!("the next one is {next}")),
            (Leads::At(_), None) => Some("the validator's slot is not known".into()),
            (Leads::Unknown, _) => Some("the leader schedule is not known".into()),
        }
    }

    /// The same, without what only may be.
    fn leader_slot_known_near(&self) -> Option<String> {
        let is_known = matches!((self.moves.leads, self.own), (Leads::At(_), Some(_)));
        self.leader_slot_near().filter(|_| is_known)
    }

    /// Begins what is planned where no leader slot is near.
    pub(super) fn try_plan(&mut self, now: Millis) {
        let clear_slots = self.setup.timing.clear_slots;
        let near = if self.demotion_waits() {
            self.leader_slot_known_near()
        } else {
            self.leader_slot_near()
        };
        let too_far = self.successor_is_too_far(now);
        let Some(plan) = &mut self.moves.planned else {
            return;
        };
        if let (None, Some(why)) = (&near, too_far) {
            if plan.told.as_ref() != Some(&why) {
                plan.told = Some(why.clone());
                self.progress(&format!("waiting for the other node: {why}"));
            }
            return;
        }
        let Some(near) = near else {
            return self.begin_handover(now);
        };
        if plan.told.as_ref() != Some(&near) {
            let mut text = format!(
                "waiting for {clear_slots} slots without a leader slot of this identity; {near}"
            );
            if plan.parks {
                let left_s = plan.until.since(now).div_ceil(1000);
                text.push_str(&format!(
                    "; for {left_s} s at most (`demote --now` does not wait)"
                ));
            }
            plan.told = Some(near);
            self.progress(&text);
        }
    }

    /// The planned successor could vote, and is too far behind for a handover: it may come nearer before the plan ends. A demotion does not
    /// wait for that.
    fn successor_is_too_far(&self, now: Millis) -> Option<String> {
        let plan = self.moves.planned.as_ref().filter(|plan| !plan.parks)?;
        let could_vote = self.successor(now, Some(&plan.to)).is_some();
        self.choose(now, Some(&plan.to))
            .err()
            .filter(|_| could_vote)
    }

    /// An operator need not wait for what it waits for.
    pub(super) fn go_on_with_plan(&mut self, now: Millis, at_once: bool) {
        if at_once {
            self.begin_handover(now);
        } else {
            self.try_plan(now);
        }
    }

    pub(super) fn begin_handover(&mut self, now: Millis) {
        let Some(plan) = self.moves.planned.take() else {
            return;
        };
        if plan.parks {
            self.moves.restarts_next = plan.restarts;
            return self.stop_voting(now, Some(&plan.to));
        }
        match self.choose(now, Some(&plan.to)) {
            Ok(node) => {
                self.moves.restarts_next = plan.restarts;
                self.moves.takes_back = true;
                self.demote(now, Cause::HandoverAsked, Then::Pass(node), plan.detail);
            }
            Err(why) => self.fail_handover(&why),
        }
    }

    pub(super) fn plan_deadline(&self) -> Option<Millis> {
        self.moves.planned.as_ref().map(|plan| plan.until)
    }

    pub(super) fn plan_is_late(&mut self, now: Millis) {
        if self.demotion_waits() {
            return self.begin_handover(now);
        }
        let too_far = self.successor_is_too_far(now);
        let why = too_far.filter(|_| self.leader_slot_near().is_none());
        let slots = self.setup.timing.clear_slots;
        self.abandon_plan(&why.map_or_else(
            || format!("no {slots} slots without a leader slot of this identity came in time; --now hands over in spite of one, which may cost its blocks"),
            |why| format!("the other node did not come near enough in time: {why}"),
        ));
    }

    pub(super) fn abandon_plan(&mut self, why: &str) {
        if self.moves.planned.take().is_some() {
            self.fail_handover(why);
        }
    }
}
