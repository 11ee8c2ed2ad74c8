//! Requests: idempotent, joined, refused with a reason, abandoned.

use super::*;

#[test]
fn a_second_promotion_joins_the_first() {
    let mut rig = Rig::awaiting_switch(false);
    assert_eq!(rig.ask(2, PROMOTE), [""; 0]);
    assert_eq!(
        rig.feed(Input::SwitchMarker(RecordKind::Tower)),
        ["progress 1", "progress 2", "unmute"]
    );
    rig.done();
    rig.done();
    assert_eq!(
        rig.votes(91),
        [
            "promoting -> active: first-vote",
            "answer 1 Done",
            "answer 2 Done"
        ]
    );
    assert_eq!(rig.ask(3, PROMOTE), ["answer 3 Done"]);
}

#[test]
fn a_second_demotion_joins_the_first() {
    let mut rig = Rig::active(false);
    rig.ask(2, DEMOTE);
    let mute = rig.engine.pending;
    assert_eq!(rig.ask(3, DEMOTE), [""; 0]);
    rig.op = mute;
    assert_eq!(
        rig.done(),
        ["progress 2", "progress 3", "identity unstaked"]
    );
}

#[test]
fn an_abandoned_request_goes_on_without_an_answer() {
    let mut rig = Rig::awaiting_switch(false);
    rig.feed(Input::Forgotten(RequestId(1)));
    assert_eq!(rig.feed(Input::SwitchMarker(RecordKind::Tower)), ["unmute"]);
    rig.done();
    rig.done();
    assert_eq!(rig.votes(91), ["promoting -> active: first-vote"]);
}

#[test]
fn a_demotion_wins_over_the_promotion_under_way() {
    let mut rig = Rig::standby(false);
    rig.ask(1, PROMOTE);
    rig.ask(2, DEMOTE);
    let release = rig.engine.pending;
    rig.op = release;
    assert_eq!(
        rig.done(),
        ["demoting -> parked: released", "answer 1 Refused"]
    );
    rig.op = rig.engine.remembering.map(|(op, _)| op);
    assert_eq!(rig.done(), ["answer 2 Done"]);
}

#[test]
fn a_demotion_is_answered_only_when_the_parking_is_written() {
    let mut rig = Rig::standby(false);
    assert_eq!(
        rig.ask(1, DEMOTE),
        [
            "remember parked=true",
            "standby -> parked: operator-demoted"
        ]
    );
    assert_eq!(rig.fails(), ["page", "answer 1 Refused"]);
    assert_eq!(rig.ask(2, DEMOTE), ["remember parked=true"]);
    assert_eq!(rig.done(), ["answer 2 Done"]);
}

#[test]
fn a_demotion_overtaken_by_a_promotion_is_answered() {
    let mut rig = Rig::standby(false);
    rig.ask(1, DEMOTE);
    let overtaken = [
        "answer 1 Refused",
        "parked -> promoting: operator-promoted",
        "progress 2",
        "acquire",
    ];
    assert_eq!(rig.ask(2, PROMOTE), overtaken);
}

#[test]
fn a_parking_whose_writing_is_never_answered_is_reported() {
    let mut rig = Rig::standby(false);
    rig.ask(1, DEMOTE);
    assert_eq!(rig.wait(), ["page", "answer 1 Refused"]);
}

#[test]
fn a_handover_goes_to_the_node_that_was_named() {
    let mut rig = Rig::active(false);
    assert_eq!(
        rig.ask(
            2,
            Command::Handover {
                to: None,
                at_once: true
            }
        ),
        ["answer 2 Refused"]
    );
    rig.peer("b", true);
    rig.peer("c", true);
    assert_eq!(
        rig.ask(
            3,
            Command::Handover {
                to: Some(name("d")),
                at_once: true,
            }
        ),
        ["answer 3 Refused"]
    );
    assert_eq!(
        rig.ask(
            4,
            Command::Handover {
                to: Some(name("c")),
                at_once: true,
            }
        ),
        ["active -> demoting: handover-asked", "progress 4", "mute"]
    );
    for _ in 0..3 {
        rig.done();
    }
    assert_eq!(rig.done(), ["progress 4", "pass 7 to c"]);
}

#[test]
fn a_handover_needs_an_authority_that_knows_others() {
    let mut rig = Rig::active(true);
    assert_eq!(
        rig.ask(
            2,
            Command::Handover {
                to: None,
                at_once: true
            }
        ),
        ["answer 2 Refused"]
    );
}

#[test]
fn a_promotion_of_an_unfit_node_is_refused() {
    let mut rig = Rig::standby(false);
    rig.feed(Input::Observed(Observation::OwnSilent));
    assert_eq!(rig.ask(1, PROMOTE), ["answer 1 Refused"]);
}

#[test]
fn a_restart_of_a_voter_is_refused_where_others_could_vote_and_keeps_the_term_where_not() {
    let mut rig = Rig::active(false);
    assert_eq!(rig.ask(2, RESTART), ["answer 2 Refused"]);
    let mut rig = Rig::active(true);
    assert_eq!(
        rig.ask(2, RESTART),
        ["active -> starting: operator-restarted", "ask exit"]
    );
    let exit = crate::engine::input::Exit::Code(0);
    assert_eq!(rig.feed(Input::ChildExited(exit)), ["acquire"]);
}

#[test]
fn a_demotion_while_the_staked_child_comes_up_kills_it_and_releases() {
    let mut rig = Rig::active(true);
    rig.ask(2, RESTART);
    assert_eq!(
        rig.ask(3, DEMOTE),
        ["remember parked=true", "progress 2", "progress 3", "kill"]
    );
    let exit = crate::engine::input::Exit::Signal(9);
    assert_eq!(rig.feed(Input::ChildExited(exit)), ["release 7"]);
}

#[test]
fn a_resume_unparks() {
    let mut rig = Rig::standby(false);
    assert_eq!(rig.ask(1, Command::Resume), ["answer 1 Done"]);
    rig.ask(2, DEMOTE);
    rig.done();
    assert_eq!(
        rig.ask(3, Command::Resume),
        [
            "remember parked=false",
            "parked -> standby: operator-resumed",
            "answer 3 Done"
        ]
    );
}

#[test]
fn a_paused_node_neither_takes_over_nor_steps_down() {
    let mut rig = Rig::standby(false);
    rig.reads_well();
    let until = rig.now.plus(1_000);
    rig.ask(1, Command::Pause { until });
    rig.nobody_holds();
    assert_eq!(rig.engine.takeover_deadline(), None);
    rig.now = until;
    assert_eq!(
        rig.feed(Input::Tick),
        ["standby -> promoting: holder-gone", "acquire"]
    );
}

#[test]
fn a_promotion_that_joins_another_brings_its_flags() {
    let mut rig = Rig::standby(false);
    rig.ask(1, PROMOTE);
    assert_eq!(rig.ask(2, FIRST_VOTE), [""; 0]);
    rig.held(7);
    assert_eq!(rig.tell(Outcome::Durable(None)), ["open gate 7"]);
}

#[test]
fn a_promotion_that_waits_in_vain_for_an_earlier_switch_names_the_remedy() {
    let mut rig = Rig::active(false);
    rig.demote(2);
    for _ in 0..8 {
        rig.done();
    }
    rig.reads_well();
    rig.ask(3, PROMOTE);
    let (at, _) = rig.engine.next_deadline().unwrap();
    rig.now = at;
    let late = rig.engine.step(rig.now, Input::Tick);
    let answer = late.iter().find_map(|effect| match effect {
        Effect::Answer { text, .. } => Some(text.as_str()),
        _ => None,
    });
    assert!(
        answer.is_some_and(|text| text.contains("`supervisor ctl restart`")),
        "{late:?}"
    );
}
