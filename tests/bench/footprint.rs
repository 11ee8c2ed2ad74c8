//! What the supervisor itself takes while its validator votes at the pace of a real one: memory, and a core's time.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;
use serde_json::Value;
use testkit::chain::{Chain, ChainSpec};
use testkit::keys;
use testkit::stand_in::{Protocol, StandIn, binary, until};

use crate::table::Table;
use crate::{AnyError, built_into};

/// 2.5 votes a second.
const SLOT_MS: u64 = 400;
const SOON_MS: u64 = 60_000;
/// Until what only a beginning costs is over.
const SETTLED_AFTER: usize = 25;
const WATCHED_VOTES: usize = 100;
const MEMORY_BUDGET_MB: f64 = 20.0;
const CPU_BUDGET_PERCENT: f64 = 0.5;

/// A chain, a stand-in's files and a configuration.
pub(crate) struct Lab {
    dir: PathBuf,
    supervisor: PathBuf,
    chain: Chain,
    pub(crate) node: StandIn,
}

impl Lab {
    pub(crate) fn new(dir: &Path) -> Result<Self, AnyError> {
        let staked = keys::from_seed("the staked identity of the bench");
        let vote_account = keys::address_from_seed("the vote account of the bench");
        let chain = Chain::start(
            ChainSpec::new(SLOT_MS).vote_account(&vote_account, &keys::address(&staked)),
        )?;
        let mut node = StandIn::new(
            dir,
            "a",
            chain.addr(),
            Protocol::Tower,
            &vote_account,
            &staked,
        )?;
        let port = std::net::TcpListener::bind("127.0.0.1:0")?
            .local_addr()?
            .port();
        node.more = vec!["--rpc-port".into(), port.to_string()];
        let path = |name: &str| dir.join(name);
        let text = format!(
            "node = \"a\"\nstate_dir = {:?}\n[identity]\nstaked = {:?}\nunstaked = {:?}\n[control]\nsocket = {:?}\n",
            path("state"),
            path("staked.json"),
            path("unstaked.json"),
            path("ctl.sock"),
        );
        std::fs::write(path("config.toml"), text)?;
        Ok(Self {
            dir: dir.to_owned(),
            supervisor: built_into()?.join("supervisor"),
            chain,
            node,
        })
    }

    /// `supervisor run -- WORDS`, in this very thread's care.
    pub(crate) fn run(&mut self, words: &[OsString]) -> std::io::Result<Child> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.dir.join("supervisor.log"))?;
        let mut command = Command::new(&self.supervisor);
        command
            .args(["run", "--config"])
            .arg(self.dir.join("config.toml"))
            .arg("--")
            .args(words);
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
    }

    fn ctl(&self, words: &[&str]) -> std::io::Result<Value> {
        let output = Command::new(&self.supervisor)
            .arg("ctl")
            .arg("--socket")
            .arg(self.dir.join("ctl.sock"))
            .args(words)
            .output()?;
        Ok(serde_json::from_slice(&output.stdout).unwrap_or_default())
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.join("supervisor.log")).unwrap_or_default()
    }
}

/// Kills the supervisor, and so its child.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) fn measure(dir: &Path, table: &mut Table) -> Result<(), AnyError> {
    let mut lab = Lab::new(dir)?;
    let mut words: Vec<OsString> = vec![binary()?.into()];
    words.extend(lab.node.args().into_iter().map(Into::into));
    let supervisor = Killed(lab.run(&words)?);
    let pid = Pid::from_raw(supervisor.0.id() as i32);
    let standby = || {
        lab.ctl(&["--json", "status"])
            .is_ok_and(|status| status["role"] == "standby")
    };
    if !until(SOON_MS, standby) {
        return Err(format!("the stand-in did not come up\n{}", lab.log()).into());
    }
    lab.ctl(&["--json", "promote", "--first-vote"])?;
    await_votes(&lab, SETTLED_AFTER)?;
    let (from, used) = (Instant::now(), cpu_time(pid)?);
    await_votes(&lab, WATCHED_VOTES)?;
    let (watched, used) = (from.elapsed(), cpu_time(pid)?.saturating_sub(used));
    let memory = Memory::of(pid)?;
    table.value(
        "supervisor, resident",
        memory.mb("VmRSS"),
        None,
        memory.mb("VmRSS"),
        MEMORY_BUDGET_MB,
        "MB",
    );
    table.aside(&format!(
        "{:.1} MB its own, {:.1} MB pages of the program and libraries; at most {:.1} MB; {} threads",
        memory.mb("RssAnon"),
        memory.mb("RssFile"),
        memory.mb("VmHWM"),
        memory.number("Threads")
    ));
    let percent = used.as_secs_f64() / watched.as_secs_f64() * 100.0;
    table.value(
        "supervisor, of a core, while voting",
        percent,
        None,
        percent,
        CPU_BUDGET_PERCENT,
        "%",
    );
    let a_vote = used.as_secs_f64() * 1e3 / WATCHED_VOTES as f64;
    table.aside(&format!(
        "{WATCHED_VOTES} votes in {:.0} s, {a_vote:.2} ms each, all threads",
        watched.as_secs_f64()
    ));
    Ok(())
}

fn await_votes(lab: &Lab, more: usize) -> Result<(), AnyError> {
    let goal = lab.chain.votes().len() + more;
    if lab
        .chain
        .wait(SOON_MS + more as u64 * SLOT_MS * 2, |votes| {
            votes.len() >= goal
        })
    {
        return Ok(());
    }
    Err(format!("no {more} votes came\n{}", lab.log()).into())
}

/// Of all threads, those that have ended included.
fn cpu_time(pid: Pid) -> nix::Result<Duration> {
    Ok(clock_gettime(ClockId::pid_cpu_clock_id(pid)?)?.into())
}

/// What the kernel says of a process's memory.
struct Memory(String);

impl Memory {
    fn of(pid: Pid) -> std::io::Result<Self> {
        Ok(Self(std::fs::read_to_string(format!(
            "/proc/{pid}/status"
        ))?))
    }

    /// 0 where the kernel does not say.
    fn number(&self, name: &str) -> u64 {
        let line = self
            .0
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.and_then(|line| line.split_whitespace().next()?.parse().ok())
            .unwrap_or(0)
    }

    fn mb(&self, name: &str) -> f64 {
        self.number(name) as f64 * 1024.0 / 1e6
    }
}
