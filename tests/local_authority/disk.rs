//! A full disk and a read-only one. Both are mounted, which takes root.

use crate::{bytes, commit, mark, newest, open};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use std::path::{Path, PathBuf};
use validator_supervisor::authority::local::CommitError;

/// A small disk of its own; gone when dropped.
struct Disk {
    dir: tempfile::TempDir,
}

impl Disk {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let disk = Self { dir };
        disk.mount(MsFlags::empty());
        disk
    }

    fn mount(&self, flags: MsFlags) {
        let mounted = mount(
            Some("none"),
            self.path(),
            Some("tmpfs"),
            flags,
            Some("size=64k"),
        );
        mounted.expect("a mount, for which this test needs to be run as root");
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Takes all room that is left, and says by which file.
    fn fill(&self) -> PathBuf {
        let path = self.path().join("filler");
        let full = std::fs::write(&path, vec![0; 1 << 20]);
        assert!(full.is_err(), "the disk is larger than it should be");
        path
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = umount2(self.path(), MntFlags::MNT_DETACH);
    }
}

#[test]
fn a_full_disk_refuses_a_first_commit_and_takes_it_when_there_is_room() {
    let disk = Disk::new();
    let local = open(disk.path());
    let term = local.acquire().expect("a term");
    let filler = disk.fill();
    let error = local
        .commit(mark(term, 10), &bytes(10))
        .expect_err("a commit without room");
    assert!(matches!(&error, CommitError::Io { .. }), "{error}");
    assert!(
        error.to_string().contains("record") && error.to_string().contains("No space left"),
        "{error}"
    );
    assert_eq!((newest(&local), local.mark()), (None, None));
    std::fs::remove_file(filler).expect("room");
    commit(&local, term, 10);
    assert_eq!(newest(&open(disk.path())), Some(10));
}

#[test]
fn a_disk_that_fills_up_takes_further_records_in_place() {
    let disk = Disk::new();
    let local = open(disk.path());
    let term = local.acquire().expect("a term");
    commit(&local, term, 10);
    commit(&local, term, 11);
    disk.fill();
    commit(&local, term, 12);
    commit(&local, term, 13);
    assert_eq!(newest(&open(disk.path())), Some(13));
    assert!(local.acquire().is_err(), "a new term has no room");
    commit(&local, term, 14);
    assert_eq!(newest(&open(disk.path())), Some(14), "the old term stands");
}

#[test]
fn a_read_only_disk_refuses_commits_and_terms_and_keeps_what_it_has() {
    let disk = Disk::new();
    let local = open(disk.path());
    let term = local.acquire().expect("a term");
    commit(&local, term, 10);
    disk.mount(MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY);
    let error = local
        .commit(mark(term, 11), &bytes(11))
        .expect_err("a commit on a read-only disk");
    assert!(
        error.to_string().contains("Read-only file system"),
        "{error}"
    );
    assert!(local.acquire().is_err() && local.release(term).is_err());
    assert_eq!(
        (newest(&local), newest(&open(disk.path())), local.holds()),
        (Some(10), Some(10), true)
    );
    disk.mount(MsFlags::MS_REMOUNT);
    commit(&local, term, 11);
    local.release(term).expect("a release");
    assert_eq!(newest(&open(disk.path())), Some(11));
}
