//! What the service manager is told. Without one, nothing is sent.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use sd_notify::NotifyState;

/// The unit's watchdog, if it has one.
#[must_use]
pub(super) fn watchdog() -> Option<Duration> {
    sd_notify::watchdog_enabled()
}

/// The child's admin RPC answers.
pub(super) fn ready() {
    send(&[NotifyState::Ready]);
}

/// One line about the present state.
pub(super) fn status(text: &str) {
    send(&[NotifyState::Status(text)]);
}

/// The loop and the gate make progress.
pub(super) fn alive() {
    send(&[NotifyState::Watchdog]);
}

/// The end has begun.
pub(super) fn stopping() {
    send(&[NotifyState::Stopping]);
}

/// The end goes on, and may take this long from here.
pub(super) fn extend(by: Duration) {
    send(&[NotifyState::ExtendTimeoutUsec(by.as_micros() as u32)]);
}

/// The configuration is being read again. [`ready`] ends it.
pub(super) fn reloading() {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from);
    send(&[
        NotifyState::Reloading,
        NotifyState::MonotonicUsec(now.as_micros() as i128),
    ]);
}

/// A service manager that does not listen is not our failure.
fn send(states: &[NotifyState<'_>]) {
    let _ = sd_notify::notify(states);
}
