//! What can be asked of an engine without a step.

use super::Engine;
use super::state::{Launch, Stage};
use super::values::{Identity, Millis, RecordMark, Role, Term};

impl Engine {
    /// The role this node is in.
    #[must_use]
    pub fn role(&self) -> Role {
        self.stage.role()
    }

    /// When the role was entered.
    #[must_use]
    pub fn since(&self) -> Millis {
        self.entered.at
    }

    /// The term in our hands, if any.
    #[must_use]
    pub fn term(&self) -> Option<Term> {
        self.hold.map(|hold| hold.term)
    }

    /// Whether the authority may count this node as the holder.
    #[must_use]
    pub fn claims_term(&self) -> bool {
        self.claimed
    }

    /// Until when nothing is decided automatically.
    #[must_use]
    pub fn paused_until(&self) -> Option<Millis> {
        self.paused_until
    }

    /// The identity the child carries; `None` where that is unknown or no child lives.
    #[must_use]
    pub fn child_identity(&self) -> Option<Identity> {
        self.child.identity.filter(|_| self.child.alive)
    }

    /// How often the child was restarted within the window.
    #[must_use]
    pub fn restarts(&self) -> usize {
        self.restarts.len()
    }

    /// Whether the child, if it ends at this moment, ends because somebody wants it to.
    #[must_use]
    pub fn wants_child_to_end(&self) -> bool {
        matches!(
            self.stage,
            Stage::Stopping(_)
                | Stage::Starting(Launch::EndFirst(_) | Launch::Kill { counts: false })
        )
    }

    /// Whether votes wait until the chain's newest vote is known.
    #[must_use]
    pub fn awaits_chain_vote(&self) -> bool {
        !self.compared && self.child_identity() == Some(Identity::Staked)
    }

    /// Silence at the gate before it closes in a demotion, in milliseconds.
    #[must_use]
    pub fn gate_quiet_ms(&self) -> u64 {
        self.setup.timing.gate_quiet_ms
    }

    /// The last record that went through the gate.
    #[must_use]
    pub fn last_committed(&self) -> Option<RecordMark> {
        self.gate.facts.last
    }
}
