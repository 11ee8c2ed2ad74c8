//! Points in time as the control socket carries them: RFC 3339 text in UTC, milliseconds inside.
//!
//! Never used to decide anything: these are wall-clock times for people, and may step.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

const DAY_S: i64 = 86_400;
/// Days of 400 Gregorian years, after which the calendar repeats.
const ERA_DAYS: i64 = 146_097;
/// Days from 0000-03-01 to 1970-01-01.
const EPOCH_FROM_MARCH_0_DAYS: i64 = 719_468;
/// 9999-12-31T23:59:59.999Z, the last time with a four-digit year.
const LAST_MS: u64 = 253_402_300_799_999;

/// Milliseconds since 1970-01-01T00:00:00Z, at most the end of the year 9999.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// `unix_ms`, or the last time that four digits of year can write if it is later.
    #[must_use]
    pub fn from_unix_ms(unix_ms: u64) -> Self {
        Self(unix_ms.min(LAST_MS))
    }

    /// The wall clock's time; 1970 when the clock is set before it.
    #[must_use]
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        Self::from_unix_ms(since.map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX)))
    }

    #[must_use]
    pub fn unix_ms(self) -> u64 {
        self.0
    }

    /// Whole seconds since 1970.
    #[must_use]
    pub fn unix_s(self) -> i64 {
        // At most LAST_MS / 1000, which fits.
        (self.0 / 1000) as i64
    }

    /// Time from `earlier` to `self`; zero when `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// `2026-01-02 03:04:05` at `offset_s` seconds east of UTC.
    #[must_use]
    pub fn clock_text(self, offset_s: i32) -> String {
        let c = Civil::of(self.unix_s() + i64::from(offset_s));
        format!("{} {}", c.date(), c.time())
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let c = Civil::of(self.unix_s());
        write!(f, "{}T{}.{:03}Z", c.date(), c.time(), self.0 % 1000)
    }
}

/// A text that is not a time as [`Timestamp`] writes it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a UTC time such as 2026-01-02T03:04:05.678Z")]
pub struct NotATimestamp(String);

impl std::str::FromStr for Timestamp {
    type Err = NotATimestamp;

    fn from_str(text: &str) -> Result<Self, NotATimestamp> {
        parse(text).ok_or_else(|| NotATimestamp(text.chars().take(40).collect()))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// A second of the Gregorian calendar.
struct Civil {
    year: i64,
    month: i64,
    day: i64,
    second_of_day: i64,
}

impl Civil {
    /// Counts from March, so that the leap day ends the year and month lengths follow one line.
    fn of(unix_s: i64) -> Self {
        let days = unix_s.div_euclid(DAY_S) + EPOCH_FROM_MARCH_0_DAYS;
        let era = days.div_euclid(ERA_DAYS);
        let day_of_era = days.rem_euclid(ERA_DAYS);
        let year_of_era =
            (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let month = (month_from_march + 2) % 12 + 1;
        Self {
            year: era * 400 + year_of_era + i64::from(month <= 2),
            month,
            day: day_of_year - (153 * month_from_march + 2) / 5 + 1,
            second_of_day: unix_s.rem_euclid(DAY_S),
        }
    }

    fn unix_s(&self) -> i64 {
        let year = self.year - i64::from(self.month <= 2);
        let month_from_march = (self.month + 9) % 12;
        let day_of_year = (153 * month_from_march + 2) / 5 + self.day - 1;
        let year_of_era = year.rem_euclid(400);
        let day_of_era = 365 * year_of_era + year_of_era / 4 - year_of_era / 100 + day_of_year;
        let days = year.div_euclid(400) * ERA_DAYS + day_of_era - EPOCH_FROM_MARCH_0_DAYS;
        days * DAY_S + self.second_of_day
    }

    fn date(&self) -> String {
        format!("{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }

    fn time(&self) -> String {
        let s = self.second_of_day;
        format!("{:02}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60)
    }
}

/// Exactly the form that `Display` writes; the fraction may be absent.
fn parse(text: &str) -> Option<Timestamp> {
    let text = text.strip_suffix('Z')?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "000"));
    if whole.len() != 19 || fraction.len() != 3 {
        return None;
    }
    for (at, mark) in [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')] {
        if whole.as_bytes()[at] != mark {
            return None;
        }
    }
    let (hour, minute, second) = (
        digits(whole, 11, 13)?,
        digits(whole, 14, 16)?,
        digits(whole, 17, 19)?,
    );
    let civil = Civil {
        year: digits(whole, 0, 4)?,
        month: digits(whole, 5, 7)?,
        day: digits(whole, 8, 10)?,
        second_of_day: hour * 3600 + minute * 60 + second,
    };
    let unix_s = civil.unix_s();
    // Writing it again refuses what the calendar does not have, such as the 31st of April.
    let back = Civil::of(unix_s);
    let exact = hour < 24 && minute < 60 && second < 60;
    if !exact || back.date() != civil.date() {
        return None;
    }
    let unix_ms =
        u64::try_from(unix_s).ok()? * 1000 + u64::try_from(digits(fraction, 0, 3)?).ok()?;
    Some(Timestamp(unix_ms))
}

fn digits(text: &str, from: usize, to: usize) -> Option<i64> {
    let part = text.get(from..to)?;
    let all = part.bytes().all(|b| b.is_ascii_digit());
    if all { part.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_times_are_written_as_rfc_3339() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_709_164_799_999, "2024-02-28T23:59:59.999Z"),
            (1_772_323_200_001, "2026-03-01T00:00:00.001Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (LAST_MS, "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(Timestamp::from_unix_ms(ms).to_string(), text);
            assert_eq!(text.parse(), Ok(Timestamp(ms)));
        }
    }

    #[test]
    fn every_day_of_five_centuries_comes_back_from_its_text() {
        for day in 0..182_621 {
            let time = Timestamp(day * 86_400_000 + day % 86_400_000);
            assert_eq!(time.to_string().parse(), Ok(time));
        }
    }

    #[test]
    fn what_is_not_a_time_is_refused_and_quoted_in_part() {
        for text in [
            "",
            "Z",
            "2026-01-02",
            "2026-01-02T03:04:05",
            "2026-02-29T00:00:00.000Z",
            "2026-13-01T00:00:00.000Z",
            "2026-00-10T00:00:00.000Z",
            "2026-01-00T00:00:00.000Z",
            "2026-01-02T24:00:00.000Z",
            "2026-01-02T03:60:05.000Z",
            "2026-01-02T03:04:60.000Z",
            "2026-01-02T03:04:05.1Z",
            "+026-01-02T03:04:05.000Z",
            "2026-01-02 03:04:05.000Z",
            "1969-12-31T23:59:59.000Z",
            "é026-01-02T03:04:5.000Z",
        ] {
            assert!(text.parse::<Timestamp>().is_err(), "{text}");
        }
        let error = "x".repeat(1000).parse::<Timestamp>().unwrap_err();
        assert!(error.to_string().len() < 120);
    }

    #[test]
    fn clock_text_follows_the_offset_over_a_day_boundary() {
        let time = Timestamp::from_unix_ms(1_772_323_200_000);
        assert_eq!(time.clock_text(0), "2026-03-01 00:00:00");
        assert_eq!(time.clock_text(-5 * 3600), "2026-02-28 19:00:00");
        assert_eq!(time.clock_text(19_800), "2026-03-01 05:30:00");
        assert_eq!(Timestamp(0).clock_text(-3600), "1969-12-31 23:00:00");
    }
}
