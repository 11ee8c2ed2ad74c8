//! Ending: of the child in order (asked, SIGTERM, SIGKILL), and of the supervisor (off the identity, release, child, exit).

use super::effect::Effect;
use super::input::Outcome;
use super::state::{End, Launch, Quiet, Stage, Stop, StopStep};
use super::table::Cause;
use super::values::Millis;
use super::{Engine, Reason};

impl Engine {
    /// Begins to end the supervisor; a second call changes nothing.
    pub(super) fn stop(&mut self, now: Millis, code: u8, cause: Cause, detail: impl Into<String>) {
        if matches!(self.stage, Stage::Stopping(_)) {
            return;
        }
        let votes_on = self.setup.authority.alone && self.child.alive && !self.child.ready;
        self.enter(
            now,
            Stage::Stopping(Stop {
                step: StopStep::Quiet(Quiet::Mute),
                code,
            }),
            cause,
            detail,
        );
        if votes_on {
            // Too early to be muted, and nobody else can vote: the gate guards it to its end.
            self.begin_end(now);
        } else if !self.child.alive || self.child.ready || self.gate.open.is_some() {
            self.quiet_advance(now);
        } else {
            // Unstaked and not up yet: nothing to take off.
            self.stop_release(now);
        }
    }

    /// Off the identity: the term goes back, except where nobody else can have it. One that is not in our hands, nor to be taken up
    /// again, goes back in any case: the next start would take it up.
    pub(super) fn stop_release(&mut self, now: Millis) {
        let kept = self.setup.authority.alone && (self.hold.is_some() || self.reclaims);
        if kept || !(self.hold.is_some() || self.claimed) {
            return self.begin_end(now);
        }
        self.set_stop(StopStep::Release);
        let term = self.term().unwrap_or_default();
        self.release(now, term);
    }

    /// A step of stopping has ended or is late.
    pub(super) fn stopping_goes_on(&mut self, now: Millis, outcome: Outcome) {
        let Stage::Stopping(stop) = self.stage else {
            return;
        };
        match stop.step {
            StopStep::Quiet(_) => self.quiet_goes_on(now, outcome),
            StopStep::Release => {
                self.term_released(&outcome);
                self.begin_end(now);
            }
            StopStep::End(end) => self.end_goes_on(now, end),
        }
    }

    pub(super) fn child_exited_while_stopping(&mut self, now: Millis) {
        let Stage::Stopping(stop) = self.stage else {
            return;
        };
        match stop.step {
            StopStep::Quiet(_) => self.quiet_advance(now),
            StopStep::Release => {}
            StopStep::End(_) => self.exit(stop.code),
        }
    }

    /// Asks the child to end. A child that is dead already has ended.
    pub(super) fn begin_end(&mut self, now: Millis) {
        if !self.child.alive {
            return match self.stage {
                Stage::Stopping(stop) => self.exit(stop.code),
                _ => self.launch(now),
            };
        }
        let timing = self.setup.timing;
        if self.child.ready {
            self.set_end(End::Asked);
            self.out.push(Effect::AskExit);
            self.await_until(now.plus(timing.exit_ms), Reason::Step);
        } else {
            self.terminate(now);
        }
    }

    /// It was asked, and stays.
    pub(super) fn end_goes_on(&mut self, now: Millis, end: End) {
        match end {
            End::Asked => self.terminate(now),
            End::Terminated | End::Killed => {
                self.set_end(End::Killed);
                self.out.push(Effect::Kill);
                self.await_until(now.plus(self.setup.timing.step_ms), Reason::Step);
            }
        }
    }

    fn exit(&mut self, code: u8) {
        self.exited = true;
        self.pending = None;
        self.step_deadline = None;
        self.out.push(Effect::Exit { code });
    }

    fn terminate(&mut self, now: Millis) {
        self.set_end(End::Terminated);
        self.out.push(Effect::Terminate);
        self.await_until(now.plus(self.setup.timing.term_ms), Reason::Step);
    }

    fn set_end(&mut self, end: End) {
        match self.stage {
            Stage::Stopping(_) => self.set_stop(StopStep::End(end)),
            _ => self.set_launch(Launch::EndFirst(end)),
        }
    }

    fn set_stop(&mut self, step: StopStep) {
        if let Stage::Stopping(stop) = &mut self.stage {
            stop.step = step;
        }
    }
}
