//! Who may speak with whom.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use crate::node::{IDENTITY, SOON_MS, Set, voting};
use testkit::certificates::{Authority, Flaw};
use testkit::stand_in::until;
use validator_supervisor::config::PeerConfig;
use validator_supervisor::pki;

#[test]
fn a_node_with_another_identity_is_not_spoken_to() {
    let set = Set::new(&["a", "b"]);
    let a = set.start("a");
    let _b = set.start_as("b", &set.config("b"), [8; 32]);
    a.hears_of_trouble("identity.staked must be the same key on both");
    assert!(a.is_refused().contains("cannot be reached"));
}

/// `a`, with what is wrong with its files or those of `b`.
fn meets_nobody(set: &Set, a: &PeerConfig, words: &str) {
    let _b = set.start("b");
    let a = set.start_as("a", a, IDENTITY);
    a.hears_of_trouble(words);
    assert!(a.is_refused().contains("cannot be reached"));
}

#[test]
fn a_node_whose_certificate_is_signed_by_others_is_not_spoken_to() {
    let set = Set::new(&["a", "b"]);
    let others = Authority::new("others").expect("an authority");
    let files = others.client("a", Flaw::None).expect("a certificate");
    let config = PeerConfig {
        cert: files.certificate,
        key: files.key,
        ..set.config("a")
    };
    meets_nobody(&set, &config, "is not signed by its peer.ca");
}

#[test]
fn a_node_that_others_have_signed_is_not_called() {
    let set = Set::new(&["a", "b"]);
    let others = Authority::new("others").expect("an authority");
    let config = PeerConfig {
        ca: others.file().to_owned(),
        ..set.config("a")
    };
    meets_nobody(&set, &config, "is not signed by peer.ca");
}

#[test]
fn a_node_under_the_name_of_another_is_not_spoken_to() {
    let set = Set::new(&["a", "b"]);
    pki::add(set.dir.path(), "z", &["127.0.0.1".to_owned()], false).expect("a certificate");
    let as_z = PeerConfig {
        cert: set.file("z.pem"),
        key: set.file("z-key.pem"),
        ..set.config("b")
    };
    let a = set.start("a");
    let _b = set.start_as("b", &as_z, IDENTITY);
    a.hears_of_trouble("it is z, and peer.nodes has b at this address");
}

#[test]
fn a_certificate_is_renewed_without_a_restart() {
    let set = Set::new(&["a", "b"]);
    let (a, b, term) = voting(&set);
    for name in ["a", "b"] {
        pki::add(set.dir.path(), name, &[], true).expect("a renewal");
    }
    set.cut("b", true);
    a.hears_of_trouble("");
    set.cut("b", false);
    a.settles(term, 2).expect("a commit");
    b.comes_to(2);
}

#[test]
fn strangers_that_say_nothing_or_nonsense_do_not_keep_the_others_out() {
    let set = Set::new(&["a", "b"]);
    let (a, b, term) = voting(&set);
    let address = set.address("b");
    let strangers: Vec<TcpStream> = (0..64)
        .filter_map(|at| {
            let mut stranger = TcpStream::connect(address).ok()?;
            if at % 2 == 0 {
                let _ = stranger.write_all(&[0x16, 3, 1, 0xff, 0xff, at]);
            }
            Some(stranger)
        })
        .collect();
    for seq in 2..10 {
        a.settles(term, seq).expect("a commit");
    }
    b.comes_to(9);
    // They are let go of, and a new connection comes through.
    set.cut("b", true);
    set.cut("b", false);
    let back = until(SOON_MS, || {
        a.commits(term, 10).is_ok() && b.newest() == Some(10)
    });
    assert!(back);
    drop(strangers);
}

#[test]
fn a_peer_that_stops_reading_costs_no_vote() {
    let set = Set::new(&["a", "b"]);
    let (a, b, term) = voting(&set);
    drop(b);
    // In the place of b: takes the connection, and nothing from it.
    let mut listener = None;
    let bound = until(SOON_MS, || {
        listener = std::net::TcpListener::bind(set.config("b").listen).ok();
        listener.is_some()
    });
    assert!(bound, "the port of b");
    let listener = listener.expect("a listener");
    let (mut called, _) = listener.accept().expect("a call");
    let mut first = [0; 1];
    called.read_exact(&mut first).expect("a byte");
    for seq in 2..10 {
        a.settles(term, seq).expect("a commit");
    }
    assert_eq!(a.newest(), Some(9));
}
