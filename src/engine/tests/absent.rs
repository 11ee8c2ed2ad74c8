//! A holder that cannot be heard, and the command that ends it.

use super::*;
use crate::engine::values::Verdict;

const UNREACHABLE: &str = "b cannot be reached";

/// Between peers, with a fence command of ten seconds.
fn armed() -> Setup {
    let mut setup = setup(false);
    setup.authority.leased = false;
    setup.fence = Some(crate::engine::Fence {
        within_ms: 10_000,
        nodes: ["a", "b"].map(name).into(),
    });
    setup
}

/// The same for `c`, beside `a` and `b`.
fn third() -> Setup {
    let mut setup = armed();
    setup.node = name("c");
    if let Some(fence) = &mut setup.fence {
        fence.nodes = ["a", "b", "c"].map(name).into();
    }
    setup
}

/// A standby that has heard the holder `b` until now. The chain shows a vote for slot 90.
fn standby(setup: Setup) -> Rig {
    let mut rig = Rig::standby(false);
    rig.engine.setup = setup;
    rig.peer_votes("b", 6);
    rig.feed(Input::Observed(Observation::ChainVote { slot: 90 }));
    rig
}

/// As time goes by: a second each, with readings.
fn seconds(rig: &mut Rig, count: u64, mut newest: impl FnMut(u64) -> Option<u64>) -> Vec<String> {
    let mut seen = Vec::new();
    for second in 1..=count {
        rig.reads_well();
        if let Some(slot) = newest(second) {
            rig.feed(Input::Observed(Observation::ChainVote { slot }));
        }
        seen.extend(rig.later(1_000));
        if rig.engine.role() != Role::Standby {
            break;
        }
    }
    seen
}

fn goes(rig: &mut Rig) {
    rig.feed(Input::Observed(Observation::PeerGone(name("b"))));
}

/// The command has ended it, and what it had sent until then shows.
fn shown(rig: &mut Rig, slot: u64) -> Vec<String> {
    let mut seen = Vec::new();
    for _ in 0..5 {
        seen.extend(rig.later(1_000));
        rig.reads_well();
        rig.feed(Input::Observed(Observation::ChainVote { slot }));
    }
    seen
}

fn unsafe_to(rig: &mut Rig) -> Vec<String> {
    rig.tell(Outcome::Unsafe(UNREACHABLE.into()))
}

#[test]
fn a_holder_that_is_silent_on_the_link_and_on_the_chain_is_ended_and_its_term_taken() {
    let mut rig = standby(armed());
    goes(&mut rig);
    let begun = seconds(&mut rig, 9, |_| Some(90));
    assert_eq!(begun, ["standby -> promoting: holder-silent", "acquire"]);
    assert_eq!(unsafe_to(&mut rig), ["fence"]);
    assert!(rig.done().is_empty());
    assert_eq!(shown(&mut rig, 90), ["acquire"]);
    let mut behind = Rig {
        engine: rig.engine.clone(),
        answers: Vec::new(),
        ..rig
    };
    assert_eq!(
        behind.held_with(9, mark(6, 40, 89)),
        [
            "page",
            "promoting -> demoting: promotion-failed",
            "release 9 to nobody"
        ],
        "the chain shows a vote for slot 90 that the record here lacks"
    );
    assert_eq!(rig.held_with(9, mark(6, 40, 90)), ["install for 9"]);
}

#[test]
fn while_it_votes_or_the_chain_is_dark_or_it_was_never_heard_nothing_is_ended() {
    let mut votes = standby(armed());
    goes(&mut votes);
    let seen = seconds(&mut votes, 20, |second| Some(90 + second));
    assert_eq!((seen.len(), votes.engine.role()), (0, Role::Standby));

    let mut dark = standby(armed());
    goes(&mut dark);
    let seen = seconds(&mut dark, 20, |_| None);
    assert_eq!((seen.len(), dark.engine.role()), (0, Role::Standby));

    let mut back = standby(armed());
    goes(&mut back);
    let seen = seconds(&mut back, 3, |_| Some(90));
    back.peer_votes("b", 6);
    let more = seconds(&mut back, 20, |_| Some(90));
    assert_eq!((seen.len(), more.len()), (0, 0), "its link is back");

    let mut stranger = Rig::standby(false);
    stranger.engine.setup = armed();
    goes(&mut stranger);
    let seen = seconds(&mut stranger, 20, |_| Some(90));
    assert_eq!((seen.len(), stranger.engine.role()), (0, Role::Standby));
}

#[test]
fn without_a_command_or_where_an_operator_decides_nothing_is_ended() {
    let mut none = standby(Setup {
        fence: None,
        ..armed()
    });
    goes(&mut none);
    assert!(seconds(&mut none, 20, |_| Some(90)).is_empty());

    let mut manual = standby(Setup {
        automatic: false,
        ..armed()
    });
    goes(&mut manual);
    assert_eq!(seconds(&mut manual, 20, |_| Some(90)), ["page"]);
}

#[test]
fn a_command_that_fails_is_no_proof_and_is_tried_again_later_and_later() {
    let mut rig = standby(armed());
    goes(&mut rig);
    seconds(&mut rig, 9, |_| Some(90));
    unsafe_to(&mut rig);
    let failed = rig.tell(Outcome::Refused("it ended with exit code 1".into()));
    assert_eq!(failed, ["page", "promoting -> standby: promotion-refused"]);
    let again = |rig: &mut Rig| {
        let from = rig.now;
        seconds(rig, 9, |_| Some(90));
        assert_eq!(rig.engine.role(), Role::Promoting);
        unsafe_to(rig);
        rig.refused();
        rig.now.since(from)
    };
    let (first, second) = (again(&mut rig), again(&mut rig));
    assert!(first <= second && second <= 3_000, "{first} {second}");
}

#[test]
fn a_command_that_does_not_end_is_no_proof() {
    let mut rig = standby(armed());
    goes(&mut rig);
    seconds(&mut rig, 9, |_| Some(90));
    unsafe_to(&mut rig);
    assert!(rig.later(9_000).is_empty());
    rig.reads_well();
    assert!(rig.later(999).is_empty());
    let late = rig.later(1);
    assert_eq!(late, ["page", "promoting -> standby: promotion-refused"]);
    assert!(rig.done().is_empty(), "what it says later counts no more");
}

#[test]
fn an_operator_who_promotes_has_it_run_once_and_is_told_what_it_said() {
    let mut rig = standby(armed());
    goes(&mut rig);
    seconds(&mut rig, 4, |_| Some(90));
    let asked = rig.ask(1, PROMOTE);
    assert_eq!(
        asked[..2],
        ["standby -> promoting: operator-promoted", "progress 1"]
    );
    let unsafe_now = unsafe_to(&mut rig);
    assert_eq!(
        unsafe_now,
        ["promoting -> standby: promotion-refused", "answer 1 Unsafe"],
        "four seconds of quiet on the chain are not enough"
    );
    seconds(&mut rig, 2, |_| Some(90));
    rig.ask(2, PROMOTE);
    assert_eq!(unsafe_to(&mut rig), ["progress 2", "fence"]);
    rig.done();
    shown(&mut rig, 90);
    let once = unsafe_to(&mut rig);
    assert_eq!(once[1], "answer 2 Unsafe", "{once:?}");
    assert_eq!(rig.engine.failure.0, Verdict::Unsafe);
}

#[test]
fn of_several_standbys_one_ends_the_holder_and_the_others_leave_it_the_time() {
    // Whoever of them is heard: `a` is before `c`, and `b` is the holder.
    let mut rig = standby(third());
    goes(&mut rig);
    let early = seconds(&mut rig, 18, |_| Some(90));
    assert!(early.is_empty(), "{early:?}");
    let late = seconds(&mut rig, 3, |_| Some(90));
    assert_eq!(late[0], "standby -> promoting: holder-silent");
}

/// A term that was passed, and the cable cut before the word of it came: to each of the two the other is the holder.
#[test]
fn the_one_that_held_the_term_last_lets_the_other_one_go_first() {
    let mut rig = standby(armed());
    rig.engine.held_last = true;
    goes(&mut rig);
    let early = seconds(&mut rig, 18, |_| Some(90));
    assert!(early.is_empty(), "{early:?}");
    let mut seen = standby(armed());
    seen.engine.held_last = true;
    seen.peer_votes("b", 9);
    goes(&mut seen);
    let begun = seconds(&mut seen, 9, |_| Some(90));
    assert_eq!(begun.len(), 2, "it has seen the other one vote: {begun:?}");
}

#[test]
fn nothing_is_ended_because_nobody_holds_the_term() {
    let mut rig = standby(armed());
    rig.nobody_holds();
    let begun = seconds(&mut rig, 2, |_| Some(90));
    assert_eq!(begun, ["standby -> promoting: holder-gone", "acquire"]);
    let refused = unsafe_to(&mut rig);
    assert_eq!(refused, ["promoting -> standby: promotion-refused"]);
}

#[test]
fn an_operator_is_told_why_nothing_is_ended() {
    let why = |rig: &mut Rig| {
        rig.ask(1, PROMOTE);
        unsafe_to(rig);
        rig.engine.failure.1.clone()
    };
    let mut dark = Rig::standby(false);
    dark.engine.setup = armed();
    assert!(why(&mut dark).contains("the votes on the chain cannot be read"));
    let mut lately = standby(armed());
    seconds(&mut lately, 7, |_| Some(90));
    goes(&mut lately);
    lately.reads_well();
    lately.feed(Input::Observed(Observation::ChainVote { slot: 90 }));
    let text = why(&mut lately);
    assert!(
        text.contains("b was heard 0 ms ago, and has to be silent for 5 s"),
        "{text}"
    );
}

/// Ended after it voted on for so long, as the chain shows; and what is done with the vote history that is known here.
fn followed(alone_for: u64) -> (Rig, Vec<String>) {
    let mut rig = standby(armed());
    seconds(&mut rig, 2, |_| Some(90));
    goes(&mut rig);
    seconds(&mut rig, 30, |second| Some(90 + second.min(alone_for)));
    assert_eq!(rig.engine.role(), Role::Promoting);
    unsafe_to(&mut rig);
    rig.done();
    shown(&mut rig, 90 + alone_for);
    let taken = rig.held_with(9, history(6));
    (rig, taken)
}

fn history(term: u64) -> RecordMark {
    RecordMark {
        kind: RecordKind::VoteHistory,
        ..mark(term, 40, 90)
    }
}

const ALONE: [&str; 3] = [
    "page",
    "promoting -> demoting: promotion-failed",
    "release 9 to nobody",
];

/// Of a vote history the chain does not tell whether it is the newest.
#[test]
fn a_holder_that_has_voted_on_alone_is_not_followed_without_an_operator() {
    let (_, on_its_way) = followed(3);
    assert_eq!(on_its_way, ["install for 9"], "on its way when it died");
    assert_eq!(followed(12).1, ALONE);
}

/// It is entitled from here on, and needs nobody's word for the next term.
#[test]
fn nor_by_any_later_try() {
    let (mut rig, _) = followed(12);
    rig.nobody_holds();
    assert_eq!(rig.done(), ["demoting -> standby: released"]);
    let tried = seconds(&mut rig, 60, |_| Some(102));
    assert!(tried.is_empty(), "{tried:?}");
    let next = rig.engine.explain(rig.now).next;
    assert!(next.contains("an operator has to decide"), "{next}");
    rig.ask(1, PROMOTE);
    rig.held_with(10, history(6));
    let refused = rig.done();
    assert_eq!(refused[1], "answer 1 Unsafe", "{refused:?}");
    let risk = PromoteFlags {
        accept_double_vote_risk: true,
        ..PromoteFlags::default()
    };
    rig.ask(2, Command::Promote(risk));
    let taken = rig.held_with(11, history(6));
    assert_eq!(taken[1], "install for 11", "{taken:?}");
}

#[test]
fn nor_where_the_term_was_refused_after_the_command_or_nobody_heard_how_it_ended() {
    for late in [false, true] {
        let mut rig = standby(armed());
        goes(&mut rig);
        seconds(&mut rig, 30, |second| Some(90 + second.min(12)));
        unsafe_to(&mut rig);
        if late {
            rig.later(9_000);
            rig.reads_well();
            rig.later(1_000);
        } else {
            rig.done();
            shown(&mut rig, 102);
            rig.refused();
        }
        assert_eq!(rig.engine.role(), Role::Standby);
        seconds(&mut rig, 9, |_| Some(102));
        assert_eq!(rig.engine.role(), Role::Promoting);
        assert_eq!(rig.held_with(9, history(6)), ALONE);
    }
}

#[test]
fn once_it_is_heard_or_somebody_has_voted_since_it_needs_no_operator() {
    let (mut heard, _) = followed(12);
    heard.done();
    heard.peer("b", false);
    heard.nobody_holds();
    let begun = seconds(&mut heard, 9, |_| Some(102));
    assert_eq!(begun[0], "standby -> promoting: holder-gone");
    assert_eq!(heard.held_with(10, history(6)), ["install for 10"]);

    let (mut since, _) = followed(12);
    since.done();
    since.ask(1, PROMOTE);
    let taken = since.held_with(10, history(8));
    assert_eq!(taken[1], "install for 10", "{taken:?}");
}

/// Until it can be compared.
#[test]
fn while_the_chain_cannot_be_read_the_next_try_is_left_to_time() {
    let mut rig = standby(armed());
    goes(&mut rig);
    seconds(&mut rig, 9, |_| Some(90));
    unsafe_to(&mut rig);
    rig.done();
    for _ in 0..5 {
        rig.later(1_000);
        rig.reads_well();
    }
    assert_eq!(rig.held_with(9, mark(6, 40, 90)), ALONE);
    rig.done();
    rig.nobody_holds();
    let again = seconds(&mut rig, 9, |_| Some(90));
    assert_eq!(again[0], "standby -> promoting: holder-gone");
    assert_eq!(rig.held_with(10, mark(6, 40, 90)), ["install for 10"]);
}

/// It has promised the term to `b`, which came to nothing, and is there; `a` voted on alone before it was ended.
#[test]
fn nor_by_a_third_node_to_which_another_one_is_the_holder() {
    let mut rig = standby(third());
    let b_is_there = |rig: &mut Rig| {
        rig.peer("b", false);
    };
    rig.peer_votes("a", 6);
    b_is_there(&mut rig);
    rig.feed(Input::Observed(Observation::PeerGone(name("a"))));
    for second in 0..30 {
        b_is_there(&mut rig);
        let slot = 90 + second.min(12);
        rig.feed(Input::Observed(Observation::ChainVote { slot }));
        rig.reads_well();
        rig.later(1_000);
    }
    b_is_there(&mut rig);
    rig.feed(Input::Observed(Observation::ChainVote { slot: 102 }));
    rig.ask(1, PROMOTE);
    let ended = unsafe_to(&mut rig);
    assert_eq!(ended, ["progress 1", "fence"]);
    b_is_there(&mut rig);
    rig.done();
    shown(&mut rig, 102);
    let taken = rig.held_with(9, history(6));
    assert!(
        taken.contains(&"release 9 to nobody".to_owned()),
        "{taken:?}"
    );
    // Whoever votes has accounted for them.
    rig.done();
    rig.peer_votes("b", 10);
    assert_eq!(rig.engine.barred(), None);
}

/// Nobody had heard of it for long, and the chain was quiet; then it went on, until the command had ended it.
#[test]
fn votes_that_were_under_way_when_it_was_ended_count() {
    let taken = |newest: u64| {
        let mut rig = standby(armed());
        goes(&mut rig);
        seconds(&mut rig, 9, |_| Some(90));
        unsafe_to(&mut rig);
        rig.done();
        shown(&mut rig, newest);
        rig.held_with(9, mark(6, 40, 90))
    };
    assert_eq!(taken(90), ["install for 9"]);
    assert_eq!(taken(91), ALONE);
}

#[test]
fn nothing_is_ended_where_everybody_is_heard_by_then() {
    let mut rig = standby(armed());
    goes(&mut rig);
    seconds(&mut rig, 9, |_| Some(90));
    assert_eq!(rig.engine.role(), Role::Promoting);
    rig.peer("b", false);
    assert_eq!(
        unsafe_to(&mut rig),
        ["promoting -> standby: promotion-refused"]
    );
}
