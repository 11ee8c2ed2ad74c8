//! Makes the newest known record durable here and puts it where the validator will load it.
//!
//! Newest is by what the records themselves say: a record in the validator's directory that goes on from the committed
//! one (the validator voted without a supervisor) is committed first; else the committed one is sealed under the new term,
//! because what a crash left may not be on the disk yet, and replaces what is there.
//! Runs on a thread that may block.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::authority::Authority;
use crate::authority::durable_file;
use crate::authority::local::{CommitError, OpenError};
use crate::engine::values::{RecordKind, RecordMark, Term};
use crate::validator::paths::ValidatorPaths;
use crate::validator::pubkey::Pubkey;
use crate::validator::record::{self, RecordError, RollbackError, VoteRecord};

/// Why the record could not be installed. Nothing was given to the validator.
#[derive(Debug, thiserror::Error)]
pub(super) enum InstallError {
    #[error("the committed record cannot be read: {0}")]
    Authority(#[from] OpenError),
    #[error("the record cannot be committed: {0}")]
    Commit(#[from] CommitError),
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("{} is no usable record ({source}) and nothing newer is known: restore it from a backup, or move it away and promote with --first-vote if this identity has never voted", path.display())]
    Ledger { path: PathBuf, source: RecordError },
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
        return adopt(authority, in_ledger(paths, identity)?, term, 1);
    };
    let seq = committed.mark.seq + 1;
    let record = record::parse(committed.mark.kind, &committed.bytes, identity)
        .map_err(InstallError::Committed)?;
    // A damaged record of the validator's is replaced by the committed one, which is at least as new.
    if let Ok(Some(found)) = in_ledger(paths, identity)
        && goes_on(&found.record, &record)
    {
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

/// Whether the validator has voted after the committed record.
fn goes_on(found: &VoteRecord, committed: &VoteRecord) -> bool {
    let newer: Result<(), RollbackError> = record::may_follow(found, committed);
    newer.is_ok() && found.sha256 != committed.sha256
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
    authority.commit(mark, &bytes)?;
    Ok(Some((mark, record)))
}

/// The record in the validator's own directory. A vote history ranks before a tower, which a chain only leaves behind.
fn in_ledger(paths: &ValidatorPaths, identity: &Pubkey) -> Result<Option<Candidate>, InstallError> {
    for kind in [RecordKind::VoteHistory, RecordKind::Tower] {
        let path = directory(paths, kind).join(record::file_name(kind, identity));
        let read = durable_file::read(&path, record::len_max(kind));
        let Some(bytes) = read.map_err(|source| InstallError::Io {
            path: path.clone(),
            source,
        })?
        else {
            continue;
        };
        let record = record::parse(kind, &bytes, identity)
            .map_err(|source| InstallError::Ledger { path, source })?;
        return Ok(Some(Candidate { record, bytes }));
    }
    Ok(None)
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
