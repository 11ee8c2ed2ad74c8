//! The model: the etcd authority and the takeover protocol, driven by the real engine and the real decision at the gate, in every
//! order of events within a stated bound.
//!
//! It neither measures time nor runs a process. Requests arrive late, twice or never, answers are lost or late, leases run out,
//! supervisors stand still, die and come back, validators die, steps fail: each a step of its own, up to so many. After every one
//! the judge looks at all nodes, the store and the votes that have left.
//!
//! `MODEL_DEPTH=n cargo test --test model` looks further (`make model DEPTH=n`), `MODEL_BOUND=2,1,1,2,0` within one bound (nodes,
//! votes, faults, stages, commands), and `MODEL_SHOW=TermNotCompared cargo test --test
//! model mistake -- --nocapture` prints the shortest way to what that mistake breaks.

mod action;
mod bound;
mod client;
mod enabled;
mod judge;
mod mistake;
mod node;
mod protocol;
mod record;
mod store;
mod vote;
mod world;

use bound::{Bound, DEEP, QUICK};
use mistake::Mistake;
use protocol::Protocol;

fn setting<T: std::str::FromStr>(name: &str) -> Option<T> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

fn breaks_nothing(bound: Bound) -> bool {
    let found = Protocol::new(bound, None).explore();
    println!("{found}");
    assert!(found.broken.is_none(), "{found}\n{}", found.trace());
    found.reached
}

#[test]
fn nothing_breaks_within_the_bounds() {
    let (depth, text): (u8, String) = (
        setting("MODEL_DEPTH").unwrap_or(0),
        setting("MODEL_BOUND").unwrap_or_default(),
    );
    let bounds: Vec<Bound> = match (Bound::parse(&text), depth) {
        (Some(bound), _) => vec![bound],
        (None, 0) => QUICK.to_vec(),
        (None, depth) => DEEP.iter().map(|bound| bound.deeper(depth - 1)).collect(),
    };
    let reached = bounds.into_iter().filter(|bound| breaks_nothing(*bound));
    assert!(
        reached.count() > 0,
        "no other node ever votes: the model shows nothing"
    );
}

#[test]
fn every_mistake_is_caught() {
    let shown: Option<String> = setting("MODEL_SHOW");
    let mut missed = Vec::new();
    for mistake in Mistake::ALL {
        let found = Protocol::new(mistake.bound(), Some(mistake)).explore();
        println!("{mistake:?}, {}: {found}", mistake.sentence());
        if shown.as_deref() == Some(&format!("{mistake:?}")) {
            println!("{}", found.trace());
        }
        if found.broken.is_none() {
            missed.push(mistake);
        }
    }
    assert!(missed.is_empty(), "not caught: {missed:?}");
}
