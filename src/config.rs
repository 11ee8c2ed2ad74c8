//! Reads the one configuration file, strictly.
//!
//! Refuses what it does not know, reports every problem of the file at once with key, value and line, and prints
//! the effective form, which reads back as the same configuration. It opens no file that the configuration
//! names: whether keys, ledgers and sockets are fit for use is the preflight's question.

pub mod duration;
mod sections;

use std::path::PathBuf;

pub use sections::*;

/// Where the configuration is looked for.
pub const DEFAULT_PATH: &str = "/etc/validator-supervisor/config.toml";
/// Where state is kept.
pub const DEFAULT_STATE_DIR: &str = "/var/lib/validator-supervisor";
/// Where ctl connects.
pub const DEFAULT_SOCKET: &str = "/run/validator-supervisor/ctl.sock";

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
