//! Something fails in every step of a handover. What is to come of it is in [`crate::steps_table`].
//!
//! Over etcd, where much is decided by the end of a lease, a run takes one step in three under each fault, and each step under two of
//! them; `FAULTS_STEPS=all` takes them all.

use crate::SOON_MS;
use crate::etcd_pair::EtcdPair;
use crate::hold::{self, Ground, Handover, Step};
use crate::lab::BACK_WITHIN_MS;
use crate::pair::Pair;
use crate::steps_table::{BETWEEN_PEERS, Fate, Fault, OVER_ETCD};
use nix::sys::signal::Signal;
use std::time::Instant;
use testkit::children::signal;
use testkit::node::said;
use testkit::stand_in::{Protocol, until};

/// A handover ends more validators than any node should put up with.
const MORE: &str = "[restart]\nmax = 1000\nwindow = \"1s\"";
/// From the fault to the first votes of whoever is to vote then, though nothing is mended.
const VOTES_WITHIN_MS: u64 = 20_000;
/// Longer than a standby that knows itself entitled takes to vote.
const SILENCE_MS: u64 = 1_000;
/// Over etcd, without being asked for more.
const ONE_STEP_IN: usize = 3;

#[test]
fn the_death_of_the_supervisor_that_hands_over_in_any_step() {
    between_peers(Fault::SupervisorFrom, Protocol::Tower);
}

#[test]
fn the_death_of_the_supervisor_that_is_to_vote_in_any_step() {
    between_peers(Fault::SupervisorTo, Protocol::Alpenglow);
}

#[test]
fn the_death_of_the_validator_that_hands_over_in_any_step() {
    between_peers(Fault::ValidatorFrom, Protocol::Alpenglow);
}

#[test]
fn the_death_of_the_validator_that_is_to_vote_in_any_step() {
    between_peers(Fault::ValidatorTo, Protocol::Tower);
}

#[test]
fn a_cut_of_the_cable_in_any_step() {
    between_peers(Fault::Cable, Protocol::Tower);
}

#[test]
fn the_death_of_the_supervisor_that_hands_over_over_etcd() {
    over_etcd(Fault::SupervisorFrom, Protocol::Alpenglow);
}

#[test]
fn the_death_of_the_supervisor_that_is_to_vote_over_etcd() {
    over_etcd(Fault::SupervisorTo, Protocol::Tower);
}

#[test]
fn the_death_of_the_validator_that_hands_over_over_etcd() {
    over_etcd(Fault::ValidatorFrom, Protocol::Tower);
}

#[test]
fn the_death_of_the_validator_that_is_to_vote_over_etcd() {
    over_etcd(Fault::ValidatorTo, Protocol::Alpenglow);
}

#[test]
fn a_cut_between_etcd_and_the_node_that_hands_over() {
    over_etcd(Fault::EtcdFrom, Protocol::Tower);
}

#[test]
fn a_cut_between_etcd_and_the_node_that_is_to_vote() {
    over_etcd(Fault::EtcdTo, Protocol::Alpenglow);
}

fn between_peers(fault: Fault, protocol: Protocol) {
    let mut pair = Pair::new(protocol, fault == Fault::Cable, MORE);
    hold::lead(&pair);
    pair.begin();
    play(&mut pair, fault, BETWEEN_PEERS.every(fault));
    pair.end();
}

fn over_etcd(fault: Fault, protocol: Protocol) {
    let mut pair = EtcdPair::new(protocol, MORE);
    hold::lead(&pair);
    pair.begin();
    let all = std::env::var("FAULTS_STEPS").is_ok_and(|steps| steps == "all");
    let so_many = if all { 1 } else { ONE_STEP_IN };
    play(&mut pair, fault, OVER_ETCD.one_in(so_many, fault));
    pair.end();
}

fn play(pair: &mut impl Ground, fault: Fault, fates: Vec<(Step, Fate)>) {
    for (step, fate) in fates {
        let began = Instant::now();
        let voter = Cell::new(pair, step, fault).play(pair, fate);
        let ms = began.elapsed().as_millis();
        println!("{fault:?} at {step:?}: {fate:?}, then {voter} votes, {ms} ms");
    }
}

/// One handover, and what fails in it.
#[derive(Clone, Debug)]
struct Cell {
    step: Step,
    fault: Fault,
    /// The one that votes.
    from: String,
    to: String,
}

impl Cell {
    fn new(pair: &impl Ground, step: Step, fault: Fault) -> Self {
        let from = pair.await_one_voter(BACK_WITHIN_MS);
        let to = if from == "a" { "b" } else { "a" }.to_owned();
        Self {
            step,
            fault,
            from,
            to,
        }
    }

    /// Says who votes in the end.
    #[track_caller]
    fn play(&self, pair: &mut impl Ground, fate: Fate) -> String {
        pair.await_ready();
        for name in ["a", "b"] {
            pair.chain.promoted(&pair.identity, name);
        }
        let mut handover = Handover::held_at(self.step, pair, &self.from, &self.to);
        self.strike(pair);
        handover.let_go(pair);
        self.expect(pair, fate);
        assert!(
            fate != Fate::From || !handover.has_succeeded(),
            "{self:?}: {}",
            handover.said()
        );
        drop(handover);
        self.mend(pair);
        let voter = pair.await_one_voter(BACK_WITHIN_MS);
        pair.await_ready();
        voter
    }

    fn strike(&self, pair: &mut impl Ground) {
        match self.fault {
            Fault::SupervisorFrom => pair.node_mut(&self.from).kill(),
            Fault::SupervisorTo => pair.node_mut(&self.to).kill(),
            Fault::ValidatorFrom => signal(pair.node(&self.from).validator(), Signal::SIGKILL),
            Fault::ValidatorTo => self.kill_successor(pair),
            Fault::Cable | Fault::EtcdFrom => pair.cut(&self.from, true),
            Fault::EtcdTo => pair.cut(&self.to, true),
        }
        let is_noticed = || pair.has_lost_the_other(&self.from);
        if self.fault == Fault::Cable && self.step.is_before_end() {
            assert!(until(SOON_MS, is_noticed), "{self:?}: not noticed");
        }
    }

    fn kill_successor(&self, pair: &impl Ground) {
        signal(pair.node(&self.to).validator(), Signal::SIGKILL);
        // Until it begins, the one that hands over still chooses.
        let is_unready = || !pair.knows_as_ready(&self.from, &self.to);
        if self.step == Step::Wait {
            assert!(until(SOON_MS, is_unready), "{self:?}: not noticed");
        }
    }

    /// Nothing is mended yet.
    #[track_caller]
    fn expect(&self, pair: &impl Ground, fate: Fate) {
        let expected = match fate {
            Fate::Nobody => return self.expect_nobody(pair),
            Fate::From => Some(&self.from),
            Fate::To => Some(&self.to),
            Fate::Either => None,
        };
        let voter = pair.await_one_voter(VOTES_WITHIN_MS);
        assert!(
            expected.is_none_or(|expected| *expected == voter),
            "{self:?}: {voter} votes"
        );
        let other = if voter == self.from {
            &self.to
        } else {
            &self.from
        };
        pair.chain.demoted(&pair.identity, Some(other));
    }

    /// Whoever is left stands by, says whom it cannot reach, and does not vote, not even where it is told to.
    #[track_caller]
    fn expect_nobody(&self, pair: &impl Ground) {
        let dead = match self.fault {
            Fault::SupervisorFrom => Some(&self.from),
            Fault::SupervisorTo => Some(&self.to),
            _ => None,
        };
        for name in [&self.from, &self.to] {
            if Some(name) != dead {
                let says = || {
                    pair.has_lost_the_other(name)
                        && pair.node(name).role().as_deref() == Some("standby")
                };
                let told = until(VOTES_WITHIN_MS, says);
                let status = pair.node(name).status();
                assert!(told, "{self:?}: {name} does not say so: {status:?}");
                // Nor may an operator who does not say that the other one is off.
                let output = pair.node(name).ctl(&["promote"]);
                let refused = output.status.code() == Some(4);
                assert!(refused, "{self:?}: {name}: {}", said(&output));
            }
        }
        pair.nothing_can_be_committed();
        pair.expect_silence_for(SILENCE_MS);
        for name in ["a", "b"] {
            pair.chain.promoted(&pair.identity, name);
        }
    }

    fn mend(&self, pair: &mut impl Ground) {
        for name in ["a", "b"] {
            pair.chain.promoted(&pair.identity, name);
        }
        match self.fault {
            Fault::SupervisorFrom => pair.node_mut(&self.from).start(),
            Fault::SupervisorTo => pair.node_mut(&self.to).start(),
            Fault::ValidatorFrom | Fault::ValidatorTo => {}
            Fault::Cable | Fault::EtcdFrom => pair.cut(&self.from, false),
            Fault::EtcdTo => pair.cut(&self.to, false),
        }
    }
}
