//! A node's ordinary life: started, promoted, demoted, stopped; and its ordinary deaths.

use crate::lab::{Lab, SOON_MS};
use nix::sys::signal::Signal;
use testkit::stand_in::{Protocol, until};

#[test]
fn a_tower_validator_is_promoted_votes_and_sends_nothing_after_its_demotion() {
    promoted_and_demoted(Protocol::Tower);
}

#[test]
fn an_alpenglow_validator_is_promoted_votes_and_sends_nothing_after_its_demotion() {
    promoted_and_demoted(Protocol::Alpenglow);
}

fn promoted_and_demoted(protocol: Protocol) {
    let lab = Lab::voting(protocol);
    lab.must(&["demote"]);
    lab.chain.demoted(&lab.identity, Some("a"));
    lab.chain.let_slots_pass(20);
    // Parked at once as a rule. A vote that comes after the gate has closed is refused, and the validator starts anew.
    lab.await_role("parked");
    lab.end();
}

#[test]
fn without_a_record_the_first_promotion_needs_a_flag() {
    let mut lab = Lab::new(Protocol::Tower);
    lab.start();
    lab.await_role("standby");
    assert_eq!(
        lab.ctl(&["promote"]).status.code(),
        Some(4),
        "{}",
        lab.log()
    );
    lab.await_role("standby");
    assert!(lab.chain.votes().is_empty());
    lab.end();
}

#[test]
fn a_killed_supervisor_ends_the_voting() {
    let mut lab = Lab::voting(Protocol::Tower);
    lab.signal(Signal::SIGKILL);
    lab.ended();
    lab.chain.settle();
    let votes = lab.chain.votes().len();
    lab.chain.let_slots_pass(20);
    assert_eq!(lab.chain.votes().len(), votes);
    lab.end();
}

#[test]
fn a_killed_validator_comes_back_voting_where_nobody_else_can() {
    let lab = Lab::voting(Protocol::Tower);
    let pid = |lab: &Lab| {
        lab.status()
            .and_then(|status| status["validator"]["pid"].as_i64())
    };
    let before = pid(&lab).expect("a child") as i32;
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(before), Signal::SIGKILL).expect("a signal");
    assert!(
        until(SOON_MS, || lab.role().as_deref() == Some("active")
            && pid(&lab) != Some(i64::from(before))),
        "{}",
        lab.log()
    );
    lab.await_votes(5);
    lab.end();
}

#[test]
fn a_stop_ends_the_validator_and_a_new_start_votes_on() {
    let mut lab = Lab::voting(Protocol::Tower);
    lab.signal(Signal::SIGTERM);
    assert_eq!(
        lab.ended().and_then(|status| status.code()),
        Some(0),
        "{}",
        lab.log()
    );
    lab.start();
    lab.await_role("active");
    lab.await_votes(5);
    lab.end();
}

#[test]
fn a_restart_on_an_operators_word_votes_on() {
    let lab = Lab::voting(Protocol::Alpenglow);
    let child = lab.await_child();
    lab.must(&["restart"]);
    lab.await_next_child_voting(child);
    assert_eq!(restarts(&lab), Some(0), "it was wanted\n{}", lab.log());
    assert!(
        lab.log()
            .contains("the validator ended, as it was told to: "),
        "{}",
        lab.log()
    );
    let child = lab.await_child();
    crate::lab::signal(child, Signal::SIGKILL);
    lab.await_next_child_voting(child);
    assert_eq!(restarts(&lab), Some(1), "{}", lab.log());
    lab.end();
}

fn restarts(lab: &Lab) -> Option<u64> {
    lab.status()?["validator"]["restarts"].as_u64()
}

#[test]
fn a_demotion_while_the_validator_comes_back_does_not_give_up_on_it() {
    let lab = Lab::new(Protocol::Tower);
    lab.configure("[restart]\nmax = 1\n");
    let lab = lab.started_voting();
    lab.node.faults(&[("start_ms", "3000")]).expect("a fault");
    let child = lab.await_child();
    crate::lab::signal(child, Signal::SIGKILL);
    assert!(
        until(SOON_MS, || lab.child().is_some_and(|pid| pid != child)),
        "{}",
        lab.log()
    );
    lab.must(&["demote"]);
    lab.chain.demoted(&lab.identity, Some("a"));
    lab.node.faults(&[]).expect("no fault");
    lab.await_role("parked");
    assert!(!lab.log().contains("giving up"), "{}", lab.log());
    assert_eq!(restarts(&lab), Some(1), "{}", lab.log());
    lab.end();
}

#[test]
fn a_demotion_while_the_validator_comes_back_is_obeyed() {
    let lab = Lab::voting(Protocol::Tower);
    lab.node.faults(&[("start_ms", "3000")]).expect("a fault");
    let child = lab.await_child();
    crate::lab::signal(child, Signal::SIGKILL);
    assert!(
        until(SOON_MS, || lab.child().is_some_and(|pid| pid != child)),
        "{}",
        lab.log()
    );
    lab.must(&["demote"]);
    lab.chain.demoted(&lab.identity, Some("a"));
    lab.node.faults(&[]).expect("no fault");
    lab.await_role("parked");
    lab.chain.let_slots_pass(10);
    lab.end();
}

#[test]
fn a_validator_with_the_older_argument_lists_is_promoted_and_demoted() {
    let mut lab = Lab::new(Protocol::Tower);
    lab.node
        .more
        .extend(["--stand-in-admin-version", "2"].map(str::to_owned));
    let lab = lab.started_voting();
    lab.must(&["demote"]);
    lab.chain.demoted(&lab.identity, Some("a"));
    lab.chain.let_slots_pass(10);
    // Before the command: its first vote may be out when it returns.
    lab.chain.promoted(&lab.identity, "a");
    lab.must(&["promote"]);
    lab.await_votes(3);
    lab.end();
}

#[test]
fn status_is_watched_until_the_watcher_has_enough() {
    let lab = Lab::voting(Protocol::Tower);
    let mut watch = lab.watch();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(
        watch.stdout.take().expect("its output"),
    ));
    let mut await_line =
        |word: &str| lines.find(|line| line.as_ref().is_ok_and(|line| line.contains(word)));
    assert!(await_line("active").is_some());
    lab.must(&["demote"]);
    assert!(await_line("parked").is_some());
    crate::lab::signal(watch.id() as i32, Signal::SIGINT);
    assert!(watch.wait().expect("its end").success());
    lab.chain.demoted(&lab.identity, Some("a"));
    lab.end();
}

/// Without the right to install filters the gate works by giving up the right to gain others.
#[test]
fn a_supervisor_without_privileges_gates_votes_too() {
    const NOBODY: u32 = 65_534;
    let mut lab = Lab::new(Protocol::Tower);
    lab.program = lab.path("supervisor");
    std::fs::copy(env!("CARGO_BIN_EXE_supervisor"), &lab.program).expect("a copy");
    let mut words = lab.words();
    let stand_in = lab.path("stand-in-validator");
    std::fs::copy(&words[0], &stand_in).expect("a copy");
    words[0] = stand_in.display().to_string();
    lab.uid = Some(NOBODY);
    give(lab.dir.path(), NOBODY);
    lab.run(&words);
    lab.promote_first();
    let child = lab.await_child();
    let status = std::fs::read_to_string(format!("/proc/{child}/status")).expect("its status");
    assert!(
        status.contains("NoNewPrivs:\t1") && status.contains("Seccomp:\t2"),
        "{status}"
    );
    // The kernel gives the files of a process that makes no core file, and that no debugger may read, to root.
    let owner = |pid: i32| {
        let memory = std::fs::metadata(format!("/proc/{pid}/mem")).expect("its memory");
        std::os::unix::fs::MetadataExt::uid(&memory)
    };
    assert_eq!((owner(lab.supervisor()), owner(child)), (0, NOBODY));
    lab.must(&["demote"]);
    lab.chain.demoted(&lab.identity, Some("a"));
    lab.chain.let_slots_pass(10);
    lab.end();
}

fn give(path: &std::path::Path, to: u32) {
    std::os::unix::fs::lchown(path, Some(to), Some(to))
        .expect("a new owner, for which this test needs to be run as root");
    if path.is_dir() && !path.is_symlink() {
        for entry in std::fs::read_dir(path).expect("a directory").flatten() {
            give(&entry.path(), to);
        }
    }
}
