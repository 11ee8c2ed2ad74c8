//! The two files of a certificate, written whole or not at all.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use super::PkiError;

/// Longer is no file of ours.
const BYTES_MAX: u64 = 64 * 1024;

/// Where a certificate and its key are.
#[derive(Debug)]
pub(super) struct Files {
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
}

impl Files {
    pub(super) fn of(dir: &Path, name: &str) -> Self {
        Self {
            certificate: dir.join(format!("{name}.pem")),
            key: dir.join(format!("{name}-key.pem")),
        }
    }

    pub(super) fn expect_none(&self, remedy: &'static str) -> Result<(), PkiError> {
        // A link that leads nowhere is there as well.
        let there = |path: &&PathBuf| path.symlink_metadata().is_ok();
        match [&self.certificate, &self.key].into_iter().find(there) {
            Some(path) => Err(PkiError::Exists {
                path: path.clone(),
                remedy,
            }),
            None => Ok(()),
        }
    }

    pub(super) fn expect_private_key(&self) -> Result<(), PkiError> {
        let metadata = std::fs::metadata(&self.key).map_err(|source| file(&self.key, source))?;
        let mode = metadata.permissions().mode() & 0o7777;
        if mode & 0o077 == 0 {
            return Ok(());
        }
        Err(PkiError::Exposed {
            path: self.key.clone(),
            mode,
        })
    }
}

fn file(path: &Path, source: io::Error) -> PkiError {
    PkiError::File {
        path: path.to_owned(),
        source,
    }
}

pub(super) fn read(path: &Path) -> Result<String, PkiError> {
    let metadata = std::fs::metadata(path).map_err(|source| file(path, source))?;
    if !metadata.is_file() || metadata.len() > BYTES_MAX {
        return Err(PkiError::Content {
            path: path.to_owned(),
            why: "it is no small regular file".into(),
        });
    }
    std::fs::read_to_string(path).map_err(|source| file(path, source))
}

/// A file that must not be there yet.
pub(super) fn write_new(path: &Path, text: &str, mode: u32) -> Result<(), PkiError> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(mode);
    let written = options.open(path).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    written.map_err(|source| file(path, source))
}

/// In place of the file that is there, at once.
pub(super) fn write_over(path: &Path, text: &str, mode: u32) -> Result<(), PkiError> {
    let fresh = path.with_extension("pem.new");
    // Left over from a run that was cut off.
    let _ = std::fs::remove_file(&fresh);
    write_new(&fresh, text, mode)?;
    std::fs::rename(&fresh, path).map_err(|source| file(path, source))
}
