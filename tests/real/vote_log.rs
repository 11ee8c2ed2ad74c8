//! Follows a vote account in the background and keeps what it showed in every block that was seen.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::chain::{Chain, OurVote};

/// Several looks a slot (400 ms), so that few blocks pass unseen.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What our vote account showed when a block was first seen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    pub(crate) at: Instant,
    pub(crate) vote: OurVote,
}

/// A running log. Dropping it stops it.
#[derive(Debug)]
pub(crate) struct VoteLog {
    seen: Arc<Mutex<BTreeMap<u64, Seen>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl VoteLog {
    pub(crate) fn start(chain: Chain) -> Self {
        let seen = Arc::new(Mutex::new(BTreeMap::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let thread = {
            let (seen, stop) = (Arc::clone(&seen), Arc::clone(&stop));
            std::thread::spawn(move || follow(&chain, &seen, &stop))
        };
        Self {
            seen,
            stop,
            thread: Some(thread),
        }
    }

    /// What was seen so far, by block.
    pub(crate) fn seen(&self) -> BTreeMap<u64, Seen> {
        self.seen
            .lock()
            .expect("the follower does not panic")
            .clone()
    }

    /// The longest time in which no new vote of ours showed, among those that ended after `since`.
    pub(crate) fn longest_silence_since(&self, since: Instant) -> Duration {
        let silences = self.silences().filter(|(ended, _)| *ended > since);
        silences.map(|(_, lasted)| lasted).max().unwrap_or_default()
    }

    /// The times between one new vote and the next: when each ended, and how long it was.
    fn silences(&self) -> impl Iterator<Item = (Instant, Duration)> {
        let mut times: BTreeMap<u64, Instant> = BTreeMap::new();
        for seen in self.seen().values() {
            times.entry(seen.vote.last_vote).or_insert(seen.at);
        }
        let next = times.clone().into_values().skip(1);
        let pairs = times.into_values().zip(next);
        pairs.map(|(before, at)| (at, at.duration_since(before)))
    }

    /// Every slot that was our last vote in some block, with the first block that showed it.
    ///
    /// A vote is missing here when two landed between two looks, or in one block.
    pub(crate) fn votes(&self) -> BTreeMap<u64, u64> {
        let mut votes = BTreeMap::new();
        for (block, seen) in self.seen() {
            votes.entry(seen.vote.last_vote).or_insert(block);
        }
        votes.remove(&0);
        votes
    }
}

impl Drop for VoteLog {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn follow(chain: &Chain, seen: &Mutex<BTreeMap<u64, Seen>>, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        if let Ok(vote) = chain.our_vote() {
            let at = Instant::now();
            let mut seen = seen.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            seen.entry(vote.chain_slot).or_insert(Seen { at, vote });
        }
        std::thread::sleep(LOOK_EVERY);
    }
}
