//! Every key there is, once: its place, its value as TOML, and whether a running supervisor can take a new one.
//!
//! Unknown keys, suggestions, the effective form and the reload comparison all come from this table.

use super::{Config, EtcdConfig, FenceConfig, PeerConfig, PeerNode, duration, mask};

/// Whether SIGHUP can put a new value to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reload {
    /// Used from the next decision on.
    Live,
    /// Needs a restart of the supervisor.
    Restart,
}

/// One key of the file.
pub(super) struct Key {
    /// Section and name, joined by dots; the name alone at the top level.
    pub(super) path: &'static str,
    pub(super) reload: Reload,
    /// The value in TOML, with all its credentials; `None` where nothing is set and nothing is assumed.
    pub(super) value: fn(&Config) -> Option<String>,
}

impl Key {
    /// The value as it may be shown: without the credentials of URLs.
    pub(super) fn shown(&self, config: &Config) -> Option<String> {
        (self.value)(config).map(|value| mask::credentials(&value))
    }

    /// The section's name, empty for the top level, and the key's own.
    pub(super) fn place(&self) -> (&'static str, &'static str) {
        self.path.rsplit_once('.').unwrap_or(("", self.path))
    }
}

/// In the order of the effective form; the keys of a section stand together, the top level first.
pub(super) const KEYS: &[Key] = &[
    fixed("node", |c| text(&c.node)),
    fixed("state_dir", |c| path(&c.state_dir)),
    fixed("identity.link", |c| c.identity.link.as_ref().and_then(path)),
    fixed("identity.staked", |c| path(&c.identity.staked)),
    fixed("identity.unstaked", |c| path(&c.identity.unstaked)),
    fixed("identity.authorized_voters", |c| {
        let voters = c.identity.authorized_voters.as_ref()?;
        list(voters.iter().map(path))
    }),
    fixed("validator.client", |c| text(c.validator.client.name())),
    fixed("validator.ledger", |c| {
        c.validator.ledger.as_ref().and_then(path)
    }),
    fixed("validator.tower", |c| {
        c.validator.tower.as_ref().and_then(path)
    }),
    fixed("validator.rpc", |c| text(c.validator.rpc.as_ref()?)),
    live("validator.caught_up_within", |c| {
        number(c.validator.caught_up_within_slots)
    }),
    live("validator.stop_timeout", |c| time(c.validator.stop_timeout)),
    fixed("authority.kind", |c| text(c.authority.kind.name())),
    fixed("authority.etcd.endpoints", |c| {
        list(etcd(c)?.endpoints.iter().map(text))
    }),
    fixed("authority.etcd.prefix", |c| text(&etcd(c)?.prefix)),
    fixed("authority.etcd.ttl", |c| time(etcd(c)?.ttl)),
    fixed("authority.etcd.margin", |c| time(etcd(c)?.margin)),
    fixed("authority.etcd.interval", |c| time(etcd(c)?.interval)),
    fixed("authority.etcd.ca", |c| etcd(c)?.ca.as_ref().and_then(path)),
    fixed("authority.etcd.cert", |c| {
        etcd(c)?.cert.as_ref().and_then(path)
    }),
    fixed("authority.etcd.key", |c| {
        etcd(c)?.key.as_ref().and_then(path)
    }),
    fixed("authority.etcd.user", |c| text(etcd(c)?.user.as_ref()?)),
    fixed("authority.etcd.password_file", |c| {
        etcd(c)?.password_file.as_ref().and_then(path)
    }),
    fixed("peer.listen", |c| text(peer(c)?.listen.to_string())),
    fixed("peer.ca", |c| path(&peer(c)?.ca)),
    fixed("peer.cert", |c| path(&peer(c)?.cert)),
    fixed("peer.key", |c| path(&peer(c)?.key)),
    fixed("peer.crl", |c| peer(c)?.crl.as_ref().and_then(path)),
    fixed("peer.on_loss", |c| text(peer(c)?.on_loss.name())),
    fixed("peer.fence", |c| list(fence(c)?.command.iter().map(text))),
    fixed("peer.fence_within", |c| time(fence(c)?.within)),
    fixed("peer.nodes", |c| list(peer(c)?.nodes.iter().map(node))),
    fixed("cluster.rpc", |c| list(c.cluster.rpc.iter().map(text))),
    live("partition.step_down_after", |c| {
        time(c.partition.step_down_after)
    }),
    live("failover.mode", |c| text(c.failover.mode.name())),
    live("failover.priority", |c| number(c.failover.priority)),
    live("failover.silence", |c| time(c.failover.silence)),
    live("failover.handover_within", |c| {
        number(c.failover.handover_within_slots)
    }),
    live("gate.hold_max", |c| time(c.gate.hold_max)),
    live("restart.max", |c| number(c.restart.max)),
    live("restart.window", |c| time(c.restart.window)),
    fixed("control.socket", |c| path(&c.control.socket)),
    fixed("control.http", |c| text(c.control.http?.to_string())),
    fixed("control.group", |c| text(c.control.group.as_ref()?)),
];

/// The keys of one entry of `peer.nodes`.
pub(super) const NODE_KEYS: [&str; 2] = ["name", "address"];

/// Every section, the top level left out.
pub(super) fn sections() -> Vec<&'static str> {
    let mut names: Vec<_> = KEYS.iter().map(|key| key.place().0).collect();
    names.dedup();
    names.retain(|name| !name.is_empty());
    names
}

const fn live(path: &'static str, value: fn(&Config) -> Option<String>) -> Key {
    Key {
        path,
        reload: Reload::Live,
        value,
    }
}

const fn fixed(path: &'static str, value: fn(&Config) -> Option<String>) -> Key {
    Key {
        path,
        reload: Reload::Restart,
        value,
    }
}

fn etcd(config: &Config) -> Option<&EtcdConfig> {
    config.authority.etcd.as_ref()
}

fn fence(config: &Config) -> Option<&FenceConfig> {
    peer(config)?.fence.as_ref()
}

fn peer(config: &Config) -> Option<&PeerConfig> {
    config.peer.as_ref()
}

fn text(text: impl AsRef<str>) -> Option<String> {
    Some(toml::Value::from(text.as_ref()).to_string())
}

/// Paths come from a TOML string or a checked command line, so they are text.
fn path(path: impl AsRef<std::path::Path>) -> Option<String> {
    text(path.as_ref().to_string_lossy())
}

fn time(value: std::time::Duration) -> Option<String> {
    text(duration::show(value))
}

fn number(value: impl Into<u64>) -> Option<String> {
    Some(value.into().to_string())
}

fn node(node: &PeerNode) -> Option<String> {
    let (name, address) = (text(&node.name)?, text(&node.address)?);
    Some(format!("{{ name = {name}, address = {address} }}"))
}

fn list(items: impl Iterator<Item = Option<String>>) -> Option<String> {
    Some(format!(
        "[{}]",
        items.flatten().collect::<Vec<_>>().join(", ")
    ))
}
