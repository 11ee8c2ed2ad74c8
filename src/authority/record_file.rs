//! The newest committed record on this disk, written once a vote.
//!
//! It is safe when [`RecordFile::write`] returns; the exchange of names is left for after the vote, and without that the next
//! write does it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::durable_file::{self, Names, TwoFiles};
use super::stored::{self, FormError, StoredRecord};
use crate::engine::values::RecordMark;

/// Room for a vote history of hours without finality, and the frame around it.
const FILE_MAX: usize = (8 << 20) + 1024;

/// Why the files of an authority cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("{} is damaged: {error}. {remedy}", path.display())]
    Damaged {
        path: PathBuf,
        error: FormError,
        remedy: String,
    },
    #[error("{} cannot be read: {error}", path.display())]
    Newer { path: PathBuf, error: FormError },
    /// See [`TwoFiles`] for why no crash leaves this.
    #[error("{} is missing, though {} is there: something has removed the newer one of the two. Put it back. {remedy}", path.display(), older.display())]
    Missing {
        path: PathBuf,
        older: PathBuf,
        remedy: String,
    },
    #[error("{} belongs to another identity, {}: point state_dir elsewhere, or move the file away", path.display(), bs58::encode(found).into_string())]
    OtherIdentity { path: PathBuf, found: [u8; 32] },
}

/// See the module.
#[derive(Debug)]
pub(super) struct RecordFile {
    identity: [u8; 32],
    files: TwoFiles,
    inner: Mutex<Inner>,
    /// Of its own, so that nobody who asks for it waits for a disk.
    mark: Mutex<Option<RecordMark>>,
}

#[derive(Debug)]
struct Inner {
    names: Names,
    /// Keeps its room from vote to vote.
    form: Vec<u8>,
}

impl RecordFile {
    /// Opens `record` in `dir`, which must exist; creates none.
    pub(super) fn open(dir: &Path, identity: [u8; 32]) -> Result<Self, OpenError> {
        let files = TwoFiles::new(dir.join("record"));
        let record = read_newest(&files, identity)?;
        let mark = record.map(|record| record.mark);
        let names = names(&files, mark)?;
        Ok(Self {
            identity,
            files,
            inner: Mutex::new(Inner {
                names,
                form: Vec::new(),
            }),
            mark: Mutex::new(mark),
        })
    }

    /// Makes a record the newest. Repeating the call is always right.
    pub(super) fn write(&self, mark: RecordMark, bytes: &[u8]) -> io::Result<()> {
        let mut inner = self.inner();
        let Inner { names, form } = &mut *inner;
        stored::write_record(form, mark, &self.identity, bytes);
        self.put(names, mark, form)
    }

    /// Makes the record that was found durable, by whatever way it came to be there: one that can be read may be in memory alone.
    ///
    /// # Errors
    /// The disk refuses, or the record cannot be read any more.
    pub(super) fn write_again(&self) -> Result<(), OpenError> {
        let Some(record) = self.read()? else {
            return Ok(());
        };
        self.write(record.mark, &record.bytes)
            .map_err(|source| OpenError::Io {
                path: self.path().to_owned(),
                source,
            })
    }

    /// The same for a record in its stored form.
    pub(super) fn write_form(&self, mark: RecordMark, form: &[u8]) -> io::Result<()> {
        self.put(&mut self.inner().names, mark, form)
    }

    fn put(&self, names: &mut Names, mark: RecordMark, form: &[u8]) -> io::Result<()> {
        let place = |mark: RecordMark| (mark.term, mark.seq);
        // Whoever waited for its turn meanwhile is too late.
        if self.mark().map(place) > Some(place(mark)) {
            return Err(io::Error::other("a newer record is there by now"));
        }
        self.files.put(names, form)?;
        *self.newest() = Some(mark);
        Ok(())
    }

    /// Gives the newest record its name, on the disk, if [`Self::write`] has left that to do. The record is safe where the disk
    /// refuses, and the next write tries again.
    pub(super) fn settle(&self) -> io::Result<()> {
        self.files.settle(&mut self.inner().names)
    }

    /// As [`Self::open`] finds it.
    pub(super) fn read(&self) -> Result<Option<StoredRecord>, OpenError> {
        let _inner = self.inner();
        read_newest(&self.files, self.identity)
    }

    /// What the newest record is, without a look at the disk.
    pub(super) fn mark(&self) -> Option<RecordMark> {
        *self.newest()
    }

    fn newest(&self) -> MutexGuard<'_, Option<RecordMark>> {
        self.mark.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn path(&self) -> &Path {
        self.files.newest()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The newest of the two files. The older one may be damaged, by a crash while it was written over; the newest may not, and may
/// not be missing where there is an older one: going on from that one would forget the last vote without a word.
pub(super) fn read_newest(
    files: &TwoFiles,
    identity: [u8; 32],
) -> Result<Option<StoredRecord>, OpenError> {
    let older = read(files.older())?;
    let has_older = older.is_some();
    let older = match older.map(|form| stored::read_record(&form)) {
        // The next commit would write over it.
        Some(Err(error @ FormError::Version { .. })) => {
            return Err(unusable(files.older(), error, String::new));
        }
        other => other.and_then(Result::ok),
    };
    let older = older.filter(|record| record.identity == identity);
    let Some(form) = read(files.newest())? else {
        return if has_older {
            Err(missing(files, older.as_ref()))
        } else {
            Ok(None)
        };
    };
    let newest = stored::read_record(&form).map_err(|error| {
        unusable(files.newest(), error, || {
            way_out(files.newest(), files.older(), older.as_ref())
        })
    })?;
    if newest.identity != identity {
        return Err(OpenError::OtherIdentity {
            path: files.newest().to_owned(),
            found: newest.identity,
        });
    }
    // A crash before the names are exchanged leaves the newer one under the older name.
    Ok(older
        .into_iter()
        .chain([newest])
        .max_by_key(|record| (record.mark.term, record.mark.seq)))
}

/// After a crash, `mark` being that of the newest record.
pub(super) fn names(files: &TwoFiles, mark: Option<RecordMark>) -> Result<Names, OpenError> {
    let newest = read(files.newest())?.and_then(|form| stored::read_record(&form).ok());
    Ok(if newest.map(|record| record.mark) == mark {
        Names::ToSync
    } else {
        Names::ToExchange
    })
}

pub(super) fn unusable(
    path: &Path,
    error: FormError,
    remedy: impl FnOnce() -> String,
) -> OpenError {
    let path = path.to_owned();
    match error {
        FormError::Version { .. } => OpenError::Newer { path, error },
        _ => OpenError::Damaged {
            path,
            error,
            remedy: remedy(),
        },
    }
}

fn missing(files: &TwoFiles, whole: Option<&StoredRecord>) -> OpenError {
    let (path, older) = (files.newest().to_owned(), files.older().to_owned());
    let remedy = way_out(&path, &older, whole);
    OpenError::Missing {
        path,
        older,
        remedy,
    }
}

/// What is left to do without the newest file.
fn way_out(newest: &Path, older: &Path, whole: Option<&StoredRecord>) -> String {
    match whole {
        Some(record) => format!(
            "{} is whole and ends at slot {}: to go on from it, which forgets the last vote, wait until the cluster is well past that slot, then `mv {} {}`",
            older.display(),
            record.mark.slot,
            older.display(),
            newest.display()
        ),
        None => format!(
            "there is no whole older copy at {}: restore the newest from a copy, which must be the newest there is: an older one forgets votes",
            older.display()
        ),
    }
}

pub(super) fn read(path: &Path) -> Result<Option<Vec<u8>>, OpenError> {
    durable_file::read(path, FILE_MAX).map_err(|source| OpenError::Io {
        path: path.to_owned(),
        source,
    })
}
