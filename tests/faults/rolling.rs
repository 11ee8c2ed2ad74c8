//! What an operator does to both nodes of a pair with one command: the drill, and the restart of both validators.

use crate::SOON_MS;
use crate::lab::BACK_WITHIN_MS;
use crate::pair::Pair;
use std::process::Stdio;
use testkit::node::said;
use testkit::stand_in::{Protocol, until};
use testkit::wire::now_us;

#[test]
fn both_validators_are_restarted_from_either_node_and_the_voter_is_the_one_it_was() {
    for from in ["a", "b"] {
        let pair = Pair::voting(Protocol::Tower, false, "");
        let before = ["a", "b"].map(|name| pair.node(name).validator());
        let from_us = now_us();
        let text = pair.node(from).must(&["restart", "--rolling"]);
        assert!(text.contains("both validators restarted"), "{text}");
        assert!(text.contains("a votes, as before"), "{text}");
        assert_eq!(pair.await_one_voter(BACK_WITHIN_MS), "a");
        println!(
            "from {from}: {} ms without a vote at most",
            pair.longest_gap_ms(from_us, 3)
        );
        for (name, before) in ["a", "b"].into_iter().zip(before) {
            assert_ne!(
                pair.node(name).validator(),
                before,
                "{name} was not restarted"
            );
        }
        let starts = |name: &str| {
            let log = pair.node(name).log();
            log.matches("EVENT=\"child-started\"").count()
        };
        assert_eq!(["a", "b"].map(starts), [2, 2]);
        pair.end();
    }
}

#[test]
fn a_rolling_restart_stops_where_the_other_validator_does_not_come_back() {
    let pair = Pair::voting(Protocol::Tower, false, "");
    // Its next start takes for ever.
    let stuck = [("start_ms", "600000")];
    pair.node("b").stand_in.faults(&stuck).expect("a fault");
    let text = pair
        .node("a")
        .must_end(&["restart", "--rolling", "--timeout", "20s"], 3);
    assert!(text.contains("stopped at step 4 of 4"), "{text}");
    pair.await_votes_of("a", 5, SOON_MS);
    pair.end();
}

#[test]
fn a_rolling_restart_is_stopped_by_a_node_that_is_parked_on_the_way() {
    let pair = Pair::voting(Protocol::Tower, false, "");
    // Long enough for an operator, who has a reason to keep it from voting.
    let slow = [("start_ms", "8000")];
    pair.node("b").stand_in.faults(&slow).expect("a fault");
    let mut command = pair.node("a").ctl_command(&["restart", "--rolling"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let client = command.spawn().expect("supervisor ctl");
    let restarts = || pair.node("b").role().as_deref() == Some("starting");
    assert!(until(SOON_MS, restarts), "b is not restarted");
    let _ = pair.node("b").ctl(&["demote", "--no-wait"]);
    let output = client.wait_with_output().expect("an end");
    let text = said(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    for part in ["a node was parked", "stopped at step 4 of 4; 0 more"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    pair.await_votes_of("a", 5, SOON_MS);
    // Nor does it begin with one.
    let text = pair.node("a").must_end(&["restart", "--rolling"], 1);
    assert!(
        text.contains("one has to vote, and the other to stand by"),
        "{text}"
    );
    pair.end();
}

#[test]
fn a_rolling_restart_is_stopped_by_a_node_that_is_gone_for_a_minute() {
    let mut pair = Pair::voting(Protocol::Tower, false, "");
    let stuck = [("start_ms", "600000")];
    pair.node("b").stand_in.faults(&stuck).expect("a fault");
    let mut command = pair.node("a").ctl_command(&["restart", "--rolling"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let client = command.spawn().expect("supervisor ctl");
    let restarts = || pair.node("b").role().as_deref() == Some("starting");
    assert!(until(SOON_MS, restarts), "b is not restarted");
    pair.node_mut("b").kill();
    let output = client.wait_with_output().expect("an end");
    let text = said(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    for part in ["b was out of reach", "stopped at step 4 of 4; 0 more"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    pair.await_votes_of("a", 5, SOON_MS);
    pair.end();
}

/// As an upgrade that does not fit its ledger.
#[test]
fn a_rolling_restart_is_stopped_by_a_validator_that_ends_at_its_next_start() {
    for (broken, voter, step) in [("a", "b", "step 1 of 4"), ("b", "a", "step 4 of 4")] {
        let pair = Pair::voting(Protocol::Tower, false, "");
        let before = pair.node(voter).validator();
        let ends = [("exit_at_once", "3")];
        pair.node(broken).stand_in.faults(&ends).expect("a fault");
        let text = pair.node("a").must_end(&["restart", "--rolling"], 1);
        for part in [&format!("stopped at {step}"), "ended"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        pair.await_votes_of(voter, 5, SOON_MS);
        if voter == "b" {
            assert_eq!(
                pair.node("b").validator(),
                before,
                "the other one was restarted"
            );
        }
        pair.end();
    }
}

#[test]
fn a_drill_shows_both_parts_and_moves_nothing() {
    let pair = Pair::voting(Protocol::Tower, false, "");
    let validators = ["a", "b"].map(|name| pair.node(name).validator());
    for name in ["a", "b"] {
        let drill = || {
            let output = pair.node(name).ctl(&["drill"]);
            (output.status.code() == Some(0)).then(|| said(&output))
        };
        let mut text = None;
        // Near a leader slot, and with a status that is not there yet, it says that a handover would wait.
        let through = until(SOON_MS, || {
            text = drill();
            text.is_some()
        });
        assert!(through, "{}", said(&pair.node(name).ctl(&["drill"])));
        let text = text.unwrap_or_default();
        for part in [
            "have the term confirmed",
            "install the newest record",
            "write the term's passing",
            "admin RPC, as for the mute",
            "admin RPC, as for the voters",
            "point the identity link",
            "a handover would go through; about ",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        for node in ["a  ", "b  "] {
            let steps = text.lines().filter(|line| line.starts_with(node));
            let timed = |line: &str| {
                let mut words = line.split_whitespace().rev();
                let unit = words.next();
                let took: Option<f64> = words.next().and_then(|word| word.parse().ok());
                unit == Some("ms") && took.is_some()
            };
            let untimed: Vec<&str> = steps.clone().filter(|line| !timed(line)).collect();
            assert_eq!((steps.count(), &untimed[..]), (5, &[][..]), "{text}");
        }
        let took_ms: f64 = text.lines().filter_map(step_ms).sum();
        let gap = text.split("go through; about ").nth(1);
        let gap_ms = gap.and_then(|gap| gap.split(' ').next()?.parse().ok());
        let gap_ms: f64 = gap_ms.expect("the gap to expect");
        assert!(gap_ms >= took_ms, "less than its steps take: {text}");
        println!("{text}");
    }
    assert_eq!(pair.await_one_voter(BACK_WITHIN_MS), "a");
    assert_eq!(
        ["a", "b"].map(|name| pair.node(name).validator()),
        validators
    );
    pair.end();
}

/// What the step of a line of a drill has taken.
fn step_ms(line: &str) -> Option<f64> {
    let mut words = line.strip_suffix(" ms")?.split_whitespace().rev();
    words.next()?.parse().ok()
}

#[test]
fn a_drill_says_what_would_be_refused() {
    let mut pair = Pair::voting(Protocol::Tower, false, "");
    pair.node("b").must(&["demote"]);
    let refused = || {
        let output = pair.node("a").ctl(&["drill"]);
        let text = said(&output);
        output.status.code() == Some(1) && text.contains("b is parked")
    };
    assert!(
        until(SOON_MS, refused),
        "{}",
        said(&pair.node("a").ctl(&["drill"]))
    );
    pair.node_mut("b").kill();
    let alone = || {
        let text = said(&pair.node("a").ctl(&["drill"]));
        text.contains("no other node is there")
    };
    assert!(
        until(SOON_MS, alone),
        "{}",
        said(&pair.node("a").ctl(&["drill"]))
    );
    pair.end();
}
