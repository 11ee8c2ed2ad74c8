//! How long the identity is silent when the node that has it fails, and which outage of etcd it bears.

use std::path::Path;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;
use testkit::children::signal;
use testkit::etcd::Etcd;
use testkit::node::Node;
use testkit::wire::now_us;

use crate::AnyError;
use crate::lab::Lab;
use crate::samples::Samples;
use crate::table::Table;

const SLOT_MS: u64 = 50;
const ROUNDS: usize = 5;
/// The shortest that etcd grants.
const TTL_MS: u64 = 2_000;
const KILLED_BUDGET_MS: u64 = 1_000 + SLOT_MS;
const DEAD_BUDGET_MS: u64 = TTL_MS + 1_500 + SLOT_MS;
/// The defaults of the configuration.
const OUTAGE_TIMINGS: &str = "ttl = \"5s\"\nmargin = \"1s\"\ninterval = \"500ms\"\n";
const OUTAGES_MS: std::ops::RangeInclusive<u64> = 1_000..=6_000;
const RESOLUTION_MS: u64 = 250;

/// Two nodes on three etcd: what the death of the validator costs, and that of the host.
pub(crate) fn measure(dir: &Path, table: &mut Table) -> Result<(), AnyError> {
    let etcd = Etcd::cluster(3)?;
    let mut lab = voting(
        dir,
        &["a", "b"],
        &etcd,
        &format!("ttl = \"{}s\"\n", TTL_MS / 1000),
    )?;
    let (mut killed, mut dead) = (Samples::default(), Samples::default());
    for _ in 0..ROUNDS {
        let (active, _) = lab.await_pair()?;
        let validator = lab.nodes[active].validator();
        let from_us = now_us();
        signal(validator, Signal::SIGKILL);
        killed.add(lab.gap(active, from_us)?);
        let (active, _) = lab.await_pair()?;
        let from_us = now_us();
        // Its validator goes with it, and nobody says a word: the same as a host that loses its power.
        lab.nodes[active].kill();
        dead.add(lab.gap(active, from_us)?);
        lab.nodes[active].start();
    }
    let mut line = |what: &str, samples: &Samples, budget_ms: u64| {
        let ms = samples.median().as_secs_f64() * 1e3;
        table.value(what, ms, None, ms, budget_ms as f64, "ms");
        let slowest = samples.quantile(100).as_secs_f64() * 1e3;
        table.aside(&format!("median of {ROUNDS}, slowest {slowest:.0} ms"));
    };
    line("takeover, validator killed", &killed, KILLED_BUDGET_MS);
    line("takeover, host dead, ttl 2 s", &dead, DEAD_BUDGET_MS);
    lab.chain.expect_clean();
    Ok(())
}

/// One node on three etcd that all stand still for a while: the longest while that costs no term and refuses no vote.
pub(crate) fn measure_outage(dir: &Path, table: &mut Table) -> Result<(), AnyError> {
    let mut etcd = Etcd::cluster(3)?;
    let mut lab = voting(dir, &["a"], &etcd, OUTAGE_TIMINGS)?;
    let (mut borne, mut lost) = (*OUTAGES_MS.start(), *OUTAGES_MS.end());
    while lost - borne > RESOLUTION_MS {
        let ms = borne.midpoint(lost);
        let survived = survives(&mut lab, &mut etcd, Duration::from_millis(ms))?;
        *(if survived { &mut borne } else { &mut lost }) = ms;
    }
    table.aside(&format!(
        "with ttl 5 s, margin 1 s, interval 500 ms an etcd that stands still for {:.1} s costs no vote; {:.1} s cost the term",
        borne as f64 / 1e3,
        lost as f64 / 1e3
    ));
    lab.chain.expect_clean();
    Ok(())
}

/// Whether the first node still has its term after the outage, and has refused no vote.
fn survives(lab: &mut Lab, etcd: &mut Etcd, outage: Duration) -> Result<bool, AnyError> {
    lab.nodes[0].await_role("active");
    lab.await_votes(20)?;
    let before = held(&lab.nodes[0]);
    let members = etcd.members().len();
    (0..members).try_for_each(|at| etcd.member(at).pause())?;
    std::thread::sleep(outage);
    (0..members).try_for_each(|at| etcd.member(at).resume())?;
    // It votes on, or comes back by itself.
    lab.await_votes(5)?;
    lab.nodes[0].await_role("active");
    Ok(held(&lab.nodes[0]) == before)
}

/// The term and the count of refused votes.
fn held(node: &Node) -> Option<(Value, Value)> {
    let status = node.status()?;
    Some((status["term"].clone(), status["gate"]["refused"].clone()))
}

fn voting(dir: &Path, names: &[&str], etcd: &Etcd, timings: &str) -> Result<Lab, AnyError> {
    let mut lab = Lab::new(dir, SLOT_MS, names)?;
    for node in &lab.nodes {
        node.configure(&format!(
            "[authority.etcd]\nendpoints = {:?}\n{timings}",
            etcd.endpoints()
        ));
    }
    lab.start_voting()?;
    Ok(lab)
}
