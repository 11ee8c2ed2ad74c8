//! What the package brings, and what is left of it.

use crate::voter::{UNIT, Voter, installed, upgrade};

#[test]
fn an_installation_starts_nothing_and_tells_what_is_missing() {
    let machine = installed();
    assert!(
        machine
            .must(&["supervisor", "--version"])
            .starts_with("supervisor ")
    );
    assert_eq!(
        machine.says(&["systemctl", "is-enabled", UNIT]).trim(),
        "disabled"
    );
    assert_eq!(machine.property(UNIT, "ActiveState"), "inactive");
    machine.must(&["getent", "group", "validator-supervisor"]);
    assert_eq!(
        machine.says(&[
            "systemd-analyze",
            "verify",
            "--man=no",
            &format!("/usr/lib/systemd/system/{UNIT}")
        ]),
        ""
    );
    let files = machine.must(&["dpkg", "--listfiles", "validator-supervisor"]);
    for file in [
        "man1/supervisor.1.gz",
        "man1/supervisor-ctl-demote.1.gz",
        "completions/supervisor",
        "vendor-completions/_supervisor",
        "examples/10-validator-supervisor.conf",
        "copyright",
        "changelog.Debian.gz",
    ] {
        assert!(files.contains(file), "no {file} in\n{files}");
    }

    let check = machine.run(&["supervisor", "check"]);
    let text = String::from_utf8_lossy(&check.stdout);
    assert_eq!(check.status.code(), Some(1), "{text}");
    assert!(text.contains("/home/sol/staked-identity.json"), "{text}");

    machine.must(&["useradd", "sol"]);
    assert!(!machine.run(&["systemctl", "start", UNIT]).status.success());
    machine.await_property(UNIT, "ActiveState", |state| state == "failed");
    assert_eq!(
        (
            machine.property(UNIT, "ExecMainStatus"),
            machine.property(UNIT, "NRestarts")
        ),
        ("2".into(), "0".into())
    );
    assert!(
        machine.journal().contains("COMMAND"),
        "{}",
        machine.journal()
    );
}

#[test]
fn a_good_configuration_passes_the_check_of_root_and_then_of_the_user() {
    let voter = Voter::new();
    let machine = &voter.machine;
    let check = ["supervisor", "check", "--", "/home/sol/bin/validator.sh"];
    machine.must(&check);
    let as_user = [&["runuser", "-u", "sol", "--"][..], &check].concat();
    let passes = || {
        let checked = machine.must(&as_user);
        assert!(
            checked.contains("it would run") || checked.contains("all is well"),
            "{checked}"
        );
        checked
    };
    // The unit makes the directory of the state, which the user cannot.
    let of_the_unit = "`StateDirectory=validator-supervisor`";
    let checked = passes();
    let line = checked.lines().find(|line| line.contains("state_dir"));
    assert!(
        line.is_some_and(|line| line.starts_with("warning") && line.contains(of_the_unit)),
        "{checked}"
    );
    machine.must(&["systemctl", "start", UNIT]);
    machine.must(&["systemctl", "stop", UNIT]);
    assert!(!passes().contains(of_the_unit));

    // Without a unit nobody makes it, and a start says how to.
    machine.must(&["mv", "/var/lib/validator-supervisor", "/var/lib/elsewhere"]);
    let by_hand = [
        &["runuser", "-u", "sol", "--", "supervisor", "run", "--"][..],
        &check[3..],
    ]
    .concat();
    let said = machine.says(&by_hand);
    assert!(
        said.contains("set `StateDirectory=validator-supervisor` in the unit"),
        "{said}"
    );
    let remedy = "install --directory --mode=700 --owner=sol /var/lib/validator-supervisor";
    assert!(said.contains(remedy), "{said}");
    machine.must(&remedy.split(' ').collect::<Vec<_>>());
    assert!(!passes().contains("state_dir"));

    machine.must(&["chmod", "644", "/home/sol/staked-identity.json"]);
    assert_eq!(machine.run(&as_user).status.code(), Some(1));
}

#[test]
fn an_upgrade_and_a_removal_leave_a_running_validator_alone() {
    let voter = Voter::new();
    voter.vote(UNIT);
    let machine = &voter.machine;
    let pid = machine.property(UNIT, "MainPID");

    let said = upgrade(machine);
    assert!(said.contains("goes on with version"), "{said}");
    assert_eq!(machine.property(UNIT, "MainPID"), pid);
    let refused = machine.run(&["dpkg", "--remove", "validator-supervisor"]);
    assert!(!refused.status.success());
    assert_eq!(machine.property(UNIT, "MainPID"), pid);
    voter.await_votes(3);
    machine.must(&["supervisor", "--version"]);

    machine.must(&["systemctl", "restart", UNIT]);
    voter.await_role("active");
    voter.chain.expect_clean();
}

#[test]
fn a_purge_leaves_the_vote_record_and_nothing_else() {
    let voter = Voter::new();
    let machine = &voter.machine;
    machine.must(&["systemctl", "enable", UNIT]);
    voter.vote(UNIT);
    machine.must(&["systemctl", "stop", UNIT]);

    machine.must(&["dpkg", "--remove", "validator-supervisor"]);
    assert!(
        machine
            .path("/etc/validator-supervisor/config.toml")
            .exists()
    );
    let said = machine.must(&["dpkg", "--purge", "validator-supervisor"]);
    assert!(
        said.contains("/var/lib/validator-supervisor is kept"),
        "{said}"
    );

    let left = machine.says(&[
        "find",
        "/etc",
        "/usr",
        "/run",
        "/var",
        "-name",
        "*supervisor*",
        "-not",
        "-path",
        "/var/tmp/*",
        "-not",
        "-path",
        "/usr/lib/python*",
    ]);
    let left: Vec<_> = left
        .lines()
        .filter(|path| !path.contains("/dpkg/") && !path.contains("/systemd/units/"))
        .collect();
    assert_eq!(left, ["/var/lib/validator-supervisor"], "{left:#?}");
    assert!(
        machine
            .must(&["ls", "/var/lib/validator-supervisor"])
            .contains("record")
    );
    voter.chain.expect_clean();
}
