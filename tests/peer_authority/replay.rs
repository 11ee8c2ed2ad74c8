//! Messages that are sent again, or that should not have been sent: by a node with a good certificate.

use std::sync::Arc;
use std::time::Duration;

use crate::node::{IDENTITY, Node, SOON_MS, Set, TIP, WITHIN, acquired, mark};
use crate::rogue::{
    ASK, COMMIT, FENCED, HELLO, KEPT, PROMISED, RECORD, REFUSED, Rogue, Sent, claim, framed,
    promise, record, state,
};
use serde_json::json;
use testkit::stand_in::until;
use validator_supervisor::authority::{CommitError, Fault};
use validator_supervisor::engine::values::{NodeName, Term};

/// For what is not to be granted.
const SHORT: Duration = Duration::from_millis(500);

/// `b`, which keeps the records of a node `a` that holds term 2, and the first of them.
fn beside_a_holder(set: &Set) -> (Node, Rogue, Sent) {
    let b = set.start("b");
    let mut a = Rogue::meets(set, "a", "b");
    a.is_promised(2);
    let first = record(COMMIT, mark(Term(2), 1), IDENTITY);
    a.sends(&first);
    assert_eq!(a.hears(KEPT), json!({ "term": 2, "seq": 1 }));
    (b, a, first)
}

/// The same after `a` has ended its term and `b` has taken the next one. With it, the words by which it ended.
fn after_a_handover(set: &Set) -> (Node, Rogue, Sent, Sent, Term) {
    let (b, mut a, first) = beside_a_holder(set);
    let end = state(&claim(2, Some("a"), true, Some("b")), true);
    a.sends(&end);
    assert!(until(SOON_MS, || b.times_passed() == 1), "not handed over");
    a.says(&state(&claim(2, Some("a"), true, Some("b")), false));
    let term = acquires_from(&b, &mut a).0;
    (b, a, first, end, term)
}

/// `b` holds a term that `a` has promised. With the promise.
fn b_holds_beside_a(set: &Set) -> (Node, Rogue, Term, Sent) {
    let b = set.start("b");
    let mut a = Rogue::meets(set, "a", "b");
    let (term, promise) = acquires_from(&b, &mut a);
    (b, a, term, promise)
}

/// Has `b` take a term, and `a` promise it. With the promise.
fn acquires_from(b: &Node, a: &mut Rogue) -> (Term, Sent) {
    let authority = Arc::clone(&b.authority);
    std::thread::scope(|scope| {
        let taken = scope.spawn(|| acquired(&authority).0);
        let (asked, promise) = a.promises();
        let term = taken.join().expect("a term");
        assert_eq!(term, Term(asked));
        a.says(&state(&claim(asked, Some("b"), false, None), false));
        (term, promise)
    })
}

/// Whatever was sent before has been heard when it returns: no term is so low.
fn is_heard(a: &mut Rogue) {
    a.sends(&framed(ASK, &json!({ "term": 0, "record": null })));
    a.hears(REFUSED);
}

#[test]
fn a_commit_that_is_sent_again_takes_no_record_back() {
    let set = Set::new(&["a", "b"]);
    let (b, mut a, first) = beside_a_holder(&set);
    a.sends(&record(COMMIT, mark(Term(2), 2), IDENTITY));
    assert_eq!(a.hears(KEPT), json!({ "term": 2, "seq": 2 }));
    a.sends(&first);
    assert_eq!(a.hears(KEPT), json!({ "term": 2, "seq": 2 }));
    assert_eq!(b.newest(), Some(2));
}

#[test]
fn a_promise_is_on_the_disk_before_it_is_given_and_given_once() {
    let set = Set::new(&["a", "b"]);
    let b = set.start("b");
    let mut a = Rogue::meets(&set, "a", "b");
    let ask = framed(ASK, &json!({ "term": 2, "record": null }));
    a.sends(&ask);
    assert_eq!(a.hears(PROMISED)["term"], 2);
    drop((a, b));
    let _b = set.start("b");
    let mut a = Rogue::meets(&set, "a", "b");
    a.sends(&ask);
    let refused = a.hears(REFUSED);
    let claim = &refused["claim"];
    assert_eq!((&claim["term"], &claim["holder"]), (&json!(2), &json!("a")));
}

#[test]
fn a_commit_of_a_term_that_nobody_promised_is_fenced() {
    let set = Set::new(&["a", "b"]);
    let (b, mut a, _) = beside_a_holder(&set);
    for term in [1, 3, u64::MAX] {
        a.sends(&record(COMMIT, mark(Term(term), 9), IDENTITY));
        assert_eq!(a.hears(FENCED)["term"], 2);
        assert_eq!(b.newest(), Some(1));
    }
}

#[test]
fn a_commit_of_a_term_that_is_over_is_fenced_however_often_it_is_sent() {
    let set = Set::new(&["a", "b"]);
    let (b, mut a, first, _, term) = after_a_handover(&set);
    for old in [first, record(COMMIT, mark(Term(2), 9), IDENTITY)] {
        for _ in 0..3 {
            a.sends(&old);
            let fenced = a.hears(FENCED);
            assert_eq!(
                (&fenced["term"], &fenced["holder"]),
                (&json!(term.0), &json!("b"))
            );
        }
    }
    assert_eq!(b.newest(), Some(1));
    drop(a);
    b.settles(term, 2).expect("a commit");
}

#[test]
fn a_record_that_is_sent_to_a_holder_changes_nothing() {
    let set = Set::new(&["a", "b"]);
    let (b, mut a, _, _, term) = after_a_handover(&set);
    a.sends(&record(RECORD, mark(Term(term.0), 9), IDENTITY));
    assert_eq!(a.hears(KEPT), json!({ "term": 2, "seq": 1 }));
    assert_eq!(b.newest(), Some(1));
}

#[test]
fn a_state_that_is_sent_again_neither_ends_a_term_nor_hands_one_over() {
    let set = Set::new(&["a", "b"]);
    let (b, mut a, _, end, term) = after_a_handover(&set);
    let held = state(&claim(2, Some("a"), false, None), false);
    for old in [&held, &end, &held, &end] {
        a.sends(old);
    }
    is_heard(&mut a);
    assert_eq!(b.times_passed(), 1, "it was handed over again");
    drop(a);
    b.settles(term, 2).expect("a commit");
}

/// As over a cable that is cut in one direction: it is heard, and hears nothing.
#[test]
fn a_term_is_not_passed_to_a_node_whose_signs_of_life_answer_nothing() {
    let set = Set::new(&["a", "b"]);
    let (b, _a, term, _) = b_holds_beside_a(&set);
    let to = NodeName("a".into());
    for _ in 0..2 {
        // It is this node's still when the first try has come to nothing.
        let refused = b.authority.pass(term, &to, WITHIN);
        let silent =
            matches!(&refused, Err(Fault::Refused(why)) if why.contains("does not answer"));
        assert!(silent, "{refused:?}");
    }
}

#[test]
fn a_promise_that_is_sent_again_gives_no_other_term() {
    let set = Set::new(&["a", "b"]);
    let (b, mut a, term, old) = b_holds_beside_a(&set);
    // To `a`, which is there and ready: b has no right to the next one without it.
    b.authority.release(term, false).expect("a release");
    is_heard(&mut a);
    a.sends(&old);
    let authority = Arc::clone(&b.authority);
    let asked = std::thread::scope(|scope| {
        let asked = scope.spawn(|| authority.acquire(SHORT, false, TIP));
        for promised in [old.clone(), promise(0), promise(u64::MAX)] {
            a.sends(&promised);
        }
        a.hears(ASK);
        for promised in [old.clone(), promise(0), promise(u64::MAX)] {
            a.sends(&promised);
        }
        asked.join().expect("an answer")
    });
    let refused = matches!(&asked, Err(Fault::Refused(why)) if why.contains("a has not answered"));
    assert!(refused, "{asked:?}");
    assert!(matches!(b.commits(term, 1), Err(CommitError::TermLost(_))));
}

#[test]
fn a_record_of_another_identity_ends_the_link() {
    for kind in [COMMIT, RECORD] {
        let set = Set::new(&["a", "b"]);
        let (b, mut a, _) = beside_a_holder(&set);
        a.sends(&record(kind, mark(Term(2), 2), [8; 32]));
        b.hears_of_trouble("it sends a record of");
        assert!(a.is_closed());
        assert_eq!(b.newest(), Some(1));
    }
}

#[test]
fn a_node_of_another_version_or_name_is_told_nothing() {
    let set = Set::new(&["a", "b"]);
    let b = set.start("b");
    let identity = bs58::encode(IDENTITY).into_string();
    for (version, name, words) in [
        (
            2,
            "a",
            "it speaks version 2 of the protocol, and this one 1",
        ),
        (
            1,
            "z",
            "it calls itself \"z\", and its certificate is for a",
        ),
    ] {
        let config = set.config("a");
        let own = Some((config.cert.as_path(), config.key.as_path()));
        let mut a = Rogue::calls(&set, own, "b").expect("a connection");
        let hello =
            json!({ "version": version, "node": name, "identity": identity, "record": null });
        a.sends(&framed(HELLO, &hello));
        b.hears_of_trouble(words);
        assert_eq!(a.hears_until_the_end(), [HELLO]);
    }
}

#[test]
fn a_second_connection_of_a_node_takes_the_place_of_the_first() {
    let set = Set::new(&["a", "b"]);
    let (_b, mut first, _) = beside_a_holder(&set);
    let mut second = Rogue::meets(&set, "a", "b");
    assert!(first.is_closed());
    second.sends(&record(COMMIT, mark(Term(2), 2), IDENTITY));
    assert_eq!(second.hears(KEPT), json!({ "term": 2, "seq": 2 }));
}

#[test]
fn a_node_that_says_hello_twice_is_let_go_of() {
    let set = Set::new(&["a", "b"]);
    let (b, mut a, _) = beside_a_holder(&set);
    let again = json!({ "version": 1, "node": "a", "identity": "", "record": null });
    a.sends(&framed(HELLO, &again));
    b.hears_of_trouble("it says hello again");
    assert!(a.is_closed());
}

/// It would be the last for ever: no node could take a higher one.
#[test]
fn a_term_that_no_node_can_have_reached_ends_the_link() {
    let far = 1 << 60;
    let words = [
        state(&claim(far, Some("a"), false, None), false),
        framed(FENCED, &claim(far, Some("a"), false, None)),
        record(RECORD, mark(Term(far), 2), IDENTITY),
        framed(ASK, &json!({ "term": far, "record": null })),
    ];
    for word in words {
        let set = Set::new(&["a", "b"]);
        let (b, mut a, _) = beside_a_holder(&set);
        a.sends(&word);
        b.hears_of_trouble("which no node can have reached");
        assert!(a.is_closed());
        assert_eq!(b.newest(), Some(1));
    }
}

#[test]
fn who_chooses_a_successor_hears_when_a_node_gets_the_newest_record() {
    let set = Set::new(&["a", "b"]);
    let (b, a, term, _) = b_holds_beside_a(&set);
    drop(a);
    b.settles(term, 1).expect("a commit alone");
    b.forget();
    let mut a = Rogue::meets(&set, "a", "b");
    b.hears_from("a");
    let is_in_step = || b.authority.is_in_step(&NodeName("a".into()));
    assert_eq!(is_in_step(), Some(false), "it has said that it has none");
    b.forget();
    a.sends(&framed(KEPT, &json!({ "term": term.0, "seq": 1 })));
    b.hears_from("a");
    assert_eq!(is_in_step(), Some(true));
}

/// Its disk, and the holder's, are not one any more when the holder is gone in the next moment.
#[test]
fn a_node_that_missed_the_newest_vote_is_not_in_step_by_the_record_before_it() {
    let set = Set::new(&["a", "b"]);
    let (b, a, term, _) = b_holds_beside_a(&set);
    drop(a);
    b.settles(term, 1).expect("a commit alone");
    let mut a = Rogue::meets(&set, "a", "b");
    a.says(&state(&claim(term.0, Some("b"), false, None), false));
    assert_eq!(a.hears(RECORD), json!({ "term": term.0, "seq": 1 }));
    b.settles(term, 2).expect("a commit beside it");
    let is_in_step = || b.authority.is_in_step(&NodeName("a".into()));
    for (kept, in_step) in [(1, false), (2, true)] {
        a.sends(&framed(KEPT, &json!({ "term": term.0, "seq": kept })));
        is_heard(&mut a);
        assert_eq!(is_in_step(), Some(in_step), "with record {kept}");
    }
}
