//! The tests' own means: a vote that nobody committed does not escape them.

use crate::SOON_MS;
use crate::lab::{Lab, Shape};
use testkit::keys;
use testkit::stand_in::{Protocol, StandIn};

#[test]
fn a_validator_that_votes_past_the_supervisors_is_found_out() {
    for protocol in [Protocol::Tower, Protocol::Alpenglow] {
        let mut lab = Lab::voting(Shape {
            protocol,
            ..Shape::default()
        });
        let dir = lab.dir.path().join("stray");
        std::fs::create_dir(&dir).expect("a directory");
        let staked = keys::from_seed("the staked identity");
        let vote_account = &lab.node("a").stand_in.vote_account;
        let stray = StandIn::new(
            &dir,
            "stray",
            lab.chain.addr(),
            protocol,
            vote_account,
            &staked,
        );
        let stray = stray.expect("a stand-in");
        stray.link("staked.json").expect("a link");
        let running = stray.start().expect("a validator without a supervisor");
        lab.await_votes_of("stray", 3, SOON_MS);
        drop(running);
        lab.chain.settle();
        lab.read_ledger();
        let found = lab.accounted().expect_err("a vote that nobody committed");
        assert!(found.contains("stray sent a vote"), "{found}");
    }
}
