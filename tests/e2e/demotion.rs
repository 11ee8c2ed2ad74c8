//! Demotions and promotions that meet trouble: none leaves a vote behind, each ends with a sentence.

use crate::lab::{Lab, SOON_MS, said};
use testkit::stand_in::{Protocol, until};

/// Ten slots after a demotion that was answered: not one vote.
#[track_caller]
fn nothing_follows(lab: Lab) {
    lab.chain.demoted(&lab.identity, Some("a"));
    lab.chain.let_slots_pass(10);
    lab.end();
}

#[track_caller]
fn demoted_by_force(admin: (&str, &str)) {
    let lab = Lab::voting(Protocol::Tower);
    let child = lab.await_child();
    lab.node.faults(&[admin]).expect("a fault");
    let text = lab.must(&["demote"]);
    assert!(
        text.contains("killing the validator") && text.contains("nobody votes from here"),
        "{text}"
    );
    assert_ne!(lab.child(), Some(child));
    assert!(
        lab.log()
            .contains("The validator ended during the demotion (the supervisor killed it: "),
        "{}",
        lab.log()
    );
    lab.node.faults(&[]).expect("no fault");
    lab.await_role("parked");
    nothing_follows(lab);
}

#[test]
fn a_demotion_past_an_admin_socket_that_hangs_kills_and_is_done() {
    demoted_by_force(("admin", "hang"));
}

#[test]
fn a_demotion_past_an_admin_socket_that_talks_nonsense_kills_and_is_done() {
    demoted_by_force(("admin", "nonsense"));
}

#[test]
fn a_demotion_past_an_admin_socket_that_closes_half_way_kills_and_is_done() {
    demoted_by_force(("admin", "close"));
}

#[test]
fn a_demotion_past_an_identity_change_that_hangs_kills_and_is_done() {
    demoted_by_force(("admin_hang", "setIdentityFromBytes"));
}

#[test]
fn a_validator_that_votes_though_it_is_muted_is_taken_off_all_the_same() {
    let lab = Lab::voting(Protocol::Alpenglow);
    lab.node
        .faults(&[("vote_though_muted", "true")])
        .expect("a fault");
    lab.must(&["demote"]);
    lab.chain.demoted(&lab.identity, Some("a"));
    lab.node.faults(&[]).expect("no fault");
    lab.chain.let_slots_pass(20);
    lab.end();
}

#[test]
fn a_promotion_of_a_validator_that_stands_still_fails_and_says_why() {
    let mut lab = Lab::new(Protocol::Tower);
    lab.start();
    lab.await_role("standby");
    lab.node
        .faults(&[("stall_replay", "true")])
        .expect("a fault");
    let text = lab.must_end(&["promote", "--first-vote"], 1);
    assert!(
        text.contains("waiting for the validator to switch"),
        "{text}"
    );
    assert!(lab.chain.votes().is_empty());
    lab.node.faults(&[]).expect("no fault");
    lab.await_role("standby");
    lab.must(&["promote", "--first-vote"]);
    lab.await_votes(3);
    lab.must(&["demote"]);
    nothing_follows(lab);
}

#[test]
fn a_promotion_whose_admin_call_fails_leaves_a_standby() {
    let mut lab = Lab::new(Protocol::Tower);
    lab.start();
    lab.await_role("standby");
    let child = lab.await_child();
    lab.node.faults(&[("admin", "nonsense")]).expect("a fault");
    let text = lab.must_end(&["promote", "--first-vote"], 1);
    assert!(text.contains("setting the staked identity"), "{text}");
    lab.node.faults(&[]).expect("no fault");
    assert!(until(SOON_MS, || lab.role().as_deref() == Some("standby")
        && lab.child() != Some(child)));
    assert!(lab.chain.votes().is_empty());
    lab.end();
}

#[test]
fn a_promotion_whose_validator_dies_while_it_switches_waits_for_the_next_one_to_vote() {
    let mut lab = Lab::new(Protocol::Tower);
    lab.start();
    lab.await_role("standby");
    lab.must(&["promote", "--first-vote"]);
    lab.await_votes(5);
    lab.must(&["demote"]);
    lab.chain.demoted(&lab.identity, Some("a"));
    lab.must(&["resume"]);
    lab.await_role("standby");
    // The switch away has to be over before the next one is begun.
    lab.chain.let_slots_pass(10);
    lab.node
        .faults(&[("stall_replay", "true")])
        .expect("a fault");
    lab.chain.promoted(&lab.identity, "a");
    let child = lab.await_child();
    let output = std::thread::scope(|scope| {
        let promote = scope.spawn(|| lab.ctl(&["promote"]));
        let doing = || said(&lab.ctl(&["explain"])).contains("waiting for the validator to switch");
        assert!(until(SOON_MS, doing), "{}", lab.log());
        lab.node.faults(&[]).expect("no fault");
        crate::lab::signal(child, nix::sys::signal::Signal::SIGKILL);
        promote.join().expect("ctl promote")
    });
    let text = said(&output);
    assert_eq!(output.status.code(), Some(0), "{text}\n{}", lab.log());
    assert!(
        text.contains("the validator ended during the promotion (signal 9)")
            && text.contains("this node votes"),
        "{text}"
    );
    lab.await_votes(3);
    lab.end();
}

#[test]
fn a_node_parked_by_its_operator_stays_so_over_a_restart_until_it_is_resumed() {
    let mut lab = Lab::voting(Protocol::Tower);
    lab.must(&["demote"]);
    lab.chain.demoted(&lab.identity, Some("a"));
    for by in [
        nix::sys::signal::Signal::SIGTERM,
        nix::sys::signal::Signal::SIGKILL,
    ] {
        lab.signal(by);
        lab.ended();
        lab.start();
        lab.await_role("parked");
    }
    lab.chain.let_slots_pass(5);
    lab.must(&["resume"]);
    lab.must(&["resume"]);
    lab.await_role("standby");
    lab.chain.let_slots_pass(5);
    lab.chain.promoted(&lab.identity, "a");
    lab.must(&["promote"]);
    lab.await_votes(3);
    lab.end();
}

#[test]
fn a_parked_node_may_be_promoted_by_hand_and_is_parked_no_more() {
    let mut lab = Lab::voting(Protocol::Tower);
    lab.must(&["demote"]);
    lab.must(&["promote"]);
    lab.await_votes(3);
    lab.signal(nix::sys::signal::Signal::SIGKILL);
    lab.ended();
    lab.start();
    lab.await_role("active");
    lab.await_votes(3);
    lab.end();
}

#[test]
fn ten_demotions_and_promotions_leave_no_straggler() {
    for protocol in [Protocol::Tower, Protocol::Alpenglow] {
        let lab = Lab::voting(protocol);
        let mut child = lab.await_child();
        let mut restarts = 0;
        for _ in 0..10 {
            lab.must(&["demote"]);
            lab.chain.demoted(&lab.identity, Some("a"));
            lab.chain.let_slots_pass(12);
            lab.chain.settle();
            lab.await_role("parked");
            lab.chain.promoted(&lab.identity, "a");
            lab.must(&["promote"]);
            let now = lab.await_child();
            restarts += u32::from(std::mem::replace(&mut child, now) != now);
        }
        // A vote that a busy machine brings to the gate later than any quiet is refused, and costs its validator.
        assert!(restarts <= 2, "{protocol:?}: {restarts}\n{}", lab.log());
        lab.await_votes(3);
        lab.end();
    }
}
