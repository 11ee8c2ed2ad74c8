//! A node that votes in place of another one, whose validator is restarted then.

use super::*;

fn wishes(relieves: bool) -> Input {
    Input::Observed(Observation::Peer(PeerFacts {
        asks: Some(Plea {
            restarts: relieves,
            at_once: false,
        }),
        ..peer("b", true)
    }))
}

/// A voter that hands over to `b` as that one wishes, up to the first vote there.
fn handed_over(relieves: bool) -> (Rig, Vec<String>) {
    let mut rig = Rig::active(false);
    rig.lease(7, 900_000);
    rig.feed(Input::Observed(Observation::Leads(Leads::Never)));
    rig.feed(wishes(relieves));
    assert_eq!(rig.engine.role(), Role::Demoting);
    while rig.engine.role() == Role::Demoting {
        rig.done();
    }
    let seen = rig.peer_votes("b", 9);
    (rig, seen)
}

#[test]
fn a_voter_that_is_relieved_restarts_its_validator_when_the_other_one_votes() {
    let (rig, seen) = handed_over(true);
    assert_eq!(
        seen,
        ["standby -> starting: operator-restarted", "ask exit"]
    );
    assert_eq!(rig.engine.role(), Role::Starting);
}

#[test]
fn a_voter_that_is_only_asked_to_hand_over_restarts_nothing() {
    let (rig, seen) = handed_over(false);
    assert_eq!((seen.len(), rig.engine.role()), (0, Role::Standby));
}

#[test]
fn one_that_was_relieved_is_restarted_once() {
    let (mut rig, _) = handed_over(true);
    rig.feed(Input::ChildExited(crate::engine::Exit::Code(0)));
    for _ in 0..2 {
        rig.done();
    }
    rig.feed(Input::ChildReady);
    rig.done();
    rig.reads_well();
    rig.reads_well();
    assert_eq!(rig.engine.role(), Role::Standby);
    assert_eq!(rig.peer_votes("b", 9), [""; 0]);
}

#[test]
fn who_relieves_asks_the_voter_and_says_what_for() {
    let mut rig = Rig::standby(false);
    rig.peer_votes("b", 6);
    assert_eq!(rig.ask(1, RELIEVE), ["progress 1"]);
    assert!(rig.engine.plea().is_some_and(|plea| plea.restarts));
    rig.demote(2);
    assert_eq!(rig.engine.plea(), None);
}

#[test]
fn nobody_is_relieved_where_nobody_votes_or_by_one_that_votes_itself() {
    let mut rig = Rig::standby(false);
    assert_eq!(rig.ask(1, RELIEVE), ["answer 1 Refused"]);
    let mut rig = Rig::active(false);
    assert_eq!(rig.ask(1, RELIEVE), ["answer 1 Refused"]);
    assert_eq!(rig.engine.plea(), None);
}
