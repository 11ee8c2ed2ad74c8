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

#[test]
fn a_demotion_after_the_last_death_allowed_does_not_end_the_supervisor() {
    let mut rig = Rig::active(true);
    for term in [8, 9] {
        rig.feed(CRASH);
        if term == 9 {
            break;
        }
        rig.wait();
        rig.held(term);
        rig.tell(Outcome::Durable(Some(mark(7, 100, 100))));
        rig.done();
        rig.done();
        rig.done();
        rig.feed(Input::ChildReady);
    }
    let (due, _) = rig.engine.next_deadline().unwrap();
    assert_eq!(rig.engine.restarts(), 2);
    rig.now = rig.now.plus(50);
    assert_eq!(rig.ask(2, DEMOTE), ["remember parked=true", "release 0"]);
    let release = rig.engine.pending;
    rig.op = rig.engine.remembering.map(|(op, _)| op);
    rig.done();
    rig.op = release;
    assert_eq!(rig.done(), ["answer 2 Done"]);
    assert_eq!(rig.engine.restarts(), 2);
    let next = rig.engine.next_deadline();
    assert_eq!(next, Some((due, crate::engine::Reason::Backoff)));
    assert_eq!(rig.wait(), ["link unstaked"]);
}

#[test]
fn the_kill_of_a_demotion_while_the_child_comes_up_counts_as_no_death() {
    let mut only_one = setup(true);
    only_one.timing.restart_max = 1;
    let mut rig = Rig::active(true);
    rig.feed(Input::Reconfigured(Box::new(only_one)));
    rig.feed(CRASH);
    rig.wait();
    rig.held(8);
    rig.tell(Outcome::Durable(Some(mark(7, 100, 100))));
    rig.done();
    rig.done();
    assert_eq!(
        rig.ask(2, DEMOTE),
        ["remember parked=true", "progress 2", "kill"]
    );
    assert!(rig.engine.wants_child_to_end());
    rig.op = rig.engine.remembering.map(|(op, _)| op);
    rig.done();
    assert_eq!(rig.feed(Input::ChildExited(Exit::Signal(9))), ["release 8"]);
    assert_eq!(rig.done(), ["answer 2 Done"]);
    assert_eq!(
        (rig.engine.role(), rig.engine.restarts()),
        (Role::Starting, 1)
    );
    assert_eq!(rig.wait(), ["link unstaked"]);
}

#[test]
fn a_demotion_does_not_pardon_a_child_that_was_being_killed_for_its_own_failure() {
    let mut rig = Rig::active(true);
    rig.feed(CRASH);
    rig.wait();
    rig.held(8);
    rig.tell(Outcome::Durable(Some(mark(7, 100, 100))));
    rig.done();
    rig.done();
    rig.done();
    assert_eq!(rig.wait(), ["page", "kill"]);
    assert_eq!(rig.ask(2, DEMOTE), ["remember parked=true", "kill"]);
    rig.feed(Input::ChildExited(Exit::Signal(9)));
    rig.op = rig.engine.pending;
    rig.done();
    assert_eq!(rig.engine.restarts(), 2);
}

#[test]
fn a_promotion_whose_child_dies_is_not_answered_while_the_node_goes_on_by_itself() {
    let mut rig = Rig::awaiting_switch(true);
    let effects = rig.engine.step(rig.now, CRASH);
    let [_, Effect::Progress { text, .. }] = &effects[..] else {
        panic!("{effects:?}");
    };
    assert_eq!(
        text,
        "the validator ended during the promotion (exit code 1); it is started again and votes by itself, which `supervisor ctl demote` prevents"
    );
    rig.wait();
    rig.held(8);
    rig.tell(Outcome::Durable(Some(mark(7, 100, 100))));
    rig.done();
    rig.done();
    rig.done();
    assert_eq!(
        rig.feed(Input::ChildReady),
        ["starting -> promoting: child-up-holding", "progress 1"]
    );
    assert_eq!(
        rig.votes(101),
        ["promoting -> active: first-vote", "answer 1 Done"]
    );
}

/// The text of the one answer among these effects.
fn answered(effects: &[Effect]) -> String {
    let mut texts = effects.iter().filter_map(|effect| match effect {
        Effect::Answer { text, .. } => Some(text.clone()),
        _ => None,
    });
    match (texts.next(), texts.next()) {
        (Some(text), None) => text,
        _ => panic!("{effects:?}"),
    }
}

#[test]
fn a_promotion_whose_child_died_is_answered_when_the_node_gives_it_up() {
    let mut rig = Rig::awaiting_switch(true);
    rig.feed(CRASH);
    let demoted = rig.engine.step(rig.now, Input::Asked(RequestId(2), DEMOTE));
    assert_eq!(
        answered(&demoted),
        "an operator wants this node to stop voting"
    );

    let mut rig = Rig::awaiting_switch(false);
    let died = rig.engine.step(rig.now, CRASH);
    assert_eq!(
        answered(&died),
        "The validator ended during the promotion (exit code 1)."
    );

    let mut rig = Rig::awaiting_switch(true);
    rig.feed(CRASH);
    rig.wait();
    rig.held(8);
    rig.tell(Outcome::Durable(None));
    rig.done();
    rig.done();
    rig.feed(Input::ChildReady);
    let op = rig.op.unwrap();
    let up = rig.engine.step(rig.now, Input::Done(op, Outcome::Done));
    assert_eq!(
        answered(&up),
        "this node held the term and cannot take it up again: its record is not on this disk"
    );
}

#[test]
fn a_forced_demotion_says_that_the_child_was_killed_and_why() {
    let mut rig = Rig::active(false);
    rig.demote(2);
    rig.done();
    rig.fails();
    rig.wait();
    rig.feed(Input::ChildExited(Exit::Signal(9)));
    rig.done();
    rig.done();
    let why = rig.engine.explain(rig.now);
    assert_eq!(why.because, "The validator ended during the demotion.");
    assert_eq!(
        why.detail,
        "the supervisor killed it: setting the unstaked identity: it broke"
    );
    assert_eq!(rig.engine.restarts(), 0);

    let mut rig = Rig::active(false);
    rig.demote(2);
    rig.feed(CRASH);
    rig.done();
    rig.done();
    assert_eq!(rig.engine.explain(rig.now).detail, "exit code 1");
}
