//! The ways in which a stand-in ends: signals, the admin request, and the fault that kills it.

use crate::node::Node;
use crate::spawn;
use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1};
use signal_hook::iterator::Signals;
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// Between two looks for the fault that ends the process.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Starts to watch for signals and for the fault `die`.
pub(crate) fn watch(node: &Arc<Node>) -> io::Result<()> {
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGUSR1])?;
    let signalled = Arc::clone(node);
    spawn("solSignals", move || {
        for signal in signals.forever() {
            take(&signalled, signal);
        }
    })
    .map_err(io::Error::other)?;
    let dying = Arc::clone(node);
    spawn("solFaults", move || {
        loop {
            if let Some(code) = dying.faults().code("die") {
                std::process::exit(code);
            }
            thread::sleep(LOOK_EVERY);
        }
    })
    .map_err(io::Error::other)
}

fn take(node: &Node, signal: i32) {
    if signal == SIGUSR1 {
        let outcome = match node.log.reopen() {
            Ok(()) => "log reopened".to_owned(),
            Err(error) => format!("log not reopened: {error}"),
        };
        return node.log.line("INFO", &outcome);
    }
    let faults = node.faults();
    if signal == SIGTERM && faults.is("ignore_sigterm") {
        return node.log.line("INFO", "SIGTERM ignored, as asked");
    }
    node.log.line("INFO", "ending on a signal");
    end_after(faults.number("term_ms").unwrap_or(0));
}

/// The request is answered at once; the end comes later.
pub(crate) fn exit_on_request(node: &Arc<Node>) {
    let delay_ms = node.faults().number("exit_ms").unwrap_or(100);
    node.log.line("INFO", "validator exit requested");
    thread::spawn(move || end_after(delay_ms));
}

fn end_after(delay_ms: u64) {
    thread::sleep(Duration::from_millis(delay_ms));
    std::process::exit(0);
}
