//! One thread of a process that a test takes hold of through ptrace, which takes root, and lets go on later.

use nix::sys::ptrace::{self, Options};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use testkit::stand_in::until;

/// The first thread of a process, traced by this thread. Dropping it lets that thread go on.
#[derive(Debug)]
pub(crate) struct Held(Pid);

impl Held {
    /// Stopped here and now, while the other threads go on.
    pub(crate) fn stopped(pid: Pid) -> Self {
        let held = Self::seized(pid, Options::empty());
        ptrace::interrupt(pid).expect("a stop");
        held.await_stop();
        held
    }

    /// Goes on, and stops where the options say.
    pub(crate) fn seized(pid: Pid, options: Options) -> Self {
        ptrace::seize(pid, options).expect("a hold of the thread, which takes root");
        Self(pid)
    }

    pub(crate) fn await_stop(&self) {
        waitpid(self.0, Some(WaitPidFlag::__WALL)).expect("a stopped thread");
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if ptrace::detach(self.0, None::<Signal>).is_ok() {
            return;
        }
        // It runs, or was killed meanwhile: then its parent hears of the end after its tracer has, and that is when its last
        // thread is gone, later than the first one's.
        let _ = ptrace::interrupt(self.0);
        let _ = until(30_000, || {
            let news = waitpid(self.0, Some(WaitPidFlag::__WALL | WaitPidFlag::WNOHANG));
            news != Ok(WaitStatus::StillAlive)
        });
        let _ = ptrace::detach(self.0, None::<Signal>);
    }
}
