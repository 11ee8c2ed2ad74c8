//! What a node may say of other nodes, and what it is believed.

use std::sync::Arc;

use serde_json::json;
use testkit::stand_in::until;
use validator_supervisor::authority::stored;
use validator_supervisor::engine::values::Term;

use crate::node::{IDENTITY, SOON_MS, Set, TIP, WITHIN, acquired, mark};
use crate::rogue::{ASK, COMMIT, KEPT, RECORD, REFUSED, Rogue, claim, framed, record, state};

/// Longer than a link without a word lasts, twice.
const IDLE_MS: u64 = 3_500;

#[test]
fn a_link_over_which_no_vote_goes_lives_on() {
    let set = Set::new(&["a", "b"]);
    let [a, b] = ["a", "b"].map(|name| set.start(name));
    a.hears_from("b");
    b.hears_from("a");
    let is_lost = || a.times_lost() + b.times_lost() > 0;
    assert!(!until(IDLE_MS, is_lost), "the link has ended");
}

#[test]
fn what_is_no_name_of_a_node_is_neither_holder_nor_heir() {
    let long = "x".repeat(5_000);
    for (holder, heir) in [(&*long, None), ("a", Some(&*long)), ("", None)] {
        let set = Set::new(&["a", "b"]);
        let b = set.start("b");
        let mut a = Rogue::meets(&set, "a", "b");
        let ended = heir.is_some();
        a.sends(&state(&claim(9, Some(holder), ended, heir), false));
        assert!(a.is_closed(), "it is believed");
        b.hears_of_trouble("is not a node's name");
        drop(b);
        // What a promise takes on the disk can be read again.
        set.start("b");
    }
}

/// Its list was shortened after a machine had gone for good, which held the last term.
#[test]
fn a_holder_that_is_of_the_set_no_more_keeps_the_others_from_nothing() {
    let set = Set::new(&["a", "b"]);
    let b = set.start("b");
    let mut a = Rogue::meets(&set, "a", "b");
    a.says(&state(&claim(9, Some("gone"), true, None), false));
    // No term is so low: what was said before has been heard by the answer.
    a.sends(&framed(ASK, &json!({ "term": 0, "record": null })));
    a.hears(REFUSED);
    let authority = Arc::clone(&b.authority);
    let taken = std::thread::scope(|scope| {
        let taken = scope.spawn(|| acquired(&authority).0);
        a.promises();
        taken.join().expect("a term")
    });
    assert!(taken > Term(9));
}

#[test]
fn a_record_of_a_term_that_is_held_is_taken_from_its_holder_alone_while_that_is_there() {
    let set = Set::new(&["a", "b", "c"]);
    let c = set.start("c");
    let mut a = Rogue::meets(&set, "a", "c");
    let mut b = Rogue::meets(&set, "b", "c");
    a.is_promised(3);
    a.sends(&record(COMMIT, mark(Term(3), 1), IDENTITY));
    assert_eq!(a.hears(KEPT), json!({ "term": 3, "seq": 1 }));
    let far_ahead = record(RECORD, mark(Term(3), 1_000_000), IDENTITY);
    b.sends(&far_ahead);
    assert_eq!(b.hears(KEPT), json!({ "term": 3, "seq": 1 }));
    assert_eq!(c.newest(), Some(1));
    drop(a);
    c.hears_of_trouble("closed");
    // It may be one that the holder sent before it went.
    b.sends(&record(RECORD, mark(Term(3), 2), IDENTITY));
    assert_eq!(b.hears(KEPT), json!({ "term": 3, "seq": 2 }));
}

#[test]
fn what_is_found_at_a_start_is_written_again_before_the_others_hear_of_it() {
    let set = Set::new(&["a", "b"]);
    let form = stored::record_form(mark(Term(3), 7), &IDENTITY, b"record 7");
    let path = |name: &str| set.state_dir("b").join(name);
    std::fs::write(path("record"), &form).expect("a record");
    let b = set.start("b");
    assert_eq!(b.newest(), Some(7));
    // It is the same under either name: it was written, over the older one.
    assert_eq!(std::fs::read(path("record")).expect("a record"), form);
    assert_eq!(std::fs::read(path("record.older")).expect("a record"), form);
}

/// The third node is off, so that nobody but the one that has the right can take a term.
#[test]
fn a_right_that_cannot_be_used_goes_back_to_the_node_that_gave_it() {
    let set = Set::new(&["a", "b", "c"]);
    let [a, b] = ["a", "b"].map(|name| set.start(name));
    a.hears_from("b");
    b.hears_from("a");
    let (term, _) = a.authority.acquire(WITHIN, true, TIP).expect("a term");
    a.settles(term, 1).expect("a commit");
    b.comes_to(1);
    let passed = until(SOON_MS, || a.authority.pass(term, &b.name, WITHIN).is_ok());
    assert!(passed, "not passed");
    assert!(until(SOON_MS, || b.times_passed() == 1), "not handed over");
    a.is_refused();
    b.authority.release(Term(0), false).expect("given back");
    let (again, newest) = a.acquires();
    assert!(again > term);
    assert_eq!(newest.map(|mark| mark.seq), Some(1));
    a.settles(again, 2).expect("a commit");
}

#[test]
fn one_that_was_met_since_it_was_found_absent_is_absent_no_more() {
    let set = Set::new(&["a", "b"]);
    let b = set.start("b");
    let absent = b.authority.absent();
    let [absent] = &absent[..] else {
        panic!("{absent:?}");
    };
    assert!(b.authority.is_still_absent(absent));
    let a = set.start("a");
    b.hears_from("a");
    assert!(!b.authority.is_still_absent(absent));
    drop(a);
    b.hears_of_trouble("");
    assert!(!b.authority.is_still_absent(absent), "another absence");
    assert!(!b.authority.bury(absent));
}
