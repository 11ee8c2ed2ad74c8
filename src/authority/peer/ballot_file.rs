//! The ballot on this disk: what this node has promised, in the frame of every stored form.
//!
//! Like the record it is written over in place, in two files that take turns: a full disk must not keep a term from being handed
//! over. All of one length, so that no write needs room.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::message::Claim;
use crate::authority::durable_file::{self, Names, TwoFiles};
use crate::authority::record_file::OpenError;
use crate::authority::stored::{self, FormError};
use crate::engine::ballot::Ballot;

const MAGIC: &[u8; 8] = b"VSBALLOT";
const FILE: &str = "ballot";
const LEN_MAX: usize = 4 * 1024;
/// More than any claim takes; what is left is spaces.
const PAYLOAD_LEN: usize = 1_024;

const REMEDY: &str = "It says which terms this node has promised. Stop the supervisors of all nodes, remove it here together with ballot.older, and start them again";

#[derive(Serialize, Deserialize)]
struct Kept {
    identity: [u8; 32],
    claim: Claim,
    /// Grows with every ballot, which do not all order by themselves: the newest of two files is found by it.
    #[serde(default)]
    count: u64,
}

/// See the module.
#[derive(Debug)]
pub(super) struct BallotFile {
    files: TwoFiles,
    names: Names,
    identity: [u8; 32],
    /// Of the newest ballot, or one whose writing has failed.
    count: u64,
}

impl BallotFile {
    /// Names the files, reads the newest, and makes room for those to come where there is some.
    pub(super) fn open(dir: &Path, identity: [u8; 32]) -> Result<(Self, Ballot), OpenError> {
        let files = TwoFiles::new(dir.join(FILE));
        let newest = read(files.newest(), identity)?;
        let older = match read(files.older(), identity) {
            // The next ballot would be written over it, and it may be the newest.
            Err(error @ (OpenError::Newer { .. } | OpenError::Io { .. })) => return Err(error),
            // A crash while it was written over damages it, and it is not needed then.
            other => other.unwrap_or_default(),
        };
        if newest.is_none() && files.older().exists() {
            return Err(OpenError::Missing {
                path: files.newest().to_owned(),
                older: files.older().to_owned(),
                remedy: REMEDY.into(),
            });
        }
        let count = |kept: &Option<Kept>| kept.as_ref().map_or(0, |kept| kept.count);
        let names = if count(&older) > count(&newest) {
            Names::ToExchange
        } else {
            Names::ToSync
        };
        let mut file = Self {
            files,
            names,
            identity,
            count: count(&older).max(count(&newest)),
        };
        let kept = match file.names {
            Names::ToExchange => older,
            Names::ToSync | Names::Settled => newest,
        };
        let is_first = kept.is_none();
        let ballot = kept.map(|kept| kept.claim.ballot()).unwrap_or_default();
        file.make_room(&ballot, is_first);
        Ok((file, ballot))
    }

    /// Both files come to be before they are needed, and with the next ballots at the latest.
    fn make_room(&mut self, ballot: &Ballot, is_first: bool) {
        let times = 1 + u8::from(is_first);
        for _ in 0..times {
            if let Err(error) = self.write(ballot) {
                let path = self.files.newest().display();
                tracing::warn!("there is no room for the next ballot yet: {path}: {error}");
                return;
            }
        }
    }

    /// The newest, for a person.
    pub(super) fn path(&self) -> &Path {
        self.files.newest()
    }

    /// On the disk when it returns.
    pub(super) fn write(&mut self, ballot: &Ballot) -> io::Result<()> {
        // One whose writing fails may be on the disk all the same.
        self.count += 1;
        let kept = Kept {
            identity: self.identity,
            claim: ballot.into(),
            count: self.count,
        };
        let mut json = serde_json::to_vec(&kept).map_err(io::Error::other)?;
        json.resize(json.len().max(PAYLOAD_LEN), b' ');
        self.files
            .put(&mut self.names, &stored::frame(MAGIC, &json))?;
        // It is safe under either name, and gets the right one before the next one is written.
        let _ = self.files.settle(&mut self.names);
        Ok(())
    }
}

/// Writes as much as a ballot is, as durably, under a name that nobody reads.
pub(super) fn rehearse(dir: &Path) -> io::Result<()> {
    let form = stored::frame(MAGIC, &[b' '; PAYLOAD_LEN]);
    durable_file::replace(&dir.join("ballot.rehearsed"), &form)
}

fn understood(form: &[u8]) -> Result<Kept, FormError> {
    let payload = stored::open(form, MAGIC)?;
    serde_json::from_slice(payload).map_err(|_| FormError::Fields)
}

/// As the fuzzer calls it: what is understood of a file, written again.
#[doc(hidden)]
#[must_use]
pub fn read_and_write_ballot(form: &[u8]) -> Option<Vec<u8>> {
    let json = serde_json::to_vec(&understood(form).ok()?).ok()?;
    Some(stored::frame(MAGIC, &json))
}

fn read(path: &Path, identity: [u8; 32]) -> Result<Option<Kept>, OpenError> {
    let at = || path.to_owned();
    let read = durable_file::read(path, LEN_MAX);
    let Some(form) = read.map_err(|source| OpenError::Io { path: at(), source })? else {
        return Ok(None);
    };
    match understood(&form) {
        Err(error @ FormError::Version { .. }) => Err(OpenError::Newer { path: at(), error }),
        Err(error) => Err(OpenError::Damaged {
            path: at(),
            error,
            remedy: REMEDY.into(),
        }),
        Ok(kept) if kept.identity != identity => Err(OpenError::OtherIdentity {
            path: at(),
            found: kept.identity,
        }),
        Ok(kept) => Ok(Some(kept)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::values::{NodeName, Term};
    use std::error::Error;

    fn term(number: u64) -> Ballot {
        Ballot::held(Term(number), &NodeName("a".into()))
    }

    fn opened(dir: &Path) -> Result<(BallotFile, Ballot), OpenError> {
        BallotFile::open(dir, [7; 32])
    }

    #[test]
    fn a_ballot_comes_back_as_it_was() -> Result<(), Box<dyn Error>> {
        let dir = tempfile::tempdir()?;
        let (mut file, none) = opened(dir.path())?;
        assert_eq!(none, Ballot::default());
        let ballot = term(7).ended_for(Some(NodeName("b".into())));
        file.write(&ballot)?;
        assert_eq!(opened(dir.path())?.1, ballot);
        // Where the right was a process's, the next one has less than the one before.
        file.write(&ballot.ended_for(None))?;
        assert_eq!(opened(dir.path())?.1, ballot.ended_for(None));
        let other = BallotFile::open(dir.path(), [8; 32]);
        assert!(matches!(other, Err(OpenError::OtherIdentity { .. })));
        Ok(())
    }

    #[test]
    fn every_ballot_has_the_same_length_and_is_written_in_place() -> Result<(), Box<dyn Error>> {
        use std::os::unix::fs::MetadataExt as _;
        let dir = tempfile::tempdir()?;
        let seen = || -> io::Result<Vec<(u64, u64)>> {
            let files = ["ballot", "ballot.older"].map(|file| dir.path().join(file).metadata());
            let files = files.into_iter().collect::<io::Result<Vec<_>>>()?;
            let mut seen: Vec<_> = files.iter().map(|file| (file.ino(), file.len())).collect();
            seen.sort_unstable();
            Ok(seen)
        };
        let (mut file, _) = opened(dir.path())?;
        let before = seen()?;
        assert_eq!(before[0].1, before[1].1);
        let names = "x".repeat(64);
        let long = Ballot::held(Term(1 << 53), &NodeName(names.clone()));
        file.write(&long.ended_for(Some(NodeName(names))))?;
        file.write(&term(1))?;
        assert_eq!(seen()?, before);
        Ok(())
    }

    /// As a crash leaves it between the writing and the exchange of names: the newest has the older name.
    #[test]
    fn the_newest_is_found_under_either_name_and_written_over_last() -> Result<(), Box<dyn Error>> {
        let dir = tempfile::tempdir()?;
        let path = |name: &str| dir.path().join(name);
        let (mut file, _) = opened(dir.path())?;
        file.write(&term(7))?;
        file.write(&term(8))?;
        std::fs::rename(path("ballot"), path("x"))?;
        std::fs::rename(path("ballot.older"), path("ballot"))?;
        std::fs::rename(path("x"), path("ballot.older"))?;
        assert_eq!(opened(dir.path())?.1, term(8));
        let form = std::fs::read(path("ballot"))?;
        let kept = read(&path("ballot"), [7; 32])?.ok_or("no ballot")?;
        assert_eq!(kept.claim.ballot(), term(8), "{form:?}");
        Ok(())
    }

    #[test]
    fn a_damaged_older_one_is_not_needed_and_a_damaged_newest_one_is_refused()
    -> Result<(), Box<dyn Error>> {
        let dir = tempfile::tempdir()?;
        let (mut file, _) = opened(dir.path())?;
        file.write(&term(7))?;
        std::fs::write(dir.path().join("ballot.older"), b"half")?;
        assert_eq!(opened(dir.path())?.1, term(7));
        std::fs::remove_file(dir.path().join("ballot.older"))?;
        std::fs::create_dir(dir.path().join("ballot.older"))?;
        assert!(matches!(opened(dir.path()), Err(OpenError::Io { .. })));
        std::fs::remove_dir(dir.path().join("ballot.older"))?;
        assert_eq!(opened(dir.path())?.1, term(7));
        std::fs::write(dir.path().join("ballot"), b"half")?;
        assert!(matches!(opened(dir.path()), Err(OpenError::Damaged { .. })));
        std::fs::remove_file(dir.path().join("ballot"))?;
        assert!(matches!(opened(dir.path()), Err(OpenError::Missing { .. })));
        Ok(())
    }
}
