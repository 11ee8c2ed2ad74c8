//! The supervisor's end of the filter: takes the child's questions and answers them.
//!
//! It reads what the caller asks for out of the caller's memory; it decides nothing.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use libc::{c_long, seccomp_notif, seccomp_notif_resp};

const MAGIC: u8 = b'!';
nix::ioctl_readwrite!(notif_recv, MAGIC, 0, seccomp_notif);
nix::ioctl_readwrite!(notif_send, MAGIC, 1, seccomp_notif_resp);
nix::ioctl_write_ptr!(notif_id_valid, MAGIC, 2, u64);
nix::ioctl_write_int_bad!(
    notif_set_flags,
    nix::request_code_write!(MAGIC, 4, size_of::<u64>())
);

/// Wakes the waiting side on the same CPU: the two threads take turns, never run together.
const SYNC_WAKE_UP: i32 = 1;
/// A path of the child is at most this long, its end included.
const PATH_MAX: usize = libc::PATH_MAX as usize;
const PAGE: usize = 4096;

/// What the child wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    Rename,
    MakeDirectory,
}

/// One question of the child, unanswered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question {
    pub(super) id: u64,
    /// The thread that asks, in our view of process numbers.
    pub(super) thread: i32,
    nr: c_long,
    args: [u64; 6],
}

/// The listening descriptor. Dropping it makes every question, waiting or to come, fail in the child.
#[derive(Debug)]
pub struct Listener(OwnedFd);

impl Listener {
    /// Wraps the descriptor that [`super::Filter::install`] returned.
    #[must_use]
    pub fn new(fd: OwnedFd) -> Self {
        // A kernel before 6.6 has no such flag and wakes the usual way.
        // SAFETY: the request takes an integer and touches no memory.
        let _ = unsafe { notif_set_flags(fd.as_raw_fd(), SYNC_WAKE_UP) };
        Self(fd)
    }

    /// Takes the next question. `None`: it was withdrawn before it could be taken.
    pub(super) fn take(&self) -> io::Result<Option<Question>> {
        // SAFETY: the structure consists of integers, for which zero is a value; the kernel asks for a zeroed one.
        let mut notif: seccomp_notif = unsafe { std::mem::zeroed() };
        // SAFETY: the kernel writes one `seccomp_notif` to the place we own.
        match unsafe { notif_recv(self.0.as_raw_fd(), &mut notif) } {
            Ok(_) => Ok(Some(Question {
                id: notif.id,
                thread: notif.pid as i32,
                nr: c_long::from(notif.data.nr),
                args: notif.data.args,
            })),
            Err(nix::Error::ENOENT | nix::Error::EINTR) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Lets the call go on. A caller that has died meanwhile needs no answer.
    pub(super) fn allow(&self, question: &Question) {
        self.send(question, 0, libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32);
    }

    /// Makes the call fail with `EIO`.
    pub(super) fn refuse(&self, question: &Question) {
        self.send(question, -libc::EIO, 0);
    }

    fn send(&self, question: &Question, error: i32, flags: u32) {
        let mut answer = seccomp_notif_resp {
            id: question.id,
            val: 0,
            error,
            flags,
        };
        // SAFETY: the kernel reads one `seccomp_notif_resp` from the place we own.
        let _ = unsafe { notif_send(self.0.as_raw_fd(), &mut answer) };
    }

    /// Whether the caller still waits. What was read from its memory before a `true` was read from the caller itself,
    /// and not from a later process with its number.
    pub(super) fn still_asks(&self, question: &Question) -> bool {
        // SAFETY: the kernel reads one u64 from the place we own.
        unsafe { notif_id_valid(self.0.as_raw_fd(), &question.id) }.is_ok()
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Question {
    pub(super) fn wish(&self) -> Option<Wish> {
        match self.nr {
            #[cfg(target_arch = "x86_64")]
            libc::SYS_rename => Some(Wish::Rename),
            libc::SYS_renameat | libc::SYS_renameat2 => Some(Wish::Rename),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_mkdir => Some(Wish::MakeDirectory),
            libc::SYS_mkdirat => Some(Wish::MakeDirectory),
            _ => None,
        }
    }

    /// Positions of (directory descriptor, path) of the file a rename takes.
    fn source(&self) -> (Option<u64>, u64) {
        match self.nr {
            libc::SYS_renameat | libc::SYS_renameat2 => (Some(self.args[0]), self.args[1]),
            _ => (None, self.args[0]),
        }
    }

    /// The same of the name that a rename gives, or of the directory that is made.
    fn target(&self) -> (Option<u64>, u64) {
        match self.nr {
            libc::SYS_renameat | libc::SYS_renameat2 => (Some(self.args[2]), self.args[3]),
            libc::SYS_mkdirat => (Some(self.args[0]), self.args[1]),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_mkdir => (None, self.args[0]),
            _ => (None, self.args[1]),
        }
    }

    /// The target as the caller wrote it, in `buffer`.
    pub(super) fn target_text<'a>(&self, buffer: &'a mut PathBuffer) -> io::Result<&'a Path> {
        buffer.read(self.thread, self.target().1)
    }

    /// The source, resolved against the caller's working directory or directory descriptor.
    pub(super) fn source_path(&self, buffer: &mut PathBuffer) -> io::Result<PathBuf> {
        let (directory, address) = self.source();
        Ok(self.resolve(directory, buffer.read(self.thread, address)?))
    }

    /// The target, resolved likewise.
    pub(super) fn target_path(&self, buffer: &mut PathBuffer) -> io::Result<PathBuf> {
        let (directory, address) = self.target();
        Ok(self.resolve(directory, buffer.read(self.thread, address)?))
    }

    fn resolve(&self, directory: Option<u64>, path: &Path) -> PathBuf {
        if path.is_absolute() {
            return path.to_owned();
        }
        let base = match directory {
            Some(fd) if fd as i32 != libc::AT_FDCWD => {
                format!("/proc/{}/fd/{}", self.thread, fd as i32)
            }
            _ => format!("/proc/{}/cwd", self.thread),
        };
        Path::new(&base).join(path)
    }
}

/// Room for one path of the child; kept, so that a vote allocates none.
#[derive(Debug)]
pub(super) struct PathBuffer(Box<[u8; PATH_MAX]>);

impl PathBuffer {
    pub(super) fn new() -> Self {
        Self(Box::new([0; PATH_MAX]))
    }

    /// Reads a path out of a thread's memory, page by page: the page behind its end may not exist.
    fn read(&mut self, thread: i32, address: u64) -> io::Result<&Path> {
        let mut have = 0;
        while have < PATH_MAX {
            let from = address as usize + have;
            let len = (PAGE - from % PAGE).min(PATH_MAX - have);
            let got = read_memory(thread, from, &mut self.0[have..have + len])?;
            if let Some(end) = self.0[have..have + got].iter().position(|byte| *byte == 0) {
                return Ok(Path::new(OsStr::from_bytes(&self.0[..have + end])));
            }
            if got == 0 {
                break;
            }
            have += got;
        }
        Err(io::Error::from_raw_os_error(libc::ENAMETOOLONG))
    }
}

fn read_memory(thread: i32, address: usize, into: &mut [u8]) -> io::Result<usize> {
    let local = libc::iovec {
        iov_base: into.as_mut_ptr().cast(),
        iov_len: into.len(),
    };
    let remote = libc::iovec {
        iov_base: address as *mut libc::c_void,
        iov_len: into.len(),
    };
    // SAFETY: the kernel writes at most `into.len()` bytes to `into`; the remote side is checked by the kernel.
    let got =
        unsafe { libc::process_vm_readv(thread, &raw const local, 1, &raw const remote, 1, 0) };
    if got < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(got as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_read_across_a_page_boundary() -> io::Result<()> {
        let mut memory = vec![b'x'; 3 * PAGE];
        let boundary = PAGE - memory.as_ptr() as usize % PAGE;
        let start = boundary + PAGE - 3;
        memory[start..start + 7].copy_from_slice(b"/ab/cd\0");
        let mut buffer = PathBuffer::new();
        // SAFETY: gettid touches no memory.
        let me = unsafe { libc::gettid() };
        assert_eq!(
            buffer.read(me, memory[start..].as_ptr() as u64)?,
            Path::new("/ab/cd")
        );
        Ok(())
    }

    #[test]
    fn a_path_without_an_end_is_refused() {
        let memory = vec![b'x'; 3 * PAGE];
        // SAFETY: gettid touches no memory.
        let me = unsafe { libc::gettid() };
        let error = PathBuffer::new()
            .read(me, memory.as_ptr() as u64)
            .map(Path::to_owned);
        assert!(error.is_err_and(|error| error.raw_os_error() == Some(libc::ENAMETOOLONG)));
    }

    #[test]
    fn memory_that_is_not_there_is_an_error() {
        // SAFETY: gettid touches no memory.
        let me = unsafe { libc::gettid() };
        assert!(PathBuffer::new().read(me, 8).is_err());
    }
}
