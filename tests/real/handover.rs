//! Planned handovers between two supervised validators, one after the other: slots without a vote of ours from the mute on, and in as
//! many before it, for a machine at its limit loses slots too.

use std::os::unix::fs::MetadataExt as _;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::time::{ClockId, clock_gettime};
use testkit::flight::{Flight, Step, by_name};

use crate::genesis::Protocol;
use crate::node::Node;
use crate::pair::{Pair, VOTES_WITHIN, status, votes_of};

/// There and as often back. One shows that it works; `HANDOVERS=20` measures it.
const TIMES: usize = 1;
/// Slots that are looked at from a handover on, and as many before the next one.
pub(crate) const WINDOW: u64 = 10;
/// So many each way are a measurement, and have to reach the targets.
const MEASURED: usize = 10;
/// Slots that one leader has in a row.
const LEADER_WINDOW: usize = 4;
/// How a supervisor refuses where the other validator lags, and how often one after the other it may.
const LAGS: &str = "slots behind";
const REFUSALS_MAX: u32 = 1;
/// Of a measurement no more than one in so many.
const REFUSALS_ONE_OF: usize = 10;
/// Between the clock of files and the one that steps are counted on.
const CLOCK_MS: u64 = 10;

struct Handover {
    /// The last slot before the voter was taken from the validator. The command may have waited long, for leader slots to pass.
    begun: u64,
    waited: Duration,
    took: Duration,
    /// How often it was refused before, because the other validator lagged.
    refusals: u32,
    /// Of the node that handed over, and of the other one.
    steps: [Vec<Step>; 2],
}

/// How often each way, where somebody wants to measure it.
pub(crate) fn asked_times() -> Option<usize> {
    std::env::var("HANDOVERS").ok()?.parse().ok()
}

pub(crate) fn there_and_back(pair: &mut Pair<'_>) {
    let times = asked_times().unwrap_or(TIMES);
    let restarts = restarts(pair);
    let done: Vec<Handover> = (0..2 * times).map(|_| hand_over(pair)).collect();
    pair.await_votes();
    assert_eq!(
        self::restarts(pair),
        restarts,
        "a handover cost a validator"
    );
    let [mut with, mut calm, mut own] = [Vec::new(), Vec::new(), Vec::new()];
    for Handover { begun, .. } in &done {
        let (from, to) = (begun + 1, begun + WINDOW);
        let without = pair.score.without_vote(from, to).1;
        with.push(without.len());
        if let Some((_, cluster)) = pair.score.without_vote_of_untouched(from, to) {
            let own_alone = without.iter().filter(|slot| !cluster.contains(slot));
            own.push(own_alone.count());
        }
        calm.push(pair.score.without_vote(from - WINDOW, *begun).1.len());
    }
    let mut took: Vec<Duration> = done.iter().map(|done| done.took).collect();
    took.sort_unstable();
    let lost = with.clone();
    for counts in [&mut with, &mut calm, &mut own] {
        counts.sort_unstable();
    }
    let refusals: u32 = done.iter().map(|done| done.refusals).sum();
    assert!(
        times < MEASURED || refusals as usize * REFUSALS_ONE_OF <= done.len(),
        "{refusals} were refused, because the other validator lagged"
    );
    let alone = match &own[..] {
        [.., worst] => format!(
            ", of which a validator that nobody touched did not lose {} and {worst}",
            own[own.len() / 2]
        ),
        [] => String::new(),
    };
    pair.say(&format!(
        "{} handovers, none of which cost a validator or a late vote: slots without a vote, median {} and worst {} of {WINDOW} each \
         ({lost:?}){alone}; {refusals} refused at first, because the other validator lagged; in as many stretches without a handover, median {} and worst {}; the command took {:.2?} \
         in the median, {:.2?} at worst",
        done.len(),
        with[with.len() / 2],
        with[with.len() - 1],
        calm[calm.len() / 2],
        calm[calm.len() - 1],
        took[took.len() / 2],
        took[took.len() - 1],
    ));
    for (at, whose) in ["from", "to"].into_iter().enumerate() {
        let steps: Vec<Step> = done
            .iter()
            .flat_map(|done| done.steps[at].clone())
            .collect();
        let steps = by_name(&steps).into_iter().map(|(name, took)| {
            let (median, slowest) = (took[took.len() / 2], took[took.len() - 1]);
            format!("{name} {median} (at worst {slowest})")
        });
        let steps: Vec<String> = steps.collect();
        pair.say(&format!("{whose}, in ms: {}", steps.join(", ")));
    }
    for handover in &done {
        tell_loss(pair, handover);
    }
    if times >= MEASURED {
        expect_targets(pair.cluster.protocol, &with, &own);
    }
}

/// What the handovers are to reach, sorted counts of slots without a vote. In Alpenglow, of those that a validator nobody touched did not
/// lose as well: a busy machine loses some in any stretch.
fn expect_targets(protocol: Protocol, with: &[usize], own: &[usize]) {
    let (counts, worst) = match protocol {
        Protocol::TowerBft => (with, 1),
        Protocol::Alpenglow => (own, LEADER_WINDOW),
    };
    let (median, most) = (counts[counts.len() / 2], counts[counts.len() - 1]);
    assert!(
        median == 0 && most <= worst,
        "{protocol:?}: median {median} and worst {most} slots without a vote; 0 and {worst} are allowed"
    );
}

/// Of one that lost slots: which, and whether it lost them.
fn tell_loss(pair: &mut Pair<'_>, handover: &Handover) {
    let Handover {
        begun,
        waited,
        took,
        steps,
        ..
    } = handover;
    let (from, to) = (begun + 1, begun + WINDOW);
    let (_, without) = pair.score.without_vote(from, to);
    if without.is_empty() {
        return;
    }
    let untouched = match pair.score.without_vote_of_untouched(from, to) {
        Some((looked_at, without)) => {
            format!("; a validator that nobody touched has none in {without:?} of {looked_at}")
        }
        None => String::new(),
    };
    let steps = steps.iter().flatten();
    let steps: Vec<String> = steps
        .map(|step| format!("{} {}", step.name, step.took_ms()))
        .collect();
    pair.say(&format!(
        "the handover after slot {begun} took {took:.2?}, {waited:.2?} of it before it began: no vote in {without:?}{untouched}; in ms: {}",
        steps.join(", ")
    ));
}

fn hand_over(pair: &mut Pair<'_>) -> Handover {
    hand_over_when_ready(pair, REFUSALS_MAX)
}

fn hand_over_when_ready(pair: &mut Pair<'_>, patience: u32) -> Handover {
    pair.await_standby();
    let calm = pair.score.now().slot;
    pair.chain.wait_for_slot(calm + WINDOW, VOTES_WITHIN);
    let mut flights = [pair.active(), pair.standby()].map(|node| Flight::of(&node.state_dir()));
    let (asked, asked_ms) = (Instant::now(), ms_since_boot());
    if let Err(refusal) = pair.active().may(&["handover"]) {
        // Four validators on a small machine stand still for seconds now and then, and nothing is handed to one that lags.
        assert!(refusal.contains(LAGS) && patience > 0, "{refusal}");
        pair.say(&format!("not now: {}", refusal.trim_end()));
        return hand_over_when_ready(pair, patience - 1);
    }
    let took = asked.elapsed();
    let votes = votes_of(pair.active());
    pair.active = 1 - pair.active;
    let over = pair.score.now().slot;
    pair.chain.wait_for_slot(over + WINDOW, VOTES_WITHIN);
    assert_eq!(status(pair.active())["role"], "active");
    assert_eq!(votes_of(pair.standby()), votes, "a vote after the handover");
    let steps = flights.each_mut().map(Flight::steps);
    let begun_ms = |name: &str| {
        let step = steps[0].iter().find(|step| step.name == name);
        step.expect("the step in the flight recorder").from_ms
    };
    // What a move by hand misses: stored after the record was taken to the other node.
    let stored_ms = stored_ms(&pair.standby().node);
    let passed_ms = begun_ms("pass the term");
    assert!(
        stored_ms <= passed_ms + CLOCK_MS,
        "a vote stored {} ms after the record was final",
        stored_ms - passed_ms
    );
    let waited = Duration::from_millis(begun_ms("mute").saturating_sub(asked_ms));
    Handover {
        // Of the newest block the vote may not have left yet.
        begun: pair.score.slot_at(asked + waited).saturating_sub(1),
        waited,
        took,
        refusals: REFUSALS_MAX - patience,
        steps,
    }
}

/// When this node's validator stored its record last, on the clock of [`ms_since_boot`]: its rename is what changed the file's inode.
fn stored_ms(node: &Node) -> u64 {
    let file = node.record_file().expect("a record");
    let changed = std::fs::metadata(file).expect("the record's file");
    let changed_ms = changed.ctime() * 1_000 + changed.ctime_nsec() / 1_000_000;
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now_ms = now.expect("a time after 1970").as_millis() as u64;
    ms_since_boot() - now_ms.saturating_sub(changed_ms.cast_unsigned())
}

/// As the supervisors count it.
fn ms_since_boot() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_BOOTTIME).expect("the clock");
    Duration::from(now).as_millis() as u64
}

fn restarts(pair: &Pair<'_>) -> u64 {
    let of = |node| status(node)["validator"]["restarts"].as_u64();
    [pair.active(), pair.standby()]
        .into_iter()
        .filter_map(of)
        .sum()
}
