//! Small files that survive a crash at any point: the newest content or the one before, never neither.
//!
//! [`replace`] is for what changes rarely. [`TwoFiles`] is for the record of every vote: it writes over the older of two files
//! in place, so that a full disk and the allocation of blocks stay off the path of a vote, then exchanges their names.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};

/// Writes `content` as `path`: temporary file, fsync, rename, fsync of the directory.
///
/// # Errors
/// The first step that fails. The old content stays, or the new one is there already.
pub fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let temporary = with_suffix(path, ".new");
    let mut file = open_for_writing(&temporary, true)?;
    file.write_all(content)?;
    file.sync_all()?;
    std::fs::rename(&temporary, path)?;
    sync_directory(path)
}

/// The content of a file, `None` where there is no such file, at most `max` bytes.
///
/// # Errors
/// The file cannot be read, or is longer.
pub fn read(path: &Path, max: usize) -> io::Result<Option<Vec<u8>>> {
    use std::io::Read as _;
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    let mut bytes = Vec::new();
    file.take(max as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > max {
        return Err(io::Error::other(format!("it is longer than {max} bytes")));
    }
    Ok(Some(bytes))
}

/// Two files that take turns: `<path>` has the newest content, `<path>.older` the one before.
#[derive(Debug)]
pub struct TwoFiles {
    newest: PathBuf,
    older: PathBuf,
    directory: File,
}

impl TwoFiles {
    /// Names the files. Creates none.
    ///
    /// # Errors
    /// The directory cannot be opened.
    pub fn new(newest: PathBuf) -> io::Result<Self> {
        let directory = File::open(parent(&newest))?;
        Ok(Self {
            older: with_suffix(&newest, ".older"),
            newest,
            directory,
        })
    }

    #[must_use]
    pub fn newest(&self) -> &Path {
        &self.newest
    }

    #[must_use]
    pub fn older(&self) -> &Path {
        &self.older
    }

    /// Makes `content` the newest. When it returns, it is on the disk under its name.
    /// Calls must not overlap.
    ///
    /// A crash while the content is written damages the older file only; a crash after it leaves two whole files, in
    /// whichever order. Repeating a failed call is always right.
    ///
    /// # Errors
    /// The first step that fails.
    pub fn write(&self, content: &[u8]) -> io::Result<()> {
        let file = open_for_writing(&self.older, false)?;
        file.write_all_at(content, 0)?;
        if file.metadata()?.len() != content.len() as u64 {
            file.set_len(content.len() as u64)?;
        }
        file.sync_data()?;
        self.exchange()?;
        self.directory.sync_all()
    }

    /// Gives the older file the newest name. Where it is the only copy there is, it must not be written over.
    ///
    /// # Errors
    /// The disk refuses; nothing has changed, or all has.
    pub fn promote_older(&self) -> io::Result<()> {
        std::fs::rename(&self.older, &self.newest)?;
        self.directory.sync_all()
    }

    fn exchange(&self) -> io::Result<()> {
        let exchanged = renameat2(
            AT_FDCWD,
            &self.older,
            AT_FDCWD,
            &self.newest,
            RenameFlags::RENAME_EXCHANGE,
        );
        match exchanged {
            Ok(()) => Ok(()),
            // The first content of all; or a file system that cannot exchange, which keeps no older copy.
            Err(Errno::ENOENT | Errno::EINVAL | Errno::ENOSYS) => {
                std::fs::rename(&self.older, &self.newest)
            }
            Err(error) => Err(error.into()),
        }
    }
}

fn open_for_writing(path: &Path, truncate: bool) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(truncate)
        .mode(0o600)
        .open(path)
}

fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(parent(path))?.sync_all()
}

fn parent(path: &Path) -> &Path {
    path.parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_and_the_one_before_are_kept() -> io::Result<()> {
        let dir = tempfile::tempdir()?;
        let files = TwoFiles::new(dir.path().join("record"))?;
        files.write(b"first")?;
        files.write(b"the second")?;
        files.write(b"3")?;
        assert_eq!(std::fs::read(files.newest())?, b"3");
        assert_eq!(std::fs::read(files.older())?, b"the second");
        Ok(())
    }

    #[test]
    fn an_older_copy_can_take_the_newest_name() -> io::Result<()> {
        let dir = tempfile::tempdir()?;
        let files = TwoFiles::new(dir.path().join("record"))?;
        std::fs::write(files.older(), "first")?;
        files.promote_older()?;
        files.write(b"second")?;
        assert_eq!(std::fs::read(files.newest())?, b"second");
        assert_eq!(std::fs::read(files.older())?, b"first");
        Ok(())
    }

    #[test]
    fn files_are_for_their_owner_only() -> io::Result<()> {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("holding");
        replace(&path, b"x")?;
        assert_eq!(
            std::fs::metadata(&path)?.permissions().mode() & 0o777,
            0o600
        );
        Ok(())
    }
}
