//! Stopping a validator without tearing a vote out of its hands.

use nix::sys::signal::Signal;
use std::path::Path;
use testkit::children::signal_if_there;
use testkit::node::Node;
use testkit::stand_in::until;

/// A vote waits in the gate for longer only where it is stuck there.
const STOP_WITHIN_MS: u64 = 3_000;

/// Stops the validator in its tracks, but not between the end of the gate and the sending of the vote: what is let out
/// there leaves when it goes on, however late, and is in the record of whoever votes by then. Says whether it is stopped.
pub(crate) fn stop_validator(node: &Node) -> bool {
    until(STOP_WITHIN_MS, || {
        let Some(pid) = node.validator_now() else {
            return false;
        };
        // Its supervisor may be ending it.
        if !signal_if_there(pid, Signal::SIGSTOP) {
            return false;
        }
        let idle = sends_no_vote(pid);
        if !idle {
            let _ = signal_if_there(pid, Signal::SIGCONT);
        }
        idle
    })
}

/// It may have been killed meanwhile.
pub(crate) fn continue_validator(node: &Node) {
    if let Some(pid) = node.validator_now() {
        let _ = signal_if_there(pid, Signal::SIGCONT);
    }
}

/// Whether the thread of a validator that was told to stop, and stores and sends votes, waits for the next one in futex(2).
fn sends_no_vote(pid: i32) -> bool {
    let read = |path: &Path, name| std::fs::read_to_string(path.join(name)).unwrap_or_default();
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task"));
    let mut tasks = tasks
        .into_iter()
        .flatten()
        .flatten()
        .map(|task| task.path());
    let sender = tasks
        .find(|task| ["solVoteService", "solVotorVoteSvc"].contains(&read(task, "comm").trim()));
    sender.is_some_and(|task| {
        // A busy machine takes its time to stop it.
        let stopped = until(STOP_WITHIN_MS, || read(&task, "stat").contains(") T "));
        stopped && read(&task, "syscall").starts_with(&format!("{} ", libc::SYS_futex))
    })
}
