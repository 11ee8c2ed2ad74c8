//! Tries the gate on a process of our own before a validator depends on it.
//!
//! A forked process puts itself behind the filter and renames a file that does not exist. The test passes when that rename was
//! seen, its name was read, and its refusal arrived.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;

use super::listener::PathBuffer;
use super::{Filter, Listener, pass_fd};

const DEADLINE: Duration = Duration::from_secs(2);
const SOURCE: &std::ffi::CStr = c"/nonexistent/validator-supervisor/self-test.new";
const TARGET: &str = "/nonexistent/validator-supervisor/self-test";
/// Added to the errno of a filter that was refused, in the exit code of the forked process; a lower code is the rename's.
const INSTALL_FAILED: i32 = 128;

/// Why votes could not be gated on this machine.
#[derive(Debug, thiserror::Error)]
pub enum SelfTestError {
    #[error(
        "the kernel refuses the vote gate's seccomp filter (error code {errno}, {text}): it needs Linux 5.5 or later with \
         CONFIG_SECCOMP_FILTER, and no service manager or container whose own filter already listens for notifications"
    )]
    Install { errno: i32, text: String },
    #[error(
        "the memory of the validator cannot be read ({0}), so its file names are unknown: allow ptrace of our own children \
         (kernel.yama.ptrace_scope at most 1, no SystemCallFilter= without @debug, same user for supervisor and validator)"
    )]
    Memory(#[source] io::Error),
    #[error("a rename behind the vote gate was not stopped: it ended with {0}")]
    NotStopped(String),
    #[error("the vote gate was not asked within {} s", DEADLINE.as_secs())]
    Silent,
    #[error("the vote gate could not be tried: {0}")]
    Setup(#[from] io::Error),
}

/// Tries the gate. Call it from a thread that lives on, before the runtime has many and before a key is read: the process that is
/// forked can be read by its own user.
///
/// # Errors
/// What is missing, and how to get it.
pub fn self_test() -> Result<(), SelfTestError> {
    let filter = Filter::new();
    let target = CString::new(TARGET).map_err(io::Error::other)?;
    let (ours, theirs) = UnixStream::pair()?;
    // SAFETY: the child calls only `child`, which allocates nothing, takes no lock and never returns.
    let pid = unsafe { libc::fork() };
    if pid < 0 {
        return Err(io::Error::last_os_error().into());
    }
    if pid == 0 {
        child(&filter, &theirs, &target);
    }
    drop(theirs);
    let pid = Pid::from_raw(pid);
    let asked = answer(&ours);
    if asked.is_err() {
        // It may wait for an answer for ever.
        let _ = kill(pid, Signal::SIGKILL);
    }
    let status = waitpid(pid, None).map_err(io::Error::from)?;
    judge(asked, status)
}

fn child(filter: &Filter, socket: &UnixStream, target: &CString) -> ! {
    // As an exec would make it. Its memory is a copy of ours, which does not hold a key yet.
    // SAFETY: prctl with these constants reads no memory.
    unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 1) };
    let code = match filter.install() {
        Err(error) => error.raw_os_error().unwrap_or(0) + INSTALL_FAILED,
        Ok(listener) if pass_fd::send(socket.as_fd(), listener.as_fd()).is_err() => 0,
        Ok(listener) => {
            drop(listener);
            // SAFETY: both are strings with an end.
            let result = unsafe { libc::rename(SOURCE.as_ptr(), target.as_ptr()) };
            if result == 0 {
                0
            } else {
                io::Error::last_os_error().raw_os_error().unwrap_or(0)
            }
        }
    };
    // SAFETY: ends the process without running anything of the parent's.
    unsafe { libc::_exit(code) }
}

/// Serves the one question of the child, by refusing it.
fn answer(socket: &UnixStream) -> Result<(), SelfTestError> {
    let until = Instant::now() + DEADLINE;
    let listener = Listener::new(await_listener(socket, until)?);
    loop {
        if !readable(&listener, until)? {
            return Err(SelfTestError::Silent);
        }
        let Some(question) = listener.take()? else {
            continue;
        };
        let mut buffer = PathBuffer::new();
        let read = question
            .target_text(&mut buffer)
            .map(|target| target == Path::new(TARGET));
        listener.refuse(&question);
        return match read {
            Ok(true) => Ok(()),
            Ok(false) => Err(SelfTestError::NotStopped(
                "another file name than its own".into(),
            )),
            Err(error) => Err(SelfTestError::Memory(error)),
        };
    }
}

fn await_listener(socket: &UnixStream, until: Instant) -> Result<OwnedFd, SelfTestError> {
    if !readable(socket, until)? {
        return Err(SelfTestError::Silent);
    }
    pass_fd::receive(socket.as_fd())?.ok_or(SelfTestError::Silent)
}

fn readable(fd: &impl AsFd, until: Instant) -> io::Result<bool> {
    let left = until.saturating_duration_since(Instant::now());
    let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO);
    let mut fds = [PollFd::new(fd.as_fd(), PollFlags::POLLIN)];
    Ok(poll(&mut fds, timeout)? > 0)
}

fn judge(asked: Result<(), SelfTestError>, status: WaitStatus) -> Result<(), SelfTestError> {
    match (asked, status) {
        (_, WaitStatus::Exited(_, code)) if code > INSTALL_FAILED => {
            let errno = code - INSTALL_FAILED;
            Err(SelfTestError::Install {
                errno,
                text: io::Error::from_raw_os_error(errno).to_string(),
            })
        }
        (Ok(()), WaitStatus::Exited(_, libc::EIO)) => Ok(()),
        (Ok(()), status) => Err(SelfTestError::NotStopped(format!("{status:?}"))),
        (Err(error), _) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_can_gate_votes() {
        assert!(self_test().is_ok_and(|()| true), "{:?}", self_test());
    }

    #[test]
    fn a_refused_filter_is_reported_with_its_error_code() {
        let status = WaitStatus::Exited(Pid::from_raw(1), INSTALL_FAILED + libc::EINVAL);
        let error = judge(Err(SelfTestError::Silent), status);
        assert!(
            matches!(
                error,
                Err(SelfTestError::Install {
                    errno: libc::EINVAL,
                    ..
                })
            ),
            "{error:?}"
        );
    }

    #[test]
    fn a_rename_that_passes_is_reported() {
        let error = judge(Ok(()), WaitStatus::Exited(Pid::from_raw(1), libc::ENOENT));
        assert!(
            matches!(error, Err(SelfTestError::NotStopped(_))),
            "{error:?}"
        );
    }
}
