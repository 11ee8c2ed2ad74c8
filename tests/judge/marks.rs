//! What a test tells the judge besides the votes: demotions, promotions, commits.

use crate::crafted::{IDENTITY, Stream, after};
use testkit::history::{History, Vote};
use testkit::judge::Rule;
use testkit::record::State;

#[test]
fn a_vote_after_the_demotion_of_its_node_is_found() {
    let mut stream = Stream::default();
    stream.tower("a", &after([10]));
    stream.judge.demoted(IDENTITY, Some("a"), stream.now_us);
    stream.tower("a", &after([10, 11]));
    assert_eq!(stream.broken(), [Rule::AfterDemotion]);
}

#[test]
fn a_demotion_bars_neither_other_nodes_nor_other_identities() {
    let mut stream = Stream::default();
    stream.tower("a", &after([10]));
    stream.judge.demoted(IDENTITY, Some("a"), stream.now_us);
    stream.judge.demoted("another", None, stream.now_us);
    stream.tower("b", &after([10, 11]));
    assert_eq!(stream.broken(), []);
}

#[test]
fn a_demotion_of_all_nodes_bars_each_until_it_is_promoted() {
    let mut stream = Stream::default();
    stream.judge.demoted(IDENTITY, None, stream.now_us);
    stream.judge.promoted(IDENTITY, "b", stream.now_us + 1);
    stream.tower("b", &after([10]));
    assert_eq!(stream.broken(), []);
    stream.tower("a", &after([10, 11]));
    assert_eq!(stream.broken(), [Rule::AfterDemotion]);
}

#[test]
fn a_demotion_of_all_nodes_bars_also_those_promoted_before() {
    let mut stream = Stream::default();
    stream.judge.promoted(IDENTITY, "a", 1);
    stream.judge.demoted(IDENTITY, None, 2);
    stream.tower("a", &after([10]));
    assert_eq!(stream.broken(), [Rule::AfterDemotion]);
}

#[test]
fn a_node_promoted_again_may_vote_again() {
    let mut stream = Stream::default();
    stream.judge.demoted(IDENTITY, Some("a"), 1);
    stream.judge.promoted(IDENTITY, "a", 2);
    stream.tower("a", &after([10]));
    assert_eq!(stream.broken(), []);
}

#[test]
fn the_order_in_which_events_are_handed_over_does_not_matter() {
    let mut stream = Stream::default();
    stream.tower("a", &after([10]));
    let demoted_us = stream.now_us + 1;
    stream.tower("a", &after([10, 11]));
    stream.judge.demoted(IDENTITY, Some("a"), demoted_us);
    assert_eq!(stream.broken(), [Rule::AfterDemotion]);
}

#[test]
fn two_nodes_in_turns_are_found_where_turns_are_marked() {
    let mut stream = Stream::default();
    stream.judge.turns_are_marked();
    stream.tower("a", &after([10]));
    stream.judge.promoted(IDENTITY, "b", stream.now_us);
    stream.tower("b", &after(10..12));
    assert_eq!(stream.broken(), []);
    stream.tower("a", &after(10..13));
    assert_eq!(stream.broken(), [Rule::TwoVoters]);
}

#[test]
fn one_promotion_is_good_for_one_turn() {
    let mut stream = Stream::default();
    stream.judge.turns_are_marked();
    for (turn, node) in ["a", "b", "a"].into_iter().enumerate() {
        stream.judge.promoted(IDENTITY, node, stream.now_us);
        stream.tower(node, &after(10..=10 + turn as u64));
    }
    assert_eq!(stream.broken(), []);
    stream.tower("b", &after(10..14));
    assert_eq!(stream.broken(), [Rule::TwoVoters]);
}

#[test]
fn a_tower_sent_without_its_record_is_found() {
    let mut stream = Stream::default();
    stream
        .judge
        .committed(IDENTITY, 1, State::Tower(after([10])));
    stream.tower("a", &after([10]));
    assert_eq!(stream.broken(), []);
    stream.tower("a", &after([10, 11]));
    assert_eq!(stream.broken(), [Rule::Uncommitted]);
}

#[test]
fn a_record_committed_after_the_vote_does_not_cover_it() {
    let mut stream = Stream::default();
    stream.tower("a", &after([10]));
    stream
        .judge
        .committed(IDENTITY, stream.now_us + 1, State::Tower(after([10])));
    assert_eq!(stream.broken(), [Rule::Uncommitted]);
}

#[test]
fn an_alpenglow_vote_must_be_in_a_committed_history() {
    let mut stream = Stream::default();
    let (cast, missing) = (Vote::Finalize { slot: 7 }, Vote::Finalize { slot: 8 });
    let mut history = History::default();
    assert!(history.vote(&cast));
    stream.judge.committed(IDENTITY, 1, State::History(history));
    stream.alpenglow("a", cast);
    assert_eq!(stream.broken(), []);
    stream.alpenglow("a", missing);
    assert_eq!(stream.broken(), [Rule::Uncommitted]);
}

#[test]
fn a_finding_is_a_sentence_with_the_values() {
    let mut stream = Stream::default();
    stream.tower("a", &after(10..13));
    stream.tower("b", &after([10, 11]));
    let findings = stream.judge.verdict().expect_err("an old slot");
    assert_eq!(
        findings[0].to_string(),
        "OldSlot at 0.002000 s, identity staked: b (pid 1) voted for slot 11 after a (pid 1) voted for 12"
    );
}
