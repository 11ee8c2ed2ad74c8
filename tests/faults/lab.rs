//! The whole set of a test: a chain with its judge, an etcd, the nodes, and the network between them if one is wanted.
//!
//! ```text
//! host a ---- etcd of hosts e0 e1 e2        every link can be cut, slowed and made lossy by direction
//! host b --/  
//!   |  |
//!  host chain: never cut; whom it shows nothing is `Chain::cut_off`. What a node sends always reaches the judge
//! ```

use crate::ledger::Ledger;
use crate::scene::{ROOM_OF_LAB, Scene};
use std::ops::{Deref, DerefMut};
use std::path::Path;
use testkit::etcd::{Etcd, Options};
use testkit::netns::Network;
use testkit::node::Node;
use testkit::stand_in::Protocol;

/// The shortest that etcd grants: takeovers come soon.
pub(crate) const TTL_MS: u64 = 2_000;
/// For what a lease is to outlive: a busy machine stands still for a second now and then.
pub(crate) const LONG_TTL_MS: u64 = 6_000;
/// After healing, one node votes within the time to live and so long.
pub(crate) const BACK_WITHIN_MS: u64 = TTL_MS + 18_000;
/// What a lab is made of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape<'a> {
    pub(crate) protocol: Protocol,
    pub(crate) nodes: &'a [&'a str],
    pub(crate) members: usize,
    /// Every node and every etcd on a host of its own.
    pub(crate) hosts: bool,
    pub(crate) quota_bytes: Option<u64>,
    /// Where etcd keeps its data.
    pub(crate) disk: Option<&'a Path>,
    pub(crate) ttl_ms: u64,
    /// More of every node's configuration.
    pub(crate) more: &'a str,
}

impl Default for Shape<'_> {
    fn default() -> Self {
        Self {
            protocol: Protocol::Tower,
            nodes: &["a", "b"],
            members: 1,
            hosts: false,
            quota_bytes: None,
            disk: None,
            ttl_ms: TTL_MS,
            more: "",
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Lab {
    pub(crate) etcd: Etcd,
    scene: Scene,
    ledger: Ledger,
}

impl Deref for Lab {
    type Target = Scene;

    fn deref(&self) -> &Scene {
        &self.scene
    }
}

impl DerefMut for Lab {
    fn deref_mut(&mut self) -> &mut Scene {
        &mut self.scene
    }
}

impl Drop for Lab {
    /// The nodes end before what they stand on.
    fn drop(&mut self) {
        self.scene.nodes.clear();
    }
}

impl Lab {
    /// Everything but the supervisors runs.
    pub(crate) fn new(shape: Shape<'_>) -> Self {
        let members: Vec<String> = (0..shape.members)
            .map(|index| format!("e{index}"))
            .collect();
        let network = shape.hosts.then(|| {
            let hosts: Vec<&str> = ["chain"]
                .into_iter()
                .chain(shape.nodes.iter().copied())
                .chain(members.iter().map(String::as_str))
                .collect();
            Network::new(&hosts).expect("a network")
        });
        let place = |name: &str| network.as_ref().map(|network| network.host(name).place());
        let places = members.iter().filter_map(|name| place(name)).collect();
        let scene = Scene::new(shape.protocol, shape.nodes, network, ROOM_OF_LAB);
        let options = Options {
            members: shape.members,
            heartbeat_ms: Some(50),
            election_ms: Some(500),
            quota_bytes: shape.quota_bytes,
            under: shape.disk.map(Path::to_owned),
            places,
            ..Options::default()
        };
        let etcd = Etcd::start(&options).expect("an etcd");
        for node in &scene.nodes {
            configure(node, &etcd.endpoints(), shape.ttl_ms, shape.more);
        }
        Self {
            etcd,
            scene,
            ledger: Ledger::default(),
        }
    }

    /// The first node votes, the others stand by.
    #[track_caller]
    pub(crate) fn voting(shape: Shape<'_>) -> Self {
        let mut lab = Self::new(shape);
        lab.start_voting();
        lab
    }

    /// The name of the key of this identity.
    pub(crate) fn key(&self, name: &str) -> String {
        format!("/validator-supervisor/{}/{name}", self.identity)
    }

    /// The last word: of the chain's judge, and of what etcd has seen.
    #[track_caller]
    pub(crate) fn end(mut self) {
        self.finish();
    }

    /// The same, for who keeps the lab.
    #[track_caller]
    pub(crate) fn finish(&mut self) {
        self.scene.judge();
        self.read_ledger();
        let accounted = self.accounted();
        assert_eq!(accounted, Ok(()));
    }

    /// Whether etcd had every vote before it was sent, as far as it was read.
    pub(crate) fn accounted(&self) -> Result<(), String> {
        self.ledger.account_for(&self.chain.votes())
    }

    /// Keeps what etcd has seen; to be called before its history is compacted. Says under how many terms there were votes.
    pub(crate) fn read_ledger(&mut self) -> usize {
        let mut ledger = std::mem::take(&mut self.ledger);
        ledger.read(self);
        self.ledger = ledger;
        self.ledger.terms()
    }
}

/// Writes the configuration: where etcd is, and `more` sections.
pub(crate) fn configure(node: &Node, endpoints: &[String], ttl_ms: u64, more: &str) {
    let ttl = ttl_ms / 1000;
    node.configure(&format!(
        "[authority.etcd]\nendpoints = {endpoints:?}\nttl = \"{ttl}s\"\n{more}\n"
    ));
}
