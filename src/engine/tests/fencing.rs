//! The term is lost, or its lease runs out.

use super::*;
use crate::engine::input::Exit;

#[test]
fn a_lost_term_refuses_what_waits_then_mutes_and_unstakes() {
    let mut rig = Rig::active(false);
    let lost = Input::Authority(AuthorityNews::TermLost(Term(7)));
    assert_eq!(
        rig.feed(lost),
        ["active -> fenced: term-lost", "close gate after 0"]
    );
    assert_eq!(rig.done(), ["mute"]);
    assert_eq!(rig.done(), ["identity unstaked"]);
    assert_eq!(rig.done(), ["link unstaked"]);
    assert_eq!(rig.done(), ["fenced -> catching-up: off-identity"]);
    assert_eq!(rig.engine.term(), None);
}

#[test]
fn another_term_that_is_lost_is_none_of_ours() {
    let mut rig = Rig::active(false);
    assert_eq!(
        rig.feed(Input::Authority(AuthorityNews::TermLost(Term(6)))),
        [""; 0]
    );
}

#[test]
fn the_lease_margin_fences_and_what_is_left_with_the_authority_is_given_back() {
    let mut rig = Rig::active(false);
    assert_eq!(rig.later(3_999), ["page"]);
    assert_eq!(
        rig.later(1),
        ["active -> fenced: lease-ran-out", "close gate after 0"]
    );
    for _ in 0..4 {
        rig.done();
    }
    assert_eq!(rig.engine.role(), Role::CatchingUp);
    assert_eq!(rig.wait(), ["release 0"]);
}

#[test]
fn a_renewed_lease_moves_the_margin_and_an_older_answer_does_not_move_it_back() {
    let mut rig = Rig::active(false);
    rig.lease(7, 9_000);
    rig.lease(7, 1_000);
    let (at, reason) = rig
        .engine
        .lease_deadline()
        .unwrap_or((Millis(0), crate::engine::Reason::Step));
    assert_eq!(
        (at.since(rig.now), reason),
        (8_000, crate::engine::Reason::LeaseMargin)
    );
}

#[test]
fn the_end_of_the_lease_kills_a_child_that_has_not_left() {
    let mut rig = Rig::active(false);
    rig.demote(2);
    rig.now = rig.now.plus(5_000);
    assert_eq!(rig.feed(Input::ChildReady), ["page", "progress 2", "kill"]);
}

#[test]
fn a_term_that_is_lost_after_the_margin_still_bounds_the_childs_stay_by_its_lease() {
    let mut rig = Rig::active(false);
    rig.now = rig.now.plus(4_000);
    assert_eq!(
        rig.feed(Input::Tick),
        ["active -> fenced: lease-ran-out", "close gate after 0"]
    );
    assert_eq!(rig.done(), ["mute"]);
    assert_eq!(
        rig.feed(Input::Authority(AuthorityNews::TermLost(Term(7)))),
        [""; 0]
    );
    let (at, reason) = rig
        .engine
        .lease_deadline()
        .unwrap_or((Millis(0), crate::engine::Reason::Step));
    assert_eq!(
        (at.since(rig.now), reason),
        (1_000, crate::engine::Reason::LeaseEnd)
    );
    rig.now = at;
    assert_eq!(rig.feed(Input::ChildReady), ["page", "kill"]);
}

#[test]
fn nothing_begins_under_a_lease_that_ended_in_a_suspend() {
    let mut rig = Rig::standby(false);
    rig.ask(1, PROMOTE);
    rig.held(7);
    rig.now = rig.now.plus(60_000);
    let effects = rig.tell(Outcome::Durable(Some(mark(6, 40, 90))));
    assert_eq!(
        effects,
        [
            "promoting -> fenced: lease-ran-out",
            "fenced -> catching-up: off-identity",
            "answer 1 Refused"
        ]
    );
}

#[test]
fn a_promotion_that_is_fenced_leaves_the_others_time_to_try() {
    let mut rig = Rig::standby(false);
    rig.reads_well();
    rig.feed(Input::Authority(AuthorityNews::Holder(None)));
    assert_eq!(rig.wait(), ["standby -> promoting: holder-gone", "acquire"]);
    rig.held(7);
    rig.feed(Input::Authority(AuthorityNews::TermLost(Term(7))));
    rig.feed(Input::Authority(AuthorityNews::Holder(None)));
    for _ in 0..2 {
        rig.reads_well();
    }
    assert_eq!(rig.engine.role(), Role::Standby);
    let due = rig
        .engine
        .next_deadline()
        .map(|(at, reason)| (at.since(rig.now), reason));
    assert_eq!(due, Some((200, crate::engine::Reason::Takeover)));
}

#[test]
fn a_peer_with_a_higher_term_wins_and_one_with_a_lower_does_not() {
    let mut rig = Rig::active(false);
    let says = |term| {
        Input::Observed(Observation::Peer(PeerFacts {
            active_term: Some(Term(term)),
            ..peer("b", false)
        }))
    };
    assert_eq!(rig.feed(says(6)), [""; 0]);
    assert_eq!(
        rig.feed(says(8)),
        ["active -> fenced: higher-term-seen", "close gate after 0"]
    );
}

#[test]
fn votes_that_cannot_be_refused_cost_the_child_its_life() {
    let mut rig = Rig::active(false);
    rig.feed(Input::Authority(AuthorityNews::TermLost(Term(7))));
    assert_eq!(rig.fails(), ["page", "kill"]);
    assert_eq!(
        rig.feed(Input::ChildExited(Exit::Signal(9))),
        ["link unstaked"]
    );
    assert_eq!(rig.done(), ["fenced -> starting: child-died"]);
}

#[test]
fn a_single_node_whose_term_is_lost_while_its_child_comes_up_kills_it() {
    let mut rig = Rig::active(true);
    rig.ask(2, RESTART);
    assert_eq!(
        rig.feed(Input::Authority(AuthorityNews::TermLost(Term(7)))),
        ["page", "kill"]
    );
}
