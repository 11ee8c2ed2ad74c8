//! A node's ordinary life: started, promoted, demoted, stopped; and its ordinary deaths.

use crate::lab::{Lab, SOON_MS};
use nix::sys::signal::Signal;
use testkit::stand_in::{Protocol, until};

#[test]
fn a_tower_validator_is_promoted_votes_and_sends_nothing_after_its_demotion() {
    promoted_and_demoted(Protocol::Tower);
}

#[test]
fn an_alpenglow_validator_is_promoted_votes_and_sends_nothing_after_its_demotion() {
    promoted_and_demoted(Protocol::Alpenglow);
}

fn promoted_and_demoted(protocol: Protocol) {
    let lab = Lab::voting(protocol);
    lab.must(&["demote"]);
    lab.chain.demoted(&lab.identity, Some("a"));
    lab.chain.let_slots_pass(20);
    assert_eq!(lab.role().as_deref(), Some("parked"));
    lab.end();
}

#[test]
fn without_a_record_the_first_promotion_needs_a_flag() {
    let mut lab = Lab::new(Protocol::Tower);
    lab.start();
    lab.await_role("standby");
    assert_eq!(
        lab.ctl(&["promote"]).status.code(),
        Some(4),
        "{}",
        lab.log()
    );
    lab.await_role("standby");
    assert!(lab.chain.votes().is_empty());
    lab.end();
}

#[test]
fn a_killed_supervisor_ends_the_voting() {
    let mut lab = Lab::voting(Protocol::Tower);
    lab.signal(Signal::SIGKILL);
    lab.ended();
    lab.chain.settle();
    let votes = lab.chain.votes().len();
    lab.chain.let_slots_pass(20);
    assert_eq!(lab.chain.votes().len(), votes);
    lab.end();
}

#[test]
fn a_killed_validator_comes_back_voting_where_nobody_else_can() {
    let lab = Lab::voting(Protocol::Tower);
    let pid = |lab: &Lab| {
        lab.status()
            .and_then(|status| status["validator"]["pid"].as_i64())
    };
    let before = pid(&lab).expect("a child") as i32;
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(before), Signal::SIGKILL).expect("a signal");
    assert!(
        until(SOON_MS, || lab.role().as_deref() == Some("active")
            && pid(&lab) != Some(i64::from(before))),
        "{}",
        lab.log()
    );
    lab.await_votes(5);
    lab.end();
}

#[test]
fn a_stop_ends_the_validator_and_a_new_start_votes_on() {
    let mut lab = Lab::voting(Protocol::Tower);
    lab.signal(Signal::SIGTERM);
    assert_eq!(
        lab.ended().and_then(|status| status.code()),
        Some(0),
        "{}",
        lab.log()
    );
    lab.start();
    lab.await_role("active");
    lab.await_votes(5);
    lab.end();
}
