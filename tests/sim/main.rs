//! The simulation: engines in a seeded world of stores, networks, validators and a chain, judged after every event.
//!
//! It finds what breaks an invariant of the design under faults; it neither measures time nor runs a process. One seed is one
//! run. `SIM_SEEDS=n` runs more of them, and `SIM_SEED=s cargo test --test sim replay -- --nocapture` shows one.

mod authority;
mod checks;
mod child;
mod client;
mod fault;
mod judge;
mod mistake;
mod node;
mod readings;
mod record;
mod rng;
mod store;
mod supervisor;
mod validator;
mod world;

use mistake::Mistake;
use world::World;

/// Seeds that once found something, and what.
const FOUND: &[(u64, &str)] = &[
    (
        383,
        "a supervisor that stood still between a commit and its answer let the vote go long after its lease",
    ),
    (
        1_082,
        "a release that was delayed hit the same term after it had been taken up again",
    ),
    (
        4_541,
        "an acquisition that was delayed left the term with a node that did not know of it",
    ),
    (
        7_835,
        "a stale child beside the next holder, bounded by the watchdog",
    ),
    (
        20_870,
        "a demotion overtaken by a promotion was not answered for as long as the node voted",
    ),
    (
        31_204,
        "a request before the beginning kept the engine from beginning",
    ),
];

/// However long they take: a limit in time would let a busy machine pass with next to none.
const SEEDS: u64 = 2_000;

fn main_seeds() -> u64 {
    let wanted = std::env::var("SIM_SEEDS").ok();
    wanted.and_then(|text| text.parse().ok()).unwrap_or(SEEDS)
}

/// Runs a seed; a failure comes with its last events and the command that shows them all.
fn outcome(seed: u64, mistake: Option<Mistake>) -> Result<u64, String> {
    let mut world = World::new(seed, mistake, false);
    world.run().map(|()| world.events)
}

fn report(seed: u64, broken: &str) -> String {
    let mut world = World::new(seed, None, true);
    let _ = world.run();
    let trace = world.trace.take().unwrap_or_default();
    let from = trace.len().saturating_sub(60);
    format!(
        "seed {seed}: {broken}\n{}\n\nSIM_SEED={seed} cargo test --test sim replay -- --nocapture",
        trace[from..].join("\n")
    )
}

fn run_seed(seed: u64) {
    if let Err(broken) = outcome(seed, None) {
        panic!("{}", report(seed, &broken));
    }
}

#[test]
fn no_seed_breaks_an_invariant() {
    let count = main_seeds();
    let workers = std::thread::available_parallelism().map_or(2, |n| n.get() as u64);
    let failed = std::thread::scope(|scope| {
        let work = |worker: u64| {
            let (mut seed, mut runs) = (worker, 0_u64);
            while seed < count {
                if let Err(broken) = outcome(seed, None) {
                    return (runs, Some((seed, broken)));
                }
                runs += 1;
                seed += workers;
            }
            (runs, None)
        };
        let handles: Vec<_> = (0..workers)
            .map(|worker| scope.spawn(move || work(worker)))
            .collect();
        handles
            .into_iter()
            .map(|handle| handle.join())
            .collect::<Vec<_>>()
    });
    let ended: Vec<_> = failed
        .into_iter()
        .map(|joined| joined.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        .collect();
    let runs = ended.iter().map(|(runs, _)| runs).sum::<u64>();
    println!("{runs} seeds");
    if let Some((seed, broken)) = ended.into_iter().filter_map(|(_, failed)| failed).min() {
        panic!("{}", report(seed, &broken));
    }
    assert_eq!(runs, count);
}

#[test]
fn seeds_that_found_something_stay_quiet() {
    for (seed, what) in FOUND {
        println!("{seed}: {what}");
        run_seed(*seed);
    }
}

#[test]
fn the_same_seed_is_the_same_run() {
    let trace = |seed| {
        let mut world = World::new(seed, None, true);
        let _ = world.run();
        world.trace
    };
    for seed in 0..3 {
        assert_eq!(trace(seed), trace(seed));
    }
}

#[test]
fn every_planted_mistake_is_noticed() {
    for mistake in Mistake::ALL {
        let noticed = (0..400).find_map(|seed| {
            outcome(seed, Some(mistake))
                .err()
                .map(|broken| (seed, broken))
        });
        match noticed {
            Some((seed, broken)) => println!(
                "{mistake:?}: seed {seed}: {}",
                broken.chars().take(160).collect::<String>()
            ),
            None => panic!("{mistake:?} goes unnoticed"),
        }
    }
}

/// Shows one run: `SIM_SEED=s cargo test --test sim replay -- --nocapture`.
#[test]
fn replay() {
    let Some(seed) = std::env::var("SIM_SEED")
        .ok()
        .and_then(|text| text.parse().ok())
    else {
        return;
    };
    let mut world = World::new(seed, None, true);
    let ended = world.run();
    println!("{}", world.trace.take().unwrap_or_default().join("\n"));
    println!("{ended:?}");
    assert!(ended.is_ok());
}
