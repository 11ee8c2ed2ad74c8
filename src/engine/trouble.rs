//! What observations mean: the verdicts of the design's "Seeing trouble", each a small function.
//!
//! None of them can break the promise; they only decide when to act. An unknown never counts as healthy, and never as
//! proof that anyone is dead.

use super::effect::Effect;
use super::input::{AuthorityNews, GateFacts, Observation, Outcome};
use super::state::{Hold, Holder, Launch, OwnView, PeerView, Stage, Tenure, Then};
use super::table::Cause;
use super::values::{Millis, NodeName, OpId, PromoteFlags, Term};
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
                self.own = Some(OwnView {
                    at: now,
                    healthy,
                    slot,
                    behind,
                    moved_at,
                });
                self.judge_own(now);
            }
            Observation::OwnSilent => {
                self.own = None;
                self.judge_own(now);
            }
            Observation::ChainVote { slot } => self.judge_chain_vote(now, slot),
            Observation::IdentityElsewhere => self.judge_identity_elsewhere(now),
            Observation::Cluster {
                asked,
                advancing,
                failed,
                own_advancing,
            } => {
                self.judge_cluster(now, asked, advancing, failed, own_advancing);
            }
            Observation::Peer {
                node,
                ready,
                active_term,
            } => self.judge_peer(now, node, ready, active_term),
        }
    }

    pub(super) fn authority_says(&mut self, now: Millis, news: AuthorityNews) {
        match news {
            AuthorityNews::Holder(Some(node)) => self.holder = Holder::Node(node),
            AuthorityNews::Holder(None) => {
                if !matches!(self.holder, Holder::Nobody { .. }) {
                    self.holder = Holder::Nobody { since: now };
                }
            }
            AuthorityNews::Lease { term, until } => self.lease_renewed(term, until),
            AuthorityNews::TermLost(term) => {
                if self.term() == Some(term) {
                    self.claimed = false;
                    self.fence(now, Cause::TermLost, format!("term {term}"));
                }
            }
            AuthorityNews::Passed { term, from } => self.passed_to_us(now, term, from),
        }
    }

    /// A lease only ever grows: an older answer that comes later says nothing new.
    fn lease_renewed(&mut self, term: Term, until: Millis) {
        let until = match self.lease {
            Some((known, before)) if known == term => until.max(before),
            _ => until,
        };
        self.lease = Some((term, until));
        if let Some(hold) = &mut self.hold
            && hold.term == term
        {
            hold.lease_until = Some(until);
        }
    }

    /// The authority has answered "held". Its lease begins with what was told of it so far; where none was, it has run out.
    pub(super) fn take_hold(&mut self, now: Millis, term: Term) {
        let told = self
            .lease
            .filter(|(of, _)| *of == term)
            .map(|(_, until)| until);
        let lease_until = if self.setup.authority.leased {
            told.or(Some(now))
        } else {
            told
        };
        self.claimed = true;
        self.hold = Some(Hold {
            term,
            lease_until,
            killed: false,
        });
    }

    pub(super) fn gate_moved(&mut self, now: Millis, facts: GateFacts) {
        let voted = facts.last.is_some() && facts.last != self.gate.facts.last;
        self.gate.facts = facts;
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
            _ => {}
        }
    }

    /// A vote of ours that we did not commit: somebody else votes with the identity.
    fn judge_chain_vote(&mut self, now: Millis, slot: u64) {
        let ours = self.gate.facts.last.map_or(0, |mark| mark.slot);
        let voting = matches!(self.stage, Stage::Active(_));
        if !voting || slot <= ours {
            return;
        }
        let text = format!(
            "the chain shows a vote for slot {slot}; the last committed here is for slot {ours}"
        );
        self.page(format!("somebody else votes with this identity: {text}"));
        self.parked = true;
        self.remember(now, true);
        self.demote(now, Cause::ForeignVote, Then::Park, text);
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

    fn judge_peer(&mut self, now: Millis, node: NodeName, ready: bool, active_term: Option<Term>) {
        self.peers.insert(node.clone(), PeerView { at: now, ready });
        let (Some(theirs), Some(ours)) = (active_term, self.term()) else {
            return;
        };
        if theirs > ours {
            self.fence(
                now,
                Cause::HigherTermSeen,
                format!("{node} votes under term {theirs}, ours is {ours}"),
            );
        }
    }

    fn passed_to_us(&mut self, now: Millis, term: Term, from: NodeName) {
        self.holder = Holder::Node(self.setup.node.clone());
        self.claimed = true;
        if matches!(self.stage, Stage::Standby) && self.fit(now).is_ok() {
            return self.promote(
                now,
                Cause::TermPassedToUs,
                PromoteFlags::default(),
                Some(from),
            );
        }
        // A term that cannot be used is given back from rest, for anybody to take.
        self.page(format!(
            "{from} passed term {term} to this node, which is {} and cannot vote",
            self.role()
        ));
    }

    /// A term may be ours with the authority and not in our hands: a release or an acquisition whose outcome was lost.
    pub(super) fn stray_deadline(&self) -> Option<(Millis, Reason)> {
        let at_rest = matches!(
            self.stage,
            Stage::CatchingUp | Stage::Standby | Stage::Parked | Stage::Starting(_)
        );
        let releasing = matches!(self.stage, Stage::Starting(Launch::Release(_)));
        let named = self.holder == Holder::Node(self.setup.node.clone());
        if !at_rest
            || releasing
            || !(self.claimed || named)
            || self.hold.is_some()
            || self.setup.authority.alone
        {
            return None;
        }
        // News of a release that was confirmed has a moment to arrive.
        let first = if self.claimed {
            self.entered.at
        } else {
            self.entered.at.plus(self.setup.timing.step_ms)
        };
        Some((
            self.returning.map_or(first, |(_, until)| until),
            Reason::Return,
        ))
    }

    pub(super) fn watch_stray(&mut self, now: Millis) {
        if self.stray_deadline().is_some_and(|(at, _)| at <= now) {
            let op = self.next_op();
            self.returning = Some((op, now.plus(self.setup.timing.backoff_max_ms)));
            self.out.push(Effect::Release {
                op,
                term: Term::default(),
            });
        }
    }

    pub(super) fn stray_returned(&mut self, now: Millis, op: OpId, outcome: &Outcome) {
        self.claimed &= *outcome != Outcome::Done;
        self.returning = Some((op, now.plus(self.setup.timing.step_ms)));
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
        let isolation = match (&self.stage, self.isolated_since) {
            (Stage::Active(_), Some(since)) if self.may_step_down() => {
                Some((since.plus(timing.isolated_ms), Reason::Isolation))
            }
            _ => None,
        };
        [reading, silence, isolation].into_iter().flatten().min()
    }

    pub(super) fn watch_trouble(&mut self, now: Millis) {
        let timing = self.setup.timing;
        if matches!(self.stage, Stage::Standby) {
            self.judge_own(now);
        }
        if let (Stage::Active(_), Some(since)) = (&self.stage, self.isolated_since)
            && now.since(since) >= timing.isolated_ms
            && self.may_step_down()
        {
            let text = format!("for {} ms", now.since(since));
            return self.demote(now, Cause::Isolated, Then::Stand, text);
        }
        if let Stage::Active(tenure) = self.stage
            && now >= self.silence_due(&tenure)
        {
            self.judge_silence(now, tenure);
        }
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

    /// No vote for long. Only where the validator moves on is that its fault, and only with a standby ready does leaving help.
    fn judge_silence(&mut self, now: Millis, tenure: Tenure) {
        let moved = self.own.is_some_and(|own| own.slot > tenure.slot_then);
        let silent_s = now.since(tenure.voted_at) / 1000;
        let successor = self.successor(now, None).filter(|_| {
            moved && self.setup.automatic && self.setup.authority.passes && self.may_step_down()
        });
        if let Some(node) = successor {
            return self.demote(
                now,
                Cause::NotVoting,
                Then::Pass(node),
                format!("no vote for {silent_s} s"),
            );
        }
        self.page(if moved {
            format!("the validator has sent no vote for {silent_s} s while its slot advances, and no standby is ready")
        } else {
            format!("no vote for {silent_s} s, and the validator's slot stands still")
        });
        if let Stage::Active(tenure) = &mut self.stage {
            tenure.paged_at = Some(now);
        }
    }

    /// A peer that could vote at once: `wanted`, or any.
    pub(super) fn successor(&self, now: Millis, wanted: Option<&NodeName>) -> Option<NodeName> {
        let fresh =
            |view: &PeerView| view.ready && now.since(view.at) <= self.setup.timing.stale_ms;
        let right = |node: &NodeName| wanted.is_none_or(|wanted| wanted == node);
        self.peers
            .iter()
            .find(|(node, view)| right(node) && fresh(view))
            .map(|(node, _)| node.clone())
    }

    /// The holder begins to leave before the lease ends, and is killed when it has not left by its end.
    pub(super) fn lease_deadline(&self) -> Option<(Millis, Reason)> {
        let hold = self.hold?;
        let until = hold.lease_until?;
        if matches!(
            self.stage,
            Stage::Fenced(_) | Stage::Demoting(_) | Stage::Stopping(_)
        ) {
            return (self.child.alive && !hold.killed).then_some((until, Reason::LeaseEnd));
        }
        let margin_ms = self.setup.timing.lease_margin_ms;
        Some((
            Millis(until.0.saturating_sub(margin_ms)),
            Reason::LeaseMargin,
        ))
    }

    pub(super) fn watch_lease(&mut self, now: Millis) {
        let Some((at, reason)) = self.lease_deadline() else {
            return;
        };
        if at > now {
            return;
        }
        match reason {
            Reason::LeaseMargin => {
                let Some(Hold { term, .. }) = self.hold else {
                    return;
                };
                self.fence(now, Cause::LeaseRanOut, format!("term {term}"));
            }
            _ if !self.child.harmless() => {
                self.lease_was_enforced();
                self.page(
                    "the lease has ended and the validator is still on the identity; killing it",
                );
                self.quiet_kill(now);
            }
            _ => self.lease_was_enforced(),
        }
    }

    fn lease_was_enforced(&mut self) {
        if let Some(hold) = &mut self.hold {
            hold.killed = true;
        }
    }

    /// Nobody holds the term, and it is this standby's turn.
    pub(super) fn takeover_deadline(&self) -> Option<(Millis, Reason)> {
        if !matches!(self.stage, Stage::Standby) || self.paused_until.is_some() || !self.own_moves()
        {
            return None;
        }
        let earliest = self.entered.at.max(self.retry_at.unwrap_or_default());
        if self.setup.authority.alone {
            return self.reclaims.then_some((earliest, Reason::Takeover));
        }
        let Holder::Nobody { since } = self.holder else {
            return None;
        };
        let may = self.setup.automatic && !self.claimed && self.isolated_since.is_none();
        let wait_ms =
            u64::from(self.setup.rank).saturating_mul(self.setup.timing.takeover_stagger_ms);
        may.then(|| (since.plus(wait_ms).max(earliest), Reason::Takeover))
    }

    /// A validator whose slot stands still cannot switch its identity, and a cluster that stands still needs no new voter.
    fn own_moves(&self) -> bool {
        let still_counts = |own: &OwnView| {
            own.moved_at
                .is_some_and(|at| own.at.since(at) <= self.setup.timing.stale_ms)
        };
        self.own.as_ref().is_some_and(still_counts)
    }

    pub(super) fn watch_takeover(&mut self, now: Millis) {
        if self.takeover_deadline().is_some_and(|(at, _)| at <= now) {
            self.promote(now, Cause::HolderGone, PromoteFlags::default(), None);
        }
    }
}
