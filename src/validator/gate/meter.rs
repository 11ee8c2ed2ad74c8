//! Counters of the gate, written by its threads and read by anyone without a lock.
//!
//! Latencies go into buckets of about 6 % width, so that p50 and p99 cost one addition a vote.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicU32, AtomicU64};
use std::time::{Duration, Instant};

use super::GateId;

/// Sixteen buckets per doubling, from 1 µs to over an hour.
const PER_DOUBLING_LOG2: u32 = 4;
const BUCKETS: usize = 33 << PER_DOUBLING_LOG2;
/// The daemon's loop turns at least every half second.
const LOOP_HANGS_MS: u64 = 3_000;
/// What no loop has stamped yet.
const NEVER: u64 = u64::MAX;

/// What the gate has done since it was made.
#[derive(Debug)]
pub struct Meter {
    commits: AtomicU64,
    refused: AtomicU64,
    waiting: AtomicU32,
    latency_us_max: AtomicU64,
    buckets: Box<[AtomicU32]>,
    born: Instant,
    gates: AtomicU64,
    /// The last arrival or answer of a vote. Milliseconds after `born`, as all that follow.
    moved_ms: AtomicU64,
    receiver_seen_ms: AtomicU64,
    committer_seen_ms: AtomicU64,
    /// [`NEVER`] where no loop belongs to the gate.
    loop_seen_ms: AtomicU64,
}

/// A reading of the meter. Latencies in microseconds, from the validator's call to its answer; `None` before the first vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    pub commits: u64,
    pub refused: u64,
    pub waiting: u32,
    pub p50_us: Option<u64>,
    pub p99_us: Option<u64>,
    pub max_us: Option<u64>,
}

impl Default for Meter {
    fn default() -> Self {
        Self {
            commits: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            waiting: AtomicU32::new(0),
            latency_us_max: AtomicU64::new(0),
            buckets: (0..BUCKETS).map(|_| AtomicU32::new(0)).collect(),
            born: Instant::now(),
            gates: AtomicU64::new(0),
            moved_ms: AtomicU64::new(0),
            receiver_seen_ms: AtomicU64::new(0),
            committer_seen_ms: AtomicU64::new(0),
            loop_seen_ms: AtomicU64::new(NEVER),
        }
    }
}

impl Meter {
    pub(super) fn arrived(&self) {
        self.waiting.fetch_add(1, Relaxed);
        self.moved_ms.store(self.now_ms(), Relaxed);
    }

    pub(super) fn committed(&self, latency: Duration) {
        let us = latency.as_micros() as u64;
        self.answered();
        self.commits.fetch_add(1, Relaxed);
        self.latency_us_max.fetch_max(us, Relaxed);
        self.buckets[bucket(us)].fetch_add(1, Relaxed);
    }

    pub(super) fn refused(&self) {
        self.answered();
        self.refused.fetch_add(1, Relaxed);
    }

    /// A vote has left that had nothing to commit.
    pub(super) fn passed(&self) {
        self.answered();
    }

    /// Whoever sees that it does not wait any more also sees when it was answered.
    fn answered(&self) {
        self.moved_ms.store(self.now_ms(), Relaxed);
        self.waiting.fetch_sub(1, Release);
    }

    pub(super) fn next_gate(&self) -> GateId {
        GateId(self.gates.fetch_add(1, Relaxed))
    }

    /// The daemon's loop has turned. From the first call on, no vote leaves while three seconds have passed since the last.
    pub fn loop_is_alive(&self) {
        self.loop_seen_ms.store(self.now_ms(), Relaxed);
    }

    /// Whether at `at` the daemon's loop had not turned for too long. One atomic load: every vote asks.
    pub(super) fn loop_hangs(&self, at: Instant) -> bool {
        let seen = self.loop_seen_ms.load(Relaxed);
        let at_ms = at.saturating_duration_since(self.born).as_millis() as u64;
        at_ms > seen.saturating_add(LOOP_HANGS_MS)
    }

    /// A meter made that long ago, all of whose clocks stand at its making.
    #[cfg(test)]
    pub(super) fn aged(age: Duration) -> Option<Self> {
        Some(Self {
            born: Instant::now().checked_sub(age)?,
            ..Self::default()
        })
    }

    /// When the meter was made, that is.
    #[cfg(test)]
    pub(super) fn loop_was_alive_long_ago(&self) {
        self.loop_seen_ms.store(0, Relaxed);
    }

    pub(super) fn receiver_is_alive(&self) {
        self.receiver_seen_ms.store(self.now_ms(), Relaxed);
    }

    pub(super) fn committer_is_alive(&self) {
        self.committer_seen_ms.store(self.now_ms(), Relaxed);
    }

    /// Votes that wait for their commit.
    #[must_use]
    pub fn waiting(&self) -> u32 {
        self.waiting.load(Acquire)
    }

    /// How long no vote has come and none was answered: one that was just let go has still to be sent.
    #[must_use]
    pub fn silence(&self) -> Duration {
        self.since(&self.moved_ms)
    }

    /// How long there was no sign of life from whoever listens, or from whoever commits: the longer of the two.
    #[must_use]
    pub fn stalled(&self) -> Duration {
        self.since(&self.receiver_seen_ms)
            .max(self.since(&self.committer_seen_ms))
    }

    /// Everything at once.
    #[must_use]
    pub fn read(&self) -> Reading {
        let counts: Vec<u64> = self
            .buckets
            .iter()
            .map(|count| u64::from(count.load(Relaxed)))
            .collect();
        let total: u64 = counts.iter().sum();
        let max_us = (total > 0).then(|| self.latency_us_max.load(Relaxed));
        let quantile = |percent| Some(quantile_us(&counts, total, percent)?.min(max_us?));
        Reading {
            commits: self.commits.load(Relaxed),
            refused: self.refused.load(Relaxed),
            waiting: self.waiting(),
            p50_us: quantile(50),
            p99_us: quantile(99),
            max_us,
        }
    }

    fn now_ms(&self) -> u64 {
        self.born.elapsed().as_millis() as u64
    }

    fn since(&self, at_ms: &AtomicU64) -> Duration {
        Duration::from_millis(self.now_ms().saturating_sub(at_ms.load(Relaxed)))
    }
}

/// Exact below 16 µs, then sixteen buckets per doubling.
fn bucket(us: u64) -> usize {
    let us = us.max(1);
    let doubling = us.ilog2();
    if doubling < PER_DOUBLING_LOG2 {
        return us as usize;
    }
    let fine = (us >> (doubling - PER_DOUBLING_LOG2)) & 0xf;
    let index = ((doubling - PER_DOUBLING_LOG2 + 1) << PER_DOUBLING_LOG2) as usize + fine as usize;
    index.min(BUCKETS - 1)
}

/// The largest latency that falls into a bucket.
fn upper_us(bucket: usize) -> u64 {
    let doubling = (bucket >> PER_DOUBLING_LOG2) as u32;
    if doubling == 0 {
        return bucket as u64;
    }
    let fine = (bucket & 0xf) as u64;
    ((16 + fine + 1) << (doubling - 1)) - 1
}

fn quantile_us(counts: &[u64], total: u64, percent: u64) -> Option<u64> {
    let rank = (total * percent).div_ceil(100).max(1);
    let mut seen = 0;
    counts
        .iter()
        .position(|count| {
            seen += count;
            seen >= rank
        })
        .filter(|_| total > 0)
        .map(upper_us)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_latency_falls_into_a_bucket_that_covers_it_closely() {
        for us in (1..100_000).chain([1 << 30, 1 << 33]) {
            let upper = upper_us(bucket(us));
            assert!(
                upper >= us && upper <= us + us / 15 + 1,
                "{us} is counted as {upper}"
            );
        }
    }

    #[test]
    fn nothing_is_known_before_the_first_vote() {
        let reading = Meter::default().read();
        assert_eq!(
            (reading.p50_us, reading.p99_us, reading.max_us),
            (None, None, None)
        );
    }

    #[test]
    fn silence_counts_from_the_answer_of_a_vote_that_waited_long() {
        let answers: [fn(&Meter); 3] = [
            |meter| meter.committed(Duration::from_secs(9)),
            Meter::refused,
            Meter::passed,
        ];
        for answer in answers {
            let meter = Meter::aged(Duration::from_secs(9)).expect("a clock");
            meter.arrived();
            meter.moved_ms.store(0, Relaxed);
            assert!(meter.silence() >= Duration::from_secs(9));
            answer(&meter);
            assert_eq!(meter.waiting(), 0);
            assert!(
                meter.silence() < Duration::from_secs(8),
                "{:?}",
                meter.silence()
            );
        }
    }

    #[test]
    fn a_loop_hangs_three_seconds_after_its_last_turn_and_one_that_never_turned_is_none() {
        let meter = Meter::default();
        let after = |ms| meter.born + Duration::from_millis(ms);
        assert!(!meter.loop_hangs(after(1 << 40)));
        meter.loop_seen_ms.store(500, Relaxed);
        assert!(!meter.loop_hangs(after(3_500)));
        assert!(meter.loop_hangs(after(3_501)));
    }

    #[test]
    fn either_thread_that_shows_no_sign_of_life_is_a_stall() {
        let shows: [fn(&Meter); 2] = [Meter::receiver_is_alive, Meter::committer_is_alive];
        for show in shows {
            let meter = Meter::aged(Duration::from_secs(9)).expect("a clock");
            show(&meter);
            assert!(meter.stalled() >= Duration::from_secs(9));
        }
        let meter = Meter::aged(Duration::from_secs(9)).expect("a clock");
        shows.iter().for_each(|show| show(&meter));
        assert!(meter.stalled() < Duration::from_secs(8));
    }

    #[test]
    fn quantiles_are_those_of_the_votes() {
        let meter = Meter::default();
        for us in 1..=100 {
            meter.arrived();
            meter.committed(Duration::from_micros(us * 10));
        }
        let reading = meter.read();
        assert_eq!(reading.commits, 100);
        assert_eq!(reading.waiting, 0);
        assert!(
            reading.p50_us.is_some_and(|us| (500..=535).contains(&us)),
            "{reading:?}"
        );
        assert!(
            reading.p99_us.is_some_and(|us| (990..=1000).contains(&us)),
            "{reading:?}"
        );
        assert_eq!(reading.max_us, Some(1000));
    }
}
