//! How many of a node's words are passed on to the daemon: whoever reads them does so more slowly than a link can bring them.
//!
//! A node that is as it should be never comes near it. What is held back of one that talks without end is passed on with a later
//! word, as far as it still stands then.

use std::time::{Duration, Instant};

/// At once, after a time without any.
const AT_ONCE: u32 = 50;
/// And one more after each of these.
const EVERY: Duration = Duration::from_millis(20);

/// See the module.
#[derive(Debug)]
pub(super) struct Ration {
    left: u32,
    /// Up to when what was added is counted.
    counted: Instant,
}

impl Ration {
    pub(super) fn full(now: Instant) -> Self {
        Self {
            left: AT_ONCE,
            counted: now,
        }
    }

    /// Whether one more may be passed on now.
    pub(super) fn allows(&mut self, now: Instant) -> bool {
        let more = now.saturating_duration_since(self.counted).as_millis() / EVERY.as_millis();
        let more = u32::try_from(more).unwrap_or(u32::MAX);
        self.left = self.left.saturating_add(more).min(AT_ONCE);
        self.counted = if self.left == AT_ONCE {
            now
        } else {
            self.counted + EVERY * more
        };
        let allows = self.left > 0;
        self.left = self.left.saturating_sub(1);
        allows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_at_once_are_passed_on_and_then_as_many_as_time_allows() {
        let begun = Instant::now();
        let mut ration = Ration::full(begun);
        let mut passed = |from_ms: u64, to_ms: u64| {
            let at = |ms| begun + Duration::from_millis(ms);
            (from_ms..to_ms).filter(|ms| ration.allows(at(*ms))).count()
        };
        // One a millisecond: what comes meanwhile is passed on too.
        assert_eq!(passed(0, 40), 40);
        assert_eq!(passed(40, 1_000), 10 + 1_000 / 20 - 1);
        assert_eq!(passed(1_000, 2_000), 1_000 / 20);
        assert_eq!(passed(60_000, 60_040), 40, "after a rest");
    }
}
