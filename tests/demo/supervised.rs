//! The supervisor as an operator has it: a configuration, `supervisor run`, and `supervisor ctl`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use testkit::stand_in::until;

use crate::process::Process;
use crate::stage::{Cast, Failure};

pub(crate) struct Supervised {
    program: PathBuf,
    socket: PathBuf,
    log: PathBuf,
    process: Process,
}

impl Supervised {
    /// Writes the configuration and starts `supervisor run`. The calling thread must live on.
    pub(crate) fn start(dir: &Path, cast: &Cast) -> Result<Self, Failure> {
        let program = beside_this_program("supervisor")?;
        let (config, socket, log) = (
            dir.join("config.toml"),
            dir.join("ctl.sock"),
            dir.join("supervisor.log"),
        );
        let text = format!(
            "node = \"a\"\nstate_dir = {:?}\n[identity]\nstaked = {:?}\nunstaked = {:?}\n[control]\nsocket = {:?}\n",
            dir.join("state"),
            cast.staked,
            cast.unstaked,
            socket,
        );
        std::fs::write(&config, text)?;
        let mut argv: Vec<OsString> = vec![
            program.clone().into(),
            "run".into(),
            "--config".into(),
            config.into(),
            "--".into(),
        ];
        argv.extend(cast.argv.iter().cloned());
        let process = Process::spawn("supervisor", &argv, &cast.env, &log, None);
        Ok(Self {
            program,
            socket,
            log,
            process,
        })
    }

    /// Runs `supervisor ctl` and gives what it printed.
    pub(crate) fn ctl(&self, words: &[&str]) -> Result<String, Failure> {
        let output = Command::new(&self.program)
            .arg("ctl")
            .arg("--socket")
            .arg(&self.socket)
            .args(words)
            .output()?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        Err(self.failure(&format!(
            "`ctl {}` ended with {}: {}",
            words.join(" "),
            output.status,
            said.trim()
        )))
    }

    pub(crate) fn status(&self) -> Result<Value, Failure> {
        let text = self.ctl(&["--json", "status"])?;
        serde_json::from_str(&text)
            .map_err(|error| self.failure(&format!("status is no JSON ({error}): {text}")))
    }

    /// Waits until the status shows what is wanted.
    pub(crate) fn await_status(
        &mut self,
        what: &str,
        within: Duration,
        wanted: impl Fn(&Value) -> bool,
    ) -> Result<Value, Failure> {
        let mut last = Err(Failure("not asked".into()));
        let came = until(within.as_millis() as u64, || {
            last = self.status();
            self.process.has_ended() || last.as_ref().is_ok_and(&wanted)
        });
        if self.process.has_ended() {
            return Err(self.failure("the supervisor has ended"));
        }
        match last {
            Ok(status) if came => Ok(status),
            Ok(status) => Err(self.failure(&format!(
                "{what}: not seen within {within:?}; the status is {status}"
            ))),
            Err(failure) => Err(failure),
        }
    }

    /// Kills the supervisor as the kernel would: nothing of it runs any more. Returns once it is gone.
    pub(crate) fn kill(&mut self) -> Result<(), Failure> {
        self.process.signal(libc::SIGKILL);
        if until(10_000, || self.process.has_ended()) {
            return Ok(());
        }
        Err(self.failure("the supervisor does not end on SIGKILL"))
    }

    /// With the end of the log, which says more.
    fn failure(&self, what: &str) -> Failure {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let tail = lines[lines.len().saturating_sub(20)..].join("\n  ");
        Failure(format!("{what}\n  {tail}"))
    }
}

/// target/<profile>/<name>, seen from target/<profile>/examples/demo.
fn beside_this_program(name: &str) -> Result<PathBuf, Failure> {
    let own = std::env::current_exe()?;
    let found = own
        .ancestors()
        .nth(2)
        .map(|profile| profile.join(name))
        .filter(|path| path.is_file());
    found.ok_or_else(|| Failure(format!("{name} is not built: run tests/demo/run")))
}
