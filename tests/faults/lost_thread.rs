//! Alpenglow: a validator whose thread that votes is gone, and the process goes on. It is up, healthy and at the tip, and will never vote
//! again; and what keeps it from getting there.

use crate::SOON_MS;
use crate::lab::BACK_WITHIN_MS;
use crate::pair::Pair;
use testkit::stand_in::{Protocol, until};

/// From the demotion to the restart: the time that a promotion has, and a reading.
const STARTED_ANEW_WITHIN_MS: u64 = 60_000;

#[test]
fn a_successor_that_loses_it_gives_the_term_back_and_its_validator_is_started_anew() {
    let pair = Pair::voting(Protocol::Alpenglow, false, "");
    let before = pair.node("b").validator();
    let lost = [("lose_voting_thread", "true")];
    pair.node("b").stand_in.faults(&lost).expect("a fault");
    let text = pair.node("a").must_end(&["handover", "--now"], 1);
    assert!(text.contains("b gave the term back"), "{text}");
    pair.await_votes_of("a", 5, SOON_MS);
    pair.node("b").stand_in.faults(&[]).expect("no fault");
    let anew = || {
        pair.node("b")
            .validator_now()
            .is_some_and(|pid| pid != before)
    };
    assert!(
        until(STARTED_ANEW_WITHIN_MS, anew),
        "its validator is as it was:\n{}",
        pair.node("b").log()
    );
    pair.node("b").await_role("standby");
    pair.await_ready();
    pair.node("a").must(&["handover", "--now"]);
    pair.await_votes_of("b", 5, SOON_MS);
    pair.end();
}

/// agave-votor 4.2 loses its thread where the vote history's root is above what the validator has finalized.
#[test]
fn a_successor_that_has_not_finalized_as_much_as_the_voter_takes_no_identity() {
    let pair = Pair::voting(Protocol::Alpenglow, false, "");
    pair.await_votes_of("a", 20, SOON_MS);
    let behind = [("root_behind", "200")];
    pair.node("b").stand_in.faults(&behind).expect("a fault");
    pair.node("a").must_end(&["handover", "--now"], 1);
    pair.await_votes_of("a", 5, SOON_MS);
    let log = pair.node("b").log();
    assert!(log.contains("has finalized slot"), "{log}");
    pair.node("b").stand_in.faults(&[]).expect("no fault");
    pair.node("b").await_role("standby");
    pair.await_ready();
    pair.node("a").must(&["handover", "--now"]);
    assert_eq!(pair.await_one_voter(BACK_WITHIN_MS), "b");
    pair.end();
}

/// The cluster may need this very vote to finalize anything.
#[test]
fn one_whose_root_stands_still_is_not_waited_for() {
    let pair = Pair::voting(Protocol::Alpenglow, false, "");
    pair.await_votes_of("a", 20, SOON_MS);
    let still = [("root_behind", "1000000")];
    pair.node("b").stand_in.faults(&still).expect("a fault");
    pair.node("a").must(&["handover", "--now"]);
    pair.await_votes_of("b", 5, SOON_MS);
    assert!(pair.node("b").log().contains("its root stands still"));
    pair.end();
}
