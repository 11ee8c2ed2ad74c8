//! Two machines and no third: what each may do when the other one says nothing, and what it does when it hears again.

use crate::SOON_MS;
use crate::budget::{self, CHILD_KILLED_MS};
use crate::handover::moves;
use crate::hold;
use crate::lab::BACK_WITHIN_MS;
use crate::pair::Pair;
use crate::small_disk::SmallDisk;
use nix::sys::signal::Signal;
use testkit::children::signal;
use testkit::node::said;
use testkit::stand_in::{Protocol, until};
use testkit::wire::now_us;

const BOTH: [Protocol; 2] = [Protocol::Tower, Protocol::Alpenglow];
const THERE_AND_BACK: usize = 3;

#[test]
fn a_handover_there_and_back_costs_no_validator() {
    for protocol in BOTH {
        let pair = Pair::voting(protocol, false, "");
        let validators = ["a", "b"].map(|name| pair.node(name).validator());
        let mut gaps = Vec::new();
        for _ in 0..THERE_AND_BACK {
            for (from, to) in [("a", "b"), ("b", "a")] {
                pair.await_ready();
                let from_us = now_us();
                let text = pair.node(from).must(&["handover"]);
                assert!(text.contains(&format!("{to} votes, under term")), "{text}");
                pair.await_votes_of(to, 5, SOON_MS);
                gaps.push(pair.longest_gap_ms(from_us, 3));
            }
        }
        println!("{protocol:?}: handovers of {gaps:?} ms without a vote");
        for name in ["a", "b"] {
            let log = pair.node(name).log();
            assert!(
                !log.contains("CAUSE=\"holder-gone\""),
                "{name} took what it was given for left over"
            );
        }
        assert_eq!(
            ["a", "b"].map(|name| pair.node(name).validator()),
            validators
        );
        pair.end();
    }
}

#[test]
fn the_vote_moves_by_every_command_that_moves_it() {
    let pair = Pair::voting(Protocol::Alpenglow, false, "");
    moves(&pair, "a", "b", "b", &["promote"]);
    moves(&pair, "b", "a", "b", &["demote"]);
    pair.node("b").await_role("parked");
    let text = pair.node("b").must(&["promote"]);
    assert!(
        text.contains("asking a, which votes, to hand over"),
        "{text}"
    );
    pair.await_votes_of("b", 5, SOON_MS);
    pair.node("a").await_role("standby");
    pair.await_ready();
    let before = ["a", "b"].map(|name| pair.node(name).validator());
    pair.node("b").must(&["restart"]);
    assert_eq!(pair.await_one_voter(BACK_WITHIN_MS), "a");
    assert_eq!(pair.node("a").validator(), before[0]);
    assert_ne!(pair.node("b").validator(), before[1]);
    pair.end();
}

#[test]
fn a_killed_validator_is_followed_by_the_standby_without_a_timeout() {
    for protocol in BOTH {
        let pair = Pair::voting(protocol, false, "");
        let from_us = now_us();
        signal(pair.node("a").validator(), Signal::SIGKILL);
        let what = format!("{protocol:?}, peer, validator killed");
        budget::print(&what, pair.gap_ms("b", from_us), CHILD_KILLED_MS);
        assert_eq!(pair.await_one_voter(BACK_WITHIN_MS), "b");
        pair.node("a").await_role("standby");
        pair.end();
    }
}

#[test]
fn a_killed_supervisor_gives_its_term_up_when_it_is_started_again() {
    for protocol in BOTH {
        let mut pair = Pair::voting(protocol, false, "");
        pair.node_mut("a").kill();
        pair.nothing_can_be_committed();
        pair.expect_silence_for(2_000);
        let text = pair.node("b").must(&["status"]);
        assert!(text.contains("peer a is unreachable, last seen "), "{text}");
        pair.chain.promoted(&pair.identity, "b");
        let from_us = now_us();
        pair.node_mut("a").start();
        println!(
            "{protocol:?}: {} ms from its start",
            pair.gap_ms("b", from_us)
        );
        assert_eq!(pair.await_one_voter(BACK_WITHIN_MS), "b");
        pair.node("a").await_role("standby");
        pair.end();
    }
}

#[test]
fn a_cut_cable_stops_no_vote_and_makes_no_second_voter() {
    for protocol in BOTH {
        let pair = Pair::voting(protocol, true, "");
        let from_us = now_us();
        pair.cut_cable(true);
        println!(
            "{protocol:?}: cable cut, {} ms without a vote",
            pair.longest_gap_ms(from_us, 40)
        );
        pair.await_votes_of("a", 60, SOON_MS);
        assert_eq!(pair.node("b").role().as_deref(), Some("standby"));
        assert_eq!(pair.peer_is_in_step("a"), Some(false));
        let text = pair.node("a").must(&["status"]);
        assert!(
            text.contains("votes go on with their records on this disk alone"),
            "{text}"
        );
        let log = pair.node("a").log();
        let is_page = |line: &str| line.contains("EVENT=\"page\"");
        assert!(
            log.lines()
                .any(|line| is_page(line) && line.contains("b is out of reach")),
            "{log}"
        );
        // Nor does an operator's word, while the votes of the other one show.
        let text = pair
            .node("b")
            .must_end(&["promote", "--accept-double-vote-risk"], 1);
        assert!(text.contains("the node that votes is not dead"), "{text}");
        pair.cut_cable(false);
        pair.await_ready();
        assert!(until(SOON_MS, || pair.peer_is_in_step("a") == Some(true)));
        // What it missed is on its disk, and it can take over.
        signal(pair.node("a").validator(), Signal::SIGKILL);
        pair.await_votes_of("b", 5, SOON_MS);
        assert_eq!(pair.await_one_voter(BACK_WITHIN_MS), "b");
        pair.end();
    }
}

#[test]
fn a_holder_that_is_to_hold_votes_no_more_without_its_peer() {
    let pair = Pair::voting(Protocol::Tower, true, "on_loss = \"hold\"");
    pair.cut_cable(true);
    pair.chain.let_slots_pass(40);
    pair.nothing_can_be_committed();
    pair.expect_silence_for(1_000);
    for name in ["a", "b"] {
        pair.chain.promoted(&pair.identity, name);
    }
    pair.cut_cable(false);
    pair.await_one_voter(BACK_WITHIN_MS);
    pair.end();
}

#[test]
fn a_dead_machine_is_followed_when_an_operator_says_so() {
    for protocol in BOTH {
        let mut pair = Pair::voting(protocol, false, "");
        pair.node_mut("a").kill();
        let refused = || {
            let output = pair.node("b").ctl(&["promote"]);
            (output.status.code() == Some(4)).then(|| said(&output))
        };
        let mut text = None;
        let unsafe_to = until(SOON_MS, || {
            text = refused();
            text.is_some()
        });
        assert!(unsafe_to, "promoted beside a node that cannot be asked");
        let text = text.unwrap_or_default();
        assert!(text.contains("a cannot be reached"), "{text}");
        // Once the chain has shown no new vote for a while.
        let promoted = || {
            let output = pair
                .node("b")
                .ctl(&["promote", "--accept-double-vote-risk"]);
            output.status.success()
        };
        assert!(until(SOON_MS, promoted), "not promoted");
        assert_eq!(pair.await_one_voter(BACK_WITHIN_MS), "b");
        // The one that was dead is one of two again.
        pair.node_mut("a").start();
        pair.node("a").await_role("standby");
        assert_eq!(pair.await_one_voter(BACK_WITHIN_MS), "b");
        pair.end();
    }
}

#[test]
fn an_operator_who_asks_for_the_term_is_told_why_the_other_one_keeps_it() {
    let mut pair = Pair::new(Protocol::Tower, false, "");
    hold::lead(&pair);
    pair.begin();
    let text = pair.node("b").must_end(&["promote", "--timeout", "3s"], 3);
    let why = "a does not hand over yet: it waits for 12 slots without a leader slot";
    assert!(text.contains(why), "{text}");
    // It waits on, and the voter's own operator need not.
    pair.node("a").must(&["handover", "--now"]);
    assert_eq!(pair.await_one_voter(BACK_WITHIN_MS), "b");
    pair.end();
}

/// Neither votes nor a handover need more room than there was at the start.
#[test]
fn full_disks_keep_neither_votes_nor_a_term_from_going_on() {
    let mut pair = Pair::new(Protocol::Tower, false, "");
    let state_dirs = ["a", "b"].map(|name| pair.node(name).path("state"));
    let disks = state_dirs.map(|dir| SmallDisk::over(&dir, 16));
    pair.begin();
    disks.iter().for_each(SmallDisk::fill);
    for (from, to) in [("a", "b"), ("b", "a")] {
        pair.await_ready();
        let text = pair.node(from).must(&["handover"]);
        assert!(text.contains(&format!("{to} votes, under term")), "{text}");
        pair.await_votes_of(to, 5, SOON_MS);
    }
    signal(pair.node("a").validator(), Signal::SIGKILL);
    assert_eq!(pair.await_one_voter(BACK_WITHIN_MS), "b");
    pair.end();
}
