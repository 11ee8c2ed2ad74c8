//! The acts in which something dies.

use std::time::Instant;

use nix::sys::signal::Signal;
use testkit::children::{lives, signal};
use testkit::node::said;
use testkit::stand_in::until;

use crate::machine::SOON;
use crate::narrator::{Narrator, short};
use crate::stage::{Failure, Stage, first_vote_of, millis, no_vote_for, votes_for};
use crate::story::{SETTLED_SLOTS, await_ready, tell_cost};

/// Exit code of a command that needs an explicit flag to go on.
const UNSAFE: i32 = 4;

pub(crate) fn validator_is_killed(
    stage: &mut dyn Stage,
    voter: &str,
    heir: &str,
    out: &mut Narrator,
) -> Result<(), Failure> {
    await_ready(stage, voter, heir)?;
    let killed = stage.machine(voter).validator()?;
    out.begin(&format!(
        "kill -9 {killed}: the validator of {voter}, which votes"
    ));
    stage.allow(heir);
    let since = stage.now()?;
    signal(killed, Signal::SIGKILL);
    let took = first_vote_of(stage, heir, since)?;
    stage.bar(voter)?;
    out.then(&format!(
        "{heir} votes, {} after the signal: the supervisor of {voter} ended the term, no timeout had to",
        short(took)
    ));
    tell_cost(stage, since, out)?;
    stage
        .machine(voter)
        .await_role("standby", stage.up_within())?;
    let pid = stage.machine(voter).validator()?;
    out.then(&format!(
        "{voter} stands by, with a new validator, pid {pid}"
    ));
    Ok(())
}

pub(crate) fn supervisor_is_killed(
    stage: &mut dyn Stage,
    voter: &str,
    other: &str,
    out: &mut Narrator,
) -> Result<(), Failure> {
    await_ready(stage, voter, other)?;
    let validator = stage.machine(voter).validator()?;
    let pid = stage.machine(voter).pid().unwrap_or_default();
    out.begin(&format!(
        "kill -9 {pid}: the supervisor of {voter}, which votes"
    ));
    let at = Instant::now();
    stage.machine_mut(voter).kill();
    if !until(millis(SOON), || !lives(validator)) {
        return Err(Failure(format!(
            "the validator (pid {validator}) outlives its supervisor"
        )));
    }
    let ended = at.elapsed();
    stage.bar(voter)?;
    out.then(&format!(
        "its validator is gone too, {} after the signal: nobody else could let its votes out",
        short(ended)
    ));
    let refusal = refused_promotion(stage, other)?;
    out.quote(&problems(stage, other)?);
    out.aside(&format!("supervisor ctl promote, on {other}:"));
    out.quote(&refusal);
    out.then(&format!(
        "{other} cannot tell a dead machine from a cut cable: it waits, for {voter} or for an operator"
    ));
    let slots = no_vote_for(stage, stage.watched_slots())?;
    out.then(&format!("{slots} slots watched: no vote"));
    Ok(())
}

pub(crate) fn supervisor_is_back(
    stage: &mut dyn Stage,
    back: &str,
    heir: &str,
    out: &mut Narrator,
) -> Result<(), Failure> {
    out.begin(&format!("the supervisor of {back} is started again"));
    stage.allow(heir);
    let since = stage.now()?;
    stage.machine_mut(back).start();
    let took = first_vote_of(stage, heir, since)?;
    out.then(&format!(
        "{back} says that its term is over, and {heir} votes, {} after the start",
        short(took)
    ));
    stage
        .machine(back)
        .await_role("standby", stage.up_within())?;
    await_ready(stage, heir, back)?;
    let slot = votes_for(stage, SETTLED_SLOTS)?;
    out.then(&format!(
        "{back} stands by; {heir} votes on, up to slot {slot}"
    ));
    Ok(())
}

/// Asks for a promotion until it is refused because the other node cannot be asked, and gives what was said.
fn refused_promotion(stage: &dyn Stage, name: &str) -> Result<String, Failure> {
    let mut last = (None, String::new());
    // Until the silence of the other node counts, it holds the term as far as is known here.
    let refused = until(millis(SOON), || {
        let output = stage.machine(name).ctl(&["promote"]);
        last = (output.status.code(), said(&output));
        last.0 == Some(UNSAFE)
    });
    if refused {
        return Ok(last.1);
    }
    Err(Failure(format!("promote on {name}: {last:?}")))
}

/// What `ctl status` warns of.
fn problems(stage: &dyn Stage, name: &str) -> Result<String, Failure> {
    let status = stage.machine(name).must(&["status"])?;
    let lines = status.lines().filter(|line| line.starts_with('!'));
    Ok(lines.collect::<Vec<_>>().join("\n"))
}
