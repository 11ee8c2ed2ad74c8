//! From voting to unstaked.

use super::*;
use crate::engine::input::Exit;

#[test]
fn a_demotion_mutes_then_unstakes_then_closes_the_gate_then_releases() {
    let mut rig = Rig::active(false);
    let begun = [
        "remember parked=true",
        "active -> demoting: operator-demoted",
        "progress 2",
        "mute",
    ];
    assert_eq!(rig.ask(2, DEMOTE), begun);
    assert_eq!(rig.done(), ["progress 2", "identity unstaked"]);
    assert_eq!(rig.done(), ["progress 2", "close gate after 60"]);
    assert_eq!(rig.done(), ["link unstaked"]);
    assert_eq!(rig.done(), ["progress 2", "release 7"]);
    assert_eq!(rig.done(), ["demoting -> parked: released"]);
    let remembered = rig.engine.remembering.map(|(op, _)| op);
    rig.op = remembered;
    assert_eq!(rig.done(), ["answer 2 Done"]);
}

#[test]
fn a_demotion_hands_over_where_a_standby_is_ready() {
    let mut rig = Rig::active(false);
    rig.peer("b", true);
    rig.demote(2);
    for _ in 0..4 {
        rig.done();
    }
    assert_eq!(rig.engine.explain(rig.now).doing, "giving the term back");
    assert_eq!(rig.refused(), ["page", "progress 2", "release 7"]);
}

#[test]
fn a_mute_that_fails_costs_the_child_its_life_and_the_term_goes_only_after_its_death() {
    let mut rig = Rig::active(false);
    rig.demote(2);
    assert_eq!(rig.fails(), ["page", "progress 2", "kill"]);
    for _ in 0..5 {
        rig.lease(7, 5_000);
        assert_eq!(rig.wait(), ["progress 2", "kill"]);
    }
    assert_eq!(
        rig.feed(Input::ChildExited(Exit::Signal(9))),
        ["link unstaked"]
    );
    assert_eq!(rig.done(), ["progress 2", "release 7"]);
}

#[test]
fn a_mute_that_is_late_costs_the_child_its_life() {
    let mut rig = Rig::active(false);
    rig.demote(2);
    assert_eq!(rig.wait(), ["page", "progress 2", "kill"]);
}

#[test]
fn an_identity_that_does_not_change_costs_the_child_its_life() {
    let mut rig = Rig::active(false);
    rig.demote(2);
    rig.done();
    assert_eq!(rig.refused(), ["page", "progress 2", "kill"]);
}

#[test]
fn a_gate_that_does_not_fall_quiet_costs_the_child_its_life() {
    let mut rig = Rig::active(false);
    rig.demote(2);
    rig.done();
    rig.done();
    let begun = rig.now;
    assert_eq!(rig.wait(), ["page", "progress 2", "kill"]);
    assert_eq!(rig.now.since(begun), 160);
}

#[test]
fn a_link_that_cannot_be_pointed_delays_no_release() {
    let mut rig = Rig::active(false);
    rig.demote(2);
    rig.done();
    rig.done();
    rig.done();
    assert_eq!(rig.fails(), ["page", "progress 2", "release 7"]);
}

#[test]
fn a_release_that_is_not_confirmed_is_repeated_from_rest() {
    let mut rig = Rig::active(false);
    rig.ask(
        2,
        Command::Handover {
            to: None,
            at_once: true,
        },
    );
    rig.peer("b", true);
    rig.ask(
        3,
        Command::Handover {
            to: Some(name("b")),
            at_once: true,
        },
    );
    for _ in 0..4 {
        rig.done();
    }
    rig.fails();
    assert_eq!(rig.fails(), ["page", "demoting -> standby: released"]);
    assert_eq!(rig.wait(), ["release 0"]);
    assert_eq!(rig.fails(), [""; 0]);
    assert_eq!(rig.wait(), ["release 0"]);
    rig.done();
    assert_eq!(rig.engine.stray_deadline(), None);
}

#[test]
fn a_demotion_during_a_change_of_identity_costs_the_child_its_life() {
    let mut rig = Rig::awaiting_switch(false);
    let begun = [
        "remember parked=true",
        "promoting -> demoting: operator-demoted",
        "progress 1",
        "progress 2",
        "kill",
    ];
    assert_eq!(rig.ask(2, DEMOTE), begun);
}

#[test]
fn a_term_that_was_passed_and_is_lost_to_the_watch_first_is_settled() {
    let mut rig = Rig::active(false);
    rig.peer("b", true);
    rig.ask(
        2,
        Command::Handover {
            to: None,
            at_once: true,
        },
    );
    for _ in 0..3 {
        rig.done();
    }
    assert_eq!(rig.done(), ["progress 2", "pass 7 to b"]);
    let lost = Input::Authority(AuthorityNews::TermLost(Term(7)));
    assert_eq!(rig.feed(lost), [""; 0], "the answer says where it went");
    assert_eq!(rig.done(), ["progress 2", "demoting -> standby: released"]);
    assert_eq!(rig.peer_votes("b", 8), ["answer 2 Done"]);
}

#[test]
fn a_passed_term_that_cannot_be_used_goes_back_once() {
    let mut rig = Rig::standby(false);
    let passed = |term| {
        Input::Authority(AuthorityNews::Passed {
            term: Term(term),
            from: name("b"),
        })
    };
    assert_eq!(
        rig.feed(passed(7)),
        ["standby -> promoting: term-passed-to-us", "acquire"]
    );
    rig.held(8);
    rig.fails();
    assert_eq!(rig.op.map(|op| op.term), Some(Term(8)));
    assert_eq!(rig.done(), ["demoting -> standby: released"]);
    rig.reads_well();
    rig.feed(passed(9));
    rig.held(10);
    assert_eq!(
        rig.fails(),
        ["promoting -> demoting: promotion-failed", "release 10"]
    );
}
