//! What can be wrong with a configuration, and how it is said.

use std::fmt;
use std::path::{Path, PathBuf};

use toml::de::DeValue;

use super::mask;

/// One thing wrong with a configuration file: where, what, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Counted from 1; `None` for something that is missing.
    pub line: Option<usize>,
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "line {line}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

/// Every problem of one file, in the order of its lines, what is missing first. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// `Ok` when nothing was found.
    pub(super) fn none_in(mut found: Vec<Problem>) -> Result<(), Self> {
        if found.is_empty() {
            return Ok(());
        }
        found.sort_by_key(|problem| problem.line);
        Err(Self(found))
    }

    #[must_use]
    pub fn list(&self) -> &[Problem] {
        &self.0
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [only] => only.fmt(f),
            several => {
                write!(f, "{} problems", several.len())?;
                several
                    .iter()
                    .try_for_each(|problem| write!(f, "\n  {problem}"))
            }
        }
    }
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error(
        "cannot read the configuration {path}: {source}; create it, or name another with --config"
    )]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error(
        "the configuration {} is no regular file: put one in its place, or name another with --config",
        .0.display()
    )]
    NotAFile(PathBuf),
    #[error("the configuration {path} is longer than {max_bytes} bytes: is it the right file?")]
    TooLong { path: PathBuf, max_bytes: u64 },
    #[error(
        "the configuration {path} is not UTF-8 text, first at line {line}: is it the right file?"
    )]
    NotText { path: PathBuf, line: usize },
    #[error("{path}: {problems}")]
    Refused { path: PathBuf, problems: Problems },
}

impl ConfigError {
    pub(super) fn not_text(path: &Path, bytes: &[u8], valid_up_to: usize) -> Self {
        let line = 1 + bytes[..valid_up_to].iter().filter(|b| **b == b'\n').count();
        Self::NotText {
            path: path.to_owned(),
            line,
        }
    }
}

/// A value, short enough to repeat in an error. Long text that is neither path, address nor URL is not
/// repeated, and neither is a list: somebody may have pasted a secret key where its path belongs.
pub(super) fn shown(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => shown_text(text),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(value) => value.to_string(),
        DeValue::Datetime(value) => value.to_string(),
        DeValue::Array(list) => format!("[… {} items]", list.len()),
        DeValue::Table(_) => "{ … }".to_owned(),
    }
}

pub(super) fn shown_text(text: &str) -> String {
    const WHOLE_MAX: usize = 30;
    const ADDRESS_MAX: usize = 200;
    let chars = text.chars().count();
    let looks_like_an_address = text.contains(['/', ':']) && !text.contains(',');
    if chars <= WHOLE_MAX || (looks_like_an_address && chars <= ADDRESS_MAX) {
        format!("{:?}", mask::credentials(text))
    } else {
        format!("(a text of {chars} characters)")
    }
}

/// A value's kind, with its article.
pub(super) fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a float",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}
