//! Links that cut, delay and lose as they are told to.

use crate::{SOON, SOON_MS};
use std::io::ErrorKind;
use std::net::UdpSocket;
use std::time::{Duration, Instant};
use testkit::netns::{Link, Network};
use testkit::stand_in::until;

/// How long nothing must arrive over a cut link.
const SILENCE: Duration = Duration::from_millis(100);

#[test]
fn a_cut_is_as_wide_as_it_is_said_to_be() {
    let network = Network::new(&["a", "b", "c"]).expect("a network");
    let wires = [
        wire(&network, "a", "b"),
        wire(&network, "b", "a"),
        wire(&network, "c", "a"),
    ];
    let passing = || wires.each_ref().map(Wire::passes);
    assert_eq!(passing(), [true, true, true]);
    network.cut_one_way("a", "b");
    assert_eq!(passing(), [false, true, true], "one way");
    network.cut("a", "b");
    assert_eq!(passing(), [false, false, true], "both ways");
    network.heal();
    assert_eq!(passing(), [true, true, true]);
    network.split(&["a", "b"]);
    assert_eq!(passing(), [true, true, false], "two sides");
    network.split(&["a"]);
    assert_eq!(passing(), [false, false, false], "from everyone");
    network.heal();
    assert_eq!(passing(), [true, true, true]);
}

#[test]
fn a_link_delays_and_loses_in_the_direction_that_is_told_to() {
    let network = Network::new(&["a", "b"]).expect("a network");
    let (there, back) = (wire(&network, "a", "b"), wire(&network, "b", "a"));
    let slow = Link {
        delay_ms: 80,
        ..Link::default()
    };
    network.set("a", "b", slow);
    let start = Instant::now();
    there.send(b"slow");
    back.send(b"fast");
    assert!(back.receive(SOON).is_some());
    let fast_ms = start.elapsed().as_millis();
    assert!(there.receive(SOON).is_some());
    let slow_ms = start.elapsed().as_millis();
    assert!(
        slow_ms >= 80 && fast_ms < slow_ms,
        "{fast_ms} ms and {slow_ms} ms"
    );
    network.set(
        "a",
        "b",
        Link {
            loss_percent: 50,
            ..Link::default()
        },
    );
    for _ in 0..200 {
        there.send(b"lossy");
    }
    assert!(until(SOON_MS, || {
        let count = network.count("a", "b");
        count.passed + count.dropped >= 201
    }));
    let dropped = network.count("a", "b").dropped;
    assert!((50..150).contains(&dropped), "{dropped} of 200 at 50 %");
}

/// A socket on each of two hosts, the first connected to the second.
struct Wire<'a> {
    network: &'a Network,
    from: &'a str,
    to: &'a str,
    sender: UdpSocket,
    receiver: UdpSocket,
}

fn wire<'a>(network: &'a Network, from: &'a str, to: &'a str) -> Wire<'a> {
    let bind = |name| {
        let host = network.host(name);
        let socket = host
            .namespace()
            .within(|| UdpSocket::bind((host.address(), 0)));
        socket.expect("a thread").expect("a socket")
    };
    let (sender, receiver) = (bind(from), bind(to));
    sender
        .connect(receiver.local_addr().expect("an address"))
        .expect("a route");
    Wire {
        network,
        from,
        to,
        sender,
        receiver,
    }
}

impl Wire<'_> {
    fn send(&self, bytes: &[u8]) {
        self.sender.send(bytes).expect("a packet");
    }

    fn receive(&self, within: Duration) -> Option<Vec<u8>> {
        let mut bytes = [0; 64];
        self.receiver
            .set_read_timeout(Some(within))
            .expect("a timeout");
        match self.receiver.recv(&mut bytes) {
            Ok(length) => Some(bytes[..length].to_vec()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => None,
            Err(error) => panic!("{error}"),
        }
    }

    /// Whether a packet arrives. One that the network says to have dropped is not waited for long.
    fn passes(&self) -> bool {
        let count = || self.network.count(self.from, self.to);
        let before = count();
        self.send(b"passing");
        assert!(until(SOON_MS, || count() != before), "nothing was sent");
        let dropped = count().dropped > before.dropped;
        self.receive(if dropped { SILENCE } else { SOON }).is_some()
    }
}
