//! The engine's clock: milliseconds since boot, which never step and count suspended time.

use std::time::{Duration, SystemTime};

use nix::time::{ClockId, clock_gettime};

use crate::ctl::time::Timestamp;
use crate::engine::values::Millis;

/// The time of the next step.
#[must_use]
pub(super) fn now() -> Millis {
    // The clock exists on every kernel that has the gate; the standard one differs by suspended time only.
    let clock =
        clock_gettime(ClockId::CLOCK_BOOTTIME).or_else(|_| clock_gettime(ClockId::CLOCK_MONOTONIC));
    clock.map_or(Millis(0), |time| {
        Millis(Duration::from(time).as_millis() as u64)
    })
}

/// The wall-clock time at which the engine's clock showed `at`; for people only.
#[must_use]
pub(super) fn wall(at: Millis) -> Timestamp {
    let unix_ms = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as u64);
    Timestamp::from_unix_ms((unix_ms + at.0).saturating_sub(now().0))
}
