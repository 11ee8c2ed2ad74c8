//! Do the tests' own etcd servers and networks do what tests take them to do? As root: networks are namespaces.

use std::time::Duration;
use testkit::etcd::Options;

#[path = "testkit_etcd/access.rs"]
mod access;
#[path = "testkit_etcd/clock.rs"]
mod clock;
#[path = "testkit_etcd/faults.rs"]
mod faults;
#[path = "testkit_etcd/network.rs"]
mod network;

/// Long enough for a busy machine; a condition that holds ends the wait at once.
const SOON_MS: u64 = 30_000;
const SOON: Duration = Duration::from_millis(SOON_MS);

/// A cluster that elects in a fraction of a second.
fn quick(members: usize) -> Options {
    Options {
        members,
        heartbeat_ms: Some(50),
        election_ms: Some(500),
        ..Options::default()
    }
}
