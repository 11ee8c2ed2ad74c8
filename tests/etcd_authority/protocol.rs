//! The protocol while all is well.

use crate::node::{IDENTITY, Node, WITHIN, key, mark};
use testkit::etcd::Etcd;
use testkit::stand_in::until;
use validator_supervisor::authority::news::{Member, News};
use validator_supervisor::authority::{CommitError, Fault};
use validator_supervisor::engine::AuthorityNews;
use validator_supervisor::engine::values::{NodeName, Term};

#[test]
fn a_term_is_given_to_one_node_and_fences_the_one_before() {
    let etcd = Etcd::single().expect("etcd");
    let (a, b) = (
        Node::start("a", etcd.endpoints()),
        Node::start("b", etcd.endpoints()),
    );
    let (first, record) = a.acquires();
    assert_eq!(record, None);
    a.commits_well(first, 1, b"one");
    a.commits_well(first, 2, b"two");
    b.hears_of_holder(Some("a"));
    let why = b.is_refused();
    assert!(why.contains("a holds term"), "{why}");

    assert_eq!(a.authority.release(first, WITHIN), Ok(()));
    b.hears_of_holder(None);
    let (second, record) = b.acquires();
    assert!(second > first);
    assert_eq!(record, Some(mark(first, 2)));
    assert!(matches!(
        a.commits(first, 3, b"three"),
        Err(CommitError::TermLost(_))
    ));
    b.commits_well(second, 3, b"three of b");
}

#[test]
fn a_lease_is_told_before_its_term_and_grows_while_it_is_renewed() {
    let etcd = Etcd::single().expect("etcd");
    let a = Node::start("a", etcd.endpoints());
    let (term, _) = a.acquires();
    let lease = |news: &News| match news {
        News::Term(AuthorityNews::Lease { term: of, until }) if *of == term => Some(*until),
        _ => None,
    };
    let first = a.hears("a lease", |news| lease(news).is_some());
    let first = lease(&first).expect("a lease");
    a.hears("a longer lease", |news| lease(news) > Some(first));
}

#[test]
fn a_term_that_is_ours_already_is_taken_anew_under_a_higher_number() {
    let etcd = Etcd::single().expect("etcd");
    let a = Node::start("a", etcd.endpoints());
    let (first, _) = a.acquires();
    let (second, _) = a.acquires();
    assert!(second > first);
    assert!(matches!(
        a.commits(first, 1, b"late"),
        Err(CommitError::TermLost(_))
    ));
    a.commits_well(second, 1, b"one");
    assert_eq!(a.authority.confirm(second, WITHIN), Ok(true));
    assert_eq!(a.authority.confirm(first, WITHIN), Ok(false));
}

#[test]
fn a_term_is_passed_to_a_member_that_is_there_and_to_no_other() {
    let etcd = Etcd::single().expect("etcd");
    let (a, b) = (
        Node::start("a", etcd.endpoints()),
        Node::start("b", etcd.endpoints()),
    );
    let (first, _) = a.acquires();
    a.commits_well(first, 1, b"one");
    let to = NodeName("b".into());
    a.hears(
        "member b",
        |news| matches!(news, News::Member { node, member: Some(_) } if *node == to),
    );
    assert_eq!(a.authority.pass(first, &to, WITHIN), Ok(()));
    assert!(matches!(
        a.commits(first, 2, b"late"),
        Err(CommitError::TermLost(_))
    ));
    let passed = b.hears("the term", |news| {
        matches!(news, News::Term(AuthorityNews::Passed { .. }))
    });
    assert!(matches!(passed, News::Term(AuthorityNews::Passed { from, .. }) if from.0 == "a"));
    let (second, record) = b.acquires();
    assert_eq!(record, Some(mark(first, 1)));
    b.commits_well(second, 2, b"two");
    let nobody = b.authority.pass(second, &NodeName("nobody".into()), WITHIN);
    assert!(matches!(nobody, Err(Fault::Refused(why)) if why.contains("is not there")));
    assert_eq!(
        b.commits(second, 3, b"three"),
        Ok(()),
        "a pass that was refused leaves the term"
    );
}

#[test]
fn a_standby_has_every_record_on_its_own_disk() {
    let etcd = Etcd::single().expect("etcd");
    let (a, b) = (
        Node::start("a", etcd.endpoints()),
        Node::start("b", etcd.endpoints()),
    );
    let (term, _) = a.acquires();
    for seq in 1..=20 {
        a.commits_well(term, seq, &[seq as u8; 300]);
    }
    assert!(until(10_000, || b.authority.newest_mark() == Some(mark(term, 20))));
    let kept = b.authority.record().expect("a record").expect("a record");
    assert_eq!((kept.bytes, kept.identity), (vec![20; 300], IDENTITY));
    let path = b.dir.path().join("replica");
    assert!(path.exists(), "{} is there", path.display());
}

#[test]
fn members_see_each_other_come_change_and_go() {
    let etcd = Etcd::single().expect("etcd");
    let (a, b) = (
        Node::start("a", etcd.endpoints()),
        Node::start("b", etcd.endpoints()),
    );
    b.tells(Member {
        role: "standby".into(),
        ready: true,
        ..Member::default()
    });
    a.hears("b's standing by", |news| {
        matches!(news, News::Member { node, member: Some(member) } if node.0 == "b" && member.ready)
    });
    let lease = etcd
        .get(&key("members/b"))
        .expect("etcd")
        .expect("a member")
        .lease;
    etcd.ask(
        "/v3/lease/revoke",
        &serde_json::json!({ "ID": lease.to_string() }),
    )
    .expect("a revocation");
    a.hears(
        "b's going",
        |news| matches!(news, News::Member { node, member: None } if node.0 == "b"),
    );
    a.forget();
    a.hears(
        "b's coming back",
        |news| matches!(news, News::Member { node, member: Some(_) } if node.0 == "b"),
    );
}

#[test]
fn a_revoked_lease_takes_the_term_with_it() {
    let etcd = Etcd::single().expect("etcd");
    let (a, b) = (
        Node::start("a", etcd.endpoints()),
        Node::start("b", etcd.endpoints()),
    );
    let (term, _) = a.acquires();
    let lease = etcd
        .get(&key("holder"))
        .expect("etcd")
        .expect("a holder")
        .lease;
    etcd.ask(
        "/v3/lease/revoke",
        &serde_json::json!({ "ID": lease.to_string() }),
    )
    .expect("a revocation");
    b.hears_of_holder(None);
    a.hears("the loss", |news| {
        *news == News::Term(AuthorityNews::TermLost(term))
    });
    assert!(matches!(
        a.commits(term, 1, b"late"),
        Err(CommitError::TermLost(_))
    ));
    let (next, _) = b.acquires();
    assert!(next > Term(term.0));
}
