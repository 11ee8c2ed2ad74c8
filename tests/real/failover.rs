//! Two supervised validators with one staked identity and three etcd, on a real cluster: who votes through which trouble.
//!
//! ```text
//! host bootstrap, relay    always on          each host is a network namespace; a cut host is cut from all others
//! host a, b                our two nodes
//! host etcd                three servers, beside each other
//! host test                this test, which sees the chain by the bootstrap's RPC
//! ```
//!
//! One cluster a protocol, and one trouble after the other in it. After each, the chain says how many slots went without a vote
//! of ours ([`crate::score`] says what is counted); the same count over stretches without trouble stands first, with the handovers,
//! because a machine at its limit loses slots too. At the end the chain and the committed records are judged for conflicts.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use testkit::netns::Network;

use crate::cluster::{Cluster, HOSTS};
use crate::commits::{self, Tap};
use crate::genesis::Protocol;
use crate::handover;
use crate::manual;
use crate::pair::{Pair, VOTES_WITHIN, status, validator_of, votes_of};
use crate::score::Moment;
use crate::until::until;
use crate::verdict;

/// The supervisor's default.
const TTL: Duration = Duration::from_secs(5);
/// Off the staked identity by the end of the lease; looking at it takes time too.
const OFF_WITHIN: Duration = Duration::from_millis(5_500);
/// How much longer than its lease the supervisor of a holder stands still.
const STILL_STOPPED: Duration = Duration::from_secs(4);
const SHORT_OUTAGE: Duration = Duration::from_secs(3);
const LONG_OUTAGE: Duration = Duration::from_secs(60);
/// Left of the lease, at least, when the short outage begins: it is renewed every half a second, and given up one second early.
const LEASE_LEFT_MS: u64 = 4_500;
/// Slots that are watched for votes that nobody may send.
const WATCHED_SLOTS: u64 = 8;

#[test]
fn one_of_two_nodes_votes_through_every_failover_in_tower_bft() {
    on_hosts(Protocol::TowerBft);
}

#[test]
fn one_of_two_nodes_votes_through_every_failover_in_alpenglow() {
    on_hosts(Protocol::Alpenglow);
}

fn on_hosts(protocol: Protocol) {
    let network = Network::new(&HOSTS).expect("a network");
    let inside = network.host("test").namespace().clone();
    let outcome = inside.within(move || story(&Cluster::start_on(network, protocol)));
    outcome.expect("the story on the hosts");
}

fn story(cluster: &Cluster) {
    let mut pair = Pair::new(cluster);
    pair.start_voting();
    if handover::asked_times().is_some() {
        return measure(&mut pair);
    }
    // Handovers over etcd in one protocol and over the peers in the other, for there is time for one of each.
    let over_peers = cluster.protocol == Protocol::TowerBft;
    if !over_peers {
        handover::there_and_back(&mut pair);
    }
    let killed = kill_the_validator(&mut pair);
    kill_the_leader_of_etcd(&mut pair);
    stop_etcd_shortly(&mut pair);
    pair.let_connections_expire(killed);
    let cut_off = cut_the_host_off(&mut pair);
    pair.let_connections_expire(cut_off);
    stop_the_supervisor(&mut pair);
    stop_etcd_for_long(&mut pair);
    judge(&mut pair);
    if over_peers {
        peers_instead_of_etcd(&mut pair);
    }
}

/// Handovers and nothing else, over the peers and by hand; over etcd as well where `HANDOVERS_OVER_ETCD` is set.
fn measure(pair: &mut Pair<'_>) {
    if std::env::var_os("HANDOVERS_OVER_ETCD").is_some() {
        handover::there_and_back(pair);
        judge(pair);
    }
    peers_instead_of_etcd(pair);
    manual::there_and_back(pair);
}

fn kill_the_validator(pair: &mut Pair<'_>) -> Moment {
    let pid = validator_of(pair.active()).expect("a validator");
    let begun = pair.score.now();
    // SAFETY: plain system call; the process is the validator of our cluster.
    unsafe { libc::kill(pid, libc::SIGKILL) };
    pair.await_takeover();
    pair.tell(begun, "the active validator was killed");
    pair.await_standby();
    pair.say("the killed one stands by");
    begun
}

fn cut_the_host_off(pair: &mut Pair<'_>) -> Moment {
    let name = pair.active().node.name.clone();
    let begun = pair.score.now();
    pair.cluster.network().split(&[&name]);
    let left = pair.await_left(begun);
    pair.say(&format!(
        "{name} is cut off, and off the staked identity after {left:.1?}"
    ));
    assert!(left < OFF_WITHIN, "its lease was over before");
    let votes = votes_of(pair.active());
    pair.await_takeover();
    pair.tell(begun, "the active host was cut off");
    let after = votes_of(pair.standby());
    assert_eq!(after, votes, "{name} has voted while it was cut off");
    pair.cluster.network().heal();
    pair.await_standby();
    let after = votes_of(pair.standby());
    assert_eq!(after, votes, "{name} has voted after it was healed");
    pair.say("healed: the cut-off one stands by, and has sent nothing");
    begun
}

fn stop_the_supervisor(pair: &mut Pair<'_>) {
    let stopped = pair.active;
    let begun = pair.score.now();
    pair.supervisors[stopped].signal(libc::SIGSTOP);
    pair.await_takeover();
    until("it has stood still for long", VOTES_WITHIN, || {
        (begun.at.elapsed() > TTL + STILL_STOPPED).then_some(())
    });
    let recorded = pair.standby().node.last_recorded_slot();
    pair.supervisors[stopped].signal(libc::SIGCONT);
    let stood = begun.at.elapsed();
    let what = format!("the active supervisor stood still for {stood:.1?}");
    pair.tell(begun, &what);
    pair.await_standby();
    let after = pair.standby().node.last_recorded_slot();
    assert_eq!(after, recorded, "it stored a vote");
    pair.say("the continued one stands by, and has sent nothing");
}

fn kill_the_leader_of_etcd(pair: &mut Pair<'_>) {
    let before = (pair.active, validator_of(pair.active()));
    let begun = pair.score.now();
    let leader = pair.etcd.wait_for_leader().expect("a leader");
    pair.etcd.member(leader).kill().expect("kill etcd's leader");
    pair.etcd.wait_for_leader().expect("another leader");
    let elected = begun.at.elapsed();
    pair.await_votes();
    pair.etcd.member(leader).restart().expect("restart it");
    pair.await_votes();
    let what = format!("etcd's leader was killed, the next one seen after {elected:.1?}");
    tell_who_stayed(pair, begun, &what, before);
}

/// The one that voted goes on, with the same validator.
fn tell_who_stayed(pair: &mut Pair<'_>, begun: Moment, what: &str, before: (usize, Option<i32>)) {
    pair.await_any_active();
    pair.await_votes();
    pair.tell(begun, what);
    assert_eq!(pair.active, before.0, "the identity has moved");
    assert_eq!(
        validator_of(pair.active()),
        before.1,
        "the validator was lost"
    );
}

fn stop_etcd_shortly(pair: &mut Pair<'_>) {
    let before = (pair.active, validator_of(pair.active()));
    let left_ms = until("a lease just renewed", VOTES_WITHIN, || {
        let left_ms = pair.active().status()?["authority"]["lease_left_ms"].as_u64()?;
        (left_ms > LEASE_LEFT_MS).then_some(left_ms)
    });
    let begun = pair.score.now();
    pair.pause_etcd();
    until("the short outage is over", VOTES_WITHIN, || {
        (begun.at.elapsed() > SHORT_OUTAGE).then_some(())
    });
    pair.resume_etcd();
    let stood = begun.at.elapsed();
    pair.await_votes();
    let what =
        format!("etcd stood still for {stood:.1?}, with {left_ms} ms left of a lease of {TTL:?}");
    tell_who_stayed(pair, begun, &what, before);
}

fn stop_etcd_for_long(pair: &mut Pair<'_>) {
    let begun = pair.score.now();
    pair.pause_etcd();
    let left = pair.await_left(begun);
    let name = &pair.active().node.name;
    pair.say(&format!(
        "etcd stands still: {name} is off the staked identity after {left:.1?}"
    ));
    assert!(left < OFF_WITHIN, "its lease was over before");
    // What was let out before is on its way.
    let last = pair.score.now().slot;
    pair.chain.assert_no_vote_of_ours_after(last, WATCHED_SLOTS);
    until("the long outage is over", 2 * LONG_OUTAGE, || {
        (begun.at.elapsed() > LONG_OUTAGE).then_some(())
    });
    pair.resume_etcd();
    let (resumed, stood) = (Instant::now(), begun.at.elapsed());
    pair.await_any_active();
    let back = resumed.elapsed();
    pair.await_votes();
    let what =
        format!("etcd stood still for {stood:.1?}, and {back:.1?} later one node was active");
    pair.tell(begun, &what);
    pair.await_standby();
}

/// The same two nodes, each other's authority from here on.
fn peers_instead_of_etcd(pair: &mut Pair<'_>) {
    pair.become_peers();
    let state_dirs = [pair.active(), pair.standby()].map(|node| node.state_dir());
    let identity = pair.active().node.staked.pubkey.clone();
    let tap = Tap::on(state_dirs.into(), identity, pair.cluster.protocol);
    handover::there_and_back(pair);
    kill_the_validator(pair);
    let seen = tap.commits();
    commits::expect_to_go_on(&seen);
    // Votes that leave later land later, within Tower BFT; in Alpenglow they are in no block, and told by the records.
    let known: &[_] = match pair.cluster.protocol {
        Protocol::TowerBft => &[],
        Protocol::Alpenglow => &seen,
    };
    let votes = pair.score.votes(known);
    assert!(!votes.is_empty(), "no vote could be judged");
    let summary = verdict::of(votes, known).unwrap_or_else(|findings| panic!("{findings}"));
    let told = verdict::conflicts_told(pair.cluster);
    assert!(
        told.is_empty(),
        "bootstrap or relay tell of conflicts: {told:?}"
    );
    pair.say(&format!(
        "over the peers: {} commits seen on their disks go on from one another; no conflict; {summary}",
        seen.len()
    ));
}

fn judge(pair: &mut Pair<'_>) {
    let identity = pair.active().node.staked.pubkey.clone();
    let commits = commits::read(&pair.etcd, &identity, pair.cluster.protocol);
    commits::expect_to_go_on(&commits);
    let terms: BTreeSet<u64> = commits.iter().map(|commit| commit.term).collect();
    let votes = pair.score.votes(&commits);
    let summary = verdict::of(votes, &commits).unwrap_or_else(|findings| panic!("{findings}"));
    let told = verdict::conflicts_told(pair.cluster);
    assert!(
        told.is_empty(),
        "bootstrap or relay tell of conflicts: {told:?}"
    );
    pair.say(&format!(
        "{} commits under {} terms go on from one another; no conflict; {summary}",
        commits.len(),
        terms.len()
    ));
    let restarts = [pair.active(), pair.standby()].map(|node| {
        let restarts = &status(node)["validator"]["restarts"];
        format!("{restarts} of {}", node.node.name)
    });
    pair.say(&format!("restarts of validators: {}", restarts.join(", ")));
}
