//! The unit under a real systemd: readiness, status, reload, watchdog, journal, stop, and the drop-in for another unit.

use std::time::{Duration, Instant};

use serde_json::Value;
use testkit::stand_in::until;

use crate::machine::Machine;
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
fn the_journal_has_fields_to_search_by() {
    let voter = Voter::new();
    voter.vote(UNIT);
    let machine = &voter.machine;
    let mut entries = Vec::new();
    let complete = until(10_000, || {
        entries = entries_of(machine, &["ROLE=active"]);
        !entries.is_empty()
    });
    assert!(complete, "{}", machine.journal());
    let active = &entries[0];
    assert_eq!(
        (&active["TERM"], &active["_SYSTEMD_UNIT"]),
        (&Value::from("1"), &Value::from(UNIT)),
        "{active}"
    );
    assert!(
        active["EVENT"].is_string() && active["PRIORITY"].is_string(),
        "{active}"
    );
    assert_eq!(entries_of(machine, &["EVENT=child-started"]).len(), 1);
    voter.chain.expect_clean();
}

fn entries_of(machine: &Machine, matches: &[&str]) -> Vec<Value> {
    let words = [&["journalctl", "--output=json", "--no-pager"], matches].concat();
    let text = machine.says(&words);
    text.lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
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

#[test]
fn the_drop_in_puts_an_existing_unit_under_the_supervisor_and_comes_out_again() {
    let voter = Voter::new();
    let machine = &voter.machine;
    let sol = "[Service]\nUser=sol\nRestart=always\nExecStart=/home/sol/bin/validator.sh\nExecReload=/bin/false\n[Install]\nWantedBy=multi-user.target\n";
    std::fs::write(machine.path("/etc/systemd/system/sol.service"), sol).expect("a unit");
    machine.must(&["systemctl", "daemon-reload"]);
    machine.must(&["systemctl", "start", "sol"]);

    machine.must(&["mkdir", "/etc/systemd/system/sol.service.d"]);
    machine.must(&[
        "cp",
        "/usr/share/doc/validator-supervisor/examples/10-validator-supervisor.conf",
        "/etc/systemd/system/sol.service.d/",
    ]);
    machine.must(&["systemctl", "daemon-reload"]);
    machine.must(&["systemctl", "restart", "sol"]);
    voter.vote("sol.service");
    machine.must(&["systemctl", "reload", "sol"]);
    assert_eq!(machine.must(&["pgrep", "-c", "stand-in"]).trim(), "1");

    machine.must(&["rm", "-r", "/etc/systemd/system/sol.service.d"]);
    machine.must(&["systemctl", "daemon-reload"]);
    machine.must(&["systemctl", "restart", "sol"]);
    let bare = until(10_000, || {
        machine.says(&["pgrep", "-a", "supervisor"]).is_empty()
            && !machine.says(&["pgrep", "stand-in"]).is_empty()
    });
    assert!(bare, "{}", machine.journal());
}
