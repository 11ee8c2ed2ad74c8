//! Who holds the term, who may take it, and with which record.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::node::{Node, SOON_MS, Set, TIP, WITHIN, mark, voting};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use testkit::held::{Held, Point};
use testkit::stand_in::until;
use validator_supervisor::authority::news::News;
use validator_supervisor::authority::{CommitError, Fault};
use validator_supervisor::config::OnLoss;
use validator_supervisor::engine::AuthorityNews;
use validator_supervisor::engine::values::{NodeName, Term};

/// As `src/authority/peer/vote.rs` has it.
const KEPT_WITHIN: Duration = Duration::from_millis(1_000);

#[test]
fn a_record_is_on_both_disks_when_its_commit_returns() {
    let set = Set::new(&["a", "b"]);
    let (a, b, term) = voting(&set);
    for seq in 2..20 {
        assert_eq!(a.commits(term, seq), Ok(()));
        assert_eq!((a.newest(), b.newest()), (Some(seq), Some(seq)));
    }
    assert!(
        b.is_refused().contains("a holds term"),
        "{}",
        b.is_refused()
    );
    a.hears_of_holder(Some("a"));
    b.hears_of_holder(Some("a"));
}

#[test]
fn a_release_gives_the_other_one_the_right_and_the_record() {
    let set = Set::new(&["a", "b"]);
    let (a, b, term) = voting(&set);
    a.settles(term, 2).expect("a commit");
    b.forget();
    a.authority.release(term, false).expect("a release");
    assert!(matches!(a.commits(term, 3), Err(CommitError::TermLost(_))));
    b.hears_of_holder(None);
    let (next, found) = b.acquires();
    assert!(next > term);
    assert_eq!(found.map(|mark| mark.seq), Some(2));
    b.settles(next, 3).expect("a commit");
    a.comes_to(3);
    a.hears_of_holder(Some("b"));
}

#[test]
fn a_release_to_nobody_leaves_the_right_where_it_is() {
    let set = Set::new(&["a", "b"]);
    let (a, b, term) = voting(&set);
    a.authority.release(term, true).expect("a release");
    b.forget();
    drop(b);
    let (next, found) = a.acquires();
    assert!(next > term);
    assert_eq!(found.map(|mark| mark.seq), Some(1));
}

#[test]
fn the_heir_needs_nobody_and_the_one_that_named_it_does() {
    let set = Set::new(&["a", "b"]);
    let (a, b, term) = voting(&set);
    b.forget();
    a.authority.release(term, false).expect("a release");
    b.hears_of_holder(None);
    set.cut("b", true);
    let apart = || {
        [&a, &b]
            .iter()
            .all(|node| !node.authority.absent().is_empty())
    };
    assert!(until(SOON_MS, apart));
    let why = a.is_refused();
    assert!(why.contains("b cannot be reached"), "{why}");
    let (next, _) = b.acquires();
    b.settles(next, 2).expect("a commit");
    set.cut("b", false);
    a.comes_to(2);
    a.hears_of_holder(Some("b"));
}

#[test]
fn a_holder_without_its_peer_goes_on_and_brings_it_up_to_date_later() {
    let set = Set::new(&["a", "b"]);
    let (a, b, term) = voting(&set);
    set.cut("b", true);
    for seq in 2..5 {
        a.settles(term, seq).expect("a commit");
    }
    a.hears_of_trouble("");
    b.hears_of_trouble("");
    assert_eq!(b.newest(), Some(1));
    assert!(
        b.is_refused().contains("a cannot be reached"),
        "{}",
        b.is_refused()
    );
    set.cut("b", false);
    b.comes_to(4);
    a.settles(term, 5).expect("a commit");
    b.comes_to(5);
}

#[test]
fn a_holder_that_is_to_hold_waits_for_its_peer() {
    let mut set = Set::new(&["a", "b"]);
    set.on_loss = OnLoss::Hold;
    let (a, b, term) = voting(&set);
    set.cut("b", true);
    let waits = until(
        SOON_MS,
        || matches!(a.commits(term, 2), Err(CommitError::Unsettled(why)) if why.contains("peer.on_loss")),
    );
    assert!(waits);
    set.cut("b", false);
    a.settles(term, 2).expect("a commit");
    assert_eq!(b.newest(), Some(2));
}

/// It would never vote again, and its peer may not vote before it hears this one.
#[test]
fn a_holder_that_is_to_hold_does_not_wait_for_a_peer_that_is_off_by_an_operators_word() {
    let mut set = Set::new(&["a", "b"]);
    set.on_loss = OnLoss::Hold;
    let (a, b, _) = voting(&set);
    b.forget();
    drop(a);
    b.hears_of_trouble("");
    let (term, _) = b.authority.acquire(WITHIN, true, TIP).expect("a term");
    b.settles(term, 2).expect("a commit");
    // Once it was heard again it is one that may be lost.
    let a = set.start("a");
    a.comes_to(2);
    b.settles(term, 3).expect("a commit");
    assert_eq!(a.newest(), Some(3));
    drop(a);
    let waits = until(
        SOON_MS,
        || matches!(b.commits(term, 4), Err(CommitError::Unsettled(why)) if why.contains("peer.on_loss")),
    );
    assert!(waits);
}

#[test]
fn a_dead_holder_is_followed_by_nobody_until_it_is_back_or_an_operator_says_so() {
    let set = Set::new(&["a", "b"]);
    let (a, b, term) = voting(&set);
    b.forget();
    drop(a);
    b.hears_of_trouble("");
    let why = b.is_refused();
    assert!(
        why.contains("a cannot be reached") && why.contains("--accept-double-vote-risk"),
        "{why}"
    );
    // It has lost what it held when it is back, and says so.
    let a = set.start("a");
    b.forget();
    b.hears_of_holder(None);
    let (next, found) = b.acquires();
    assert!(next > term);
    assert_eq!(found.map(|mark| mark.seq), Some(1));
    assert!(a.is_refused().contains("b holds term"));
}

#[test]
fn an_operators_word_stands_for_a_dead_peer_and_fences_it_when_it_is_not() {
    let set = Set::new(&["a", "b"]);
    let (a, b, term) = voting(&set);
    set.cut("b", true);
    a.settles(term, 2).expect("a commit");
    b.hears_of_trouble("");
    let (next, _) = b.authority.acquire(WITHIN, true, TIP).expect("a term");
    // However many terms the other one takes meanwhile.
    a.authority.release(term, false).expect("a release");
    let (again, _) = a.acquires();
    assert!(next > again, "{next} {again}");
    set.cut("b", false);
    a.hears("the loss", |news| {
        *news == News::Term(AuthorityNews::TermLost(again))
    });
    assert!(matches!(a.settles(again, 9), Err(CommitError::TermLost(_))));
    b.settles(next, 10).expect("a commit");
    a.comes_to(10);
}

#[test]
fn a_term_that_is_passed_is_taken_by_the_one_it_was_passed_to() {
    let set = Set::new(&["a", "b"]);
    let (a, b, term) = voting(&set);
    let to = NodeName("b".into());
    a.authority.pass(term, &to, WITHIN).expect("it is passed");
    b.hears(
        "the handover",
        |news| matches!(news, News::Term(AuthorityNews::Passed { from, .. }) if from.0 == "a"),
    );
    let (next, _) = b.acquires();
    assert!(next > term);
    b.settles(next, 2).expect("a commit");
    a.hears_of_holder(Some("b"));
    // And back.
    let to = NodeName("a".into());
    b.authority.pass(next, &to, WITHIN).expect("it is passed");
    let (back, _) = a.acquires();
    a.settles(back, 3).expect("a commit");
    b.comes_to(3);
}

#[test]
fn a_term_is_not_passed_to_a_node_that_is_not_there() {
    let set = Set::new(&["a", "b"]);
    let (a, _b, term) = voting(&set);
    a.forget();
    set.cut("b", true);
    a.hears_of_trouble("");
    let to = NodeName("b".into());
    let refused = a.authority.pass(term, &to, WITHIN);
    assert!(matches!(&refused, Err(Fault::Refused(why)) if why.contains("cannot be reached")));
    a.settles(term, 2).expect("it goes on");
}

#[test]
fn a_term_is_confirmed_by_what_the_others_say_now() {
    let set = Set::new(&["a", "b"]);
    let (a, b, term) = voting(&set);
    assert_eq!(a.authority.confirm(term, WITHIN), Ok(true));
    assert_eq!(b.authority.confirm(term, WITHIN), Ok(false));
    a.forget();
    set.cut("b", true);
    a.hears_of_trouble("");
    assert!(matches!(
        a.authority.confirm(term, WITHIN),
        Err(Fault::Unknown(_))
    ));
}

#[test]
fn two_that_ask_at_once_do_not_both_get_it() {
    let set = Set::new(&["a", "b"]);
    let (a, b, term) = voting(&set);
    b.forget();
    a.authority.release(term, false).expect("a release");
    b.hears_of_holder(None);
    for _ in 0..20 {
        let taken = std::thread::scope(|scope| {
            let ask = |node: &crate::node::Node| {
                let authority = std::sync::Arc::clone(&node.authority);
                scope.spawn(move || authority.acquire(WITHIN, false, TIP))
            };
            [ask(&a), ask(&b)].map(|asked| asked.join().expect("an answer"))
        });
        let terms: Vec<Term> = taken.iter().flatten().map(|(term, _)| *term).collect();
        assert!(terms.len() < 2, "{taken:?}");
        for node in [&a, &b] {
            node.authority.release(Term(0), false).expect("a release");
        }
    }
    let (next, _) = a.acquires();
    a.settles(next, 2).expect("a commit");
}

#[test]
fn of_three_nodes_all_that_are_in_step_have_a_record_when_its_commit_returns() {
    let set = Set::new(&["a", "b", "c"]);
    let [a, b, c] = ["a", "b", "c"].map(|name| set.start(name));
    for other in [&b, &c] {
        a.hears_from(&other.name.0);
    }
    let (term, _) = a.acquires();
    let in_step = |other: &Node| a.authority.is_in_step(&other.name) == Some(true);
    assert!(until(SOON_MS, || in_step(&b) && in_step(&c)));
    for seq in 1..=20 {
        a.commits(term, seq).expect("a commit");
        for other in [&b, &c] {
            let newest = other.authority.newest_mark().map(|mark| mark.seq);
            assert_eq!(newest, Some(seq), "{}", other.name);
        }
    }
}

/// It may have been ended before it was met again.
#[test]
fn a_node_that_was_heard_since_it_was_found_absent_is_not_known_to_be_off() {
    let set = Set::new(&["a", "b"]);
    let (_a, b, _) = voting(&set);
    let cut = |is_cut| {
        set.cut("b", is_cut);
        let absent = || b.authority.absent().is_empty() != is_cut;
        assert!(until(SOON_MS, absent), "cut: {is_cut}");
    };
    cut(true);
    let before = b.authority.absent();
    cut(false);
    assert!(!b.authority.bury(&before[0]), "it is there");
    cut(true);
    assert!(!b.authority.bury(&before[0]), "it was there");
    assert!(b.is_refused().contains("cannot be reached"));
    assert!(b.authority.bury(&b.authority.absent()[0]));
    b.acquires();
}

#[test]
fn of_three_nodes_one_that_is_away_keeps_the_others_from_a_term_but_not_the_holder_from_voting() {
    let set = Set::new(&["a", "b", "c"]);
    let nodes = ["a", "b", "c"].map(|name| set.start(name));
    let [a, b, c] = &nodes;
    for node in &nodes {
        for other in nodes.iter().filter(|other| other.name != node.name) {
            node.hears_from(&other.name.0);
        }
    }
    let (term, _) = a.acquires();
    a.settles(term, 1).expect("a commit");
    set.cut("c", true);
    a.settles(term, 2).expect("a commit");
    b.comes_to(2);
    // The right goes to a node that is there, which then needs nobody.
    b.forget();
    a.authority.release(term, false).expect("a release");
    b.hears_of_holder(None);
    let (next, _) = b.acquires();
    b.settles(next, 3).expect("a commit");
    a.comes_to(3);
    assert!(c.is_refused().contains("cannot be reached"));
    set.cut("c", false);
    c.comes_to(3);
    // Whichever of the two it hears first.
    let refused = until(SOON_MS, || c.is_refused().contains("b holds term"));
    assert!(refused, "{}", c.is_refused());
}

/// Whoever takes the next term from here must have the newest record first.
#[test]
fn a_node_whose_record_cannot_be_read_says_nothing_to_one_that_lacks_it() {
    let set = Set::new(&["a", "b"]);
    let (a, b, term) = voting(&set);
    drop(b);
    a.settles(term, 2).expect("a commit");
    let files = ["record", "record.older"].map(|file| set.state_dir("a").join(file));
    let whole = files
        .clone()
        .map(|file| std::fs::read(file).expect("a file"));
    for file in &files {
        std::fs::write(file, b"damaged").expect("a file");
    }
    let b = set.start("b");
    a.hears_of_trouble("it cannot be brought up to date");
    b.is_refused();
    assert_eq!(b.newest(), Some(1));
    for (file, whole) in files.iter().zip(whole) {
        std::fs::write(file, whole).expect("a file");
    }
    b.comes_to(2);
    b.hears_from("a");
    a.settles(term, 3).expect("a commit");
    assert_eq!(b.newest(), Some(3));
}

/// Takes root: the commit is held where it opens its file.
#[test]
fn a_node_that_comes_back_during_a_commit_gets_its_record_before_the_vote_leaves() {
    // Who comes too late for a commit is let go of.
    let in_time = || came_back_during_a_commit() < KEPT_WITHIN / 2;
    assert!(until(4 * SOON_MS, in_time), "the machine is too slow");
}

/// How long the commit took.
fn came_back_during_a_commit() -> Duration {
    let set = Set::new(&["a", "b"]);
    let (a, b, term) = voting(&set);
    // From the second one on a record has an older file to be written over.
    a.settles(term, 2).expect("a commit");
    drop(b);
    a.forget();
    let point = Point {
        dir: set.state_dir("a"),
        file: "record.older".into(),
        skip: 0,
        named: false,
    };
    let held = Held::at(i32::try_from(std::process::id()).expect("a process"), point);
    let held = held.expect("fanotify, as root");
    let authority = Arc::clone(&a.authority);
    std::thread::scope(|scope| {
        let from = Instant::now();
        let committed = scope.spawn(|| authority.commit(mark(term, 3), b"record 3"));
        assert!(until(SOON_MS, || held.is_reached()), "no commit");
        let b = set.start("b");
        a.hears_from("b");
        b.hears_from("a");
        let took = from.elapsed();
        drop(held);
        let committed = committed.join().expect("an outcome");
        if took < KEPT_WITHIN / 2 {
            assert_eq!(committed.map(|()| b.newest()), Ok(Some(3)));
        }
        took
    })
}

extern "C" fn does_nothing(_: libc::c_int) {}

/// Of a process that has children, as the supervisor has one.
#[test]
fn a_signal_that_a_thread_of_a_link_gets_ends_no_link() {
    let set = Set::new(&["a", "b"]);
    let (a, b, term) = voting(&set);
    let action = SigAction::new(
        SigHandler::Handler(does_nothing),
        SaFlags::SA_RESTART,
        SigSet::empty(),
    );
    // SAFETY: the handler does nothing, and no other test of this process asks for the signal.
    unsafe { sigaction(Signal::SIGUSR2, &action) }.expect("a handler");
    let told = || [&a, &b].map(|node| node.times_told_of_others());
    let before = told();
    for seq in 2..40 {
        for task in std::fs::read_dir("/proc/self/task")
            .expect("the threads")
            .flatten()
        {
            let name = std::fs::read_to_string(task.path().join("comm")).unwrap_or_default();
            let id: Option<i32> = task.file_name().to_str().and_then(|id| id.parse().ok());
            if let (true, Some(id)) = (name.starts_with("peer-"), id) {
                // SAFETY: a thread that has ended meanwhile gets nothing.
                unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), id, libc::SIGUSR2) };
            }
        }
        a.settles(term, seq).expect("a commit");
    }
    b.comes_to(39);
    assert_eq!(told(), before, "a link was lost");
}
