//! Durations as people write them: a whole number and one unit.

use std::time::Duration;

/// Unit, and its length in milliseconds, longest first.
const UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];

/// Reads `5s`, `250ms`, `30m`, `1h` or `2d`. The error says what is wrong, without repeating the text.
pub fn parse(text: &str) -> Result<Duration, String> {
    let digits_end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, unit) = text.split_at(digits_end);
    if digits.is_empty() {
        return Err(format!("does not start with a whole number; {EXPECTED}"));
    }
    if unit.is_empty() {
        return Err(format!("has no unit; {EXPECTED}"));
    }
    let Some((_, unit_ms)) = UNITS.iter().find(|(name, _)| *name == unit) else {
        return Err(format!(
            "does not end in one of the units ms, s, m, h, d; {EXPECTED}"
        ));
    };
    digits
        .parse::<u64>()
        .ok()
        .and_then(|count| count.checked_mul(*unit_ms))
        .map(Duration::from_millis)
        .ok_or_else(|| "is too long a time".to_owned())
}

/// What the errors of this module ask for.
pub(super) const EXPECTED: &str =
    "write a whole number and a unit, such as \"250ms\", \"5s\" or \"1h\"";

/// Writes a duration in the longest unit that holds it exactly; anything below a millisecond is dropped.
pub fn show(duration: Duration) -> String {
    let ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if ms == 0 {
        return "0s".to_owned();
    }
    for (unit, unit_ms) in UNITS {
        if ms.is_multiple_of(unit_ms) {
            return format!("{}{unit}", ms / unit_ms);
        }
    }
    format!("{ms}ms")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_is_read_and_written_back() {
        for text in ["1ms", "250ms", "5s", "90s", "3m", "1h", "2d", "0s"] {
            assert_eq!(show(parse(text).unwrap()), text);
        }
        assert_eq!(parse("1500ms").unwrap(), Duration::from_millis(1500));
        assert_eq!(show(Duration::from_secs(3600)), "1h");
    }

    #[test]
    fn what_is_not_a_duration_is_refused_with_the_reason() {
        for (text, reason) in [
            ("", "does not start with a whole number"),
            ("s", "does not start with a whole number"),
            ("-5s", "does not start with a whole number"),
            ("5", "has no unit"),
            ("5 s", "does not end in one of the units"),
            ("1.5s", "does not end in one of the units"),
            ("5sec", "does not end in one of the units"),
            ("5S", "does not end in one of the units"),
            ("99999999999999999999s", "is too long a time"),
            ("999999999999999999d", "is too long a time"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.starts_with(reason), "{text:?}: {error}");
        }
    }
}
