//! Damaged, foreign and newer files; and commits under a term that is over.

use crate::{IDENTITY, bytes, commit, mark, newest, open};
use sha2::{Digest as _, Sha256};
use std::path::Path;
use validator_supervisor::authority::local::{CommitError, Local, OpenError};
use validator_supervisor::engine::values::Term;

fn three_commits(dir: &Path) -> Local {
    let local = open(dir);
    let term = local.acquire().expect("a term");
    for slot in [10, 11, 12] {
        commit(&local, term, slot);
    }
    local
}

fn refusal(dir: &Path) -> String {
    let error = Local::open(dir, IDENTITY).expect_err("a refusal");
    let text = error.to_string();
    assert!(
        text.contains(&dir.display().to_string()),
        "no file is named: {text}"
    );
    text
}

fn change(path: &Path, change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut form = std::fs::read(path).expect("the file");
    change(&mut form);
    std::fs::write(path, &form).expect("a damaged file");
    form
}

#[test]
fn a_damaged_newest_record_is_refused_by_name_and_the_older_one_offered() {
    let dir = tempfile::tempdir().expect("a directory");
    let local = three_commits(dir.path());
    let path = dir.path().join("record");
    let damaged = change(&path, |form| form[60] ^= 1);
    let text = refusal(dir.path());
    assert!(
        text.contains("record is damaged")
            && text.contains("record.older is whole and ends at slot 11"),
        "{text}"
    );
    assert!(local.record().is_err(), "a running supervisor sees it too");
    assert_eq!(
        std::fs::read(&path).expect("the file"),
        damaged,
        "nothing is replaced"
    );
    take_the_way_out(dir.path(), &text);
    assert_eq!(newest(&open(dir.path())), Some(11));
}

/// The command that the message offers, as it stands.
fn take_the_way_out(dir: &Path, text: &str) {
    let (older, newest) = (dir.join("record.older"), dir.join("record"));
    let command = format!("`mv {} {}`", older.display(), newest.display());
    assert!(text.contains(&command), "{text}");
    std::fs::rename(older, newest).expect("moved");
}

#[test]
fn a_missing_record_beside_an_older_one_is_refused_by_name_and_nothing_changes() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = three_commits(dir.path());
    let older = dir.path().join("record.older");
    let before = std::fs::read(&older).expect("the older file");
    std::fs::remove_file(dir.path().join("record")).expect("removed");
    for local in [
        Local::open(dir.path(), IDENTITY).map(drop),
        running.record().map(drop),
    ] {
        assert!(
            matches!(&local, Err(OpenError::Missing { .. })),
            "{local:?}"
        );
    }
    let text = refusal(dir.path());
    for part in [
        "record is missing",
        "Put it back",
        "whole and ends at slot 11",
        "forgets the last vote",
    ] {
        assert!(text.contains(part), "no `{part}`: {text}");
    }
    assert_eq!(std::fs::read(&older).expect("the older file"), before);
    assert!(!dir.path().join("record").exists());
    take_the_way_out(dir.path(), &text);
    assert_eq!(newest(&open(dir.path())), Some(11));
}

#[test]
fn a_missing_record_beside_a_damaged_older_one_is_no_fresh_start() {
    let dir = tempfile::tempdir().expect("a directory");
    three_commits(dir.path());
    std::fs::remove_file(dir.path().join("record")).expect("removed");
    for damage in ["", "half a record"] {
        std::fs::write(dir.path().join("record.older"), damage).expect("damage");
        let text = refusal(dir.path());
        assert!(
            text.contains("record is missing") && text.contains("must be the newest"),
            "{text}"
        );
    }
}

#[test]
fn a_supervisor_that_runs_writes_a_missing_record_anew_with_its_next_vote() {
    let dir = tempfile::tempdir().expect("a directory");
    let local = open(dir.path());
    let term = local.acquire().expect("a term");
    for slot in [10, 11] {
        commit(&local, term, slot);
    }
    std::fs::remove_file(dir.path().join("record")).expect("removed");
    commit(&local, term, 12);
    assert_eq!(newest(&open(dir.path())), Some(12));
}

#[test]
fn a_damaged_record_without_an_older_one_says_so() {
    let dir = tempfile::tempdir().expect("a directory");
    let local = open(dir.path());
    let term = local.acquire().expect("a term");
    commit(&local, term, 10);
    change(&dir.path().join("record"), |form| form.truncate(50));
    let text = refusal(dir.path());
    assert!(
        text.contains("there is no whole older copy") && text.contains("must be the newest"),
        "{text}"
    );
}

#[test]
fn a_cut_off_an_empty_and_a_strange_record_are_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    three_commits(dir.path());
    let path = dir.path().join("record");
    let whole = std::fs::read(&path).expect("the file");
    for len in [0, 1, 41, 42, whole.len() - 1] {
        std::fs::write(&path, &whole[..len]).expect("a cut-off file");
        assert!(refusal(dir.path()).contains("damaged"), "{len} bytes");
    }
    std::fs::write(&path, vec![b'x'; 500]).expect("a strange file");
    assert!(refusal(dir.path()).contains("not a file of this program"));
    std::fs::write(&path, vec![0; 9 << 20]).expect("a huge file");
    assert!(refusal(dir.path()).contains("longer than"));
}

#[test]
fn a_damaged_older_record_is_of_no_interest() {
    let dir = tempfile::tempdir().expect("a directory");
    three_commits(dir.path());
    for damage in ["", "half a record"] {
        std::fs::write(dir.path().join("record.older"), damage).expect("damage");
        let local = open(dir.path());
        assert_eq!(newest(&local), Some(12));
    }
    let local = open(dir.path());
    let term = local.acquire().expect("a term");
    commit(&local, term, 13);
    assert_eq!(newest(&open(dir.path())), Some(13));
}

#[test]
fn the_files_of_another_identity_are_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    three_commits(dir.path());
    let other = [8; 32];
    for gone in ["holding", "none"] {
        let _ = std::fs::remove_file(dir.path().join(gone));
        let error = Local::open(dir.path(), other).expect_err("a refusal");
        assert!(
            matches!(&error, OpenError::OtherIdentity { found, .. } if *found == IDENTITY),
            "{error}"
        );
    }
}

#[test]
fn a_file_of_a_newer_version_is_refused_with_its_version() {
    let dir = tempfile::tempdir().expect("a directory");
    three_commits(dir.path());
    let sealed = |form: &mut Vec<u8>| {
        form[8] = 9;
        let at = form.len() - 32;
        let checksum = Sha256::digest(&form[..at]);
        form[at..].copy_from_slice(&checksum);
    };
    // What comes behind the version may have another form.
    let unlike_ours = |form: &mut Vec<u8>| {
        form[8] = 9;
        form.extend_from_slice(b"more");
    };
    // The older one too: the next commit would write over it.
    for name in ["record", "record.older", "holding"] {
        let path = dir.path().join(name);
        let before = std::fs::read(&path).expect("the file");
        for written in [sealed as fn(&mut Vec<u8>), unlike_ours] {
            let newer = change(&path, written);
            let text = refusal(dir.path());
            assert!(
                text.contains(&format!("{} cannot be read", path.display()))
                    && text.contains("written by a newer supervisor, in version 9"),
                "{text}"
            );
            assert!(!text.contains(" is damaged: "), "{text}");
            assert_eq!(std::fs::read(&path).expect("the file"), newer);
            std::fs::write(&path, &before).expect("the file as it was");
        }
    }
}

#[test]
fn a_damaged_term_is_refused_by_name() {
    let dir = tempfile::tempdir().expect("a directory");
    three_commits(dir.path());
    change(&dir.path().join("holding"), |form| form[12] ^= 1);
    let text = refusal(dir.path());
    assert!(
        text.contains("holding is damaged") && text.contains("supervisor ctl promote"),
        "{text}"
    );
}

#[test]
fn a_commit_under_an_old_term_is_refused_and_changes_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let local = three_commits(dir.path());
    let second = local.acquire().expect("a term");
    for term in [Term(0), Term(1), Term(second.0 + 1)] {
        let error = local
            .commit(mark(term, 20), &bytes(20))
            .expect_err("a commit under another term");
        assert!(
            matches!(error, CommitError::TermLost { asked, now, holds: true } if asked == term && now == second)
        );
    }
    assert_eq!(newest(&local), Some(12));
    commit(&local, second, 13);
    local
        .release(Term(1))
        .expect("a release of a term that is over");
    assert!(local.holds(), "it touches no other term");
    local.release(second).expect("a release");
    let error = local
        .commit(mark(second, 20), &bytes(20))
        .expect_err("a commit after the release");
    assert!(
        matches!(error, CommitError::TermLost { holds: false, .. }),
        "{error}"
    );
    assert_eq!(newest(&open(dir.path())), Some(13));
}
