//! Starting programs that end with the test, however the test ends; looking after those that run.
//!
//! Drop kills what a test started, but a test that is killed drops nothing: the kernel is asked to kill the child too
//! (`PR_SET_PDEATHSIG`). It does so when the *thread* that started the child ends, so all are started by one that never does.

use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

/// Longer than any fork of this process takes to exec.
const NOT_BUSY_WITHIN: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(5);

struct Order {
    command: Command,
    started: Sender<io::Result<Child>>,
}

/// Starts `command` as a child that is killed when this process ends.
///
/// # Errors
/// It cannot be started.
pub fn spawn(mut command: Command) -> io::Result<Child> {
    die_with_parent(&mut command);
    let (started, answer) = channel();
    let gone = |_| io::Error::other("the thread that starts programs is gone");
    starter()
        .send(Order { command, started })
        .map_err(|_| gone(()))?;
    answer.recv().map_err(|_| gone(()))?
}

/// A program that was just copied is busy for as long as a process that another thread forked meanwhile has the copy open, until its exec.
fn start(command: &mut Command) -> io::Result<Child> {
    let until = Instant::now() + NOT_BUSY_WITHIN;
    loop {
        match command.spawn() {
            Err(error)
                if error.kind() == io::ErrorKind::ExecutableFileBusy && Instant::now() < until =>
            {
                thread::sleep(LOOK_EVERY);
            }
            other => return other,
        }
    }
}

/// A signal to a process that is there.
///
/// # Panics
/// It is not.
#[track_caller]
pub fn signal(pid: i32, signal: Signal) {
    kill(Pid::from_raw(pid), signal).expect("a signal");
}

/// A signal to a process that may end at any moment. Whether it was there.
///
/// # Panics
/// It may not be sent to.
#[track_caller]
pub fn signal_if_there(pid: i32, signal: Signal) -> bool {
    match kill(Pid::from_raw(pid), signal) {
        Ok(()) => true,
        Err(Errno::ESRCH) => false,
        Err(error) => panic!("a signal to {pid}: {error}"),
    }
}

/// Whether a process is there and not only waits to be reaped.
#[must_use]
pub fn lives(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ")
        .is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

fn starter() -> &'static Sender<Order> {
    static STARTER: OnceLock<Sender<Order>> = OnceLock::new();
    STARTER.get_or_init(|| {
        let (orders, taken) = channel::<Order>();
        thread::spawn(move || {
            for mut order in taken {
                // Whoever asked may have given up; its child is dropped, and dies with this process.
                let _ = order.started.send(start(&mut order.command));
            }
        });
        orders
    })
}

#[expect(unsafe_code, reason = "pre_exec")]
fn die_with_parent(command: &mut Command) {
    let mark = || prctl::set_pdeathsig(Signal::SIGKILL).map_err(io::Error::from);
    // SAFETY: between fork and exec only prctl(2) is called, which is async-signal-safe and allocates nothing.
    unsafe { command.pre_exec(mark) };
}
