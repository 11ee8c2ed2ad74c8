//! Handing the term to a chosen node: asked for here, or by that node's operator ([`super::wish`]), begun at the right time
//! ([`super::plan`]), and over when the other one votes.
//!
//! From its begin on it is a demotion that passes the term: either the other one votes, or it gives the term back and this one votes
//! again, or its lease ends and whoever is ready takes over.

use super::state::{Demotion, Handed, Planned, Stage, Then, Want};
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
                let planned = self.moves.planned.as_ref();
                if !planned.is_some_and(|plan| wanted(&plan.to)) {
                    match self.choose(now, to.as_ref()) {
                        Ok(node) => self.plan_instead(now, node),
                        Err(why) => return self.answer(request, Verdict::Refused, why),
                    }
                }
                self.await_for(request, Want::Handover);
                self.go_on_with_plan(now, at_once);
            }
            Stage::Demoting(Demotion {
                then: Then::Pass(node),
                ..
            }) if wanted(node) => self.await_for(request, Want::Handover),
            _ if self.awaits_vote_of(wanted) => self.await_for(request, Want::Handover),
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

    /// A demotion that waits keeps its deadline, and goes to that node.
    fn plan_instead(&mut self, now: Millis, to: NodeName) {
        let planned = self.moves.planned.as_ref();
        let parks_at = planned.filter(|plan| plan.parks).map(|plan| plan.until);
        self.abandon_plan("another handover was asked for");
        let plan = self.plan(now, to, String::new());
        self.moves.planned = Some(Planned {
            parks: parks_at.is_some(),
            until: parks_at.unwrap_or(plan.until),
            ..plan
        });
    }

    /// A validator that votes is restarted when another node votes in its place.
    pub(super) fn restart_after_handover(
        &mut self,
        now: Millis,
        request: RequestId,
        at_once: bool,
    ) {
        if self.moves.planned.is_none() {
            match self.choose(now, None) {
                Ok(node) => {
                    let plan = self.plan(now, node, "to restart the validator".into());
                    self.moves.planned = Some(plan);
                }
                Err(why) => {
                    let text = format!("this node votes, and {why}");
                    return self.answer(request, Verdict::Refused, text);
                }
            }
        }
        if let Some(plan) = &mut self.moves.planned {
            plan.restarts = true;
        }
        self.await_for(request, Want::Up);
        self.go_on_with_plan(now, at_once);
    }

    /// A term was handed over, and its first vote is awaited.
    fn awaits_vote_of(&self, wanted: impl Fn(&NodeName) -> bool) -> bool {
        let handed = self.moves.handed.as_ref();
        handed.is_some_and(|handed| handed.votes.is_none() && wanted(&handed.to))
    }

    /// Whether a restart waits for a handover.
    pub(super) fn restart_is_due(&self) -> bool {
        let planned = self.moves.planned.as_ref();
        self.moves.restarts_next || planned.is_some_and(|plan| plan.restarts)
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

    /// When what was planned, given or asked for is late.
    pub(super) fn handover_deadline(&self) -> Option<(Millis, Reason)> {
        let due = [
            self.plan_deadline(),
            self.awaited_vote(),
            self.wish_deadline(),
        ]
        .into_iter()
        .flatten()
        .min();
        due.map(|at| (at, Reason::Handover))
    }

    pub(super) fn watch_handover(&mut self, now: Millis) {
        if self.plan_deadline().is_some_and(|until| until <= now) {
            self.plan_is_late(now);
        }
        if self.awaited_vote().is_some_and(|until| until <= now) {
            self.handed_is_late(now);
        }
        if self.wish_deadline().is_some_and(|at| at <= now) {
            self.wish_is_late(now);
        }
    }

    /// A plan is one of a node that votes, and a wish one of a node that stands by.
    pub(super) fn plans_end_with_role(&mut self, role: Role, why: &str) {
        self.moves.declined = None;
        if role == Role::Active {
            // It came back before the restart: the validator votes again.
            if std::mem::take(&mut self.moves.restarts_next) {
                self.fail_handover("the other node gave the term back: this node votes, and its validator was not restarted");
            }
        } else {
            let plan = self.moves.planned.take();
            if plan.is_some_and(|plan| plan.restarts) {
                self.fail_handover("this node has left the identity for another reason: ask again");
            }
            // One that starts was restarted by something else.
            self.moves.restarts_next &= role != Role::Starting;
        }
        if !matches!(role, Role::Standby | Role::Parked) {
            let why = match why {
                "" => format!("this node is {role}"),
                why => why.to_owned(),
            };
            self.drop_wish(&why);
        }
    }

    /// Whoever waits for it, or for what was to follow, is told.
    pub(super) fn fail_handover(&mut self, why: &str) {
        self.refuse_waiters(why, |wants| matches!(wants, Want::Handover | Want::Up));
    }

    /// The term has gone to another node, which is now to vote.
    pub(super) fn handed_to(&mut self, now: Millis, to: NodeName, certain: bool) {
        // It may try, give up, take its child off the identity and pass the term back, step by step.
        let timing = &self.setup.timing;
        let back_ms = timing.step_ms.saturating_mul(5);
        let patience_ms = timing.handover_ms.saturating_add(back_ms);
        let text = if certain {
            format!("{to} has the term; waiting for its first vote")
        } else {
            format!("whether {to} has the term is not known; waiting for its first vote")
        };
        self.moves.handed = Some(Handed {
            to,
            under: self.term().unwrap_or_default(),
            until: now.plus(patience_ms),
            votes: None,
        });
        self.progress(&text);
    }

    /// Who votes in our place after a handover, if it does.
    fn successor_votes(&self) -> Option<String> {
        let handed = self.moves.handed.as_ref()?;
        let term = handed.votes?;
        Some(format!("{} votes, under term {term}", handed.to))
    }

    /// The other node that votes, and under which term.
    pub(super) fn voter_in_words(&self, now: Millis) -> Option<String> {
        let node = self.voter(now)?;
        let term = self.peers.get(node)?.active_term?;
        Some(format!("{node} votes, under term {term}"))
    }

    pub(super) fn see_successor_vote(&mut self, now: Millis) {
        let Some(handed) = &mut self.moves.handed else {
            return;
        };
        let votes_under = self.peers.get(&handed.to).and_then(|view| view.active_term);
        if handed.votes.is_some() || votes_under.is_none_or(|term| term <= handed.under) {
            return;
        }
        handed.votes = votes_under;
        self.moves.takes_back = false;
        self.moves.not_passed = None;
        self.answer_waiters(now);
        self.restart_if_due(now);
    }

    /// What was to follow the handover, once another node votes. Until then this one may have to vote again.
    pub(super) fn restart_if_due(&mut self, now: Millis) {
        let rests = matches!(
            self.stage,
            Stage::CatchingUp | Stage::Standby | Stage::Parked
        );
        if rests && self.voter(now).is_some() && std::mem::take(&mut self.moves.restarts_next) {
            self.restart(now, "");
        }
    }

    /// At rest, with the term gone to wherever it went: what was to follow waits for a first vote, follows, or does not. An operator who has
    /// this node stop voting waits for nobody.
    pub(super) fn settle_restart(&mut self, now: Millis) {
        if self.awaited_vote().is_some() {
            return;
        }
        if self.parked && std::mem::take(&mut self.moves.restarts_next) {
            return self.restart(now, "");
        }
        self.restart_if_due(now);
        let why = self.moves.not_passed.clone();
        self.restart_is_off(why.as_deref().unwrap_or("the term went to nobody"));
    }

    /// Nobody votes in our place, as far as is known.
    pub(super) fn restart_is_off(&mut self, why: &str) {
        if std::mem::take(&mut self.moves.restarts_next) {
            let text = format!(
                "the validator was not restarted, for no other node is known to vote: {why}"
            );
            self.refuse_waiters(&text, |wants| wants == Want::Up);
        }
    }

    /// One that was handed the term, and votes no more, is no successor.
    pub(super) fn forget_handed(&mut self, node: &NodeName) {
        let votes = self.peers.get(node).and_then(|view| view.active_term);
        let has_ended =
            |handed: &Handed| handed.to == *node && handed.votes.is_some() && votes.is_none();
        if self.moves.handed.as_ref().is_some_and(has_ended) {
            self.moves.handed = None;
        }
    }

    /// By when the node that was given the term is to vote, while it does not.
    pub(super) fn awaited_vote(&self) -> Option<Millis> {
        let handed = self.moves.handed.as_ref()?;
        handed.votes.is_none().then_some(handed.until)
    }

    fn handed_is_late(&mut self, now: Millis) {
        let Some(handed) = &self.moves.handed else {
            return;
        };
        let text = format!(
            "{} was given the term, and has not been seen voting: `supervisor ctl status`",
            handed.to
        );
        self.page(text.clone());
        self.moves.handed = None;
        self.refuse_waiters(&text, |wants| wants == Want::Handover);
        self.restart_if_due(now);
        self.restart_is_off(&text);
        self.answer_waiters(now);
    }

    pub(super) fn fate_of_handover(&self, now: Millis) -> Option<(Verdict, String)> {
        if self.moves.planned.is_some() {
            return None;
        }
        let active = matches!(self.stage, Stage::Active(_));
        match (&self.moves.handed, self.successor_votes()) {
            (Some(_), Some(votes)) => {
                let text = format!("{votes}; {}", self.record_sentence());
                Some((Verdict::Done, text))
            }
            (Some(handed), None) if active => {
                let text = format!("{} gave the term back: this node votes", handed.to);
                Some((Verdict::Refused, text))
            }
            (Some(_), None) => None,
            (None, _) if matches!(self.stage, Stage::Demoting(_) | Stage::Fenced(_)) => None,
            (None, _) => {
                let why = self.moves.not_passed.as_ref();
                let why = why.map_or(String::new(), |why| format!(": {why}"));
                let voter = self.voter_in_words(now);
                let next = voter.unwrap_or_else(|| {
                    if self.moves.takes_back {
                        "it takes the term back by itself".into()
                    } else {
                        self.why_here()
                    }
                });
                let text = format!(
                    "the term was not passed on{why}; this node is {}: {next}",
                    self.role()
                );
                Some((Verdict::Refused, text))
            }
        }
    }

    fn why_here(&self) -> String {
        let row = self.entered.by.and_then(|by| by.row());
        row.map_or("", |row| row.because).to_owned()
    }
}
