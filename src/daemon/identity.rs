//! Gives the validator an identity, and waits before that for what the validator itself does not wait for.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Daemon;
use super::perform::{ADMIN_WITHIN, NO_VALIDATOR, outcome_of};
use crate::engine::Outcome;
use crate::engine::values::{Identity, OpId, RecordKind};
use crate::probe::roots::{Reached, Roots};

/// Two leader windows: a validator that follows the cluster finalizes within one.
const ROOT_WITHIN: Duration = Duration::from_secs(3);

impl Daemon {
    pub(super) fn set_identity(&mut self, op: OpId, to: Identity, require: Option<RecordKind>) {
        let keypair = match to {
            Identity::Staked => Arc::clone(&self.keys.staked),
            Identity::Unstaked => Arc::clone(&self.keys.unstaked),
        };
        let child = self.child.as_ref();
        let Some(admin) = child.and_then(|child| child.admin.clone()) else {
            return self.done(op, Outcome::Refused(NO_VALIDATOR.into()));
        };
        let roots = child.and_then(|child| child.roots.clone());
        let waits_for = roots.zip(self.root_to_reach(to, require));
        let set = self.task(op, async move {
            let begun = Instant::now();
            if let Some((roots, root)) = waits_for
                && let Some(why) = below(&roots, root).await
            {
                return Outcome::Refused(why);
            }
            let within = ADMIN_WITHIN.saturating_sub(begun.elapsed());
            let secret = keypair.secret_bytes();
            outcome_of(admin.set_identity_from_bytes(secret, require, within).await)
        });
        // What waits for this validator must not speak to the next one.
        if let Some(child) = &mut self.child {
            child.tasks.push(set);
        }
    }

    /// agave-votor 4.2 (`event_handler.rs`, `check_pending_blocks`) looks at every block that it has not voted for, also at those below
    /// the root of the vote history that it has just loaded, and that ends its thread (`vote_history.rs`, `voted`): a validator that
    /// has not finalized as much as its predecessor would be up, healthy, and never vote again. It forgets what is below its own root.
    fn root_to_reach(&self, to: Identity, require: Option<RecordKind>) -> Option<u64> {
        let is_history = to == Identity::Staked && require == Some(RecordKind::VoteHistory);
        let (_, installed) = self.installed.as_ref().filter(|_| is_history)?;
        installed.as_ref()?.1.root()
    }
}

/// Why the validator cannot take an identity whose vote history has this root yet. One that finalizes nothing is not waited for: the
/// cluster may need this very vote.
async fn below(roots: &Roots, root: u64) -> Option<String> {
    match roots.reach(root, ROOT_WITHIN).await {
        Reached::Yes => None,
        Reached::OnItsWay(at) => Some(format!(
            "the validator has finalized slot {at}, and the vote history slot {root}: it would lose the thread that votes, and is to catch up first"
        )),
        Reached::No => {
            tracing::warn!(
                EVENT = "root",
                "the validator has not finalized slot {root}, the root of the vote history, and its root stands still: it takes the identity all the same"
            );
            None
        }
    }
}
