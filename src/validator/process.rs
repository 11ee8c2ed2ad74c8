//! The child process: started behind the gate's filter, signalled as a group, reaped by number.
//!
//! It must be started from a thread that lives as long as the supervisor: the kernel kills the child when the *thread* that
//! forked it ends, not the process.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;

use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::Pid;

use super::gate::{Filter, Listener, pass_fd};
use crate::engine::Exit;

/// Variables that are the supervisor's own business with its service manager.
pub const STRIPPED: [&str; 5] = [
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
    #[error("{} does not exist, or the interpreter in its `#!` line does not: check the command behind `--`", .0.display())]
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

    /// Signals the child alone, if it handles that signal: a start script that has not become the validator does not, and
    /// would end. Says whether it was sent.
    #[must_use]
    pub fn pass_on(&self, signal: Signal) -> bool {
        handles(self.pid, signal) && nix::sys::signal::kill(self.pid, signal).is_ok()
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

/// Reaps every process that has ended: the child, and the orphans that fall to us as their subreaper. `before` is told of each
/// while its number is still its own.
#[must_use]
pub fn reap(before: impl Fn(Pid)) -> Vec<Reaped> {
    let mut reaped = Vec::new();
    let peek = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    loop {
        let pid = match waitid(Id::All, peek) {
            Ok(status) => match status.pid() {
                Some(pid) => pid,
                None => return reaped,
            },
            Err(Errno::EINTR) => continue,
            Err(_) => return reaped,
        };
        before(pid);
        let exit = match waitpid(pid, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, code)) => (pid, Exit::Code(code as u8)),
            Ok(WaitStatus::Signaled(pid, signal, _)) => (pid, Exit::Signal(signal as i32 as u8)),
            Ok(_) | Err(Errno::EINTR) => continue,
            Err(_) => return reaped,
        };
        let (pid, exit) = exit;
        reaped.push(Reaped { pid, exit });
    }
}

/// Kills a process group. One that is gone is what was wanted.
pub fn kill_group(pid: Pid) {
    let _ = killpg(pid, Signal::SIGKILL);
}

/// Kills every process below us. Only for when no child is wanted: what is left then had left the child's group, and a
/// validator among it would still have the ledger. Each death brings us what was below it, and its signal the next call.
pub fn kill_orphans() {
    let own = nix::unistd::getpid();
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten();
    for task in tasks.flatten() {
        let text = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
        for pid in text.split_whitespace().filter_map(|pid| pid.parse().ok()) {
            let pid = Pid::from_raw(pid);
            if pid != own {
                let _ = nix::sys::signal::kill(pid, Signal::SIGKILL);
            }
        }
    }
}

/// Whether a process has a handler for a signal, by the mask that the kernel shows.
fn handles(pid: Pid, signal: Signal) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("SigCgt:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal as i32 - 1) & 1 == 1)
}

/// Makes orphans of the child fall to us instead of to the init process, so that they are seen and reaped.
///
/// # Errors
/// On kernels before 3.4.
pub fn become_subreaper() -> io::Result<()> {
    nix::sys::prctl::set_child_subreaper(true).map_err(io::Error::from)
}
