//! Signals to the supervisor, as events of its loop.

use std::io;

use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook::iterator::Signals;
use tokio::sync::mpsc::UnboundedSender;

use super::event::Event;

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    /// A process below us has ended.
    ChildEnded,
    /// SIGTERM or SIGINT: stop in order.
    Stop,
    /// SIGHUP: read the configuration again.
    Reload,
    /// SIGUSR1: the validator's, which reopens its log on it.
    PassOn,
}

/// Begins to turn signals into events, on a thread of its own.
///
/// # Errors
/// The handlers cannot be installed.
pub(super) fn listen(events: UnboundedSender<Event>) -> io::Result<()> {
    let mut signals = Signals::new([SIGCHLD, SIGHUP, SIGINT, SIGTERM, SIGUSR1])?;
    std::thread::Builder::new()
        .name("signals".into())
        .stack_size(128 * 1024)
        .spawn(move || {
            for signal in signals.forever() {
                let signal = match signal {
                    SIGCHLD => Signal::ChildEnded,
                    SIGHUP => Signal::Reload,
                    SIGUSR1 => Signal::PassOn,
                    _ => Signal::Stop,
                };
                if events.send(Event::Signal(signal)).is_err() {
                    return;
                }
            }
        })?;
    Ok(())
}
