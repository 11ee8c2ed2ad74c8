//! Two machines and no third, one of which stands still for a while, or whose words do not arrive.

use crate::SOON_MS;
use crate::handover::moves;
use crate::lab::BACK_WITHIN_MS;
use crate::pair::Pair;
use crate::scene::LATE_MS;
use crate::stopped::{continue_validator, stop_validator};
use nix::sys::signal::Signal;
use testkit::children::signal;
use testkit::netns::Link;
use testkit::node::said;
use testkit::stand_in::{Protocol, until};
use testkit::wire::now_us;

/// A node that says nothing is let go of after 1.5 s, one that keeps no record after 1 s more.
const LET_GO_MS: u64 = 2_500;
/// How long something lasts.
const WHILE_MS: u64 = 4_000;

/// The holder, `a`, votes on after a gap that has a bound, and whatever it was is over then.
#[track_caller]
fn votes_on(pair: &Pair, from_us: u64, what: &str) {
    let gap_ms = pair.longest_gap_ms(from_us, 40);
    println!("{what}: {gap_ms} ms without a vote");
    assert!(gap_ms <= LET_GO_MS + LATE_MS, "{what}: {gap_ms} ms");
    pair.await_votes_of("a", 5, SOON_MS);
    assert_eq!(pair.node("b").role().as_deref(), Some("standby"), "{what}");
}

/// Both hear each other again, and the vote can move.
#[track_caller]
fn is_whole_again(pair: &Pair) {
    assert_eq!(pair.await_one_voter(BACK_WITHIN_MS), "a");
    let in_step = || pair.peer_is_in_step("a") == Some(true);
    assert!(until(SOON_MS, in_step), "b has not caught up");
    moves(pair, "a", "b", "a", &["handover"]);
}

#[test]
fn words_that_arrive_in_one_direction_only_make_no_second_voter() {
    for (from, to) in [("a", "b"), ("b", "a")] {
        let pair = Pair::voting(Protocol::Tower, true, "");
        let from_us = now_us();
        pair.network().cut_one_way(from, to);
        votes_on(&pair, from_us, &format!("nothing from {from} to {to}"));
        pair.cut_cable(false);
        is_whole_again(&pair);
        pair.end();
    }
}

#[test]
fn a_slow_and_lossy_cable_makes_no_second_voter() {
    for protocol in [Protocol::Tower, Protocol::Alpenglow] {
        let pair = Pair::voting(protocol, true, "");
        let slow = |delay_ms, jitter_ms, loss_percent| Link {
            delay_ms,
            jitter_ms,
            loss_percent,
            ..Link::default()
        };
        for link in [slow(50, 0, 0), slow(10, 60, 3), slow(200, 0, 0)] {
            pair.network().set("a", "b", link);
            pair.network().set("b", "a", link);
            let before = pair.chain.votes().len();
            pair.let_ms_pass(WHILE_MS);
            let votes = pair.chain.votes().len() - before;
            println!("{protocol:?}, {link:?}: {votes} votes in {WHILE_MS} ms");
            pair.await_votes_of("a", 5, SOON_MS);
            assert_eq!(pair.node("b").role().as_deref(), Some("standby"));
        }
        pair.cut_cable(false);
        is_whole_again(&pair);
        pair.end();
    }
}

#[test]
fn a_standby_that_stands_still_stops_no_vote_and_catches_up() {
    let pair = Pair::voting(Protocol::Alpenglow, false, "");
    let (validator, supervisor) = (pair.node("b").validator(), pair.node("b").supervisor());
    let from_us = now_us();
    signal(validator, Signal::SIGSTOP);
    signal(supervisor, Signal::SIGSTOP);
    assert!(until(SOON_MS, || pair.has_lost_the_other("a")));
    pair.await_votes_of("a", 40, SOON_MS);
    signal(supervisor, Signal::SIGCONT);
    signal(validator, Signal::SIGCONT);
    votes_on(&pair, from_us, "the standby stood still");
    is_whole_again(&pair);
    pair.end();
}

/// Its votes cannot leave, and nobody else's may.
#[test]
fn a_holders_supervisor_that_stands_still_lets_nothing_out_and_is_followed_by_nobody() {
    for protocol in [Protocol::Tower, Protocol::Alpenglow] {
        let pair = Pair::voting(protocol, false, "");
        let validator = pair.node("a").validator();
        let supervisor = pair.node("a").supervisor();
        signal(supervisor, Signal::SIGSTOP);
        pair.nothing_can_be_committed();
        pair.expect_silence_for(WHILE_MS);
        assert!(pair.has_lost_the_other("b"));
        let refused = pair.node("b").ctl(&["promote"]);
        assert_eq!(refused.status.code(), Some(4), "{}", said(&refused));
        assert_eq!(pair.node("b").role().as_deref(), Some("standby"));
        pair.chain.promoted(&pair.identity, "a");
        signal(supervisor, Signal::SIGCONT);
        pair.await_votes_of("a", 5, SOON_MS);
        assert_eq!(pair.node("a").validator(), validator, "it was restarted");
        pair.chain.promoted(&pair.identity, "b");
        is_whole_again(&pair);
        pair.end();
    }
}

#[test]
fn a_suspended_machine_that_wakes_up_votes_on() {
    let pair = Pair::voting(Protocol::Tower, false, "");
    let supervisor = pair.node("a").supervisor();
    assert!(stop_validator(pair.node("a")));
    signal(supervisor, Signal::SIGSTOP);
    pair.expect_silence_for(WHILE_MS);
    assert_eq!(pair.node("b").role().as_deref(), Some("standby"));
    continue_validator(pair.node("a"));
    signal(supervisor, Signal::SIGCONT);
    pair.await_votes_of("a", 5, SOON_MS);
    is_whole_again(&pair);
    pair.end();
}

#[test]
fn a_validator_that_votes_no_more_is_followed_by_the_standby() {
    for frozen in [false, true] {
        let pair = Pair::voting(Protocol::Tower, false, "[failover]\nsilence = \"3s\"");
        let before = pair.node("a").validator();
        if frozen {
            assert!(stop_validator(pair.node("a")));
        } else {
            let silent = [("stop_voting", "true")];
            pair.node("a").stand_in.faults(&silent).expect("a fault");
        }
        pair.await_votes_of("b", 5, SOON_MS);
        continue_validator(pair.node("a"));
        pair.node("a").stand_in.faults(&[]).expect("no fault");
        pair.node("a").await_role("standby");
        assert_eq!(pair.node("a").validator() != before, frozen);
        assert_eq!(pair.await_one_voter(BACK_WITHIN_MS), "b");
        pair.end();
    }
}
