//! The wall clock of chosen programs, to be stepped while they run; the machine's stays what it is.
//!
//! It takes a program that asks libc for the time, as Rust's do when linked dynamically. etcd is Go, and asks the kernel itself:
//! no namespace shifts the wall clock, so its own cannot be stepped here. A program with file capabilities, or one that is
//! set-user-id, ignores `LD_PRELOAD`. Timers on the wall clock (`timerfd`, `clock_nanosleep`) are the kernel's, and stay right.

use crate::stand_in::example;
use std::fs::{File, Permissions};
use std::io;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::PathBuf;
use std::process::Command;
use tempfile::{Builder, NamedTempFile};

/// A wall clock, right at first. The programs on it keep it when this is dropped.
#[derive(Debug)]
pub struct WallClock {
    library: PathBuf,
    offset: NamedTempFile,
}

impl WallClock {
    /// # Errors
    /// The library is not there and cannot be built, or no temporary file can be made.
    pub fn new() -> io::Result<Self> {
        let library = example("wall-clock", "libwall_clock.so")?;
        // A program that has given up its rights reads it too.
        let readable = Permissions::from_mode(0o644);
        let mut builder = Builder::new();
        let offset = builder
            .prefix("wall-clock-")
            .permissions(readable)
            .tempfile()?;
        let clock = Self { library, offset };
        clock.set(0)?;
        Ok(clock)
    }

    /// Has `command`, and whatever it starts with its own environment, go by this clock.
    pub fn govern(&self, command: &mut Command) {
        command.env("LD_PRELOAD", &self.library);
        command.env("TESTKIT_WALL_CLOCK", self.offset.path());
    }

    /// How far the clock is from the machine's from here on, in milliseconds; negative is behind.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn set(&self, offset_ms: i64) -> io::Result<()> {
        let offset_ns = offset_ms.saturating_mul(1_000_000);
        let file: &File = self.offset.as_file();
        file.write_all_at(&offset_ns.to_ne_bytes(), 0)
    }
}
