//! Two nodes that are each other's authority, with nothing else to run.

use crate::SOON_MS;
use crate::hold::{Ground, Step, Way};
use crate::scene::{ROOM_OF_PAIR, Scene};
use std::net::Ipv4Addr;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicU16, Ordering};
use testkit::held::Point;
use testkit::netns::Network;
use testkit::node::Node;
use testkit::stand_in::{Protocol, until};
use validator_supervisor::pki;

/// Of every node, at an address of its own.
const PORT: u16 = 7400;

/// One of loopback that no other node of this process has, nor most other processes.
fn own_address() -> Ipv4Addr {
    static GIVEN: AtomicU16 = AtomicU16::new(1);
    let [high, low] = GIVEN.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    let process = 128 + (std::process::id() % 64) as u8;
    Ipv4Addr::new(127, process, high, low)
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Pair(Scene);

impl Deref for Pair {
    type Target = Scene;

    fn deref(&self) -> &Scene {
        &self.0
    }
}

impl DerefMut for Pair {
    fn deref_mut(&mut self) -> &mut Scene {
        &mut self.0
    }
}

impl Pair {
    /// `a` votes, `b` stands by. `hosts`: each on a host of its own. `more` of every node's configuration.
    #[track_caller]
    pub(crate) fn voting(protocol: Protocol, hosts: bool, more: &str) -> Self {
        let mut pair = Self::new(protocol, hosts, more);
        pair.begin();
        pair
    }

    #[track_caller]
    pub(crate) fn begin(&mut self) {
        self.nodes.iter_mut().for_each(Node::start);
        for name in ["a", "b"] {
            self.node(name).await_role("standby");
        }
        self.await_peers("a", 1);
        let votes = || {
            let _ = self.node("a").ctl(&["promote", "--first-vote"]);
            self.chain.wait(50, |votes| votes.len() >= 5)
        };
        assert!(until(SOON_MS, votes), "the first votes");
        self.await_ready();
    }

    /// Nothing runs yet.
    pub(crate) fn new(protocol: Protocol, hosts: bool, more: &str) -> Self {
        let names = ["a", "b"];
        let network = hosts.then(|| Network::new(&["chain", "a", "b"]).expect("a network"));
        let address = |name: &str| match &network {
            Some(network) => format!("{}:{PORT}", network.host(name).place().address),
            None => format!("{}:{PORT}", own_address()),
        };
        let addresses = names.map(address);
        let scene = Scene::new(protocol, &names, network, ROOM_OF_PAIR);
        let pki = scene.dir.path().join("pki");
        std::fs::create_dir(&pki).expect("a directory");
        pki::init(&pki).expect("an authority");
        let nodes: Vec<String> = names
            .iter()
            .zip(&addresses)
            .map(|(name, address)| format!("{{ name = {name:?}, address = {address:?} }}"))
            .collect();
        for (node, address) in scene.nodes.iter().zip(&addresses) {
            let (name, host) = (node.name(), address.split(':').next().unwrap_or_default());
            pki::add(&pki, name, &[host.to_owned()], false).expect("a certificate");
            let file = |name: &str| pki.join(name).display().to_string();
            node.configure(&format!(
                "[peer]\nlisten = {address:?}\nca = {:?}\ncert = {:?}\nkey = {:?}\nnodes = [{}]\n{more}\n",
                file("ca.pem"),
                file(&format!("{name}.pem")),
                file(&format!("{name}-key.pem")),
                nodes.join(", ")
            ));
        }
        Self(scene)
    }

    /// Whether the votes of `name` wait for the other one's disk.
    pub(crate) fn peer_is_in_step(&self, name: &str) -> Option<bool> {
        self.node(name).status()?["peers"][0]["in_step"].as_bool()
    }

    /// Cuts the cable between the two, or makes it whole.
    pub(crate) fn cut_cable(&self, is_cut: bool) {
        if is_cut {
            self.network().cut("a", "b");
            self.network().cut("b", "a");
        } else {
            self.network().heal();
        }
    }

    /// The last word.
    #[track_caller]
    pub(crate) fn end(mut self) {
        self.judge();
    }
}

impl Ground for Pair {
    /// By the file that it is about to write.
    fn way(&self, step: Step, node: &str) -> Way {
        let (file, skip) = match step {
            Step::LastVote => ("record.older", 0),
            Step::End | Step::Ended | Step::Heard => ("ballot.older", 0),
            // The end of the term before it is the first.
            Step::Promise | Step::Take => ("ballot.older", 1),
            other => panic!("{other:?} is no step between peers"),
        };
        Way::File(Point {
            dir: self.node(node).path("state"),
            file: file.into(),
            skip,
            named: step == Step::Ended,
        })
    }

    fn cut(&self, _: &str, is_cut: bool) {
        self.cut_cable(is_cut);
    }
}
