//! A validator that is there and sends no vote.

use crate::SOON_MS;
use crate::lab::{BACK_WITHIN_MS, LONG_TTL_MS, Lab, Shape};
use crate::stopped::{continue_validator, stop_validator};

const SHORT: &str = "[failover]\nsilence = \"3s\"";

fn shape() -> Shape<'static> {
    Shape {
        ttl_ms: LONG_TTL_MS,
        more: SHORT,
        ..Shape::default()
    }
}

#[test]
fn a_validator_that_votes_no_more_is_followed_by_the_standby() {
    let mut lab = Lab::voting(shape());
    lab.await_peers("a", 1);
    let before = lab.node("a").validator();
    lab.node("a")
        .faults(&[("stop_voting", "true")])
        .expect("a fault");
    lab.node("a")
        .await_log("demoting: The validator does not vote");
    lab.await_votes_of("b", 5, SOON_MS);
    lab.node("a").faults(&[]).expect("no fault");
    lab.node("a").await_role("standby");
    assert_eq!(lab.node("a").validator(), before, "no restart was needed");
    assert_eq!(lab.await_one_voter(BACK_WITHIN_MS), "b");
    assert_eq!(
        lab.read_ledger(),
        2,
        "the term was passed, not left to its lease"
    );
    lab.end();
}

#[test]
fn a_frozen_validator_is_killed_and_followed_by_the_standby() {
    let lab = Lab::voting(shape());
    lab.await_peers("a", 1);
    let before = lab.node("a").validator();
    assert!(stop_validator(lab.node("a")));
    lab.await_votes_of("b", 5, SOON_MS);
    continue_validator(lab.node("a"));
    lab.node("a").await_role("standby");
    assert_ne!(lab.node("a").validator(), before);
    assert_eq!(lab.await_one_voter(BACK_WITHIN_MS), "b");
    lab.end();
}

#[test]
fn a_silent_validator_without_a_standby_stays_and_is_told_of() {
    let lab = Lab::voting(Shape {
        nodes: &["a"],
        ..shape()
    });
    let before = lab.node("a").validator();
    lab.node("a")
        .faults(&[("stop_voting", "true")])
        .expect("a fault");
    lab.node("a").await_log("no standby is to take over");
    assert_eq!(lab.node("a").role().as_deref(), Some("active"));
    lab.node("a").faults(&[]).expect("no fault");
    lab.await_votes_of("a", 5, SOON_MS);
    assert_eq!(lab.node("a").validator(), before);
    lab.end();
}
