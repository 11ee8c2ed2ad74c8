//! The trouble a stand-in validator can be asked for, and its timings: `key=value` pairs.
//!
//! They come from `--stand-in-fault key=value` (repeatable) and from the lines of the file given by
//! `--stand-in-faults`, which is read again whenever it matters and wins. Write that file with
//! [`write`], which replaces it in one step. [`KEYS`] says what there is.

use crate::rpc::Health;
use std::collections::BTreeMap;
use std::path::Path;

/// Every key, its meaning, and what holds without it.
pub const KEYS: &[(&str, &str)] = &[
    (
        "admin",
        "`hang`, `nonsense` or `close` (half-way through the answer); else it answers",
    ),
    (
        "admin_hang",
        "a method that is never answered, such as setIdentity; others are",
    ),
    (
        "admin_hold",
        "a method that is answered once this is taken away; others are at once",
    ),
    ("start_ms", "start-up takes this long; 0"),
    ("exit_at_once", "ends with this code before anything else"),
    ("die", "ends with this code as soon as it is seen"),
    ("ignore_sigterm", "`true`: SIGTERM has no effect"),
    ("term_ms", "from SIGTERM to the end; 0"),
    ("exit_ms", "from the admin request `exit` to the end; 100"),
    (
        "switch_ms",
        "least time from setIdentity to the switch of the voting thread; 300",
    ),
    (
        "duplicate_ms",
        "from seeing a newer instance of the identity to exit(1); 1000",
    ),
    (
        "stall_replay",
        "`true`: no votes, and no switch of identity",
    ),
    (
        "lose_voting_thread",
        "`true`: the next switch of identity ends the thread that votes, and nothing else",
    ),
    (
        "root_behind",
        "the finalized slot is this many behind the newest; 0",
    ),
    ("stop_voting", "`true`: no votes; identities are switched"),
    (
        "vote_though_muted",
        "`true`: an authorized voter is not needed",
    ),
    (
        "ignore_node",
        "`true`: votes although the vote account names another identity",
    ),
    (
        "roll_back",
        "stores and sends what was stored this many votes ago, once for each change of the number",
    ),
    (
        "store_unstaked",
        "`true`: Alpenglow also stores a history for an identity that does not vote",
    ),
    ("health", "`ok`, `unknown` or `behind:SLOTS`; ok"),
    (
        "slots_behind",
        "slots by which its own RPC trails the cluster; 0",
    ),
];

/// The pairs in force.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    pairs: BTreeMap<String, String>,
}

impl Faults {
    /// Adds what `line` says. Empty lines and those that begin with `#` say nothing.
    ///
    /// # Errors
    /// Not `key=value`, or no such key.
    pub fn add(&mut self, line: &str) -> Result<(), String> {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            return Ok(());
        }
        let (key, value) = line
            .split_once('=')
            .ok_or_else(|| format!("`{line}` is not key=value"))?;
        if !KEYS.iter().any(|(known, _)| *known == key.trim()) {
            return Err(format!("no fault is called `{key}`"));
        }
        self.pairs
            .insert(key.trim().to_owned(), value.trim().to_owned());
        Ok(())
    }

    /// These, and over them the lines of `file`. A file that is not there adds nothing.
    ///
    /// # Errors
    /// A line that [`Faults::add`] refuses.
    pub fn with_file(&self, file: &Path) -> Result<Self, String> {
        let mut all = self.clone();
        let text = std::fs::read_to_string(file).unwrap_or_default();
        text.lines().try_for_each(|line| all.add(line))?;
        Ok(all)
    }

    #[must_use]
    pub fn text(&self, key: &str) -> Option<&str> {
        self.pairs.get(key).map(String::as_str)
    }

    #[must_use]
    pub fn is(&self, key: &str) -> bool {
        self.text(key) == Some("true")
    }

    #[must_use]
    pub fn number(&self, key: &str) -> Option<u64> {
        self.text(key)?.parse().ok()
    }

    /// An exit code.
    #[must_use]
    pub fn code(&self, key: &str) -> Option<i32> {
        self.text(key)?.parse().ok()
    }

    #[must_use]
    pub fn health(&self) -> Health {
        match self.text("health") {
            None | Some("ok") => Health::Ok,
            Some(text) => match text
                .strip_prefix("behind:")
                .and_then(|slots| slots.parse().ok())
            {
                Some(slots) => Health::Behind(slots),
                None => Health::Unknown,
            },
        }
    }
}

/// Replaces the faults file in one step, so that it is never seen half-written.
///
/// # Errors
/// The file cannot be written.
pub fn write(file: &Path, pairs: &[(&str, &str)]) -> std::io::Result<()> {
    let lines: String = pairs
        .iter()
        .map(|(key, value)| format!("{key}={value}\n"))
        .collect();
    let fresh = file.with_extension("fresh");
    std::fs::write(&fresh, lines)?;
    std::fs::rename(fresh, file)
}
