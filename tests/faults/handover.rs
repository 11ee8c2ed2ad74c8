//! A handover, from either side, and what may go wrong in it: the other one votes, or this one does again.

use crate::SOON_MS;
use crate::lab::{BACK_WITHIN_MS, LONG_TTL_MS, Lab, Shape, TTL_MS};
use crate::scene::Scene;
use crate::stopped::{continue_validator, stop_validator};
use nix::sys::signal::Signal;
use std::process::Stdio;
use testkit::children::signal;
use testkit::node::said;
use testkit::stand_in::{Protocol, until};
use testkit::wire::now_us;

const BOTH_WAYS: usize = 3;

fn shape(protocol: Protocol) -> Shape<'static> {
    Shape {
        protocol,
        ttl_ms: LONG_TTL_MS,
        ..Shape::default()
    }
}

fn pair() -> Lab {
    let lab = Lab::voting(shape(Protocol::Tower));
    lab.await_peers("a", 1);
    lab
}

/// Hands over by `words` at `at`, from one node to the other; says how long nobody voted.
#[track_caller]
pub(crate) fn moves(lab: &Scene, from: &str, to: &str, at: &str, words: &[&str]) -> u64 {
    lab.node(to).await_role("standby");
    let ready = until(SOON_MS, || lab.knows_as_ready(from, to));
    assert!(ready, "{from} does not know {to} as ready");
    let from_us = now_us();
    let text = lab.node(at).must_end(words, 0);
    lab.await_votes_of(to, 5, SOON_MS);
    assert!(
        at == to || text.contains(&format!("{to} votes, under term")),
        "{text}"
    );
    lab.longest_gap_ms(from_us, 3)
}

#[test]
fn there_and_back_costs_no_validator_and_no_vote_of_the_wrong_node() {
    for protocol in [Protocol::Tower, Protocol::Alpenglow] {
        let mut lab = Lab::voting(shape(protocol));
        let validators = ["a", "b"].map(|name| lab.node(name).validator());
        let mut gaps = Vec::new();
        for _ in 0..BOTH_WAYS {
            gaps.push(moves(&lab, "a", "b", "a", &["handover"]));
            gaps.push(moves(&lab, "b", "a", "b", &["handover", "--to", "a"]));
        }
        println!("{protocol:?}: handovers of {gaps:?} ms without a vote");
        assert_eq!(
            ["a", "b"].map(|name| lab.node(name).validator()),
            validators
        );
        assert_eq!(lab.read_ledger(), 2 * BOTH_WAYS + 1, "terms with votes");
        lab.end();
    }
}

#[test]
fn a_promotion_of_the_standby_is_a_handover_too() {
    let lab = pair();
    let validators = ["a", "b"].map(|name| lab.node(name).validator());
    moves(&lab, "a", "b", "b", &["promote"]);
    assert_eq!(
        ["a", "b"].map(|name| lab.node(name).validator()),
        validators
    );
    lab.node("a").await_role("standby");
    lab.end();
}

#[test]
fn a_parked_node_is_promoted_by_its_operator_while_the_other_votes() {
    let lab = pair();
    moves(&lab, "a", "b", "a", &["demote"]);
    lab.node("a").await_role("parked");
    let text = lab.node("a").must_end(&["promote"], 0);
    assert!(
        text.contains("asking b, which votes, to hand over"),
        "{text}"
    );
    lab.await_votes_of("a", 5, SOON_MS);
    lab.end();
}

#[test]
fn without_a_ready_standby_it_is_refused_with_the_reason_and_voting_goes_on() {
    let lab = pair();
    lab.node("b").must(&["demote"]);
    let refused = || said(&lab.node("a").ctl(&["handover"])).contains("b is parked");
    assert!(until(SOON_MS, refused), "the reason is not named");
    let text = lab.node("a").must_end(&["handover", "--to", "c"], 1);
    assert!(text.contains("no node called c is there"), "{text}");
    let text = lab.node("b").must_end(&["handover"], 1);
    assert!(text.contains("and a votes"), "{text}");
    lab.await_votes_of("a", 5, SOON_MS);
    lab.end();
}

#[test]
fn it_waits_for_a_stretch_without_leader_slots_unless_told_not_to() {
    let mut lab = Lab::new(shape(Protocol::Tower));
    let now = lab.chain.slot();
    lab.chain.set_leader_slots(&lab.identity, now..now + 20_000);
    lab.start_voting();
    lab.await_peers("a", 1);
    let text = lab.node("a").must_end(&["handover", "--timeout", "2s"], 3);
    assert!(text.contains("without a leader slot"), "{text}");
    let next = text.split("the next one is ").nth(1).unwrap_or_default();
    let next: u64 = next
        .split(|c: char| !c.is_ascii_digit())
        .next()
        .and_then(|slot| slot.parse().ok())
        .unwrap_or_default();
    assert!((now..now + 20_000).contains(&next), "{text}");
    lab.await_votes_of("a", 5, SOON_MS);
    moves(&lab, "a", "b", "a", &["handover", "--now"]);
    lab.end();
}

#[test]
fn a_restart_of_the_voter_hands_over_first() {
    let lab = pair();
    let validators = ["a", "b"].map(|name| lab.node(name).validator());
    let text = lab.node("a").must_end(&["restart"], 0);
    assert!(text.contains("the validator is up"), "{text}");
    assert_ne!(lab.node("a").validator(), validators[0]);
    assert_eq!(lab.node("b").validator(), validators[1]);
    assert_eq!(lab.await_one_voter(BACK_WITHIN_MS), "b");
    lab.end();
}

#[test]
fn a_successor_whose_validator_is_frozen_gives_the_term_back() {
    let lab = pair();
    assert!(stop_validator(lab.node("b")));
    let text = lab.node("a").must_end(&["handover", "--now"], 1);
    assert!(
        text.contains("gave the term back") || text.contains("no standby is ready"),
        "{text}"
    );
    lab.await_votes_of("a", 5, SOON_MS);
    continue_validator(lab.node("b"));
    assert_eq!(lab.await_one_voter(BACK_WITHIN_MS), "a");
    lab.end();
}

/// Has `a` hand over in the background, and does something as soon as `a` is off.
fn while_handing_over(lab: &mut Lab, then: impl FnOnce(&mut Lab)) {
    let mut command = lab.node("a").ctl_command(&["handover", "--now"]);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut client = command.spawn().expect("supervisor ctl");
    let begun = until(SOON_MS, || {
        lab.node("a").log().contains("active -> demoting")
    });
    assert!(begun, "it does not begin");
    then(lab);
    // How it ends for the operator is shown elsewhere.
    let _ = client.kill();
    let _ = client.wait();
}

#[test]
fn the_death_of_either_supervisor_on_the_way_leaves_one_voter() {
    for victim in ["a", "b"] {
        let mut lab = pair();
        while_handing_over(&mut lab, |lab| lab.node_mut(victim).kill());
        let voter = lab.await_one_voter(LONG_TTL_MS - TTL_MS + BACK_WITHIN_MS);
        assert_ne!(voter, victim);
        lab.node_mut(victim).start();
        lab.node(victim).await_role("standby");
        lab.end();
    }
}

#[test]
fn the_death_of_either_validator_on_the_way_leaves_one_voter() {
    for victim in ["a", "b"] {
        let mut lab = pair();
        let pid = lab.node(victim).validator();
        while_handing_over(&mut lab, |_| signal(pid, Signal::SIGKILL));
        lab.await_one_voter(BACK_WITHIN_MS);
        lab.end();
    }
}

#[test]
fn a_drill_moves_nothing_and_a_rolling_restart_leaves_the_voter_what_it_was() {
    let lab = pair();
    let validators = || ["a", "b"].map(|name| lab.node(name).validator());
    let before = validators();
    // Near a leader slot, and with a status that is not there yet, it says that a handover would wait.
    let through = || lab.node("a").ctl(&["drill"]).status.code() == Some(0);
    assert!(
        until(SOON_MS, through),
        "{}",
        said(&lab.node("a").ctl(&["drill"]))
    );
    assert_eq!(validators(), before);
    lab.await_votes_of("a", 5, SOON_MS);
    let text = lab.node("a").must_end(&["restart", "--rolling"], 0);
    assert!(text.contains("both validators restarted"), "{text}");
    assert_eq!(lab.await_one_voter(BACK_WITHIN_MS), "a");
    for (before, after) in before.into_iter().zip(validators()) {
        assert_ne!(before, after);
    }
    lab.end();
}
