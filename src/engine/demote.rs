//! Demotion and fencing: what becomes of the term once the child is off the identity.

use super::Engine;
use super::effect::Effect;
use super::input::Outcome;
use super::state::{DemoteStep, Demotion, Launch, Quiet, Stage, Then};
use super::table::Cause;
use super::values::{Millis, Term};

impl Engine {
    /// Begins to stop voting. Allowed in `promoting` and `active`.
    pub(super) fn demote(
        &mut self,
        now: Millis,
        cause: Cause,
        then: Then,
        detail: impl Into<String>,
    ) {
        self.moves.handed = None;
        self.moves.not_passed = None;
        // A failure is tried again where nobody else can vote; everything else that ends a tenure ends the claim to it.
        self.reclaims &= cause == Cause::PromotionFailed;
        self.enter(
            now,
            Stage::Demoting(Demotion {
                step: DemoteStep::Quiet(Quiet::Mute),
                then,
            }),
            cause,
            detail,
        );
        self.quiet_advance(now);
    }

    /// The term is in other hands, or must be taken to be: no commit can succeed, so nothing that waits may wait longer.
    pub(super) fn fence(&mut self, now: Millis, cause: Cause, detail: impl Into<String>) {
        self.reclaims = false;
        match &self.stage {
            Stage::Active(_) => {}
            // A promotion that came to nothing, like any other.
            Stage::Promoting(_) => self.put_off_takeover(now),
            // The child is off the identity, and the term was to go anyway: where it went, the answer says.
            Stage::Demoting(Demotion {
                step: DemoteStep::Settle,
                ..
            }) => return,
            Stage::Demoting(_) => {}
            Stage::Starting(_) if self.child.alive && self.hold.is_some() => {
                self.hold = None;
                self.page("the term is lost while the validator comes up; killing it");
                return self.launch_kill_on(now, false, "the term is lost");
            }
            // The hold stays until the child is off the identity, for its lease still bounds how long that may take.
            Stage::Fenced(_) | Stage::Stopping(_) => return,
            _ => {
                self.hold = None;
                return;
            }
        }
        self.moves.handed = None;
        self.enter(now, Stage::Fenced(Quiet::RefuseVotes), cause, detail);
        self.quiet_advance(now);
    }

    /// Off the identity: gives the term to where the demotion wants it.
    pub(super) fn settle_term(&mut self, now: Millis) {
        let held = self.hold.is_some();
        let term = self.term().unwrap_or_default();
        let Stage::Demoting(demotion) = &mut self.stage else {
            return;
        };
        demotion.step = DemoteStep::Settle;
        if let Then::Pass(to) = &demotion.then
            && held
        {
            let to = to.clone();
            self.moves.passed_to = Some(to.clone());
            self.progress("passing the term");
            self.ask(now, |op| Effect::PassTerm { op, term, to });
        } else {
            self.progress("releasing the term");
            self.release(now, term);
        }
    }

    /// The term was released or passed, or that could not be confirmed. Either way this node is off it.
    pub(super) fn demotion_settled(&mut self, now: Millis, outcome: Outcome) {
        let Stage::Demoting(demotion) = &self.stage else {
            return;
        };
        let passing = match &demotion.then {
            Then::Pass(to) => Some(to.clone()),
            Then::Stand | Then::Park => None,
        };
        if let Some(to) = passing {
            // One that was refused has not moved; of one without an answer nobody knows.
            if self.hold.is_some() && !matches!(outcome, Outcome::Refused(_)) {
                self.handed_to(now, to, outcome == Outcome::Done);
            }
            if outcome != Outcome::Done {
                return self.passing_failed(now, &outcome);
            }
        }
        self.term_released(&outcome);
        if self.child.alive {
            let (stage, detail) = (self.resting(now), self.record_sentence());
            self.enter(now, stage, Cause::Released, detail);
            self.settle_restart(now);
        } else {
            let death = std::mem::take(&mut self.death);
            self.enter(
                now,
                Stage::Starting(Launch::Backoff),
                Cause::ChildDied,
                death,
            );
            self.back_off(now, None);
        }
    }

    pub(super) fn release(&mut self, now: Millis, term: Term) {
        // What the record here may lack of an ended holder's votes the others lack as well. And where this node can vote again, the
        // right stays here: a node that the term could not be passed to may not hear that it has one.
        let to_nobody = self.fenced_off.is_some() || self.goes_back(now);
        self.ask(now, |op| Effect::Release {
            op,
            term,
            to_nobody,
        });
    }

    /// Among peers, a handover that could not pass the term ends where it began.
    fn goes_back(&self, now: Millis) -> bool {
        let stays =
            matches!(&self.stage, Stage::Demoting(demotion) if demotion.then == Then::Stand);
        let among_peers = self.setup.authority.passes && !self.setup.authority.leased;
        let not_passed = self.moves.not_passed.is_some() && self.moves.takes_back;
        among_peers && not_passed && stays && self.child.alive && self.fit(now).is_ok()
    }

    /// A release has ended. One that is not confirmed is repeated later, because nobody can vote before it.
    pub(super) fn term_released(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Done => self.claimed = false,
            other => {
                self.claimed = true;
                self.page(format!(
                    "the release of the term is not confirmed: {}",
                    other.sentence()
                ));
            }
        }
        self.hold = None;
    }

    /// The successor cannot have the term: it is released, so that somebody can, this node among them.
    fn passing_failed(&mut self, now: Millis, outcome: &Outcome) {
        self.page(format!(
            "the term could not be passed: {}",
            outcome.sentence()
        ));
        if let Stage::Demoting(demotion) = &mut self.stage {
            demotion.then = Then::Stand;
        }
        self.moves.passed_to = None;
        self.moves.not_passed = Some(outcome.sentence());
        if self.moves.handed.is_none() {
            self.restart_is_off(&outcome.sentence());
        }
        self.settle_term(now);
    }

    /// After a fence: the child, if it lives, has to prove its health anew.
    pub(super) fn fence_done(&mut self, now: Millis) {
        self.hold = None;
        if self.child.alive {
            self.own = None;
            self.enter(now, Stage::CatchingUp, Cause::OffIdentity, "");
            self.restart_if_due(now);
            self.restart_is_off("the term was lost on the way");
        } else {
            let death = std::mem::take(&mut self.death);
            self.enter(
                now,
                Stage::Starting(Launch::Backoff),
                Cause::ChildDied,
                death,
            );
            self.back_off(now, None);
        }
    }

    /// The stage of a live, muted, unstaked child.
    pub(super) fn resting(&self, now: Millis) -> Stage {
        if self.parked {
            Stage::Parked
        } else if self.fit(now).is_ok() {
            Stage::Standby
        } else {
            Stage::CatchingUp
        }
    }

    pub(super) fn record_sentence(&self) -> String {
        match self.gate.facts.last {
            Some(mark) => format!(
                "the record ends at slot {} (term {}, record {})",
                mark.slot, mark.term, mark.seq
            ),
            None => "there is no record yet".into(),
        }
    }
}
