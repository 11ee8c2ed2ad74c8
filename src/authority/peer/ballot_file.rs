//! The ballot on this disk: what this node has promised, in the frame of every stored form.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::message::Claim;
use crate::authority::durable_file;
use crate::authority::record_file::OpenError;
use crate::authority::stored::{self, FormError};
use crate::engine::ballot::Ballot;

const MAGIC: &[u8; 8] = b"VSBALLOT";
const FILE: &str = "ballot";
const LEN_MAX: usize = 4 * 1024;

#[derive(Serialize, Deserialize)]
struct Kept {
    identity: [u8; 32],
    claim: Claim,
}

/// See the module.
#[derive(Debug)]
pub(super) struct BallotFile {
    path: PathBuf,
    identity: [u8; 32],
}

impl BallotFile {
    /// Names the file, and reads it where there is one.
    pub(super) fn open(dir: &Path, identity: [u8; 32]) -> Result<(Self, Ballot), OpenError> {
        let file = Self {
            path: dir.join(FILE),
            identity,
        };
        let ballot = file.read()?;
        Ok((file, ballot))
    }

    fn read(&self) -> Result<Ballot, OpenError> {
        let path = || self.path.clone();
        let read = durable_file::read(&self.path, LEN_MAX);
        let Some(form) = read.map_err(|source| OpenError::Io {
            path: path(),
            source,
        })?
        else {
            return Ok(Ballot::default());
        };
        let payload = stored::open(&form, MAGIC);
        let kept = payload.and_then(|payload| {
            serde_json::from_slice::<Kept>(payload).map_err(|_| FormError::Fields)
        });
        match kept {
            Err(error @ FormError::Version { .. }) => Err(OpenError::Newer {
                path: path(),
                error,
            }),
            Err(error) => Err(OpenError::Damaged {
                path: path(),
                error,
                remedy: "It says which terms this node has promised. Stop the supervisors of all nodes, remove it here, and start them again".into(),
            }),
            Ok(kept) if kept.identity != self.identity => Err(OpenError::OtherIdentity {
                path: path(),
                found: kept.identity,
            }),
            Ok(kept) => Ok(kept.claim.ballot()),
        }
    }

    /// On the disk when it returns.
    pub(super) fn write(&self, ballot: &Ballot) -> io::Result<()> {
        let kept = Kept {
            identity: self.identity,
            claim: ballot.into(),
        };
        let json = serde_json::to_vec(&kept).map_err(io::Error::other)?;
        durable_file::replace(&self.path, &stored::frame(MAGIC, &json))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::values::{NodeName, Term};

    #[test]
    fn a_ballot_comes_back_as_it_was_and_a_damaged_one_is_refused()
    -> Result<(), Box<dyn std::error::Error>> {
        let dir = tempfile::tempdir()?;
        let (file, none) = BallotFile::open(dir.path(), [7; 32])?;
        assert_eq!(none, Ballot::default());
        let name = |name: &str| NodeName(name.into());
        let ballot = Ballot::held(Term(7), &name("a")).ended_for(Some(name("b")));
        file.write(&ballot)?;
        let (_, again) = BallotFile::open(dir.path(), [7; 32])?;
        assert_eq!(again, ballot);
        let other = BallotFile::open(dir.path(), [8; 32]);
        assert!(matches!(other, Err(OpenError::OtherIdentity { .. })));
        let path = dir.path().join(FILE);
        let mut form = std::fs::read(&path)?;
        form[20] ^= 1;
        std::fs::write(&path, form)?;
        let damaged = BallotFile::open(dir.path(), [7; 32]);
        assert!(matches!(damaged, Err(OpenError::Damaged { .. })));
        Ok(())
    }
}
