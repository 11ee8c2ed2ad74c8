//! Who moves on: each of the cluster's RPCs since the validator itself last did. Pure; the time is an argument.

use std::time::{Duration, Instant};

/// An RPC that has shown no new slot for this long moves no more. Two leaders in a row that produce nothing take 3.2 s.
const MOVES_WITHIN: Duration = Duration::from_secs(4);

/// Slots as they were told, round after round.
#[derive(Debug)]
pub(super) struct Progress {
    own: Option<u64>,
    others: Vec<Other>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Other {
    /// The highest slot it ever told of; several machines may answer under one URL, some of them behind.
    newest: Option<u64>,
    /// The same when the validator last moved.
    then: Option<u64>,
    moved_at: Option<Instant>,
}

impl Progress {
    pub(super) fn new(others: usize) -> Self {
        Self {
            own: None,
            others: vec![Other::default(); others],
        }
    }

    /// Takes in one round. Says whether the validator has moved since the last one; `None` where it is not known.
    pub(super) fn round(
        &mut self,
        now: Instant,
        own: Option<u64>,
        told: &[Option<u64>],
    ) -> Option<bool> {
        let own_moved = own.map(|slot| self.own.is_none_or(|before| slot > before));
        self.own = self.own.max(own);
        for (other, told) in self.others.iter_mut().zip(told) {
            other.hear(now, *told);
            // One that is silent while the validator moves starts from its next answer.
            if own_moved == Some(true) || other.then.is_none() {
                other.then = told.and(other.newest);
            }
        }
        own_moved
    }

    /// How many have moved since the validator last did, and have not come to a stand since.
    pub(super) fn advancing(&self, now: Instant) -> u32 {
        let moves = |other: &&Other| {
            let lately = |at: Instant| now.duration_since(at) <= MOVES_WITHIN;
            other.then.is_some() && other.newest > other.then && other.moved_at.is_some_and(lately)
        };
        u32::try_from(self.others.iter().filter(moves).count()).unwrap_or(u32::MAX)
    }
}

impl Other {
    fn hear(&mut self, now: Instant, told: Option<u64>) {
        if told > self.newest {
            self.moved_at = self.newest.map(|_| now);
            self.newest = told;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Own slot, the others' slots, and who is said to advance.
    type Round = (Option<u64>, [Option<u64>; 2], (Option<bool>, u32));

    /// Rounds half a second apart.
    #[track_caller]
    fn rounds(rounds: &[Round]) {
        let mut progress = Progress::new(2);
        let mut now = Instant::now();
        for (number, (own, told, expected)) in rounds.iter().enumerate() {
            let own_moved = progress.round(now, *own, told);
            assert_eq!(
                (own_moved, progress.advancing(now)),
                *expected,
                "round {number}"
            );
            now += Duration::from_millis(500);
        }
    }

    #[test]
    fn others_that_go_on_while_the_validator_stands_advance_in_every_round() {
        rounds(&[
            (Some(10), [Some(10), Some(10)], (Some(true), 0)),
            (Some(11), [Some(11), Some(12)], (Some(true), 0)),
            (Some(11), [Some(12), Some(13)], (Some(false), 2)),
            // Longer than a round without a new slot.
            (Some(11), [Some(12), Some(13)], (Some(false), 2)),
            (Some(11), [Some(14), None], (Some(false), 2)),
            (Some(12), [Some(14), Some(14)], (Some(true), 0)),
        ]);
    }

    #[test]
    fn where_everybody_stands_nobody_advances() {
        rounds(&[(Some(10), [Some(11), Some(10)], (Some(true), 0)); 1]);
        let standing = (Some(11), [Some(11), Some(11)], (Some(false), 0));
        rounds(&[
            (Some(11), [Some(11), Some(11)], (Some(true), 0)),
            standing,
            standing,
        ]);
    }

    #[test]
    fn others_that_came_to_a_stand_one_slot_ahead_advance_no_more() {
        let mut progress = Progress::new(1);
        let begin = Instant::now();
        progress.round(begin, Some(10), &[Some(10)]);
        let told = [Some(11)];
        progress.round(begin + Duration::from_millis(500), Some(10), &told);
        assert_eq!(progress.advancing(begin + Duration::from_millis(4_500)), 1);
        assert_eq!(progress.advancing(begin + Duration::from_millis(4_501)), 0);
    }

    #[test]
    fn an_answer_after_a_silence_and_an_older_one_are_no_advance() {
        rounds(&[
            (Some(10), [Some(10), Some(10)], (Some(true), 0)),
            (Some(12), [None, Some(12)], (Some(true), 0)),
            (Some(12), [Some(12), Some(11)], (Some(false), 0)),
            (Some(12), [Some(13), Some(12)], (Some(false), 1)),
        ]);
    }

    #[test]
    fn of_a_validator_that_says_nothing_nothing_is_said() {
        rounds(&[
            (Some(10), [Some(10), Some(10)], (Some(true), 0)),
            (None, [Some(11), Some(11)], (None, 2)),
        ]);
    }
}
