//! A single node whose disks were put back to an earlier day, or that cannot know: what it does before its first vote.

use crate::lab::Lab;
use std::path::Path;
use std::process::Command;
use testkit::stand_in::Protocol;

fn copy(from: &Path, to: &Path) {
    let _ = std::fs::remove_dir_all(to);
    let done = Command::new("cp").arg("-a").args([from, to]).status();
    assert!(done.expect("cp").success(), "{}", from.display());
}

fn stop(lab: &mut Lab) {
    lab.signal(nix::sys::signal::Signal::SIGTERM);
    lab.ended().expect("its end");
}

/// A backup of state_dir and towers is taken, votes go on, and the backup is put back.
#[track_caller]
fn restored_from_a_copy(more: impl Fn(&Lab) -> String, start_ms: &str) {
    let lab = Lab::new(Protocol::Tower);
    lab.configure(&more(&lab));
    let mut lab = lab.started_voting();
    stop(&mut lab);
    let places = ["state", "tower"].map(|name| (lab.path(name), lab.path(&format!("{name}.copy"))));
    for (place, backup) in &places {
        copy(place, backup);
    }
    lab.start();
    lab.await_role("active");
    lab.await_votes(5);
    stop(&mut lab);
    for (place, backup) in &places {
        copy(backup, place);
    }
    let _ = std::fs::remove_file(lab.node.record());
    copy_record(&lab);
    lab.chain.settle();
    let votes = lab.chain.votes().len();
    lab.node.faults(&[("start_ms", start_ms)]).expect("a fault");
    lab.start();
    lab.await_log("cannot take it up again: the chain shows a vote of this identity for slot");
    lab.node.faults(&[]).expect("no fault");
    lab.await_role("standby");
    lab.chain.let_slots_pass(20);
    assert_eq!(lab.chain.votes().len(), votes, "{}", lab.log());
    assert_eq!(
        lab.ctl(&["promote"]).status.code(),
        Some(4),
        "{}",
        lab.log()
    );
    lab.end();
}

/// The record of the restored state, where the validator looks for it.
fn copy_record(lab: &Lab) {
    let name = lab.node.record();
    let name = name.file_name().expect("a name");
    let restored = lab.path("tower.copy").join(name);
    if restored.exists() {
        std::fs::copy(restored, lab.node.record()).expect("the older record");
    }
}

#[test]
fn a_restored_older_state_lets_no_vote_out_once_the_validators_own_rpc_shows_newer_ones() {
    restored_from_a_copy(|_| String::new(), "0");
}

#[test]
fn a_restored_older_state_is_noticed_by_the_clusters_rpc_while_the_validator_starts() {
    let cluster = |lab: &Lab| format!("[cluster]\nrpc = [\"{}\"]\n", lab.chain.rpc_url());
    restored_from_a_copy(cluster, "15000");
}

#[test]
fn a_single_node_that_nobody_tells_of_the_chain_votes_on_with_a_warning() {
    let mut lab = Lab::voting(Protocol::Tower);
    stop(&mut lab);
    let port = lab.node.more.iter().position(|word| word == "--rpc-port");
    let at = port.expect("its RPC");
    lab.node.more.drain(at..at + 2);
    lab.configure("[validator]\nrpc = \"http://127.0.0.1:1\"\n");
    lab.start();
    lab.await_votes(5);
    assert!(
        lab.log().contains("without a comparison") && !lab.log().contains("was not let through"),
        "{}",
        lab.log()
    );
    lab.end();
}

#[test]
fn a_vote_history_is_waited_for_by_no_reading_of_the_chain() {
    let mut lab = Lab::voting(Protocol::Alpenglow);
    stop(&mut lab);
    lab.start();
    lab.await_role("active");
    lab.await_votes(5);
    assert!(!lab.log().contains("without a comparison"), "{}", lab.log());
    lab.end();
}
