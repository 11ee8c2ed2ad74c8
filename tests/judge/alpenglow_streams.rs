//! Streams of Alpenglow votes: every pair of votes for a slot, and clean runs.

use crate::crafted::{Stream, after};
use testkit::history::{History, Vote};
use testkit::judge::Rule;

fn every_vote(slot: u64) -> Vec<Vote> {
    let block = |name: &str| name.to_owned();
    vec![
        Vote::Notarize {
            slot,
            block: block("one"),
        },
        Vote::Notarize {
            slot,
            block: block("two"),
        },
        Vote::Finalize { slot },
        Vote::Skip { slot },
        Vote::NotarizeFallback {
            slot,
            block: block("one"),
        },
        Vote::NotarizeFallback {
            slot,
            block: block("two"),
        },
        Vote::SkipFallback { slot },
    ]
}

/// Which of [`every_vote`] exclude each other, by index.
const EXCLUDED: [(usize, usize); 9] = [
    (0, 1),
    (0, 3),
    (1, 3),
    (0, 4),
    (1, 5),
    (2, 3),
    (2, 4),
    (2, 5),
    (2, 6),
];
/// A skip and a skip fallback exclude each other too.
const SKIPS: (usize, usize) = (3, 6);

#[test]
fn every_pair_of_votes_for_a_slot_is_judged_by_the_table_in_both_orders() {
    let votes = every_vote(7);
    for (first, earlier) in votes.iter().enumerate() {
        for (second, later) in votes.iter().enumerate() {
            let pair = (first.min(second), first.max(second));
            let due = EXCLUDED.contains(&pair) || pair == SKIPS;
            let mut stream = Stream::default();
            stream.alpenglow("a", earlier.clone());
            stream.alpenglow("a", later.clone());
            let found = stream.broken() == [Rule::Conflict];
            assert_eq!(found, due, "`{later}` after `{earlier}`");
        }
    }
}

#[test]
fn the_same_votes_for_different_slots_are_clean() {
    let mut stream = Stream::default();
    for slot in 10..40 {
        let block = format!("block {slot}");
        if slot % 5 == 0 {
            stream.alpenglow("a", Vote::Skip { slot });
        } else {
            stream.alpenglow("a", Vote::Notarize { slot, block });
            stream.alpenglow("a", Vote::Finalize { slot });
        }
    }
    assert_eq!(stream.broken(), []);
}

#[test]
fn a_slot_begun_by_one_node_and_finished_by_another_is_clean() {
    let mut stream = Stream::default();
    stream.alpenglow(
        "a",
        Vote::Notarize {
            slot: 7,
            block: "one".to_owned(),
        },
    );
    stream.alpenglow("b", Vote::Finalize { slot: 7 });
    assert_eq!(stream.broken(), []);
}

#[test]
fn a_conflict_between_two_nodes_is_found() {
    let mut stream = Stream::default();
    stream.alpenglow(
        "a",
        Vote::Notarize {
            slot: 7,
            block: "one".to_owned(),
        },
    );
    stream.alpenglow("b", Vote::Skip { slot: 7 });
    assert_eq!(stream.broken(), [Rule::Conflict]);
}

#[test]
fn one_vote_cast_by_two_nodes_is_found() {
    let mut stream = Stream::default();
    stream.alpenglow("a", Vote::Finalize { slot: 7 });
    stream.alpenglow("b", Vote::Finalize { slot: 7 });
    assert_eq!(stream.broken(), [Rule::TwoVoters]);
}

#[test]
fn an_identity_that_votes_in_both_protocols_is_found() {
    let mut stream = Stream::default();
    stream.tower("a", &after([10]));
    stream.alpenglow("a", Vote::Finalize { slot: 11 });
    assert_eq!(stream.broken(), [Rule::MixedProtocols]);
}

#[test]
fn a_history_casts_nothing_that_excludes_what_it_cast() {
    let mut history = History::default();
    assert!(history.vote(&Vote::Notarize {
        slot: 7,
        block: "one".to_owned()
    }));
    assert!(!history.vote(&Vote::Skip { slot: 7 }));
    assert!(history.vote(&Vote::Finalize { slot: 7 }));
    history.set_root(8);
    assert!(!history.vote(&Vote::Finalize { slot: 7 }), "below the root");
}
