//! The child process: its group, its environment, what it leaves behind, its restarts.

use crate::lab::{Lab, SOON_MS, lives, signal};
use nix::sys::signal::Signal;
use nix::unistd::{Pid, getpgid};
use std::path::Path;
use testkit::stand_in::{Protocol, until};

#[test]
fn the_child_leads_a_group_of_its_own_and_gets_nothing_of_our_service_manager() {
    let mut lab = Lab::new(Protocol::Tower);
    let socket = lab.path("notify").display().to_string();
    let given = [
        ("NOTIFY_SOCKET", socket.as_str()),
        ("WATCHDOG_USEC", "20000000"),
        ("KEPT", "as it was"),
    ];
    lab.environment = given
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec();
    lab.start();
    lab.await_role("standby");
    let child = lab.await_child();
    assert_eq!(
        getpgid(Some(Pid::from_raw(child)))
            .expect("its group")
            .as_raw(),
        child
    );
    assert_ne!(getpgid(None).expect("our group").as_raw(), child);
    let environment =
        std::fs::read_to_string(format!("/proc/{child}/environ")).expect("its environment");
    assert!(environment.contains("KEPT=as it was"), "{environment}");
    for name in [
        "NOTIFY_SOCKET",
        "WATCHDOG_USEC",
        "WATCHDOG_PID",
        "LISTEN_FDS",
    ] {
        assert!(!environment.contains(name), "{name} in {environment}");
    }
    // What the validator writes to its standard error is in ours.
    assert!(
        lab.log().contains("removed all authorized voters"),
        "{}",
        lab.log()
    );
    lab.end();
}

/// Direct children of a process, by all of its threads.
fn children(pid: i32) -> Vec<i32> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task"))
        .into_iter()
        .flatten()
        .flatten();
    let lists =
        tasks.map(|task| std::fs::read_to_string(task.path().join("children")).unwrap_or_default());
    lists
        .flat_map(|list| {
            list.split_whitespace()
                .filter_map(|pid| pid.parse().ok())
                .collect::<Vec<_>>()
        })
        .collect()
}

fn number_in(path: &Path) -> Option<i32> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

#[test]
fn orphans_are_reaped_and_none_outlives_the_child() {
    let mut lab = Lab::new(Protocol::Tower);
    let link = format!("link = \"{}\"\n", lab.path("identity.json").display());
    lab.configure_identity(&link, "");
    let pid_file = lab.path("strayed.pid");
    let strayed = format!(
        "(sleep 0.1 &)\nsetsid sleep 1000 &\necho $! > {}",
        pid_file.display()
    );
    let words = lab.start_script(&strayed);
    lab.run(&words);
    lab.promote_first();
    let (child, first) = (
        lab.await_child(),
        number_in(&pid_file).expect("a stray process"),
    );
    assert!(lives(first));
    let supervisor = lab.supervisor();
    assert!(
        until(SOON_MS, || children(supervisor) == [child]),
        "unreaped: {:?}",
        children(supervisor)
    );
    signal(child, Signal::SIGKILL);
    lab.await_next_child_voting(child);
    assert!(
        !lives(first),
        "process {first} left the group, and outlives the validator that started it"
    );
    lab.end();
}

#[test]
fn a_validator_that_keeps_ending_is_restarted_with_growing_waits_and_then_given_up_with_its_code() {
    let mut lab = Lab::new(Protocol::Tower);
    lab.configure("[restart]\nmax = 2\nwindow = \"60s\"\n");
    lab.node.faults(&[("exit_at_once", "7")]).expect("a fault");
    let began = std::time::Instant::now();
    lab.start();
    let status = lab.ended();
    assert_eq!(
        status.and_then(|status| status.code()),
        Some(7),
        "{}",
        lab.log()
    );
    assert!(began.elapsed().as_millis() >= 3_000, "one second, then two");
    assert_eq!(lab.log().matches("started ").count(), 3, "{}", lab.log());
    assert!(
        lab.log()
            .contains("giving up: the validator ended 3 times within 60 s, last with exit code 7"),
        "{}",
        lab.log()
    );
    lab.end();
}

#[test]
fn a_validator_that_ends_by_a_signal_is_given_up_with_128_and_that_signal() {
    let mut lab = Lab::new(Protocol::Tower);
    let link = format!("link = \"{}\"\n", lab.path("identity.json").display());
    lab.configure_identity(&link, "[restart]\nmax = 0\n");
    let words = lab.script("abort.sh", "kill -ABRT $$");
    lab.run(&words);
    assert_eq!(
        lab.ended().and_then(|status| status.code()),
        Some(128 + 6),
        "{}",
        lab.log()
    );
    lab.end();
}

#[test]
fn sigusr1_reaches_the_validator_which_reopens_its_log() {
    let mut lab = Lab::new(Protocol::Tower);
    lab.start();
    lab.await_role("standby");
    lab.signal(Signal::SIGUSR1);
    lab.await_log("log reopened");
    lab.end();
}

#[test]
fn sigusr1_does_not_end_a_start_script() {
    let mut lab = Lab::new(Protocol::Tower);
    let link = format!("link = \"{}\"\n", lab.path("identity.json").display());
    lab.configure_identity(&link, "");
    let go = lab.path("go");
    let words = lab.start_script(&format!(
        "while [ ! -e {} ]; do sleep 0.05; done",
        go.display()
    ));
    lab.run(&words);
    let child = lab.await_child();
    lab.signal(Signal::SIGUSR1);
    lab.await_log("SIGUSR1 is not passed on");
    std::fs::write(go, "").expect("the word to go on");
    lab.await_role("standby");
    assert_eq!(lab.child(), Some(child));
    lab.end();
}

#[test]
fn a_term_that_could_not_be_taken_up_yet_is_shown_as_this_nodes_own() {
    let mut lab = Lab::new(Protocol::Tower);
    let link = format!("link = \"{}\"\n", lab.path("identity.json").display());
    lab.configure_identity(&link, "");
    let go = lab.path("go");
    let words = lab.start_script(&format!(
        "while [ ! -e {} ]; do sleep 0.05; done",
        go.display()
    ));
    std::fs::write(&go, "").expect("the word to go on");
    lab.run(&words);
    lab.promote_first();
    lab.signal(Signal::SIGTERM);
    lab.ended();
    std::fs::remove_file(&go).expect("the word is taken back");
    lab.run(&words);
    lab.await_log("cannot take it up again");
    lab.await_child();
    let status = lab.status().expect("a status");
    assert_eq!(status["term"], serde_json::Value::Null, "{status}");
    assert_eq!(status["authority"]["holder"], "a", "{status}");
    assert_eq!(status["authority"]["healthy"], false, "{status}");
    std::fs::write(go, "").expect("the word to go on");
    lab.await_role("active");
    lab.await_votes(3);
    let status = lab.status().expect("a status");
    assert_eq!(status["authority"]["healthy"], true, "{status}");
    lab.end();
}

#[test]
fn sighup_applies_what_can_change_and_names_what_cannot() {
    let lab = Lab::voting(Protocol::Tower);
    let child = lab.await_child();
    lab.signal(Signal::SIGHUP);
    lab.await_log("read again: nothing has changed");
    assert!(!lab.log().contains("cannot change"), "{}", lab.log());
    lab.configure(
        "[gate]\nhold_max = \"7s\"\n[validator]\ncaught_up_within = 99\nledger = \"/elsewhere\"\n",
    );
    lab.signal(Signal::SIGHUP);
    lab.await_log("gate.hold_max is \"7s\" from here on");
    lab.await_log("validator.caught_up_within is 99 from here on");
    lab.await_log("validator.ledger cannot change while the supervisor runs");
    lab.configure("[gate]\nhold_may = \"7s\"\n");
    lab.signal(Signal::SIGHUP);
    lab.await_log("the configuration is not read again");
    lab.await_log("gate.hold_may");
    lab.await_votes(3);
    assert_eq!(lab.child(), Some(child));
    lab.end();
}

#[test]
fn a_validator_on_the_same_ledger_is_named_with_its_pid_and_left_alone() {
    let lab = Lab::new(Protocol::Tower);
    let bare = lab.node.stand_in.start().expect("a bare validator");
    assert!(bare.is_up(SOON_MS), "{}", bare.log());
    for what in ["run", "check"] {
        let output = lab.to_the_end(&[what], &lab.words());
        let text = crate::lab::said(&output);
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(
            text.contains("is in use by stand-in")
                && text.contains(&format!("(pid {})", bare.pid())),
            "{text}"
        );
    }
    assert!(
        bare.is_up(1_000),
        "the validator that was there has to stay"
    );
    assert!(
        !lab.path("state").exists(),
        "a refused start leaves nothing"
    );
    drop(bare);
    lab.end();
}

#[test]
fn a_second_supervisor_with_the_same_state_is_refused_and_does_not_disturb_the_first() {
    let lab = Lab::voting(Protocol::Tower);
    let other = Lab::new(Protocol::Tower);
    let text = std::fs::read_to_string(other.config()).expect("its configuration");
    let theirs = other.path("state").display().to_string();
    std::fs::write(
        other.config(),
        text.replace(&theirs, &lab.path("state").display().to_string()),
    )
    .expect("one state");
    let output = other.to_the_end(&["run"], &other.words());
    assert_eq!(output.status.code(), Some(1));
    assert!(
        crate::lab::said(&output).contains("another supervisor runs with this state_dir"),
        "{}",
        crate::lab::said(&output)
    );
    lab.await_votes(5);
    other.end();
    lab.end();
}
