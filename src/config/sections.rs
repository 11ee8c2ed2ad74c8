//! What each section of the configuration holds, after it was read and checked.
//!
//! Every layer takes the struct of its own section and no other.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// `[identity]`: the keypairs, and the link that says which of them the validator starts with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityConfig {
    /// The symlink given to the validator as `--identity`. `None`: read from its command line.
    pub link: Option<PathBuf>,
    /// Keypair file of the identity that the vote account names.
    pub staked: PathBuf,
    /// Keypair file of this node's own spare identity.
    pub unstaked: PathBuf,
    /// Keypair files that may sign votes. `None`: those of the validator's command line, else the staked one.
    pub authorized_voters: Option<Vec<PathBuf>>,
}

/// Which validator the child is: decides flags, admin RPC and record files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    Agave,
    /// Agave with block-engine additions; same flags and files.
    Jito,
}

impl Client {
    pub(super) const WORDS: [(&'static str, Self); 2] =
        [("agave", Self::Agave), ("jito", Self::Jito)];

    /// The word for it in the configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Agave => "agave",
            Self::Jito => "jito",
        }
    }
}

/// `[validator]`: the child. What its command line says need not be repeated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidatorConfig {
    pub client: Client,
    /// `None`: `--ledger` of the validator's command line.
    pub ledger: Option<PathBuf>,
    /// `None`: `--tower` of the validator's command line, else the ledger.
    pub tower: Option<PathBuf>,
    /// URL of the validator's own JSON-RPC. `None`: from `--rpc-port` and the bind address of its command line.
    pub rpc: Option<String>,
    /// A validator at most this many slots behind the cluster counts as caught up. 1 to 10000.
    pub caught_up_within_slots: u64,
    /// From the request to stop until SIGKILL. 1 s to 1 h.
    pub stop_timeout: Duration,
}

/// Who grants the right to vote and keeps the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthorityKind {
    /// An etcd cluster.
    Etcd,
    /// The other supervisor.
    Peer,
    /// This node alone: no failover.
    Local,
}

impl AuthorityKind {
    pub(super) const WORDS: [(&'static str, Self); 3] = [
        ("etcd", Self::Etcd),
        ("peer", Self::Peer),
        ("local", Self::Local),
    ];

    /// The word for it in the configuration and in status.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::Peer => "peer",
            Self::Local => "local",
        }
    }
}

/// `[authority]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorityConfig {
    /// Default: `peer` with a `[peer]` section, `etcd` with an `[authority.etcd]` section, else `local`.
    pub kind: AuthorityKind,
    /// Present exactly when `kind` is `etcd`.
    pub etcd: Option<EtcdConfig>,
}

/// `[authority.etcd]`. Keeps `ttl >= margin + 3 x interval`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EtcdConfig {
    /// `http` or `https` URLs; at least one.
    pub endpoints: Vec<String>,
    /// Keys are `<prefix>/<identity>/…`. No slash at the end.
    pub prefix: String,
    /// Time to live of the holder's lease: whole seconds, 2 s to 60 s.
    pub ttl: Duration,
    /// The holder is mute and unstaked this long before its lease ends.
    pub margin: Duration,
    /// Between two renewals of the lease.
    pub interval: Duration,
    pub ca: Option<PathBuf>,
    /// Present exactly when `key` is.
    pub cert: Option<PathBuf>,
    pub key: Option<PathBuf>,
    /// Present exactly when `password_file` is.
    pub user: Option<String>,
    /// Holds the password alone; a newline at its end does not count.
    pub password_file: Option<PathBuf>,
}

/// What a holder does when its peer cannot be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnLoss {
    /// Go on voting, loudly.
    Continue,
    /// Let votes wait in the gate.
    Hold,
}

impl OnLoss {
    pub(super) const WORDS: [(&'static str, Self); 2] =
        [("continue", Self::Continue), ("hold", Self::Hold)];

    /// The word for it in the configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Continue => "continue",
            Self::Hold => "hold",
        }
    }
}

/// One node of `peer.nodes`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerNode {
    pub name: String,
    /// `host:port`.
    pub address: String,
}

/// The command that ends another node: power off, say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FenceConfig {
    /// A program by its absolute path, and its arguments. [`Self::NODE`] and [`Self::ADDRESS`] in them stand for the node.
    pub command: Vec<String>,
    /// Exit code 0 within this time proves that the node is off. 1 s to 10 min.
    pub within: Duration,
}

impl FenceConfig {
    /// Stands for the name of the node.
    pub const NODE: &str = "{node}";
    /// Stands for its address as in `peer.nodes`, without the port.
    pub const ADDRESS: &str = "{address}";
}

/// `[peer]`: the link to the other supervisors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerConfig {
    pub listen: SocketAddr,
    pub ca: PathBuf,
    pub cert: PathBuf,
    pub key: PathBuf,
    /// Lists of revoked certificates, one of each authority in `ca`. What they name is let in by nobody, however old they are.
    pub crl: Option<PathBuf>,
    pub on_loss: OnLoss,
    /// Ends a node that is out of reach; `None`: nothing does, and an operator decides.
    pub fence: Option<FenceConfig>,
    /// At least one other than this node, names unique. This node may be listed, so that one list serves all.
    pub nodes: Vec<PeerNode>,
}

/// `[cluster]`: other people's RPC nodes, for a second opinion.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterConfig {
    /// `http` or `https` URLs; may be empty.
    pub rpc: Vec<String>,
}

/// `[partition]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionConfig {
    /// A holder that is cut off is demoted within this time. 1 s to 1 h.
    pub step_down_after: Duration,
}

/// Who starts a failover.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailoverMode {
    /// A healthy standby takes over by itself.
    Auto,
    /// Only an operator's command moves the identity.
    Manual,
}

impl FailoverMode {
    pub(super) const WORDS: [(&'static str, Self); 2] =
        [("auto", Self::Auto), ("manual", Self::Manual)];

    /// The word for it in the configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Manual => "manual",
        }
    }
}

/// `[failover]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailoverConfig {
    pub mode: FailoverMode,
    /// Among equals the higher number goes first. 0 to 1000.
    pub priority: u32,
    /// An active node that sends no vote for this long hands over to a standby that is ready, unless its validator says that the
    /// cluster stands still. 2 s to 1 h.
    pub silence: Duration,
    /// A node that is more slots behind the cluster is not handed the term: nobody would vote until it has caught up. 1 to 10,000.
    pub handover_within_slots: u64,
}

/// `[gate]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GateConfig {
    /// A vote waits this long for its commit, then is refused and the validator exits. 1 s to 60 s.
    pub hold_max: Duration,
}

/// `[restart]`: how often a dead validator is started again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestartConfig {
    /// Restarts within `window` before giving up. 0 to 1000; 0 never restarts.
    pub max: u32,
    /// 1 s to 24 h.
    pub window: Duration,
}

/// `[control]`: where operators and scrapers talk to us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlConfig {
    /// At most 107 bytes, the limit of a unix socket's path.
    pub socket: PathBuf,
    pub http: Option<SocketAddr>,
    /// Unix group whose members may use ctl, beside root and our own user.
    pub group: Option<String>,
}
