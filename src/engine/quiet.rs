//! Taking the child off the staked identity: the same path for a demotion, a fence and a stop.
//!
//! Each call looks at what remains to be done and asks for the first of it: mute, unstaked identity, closed gate, link. A
//! step that fails or is late is not repeated; the child is killed instead, and its death is waited for without limit,
//! because only death is certain.

use super::effect::Effect;
use super::explain::quiet_name;
use super::input::Outcome;
use super::state::{DemoteStep, Demotion, Quiet, Stage, Stop, StopStep};
use super::values::{Identity, Millis};
use super::{Engine, Reason};

impl Engine {
    /// Asks for the first thing that still ties the child to the identity, or goes on when there is none.
    pub(super) fn quiet_advance(&mut self, now: Millis) {
        let fenced = matches!(self.stage, Stage::Fenced(_));
        let child = self.child;
        if !child.alive {
            return if self.link == Some(Identity::Unstaked) {
                self.quiet_done(now)
            } else {
                self.quiet_link(now)
            };
        }
        if fenced && self.gate.open.is_some() {
            self.set_quiet(Quiet::RefuseVotes);
            return self.ask(now, |op| Effect::CloseGate { op, quiet_ms: 0 });
        }
        if !child.ready {
            return self.quiet_kill(now, "its admin RPC did not answer yet");
        }
        if child.past_undoing() {
            return self.quiet_kill(now, "a change towards voting was under way");
        }
        if !child.muted {
            self.set_quiet(Quiet::Mute);
            self.progress("muting the validator");
            return self.ask(now, |op| Effect::Mute { op });
        }
        if child.identity != Some(Identity::Unstaked) {
            self.set_quiet(Quiet::Unstake);
            self.progress("setting the unstaked identity");
            self.child.identity = None;
            self.child.switch_due = Some(Identity::Unstaked);
            self.child.switch_asked = now;
            return self.ask(now, |op| Effect::SetIdentity {
                op,
                to: Identity::Unstaked,
                require: None,
            });
        }
        if self.gate.open.is_some() {
            self.set_quiet(Quiet::CloseGate);
            self.progress("waiting for the last vote to settle");
            let quiet_ms = self.setup.timing.gate_quiet_ms;
            self.ask(now, |op| Effect::CloseGate { op, quiet_ms });
            self.step_deadline = Some((
                now.plus(self.setup.timing.step_ms.saturating_add(quiet_ms)),
                Reason::Step,
            ));
            return;
        }
        if self.link != Some(Identity::Unstaked) {
            return self.quiet_link(now);
        }
        self.quiet_done(now);
    }

    /// A step of it has ended or is late.
    pub(super) fn quiet_goes_on(&mut self, now: Millis, outcome: Outcome) {
        let Some(step) = self.quiet_step() else {
            return self.demotion_settled(now, outcome);
        };
        let done = outcome == Outcome::Done;
        match step {
            Quiet::Kill => return self.quiet_kill(now, ""),
            Quiet::Link => return self.quiet_linked(now, outcome),
            Quiet::Mute => self.child.muted = done,
            Quiet::Unstake if done => self.child.identity = Some(Identity::Unstaked),
            Quiet::RefuseVotes | Quiet::CloseGate if done => self.gate.open = None,
            Quiet::Unstake | Quiet::RefuseVotes | Quiet::CloseGate => {}
        }
        if done {
            return self.quiet_advance(now);
        }
        let why = format!("{}: {}", quiet_name(step), outcome.sentence());
        self.page(format!(
            "taking the validator off the staked identity: {why}; killing it"
        ));
        self.quiet_kill(now, &why);
    }

    fn quiet_link(&mut self, now: Millis) {
        self.set_quiet(Quiet::Link);
        self.ask(now, |op| Effect::PointLink {
            op,
            to: Identity::Unstaked,
        });
    }

    /// The link does not decide who votes: every start points it anew. So a link that cannot be moved delays nothing.
    fn quiet_linked(&mut self, now: Millis, outcome: Outcome) {
        if outcome == Outcome::Done {
            self.link = Some(Identity::Unstaked);
        } else {
            self.link = None;
            self.page(format!(
                "the identity link could not be pointed at the unstaked keypair: {}",
                outcome.sentence()
            ));
        }
        self.quiet_done(now);
    }

    /// The first reason is the one that is told.
    pub(super) fn quiet_kill(&mut self, now: Millis, why: &str) {
        self.killed_for.get_or_insert_with(|| why.to_owned());
        self.set_quiet(Quiet::Kill);
        self.progress("killing the validator");
        self.out.push(Effect::Kill);
        self.await_until(now.plus(self.setup.timing.step_ms), Reason::Step);
    }

    /// The child is off the identity, or dead.
    fn quiet_done(&mut self, now: Millis) {
        match self.stage {
            Stage::Demoting(_) => self.settle_term(now),
            Stage::Fenced(_) => self.fence_done(now),
            Stage::Stopping(_) => self.stop_release(now),
            _ => {}
        }
    }

    pub(super) fn quiet_step(&self) -> Option<Quiet> {
        match self.stage {
            Stage::Demoting(Demotion {
                step: DemoteStep::Quiet(quiet),
                ..
            })
            | Stage::Fenced(quiet)
            | Stage::Stopping(Stop {
                step: StopStep::Quiet(quiet),
                ..
            }) => Some(quiet),
            _ => None,
        }
    }

    fn set_quiet(&mut self, quiet: Quiet) {
        match &mut self.stage {
            Stage::Demoting(demotion) => demotion.step = DemoteStep::Quiet(quiet),
            Stage::Fenced(step) => *step = quiet,
            Stage::Stopping(stop) => stop.step = StopStep::Quiet(quiet),
            _ => {}
        }
    }
}
