//! A machine to install packages on: a minimal Debian with systemd as its process 1, in namespaces of its own.
//!
//! It shares the network of this machine, so that a stand-in chain of the test can be reached. Dropping it ends everything in it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use nix::unistd::Pid;
use testkit::stand_in::until;

const BOOT_MS: u64 = 60_000;
/// Seconds that a single command in the machine may take.
const COMMAND_SECONDS: &str = "90";

/// A booted machine.
pub(crate) struct Machine {
    /// `unshare`, whose end ends the machine.
    boot: Child,
    /// Its systemd, as numbered here.
    init: String,
}

impl Machine {
    pub(crate) fn boot() -> Self {
        let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/package");
        let base = Command::new(here.join("base"))
            .stderr(Stdio::inherit())
            .output()
            .expect("tests/package/base");
        assert!(base.status.success(), "tests/package/base: {}", base.status);
        let base = String::from_utf8_lossy(&base.stdout)
            .lines()
            .last()
            .unwrap_or_default()
            .to_owned();
        let mut command = Command::new(here.join("boot"));
        let boot = command
            .arg(base)
            .stdin(Stdio::null())
            .spawn()
            .expect("tests/package/boot");
        let mut machine = Self {
            boot,
            init: String::new(),
        };
        let is_up = until(BOOT_MS, || machine.is_up());
        assert!(
            is_up,
            "the machine does not boot: {}",
            machine.says(&["systemctl", "list-jobs"])
        );
        machine
    }

    fn is_up(&mut self) -> bool {
        let children = format!("/proc/{0}/task/{0}/children", self.boot.id());
        self.init = std::fs::read_to_string(children)
            .unwrap_or_default()
            .trim()
            .to_owned();
        // Until the scripts have handed over, this is our own file system.
        let is_inside = std::fs::read_link(format!("/proc/{}/exe", self.init))
            .is_ok_and(|exe| exe.ends_with("systemd"));
        is_inside && self.says(&["systemctl", "is-system-running"]).trim() == "running"
    }

    /// A path in the machine, as this machine reaches it.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{path}", self.init))
    }

    /// A process of the machine, as numbered here.
    #[track_caller]
    pub(crate) fn outer_pid(&self, inner: &str) -> Pid {
        let space_of = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
        let is_it = |pid: &str| {
            let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
            numbers.and_then(|numbers| numbers.split_whitespace().last()) == Some(inner)
                && space_of(pid) == space_of(&self.init)
        };
        let names = std::fs::read_dir("/proc").expect("/proc").flatten();
        let mut names = names.filter_map(|entry| entry.file_name().into_string().ok());
        let pid = names.find(|name| is_it(name));
        let pid = pid.and_then(|pid| pid.parse().ok());
        Pid::from_raw(pid.unwrap_or_else(|| panic!("no process {inner} in the machine")))
    }

    pub(crate) fn run(&self, words: &[&str]) -> Output {
        let mut command = Command::new("timeout");
        command.args([
            COMMAND_SECONDS,
            "nsenter",
            "--target",
            &self.init,
            "--mount",
            "--pid",
            "--uts",
            "--ipc",
            "--cgroup",
            "--root",
            "--wd=/",
        ]);
        command.args([
            "--",
            "env",
            "-i",
            "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
            "SYSTEMD_PAGER=cat",
            "DEBIAN_FRONTEND=noninteractive",
        ]);
        command.args(words).stdin(Stdio::null());
        command.output().expect("nsenter")
    }

    /// What a command prints, whatever its end.
    pub(crate) fn says(&self, words: &[&str]) -> String {
        text_of(&self.run(words))
    }

    /// What a command prints that has to succeed.
    #[track_caller]
    pub(crate) fn must(&self, words: &[&str]) -> String {
        let output = self.run(words);
        assert!(
            output.status.success(),
            "{words:?}: {}\n{}\n{}",
            output.status,
            text_of(&output),
            self.journal()
        );
        text_of(&output)
    }

    /// The last lines of the journal.
    pub(crate) fn journal(&self) -> String {
        self.says(&["journalctl", "--no-pager", "--lines=100"])
    }

    /// One property of a unit, as `systemctl show` has it.
    pub(crate) fn property(&self, unit: &str, name: &str) -> String {
        let shown = self.run(&["systemctl", "show", "--value", "--property", name, unit]);
        String::from_utf8_lossy(&shown.stdout).trim().to_owned()
    }

    #[track_caller]
    pub(crate) fn await_property(&self, unit: &str, name: &str, fits: impl Fn(&str) -> bool) {
        let came = until(30_000, || fits(&self.property(unit, name)));
        assert!(
            came,
            "{name} of {unit} is {:?}\n{}",
            self.property(unit, name),
            self.journal()
        );
    }

    /// Copies a file of this machine into the other.
    pub(crate) fn copy(&self, from: &Path, to: &str) {
        std::fs::copy(from, self.path(to))
            .unwrap_or_else(|error| panic!("{} to {to}: {error}", from.display()));
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Its children, the machine's process 1 first, are killed with it.
        let _ = self.boot.kill();
        let _ = self.boot.wait();
        let group = format!("package-test-{}", self.boot.id());
        for root in ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"] {
            let group = Path::new(root).join(&group);
            // The kernel takes a moment to see the group empty.
            let _ = until(5_000, || remove_groups(&group));
        }
    }
}

/// Removes a control group with those below it. Says whether none is left.
fn remove_groups(group: &Path) -> bool {
    for entry in std::fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_groups(&entry.path());
        }
    }
    !group.exists() || std::fs::remove_dir(group).is_ok()
}

fn text_of(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}
