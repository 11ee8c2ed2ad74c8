//! What else may stand under the keys: nothing of it is overwritten, and no term comes of it.

use crate::node::{IDENTITY, Node, key, mark};
use testkit::etcd::Etcd;
use validator_supervisor::authority::{CommitError, stored};
use validator_supervisor::engine::values::Term;

fn stored_record(term: u64, identity: [u8; 32]) -> Vec<u8> {
    let mut form = Vec::new();
    stored::write_record(&mut form, mark(Term(term), 5), &identity, b"record");
    form
}

#[track_caller]
fn is_refused_for(name: &str, value: &[u8], words: &str) {
    let etcd = Etcd::single().expect("etcd");
    etcd.put(&key(name), value).expect("a value");
    let node = Node::start("a", etcd.endpoints());
    let why = node.is_refused();
    assert!(why.contains(words), "{why}");
    assert!(
        why.contains(&key(name)) || words.contains("restored"),
        "{why} names the key"
    );
    let after = etcd
        .get(&key(name))
        .expect("etcd")
        .map(|stored| stored.bytes);
    assert_eq!(after.as_deref(), Some(value), "it is not overwritten");
    if name != "holder" {
        assert!(
            etcd.get(&key("holder")).expect("etcd").is_none(),
            "the term went back"
        );
    }
}

#[test]
fn garbage_as_the_record_is_refused_and_left_alone() {
    is_refused_for("record", b"garbage", "cut off");
}

#[test]
fn a_record_with_a_flipped_bit_is_refused_and_left_alone() {
    let mut form = stored_record(1, IDENTITY);
    form[30] ^= 1;
    is_refused_for("record", &form, "checksum");
}

#[test]
fn a_record_of_another_version_is_refused_and_left_alone() {
    let mut form = stored_record(1, IDENTITY);
    form[8] = 9;
    is_refused_for("record", &form, "etcd's /test/");
}

#[test]
fn a_record_of_another_identity_is_refused_and_left_alone() {
    is_refused_for("record", &stored_record(1, [9; 32]), "another identity");
}

#[test]
fn a_record_of_a_later_term_means_that_etcd_has_forgotten() {
    is_refused_for(
        "record",
        &stored_record(1_000_000, IDENTITY),
        "restored from a backup",
    );
}

#[test]
fn garbage_as_the_holder_is_refused_and_left_alone() {
    is_refused_for(
        "holder",
        b"garbage that is longer than the frame of every stored form",
        "not a file of this program",
    );
}

#[test]
fn an_etcd_that_forgot_what_this_disk_knows_grants_no_term() {
    let etcd = Etcd::single().expect("etcd");
    let node = Node::start("a", etcd.endpoints());
    let (term, _) = node.acquires();
    for seq in 1..=10 {
        node.commits_well(term, seq, b"record");
    }
    let _ = node.authority.record();
    let dir = tempfile::tempdir().expect("a directory");
    assert!(testkit::stand_in::until(10_000, || node
        .dir
        .path()
        .join("replica")
        .exists()));
    std::fs::copy(node.dir.path().join("replica"), dir.path().join("replica")).expect("a copy");
    let anew = Etcd::single().expect("etcd");
    let other = Node::in_dir("a", &crate::node::config(anew.endpoints()), dir);
    let why = other.is_refused();
    assert!(why.contains("restored from a backup, or replaced"), "{why}");
    assert!(anew.get(&key("holder")).expect("etcd").is_none());
}

#[test]
fn another_cluster_is_refused_by_its_number() {
    let etcd = Etcd::single().expect("etcd");
    let node = Node::start("a", etcd.endpoints());
    node.acquires();
    let other = Etcd::single().expect("etcd");
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::copy(
        node.dir.path().join("etcd-cluster"),
        dir.path().join("etcd-cluster"),
    )
    .expect("a copy");
    let moved = Node::in_dir("a", &crate::node::config(other.endpoints()), dir);
    let why = moved.hears_of_trouble("cluster id");
    assert!(why.contains("authority.etcd.endpoints"), "{why}");
}

#[test]
fn a_record_that_somebody_else_changes_stops_the_holder() {
    let etcd = Etcd::single().expect("etcd");
    let node = Node::start("a", etcd.endpoints());
    let (term, _) = node.acquires();
    node.commits_well(term, 1, b"one");
    let tampered = stored_record(term.0, IDENTITY);
    etcd.put(&key("record"), &tampered).expect("a value");
    let refused = node.settles(term, 2, b"two");
    assert!(
        matches!(&refused, Err(CommitError::TermLost(why)) if why.contains("changed by something else")),
        "{refused:?}"
    );
    let after = etcd
        .get(&key("record"))
        .expect("etcd")
        .map(|stored| stored.bytes);
    assert_eq!(after, Some(tampered));
}

#[test]
fn a_record_that_somebody_removes_stops_the_holder() {
    let etcd = Etcd::single().expect("etcd");
    let node = Node::start("a", etcd.endpoints());
    let (term, _) = node.acquires();
    node.commits_well(term, 1, b"one");
    etcd.delete(&key("record")).expect("a deletion");
    assert!(matches!(
        node.settles(term, 2, b"two"),
        Err(CommitError::TermLost(_))
    ));
    assert!(etcd.get(&key("record")).expect("etcd").is_none());
}
