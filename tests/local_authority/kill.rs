//! kill -9 at every boundary of a system call.

use crate::step::{self, Run};
use crate::{bytes, commit, commit_alone, mark, newest, open};
use std::path::Path;
use validator_supervisor::authority::local::Local;
use validator_supervisor::engine::values::Term;

/// Memory is quicker than a disk, and a killed process leaves the same on both.
fn directory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .expect("a directory")
}

/// Kills `work` at every place, in a fresh directory each time; `then` looks at what is left.
fn at_every_stop(prepare: impl Fn(&Path), work: impl Fn(&Local), then: impl Fn(&Path, &Run)) {
    for stops in 1.. {
        let dir = directory();
        prepare(dir.path());
        let local = open(dir.path());
        let run = step::run(stops, || work(&local));
        drop(local);
        then(dir.path(), &run);
        if run.ended {
            assert!(
                run.reported && stops > 6,
                "the work was not done step by step"
            );
            return;
        }
    }
}

fn held(dir: &Path) -> (Local, Term) {
    let local = open(dir);
    let term = local.acquire().expect("a term");
    (local, term)
}

fn committed(dir: &Path, slots: &[u64]) {
    let (local, term) = held(dir);
    slots.iter().for_each(|slot| commit(&local, term, *slot));
}

fn commits_old_or_new(prepare: impl Fn(&Path), old: Option<u64>) {
    // Shorter than every record before it, so that it is cut as well.
    const NEW: u64 = 17;
    at_every_stop(
        prepare,
        |local| {
            // No panic in a forked process: a failure shows as not reported.
            if local.commit(mark(Term(1), NEW), &bytes(NEW)).is_err() {
                // SAFETY: ends the forked process.
                unsafe { libc::_exit(1) }
            }
        },
        |dir, run| {
            let found = newest(&open(dir));
            assert!(
                found == Some(NEW) || (found == old && !run.reported),
                "{found:?}, reported: {}",
                run.reported
            );
            goes_on(dir, found);
        },
    );
}

/// The next start votes on from what was found.
fn goes_on(dir: &Path, found: Option<u64>) {
    let (local, term) = held(dir);
    assert!(term > Term(1));
    assert_eq!(newest(&local), found, "an acquisition changes no record");
    commit(&local, term, 30);
    commit(&local, term, 31);
    assert_eq!(newest(&open(dir)), Some(31));
}

#[test]
fn a_first_commit_killed_anywhere_is_there_or_is_not() {
    commits_old_or_new(|dir| committed(dir, &[]), None);
}

#[test]
fn a_second_commit_killed_anywhere_leaves_the_old_record_or_the_new_one() {
    commits_old_or_new(|dir| committed(dir, &[10]), Some(10));
}

#[test]
fn a_later_commit_killed_anywhere_leaves_the_old_record_or_the_new_one() {
    commits_old_or_new(|dir| committed(dir, &[10, 11, 12]), Some(12));
}

#[test]
fn a_commit_after_one_whose_names_were_not_exchanged_never_loses_that_one() {
    commits_old_or_new(left_with_the_older_name, Some(12));
}

fn left_with_the_older_name(dir: &Path) {
    let (local, term) = held(dir);
    for slot in [10, 11] {
        commit(&local, term, slot);
    }
    commit_alone(&local, term, 12);
}

#[test]
fn an_exchange_of_names_killed_anywhere_loses_nothing() {
    at_every_stop(
        left_with_the_older_name,
        |local| drop(local.settle()),
        |dir, _| {
            let found = newest(&open(dir));
            assert_eq!(found, Some(12));
            goes_on(dir, found);
        },
    );
}

#[test]
fn a_commit_beside_a_damaged_older_file_leaves_the_old_record_or_the_new_one() {
    let prepare = |dir: &Path| {
        committed(dir, &[10, 11, 12]);
        std::fs::write(dir.join("record.older"), "half").expect("damage");
    };
    commits_old_or_new(prepare, Some(12));
}

#[test]
fn no_crash_in_a_first_commit_leaves_the_older_file_alone() {
    at_every_stop(
        |dir| committed(dir, &[]),
        |local| drop(local.commit(mark(Term(1), 17), &bytes(17))),
        |dir, _| assert!(dir.join("record").exists() || !dir.join("record.older").exists()),
    );
}

#[test]
fn a_first_commit_after_a_first_commit_that_was_cut_off_is_there_or_is_not() {
    let prepare = |dir: &Path| {
        committed(dir, &[]);
        std::fs::write(dir.join("record.new"), "half").expect("damage");
    };
    commits_old_or_new(prepare, None);
}

#[test]
fn two_crashes_in_a_row_leave_what_was_reported() {
    for first in 1..40 {
        let dir = directory();
        committed(dir.path(), &[10, 11]);
        let local = open(dir.path());
        let run = step::run(first, || drop(local.commit(mark(Term(1), 17), &bytes(17))));
        drop(local);
        let reported = if run.reported { 17 } else { 11 };
        // A few of the second crash's places for each of the first one's; all of them over all rounds.
        for second in (1 + first % 3..30).step_by(3) {
            let copy = directory();
            for entry in std::fs::read_dir(dir.path()).expect("the files").flatten() {
                std::fs::copy(entry.path(), copy.path().join(entry.file_name())).expect("a copy");
            }
            let (local, term) = held(copy.path());
            let again = step::run(second, || drop(local.commit(mark(term, 25), &bytes(25))));
            drop(local);
            let least = if again.reported { 25 } else { reported };
            let found = newest(&open(copy.path()));
            assert!(
                found >= Some(least),
                "{found:?} after stops {first} and {second}, reported was {least}"
            );
        }
        if run.ended {
            return;
        }
    }
    panic!("a commit takes more than 20 system calls");
}

#[test]
fn an_acquisition_killed_anywhere_is_there_or_is_not_and_no_term_is_given_twice() {
    at_every_stop(
        |dir| committed(dir, &[10]),
        |local| drop(local.acquire()),
        |dir, run| {
            let local = open(dir);
            assert!(
                local.holds(),
                "term 1 was held, and term 2 is if it was taken"
            );
            let next = local.acquire().expect("a term");
            assert!(
                next >= Term(if run.reported { 3 } else { 2 }),
                "{next:?}, reported: {}",
                run.reported
            );
            assert_eq!(newest(&local), Some(10));
        },
    );
}

#[test]
fn a_release_killed_anywhere_is_there_or_is_not() {
    at_every_stop(
        |dir| committed(dir, &[10]),
        |local| drop(local.release(Term(1))),
        |dir, run| {
            let local = open(dir);
            assert!(!local.holds() || !run.reported);
            assert_eq!(newest(&local), Some(10));
            assert!(local.acquire().expect("a term") > Term(1));
        },
    );
}
