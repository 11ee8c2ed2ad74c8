//! Takes typed values out of a parsed file and collects what is wrong, with lines.
//!
//! Knows nothing of what the keys mean.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use super::duration;
use super::problem::{Problem, kind, shown, shown_text};
use super::schema::KEYS;
use super::suggest;

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    File {
        line: usize,
    },
    Default,
    /// The validator's command line.
    CommandLine,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { line } => write!(f, "line {line}"),
            Self::Default => f.write_str("default"),
            Self::CommandLine => f.write_str("the validator's command line"),
        }
    }
}

type Value<'d> = Spanned<DeValue<'d>>;

/// One file being read. Getters name keys by their whole path, as in the schema.
pub(super) struct Reader<'d> {
    text: &'d str,
    root: &'d DeTable<'d>,
    pub(super) problems: Vec<Problem>,
    /// Keys with a problem: rules between values leave them out.
    refused: BTreeSet<String>,
}

impl<'d> Reader<'d> {
    /// Starts by refusing every key and section that the schema does not know.
    pub(super) fn new(text: &'d str, root: &'d DeTable<'d>) -> Self {
        let mut reader = Self {
            text,
            root,
            problems: Vec::new(),
            refused: BTreeSet::new(),
        };
        reader.refuse_unknown("", root);
        reader
    }

    /// The lines of the known keys that the file sets.
    pub(super) fn sources(&self) -> BTreeMap<&'static str, Source> {
        let line = |value: &Value<'_>| Source::File {
            line: line_of(self.text, value.span().start),
        };
        KEYS.iter()
            .filter_map(|key| Some((key.path, line(self.find(key.path)?))))
            .collect()
    }

    pub(super) fn has(&self, path: &str) -> bool {
        self.find(path).is_some()
    }

    /// Adds a problem with a key's value; at the line of that key if the file sets it.
    pub(super) fn refuse(&mut self, path: &str, message: impl Into<String>) {
        let line = self
            .find(path)
            .map(|value| line_of(self.text, value.span().start));
        self.refused.insert(path.to_owned());
        self.problems.push(Problem {
            line,
            message: message.into(),
        });
    }

    /// Whether a key of the schema has a problem of its own.
    pub(super) fn is_refused(&self, path: &str) -> bool {
        self.refused.contains(path)
    }

    pub(super) fn missing(&mut self, path: &str, what: &str) {
        self.refuse(path, format!("{path} is missing: set it to {what}"));
    }

    pub(super) fn string(&mut self, path: &str, expected: &str) -> Option<&'d str> {
        let value = self.find(path)?;
        let text = value.get_ref().as_str();
        if text.is_none() {
            self.wrong_item(path, value, expected);
        }
        text
    }

    pub(super) fn integer(&mut self, path: &str, range: RangeInclusive<u64>) -> Option<u64> {
        let value = self.find(path)?;
        let expected = format!("a whole number from {} to {}", range.start(), range.end());
        let Some(number) = value.get_ref().as_integer() else {
            self.wrong_item(path, value, &expected);
            return None;
        };
        let read = u64::from_str_radix(number.as_str(), number.radix()).ok();
        let in_range = read.filter(|n| range.contains(n));
        if in_range.is_none() {
            self.refuse(
                path,
                format!("{path} = {number} is out of range; expected {expected}"),
            );
        }
        in_range
    }

    pub(super) fn time(&mut self, path: &str, range: RangeInclusive<Duration>) -> Option<Duration> {
        let text = self.string(path, "a time such as \"5s\", \"250ms\" or \"1h\"")?;
        let shown = shown_text(text);
        match duration::parse(text) {
            Err(reason) => self.refuse(path, format!("{path} = {shown} {reason}")),
            Ok(time) if range.contains(&time) => return Some(time),
            Ok(_) => {
                let (least, most) = (duration::show(*range.start()), duration::show(*range.end()));
                self.refuse(
                    path,
                    format!("{path} = {shown} is out of range; expected {least} to {most}"),
                );
            }
        }
        None
    }

    /// One of a few words.
    pub(super) fn word<T: Copy>(&mut self, path: &str, words: &[(&str, T)]) -> Option<T> {
        let names: Vec<_> = words
            .iter()
            .map(|(name, _)| format!("\"{name}\""))
            .collect();
        let expected = names.join(" or ");
        let text = self.string(path, &expected)?;
        let found = words.iter().find(|(name, _)| *name == text);
        if found.is_none() {
            self.refuse(
                path,
                format!(
                    "{path} = {} is not known; expected {expected}",
                    shown_text(text)
                ),
            );
        }
        found.map(|(_, value)| *value)
    }

    /// An absolute path: what a relative one means would depend on who started us.
    pub(super) fn path(&mut self, path: &str) -> Option<PathBuf> {
        let text = self.string(path, "an absolute path as a string")?;
        self.absolute(path, path, text)
    }

    pub(super) fn paths(&mut self, path: &str) -> Option<Vec<PathBuf>> {
        let texts = self.strings(path, "an array of absolute paths")?;
        let named = texts.into_iter().enumerate();
        named
            .map(|(i, text)| self.absolute(path, &format!("{path}[{i}]"), text))
            .collect()
    }

    pub(super) fn address(&mut self, path: &str) -> Option<SocketAddr> {
        let text = self.string(path, "an address such as \"127.0.0.1:8080\"")?;
        let address = text.parse().ok();
        if address.is_none() {
            let shown = shown_text(text);
            self.refuse(
                path,
                format!("{path} = {shown} is not IP:PORT, such as \"127.0.0.1:8080\""),
            );
        }
        address
    }

    pub(super) fn url(&mut self, path: &str) -> Option<String> {
        let text = self.string(path, "a URL such as \"http://127.0.0.1:8899\"")?;
        self.web_url(path, path, text)
    }

    pub(super) fn urls(&mut self, path: &str) -> Option<Vec<String>> {
        let texts = self.strings(path, "an array of URLs")?;
        let named = texts.into_iter().enumerate();
        named
            .map(|(i, text)| self.web_url(path, &format!("{path}[{i}]"), text))
            .collect()
    }

    /// The tables of an array of tables, each as its strings; keys other than `keys` are refused, missing ones too.
    pub(super) fn tables<const N: usize>(
        &mut self,
        path: &str,
        keys: [&str; N],
    ) -> Option<Vec<[&'d str; N]>> {
        let example = keys.map(|key| format!("{key} = \"…\"")).join(", ");
        let expected = format!("an array of tables {{ {example} }}");
        let array = self.array(path, &expected)?;
        let mut rows = Vec::new();
        for (i, item) in array.iter().enumerate() {
            let name = format!("{path}[{i}]");
            let Some(table) = item.get_ref().as_table() else {
                self.wrong_item(&name, item, &format!("a table {{ {example} }}"));
                continue;
            };
            rows.extend(self.row(&name, item, table, keys));
        }
        (rows.len() == array.len()).then_some(rows)
    }
}

impl<'d> Reader<'d> {
    fn find(&self, path: &str) -> Option<&'d Value<'d>> {
        let (sections, key) = path.rsplit_once('.').unwrap_or(("", path));
        let mut table = self.root;
        for section in sections.split('.').filter(|part| !part.is_empty()) {
            table = table.get(section)?.get_ref().as_table()?;
        }
        table.get(key)
    }

    fn refuse_unknown(&mut self, section: &str, table: &'d DeTable<'d>) {
        for (key, value) in table {
            let name: &str = key.get_ref();
            let path = if section.is_empty() {
                name.to_owned()
            } else {
                format!("{section}.{name}")
            };
            let is_key = KEYS.iter().any(|known| known.path == path);
            let is_section = super::schema::sections().contains(&path.as_str());
            let message = match value.get_ref().as_table() {
                _ if is_key => continue,
                Some(inner) if is_section => {
                    self.refuse_unknown(&path, inner);
                    continue;
                }
                Some(_) => format!("unknown section [{path}]{}", suggest::for_section(&path)),
                None if is_section => {
                    format!(
                        "{path} = {} is {}; expected a section [{path}]",
                        shown(value.get_ref()),
                        kind(value.get_ref())
                    )
                }
                None => format!(
                    "unknown key {path} = {}{}",
                    shown(value.get_ref()),
                    suggest::for_key(section, name)
                ),
            };
            let line = Some(line_of(self.text, key.span().start));
            self.problems.push(Problem { line, message });
        }
    }

    fn array(&mut self, path: &str, expected: &str) -> Option<&'d DeArray<'d>> {
        let value = self.find(path)?;
        let array = value.get_ref().as_array();
        if array.is_none() {
            self.wrong_item(path, value, expected);
        }
        array
    }

    pub(super) fn strings(&mut self, path: &str, expected: &str) -> Option<Vec<&'d str>> {
        let array = self.array(path, expected)?;
        let mut texts = Vec::new();
        for (i, item) in array.iter().enumerate() {
            match item.get_ref().as_str() {
                Some(text) => texts.push(text),
                None => self.wrong_item(&format!("{path}[{i}]"), item, "a string"),
            }
        }
        (texts.len() == array.len()).then_some(texts)
    }

    fn row<const N: usize>(
        &mut self,
        name: &str,
        item: &Value<'d>,
        table: &'d DeTable<'d>,
        keys: [&str; N],
    ) -> Option<[&'d str; N]> {
        let before = self.problems.len();
        for (key, value) in table {
            if !keys.contains(&key.get_ref().as_ref()) {
                let message = format!(
                    "unknown key {name}.{key} = {}; expected {}",
                    shown(value.get_ref()),
                    keys.join(" and ")
                );
                self.at(name, key.span().start, message);
            }
        }
        let texts = keys.map(|key| match table.get(key) {
            None => {
                self.at(name, item.span().start, format!("{name}.{key} is missing"));
                ""
            }
            Some(value) => value.get_ref().as_str().unwrap_or_else(|| {
                self.wrong_item(&format!("{name}.{key}"), value, "a string");
                ""
            }),
        });
        (self.problems.len() == before).then_some(texts)
    }

    fn absolute(&mut self, path: &str, name: &str, text: &str) -> Option<PathBuf> {
        if text.starts_with('/') && !text.contains('\0') {
            return Some(PathBuf::from(text));
        }
        let shown = shown_text(text);
        self.refuse(
            path,
            format!("{name} = {shown} is not an absolute path: begin it with /"),
        );
        None
    }

    fn web_url(&mut self, path: &str, name: &str, text: &str) -> Option<String> {
        let rest = text
            .strip_prefix("http://")
            .or_else(|| text.strip_prefix("https://"));
        let fits = rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with(['/', ':']));
        let port_fits = rest.is_some_and(has_a_port_that_fits);
        if fits && !port_fits {
            let shown = shown_text(text);
            self.refuse(
                path,
                format!("{name} = {shown} has no port from 1 to 65535 behind its host: correct it, or leave it out for that of http or https"),
            );
            return None;
        }
        if fits && !text.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Some(text.to_owned());
        }
        let shown = shown_text(text);
        self.refuse(
            path,
            format!("{name} = {shown} is not a URL: write http://HOST:PORT or https://HOST:PORT"),
        );
        None
    }

    fn wrong_item(&mut self, name: &str, value: &Value<'_>, expected: &str) {
        let (shown, kind) = (shown(value.get_ref()), kind(value.get_ref()));
        self.at(
            name,
            value.span().start,
            format!("{name} = {shown} is {kind}; expected {expected}"),
        );
    }

    fn at(&mut self, name: &str, offset: usize, message: String) {
        let key = name.split('[').next().unwrap_or(name);
        self.refused.insert(key.to_owned());
        let line = Some(line_of(self.text, offset));
        self.problems.push(Problem { line, message });
    }
}

/// Whether a URL, its scheme left out, names a port that there is, or none.
fn has_a_port_that_fits(url: &str) -> bool {
    let authority = url.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    // The colons within brackets are those of an IPv6 address.
    let behind = host.rsplit_once(']').map_or(host, |(_, behind)| behind);
    let port = behind.rsplit_once(':').map(|(_, port)| port);
    port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port != 0))
}

/// The line of a byte offset, counted from 1.
pub(super) fn line_of(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().get(..offset).unwrap_or(text.as_bytes());
    1 + before.iter().filter(|byte| **byte == b'\n').count()
}
