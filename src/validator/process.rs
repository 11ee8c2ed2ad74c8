//! The child process: started behind the gate's filter, signalled as a group, reaped by number.
//!
//! It must be started from a thread that lives as long as the supervisor: the kernel kills the child when the *thread* that
//! forked it ends, not the process.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;

use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::gate::{Filter, Listener, pass_fd};
use crate::engine::Exit;

/// Variables that are the supervisor's own business with its service manager.
const STRIPPED: [&str; 5] = [
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "LISTEN_FDS",
    "LISTEN_PID",
];

/// What to run: the words behind `--`.
#[derive(Clone, Debug)]
pub struct CommandLine {
    pub program: OsString,
    pub args: Vec<OsString>,
}

/// Why the child could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("{} does not exist: check the command behind `--`", .0.display())]
    NotFound(PathBuf),
    #[error("{} cannot be executed: check its mode (`chmod +x`), its `#!` line and the mount options of its disk", .0.display())]
    NotExecutable(PathBuf, #[source] io::Error),
    #[error("{} could not be started behind the vote gate: {error}", path.display())]
    Failed {
        path: PathBuf,
        #[source]
        error: io::Error,
    },
}

/// A running child.
#[derive(Debug)]
pub struct Process {
    pid: Pid,
}

impl Process {
    /// Starts the child in a process group of its own, behind the filter, and returns the listener of its gate.
    ///
    /// # Errors
    /// The command cannot be run, or the kernel refuses the filter.
    pub fn start(command: &CommandLine) -> Result<(Self, Listener), StartError> {
        let path = PathBuf::from(&command.program);
        let failed = |error| StartError::Failed {
            path: path.clone(),
            error,
        };
        let (ours, theirs) = UnixStream::pair().map_err(failed)?;
        let started = prepare(command, theirs).and_then(|mut command| command.spawn());
        let child = started.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => StartError::NotFound(path.clone()),
            io::ErrorKind::PermissionDenied => StartError::NotExecutable(path.clone(), error),
            _ if error.raw_os_error() == Some(libc::ENOEXEC) => {
                StartError::NotExecutable(path.clone(), error)
            }
            _ => StartError::Failed {
                path: path.clone(),
                error,
            },
        })?;
        let process = Self {
            pid: Pid::from_raw(child.id() as i32),
        };
        match pass_fd::receive(ours.as_fd()) {
            Ok(Some(listener)) => Ok((process, Listener::new(listener))),
            other => {
                process.signal(Signal::SIGKILL);
                let error = other
                    .err()
                    .unwrap_or_else(|| io::Error::other("the filter's listener did not arrive"));
                Err(failed(error))
            }
        }
    }

    /// Its process number, and that of its group.
    #[must_use]
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Signals the whole group. A group that is gone is what was wanted.
    pub fn signal(&self, signal: Signal) {
        let _ = killpg(self.pid, signal);
    }

    /// Signals the child alone.
    pub fn signal_one(&self, signal: Signal) {
        let _ = nix::sys::signal::kill(self.pid, signal);
    }
}

/// Everything that runs in the child before its exec is decided here; the closure itself only makes system calls.
fn prepare(command: &CommandLine, socket: UnixStream) -> io::Result<Command> {
    let filter = Filter::new();
    let parent = nix::unistd::getpid();
    let socket = OwnedFd::from(socket);
    let mut prepared = Command::new(&command.program);
    prepared.args(&command.args).process_group(0);
    for name in STRIPPED {
        prepared.env_remove(name);
    }
    let before_exec = move || -> io::Result<()> {
        // SAFETY: prctl with these constants reads no memory.
        if unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) } != 0 {
            return Err(io::Error::last_os_error());
        }
        // The supervisor may have died before the line above.
        if nix::unistd::getppid() != parent {
            return Err(io::Error::from_raw_os_error(libc::ESRCH));
        }
        let listener = filter.install()?;
        pass_fd::send(socket.as_fd(), listener.as_fd())
    };
    // SAFETY: the closure makes system calls only: it allocates nothing and takes no lock.
    unsafe { prepared.pre_exec(before_exec) };
    Ok(prepared)
}

/// What is left of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reaped {
    pub pid: Pid,
    pub exit: Exit,
}

/// Reaps every process that has ended: the child, and the orphans that fall to us as their subreaper.
#[must_use]
pub fn reap() -> Vec<Reaped> {
    let mut reaped = Vec::new();
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, code)) => reaped.push(Reaped {
                pid,
                exit: Exit::Code(code as u8),
            }),
            Ok(WaitStatus::Signaled(pid, signal, _)) => reaped.push(Reaped {
                pid,
                exit: Exit::Signal(signal as i32 as u8),
            }),
            Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return reaped,
            Ok(_) | Err(Errno::EINTR) => {}
            Err(_) => return reaped,
        }
    }
}

/// Makes orphans of the child fall to us instead of to the init process, so that they are seen and reaped.
///
/// # Errors
/// On kernels before 3.4.
pub fn become_subreaper() -> io::Result<()> {
    nix::sys::prctl::set_child_subreaper(true).map_err(io::Error::from)
}

/// The words of a process's command line, as the kernel has them.
///
/// # Errors
/// When the process is gone or is another user's.
pub fn command_line_of(pid: Pid) -> io::Result<Vec<OsString>> {
    use std::os::unix::ffi::OsStrExt as _;
    let bytes = std::fs::read(format!("/proc/{pid}/cmdline"))?;
    let words = bytes
        .strip_suffix(&[0])
        .unwrap_or(&bytes)
        .split(|byte| *byte == 0);
    Ok(words
        .map(|word| OsStr::from_bytes(word).to_owned())
        .collect())
}
