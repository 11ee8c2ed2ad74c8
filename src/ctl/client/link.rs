//! One connection to the supervisor. No wait in it is longer than told, and Ctrl-C ends each.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, UnixAddr, connect, setsockopt, socket, sockopt,
};
use nix::sys::time::TimeVal;
use nix::unistd::{Gid, Group};

use super::ClientError;
use crate::ctl::socket::PATH_BYTES_MAX;
use crate::ctl::wire::{self, REPLY_BYTES_MAX, Reply, Request};

/// Readable once Ctrl-C was pressed or the process was told to end.
#[derive(Debug)]
pub(super) struct Interrupt {
    told: UnixStream,
}

/// What ended a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Woken {
    /// The descriptor has data, or its other end is gone.
    Ready,
    Interrupted,
    TimeUp,
}

pub(super) struct Link<'a> {
    stream: UnixStream,
    path: PathBuf,
    interrupt: &'a Interrupt,
    /// Received, and not yet taken as a line.
    received: Vec<u8>,
    /// How much of it is known to hold no line's end.
    searched: usize,
}

impl Interrupt {
    /// From here on these signals no longer end the process by themselves.
    pub(super) fn on_signals() -> io::Result<Self> {
        let (told, tell) = UnixStream::pair()?;
        for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
            signal_hook::low_level::pipe::register(signal, tell.try_clone()?)?;
        }
        Ok(Self { told })
    }

    #[cfg(test)]
    pub(super) fn by_hand() -> (Self, UnixStream) {
        let (told, tell) = UnixStream::pair().unwrap();
        (Self { told }, tell)
    }

    /// Waits until the deadline, or the interrupt.
    pub(super) fn rest(&self, until: Instant) -> io::Result<Woken> {
        self.wait(self.told.as_fd(), PollFlags::empty(), Some(until))
    }

    /// Waits for `events` on `fd`, the interrupt, or the deadline; no deadline is forever.
    pub(super) fn wait(
        &self,
        fd: BorrowedFd<'_>,
        events: PollFlags,
        deadline: Option<Instant>,
    ) -> io::Result<Woken> {
        loop {
            let mut fds = [
                PollFd::new(self.told.as_fd(), PollFlags::POLLIN),
                PollFd::new(fd, events),
            ];
            let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
            match poll(&mut fds, poll_timeout(left)) {
                Err(Errno::EINTR) => continue,
                Err(e) => return Err(e.into()),
                Ok(_) => {}
            }
            if fds[0].any().unwrap_or(true) {
                return Ok(Woken::Interrupted);
            }
            if fds[1].any().unwrap_or(true) {
                return Ok(Woken::Ready);
            }
            if left.is_some_and(|left| left.is_zero()) {
                return Ok(Woken::TimeUp);
            }
        }
    }
}

/// Rounded up, so that a wait is not shorter than told; a very long one is asked for in pieces.
fn poll_timeout(left: Option<Duration>) -> PollTimeout {
    let Some(left) = left else {
        return PollTimeout::NONE;
    };
    let ms = left.as_micros().div_ceil(1000);
    PollTimeout::try_from(ms).unwrap_or(PollTimeout::MAX)
}

impl<'a> Link<'a> {
    pub(super) fn open(
        path: &Path,
        interrupt: &'a Interrupt,
        within: Duration,
    ) -> Result<Self, ClientError> {
        let len = path.as_os_str().len();
        if len > PATH_BYTES_MAX {
            return Err(ClientError::PathTooLong {
                path: path.into(),
                len,
            });
        }
        let stream = connected(path, within).map_err(|e| connect_error(path, within, e))?;
        Ok(Self {
            stream,
            path: path.into(),
            interrupt,
            received: Vec::new(),
            searched: 0,
        })
    }

    pub(super) fn send(&mut self, request: &Request) -> Result<(), ClientError> {
        let line = wire::request_line(request);
        match self.stream.write_all(line.as_bytes()) {
            // A refusal may be waiting to be read.
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            sent => sent.map_err(|source| self.io_error(source)),
        }
    }

    /// The next reply. `within` is what the error calls the time that was over at the deadline.
    pub(super) fn reply_until(
        &mut self,
        deadline: Option<Instant>,
        within: Duration,
    ) -> Result<Reply, ClientError> {
        loop {
            if let Some(line) = self.take_line() {
                return Ok(wire::parse_reply(&line)?);
            }
            if self.received.len() > REPLY_BYTES_MAX {
                return Err(ClientError::TooLong(REPLY_BYTES_MAX));
            }
            let woken = self
                .interrupt
                .wait(self.stream.as_fd(), PollFlags::POLLIN, deadline);
            match woken.map_err(|source| self.io_error(source))? {
                Woken::Ready => self.receive()?,
                Woken::Interrupted => return Err(ClientError::Interrupted),
                Woken::TimeUp => {
                    return Err(ClientError::Hangs {
                        path: self.path.clone(),
                        waited: within,
                    });
                }
            }
        }
    }

    fn take_line(&mut self) -> Option<Vec<u8>> {
        let unseen = &self.received[self.searched..];
        let Some(end) = unseen.iter().position(|&b| b == b'\n') else {
            self.searched = self.received.len();
            return None;
        };
        let end = self.searched + end;
        self.searched = 0;
        Some(self.received.drain(..=end).collect())
    }

    fn receive(&mut self) -> Result<(), ClientError> {
        let mut bytes = [0_u8; 16 * 1024];
        match self.stream.read(&mut bytes) {
            Ok(0) => Err(ClientError::Closed {
                path: self.path.clone(),
            }),
            Err(e) if e.kind() == io::ErrorKind::ConnectionReset => Err(ClientError::Closed {
                path: self.path.clone(),
            }),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => Ok(()),
            Err(source) => Err(self.io_error(source)),
            Ok(n) => {
                self.received.extend_from_slice(&bytes[..n]);
                Ok(())
            }
        }
    }

    fn io_error(&self, source: io::Error) -> ClientError {
        ClientError::Io {
            path: self.path.clone(),
            source,
        }
    }
}

/// Connects within the given time, also when the supervisor's queue is full.
fn connected(path: &Path, within: Duration) -> nix::Result<UnixStream> {
    let fd = socket(
        AddressFamily::Unix,
        SockType::Stream,
        SockFlag::SOCK_CLOEXEC,
        None,
    )?;
    // Zero would mean forever.
    let us = i64::try_from(within.as_micros().max(1)).unwrap_or(i64::MAX);
    let limit = TimeVal::new(us / 1_000_000, us % 1_000_000);
    setsockopt(&fd, sockopt::SendTimeout, &limit)?;
    connect(fd.as_raw_fd(), &UnixAddr::new(path)?)?;
    Ok(UnixStream::from(fd))
}

fn connect_error(path: &Path, within: Duration, errno: Errno) -> ClientError {
    let path = path.to_path_buf();
    match errno {
        Errno::ENOENT | Errno::ENOTDIR => ClientError::NoSocket(path),
        Errno::ECONNREFUSED => ClientError::NobodyListens(path),
        Errno::EACCES | Errno::EPERM => ClientError::Denied {
            group: group_of(&path),
            path,
        },
        Errno::EAGAIN => ClientError::Hangs {
            path,
            waited: within,
        },
        other => ClientError::Io {
            path,
            source: other.into(),
        },
    }
}

/// The group that may use the socket: its own, or its directory's where that is all one can see.
fn group_of(path: &Path) -> Option<String> {
    let meta = path
        .metadata()
        .or_else(|e| path.parent().map_or(Err(e), Path::metadata))
        .ok()?;
    let group = Group::from_gid(Gid::from_raw(meta.gid())).ok()??;
    Some(group.name)
}
