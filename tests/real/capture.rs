//! Makes `tests/fixtures/records` anew: record files as real validators write them.
//!
//! Ignored in every run; its README says how to call it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::cluster::Cluster;
use crate::genesis::Protocol;
use crate::until::until;

const WITHIN: Duration = Duration::from_secs(180);

/// A tower has its first root when its 32nd vote pushes the oldest out.
const VOTES_TO_A_ROOT: u64 = 40;

#[test]
#[ignore = "writes into tests/fixtures/records"]
fn capture_record_files_of_both_kinds() {
    capture(Protocol::TowerBft);
    capture(Protocol::Alpenglow);
}

fn capture(protocol: Protocol) {
    let into = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/records");
    let cluster = Cluster::start(protocol);
    let chain = cluster.chain();
    let a = cluster.node("a");
    a.point_link_at(&a.staked.path);
    let _process = cluster.start_bare(&a);
    let first = until("a record", WITHIN, || a.record_file());
    keep(&first, &into);

    chain.wait_until_our_vote_at_or_after(1, WITHIN);
    let slot = chain.slot().expect("the bootstrap answers");
    chain.wait_until_our_vote_at_or_after(slot + VOTES_TO_A_ROOT, WITHIN);
    keep(&first, &into.join("later"));
    for ledger in cluster.ledgers_always_on() {
        for record in records_in(&ledger) {
            keep(&record, &into);
        }
    }
}

fn records_in(ledger: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(ledger).expect("read the ledger directory");
    entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.ends_with(".bin")
                && (name.starts_with("tower-1_9-") || name.starts_with("vote_history-"))
        })
        .collect()
}

fn keep(record: &Path, into: &Path) {
    fs::create_dir_all(into).expect("make the fixture directory");
    let target = into.join(record.file_name().expect("a record has a name"));
    fs::copy(record, target).expect("copy a record");
}
