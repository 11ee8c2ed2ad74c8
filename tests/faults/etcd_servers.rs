//! etcd's own faults: a leader that dies or stands still, all of it out of reach, a full disk, a lease taken away, a record
//! that something else has written.

use crate::SOON_MS;
use crate::budget::{self, CUT_OFF_MS};
use crate::lab::{BACK_WITHIN_MS, LONG_TTL_MS, Lab, Shape, TTL_MS};
use crate::small_disk::SmallDisk;
use nix::sys::signal::Signal;
use testkit::children::signal;
use testkit::stand_in::{Protocol, until};
use testkit::wire::now_us;

/// Half of what a lease is sure to have left; the rest is for a busy machine.
const STOPPED_MS: u64 = (LONG_TTL_MS - 2 * LONG_TTL_MS / 5) / 2;

fn three(ttl_ms: u64) -> Shape<'static> {
    Shape {
        members: 3,
        ttl_ms,
        ..Shape::default()
    }
}

#[test]
fn the_death_of_the_leader_costs_neither_term_nor_validator() {
    let mut lab = Lab::voting(three(LONG_TTL_MS));
    let validator = lab.node("a").validator();
    let leader = lab.etcd.wait_for_leader().expect("a leader");
    let from_us = now_us();
    lab.etcd.member(leader).kill().expect("a kill");
    println!(
        "leader killed: {} ms without a vote",
        lab.longest_gap_ms(from_us, 10)
    );
    assert_eq!(lab.await_one_voter(SOON_MS), "a");
    assert_eq!(lab.node("a").validator(), validator);
    lab.etcd.member(leader).restart().expect("a restart");
    lab.etcd.wait_for_leader().expect("a leader");
    assert_eq!(lab.await_one_voter(BACK_WITHIN_MS), "a");
    assert_eq!(lab.read_ledger(), 1);
    lab.end();
}

#[test]
fn a_machine_that_dies_with_the_leader_on_it_is_followed_by_the_standby() {
    for protocol in [Protocol::Tower, Protocol::Alpenglow] {
        let mut lab = Lab::voting(Shape {
            protocol,
            ..three(TTL_MS)
        });
        let leader = lab.etcd.wait_for_leader().expect("a leader");
        let validator = lab.node("a").validator();
        let from_us = now_us();
        lab.etcd.member(leader).kill().expect("a kill");
        signal(validator, Signal::SIGKILL);
        lab.node_mut("a").kill();
        let what = format!("{protocol:?}, machine dead with etcd's leader");
        // A new leader gives every lease its whole time again.
        budget::print(&what, lab.gap_ms("b", from_us), CUT_OFF_MS + TTL_MS);
        assert_eq!(lab.await_one_voter(BACK_WITHIN_MS), "b");
        lab.end();
    }
}

#[test]
fn a_leader_that_stands_still_costs_neither_term_nor_validator() {
    let mut lab = Lab::voting(three(LONG_TTL_MS));
    let validator = lab.node("a").validator();
    let leader = lab.etcd.wait_for_leader().expect("a leader");
    let from_us = now_us();
    lab.etcd.member(leader).pause().expect("a pause");
    println!(
        "leader stopped: {} ms without a vote",
        lab.longest_gap_ms(from_us, 10)
    );
    assert_eq!(lab.await_one_voter(SOON_MS), "a");
    lab.etcd.member(leader).resume().expect("a resumption");
    assert_eq!(lab.await_one_voter(BACK_WITHIN_MS), "a");
    assert_eq!(lab.node("a").validator(), validator);
    assert_eq!(lab.read_ledger(), 1);
    lab.end();
}

#[test]
fn votes_wait_and_go_on_where_etcd_stands_still_for_less_than_the_lease() {
    for protocol in [Protocol::Tower, Protocol::Alpenglow] {
        let mut lab = Lab::voting(Shape {
            protocol,
            ..three(LONG_TTL_MS)
        });
        let validator = lab.node("a").validator();
        let from_us = now_us();
        all_members(&mut lab, true);
        // The last renewal may be an interval old, and the margin is kept: each is at most a fifth of the time to live.
        lab.let_ms_pass(STOPPED_MS);
        all_members(&mut lab, false);
        let gap_ms = lab.longest_gap_ms(from_us, 10);
        println!("{protocol:?}, etcd stopped for {STOPPED_MS} ms: {gap_ms} ms without a vote");
        assert_eq!(lab.await_one_voter(BACK_WITHIN_MS), "a");
        assert_eq!(lab.node("a").validator(), validator, "a validator was lost");
        assert_eq!(lab.read_ledger(), 1, "the term was lost");
        lab.end();
    }
}

fn all_members(lab: &mut Lab, pause: bool) {
    for index in 0..lab.etcd.members().len() {
        let member = lab.etcd.member(index);
        let done = if pause {
            member.pause()
        } else {
            member.resume()
        };
        done.expect("a signal");
    }
}

#[test]
fn without_etcd_the_node_is_fenced_alone_and_comes_back_when_etcd_does() {
    for protocol in [Protocol::Tower, Protocol::Alpenglow] {
        let mut lab = Lab::voting(Shape {
            protocol,
            ..three(TTL_MS)
        });
        let from_us = now_us();
        all_members(&mut lab, true);
        lab.nothing_can_be_committed();
        lab.expect_off_by_lease_end("a", from_us);
        lab.expect_silence_for(TTL_MS);
        all_members(&mut lab, false);
        let healed_us = now_us();
        for name in ["a", "b"] {
            lab.chain.promoted(&lab.identity, name);
        }
        lab.await_one_voter(BACK_WITHIN_MS);
        let back_ms = (now_us() - healed_us) / 1000;
        println!("{protocol:?}, etcd back: one voter within {back_ms} ms");
        lab.end();
    }
}

#[test]
fn a_revoked_lease_ends_the_term_and_the_next_one_votes() {
    let mut lab = Lab::voting(Shape::default());
    let holder = lab.etcd.get(&lab.key("holder")).expect("etcd");
    let lease = holder.expect("a holder").lease;
    let from_us = now_us();
    lab.etcd.revoke(lease).expect("a revocation");
    budget::print(
        "lease revoked",
        lab.gap_ms("b", from_us),
        budget::CHILD_KILLED_MS,
    );
    assert_eq!(lab.await_one_voter(BACK_WITHIN_MS), "b");
    lab.node("a").await_role("standby");
    assert_eq!(lab.read_ledger(), 2);
    lab.end();
}

#[test]
fn a_record_that_something_else_has_written_is_named_and_left_alone_until_it_is_restored() {
    let lab = Lab::voting(Shape::default());
    let key = lab.key("record");
    lab.etcd.put(&key, b"not a record").expect("a put");
    lab.nothing_can_be_committed();
    for name in ["a", "b"] {
        let node = lab.node(name);
        assert!(
            until(SOON_MS, || node.log().contains(&key)),
            "{name} names the key"
        );
    }
    lab.expect_silence_for(TTL_MS);
    let found = lab.etcd.get(&key).expect("etcd").expect("the record");
    assert_eq!(found.bytes, b"not a record", "nothing is overwritten");
    // As the page says: from the node that voted last.
    let replica = std::fs::read(lab.node("a").path("state/replica")).expect("its replica");
    for name in ["a", "b"] {
        lab.chain.promoted(&lab.identity, name);
    }
    lab.etcd.put(&key, &replica).expect("a put");
    lab.await_one_voter(SOON_MS);
    lab.end();
}

#[test]
fn a_full_etcd_is_named_and_votes_go_on_once_there_is_room() {
    let mut lab = Lab::voting(Shape {
        quota_bytes: Some(4 * 1024 * 1024),
        ttl_ms: LONG_TTL_MS,
        ..Shape::default()
    });
    let validator = lab.node("a").validator();
    lab.etcd.fill().expect("a full etcd");
    lab.node("a").await_log("its database is full");
    lab.read_ledger();
    lab.etcd.drain().expect("room");
    lab.await_votes_of("a", 5, SOON_MS);
    assert_eq!(
        lab.node("a").validator(),
        validator,
        "the lease is renewed all the while"
    );
    assert_eq!(lab.await_one_voter(BACK_WITHIN_MS), "a");
    lab.end();
}

/// Its log is allotted beforehand, 64 MiB at a time; its database is not.
#[test]
fn a_disk_without_room_ends_etcd_and_one_node_votes_again_when_it_is_back() {
    let disk = SmallDisk::new(200);
    let mut lab = Lab::voting(Shape {
        disk: Some(disk.path()),
        ttl_ms: LONG_TTL_MS,
        ..Shape::default()
    });
    disk.fill();
    let ended = until(SOON_MS, || lab.etcd.member(0).has_ended());
    assert!(ended, "etcd lives on without a disk");
    lab.node("a").await_log("active -> fenced");
    lab.expect_silence_for(1_000);
    disk.drain();
    lab.etcd.member(0).restart().expect("a restart");
    lab.await_one_voter(BACK_WITHIN_MS);
    lab.end();
}
