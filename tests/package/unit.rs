//! The unit under a real systemd: readiness, status, reload, watchdog and stop.

use std::time::{Duration, Instant};

use nix::unistd::Pid;
use testkit::children::lives;
use testkit::stand_in::until;

use crate::hold::Held;
use crate::voter::{UNIT, Voter};

#[test]
fn a_start_returns_when_the_validator_answers_and_a_stop_ends_it_in_order() {
    let voter = Voter::new();
    let machine = &voter.machine;
    voter.faults(&[("start_ms", "3000")]);
    let before = Instant::now();
    machine.must(&["systemctl", "start", UNIT]);
    assert!(
        before.elapsed() >= Duration::from_millis(2_900),
        "{:?}",
        before.elapsed()
    );
    assert_eq!(machine.property(UNIT, "ActiveState"), "active");
    machine.await_property(UNIT, "StatusText", |text| {
        text.starts_with("standby · slot ")
    });
    machine.must(&["supervisor", "ctl", "promote", "--first-vote"]);
    machine.await_property(UNIT, "StatusText", |text| {
        text.starts_with("active · term 1 · slot ") && text.ends_with(" waiting")
    });
    voter.await_votes(3);

    machine.must(&["systemctl", "stop", UNIT]);
    assert_eq!(
        (
            machine.property(UNIT, "Result"),
            machine.property(UNIT, "ExecMainStatus")
        ),
        ("success".into(), "0".into())
    );
    let journal = machine.journal();
    assert!(journal.contains("validator exit requested"), "{journal}");
    assert_eq!(machine.says(&["pgrep", "stand-in"]), "");
    voter.chain.expect_clean();
}

#[test]
fn members_of_the_group_may_use_ctl_also_after_a_reload_and_others_may_not() {
    let voter = Voter::new();
    let machine = &voter.machine;
    machine.must(&["useradd", "--groups", "validator-supervisor", "deputy"]);
    machine.must(&["useradd", "stranger"]);
    machine.must(&["systemctl", "start", UNIT]);
    let status_as = |user: &str| {
        machine
            .run(&["runuser", "-u", user, "--", "supervisor", "ctl", "status"])
            .status
            .success()
    };
    for _ in 0..2 {
        for user in ["sol", "deputy"] {
            assert!(
                status_as(user),
                "{user}\n{}",
                machine.says(&["ls", "-la", "/run/validator-supervisor"])
            );
        }
        assert!(!status_as("stranger"));
        let config = machine.path("/etc/validator-supervisor/config.toml");
        let text = std::fs::read_to_string(&config)
            .expect("the configuration")
            .replace("#max = 5", "max = 9");
        std::fs::write(&config, text).expect("a changed configuration");
        machine.must(&["systemctl", "reload", UNIT]);
        machine.await_property(UNIT, "ActiveState", |state| state == "active");
        let told = until(10_000, || machine.journal().contains("restart.max is 9"));
        assert!(told, "{}", machine.journal());
    }
}

#[test]
fn a_supervisor_that_hangs_is_killed_with_its_validator_and_both_come_back() {
    let voter = Voter::new();
    voter.vote(UNIT);
    let machine = &voter.machine;
    let pid = machine.property(UNIT, "MainPID");
    machine.must(&["kill", "-STOP", &pid]);
    machine.await_property(UNIT, "NRestarts", |count| count == "1");
    assert!(
        machine.journal().contains("Watchdog timeout"),
        "{}",
        machine.journal()
    );
    machine.await_property(UNIT, "ActiveState", |state| state == "active");
    assert_ne!(machine.property(UNIT, "MainPID"), pid);
    assert_eq!(machine.must(&["pgrep", "-c", "stand-in"]).trim(), "1");
    voter.await_role("active");
    voter.await_votes(3);
    voter.chain.expect_clean();
}

#[test]
fn a_loop_that_hangs_alone_lets_no_vote_out_and_the_watchdog_ends_the_unit() {
    let voter = Voter::new();
    voter.vote(UNIT);
    let machine = &voter.machine;
    let pid = machine.property(UNIT, "MainPID");
    let validator = machine.must(&["pgrep", "stand-in"]);
    let outer = machine.outer_pid(&pid);
    let held = Held::stopped(outer);
    // Votes go out until the gate takes the loop for hanging, and then none does.
    let silent = until(30_000, || {
        let votes = voter.chain.votes().len();
        voter.chain.let_slots_pass(10);
        voter.chain.settle();
        voter.chain.votes().len() == votes
    });
    assert!(silent, "votes go on\n{}", machine.journal());
    let votes = voter.chain.votes().len();
    assert_eq!(machine.says(&["pgrep", "stand-in"]), validator);

    // Its parent hears of the end when the one that holds it lets go.
    let killed = until(30_000, || !lives(outer.as_raw()));
    assert!(killed, "{}", machine.journal());
    voter.chain.settle();
    assert_eq!(voter.chain.votes().len(), votes, "{}", machine.journal());
    drop(held);
    machine.await_property(UNIT, "NRestarts", |count| count == "1");
    let journal = machine.journal();
    assert!(journal.contains("Watchdog timeout"), "{journal}");
    machine.await_property(UNIT, "ActiveState", |state| state == "active");
    assert_ne!(machine.must(&["pgrep", "stand-in"]), validator);
    voter.await_role("active");
    voter.await_votes(3);
    voter.chain.expect_clean();
}

#[test]
fn a_killed_supervisor_takes_its_validator_along_and_both_come_back() {
    let voter = Voter::new();
    voter.vote(UNIT);
    let machine = &voter.machine;
    let validator = machine.must(&["pgrep", "stand-in"]);
    machine.must(&["kill", "-KILL", &machine.property(UNIT, "MainPID")]);
    machine.await_property(UNIT, "NRestarts", |count| count == "1");
    assert_ne!(machine.says(&["pgrep", "stand-in"]), validator);
    voter.await_role("active");
    voter.await_votes(3);
    voter.chain.expect_clean();
}
