//! Bringing the child up: link, exec, first answer, mute; and the waits between two tries.
//!
//! A child starts unstaked. Only where nobody else can hold the term (`alone`) does a node that held it start its child with
//! the staked identity, and then only with the term freshly taken and the record on disk.
//!
//! A process that has just begun knows no more than its disks, and those may have been put back to an earlier day. So the first
//! votes of a child that starts staked wait in the gate until the record was compared with the newest vote on the chain.

use super::effect::Effect;
use super::input::{Exit, Outcome};
use super::state::{
    Carry, Child, End, Fencing, Launch, Pause, PromoteStep, Promotion, RecordDurable, Stage,
    TermHeld, Want,
};
use super::table::Cause;
use super::values::{Identity, Millis, PromoteFlags, Role, Term, Verdict};
use super::{Engine, Reason};

impl Engine {
    /// Starts a child, from the top.
    pub(super) fn launch(&mut self, now: Millis) {
        if self.reclaims {
            self.claimed = true;
            self.set_launch(Launch::Acquire);
            let tip = self.tip;
            self.ask(now, |op| Effect::Acquire {
                op,
                regardless: false,
                tip,
            });
        } else {
            self.launch_link(now, Carry::Unstaked);
        }
    }

    /// A step of it has ended or is late.
    pub(super) fn launch_goes_on(&mut self, now: Millis, outcome: Outcome) {
        let Stage::Starting(step) = self.stage.clone() else {
            return;
        };
        match (step, outcome) {
            (Launch::EndFirst(end), _) => self.end_goes_on(now, end),
            (Launch::Release(pause), outcome) => self.launch_released(now, pause, &outcome),
            (Launch::Backoff, _) => self.launch(now),
            (Launch::Acquire, Outcome::Held { term, record }) => {
                self.launch_install(now, TermHeld { term, record })
            }
            (Launch::Install(held), Outcome::Durable(Some(mark)))
                if !held.is_newer_than(Some(mark)) =>
            {
                self.launch_installed(now, held, RecordDurable(Some(mark)));
            }
            (Launch::Install(_), Outcome::Durable(_)) => {
                self.launch_without_term(now, "its record is not on this disk")
            }
            (Launch::Acquire | Launch::Install(_), Outcome::Failed(why)) => {
                // What failed for once is tried again as soon as the child stands by.
                self.launch_without_term(now, &why);
                self.reclaims = true;
            }
            (Launch::Acquire | Launch::Install(_), other) => {
                self.launch_without_term(now, &other.sentence())
            }
            (Launch::Link(carry), Outcome::Done) => self.launch_spawn(now, carry),
            (Launch::Link(_), other) => {
                self.page(format!(
                    "the identity link cannot be pointed, and the validator is not started: {}",
                    other.sentence()
                ));
                self.back_off(now, Some(Exit::NotStarted));
            }
            (Launch::Spawn(carry), Outcome::Done) => self.launch_spawned(now, carry),
            (Launch::OpenGate(..), Outcome::Done) => self.launch_await(now),
            (Launch::Mute, Outcome::Done) => self.launched(now),
            (Launch::Compare(held, durable), _) => {
                self.launch_uncompared(durable);
                self.launch_open(now, held, durable);
            }
            (Launch::Kill { counts }, _) => self.launch_kill_on(now, counts, ""),
            (_, other) => self.launch_kill(now, &other.sentence()),
        }
    }

    /// The child answers on its admin RPC.
    pub(super) fn child_ready(&mut self, now: Millis) {
        if !self.child.alive {
            return;
        }
        self.child.ready = true;
        match self.stage {
            Stage::Starting(Launch::AwaitReady(Carry::Unstaked)) => {
                self.set_launch(Launch::Mute);
                self.ask(now, |op| Effect::Mute { op });
            }
            Stage::Starting(Launch::AwaitReady(Carry::Staked(held, durable))) => {
                if self.compared {
                    self.launched_holding(now);
                } else {
                    self.set_launch(Launch::Compare(held, durable));
                    self.await_until(now.plus(self.setup.timing.step_ms), Reason::Step);
                }
            }
            _ => {}
        }
    }

    /// The child is reaped: nothing it did can go on, and its gate is gone with it.
    pub(super) fn child_exited(&mut self, now: Millis, exit: Exit) {
        if !self.child.alive {
            return;
        }
        self.child = Child::DEAD;
        self.spawning = None;
        self.gate.open = None;
        self.gate.facts.waiting = 0;
        self.own = None;
        self.isolated_since = None;
        let killed_for = self.killed_for.take();
        match self.stage {
            Stage::Starting(Launch::EndFirst(_)) => self.launch(now),
            Stage::Starting(Launch::Kill { counts: false }) => self.after_death(now, None),
            Stage::Starting(_) => self.after_death(now, Some(exit)),
            Stage::Demoting(_) | Stage::Fenced(_) => {
                self.death = match killed_for {
                    Some(why) => format!("the supervisor killed it: {why}"),
                    None => exit.to_string(),
                };
                if self.quiet_step().is_some() {
                    self.quiet_advance(now);
                }
            }
            Stage::Stopping(_) => self.child_exited_while_stopping(now),
            Stage::CatchingUp
            | Stage::Standby
            | Stage::Parked
            | Stage::Promoting(_)
            | Stage::Active(_) => {
                let how = match killed_for {
                    Some(why) => format!("the supervisor killed it: {why}"),
                    None => exit.to_string(),
                };
                self.child_died(now, exit, how);
            }
        }
    }

    fn child_died(&mut self, now: Millis, exit: Exit, how: String) {
        let promoting = self.role() == Role::Promoting;
        self.reclaims |= self.keeps_term();
        self.enter(now, Stage::Starting(Launch::Backoff), Cause::ChildDied, how);
        if promoting && self.reclaims {
            self.progress(&format!("the validator ended during the promotion ({exit}); it is started again and votes by itself, which `supervisor ctl demote` prevents"));
        }
        self.after_death(now, Some(exit));
    }

    /// Nobody else can have the term of a dead child, and nobody wants it back.
    fn keeps_term(&self) -> bool {
        self.hold.is_some() && self.setup.authority.alone && !self.parked
    }

    /// A dead child's term is given back at once, so that a standby needs no timeout; where nobody else can have it, it is kept.
    fn after_death(&mut self, now: Millis, exit: Option<Exit>) {
        let pause = exit.map_or(Pause::Ended, Pause::Died);
        if self.keeps_term() {
            self.hold = None;
            self.reclaims = true;
            return self.back_off(now, exit);
        }
        match self.term() {
            Some(term) => self.launch_release(now, term, pause),
            // What an acquisition under way gets is given back as well, unless the next start takes it up again.
            None if self.claimed && !self.reclaims => {
                self.launch_release(now, Term::default(), pause);
            }
            None => self.back_off(now, exit),
        }
    }

    fn launch_release(&mut self, now: Millis, term: Term, pause: Pause) {
        self.set_launch(Launch::Release(pause));
        self.release(now, term);
    }

    /// An operator wants no voting here while a child with the staked identity is on its way up, or due. One that comes up
    /// unstaked is left alone: what may be ours goes back beside it.
    pub(super) fn demote_while_starting(&mut self, now: Millis, reclaimed: bool) {
        const WHY: &str = "an operator wants this node to stop voting";
        self.failure = (Verdict::Refused, WHY.into());
        let Some(term) = self.term().or(reclaimed.then_some(Term(0))) else {
            return;
        };
        match (&self.stage, self.step_deadline) {
            (Stage::Starting(Launch::Release(_)), _) => {}
            (Stage::Starting(Launch::Kill { counts }), _) => {
                self.launch_kill_on(now, *counts, WHY);
            }
            _ if self.child.alive => {
                if self.child.identity != Some(Identity::Unstaked) {
                    self.progress("killing the validator");
                    self.launch_kill_on(now, false, WHY);
                }
            }
            (_, Some((at, Reason::Backoff))) => self.launch_release(now, term, Pause::Until(at)),
            _ => self.launch_release(now, term, Pause::Until(now)),
        }
    }

    fn launch_released(&mut self, now: Millis, pause: Pause, outcome: &Outcome) {
        self.term_released(outcome);
        match pause {
            Pause::Died(exit) => self.back_off(now, Some(exit)),
            Pause::Ended => self.back_off(now, None),
            Pause::Until(at) => self.wait_in_backoff(now, at),
        }
    }

    /// Waits before the next try, or gives up. `exit` is `None` where the child's end was none of its own failures: it does
    /// not count.
    pub(super) fn back_off(&mut self, now: Millis, exit: Option<Exit>) {
        let timing = self.setup.timing;
        while self
            .restarts
            .front()
            .is_some_and(|at| now.since(*at) > timing.restart_window_ms)
        {
            self.restarts.pop_front();
        }
        if let Some(exit) = exit {
            self.refuse_waiters(
                &format!(
                    "the validator ended again ({exit}): see its log. It is started again by itself"
                ),
                |wants| wants == Want::Up,
            );
        }
        if let Some(exit) = exit
            && self.restarts.len() >= timing.restart_max as usize
        {
            let text = format!(
                "the validator ended {} times within {} s, last with {exit}",
                self.restarts.len() + 1,
                timing.restart_window_ms / 1000
            );
            self.page(format!("giving up: {text}"));
            return self.stop(now, exit.code(), Cause::GaveUp, text);
        }
        let doublings = self.restarts.len().min(16) as u32;
        let wait_ms = timing
            .backoff_min_ms
            .saturating_mul(1 << doublings)
            .min(timing.backoff_max_ms);
        if exit.is_some() {
            self.restarts.push_back(now);
        }
        self.wait_in_backoff(now, now.plus(wait_ms));
    }

    fn wait_in_backoff(&mut self, now: Millis, until: Millis) {
        self.set_launch(Launch::Backoff);
        self.await_until(until, Reason::Backoff);
        self.answer_waiters(now);
    }

    fn launch_install(&mut self, now: Millis, held: TermHeld) {
        self.take_hold(now, held.term);
        self.set_launch(Launch::Install(held));
        self.ask(now, |op| Effect::InstallRecord {
            op,
            term: held.term,
        });
    }

    /// What the chain showed before the child's death may still be fresh.
    fn launch_installed(&mut self, now: Millis, held: TermHeld, durable: RecordDurable) {
        let flags = PromoteFlags::default();
        if let Some(why) = self.beyond_record(now, flags, durable.0) {
            return self.launch_without_term(now, &why);
        }
        self.account_for(flags, durable);
        self.compared |= self.is_compared(now, durable);
        self.launch_link(now, Carry::Staked(held, durable));
    }

    /// The chain's newest vote is known while a child comes up staked.
    pub(super) fn compare_at_start(&mut self, now: Millis) {
        let (held, durable, waits) = match self.stage {
            _ if self.compared => return,
            Stage::Starting(Launch::Spawn(Carry::Staked(held, durable))) => (held, durable, false),
            Stage::Starting(
                Launch::AwaitReady(Carry::Staked(held, durable)) | Launch::Compare(held, durable),
            ) => (held, durable, true),
            _ => return,
        };
        if let Some(why) = self.beyond_record(now, PromoteFlags::default(), durable.0) {
            return self.launch_behind_chain(now, &why);
        }
        self.compared = true;
        if waits {
            self.launch_open(now, held, durable);
        }
    }

    /// Votes were sent that the record here does not know. Those of this child wait in the gate, and end with it.
    fn launch_behind_chain(&mut self, now: Millis, why: &str) {
        self.cannot_take_up(why);
        self.launch_kill_on(now, false, "its record is not the newest");
    }

    /// Nothing that could be asked has told of the chain. A node that nobody can take over for votes all the same.
    fn launch_uncompared(&mut self, durable: RecordDurable) {
        self.compared = true;
        let slot = durable.0.map_or(0, |mark| mark.slot);
        self.page(format!("votes begin from the record here, which ends at slot {slot}, without a comparison: neither the validator's RPC nor one of cluster.rpc has told the newest vote on the chain; where this state_dir or ledger may have been restored from a copy, say `supervisor ctl demote` at once"));
    }

    /// The term or its record cannot be had: the child comes up unstaked, and an operator has to look.
    fn launch_without_term(&mut self, now: Millis, why: &str) {
        self.cannot_take_up(why);
        self.launch_link(now, Carry::Unstaked);
    }

    fn cannot_take_up(&mut self, why: &str) {
        let text = format!("this node held the term and cannot take it up again: {why}");
        self.page(format!("{text}; starting unstaked"));
        self.failure = (Verdict::Refused, text);
        self.hold = None;
        self.reclaims = false;
    }

    fn launch_link(&mut self, now: Millis, carry: Carry) {
        self.link = None;
        self.set_launch(Launch::Link(carry));
        self.ask(now, |op| Effect::PointLink {
            op,
            to: carry.identity(),
        });
    }

    fn launch_spawn(&mut self, now: Millis, carry: Carry) {
        self.link = Some(carry.identity());
        self.killed_for = None;
        self.child = Child {
            alive: true,
            ready: false,
            identity: Some(carry.identity()),
            muted: false,
            switch_due: None,
            switch_asked: now,
            in_doubt: false,
        };
        self.set_launch(Launch::Spawn(carry));
        self.ask(now, |op| Effect::Spawn { op });
        self.spawning = self.pending;
    }

    fn launch_spawned(&mut self, now: Millis, carry: Carry) {
        match carry {
            Carry::Staked(held, durable) if self.compared => self.launch_open(now, held, durable),
            Carry::Unstaked | Carry::Staked(..) => self.launch_await(now),
        }
    }

    fn launch_open(&mut self, now: Millis, held: TermHeld, durable: RecordDurable) {
        self.set_launch(Launch::OpenGate(held, durable));
        self.gate.open = Some(held.term);
        self.ask(now, |op| Effect::OpenGate {
            op,
            term: held.term,
        });
    }

    fn launch_await(&mut self, now: Millis) {
        let carry = match self.stage {
            Stage::Starting(Launch::OpenGate(held, durable)) => Carry::Staked(held, durable),
            Stage::Starting(Launch::Spawn(carry)) => carry,
            _ => Carry::Unstaked,
        };
        self.set_launch(Launch::AwaitReady(carry));
        self.await_until(now.plus(self.setup.timing.start_ms), Reason::Step);
        if self.child.ready {
            self.child_ready(now);
        }
    }

    fn launched(&mut self, now: Millis) {
        self.child.muted = true;
        self.enter(now, Stage::CatchingUp, Cause::ChildUp, "");
    }

    fn launched_holding(&mut self, now: Millis) {
        let promotion = Promotion {
            flags: PromoteFlags::default(),
            passed_by: None,
            step: PromoteStep::AwaitFirstVote,
            fencing: Fencing::No,
            late: 0,
        };
        self.enter(now, Stage::Promoting(promotion), Cause::ChildUpHolding, "");
        self.await_first_vote(now);
    }

    pub(super) fn launch_kill(&mut self, now: Millis, why: &str) {
        self.page(format!("the validator did not come up: {why}; killing it"));
        self.launch_kill_on(now, true, why);
    }

    /// Only its death ends this, so it is asked for until it comes.
    pub(super) fn launch_kill_on(&mut self, now: Millis, counts: bool, why: &str) {
        self.killed_for.get_or_insert_with(|| why.to_owned());
        self.set_launch(Launch::Kill { counts });
        self.out.push(Effect::Kill);
        self.await_until(now.plus(self.setup.timing.step_ms), Reason::Step);
    }

    /// Restarts the child on an operator's word: it is ended in order, then launched without a wait.
    pub(super) fn restart(&mut self, now: Millis, detail: &str) {
        self.reclaims = (self.hold.is_some() || self.reclaims) && self.setup.authority.alone;
        self.enter(
            now,
            Stage::Starting(Launch::EndFirst(End::Asked)),
            Cause::OperatorRestarted,
            detail,
        );
        self.begin_end(now);
    }

    pub(super) fn set_launch(&mut self, step: Launch) {
        self.stage = Stage::Starting(step);
    }
}
