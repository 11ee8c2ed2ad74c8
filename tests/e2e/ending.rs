//! The end: in order where the validator follows, by force and in time where it does not; and the supervisor's own death.

use crate::lab::{Lab, SOON_MS, lives};
use nix::sys::signal::Signal;
use std::time::Instant;
use testkit::stand_in::{Protocol, until};

/// Stops a voting node, and says how long that took.
fn stop(mut lab: Lab, by: Signal) -> (u128, String) {
    let child = lab.await_child();
    let began = Instant::now();
    lab.signal(by);
    let status = lab.ended();
    let took_ms = began.elapsed().as_millis();
    lab.chain.demoted(&lab.identity, Some("a"));
    assert_eq!(
        status.and_then(|status| status.code()),
        Some(0),
        "{}",
        lab.log()
    );
    assert!(!lives(child), "the validator outlives its supervisor");
    let link = std::fs::read_link(lab.path("identity.json")).expect("the link");
    assert!(link.ends_with("unstaked.json"), "{}", link.display());
    assert!(
        !lab.path("ctl.sock").exists(),
        "the control socket goes with the supervisor"
    );
    lab.chain.let_slots_pass(10);
    let log = lab.log();
    lab.end();
    (took_ms, log)
}

#[test]
fn sigint_mutes_takes_the_identity_off_and_asks_the_validator_to_exit() {
    let (_, log) = stop(Lab::voting(Protocol::Alpenglow), Signal::SIGINT);
    let place = |text: &str| {
        log.rfind(text)
            .unwrap_or_else(|| panic!("no `{text}` in\n{log}"))
    };
    assert!(place("removed all authorized voters") < place("Identity set to"));
    assert!(place("Identity set to") < place("validator exit requested"));
    assert!(
        !log.contains("ending on a signal"),
        "an obedient validator gets no signal\n{log}"
    );
}

#[test]
fn a_validator_that_does_not_exit_gets_sigterm_and_one_that_ignores_it_is_killed_in_time() {
    let lab = Lab::new(Protocol::Tower);
    lab.configure("[validator]\nstop_timeout = \"2s\"\n");
    lab.node
        .faults(&[("exit_ms", "600000"), ("ignore_sigterm", "true")])
        .expect("faults");
    let (took_ms, log) = stop(lab.started_voting(), Signal::SIGTERM);
    assert!(
        log.contains("validator exit requested") && log.contains("SIGTERM ignored"),
        "{log}"
    );
    assert!((1_900..8_000).contains(&took_ms), "{took_ms} ms");
}

#[test]
fn a_validator_whose_admin_socket_hangs_is_stopped_all_the_same() {
    let lab = Lab::voting(Protocol::Tower);
    lab.node.faults(&[("admin", "hang")]).expect("a fault");
    let (_, log) = stop(lab, Signal::SIGTERM);
    assert!(log.contains("killing it"), "{log}");
}

#[test]
fn a_stop_while_the_validator_starts_is_obeyed() {
    let mut lab = Lab::new(Protocol::Tower);
    lab.node.faults(&[("start_ms", "600000")]).expect("a fault");
    lab.start();
    let child = lab.await_child();
    lab.signal(Signal::SIGTERM);
    lab.signal(Signal::SIGTERM);
    assert_eq!(
        lab.ended().and_then(|status| status.code()),
        Some(0),
        "{}",
        lab.log()
    );
    assert!(!lives(child));
    lab.end();
}

#[test]
fn a_killed_supervisor_takes_the_validator_with_it_also_behind_a_start_script() {
    let mut lab = Lab::new(Protocol::Tower);
    let link = format!("link = \"{}\"\n", lab.path("identity.json").display());
    lab.configure_identity(&link, "");
    let words = lab.start_script("true");
    lab.run(&words);
    lab.promote_first();
    let child = lab.await_child();
    lab.signal(Signal::SIGKILL);
    lab.ended();
    assert!(
        until(SOON_MS, || !lives(child)),
        "the validator outlives its supervisor"
    );
    lab.chain.demoted(&lab.identity, Some("a"));
    lab.chain.let_slots_pass(10);
    lab.end();
}

/// One that votes dies of its gate already.
#[test]
fn a_killed_supervisor_takes_a_validator_with_it_that_does_not_vote() {
    let mut lab = Lab::new(Protocol::Tower);
    lab.start();
    lab.await_role("standby");
    let child = lab.await_child();
    lab.signal(Signal::SIGKILL);
    lab.ended();
    let ended = until(SOON_MS, || !lives(child));
    if !ended {
        // Nobody else would.
        crate::lab::signal(child, Signal::SIGKILL);
    }
    assert!(ended, "the validator outlives its supervisor");
    lab.end();
}

#[test]
fn a_supervisor_that_stands_still_lets_no_vote_out_and_goes_on_after() {
    let lab = Lab::voting(Protocol::Tower);
    lab.signal(Signal::SIGSTOP);
    assert!(until(SOON_MS, || {
        let stat =
            std::fs::read_to_string(format!("/proc/{}/stat", lab.supervisor())).unwrap_or_default();
        stat.contains(") T ")
    }));
    lab.expect_silence(20);
    lab.signal(Signal::SIGCONT);
    lab.await_votes(5);
    lab.end();
}

#[test]
fn a_supervisor_killed_again_and_again_votes_on_from_its_record() {
    let mut lab = Lab::voting(Protocol::Tower);
    for _ in 0..4 {
        lab.signal(Signal::SIGKILL);
        lab.ended();
        lab.start();
        lab.await_role("active");
        lab.await_votes(2);
    }
    lab.end();
}
