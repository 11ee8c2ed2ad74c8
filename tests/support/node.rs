//! One machine as an operator has it: a supervisor process around a stand-in validator, its files, and ctl.
//!
//! What it says is in `supervisor.log`, and is printed when a test fails.

use crate::children;
use crate::etcd::Place;
use crate::stand_in::{StandIn, binary, until};
use crate::wall_clock::WallClock;
use serde_json::Value;
use std::fs::File;
use std::io;
use std::net::TcpListener;
use std::ops::{Deref, DerefMut};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};

/// Long enough for a busy machine; a condition that holds ends the wait at once.
pub const SOON_MS: u64 = 30_000;
/// Lines of a log that a failed test shows.
const LOG_LINES: usize = 80;
/// The RPC port of a validator on a host of its own.
const RPC_PORT: u16 = 8899;

/// A node, running or not. Its processes are killed when it is dropped.
#[derive(Debug)]
pub struct Node {
    pub stand_in: StandIn,
    /// The supervisor's binary, for `run`.
    pub program: PathBuf,
    /// The same, for `ctl`.
    client: PathBuf,
    /// More of the supervisor's environment.
    pub environment: Vec<(String, String)>,
    /// The user to run it as; `None`: ours.
    pub uid: Option<u32>,
    pub clock: Option<WallClock>,
    pub state_dir: PathBuf,
    place: Option<Place>,
    supervisor: Option<Child>,
}

impl Deref for Node {
    type Target = StandIn;

    fn deref(&self) -> &StandIn {
        &self.stand_in
    }
}

impl DerefMut for Node {
    fn deref_mut(&mut self) -> &mut StandIn {
        &mut self.stand_in
    }
}

impl Node {
    /// In the directory of `stand_in`; without a place it is where the caller is. Nothing is configured yet.
    ///
    /// # Errors
    /// There is no free port.
    pub fn new(
        mut stand_in: StandIn,
        supervisor: PathBuf,
        place: Option<Place>,
    ) -> io::Result<Self> {
        let port = if place.is_some() {
            RPC_PORT
        } else {
            free_port()?
        };
        stand_in.more = vec!["--rpc-port".to_owned(), port.to_string()];
        Ok(Self {
            state_dir: stand_in.path("state"),
            stand_in,
            program: supervisor.clone(),
            client: supervisor,
            environment: Vec::new(),
            uid: None,
            clock: None,
            place,
            supervisor: None,
        })
    }

    #[must_use]
    pub fn name(&self) -> &str {
        &self.stand_in.node
    }

    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.path("config.toml")
    }

    /// Writes the configuration, with `more` sections at its end.
    ///
    /// # Panics
    /// It cannot be written; the same goes for every file and process below.
    pub fn configure(&self, more: &str) {
        self.configure_identity("", more);
    }

    /// The same, with more lines of the section `identity`.
    pub fn configure_identity(&self, identity: &str, more: &str) {
        let text = format!(
            "node = {:?}\nstate_dir = {:?}\n[identity]\nstaked = {:?}\nunstaked = {:?}\n{identity}[control]\nsocket = {:?}\n{more}",
            self.name(),
            self.state_dir,
            self.path("staked.json"),
            self.path("unstaked.json"),
            self.path("ctl.sock"),
        );
        std::fs::write(self.config(), text).expect("the configuration");
    }

    /// The stand-in's whole command line.
    #[must_use]
    pub fn words(&self) -> Vec<String> {
        let stand_in = binary().expect("the stand-in's binary");
        let mut words = vec![stand_in.display().to_string()];
        words.extend(self.args());
        words
    }

    /// `supervisor run -- <stand-in> …`
    pub fn start(&mut self) {
        self.run(&self.words());
    }

    /// `supervisor run -- <words>`
    pub fn run(&mut self, words: &[String]) {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log_path())
            .expect("a log");
        let mut command = Command::new(&self.program);
        if let Some(uid) = self.uid {
            command.uid(uid).gid(uid);
        }
        command.args(["run", "--config"]).arg(self.config());
        command.arg("--").args(words).stdin(Stdio::null());
        command.stdout(log.try_clone().expect("a log")).stderr(log);
        let level = std::env::var("SUPERVISOR_LOG").unwrap_or_else(|_| "info".into());
        command.env("SUPERVISOR_LOG", level);
        command.envs(self.environment.clone());
        if let Some(place) = &self.place {
            place.namespace.enter(&mut command);
        }
        if let Some(clock) = &self.clock {
            clock.govern(&mut command);
        }
        self.supervisor = Some(children::spawn(command).expect("the supervisor"));
    }

    /// `kill -9` of the supervisor; it is reaped.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.supervisor.take() {
            // One that has ended needs no killing.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// How the supervisor ended, if it does soon.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        let child = self.supervisor.as_mut()?;
        let mut status = None;
        let _ = until(SOON_MS, || {
            status = child.try_wait().ok().flatten();
            status.is_some()
        });
        status
    }

    /// The supervisor's process number.
    #[must_use]
    pub fn supervisor(&self) -> i32 {
        let child = self.supervisor.as_ref().expect("a supervisor");
        i32::try_from(child.id()).expect("a process number")
    }

    /// `supervisor ctl --socket … <words>`
    #[must_use]
    pub fn ctl_command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.client);
        command.arg("ctl").arg("--socket");
        command.arg(self.path("ctl.sock")).args(words);
        command
    }

    #[must_use]
    pub fn ctl(&self, words: &[&str]) -> Output {
        self.ctl_command(words).output().expect("supervisor ctl")
    }

    /// Runs a command that has to succeed.
    #[track_caller]
    pub fn must(&self, words: &[&str]) -> String {
        self.must_end(words, 0)
    }

    /// Runs a command that has to end with this code. Answers what it has said.
    #[track_caller]
    pub fn must_end(&self, words: &[&str], code: i32) -> String {
        let output = self.ctl(words);
        let text = said(&output);
        assert_eq!(
            output.status.code(),
            Some(code),
            "{}: ctl {words:?}:\n{text}",
            self.name()
        );
        text
    }

    #[must_use]
    pub fn status(&self) -> Option<Value> {
        let output = self.ctl(&["--json", "status"]);
        let line: Value = serde_json::from_slice(&output.stdout).ok()?;
        Some(line.get("status").cloned().unwrap_or(line))
    }

    #[must_use]
    pub fn role(&self) -> Option<String> {
        Some(self.status()?.get("role")?.as_str()?.to_owned())
    }

    #[track_caller]
    pub fn await_role(&self, role: &str) {
        let mut seen = None;
        let came = until(SOON_MS, || {
            seen = self.role();
            seen.as_deref() == Some(role)
        });
        assert!(came, "{} is not {role} but {seen:?}", self.name());
    }

    /// Waits for a line of the log with this in it.
    #[track_caller]
    pub fn await_log(&self, text: &str) {
        let came = until(SOON_MS, || self.log().contains(text));
        assert!(came, "{} does not say `{text}`", self.name());
    }

    #[must_use]
    pub fn log_path(&self) -> PathBuf {
        self.path("supervisor.log")
    }

    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// The validator's process number.
    #[track_caller]
    #[must_use]
    pub fn validator(&self) -> i32 {
        let mut pid = None;
        let _ = until(SOON_MS, || {
            pid = self.validator_now();
            pid.is_some()
        });
        pid.unwrap_or_else(|| panic!("{} has no validator", self.name()))
    }

    /// The same at this moment, without asking a supervisor that may stand still.
    #[must_use]
    pub fn validator_now(&self) -> Option<i32> {
        let supervisor = self.supervisor.as_ref()?.id();
        let tasks = std::fs::read_dir(format!("/proc/{supervisor}/task")).ok()?;
        let children = tasks
            .flatten()
            .filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
        let children = children.collect::<String>();
        let mut children = children
            .split_whitespace()
            .filter_map(|pid| pid.parse().ok());
        children.find(|pid| {
            let comm = std::fs::read_to_string(format!("/proc/{pid}/comm"));
            comm.is_ok_and(|comm| comm.starts_with("stand-in"))
        })
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!(
                "the log of {}:\n{}",
                self.name(),
                last_lines(&self.log(), LOG_LINES)
            );
        }
    }
}

/// The end of a text.
pub(crate) fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

/// Everything that a command has said.
#[must_use]
pub fn said(output: &Output) -> String {
    let text = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    text.concat()
}

/// A port of 127.0.0.1 that nobody listened on a moment ago.
///
/// # Errors
/// There is none.
pub fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
