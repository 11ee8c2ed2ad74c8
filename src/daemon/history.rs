//! The transitions of this node, kept on disk over restarts: the content of `ctl history`.
//!
//! One JSON object a line. When the file is full its newer half is kept. Losing it costs an explanation, never a vote, so it is
//! not fsynced, and a line that cannot be read is skipped.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use crate::ctl::wire::HistoryEntry;

const ENTRIES_MAX: usize = 1000;

/// The transitions, oldest first.
#[derive(Debug)]
pub(super) struct History {
    path: PathBuf,
    entries: Vec<HistoryEntry>,
}

impl History {
    /// Reads what is there.
    #[must_use]
    pub(super) fn open(dir: &Path) -> Self {
        let path = dir.join("history.jsonl");
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let mut entries: Vec<HistoryEntry> = text
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect();
        entries.drain(..entries.len().saturating_sub(ENTRIES_MAX));
        Self { path, entries }
    }

    /// Adds one, and answers the write of it, to be done where waiting for a disk holds up nobody. Writes are done in order.
    pub(super) fn add(
        &mut self,
        entry: HistoryEntry,
    ) -> impl FnOnce() -> io::Result<()> + Send + use<> {
        self.entries.push(entry);
        let full = self.entries.len() > ENTRIES_MAX;
        if full {
            self.entries.drain(..ENTRIES_MAX / 2);
        }
        let new = if full { 0 } else { self.entries.len() - 1 };
        let text: String = self.entries[new..].iter().map(line).collect();
        let path = self.path.clone();
        move || {
            if full {
                replace(&path, &text)
            } else {
                append(&path, &text)
            }
        }
    }

    /// The last `limit`, or all.
    #[must_use]
    pub(super) fn last(&self, limit: Option<u32>) -> &[HistoryEntry] {
        let limit = limit.map_or(self.entries.len(), |limit| limit as usize);
        &self.entries[self.entries.len().saturating_sub(limit)..]
    }
}

/// These types have string keys and no failing serializer; an entry that fails all the same is left out.
fn line(entry: &HistoryEntry) -> String {
    serde_json::to_string(entry).map_or_else(|_| String::new(), |line| line + "\n")
}

fn append(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o640)
        .open(path)?;
    file.write_all(text.as_bytes())
}

fn replace(path: &Path, text: &str) -> io::Result<()> {
    let temporary = path.with_extension("jsonl.new");
    std::fs::write(&temporary, text)?;
    std::fs::rename(&temporary, path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ctl::time::Timestamp;
    use crate::engine::values::Role;

    fn entry(term: u64) -> HistoryEntry {
        HistoryEntry {
            at: Timestamp::from_unix_ms(1_700_000_000_000 + term),
            from: Role::Standby,
            to: Role::Promoting,
            term: Some(term),
            cause: "operator-promoted".into(),
            text: "An operator wants this node to vote.".into(),
        }
    }

    #[test]
    fn entries_survive_a_restart_and_damaged_lines_do_not_hide_them() -> io::Result<()> {
        let dir = tempfile::tempdir()?;
        History::open(dir.path()).add(entry(1))()?;
        let path = dir.path().join("history.jsonl");
        let mut text = std::fs::read_to_string(&path)?;
        text.push_str("half a li\n");
        std::fs::write(&path, text)?;
        let mut history = History::open(dir.path());
        history.add(entry(2))()?;
        let terms: Vec<_> = History::open(dir.path())
            .last(None)
            .iter()
            .map(|entry| entry.term)
            .collect();
        assert_eq!(terms, [Some(1), Some(2)]);
        Ok(())
    }

    #[test]
    fn the_file_stays_bounded() -> io::Result<()> {
        let dir = tempfile::tempdir()?;
        let mut history = History::open(dir.path());
        for term in 0..=ENTRIES_MAX as u64 {
            history.add(entry(term))()?;
        }
        let kept = History::open(dir.path());
        assert_eq!(kept.last(None).len(), ENTRIES_MAX / 2 + 1);
        assert_eq!(kept.last(Some(1))[0].term, Some(ENTRIES_MAX as u64));
        Ok(())
    }
}
