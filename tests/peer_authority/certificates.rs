//! Certificates that are not as they should be, shown by either side.

use std::path::{Path, PathBuf};

use crate::node::{IDENTITY, Set};
use crate::rogue::Rogue;
use rcgen::{CertificateParams, DnType, KeyPair};
use testkit::certificates::{Authority, Files, Flaw};
use validator_supervisor::config::PeerConfig;

/// What the one that calls says, about itself and about the one that it calls.
struct Words {
    of_caller: &'static str,
    of_called: &'static str,
}

/// The first of two calls the other one, and then the other way round, each time one of them with a certificate that is flawed.
fn is_refused_on_either_side(ca: &Path, files: impl Fn(&Set, &str, bool) -> Files, words: &Words) {
    for (flawed, words) in [("a", words.of_caller), ("b", words.of_called)] {
        let set = Set::new(&["a", "b"]);
        let config = |name: &str| {
            let Files { certificate, key } = files(&set, name, name == flawed);
            PeerConfig {
                ca: ca.to_owned(),
                cert: certificate,
                key,
                ..set.config(name)
            }
        };
        let b = set.start_as("b", &config("b"), IDENTITY);
        let a = set.start_as("a", &config("a"), IDENTITY);
        a.hears_of_trouble(words);
        for node in [&a, &b] {
            assert!(node.is_refused().contains("cannot be reached"), "{flawed}");
        }
    }
}

fn signed_with(flaw: Flaw, words: &Words) {
    let authority = Authority::new("an authority").expect("an authority");
    let files = |_: &Set, name: &str, is_flawed: bool| {
        let flaw = if is_flawed { flaw } else { Flaw::None };
        let hosts = ["127.0.0.1".to_owned()];
        let files = authority.server(name, &hosts, flaw);
        files.expect("a certificate")
    };
    is_refused_on_either_side(&authority.file(), files, words);
}

#[test]
fn an_expired_certificate_is_refused() {
    signed_with(
        Flaw::Expired,
        &Words {
            of_caller: "it says that peer.cert has expired",
            of_called: "its certificate has expired: `supervisor pki add NODE --dir DIR --renew` for that node",
        },
    );
}

#[test]
fn a_certificate_that_begins_later_is_refused() {
    signed_with(
        Flaw::NotYetValid,
        &Words {
            // TLS has no word for it: it is the one for an expired one.
            of_caller: "it says that peer.cert has expired",
            of_called: "its certificate begins later",
        },
    );
}

#[test]
fn a_certificate_for_another_address_is_refused_where_it_is_called() {
    let authority = Authority::new("an authority").expect("an authority");
    let set = Set::new(&["a", "b"]);
    let config = |name: &str, flaw: Flaw| {
        let hosts = ["127.0.0.1".to_owned()];
        let files = authority.server(name, &hosts, flaw);
        let Files { certificate, key } = files.expect("a certificate");
        PeerConfig {
            ca: authority.file(),
            cert: certificate,
            key,
            ..set.config(name)
        }
    };
    let _b = set.start_as("b", &config("b", Flaw::OtherHost), IDENTITY);
    let a = set.start_as("a", &config("a", Flaw::None), IDENTITY);
    a.hears_of_trouble("its certificate is for another address");
    assert!(a.is_refused().contains("cannot be reached"));
}

/// Nobody but itself has signed it.
fn self_signed(set: &Set, name: &str) -> Files {
    let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).expect("an address");
    params.distinguished_name.push(DnType::CommonName, name);
    let key = KeyPair::generate().expect("a key");
    let certificate = params.self_signed(&key).expect("a certificate");
    let path = |what: &str| set.file(&format!("{name}-{what}.self"));
    let write = |path: &PathBuf, text: String| std::fs::write(path, text).expect("a file");
    let files = Files {
        certificate: path("certificate"),
        key: path("key"),
    };
    write(&files.certificate, certificate.pem());
    write(&files.key, key.serialize_pem());
    files
}

#[test]
fn a_self_signed_certificate_is_refused() {
    let authority = Authority::new("an authority").expect("an authority");
    let files = |set: &Set, name: &str, is_flawed: bool| {
        let hosts = ["127.0.0.1".to_owned()];
        if is_flawed {
            self_signed(set, name)
        } else {
            let files = authority.server(name, &hosts, Flaw::None);
            files.expect("a certificate")
        }
    };
    is_refused_on_either_side(
        &authority.file(),
        files,
        &Words {
            of_caller: "it says that peer.cert is not signed by its peer.ca",
            of_called: "its certificate is not signed by peer.ca",
        },
    );
}

#[test]
fn who_shows_no_certificate_is_told_nothing() {
    let set = Set::new(&["a", "b"]);
    let b = set.start("b");
    let mut nobody = Rogue::calls(&set, None, "b").expect("a connection");
    nobody.introduces("a");
    assert!(nobody.is_closed());
    assert_eq!(nobody.has_heard(), 0, "it was spoken to");
    assert!(b.is_refused().contains("cannot be reached"));
}
