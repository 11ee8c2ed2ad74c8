//! The acts of the story, in order. Each checks what it shows.

use std::time::Duration;

use crate::columns;
use crate::disks;
use crate::machine::{NAMES, SOON};
use crate::narrator::{Narrator, short, short_key};
use crate::peers;
use crate::score::{Count, Moment};
use crate::stage::{Failure, Stage, no_vote_for, votes_for};
use crate::troubles;

/// Slots with a vote each, before the next thing happens.
const SHOWN_SLOTS: u64 = 12;
/// Slots with a vote each, after which something counts as over.
pub(crate) const SETTLED_SLOTS: u64 = 6;
/// Slots with a vote each, after which the first of them is surely seen.
const SHOWING_SLOTS: u64 = 3;
/// Nearer to the tip than a supervisor asks for by default, so that one trouble does not tell in the next.
const TIP_SLOTS: u64 = 4;

pub(crate) fn play(stage: &mut dyn Stage, out: &mut Narrator) -> Result<(), Failure> {
    let [a, b] = NAMES;
    know_each_other(stage, out)?;
    stand_by(stage, out)?;
    is_promoted(stage, a, out)?;
    votes_through_the_gate(stage, a, b, out)?;
    hands_over(stage, a, b, out)?;
    troubles::validator_is_killed(stage, b, a, out)?;
    troubles::supervisor_is_killed(stage, a, b, out)?;
    troubles::supervisor_is_back(stage, a, b, out)?;
    is_demoted(stage, b, a, out)?;
    let verdict = stage.verdict()?;
    out.verdict(&verdict);
    Ok(())
}

fn know_each_other(stage: &mut dyn Stage, out: &mut Narrator) -> Result<(), Failure> {
    out.begin("certificates for the link between a and b");
    let ran = peers::configure(stage)?;
    out.quote(&ran.join("\n"));
    out.then("each takes the other one, by its name, and nobody else");
    Ok(())
}

fn stand_by(stage: &mut dyn Stage, out: &mut Narrator) -> Result<(), Failure> {
    out.begin(&format!(
        "supervisor run -- {} …, on a and on b",
        stage.validator()
    ));
    for name in NAMES {
        stage.bar(name)?;
        stage.machine_mut(name).start();
    }
    for name in NAMES {
        let machine = stage.machine(name);
        machine.await_role("standby", stage.up_within())?;
    }
    let [a, b] = NAMES;
    await_ready(stage, a, b)?;
    await_ready(stage, b, a)?;
    out.then(&format!(
        "both stand by: at the tip, muted, with their spare identities {} and {}; nobody votes",
        short_key(&stage.spare(a)),
        short_key(&stage.spare(b))
    ));
    Ok(())
}

fn is_promoted(stage: &mut dyn Stage, name: &str, out: &mut Narrator) -> Result<(), Failure> {
    out.begin(&format!("supervisor ctl promote --first-vote, on {name}"));
    stage.allow(name);
    let machine = stage.machine(name);
    machine.must(&["promote", "--first-vote"])?;
    let status = machine.await_role("active", SOON)?;
    out.then(&format!(
        "{name} is active: identity {}, term {}; the first vote, for slot {}, is committed and out",
        short_key(stage.identity()),
        status["term"],
        status["record"]["slot"]
    ));
    // Before that, the chain has never shown a vote, which is no silence to count.
    let slot = votes_for(stage, SHOWING_SLOTS)?;
    out.then(&format!("the chain shows our vote for slot {slot}"));
    Ok(())
}

fn votes_through_the_gate(
    stage: &mut dyn Stage,
    voter: &str,
    other: &str,
    out: &mut Narrator,
) -> Result<(), Failure> {
    out.begin(&format!(
        "{voter} votes; each vote waits in the gate until its record is on the disks of {voter} and {other}"
    ));
    let machine = stage.machine(voter);
    let before = machine.status()?["gate"]["commits"].as_u64().unwrap_or(0);
    let since = stage.now()?;
    let slot = votes_for(stage, SHOWN_SLOTS)?;
    let gate = machine.status()?["gate"].take();
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
    let record = disks::same_record(stage, voter, other)?;
    out.then(&format!(
        "on both disks: record {} of term {}, up to the vote for slot {}, the same {} bytes",
        record.mark.seq,
        record.mark.term,
        record.mark.slot,
        record.bytes.len()
    ));
    show_both(stage, out)?;
    let count = stage.count_since(since)?;
    out.then(&format!("to compare, undisturbed: {}", in_words(&count)));
    Ok(())
}

fn show_both(stage: &dyn Stage, out: &Narrator) -> Result<(), Failure> {
    let [a, b] = NAMES.map(|name| stage.machine(name).must(&["status"]));
    out.aside("supervisor ctl status, on a and on b:");
    out.quote(&columns::beside(&a?, &b?));
    Ok(())
}

fn hands_over(
    stage: &mut dyn Stage,
    from: &str,
    to: &str,
    out: &mut Narrator,
) -> Result<(), Failure> {
    out.begin(&format!("supervisor ctl handover, on {from}"));
    let validators = NAMES.map(|name| stage.machine(name).validator());
    let since = stage.now()?;
    stage.allow(to);
    let said = stage.machine(from).must(&["handover"])?;
    stage.bar(from)?;
    out.quote(&said);
    let status = stage.machine(to).await_role("active", SOON)?;
    for (name, before) in NAMES.into_iter().zip(validators) {
        expect_validator(stage, name, before?)?;
    }
    out.then(&format!(
        "{to} votes, under term {}; no validator was restarted",
        status["term"]
    ));
    tell_cost(stage, since, out)
}

fn is_demoted(
    stage: &mut dyn Stage,
    from: &str,
    to: &str,
    out: &mut Narrator,
) -> Result<(), Failure> {
    out.begin(&format!("supervisor ctl demote, on {from}"));
    let since = stage.now()?;
    stage.allow(to);
    let said = stage.machine(from).must(&["demote"])?;
    stage.bar(from)?;
    out.quote(&said);
    stage.machine(to).await_role("active", SOON)?;
    let status = stage.machine(from).status()?;
    if status["role"] != "parked" {
        return Err(Failure(format!(
            "{from} is {} and not parked",
            status["role"]
        )));
    }
    out.then(&format!(
        "{to} votes, and {from} is parked: it does not vote again until an operator says so"
    ));
    tell_cost(stage, since, out)?;
    let slots = no_vote_for(stage, stage.watched_slots() / 2)?;
    out.then(&format!("{slots} further slots watched: no vote of {from}"));
    Ok(())
}

/// Waits until votes go on, and says what the trouble since `since` has cost.
pub(crate) fn tell_cost(
    stage: &mut dyn Stage,
    since: Moment,
    out: &mut Narrator,
) -> Result<(), Failure> {
    votes_for(stage, SETTLED_SLOTS)?;
    let count = stage.count_since(since)?;
    out.then(&in_words(&count));
    Ok(())
}

fn in_words(count: &Count) -> String {
    let missed = match count.without.len() {
        0 => format!("each of {} blocks got a vote", count.looked_at),
        missed => format!("{missed} of {} blocks got no vote", count.looked_at),
    };
    format!(
        "{missed}; longest time between two votes: {}",
        short(count.silence)
    )
}

/// Waits until `name` takes the other one for a standby that could vote at once, and that one follows the chain.
pub(crate) fn await_ready(stage: &dyn Stage, name: &str, other: &str) -> Result<(), Failure> {
    let what = format!("{other} is ready");
    stage.machine(name).await_status(&what, SOON, |status| {
        let mut peers = status["peers"].as_array().into_iter().flatten();
        peers.any(|peer| peer["node"] == other && peer["role"] == "standby")
    })?;
    let what = "it follows the chain";
    let other = stage.machine(other);
    other.await_status(what, stage.up_within(), |status| {
        let slot = status["validator"]["slot"].as_u64();
        let follows = |slot: u64| stage.now().is_ok_and(|now| slot + TIP_SLOTS >= now.slot);
        slot.is_some_and(follows)
    })?;
    Ok(())
}

fn expect_validator(stage: &dyn Stage, name: &str, before: i32) -> Result<(), Failure> {
    let pid = stage.machine(name).validator()?;
    if pid == before {
        return Ok(());
    }
    Err(Failure(format!(
        "the validator of {name} is process {pid} and was {before}"
    )))
}
