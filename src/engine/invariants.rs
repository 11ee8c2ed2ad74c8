//! What must hold in one engine after every step. The simulation and the model check what must hold between engines.

use super::Engine;
use super::state::{Carry, Launch, Stage};
use super::values::Identity;
use std::fmt;

/// A broken invariant, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation(pub String);

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Violation {}

impl Engine {
    /// Checks every invariant that one engine can see.
    ///
    /// # Errors
    /// The first one that does not hold.
    pub fn check(&self) -> Result<(), Violation> {
        self.table_was_kept()?;
        self.resting_roles_are_harmless()?;
        self.staked_only_behind_an_open_gate()?;
        self.open_gate_only_under_the_held_term()?;
        self.active_is_what_it_says()?;
        self.every_role_has_a_deadline()
    }

    fn table_was_kept(&self) -> Result<(), Violation> {
        self.broken
            .as_ref()
            .map_or(Ok(()), |broken| Err(Violation(broken.clone())))
    }

    fn resting_roles_are_harmless(&self) -> Result<(), Violation> {
        let resting = matches!(
            self.stage,
            Stage::CatchingUp | Stage::Standby | Stage::Parked
        );
        let at_rest = self.child.alive
            && self.child.ready
            && self.child.harmless()
            && self.hold.is_none()
            && self.gate.open.is_none();
        demand(!resting || at_rest, || {
            format!(
                "{} with child {:?}, hold {:?}, gate {:?}",
                self.role(),
                self.child,
                self.hold,
                self.gate.open
            )
        })
    }

    /// A child that could build a vote of the staked identity exists only where its votes are committed, held or refused. A gate
    /// that is closed refuses, so a child on its way off the identity may be behind a closed one; one that was not opened yet
    /// holds the votes of a child that starts staked.
    fn staked_only_behind_an_open_gate(&self) -> Result<(), Violation> {
        let may_vote = self.child.alive
            && !self.child.muted
            && self.child.identity != Some(Identity::Unstaked);
        let leaving = matches!(
            self.stage,
            Stage::Demoting(_) | Stage::Fenced(_) | Stage::Stopping(_)
        );
        let coming = matches!(
            self.stage,
            Stage::Starting(
                Launch::Spawn(Carry::Staked(..))
                    | Launch::AwaitReady(Carry::Staked(..))
                    | Launch::Compare(..)
                    | Launch::Kill { .. }
                    | Launch::EndFirst(_)
            )
        );
        demand(
            !may_vote || leaving || coming || self.gate.open.is_some(),
            || {
                format!(
                    "{} with an unmuted child on {:?} and a closed gate",
                    self.role(),
                    self.child.identity
                )
            },
        )
    }

    fn open_gate_only_under_the_held_term(&self) -> Result<(), Violation> {
        let leaving = matches!(
            self.stage,
            Stage::Demoting(_)
                | Stage::Fenced(_)
                | Stage::Stopping(_)
                | Stage::Starting(Launch::Kill { .. })
        );
        let matches = self.gate.open.is_none() || self.gate.open == self.term();
        demand(matches || leaving, || {
            format!(
                "the gate is open under {:?}, the term held is {:?}",
                self.gate.open,
                self.term()
            )
        })
    }

    fn active_is_what_it_says(&self) -> Result<(), Violation> {
        let active = matches!(self.stage, Stage::Active(_));
        let votes = self.child.alive
            && self.child.identity == Some(Identity::Staked)
            && !self.child.muted
            && self.hold.is_some()
            && self.gate.open == self.term()
            && self.link == Some(Identity::Staked);
        demand(!active || votes, || {
            format!(
                "active with child {:?}, hold {:?}, link {:?}",
                self.child, self.hold, self.link
            )
        })
    }

    fn every_role_has_a_deadline(&self) -> Result<(), Violation> {
        let not_begun = !self.begun;
        let exempt = not_begun || self.exited || matches!(self.stage, Stage::Parked);
        demand(exempt || self.next_deadline().is_some(), || {
            format!(
                "{} ({:?}) waits without a deadline",
                self.role(),
                self.stage
            )
        })
    }
}

fn demand(holds: bool, violation: impl FnOnce() -> String) -> Result<(), Violation> {
    if holds {
        Ok(())
    } else {
        Err(Violation(violation()))
    }
}
