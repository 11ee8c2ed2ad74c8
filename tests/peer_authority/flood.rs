//! Nodes with a good certificate that say too much, or hear nothing, beside one that is as it should be.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::node::{Node, SOON_MS, Set, acquired, mark};
use crate::rogue::{COMMIT, KEPT, Rogue, STATE, claim, framed, state, state_of};
use serde_json::json;
use testkit::stand_in::until;
use validator_supervisor::authority::news::News;
use validator_supervisor::engine::values::Term;

const VOTES: u64 = 20;
/// More than a connection holds whose other side does not read.
const LONG: usize = 6 << 20;
/// So often 16 KiB are taken: in all, much more than a second.
const BIT_EVERY: Duration = Duration::from_millis(20);
/// For all votes, on a busy machine. A node that is slow is let go of after a second.
const VOTED_WITHIN: Duration = Duration::from_secs(2 * VOTES);

/// `b` votes, `c` keeps its records, and `a` is made by hand. It is in step.
fn three(set: &Set) -> (Rogue, Node, Node, Term) {
    let (b, c) = (set.start("b"), set.start("c"));
    b.hears_from("c");
    let mut a = Rogue::meets(set, "a", "b");
    let authority = Arc::clone(&b.authority);
    let term = std::thread::scope(|scope| {
        let taken = scope.spawn(|| acquired(&authority).0);
        let (asked, _) = a.promises();
        let term = taken.join().expect("a term");
        assert_eq!(term, Term(asked));
        term
    });
    a.says(&state(&claim(term.0, Some("b"), false, None), false));
    (a, b, c, term)
}

/// Ends what goes on beside the votes, however they end.
struct Ending<'a>(&'a AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Every vote leaves, and is on two disks.
#[track_caller]
fn votes_go_on(b: &Node, c: &Node, term: Term) {
    let began = Instant::now();
    for seq in 1..=VOTES {
        b.settles(term, seq).expect("a commit");
    }
    assert!(began.elapsed() < VOTED_WITHIN, "{:?}", began.elapsed());
    c.comes_to(VOTES);
}

#[test]
fn a_flood_of_messages_costs_no_vote() {
    let set = Set::new(&["a", "b", "c"]);
    let (mut a, b, c, term) = three(&set);
    let word = state(&claim(term.0, Some("b"), false, None), false);
    let kept = framed(KEPT, &json!({ "term": term.0, "seq": VOTES }));
    let (ends, began) = (AtomicBool::new(false), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let _ends = Ending(&ends);
        scope.spawn(|| {
            while !ends.load(Ordering::Acquire) {
                a.sends(&word);
                a.sends(&kept);
                began.store(true, Ordering::Release);
            }
        });
        assert!(until(SOON_MS, || began.load(Ordering::Acquire)));
        votes_go_on(&b, &c, term);
    });
}

#[test]
fn a_node_that_stops_reading_costs_no_vote() {
    let set = Set::new(&["a", "b", "c"]);
    let (mut a, b, c, term) = three(&set);
    a.falls_silent();
    votes_go_on(&b, &c, term);
}

#[test]
fn a_node_that_speaks_and_keeps_no_record_costs_no_vote() {
    let set = Set::new(&["a", "b", "c"]);
    let (mut a, b, c, term) = three(&set);
    votes_go_on(&b, &c, term);
    assert!(a.is_closed(), "its link is whole");
}

/// A node that takes so little of what is sent to it costs neither the vote nor the other node.
#[track_caller]
fn a_long_record_goes_on(room: usize, takes: impl Fn(&mut Rogue) + Send) {
    let set = Set::new(&["a", "b", "c"]);
    let (mut a, b, c, term) = three(&set);
    a.has_room_for(room);
    let authority = Arc::clone(&b.authority);
    let vote = std::thread::spawn(move || authority.commit(mark(term, 1), &vec![7; LONG]));
    let is_out = until(SOON_MS, || {
        takes(&mut a);
        vote.is_finished()
    });
    assert!(is_out, "the vote waits without end");
    vote.join().expect("the vote").expect("a commit");
    let newest = c.authority.newest_mark().map(|mark| mark.seq);
    assert_eq!(newest, Some(1), "it left without the other node");
    assert!(a.is_closed());
}

#[test]
fn a_node_that_takes_nothing_of_a_long_record_costs_no_vote() {
    a_long_record_goes_on(1, |_| {});
}

#[test]
fn a_node_that_takes_a_long_record_bit_by_bit_costs_no_vote() {
    a_long_record_goes_on(128 << 10, |a| {
        let _ = a.receives();
        std::thread::sleep(BIT_EVERY);
    });
}

#[test]
fn a_node_that_asks_without_end_and_reads_no_answer_costs_no_vote() {
    let set = Set::new(&["a", "b", "c"]);
    let (mut a, b, c, term) = three(&set);
    let asking = framed(
        STATE,
        &json!({
            "claim": claim(term.0, Some("b"), false, None),
            "member": { "role": "standby", "ready": true },
            "asks": true,
        }),
    );
    let many = asking.repeat(64);
    let ends = AtomicBool::new(false);
    a.waits_at_most(Duration::from_millis(100));
    std::thread::scope(|scope| {
        let _ends = Ending(&ends);
        scope.spawn(|| {
            while !ends.load(Ordering::Acquire) {
                a.sends(&many);
            }
        });
        votes_go_on(&b, &c, term);
    });
}

#[test]
fn a_message_without_end_is_cut_off() {
    let set = Set::new(&["a", "b", "c"]);
    let (mut a, b, c, term) = three(&set);
    // A frame of the longest kind that is refused by its head alone.
    let head = [&u32::MAX.to_be_bytes()[..], &[COMMIT]].concat();
    a.sends(&head);
    b.hears_of_trouble("it speaks nonsense");
    assert!(a.is_closed());
    votes_go_on(&b, &c, term);
}

/// Whoever reads what is told is slower than the link.
#[test]
fn a_node_that_has_something_new_to_say_without_end_is_passed_on_by_rations() {
    let set = Set::new(&["a", "b", "c"]);
    let (mut a, b, c, term) = three(&set);
    let held = claim(term.0, Some("b"), false, None);
    let behind = |slots: u64| {
        let member = json!({ "role": "standby", "ready": true, "slots_behind": slots });
        state_of(&held, &member)
    };
    let kept = framed(KEPT, &json!({ "term": term.0, "seq": VOTES }));
    let before = b.times_told_of_others();
    let told = || (b.times_told_of_others() - before) as u64;
    let ends = AtomicBool::new(false);
    let began = Instant::now();
    let said = std::thread::scope(|scope| {
        let ending = Ending(&ends);
        let flood = scope.spawn(|| {
            let mut said = 0;
            while !ends.load(Ordering::Acquire) {
                said += 1;
                a.sends(&behind(said));
                a.sends(&kept);
            }
            said
        });
        votes_go_on(&b, &c, term);
        assert!(until(SOON_MS, || told() > 60), "nothing is passed on");
        drop(ending);
        flood.join().expect("a flood")
    });
    let (told, took) = (told(), began.elapsed());
    let ration = 50 + took.as_millis() as u64 / 20 + 1;
    println!("{said} said, {told} passed on in {took:.1?}");
    assert!(told <= ration, "{told} of {said} were passed on");
    assert!(said > 2 * told, "no flood: {said}");
    a.says(&behind(said + 1));
    let last = |news: &News| match news {
        News::Member {
            member: Some(member),
            ..
        } => member.slots_behind == Some(said + 1),
        _ => false,
    };
    b.hears("the last word", last);
}

#[test]
fn a_node_that_talks_on_after_its_last_word_costs_no_vote() {
    let set = Set::new(&["a", "b", "c"]);
    let (mut a, b, c, term) = three(&set);
    a.talks_on_after_its_end(64 << 10);
    let authority = Arc::clone(&b.authority);
    let vote = std::thread::spawn(move || authority.commit(mark(term, 1), b"record 1"));
    let is_out = until(SOON_MS, || vote.is_finished());
    assert!(is_out, "the vote waits without end");
    vote.join().expect("the vote").expect("a commit");
    c.comes_to(1);
}
