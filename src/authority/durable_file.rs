//! Small files that survive a crash at any point: the newest content or the one before, never neither.
//!
//! [`replace`] is for what changes rarely. [`TwoFiles`] is for the record of every vote: it writes over the older of two files
//! in place, so that a full disk and the allocation of blocks stay off the path of a vote, then exchanges their names. Content is
//! safe once it is on the disk under either name, so the names may follow later.

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
/// The file cannot be read, is longer, or is no regular file: a pipe without a writer would be waited for.
pub fn read(path: &Path, max: usize) -> io::Result<Option<Vec<u8>>> {
    use std::io::Read as _;
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path);
    let file = match opened {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    if !file.metadata()?.is_file() {
        let why = "it is no regular file: move it away, and put the right one in its place";
        return Err(io::Error::other(why));
    }
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
}

/// What is left to do for the names of the two files before the older one may be written over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// The newest content has the older name.
    ToExchange,
    /// They are right, but may not be on the disk.
    ToSync,
    Settled,
}

impl TwoFiles {
    /// Names the files. Creates none.
    #[must_use]
    pub fn new(newest: PathBuf) -> Self {
        Self {
            older: with_suffix(&newest, ".older"),
            newest,
        }
    }

    #[must_use]
    pub fn newest(&self) -> &Path {
        &self.newest
    }

    #[must_use]
    pub fn older(&self) -> &Path {
        &self.older
    }

    /// Makes `content` the newest. When it returns, it is on the disk; its name may be left to [`Self::settle`], which the next call
    /// does first. Calls must not overlap.
    ///
    /// # Errors
    /// The first step that fails. Repeating the call is always right.
    pub fn put(&self, names: &mut Names, content: &[u8]) -> io::Result<()> {
        self.settle(names)?;
        *names = Names::ToSync;
        *names = if self.write_older(content)? {
            Names::ToExchange
        } else {
            Names::Settled
        };
        Ok(())
    }

    /// Gives the newest content its name, on the disk.
    ///
    /// # Errors
    /// The disk refuses. The content is safe, and the next call tries again.
    pub fn settle(&self, names: &mut Names) -> io::Result<()> {
        if *names == Names::ToExchange {
            self.exchange()?;
            *names = Names::ToSync;
        }
        if *names == Names::ToSync {
            sync_directory(&self.newest)?;
            *names = Names::Settled;
        }
        Ok(())
    }

    /// Writes `content` over the older file. When it returns, it is on the disk, and `true` says that it has the older name.
    /// Where there is no older file yet, `content` gets the newest name as well.
    ///
    /// The names must be on the disk when it is called. Then a crash while the content is written damages the older file only; a
    /// crash after it leaves two whole files, in whichever order: who reads must look at both.
    ///
    /// No crash leaves the older file alone. It comes to be only beside a newest one: the first content of all takes another
    /// way. From then on the newest name is exchanged, or replaced by a rename, and never given up. Whoever finds the older file alone
    /// knows that something else has taken the newest away.
    fn write_older(&self, content: &[u8]) -> io::Result<bool> {
        match OpenOptions::new().write(true).open(&self.older) {
            Ok(file) => write_over(&file, content).map(|()| true),
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Err(_) if !self.newest.try_exists()? => replace(&self.newest, content).map(|()| false),
            Err(_) => {
                write_over(&open_for_writing(&self.older, false)?, content)?;
                // Until its name is on the disk too, the content may be found by nobody.
                self.exchange()?;
                sync_directory(&self.newest).map(|()| false)
            }
        }
    }

    /// What has the older name gets the newest one, and the other way round.
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
            // The newest was taken away while we run; or a file system that cannot exchange, which keeps no older copy.
            Err(Errno::ENOENT | Errno::EINVAL | Errno::ENOSYS) => {
                std::fs::rename(&self.older, &self.newest)
            }
            Err(error) => Err(error.into()),
        }
    }
}

fn write_over(file: &File, content: &[u8]) -> io::Result<()> {
    file.write_all_at(content, 0)?;
    if file.metadata()?.len() != content.len() as u64 {
        file.set_len(content.len() as u64)?;
    }
    file.sync_data()
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

    /// Two files, and what makes a content the newest of them, under its name.
    fn writer(dir: &Path) -> (TwoFiles, impl FnMut(&[u8]) -> io::Result<()>) {
        let (files, writes) = (
            TwoFiles::new(dir.join("record")),
            TwoFiles::new(dir.join("record")),
        );
        let mut names = Names::Settled;
        let write = move |content: &[u8]| {
            writes.put(&mut names, content)?;
            writes.settle(&mut names)
        };
        (files, write)
    }

    #[test]
    fn the_newest_and_the_one_before_are_kept() -> io::Result<()> {
        let dir = tempfile::tempdir()?;
        let (files, mut write) = writer(dir.path());
        write(b"first")?;
        write(b"the second")?;
        write(b"3")?;
        assert_eq!(std::fs::read(files.newest())?, b"3");
        assert_eq!(std::fs::read(files.older())?, b"the second");
        Ok(())
    }

    #[test]
    fn the_first_content_of_all_makes_no_older_file() -> io::Result<()> {
        let dir = tempfile::tempdir()?;
        let (files, mut write) = writer(dir.path());
        write(b"first")?;
        assert!(!files.older().exists());
        write(b"second")?;
        assert_eq!(std::fs::read(files.older())?, b"first");
        Ok(())
    }

    #[test]
    fn a_newest_file_that_is_taken_away_between_two_writes_comes_back() -> io::Result<()> {
        let dir = tempfile::tempdir()?;
        let (files, mut write) = writer(dir.path());
        write(b"first")?;
        write(b"second")?;
        std::fs::remove_file(files.newest())?;
        write(b"third")?;
        assert_eq!(std::fs::read(files.newest())?, b"third");
        Ok(())
    }

    #[test]
    fn what_is_no_regular_file_is_refused_and_not_waited_for() -> io::Result<()> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("record");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU)?;
        for path in [&path, dir.path()] {
            let error = read(path, 100).map_err(|error| error.to_string());
            assert!(error.is_err_and(|error| error.contains("no regular file: move it away")));
        }
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
