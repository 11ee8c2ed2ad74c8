//! The resource limits that a validator insists on: raised for it where that is possible, and named where it is not.

use crate::lab::{Lab, said};
use nix::sys::resource::{Resource, getrlimit};
use testkit::stand_in::Protocol;

const OPEN_FILES: u64 = 1_000_000;
const LOCKED_BYTES: u64 = 2_000_000_000;
const CAP_SYS_RESOURCE: u32 = 24;

/// Takes the right to raise hard limits away; changing the bounding set takes root.
const WITHOUT_THE_RIGHT: &str = "setpriv --bounding-set -sys_resource";

fn open_files_short(have: u64) -> String {
    format!(
        "the limit of open files is {have}, and a validator wants 1000000: set `LimitNOFILE=1000000` in the unit"
    )
}

fn locked_memory_short(have: u64) -> String {
    format!(
        "the limit of locked memory is {have}, and a validator wants 2000000000: set `LimitMEMLOCK=2000000000` in the unit"
    )
}

/// Soft limits of files and locked bytes of a process.
fn limits_of(pid: i32) -> (u64, u64) {
    let text = std::fs::read_to_string(format!("/proc/{pid}/limits")).expect("its limits");
    let soft = |name: &str| {
        let mut lines = text.lines();
        let values = lines.find_map(|line| line.strip_prefix(name));
        let soft = values.and_then(|values| values.split_whitespace().next());
        let soft = soft.unwrap_or_else(|| panic!("no {name} in {text}"));
        soft.parse().unwrap_or(u64::MAX)
    };
    (soft("Max open files"), soft("Max locked memory"))
}

/// The texts of `check --json` on limits; the plain form has the same.
fn found_by_check(lab: &Lab) -> Vec<String> {
    let output = lab.to_the_end(&["check", "--json"], &lab.words());
    let answer: serde_json::Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", said(&output)));
    assert_eq!(output.status.code(), Some(0), "{answer}");
    let findings = answer["findings"].as_array().expect("findings").iter();
    let on_limits = findings.filter(|finding| finding["item"] == "limits");
    let texts: Vec<String> = on_limits
        .map(|finding| {
            assert_eq!(finding["level"], "warning", "{finding}");
            finding["text"].as_str().expect("a text").to_owned()
        })
        .collect();
    let plain = lab.to_the_end(&["check"], &lab.words());
    let lines = String::from_utf8_lossy(&plain.stdout).into_owned();
    assert_eq!(plain.status.code(), Some(0), "{lines}");
    assert_eq!(lines.matches("limits ").count(), texts.len(), "{lines}");
    for text in &texts {
        assert!(
            lines.contains(&format!("warning  limits     {text}\n")),
            "{lines}"
        );
        assert!(
            lines.ends_with("it would run; see the warnings\n"),
            "{lines}"
        );
    }
    texts
}

#[test]
fn limits_that_cannot_be_raised_are_named_by_check_and_by_run_and_raised_as_far_as_they_go() {
    let mut lab = Lab::new(Protocol::Tower);
    let lowered = "ulimit -S -n 512; ulimit -H -n 4096; ulimit -S -l 16; ulimit -H -l 64";
    lab.run_after(lowered, WITHOUT_THE_RIGHT);
    let short = [open_files_short(4096), locked_memory_short(65_536)];
    assert_eq!(found_by_check(&lab), short);
    lab.start();
    let child = lab.await_child();
    for text in &short {
        lab.await_log(text);
    }
    assert_eq!(limits_of(child), (4096, 65_536));
    lab.await_role("standby");
    lab.end();
}

/// What this machine lets the supervisor reach: all of it with the right to raise hard limits, else the hard limit.
fn reachable(resource: Resource, want: u64) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("our status");
    let mask = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    let (_, hard) = getrlimit(resource).expect("a limit");
    if mask.expect("our capabilities") >> CAP_SYS_RESOURCE & 1 == 1 {
        want
    } else {
        hard.min(want)
    }
}

#[test]
fn the_validator_gets_the_limits_that_it_wants_as_far_as_this_machine_lets_it() {
    let mut lab = Lab::new(Protocol::Tower);
    lab.run_after("ulimit -S -n 512; ulimit -S -l 4", "");
    let files = reachable(Resource::RLIMIT_NOFILE, OPEN_FILES);
    let bytes = reachable(Resource::RLIMIT_MEMLOCK, LOCKED_BYTES);
    assert!(files > 512 && bytes > 4096, "nothing is to be raised here");
    let short = [
        (files < OPEN_FILES).then(|| open_files_short(files)),
        (bytes < LOCKED_BYTES).then(|| locked_memory_short(bytes)),
    ];
    let short: Vec<String> = short.into_iter().flatten().collect();
    assert_eq!(found_by_check(&lab), short);
    lab.start();
    let child = lab.await_child();
    assert_eq!(limits_of(child), (files, bytes));
    for text in &short {
        lab.await_log(text);
    }
    if short.is_empty() {
        assert!(!lab.log().contains("limits: "), "{}", lab.log());
    }
    lab.end();
}
