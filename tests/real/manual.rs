//! The published manual procedure on the same two validators, without supervisors: a wait for a stretch without leader slots, the
//! identity off here, the record copied, the identity on there with the record required. Beside the handovers of `handover`, by the
//! same count; and what it misses: a vote that the first one still stores after its record was copied.

use std::fs;
use std::time::{Duration, Instant};

use crate::admin;
use crate::handover::{WINDOW, asked_times};
use crate::node::Node;
use crate::pair::{Pair, VOTES_WITHIN};
use crate::until::until;

const CAUGHT_UP_SLOTS: u64 = 4;
const STARTED_WITHIN: Duration = Duration::from_secs(180);
/// As a handover waits for.
const CLEAR_SLOTS: u64 = 12;
/// Many times what it takes.
const VOTES_AGAIN_WITHIN_MS: u64 = 30_000;
/// Slots after which a vote that was under way is stored.
const STRAGGLES_FOR: u64 = 4;

struct Moved {
    without: usize,
    straggled: bool,
    took: Duration,
    /// It has not voted since, and is restarted: agave-votor 4.2 ends its voting thread where it loads a vote history whose root is above
    /// its own.
    lost: bool,
}

/// As often as `HANDOVERS` says: it shows what others do.
pub(crate) fn there_and_back(pair: &mut Pair<'_>) {
    let times = asked_times().unwrap_or(1);
    pair.stop();
    let [from, to] = [pair.active().node.clone(), pair.standby().node.clone()];
    from.point_link_at(&from.staked.path);
    to.point_link_at(&to.unstaked.path);
    let nodes = [&from, &to];
    let mut validators = nodes.map(|node| pair.cluster.start_bare(node));
    pair.await_votes();
    let mut moved = Vec::new();
    for turn in 0..2 * times {
        let (from, to) = (turn % 2, 1 - turn % 2);
        let one = move_by_hand(pair, nodes[from], nodes[to]);
        if one.lost {
            validators[to].signal(libc::SIGKILL);
            validators[to].wait(VOTES_WITHIN);
            validators[to] = pair.cluster.start_bare(nodes[to]);
            pair.await_votes();
        }
        moved.push(one);
    }
    let mut without: Vec<usize> = moved.iter().map(|moved| moved.without).collect();
    let lost = without.clone();
    without.sort_unstable();
    let mut took: Vec<Duration> = moved.iter().map(|moved| moved.took).collect();
    took.sort_unstable();
    let losses = moved.iter().filter(|moved| moved.lost).count();
    let stragglers = moved.iter().filter(|moved| moved.straggled).count();
    pair.say(&format!(
        "{} moves by hand: slots without a vote, median {} and worst {} of {WINDOW} each ({lost:?}); {stragglers} with a vote stored after the \
         record was copied, {losses} that cost the validator; the commands took {:.2?} in the median",
        moved.len(),
        without[without.len() / 2],
        without[without.len() - 1],
        took[took.len() / 2],
    ));
}

fn move_by_hand(pair: &mut Pair<'_>, from: &Node, to: &Node) -> Moved {
    let protocol = pair.cluster.protocol;
    until("the other one is at the tip", STARTED_WITHIN, || {
        let there = to.rpc().processed_slot().ok()?;
        let tip = pair.chain.slot().ok()?;
        (admin::has_started(to.ledger()) && there + CAUGHT_UP_SLOTS >= tip).then_some(())
    });
    let calm = pair.score.now().slot;
    pair.chain.wait_for_slot(calm + WINDOW, VOTES_WITHIN);
    until("a stretch without leader slots", VOTES_WITHIN, || {
        let is_clear = pair.chain.is_clear_of(&from.staked.pubkey, CLEAR_SLOTS);
        is_clear.then_some(())
    });
    let (begun, at) = (pair.score.now().slot, Instant::now());
    admin::set_identity(from.ledger(), &from.unstaked.path, protocol, false)
        .expect("the identity off");
    from.point_link_at(&from.unstaked.path);
    let record = from.record_file().expect("a record");
    let name = record.file_name().expect("its name").to_owned();
    fs::copy(&record, to.ledger().join(name)).expect("the record copied");
    let copied = to.last_recorded_slot();
    admin::set_identity(to.ledger(), &to.staked.path, protocol, true).expect("the identity on");
    to.point_link_at(&to.staked.path);
    let took = at.elapsed();
    pair.chain
        .wait_for_slot(begun + STRAGGLES_FOR, VOTES_WITHIN);
    let straggled = from.last_recorded_slot() > copied;
    pair.chain.wait_for_slot(begun + WINDOW, VOTES_WITHIN);
    let (_, without) = pair.score.without_vote(begun + 1, begun + WINDOW);
    let since = pair.score.now().slot;
    let votes = || {
        let last = pair.chain.our_last_vote();
        last.is_ok_and(|slot| slot >= since)
    };
    Moved {
        without: without.len(),
        straggled,
        took,
        lost: !testkit::stand_in::until(VOTES_AGAIN_WITHIN_MS, votes),
    }
}
