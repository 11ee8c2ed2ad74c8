//! What the story is played on: a cluster, a node's files, and somebody who watches the votes.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use testkit::stand_in::until;

/// Why the demo failed, in one sentence.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Failure(pub(crate) String);

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self(error.to_string())
    }
}

/// The validator that the supervisor is to run.
#[derive(Clone, Debug)]
pub(crate) struct Cast {
    /// Its command line, program first.
    pub(crate) argv: Vec<OsString>,
    pub(crate) env: Vec<(OsString, OsString)>,
    pub(crate) staked: PathBuf,
    pub(crate) unstaked: PathBuf,
    /// Public key of the staked identity.
    pub(crate) identity: String,
    /// Public key of the node's spare identity.
    pub(crate) spare: String,
}

/// A cluster that takes votes and tells which came.
pub(crate) trait Stage {
    fn cast(&self) -> Cast;

    /// For the supervisor's configuration, state, socket and log.
    fn dir(&self) -> &Path;

    /// How long a validator may take to start and catch up.
    fn up_within(&self) -> Duration;

    /// Slots to watch where something must not happen.
    fn watched_slots(&self) -> u64;

    /// The newest slot of the chain.
    fn slot(&self) -> Result<u64, Failure>;

    /// The newest slot that a vote of our identity names; 0 before the first.
    fn newest_vote(&self) -> Result<u64, Failure>;

    /// From here on no vote of our identity may come.
    fn bar(&mut self) -> Result<(), Failure>;

    /// From here on votes may come again.
    fn allow(&mut self) -> Result<(), Failure>;

    /// Votes that came since [`Self::bar`] for slots that were not allowed, as a sentence.
    fn offence(&self) -> Result<Option<String>, Failure>;

    /// What the judge says of everything so far: why it is content, or what it found.
    fn verdict(&mut self) -> Result<String, Failure>;
}

/// Watches until `slots` more have gone by, and fails at the first vote that was not allowed.
pub(crate) fn no_vote_for(stage: &dyn Stage, slots: u64) -> Result<u64, Failure> {
    let from = stage.slot()?;
    let mut offence = Ok(None);
    let passed = until(120_000, || {
        offence = stage.offence();
        !matches!(offence, Ok(None)) || stage.slot().is_ok_and(|slot| slot >= from + slots)
    });
    if let Some(offence) = offence? {
        return Err(Failure(offence));
    }
    if !passed {
        return Err(Failure(format!(
            "the chain did not move on from slot {from} by {slots} slots in two minutes"
        )));
    }
    Ok(stage.slot()? - from)
}

/// Waits for votes of our identity for `slots` slots after its newest one.
pub(crate) fn votes_for(stage: &dyn Stage, slots: u64) -> Result<u64, Failure> {
    let from = stage.newest_vote()?.max(stage.slot()?.saturating_sub(1));
    let goal = from + slots;
    if until(120_000, || {
        stage.newest_vote().is_ok_and(|slot| slot >= goal)
    }) {
        return stage.newest_vote();
    }
    Err(Failure(format!(
        "no vote for slot {goal} or later within two minutes; the newest is for {}",
        stage.newest_vote()?
    )))
}
