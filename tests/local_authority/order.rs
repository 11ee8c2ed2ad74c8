//! The order of what reaches the disk, read off the system calls.

use crate::step::{self, Call};
use crate::{bytes, commit, commit_alone, mark, open};
use std::path::Path;
use validator_supervisor::authority::local::Local;
use validator_supervisor::engine::values::Term;

/// The calls that change what is on the disk, by name and by the file they are about.
fn changes(calls: &[Call], dir: &Path) -> Vec<String> {
    let file = |call: &Call| {
        let path = call.file.clone().unwrap_or_default();
        if path == dir {
            "directory".to_owned()
        } else {
            path.file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned()
        }
    };
    let named = calls.iter().filter_map(|call| {
        let about = match call.number {
            libc::SYS_pwrite64 | libc::SYS_write => format!("write {}", file(call)),
            libc::SYS_ftruncate => format!("cut {}", file(call)),
            libc::SYS_fdatasync | libc::SYS_fsync => format!("sync {}", file(call)),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_rename => "rename".to_owned(),
            libc::SYS_renameat | libc::SYS_renameat2 => "rename".to_owned(),
            _ => return None,
        };
        // What the test itself tells by is no file.
        (!about.contains("socket")).then_some(about)
    });
    named.collect()
}

/// What a commit does that is the next of this authority, of as many bytes as the record for `like`.
fn of_commit(local: &Local, dir: &Path, slot: u64, like: u64) -> Vec<String> {
    let run = step::run(usize::MAX, || {
        drop(local.commit(mark(Term(1), slot), &bytes(like)))
    });
    assert!(run.reported);
    changes(&run.calls, dir)
}

fn two_commits(dir: &Path) -> Local {
    let local = open(dir);
    let term = local.acquire().expect("a term");
    commit(&local, term, 10);
    commit(&local, term, 11);
    local
}

#[test]
fn a_commit_is_synced_before_it_is_reported() {
    let dir = tempfile::tempdir().expect("a directory");
    let local = two_commits(dir.path());
    assert_eq!(
        of_commit(&local, dir.path(), 12, 10),
        ["write record.older", "sync record.older"],
        "a record of the same length"
    );
    assert_eq!(
        of_commit(&local, dir.path(), 13, 17),
        [
            "write record.older",
            "cut record.older",
            "sync record.older"
        ],
        "a record of another length"
    );
}

#[test]
fn the_names_are_on_the_disk_before_the_older_file_is_written_over() {
    let dir = tempfile::tempdir().expect("a directory");
    let local = two_commits(dir.path());
    let settle = |local: &Local| {
        let run = step::run(usize::MAX, || drop(local.settle()));
        changes(&run.calls, dir.path())
    };
    assert!(settle(&local).is_empty(), "nothing is left to do");
    commit_alone(&local, Term(1), 12);
    let expected = [
        "rename",
        "sync directory",
        "write record.older",
        "cut record.older",
        "sync record.older",
    ];
    assert_eq!(of_commit(&open(dir.path()), dir.path(), 17, 17), expected);
    assert_eq!(settle(&open(dir.path())), expected[..2]);
    // Whoever exchanged them may have been killed before they were synced.
    assert_eq!(
        of_commit(&open(dir.path()), dir.path(), 18, 18),
        expected[1..]
    );
}

#[test]
fn a_file_that_is_made_gets_its_name_on_the_disk_before_its_record_is_reported() {
    let dir = tempfile::tempdir().expect("a directory");
    let local = open(dir.path());
    local.acquire().expect("a term");
    let first = [
        "sync directory",
        "write record.new",
        "sync record.new",
        "rename",
        "sync directory",
    ];
    assert_eq!(of_commit(&local, dir.path(), 12, 10), first);
    let second = first.map(|step| step.replace(".new", ".older"));
    assert_eq!(of_commit(&local, dir.path(), 13, 17), second);
}

#[test]
fn a_term_is_synced_before_it_is_named_and_its_name_before_it_is_given_out() {
    let dir = tempfile::tempdir().expect("a directory");
    let local = open(dir.path());
    local.acquire().expect("a term");
    let expected = [
        "write holding.new",
        "sync holding.new",
        "rename",
        "sync directory",
    ];
    let run = step::run(usize::MAX, || drop(local.acquire()));
    assert_eq!(changes(&run.calls, dir.path()), expected);
    let run = step::run(usize::MAX, || drop(local.release(Term(0))));
    assert_eq!(changes(&run.calls, dir.path()), expected);
}
