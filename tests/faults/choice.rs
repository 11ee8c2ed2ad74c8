//! Who takes over, and who does not: priority and name, health, a mode that leaves it to people, a clock that is stepped.

use crate::SOON_MS;
use crate::lab::{BACK_WITHIN_MS, LONG_TTL_MS, Lab, Shape, configure};
use nix::sys::signal::Signal;
use testkit::children::signal;
use testkit::stand_in::Protocol;
use testkit::wall_clock::WallClock;

const HOUR_MS: i64 = 3_600_000;

/// Three nodes with these priorities, of which `a` votes.
fn three(priorities: [u32; 3]) -> Lab {
    let mut lab = Lab::new(Shape {
        nodes: &["a", "b", "c"],
        ..Shape::default()
    });
    let endpoints = lab.etcd.endpoints();
    for (node, priority) in lab.nodes().iter().zip(priorities) {
        let more = format!("[failover]\npriority = {priority}");
        configure(node, &endpoints, LONG_TTL_MS, &more);
    }
    lab.start_voting();
    lab.await_peers("a", 2);
    lab
}

#[test]
fn the_standby_with_the_highest_priority_takes_over() {
    let mut lab = three([100, 100, 200]);
    signal(lab.node("a").validator(), Signal::SIGKILL);
    assert_eq!(lab.await_one_voter(BACK_WITHIN_MS), "c");
    // The next in line is the one by name, the old holder's being back.
    lab.node("a").await_role("standby");
    lab.await_peers("a", 2);
    lab.node_mut("c").kill();
    assert_eq!(lab.await_one_voter(BACK_WITHIN_MS), "a");
    lab.end();
}

#[test]
fn of_equal_standbys_the_first_by_name_takes_over() {
    let mut lab = three([100, 100, 100]);
    lab.node_mut("a").kill();
    assert_eq!(lab.await_one_voter(BACK_WITHIN_MS), "b");
    lab.node_mut("b").kill();
    assert_eq!(lab.await_one_voter(BACK_WITHIN_MS), "c");
    lab.end();
}

#[test]
fn a_standby_that_is_not_healthy_does_not_take_over() {
    let mut lab = three([100, 200, 100]);
    let sick = [("health", "behind:5000"), ("slots_behind", "5000")];
    lab.node("b").stand_in.faults(&sick).expect("a fault");
    lab.node("b").await_role("catching-up");
    lab.node_mut("a").kill();
    assert_eq!(lab.await_one_voter(BACK_WITHIN_MS), "c");
    lab.node_mut("c").kill();
    lab.expect_silence_for(LONG_TTL_MS + 2_000);
    lab.node("b").stand_in.faults(&[]).expect("no fault");
    assert_eq!(lab.await_one_voter(BACK_WITHIN_MS), "b");
    lab.end();
}

#[test]
fn in_manual_mode_nobody_takes_over_until_an_operator_says_so() {
    let mut lab = Lab::voting(Shape {
        more: "[failover]\nmode = \"manual\"",
        ttl_ms: LONG_TTL_MS,
        ..Shape::default()
    });
    lab.node_mut("a").kill();
    lab.node("b").await_log("would take over now");
    lab.expect_silence_for(LONG_TTL_MS + 2_000);
    assert_eq!(lab.node("b").role().as_deref(), Some("standby"));
    let log = lab.node("b").log();
    let since = log.find("INFO a is there").unwrap_or_default();
    let said = log[since..].matches("would take over now").count();
    assert!((1..=2).contains(&said), "once an absence\n{log}");
    lab.node("b").must(&["promote"]);
    assert_eq!(lab.await_one_voter(BACK_WITHIN_MS), "b");
    lab.node_mut("a").start();
    lab.node("a").await_role("standby");
    assert_eq!(lab.await_one_voter(BACK_WITHIN_MS), "b");
    lab.end();
}

#[test]
fn a_parked_standby_does_not_take_over() {
    let mut lab = Lab::voting(Shape {
        ttl_ms: LONG_TTL_MS,
        ..Shape::default()
    });
    lab.node("b").must(&["demote"]);
    lab.node("b").await_role("parked");
    lab.node_mut("a").kill();
    lab.expect_silence_for(LONG_TTL_MS + 2_000);
    lab.node("b").must(&["resume"]);
    assert_eq!(lab.await_one_voter(BACK_WITHIN_MS), "b");
    lab.end();
}

#[test]
fn wall_clocks_that_are_stepped_move_neither_term_nor_takeover() {
    for protocol in [Protocol::Tower, Protocol::Alpenglow] {
        let mut lab = Lab::new(Shape {
            protocol,
            ttl_ms: LONG_TTL_MS,
            ..Shape::default()
        });
        for name in ["a", "b"] {
            lab.node_mut(name).clock = Some(WallClock::new().expect("a clock"));
        }
        lab.start_voting();
        let validator = lab.node("a").validator();
        for offset_ms in [HOUR_MS, -HOUR_MS, 1_500, -1_500, 0] {
            lab.step_clock("a", offset_ms);
            lab.step_clock("b", -offset_ms);
            lab.await_votes_of("a", 10, SOON_MS);
        }
        assert_eq!(lab.node("a").validator(), validator);
        assert_eq!(lab.read_ledger(), 1);
        lab.step_clock("a", HOUR_MS);
        lab.step_clock("b", -HOUR_MS);
        signal(lab.node("a").supervisor(), Signal::SIGSTOP);
        lab.await_votes_of("b", 5, SOON_MS);
        signal(lab.node("a").supervisor(), Signal::SIGCONT);
        assert_eq!(lab.await_one_voter(BACK_WITHIN_MS), "b");
        lab.end();
    }
}
