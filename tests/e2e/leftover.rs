//! A validator that has outlived its supervisor, found by its control group and the lock on its ledger. The tests make control
//! groups that are named like the services of a machine, which takes root.

use crate::lab::{Lab, SOON_MS, lives, said, signal};
use nix::mount::{MsFlags, mount, umount};
use nix::sys::signal::Signal;
use std::path::PathBuf;
use testkit::stand_in::{Protocol, until};

/// A control group in every hierarchy that names services. What is left in it is killed in the end.
struct Service {
    dir: tempfile::TempDir,
    groups: Vec<PathBuf>,
}

impl Service {
    fn new(name: &str) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let ours = std::fs::read_to_string("/proc/self/cgroup").expect("our control groups");
        let mut service = Self {
            dir,
            groups: Vec::new(),
        };
        service.make("cgroup2", None, name);
        if ours.contains(":name=systemd:") {
            service.make("cgroup", Some("none,name=systemd"), name);
        }
        service
    }

    fn make(&mut self, kind: &str, options: Option<&str>, name: &str) {
        let at = self.dir.path().join(kind);
        std::fs::create_dir(&at).expect("a directory");
        mount(Some(kind), &at, Some(kind), MsFlags::empty(), options)
            .expect("a mount, for which this test needs to be run as root");
        let group = at.join(format!("{name}-{}.service", std::process::id()));
        std::fs::create_dir(&group).expect("a control group");
        self.groups.push(group);
    }

    /// For a shell: joins it.
    fn join(&self) -> String {
        let join = |group: &PathBuf| format!("echo 0 > '{}/cgroup.procs'", group.display());
        self.groups.iter().map(join).collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        for group in &self.groups {
            let gone = until(SOON_MS, || {
                let pids = std::fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
                for pid in pids.lines().filter_map(|pid| pid.parse().ok()) {
                    let pid = nix::unistd::Pid::from_raw(pid);
                    let _ = nix::sys::signal::kill(pid, Signal::SIGKILL);
                }
                std::fs::remove_dir(group).is_ok()
            });
            if !gone && !std::thread::panicking() {
                panic!("{} is not empty", group.display());
            }
            let _ = group.parent().map(umount);
        }
    }
}

/// A validator that its supervisor's death does not end: its command has cleared the signal that does.
fn left_over(lab: &mut Lab, service: &Service) -> (i32, Vec<String>) {
    lab.configure_all();
    let words = lab.script(
        "start.sh",
        &format!("exec setpriv --pdeathsig clear {}", lab.quoted()),
    );
    lab.run_after(&service.join(), "");
    lab.run(&words);
    lab.await_role("standby");
    let child = lab.await_child();
    lab.signal(Signal::SIGKILL);
    lab.ended();
    (child, words)
}

#[test]
fn a_validator_left_over_from_an_earlier_run_of_the_unit_is_ended_before_the_next_one_starts() {
    let service = Service::new("left-over");
    let mut lab = Lab::new(Protocol::Tower);
    let (child, words) = left_over(&mut lab, &service);
    let checked = lab.to_the_end(&["check"], &words);
    let text = said(&checked);
    assert!(
        text.contains(&format!(
            "(pid {child}) is left over from an earlier run of this unit"
        )),
        "{text}"
    );
    assert_eq!(checked.status.code(), Some(0), "{text}");
    assert!(lives(child), "`check` changes nothing");
    lab.run(&words);
    lab.await_role("standby");
    let log = lab.log();
    let ended = format!("(pid {child}), left over from an earlier run");
    let ended = log
        .find(&ended)
        .unwrap_or_else(|| panic!("no `{ended}` in\n{log}"));
    let started = log.rfind("started ").expect("a start");
    assert!(
        ended < started && log.matches("started ").count() == 2,
        "{log}"
    );
    assert!(!lives(child));
    assert_eq!(
        lab.status().expect("a status")["validator"]["restarts"],
        0,
        "{log}"
    );
    lab.promote_first();
    lab.end();
}

#[test]
fn a_validator_of_another_unit_on_the_same_ledger_is_refused_by_name_and_pid_and_left_alone() {
    let (service, other) = (Service::new("first"), Service::new("second"));
    let mut lab = Lab::new(Protocol::Tower);
    let (child, words) = left_over(&mut lab, &service);
    // The same from no unit at all, as in a login shell.
    for join in [other.join(), String::new()] {
        lab.run_after(&join, "");
        // `run` last: it would not come back if it ran.
        for what in ["check", "run"] {
            let output = lab.to_the_end(&[what], &words);
            let text = said(&output);
            assert_eq!(output.status.code(), Some(1), "{what}: {text}");
            assert!(
                text.contains("is in use by stand-in")
                    && text.contains(&format!("(pid {child}): stop that validator first")),
                "{what}: {text}"
            );
        }
        assert!(lives(child));
    }
    signal(child, Signal::SIGKILL);
    lab.end();
}
