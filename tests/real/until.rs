//! Waiting in tests: a condition is polled until a deadline, nothing is slept away.

use std::time::{Duration, Instant};

const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Polls `probe` until it gives a value, and panics with `what` when `within` is over first.
pub(crate) fn until<T>(what: &str, within: Duration, mut probe: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = probe() {
            return value;
        }
        assert!(
            start.elapsed() < within,
            "{what}: not seen within {within:?}"
        );
        std::thread::sleep(POLL_INTERVAL);
    }
}
