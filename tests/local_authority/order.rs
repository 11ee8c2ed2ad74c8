//! The order of what reaches the disk, read off the system calls.

use crate::step::{self, Call};
use crate::{bytes, commit, mark, open};
use std::path::Path;
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

#[test]
fn a_commit_is_synced_before_it_is_named_and_its_name_before_it_is_reported() {
    let dir = tempfile::tempdir().expect("a directory");
    let local = open(dir.path());
    let term = local.acquire().expect("a term");
    commit(&local, term, 10);
    commit(&local, term, 11);
    let run = step::run(usize::MAX, || {
        drop(local.commit(mark(term, 10), &bytes(10)))
    });
    assert!(run.reported);
    let expected = [
        "write record.older",
        "sync record.older",
        "rename",
        "sync directory",
    ];
    assert_eq!(
        changes(&run.calls, dir.path()),
        expected,
        "a record of the same length"
    );
    let run = step::run(usize::MAX, || {
        drop(local.commit(mark(term, 17), &bytes(17)))
    });
    let expected = [
        "write record.older",
        "cut record.older",
        "sync record.older",
        "rename",
        "sync directory",
    ];
    assert_eq!(
        changes(&run.calls, dir.path()),
        expected,
        "a record of another length"
    );
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
