//! The command line and the environment of one validator on this machine. Starts nothing.
//!
//! The flags are the fewest that make agave-validator run on loopback, and those that keep four of them within two
//! cores: one thread a pool, no snapshots, no statistics of the machine.

use std::ffi::OsString;
use std::net::Ipv4Addr;
use std::path::PathBuf;

/// The ports of a cluster: every node has an address of its own, so all use the same ones.
///
/// The first node must be 127.0.0.1, because a node without an entrypoint that is bound to any loopback address
/// advertises that one. So two clusters on one machine are kept apart by their ports.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ports {
    base: u16,
}

impl Ports {
    /// A block of ports below the ephemeral range that belongs to this test process.
    pub(crate) fn of_this_process() -> Self {
        let blocks = (EPHEMERAL_PORTS_FROM - FIRST_PORT) / PORTS_OF_A_CLUSTER;
        let block = std::process::id() % u32::from(blocks);
        Self {
            base: FIRST_PORT + block as u16 * PORTS_OF_A_CLUSTER,
        }
    }

    fn gossip(self) -> u16 {
        self.base
    }

    /// Publish-subscribe takes the one after it.
    pub(crate) fn rpc(self) -> u16 {
        self.base + 1
    }

    /// The validator asks for at least 26.
    fn dynamic(self) -> String {
        format!("{}-{}", self.base + 3, self.base + PORTS_OF_A_CLUSTER - 1)
    }
}

const FIRST_PORT: u16 = 18_000;
const EPHEMERAL_PORTS_FROM: u16 = 32_768;
const PORTS_OF_A_CLUSTER: u16 = 40;

/// What the command line of one node is made of.
#[derive(Clone, Debug)]
pub(crate) struct Launch {
    pub(crate) validator: PathBuf,
    pub(crate) address: Ipv4Addr,
    pub(crate) ports: Ports,
    pub(crate) ledger: PathBuf,
    /// A keypair file or a link to one.
    pub(crate) identity: PathBuf,
    pub(crate) voter: PathBuf,
    pub(crate) vote_account: String,
    /// The gossip address to join by; none for the first node.
    pub(crate) entrypoint: Option<Ipv4Addr>,
    /// The library that answers for an open-file limit that cannot be raised.
    pub(crate) preload: Option<PathBuf>,
}

impl Launch {
    /// The whole command line, program first.
    pub(crate) fn argv(&self) -> Vec<OsString> {
        let mut argv: Vec<OsString> = vec![self.validator.clone().into()];
        for (flag, value) in self.options() {
            argv.push(flag.into());
            argv.push(value);
        }
        argv.extend(SWITCHES.iter().map(OsString::from));
        if self.entrypoint.is_none() {
            argv.extend(FIRST_NODE_SWITCHES.iter().map(OsString::from));
        }
        argv
    }

    fn options(&self) -> Vec<(&'static str, OsString)> {
        let address = self.address.to_string();
        let mut options: Vec<(&'static str, OsString)> = vec![
            ("--identity", self.identity.clone().into()),
            ("--vote-account", self.vote_account.clone().into()),
            ("--authorized-voter", self.voter.clone().into()),
            ("--ledger", self.ledger.clone().into()),
            ("--bind-address", address.clone().into()),
            ("--rpc-bind-address", address.into()),
            ("--rpc-port", self.ports.rpc().to_string().into()),
            ("--gossip-port", self.ports.gossip().to_string().into()),
            ("--dynamic-port-range", self.ports.dynamic().into()),
            ("--log", "-".into()),
        ];
        options.extend(FRUGAL.map(|(flag, value)| (flag, value.into())));
        if let Some(entrypoint) = self.entrypoint {
            options.push((
                "--entrypoint",
                format!("{entrypoint}:{}", self.ports.gossip()).into(),
            ));
        }
        options
    }

    /// What it needs in its environment beside ours.
    pub(crate) fn env(&self) -> Vec<(OsString, OsString)> {
        let mut env = vec![("RUST_LOG".into(), LOG_FILTER.into())];
        if let Some(library) = &self.preload {
            env.push(("LD_PRELOAD".into(), library.into()));
        }
        env
    }
}

const SWITCHES: &[&str] = &[
    "--private-rpc",
    "--full-rpc-api",
    "--allow-private-addr",
    "--no-xdp",
    "--no-os-network-limits-test",
    "--no-poh-speed-test",
    "--no-port-check",
    "--no-snapshots",
    "--no-genesis-fetch",
    "--no-snapshot-fetch",
    "--no-os-memory-stats-reporting",
    "--no-os-network-stats-reporting",
    "--no-os-cpu-stats-reporting",
    "--no-os-disk-stats-reporting",
    "--disable-banking-trace",
    "--skip-startup-ledger-verification",
];

/// For the node that has nobody to wait for; its RPC also serves whole blocks to the tests.
const FIRST_NODE_SWITCHES: &[&str] = &[
    "--no-wait-for-vote-to-start-leader",
    "--enable-rpc-transaction-history",
];

/// Four validators share two cores: no pool needs more than one thread.
const FRUGAL: [(&str, &str); 11] = [
    ("--rpc-threads", "2"),
    ("--rpc-blocking-threads", "1"),
    ("--rpc-pubsub-worker-threads", "1"),
    ("--accounts-db-background-threads", "1"),
    ("--accounts-db-foreground-threads", "1"),
    ("--accounts-index-flush-threads", "1"),
    ("--rayon-global-threads", "1"),
    ("--replay-transactions-threads", "1"),
    ("--tpu-sigverify-threads", "1"),
    ("--tvu-shred-sigverify-threads", "1"),
    ("--num-quic-endpoints", "1"),
];

/// The pool that takes in Alpenglow votes tells of those that exclude each other in its most talkative level alone.
const LOG_FILTER: &str = "warn,agave_validator=info,solana_core=info,agave_votor=info,agave_votor::consensus_pool_service=trace,solana_metrics=off";
