//! Authority `local`: one node, no failover. The record is on this disk before the vote is let out.
//!
//! It has no lease and nobody to ask; a term counts the starts of voting, so that a commit of an earlier child, still
//! under way when the next one starts, is refused.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::durable_file;
pub use super::record_file::OpenError;
use super::record_file::{RecordFile, read, unusable};
use super::stored::{self, Holding, StoredRecord};
use crate::engine::values::{RecordMark, Term};

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
    record: RecordFile,
    /// Locked during a commit, and by nothing else while votes are let out.
    holding: Mutex<Holding>,
}

impl Local {
    /// Opens the files in `dir`, which must exist; creates none.
    ///
    /// # Errors
    /// A file that cannot be read, is damaged, is missing, is of a newer supervisor or belongs to another identity, each by its name.
    pub fn open(dir: &Path, identity: [u8; 32]) -> Result<Self, OpenError> {
        let holding_path = dir.join("holding");
        let holding = read_holding(&holding_path, identity)?;
        Ok(Self {
            identity,
            holding_path,
            record: RecordFile::open(dir, identity)?,
            holding: Mutex::new(holding),
        })
    }

    /// Whether this node held the term when its files were last written.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.holding().holds
    }

    /// Begins a new term and makes it durable. It is above every term of the record too, whose file may outlive the other.
    ///
    /// # Errors
    /// The disk refuses; the old term stands.
    pub fn acquire(&self) -> io::Result<Term> {
        let mut holding = self.holding();
        let seen = self.record.mark().map_or(0, |mark| mark.term.0);
        let term = Term(holding.term.0.max(seen) + 1);
        self.hold(
            &mut holding,
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
        let mut holding = self.holding();
        if !holding.holds || (term != Term(0) && term != holding.term) {
            return Ok(());
        }
        let released = Holding {
            holds: false,
            ..*holding
        };
        self.hold(&mut holding, released)
    }

    /// Makes a record durable, if `mark.term` is held. It is safe on the disk when this returns; [`Self::settle`], called once the
    /// vote is let out, spares the next call the exchange of names.
    ///
    /// # Errors
    /// The term is over, or the disk refuses. Repeating the call is always right.
    pub fn commit(&self, mark: RecordMark, bytes: &[u8]) -> Result<(), CommitError> {
        let holding = self.holding();
        let Holding { term, holds, .. } = *holding;
        if !holds || mark.term != term {
            return Err(CommitError::TermLost {
                asked: mark.term,
                now: term,
                holds,
            });
        }
        self.record
            .write(mark, bytes)
            .map_err(|source| CommitError::Io {
                path: self.record.path().to_owned(),
                source,
            })
    }

    /// Gives the newest record its name, on the disk, if [`Self::commit`] has left that to do.
    ///
    /// # Errors
    /// The disk refuses. The record is safe, and the next commit tries again.
    pub fn settle(&self) -> io::Result<()> {
        self.record.settle()
    }

    /// The newest committed record.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn record(&self) -> Result<Option<StoredRecord>, OpenError> {
        self.record.read()
    }

    /// What is known of the newest committed record, without a look at the disk.
    #[must_use]
    pub fn mark(&self) -> Option<RecordMark> {
        self.record.mark()
    }

    fn hold(&self, now: &mut Holding, next: Holding) -> io::Result<()> {
        durable_file::replace(&self.holding_path, &stored::holding_form(&next))?;
        *now = next;
        Ok(())
    }

    fn holding(&self) -> MutexGuard<'_, Holding> {
        self.holding.lock().unwrap_or_else(PoisonError::into_inner)
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
