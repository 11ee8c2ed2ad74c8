//! Authority `local`: one node, no failover. The record is on this disk before the vote is let out.
//!
//! It has no lease and nobody to ask; a term counts the starts of voting, so that a commit of an earlier child, still
//! under way when the next one starts, is refused.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::durable_file::{self, TwoFiles};
use super::stored::{self, FormError, Holding, StoredRecord};
use crate::engine::values::{RecordMark, Term};

/// Room for a vote history of hours without finality, and the frame around it.
const FILE_MAX: usize = (8 << 20) + 1024;

/// Why the files of this authority cannot be used.
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
    /// See [`TwoFiles::write`] for why no crash leaves this.
    #[error("{} is missing, though {} is there: something has removed the newest vote record. Put it back. {remedy}", path.display(), older.display())]
    Missing {
        path: PathBuf,
        older: PathBuf,
        remedy: String,
    },
    #[error("{} belongs to another identity, {}: point state_dir elsewhere, or move the file away", path.display(), bs58::encode(found).into_string())]
    OtherIdentity { path: PathBuf, found: [u8; 32] },
}

/// Why a record was not committed.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    #[error("term {asked} is over; {}", if *.holds { format!("term {now} is current") } else { "no term is held".into() })]
    TermLost { asked: Term, now: Term, holds: bool },
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
}

/// The record and the term on this disk.
#[derive(Debug)]
pub struct Local {
    identity: [u8; 32],
    holding_path: PathBuf,
    files: TwoFiles,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    holding: Holding,
    mark: Option<RecordMark>,
    names: Names,
    form: Vec<u8>,
}

/// What is left to do for the names of the two files before the older one may be written over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Names {
    /// The newest record has the older name.
    ToExchange,
    /// They are right, but may not be on the disk.
    ToSync,
    Settled,
}

impl Local {
    /// Opens the files in `dir`, which must exist; creates none.
    ///
    /// # Errors
    /// A file that cannot be read, is damaged, is missing, is of a newer supervisor or belongs to another identity, each by its name.
    pub fn open(dir: &Path, identity: [u8; 32]) -> Result<Self, OpenError> {
        let files = TwoFiles::new(dir.join("record")).map_err(|source| OpenError::Io {
            path: dir.to_owned(),
            source,
        })?;
        let holding_path = dir.join("holding");
        let holding = read_holding(&holding_path, identity)?;
        let record = read_newest(&files, identity)?;
        let mark = record.map(|record| record.mark);
        let names = names(&files, mark)?;
        Ok(Self {
            identity,
            holding_path,
            files,
            inner: Mutex::new(Inner {
                holding,
                mark,
                names,
                form: Vec::new(),
            }),
        })
    }

    /// Whether this node held the term when its files were last written.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.inner().holding.holds
    }

    /// Begins a new term and makes it durable. It is above every term of the record too, whose file may outlive the other.
    ///
    /// # Errors
    /// The disk refuses; the old term stands.
    pub fn acquire(&self) -> io::Result<Term> {
        let mut inner = self.inner();
        let seen = inner.mark.map_or(0, |mark| mark.term.0);
        let term = Term(inner.holding.term.0.max(seen) + 1);
        self.hold(
            &mut inner,
            Holding {
                term,
                holds: true,
                identity: self.identity,
            },
        )?;
        Ok(term)
    }

    /// Ends the holding. A term that is over already is left alone; term 0 means whatever is held.
    ///
    /// # Errors
    /// The disk refuses; the term is still held.
    pub fn release(&self, term: Term) -> io::Result<()> {
        let mut inner = self.inner();
        if !inner.holding.holds || (term != Term(0) && term != inner.holding.term) {
            return Ok(());
        }
        let released = Holding {
            holds: false,
            ..inner.holding
        };
        self.hold(&mut inner, released)
    }

    /// Makes a record durable, if `mark.term` is held. It is safe on the disk when this returns; [`Self::settle`], called once the
    /// vote is let out, spares the next call the exchange of names.
    ///
    /// # Errors
    /// The term is over, or the disk refuses. Repeating the call is always right.
    pub fn commit(&self, mark: RecordMark, bytes: &[u8]) -> Result<(), CommitError> {
        let mut inner = self.inner();
        let Holding { term, holds, .. } = inner.holding;
        if !holds || mark.term != term {
            return Err(CommitError::TermLost {
                asked: mark.term,
                now: term,
                holds,
            });
        }
        let failed = |source| CommitError::Io {
            path: self.files.newest().to_owned(),
            source,
        };
        stored::write_record(&mut inner.form, mark, &self.identity, bytes);
        self.settle_names(&mut inner).map_err(failed)?;
        inner.names = Names::ToSync;
        let to_exchange = self.files.write_older(&inner.form).map_err(failed)?;
        inner.names = if to_exchange {
            Names::ToExchange
        } else {
            Names::Settled
        };
        inner.mark = Some(mark);
        Ok(())
    }

    /// Gives the newest record its name, on the disk, if [`Self::commit`] has left that to do.
    ///
    /// # Errors
    /// The disk refuses. The record is safe, and the next commit tries again.
    pub fn settle(&self) -> io::Result<()> {
        self.settle_names(&mut self.inner())
    }

    fn settle_names(&self, inner: &mut Inner) -> io::Result<()> {
        if inner.names == Names::ToExchange {
            self.files.exchange()?;
            inner.names = Names::ToSync;
        }
        if inner.names == Names::ToSync {
            self.files.sync_names()?;
            inner.names = Names::Settled;
        }
        Ok(())
    }

    /// The newest committed record.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn record(&self) -> Result<Option<StoredRecord>, OpenError> {
        let _inner = self.inner();
        read_newest(&self.files, self.identity)
    }

    /// What is known of the newest committed record, without a look at the disk.
    #[must_use]
    pub fn mark(&self) -> Option<RecordMark> {
        self.inner().mark
    }

    fn hold(&self, inner: &mut Inner, holding: Holding) -> io::Result<()> {
        durable_file::replace(&self.holding_path, &stored::holding_form(&holding))?;
        inner.holding = holding;
        Ok(())
    }

    /// Held during a commit, but by nobody else while votes are let out.
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read_holding(path: &Path, identity: [u8; 32]) -> Result<Holding, OpenError> {
    let none = Holding {
        term: Term(0),
        holds: false,
        identity,
    };
    let Some(form) = read(path)? else {
        return Ok(none);
    };
    let remedy = || {
        "move it away to start without a term; this node then waits for `supervisor ctl promote`"
            .to_owned()
    };
    let holding = stored::read_holding(&form).map_err(|error| unusable(path, error, remedy))?;
    if holding.identity != identity {
        return Err(OpenError::OtherIdentity {
            path: path.to_owned(),
            found: holding.identity,
        });
    }
    Ok(holding)
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
fn names(files: &TwoFiles, mark: Option<RecordMark>) -> Result<Names, OpenError> {
    let newest = read(files.newest())?.and_then(|form| stored::read_record(&form).ok());
    Ok(if newest.map(|record| record.mark) == mark {
        Names::ToSync
    } else {
        Names::ToExchange
    })
}

fn unusable(path: &Path, error: FormError, remedy: impl FnOnce() -> String) -> OpenError {
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

fn read(path: &Path) -> Result<Option<Vec<u8>>, OpenError> {
    durable_file::read(path, FILE_MAX).map_err(|source| OpenError::Io {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::values::RecordKind;

    #[test]
    fn a_term_is_above_that_of_the_record_when_the_holding_was_moved_away()
    -> Result<(), Box<dyn std::error::Error>> {
        let dir = tempfile::tempdir()?;
        let local = Local::open(dir.path(), [7; 32])?;
        let _ = (local.acquire()?, local.acquire()?);
        let term = local.acquire()?;
        let kind = RecordKind::Tower;
        let mark = RecordMark {
            term,
            seq: 133,
            slot: 9,
            kind,
        };
        local.commit(mark, b"record")?;
        std::fs::remove_file(dir.path().join("holding"))?;
        let local = Local::open(dir.path(), [7; 32])?;
        assert!(!local.holds());
        assert_eq!(local.acquire()?, Term(term.0 + 1));
        Ok(())
    }
}
