//! Streams of Tower BFT votes: one for each rule, and clean ones.

use crate::crafted::{IDENTITY, Stream, after, exactly};
use testkit::judge::Rule;

#[test]
fn a_long_run_of_votes_by_one_node_is_clean() {
    let mut stream = Stream::default();
    for last in 10..120 {
        stream.tower("a", &after(10..=last));
    }
    let summary = stream.judge.verdict().expect("a clean stream");
    let tally = &summary.identities[IDENTITY];
    assert_eq!(
        (tally.votes, tally.first_slot, tally.last_slot),
        (110, 10, 119)
    );
    assert_eq!(tally.longest_gap_slots, 0);
}

#[test]
fn a_vote_sent_again_unchanged_is_clean() {
    let mut stream = Stream::default();
    stream.tower("a", &after([10, 11]));
    stream.tower("a", &after([10, 11]));
    assert_eq!(stream.broken(), []);
}

#[test]
fn a_node_that_goes_on_from_the_record_of_another_is_clean() {
    let mut stream = Stream::default();
    stream.tower("a", &after([10, 11]));
    stream.tower("b", &after([10, 11, 14]));
    stream.tower("a", &after([10, 11, 14, 15]));
    assert_eq!(stream.broken(), []);
}

#[test]
fn a_vote_that_was_recorded_and_never_sent_is_clean() {
    let mut stream = Stream::default();
    stream.tower("a", &after([10, 11]));
    stream.tower("b", &after([10, 11, 12, 13]));
    assert_eq!(stream.broken(), []);
}

#[test]
fn a_fork_left_after_its_lockout_is_clean() {
    let mut stream = Stream::default();
    stream.tower("a", &after([10, 11]));
    // 11 binds until 13: at 14 it has expired, and the tower drops it.
    stream.tower("a", &exactly(&[(10, 2), (14, 1)], None));
    assert_eq!(stream.broken(), []);
}

#[test]
fn a_vote_left_out_while_it_binds_is_a_lockout_violation() {
    let mut stream = Stream::default();
    stream.tower("a", &after([10, 11]));
    stream.tower("b", &exactly(&[(10, 2), (13, 1)], None));
    assert_eq!(stream.broken(), [Rule::LockoutViolation]);
}

#[test]
fn a_tower_that_begins_anew_is_a_lockout_violation() {
    let mut stream = Stream::default();
    stream.tower("a", &after(10..20));
    stream.tower("b", &after([20]));
    assert!(stream.broken().contains(&Rule::LockoutViolation));
}

#[test]
fn an_old_record_played_again_is_found() {
    let mut stream = Stream::default();
    stream.tower("a", &after(10..20));
    stream.tower("b", &after(10..15));
    assert_eq!(stream.broken(), [Rule::OldSlot]);
}

#[test]
fn an_old_record_continued_is_a_lockout_violation() {
    let mut stream = Stream::default();
    stream.tower("a", &after(10..20));
    stream.tower("b", &after((10..15).chain([20])));
    assert!(stream.broken().contains(&Rule::LockoutViolation));
}

#[test]
fn another_block_for_the_last_slot_is_a_second_vote() {
    let mut stream = Stream::default();
    stream.tower_on("a", &after([10, 11]), "one");
    stream.tower_on("a", &after([10, 11]), "two");
    assert_eq!(stream.broken(), [Rule::SecondVote]);
}

#[test]
fn another_tower_for_the_last_slot_is_a_second_vote() {
    let mut stream = Stream::default();
    stream.tower("a", &after([10, 11]));
    stream.tower("a", &after([11]));
    assert_eq!(stream.broken(), [Rule::SecondVote]);
}

#[test]
fn one_slot_voted_by_two_nodes_is_found_even_when_they_agree() {
    let mut stream = Stream::default();
    stream.tower("a", &after([10, 11]));
    stream.tower("b", &after([10, 11]));
    assert_eq!(stream.broken(), [Rule::TwoVoters]);
}

#[test]
fn confirmations_lost_are_found() {
    let mut stream = Stream::default();
    stream.tower("a", &exactly(&[(10, 5), (11, 1)], None));
    stream.tower("a", &exactly(&[(10, 3), (11, 2), (12, 1)], None));
    assert_eq!(stream.broken(), [Rule::ConfirmationRollback]);
}

#[test]
fn a_root_that_goes_back_is_found() {
    let mut stream = Stream::default();
    stream.tower("a", &exactly(&[(10, 2), (11, 1)], Some(9)));
    stream.tower("a", &exactly(&[(10, 3), (11, 2), (12, 1)], Some(8)));
    assert_eq!(stream.broken(), [Rule::RootRollback]);
}

#[test]
fn towers_that_no_voting_gives_are_malformed() {
    let deep: Vec<(u64, u32)> = (0..32)
        .map(|depth| (10 + depth, 32 - depth as u32))
        .collect();
    let malformed = [
        ("no votes", exactly(&[], None)),
        ("32 votes", exactly(&deep, None)),
        ("no confirmation", exactly(&[(10, 0)], None)),
        ("32 confirmations", exactly(&[(10, 32)], None)),
        (
            "slots that do not ascend",
            exactly(&[(11, 2), (11, 1)], None),
        ),
        (
            "confirmations that do not descend",
            exactly(&[(10, 1), (11, 1)], None),
        ),
        (
            "a vote that had expired",
            exactly(&[(10, 2), (15, 1)], None),
        ),
        ("a vote at the root", exactly(&[(10, 1)], Some(10))),
    ];
    for (what, tower) in malformed {
        let mut stream = Stream::default();
        stream.tower("a", &tower);
        assert_eq!(stream.broken(), [Rule::MalformedTower], "{what}");
    }
}
