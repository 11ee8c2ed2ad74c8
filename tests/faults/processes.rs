//! Processes of the active node that end, or stand still.

use crate::SOON_MS;
use crate::budget::{self, CHILD_KILLED_MS, CUT_OFF_MS};
use crate::lab::{BACK_WITHIN_MS, LONG_TTL_MS, Lab, Shape};
use crate::stopped::{continue_validator, stop_validator};
use nix::sys::signal::Signal;
use testkit::children::signal;
use testkit::stand_in::{Protocol, until};
use testkit::wire::now_us;

fn shape(protocol: Protocol) -> Shape<'static> {
    Shape {
        protocol,
        ..Shape::default()
    }
}

/// With a lease that outlives what is done to its holder.
fn outliving() -> Lab {
    Lab::voting(Shape {
        ttl_ms: LONG_TTL_MS,
        ..Shape::default()
    })
}

#[test]
fn a_killed_supervisor_is_followed_by_the_standby_and_comes_back_as_one() {
    for protocol in [Protocol::Tower, Protocol::Alpenglow] {
        let mut lab = Lab::voting(shape(protocol));
        let from_us = now_us();
        lab.node_mut("a").kill();
        let gap_ms = lab.gap_ms("b", from_us);
        budget::print(
            &format!("{protocol:?}, supervisor killed"),
            gap_ms,
            CUT_OFF_MS,
        );
        assert_eq!(lab.await_one_voter(BACK_WITHIN_MS), "b");
        lab.node_mut("a").start();
        lab.node("a").await_role("standby");
        assert_eq!(lab.await_one_voter(BACK_WITHIN_MS), "b");
        lab.end();
    }
}

#[test]
fn a_killed_validator_is_followed_by_the_standby_without_a_timeout() {
    for protocol in [Protocol::Tower, Protocol::Alpenglow] {
        let lab = Lab::voting(shape(protocol));
        let from_us = now_us();
        signal(lab.node("a").validator(), Signal::SIGKILL);
        let gap_ms = lab.gap_ms("b", from_us);
        budget::print(
            &format!("{protocol:?}, validator killed"),
            gap_ms,
            CHILD_KILLED_MS,
        );
        lab.node("a").await_role("standby");
        assert_eq!(lab.await_one_voter(BACK_WITHIN_MS), "b");
        lab.end();
    }
}

#[test]
fn a_machine_that_dies_is_followed_by_the_standby() {
    let mut lab = Lab::voting(Shape::default());
    let validator = lab.node("a").validator();
    let from_us = now_us();
    signal(validator, Signal::SIGKILL);
    lab.node_mut("a").kill();
    budget::print("machine dead", lab.gap_ms("b", from_us), CUT_OFF_MS);
    assert_eq!(lab.await_one_voter(BACK_WITHIN_MS), "b");
    lab.end();
}

#[test]
fn a_supervisor_that_is_told_to_stop_ends_well_and_is_followed_at_once() {
    let mut lab = Lab::voting(Shape {
        ttl_ms: LONG_TTL_MS,
        ..Shape::default()
    });
    let from_us = now_us();
    signal(lab.node("a").supervisor(), Signal::SIGTERM);
    let ended = lab.node_mut("a").ended().and_then(|status| status.code());
    assert_eq!(ended, Some(0), "{}", lab.node("a").log());
    println!(
        "told to stop: {} ms without a vote",
        lab.gap_ms("b", from_us)
    );
    assert_eq!(lab.await_one_voter(BACK_WITHIN_MS), "b");
    lab.end();
}

#[test]
fn a_supervisor_stopped_for_longer_than_its_lease_lets_no_vote_out_when_it_goes_on() {
    for protocol in [Protocol::Tower, Protocol::Alpenglow] {
        let lab = Lab::voting(shape(protocol));
        let supervisor = lab.node("a").supervisor();
        let from_us = now_us();
        signal(supervisor, Signal::SIGSTOP);
        let gap_ms = lab.gap_ms("b", from_us);
        budget::print(
            &format!("{protocol:?}, supervisor stopped"),
            gap_ms,
            CUT_OFF_MS,
        );
        // No vote of a comes after this: its validator waits in the gate, or is refused.
        lab.chain.demoted(&lab.identity, Some("a"));
        lab.await_votes_of("b", 5, SOON_MS);
        signal(supervisor, Signal::SIGCONT);
        assert_eq!(lab.await_one_voter(BACK_WITHIN_MS), "b");
        lab.node("a").await_role("standby");
        assert!(!lab.carries_identity("a"));
        lab.end();
    }
}

#[test]
fn a_supervisor_stopped_for_less_than_its_lease_loses_neither_term_nor_validator() {
    let mut lab = outliving();
    let validator = lab.node("a").validator();
    let supervisor = lab.node("a").supervisor();
    signal(supervisor, Signal::SIGSTOP);
    lab.let_ms_pass(LONG_TTL_MS / 4);
    signal(supervisor, Signal::SIGCONT);
    lab.await_votes_of("a", 5, SOON_MS);
    assert_eq!(lab.node("a").validator(), validator);
    assert_eq!(lab.read_ledger(), 1);
    lab.end();
}

#[test]
fn a_validator_stopped_and_continued_goes_on_where_it_was() {
    let mut lab = outliving();
    let validator = lab.node("a").validator();
    assert!(stop_validator(lab.node("a")));
    lab.expect_silence_for(LONG_TTL_MS + 1_000);
    signal(validator, Signal::SIGCONT);
    lab.await_votes_of("a", 5, SOON_MS);
    assert_eq!(lab.node("a").validator(), validator);
    assert_eq!(lab.read_ledger(), 1, "the lease was renewed all the while");
    lab.end();
}

#[test]
fn a_suspended_machine_wakes_up_to_a_standby() {
    let lab = Lab::voting(Shape::default());
    let supervisor = lab.node("a").supervisor();
    assert!(stop_validator(lab.node("a")));
    let from_us = now_us();
    signal(supervisor, Signal::SIGSTOP);
    budget::print("machine suspended", lab.gap_ms("b", from_us), CUT_OFF_MS);
    lab.await_votes_of("b", 5, SOON_MS);
    continue_validator(lab.node("a"));
    signal(supervisor, Signal::SIGCONT);
    assert_eq!(lab.await_one_voter(BACK_WITHIN_MS), "b");
    lab.node("a").await_role("standby");
    lab.end();
}

#[test]
fn both_supervisors_killed_again_and_again_leave_one_voter() {
    let mut lab = Lab::voting(Shape::default());
    for _ in 0..2 {
        for name in ["a", "b"] {
            lab.node_mut(name).kill();
        }
        for name in ["a", "b"] {
            lab.node_mut(name).start();
        }
        lab.await_one_voter(BACK_WITHIN_MS);
    }
    lab.end();
}

#[test]
fn a_stopped_standby_disturbs_nobody_and_catches_up() {
    let lab = outliving();
    let (validator, supervisor) = (lab.node("b").validator(), lab.node("b").supervisor());
    signal(validator, Signal::SIGSTOP);
    signal(supervisor, Signal::SIGSTOP);
    assert!(until(SOON_MS, || lab
        .node("a")
        .log()
        .contains("b has gone")));
    lab.await_votes_of("a", 5, SOON_MS);
    signal(supervisor, Signal::SIGCONT);
    signal(validator, Signal::SIGCONT);
    assert_eq!(lab.await_one_voter(BACK_WITHIN_MS), "a");
    lab.node("b").await_role("standby");
    lab.end();
}
