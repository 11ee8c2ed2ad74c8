//! Rules between values: identities that must differ, timings that must fit, sections that must agree.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use super::problem::shown_text;
use super::read::Reader;
use super::{
    AuthorityKind, Config, EtcdConfig, FenceConfig, IdentityConfig, PeerConfig, duration::show,
};

/// The longest path that fits the address of a unix socket (`sun_path`, less its end mark), in bytes.
const SOCKET_PATH_MAX: usize = 107;

/// Adds to the reader's problems what is wrong between the values.
pub(super) fn all(r: &mut Reader<'_>, config: &Config) {
    node_name(r, &config.node);
    identity(r, &config.identity);
    authority(r, config);
    if let Some(etcd) = &config.authority.etcd {
        self::etcd(r, etcd);
        hold_max(r, config.gate.hold_max, etcd.ttl);
    }
    if let Some(peer) = &config.peer {
        self::peer(r, peer, &config.node);
        fence(r, peer, &config.node);
    }
    control(r, config);
}

/// Node names go into etcd keys, certificates and file names.
/// Whether a node can be called so: 1 to 63 letters, digits, `.`, `_` and `-`.
#[must_use]
pub fn is_node_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
    (1..=63).contains(&name.len()) && name.chars().all(plain) && !name.starts_with('.')
}

const NODE_NAME_RULE: &str = "a name of 1 to 63 letters, digits, '.', '_' and '-'";

fn node_name(r: &mut Reader<'_>, node: &str) {
    if is_node_name(node) {
        return;
    }
    let shown = shown_text(node);
    if r.has("node") {
        r.refuse(
            "node",
            format!("node = {shown} cannot be used; expected {NODE_NAME_RULE}"),
        );
    } else {
        r.refuse("node", format!("node is missing, and the host name {shown} cannot stand in: set it to {NODE_NAME_RULE}"));
    }
}

fn identity(r: &mut Reader<'_>, identity: &IdentityConfig) {
    let unset = Path::new("");
    let IdentityConfig {
        link,
        staked,
        unstaked,
        ..
    } = identity;
    if staked == unstaked && staked != unset {
        let message = format!(
            "identity.staked and identity.unstaked are the same file {}: give this node a spare keypair of its own",
            staked.display()
        );
        r.refuse("identity.unstaked", message);
    }
    for (key, file) in [("staked", staked), ("unstaked", unstaked)] {
        if link.as_ref() == Some(file) {
            let message = format!(
                "identity.link and identity.{key} are the same file {}: the link is a symlink of its own beside the keypairs",
                file.display()
            );
            r.refuse("identity.link", message);
        }
    }
    if identity
        .authorized_voters
        .as_ref()
        .is_some_and(Vec::is_empty)
    {
        let message =
            "identity.authorized_voters = [] names no voter; leave it out for the staked keypair";
        r.refuse("identity.authorized_voters", message);
    }
}

fn authority(r: &mut Reader<'_>, config: &Config) {
    let (etcd, peer) = (config.authority.etcd.is_some(), config.peer.is_some());
    let explicit = r.has("authority.kind");
    let message = match config.authority.kind {
        AuthorityKind::Peer if etcd && !explicit => {
            "authority.kind is missing, and both [peer] and [authority.etcd] are there: set it to \"peer\" or \"etcd\""
        }
        AuthorityKind::Peer if etcd => {
            "authority.kind = \"peer\" leaves [authority.etcd] without use: remove that section, or set the kind to \"etcd\""
        }
        AuthorityKind::Peer if !peer => "authority.kind = \"peer\" needs a section [peer]",
        AuthorityKind::Etcd if !etcd => {
            "authority.kind = \"etcd\" needs a section [authority.etcd]"
        }
        AuthorityKind::Local if etcd || peer => {
            "authority.kind = \"local\" is for a single node: remove [peer] and [authority.etcd], or set the kind to \"peer\" or \"etcd\""
        }
        _ => return,
    };
    r.refuse("authority.kind", message);
}

fn etcd(r: &mut Reader<'_>, etcd: &EtcdConfig) {
    if etcd.prefix.is_empty() || etcd.prefix.ends_with('/') {
        let shown = shown_text(&etcd.prefix);
        r.refuse(
            "authority.etcd.prefix",
            format!("authority.etcd.prefix = {shown} is empty or ends in a slash"),
        );
    }
    together(
        r,
        [
            ("authority.etcd.cert", etcd.cert.is_some()),
            ("authority.etcd.key", etcd.key.is_some()),
        ],
    );
    together(
        r,
        [
            ("authority.etcd.user", etcd.user.is_some()),
            ("authority.etcd.password_file", etcd.password_file.is_some()),
        ],
    );
    schemes(r, etcd);
    timings(r, etcd);
}

/// A connection is encrypted or it is not; certificates mean nothing where it is not.
fn schemes(r: &mut Reader<'_>, etcd: &EtcdConfig) {
    let plain = etcd.endpoints.iter().find(|url| url.starts_with("http:"));
    let Some(plain) = plain else { return };
    if etcd.endpoints.iter().any(|url| url.starts_with("https:")) {
        let message = format!(
            "authority.etcd.endpoints has {plain} beside https URLs: all must be https, or none"
        );
        return r.refuse("authority.etcd.endpoints", message);
    }
    let files = [
        ("authority.etcd.ca", &etcd.ca),
        ("authority.etcd.cert", &etcd.cert),
    ];
    for (key, _) in files.iter().filter(|(_, path)| path.is_some()) {
        r.refuse(
            key,
            format!("{key} would do nothing: {plain} in authority.etcd.endpoints is not https"),
        );
    }
}

/// Two keys of which neither means anything without the other.
fn together(r: &mut Reader<'_>, keys: [(&str, bool); 2]) {
    let [(one, has_one), (other, has_other)] = keys;
    if has_one != has_other {
        let set = if has_one { one } else { other };
        r.refuse(
            set,
            format!("{set} is set alone: {one} and {other} go together"),
        );
    }
}

/// Three renewals may fail, and there is still time to be mute and unstaked before the lease ends.
fn timings(r: &mut Reader<'_>, etcd: &EtcdConfig) {
    let EtcdConfig {
        ttl,
        margin,
        interval,
        ..
    } = etcd;
    let keys = ["ttl", "margin", "interval"].map(|key| format!("authority.etcd.{key}"));
    if keys.iter().any(|key| r.is_refused(key)) {
        return;
    }
    if ttl.subsec_millis() != 0 {
        let shown = show(*ttl);
        r.refuse(
            "authority.etcd.ttl",
            format!("authority.etcd.ttl ({shown}) must be whole seconds, as etcd counts them"),
        );
    }
    if *ttl < *margin + 3 * *interval {
        let message = format!(
            "authority.etcd.ttl ({}) must be at least margin ({}) + 3 x interval ({})",
            show(*ttl),
            show(*margin),
            show(*interval)
        );
        let set = keys.iter().find(|key| r.has(key)).unwrap_or(&keys[0]);
        r.refuse(set, message);
    }
}

/// A vote that is refused ends the validator: a hiccup of etcd that the lease survives must not do that.
fn hold_max(r: &mut Reader<'_>, hold_max: Duration, ttl: Duration) {
    let readable = !r.is_refused("gate.hold_max") && !r.is_refused("authority.etcd.ttl");
    if readable && hold_max < ttl {
        let (hold_max, ttl) = (show(hold_max), show(ttl));
        let path = if r.has("gate.hold_max") {
            "gate.hold_max"
        } else {
            "authority.etcd.ttl"
        };
        let message = format!(
            "gate.hold_max ({hold_max}) must be at least authority.etcd.ttl ({ttl}), or an etcd outage shorter than the lease would end the validator"
        );
        r.refuse(path, message);
    }
}

fn peer(r: &mut Reader<'_>, peer: &PeerConfig, own_name: &str) {
    if r.is_refused("peer.nodes") {
        return;
    }
    if peer.nodes.iter().all(|node| node.name == own_name) {
        r.refuse(
            "peer.nodes",
            format!("peer.nodes names no node other than this one ({own_name})"),
        );
    }
    let mut seen = BTreeSet::new();
    for (i, node) in peer.nodes.iter().enumerate() {
        let shown = shown_text(&node.name);
        if !is_node_name(&node.name) {
            r.refuse(
                "peer.nodes",
                format!("peer.nodes[{i}].name = {shown} cannot be used; expected {NODE_NAME_RULE}"),
            );
        } else if !seen.insert(&node.name) {
            r.refuse(
                "peer.nodes",
                format!("peer.nodes[{i}].name = {shown} is there twice"),
            );
        }
        if !is_host_port(&node.address) {
            let shown = shown_text(&node.address);
            r.refuse(
                "peer.nodes",
                format!(
                    "peer.nodes[{i}].address = {shown} is not HOST:PORT, such as \"10.0.0.2:7400\""
                ),
            );
        }
    }
}

/// A command whose failure would be found only when it is needed.
fn fence(r: &mut Reader<'_>, peer: &PeerConfig, own_name: &str) {
    let Some(fence) = &peer.fence else {
        if r.has("peer.fence_within") && !r.is_refused("peer.fence") {
            r.refuse(
                "peer.fence_within",
                "peer.fence_within is set alone: set peer.fence to the command that ends another node, or leave both out",
            );
        }
        return;
    };
    match fence.command.first() {
        None => r.refuse("peer.fence", "peer.fence = [] names no program"),
        Some(program) if !program.starts_with('/') => {
            let shown = shown_text(program);
            r.refuse(
                "peer.fence",
                format!("peer.fence[0] = {shown} is not the absolute path of a program; there is no shell"),
            );
        }
        Some(_) => {}
    }
    let others = peer.nodes.iter().filter(|node| node.name != own_name);
    let says_whom =
        |word: &String| word.contains(FenceConfig::NODE) || word.contains(FenceConfig::ADDRESS);
    if others.count() > 1 && !fence.command.iter().any(says_whom) {
        r.refuse(
            "peer.fence",
            "peer.fence is the same for every node: say which one is to be ended by {node} or {address} in an argument",
        );
    }
}

fn is_host_port(address: &str) -> bool {
    let Some((host, port)) = address.rsplit_once(':') else {
        return false;
    };
    let bracketed = host.starts_with('[') && host.ends_with(']');
    let host_fits = bracketed || (!host.is_empty() && !host.contains([':', '/', ' ']));
    host_fits && port.parse::<u16>().is_ok_and(|port| port != 0)
}

fn control(r: &mut Reader<'_>, config: &Config) {
    let socket = config.control.socket.as_os_str();
    if socket.len() > SOCKET_PATH_MAX {
        let message = format!(
            "control.socket has {} bytes; a unix socket's path has at most {SOCKET_PATH_MAX}: use a shorter one",
            socket.len()
        );
        r.refuse("control.socket", message);
    }
    if config.control.group.as_ref().is_some_and(String::is_empty) {
        r.refuse(
            "control.group",
            "control.group = \"\" names no group; leave it out for none",
        );
    }
}
