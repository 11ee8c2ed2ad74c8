//! The newest record that was ever seen committed, on this node's own disk, so that a takeover installs nothing it does not
//! have, and an etcd that forgot is found out.
//!
//! Written by a thread of its own: neither a vote nor the watch waits for this disk. Of several offers that come while it
//! writes, the newest is kept.

use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::authority::durable_file::{Names, TwoFiles};
use crate::authority::record_file::{OpenError, names, read_newest};
use crate::authority::stored::{self, StoredRecord};
use crate::engine::values::RecordMark;

const FILE: &str = "replica";

/// See the module's head.
#[derive(Clone, Debug)]
pub(super) struct Replica(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    files: TwoFiles,
    /// Held while a file is written.
    names: Mutex<Names>,
    known: Mutex<Known>,
    offered: Condvar,
}

#[derive(Debug)]
struct Known {
    newest: Option<StoredRecord>,
    written: Option<RecordMark>,
}

impl Replica {
    /// Reads what is there, and starts the thread that writes.
    pub(super) fn open(state_dir: &Path, identity: [u8; 32]) -> Result<Self, OpenError> {
        let io = |source| OpenError::Io {
            path: state_dir.join(FILE),
            source,
        };
        let files = TwoFiles::new(state_dir.join(FILE));
        let newest = read_newest(&files, identity)?;
        let written = newest.as_ref().map(|record| record.mark);
        let names = names(&files, written)?;
        let replica = Self(Arc::new(Inner {
            files,
            names: Mutex::new(names),
            known: Mutex::new(Known { newest, written }),
            offered: Condvar::new(),
        }));
        let writer = replica.clone();
        std::thread::Builder::new()
            .name("replica".into())
            .stack_size(256 * 1024)
            .spawn(move || writer.write_what_is_offered())
            .map_err(io)?;
        Ok(replica)
    }

    /// The newest record that is known here, on the disk or about to be.
    pub(super) fn newest(&self) -> Option<StoredRecord> {
        self.0.known().newest.clone()
    }

    pub(super) fn mark(&self) -> Option<RecordMark> {
        self.0.known().newest.as_ref().map(|record| record.mark)
    }

    /// Keeps a record if it is newer than the one that is known.
    pub(super) fn offer(&self, record: StoredRecord) {
        let mut known = self.0.known();
        if known.newest.as_ref().map(place) < Some(place(&record)) {
            known.newest = Some(record);
            drop(known);
            self.0.offered.notify_one();
        }
    }

    /// Makes the newest record durable before it returns.
    pub(super) fn settle(&self) -> Result<(), OpenError> {
        self.0.write().map_err(|source| OpenError::Io {
            path: self.0.files.newest().to_owned(),
            source,
        })
    }

    fn write_what_is_offered(&self) {
        let mut failed = false;
        loop {
            let known = self.0.known();
            let waiting = self.0.offered.wait_while(known, |known| known.is_written());
            drop(waiting);
            match self.0.write() {
                Ok(()) => failed = false,
                Err(error) => {
                    if !std::mem::replace(&mut failed, true) {
                        tracing::error!(
                            EVENT = "page",
                            "the newest record cannot be kept as {}: {error}; a takeover by this node would rest on etcd alone",
                            self.0.files.newest().display()
                        );
                    }
                    std::thread::sleep(std::time::Duration::from_secs(1));
                }
            }
        }
    }
}

impl Known {
    fn is_written(&self) -> bool {
        self.newest.as_ref().map(|record| record.mark) == self.written
    }
}

impl Inner {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> std::io::Result<()> {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let known = self.known();
        let newest = known.newest.clone().filter(|_| !known.is_written());
        drop(known);
        let Some(record) = newest else {
            return Ok(());
        };
        let mut form = Vec::new();
        stored::write_record(&mut form, record.mark, &record.identity, &record.bytes);
        self.files.put(&mut names, &form)?;
        self.known().written = Some(record.mark);
        // It is safe under either name, and gets the right one before the next one is written.
        let _ = self.files.settle(&mut names);
        Ok(())
    }
}

fn place(record: &StoredRecord) -> (crate::engine::values::Term, u64) {
    (record.mark.term, record.mark.seq)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::values::{RecordKind, Term};

    fn record(term: u64, seq: u64) -> StoredRecord {
        StoredRecord {
            mark: RecordMark {
                term: Term(term),
                seq,
                slot: seq,
                kind: RecordKind::Tower,
            },
            identity: [7; 32],
            bytes: vec![seq as u8; 100],
        }
    }

    #[test]
    fn the_newest_by_term_and_sequence_is_found_again() -> Result<(), Box<dyn std::error::Error>> {
        let dir = tempfile::tempdir()?;
        let replica = Replica::open(dir.path(), [7; 32])?;
        for (term, seq) in [(1, 1), (1, 3), (1, 2), (3, 4), (2, 9)] {
            replica.offer(record(term, seq));
        }
        replica.settle()?;
        assert_eq!(replica.newest(), Some(record(3, 4)));
        let again = Replica::open(dir.path(), [7; 32])?;
        assert_eq!(again.mark(), Some(record(3, 4).mark));
        Ok(())
    }

    #[test]
    fn a_record_of_another_identity_on_the_disk_is_refused()
    -> Result<(), Box<dyn std::error::Error>> {
        let dir = tempfile::tempdir()?;
        let replica = Replica::open(dir.path(), [7; 32])?;
        replica.offer(record(1, 1));
        replica.settle()?;
        let other = Replica::open(dir.path(), [8; 32]);
        assert!(matches!(other, Err(OpenError::OtherIdentity { .. })));
        Ok(())
    }
}
