//! What the story is played on: a cluster, two machines, and somebody who watches the votes.

use std::path::Path;
use std::time::Duration;

use testkit::stand_in::until;

use crate::machine::{Machine, SOON};
use crate::score::{Count, Moment};

/// The slowest that a chain may be.
const SLOTS_WITHIN: Duration = Duration::from_secs(120);

/// Why the demo failed, in one sentence.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Failure(pub(crate) String);

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self(error.to_string())
    }
}

/// A cluster that takes votes and tells which came, and the machines "a" and "b".
pub(crate) trait Stage {
    /// For what belongs to neither machine.
    fn dir(&self) -> &Path;

    /// The binary that is shown.
    fn supervisor(&self) -> &Path;

    /// Name of the validator that it runs.
    fn validator(&self) -> &str;

    /// Public key of the identity that votes.
    fn identity(&self) -> &str;

    /// The RPC nodes that both may ask for a second opinion.
    fn cluster_rpc(&self) -> Vec<String>;

    fn machine(&self, name: &str) -> &dyn Machine;

    fn machine_mut(&mut self, name: &str) -> &mut dyn Machine;

    /// Public key of a machine's spare identity.
    fn spare(&self, name: &str) -> String;

    /// The address at which the other one reaches it.
    fn address(&self, name: &str) -> String;

    /// How long a validator may take to start and catch up.
    fn up_within(&self) -> Duration;

    /// Slots to watch where something must not happen.
    fn watched_slots(&self) -> u64;

    /// This moment, on the chain and on the clock.
    fn now(&self) -> Result<Moment, Failure>;

    /// The newest slot that a vote of our identity names; 0 before the first.
    fn newest_vote(&self) -> Result<u64, Failure>;

    /// When the first vote of this machine left after `since`, if it has.
    fn first_vote(&self, name: &str, since: Moment) -> Result<Option<Duration>, Failure>;

    /// What the stretch from the slot of `since` to that of our newest vote has cost.
    fn count_since(&mut self, since: Moment) -> Result<Count, Failure>;

    /// From here on this machine may send no vote.
    fn bar(&mut self, name: &str) -> Result<(), Failure>;

    /// From here on it may.
    fn allow(&mut self, name: &str);

    /// Votes of a machine that came while it was barred, as a sentence.
    fn offence(&self) -> Result<Option<String>, Failure>;

    /// What the judge says of everything so far: why it is content, or what it found.
    fn verdict(&mut self) -> Result<String, Failure>;
}

/// Watches until so many slots have gone by, and fails at the first vote that was not allowed.
pub(crate) fn no_vote_for(stage: &dyn Stage, slots: u64) -> Result<u64, Failure> {
    let from = stage.now()?.slot;
    let mut offence = Ok(None);
    let passed = until(millis(SLOTS_WITHIN), || {
        offence = stage.offence();
        !matches!(offence, Ok(None)) || stage.now().is_ok_and(|now| now.slot >= from + slots)
    });
    if let Some(offence) = offence? {
        return Err(Failure(offence));
    }
    if !passed {
        return Err(Failure(format!(
            "the chain did not move on from slot {from} by {slots} slots within {SLOTS_WITHIN:?}"
        )));
    }
    Ok(stage.now()?.slot - from)
}

/// Waits for votes of our identity for `slots` slots after its newest one.
pub(crate) fn votes_for(stage: &dyn Stage, slots: u64) -> Result<u64, Failure> {
    let from = stage
        .newest_vote()?
        .max(stage.now()?.slot.saturating_sub(1));
    let goal = from + slots;
    if until(millis(SLOTS_WITHIN), || {
        stage.newest_vote().is_ok_and(|slot| slot >= goal)
    }) {
        return stage.newest_vote();
    }
    Err(Failure(format!(
        "no vote for slot {goal} or later within {SLOTS_WITHIN:?}; the newest is for {}",
        stage.newest_vote()?
    )))
}

/// Waits for the first vote of a machine after `since`.
pub(crate) fn first_vote_of(
    stage: &dyn Stage,
    name: &str,
    since: Moment,
) -> Result<Duration, Failure> {
    let mut first = Ok(None);
    let _ = until(millis(SOON), || {
        first = stage.first_vote(name, since);
        !matches!(first, Ok(None))
    });
    let late = || {
        stage
            .machine(name)
            .failure(&format!("no vote within {SOON:?}"))
    };
    first?.ok_or_else(late)
}

/// As the testkit counts.
pub(crate) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
