//! A handover that comes to nothing leaves nobody waiting: the term goes back to the node that gave it, whatever the settings, and who
//! asked hears why.

use super::handover::{AT_ONCE, leads, passes, voter};
use super::*;

/// It votes, `b` stands by, and neither decides anything by itself.
fn by_hand() -> Rig {
    let mut rig = voter();
    let manual = Setup {
        automatic: false,
        ..setup(false)
    };
    rig.feed(Input::Reconfigured(Box::new(manual)));
    let until = rig.now.plus(900_000);
    rig.ask(90, Command::Pause { until });
    rig
}

/// From the handover's begin to the authority's word that it cannot be passed on, and the release that follows.
fn pass_is_refused(rig: &mut Rig) {
    for _ in 0..4 {
        rig.done();
    }
    rig.refused();
    rig.done();
    assert_eq!(rig.engine.role(), Role::Standby);
}

/// What the node does by itself within that time, its validator being well.
fn goes_on(rig: &mut Rig, ms: u64) -> Vec<String> {
    let mut seen = Vec::new();
    for _ in 0..ms.div_ceil(100) {
        rig.reads_well();
        seen.extend(rig.later(100));
    }
    seen
}

const TAKEN_BACK: &str = "standby -> promoting: holder-gone";

#[test]
fn a_term_that_cannot_be_passed_on_is_taken_back_in_manual_mode_and_in_a_pause() {
    let mut rig = by_hand();
    rig.ask(2, AT_ONCE);
    pass_is_refused(&mut rig);
    let why = rig.answers.last().cloned().unwrap_or_default();
    assert!(
        why.contains("it says no") && why.contains("takes the term back"),
        "{why}"
    );
    let seen = rig.nobody_holds();
    let seen = [seen, goes_on(&mut rig, 1_000)].concat();
    assert!(seen.contains(&TAKEN_BACK.into()), "{seen:?}");
}

#[test]
fn a_term_that_its_new_holder_gives_up_is_taken_back_in_manual_mode_and_in_a_pause() {
    let mut rig = by_hand();
    rig.ask(2, AT_ONCE);
    passes(&mut rig);
    assert_eq!(goes_on(&mut rig, 1_000), [""; 0], "the other one has it");
    let seen = rig.nobody_holds();
    let seen = [seen, goes_on(&mut rig, 1_000)].concat();
    assert!(seen.contains(&TAKEN_BACK.into()), "{seen:?}");
}

#[test]
fn once_the_other_node_has_voted_nothing_is_taken_back() {
    let mut rig = by_hand();
    rig.ask(2, AT_ONCE);
    passes(&mut rig);
    rig.peer_votes("b", 9);
    rig.feed(Input::Observed(Observation::PeerGone(name("b"))));
    rig.nobody_holds();
    let seen = goes_on(&mut rig, 1_000);
    assert!(!seen.contains(&TAKEN_BACK.into()), "{seen:?}");
}

#[test]
fn a_demoted_node_takes_nothing_back() {
    let mut rig = by_hand();
    rig.demote(2);
    for _ in 0..4 {
        rig.done();
    }
    rig.refused();
    rig.done();
    assert_eq!(rig.engine.role(), Role::Parked);
    rig.nobody_holds();
    let seen = goes_on(&mut rig, 1_000);
    assert!(!seen.contains(&TAKEN_BACK.into()), "{seen:?}");
}

#[test]
fn who_was_given_the_term_gives_it_back_in_the_time_of_one_handover_whatever_step_is_late() {
    for steps in 0..6 {
        let mut rig = Rig::standby(false);
        let passed = AuthorityNews::Passed {
            term: Term(9),
            from: name("b"),
        };
        rig.feed(Input::Authority(passed));
        let begun = rig.now;
        for step in 0..steps {
            // Each of them is late by less than its own deadline.
            rig.now = rig.now.plus(1_500);
            rig.lease(10, 900_000);
            match step {
                0 => rig.held(10),
                1 => rig.tell(Outcome::Durable(Some(mark(7, 41, 100)))),
                4 => rig.feed(Input::SwitchMarker(RecordKind::Tower)),
                _ => rig.done(),
            };
            rig.lease(10, 900_000);
            rig.reads_well();
        }
        while rig.engine.role() == Role::Promoting {
            rig.reads_well();
            rig.wait();
        }
        let took_ms = rig.now.since(begun);
        let within_ms = setup(false).timing.handover_ms.max(1_500 * steps);
        assert!(took_ms <= within_ms, "{steps} steps: {took_ms} ms");
    }
}

#[test]
fn a_restart_that_is_asked_for_again_leaves_the_validator_until_the_other_node_votes() {
    let mut rig = voter();
    rig.ask(2, RESTART);
    passes(&mut rig);
    assert_eq!(rig.ask(3, RESTART), [""; 0]);
    assert_eq!(rig.engine.role(), Role::Standby);
    let begun = rig.peer_votes("b", 9);
    assert_eq!(
        begun,
        ["standby -> starting: operator-restarted", "ask exit"]
    );
    assert_eq!(rig.ask(4, RESTART), [""; 0], "one is under way");
}

#[test]
fn a_handover_that_is_asked_for_again_is_joined_until_the_other_node_votes() {
    let mut rig = voter();
    rig.ask(2, AT_ONCE);
    passes(&mut rig);
    assert_eq!(rig.ask(3, AT_ONCE), [""; 0]);
    assert_eq!(rig.peer_votes("b", 9), ["answer 2 Done", "answer 3 Done"]);
}

#[test]
fn a_demotion_names_who_votes_and_nobody_who_did() {
    let mut rig = voter();
    rig.demote(2);
    for _ in 0..5 {
        rig.done();
    }
    rig.peer_votes("b", 9);
    rig.demote(3);
    let said = rig.answers.last().cloned().unwrap_or_default();
    assert!(said.contains("b votes, under term 9"), "{said}");
    rig.feed(Input::Observed(Observation::PeerGone(name("b"))));
    rig.demote(4);
    let said = rig.answers.last().cloned().unwrap_or_default();
    assert!(said.contains("nobody votes from here"), "{said}");
}

#[test]
fn who_asks_a_voter_that_is_gone_is_told_what_a_promotion_takes() {
    let mut rig = Rig::standby(false);
    rig.peer_votes("b", 6);
    rig.ask(1, PROMOTE);
    rig.feed(Input::Observed(Observation::PeerGone(name("b"))));
    assert_eq!(goes_on(&mut rig, 4_000), [""; 0], "it may be heard again");
    rig.reads_well();
    let seen = rig.later(1_000);
    let begun = [
        "standby -> promoting: operator-promoted",
        "progress 1",
        "acquire",
    ];
    assert_eq!(seen, begun);
    let refused = rig.tell(Outcome::Unsafe("b cannot be asked".into()));
    assert!(refused.contains(&"answer 1 Unsafe".into()), "{refused:?}");
}

#[test]
fn a_voter_that_is_heard_again_in_time_goes_on_being_asked() {
    let mut rig = Rig::standby(false);
    rig.peer_votes("b", 6);
    rig.ask(1, PROMOTE);
    rig.feed(Input::Observed(Observation::PeerGone(name("b"))));
    goes_on(&mut rig, 2_000);
    rig.peer_votes("b", 6);
    assert_eq!(goes_on(&mut rig, 6_000), [""; 0]);
    assert!(rig.engine.asks_for_term());
}

#[test]
fn a_parked_node_that_asks_and_cannot_vote_any_more_asks_no_longer() {
    let mut rig = Rig::standby(false);
    rig.demote(2);
    rig.peer_votes("b", 6);
    rig.ask(3, PROMOTE);
    assert_eq!(rig.engine.unready(rig.now), None);
    rig.feed(Input::Observed(Observation::OwnSilent));
    assert!(rig.engine.unready(rig.now).is_some());
    assert!(!rig.engine.asks_for_term());
    let why = rig.answers.last().cloned().unwrap_or_default();
    assert!(why.contains("no reading of its health"), "{why}");
}

#[test]
fn a_node_that_has_not_finished_its_last_change_of_identity_is_not_ready() {
    let mut rig = voter();
    rig.ask(2, AT_ONCE);
    passes(&mut rig);
    rig.reads_well();
    let why = rig.engine.unready(rig.now).unwrap_or_default();
    assert!(why.contains("last change of identity"), "{why}");
    rig.feed(Input::SwitchMarker(RecordKind::Tower));
    assert_eq!(rig.engine.unready(rig.now), None);
}

#[test]
fn a_restart_for_another_node_joins_a_handover_to_it_that_waits() {
    let mut rig = voter();
    leads(&mut rig, 5);
    rig.ask(2, super::handover::IN_TIME);
    let relieves = Plea {
        restarts: true,
        at_once: false,
    };
    rig.feed(Input::Observed(Observation::Peer(PeerFacts {
        asks: Some(relieves),
        ..peer("b", true)
    })));
    assert_eq!(rig.engine.role(), Role::Active);
    leads(&mut rig, 100);
    passes(&mut rig);
    let seen = rig.peer_votes("b", 9);
    let begun = "standby -> starting: operator-restarted".to_owned();
    assert!(seen.contains(&begun), "{seen:?}");
}

#[test]
fn a_node_far_behind_is_handed_nothing_and_takes_over_where_this_one_has_to_leave() {
    let mut rig = voter();
    let behind = |slots| {
        Input::Observed(Observation::Peer(PeerFacts {
            behind: Some(slots),
            ..peer("b", true)
        }))
    };
    rig.feed(behind(9));
    assert_eq!(rig.ask(2, AT_ONCE), ["answer 2 Refused"]);
    let why = rig.answers.last().cloned().unwrap_or_default();
    assert!(why.contains("b is 9 slots behind"), "{why}");
    rig.demote(3);
    for _ in 0..3 {
        rig.done();
    }
    assert_eq!(rig.done().last().map(String::as_str), Some("pass 7 to b"));
    let mut rig = voter();
    rig.feed(behind(8));
    assert_eq!(rig.ask(2, AT_ONCE)[0], "active -> demoting: handover-asked");
}

#[test]
fn a_restart_is_told_of_a_validator_that_ends_again() {
    let mut rig = Rig::standby(false);
    rig.ask(2, RESTART);
    rig.feed(Input::ChildExited(crate::engine::Exit::Code(0)));
    rig.done();
    rig.done();
    let seen = rig.feed(Input::ChildExited(crate::engine::Exit::Code(1)));
    assert!(seen.contains(&"answer 2 Refused".into()), "{seen:?}");
    let why = rig.answers.last().cloned().unwrap_or_default();
    assert!(why.contains("exit code 1"), "{why}");
}

#[test]
fn a_validator_at_rest_whose_voting_thread_does_not_switch_is_started_anew() {
    let mut rig = voter();
    rig.ask(2, AT_ONCE);
    passes(&mut rig);
    rig.peer_votes("b", 9);
    let promote_ms = setup(false).timing.promote_ms;
    assert_eq!(goes_on(&mut rig, promote_ms - 200), [""; 0]);
    assert_eq!(goes_on(&mut rig, 300), ["page", "kill"]);
    assert_eq!(goes_on(&mut rig, 2 * promote_ms), [""; 0], "once");
    let exit = crate::engine::Exit::Signal(9);
    let ended = rig.feed(Input::ChildExited(exit));
    assert_eq!(ended[0], "standby -> starting: child-died");
}

#[test]
fn one_whose_slot_stands_still_cannot_switch_and_is_left_alone() {
    let mut rig = voter();
    rig.ask(2, AT_ONCE);
    passes(&mut rig);
    rig.peer_votes("b", 9);
    let slot = rig.slot;
    let still = || {
        Input::Observed(Observation::Own {
            healthy: true,
            slot,
            behind: Some(0),
        })
    };
    for _ in 0..400 {
        rig.feed(still());
        assert!(!rig.later(100).contains(&"kill".into()));
    }
}

#[test]
fn a_restart_that_waits_follows_a_demotion_for_which_nobody_stands_by() {
    let mut rig = voter();
    leads(&mut rig, 5);
    rig.ask(2, RESTART);
    rig.peer("b", false);
    rig.demote(3);
    for _ in 0..4 {
        rig.done();
    }
    let settled = rig.done();
    let begun = "parked -> starting: operator-restarted".to_owned();
    assert!(settled.contains(&begun), "{settled:?}");
}

#[test]
fn a_restart_whose_term_comes_back_to_a_node_that_cannot_take_it_is_over() {
    let mut rig = voter();
    rig.ask(2, RESTART);
    passes(&mut rig);
    let passed = AuthorityNews::Passed {
        term: Term(9),
        from: name("b"),
    };
    rig.feed(Input::Authority(passed));
    rig.feed(Input::SwitchMarker(RecordKind::Tower));
    rig.refused();
    while rig.engine.role() == Role::Demoting {
        rig.done();
    }
    let said = rig.answers.last().cloned().unwrap_or_default();
    assert!(said.contains("was not restarted"), "{said}");
    let again = rig.ask(3, RESTART);
    assert!(!again.is_empty(), "it waits for what never comes");
}

#[test]
fn a_handover_waits_for_a_successor_that_falls_behind_for_a_while() {
    let mut rig = voter();
    leads(&mut rig, 5);
    rig.ask(2, super::handover::IN_TIME);
    let behind = |slots| {
        Input::Observed(Observation::Peer(PeerFacts {
            behind: Some(slots),
            ..peer("b", true)
        }))
    };
    rig.feed(behind(9));
    assert_eq!(leads(&mut rig, 100), ["progress 2"]);
    assert_eq!(rig.engine.role(), Role::Active);
    rig.feed(behind(0));
    assert_eq!(
        leads(&mut rig, 100)[0],
        "active -> demoting: handover-asked"
    );
}

#[test]
fn a_handover_that_waited_for_the_other_node_in_vain_names_it() {
    let mut rig = voter();
    rig.lease(7, 90_000);
    leads(&mut rig, 5);
    rig.ask(2, super::handover::IN_TIME);
    for second in 0..20 {
        rig.later(1_000);
        rig.reads_well();
        rig.votes(101 + second);
        rig.feed(Input::Observed(Observation::Peer(PeerFacts {
            behind: Some(9),
            ..peer("b", true)
        })));
        leads(&mut rig, 100);
    }
    let said = rig.answers.last().cloned().unwrap_or_default();
    assert!(said.contains("b is 9 slots behind"), "{said}");
    assert!(!said.contains("--now"), "{said}");
}

/// Among peers it keeps the record, and without it nobody else could vote.
#[test]
fn a_voter_among_peers_tells_people_that_the_other_node_is_gone() {
    for (leased, told) in [(false, true), (true, false)] {
        let mut rig = voter();
        rig.engine.setup.authority.leased = leased;
        let gone = rig.feed(Input::Observed(Observation::PeerGone(name("b"))));
        assert_eq!(gone.contains(&"page".to_owned()), told, "{gone:?}");
        let again = rig.feed(Input::Observed(Observation::PeerGone(name("b"))));
        assert_eq!(again, [""; 0]);
    }
    let mut standby = Rig::standby(false);
    standby.engine.setup.authority.leased = false;
    standby.peer_votes("b", 6);
    let gone = standby.feed(Input::Observed(Observation::PeerGone(name("b"))));
    assert!(!gone.contains(&"page".to_owned()), "{gone:?}");
}

/// Who was not there to be passed the term would not hear of its end either, and could not vote; this node can.
#[test]
fn among_peers_a_term_that_could_not_be_passed_is_left_to_nobody_else_where_this_node_takes_it_back()
 {
    for (leased, command, ends) in [
        (false, super::handover::IN_TIME, "release 7 to nobody"),
        (true, super::handover::IN_TIME, "release 7"),
        (false, DEMOTE, "release 7"),
    ] {
        let mut rig = voter();
        rig.engine.setup.authority.leased = leased;
        if command == DEMOTE {
            rig.demote(2);
        } else {
            rig.ask(2, command);
        }
        for _ in 0..4 {
            rig.done();
        }
        assert_eq!(rig.refused().last().map(String::as_str), Some(ends));
    }
}
