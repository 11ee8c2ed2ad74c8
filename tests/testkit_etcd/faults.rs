//! Servers that are killed, stopped, cut off and filled.

use crate::{SOON_MS, quick};
use serde_json::json;
use std::time::Duration;
use testkit::etcd::{Etcd, Options};
use testkit::netns::Network;
use testkit::stand_in::until;

#[test]
fn a_single_server_keeps_what_it_is_given_through_a_kill() {
    let mut etcd = Etcd::single().expect("an etcd");
    let revision = etcd.put("key", b"value\0\xff").expect("a put");
    etcd.member(0).kill().expect("a kill");
    assert!(etcd.get("key").is_err(), "a killed server answers");
    etcd.member(0).restart().expect("a restart");
    etcd.wait_for_leader().expect("a leader");
    let stored = etcd.get("key").expect("a get").expect("the key");
    assert_eq!(stored.bytes, b"value\0\xff");
    assert_eq!(stored.mod_revision, revision);
    assert_eq!(etcd.delete("key").expect("a delete"), 1);
    assert_eq!(etcd.get("key").expect("a get"), None);
}

#[test]
fn three_members_survive_the_kill_of_their_leader() {
    let mut etcd = Etcd::start(&quick(3)).expect("three etcd");
    etcd.put("key", b"value").expect("a put");
    let leader = etcd.wait_for_leader().expect("a leader");
    etcd.member(leader).kill().expect("a kill");
    assert!(until(SOON_MS, || {
        etcd.leader().is_some_and(|next| next != leader)
    }));
    let stored = etcd.get("key").expect("a get").expect("the key");
    assert_eq!(stored.bytes, b"value");
    etcd.member(leader).restart().expect("a restart");
    assert!(until(SOON_MS, || {
        let statuses = etcd.members().iter().map(|member| member.status());
        let leaders: Vec<_> = statuses.flatten().map(|status| status.leader).collect();
        leaders.len() == 3 && leaders[0] != 0 && leaders.iter().all(|one| *one == leaders[0])
    }));
}

#[test]
fn a_leader_cut_off_from_the_others_is_replaced_and_follows_when_healed() {
    let network = Network::new(&["e0", "e1", "e2"]).expect("a network");
    let names = ["e0", "e1", "e2"];
    let places = names.map(|name| network.host(name).place()).to_vec();
    let etcd = Etcd::start(&Options { places, ..quick(3) }).expect("three etcd");
    let old = etcd.wait_for_leader().expect("a leader");
    network.split(&[names[old]]);
    assert!(until(SOON_MS, || etcd
        .leader()
        .is_some_and(|next| next != old)));
    let others = (0..3).filter(|index| *index != old);
    assert!(
        others
            .map(|other| network.count(names[old], names[other]).dropped)
            .all(|dropped| dropped > 0)
    );
    network.heal();
    assert!(until(SOON_MS, || {
        let leader = etcd.leader().map(|index| etcd.members()[index].status());
        let follower = etcd.members()[old].status();
        matches!((leader, follower), (Some(Ok(leader)), Ok(follower)) if leader.leader == follower.leader)
    }));
}

#[test]
fn a_full_server_reads_and_writes_no_more_until_it_is_drained() {
    let quota_bytes = Some(2 * 1024 * 1024);
    let etcd = Etcd::start(&Options {
        quota_bytes,
        ..quick(1)
    })
    .expect("an etcd");
    etcd.put("key", b"value").expect("a put");
    etcd.fill().expect("a full server");
    assert_eq!(etcd.alarms().expect("alarms"), ["NOSPACE"]);
    let refused = etcd
        .put("key", b"other")
        .expect_err("a put into a full server");
    assert!(
        refused.to_string().contains("database space exceeded"),
        "{refused}"
    );
    let stored = etcd.get("key").expect("a get").expect("the key");
    assert_eq!(stored.bytes, b"value");
    etcd.drain().expect("room");
    assert!(etcd.alarms().expect("alarms").is_empty());
    etcd.put("key", b"other").expect("a put");
}

#[test]
fn a_revoked_lease_takes_its_key_along() {
    let etcd = Etcd::single().expect("an etcd");
    let granted = etcd
        .ask("/v3/lease/grant", &json!({"TTL": "600"}))
        .expect("a lease");
    let lease = etcd.leases().expect("leases")[0];
    assert_eq!(granted["ID"], lease.to_string());
    // "key" and "value" in base64.
    let put = json!({"key": "a2V5", "value": "dmFsdWU=", "lease": lease.to_string()});
    etcd.ask("/v3/kv/put", &put).expect("a put");
    assert_eq!(
        etcd.get("key").expect("a get").expect("the key").lease,
        lease
    );
    etcd.revoke(lease).expect("a revocation");
    assert_eq!(etcd.get("key").expect("a get"), None);
    assert!(etcd.leases().expect("leases").is_empty());
}

#[test]
fn a_paused_server_says_nothing_until_it_is_resumed() {
    let mut etcd = Etcd::single().expect("an etcd");
    let member = etcd.member(0);
    member.pause().expect("a pause");
    assert!(member.status_within(Duration::from_millis(300)).is_err());
    member.resume().expect("a resumption");
    assert!(until(SOON_MS, || member.status().is_ok()));
    member.kill().expect("a kill");
    member.pause().expect_err("a pause of nobody");
}
