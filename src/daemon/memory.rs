//! Remembers over restarts what an operator wants: this node parked, a file that is there or not; or paused, a file with the end of
//! the pause.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use crate::authority::durable_file;
use crate::ctl::time::Timestamp;

/// The flag in the state directory.
#[derive(Clone, Debug)]
pub(super) struct ParkedFlag(PathBuf);

impl ParkedFlag {
    #[must_use]
    pub(super) fn new(state_dir: &Path) -> Self {
        Self(state_dir.join("parked"))
    }

    /// # Errors
    /// The directory cannot be read.
    pub(super) fn is_set(&self) -> io::Result<bool> {
        self.0.try_exists()
    }

    /// Durable when it returns.
    ///
    /// # Errors
    /// The disk refuses.
    pub(super) fn set(&self, parked: bool) -> io::Result<()> {
        if parked {
            return durable_file::replace(
                &self.0,
                b"An operator parked this node. `supervisor ctl resume` ends that.\n",
            );
        }
        remove(&self.0)
    }
}

/// The end of the pause in the state directory.
#[derive(Clone, Debug)]
pub(super) struct PauseNote(PathBuf);

impl PauseNote {
    #[must_use]
    pub(super) fn new(state_dir: &Path) -> Self {
        Self(state_dir.join("paused-until"))
    }

    /// The end of the pause; `None` without one. A note that cannot be understood is one without an end that is known, so it
    /// counts as none: a node without failover that nobody knows of is worse.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(super) fn read(&self) -> io::Result<Option<Timestamp>> {
        let bytes = durable_file::read(&self.0, NOTE_MAX)?.unwrap_or_default();
        let unix_ms = std::str::from_utf8(&bytes)
            .ok()
            .and_then(|text| text.trim().parse().ok());
        Ok(unix_ms.map(Timestamp::from_unix_ms))
    }

    /// Durable when it returns.
    ///
    /// # Errors
    /// The disk refuses.
    pub(super) fn set(&self, until: Option<Timestamp>) -> io::Result<()> {
        match until {
            Some(until) => {
                durable_file::replace(&self.0, format!("{}\n", until.unix_ms()).as_bytes())
            }
            None => remove(&self.0),
        }
    }
}

/// Room for a number of milliseconds.
const NOTE_MAX: usize = 64;

fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_found_again_and_ends() -> io::Result<()> {
        let dir = tempfile::tempdir()?;
        let note = PauseNote::new(dir.path());
        assert_eq!(note.read()?, None);
        let until = Timestamp::from_unix_ms(1_700_000_000_123);
        note.set(Some(until))?;
        assert_eq!(note.read()?, Some(until));
        note.set(None)?;
        assert_eq!(note.read()?, None);
        std::fs::write(dir.path().join("paused-until"), "soon")?;
        assert_eq!(note.read()?, None);
        Ok(())
    }
}
