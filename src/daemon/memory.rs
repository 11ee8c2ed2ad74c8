//! Remembers over restarts that an operator wants this node parked: a file that is there or not.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use crate::authority::durable_file;

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
        match std::fs::remove_file(&self.0) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => File::open(self.0.parent().unwrap_or(Path::new("/")))?.sync_all(),
        }
    }
}
