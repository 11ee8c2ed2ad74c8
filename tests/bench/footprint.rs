//! What the supervisor itself takes while its validator votes at the pace of a real one: memory, and a core's time.

use std::path::Path;
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;

use crate::AnyError;
use crate::lab::Lab;
use crate::table::Table;

/// 2.5 votes a second.
const SLOT_MS: u64 = 400;
/// Until what only a beginning costs is over.
const SETTLED_AFTER: usize = 25;
const WATCHED_VOTES: usize = 100;
const MEMORY_BUDGET_MB: f64 = 20.0;
const CPU_BUDGET_PERCENT: f64 = 0.5;

pub(crate) fn measure(dir: &Path, table: &mut Table) -> Result<(), AnyError> {
    let mut lab = Lab::new(dir, SLOT_MS, &["a"])?;
    lab.nodes[0].configure("");
    lab.start_voting()?;
    let pid = Pid::from_raw(lab.nodes[0].supervisor());
    lab.await_votes(SETTLED_AFTER)?;
    let (from, used) = (Instant::now(), cpu_time(pid)?);
    lab.await_votes(WATCHED_VOTES)?;
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
