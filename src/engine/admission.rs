//! What operators may ask, and when: each request is admitted, joined to what is under way, or refused with its reason.
//!
//! Stopping to vote is always allowed and always wins. Every request is idempotent.

use super::Engine;
use super::effect::Effect;
use super::input::Outcome;
use super::state::{Launch, Stage, Then, Waiter, Want};
use super::table::Cause;
use super::values::{Command, Millis, Plea, PromoteFlags, RequestId, Role, Verdict};

impl Engine {
    pub(super) fn admit(&mut self, now: Millis, request: RequestId, command: Command) {
        match command {
            Command::Demote { at_once } => self.admit_demote(now, request, at_once),
            Command::Promote(flags) => self.admit_promote(now, request, flags),
            Command::Handover { to, at_once } => self.admit_handover(now, request, to, at_once),
            Command::Resume => self.admit_resume(now, request),
            Command::Pause { until } => {
                self.paused_until = Some(until);
                self.moves.takes_back = false;
                self.answer(
                    request,
                    Verdict::Done,
                    "this node decides nothing by itself until then; `supervisor ctl resume` ends it earlier",
                );
            }
            Command::Restart { at_once } => self.admit_restart(now, request, at_once),
            Command::Relieve { at_once } => self.admit_relieve(now, request, at_once),
        }
    }

    fn admit_demote(&mut self, now: Millis, request: RequestId, at_once: bool) {
        self.await_for(request, Want::Off);
        self.drop_wish("an operator wants this node parked");
        self.moves.takes_back = false;
        let reclaimed = std::mem::take(&mut self.reclaims);
        if !self.parked || self.memory_failed.is_some() {
            self.parked = true;
            self.remember(now, true);
        }
        match &mut self.stage {
            Stage::Promoting(_) => self.demote(now, Cause::OperatorDemoted, Then::Park, ""),
            Stage::Active(_) => self.stop_voting_when_clear(now, at_once),
            Stage::Demoting(demotion) if demotion.then == Then::Stand => demotion.then = Then::Park,
            Stage::CatchingUp | Stage::Standby => {
                self.enter(now, Stage::Parked, Cause::OperatorDemoted, "")
            }
            Stage::Starting(_) => self.demote_while_starting(now, reclaimed),
            Stage::Demoting(_) | Stage::Fenced(_) | Stage::Parked | Stage::Stopping(_) => {}
        }
        self.answer_waiters(now);
    }

    fn admit_promote(&mut self, now: Millis, request: RequestId, flags: PromoteFlags) {
        match self.stage {
            Stage::Active(_) => {
                if self.demotion_waits() {
                    self.take_back_demotion();
                    self.parked = false;
                    self.remember(now, false);
                }
                self.answer(request, Verdict::Done, "this node votes already");
            }
            Stage::Promoting(_) if self.may_be_passed_over(now, flags).is_err() => {
                let why = self.may_be_passed_over(now, flags).err();
                self.answer(request, Verdict::Refused, why.unwrap_or_default());
            }
            Stage::Promoting(ref mut promotion) => {
                promotion.flags.first_vote |= flags.first_vote;
                promotion.flags.accept_double_vote_risk |= flags.accept_double_vote_risk;
                self.await_for(request, Want::Vote);
            }
            Stage::Standby | Stage::Parked => match self.may_be_promoted(now, flags) {
                Ok(()) if self.must_ask(now, flags) => {
                    let plea = Plea {
                        at_once: flags.at_once,
                        ..Plea::default()
                    };
                    self.ask_for_term(now, request, plea);
                }
                Ok(()) => {
                    self.await_for(request, Want::Vote);
                    self.promote(now, Cause::OperatorPromoted, flags, None);
                }
                Err(why) => self.answer(request, Verdict::Refused, why),
            },
            Stage::CatchingUp => {
                let why = self
                    .fit(now)
                    .err()
                    .unwrap_or_else(|| "the validator is still catching up".into());
                self.answer(request, Verdict::Refused, why);
            }
            _ => self.refuse_while_busy(request),
        }
    }

    fn may_be_promoted(&self, now: Millis, flags: PromoteFlags) -> Result<(), String> {
        self.fit(now)?;
        let others = self.votes_without_holder(now);
        if let Some(why) = others.filter(|_| !flags.accept_double_vote_risk) {
            return Err(why);
        }
        self.may_be_passed_over(now, flags)
    }

    /// Where an operator's word stands for that of nodes that cannot be asked, none of them may show by its votes that it lives.
    fn may_be_passed_over(&self, now: Millis, flags: PromoteFlags) -> Result<(), String> {
        let authority = self.setup.authority;
        let passes_over = flags.accept_double_vote_risk && !authority.alone && !authority.leased;
        match self.votes_still_come(now).filter(|_| passes_over) {
            Some(why) => Err(why),
            None => Ok(()),
        }
    }

    fn admit_resume(&mut self, now: Millis, request: RequestId) {
        let was_paused = self.paused_until.take().is_some();
        if !self.parked {
            let text = if was_paused {
                "the pause has ended"
            } else {
                "this node is neither parked nor paused"
            };
            return self.answer(request, Verdict::Done, text);
        }
        self.parked = false;
        self.take_back_demotion();
        self.remember(now, false);
        if matches!(self.stage, Stage::Parked) {
            let stage = self.resting(now);
            self.enter(now, stage, Cause::OperatorResumed, "");
        }
        self.answer(request, Verdict::Done, "this node may be promoted again");
    }

    fn admit_restart(&mut self, now: Millis, request: RequestId, at_once: bool) {
        let resting = matches!(
            self.stage,
            Stage::CatchingUp | Stage::Standby | Stage::Parked
        );
        let voting = matches!(self.stage, Stage::Promoting(_) | Stage::Active(_));
        if self.restart_is_due() && !voting || matches!(self.stage, Stage::Starting(_)) {
            // One is under way, or comes up by itself.
            self.await_for(request, Want::Up);
        } else if resting && self.awaited_vote().is_some() {
            // The other node may give the term back to a validator that can vote at once.
            self.moves.restarts_next = true;
            self.await_for(request, Want::Up);
        } else if resting || (voting && self.setup.authority.alone) {
            self.await_for(request, Want::Up);
            self.restart(now, "");
        } else if matches!(self.stage, Stage::Active(_)) && self.setup.authority.passes {
            self.restart_after_handover(now, request, at_once);
        } else {
            self.refuse_while_busy(request);
        }
    }

    fn admit_relieve(&mut self, now: Millis, request: RequestId, at_once: bool) {
        let flags = PromoteFlags::default();
        let rests = matches!(self.stage, Stage::Standby | Stage::Parked);
        match self.fit(now) {
            _ if !rests => self.refuse_while_busy(request),
            Err(why) => self.answer(request, Verdict::Refused, why),
            Ok(()) if !self.must_ask(now, flags) => {
                let text = "no other node votes that could be relieved";
                self.answer(request, Verdict::Refused, text);
            }
            Ok(()) => {
                let plea = Plea {
                    restarts: true,
                    at_once,
                };
                self.ask_for_term(now, request, plea);
            }
        }
    }

    fn refuse_while_busy(&mut self, request: RequestId) {
        let text = format!(
            "this node is {}; try again when it has ended (`supervisor ctl status --watch`)",
            self.role()
        );
        self.answer(request, Verdict::Refused, text);
    }

    pub(super) fn await_for(&mut self, request: RequestId, wants: Want) {
        self.waiters.push(Waiter { request, wants });
    }

    /// Has the parking written down. Answers to operators wait for it.
    pub(super) fn remember(&mut self, now: Millis, parked: bool) {
        let op = self.next_op();
        self.remembering = Some((op, now.plus(self.setup.timing.step_ms)));
        self.memory_failed = None;
        self.out.push(Effect::Remember { op, parked });
    }

    pub(super) fn remembered(&mut self, now: Millis, outcome: Outcome) {
        if outcome != Outcome::Done {
            let text = format!(
                "whether this node is parked could not be stored: {}",
                outcome.sentence()
            );
            self.page(text.clone());
            self.memory_failed = Some(text);
        }
        self.answer_waiters(now);
    }

    /// Answers the operators whose wish has come true, or cannot.
    pub(super) fn answer_waiters(&mut self, now: Millis) {
        for waiter in std::mem::take(&mut self.waiters) {
            match self.fate(now, waiter.wants) {
                Some((verdict, text)) => self.answer(waiter.request, verdict, text),
                None => self.waiters.push(waiter),
            }
        }
    }

    /// Tells those who wait for this that it does not come.
    pub(super) fn refuse_waiters(&mut self, why: &str, whose: impl Fn(Want) -> bool) {
        for waiter in std::mem::take(&mut self.waiters) {
            if whose(waiter.wants) {
                self.answer(waiter.request, Verdict::Refused, why);
            } else {
                self.waiters.push(waiter);
            }
        }
    }

    /// Whoever waits for this node to be off, its parking not yet written, would wait for as long as it votes.
    pub(super) fn overrule_demotions(&mut self) {
        let text = "this node was told to vote again before its parking was written";
        self.refuse_waiters(text, |wants| wants == Want::Off);
    }

    /// A first vote that does not come is an answer too: the node keeps trying, the operator need not wait.
    pub(super) fn answer_late_first_vote(&mut self) {
        let text =
            "the validator may vote, and has not voted yet; this node keeps the term and waits";
        self.refuse_waiters(text, |_| true);
    }

    fn fate(&self, now: Millis, wants: Want) -> Option<(Verdict, String)> {
        let role = self.role();
        match wants {
            Want::Vote if role == Role::Active => Some((
                Verdict::Done,
                format!("this node votes: {}", self.entered.detail),
            )),
            Want::Vote if matches!(role, Role::Promoting | Role::Demoting | Role::Fenced) => None,
            Want::Vote if self.asks_for_term() => None,
            // Its child has ended, or the term could not be had at its start; it takes the term up again.
            Want::Vote if self.reclaims && matches!(role, Role::Starting | Role::CatchingUp) => {
                None
            }
            Want::Vote => Some(self.failed_promotion()),
            Want::Off => self.fate_of_demotion(now, role),
            Want::Handover => self.fate_of_handover(now),
            Want::Up if self.restart_is_due() => None,
            Want::Up
                if matches!(
                    role,
                    Role::Standby | Role::Parked | Role::Promoting | Role::Active
                ) =>
            {
                Some((
                    Verdict::Done,
                    format!("the validator is up; this node is {role}"),
                ))
            }
            Want::Up if role == Role::Stopping => {
                Some((Verdict::Refused, "the supervisor is stopping".into()))
            }
            Want::Up => None,
        }
    }

    fn failed_promotion(&self) -> (Verdict, String) {
        let (verdict, mut text) = self.failure.clone();
        if self.reclaims {
            text.push_str("; this is tried again by itself, which `supervisor ctl demote` ends");
        }
        (verdict, text)
    }

    fn fate_of_demotion(&self, now: Millis, role: Role) -> Option<(Verdict, String)> {
        let off = self.child.harmless() && self.hold.is_none() && self.gate.open.is_none();
        let releasing = matches!(self.stage, Stage::Starting(Launch::Release(_)));
        let resting = !releasing
            && !matches!(
                role,
                Role::Promoting | Role::Active | Role::Demoting | Role::Fenced
            );
        if !off || !resting || self.remembering.is_some() {
            return None;
        }
        let who = match (&self.moves.handed, self.voter_in_words(now)) {
            (Some(handed), _) if handed.votes.is_none() => return None,
            (_, Some(votes)) => votes,
            (_, None) => match &self.moves.not_passed {
                Some(why) => {
                    format!("nobody votes from here, and the term could not be passed on: {why}")
                }
                None => "nobody votes from here".to_owned(),
            },
        };
        let votes = format!("{who}; {}", self.record_sentence());
        Some(match &self.memory_failed {
            None => (Verdict::Done, votes),
            Some(why) => (Verdict::Refused, format!("{votes}; but {why}")),
        })
    }
}
