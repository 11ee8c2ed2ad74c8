//! The acts of the story, in order. Each checks what it shows.

use std::time::{Duration, Instant};

use serde_json::Value;
use testkit::stand_in::until;

use crate::narrator::{Narrator, short, short_key};
use crate::stage::{Cast, Failure, Stage, no_vote_for, votes_for};
use crate::supervised::Supervised;

/// Slots with a vote each, before the next thing happens.
const SHOWN_SLOTS: u64 = 12;
const SOON: Duration = Duration::from_secs(60);

pub(crate) fn play(stage: &mut dyn Stage, out: &mut Narrator) -> Result<(), Failure> {
    let cast = stage.cast();
    let mut node = starts_unstaked(stage, &cast, out)?;
    is_promoted(stage, &mut node, &cast, out)?;
    votes_through_the_gate(stage, &node, out)?;
    is_demoted(stage, &mut node, &cast, out)?;
    votes_again(stage, &mut node, out)?;
    validator_is_killed(stage, &mut node, out)?;
    supervisor_is_killed(stage, node, out)?;
    let verdict = stage.verdict()?;
    out.verdict(&verdict);
    Ok(())
}

fn starts_unstaked(
    stage: &mut dyn Stage,
    cast: &Cast,
    out: &mut Narrator,
) -> Result<Supervised, Failure> {
    let name = cast.argv.first().map(|program| {
        std::path::Path::new(program)
            .file_name()
            .unwrap_or(program)
            .to_owned()
    });
    out.begin(&format!(
        "supervisor run -- {} …",
        name.unwrap_or_default().to_string_lossy()
    ));
    stage.bar()?;
    let mut node = Supervised::start(stage.dir(), cast)?;
    node.await_status("role standby", stage.up_within(), |status| {
        status["role"] == "standby"
    })?;
    out.then(&format!(
        "standby: the validator is up and at the tip, muted, with its unstaked identity {}",
        short_key(&cast.spare)
    ));
    let slots = no_vote_for(stage, stage.watched_slots() / 2)?;
    out.then(&format!("{slots} slots watched: no vote"));
    Ok(node)
}

fn is_promoted(
    stage: &mut dyn Stage,
    node: &mut Supervised,
    cast: &Cast,
    out: &mut Narrator,
) -> Result<(), Failure> {
    out.begin("supervisor ctl promote --first-vote");
    stage.allow()?;
    node.ctl(&["promote", "--first-vote"])?;
    let status = node.await_status("role active", SOON, is_active)?;
    out.then(&format!(
        "active: identity {}, term {}, first vote committed for slot {}",
        short_key(&cast.identity),
        status["term"],
        status["record"]["slot"]
    ));
    let slot = votes_for(stage, 1)?;
    out.then(&format!("the chain shows our vote for slot {slot}"));
    Ok(())
}

fn votes_through_the_gate(
    stage: &mut dyn Stage,
    node: &Supervised,
    out: &mut Narrator,
) -> Result<(), Failure> {
    out.begin("the validator votes; each vote waits in the gate until its record is on disk");
    let before = node.status()?["gate"]["commits"].as_u64().unwrap_or(0);
    let slot = votes_for(stage, SHOWN_SLOTS)?;
    let gate = node.status()?["gate"].take();
    let commits = gate["commits"].as_u64().unwrap_or(0).saturating_sub(before);
    let us = |name: &str| {
        gate["latency_us"][name]
            .as_u64()
            .map_or("?".into(), |us| short(Duration::from_micros(us)))
    };
    out.then(&format!(
        "{commits} votes, up to slot {slot}; time in the gate: median {}, longest {}",
        us("p50"),
        us("max")
    ));
    out.quote(&node.ctl(&["status"])?);
    Ok(())
}

fn is_demoted(
    stage: &mut dyn Stage,
    node: &mut Supervised,
    cast: &Cast,
    out: &mut Narrator,
) -> Result<(), Failure> {
    out.begin("supervisor ctl demote");
    node.ctl(&["demote"])?;
    stage.bar()?;
    let status = node.status()?;
    expect(&status, "role", "parked")?;
    out.then(&format!(
        "parked: muted, identity {} again, term given back",
        short_key(&cast.spare)
    ));
    let slots = no_vote_for(stage, stage.watched_slots())?;
    out.then(&format!("{slots} slots watched: no vote followed"));
    Ok(())
}

fn votes_again(
    stage: &mut dyn Stage,
    node: &mut Supervised,
    out: &mut Narrator,
) -> Result<(), Failure> {
    let record = node.status()?["record"]["slot"].take();
    out.begin("supervisor ctl promote");
    stage.allow()?;
    node.ctl(&["promote"])?;
    let status = node.await_status("role active", SOON, is_active)?;
    out.then(&format!(
        "active: term {}, goes on from the record of slot {record}",
        status["term"]
    ));
    let slot = votes_for(stage, SHOWN_SLOTS / 2)?;
    out.then(&format!("votes up to slot {slot}"));
    Ok(())
}

fn validator_is_killed(
    stage: &mut dyn Stage,
    node: &mut Supervised,
    out: &mut Narrator,
) -> Result<(), Failure> {
    let killed = child(&node.status()?)?;
    out.begin(&format!("kill -9 {killed}: the validator dies"));
    kill(killed);
    let status = node.await_status("a new validator, voting", stage.up_within(), |status| {
        is_active(status) && child(status).is_ok_and(|pid| pid != killed)
    })?;
    out.then(&format!(
        "started again as pid {} and voting: with authority local nobody else can",
        child(&status)?
    ));
    let slot = votes_for(stage, SHOWN_SLOTS / 2)?;
    out.then(&format!("votes up to slot {slot}, from the same record"));
    Ok(())
}

fn supervisor_is_killed(
    stage: &mut dyn Stage,
    mut node: Supervised,
    out: &mut Narrator,
) -> Result<(), Failure> {
    let validator = child(&node.status()?)?;
    out.begin("kill -9 of the supervisor");
    let at = Instant::now();
    node.kill()?;
    if !until(SOON.as_millis() as u64, || has_ended(validator)) {
        return Err(Failure(format!(
            "the validator (pid {validator}) outlives its supervisor"
        )));
    }
    stage.bar()?;
    out.then(&format!(
        "supervisor and validator are gone, {} after the signal",
        short(at.elapsed())
    ));
    let slots = no_vote_for(stage, stage.watched_slots())?;
    out.then(&format!("{slots} slots watched: no vote followed"));
    Ok(())
}

fn is_active(status: &Value) -> bool {
    status["role"] == "active"
}

fn expect(status: &Value, key: &str, value: &str) -> Result<(), Failure> {
    if status[key] == value {
        return Ok(());
    }
    Err(Failure(format!("{key} is {} and not {value}", status[key])))
}

fn child(status: &Value) -> Result<i32, Failure> {
    let pid = status["validator"]["pid"]
        .as_i64()
        .and_then(|pid| i32::try_from(pid).ok());
    pid.ok_or_else(|| Failure("the status names no validator".into()))
}

fn kill(pid: i32) {
    // SAFETY: plain system call. The process is the validator that the status has just named.
    unsafe { libc::kill(pid, libc::SIGKILL) };
}

/// Gone, or dead and not reaped yet.
fn has_ended(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ")
        .is_none_or(|(_, rest)| rest.starts_with(['Z', 'X']))
}
