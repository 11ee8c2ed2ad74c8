//! A network namespace of the test's own: programs and sockets inside it see nothing of the machine's network.
//!
//! It has no name and no mount: it goes when the last handle, socket and program inside it are gone, also when the test is
//! killed. Making one takes root. A [`Network`] joins several.

pub use crate::network::{Count, Host, Link, Network};

use nix::sched::{CloneFlags, setns, unshare};
use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::Arc;
use std::thread;

/// A handle on a namespace; clones are the same one.
#[derive(Clone, Debug)]
pub struct Namespace {
    handle: Arc<File>,
}

impl Namespace {
    /// A fresh namespace with its loopback up, and nothing else.
    ///
    /// # Errors
    /// It takes root, and `ip` of Debian's `iproute2`.
    pub fn new() -> io::Result<Self> {
        let namespace = on_a_thread(|| {
            unshare(CloneFlags::CLONE_NEWNET).map_err(|error| {
                io::Error::other(format!(
                    "a network namespace cannot be made: {error}; run as root"
                ))
            })?;
            let handle = Arc::new(File::open("/proc/thread-self/ns/net")?);
            io::Result::Ok(Self { handle })
        })??;
        namespace.ip("link set lo up")?;
        Ok(namespace)
    }

    /// Has `command` run inside. The files and the user stay what they are.
    #[expect(unsafe_code, reason = "pre_exec")]
    pub fn enter(&self, command: &mut Command) {
        let handle = Arc::clone(&self.handle);
        let enter = move || setns(&*handle, CloneFlags::CLONE_NEWNET).map_err(io::Error::from);
        // SAFETY: between fork and exec only setns(2) is called, which is async-signal-safe and allocates nothing.
        unsafe { command.pre_exec(enter) };
    }

    /// Does `work` on a thread inside. Sockets made there, and threads started there, belong to the namespace for good.
    ///
    /// # Errors
    /// The namespace cannot be entered, or `work` panics.
    pub fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> io::Result<T> {
        on_a_thread(|| {
            setns(&*self.handle, CloneFlags::CLONE_NEWNET)?;
            io::Result::Ok(work())
        })?
    }

    /// `ip` with these arguments, inside.
    pub(crate) fn ip(&self, arguments: &str) -> io::Result<()> {
        let mut command = Command::new("ip");
        command.args(arguments.split(' '));
        self.enter(&mut command);
        let output = command.output().map_err(|error| {
            io::Error::new(
                error.kind(),
                format!("ip cannot be run: {error}; install it: apt-get install iproute2"),
            )
        })?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(io::Error::other(format!("ip {arguments}: {said}")))
    }
}

/// A thread's namespace is its own: the caller's stays what it is.
fn on_a_thread<T: Send>(work: impl FnOnce() -> T + Send) -> io::Result<T> {
    thread::scope(|scope| scope.spawn(work).join())
        .map_err(|_| io::Error::other("the thread inside the namespace panicked"))
}
