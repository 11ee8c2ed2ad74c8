//! Both machines start again, or both supervisors: which of the two votes, and from which record.

use crate::lab::BACK_WITHIN_MS;
use crate::pair::Pair;
use crate::{SOON_MS, hold};
use std::io::Write as _;
use testkit::node::Node;
use testkit::stand_in::{Protocol, until};

/// Many more than come while two nodes find each other again.
const ALONE: usize = 60;

fn newest(pair: &Pair, name: &str) -> Option<u64> {
    pair.node(name).status()?["record"]["seq"].as_u64()
}

#[test]
fn of_two_that_start_again_one_votes_and_goes_on_from_the_newest_record_of_both() {
    for first in ["a", "b"] {
        let mut pair = Pair::voting(Protocol::Tower, true, "");
        pair.cut_cable(true);
        let alone = || pair.peer_is_in_step("a") == Some(false);
        assert!(until(SOON_MS, alone), "a does not vote on alone");
        pair.await_votes_of("a", ALONE, SOON_MS);
        let last = newest(&pair, "a").expect("a record");
        let other = newest(&pair, "b").expect("a record");
        assert!(other + ALONE as u64 / 2 < last, "b has {other} of {last}");
        pair.nodes.iter_mut().for_each(Node::kill);
        pair.cut_cable(false);
        let second = if first == "a" { "b" } else { "a" };
        pair.node_mut(first).start();
        pair.node(first).await_role("standby");
        pair.node_mut(second).start();
        let voter = pair.await_one_voter(BACK_WITHIN_MS);
        let from = newest(&pair, &voter).expect("a record");
        assert!(
            from > last,
            "{voter} goes on from {from}, and {last} was the newest"
        );
        pair.end();
    }
}

#[test]
fn of_two_with_the_same_record_that_start_again_the_one_with_the_higher_priority_votes() {
    let mut pair = Pair::voting(Protocol::Alpenglow, false, "");
    pair.nodes.iter_mut().for_each(Node::kill);
    let mut config = std::fs::File::options()
        .append(true)
        .open(pair.node("b").config())
        .expect("the configuration");
    write!(config, "[failover]\npriority = 200\n").expect("a section");
    pair.nodes.iter_mut().for_each(Node::start);
    assert_eq!(pair.await_one_voter(BACK_WITHIN_MS), "b");
    pair.end();
}

#[test]
fn a_node_that_stops_voting_lets_a_leader_slot_pass_and_no_more_than_that() {
    let mut pair = Pair::new(Protocol::Tower, false, "");
    hold::lead(&pair);
    pair.begin();
    let text = pair.node("a").must_end(&["demote", "--timeout", "2s"], 3);
    for part in ["without a leader slot", "the next one is", "--now"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    pair.await_votes_of("a", 5, SOON_MS);
    let text = pair.node("a").must(&["demote", "--now"]);
    assert!(text.contains("b votes, under term"), "{text}");
    pair.await_votes_of("b", 5, SOON_MS);
    // And the other commands, each told not to wait.
    pair.node("a").must(&["promote", "--now"]);
    pair.await_votes_of("a", 5, SOON_MS);
    pair.await_ready();
    pair.node("a").must(&["restart", "--now"]);
    assert_eq!(pair.node("a").role().as_deref(), Some("standby"));
    assert_eq!(pair.await_one_voter(BACK_WITHIN_MS), "b");
    pair.end();
}

#[test]
fn a_node_whose_validator_is_not_healthy_is_handed_nothing_and_the_reason_is_named() {
    let pair = Pair::voting(Protocol::Tower, false, "");
    let sick = [("health", "unknown")];
    pair.node("b").stand_in.faults(&sick).expect("a fault");
    assert!(until(SOON_MS, || !pair.knows_as_ready("a", "b")));
    let text = pair.node("a").must_end(&["handover", "--now"], 1);
    let why = "no standby is ready: b is catching-up, and its validator is not healthy";
    assert!(text.contains(why), "{text}");
    let log = pair.node("a").log();
    assert!(!log.contains("active -> demoting"), "it was muted first");
    pair.await_votes_of("a", 5, SOON_MS);
    pair.end();
}
