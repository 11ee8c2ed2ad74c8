//! The machine in a few words: figures mean nothing without it.

use std::path::Path;
use std::process::Command;

/// CPU, cores, kernel, the file system under `dir`, and how busy the machine is at this moment.
pub(crate) fn describe(dir: &Path) -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let busy = read("/proc/loadavg")
        .split(' ')
        .take(3)
        .collect::<Vec<_>>()
        .join(" ");
    let note = if busy
        .split(' ')
        .next()
        .and_then(|load| load.parse::<f64>().ok())
        .is_some_and(|load| load > 0.5 * cores as f64)
    {
        " (busy: expect wide p99)"
    } else {
        ""
    };
    let lines = [
        ("cpu", format!("{}, {cores} cores", cpu())),
        (
            "kernel",
            format!("Linux {}", read("/proc/sys/kernel/osrelease")),
        ),
        ("disk", file_system(dir)),
        ("load", format!("{busy}{note}")),
    ];
    lines
        .map(|(name, value)| format!("  {name:<8}{value}"))
        .join("\n")
}

fn cpu() -> String {
    let info = read("/proc/cpuinfo");
    let model = info
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    model.map_or_else(
        || std::env::consts::ARCH.to_owned(),
        |(_, name)| name.to_owned(),
    )
}

fn file_system(dir: &Path) -> String {
    let output = Command::new("df")
        .args(["--output=fstype,source"])
        .arg(dir)
        .output();
    let text = output
        .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
        .unwrap_or_default();
    let words: Vec<&str> = text
        .lines()
        .nth(1)
        .unwrap_or("unknown")
        .split_whitespace()
        .collect();
    words.join(" on ")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path)
        .unwrap_or_default()
        .trim()
        .to_owned()
}
