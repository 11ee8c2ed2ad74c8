//! Builds each section from the file, with its defaults and the ranges of single values.
//!
//! Rules between values are in `check`. A section whose values were refused holds stand-ins: the caller throws
//! the whole away when the reader has problems.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::read::Reader;
use super::schema::NODE_KEYS;
use super::{
    AuthorityConfig, AuthorityKind, Client, ClusterConfig, Config, ControlConfig, DEFAULT_SOCKET,
    DEFAULT_STATE_DIR, EtcdConfig, FailoverConfig, FailoverMode, FenceConfig, GateConfig,
    IdentityConfig, OnLoss, PartitionConfig, PeerConfig, PeerNode, RestartConfig, ValidatorConfig,
};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// etcd grants no shorter lease with its default timing, and a longer one only delays the failover.
const TTL_RANGE: std::ops::RangeInclusive<Duration> = Duration::from_secs(2)..=MINUTE;
const TTL_DEFAULT: Duration = Duration::from_secs(5);

pub(super) fn config(r: &mut Reader<'_>, host_name: &str) -> Config {
    let authority = authority(r);
    let ttl = authority.etcd.as_ref().map(|etcd| etcd.ttl);
    Config {
        node: r
            .string("node", "this node's name")
            .unwrap_or(host_name)
            .to_owned(),
        state_dir: r
            .path("state_dir")
            .unwrap_or_else(|| DEFAULT_STATE_DIR.into()),
        identity: identity(r),
        validator: validator(r),
        authority,
        peer: r.has("peer").then(|| peer(r)),
        cluster: ClusterConfig {
            rpc: r.urls("cluster.rpc").unwrap_or_default(),
        },
        partition: PartitionConfig {
            step_down_after: r
                .time("partition.step_down_after", SECOND..=HOUR)
                .unwrap_or(10 * SECOND),
        },
        failover: failover(r),
        gate: gate(r, ttl.unwrap_or_default()),
        restart: restart(r),
        control: control(r),
    }
}

fn identity(r: &mut Reader<'_>) -> IdentityConfig {
    IdentityConfig {
        link: r.path("identity.link"),
        staked: required_path(
            r,
            "identity.staked",
            "the keypair file of the identity that the vote account names",
        ),
        unstaked: required_path(
            r,
            "identity.unstaked",
            "the keypair file of this node's own spare identity",
        ),
        authorized_voters: r.paths("identity.authorized_voters"),
    }
}

fn validator(r: &mut Reader<'_>) -> ValidatorConfig {
    ValidatorConfig {
        client: r
            .word("validator.client", &Client::WORDS)
            .unwrap_or(Client::Agave),
        ledger: r.path("validator.ledger"),
        tower: r.path("validator.tower"),
        rpc: r.url("validator.rpc"),
        caught_up_within_slots: r
            .integer("validator.caught_up_within", 1..=10_000)
            .unwrap_or(32),
        stop_timeout: r
            .time("validator.stop_timeout", SECOND..=HOUR)
            .unwrap_or(MINUTE),
    }
}

fn authority(r: &mut Reader<'_>) -> AuthorityConfig {
    let implied = match (r.has("peer"), r.has("authority.etcd")) {
        (true, _) => AuthorityKind::Peer,
        (false, true) => AuthorityKind::Etcd,
        (false, false) => AuthorityKind::Local,
    };
    AuthorityConfig {
        kind: r
            .word("authority.kind", &AuthorityKind::WORDS)
            .unwrap_or(implied),
        etcd: r.has("authority.etcd").then(|| etcd(r)),
    }
}

fn etcd(r: &mut Reader<'_>) -> EtcdConfig {
    let ttl = r
        .time("authority.etcd.ttl", TTL_RANGE)
        .unwrap_or(TTL_DEFAULT);
    let (fifth, tenth) = ((ttl / 5).min(SECOND), (ttl / 10).min(SECOND));
    if !r.has("authority.etcd.endpoints") {
        r.missing(
            "authority.etcd.endpoints",
            "the URLs of the etcd nodes, such as [\"https://10.0.0.1:2379\"]",
        );
    }
    let endpoints = r.urls("authority.etcd.endpoints");
    if endpoints.as_ref().is_some_and(Vec::is_empty) {
        r.refuse(
            "authority.etcd.endpoints",
            "authority.etcd.endpoints = [] names no etcd node",
        );
    }
    EtcdConfig {
        endpoints: endpoints.unwrap_or_default(),
        prefix: r
            .string(
                "authority.etcd.prefix",
                "a key prefix such as \"/validator-supervisor\"",
            )
            .unwrap_or("/validator-supervisor")
            .to_owned(),
        ttl,
        margin: r
            .time("authority.etcd.margin", fifth_range())
            .unwrap_or(fifth),
        interval: r
            .time("authority.etcd.interval", fifth_range())
            .unwrap_or(tenth),
        ca: r.path("authority.etcd.ca"),
        cert: r.path("authority.etcd.cert"),
        key: r.path("authority.etcd.key"),
        user: r
            .string("authority.etcd.user", "the name of a user of etcd")
            .map(str::to_owned),
        password_file: r.path("authority.etcd.password_file"),
    }
}

/// Of `margin` and `interval`; `check` relates them to the ttl.
fn fifth_range() -> std::ops::RangeInclusive<Duration> {
    Duration::from_millis(50)..=MINUTE
}

fn peer(r: &mut Reader<'_>) -> PeerConfig {
    let listen = r.address("peer.listen");
    if !r.has("peer.listen") {
        r.missing(
            "peer.listen",
            "the address to take the other supervisors' connections on, such as \"0.0.0.0:7400\"",
        );
    }
    if !r.has("peer.nodes") {
        r.missing(
            "peer.nodes",
            "the other supervisors, such as [{ name = \"fra-2\", address = \"10.0.0.2:7400\" }]",
        );
    }
    let nodes = r.tables("peer.nodes", NODE_KEYS).unwrap_or_default();
    PeerConfig {
        listen: listen.unwrap_or(SocketAddr::from(([127, 0, 0, 1], 0))),
        ca: required_path(
            r,
            "peer.ca",
            "the certificate that signed those of the nodes",
        ),
        cert: required_path(r, "peer.cert", "this node's certificate"),
        key: required_path(r, "peer.key", "the key of this node's certificate"),
        crl: r.path("peer.crl"),
        on_loss: r
            .word("peer.on_loss", &OnLoss::WORDS)
            .unwrap_or(OnLoss::Continue),
        fence: fence(r),
        nodes: nodes
            .into_iter()
            .map(|[name, address]| PeerNode {
                name: name.to_owned(),
                address: address.to_owned(),
            })
            .collect(),
    }
}

fn fence(r: &mut Reader<'_>) -> Option<FenceConfig> {
    let expected = "an array of strings, such as [\"/usr/local/sbin/power-off\", \"{node}\"]";
    let command = r.strings("peer.fence", expected)?;
    let within = r.time("peer.fence_within", SECOND..=10 * MINUTE);
    Some(FenceConfig {
        command: command.into_iter().map(str::to_owned).collect(),
        within: within.unwrap_or(30 * SECOND),
    })
}

/// The default lets votes wait for as long as the lease may last.
fn gate(r: &mut Reader<'_>, ttl: Duration) -> GateConfig {
    GateConfig {
        // Past 150 slots, about 60 s, the chain takes a vote no longer.
        hold_max: r
            .time("gate.hold_max", SECOND..=MINUTE)
            .unwrap_or(ttl.max(10 * SECOND)),
    }
}

fn failover(r: &mut Reader<'_>) -> FailoverConfig {
    let priority = r.integer("failover.priority", 0..=1000);
    FailoverConfig {
        mode: r
            .word("failover.mode", &FailoverMode::WORDS)
            .unwrap_or(FailoverMode::Auto),
        priority: priority.and_then(|p| u32::try_from(p).ok()).unwrap_or(100),
        silence: r
            .time("failover.silence", 2 * SECOND..=HOUR)
            .unwrap_or(30 * SECOND),
        handover_within_slots: r
            .integer("failover.handover_within", 1..=10_000)
            .unwrap_or(8),
    }
}

fn restart(r: &mut Reader<'_>) -> RestartConfig {
    let max = r.integer("restart.max", 0..=1000);
    RestartConfig {
        max: max.and_then(|max| u32::try_from(max).ok()).unwrap_or(5),
        window: r
            .time("restart.window", SECOND..=24 * HOUR)
            .unwrap_or(10 * MINUTE),
    }
}

fn control(r: &mut Reader<'_>) -> ControlConfig {
    ControlConfig {
        socket: r
            .path("control.socket")
            .unwrap_or_else(|| DEFAULT_SOCKET.into()),
        http: r.address("control.http"),
        group: r
            .string("control.group", "the name of a unix group")
            .map(str::to_owned),
    }
}

fn required_path(r: &mut Reader<'_>, path: &str, what: &str) -> PathBuf {
    if !r.has(path) {
        r.missing(path, what);
    }
    r.path(path).unwrap_or_default()
}
