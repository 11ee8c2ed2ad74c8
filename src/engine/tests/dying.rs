//! The child dies, in every role.

use super::*;
use crate::engine::input::Exit;

const CRASH: Input = Input::ChildExited(Exit::Code(1));

#[test]
fn the_term_of_a_dead_voter_is_given_back_at_once() {
    let mut rig = Rig::active(false);
    assert_eq!(
        rig.feed(CRASH),
        ["active -> starting: child-died", "release 7"]
    );
    assert_eq!(rig.done(), [""; 0]);
    assert_eq!(rig.wait(), ["link unstaked"]);
}

#[test]
fn a_child_that_dies_in_a_promotion_takes_the_term_with_it() {
    let mut rig = Rig::awaiting_switch(false);
    assert_eq!(
        rig.feed(CRASH),
        [
            "promoting -> starting: child-died",
            "answer 1 Refused",
            "release 7"
        ]
    );
}

#[test]
fn a_child_that_dies_while_the_term_is_acquired_gives_back_what_may_come() {
    let mut rig = Rig::standby(false);
    rig.ask(1, PROMOTE);
    assert_eq!(
        rig.feed(CRASH),
        [
            "promoting -> starting: child-died",
            "answer 1 Refused",
            "release 0"
        ]
    );
}

#[test]
fn a_single_node_whose_child_dies_while_the_term_is_acquired_gives_back_what_may_come() {
    let mut rig = Rig::standby(true);
    rig.ask(1, PROMOTE);
    assert_eq!(
        rig.feed(CRASH),
        [
            "promoting -> starting: child-died",
            "answer 1 Refused",
            "release 0"
        ]
    );
    assert_eq!(rig.done(), [""; 0]);
    assert_eq!(rig.wait(), ["link unstaked"]);
}

#[test]
fn a_single_node_that_was_to_take_its_term_up_again_keeps_it_over_a_death() {
    let mut rig = Rig::standby(true);
    rig.engine.reclaims = true;
    rig.now = rig.now.plus(300);
    rig.reads_well();
    assert_eq!(rig.wait(), ["standby -> promoting: holder-gone", "acquire"]);
    assert_eq!(rig.feed(CRASH), ["promoting -> starting: child-died"]);
    assert_eq!(rig.wait(), ["acquire"]);
}

#[test]
fn a_resting_child_that_dies_is_started_again() {
    let mut rig = Rig::standby(false);
    assert_eq!(rig.feed(CRASH), ["standby -> starting: child-died"]);
    assert_eq!(rig.wait(), ["link unstaked"]);
    assert_eq!(rig.feed(CRASH), [""; 0]);
}

#[test]
fn a_parked_child_that_dies_comes_back_parked() {
    let mut rig = Rig::standby(false);
    rig.demote(1);
    assert_eq!(rig.feed(CRASH), ["parked -> starting: child-died"]);
    rig.wait();
    rig.done();
    rig.done();
    rig.feed(Input::ChildReady);
    rig.done();
    assert_eq!(rig.reads_well(), ["catching-up -> parked: caught-up"]);
}

#[test]
fn a_child_that_dies_in_a_demotion_ends_it() {
    let mut rig = Rig::active(false);
    rig.demote(2);
    assert_eq!(rig.feed(CRASH), ["link unstaked"]);
    assert_eq!(rig.done(), ["progress 2", "release 7"]);
    assert_eq!(
        rig.done(),
        ["demoting -> starting: child-died", "answer 2 Done"]
    );
}

#[test]
fn a_single_node_takes_its_term_up_again_with_the_staked_identity() {
    let mut rig = Rig::active(true);
    assert_eq!(rig.feed(CRASH), ["active -> starting: child-died"]);
    assert_eq!(rig.wait(), ["acquire"]);
    assert_eq!(rig.held(8), ["install for 8"]);
    assert_eq!(
        rig.tell(Outcome::Durable(Some(mark(7, 100, 100)))),
        ["link staked"]
    );
}

#[test]
fn too_many_deaths_end_the_supervisor_with_the_childs_code() {
    let mut rig = Rig::standby(false);
    for _ in 0..2 {
        rig.feed(CRASH);
        rig.wait();
        rig.done();
        rig.done();
        rig.feed(Input::ChildReady);
        rig.done();
    }
    let given_up = rig.feed(Input::ChildExited(Exit::Signal(6)));
    assert_eq!(
        given_up,
        [
            "catching-up -> starting: child-died",
            "page",
            "starting -> stopping: gave-up",
            "exit 134"
        ]
    );
    assert_eq!(rig.engine.next_deadline(), None);
}

#[test]
fn deaths_long_ago_do_not_count() {
    let mut rig = Rig::standby(false);
    for _ in 0..6 {
        rig.now = rig.now.plus(70_000);
        rig.feed(CRASH);
        assert_eq!(rig.engine.restarts(), 1);
        rig.wait();
        rig.done();
        rig.done();
    }
}
