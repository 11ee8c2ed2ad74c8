//! Two machines and a way to switch one off: a standby whose holder is silent ends it, and takes over only then.

use crate::SOON_MS;
use crate::hold::{self, Handover, Step};
use crate::lab::BACK_WITHIN_MS;
use crate::pair::Pair;
use crate::steps::{MORE, chosen};
use crate::steps_table::{Fault, WITH_A_SWITCH};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use testkit::node::said;
use testkit::stand_in::{Protocol, until};
use testkit::wire::now_us;

/// The chain must have been quiet for five seconds; the rest is for a busy machine.
const FENCED_MS: u64 = 60_000;

/// The switch of a machine: a script that is told whom to end, writes that down, and does what is asked of it.
struct Switch {
    dir: tempfile::TempDir,
}

impl Switch {
    /// `does`: shell, with the process number of the node's supervisor as `$pid`.
    fn new(does: &str) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let at = dir.path().display();
        let script =
            format!("#!/bin/sh\necho \"$1 $2\" >>'{at}/calls'\npid=$(cat '{at}/'$1.pid)\n{does}\n");
        let switch = Self { dir };
        std::fs::write(switch.script(), script).expect("a script");
        let mode = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(switch.script(), mode).expect("its mode");
        switch
    }

    fn script(&self) -> PathBuf {
        self.dir.path().join("switch")
    }

    fn config(&self, within: &str) -> String {
        let script = self.script();
        format!("fence = [{script:?}, \"{{node}}\", \"{{address}}\"]\nfence_within = {within:?}")
    }

    /// It ends the supervisor that runs now.
    fn wire(&self, pair: &Pair, name: &str) {
        let pid = pair.node(name).supervisor().to_string();
        std::fs::write(self.dir.path().join(format!("{name}.pid")), pid).expect("a file");
    }

    fn calls(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.dir.path().join("calls")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

/// `a` votes, and each can switch the other one off.
fn armed(protocol: Protocol, switch: &Switch, within: &str) -> Pair {
    let pair = Pair::voting(protocol, true, &switch.config(within));
    for name in ["a", "b"] {
        switch.wire(&pair, name);
    }
    pair
}

fn cut_off(pair: &Pair, name: &str, other: &str) {
    pair.network().cut(name, "chain");
    pair.network().cut(name, other);
}

#[test]
fn a_holder_that_is_cut_off_is_switched_off_and_followed() {
    for protocol in [Protocol::Tower, Protocol::Alpenglow] {
        let switch = Switch::new("kill -9 $pid");
        let mut pair = armed(protocol, &switch, "5s");
        let address = pair.network().host("a").address();
        let from_us = now_us();
        cut_off(&pair, "a", "b");
        pair.await_votes_of("b", 5, FENCED_MS);
        println!(
            "{protocol:?}: cut off and switched off, {} ms without a vote",
            pair.gap_ms("b", from_us)
        );
        assert_eq!(switch.calls(), [format!("a {address}")]);
        assert!(pair.node_mut("a").ended().is_some(), "a lives");
        assert!(pair.node("b").log().contains("CAUSE=\"holder-silent\""));
        // Started again, it is one of two, and switches nobody off.
        pair.network().heal();
        pair.node_mut("a").start();
        pair.node("a").await_role("standby");
        assert_eq!(pair.await_one_voter(BACK_WITHIN_MS), "b");
        assert_eq!(switch.calls().len(), 1);
        pair.end();
    }
}

/// In a step from the end of the term on, after which nobody could vote without a switch; `make steps` takes all.
#[test]
fn an_heir_that_dies_is_switched_off_and_the_node_that_handed_over_votes_again() {
    let switch = Switch::new("kill -9 $pid 2>/dev/null\nexit 0");
    let more = format!("{}\n{MORE}", switch.config("5s"));
    let mut pair = Pair::new(Protocol::Tower, true, &more);
    hold::lead(&pair);
    pair.begin();
    for (step, _) in chosen(&WITH_A_SWITCH, Fault::SupervisorTo) {
        let from = pair.await_one_voter(BACK_WITHIN_MS);
        let to = if from == "a" { "b" } else { "a" };
        for name in ["a", "b"] {
            pair.chain.promoted(&pair.identity, name);
            switch.wire(&pair, name);
        }
        pair.await_ready();
        let before = switch.calls().len();
        let mut handover = Handover::held_at(step, &pair, &from, to);
        let from_us = now_us();
        pair.node_mut(to).kill();
        handover.let_go(&pair);
        let voter = pair.await_one_voter(FENCED_MS);
        assert_eq!(voter, from, "{step:?}");
        let gap_ms = pair.gap_ms(&from, from_us);
        println!("{step:?}: switched off, {gap_ms} ms without a vote");
        let calls = switch.calls().split_off(before);
        assert!(
            calls.iter().all(|call| call.starts_with(to)) && !calls.is_empty(),
            "{step:?}: {calls:?}"
        );
        drop(handover);
        pair.node_mut(to).start();
    }
    pair.await_ready();
    pair.end();
}

/// Neither can know whether the other one votes: they take turns, and who is switched off is the one that votes no more.
#[test]
fn a_cut_while_the_term_passes_ends_with_one_node_switched_off_and_the_other_one_voting() {
    let switch = Switch::new("kill -9 $pid");
    for step in [Step::End, Step::Ended] {
        let mut pair = Pair::new(
            Protocol::Alpenglow,
            true,
            &format!("{}\n{MORE}", switch.config("5s")),
        );
        hold::lead(&pair);
        pair.begin();
        for name in ["a", "b"] {
            pair.chain.promoted(&pair.identity, name);
            switch.wire(&pair, name);
        }
        let before = switch.calls().len();
        let mut handover = Handover::held_at(step, &pair, "a", "b");
        let from_us = now_us();
        pair.cut_cable(true);
        handover.let_go(&pair);
        let voter = pair.await_one_voter(FENCED_MS);
        let gap_ms = pair.gap_ms(&voter, from_us);
        println!("{step:?}: {voter} votes, {gap_ms} ms without a vote");
        let other = if voter == "a" { "b" } else { "a" };
        let calls = switch.calls().split_off(before);
        assert!(
            matches!(&calls[..], [call] if call.starts_with(other)),
            "{step:?}: {calls:?}"
        );
        assert!(pair.node_mut(other).ended().is_some(), "{other} lives");
        drop(handover);
        pair.end();
    }
}

#[test]
fn a_cut_cable_switches_nobody_off_while_votes_show() {
    let switch = Switch::new("kill -9 $pid");
    let pair = armed(Protocol::Tower, &switch, "5s");
    pair.cut_cable(true);
    // Well beyond the quiet that is asked for, at a vote a slot.
    pair.await_votes_of("a", 200, FENCED_MS);
    let text = pair.node("b").must_end(&["promote"], 4);
    assert!(text.contains("the node that votes is not dead"), "{text}");
    assert!(switch.calls().is_empty(), "{:?}", switch.calls());
    pair.cut_cable(false);
    assert_eq!(pair.await_one_voter(BACK_WITHIN_MS), "a");
    pair.end();
}

/// The record of the other one lacks what was voted alone.
#[test]
fn a_holder_that_voted_on_alone_is_switched_off_and_not_followed_without_an_operator() {
    for protocol in [Protocol::Tower, Protocol::Alpenglow] {
        // One that is off already is off.
        let switch = Switch::new("exit 0");
        let mut pair = armed(protocol, &switch, "5s");
        pair.cut_cable(true);
        // Longer than votes take to show.
        pair.let_ms_pass(8_000);
        pair.await_votes_of("a", 5, SOON_MS);
        // Its host loses its power.
        pair.node_mut("a").kill();
        pair.nothing_can_be_committed();
        pair.node("b")
            .await_log("say `promote --accept-double-vote-risk`");
        // It is entitled to the term from here on, and may not use it, neither by itself nor for who does not know the risk.
        pair.expect_silence_for(5_000);
        pair.node("b").must_end(&["promote"], 4);
        pair.expect_silence_for(1_000);
        assert_eq!(switch.calls().len(), 1, "{:?}", switch.calls());
        assert_ne!(pair.node("b").role().as_deref(), Some("active"));
        for name in ["a", "b"] {
            pair.chain.promoted(&pair.identity, name);
        }
        // It has the records.
        pair.network().heal();
        pair.node_mut("a").start();
        pair.await_one_voter(BACK_WITHIN_MS);
        pair.end();
    }
}

#[test]
fn a_switch_that_fails_or_hangs_proves_nothing() {
    for (does, says) in [
        ("exit 3", "it ended with exit code 3"),
        ("sleep 600", "it had not ended after 1s, and was killed"),
    ] {
        let switch = Switch::new(does);
        let mut pair = armed(Protocol::Tower, &switch, "1s");
        pair.node_mut("a").kill();
        pair.nothing_can_be_committed();
        pair.node("b").await_log(says);
        let again = || switch.calls().len() >= 2;
        assert!(until(FENCED_MS, again), "tried once: {:?}", switch.calls());
        let asked = || {
            let output = pair.node("b").ctl(&["promote"]);
            output.status.code() == Some(4) && said(&output).contains(says)
        };
        assert!(until(SOON_MS, asked), "an operator is not told of it");
        pair.expect_silence_for(500);
        assert_ne!(pair.node("b").role().as_deref(), Some("active"));
        // What was silent comes back, and everything is as it should be.
        for name in ["a", "b"] {
            pair.chain.promoted(&pair.identity, name);
        }
        pair.node_mut("a").start();
        pair.await_one_voter(BACK_WITHIN_MS);
        pair.end();
    }
}
