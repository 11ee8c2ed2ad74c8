//! The log: standard error, or a file that is opened again on SIGUSR1.

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use testkit::wire::now_us;

#[derive(Debug)]
pub(crate) struct Log {
    path: Option<PathBuf>,
    file: Mutex<Option<File>>,
}

impl Log {
    pub(crate) fn open(path: Option<PathBuf>) -> io::Result<Self> {
        let log = Self {
            path,
            file: Mutex::new(None),
        };
        log.reopen()?;
        Ok(log)
    }

    pub(crate) fn reopen(&self) -> io::Result<()> {
        if let Some(path) = &self.path {
            let file = File::options().create(true).append(true).open(path)?;
            *self.file.lock().unwrap_or_else(PoisonError::into_inner) = Some(file);
        }
        Ok(())
    }

    /// A log that cannot be written does not stop a validator.
    pub(crate) fn line(&self, level: &str, text: &str) {
        let now = now_us();
        let line = format!(
            "[{}.{:06} {level}] {text}\n",
            now / 1_000_000,
            now % 1_000_000
        );
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = match file.as_mut() {
            Some(file) => file.write_all(line.as_bytes()),
            None => io::stderr().write_all(line.as_bytes()),
        };
    }
}
