//! What the journal of a real systemd keeps of the supervisor, and by which fields it is found.

use serde_json::Value;
use testkit::stand_in::until;

use crate::machine::Machine;
use crate::voter::{UNIT, Voter};

#[test]
fn the_journal_has_fields_to_search_by() {
    let voter = Voter::new();
    voter.vote(UNIT);
    let machine = &voter.machine;
    let mut entries = Vec::new();
    let complete = until(10_000, || {
        entries = entries_of(machine, &["ROLE=active"]);
        !entries.is_empty()
    });
    assert!(complete, "{}", machine.journal());
    let active = &entries[0];
    assert_eq!(
        (&active["TERM"], &active["_SYSTEMD_UNIT"]),
        (&Value::from("1"), &Value::from(UNIT)),
        "{active}"
    );
    assert!(
        active["EVENT"].is_string() && active["PRIORITY"].is_string(),
        "{active}"
    );
    assert_eq!(entries_of(machine, &["EVENT=child-started"]).len(), 1);
    voter.chain.expect_clean();
}

fn entries_of(machine: &Machine, matches: &[&str]) -> Vec<Value> {
    let words = [&["journalctl", "--output=json", "--no-pager"], matches].concat();
    let text = machine.says(&words);
    text.lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}

/// Those of one event, oldest first, once there are as many.
#[track_caller]
fn await_entries(machine: &Machine, matches: &[&str], count: usize) -> Vec<Value> {
    let mut entries = Vec::new();
    let came = until(10_000, || {
        entries = entries_of(machine, matches);
        entries.len() >= count
    });
    assert!(came, "{matches:?}: {entries:#?}\n{}", machine.journal());
    assert_eq!(entries.len(), count, "{matches:?}: {entries:#?}");
    entries
}

/// The named fields of an entry; `-` for one that it lacks.
fn fields<'e>(entry: &'e Value, names: &[&str]) -> Vec<&'e str> {
    let field = |name: &&str| entry[*name].as_str().unwrap_or("-");
    names.iter().map(field).collect()
}

fn number(entry: &Value, name: &str) -> u64 {
    let text = entry[name].as_str().and_then(|text| text.parse().ok());
    text.unwrap_or_else(|| panic!("no number {name} in {entry:#}"))
}

#[test]
fn the_journal_tells_who_asked_for_what_and_what_became_of_it() {
    let voter = Voter::new();
    let machine = &voter.machine;
    machine.must(&["systemctl", "start", UNIT]);
    voter.await_role("standby");
    let promoted = machine.run(&["supervisor", "ctl", "promote"]);
    assert_eq!(promoted.status.code(), Some(4), "{}", machine.journal());
    voter.vote(UNIT);
    let sol = machine.must(&["id", "-u", "sol"]);
    machine.must(&["runuser", "-u", "sol", "--", "supervisor", "ctl", "demote"]);
    machine.must(&["supervisor", "ctl", "promote"]);
    voter.await_votes(3);

    // Two lines of each request: who asks, and the verdict.
    let entries = await_entries(machine, &["EVENT=ctl"], 8);
    let (asked, answered): (Vec<_>, Vec<_>) = entries
        .iter()
        .partition(|entry| entry["OPERATOR_UID"].is_string());
    let who: Vec<_> = asked
        .iter()
        .map(|entry| fields(entry, &["OPERATOR_UID"])[0])
        .collect();
    assert_eq!(who, ["0", "0", sol.trim(), "0"]);
    for (entry, what) in asked
        .iter()
        .zip(["Promote", "Promote", "Demote", "Promote"])
    {
        let message = fields(entry, &["MESSAGE"])[0];
        assert!(message.contains(what), "{entry:#}");
        assert!(number(entry, "OPERATOR_PID") > 0);
    }
    let verdicts: Vec<_> = answered
        .iter()
        .map(|entry| fields(entry, &["VERDICT"])[0])
        .collect();
    assert_eq!(verdicts, ["Unsafe", "Done", "Done", "Done"]);
    let requests = |entries: &[&Value]| {
        let numbers: Vec<_> = entries
            .iter()
            .map(|entry| number(entry, "REQUEST"))
            .collect();
        numbers
    };
    assert_eq!(requests(&asked), requests(&answered));

    let roles: Vec<_> = entries_of(machine, &["EVENT=transition"])
        .iter()
        .map(|entry| fields(entry, &["FROM", "ROLE", "CAUSE"]).join(" "))
        .collect();
    let told = [
        "active demoting operator-demoted",
        "demoting parked released",
        "parked promoting operator-promoted",
        "promoting active first-vote",
    ];
    assert!(roles.ends_with(&told.map(String::from)), "{roles:#?}");
    let active = await_entries(machine, &["EVENT=transition", "ROLE=active"], 2);
    assert!(number(&active[1], "TERM") > number(&active[0], "TERM"));
    assert!(number(&active[1], "SLOT") > number(&active[0], "SLOT"));
    voter.chain.expect_clean();
}

#[test]
fn a_vote_that_is_refused_is_found_by_its_slot() {
    let voter = Voter::new();
    voter.vote(UNIT);
    let machine = &voter.machine;
    voter.faults(&[("roll_back", "5")]);
    let refused = await_entries(machine, &["EVENT=vote-refused"], 1);
    let slot = number(&refused[0], "SLOT");
    let message = fields(&refused[0], &["MESSAGE"])[0];
    assert!(message.contains(&format!("slot {slot} ")), "{message}");
    assert!(slot < voter.chain.slot());
    await_entries(machine, &[&format!("SLOT={slot}"), "EVENT=vote-refused"], 1);
    voter.faults(&[]);
    voter.chain.expect_clean();
}

#[test]
fn votes_readings_and_signs_of_life_are_not_logged() {
    let voter = Voter::new();
    voter.vote(UNIT);
    let machine = &voter.machine;
    voter.await_role("active");
    let pid = format!("_PID={}", machine.property(UNIT, "MainPID"));
    let count = || {
        machine.must(&["journalctl", "--sync"]);
        entries_of(machine, &[&pid]).len()
    };
    let fed = || machine.property(UNIT, "WatchdogTimestampMonotonic");
    let (before, fed_before) = (count(), fed());
    assert!(before > 0, "{}", machine.journal());
    voter.await_votes(50);
    assert!(until(10_000, || fed() != fed_before));
    assert!(voter.status().is_some());
    assert_eq!(count(), before, "{}", machine.journal());
    voter.chain.expect_clean();
}
