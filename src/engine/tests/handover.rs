//! A handover, from either side, and every way in which it may end.

use super::*;

pub(super) const AT_ONCE: Command = Command::Handover {
    to: None,
    at_once: true,
};
pub(super) const IN_TIME: Command = Command::Handover {
    to: None,
    at_once: false,
};

/// It votes, `b` stands by, and the term is far from its end.
pub(super) fn voter() -> Rig {
    let mut rig = Rig::active(false);
    rig.lease(7, 900_000);
    rig.peer("b", true);
    rig.feed(Input::Observed(Observation::Leads(Leads::Never)));
    rig
}

pub(super) fn leads(rig: &mut Rig, in_slots: u64) -> Vec<String> {
    let slot = rig.slot + in_slots;
    rig.feed(Input::Observed(Observation::Leads(Leads::At(slot))))
}

/// From the first step to the term's passing.
pub(super) fn passes(rig: &mut Rig) {
    for _ in 0..3 {
        rig.done();
    }
    assert_eq!(rig.done().last().map(String::as_str), Some("pass 7 to b"));
    rig.done();
    assert_eq!(rig.engine.role(), Role::Standby);
}

fn passed_back(rig: &mut Rig) -> Vec<String> {
    rig.feed(Input::Authority(AuthorityNews::Passed {
        term: Term(9),
        from: name("b"),
    }))
}

/// From the term's return to the first vote under it.
fn votes_again(rig: &mut Rig) -> Vec<String> {
    rig.feed(Input::SwitchMarker(RecordKind::Tower));
    rig.held(9);
    rig.tell(Outcome::Durable(Some(mark(7, 41, 100))));
    rig.done();
    rig.done();
    rig.feed(Input::SwitchMarker(RecordKind::Tower));
    rig.done();
    rig.done();
    rig.votes(101)
}

#[test]
fn it_is_over_when_the_other_node_votes() {
    let mut rig = voter();
    rig.ask(2, AT_ONCE);
    passes(&mut rig);
    assert_eq!(rig.peer_votes("b", 7), [""; 0], "a term that is not newer");
    assert_eq!(rig.peer_votes("b", 9), ["answer 2 Done"]);
}

#[test]
fn asked_for_again_it_joins_and_afterwards_it_is_done_already() {
    let mut rig = voter();
    rig.ask(2, AT_ONCE);
    assert_eq!(rig.ask(3, AT_ONCE), [""; 0]);
    passes(&mut rig);
    assert_eq!(rig.peer_votes("b", 9), ["answer 2 Done", "answer 3 Done"]);
    let to_b = Command::Handover {
        to: Some(name("b")),
        at_once: false,
    };
    assert_eq!(rig.ask(4, to_b), ["answer 4 Done"]);
    assert_eq!(rig.ask(5, IN_TIME), ["answer 5 Refused"]);
}

#[test]
fn it_waits_for_a_stretch_without_leader_slots_and_votes_meanwhile() {
    let mut rig = voter();
    leads(&mut rig, 5);
    assert_eq!(rig.ask(2, IN_TIME), ["progress 2"]);
    assert_eq!(rig.engine.role(), Role::Active);
    assert_eq!(leads(&mut rig, 5), [""; 0], "told once");
    rig.reads_well();
    assert_eq!(leads(&mut rig, 11), ["progress 2"], "the next one");
    assert_eq!(
        leads(&mut rig, 12),
        ["active -> demoting: handover-asked", "progress 2", "mute"]
    );
}

#[test]
fn it_waits_while_the_leader_schedule_is_not_known() {
    let mut rig = voter();
    rig.feed(Input::Observed(Observation::Leads(Leads::Unknown)));
    assert_eq!(rig.ask(2, IN_TIME), ["progress 2"]);
    leads(&mut rig, 3);
    rig.feed(Input::Observed(Observation::OwnSilent));
    rig.feed(Input::Observed(Observation::Leads(Leads::Unknown)));
    assert_eq!(
        rig.engine.role(),
        Role::Active,
        "a lost reading clears nothing"
    );
    rig.reads_well();
    let begun = rig.feed(Input::Observed(Observation::Leads(Leads::Never)));
    assert_eq!(begun[0], "active -> demoting: handover-asked");
}

#[test]
fn a_term_that_was_just_passed_is_not_given_back_as_left_over() {
    let mut rig = Rig::standby(false);
    rig.now = rig.now.plus(1_900);
    rig.reads_well();
    let us = AuthorityNews::Holder(Some(name("a")));
    assert_eq!(rig.feed(Input::Authority(us)), [""; 0]);
    assert_eq!(
        rig.feed(Input::Tick),
        [""; 0],
        "its news has a moment to arrive"
    );
    assert_eq!(
        passed_back(&mut rig),
        ["standby -> promoting: term-passed-to-us", "acquire"]
    );
}

#[test]
fn a_successor_that_was_seen_to_vote_is_not_told_of_again() {
    let mut rig = voter();
    rig.ask(2, AT_ONCE);
    passes(&mut rig);
    rig.feed(Input::SwitchMarker(RecordKind::Tower));
    rig.peer_votes("b", 9);
    let mut seen = Vec::new();
    for _ in 0..100 {
        rig.reads_well();
        rig.peer("b", false);
        seen.extend(rig.later(100));
    }
    assert_eq!(seen, [""; 0]);
}

#[test]
fn a_passing_whose_answer_is_lost_may_have_happened_and_is_waited_for() {
    let mut rig = voter();
    rig.ask(2, AT_ONCE);
    for _ in 0..4 {
        rig.done();
    }
    assert_eq!(
        rig.fails(),
        ["progress 2", "page", "progress 2", "release 7"]
    );
    assert_eq!(rig.done(), ["demoting -> standby: released"]);
    assert_eq!(rig.peer_votes("b", 9), ["answer 2 Done"]);
}

#[test]
fn a_plan_for_another_nodes_wish_ends_with_the_wish() {
    let mut rig = voter();
    leads(&mut rig, 5);
    let says = |asks| {
        Input::Observed(Observation::Peer(PeerFacts {
            asks,
            ..peer("b", true)
        }))
    };
    rig.feed(says(Some(Plea::default())));
    rig.feed(says(None));
    assert_eq!(leads(&mut rig, 100), [""; 0]);
    assert_eq!(rig.engine.role(), Role::Active);
}

#[test]
fn a_restart_waits_for_a_successor_no_longer_than_that_has_time_and_then_does_not_happen() {
    let mut rig = voter();
    rig.ask(2, RESTART);
    passes(&mut rig);
    rig.feed(Input::SwitchMarker(RecordKind::Tower));
    let mut seen = Vec::new();
    for _ in 0..90 {
        rig.reads_well();
        seen.extend(rig.later(100));
    }
    assert_eq!(seen, ["page", "answer 2 Refused"]);
    assert_eq!(rig.engine.role(), Role::Standby);
}

#[test]
fn a_restart_whose_handover_comes_to_nothing_does_not_happen() {
    let mut rig = voter();
    rig.ask(2, RESTART);
    for _ in 0..4 {
        rig.done();
    }
    let refused = rig.refused();
    assert!(refused.contains(&"answer 2 Refused".into()), "{refused:?}");
    assert_eq!(rig.done(), ["demoting -> standby: released"]);
}

#[test]
fn it_begins_in_spite_of_leader_slots_when_told_to() {
    let mut rig = voter();
    leads(&mut rig, 5);
    rig.ask(2, IN_TIME);
    let begun = rig.ask(3, AT_ONCE);
    assert_eq!(begun[0], "active -> demoting: handover-asked");
}

#[test]
fn a_stretch_that_does_not_come_ends_it() {
    let mut rig = voter();
    leads(&mut rig, 5);
    rig.ask(2, IN_TIME);
    rig.votes(101);
    rig.now = rig.now.plus(19_999);
    assert!(!rig.feed(Input::Tick).contains(&"answer 2 Refused".into()));
    assert!(rig.later(1).contains(&"answer 2 Refused".into()));
    assert_eq!(leads(&mut rig, 100), [""; 0], "nothing is planned any more");
}

#[test]
fn a_standby_that_is_no_longer_ready_when_it_could_begin_ends_it() {
    let mut rig = voter();
    leads(&mut rig, 5);
    rig.ask(2, IN_TIME);
    rig.peer("b", false);
    assert_eq!(leads(&mut rig, 100), ["answer 2 Refused"]);
    assert_eq!(rig.engine.role(), Role::Active);
}

#[test]
fn it_goes_to_the_standby_with_the_highest_priority_then_to_the_first_by_name() {
    let mut rig = voter();
    rig.peer("c", true);
    assert_eq!(rig.engine.successor(rig.now, None), Some(name("b")));
    rig.feed(Input::Observed(Observation::Peer(PeerFacts {
        priority: 101,
        ..peer("c", true)
    })));
    assert_eq!(rig.engine.successor(rig.now, None), Some(name("c")));
}

#[test]
fn a_term_that_comes_back_is_voted_under_and_the_operator_is_told() {
    let mut rig = voter();
    rig.ask(2, AT_ONCE);
    passes(&mut rig);
    assert_eq!(
        passed_back(&mut rig),
        ["standby -> promoting: term-passed-to-us", "progress 2"]
    );
    let active = votes_again(&mut rig);
    assert_eq!(
        active,
        ["promoting -> active: first-vote", "answer 2 Refused"]
    );
}

#[test]
fn a_successor_that_is_never_seen_to_vote_is_told_of() {
    let mut rig = voter();
    rig.ask(2, AT_ONCE);
    passes(&mut rig);
    rig.feed(Input::SwitchMarker(RecordKind::Tower));
    rig.reads_well();
    let (at, why) = rig.engine.next_deadline().expect("a deadline");
    assert!(at <= rig.now.plus(8_000), "{why:?}");
    let mut seen = Vec::new();
    for _ in 0..100 {
        rig.reads_well();
        seen.extend(rig.later(100));
    }
    assert_eq!(seen, ["page", "answer 2 Refused"]);
}

#[test]
fn a_demotion_that_passes_the_term_is_over_when_the_other_node_votes() {
    let mut rig = voter();
    rig.demote(2);
    for _ in 0..5 {
        rig.done();
    }
    assert_eq!(rig.engine.role(), Role::Parked);
    assert_eq!(rig.peer_votes("b", 9), ["answer 2 Done"]);
}

#[test]
fn a_restart_of_a_voter_hands_over_first_and_ends_when_the_validator_is_up() {
    let mut rig = voter();
    leads(&mut rig, 5);
    assert_eq!(rig.ask(2, RESTART), ["progress 2"]);
    assert_eq!(rig.engine.role(), Role::Active);
    assert_eq!(
        leads(&mut rig, 100),
        ["active -> demoting: handover-asked", "progress 2", "mute"]
    );
    passes(&mut rig);
    assert_eq!(
        rig.peer_votes("b", 9),
        ["standby -> starting: operator-restarted", "ask exit"]
    );
    rig.feed(Input::ChildExited(crate::engine::Exit::Code(0)));
    for _ in 0..2 {
        rig.done();
    }
    rig.feed(Input::ChildReady);
    assert_eq!(rig.done(), ["starting -> catching-up: child-up"]);
    assert_eq!(
        rig.reads_well(),
        ["catching-up -> standby: caught-up", "answer 2 Done"]
    );
}

#[test]
fn a_restart_of_a_voter_is_refused_where_nobody_could_vote_meanwhile() {
    let mut rig = Rig::active(false);
    assert_eq!(rig.ask(2, RESTART), ["answer 2 Refused"]);
    assert_eq!(rig.engine.role(), Role::Active);
}

#[test]
fn a_term_that_comes_back_restarts_nothing() {
    let mut rig = voter();
    rig.ask(2, RESTART);
    passes(&mut rig);
    passed_back(&mut rig);
    let active = votes_again(&mut rig);
    assert!(active.contains(&"answer 2 Refused".into()), "{active:?}");
    assert_eq!(rig.peer_votes("b", 6), [""; 0]);
}

#[test]
fn a_fence_on_the_way_ends_it_as_a_failure() {
    let mut rig = voter();
    rig.ask(2, AT_ONCE);
    rig.feed(Input::Authority(AuthorityNews::TermLost(Term(7))));
    let mut seen = Vec::new();
    while rig.engine.role() == Role::Fenced {
        seen.extend(rig.done());
    }
    assert!(seen.contains(&"answer 2 Refused".into()), "{seen:?}");
}

#[test]
fn a_voter_hands_over_to_a_node_whose_operator_asks_and_not_to_one_that_is_not_ready() {
    let mut rig = Rig::active(false);
    rig.lease(7, 900_000);
    let asks = |ready| {
        Input::Observed(Observation::Peer(PeerFacts {
            asks: Some(Plea::default()),
            ..peer("b", ready)
        }))
    };
    assert_eq!(rig.feed(asks(false)), [""; 0]);
    leads(&mut rig, 3);
    assert_eq!(rig.feed(asks(true)), [""; 0], "a leader slot is near");
    assert_eq!(
        leads(&mut rig, 100),
        ["active -> demoting: handover-asked", "mute"]
    );
}

#[test]
fn a_promotion_where_another_node_votes_asks_it_and_waits() {
    let mut rig = Rig::standby(false);
    rig.peer_votes("b", 6);
    assert_eq!(rig.ask(1, PROMOTE), ["progress 1"]);
    assert!(rig.engine.asks_for_term());
    assert_eq!(
        passed_back(&mut rig),
        [
            "standby -> promoting: term-passed-to-us",
            "progress 1",
            "acquire"
        ]
    );
    assert!(!rig.engine.asks_for_term());
}

#[test]
fn a_parked_node_whose_operator_wants_it_to_vote_takes_the_term_it_is_given() {
    let mut rig = Rig::standby(false);
    rig.demote(1);
    assert_eq!(rig.engine.role(), Role::Parked);
    rig.peer_votes("b", 6);
    rig.ask(2, PROMOTE);
    assert_eq!(
        passed_back(&mut rig),
        [
            "parked -> promoting: term-passed-to-us",
            "progress 2",
            "acquire"
        ]
    );
}

#[test]
fn a_node_that_voted_once_and_is_gone_is_not_asked() {
    let mut rig = Rig::standby(false);
    rig.peer_votes("b", 6);
    rig.nobody_holds();
    let taken = [
        "standby -> promoting: operator-promoted",
        "progress 1",
        "acquire",
    ];
    assert_eq!(rig.ask(1, PROMOTE), taken);
    let mut rig = Rig::standby(false);
    rig.peer_votes("b", 6);
    rig.now = rig.now.plus(2_001);
    rig.reads_well();
    assert_eq!(rig.ask(1, PROMOTE), taken, "its word is too old");
}

#[test]
fn a_demotion_ends_a_wish() {
    let mut rig = Rig::standby(false);
    rig.peer_votes("b", 6);
    rig.ask(1, PROMOTE);
    let parked = rig.ask(2, DEMOTE);
    assert!(parked.contains(&"answer 1 Refused".into()), "{parked:?}");
    assert!(!rig.engine.asks_for_term());
}

#[test]
fn a_wish_that_is_not_heard_is_refused_in_the_end() {
    let mut rig = Rig::standby(false);
    rig.peer_votes("b", 6);
    rig.ask(1, PROMOTE);
    let mut seen = Vec::new();
    for _ in 0..250 {
        rig.reads_well();
        rig.peer_votes("b", 6);
        seen.extend(rig.later(100));
    }
    assert_eq!(seen, ["answer 1 Refused"]);
    assert!(!rig.engine.asks_for_term());
}

#[test]
fn a_holder_that_goes_away_while_it_is_asked_is_followed_at_once() {
    let mut rig = Rig::standby(false);
    rig.peer_votes("b", 6);
    rig.ask(1, PROMOTE);
    assert_eq!(
        rig.nobody_holds(),
        [
            "standby -> promoting: operator-promoted",
            "progress 1",
            "acquire"
        ]
    );
}

#[test]
fn who_takes_the_risk_of_two_voters_does_not_ask() {
    let mut rig = Rig::standby(false);
    rig.peer_votes("b", 6);
    let risky = Command::Promote(PromoteFlags {
        accept_double_vote_risk: true,
        ..PromoteFlags::default()
    });
    assert_eq!(
        rig.ask(1, risky),
        [
            "standby -> promoting: operator-promoted",
            "progress 1",
            "acquire"
        ]
    );
}
