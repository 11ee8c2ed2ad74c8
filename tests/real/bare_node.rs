//! The harness itself: a cluster runs, and a node without a supervisor votes, falls silent when muted, and goes on
//! from its record. Says what the real validator does; nothing here tests the supervisor, so `make test-real-facts` runs it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::admin;
use crate::chain::Chain;
use crate::cluster::Cluster;
use crate::genesis::Protocol;
use crate::node::Node;
use crate::until::until;
use crate::vote_log::VoteLog;

const VOTES_WITHIN: Duration = Duration::from_secs(120);
const ENDS_WITHIN: Duration = Duration::from_secs(60);
const WATCHED_SLOTS: u64 = 12;

#[test]
#[ignore = "tells of the validator alone; `make test-real-facts`"]
fn a_bare_node_votes_and_falls_silent_when_muted_in_tower_bft() {
    a_bare_node_votes_and_falls_silent_when_muted(Protocol::TowerBft);
}

#[test]
#[ignore = "tells of the validator alone; `make test-real-facts`"]
fn a_bare_node_votes_and_falls_silent_when_muted_in_alpenglow() {
    a_bare_node_votes_and_falls_silent_when_muted(Protocol::Alpenglow);
}

fn a_bare_node_votes_and_falls_silent_when_muted(protocol: Protocol) {
    let clock = Clock::start(protocol);
    let cluster = Cluster::start(protocol);
    clock.say("cluster up");
    let chain = cluster.chain();
    let a = cluster.node("a");
    a.point_link_at(&a.staked.path);
    let mut process = cluster.start_bare(&a);
    until("a has started", VOTES_WITHIN, || {
        admin::has_started(a.ledger()).then_some(())
    });
    clock.say("a has started");
    chain.wait_until_our_vote_at_or_after(1, VOTES_WITHIN);
    clock.say("first vote of a landed");
    let slots_behind = chain
        .slot()
        .expect("the bootstrap answers")
        .saturating_sub(a.rpc().processed_slot().expect("a answers"));
    let log = VoteLog::start(cluster.chain());
    let now = chain.slot().expect("the bootstrap answers");
    chain.wait_until_our_vote_at_or_after(now + WATCHED_SLOTS, VOTES_WITHIN);
    let votes = log.votes();
    clock.say(&format!(
        "a is {slots_behind} slots behind, longest silence {:?}, votes by slot and block {votes:?}",
        log.longest_silence()
    ));
    if protocol == Protocol::TowerBft {
        blocks_tell_the_same(&chain, &votes);
    }

    let last = mute_and_leave(&a, protocol);
    chain.assert_no_vote_of_ours_after(last, WATCHED_SLOTS);
    assert_eq!(
        a.last_recorded_slot(),
        Some(last),
        "a muted validator stored a vote"
    );
    clock.say("muted, no vote followed");

    admin::set_identity(a.ledger(), &a.staked.path, protocol, true)
        .expect("set the staked identity");
    admin::unmute(a.ledger(), &a.staked.path).expect("unmute");
    chain.wait_until_our_vote_at_or_after(last + 1, VOTES_WITHIN);
    clock.say("unmuted, a vote landed");

    clock.say(&format!(
        "resident MiB: bootstrap and relay {:?}, a {}",
        cluster
            .always_on()
            .iter()
            .map(|p| p.resident_mib())
            .collect::<Vec<_>>(),
        process.resident_mib()
    ));
    assert!(!process.output().contains("panicked at"), "a panicked");
    process.signal(libc::SIGTERM);
    process.wait(ENDS_WITHIN);
    clock.say("a ended by SIGTERM");
}

fn blocks_tell_the_same(chain: &Chain, votes: &BTreeMap<u64, u64>) {
    let (Some(first), Some(last)) = (votes.values().min(), votes.values().max()) else {
        panic!("no vote was seen");
    };
    chain.wait_for_slot(last + 4, VOTES_WITHIN);
    let in_blocks = until("blocks are served", VOTES_WITHIN, || {
        let landed = chain.tower_votes_in_blocks(*first, *last).ok()?;
        landed.contains_key(votes.keys().last()?).then_some(landed)
    });
    for slot in votes.keys().skip(1) {
        assert!(
            in_blocks.contains_key(slot),
            "{slot} is in no block: {in_blocks:?}"
        );
    }
}

/// Mute, then the unstaked identity; gives the last slot of the record, which no vote may pass from here on.
fn mute_and_leave(node: &Node, protocol: Protocol) -> u64 {
    admin::mute(node.ledger()).expect("mute");
    admin::set_identity(node.ledger(), &node.unstaked.path, protocol, false)
        .expect("set the unstaked identity");
    node.last_recorded_slot().expect("a record exists")
}

/// Says how long each step took, for the reader of the output.
struct Clock {
    protocol: Protocol,
    start: Instant,
}

impl Clock {
    fn start(protocol: Protocol) -> Self {
        Self {
            protocol,
            start: Instant::now(),
        }
    }

    fn say(&self, step: &str) {
        println!(
            "{:?} {:6.1} s: {step}",
            self.protocol,
            self.start.elapsed().as_secs_f64()
        );
    }
}
