//! From standby to the first vote, and every way not to get there.

use super::*;
use crate::engine::input::Exit;

#[test]
fn a_promotion_takes_its_steps_in_the_order_of_their_completion() {
    let mut rig = Rig::standby(false);
    assert_eq!(
        rig.ask(1, PROMOTE),
        [
            "standby -> promoting: operator-promoted",
            "progress 1",
            "acquire"
        ]
    );
    rig.lease(7, 5_000);
    let held = Outcome::Held {
        term: Term(7),
        record: Some(mark(6, 40, 90)),
    };
    assert_eq!(rig.tell(held), ["progress 1", "install for 7"]);
    assert_eq!(
        rig.tell(Outcome::Durable(Some(mark(6, 40, 90)))),
        ["open gate 7"]
    );
    assert_eq!(rig.done(), ["progress 1", "identity staked, tower"]);
    assert_eq!(rig.done(), ["progress 1"]);
    assert_eq!(
        rig.feed(Input::SwitchMarker(RecordKind::Tower)),
        ["progress 1", "unmute"]
    );
    assert_eq!(rig.done(), ["link staked"]);
    assert_eq!(rig.done(), ["progress 1"]);
    assert_eq!(
        rig.votes(91),
        ["promoting -> active: first-vote", "answer 1 Done"]
    );
}

#[test]
fn the_switch_may_show_before_the_answer_that_asked_for_it() {
    let mut rig = Rig::standby(false);
    rig.ask(1, PROMOTE);
    rig.held(7);
    rig.tell(Outcome::Durable(Some(mark(6, 40, 90))));
    rig.done();
    assert_eq!(rig.feed(Input::SwitchMarker(RecordKind::Tower)), [""; 0]);
    assert_eq!(rig.done(), ["progress 1", "unmute"]);
}

#[test]
fn the_first_vote_may_be_committed_before_the_link_points() {
    let mut rig = Rig::awaiting_switch(false);
    rig.feed(Input::SwitchMarker(RecordKind::Tower));
    rig.done();
    assert_eq!(rig.votes(100), [""; 0]);
    assert_eq!(
        rig.done(),
        [
            "progress 1",
            "promoting -> active: first-vote",
            "answer 1 Done"
        ]
    );
}

#[test]
fn a_first_vote_ever_needs_its_flag() {
    let mut rig = Rig::standby(false);
    rig.ask(1, PROMOTE);
    rig.held(7);
    assert_eq!(
        rig.tell(Outcome::Durable(None)),
        [
            "promoting -> demoting: promotion-failed",
            "progress 1",
            "release 7"
        ]
    );
    assert_eq!(
        rig.done(),
        ["demoting -> standby: released", "answer 1 Unsafe"]
    );
    rig.ask(2, FIRST_VOTE);
    rig.held(8);
    assert_eq!(rig.tell(Outcome::Durable(None)), ["open gate 8"]);
    assert_eq!(rig.done(), ["progress 2", "identity staked, no record"]);
}

#[test]
fn a_record_older_than_the_authoritys_is_not_started_from() {
    let mut rig = Rig::standby(false);
    rig.ask(1, FIRST_VOTE);
    rig.lease(7, 5_000);
    rig.tell(Outcome::Held {
        term: Term(7),
        record: Some(mark(6, 41, 91)),
    });
    let older = Outcome::Durable(Some(mark(6, 40, 90)));
    assert_eq!(
        rig.tell(older),
        [
            "promoting -> demoting: promotion-failed",
            "progress 1",
            "release 7"
        ]
    );
}

#[test]
fn a_refused_term_changes_nothing() {
    let mut rig = Rig::standby(false);
    rig.ask(1, PROMOTE);
    assert_eq!(
        rig.refused(),
        [
            "promoting -> standby: promotion-refused",
            "answer 1 Refused"
        ]
    );
}

#[test]
fn a_term_whose_grant_is_unknown_is_given_back() {
    let mut rig = Rig::standby(false);
    rig.ask(1, PROMOTE);
    assert_eq!(
        rig.wait(),
        [
            "promoting -> demoting: promotion-failed",
            "progress 1",
            "release 0"
        ]
    );
    assert_eq!(
        rig.done(),
        ["demoting -> standby: released", "answer 1 Refused"]
    );
}

#[test]
fn a_term_without_a_lease_counts_as_run_out() {
    let mut rig = Rig::standby(false);
    rig.ask(1, PROMOTE);
    rig.tell(Outcome::Held {
        term: Term(7),
        record: None,
    });
    assert_eq!(rig.later(1)[0], "promoting -> fenced: lease-ran-out");
}

#[test]
fn a_record_that_cannot_be_installed_gives_the_term_back() {
    let mut rig = Rig::standby(false);
    rig.ask(1, PROMOTE);
    rig.held(7);
    assert_eq!(
        rig.fails(),
        [
            "promoting -> demoting: promotion-failed",
            "progress 1",
            "release 7"
        ]
    );
}

#[test]
fn a_gate_that_does_not_open_is_closed_and_the_term_given_back() {
    let mut rig = Rig::standby(false);
    rig.ask(1, PROMOTE);
    rig.held(7);
    rig.tell(Outcome::Durable(Some(mark(6, 40, 90))));
    assert_eq!(
        rig.fails(),
        [
            "promoting -> demoting: promotion-failed",
            "progress 1",
            "close gate after 60"
        ]
    );
    assert_eq!(rig.done(), ["progress 1", "release 7"]);
}

#[test]
fn a_refused_identity_leaves_the_child_as_it_was() {
    let mut rig = Rig::standby(false);
    rig.ask(1, PROMOTE);
    rig.held(7);
    rig.tell(Outcome::Durable(Some(mark(6, 40, 90))));
    rig.done();
    assert_eq!(
        rig.refused(),
        [
            "promoting -> demoting: promotion-failed",
            "progress 1",
            "close gate after 60"
        ]
    );
    assert_eq!(rig.done(), ["progress 1", "release 7"]);
    assert_eq!(
        rig.done(),
        ["demoting -> standby: released", "answer 1 Refused"]
    );
}

#[test]
fn an_identity_of_unknown_outcome_costs_the_child_its_life() {
    let mut rig = Rig::standby(false);
    rig.ask(1, PROMOTE);
    rig.held(7);
    rig.tell(Outcome::Durable(Some(mark(6, 40, 90))));
    rig.done();
    assert_eq!(
        rig.fails(),
        [
            "promoting -> demoting: promotion-failed",
            "progress 1",
            "kill"
        ]
    );
    assert_eq!(rig.wait(), ["progress 1", "kill"]);
    assert_eq!(
        rig.feed(Input::ChildExited(Exit::Signal(9))),
        ["progress 1", "release 7"]
    );
    assert_eq!(
        rig.done(),
        ["demoting -> starting: child-died", "answer 1 Refused"]
    );
}

#[test]
fn a_switch_that_does_not_show_costs_the_child_its_life() {
    let mut rig = Rig::awaiting_switch(false);
    rig.lease(7, 20_000);
    assert_eq!(
        rig.wait(),
        [
            "promoting -> demoting: promotion-failed",
            "progress 1",
            "kill"
        ]
    );
}

#[test]
fn voters_that_may_still_be_added_cost_the_child_its_life() {
    let mut rig = Rig::awaiting_switch(false);
    rig.feed(Input::SwitchMarker(RecordKind::Tower));
    assert_eq!(
        rig.fails(),
        [
            "promoting -> demoting: promotion-failed",
            "progress 1",
            "kill"
        ]
    );
}

#[test]
fn a_link_that_cannot_be_pointed_undoes_the_promotion() {
    let mut rig = Rig::awaiting_switch(false);
    rig.feed(Input::SwitchMarker(RecordKind::Tower));
    rig.done();
    assert_eq!(
        rig.fails(),
        [
            "promoting -> demoting: promotion-failed",
            "progress 1",
            "mute"
        ]
    );
}

#[test]
fn a_first_vote_that_does_not_come_passes_the_term_on() {
    let mut rig = Rig::awaiting_switch(false);
    rig.lease(7, 20_000);
    rig.feed(Input::SwitchMarker(RecordKind::Tower));
    rig.done();
    rig.done();
    assert_eq!(
        rig.wait(),
        [
            "promoting -> demoting: promotion-failed",
            "progress 1",
            "mute"
        ]
    );
}

#[test]
fn a_single_node_whose_first_vote_does_not_come_keeps_waiting_loudly() {
    let mut rig = Rig::awaiting_switch(true);
    rig.feed(Input::SwitchMarker(RecordKind::Tower));
    rig.done();
    rig.done();
    assert_eq!(rig.wait(), ["page", "answer 1 Refused"]);
    let mut waits = Vec::new();
    for _ in 0..12 {
        let before = rig.now;
        assert_eq!(rig.wait(), ["page"]);
        waits.push(rig.now.since(before) / 1_000);
    }
    assert_eq!(
        waits,
        [
            8, 16, 32, 64, 128, 256, 512, 1_024, 2_048, 3_600, 3_600, 3_600
        ]
    );
    assert_eq!(rig.votes(100), ["promoting -> active: first-vote"]);
}

#[test]
fn outcomes_of_earlier_steps_and_terms_are_dropped() {
    let mut rig = Rig::standby(false);
    rig.ask(1, PROMOTE);
    let acquire = rig.op;
    rig.wait();
    rig.done();
    rig.ask(2, PROMOTE);
    rig.op = acquire;
    assert_eq!(
        rig.tell(Outcome::Held {
            term: Term(7),
            record: None
        }),
        [""; 0]
    );
    assert_eq!(rig.engine.term(), None);
}

#[test]
fn a_promotion_waits_until_the_switch_of_the_demotion_before_has_shown() {
    let mut rig = Rig::active(false);
    rig.demote(2);
    for _ in 0..8 {
        rig.done();
    }
    assert_eq!(rig.engine.role(), Role::Parked);
    assert_eq!(
        rig.ask(3, PROMOTE),
        ["parked -> promoting: operator-promoted", "progress 3"]
    );
    assert_eq!(
        rig.feed(Input::SwitchMarker(RecordKind::Tower)),
        ["progress 3", "acquire"]
    );
}

#[test]
fn failing_promotions_leave_the_others_more_and_more_time() {
    let mut rig = Rig::standby(false);
    rig.reads_well();
    rig.nobody_holds();
    let mut waits = Vec::new();
    for _ in 0..3 {
        rig.reads_well();
        let begun = rig.now;
        assert_eq!(rig.wait(), ["standby -> promoting: holder-gone", "acquire"]);
        waits.push(rig.now.since(begun));
        rig.refused();
    }
    assert_eq!(waits, [0, 200, 400]);
}
