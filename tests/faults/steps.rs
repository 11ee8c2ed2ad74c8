//! Something fails in every step of a handover. What is to come of it is in [`crate::steps_table`].
//!
//! A run takes one step in three under each fault, others under the next one and in the next run; `FAULTS_STEPS=1` takes those again that
//! began with the second, and `FAULTS_STEPS=all` (`make steps`) all.

use crate::SOON_MS;
use crate::etcd_pair::EtcdPair;
use crate::hold::{self, Ground, Handover, Step};
use crate::lab::BACK_WITHIN_MS;
use crate::pair::Pair;
use crate::steps_table::{
    BETWEEN_PEERS, Fate, Fault, LATE_BETWEEN_PEERS, LATE_OVER_ETCD, OVER_ETCD, Table,
    UNHEARD_BETWEEN_PEERS,
};
use nix::sys::signal::Signal;
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use testkit::children::signal;
use testkit::node::said;
use testkit::stand_in::{Protocol, until};

/// A handover ends more validators than any node should put up with.
pub(crate) const MORE: &str = "[restart]\nmax = 1000\nwindow = \"1s\"";
/// From the fault to the first votes of whoever is to vote then, though nothing is mended.
const VOTES_WITHIN_MS: u64 = 20_000;
/// Longer than a standby that knows itself entitled takes to vote.
const SILENCE_MS: u64 = 1_000;
/// Longer than a link without a word lasts, a step, and a handover.
const LATE_SILENCE_MS: u64 = 13_000;
/// Without being asked for more: one step in so many.
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
fn a_cut_of_the_cable_that_nobody_has_noticed_yet() {
    with_peers(
        Fault::UnheardCut,
        Protocol::Alpenglow,
        &UNHEARD_BETWEEN_PEERS,
    );
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

#[test]
fn a_step_that_is_late() {
    with_peers(Fault::Late, Protocol::Tower, &LATE_BETWEEN_PEERS);
}

#[test]
fn a_step_that_is_late_over_etcd() {
    with_etcd(Fault::Late, Protocol::Alpenglow, &LATE_OVER_ETCD);
}

fn between_peers(fault: Fault, protocol: Protocol) {
    with_peers(fault, protocol, &BETWEEN_PEERS);
}

fn over_etcd(fault: Fault, protocol: Protocol) {
    with_etcd(fault, protocol, &OVER_ETCD);
}

fn with_peers<const S: usize, const F: usize>(
    fault: Fault,
    protocol: Protocol,
    table: &Table<S, F>,
) {
    let has_cable = matches!(fault, Fault::Cable | Fault::UnheardCut);
    let mut pair = Pair::new(protocol, has_cable, MORE);
    hold::lead(&pair);
    pair.begin();
    play(&mut pair, fault, chosen(table, fault));
    pair.end();
}

fn with_etcd<const S: usize, const F: usize>(
    fault: Fault,
    protocol: Protocol,
    table: &Table<S, F>,
) {
    let mut pair = EtcdPair::new(protocol, MORE);
    hold::lead(&pair);
    pair.begin();
    play(&mut pair, fault, chosen(table, fault));
    pair.end();
}

pub(crate) fn chosen<const S: usize, const F: usize>(
    table: &Table<S, F>,
    fault: Fault,
) -> Vec<(Step, Fate)> {
    let named = std::env::var("FAULTS_STEPS").unwrap_or_default();
    if named == "all" {
        return table.one_in(1, 0, fault);
    }
    let from = named.parse().unwrap_or_else(|_| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        now.map_or(0, |now| now.as_secs() as usize % ONE_STEP_IN)
    });
    println!("FAULTS_STEPS={from}");
    table.one_in(ONE_STEP_IN, from, fault)
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
        if self.fault != Fault::Late {
            handover.let_go(pair);
        }
        self.expect(pair, fate);
        if self.fault == Fault::Late {
            handover.let_go(pair);
        }
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
            Fault::Cable | Fault::UnheardCut | Fault::EtcdFrom => pair.cut(&self.from, true),
            Fault::EtcdTo => pair.cut(&self.to, true),
            Fault::Late => {}
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
            Fate::Nobody if self.fault == Fault::Late => return self.expect_silence(pair),
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

    /// Though nobody is dead or out of reach.
    #[track_caller]
    fn expect_silence(&self, pair: &impl Ground) {
        pair.nothing_can_be_committed();
        pair.expect_silence_for(LATE_SILENCE_MS);
        for name in ["a", "b"] {
            pair.chain.promoted(&pair.identity, name);
        }
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
            Fault::SupervisorFrom => self.start_again(pair, &self.from, &self.to),
            Fault::SupervisorTo => self.start_again(pair, &self.to, &self.from),
            Fault::ValidatorFrom | Fault::ValidatorTo | Fault::Late => {}
            Fault::Cable | Fault::UnheardCut | Fault::EtcdFrom => pair.cut(&self.from, false),
            Fault::EtcdTo => pair.cut(&self.to, false),
        }
    }

    /// Once the other one takes nothing for granted that the killed process said last.
    #[track_caller]
    fn start_again(&self, pair: &mut impl Ground, name: &str, other: &str) {
        let noticed = until(SOON_MS, || pair.has_lost_the_other(other));
        assert!(noticed, "{self:?}: {other} does not miss {name}");
        pair.node_mut(name).start();
    }
}
