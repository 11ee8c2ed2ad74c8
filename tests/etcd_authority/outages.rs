//! Servers that die, stop and come back; answers that get lost.

use std::time::Duration;

use crate::node::{Node, WITHIN, config, mark};
use testkit::etcd::Etcd;
use testkit::stand_in::until;
use validator_supervisor::authority::CommitError;
use validator_supervisor::authority::news::News;
use validator_supervisor::engine::AuthorityNews;

#[test]
fn a_node_that_starts_before_etcd_gets_its_term_when_etcd_is_there() {
    let mut etcd = Etcd::single().expect("etcd");
    etcd.member(0).kill().expect("a kill");
    let node = Node::start("a", etcd.endpoints());
    node.hears("the trouble", |news| matches!(news, News::Trouble { .. }));
    etcd.member(0).restart().expect("a restart");
    let (term, _) = node.acquires();
    node.commits_well(term, 1, b"one");
    node.hears("the end of the trouble", |news| {
        matches!(news, News::Well(_))
    });
}

#[test]
fn a_dead_endpoint_does_not_matter() {
    let mut etcd = Etcd::cluster(3).expect("etcd");
    etcd.wait_for_leader().expect("a leader");
    etcd.member(0).kill().expect("a kill");
    etcd.wait_for_leader().expect("a leader");
    let node = Node::start("a", etcd.endpoints());
    let (term, _) = node.acquires();
    for seq in 1..=20 {
        node.commits_well(term, seq, b"record");
    }
}

#[test]
fn a_holder_survives_the_death_of_the_leader() {
    let mut etcd = Etcd::cluster(3).expect("etcd");
    let leader = etcd.wait_for_leader().expect("a leader");
    let node = Node::configured(
        "a",
        &validator_supervisor::config::EtcdConfig {
            ttl: Duration::from_secs(10),
            ..config(etcd.endpoints())
        },
    );
    let (term, _) = node.acquires();
    node.commits_well(term, 1, b"one");
    etcd.member(leader).kill().expect("a kill");
    for seq in 2..=10 {
        node.commits_well(term, seq, b"more");
    }
    assert_eq!(node.authority.confirm(term, WITHIN), Ok(true));
}

#[test]
fn a_commit_that_etcd_holds_up_is_unsettled_and_goes_through_when_it_goes_on() {
    let mut etcd = Etcd::single().expect("etcd");
    let node = Node::configured(
        "a",
        &validator_supervisor::config::EtcdConfig {
            ttl: Duration::from_secs(30),
            ..config(etcd.endpoints())
        },
    );
    let (term, _) = node.acquires();
    etcd.member(0).pause().expect("a stop");
    assert!(matches!(
        node.commits(term, 1, b"one"),
        Err(CommitError::Unsettled(_))
    ));
    assert!(matches!(
        node.commits(term, 2, b"two"),
        Err(CommitError::Unsettled(_))
    ));
    etcd.member(0).resume().expect("going on");
    // Whichever of the two was applied while nobody listened, the newest is the one that goes on.
    node.commits_well(term, 3, b"three");
    assert!(until(10_000, || node.authority.newest_mark()
        == Some(mark(term, 3))));
}

#[test]
fn a_holder_that_etcd_does_not_hear_loses_its_term_to_the_next() {
    let mut etcd = Etcd::single().expect("etcd");
    let short = validator_supervisor::config::EtcdConfig {
        ttl: Duration::from_secs(4),
        margin: Duration::from_secs(1),
        ..config(etcd.endpoints())
    };
    let (a, b) = (Node::configured("a", &short), Node::configured("b", &short));
    let (first, _) = a.acquires();
    let until_before = a.authority.lease_until().expect("a lease");
    etcd.member(0).pause().expect("a stop");
    // Past every lease that was granted.
    assert!(until(20_000, || crate::node::clock() > until_before.plus(3_000)));
    etcd.member(0).resume().expect("going on");
    a.hears("the loss", |news| {
        *news == News::Term(AuthorityNews::TermLost(first))
    });
    b.hears_of_holder(None);
    let (second, _) = b.acquires();
    assert!(second > first);
    assert!(matches!(
        a.settles(first, 1, b"late"),
        Err(CommitError::TermLost(_))
    ));
}
