//! One of the two machines as an operator has it: `supervisor run` around a validator, `supervisor ctl`, and a log.
//!
//! The supervisors of the stand-in are started by the testkit, those of the real validator by the tests in `tests/real`; the
//! story does not tell them apart.

use std::path::PathBuf;
use std::process::Output;
use std::time::Duration;

use serde_json::Value;
use testkit::children;
use testkit::node::{self, said};
use testkit::stand_in::until;

use crate::process::Process;
use crate::stage::{Failure, millis};
use crate::supervisor::Supervisor;

/// The two machines.
pub(crate) const NAMES: [&str; 2] = ["a", "b"];

/// Where the machine of that name comes in [`NAMES`].
pub(crate) fn place_of(name: &str) -> usize {
    usize::from(name != NAMES[0])
}

const LOG_TAIL_LINES: usize = 20;
/// For what a supervisor does in a moment, on a machine that is busy.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// See the module.
pub(crate) trait Machine {
    fn name(&self) -> &str;

    /// Writes the configuration, with these sections at its end.
    fn configure(&self, sections: &str);

    /// `supervisor run -- <validator> …`
    fn start(&mut self);

    /// `kill -9` of the supervisor, which is gone then.
    fn kill(&mut self);

    /// The supervisor's process, while it was not killed.
    fn pid(&self) -> Option<i32>;

    fn ctl(&self, words: &[&str]) -> Output;

    fn log(&self) -> String;

    /// The supervisor's own files.
    fn state_dir(&self) -> PathBuf;
}

impl dyn Machine + '_ {
    /// Runs a command of `supervisor ctl` that has to succeed, and gives what it printed.
    pub(crate) fn must(&self, words: &[&str]) -> Result<String, Failure> {
        let output = self.ctl(words);
        if output.status.success() {
            return Ok(said(&output));
        }
        let (status, said) = (output.status, said(&output));
        Err(self.failure(&format!("`ctl {}`: {status}: {said}", words.join(" "))))
    }

    pub(crate) fn status(&self) -> Result<Value, Failure> {
        let text = self.must(&["--json", "status"])?;
        serde_json::from_str(&text)
            .map_err(|error| self.failure(&format!("status is no JSON ({error}): {text}")))
    }

    /// Waits until the status shows what is wanted.
    pub(crate) fn await_status(
        &self,
        what: &str,
        within: Duration,
        wanted: impl Fn(&Value) -> bool,
    ) -> Result<Value, Failure> {
        let mut last = Err(Failure("not asked".into()));
        let mut is_there = true;
        let came = until(millis(within), || {
            last = self.status();
            is_there = self.pid().is_some_and(children::lives);
            !is_there || last.as_ref().is_ok_and(&wanted)
        });
        match last {
            _ if !is_there => Err(self.failure("the supervisor has ended")),
            Ok(status) if came => Ok(status),
            Ok(status) => Err(self.failure(&format!(
                "{what}: not seen within {within:?}; the status is {status}"
            ))),
            Err(failure) => Err(failure),
        }
    }

    pub(crate) fn await_role(&self, role: &str, within: Duration) -> Result<Value, Failure> {
        self.await_status(role, within, |status| status["role"] == role)
    }

    /// The validator's process.
    pub(crate) fn validator(&self) -> Result<i32, Failure> {
        let pid = self.status()?["validator"]["pid"].as_i64();
        pid.and_then(|pid| i32::try_from(pid).ok())
            .ok_or_else(|| self.failure("the status names no validator"))
    }

    /// With the end of the log, which says more.
    pub(crate) fn failure(&self, what: &str) -> Failure {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        let tail = lines[lines.len().saturating_sub(LOG_TAIL_LINES)..].join("\n  ");
        Failure(format!("{}: {what}\n  {tail}", self.name()))
    }
}

impl Machine for node::Node {
    fn name(&self) -> &str {
        node::Node::name(self)
    }

    fn configure(&self, sections: &str) {
        node::Node::configure(self, sections);
    }

    fn start(&mut self) {
        node::Node::start(self);
    }

    fn kill(&mut self) {
        node::Node::kill(self);
    }

    fn pid(&self) -> Option<i32> {
        Some(self.supervisor())
    }

    fn ctl(&self, words: &[&str]) -> Output {
        node::Node::ctl(self, words)
    }

    fn log(&self) -> String {
        node::Node::log(self)
    }

    fn state_dir(&self) -> PathBuf {
        self.state_dir.clone()
    }
}

/// One on the cluster of real validators.
pub(crate) struct RealMachine<'a> {
    pub(crate) supervisor: Supervisor<'a>,
    pub(crate) process: Option<Process>,
}

impl Machine for RealMachine<'_> {
    fn name(&self) -> &str {
        &self.supervisor.node.name
    }

    fn configure(&self, sections: &str) {
        self.supervisor.configure(sections);
    }

    fn start(&mut self) {
        let argv = self.supervisor.node.argv();
        self.process = Some(self.supervisor.start(&argv));
    }

    fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.signal(libc::SIGKILL);
            process.wait(SOON);
        }
    }

    fn pid(&self) -> Option<i32> {
        let pid = self.process.as_ref()?.pid();
        i32::try_from(pid).ok()
    }

    fn ctl(&self, words: &[&str]) -> Output {
        self.supervisor.ctl(words)
    }

    fn log(&self) -> String {
        self.process
            .as_ref()
            .map(Process::output)
            .unwrap_or_default()
    }

    fn state_dir(&self) -> PathBuf {
        self.supervisor.state_dir()
    }
}
