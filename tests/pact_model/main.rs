//! The model of the agreement between peers: the real decisions of [`Pact`] and what stands for links and disks, in every order of
//! events within a stated bound.
//!
//! Messages are delivered in the order of their link or lost with it, each side notices a lost link in its own time, processes die
//! between any two steps and come back with what was on their disks, votes wait for other disks, terms are asked for, released,
//! passed and taken. After every step: no vote leaves under a term that is not the newest that was taken, nobody takes a term
//! without every record that has left, and terms only grow.
//!
//! `PACT_BOUND=2,2,3,3,1 cargo test --test pact_model` looks at one bound (nodes, votes, faults, asks, voting alone), and
//! `PACT_SHOW=AckBeforeTheDisk cargo test --test pact_model mistake -- --nocapture` prints the shortest way to what that breaks.
//!
//! [`Pact`]: validator_supervisor::engine::pact::Pact

mod action;
mod bound;
mod enabled;
mod mistake;
mod world;

use bound::Bound;
use mistake::Mistake;
use stateright::{Checker, HasDiscoveries, Model, Path, Property};
use world::{Action, World};

/// Whatever the machine, each within seconds.
const QUICK: [Bound; 6] = [
    Bound::new(2, 1, 2, 3),
    Bound::new(2, 1, 2, 3).alone(),
    Bound::new(2, 2, 2, 2).alone(),
    Bound::new(3, 0, 1, 1).alone(),
    Bound::new(3, 0, 0, 2).off(false),
    Bound::new(3, 0, 0, 2).off(true),
];

struct Agreement {
    bound: Bound,
    mistake: Option<Mistake>,
}

const SAFE: &str = "no rule is broken";
const TAKEN_OVER: &str = "another node votes";

impl Model for Agreement {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![World::new(self.bound, self.mistake)]
    }

    fn actions(&self, world: &World, out: &mut Vec<Action>) {
        world.actions(&self.bound, out);
    }

    fn next_state(&self, last: &World, action: Action) -> Option<World> {
        let mut world = last.clone();
        world.act(&action);
        Some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(SAFE, |_: &Self, world: &World| world.broken.is_none()),
            Property::sometimes(TAKEN_OVER, |_: &Self, world: &World| {
                world.last_voter.is_some_and(|voter| voter > 0)
            }),
        ]
    }
}

struct Found {
    text: String,
    broken: Option<String>,
    reached: bool,
    trace: String,
}

fn explore(bound: Bound, mistake: Option<Mistake>) -> Found {
    let begun = std::time::Instant::now();
    let threads = if mistake.is_some() { 1 } else { 2 };
    let model = Agreement { bound, mistake }.checker();
    let checker = model
        .finish_when(HasDiscoveries::AnyFailures)
        .threads(threads)
        .spawn_bfs()
        .join();
    let steps = checker
        .discovery(SAFE)
        .map(Path::into_vec)
        .unwrap_or_default();
    let broken = steps.last().and_then(|(world, _)| world.broken.clone());
    let actions = steps.iter().filter_map(|(_, action)| action.as_ref());
    let lines = actions
        .enumerate()
        .map(|(at, action)| format!("  {:>2} {action:?}\n", at + 1));
    Found {
        text: format!(
            "{bound:?}: {} states, depth {}, {:.1} s; {}",
            checker.unique_state_count(),
            checker.max_depth(),
            begun.elapsed().as_secs_f32(),
            broken.as_deref().unwrap_or("nothing is broken"),
        ),
        reached: checker.discoveries().contains_key(TAKEN_OVER),
        trace: lines.collect(),
        broken,
    }
}

#[test]
fn nothing_breaks_within_the_bounds() {
    let one = std::env::var("PACT_BOUND")
        .ok()
        .and_then(|text| Bound::parse(&text));
    let bounds = one.map_or(QUICK.to_vec(), |bound| vec![bound]);
    let mut reached = false;
    for bound in bounds {
        let found = explore(bound, None);
        println!("{}", found.text);
        assert!(found.broken.is_none(), "{}\n{}", found.text, found.trace);
        reached |= found.reached;
    }
    assert!(reached, "no other node ever votes: the model shows nothing");
}

#[test]
fn every_mistake_is_caught() {
    let shown = std::env::var("PACT_SHOW").ok();
    let mut missed = Vec::new();
    for mistake in Mistake::ALL {
        let found = explore(mistake.bound(), Some(mistake));
        println!("{mistake:?}, {}: {}", mistake.sentence(), found.text);
        if shown.as_deref() == Some(&format!("{mistake:?}")) {
            println!("{}", found.trace);
        }
        if found.broken.is_none() {
            missed.push(mistake);
        }
    }
    assert!(missed.is_empty(), "not caught: {missed:?}");
}
