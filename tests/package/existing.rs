//! A validator that has a unit already, put under the supervisor and taken out again by the very lines of the README.

use testkit::stand_in::until;

use crate::machine::Machine;
use crate::voter::Voter;

const README: &str = include_str!("../../README.md");
const UNIT: &str = "sol.service";

/// What a section of the README has its reader type: calls of `systemctl` in its text, and the lines of its blocks, in order.
fn commands_of(section: &str) -> Vec<&'static str> {
    let (_, rest) = README
        .split_once(&format!("\n### {section}\n"))
        .unwrap_or_else(|| panic!("no section `{section}` in the README"));
    let text = rest.split("\n#").next().unwrap_or(rest);
    let mut commands = Vec::new();
    for (index, part) in text.split("```").enumerate() {
        if index % 2 == 1 {
            commands.extend(part.lines().skip(1).map(str::trim));
        } else {
            let quoted = part.split('`').skip(1).step_by(2);
            commands.extend(quoted.filter(|code| code.starts_with("systemctl ")));
        }
    }
    assert!(commands.len() > 2, "{section}: {commands:?}");
    commands
}

fn follow(machine: &Machine, section: &str) {
    for command in commands_of(section) {
        machine.must(&["sh", "-ec", command]);
    }
}

/// Whether the validator runs, and with a supervisor above it or not.
#[track_caller]
fn expect_processes(machine: &Machine, supervisors: usize) {
    let count = |name: &str| machine.says(&["pgrep", name]).lines().count();
    let as_expected = || (count("stand-in"), count("supervisor")) == (1, supervisors);
    assert!(until(10_000, as_expected), "{}", machine.journal());
}

#[test]
fn the_lines_of_the_readme_put_an_existing_unit_under_the_supervisor_and_take_it_out_again() {
    let voter = Voter::new();
    let machine = &voter.machine;
    let sol = "[Service]\nUser=sol\nRestart=always\nExecStart=/home/sol/bin/validator.sh\nExecReload=/bin/false\n[Install]\nWantedBy=multi-user.target\n";
    std::fs::write(machine.path("/etc/systemd/system/sol.service"), sol).expect("a unit");
    voter.point_link("staked-identity.json");
    machine.must(&["systemctl", "daemon-reload"]);
    machine.must(&["systemctl", "start", "sol"]);
    voter.await_votes(5);
    expect_processes(machine, 0);

    follow(machine, "Into an existing unit");
    voter.await_role("standby");
    expect_processes(machine, 1);
    // The record of its votes is there: no flag is needed.
    machine.must(&["supervisor", "ctl", "promote"]);
    voter.await_votes(5);
    machine.must(&["systemctl", "reload", "sol"]);
    machine.await_property(UNIT, "ActiveState", |state| state == "active");
    expect_processes(machine, 1);

    follow(machine, "And out again");
    voter.await_votes(5);
    expect_processes(machine, 0);
    assert_eq!(machine.property(UNIT, "Type"), "simple");

    follow(machine, "Into an existing unit");
    voter.await_role("parked");
    machine.must(&["supervisor", "ctl", "promote"]);
    voter.await_votes(5);
    voter.chain.expect_clean();
}
