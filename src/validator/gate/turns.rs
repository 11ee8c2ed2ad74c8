//! Which of the gate's two threads listens to the child, and which commits.
//!
//! The thread that takes a vote commits it: no vote waits until another thread wakes up. The other one listens meanwhile, and
//! what comes to it then waits for the one that commits.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::{WAITING_MAX, lock};

#[derive(Debug)]
pub(super) struct Turns<Vote> {
    duties: Mutex<Duties<Vote>>,
    changed: Condvar,
}

#[derive(Debug)]
struct Duties<Vote> {
    somebody_listens: bool,
    somebody_commits: bool,
    waiting: VecDeque<Vote>,
    ended: bool,
}

/// What becomes of a vote that was taken.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Offered<Vote> {
    /// The thread that took it commits it, and listens no more.
    Own(Vote),
    /// The one that commits comes to it.
    Waits,
    /// Too many wait.
    Refused,
}

impl<Vote> Turns<Vote> {
    pub(super) fn new() -> Self {
        Self {
            duties: Mutex::new(Duties {
                somebody_listens: false,
                somebody_commits: false,
                waiting: VecDeque::with_capacity(WAITING_MAX),
                ended: false,
            }),
            changed: Condvar::new(),
        }
    }

    /// Waits until this thread is to listen. `false`: there is nothing to listen to any more.
    pub(super) fn await_listening(&self) -> bool {
        let duties = lock(&self.duties);
        let is_busy = |duties: &mut Duties<Vote>| duties.somebody_listens && !duties.ended;
        let waited = self.changed.wait_while(duties, is_busy);
        let mut duties = waited.unwrap_or_else(PoisonError::into_inner);
        duties.somebody_listens = true;
        !duties.ended
    }

    /// For the thread that listens, with a vote that it took.
    pub(super) fn offer(&self, vote: Vote) -> Offered<Vote> {
        let mut duties = lock(&self.duties);
        if !duties.somebody_commits {
            duties.somebody_commits = true;
            duties.somebody_listens = false;
            drop(duties);
            self.changed.notify_all();
            return Offered::Own(vote);
        }
        if duties.waiting.len() >= WAITING_MAX {
            return Offered::Refused;
        }
        duties.waiting.push_back(vote);
        drop(duties);
        self.changed.notify_all();
        Offered::Waits
    }

    /// For the thread that commits: the next vote that waits, or comes within that time.
    pub(super) fn next(&self, within: Duration) -> Option<Vote> {
        let is_idle = |duties: &mut Duties<Vote>| duties.waiting.is_empty();
        let waited = self
            .changed
            .wait_timeout_while(lock(&self.duties), within, is_idle);
        waited
            .unwrap_or_else(PoisonError::into_inner)
            .0
            .waiting
            .pop_front()
    }

    /// For the thread that commits: the next vote that waits, or the end of its turn.
    pub(super) fn next_or_end(&self) -> Option<Vote> {
        let mut duties = lock(&self.duties);
        let next = duties.waiting.pop_front();
        duties.somebody_commits = next.is_some();
        next
    }

    pub(super) fn somebody_commits(&self) -> bool {
        lock(&self.duties).somebody_commits
    }

    /// Nothing is listened to from here on.
    pub(super) fn end(&self) {
        lock(&self.duties).ended = true;
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::ZERO;
    const DEADLINE: Duration = Duration::from_secs(20);

    /// One thread listens and has taken the first vote.
    fn committing() -> Turns<usize> {
        let turns = Turns::new();
        assert!(turns.await_listening());
        assert_eq!(turns.offer(0), Offered::Own(0));
        assert!(turns.somebody_commits());
        turns
    }

    #[test]
    fn who_takes_a_vote_commits_it_and_the_other_one_listens() {
        let turns = Turns::new();
        assert!(turns.await_listening());
        std::thread::scope(|scope| {
            let other = scope.spawn(|| turns.await_listening());
            assert_eq!(turns.offer(0), Offered::Own(0));
            assert!(other.join().expect("the other one"));
        });
        assert_eq!(turns.offer(1), Offered::Waits, "one is committed at a time");
    }

    #[test]
    fn votes_that_come_meanwhile_go_to_the_one_that_commits_in_their_order() {
        let turns = committing();
        assert!(turns.await_listening());
        assert_eq!(turns.offer(1), Offered::Waits);
        assert_eq!(turns.offer(2), Offered::Waits);
        assert_eq!((turns.next(NOW), turns.next_or_end()), (Some(1), Some(2)));
        assert!(turns.somebody_commits());
        assert_eq!(turns.next_or_end(), None);
        assert!(!turns.somebody_commits());
        assert_eq!(turns.offer(3), Offered::Own(3));
    }

    #[test]
    fn the_one_that_commits_wakes_up_for_the_next_vote() {
        let turns = committing();
        std::thread::scope(|scope| {
            let next = scope.spawn(|| turns.next(DEADLINE));
            assert_eq!(turns.offer(1), Offered::Waits);
            assert_eq!(next.join().expect("the one that commits"), Some(1));
        });
    }

    #[test]
    fn no_more_wait_than_there_is_room_for() {
        let turns = committing();
        for vote in 1..=WAITING_MAX {
            assert_eq!(turns.offer(vote), Offered::Waits);
        }
        assert_eq!(turns.offer(0), Offered::Refused);
        assert_eq!(turns.next(NOW), Some(1));
        assert_eq!(turns.offer(0), Offered::Waits);
    }

    #[test]
    fn at_the_end_nobody_waits_to_listen_and_what_has_come_is_committed() {
        let turns = committing();
        assert!(turns.await_listening());
        assert_eq!(turns.offer(1), Offered::Waits);
        std::thread::scope(|scope| {
            let other = scope.spawn(|| turns.await_listening());
            turns.end();
            assert!(!other.join().expect("the other one"));
        });
        assert_eq!((turns.next(NOW), turns.next_or_end()), (Some(1), None));
    }
}
