//! The term from the authority's side: news of it, its lease, a term left behind, and whose turn it is to take it.
//!
//! Nothing here asks the child for anything; what a lost or lapsed term means for it is decided in `demote` and `quiet`.

use super::effect::Effect;
use super::input::{AuthorityNews, Outcome};
use super::state::{Hold, Holder, Launch, OwnView, Stage};
use super::table::Cause;
use super::values::{Identity, Millis, NodeName, OpId, PromoteFlags, Term};
use super::{Engine, Reason};

impl Engine {
    pub(super) fn authority_says(&mut self, now: Millis, news: AuthorityNews) {
        match news {
            AuthorityNews::Holder(Some(node)) => {
                if self.holder != Holder::Node(node.clone()) {
                    self.holder_since = now;
                }
                self.holder = Holder::Node(node);
                self.has_voted = true;
            }
            AuthorityNews::Holder(None) => {
                if !matches!(self.holder, Holder::Nobody { .. }) {
                    self.holder = Holder::Nobody { since: now };
                }
                self.follow_wish(now);
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
        self.held_last = true;
        self.hold = Some(Hold {
            term,
            lease_until,
            killed: false,
        });
    }

    fn passed_to_us(&mut self, now: Millis, term: Term, from: NodeName) {
        self.holder = Holder::Node(self.setup.node.clone());
        self.holder_since = now;
        self.claimed = true;
        let wanted = matches!(self.stage, Stage::Parked) && self.asks_for_term();
        if (wanted || matches!(self.stage, Stage::Standby)) && self.fit(now).is_ok() {
            return self.promote(
                now,
                Cause::TermPassedToUs,
                PromoteFlags::default(),
                Some(from),
            );
        }
        if matches!(self.stage, Stage::Promoting(_)) {
            // It asks for the term itself, and is granted this one.
            return;
        }
        self.drop_wish_as_unfit(now);
        // A term that cannot be used is given back from rest, for anybody to take.
        self.page(format!(
            "{from} passed term {term} to this node, which is {} and cannot vote",
            self.role()
        ));
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
                self.quiet_kill(now, "its lease had ended");
            }
            _ => self.lease_was_enforced(),
        }
    }

    fn lease_was_enforced(&mut self) {
        if let Some(hold) = &mut self.hold {
            hold.killed = true;
        }
    }

    /// A term may be ours with the authority and not in our hands: a release or an acquisition whose outcome was lost. One that
    /// is to be taken up again is kept.
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
            || self.reclaims
            || self.child.identity != Some(Identity::Unstaked)
        {
            return None;
        }
        // News of a release that was confirmed has a moment to arrive.
        let first = if self.claimed {
            self.entered.at
        } else {
            let since = self.entered.at.max(self.holder_since);
            since.plus(self.setup.timing.step_ms)
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
                to_nobody: self.fenced_off.is_some(),
            });
        }
    }

    pub(super) fn stray_returned(&mut self, now: Millis, op: OpId, outcome: &Outcome) {
        self.claimed &= *outcome != Outcome::Done;
        self.returning = Some((op, now.plus(self.setup.timing.step_ms)));
    }

    /// Nobody holds the term, and it is this standby's turn.
    pub(super) fn takeover_deadline(&self) -> Option<(Millis, Reason)> {
        let is_paused = self.paused_until.is_some() && !self.moves.takes_back;
        if !matches!(self.stage, Stage::Standby) || is_paused || !self.own_moves() {
            return None;
        }
        let earliest = self.entered.at.max(self.retry_at.unwrap_or_default());
        if self.setup.authority.alone {
            return self.reclaims.then_some((earliest, Reason::Takeover));
        }
        // An identity that has never voted waits for an operator's word, and so does one whose newest votes may be unknown here.
        if !self.has_voted || self.claimed || self.barred().is_some() {
            return None;
        }
        let Holder::Nobody { since } = self.holder else {
            return self
                .fence_deadline()
                .filter(|_| self.paused_until.is_none());
        };
        let by_itself = self.setup.automatic || self.moves.takes_back;
        let told = !by_itself && self.told_of_absence == Some(since);
        let may = !told && self.isolated_since.is_none();
        let wait_ms =
            u64::from(self.setup.rank).saturating_mul(self.setup.timing.takeover_stagger_ms);
        // Where somebody seems to vote all the same, that has to end first.
        let quiet_at = self.unaccounted_since().map_or(Millis(0), |_| {
            self.chain.moved.plus(self.setup.timing.chain_quiet_ms)
        });
        let at = since.plus(wait_ms).max(earliest).max(quiet_at);
        may.then_some((at, Reason::Takeover))
    }

    /// A validator whose slot stands still cannot switch its identity, and a cluster that stands still needs no new voter.
    pub(super) fn own_moves(&self) -> bool {
        let still_counts = |own: &OwnView| {
            own.moved_at
                .is_some_and(|at| own.at.since(at) <= self.setup.timing.stale_ms)
        };
        self.own.as_ref().is_some_and(still_counts)
    }

    pub(super) fn watch_takeover(&mut self, now: Millis) {
        if self.takeover_deadline().is_none_or(|(at, _)| at > now) {
            return;
        }
        let alone = self.setup.authority.alone;
        let (cause, since) = match (&self.holder, self.holder_gone_at()) {
            (Holder::Nobody { since }, _) => (Cause::HolderGone, Some(*since)),
            (_, Some(gone_at)) if !alone => (Cause::HolderSilent, Some(gone_at)),
            _ => (Cause::HolderGone, None),
        };
        let completes = self.moves.takes_back && cause == Cause::HolderGone;
        if !self.setup.automatic && !alone && !completes {
            self.told_of_absence = since;
            let what = match cause {
                Cause::HolderSilent => {
                    "the holder is out of reach and its votes have ended, and this standby would run the fence command"
                }
                _ => "nobody holds the term, and this standby would take over",
            };
            return self.page(format!("{what} now were failover.mode not \"manual\": `supervisor ctl promote` lets it vote"));
        }
        self.promote(now, cause, PromoteFlags::default(), None);
    }
}
