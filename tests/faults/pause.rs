//! A pause: no takeover while it lasts, seen by everyone, kept over a restart, and over by itself.

use testkit::stand_in::until;

use crate::SOON_MS;
use crate::lab::{BACK_WITHIN_MS, Lab, Shape, TTL_MS};

#[test]
fn a_paused_standby_takes_over_from_nobody_until_it_is_resumed() {
    let mut lab = Lab::voting(Shape::default());
    lab.node("b").must(&["pause", "--for", "1h"]);
    let seen = || {
        let status = lab.node("a").status();
        status.is_some_and(|status| status["peers"][0]["paused_until"].is_string())
    };
    assert!(until(SOON_MS, seen), "{:?}", lab.node("a").status());
    lab.node_mut("b").kill();
    lab.node_mut("b").start();
    lab.node("b").await_role("standby");
    let still = lab.node("b").status().expect("a status");
    assert!(still["paused_until"].is_string(), "{still}");
    lab.node_mut("a").kill();
    lab.expect_silence_for(2 * TTL_MS);
    lab.node("b").must(&["resume"]);
    assert_eq!(lab.await_one_voter(BACK_WITHIN_MS), "b");
    lab.end();
}

#[test]
fn a_pause_that_is_over_ends_by_itself() {
    let mut lab = Lab::voting(Shape::default());
    lab.node("b").must(&["pause", "--for", "6s"]);
    lab.node_mut("a").kill();
    assert_eq!(lab.await_one_voter(SOON_MS), "b");
    assert!(lab.node("b").log().contains("the pause is over"));
    lab.end();
}
