//! What waits for a stretch without leader slots of the identity, for how long, and what ends the wait.

use super::handover::{IN_TIME, leads, voter};
use super::*;

const BEGUN: &str = "active -> demoting: operator-demoted";

fn voter_near_a_leader_slot() -> Rig {
    let mut rig = voter();
    leads(&mut rig, 5);
    rig
}

#[test]
fn a_demotion_waits_until_a_leader_slot_has_passed() {
    let mut rig = voter_near_a_leader_slot();
    rig.demote(2);
    assert_eq!(rig.engine.role(), Role::Active);
    let next = rig.engine.explain(rig.now).next;
    assert!(next.contains("or at its deadline all the same"), "{next}");
    assert_eq!(leads(&mut rig, 100)[0], BEGUN);
    for _ in 0..5 {
        rig.done();
    }
    assert_eq!(rig.engine.role(), Role::Parked);
    assert_eq!(rig.peer_votes("b", 9), ["answer 2 Done"]);
}

#[test]
fn a_demotion_begins_at_its_deadline_whatever_slots_lie_ahead() {
    let mut rig = voter_near_a_leader_slot();
    rig.demote(2);
    rig.votes(101);
    rig.reads_well();
    let clear_ms = setup(false).timing.demote_clear_ms;
    assert!(!rig.later(clear_ms - 1).contains(&BEGUN.into()));
    rig.peer("b", true);
    assert!(rig.later(1).contains(&BEGUN.into()));
}

#[test]
fn a_demotion_told_not_to_wait_begins_at_once_also_when_one_waits() {
    let now = Command::Demote { at_once: true };
    let mut rig = voter_near_a_leader_slot();
    assert!(rig.ask(2, now.clone()).contains(&BEGUN.into()));
    let mut rig = voter_near_a_leader_slot();
    rig.demote(2);
    assert!(rig.ask(3, now).contains(&BEGUN.into()));
}

#[test]
fn a_demotion_waits_for_nothing_where_nobody_could_take_over_or_no_leader_slot_is_known() {
    let mut rig = voter_near_a_leader_slot();
    rig.peer("b", false);
    assert!(rig.ask(2, DEMOTE).contains(&BEGUN.into()));
    let mut rig = voter();
    rig.feed(Input::Observed(Observation::Leads(Leads::Unknown)));
    assert!(rig.ask(2, DEMOTE).contains(&BEGUN.into()));
}

#[test]
fn a_demotion_that_waits_goes_on_without_the_node_that_was_to_follow() {
    let mut rig = voter_near_a_leader_slot();
    rig.demote(2);
    rig.peer("b", false);
    assert_eq!(leads(&mut rig, 100)[0], BEGUN);
    for _ in 0..3 {
        rig.done();
    }
    assert_eq!(rig.done().last().map(String::as_str), Some("release 7"));
}

#[test]
fn a_demotion_that_waits_is_taken_back_by_a_resume_and_by_a_promotion() {
    for back in [Command::Resume, PROMOTE] {
        let mut rig = voter_near_a_leader_slot();
        rig.demote(2);
        let seen = rig.ask(3, back);
        assert!(seen.contains(&"answer 2 Refused".into()), "{seen:?}");
        assert!(seen.contains(&"remember parked=false".into()), "{seen:?}");
        assert!(seen.contains(&"answer 3 Done".into()), "{seen:?}");
        assert_eq!(leads(&mut rig, 100), [""; 0]);
        assert_eq!(rig.engine.role(), Role::Active);
    }
}

#[test]
fn a_handover_to_another_node_leaves_a_demotion_that_waits_what_it_is() {
    let mut rig = voter_near_a_leader_slot();
    rig.peer("c", true);
    rig.demote(2);
    let to = Some(name("c"));
    rig.ask(3, Command::Handover { to, at_once: false });
    assert_eq!(leads(&mut rig, 100)[0], BEGUN);
    for _ in 0..3 {
        rig.done();
    }
    assert_eq!(rig.done().last().map(String::as_str), Some("pass 7 to c"));
    rig.done();
    assert_eq!(rig.engine.role(), Role::Parked);
    assert_eq!(rig.peer_votes("c", 9), ["answer 2 Done", "answer 3 Done"]);
}

#[test]
fn a_demotion_takes_over_a_handover_that_waits() {
    let mut rig = voter_near_a_leader_slot();
    rig.ask(2, IN_TIME);
    rig.demote(3);
    assert_eq!(leads(&mut rig, 100)[0], BEGUN);
}

#[test]
fn a_restart_and_a_promotion_elsewhere_wait_unless_told_not_to() {
    let mut rig = voter_near_a_leader_slot();
    rig.ask(2, RESTART);
    assert_eq!(rig.engine.role(), Role::Active);
    rig.ask(3, Command::Restart { at_once: true });
    assert_eq!(rig.engine.role(), Role::Demoting);
    let mut rig = voter_near_a_leader_slot();
    let asks = |at_once| {
        Input::Observed(Observation::Peer(PeerFacts {
            asks: Some(Plea {
                restarts: false,
                at_once,
            }),
            ..peer("b", true)
        }))
    };
    rig.feed(asks(false));
    assert_eq!(rig.engine.role(), Role::Active);
    rig.feed(asks(true));
    assert_eq!(rig.engine.role(), Role::Demoting);
}

#[test]
fn what_the_operator_of_a_standby_wants_reaches_the_voter() {
    let mut rig = Rig::standby(false);
    rig.peer_votes("b", 6);
    let flags = PromoteFlags {
        at_once: true,
        ..PromoteFlags::default()
    };
    rig.ask(1, Command::Promote(flags));
    let plea = Plea {
        restarts: false,
        at_once: true,
    };
    assert_eq!(rig.engine.plea(), Some(plea));
    // One that is to be relieved still is.
    rig.ask(2, RELIEVE);
    rig.ask(3, Command::Promote(flags));
    assert!(rig.engine.plea().is_some_and(|plea| plea.restarts));
}
