//! A planned handover between two nodes that are each other's authority: how long nobody votes, and what each step of it takes.

use std::path::Path;
use std::time::Duration;

use testkit::flight::{Flight, by_name};
use testkit::node::free_port;
use testkit::wire::now_us;
use validator_supervisor::pki;

use crate::AnyError;
use crate::lab::Lab;
use crate::samples::Samples;
use crate::table::Table;

const SLOT_MS: u64 = 400;
const HOST: &str = "127.0.0.1";
const TIMES: usize = 10;
/// What the stand-in takes for its switch of identity; a real validator takes about that.
const SWITCH_MS: &str = "50";
/// A slot without a vote in the median: the next one is voted for in time.
const BUDGET_MS: f64 = 2.0 * SLOT_MS as f64;

pub(crate) fn measure(dir: &Path, table: &mut Table) -> Result<(), AnyError> {
    let lab = peers(dir)?;
    let mut flights: Vec<Flight> = lab
        .nodes
        .iter()
        .map(|node| Flight::of(&node.state_dir))
        .collect();
    let mut gaps = Samples::default();
    let (mut away, mut here) = (Vec::new(), Vec::new());
    for _ in 0..TIMES {
        let (active, other) = lab.await_pair()?;
        flights.iter_mut().for_each(|flight| drop(flight.steps()));
        let from_us = now_us();
        lab.nodes[active].must(&["handover"]);
        lab.await_votes(2)?;
        gaps.add(longest_gap(&lab, from_us));
        away.extend(flights[active].steps());
        here.extend(flights[other].steps());
    }
    let ms = gaps.median().as_secs_f64() * 1e3;
    table.value(
        "handover over the peers, no vote for",
        ms,
        None,
        ms,
        BUDGET_MS,
        "ms",
    );
    let slowest = gaps.quantile(100).as_secs_f64() * 1e3;
    table.aside(&format!("median of {TIMES}, slowest {slowest:.0} ms, in slots of {SLOT_MS} ms; its steps, median and slowest:"));
    for (whose, steps) in [("from", &away), ("to", &here)] {
        for (name, took) in by_name(steps) {
            let (median, slowest) = (took[took.len() / 2], took[took.len() - 1]);
            table.aside(&format!(
                "{whose:<5} {name:<26} {median:>5} ms {slowest:>5} ms"
            ));
        }
    }
    lab.chain.expect_clean();
    Ok(())
}

/// Two nodes with certificates of their own; the first votes.
fn peers(dir: &Path) -> Result<Lab, AnyError> {
    let names = ["a", "b"];
    let mut lab = Lab::new(dir, SLOT_MS, &names)?;
    pki::init(dir)?;
    let addresses = [free_port()?, free_port()?].map(|port| format!("{HOST}:{port}"));
    let nodes: Vec<String> = names
        .iter()
        .zip(&addresses)
        .map(|(name, address)| format!("{{ name = {name:?}, address = {address:?} }}"))
        .collect();
    for (node, address) in lab.nodes.iter().zip(&addresses) {
        let name = node.name();
        let [cert, key] = pki::add(dir, name, &[HOST.to_owned()], false)?;
        node.configure(&format!(
            "[peer]\nlisten = {address:?}\nca = {:?}\ncert = {cert:?}\nkey = {key:?}\nnodes = [{}]\n",
            dir.join("ca.pem"),
            nodes.join(", ")
        ));
        node.stand_in.faults(&[("switch_ms", SWITCH_MS)])?;
    }
    lab.start_peers()?;
    Ok(lab)
}

/// The longest time between two votes in a row of those around the handover.
fn longest_gap(lab: &Lab, from_us: u64) -> Duration {
    let mut sent: Vec<u64> = lab.chain.votes().iter().map(|vote| vote.sent_us).collect();
    sent.sort_unstable();
    let gaps = sent.windows(2).filter(|pair| pair[1] > from_us);
    let longest = gaps.map(|pair| pair[1] - pair[0]).max();
    Duration::from_micros(longest.unwrap_or_default())
}
