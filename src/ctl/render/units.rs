//! Spans of time for people: two units at most, never more digits than mean something.

use std::time::Duration;

/// `0.4s`, `12s`, `3m 12s`, `3h 12m`, `5d 3h`.
pub(super) fn span(duration: Duration) -> String {
    let s = duration.as_secs();
    match s {
        0..10 => format!("{s}.{}s", duration.subsec_millis() / 100),
        10..60 => format!("{s}s"),
        60..3600 => format!("{}m {}s", s / 60, s % 60),
        3600..86_400 => format!("{}h {}m", s / 3600, s / 60 % 60),
        _ => format!("{}d {}h", s / 86_400, s / 3600 % 24),
    }
}

pub(super) fn span_ms(ms: u64) -> String {
    span(Duration::from_millis(ms))
}

/// `380us`, `1.9ms`, `12ms`, `1.2s`.
pub(super) fn latency(us: u64) -> String {
    match us {
        0..1000 => format!("{us}us"),
        1000..10_000 => format!("{}.{}ms", us / 1000, us / 100 % 10),
        10_000..1_000_000 => format!("{}ms", us / 1000),
        _ => format!("{}.{}s", us / 1_000_000, us / 100_000 % 10),
    }
}

/// `1 vote`, `2 votes`.
pub(super) fn count(n: u64, thing: &str) -> String {
    let plural = if n == 1 { "" } else { "s" };
    format!("{n} {thing}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_change_their_units_at_the_right_moments() {
        for (ms, text) in [
            (0, "0.0s"),
            (449, "0.4s"),
            (9_999, "9.9s"),
            (10_000, "10s"),
            (59_999, "59s"),
            (60_000, "1m 0s"),
            (3_599_999, "59m 59s"),
            (3_600_000, "1h 0m"),
            (86_399_999, "23h 59m"),
            (86_400_000, "1d 0h"),
        ] {
            assert_eq!(span_ms(ms), text);
        }
        span_ms(u64::MAX);
    }

    #[test]
    fn latencies_keep_two_digits() {
        for (us, text) in [
            (0, "0us"),
            (999, "999us"),
            (1999, "1.9ms"),
            (12_400, "12ms"),
            (999_999, "999ms"),
            (1_250_000, "1.2s"),
        ] {
            assert_eq!(latency(us), text);
        }
    }
}
