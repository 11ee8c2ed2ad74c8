//! Runs a piece of work in a forked process, one system call at a time, and kills it where it is told to.

use nix::sys::ptrace;
use nix::sys::signal::{Signal, kill, raise};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

/// A system call that was begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) number: i64,
    /// What the descriptor in the first argument leads to, where there is one.
    pub(crate) file: Option<PathBuf>,
}

/// What became of the work.
pub(crate) struct Run {
    /// It said that it was done, before it was killed.
    pub(crate) reported: bool,
    /// It came to its end, so there are no more places to kill it.
    pub(crate) ended: bool,
    pub(crate) calls: Vec<Call>,
}

/// Runs `work` and kills the process at its `stops`-th stop: twice a system call, once before and once behind it.
///
/// The process is forked from a test that has threads, so `work` must not need a lock of theirs; glibc's allocator may be used.
pub(crate) fn run(stops: usize, work: impl FnOnce()) -> Run {
    let (mut ours, theirs) = UnixStream::pair().expect("a socket pair");
    // SAFETY: the child runs `work` and system calls only, and ends by `_exit`.
    match unsafe { fork() }.expect("a fork") {
        ForkResult::Child => {
            let began = ptrace::traceme().is_ok() && raise(Signal::SIGSTOP).is_ok();
            if began {
                work();
                let _ = (&theirs).write_all(b"!");
            }
            // SAFETY: ends the process without running anything of the test's.
            unsafe { libc::_exit(i32::from(!began)) }
        }
        ForkResult::Parent { child } => {
            drop(theirs);
            let (ended, calls) = step(child, stops);
            let mut said = Vec::new();
            ours.read_to_end(&mut said).expect("what the process said");
            Run {
                reported: !said.is_empty(),
                ended,
                calls,
            }
        }
    }
}

fn step(child: Pid, stops: usize) -> (bool, Vec<Call>) {
    let wait = || waitpid(child, Some(WaitPidFlag::__WALL)).expect("a stop");
    assert_eq!(wait(), WaitStatus::Stopped(child, Signal::SIGSTOP));
    ptrace::setoptions(
        child,
        ptrace::Options::PTRACE_O_TRACESYSGOOD | ptrace::Options::PTRACE_O_EXITKILL,
    )
    .expect("options");
    let mut calls = Vec::new();
    for stop in 0..stops {
        ptrace::syscall(child, None).expect("a step");
        match wait() {
            WaitStatus::PtraceSyscall(_) if stop % 2 == 0 => calls.push(call(child)),
            WaitStatus::PtraceSyscall(_) => {}
            WaitStatus::Exited(..) => return (true, calls),
            other => panic!("unexpected {other:?}"),
        }
    }
    kill(child, Signal::SIGKILL).expect("a kill");
    while !matches!(wait(), WaitStatus::Signaled(..)) {}
    (false, calls)
}

fn call(child: Pid) -> Call {
    let info = ptrace::syscall_info(child).expect("what is called");
    assert_eq!(info.op, libc::PTRACE_SYSCALL_INFO_ENTRY);
    // SAFETY: `op` says that this is the member which the kernel has filled.
    let entry = unsafe { info.u.entry };
    let file = std::fs::read_link(format!("/proc/{child}/fd/{}", entry.args[0] as i32)).ok();
    Call {
        number: entry.nr as i64,
        file,
    }
}
