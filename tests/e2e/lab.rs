//! One node as an operator has it: a chain, a stand-in validator, a supervisor process, and ctl.
//!
//! Dropping it ends every process by its number. [`Lab::end`] has the chain's judge speak first.

use serde_json::Value;
use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use testkit::chain::{Chain, ChainSpec};
use testkit::keys;
use testkit::stand_in::{Protocol, StandIn, binary, until};

/// Long enough for a busy machine; a condition that holds ends the wait at once.
pub(crate) const SOON_MS: u64 = 30_000;
const SLOT_MS: u64 = 50;

pub(crate) struct Lab {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) chain: Chain,
    pub(crate) node: StandIn,
    pub(crate) identity: String,
    /// More of the supervisor's environment.
    pub(crate) environment: Vec<(String, String)>,
    /// The supervisor's binary, and the user to run it as; `None`: ours.
    pub(crate) program: PathBuf,
    pub(crate) uid: Option<u32>,
    supervisor: Option<Child>,
}

impl Lab {
    /// Keys, directories and a configuration; nothing runs yet but the chain.
    pub(crate) fn new(protocol: Protocol) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let staked = keys::from_seed("the staked identity");
        let identity = keys::address(&staked);
        let vote_account = keys::address_from_seed("the vote account");
        let chain = Chain::start(ChainSpec::new(SLOT_MS).vote_account(&vote_account, &identity))
            .expect("a chain");
        let mut node = StandIn::new(
            dir.path(),
            "a",
            chain.addr(),
            protocol,
            &vote_account,
            &staked,
        )
        .expect("a stand-in");
        node.more = ["--rpc-port", &free_port().to_string()]
            .map(str::to_owned)
            .to_vec();
        let lab = Self {
            dir,
            chain,
            node,
            identity,
            environment: Vec::new(),
            program: env!("CARGO_BIN_EXE_supervisor").into(),
            uid: None,
            supervisor: None,
        };
        lab.configure("");
        lab
    }

    /// A node that votes.
    #[track_caller]
    pub(crate) fn voting(protocol: Protocol) -> Self {
        Self::new(protocol).started_voting()
    }

    /// Started as it is configured, and promoted.
    #[track_caller]
    pub(crate) fn started_voting(mut self) -> Self {
        self.start();
        self.promote_first();
        self
    }

    #[track_caller]
    pub(crate) fn promote_first(&self) {
        self.await_role("standby");
        self.must(&["promote", "--first-vote"]);
        self.await_votes(5);
    }

    /// Writes the configuration, with `more` at its end.
    pub(crate) fn configure(&self, more: &str) {
        self.configure_identity("", more);
    }

    /// The same, with more keys of the section `identity`.
    pub(crate) fn configure_identity(&self, identity: &str, more: &str) {
        let path = |name: &str| self.dir.path().join(name).display().to_string();
        let text = format!(
            "node = \"a\"\nstate_dir = \"{}\"\n[identity]\nstaked = \"{}\"\nunstaked = \"{}\"\n{identity}[control]\nsocket = \"{}\"\n{more}",
            path("state"),
            path("staked.json"),
            path("unstaked.json"),
            path("ctl.sock"),
        );
        std::fs::write(self.config(), text).expect("the configuration");
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.dir.path().join("config.toml")
    }

    /// `supervisor run -- stand-in …`, its output in `supervisor.log`.
    pub(crate) fn start(&mut self) {
        self.start_command(&self.words());
    }

    /// The stand-in's whole command line.
    pub(crate) fn words(&self) -> Vec<String> {
        let stand_in = binary().expect("the stand-in's binary");
        let mut words = vec![stand_in.display().to_string()];
        words.extend(self.node.args());
        words
    }

    /// An executable script in the lab's directory, as the words to run it.
    pub(crate) fn script(&self, name: &str, text: &str) -> Vec<String> {
        let path = self.path(name);
        std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).expect("a script");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).expect("its mode");
        vec![path.display().to_string()]
    }

    /// A start script that ends in the stand-in, after `before`.
    pub(crate) fn start_script(&self, before: &str) -> Vec<String> {
        let command: Vec<String> = self
            .words()
            .iter()
            .map(|word| format!("'{word}'"))
            .collect();
        self.script("start.sh", &format!("{before}\nexec {}", command.join(" ")))
    }

    /// `supervisor <what> --config … -- words`, to its end.
    pub(crate) fn to_the_end(&self, what: &[&str], words: &[String]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_supervisor"));
        command.args(what).arg("--config").arg(self.config());
        if !words.is_empty() {
            command.arg("--").args(words);
        }
        command
            .stdin(Stdio::null())
            .output()
            .expect("the supervisor")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn start_command(&mut self, words: &[String]) {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log_path())
            .expect("a log");
        let mut command = Command::new(&self.program);
        if let Some(uid) = self.uid {
            command.uid(uid).gid(uid);
        }
        command
            .args(["run", "--config"])
            .arg(self.config())
            .arg("--")
            .args(words);
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log"))
            .stderr(log);
        command.envs(self.environment.clone());
        command.env(
            "SUPERVISOR_LOG",
            std::env::var("SUPERVISOR_LOG").unwrap_or_else(|_| "info".into()),
        );
        self.supervisor = Some(command.spawn().expect("the supervisor"));
    }

    pub(crate) fn ctl(&self, words: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_supervisor"));
        command
            .arg("ctl")
            .arg("--socket")
            .arg(self.dir.path().join("ctl.sock"))
            .args(words);
        command.output().expect("supervisor ctl")
    }

    /// `ctl status --watch`, its output in a pipe.
    pub(crate) fn watch(&self) -> Child {
        let mut command = Command::new(env!("CARGO_BIN_EXE_supervisor"));
        command
            .arg("ctl")
            .arg("--socket")
            .arg(self.path("ctl.sock"));
        command.args(["status", "--watch"]).stdout(Stdio::piped());
        command.spawn().expect("supervisor ctl")
    }

    pub(crate) fn status(&self) -> Option<Value> {
        let output = self.ctl(&["--json", "status"]);
        let line: Value = serde_json::from_slice(&output.stdout).ok()?;
        Some(line.get("status").cloned().unwrap_or(line))
    }

    pub(crate) fn role(&self) -> Option<String> {
        Some(self.status()?.get("role")?.as_str()?.to_owned())
    }

    #[track_caller]
    pub(crate) fn await_role(&self, role: &str) {
        let came = until(SOON_MS, || self.role().as_deref() == Some(role));
        assert!(came, "not {role} but {:?}\n{}", self.role(), self.log());
    }

    #[track_caller]
    pub(crate) fn await_votes(&self, more: usize) {
        let before = self.chain.votes().len();
        let came = self
            .chain
            .wait(SOON_MS, |votes| votes.len() >= before + more);
        assert!(came, "no {more} more votes\n{}", self.log());
    }

    /// Waits for a line of the log with this in it.
    #[track_caller]
    pub(crate) fn await_log(&self, text: &str) {
        assert!(
            until(SOON_MS, || self.log().contains(text)),
            "no `{text}` in\n{}",
            self.log()
        );
    }

    #[track_caller]
    pub(crate) fn await_child(&self) -> i32 {
        let mut pid = None;
        let _ = until(SOON_MS, || {
            pid = self.child();
            pid.is_some()
        });
        pid.unwrap_or_else(|| panic!("no child\n{}", self.log()))
    }

    /// The validator's process number.
    pub(crate) fn child(&self) -> Option<i32> {
        Some(self.status()?["validator"]["pid"].as_i64()? as i32)
    }

    /// A validator that is another process than `before` votes.
    #[track_caller]
    pub(crate) fn await_next_child_voting(&self, before: i32) {
        let came = || {
            self.role().as_deref() == Some("active")
                && self.child().is_some_and(|pid| pid != before)
        };
        assert!(until(SOON_MS, came), "{:?}\n{}", self.status(), self.log());
        self.await_votes(3);
    }

    /// Slots go by, and no vote is sent.
    #[track_caller]
    pub(crate) fn expect_silence(&self, slots: u64) {
        // What was let out before is on its way.
        self.chain.let_slots_pass(4);
        self.chain.settle();
        let votes = self.chain.votes().len();
        self.chain.let_slots_pass(slots);
        self.chain.settle();
        assert_eq!(
            self.chain.votes().len(),
            votes,
            "votes were sent\n{}",
            self.log()
        );
    }

    /// Runs a command that has to succeed.
    #[track_caller]
    pub(crate) fn must(&self, words: &[&str]) -> String {
        let output = self.ctl(words);
        let text = said(&output);
        assert!(
            output.status.success(),
            "ctl {words:?}: {:?}\n{text}\n{}",
            output.status,
            self.log()
        );
        text
    }

    pub(crate) fn supervisor_pid(&self) -> i32 {
        self.supervisor.as_ref().expect("a supervisor").id() as i32
    }

    pub(crate) fn signal(&self, signal: nix::sys::signal::Signal) {
        let pid = nix::unistd::Pid::from_raw(self.supervisor_pid());
        nix::sys::signal::kill(pid, signal).expect("a signal to the supervisor");
    }

    /// How the supervisor ended, if it does.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        let child = self.supervisor.as_mut()?;
        let mut status = None;
        let _ = until(SOON_MS, || {
            status = child.try_wait().ok().flatten();
            status.is_some()
        });
        status
    }

    pub(crate) fn log_path(&self) -> PathBuf {
        self.dir.path().join("supervisor.log")
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// The judge's last word: no vote of any node broke a rule.
    #[track_caller]
    pub(crate) fn end(mut self) {
        self.kill();
        self.chain.expect_clean();
    }

    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.supervisor.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Whether a process is there and not only waits to be reaped.
pub(crate) fn lives(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ")
        .is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

pub(crate) fn signal(pid: i32, signal: nix::sys::signal::Signal) {
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), signal).expect("a signal");
}

/// Everything that a command has said.
pub(crate) fn said(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("its address").port()
}
