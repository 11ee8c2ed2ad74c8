//! Votes of the identity on the chain that are not in the record.

use super::*;
use crate::engine::input::Exit;
use crate::engine::table::Cause;
use crate::engine::values::Verdict;

const RISK: Command = Command::Promote(PromoteFlags {
    first_vote: false,
    accept_double_vote_risk: true,
    at_once: false,
});

pub(super) fn chain(slot: u64) -> Input {
    Input::Observed(Observation::ChainVote { slot })
}

fn history(slot: u64) -> Outcome {
    Outcome::Durable(Some(RecordMark {
        kind: RecordKind::VoteHistory,
        ..mark(6, 40, slot)
    }))
}

/// A standby that has installed a record ending at slot 90, and what it does then.
fn installs(rig: &mut Rig, command: Command) -> Vec<String> {
    rig.ask(1, command);
    rig.held(7);
    rig.tell(Outcome::Durable(Some(mark(6, 40, 90))))
}

#[test]
fn a_record_that_ends_below_the_chains_newest_vote_is_not_started_from() {
    let mut rig = Rig::standby(false);
    rig.feed(chain(91));
    assert_eq!(
        installs(&mut rig, PROMOTE),
        [
            "promoting -> demoting: promotion-failed",
            "progress 1",
            "release 7"
        ]
    );
    let op = rig.op.unwrap();
    let effects = rig.engine.step(rig.now, Input::Done(op, Outcome::Done));
    let [_, Effect::Answer { verdict, text, .. }] = &effects[..] else {
        panic!("{effects:?}");
    };
    assert_eq!(*verdict, Verdict::Unsafe);
    assert_eq!(
        text,
        "the chain shows a vote of this identity for slot 91, the newest record known here ends at slot 90: restore the newest record, or wait until the cluster is well past slot 91 and say `promote --accept-double-vote-risk`"
    );
}

#[test]
fn a_record_that_ends_at_or_above_the_chains_newest_vote_is_started_from() {
    for slot in [0, 89, 90] {
        let mut rig = Rig::standby(false);
        rig.feed(chain(slot));
        assert_eq!(installs(&mut rig, PROMOTE), ["open gate 7"]);
    }
}

#[test]
fn a_vote_history_does_not_compare_with_the_chain() {
    let mut rig = Rig::standby(false);
    rig.feed(chain(91));
    rig.ask(1, PROMOTE);
    rig.held(7);
    assert_eq!(rig.tell(history(90)), ["open gate 7"]);
    rig.done();
    rig.done();
    assert_eq!(rig.feed(chain(92)), [""; 0]);
}

#[test]
fn an_old_reading_of_the_chain_does_not_count() {
    for (age_ms, goes_on) in [(2_000, false), (2_001, true)] {
        let mut rig = Rig::standby(false);
        rig.feed(chain(91));
        rig.now = rig.now.plus(age_ms);
        rig.reads_well();
        let did = installs(&mut rig, PROMOTE);
        assert_eq!(did == ["open gate 7"], goes_on, "{age_ms}: {did:?}");
    }
}

#[test]
fn a_first_vote_of_an_identity_that_has_voted_is_unsafe() {
    let mut rig = Rig::standby(false);
    rig.feed(chain(1));
    rig.ask(1, FIRST_VOTE);
    rig.held(7);
    rig.tell(Outcome::Durable(None));
    assert_eq!(
        rig.done(),
        ["demoting -> standby: released", "answer 1 Unsafe"]
    );
    let both = Command::Promote(PromoteFlags {
        first_vote: true,
        accept_double_vote_risk: true,
        at_once: false,
    });
    rig.ask(2, both);
    rig.held(8);
    assert_eq!(rig.tell(Outcome::Durable(None)), ["open gate 8"]);
}

#[test]
fn an_operator_who_takes_the_risk_is_not_stopped_by_the_votes_before_the_first_own_one() {
    let mut rig = Rig::standby(false);
    rig.feed(chain(91));
    assert_eq!(installs(&mut rig, RISK), ["open gate 7"]);
    rig.done();
    rig.done();
    rig.feed(Input::SwitchMarker(RecordKind::Tower));
    rig.done();
    rig.done();
    assert_eq!(rig.feed(chain(95)), [""; 0]);
    rig.votes(93);
    assert_eq!(rig.feed(chain(95)), [""; 0]);
    assert_eq!(
        rig.feed(chain(96))[2],
        "active -> demoting: foreign-vote",
        "one after it is somebody else's"
    );
}

#[test]
fn a_foreign_vote_on_the_chain_ends_a_promotion_that_has_the_identity() {
    let mut rig = Rig::awaiting_switch(false);
    rig.feed(Input::SwitchMarker(RecordKind::Tower));
    rig.done();
    rig.done();
    assert_eq!(rig.feed(chain(90)), [""; 0]);
    assert_eq!(
        rig.feed(chain(91)),
        [
            "page",
            "remember parked=true",
            "promoting -> demoting: foreign-vote",
            "progress 1",
            "mute"
        ]
    );
}

#[test]
fn a_vote_of_our_own_that_the_chain_shows_before_the_link_points_is_no_foreign_one() {
    let mut rig = Rig::awaiting_switch(false);
    rig.feed(Input::SwitchMarker(RecordKind::Tower));
    rig.done();
    rig.votes(100);
    assert_eq!(rig.feed(chain(100)), [""; 0]);
    assert_eq!(rig.done()[1], "promoting -> active: first-vote");
}

#[test]
fn a_node_that_votes_demotes_and_votes_again_takes_its_own_votes_for_its_own() {
    let mut rig = Rig::active(false);
    rig.feed(chain(100));
    rig.demote(2);
    for _ in 0..8 {
        rig.done();
    }
    rig.feed(Input::SwitchMarker(RecordKind::Tower));
    rig.feed(chain(100));
    rig.ask(3, PROMOTE);
    rig.held(8);
    assert_eq!(
        rig.tell(Outcome::Durable(Some(mark(7, 100, 100)))),
        ["open gate 8"]
    );
}

#[test]
fn a_standby_that_cannot_take_over_for_the_chains_sake_pages_less_and_less_often() {
    let mut rig = Rig::standby(false);
    rig.reads_well();
    rig.nobody_holds();
    let mut pages = Vec::new();
    for term in 7..16 {
        rig.now = rig.now.plus(1_500);
        rig.reads_well();
        rig.now = rig.now.plus(1_500);
        rig.reads_well();
        rig.feed(chain(91));
        assert_eq!(
            rig.feed(Input::Tick),
            ["standby -> promoting: holder-gone", "acquire"]
        );
        rig.held(term);
        let did = rig.tell(Outcome::Durable(Some(mark(6, 40, 90))));
        pages.push(did[0] == "page");
        rig.done();
        rig.nobody_holds();
    }
    let paged: Vec<usize> = (1..)
        .zip(pages)
        .filter(|(_, p)| *p)
        .map(|(n, _)| n)
        .collect();
    assert_eq!(paged, [1, 2, 4, 8]);
}

#[test]
fn a_single_node_does_not_start_staked_behind_the_chain() {
    let mut rig = Rig::active(true);
    rig.feed(chain(100));
    rig.feed(Input::ChildExited(Exit::Code(1)));
    rig.wait();
    rig.held(8);
    assert_eq!(
        rig.tell(Outcome::Durable(Some(mark(6, 40, 90)))),
        ["page", "link unstaked"]
    );
    assert_eq!(rig.wait()[0], "release 0");
}

#[test]
fn a_single_node_that_came_up_behind_the_chain_stops() {
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
    rig.feed(Input::ChildReady);
    assert_eq!(rig.feed(chain(90)), ["open gate 8"]);
    assert_eq!(rig.done(), ["starting -> promoting: child-up-holding"]);
    assert_eq!(rig.feed(chain(90)), [""; 0]);
    assert_eq!(
        rig.feed(chain(91))[2],
        format!("promoting -> demoting: {}", Cause::ForeignVote.name())
    );
}

#[test]
fn what_an_operator_vouched_for_at_the_start_is_accounted_for_in_the_whole_holding() {
    let mut rig = Rig::standby(false);
    rig.feed(chain(95));
    installs(&mut rig, RISK);
    rig.done();
    rig.done();
    rig.feed(Input::SwitchMarker(RecordKind::Tower));
    rig.done();
    rig.done();
    rig.votes(93);
    assert_eq!(rig.feed(chain(95)), [""; 0]);
}

#[test]
fn before_the_identity_is_taken_the_chain_ends_no_promotion() {
    let mut rig = Rig::active(false);
    rig.demote(2);
    for _ in 0..8 {
        rig.done();
    }
    rig.feed(Input::SwitchMarker(RecordKind::Tower));
    rig.ask(3, PROMOTE);
    assert_eq!(rig.feed(chain(150)), [""; 0]);
    rig.held(8);
    assert_eq!(
        rig.tell(Outcome::Durable(Some(mark(7, 160, 160)))),
        ["open gate 8"],
        "another node voted in between, and its record came with the term"
    );
}

#[test]
fn a_single_node_found_behind_the_chain_does_not_try_again_by_itself() {
    let mut rig = Rig::standby(true);
    rig.engine.reclaims = true;
    rig.now = rig.now.plus(300);
    rig.reads_well();
    rig.wait();
    rig.held(7);
    rig.feed(chain(91));
    assert_eq!(rig.tell(Outcome::Durable(Some(mark(6, 40, 90))))[0], "page");
    rig.done();
    assert_eq!(rig.engine.role(), Role::Standby);
    assert_eq!(rig.engine.takeover_deadline(), None);
}

#[test]
fn a_node_that_cannot_be_asked_is_not_passed_over_while_the_chain_shows_new_votes() {
    let mut rig = Rig::standby(false);
    rig.engine.setup.authority.leased = false;
    let moves = |rig: &mut Rig, slot: u64| {
        rig.later(1_000);
        rig.reads_well();
        rig.feed(chain(slot));
    };
    (91..97).for_each(|slot| moves(&mut rig, slot));
    let refused = rig
        .engine
        .clone()
        .step(rig.now, Input::Asked(RequestId(1), RISK));
    let [Effect::Answer { verdict, text, .. }] = &refused[..] else {
        panic!("{refused:?}");
    };
    assert_eq!(*verdict, Verdict::Refused);
    assert!(text.contains("for slot 96, 0 ms ago"), "{text}");
    (0..5).for_each(|_| moves(&mut rig, 96));
    let asked = rig.ask(1, RISK);
    assert!(asked.contains(&"acquire".to_owned()), "{asked:?}");
}

/// Somebody has to be able to decide where nothing can be asked.
#[test]
fn an_operators_word_stands_where_the_chain_cannot_be_read() {
    let mut rig = Rig::standby(false);
    rig.engine.setup.authority.leased = false;
    assert_eq!(rig.engine.seen_lately(rig.now), None);
    let asked = rig.ask(1, RISK);
    assert!(asked.contains(&"acquire".to_owned()), "{asked:?}");
}

#[test]
fn nor_by_an_operators_word_for_a_promotion_that_is_under_way() {
    for (is_quiet, verdict) in [(false, Some(Verdict::Refused)), (true, None)] {
        let mut rig = Rig::standby(false);
        rig.engine.setup.authority.leased = false;
        for second in 0..10 {
            rig.later(1_000);
            rig.reads_well();
            rig.feed(chain(if is_quiet { 91 } else { 91 + second }));
        }
        rig.ask(1, PROMOTE);
        let word = rig.engine.step(rig.now, Input::Asked(RequestId(2), RISK));
        let answered = word.iter().find_map(|effect| match effect {
            Effect::Answer { verdict, .. } => Some(*verdict),
            _ => None,
        });
        assert_eq!(answered, verdict);
        // A word that was refused stands for nothing: the record must not be older than the chain.
        rig.held(7);
        let goes_on = rig.tell(Outcome::Durable(Some(mark(6, 40, 90))));
        assert_eq!(goes_on == ["open gate 7"], is_quiet, "{goes_on:?}");
    }
}

/// A standby under an authority that nobody has held for a while, with votes of the identity that show all the same.
fn votes_without_a_holder() -> Rig {
    let mut rig = Rig::caught_up(false);
    let other = NodeName("b".into());
    rig.feed(Input::Authority(AuthorityNews::Holder(Some(other))));
    let manual = Setup {
        automatic: false,
        ..setup(false)
    };
    rig.feed(Input::Reconfigured(Box::new(manual)));
    rig.nobody_holds();
    for slot in 80..90 {
        rig.reads_well();
        rig.later(1_000);
        rig.feed(chain(slot));
    }
    rig.reads_well();
    rig
}

#[test]
fn nobody_follows_a_holder_while_votes_go_on_that_cannot_be_its_own() {
    let mut rig = votes_without_a_holder();
    assert_eq!(rig.ask(1, PROMOTE), ["answer 1 Refused"]);
    let why = rig.answers.last().cloned().unwrap_or_default();
    assert!(
        why.contains("nobody has held the term for") && why.contains("slot 89"),
        "{why}"
    );
    // Nor does it by itself, before they have ended.
    rig.feed(Input::Reconfigured(Box::new(setup(false))));
    let quiet_ms = setup(false).timing.chain_quiet_ms;
    let mut took_over_ms = None;
    for ms in (0..2 * quiet_ms).step_by(100) {
        rig.reads_well();
        let begun = "standby -> promoting: holder-gone".to_owned();
        if rig.later(100).contains(&begun) {
            took_over_ms = Some(ms);
            break;
        }
    }
    let took_over_ms = took_over_ms.expect("it takes over in the end");
    assert!(
        took_over_ms + 200 >= quiet_ms,
        "after {took_over_ms} ms of {quiet_ms}"
    );
}

#[test]
fn votes_of_the_last_holder_that_show_late_keep_nobody_waiting() {
    let mut rig = Rig::standby(false);
    rig.feed(chain(80));
    rig.nobody_holds();
    rig.later(300);
    rig.feed(chain(81));
    rig.reads_well();
    assert_eq!(rig.engine.votes_without_holder(rig.now), None);
}
