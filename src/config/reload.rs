//! What a changed file means for a running supervisor.

use super::Config;
use super::schema::{KEYS, Reload};

/// One key whose value differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Section and name, such as `gate.hold_max`.
    pub key: &'static str,
    /// As TOML, without the credentials of URLs; `None`: not set.
    pub from: Option<String>,
    pub to: Option<String>,
    pub reload: Reload,
}

/// The keys that differ between the configuration in force and a new one, in the order of the effective form.
#[must_use]
pub fn changes(old: &Config, new: &Config) -> Vec<Change> {
    let differs = KEYS
        .iter()
        .filter(|key| (key.value)(old) != (key.value)(new));
    differs
        .map(|key| Change {
            key: key.path,
            from: key.shown(old),
            to: key.shown(new),
            reload: key.reload,
        })
        .collect()
}

/// The configuration in force after a reload: `old`, with what can change taken from `new`.
#[must_use]
pub fn apply_live(old: &Config, new: &Config) -> Config {
    let mut config = old.clone();
    config.validator.caught_up_within_slots = new.validator.caught_up_within_slots;
    config.validator.stop_timeout = new.validator.stop_timeout;
    config.partition = new.partition.clone();
    config.failover = new.failover.clone();
    config.gate = new.gate.clone();
    config.restart = new.restart.clone();
    config
}
