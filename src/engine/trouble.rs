//! What observations mean: the verdicts of the design's "Seeing trouble", each a small function.
//!
//! None of them can break the promise; they only decide when to act. An unknown never counts as healthy, and never as
//! proof that anyone is dead.

use super::effect::Effect;
use super::input::{GateFacts, Observation, Outcome};
use super::state::{OwnView, Stage, Tenure, Then};
use super::table::Cause;
use super::values::Millis;
use super::{Engine, Reason};

impl Engine {
    pub(super) fn observed(&mut self, now: Millis, observation: Observation) {
        match observation {
            Observation::Own {
                healthy,
                slot,
                behind,
            } => {
                let moved_at = match self.own {
                    Some(before) if slot > before.slot => Some(now),
                    Some(before) => before.moved_at,
                    None => None,
                };
                if healthy {
                    let tip = slot.saturating_add(behind.unwrap_or(0));
                    self.tip = self.tip.max(tip);
                }
                self.own = Some(OwnView {
                    at: now,
                    healthy,
                    slot,
                    behind,
                    moved_at,
                });
                self.judge_own(now);
                self.follow_wish(now);
            }
            Observation::OwnSilent => {
                self.own = None;
                self.judge_own(now);
            }
            Observation::ChainVote { slot } => self.chain_shows(now, slot),
            Observation::IdentityElsewhere => self.judge_identity_elsewhere(now),
            Observation::Cluster {
                asked,
                advancing,
                failed,
                own_advancing,
            } => {
                self.judge_cluster(now, asked, advancing, failed, own_advancing);
            }
            Observation::Peer(facts) => self.peer_says(now, facts),
            Observation::PeerGone(node) => self.peer_is_gone(now, &node),
            Observation::PeerDeclines { node, why } => self.wish_is_declined(now, &node, why),
            Observation::Leads(leads) => self.leads(now, leads),
        }
    }

    pub(super) fn gate_moved(&mut self, now: Millis, facts: GateFacts) {
        let voted = facts.last.is_some() && facts.last != self.gate.facts.last;
        self.gate.facts = facts;
        self.has_voted |= facts.last.is_some();
        let slot_now = self.own.map_or(0, |own| own.slot);
        if let Stage::Active(tenure) = &mut self.stage
            && voted
        {
            *tenure = Tenure {
                voted_at: now,
                slot_then: slot_now,
                paged_at: None,
            };
        }
        self.see_first_vote(now);
    }

    /// Whether the child may be given the staked identity; the error says why not.
    pub(super) fn fit(&self, now: Millis) -> Result<(), String> {
        let Some(own) = self
            .own
            .filter(|own| now.since(own.at) <= self.setup.timing.stale_ms)
        else {
            return Err("the validator has given no reading of its health lately".into());
        };
        let limit = self.setup.timing.caught_up_slots;
        match own.behind {
            _ if !own.healthy => Err("the validator says that it is not healthy".into()),
            None => Err("how far the validator is behind the cluster is unknown".into()),
            Some(behind) if behind > limit => Err(format!(
                "the validator is {behind} slots behind; {limit} count as caught up"
            )),
            Some(_) => Ok(()),
        }
    }

    fn judge_own(&mut self, now: Millis) {
        let fit = self.fit(now);
        match (&self.stage, fit) {
            (Stage::CatchingUp, Ok(())) => {
                let stage = self.resting(now);
                self.enter(now, stage, Cause::CaughtUp, "");
            }
            (Stage::Standby, Err(why)) => {
                self.enter(now, Stage::CatchingUp, Cause::FellBehind, why)
            }
            (Stage::Parked, Err(_)) => self.drop_wish_as_unfit(now),
            _ => {}
        }
    }

    /// Why this node could not be given the term at this moment, as the others are told; `None`: it could vote at once.
    #[must_use]
    pub fn unready(&self, now: Millis) -> Option<String> {
        let asks = self.asks_for_term();
        let why = match self.stage {
            Stage::Standby if self.paused_until.is_some() && !asks => "is paused",
            Stage::Standby if self.barred().is_some() && !asks => "waits for an operator's word",
            // The operator's last word is that it is to vote.
            Stage::Standby => "",
            Stage::Parked if asks => "",
            _ => return Some(format!("is {}", self.role())),
        };
        if why.is_empty() && self.fit(now).is_err() {
            return Some(format!("is {}", self.role()));
        }
        if why.is_empty() && self.child.switch_due.is_some() {
            return Some("has not finished its last change of identity".into());
        }
        (!why.is_empty()).then(|| why.to_owned())
    }

    /// Gossip is no proof: the term is confirmed by a fresh transaction before anything is done.
    fn judge_identity_elsewhere(&mut self, now: Millis) {
        let (Some(term), None) = (self.term(), self.confirming) else {
            return;
        };
        if !matches!(self.stage, Stage::Active(_) | Stage::Promoting(_)) {
            return;
        }
        let op = self.next_op();
        self.confirming = Some((op, now.plus(self.setup.timing.step_ms)));
        self.out.push(Effect::ConfirmTerm { op, term });
    }

    pub(super) fn term_confirmed(&mut self, now: Millis, outcome: Outcome) {
        if !matches!(self.stage, Stage::Active(_) | Stage::Promoting(_)) {
            return;
        }
        match outcome {
            Outcome::Done => self.page("this identity is in gossip at another address; the term is confirmed, voting goes on"),
            Outcome::Refused(why) => self.fence(now, Cause::TermLost, why),
            other => self.demote(now, Cause::IdentityElsewhere, Then::Stand, other.sentence()),
        }
    }

    /// Cut off: the others move, or cannot be asked, and we stand. A cluster that stands as a whole moves nobody.
    fn judge_cluster(
        &mut self,
        now: Millis,
        asked: u32,
        advancing: u32,
        failed: u32,
        own_advancing: bool,
    ) {
        let majority = asked / 2 + 1;
        let cut_off = asked > 0 && !own_advancing && (advancing >= majority || failed >= majority);
        if !cut_off {
            self.isolated_since = None;
        } else if self.isolated_since.is_none() {
            self.isolated_since = Some(now);
        }
    }

    /// The times at which silence, staleness and isolation become verdicts.
    pub(super) fn watch_deadline(&self) -> Option<(Millis, Reason)> {
        let timing = &self.setup.timing;
        let reading = match (&self.stage, self.own) {
            (Stage::Standby, Some(own)) => {
                Some((own.at.plus(timing.stale_ms + 1), Reason::Reading))
            }
            _ => None,
        };
        let silence = match &self.stage {
            Stage::Active(tenure) => Some((self.silence_due(tenure), Reason::Silence)),
            _ => None,
        };
        let isolation = self.isolation_due().map(|at| (at, Reason::Isolation));
        let switch = self.switch_overdue().map(|at| (at, Reason::Switch));
        [reading, silence, isolation, switch]
            .into_iter()
            .flatten()
            .min()
    }

    pub(super) fn watch_trouble(&mut self, now: Millis) {
        if matches!(self.stage, Stage::Standby | Stage::Parked) {
            self.judge_own(now);
        }
        if self.isolation_due().is_some_and(|at| at <= now) {
            let since = self.isolated_since.unwrap_or(now);
            let text = format!("for {} ms", now.since(since));
            return self.demote(now, Cause::Isolated, self.back_to(), text);
        }
        if self.switch_overdue().is_some_and(|at| at <= now) {
            self.end_a_validator_that_does_not_switch();
        }
        if let Stage::Active(tenure) = self.stage
            && now >= self.silence_due(&tenure)
        {
            self.judge_silence(now, tenure);
        }
    }

    /// When a validator at rest, whose slot advances, should have shown that the thread that votes has taken the unstaked identity. One
    /// that has lost that thread is up and healthy, and would never vote again.
    fn switch_overdue(&self) -> Option<Millis> {
        let rests = matches!(
            self.stage,
            Stage::CatchingUp | Stage::Standby | Stage::Parked
        );
        let is_due = self.child.alive && self.child.switch_due.is_some();
        (rests && is_due && self.own_moves() && self.killed_for.is_none()).then(|| {
            let asked = self.child.switch_asked.max(self.entered.at);
            asked.plus(self.setup.timing.promote_ms)
        })
    }

    /// It is muted and off the staked identity: nothing is lost by its end.
    fn end_a_validator_that_does_not_switch(&mut self) {
        let why = "its thread that votes has not taken the unstaked identity: it has died, as far as can be told";
        self.killed_for = Some(why.to_owned());
        self.page(format!("the validator is started anew: {why}"));
        self.out.push(Effect::Kill);
    }

    /// When a node that looks cut off leaves. A promotion is given the whole span from its beginning, and so is what follows it: the
    /// first vote shows that the validator has moved. Where only the child's death would take it off, the deadline of the step decides.
    fn isolation_due(&self) -> Option<Millis> {
        let since = self.isolated_since.filter(|_| self.may_step_down())?;
        let can_leave = match &self.stage {
            Stage::Active(_) => true,
            Stage::Promoting(_) => !self.child.past_undoing(),
            _ => false,
        };
        let from = since.max(self.entered.at);
        can_leave.then(|| from.plus(self.setup.timing.isolated_ms))
    }

    /// Leaving by itself helps only where somebody else can vote, and is a decision that a pause puts off.
    fn may_step_down(&self) -> bool {
        !self.setup.authority.alone && self.paused_until.is_none()
    }

    /// A silence is reported when it is long enough, and again at ten times the span.
    fn silence_due(&self, tenure: &Tenure) -> Millis {
        let silent_ms = self.setup.timing.silent_ms;
        match tenure.paged_at {
            None => tenure.voted_at.plus(silent_ms),
            Some(at) => at.plus(silent_ms.saturating_mul(10)),
        }
    }

    /// A validator that takes long is left alone: only an operator can tell a slow start from a hopeless one.
    pub(super) fn still_catching_up(&mut self, now: Millis) {
        let why = self.fit(now).err().unwrap_or_default();
        self.page(format!("still not caught up: {why}"));
        self.await_until(now.plus(self.setup.timing.start_ms), Reason::CatchUp);
    }

    /// No vote for long. That is the validator's fault where it moves on, or says nothing any more; where it says that its slot
    /// stands still, the cluster may. Only with a standby ready does leaving help.
    fn judge_silence(&mut self, now: Millis, tenure: Tenure) {
        let stale_ms = self.setup.timing.stale_ms;
        let own = self.own.filter(|own| now.since(own.at) <= stale_ms);
        let stands_still = own.is_some_and(|own| own.slot <= tenure.slot_then);
        let silent_s = now.since(tenure.voted_at) / 1000;
        let successor = self.successor(now, None).filter(|_| {
            !stands_still
                && self.setup.automatic
                && self.setup.authority.passes
                && self.may_step_down()
        });
        if let Some(node) = successor {
            return self.demote(
                now,
                Cause::NotVoting,
                Then::Pass(node),
                format!("no vote for {silent_s} s"),
            );
        }
        let what = match own {
            None => "and the validator does not answer",
            Some(_) if stands_still => "and the validator's slot stands still",
            Some(_) => "while the validator's slot advances",
        };
        let alone = if stands_still {
            ""
        } else {
            "; no standby is to take over"
        };
        self.page(format!("no vote for {silent_s} s, {what}{alone}"));
        if let Stage::Active(tenure) = &mut self.stage {
            tenure.paged_at = Some(now);
        }
    }
}
