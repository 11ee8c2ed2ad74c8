//! Hosts of a test's own, each in its network namespace, and the links between them.

use crate::etcd_options::Place;
use crate::net_switch::Switch;
pub use crate::net_switch::{Count, Link};
use crate::netns::Namespace;
use crate::tun;
use std::io;
use std::net::Ipv4Addr;

/// Hosts on one network, which nothing but this process joins: every packet between two of them passes a [`Link`].
///
/// Unlike on a switch of metal, a cut host keeps its link light: what it sends is lost in silence.
#[derive(Debug)]
pub struct Network {
    hosts: Vec<Host>,
    switch: Switch,
}

/// A machine of the network, as far as programs and sockets can tell.
#[derive(Clone, Debug)]
pub struct Host {
    name: String,
    address: Ipv4Addr,
    namespace: Namespace,
}

impl Host {
    /// 10.77.0.1 is the first one's.
    #[must_use]
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// To run programs, and make sockets, on this host.
    #[must_use]
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// For a member of an etcd cluster.
    #[must_use]
    pub fn place(&self) -> Place {
        Place {
            namespace: self.namespace.clone(),
            address: self.address,
        }
    }
}

impl Network {
    /// A host for each name, all links as fast as the machine.
    ///
    /// # Errors
    /// It takes root, `/dev/net/tun`, and `ip` of Debian's `iproute2`; more than 254 hosts are too many.
    pub fn new(names: &[&str]) -> io::Result<Self> {
        let mut hosts = Vec::new();
        let mut devices = Vec::new();
        for (name, number) in names.iter().zip(1..=254) {
            let namespace = Namespace::new()?;
            let address = Ipv4Addr::new(10, 77, 0, number);
            devices.push((address, namespace.within(tun::open)??));
            let device = tun::NAME;
            namespace.ip(&format!("address add {address}/24 dev {device}"))?;
            namespace.ip(&format!("link set {device} up txqueuelen 10000"))?;
            hosts.push(Host {
                name: (*name).to_owned(),
                address,
                namespace,
            });
        }
        if hosts.len() < names.len() {
            return Err(io::Error::other("a network has at most 254 hosts"));
        }
        let switch = Switch::start(devices)?;
        Ok(Self { hosts, switch })
    }

    /// # Panics
    /// There is no host of this name.
    #[must_use]
    pub fn host(&self, name: &str) -> &Host {
        &self.hosts[self.index(name)]
    }

    fn index(&self, name: &str) -> usize {
        let found = self.hosts.iter().position(|host| host.name == name);
        found.unwrap_or_else(|| panic!("no host {name} in {:?}", self.hosts))
    }

    /// Makes the link from one host to another, in this direction only.
    ///
    /// # Panics
    /// There is no host of one of the names.
    pub fn set(&self, from: &str, to: &str, link: Link) {
        let pair = (self.index(from), self.index(to));
        self.switch.links().shapes.insert(pair, link);
    }

    /// Makes all links the same.
    pub fn set_all(&self, link: Link) {
        let all = self.pairs().map(|pair| (pair, link));
        self.switch.links().shapes = all.collect();
    }

    /// Cuts one direction: `to` hears nothing from `from`, which goes on hearing `to`.
    ///
    /// # Panics
    /// There is no host of one of the names.
    pub fn cut_one_way(&self, from: &str, to: &str) {
        self.cut_pair(self.index(from), self.index(to));
    }

    /// Cuts both directions between two hosts.
    ///
    /// # Panics
    /// There is no host of one of the names.
    pub fn cut(&self, one: &str, other: &str) {
        self.cut_one_way(one, other);
        self.cut_one_way(other, one);
    }

    /// Cuts these hosts from all others; among themselves, and the others among themselves, they stay as they are.
    ///
    /// # Panics
    /// There is no host of one of the names.
    pub fn split(&self, side: &[&str]) {
        let side: Vec<_> = side.iter().map(|name| self.index(name)).collect();
        for (from, to) in self.pairs() {
            if side.contains(&from) != side.contains(&to) {
                self.cut_pair(from, to);
            }
        }
    }

    fn cut_pair(&self, from: usize, to: usize) {
        let mut links = self.switch.links();
        links.shapes.entry((from, to)).or_default().cut = true;
    }

    /// Makes every link whole and fast again.
    pub fn heal(&self) {
        self.switch.links().shapes.clear();
    }

    /// The packets so far in one direction: whether a fault met any traffic.
    ///
    /// # Panics
    /// There is no host of one of the names.
    #[must_use]
    pub fn count(&self, from: &str, to: &str) -> Count {
        let pair = (self.index(from), self.index(to));
        let links = self.switch.links();
        links.counts.get(&pair).copied().unwrap_or_default()
    }

    fn pairs(&self) -> impl Iterator<Item = (usize, usize)> {
        let hosts = self.hosts.len();
        let pairs = (0..hosts).flat_map(move |from| (0..hosts).map(move |to| (from, to)));
        pairs.filter(|(from, to)| from != to)
    }
}
