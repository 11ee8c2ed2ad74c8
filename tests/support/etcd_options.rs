//! How the servers of a test are to be: how many, where, and with what timing, quota, TLS and users.

use crate::certificates::{Authority, Flaw};
use crate::netns::Namespace;
use std::net::Ipv4Addr;
use std::path::PathBuf;

/// What differs from a single server on loopback with etcd's own defaults.
#[derive(Clone, Debug)]
pub struct Options {
    pub members: usize,
    /// etcd's own is 100.
    pub heartbeat_ms: Option<u64>,
    /// etcd's own is 1000; at least 5 heartbeats.
    pub election_ms: Option<u64>,
    /// Of the database file: writes beyond it raise the alarm `NOSPACE`. etcd's own is 2 GiB.
    pub quota_bytes: Option<u64>,
    pub tls: Option<Tls>,
    /// A user with this name and password may read and write every key; nobody else may do anything.
    pub user: Option<(String, String)>,
    /// Where each member is, in the order of the members; those without are on loopback of the machine.
    pub places: Vec<Place>,
    /// The directory under which the servers keep their data; without, that of temporary files.
    pub under: Option<PathBuf>,
    /// Further arguments of every server.
    pub more: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            members: 1,
            heartbeat_ms: None,
            election_ms: None,
            quota_bytes: None,
            tls: None,
            user: None,
            places: Vec::new(),
            under: None,
            more: Vec::new(),
        }
    }
}

/// A namespace, and the address that a member has in it.
#[derive(Clone, Debug)]
pub struct Place {
    pub namespace: Namespace,
    pub address: Ipv4Addr,
}

/// How clients meet the servers over TLS. Between themselves the members do without.
#[derive(Clone, Debug)]
pub struct Tls {
    /// Signs the servers' certificates, each for its own address.
    pub authority: Authority,
    pub flaw: Flaw,
    /// When given, a client needs a certificate of this authority.
    pub clients: Option<Authority>,
}

impl Tls {
    /// As it is meant to be: sound certificates, and clients with a certificate of the same authority only.
    #[must_use]
    pub fn mutual(authority: &Authority) -> Self {
        Self {
            authority: authority.clone(),
            flaw: Flaw::None,
            clients: Some(authority.clone()),
        }
    }
}
