//! Reads the one configuration file, strictly.
//!
//! Refuses what it does not know, reports every problem of the file at once with key, value and line, and prints
//! the effective form, which reads back as the same configuration. It opens no file that the configuration
//! names: whether keys, ledgers and sockets are fit for use is the preflight's question.

mod check;
pub mod duration;
mod effective;
mod mask;
mod parse;
mod problem;
mod read;
mod reload;
mod schema;
mod sections;
mod suggest;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use toml::de::DeTable;

pub use check::is_node_name;
pub use mask::credentials as without_credentials;
pub use problem::{ConfigError, Problem, Problems};
pub use read::Source;
pub use reload::{Change, apply_live, changes};
pub use schema::Reload;
pub use sections::*;

/// Where the configuration is looked for.
pub const DEFAULT_PATH: &str = "/etc/validator-supervisor/config.toml";
/// Where state is kept.
pub const DEFAULT_STATE_DIR: &str = "/var/lib/validator-supervisor";
/// Where ctl connects.
pub const DEFAULT_SOCKET: &str = "/run/validator-supervisor/ctl.sock";

/// A configuration longer than this is some other file.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// A checked configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// This node's name: 1 to 63 letters, digits, `.`, `_` or `-`. Default: the host name.
    pub node: String,
    pub state_dir: PathBuf,
    pub identity: IdentityConfig,
    pub validator: ValidatorConfig,
    pub authority: AuthorityConfig,
    pub peer: Option<PeerConfig>,
    pub cluster: ClusterConfig,
    pub partition: PartitionConfig,
    pub failover: FailoverConfig,
    pub gate: GateConfig,
    pub restart: RestartConfig,
    pub control: ControlConfig,
}

/// A configuration, and where each of its values comes from.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub config: Config,
    sources: BTreeMap<&'static str, Source>,
}

/// What the validator's command line adds to a configuration that leaves it open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FromCommandLine {
    pub link: Option<PathBuf>,
    pub authorized_voters: Option<Vec<PathBuf>>,
    pub ledger: Option<PathBuf>,
    pub tower: Option<PathBuf>,
    pub rpc: Option<String>,
}

impl Loaded {
    /// Reads and checks a file. The node's name defaults to the host name.
    pub fn from_file(path: &Path) -> Result<Self, ConfigError> {
        let bytes = read_bounded(path)?;
        let text = std::str::from_utf8(&bytes)
            .map_err(|error| ConfigError::not_text(path, &bytes, error.valid_up_to()))?;
        let host_name = nix::unistd::gethostname().unwrap_or_default();
        Self::parse(text, &host_name.to_string_lossy()).map_err(|problems| ConfigError::Refused {
            path: path.to_owned(),
            problems,
        })
    }

    /// Checks a configuration's text.
    pub fn parse(text: &str, host_name: &str) -> Result<Self, Problems> {
        let (root, errors) = DeTable::parse_recoverable(text);
        Problems::none_in(errors.iter().map(|error| no_toml(text, error)).collect())?;
        let mut reader = read::Reader::new(text, root.get_ref());
        let config = parse::config(&mut reader, host_name);
        check::all(&mut reader, &config);
        let sources = reader.sources();
        Problems::none_in(reader.problems)?;
        Ok(Self { config, sources })
    }

    /// Where the value of a key such as `gate.hold_max` comes from.
    #[must_use]
    pub fn source(&self, key: &str) -> Source {
        self.sources.get(key).copied().unwrap_or(Source::Default)
    }

    /// Fills what the file leaves open from the validator's command line. What the file says stays.
    pub fn fill(&mut self, found: FromCommandLine) {
        let filled = self.config.fill(found);
        self.sources
            .extend(filled.map(|key| (key, Source::CommandLine)));
    }
}

impl Config {
    /// Fills what is open from the validator's command line, and names the keys that were filled.
    pub fn fill(&mut self, found: FromCommandLine) -> impl Iterator<Item = &'static str> + use<> {
        let Self {
            identity,
            validator,
            ..
        } = self;
        let filled = [
            ("identity.link", fill_one(&mut identity.link, found.link)),
            (
                "identity.authorized_voters",
                fill_one(&mut identity.authorized_voters, found.authorized_voters),
            ),
            (
                "validator.ledger",
                fill_one(&mut validator.ledger, found.ledger),
            ),
            (
                "validator.tower",
                fill_one(&mut validator.tower, found.tower),
            ),
            ("validator.rpc", fill_one(&mut validator.rpc, found.rpc)),
        ];
        filled
            .into_iter()
            .filter(|(_, filled)| *filled)
            .map(|(key, _)| key)
    }
}

fn fill_one<T>(slot: &mut Option<T>, found: Option<T>) -> bool {
    let fills = slot.is_none() && found.is_some();
    if fills {
        *slot = found;
    }
    fills
}

fn read_bounded(path: &Path) -> Result<Vec<u8>, ConfigError> {
    let mut bytes = Vec::new();
    let unreadable = |source| ConfigError::Read {
        path: path.to_owned(),
        source,
    };
    // A pipe without a writer would be waited for.
    let file = std::fs::OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)
        .map_err(unreadable)?;
    if !file.metadata().map_err(unreadable)?.is_file() {
        return Err(ConfigError::NotAFile(path.to_owned()));
    }
    file.take(FILE_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(ConfigError::TooLong {
            path: path.to_owned(),
            max_bytes: FILE_BYTES_MAX,
        });
    }
    Ok(bytes)
}

/// The parser's own display repeats the line, and with it whatever was pasted there.
fn no_toml(text: &str, error: &toml::de::Error) -> Problem {
    Problem {
        line: error.span().map(|span| read::line_of(text, span.start)),
        message: format!("not TOML: {}", error.message()),
    }
}
