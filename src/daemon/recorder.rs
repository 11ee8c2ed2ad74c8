//! The flight recorder: what went into the engine and what came out, in two bounded files of the state directory.
//!
//! For the morning after. Readings that come by the second are left out. A thread of its own writes, so that a disk that hangs
//! cannot hold up the loop; what does not fit its queue meanwhile is dropped and counted.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use crate::ctl::time::Timestamp;
use crate::engine::values::Millis;
use crate::engine::{Effect, Input, Observation};

/// When a file is this long, it becomes the older one.
const FILE_BYTES_MAX: u64 = 1 << 20;
const LINES_WAITING_MAX: usize = 256;

/// Takes steps of the engine. Never waits.
#[derive(Debug)]
pub(super) struct Recorder {
    lines: Option<SyncSender<String>>,
    dropped: u64,
}

impl Recorder {
    /// Begins to write. Where that is impossible the supervisor runs without it.
    pub(super) fn start(state_dir: &Path) -> Self {
        let (sender, lines) = sync_channel(LINES_WAITING_MAX);
        let path = state_dir.join("flight.log");
        let thread = std::thread::Builder::new()
            .name("recorder".into())
            .stack_size(128 * 1024);
        let started = thread.spawn(move || write_all(&path, &lines));
        Self {
            lines: started.ok().map(|_| sender),
            dropped: 0,
        }
    }

    /// Records one step. No input and no effect carries a secret.
    pub(super) fn step(&mut self, at: Millis, input: &Input, effects: &[Effect]) {
        if effects.is_empty() && is_routine(input) {
            return;
        }
        let Some(lines) = &self.lines else { return };
        let mut line = format!("{} {} {input:?}", Timestamp::now(), at.0);
        for effect in effects {
            let _ = write!(line, "\n    {effect:?}");
        }
        if self.dropped > 0 {
            let _ = write!(
                line,
                "\n    ({} steps before this one were not recorded)",
                self.dropped
            );
        }
        line.push('\n');
        match lines.try_send(line) {
            Ok(()) => self.dropped = 0,
            Err(_) => self.dropped += 1,
        }
    }
}

fn is_routine(input: &Input) -> bool {
    matches!(
        input,
        Input::Tick
            | Input::Gate(_)
            | Input::Observed(
                Observation::Own { .. } | Observation::OwnSilent | Observation::ChainVote { .. }
            )
    )
}

fn write_all(path: &Path, lines: &Receiver<String>) {
    while let Ok(line) = lines.recv() {
        // A disk that is full today may have room tomorrow.
        let _ = write_one(path, &line);
    }
}

/// Opens the file anew each time: none is held open on a disk that an operator may want read-only or unmounted.
fn write_one(path: &Path, line: &str) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o640)
        .open(path)?;
    file.write_all(line.as_bytes())?;
    if file.metadata()?.len() > FILE_BYTES_MAX {
        std::fs::rename(path, older(path))?;
    }
    Ok(())
}

fn older(path: &Path) -> PathBuf {
    path.with_extension("log.older")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_bounded_files_are_kept() -> io::Result<()> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("flight.log");
        let line = "x".repeat(100_000);
        for _ in 0..30 {
            write_one(&path, &line)?;
        }
        let len = |path: &Path| std::fs::metadata(path).map(|metadata| metadata.len());
        assert!(len(&path)? <= FILE_BYTES_MAX);
        assert!((FILE_BYTES_MAX..FILE_BYTES_MAX + 100_000).contains(&len(&older(&path))?));
        assert_eq!(std::fs::read_dir(dir.path())?.count(), 2);
        Ok(())
    }

    #[test]
    fn readings_that_change_nothing_are_left_out() {
        assert!(is_routine(&Input::Observed(Observation::OwnSilent)));
        assert!(!is_routine(&Input::Stop));
    }
}
