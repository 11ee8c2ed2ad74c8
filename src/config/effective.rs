//! Prints the configuration in force, as TOML that reads back as the same configuration, but for the credentials in URLs.

use std::fmt::Write as _;

use super::Loaded;
use super::read::Source;
use super::schema::KEYS;

impl Loaded {
    /// Every value in force, each with where it comes from as a comment. A key that is neither set nor assumed
    /// is left out; one that the validator's command line gives is in once it was noted.
    #[must_use]
    pub fn effective(&self) -> String {
        let mut out = String::new();
        let mut section_open = "";
        for key in KEYS {
            let Some(value) = key.shown(&self.config) else {
                continue;
            };
            let (section, name) = key.place();
            if section != section_open {
                section_open = section;
                // Writing to a String cannot fail.
                let _ = writeln!(out, "\n[{section}]");
            }
            let source = self.sources.get(key.path).unwrap_or(&Source::Default);
            let _ = writeln!(out, "{name} = {value}  # {source}");
        }
        out
    }
}
