//! Handing the term to a chosen node: asked for here, or by that node's operator ([`super::wish`]), begun in a stretch without leader slots
//! of ours, and over when the other one votes.
//!
//! Until it begins this node votes as if nothing had been asked. From then on it is a demotion that passes the term: either
//! the other one votes, or it gives the term back and this one votes again, or its lease ends and whoever is ready takes over.

use super::input::Leads;
use super::state::{Demotion, Handed, Planned, Stage, Then, Want};
use super::table::Cause;
use super::values::{Millis, NodeName, RequestId, Role, Verdict};
use super::{Engine, Reason};

impl Engine {
    pub(super) fn admit_handover(
        &mut self,
        now: Millis,
        request: RequestId,
        to: Option<NodeName>,
        at_once: bool,
    ) {
        if !self.setup.authority.passes {
            let text = "this authority knows no other node to hand over to";
            return self.answer(request, Verdict::Refused, text);
        }
        let wanted = |node: &NodeName| to.as_ref().is_none_or(|to| to == node);
        match &self.stage {
            Stage::Active(_) => {
                if !self.planned.as_ref().is_some_and(|plan| wanted(&plan.to)) {
                    match self.choose(now, to.as_ref()) {
                        Ok(node) => {
                            self.abandon_plan("another handover was asked for");
                            self.planned = Some(self.plan(now, node, String::new()));
                        }
                        Err(why) => return self.answer(request, Verdict::Refused, why),
                    }
                }
                self.await_for(request, Want::Handover);
                if at_once {
                    self.begin_handover(now);
                } else {
                    self.try_plan(now);
                }
            }
            Stage::Demoting(Demotion {
                then: Then::Pass(node),
                ..
            }) if wanted(node) => self.await_for(request, Want::Handover),
            _ => match (self.voter(now), &to) {
                (Some(voter), Some(to)) if voter == to => {
                    let text = format!("{voter} votes already");
                    self.answer(request, Verdict::Done, text);
                }
                (voter, _) => {
                    let votes = match voter {
                        Some(node) => format!("and {node} votes"),
                        None => "and no other is known to vote".into(),
                    };
                    let text = format!(
                        "this node is {}, {votes}: only the node that votes can hand over",
                        self.role()
                    );
                    self.answer(request, Verdict::Refused, text);
                }
            },
        }
    }

    /// When the identity leads next.
    pub(super) fn leads(&mut self, now: Millis, leads: Leads) {
        self.leads = leads;
        self.try_plan(now);
    }

    /// A validator that votes is restarted when another node votes in its place.
    pub(super) fn restart_after_handover(&mut self, now: Millis, request: RequestId) {
        if let Some(plan) = &mut self.planned {
            plan.restarts = true;
            return self.await_for(request, Want::Up);
        }
        match self.choose(now, None) {
            Ok(node) => {
                self.await_for(request, Want::Up);
                self.planned = Some(Planned {
                    restarts: true,
                    ..self.plan(now, node, "to restart the validator".into())
                });
                self.try_plan(now);
            }
            Err(why) => self.answer(
                request,
                Verdict::Refused,
                format!("this node votes, and {why}"),
            ),
        }
    }

    /// Whether a restart waits for a handover.
    pub(super) fn restart_is_due(&self) -> bool {
        self.restarts_next || self.planned.as_ref().is_some_and(|plan| plan.restarts)
    }

    pub(super) fn plan(&self, now: Millis, to: NodeName, detail: String) -> Planned {
        Planned {
            to,
            until: now.plus(self.setup.timing.clear_within_ms),
            detail,
            restarts: false,
            wished: false,
            told: None,
        }
    }

    /// What is known of a leader slot that is near, or may be. Where that is not known, one may be.
    fn leader_slot_near(&self) -> Option<String> {
        let clear_slots = self.setup.timing.clear_slots;
        match (self.leads, self.own) {
            (Leads::Never, _) => None,
            (Leads::At(next), Some(own)) if next >= own.slot.saturating_add(clear_slots) => None,
            (Leads::At(next), Some(_)) => Some(format!("the next one is {next}")),
            (Leads::At(_), None) => Some("the validator's slot is not known".into()),
            (Leads::Unknown, _) => Some("the leader schedule is not known".into()),
        }
    }

    /// What stands against a handover between this node and the one that votes, or would, at this moment. Empty: nothing.
    #[must_use]
    pub fn against_handover(&self, now: Millis) -> Vec<String> {
        let mut against = Vec::new();
        if !self.setup.authority.passes {
            return vec!["this authority knows no other node to hand over to".into()];
        }
        match self.stage {
            Stage::Active(_) => {
                against.extend(self.choose(now, None).err());
                let clear_slots = self.setup.timing.clear_slots;
                against.extend(self.leader_slot_near().map(|near| {
                    format!("it would wait for {clear_slots} slots without a leader slot of this identity; {near}")
                }));
            }
            Stage::Standby | Stage::Parked => {
                against.extend(self.fit(now).err());
                if self.voter(now).is_none() {
                    against.push("no other node is known to vote".into());
                }
            }
            _ => against.push(format!("this node is {}", self.role())),
        }
        against
    }

    /// Begins what is planned where no leader slot is near.
    pub(super) fn try_plan(&mut self, now: Millis) {
        let clear_slots = self.setup.timing.clear_slots;
        let near = self.leader_slot_near();
        let Some(plan) = &mut self.planned else {
            return;
        };
        let Some(near) = near else {
            return self.begin_handover(now);
        };
        if plan.told.as_ref() != Some(&near) {
            let text = format!(
                "waiting for {clear_slots} slots without a leader slot of this identity; {near}"
            );
            plan.told = Some(near);
            self.progress(&text);
        }
    }

    fn begin_handover(&mut self, now: Millis) {
        let Some(plan) = self.planned.take() else {
            return;
        };
        match self.choose(now, Some(&plan.to)) {
            Ok(node) => {
                self.restarts_next = plan.restarts;
                self.demote(now, Cause::HandoverAsked, Then::Pass(node), plan.detail);
            }
            Err(why) => self.fail_handover(&why),
        }
    }

    /// When what was planned, given or asked for is late.
    pub(super) fn handover_deadline(&self) -> Option<(Millis, Reason)> {
        let planned = self.planned.as_ref().map(|plan| plan.until);
        let handed = self.awaited_vote();
        let due = [planned, handed, self.wish.map(|wish| wish.until)]
            .into_iter()
            .flatten()
            .min();
        due.map(|at| (at, Reason::Handover))
    }

    pub(super) fn watch_handover(&mut self, now: Millis) {
        if self.planned.as_ref().is_some_and(|plan| plan.until <= now) {
            self.plan_is_late();
        }
        if self.awaited_vote().is_some_and(|until| until <= now) {
            self.handed_is_late(now);
        }
        if self.wish.is_some_and(|wish| wish.until <= now) {
            self.wish_is_late(now);
        }
    }

    /// A plan is one of a node that votes, and a wish one of a node that stands by.
    pub(super) fn plans_end_with_role(&mut self, role: Role, why: &str) {
        self.declined = None;
        if role == Role::Active {
            // It came back before the restart: the validator votes again.
            if std::mem::take(&mut self.restarts_next) {
                self.fail_handover("the other node did not vote in time, and the term came back: this node votes, and its validator was not restarted");
            }
        } else {
            let plan = self.planned.take();
            if plan.is_some_and(|plan| plan.restarts) {
                self.fail_handover("this node has left the identity for another reason: ask again");
            }
            // One that starts was restarted by something else.
            self.restarts_next &= role != Role::Starting;
        }
        if !matches!(role, Role::Standby | Role::Parked) {
            self.drop_wish(why);
        }
    }

    fn plan_is_late(&mut self) {
        let slots = self.setup.timing.clear_slots;
        self.abandon_plan(&format!(
            "no {slots} slots without a leader slot of this identity came in time; --now hands over in spite of one, which may cost its blocks"
        ));
    }

    pub(super) fn abandon_plan(&mut self, why: &str) {
        if self.planned.take().is_some() {
            self.fail_handover(why);
        }
    }

    /// Whoever waits for it, or for what was to follow, is told.
    fn fail_handover(&mut self, why: &str) {
        self.refuse_waiters(why, |wants| matches!(wants, Want::Handover | Want::Up));
    }

    /// The term has gone to another node, which is now to vote.
    pub(super) fn handed_to(&mut self, now: Millis, to: NodeName, certain: bool) {
        // It may try, give up, and pass the term back.
        let patience_ms = self.setup.timing.promote_ms.saturating_mul(2);
        let text = if certain {
            format!("{to} has the term; waiting for its first vote")
        } else {
            format!("whether {to} has the term is not known; waiting for its first vote")
        };
        self.handed = Some(Handed {
            to,
            under: self.term().unwrap_or_default(),
            until: now.plus(patience_ms),
            votes: None,
        });
        self.progress(&text);
    }

    /// Who votes in our place after a handover, if it does.
    pub(super) fn successor_votes(&self) -> Option<String> {
        let handed = self.handed.as_ref()?;
        let term = handed.votes?;
        Some(format!("{} votes, under term {term}", handed.to))
    }

    pub(super) fn see_successor_vote(&mut self, now: Millis) {
        let Some(handed) = &mut self.handed else {
            return;
        };
        let votes_under = self.peers.get(&handed.to).and_then(|view| view.active_term);
        if handed.votes.is_some() || votes_under.is_none_or(|term| term <= handed.under) {
            return;
        }
        handed.votes = votes_under;
        self.answer_waiters();
        self.restart_if_due(now);
    }

    /// What was to follow the handover, at the latest when nothing more can come of it.
    pub(super) fn restart_if_due(&mut self, now: Millis) {
        let rests = matches!(
            self.stage,
            Stage::CatchingUp | Stage::Standby | Stage::Parked
        );
        let waits = self
            .handed
            .as_ref()
            .is_some_and(|handed| handed.votes.is_none());
        if rests && !waits && std::mem::take(&mut self.restarts_next) {
            self.restart(now, "");
        }
    }

    /// By when the node that was given the term is to vote, while it does not.
    fn awaited_vote(&self) -> Option<Millis> {
        let handed = self.handed.as_ref()?;
        handed.votes.is_none().then_some(handed.until)
    }

    fn handed_is_late(&mut self, now: Millis) {
        let Some(handed) = &self.handed else {
            return;
        };
        let text = format!(
            "{} was given the term, and has not been seen voting: `supervisor ctl status`",
            handed.to
        );
        self.page(text.clone());
        self.handed = None;
        self.refuse_waiters(&text, |wants| wants == Want::Handover);
        self.answer_waiters();
        self.restart_if_due(now);
    }

    pub(super) fn fate_of_handover(&self) -> Option<(Verdict, String)> {
        if self.planned.is_some() {
            return None;
        }
        let active = matches!(self.stage, Stage::Active(_));
        match (&self.handed, self.successor_votes()) {
            (Some(_), Some(votes)) => {
                let text = format!("{votes}; {}", self.record_sentence());
                Some((Verdict::Done, text))
            }
            (Some(handed), None) if active => {
                let text = format!(
                    "{} did not vote in time, and the term came back: this node votes",
                    handed.to
                );
                Some((Verdict::Refused, text))
            }
            (Some(_), None) => None,
            (None, _) if matches!(self.stage, Stage::Demoting(_) | Stage::Fenced(_)) => None,
            (None, _) => {
                let text = format!("the term was not passed on; {}", self.why_here());
                Some((Verdict::Refused, text))
            }
        }
    }

    fn why_here(&self) -> String {
        let because = self
            .entered
            .by
            .and_then(|by| by.row())
            .map_or("", |row| row.because);
        format!("this node is {}: {because}", self.role())
    }
}
