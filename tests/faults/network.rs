//! Cables: the holder cut off from etcd, from everyone, in one direction; etcd cut in itself; slow and lossy links.

use crate::SOON_MS;
use crate::budget::{self, CUT_OFF_MS};
use crate::lab::{BACK_WITHIN_MS, LONG_TTL_MS, Lab, Shape, TTL_MS};
use testkit::netns::Link;
use testkit::stand_in::Protocol;
use testkit::wire::now_us;

const MEMBERS: [&str; 3] = ["e0", "e1", "e2"];

fn hosts(protocol: Protocol, ttl_ms: u64) -> Lab {
    Lab::voting(Shape {
        protocol,
        members: 3,
        hosts: true,
        ttl_ms,
        ..Shape::default()
    })
}

/// The standby takes over, the old holder is off the identity in time and becomes a standby when the cables are whole.
fn taken_over(lab: &Lab, what: &str, from_us: u64) {
    lab.expect_off_by_lease_end("a", from_us);
    budget::print(what, lab.gap_ms("b", from_us), CUT_OFF_MS);
    lab.chain.demoted(&lab.identity, Some("a"));
    lab.await_votes_of("b", 5, SOON_MS);
    lab.network().heal();
    lab.chain.cut_off("a", false);
    assert_eq!(lab.await_one_voter(BACK_WITHIN_MS), "b");
    lab.node("a").await_role("standby");
    assert_eq!(lab.await_one_voter(BACK_WITHIN_MS), "b");
}

#[test]
fn a_holder_cut_off_from_etcd_alone_is_followed_by_the_standby() {
    for protocol in [Protocol::Tower, Protocol::Alpenglow] {
        let lab = hosts(protocol, TTL_MS);
        let from_us = now_us();
        MEMBERS
            .iter()
            .for_each(|member| lab.network().cut("a", member));
        taken_over(&lab, &format!("{protocol:?}, cut off from etcd"), from_us);
        lab.end();
    }
}

#[test]
fn a_holder_cut_off_from_everyone_is_followed_by_the_standby() {
    for protocol in [Protocol::Tower, Protocol::Alpenglow] {
        let lab = hosts(protocol, TTL_MS);
        let from_us = now_us();
        lab.chain.cut_off("a", true);
        lab.network().cut("a", "b");
        MEMBERS
            .iter()
            .for_each(|member| lab.network().cut("a", member));
        taken_over(
            &lab,
            &format!("{protocol:?}, cut off from everyone"),
            from_us,
        );
        lab.end();
    }
}

#[test]
fn a_holder_whose_requests_do_not_arrive_is_followed_by_the_standby() {
    let lab = hosts(Protocol::Tower, TTL_MS);
    let from_us = now_us();
    for member in MEMBERS {
        lab.network().cut_one_way("a", member);
    }
    taken_over(&lab, "requests lost", from_us);
    lab.end();
}

#[test]
fn a_holder_whose_answers_do_not_arrive_is_followed_by_the_standby() {
    let lab = hosts(Protocol::Tower, TTL_MS);
    let from_us = now_us();
    for member in MEMBERS {
        lab.network().cut_one_way(member, "a");
    }
    taken_over(&lab, "answers lost", from_us);
    lab.end();
}

#[test]
fn a_holder_that_reaches_one_member_of_three_votes_on_through_it() {
    let mut lab = hosts(Protocol::Tower, LONG_TTL_MS);
    let validator = lab.node("a").validator();
    let leader = lab.etcd.wait_for_leader().expect("a leader");
    let from_us = now_us();
    for (index, member) in MEMBERS.iter().enumerate() {
        if index != (leader + 1) % 3 {
            lab.network().cut("a", member);
        }
    }
    println!(
        "one member in reach: {} ms without a vote",
        lab.longest_gap_ms(from_us, 10)
    );
    assert_eq!(lab.await_one_voter(SOON_MS), "a");
    assert_eq!(lab.node("a").validator(), validator);
    lab.network().heal();
    assert_eq!(lab.await_one_voter(BACK_WITHIN_MS), "a");
    assert_eq!(lab.read_ledger(), 1);
    lab.end();
}

#[test]
fn an_etcd_whose_leader_is_cut_off_from_its_members_serves_on() {
    let mut lab = hosts(Protocol::Tower, LONG_TTL_MS);
    let validator = lab.node("a").validator();
    let leader = lab.etcd.wait_for_leader().expect("a leader");
    let from_us = now_us();
    for member in MEMBERS {
        if member != MEMBERS[leader] {
            lab.network().cut(MEMBERS[leader], member);
        }
    }
    println!(
        "leader cut off: {} ms without a vote",
        lab.longest_gap_ms(from_us, 10)
    );
    assert_eq!(lab.await_one_voter(SOON_MS), "a");
    lab.network().heal();
    assert_eq!(lab.await_one_voter(BACK_WITHIN_MS), "a");
    assert_eq!(lab.node("a").validator(), validator);
    assert_eq!(lab.read_ledger(), 1);
    lab.end();
}

#[test]
fn an_etcd_without_a_quorum_lets_nobody_vote_and_one_when_it_is_whole() {
    let lab = hosts(Protocol::Tower, TTL_MS);
    let from_us = now_us();
    for (one, other) in [("e0", "e1"), ("e0", "e2"), ("e1", "e2")] {
        lab.network().cut(one, other);
    }
    lab.expect_off_by_lease_end("a", from_us);
    lab.expect_silence_for(1_000);
    lab.network().heal();
    lab.await_one_voter(BACK_WITHIN_MS);
    lab.end();
}

#[test]
fn links_that_are_slow_and_lossy_make_no_second_voter() {
    let lab = hosts(Protocol::Tower, LONG_TTL_MS);
    for link in [
        Link {
            delay_ms: 50,
            ..Link::default()
        },
        Link {
            delay_ms: 10,
            jitter_ms: 60,
            loss_percent: 3,
            ..Link::default()
        },
        Link {
            delay_ms: 200,
            ..Link::default()
        },
    ] {
        for node in ["a", "b"] {
            for member in MEMBERS {
                lab.network().set(node, member, link);
                lab.network().set(member, node, link);
            }
        }
        let before = lab.chain.votes().len();
        lab.let_ms_pass(4_000);
        let votes = lab.chain.votes().len() - before;
        println!("{link:?}: {votes} votes in 80 slots");
    }
    lab.network().heal();
    lab.await_one_voter(BACK_WITHIN_MS);
    lab.end();
}
