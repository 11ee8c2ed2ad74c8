//! SIGTERM, in every role.

use super::*;
use crate::engine::input::Exit;

const GONE: Input = Input::ChildExited(Exit::Code(0));

#[test]
fn a_voter_is_muted_unstaked_released_then_asked_then_terminated_then_killed() {
    let mut rig = Rig::active(false);
    assert_eq!(
        rig.feed(Input::Stop),
        ["active -> stopping: stop-asked", "mute"]
    );
    assert_eq!(rig.done(), ["identity unstaked"]);
    assert_eq!(rig.done(), ["close gate after 60"]);
    assert_eq!(rig.done(), ["link unstaked"]);
    assert_eq!(rig.done(), ["release 7"]);
    assert_eq!(rig.done(), ["ask exit"]);
    assert_eq!(rig.wait(), ["terminate"]);
    assert_eq!(rig.wait(), ["kill"]);
    assert_eq!(rig.wait(), ["kill"]);
    assert_eq!(rig.feed(GONE), ["exit 0"]);
    assert_eq!(rig.feed(GONE), [""; 0]);
}

#[test]
fn a_single_node_keeps_its_term_for_the_next_start() {
    let mut rig = Rig::active(true);
    rig.feed(Input::Stop);
    for _ in 0..3 {
        rig.done();
    }
    assert_eq!(rig.done(), ["ask exit"]);
    assert_eq!(rig.feed(GONE), ["exit 0"]);
}

#[test]
fn a_second_stop_changes_nothing() {
    let mut rig = Rig::active(false);
    rig.feed(Input::Stop);
    assert_eq!(rig.feed(Input::Stop), [""; 0]);
}

#[test]
fn a_standby_just_ends_its_child() {
    let mut rig = Rig::standby(false);
    assert_eq!(
        rig.feed(Input::Stop),
        ["standby -> stopping: stop-asked", "ask exit"]
    );
}

#[test]
fn a_child_that_is_not_up_is_terminated() {
    let mut rig = Rig::with(setup(false), Memory::default());
    rig.feed(Input::Begin);
    rig.done();
    rig.done();
    assert_eq!(
        rig.feed(Input::Stop),
        ["starting -> stopping: stop-asked", "terminate"]
    );
}

#[test]
fn a_start_that_is_refused_after_the_stop_ends_the_supervisor() {
    let mut rig = Rig::with(setup(false), Memory::default());
    rig.feed(Input::Begin);
    rig.done();
    let spawn = rig.op;
    rig.feed(Input::Stop);
    rig.op = spawn;
    assert_eq!(rig.refused(), ["page", "exit 0"]);
}

#[test]
fn a_stop_during_an_acquisition_gives_back_what_may_come() {
    let mut rig = Rig::standby(false);
    rig.ask(1, PROMOTE);
    assert_eq!(
        rig.feed(Input::Stop),
        [
            "promoting -> stopping: stop-asked",
            "answer 1 Refused",
            "release 0"
        ]
    );
}

#[test]
fn a_child_that_cannot_be_muted_is_killed_before_the_release() {
    let mut rig = Rig::active(false);
    rig.feed(Input::Stop);
    assert_eq!(rig.fails(), ["page", "kill"]);
    assert_eq!(rig.feed(GONE), ["link unstaked"]);
    assert_eq!(rig.done(), ["release 7"]);
    assert_eq!(rig.done(), ["exit 0"]);
}

#[test]
fn a_single_nodes_stop_during_an_acquisition_gives_back_what_may_come() {
    let mut rig = Rig::standby(true);
    rig.ask(1, PROMOTE);
    let effects = rig.feed(Input::Stop);
    assert!(effects.contains(&"release 0".into()), "{effects:?}");
}
