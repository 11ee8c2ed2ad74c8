//! The simulation: engines in a seeded world of authorities, networks, validators and a chain, judged after every event.
//!
//! It finds what breaks an invariant of the design under faults; it neither measures time nor runs a process. One seed is one
//! run: of a single node or of some around a store, or, with a `p` before its number, of nodes that have nobody above them.
//! `SIM_SEEDS=n` runs more of each, and `SIM_SEED=s cargo test --test sim replay -- --nocapture` shows one.

mod authority;
mod checks;
mod child;
mod disk;
mod event;
mod fault;
mod judge;
mod local;
mod machine;
mod mistake;
mod node;
mod peer;
mod readings;
mod record;
mod rng;
mod seed;
mod store;
mod supervisor;
mod tally;
mod validator;
mod world;

use mistake::Mistake;
use seed::Seed;
use tally::Tally;
use world::World;

/// Seeds that once found something, and what.
const FOUND: &[(Seed, &str)] = &[
    (
        Seed::store(383),
        "a supervisor that stood still between a commit and its answer let the vote go long after its lease",
    ),
    (
        Seed::store(1_082),
        "a release that was delayed hit the same term after it had been taken up again",
    ),
    (
        Seed::store(4_541),
        "an acquisition that was delayed left the term with a node that did not know of it",
    ),
    (
        Seed::store(7_835),
        "a stale child beside the next holder, bounded by the watchdog",
    ),
    (
        Seed::store(20_870),
        "a demotion overtaken by a promotion was not answered for as long as the node voted",
    ),
    (
        Seed::store(31_204),
        "a request before the beginning kept the engine from beginning",
    ),
    (
        Seed::peers(1_127),
        "votes that were under way when a fence command had ended their node",
    ),
];

/// However long they take: a limit in time would let a busy machine pass with next to none.
const SEEDS: u64 = 2_000;
/// One of peers takes several times as long.
const SEEDS_OF_PEERS: u64 = 600;
/// Within as many seeds every mistake is to be noticed.
const SEEDS_OF_A_MISTAKE: u64 = 400;

fn seeds(unless_told: u64) -> u64 {
    let wanted = std::env::var("SIM_SEEDS").ok();
    let wanted = wanted.and_then(|text| text.parse().ok());
    wanted.unwrap_or(unless_told)
}

/// Runs a seed. A failure comes with its last events and the command that shows them all.
fn outcome(seed: Seed, mistake: Option<Mistake>) -> Result<Tally, String> {
    let mut world = World::new(seed, mistake, false);
    world.run().map(|()| world.tally)
}

fn report(seed: Seed, broken: &str) -> String {
    let mut world = World::new(seed, None, true);
    let _ = world.run();
    let trace = world.trace.take().unwrap_or_default();
    let from = trace.len().saturating_sub(60);
    format!(
        "seed {seed}: {broken}\n{}\n\nSIM_SEED={seed} cargo test --test sim replay -- --nocapture",
        trace[from..].join("\n")
    )
}

/// Runs the seeds below `count` on all cores, and says what happened in them.
fn run_all(seed: fn(u64) -> Seed, count: u64) -> Tally {
    let workers = std::thread::available_parallelism().map_or(2, |n| n.get() as u64);
    let work = |worker: u64| {
        let (mut number, mut tally) = (worker, Tally::default());
        while number < count {
            match outcome(seed(number), None) {
                Ok(happened) => tally.add(&happened),
                Err(broken) => return Err((seed(number), broken)),
            }
            tally.count("seeds");
            number += workers;
        }
        Ok(tally)
    };
    let ended: Vec<_> = std::thread::scope(|scope| {
        let begin = |worker| scope.spawn(move || work(worker));
        let handles: Vec<_> = (0..workers).map(begin).collect();
        let join = |handle: std::thread::ScopedJoinHandle<'_, _>| handle.join();
        handles.into_iter().map(join).collect()
    });
    let mut tally = Tally::default();
    let mut failed = Vec::new();
    for joined in ended {
        match joined.unwrap_or_else(|panic| std::panic::resume_unwind(panic)) {
            Ok(happened) => tally.add(&happened),
            Err(broken) => failed.push(broken),
        }
    }
    if let Some((seed, broken)) = failed.into_iter().min() {
        panic!("{}", report(seed, &broken));
    }
    println!("{tally}");
    assert_eq!(tally.times("seeds"), count);
    tally
}

#[test]
fn no_seed_breaks_an_invariant() {
    run_all(Seed::store, seeds(SEEDS));
}

#[test]
fn no_seed_breaks_an_invariant_among_peers() {
    let tally = run_all(Seed::peers, seeds(SEEDS_OF_PEERS));
    for what in [
        "terms taken",
        "terms passed",
        "terms taken without a node",
        "asked with a right",
        "asked regardless",
        "votes alone",
        "votes after a node was passed over",
        "commits fenced",
        "nodes ended by a fence command",
    ] {
        assert!(tally.times(what) > 0, "never happens: {what}");
    }
}

#[test]
fn seeds_that_found_something_stay_quiet() {
    for (seed, what) in FOUND {
        println!("{seed}: {what}");
        if let Err(broken) = outcome(*seed, None) {
            panic!("{}", report(*seed, &broken));
        }
    }
}

#[test]
fn the_same_seed_is_the_same_run() {
    let trace = |seed| {
        let mut world = World::new(seed, None, true);
        let _ = world.run();
        world.trace
    };
    for seed in (0..3).flat_map(|number| [Seed::store(number), Seed::peers(number)]) {
        assert_eq!(trace(seed), trace(seed));
    }
}

/// `SIM_SHARES=1` counts in how many of the seeds each is noticed, and takes longer.
fn notice(mistakes: &[Mistake], seed: fn(u64) -> Seed) {
    let counts = std::env::var("SIM_SHARES").is_ok();
    let mut missed = Vec::new();
    for mistake in mistakes {
        let broken = |number| Some((number, outcome(seed(number), Some(*mistake)).err()?));
        let mut noticed = (0..SEEDS_OF_A_MISTAKE).filter_map(broken);
        match noticed.next() {
            Some((number, broken)) => {
                let first: String = broken.chars().take(160).collect();
                println!("{mistake:?}: seed {}: {first}", seed(number));
                if counts {
                    println!("    noticed by {} seeds", 1 + noticed.count());
                }
            }
            None => missed.push(mistake),
        }
    }
    assert!(missed.is_empty(), "unnoticed: {missed:?}");
}

#[test]
fn every_planted_mistake_is_noticed() {
    notice(&Mistake::WITH_A_STORE, Seed::store);
}

#[test]
fn every_mistake_planted_among_peers_is_noticed() {
    notice(&Mistake::AMONG_PEERS, Seed::peers);
}

/// Shows one run: `SIM_SEED=s cargo test --test sim replay -- --nocapture`.
#[test]
fn replay() {
    let named = std::env::var("SIM_SEED").ok();
    let Some(seed) = named.and_then(|text| Seed::parse(&text)) else {
        return;
    };
    let mut world = World::new(seed, None, true);
    let ended = world.run();
    println!("{}", world.trace.take().unwrap_or_default().join("\n"));
    println!("{ended:?}");
    assert!(ended.is_ok());
}
