//! From exec to standby.

use super::chain::chain;
use super::*;
use crate::engine::input::Exit;

#[test]
fn a_child_starts_unstaked_is_muted_catches_up_and_stands_by() {
    let mut rig = Rig::with(setup(false), Memory::default());
    assert_eq!(rig.feed(Input::Begin), ["link unstaked"]);
    assert_eq!(rig.done(), ["spawn"]);
    assert_eq!(rig.done(), [""; 0]);
    assert_eq!(rig.feed(Input::ChildReady), ["mute"]);
    assert_eq!(rig.done(), ["starting -> catching-up: child-up"]);
    let behind = Observation::Own {
        healthy: true,
        slot: 5,
        behind: Some(5),
    };
    assert_eq!(rig.feed(Input::Observed(behind)), [""; 0]);
    assert_eq!(rig.reads_well(), ["catching-up -> standby: caught-up"]);
}

#[test]
fn an_answer_of_the_child_may_come_before_that_of_its_start() {
    let mut rig = Rig::with(setup(false), Memory::default());
    rig.feed(Input::Begin);
    rig.done();
    assert_eq!(rig.feed(Input::ChildReady), [""; 0]);
    assert_eq!(rig.done(), ["mute"]);
}

#[test]
fn a_parked_node_comes_up_parked() {
    let mut rig = Rig::with(
        setup(false),
        Memory {
            parked: true,
            holds: false,
        },
    );
    rig.feed(Input::Begin);
    rig.done();
    rig.done();
    rig.feed(Input::ChildReady);
    rig.done();
    assert_eq!(rig.reads_well(), ["catching-up -> parked: caught-up"]);
}

#[test]
fn a_child_that_cannot_be_muted_is_killed_and_started_again() {
    let mut rig = Rig::with(setup(false), Memory::default());
    rig.feed(Input::Begin);
    rig.done();
    rig.done();
    rig.feed(Input::ChildReady);
    assert_eq!(rig.fails(), ["page", "kill"]);
    assert_eq!(rig.wait(), ["kill"]);
    assert_eq!(rig.feed(Input::ChildExited(Exit::Signal(9))), [""; 0]);
    assert_eq!(rig.wait(), ["link unstaked"]);
}

#[test]
fn a_child_that_never_answers_is_killed() {
    let mut rig = Rig::with(setup(false), Memory::default());
    rig.feed(Input::Begin);
    rig.done();
    rig.done();
    assert_eq!(rig.wait(), ["page", "kill"]);
}

#[test]
fn an_unknown_reading_is_not_a_healthy_one() {
    let mut rig = Rig::standby(false);
    assert_eq!(
        rig.feed(Input::Observed(Observation::OwnSilent)),
        ["standby -> catching-up: fell-behind"]
    );
    let unknown = Observation::Own {
        healthy: true,
        slot: 900,
        behind: None,
    };
    assert_eq!(rig.feed(Input::Observed(unknown)), [""; 0]);
    assert_eq!(rig.reads_well(), ["catching-up -> standby: caught-up"]);
    assert_eq!(rig.wait(), ["standby -> catching-up: fell-behind"]);
}

#[test]
fn a_node_that_alone_held_the_term_starts_its_child_staked_with_the_term_taken_anew() {
    let mut rig = Rig::with(
        setup(true),
        Memory {
            parked: false,
            holds: true,
        },
    );
    assert_eq!(rig.feed(Input::Begin), ["acquire"]);
    assert_eq!(rig.held(8), ["install for 8"]);
    assert_eq!(
        rig.tell(Outcome::Durable(Some(mark(7, 9, 90)))),
        ["link staked"]
    );
    assert_eq!(rig.done(), ["spawn"]);
    assert_eq!(rig.done(), [""; 0]);
    assert_eq!(rig.feed(chain(90)), ["open gate 8"]);
    assert_eq!(rig.done(), [""; 0]);
    assert_eq!(
        rig.feed(Input::ChildReady),
        ["starting -> promoting: child-up-holding"]
    );
    assert_eq!(rig.votes(91), ["promoting -> active: first-vote"]);
}

/// A single node that was started anew, with a record that ends at slot 90; its child is being started.
fn reclaiming(kind: RecordKind) -> Rig {
    let memory = Memory {
        parked: false,
        holds: true,
    };
    let mut rig = Rig::with(setup(true), memory);
    rig.feed(Input::Begin);
    rig.held(8);
    rig.tell(Outcome::Durable(Some(RecordMark {
        kind,
        ..mark(7, 9, 90)
    })));
    assert_eq!(rig.done(), ["spawn"]);
    rig
}

#[test]
fn the_gate_of_a_new_process_opens_at_once_where_the_chain_was_seen() {
    let mut rig = reclaiming(RecordKind::Tower);
    assert_eq!(rig.feed(chain(90)), [""; 0]);
    assert_eq!(rig.done(), ["open gate 8"]);

    let memory = Memory {
        parked: false,
        holds: true,
    };
    let mut rig = Rig::with(setup(true), memory);
    rig.feed(Input::Begin);
    rig.feed(chain(90));
    rig.held(8);
    rig.tell(Outcome::Durable(Some(mark(7, 9, 90))));
    rig.done();
    assert_eq!(rig.done(), ["open gate 8"]);
}

#[test]
fn a_vote_history_that_does_not_compare_waits_for_no_reading_of_the_chain() {
    let mut rig = reclaiming(RecordKind::VoteHistory);
    assert_eq!(rig.done(), ["open gate 8"]);
}

#[test]
fn a_restored_older_record_lets_no_vote_out_whenever_the_chain_is_seen() {
    for (steps, ready) in [(0, false), (1, false), (1, true)] {
        let mut rig = reclaiming(RecordKind::Tower);
        for _ in 0..steps {
            assert_eq!(rig.done(), [""; 0]);
        }
        if ready {
            assert_eq!(rig.feed(Input::ChildReady), [""; 0]);
        }
        assert_eq!(rig.feed(chain(91)), ["page", "kill"], "{steps} {ready}");
        rig.done();
        assert_eq!(rig.feed(Input::ChildExited(Exit::Signal(9))), ["release 0"]);
        rig.done();
        assert_eq!(rig.engine.restarts(), 0);
        assert_eq!(rig.wait(), ["link unstaked"]);
    }
}

#[test]
fn a_chain_that_nobody_tells_of_holds_the_votes_of_a_new_process_for_a_step_only() {
    let mut rig = reclaiming(RecordKind::Tower);
    rig.done();
    let up = rig.now;
    assert_eq!(rig.feed(Input::ChildReady), [""; 0]);
    assert_eq!(rig.wait(), ["page", "open gate 8"]);
    assert_eq!(rig.now.since(up), setup(true).timing.step_ms);
    assert_eq!(rig.done(), ["starting -> promoting: child-up-holding"]);
}

#[test]
fn only_a_new_process_waits_for_the_chain() {
    let mut rig = reclaiming(RecordKind::Tower);
    rig.feed(chain(90));
    rig.done();
    rig.feed(Input::ChildExited(Exit::Code(1)));
    rig.wait();
    rig.held(9);
    rig.now = rig.now.plus(60_000);
    rig.tell(Outcome::Durable(Some(mark(8, 10, 90))));
    rig.done();
    assert_eq!(rig.done(), ["open gate 9"]);
}

#[test]
fn a_demotion_while_the_chain_is_awaited_kills_the_child_and_releases() {
    let mut rig = reclaiming(RecordKind::Tower);
    rig.done();
    rig.feed(Input::ChildReady);
    assert_eq!(
        rig.ask(1, DEMOTE),
        ["remember parked=true", "progress 1", "kill"]
    );
    assert_eq!(rig.feed(Input::ChildExited(Exit::Signal(9))), ["release 8"]);
}

#[test]
fn a_demotion_during_an_unstaked_start_leaves_the_child_alone_and_gives_the_term_back() {
    let memory = Memory {
        parked: false,
        holds: true,
    };
    let mut rig = Rig::with(setup(true), memory);
    rig.feed(Input::Begin);
    assert_eq!(rig.fails(), ["page", "link unstaked"]);
    rig.done();
    rig.done();
    assert_eq!(rig.ask(1, DEMOTE), ["remember parked=true"]);
    rig.op = rig.engine.remembering.map(|(op, _)| op);
    rig.done();
    assert_eq!(rig.wait(), ["release 0"]);
    rig.done();
    rig.feed(Input::ChildReady);
    assert_eq!(
        rig.done(),
        ["starting -> catching-up: child-up", "answer 1 Done"]
    );
    assert_eq!(rig.reads_well(), ["catching-up -> parked: caught-up"]);
}

#[test]
fn a_term_that_cannot_be_taken_anew_for_once_is_tried_again_from_standby() {
    let mut rig = Rig::with(
        setup(true),
        Memory {
            parked: false,
            holds: true,
        },
    );
    rig.feed(Input::Begin);
    assert_eq!(rig.fails(), ["page", "link unstaked"]);
    rig.done();
    rig.done();
    rig.feed(Input::ChildReady);
    rig.done();
    rig.reads_well();
    rig.now = rig.now.plus(300);
    rig.reads_well();
    assert_eq!(rig.wait(), ["standby -> promoting: holder-gone", "acquire"]);
}

#[test]
fn a_node_without_its_record_starts_unstaked_and_stays_so() {
    let mut rig = Rig::with(
        setup(true),
        Memory {
            parked: false,
            holds: true,
        },
    );
    rig.feed(Input::Begin);
    rig.held(8);
    assert_eq!(rig.tell(Outcome::Durable(None)), ["page", "link unstaked"]);
    assert!(!rig.engine.reclaims);
}

#[test]
fn a_late_refusal_to_start_ends_the_wait_for_a_death() {
    let mut rig = Rig::with(setup(false), Memory::default());
    rig.feed(Input::Begin);
    rig.done();
    let spawn = rig.op;
    assert_eq!(rig.wait(), ["page", "kill"]);
    rig.op = spawn;
    assert_eq!(rig.refused(), ["page"]);
    assert_eq!(rig.wait(), ["link unstaked"]);
}

#[test]
fn a_request_before_the_beginning_does_not_keep_the_engine_from_beginning() {
    let mut rig = Rig::with(setup(false), Memory::default());
    rig.ask(1, DEMOTE);
    assert_eq!(rig.feed(Input::Begin), ["link unstaked"]);
    assert_eq!(rig.feed(Input::Begin), [""; 0]);
}

#[test]
fn a_restarted_node_does_not_take_its_identity_back() {
    let mut rig = Rig::with(
        setup(false),
        Memory {
            parked: false,
            holds: true,
        },
    );
    assert_eq!(rig.feed(Input::Begin), ["link unstaked"]);
}

#[test]
fn a_single_node_that_was_parked_with_the_term_gives_it_back() {
    let memory = Memory {
        parked: true,
        holds: true,
    };
    let mut rig = Rig::with(setup(true), memory);
    assert_eq!(rig.feed(Input::Begin), ["link unstaked"]);
    assert_eq!(rig.feed(Input::Tick), ["release 0"]);
    assert_eq!(rig.done(), [""; 0]);
    assert_eq!(rig.engine.stray_deadline(), None);
}

#[test]
fn a_restart_on_an_operators_word_keeps_the_claim_of_a_single_node() {
    let mut rig = Rig::standby(true);
    rig.engine.reclaims = true;
    rig.ask(1, RESTART);
    assert_eq!(rig.feed(Input::ChildExited(Exit::Code(0))), ["acquire"]);
}

#[test]
fn a_term_is_not_given_back_while_a_child_that_started_staked_lives() {
    let memory = Memory {
        parked: false,
        holds: true,
    };
    let mut rig = Rig::with(setup(true), memory);
    rig.feed(Input::Begin);
    rig.held(8);
    rig.tell(Outcome::Durable(Some(mark(7, 9, 90))));
    rig.done();
    rig.done();
    let higher = Observation::Peer(PeerFacts {
        active_term: Some(Term(9)),
        ..peer("b", true)
    });
    assert_eq!(rig.feed(Input::Observed(higher)), ["page", "kill"]);
    assert_eq!(rig.feed(Input::Tick), [""; 0]);
    assert_eq!(rig.feed(Input::ChildExited(Exit::Signal(9))), ["release 0"]);
}
