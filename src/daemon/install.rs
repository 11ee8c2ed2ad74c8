//! Makes the newest known record durable here and puts it where the validator will load it.
//!
//! Newest is by what the records themselves say: a record in the validator's directory that goes on from the committed
//! one (the validator voted without a supervisor) is committed first; else the committed one is sealed under the new term,
//! because what a crash left may not be on the disk yet, and replaces what is there. A record there that is newer and does not
//! go on from the committed one is not decided on here: one of the two is wrong, and only the operator knows which. A damaged
//! one, such as a crash leaves, is set aside.
//! Runs on a thread that may block.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::authority::durable_file;
use crate::authority::local::OpenError;
use crate::authority::{Authority, CommitError};
use crate::engine::values::{RecordKind, RecordMark, Term};
use crate::validator::paths::ValidatorPaths;
use crate::validator::pubkey::Pubkey;
use crate::validator::record::{self, RecordError, RollbackError, VoteRecord};

/// Within the time of a step.
const SETTLE_WITHIN: Duration = Duration::from_secs(3);
const SETTLE_EVERY: Duration = Duration::from_millis(50);

/// Why the record could not be installed. Nothing was given to the validator.
#[derive(Debug, thiserror::Error)]
pub(super) enum InstallError {
    #[error("the committed record cannot be read: {0}")]
    Authority(#[from] OpenError),
    #[error("the record cannot be committed: {0}")]
    Commit(#[from] CommitError),
    #[error("{}: {source}: check its disk, its owner and its mode", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("{} is no usable record ({source}) and nothing newer is known: restore it from a copy, but only from the newest there is (an older one forgets votes), or move it away and promote with --first-vote if this identity has never voted", path.display())]
    Ledger { path: PathBuf, source: RecordError },
    #[error("{} is no usable record ({source}), and the committed one, a tower up to slot {committed_slot} (`record` in state_dir), is of the time before vote histories: restore the vote history from a copy, but only from the newest there is (an older one forgets votes); move it away only if this identity has never voted with it", path.display())]
    History {
        path: PathBuf,
        source: RecordError,
        committed_slot: u64,
    },
    #[error("{} ends at slot {found_slot} and does not go on from the committed record, which ends at slot {committed_slot} (`record` in state_dir): {}. Nothing was changed. Move that file away, and the committed record takes its place; but where you had the tower rebuilt, or the cluster restarted from an earlier slot, stop the supervisor and move `record` and `record.older` in state_dir away instead", path.display(), reason.without_remedy())]
    Conflict {
        path: PathBuf,
        found_slot: u64,
        committed_slot: u64,
        reason: RollbackError,
    },
    #[error("the committed record is not usable: {0}")]
    Committed(#[source] RecordError),
}

struct Candidate {
    record: VoteRecord,
    bytes: Vec<u8>,
}

/// Installs. Answers the record the next vote has to follow, `None` when there is none anywhere.
///
/// # Errors
/// See [`InstallError`].
pub(super) fn install(
    authority: &Authority,
    paths: &ValidatorPaths,
    identity: &Pubkey,
    term: Term,
) -> Result<Option<(RecordMark, VoteRecord)>, InstallError> {
    let committed = authority.record()?;
    let Some(committed) = committed else {
        let found = in_ledger(paths, identity)?;
        return adopt(authority, found, term, 1);
    };
    let seq = committed.mark.seq + 1;
    let record = record::parse(committed.mark.kind, &committed.bytes, identity)
        .map_err(InstallError::Committed)?;
    if let Some(found) = newer_in_ledger(paths, identity, &record)? {
        return adopt(authority, Some(found), term, seq);
    }
    put(
        &directory(paths, record.kind),
        &record::file_name(record.kind, identity),
        &committed.bytes,
    )?;
    let bytes = committed.bytes;
    adopt(authority, Some(Candidate { record, bytes }), term, seq)
}

/// Does what [`install`] does to the validator's directory, and takes no term. `None`: there is no record yet.
///
/// # Errors
/// See [`InstallError`].
pub(super) fn rehearse(
    authority: &Authority,
    paths: &ValidatorPaths,
    identity: &Pubkey,
) -> Result<Option<u64>, InstallError> {
    let Some(committed) = authority.record()? else {
        return Ok(None);
    };
    let record = record::parse(committed.mark.kind, &committed.bytes, identity)
        .map_err(InstallError::Committed)?;
    if newer_in_ledger(paths, identity, &record)?.is_none() {
        let directory = directory(paths, record.kind);
        let name = record::file_name(record.kind, identity);
        put(&directory, &name, &committed.bytes)?;
    }
    Ok(Some(record.last_slot))
}

/// The validator's record, if it has voted after the committed one. What is older or equal is `None`; what is damaged too,
/// and has another name from here on.
fn newer_in_ledger(
    paths: &ValidatorPaths,
    identity: &Pubkey,
    committed: &VoteRecord,
) -> Result<Option<Candidate>, InstallError> {
    let kinds: &[RecordKind] = match committed.kind {
        // Whatever tower is there was left behind.
        RecordKind::VoteHistory => &[RecordKind::VoteHistory],
        RecordKind::Tower => &KINDS,
    };
    for kind in kinds {
        match read(paths, identity, *kind) {
            Ok(None) => {}
            Ok(Some(found)) => return goes_on(paths, found, committed),
            Err(InstallError::Ledger { path, source }) => {
                set_aside(path, source, *kind, committed)?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

fn goes_on(
    paths: &ValidatorPaths,
    found: Candidate,
    committed: &VoteRecord,
) -> Result<Option<Candidate>, InstallError> {
    let record = &found.record;
    match record::may_follow(record, committed) {
        Ok(()) if record.sha256 == committed.sha256 => Ok(None),
        Ok(()) => Ok(Some(found)),
        Err(reason) if record.last_slot > committed.last_slot => Err(InstallError::Conflict {
            path: path(paths, record.kind, &record.identity),
            found_slot: record.last_slot,
            committed_slot: committed.last_slot,
            reason,
        }),
        Err(_) => Ok(None),
    }
}

/// A vote is committed before the validator renames its record, so one of the same kind that a crash has damaged is not newer
/// than the committed one. That does not hold for a history beside a tower: its first vote was not committed.
fn set_aside(
    path: PathBuf,
    source: RecordError,
    kind: RecordKind,
    committed: &VoteRecord,
) -> Result<(), InstallError> {
    if kind != committed.kind {
        return Err(InstallError::History {
            path,
            source,
            committed_slot: committed.last_slot,
        });
    }
    let mut aside = path.clone().into_os_string();
    aside.push(".damaged");
    let aside = PathBuf::from(aside);
    tracing::warn!(
        EVENT = "record-damaged",
        SLOT = committed.last_slot,
        "{} is damaged ({source}): it is kept as {}, and the committed record up to slot {} takes its place",
        path.display(),
        aside.display(),
        committed.last_slot
    );
    std::fs::rename(&path, aside).map_err(|source| InstallError::Io { path, source })
}

fn adopt(
    authority: &Authority,
    found: Option<Candidate>,
    term: Term,
    seq: u64,
) -> Result<Option<(RecordMark, VoteRecord)>, InstallError> {
    let Some(Candidate { record, bytes }) = found else {
        return Ok(None);
    };
    let mark = RecordMark {
        term,
        seq,
        slot: record.last_slot,
        kind: record.kind,
    };
    commit(authority, mark, &bytes)?;
    Ok(Some((mark, record)))
}

/// Where others hold the record with us, an outcome that is not known yet is asked for again: what ended the last holder may
/// have made them choose a leader anew.
fn commit(authority: &Authority, mark: RecordMark, bytes: &[u8]) -> Result<(), CommitError> {
    let until = Instant::now() + SETTLE_WITHIN;
    loop {
        match authority.commit(mark, bytes) {
            Err(CommitError::Unsettled(_))
                if !authority.traits().alone && Instant::now() < until =>
            {
                std::thread::sleep(SETTLE_EVERY);
            }
            ended => return ended,
        }
    }
}

/// A vote history ranks before a tower, which a chain only leaves behind.
const KINDS: [RecordKind; 2] = [RecordKind::VoteHistory, RecordKind::Tower];

/// The record in the validator's own directory.
fn in_ledger(paths: &ValidatorPaths, identity: &Pubkey) -> Result<Option<Candidate>, InstallError> {
    for kind in KINDS {
        if let Some(found) = read(paths, identity, kind)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

fn read(
    paths: &ValidatorPaths,
    identity: &Pubkey,
    kind: RecordKind,
) -> Result<Option<Candidate>, InstallError> {
    let path = path(paths, kind, identity);
    let read = durable_file::read(&path, record::len_max(kind));
    let Some(bytes) = read.map_err(|source| InstallError::Io {
        path: path.clone(),
        source,
    })?
    else {
        return Ok(None);
    };
    let record = record::parse(kind, &bytes, identity)
        .map_err(|source| InstallError::Ledger { path, source })?;
    Ok(Some(Candidate { record, bytes }))
}

fn path(paths: &ValidatorPaths, kind: RecordKind, identity: &Pubkey) -> PathBuf {
    directory(paths, kind).join(record::file_name(kind, identity))
}

/// Vote histories are always in the ledger; towers where `--tower` says.
fn directory(paths: &ValidatorPaths, kind: RecordKind) -> PathBuf {
    match kind {
        RecordKind::Tower => paths.tower.clone(),
        RecordKind::VoteHistory => paths.ledger.clone(),
    }
}

fn put(directory: &Path, name: &str, bytes: &[u8]) -> Result<(), InstallError> {
    let path = directory.join(name);
    let failed = |source| InstallError::Io {
        path: path.clone(),
        source,
    };
    // Not the `.new` of the validator, which may be about to write it.
    let temporary = directory.join(format!("{name}.install"));
    let write = || -> io::Result<()> {
        let mut file = std::fs::File::create(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&temporary, &path)?;
        std::fs::File::open(directory)?.sync_all()
    };
    write().map_err(failed)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::os::unix::fs::PermissionsExt as _;
    use std::sync::Arc;

    use ed25519_dalek::SigningKey;
    use testkit::encode;

    use super::*;
    use crate::authority::local::Local;

    struct Place {
        _dir: tempfile::TempDir,
        paths: ValidatorPaths,
        authority: Authority,
        key: SigningKey,
        term: Term,
    }

    impl Place {
        fn new() -> Self {
            let dir = tempfile::tempdir().expect("a directory");
            let (state, ledger) = (dir.path().join("state"), dir.path().join("ledger"));
            for new in [&state, &ledger] {
                std::fs::create_dir(new).expect("a directory");
            }
            let key = testkit::keys::from_seed("install");
            let local = Local::open(&state, key.verifying_key().to_bytes()).expect("an authority");
            let term = local.acquire().expect("a term");
            let path = |name: &str| dir.path().join(name);
            let paths = ValidatorPaths {
                link: path("link"),
                staked: path("staked"),
                unstaked: path("unstaked"),
                authorized_voters: vec![path("staked")],
                tower: ledger.clone(),
                ledger,
                rpc: String::new(),
            };
            Self {
                authority: Authority::Local(Arc::new(local)),
                _dir: dir,
                paths,
                key,
                term,
            }
        }

        fn identity(&self) -> Pubkey {
            Pubkey::new(self.key.verifying_key().to_bytes())
        }

        fn tower(&self, slots: &[u64]) -> Vec<u8> {
            let count = slots.len() as u32;
            let votes: Vec<(u64, u32)> = slots.iter().copied().zip((1..=count).rev()).collect();
            encode::tower(&self.key, &votes, Some(0))
        }

        fn history(&self) -> Vec<u8> {
            encode::vote_history(&self.key, &BTreeMap::new(), 5)
        }

        fn commit(&self, kind: RecordKind, bytes: &[u8]) {
            let record = record::parse(kind, bytes, &self.identity()).expect("a record");
            let (term, slot) = (self.term, record.last_slot);
            let mark = RecordMark {
                term,
                seq: 7,
                slot,
                kind,
            };
            self.authority.commit(mark, bytes).expect("a commit");
        }

        fn path(&self, kind: RecordKind) -> PathBuf {
            path(&self.paths, kind, &self.identity())
        }

        fn put(&self, kind: RecordKind, bytes: &[u8]) {
            std::fs::write(self.path(kind), bytes).expect("a record in the ledger");
        }

        fn read(&self, kind: RecordKind) -> Vec<u8> {
            std::fs::read(self.path(kind)).expect("a record in the ledger")
        }

        fn install(&self) -> Result<Option<RecordMark>, InstallError> {
            let installed = install(&self.authority, &self.paths, &self.identity(), self.term);
            installed.map(|installed| installed.map(|(mark, _)| mark))
        }

        fn committed(&self) -> (u64, Vec<u8>) {
            let stored = self
                .authority
                .record()
                .expect("readable")
                .expect("a record");
            (stored.mark.seq, stored.bytes)
        }
    }

    use RecordKind::{Tower, VoteHistory};

    #[test]
    fn an_older_record_in_the_ledger_is_replaced_and_a_newer_one_that_goes_on_is_committed() {
        let place = Place::new();
        let committed = place.tower(&[10, 11]);
        place.commit(Tower, &committed);
        place.put(Tower, &place.tower(&[10]));
        place.install().expect("installed");
        assert_eq!(place.read(Tower), committed);
        assert_eq!(place.committed(), (8, committed));
        let newer = place.tower(&[10, 11, 12]);
        place.put(Tower, &newer);
        let mark = place.install().expect("installed").expect("a record");
        assert_eq!((mark.seq, mark.slot), (9, 12));
        assert_eq!(place.committed(), (9, newer));
    }

    #[test]
    fn a_newer_record_that_does_not_go_on_is_refused_and_both_are_kept() {
        let place = Place::new();
        let (committed, newer) = (place.tower(&[10, 11]), place.tower(&[12]));
        place.commit(Tower, &committed);
        place.put(Tower, &newer);
        let error = place.install().expect_err("a conflict").to_string();
        let path = place.path(Tower).display().to_string();
        for part in [
            format!("{path} ends at slot 12"),
            "ends at slot 11 (`record` in state_dir)".into(),
            "move `record` and `record.older` in state_dir away".into(),
            "Nothing was changed. Move that file away".into(),
            "where you had the tower rebuilt".into(),
            "without its vote for slot 10".into(),
        ] {
            assert!(error.contains(&part), "{part}: {error}");
        }
        assert!(
            !error.contains("restore the newest"),
            "two remedies: {error}"
        );
        assert_eq!(place.read(Tower), newer);
        assert_eq!(place.committed(), (7, committed));
    }

    #[test]
    fn a_damaged_record_is_set_aside_for_the_committed_one() {
        let place = Place::new();
        let committed = place.tower(&[10, 11]);
        place.commit(Tower, &committed);
        // A crash leaves files cut short or full of zeros.
        for damaged in [&committed[..100], &[0; 2_000], &[]] {
            place.put(Tower, damaged);
            place.install().expect("installed");
            assert_eq!(place.read(Tower), committed);
            let mut aside = place.path(Tower).into_os_string();
            aside.push(".damaged");
            assert_eq!(std::fs::read(aside).expect("set aside"), damaged);
        }
    }

    #[test]
    fn a_record_that_cannot_be_read_is_refused_and_stays() {
        let place = Place::new();
        place.commit(Tower, &place.tower(&[10]));
        let path = place.path(Tower);
        // Also for root, who may read a file of any mode, a directory is none.
        std::fs::create_dir(&path).expect("a directory");
        let error = place.install().expect_err("refused");
        assert!(matches!(&error, InstallError::Io { path: of, .. } if *of == path));
        std::fs::remove_dir(&path).expect("removed");
        if !nix::unistd::geteuid().is_root() {
            place.put(Tower, &place.tower(&[10, 11]));
            let unreadable = std::fs::Permissions::from_mode(0o000);
            std::fs::set_permissions(&path, unreadable).expect("a mode");
            let error = place.install().expect_err("refused");
            assert!(matches!(error, InstallError::Io { .. }));
        }
        assert_eq!(place.committed().0, 7);
    }

    #[test]
    fn without_a_committed_record_a_damaged_one_is_refused_and_the_remedy_warns_of_old_copies() {
        let place = Place::new();
        assert_eq!(place.install().expect("nothing anywhere"), None);
        place.put(Tower, b"damaged");
        let error = place.install().expect_err("refused").to_string();
        assert!(error.contains("an older one forgets votes"), "{error}");
        assert_eq!(place.read(Tower), b"damaged");
    }

    #[test]
    fn the_chain_moves_from_tower_to_history_and_not_back() {
        let place = Place::new();
        let (tower, history) = (place.tower(&[10]), place.history());
        place.commit(Tower, &tower);
        place.put(VoteHistory, b"damaged");
        let error = place.install().expect_err("refused");
        assert!(matches!(error, InstallError::History { .. }), "{error}");
        place.put(VoteHistory, &history);
        place.install().expect("installed");
        assert_eq!(place.committed().1, history);
        // What the tower says does not matter from here on.
        place.put(Tower, &place.tower(&[99]));
        place.install().expect("installed");
        assert_eq!(place.committed().1, history);
        place.put(VoteHistory, b"damaged");
        place.install().expect("installed");
        assert_eq!(place.read(VoteHistory), history);
    }
}
