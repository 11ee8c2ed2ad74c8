//! Certificates that are revoked, and the lists that say so.

use std::path::{Path, PathBuf};

use crate::node::{IDENTITY, Node, Set, voting_as};
use rcgen::{
    CertificateRevocationListParams, Issuer, KeyIdMethod, KeyPair, RevokedCertParams, SerialNumber,
    date_time_ymd,
};
use validator_supervisor::authority::files::Grade;
use validator_supervisor::authority::peer::inspect;
use validator_supervisor::config::PeerConfig;
use validator_supervisor::engine::values::NodeName;
use validator_supervisor::pki;
use x509_parser::pem::Pem;

fn with_list(set: &Set, name: &str) -> PeerConfig {
    PeerConfig {
        crl: Some(set.file("crl.pem")),
        ..set.config(name)
    }
}

/// A list on which nobody is that matters.
fn make_list(dir: &Path) -> PathBuf {
    pki::add(dir, "z", &["127.0.0.1".to_owned()], false).expect("a certificate");
    pki::revoke(dir, "z").expect("a list")
}

#[test]
fn a_revoked_certificate_is_refused_on_either_side() {
    for (knows, revoked, words) in [
        ("a", "b", "its certificate is revoked"),
        ("b", "a", "it says that peer.cert is revoked"),
    ] {
        let set = Set::new(&["a", "b"]);
        pki::revoke(set.dir.path(), revoked).expect("a list");
        let start = |name: &str| {
            let config = if name == knows {
                with_list(&set, name)
            } else {
                set.config(name)
            };
            set.start_as(name, &config, IDENTITY)
        };
        let (b, a) = (start("b"), start("a"));
        a.hears_of_trouble(words);
        for node in [&a, &b] {
            assert!(node.is_refused().contains("cannot be reached"), "{knows}");
        }
    }
}

#[test]
fn a_link_ends_when_its_certificate_is_revoked_and_comes_back_with_another_one() {
    for revoked in ["a", "b"] {
        let set = Set::new(&["a", "b"]);
        make_list(set.dir.path());
        let (a, b, term) = voting_as(&set, |name| with_list(&set, name));
        a.settles(term, 2).expect("a commit");
        b.comes_to(2);
        pki::revoke(set.dir.path(), revoked).expect("a list");
        a.hears_of_trouble("revoked");
        a.settles(term, 3).expect("a commit");
        assert_eq!(b.newest(), Some(2), "it is spoken to still");
        // No restart for that either.
        pki::add(set.dir.path(), revoked, &[], true).expect("a renewal");
        b.comes_to(3);
        a.settles(term, 4).expect("a commit");
        b.comes_to(4);
    }
}

#[test]
fn a_list_that_cannot_be_read_keeps_everybody_out_and_is_named() {
    let broken = "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n";
    for content in [None, Some(""), Some("not a list"), Some(broken)] {
        let set = Set::new(&["a", "b"]);
        let list = set.file("crl.pem");
        match content {
            Some(content) => std::fs::write(&list, content).expect("a file"),
            None => std::fs::remove_file(&list).expect("the first list"),
        }
        let _b = set.start("b");
        let a = set.start_as("a", &with_list(&set, "a"), IDENTITY);
        let why = a.hears_of_trouble("peer.crl");
        for word in [&*list.display().to_string(), "supervisor pki revoke"] {
            assert!(why.contains(word), "{content:?}: {why}");
        }
        assert!(a.is_refused().contains("cannot be reached"));
        assert_found(
            &set,
            "a",
            Grade::Bad,
            &["peer.crl", "supervisor pki revoke"],
        );
        std::fs::remove_file(&list).unwrap_or_default();
        make_list(set.dir.path());
        a.hears_from("b");
    }
}

#[test]
fn a_list_of_another_authority_lets_nobody_in() {
    let set = Set::new(&["a", "b"]);
    let other = tempfile::tempdir().expect("a directory");
    pki::init(other.path()).expect("an authority");
    std::fs::copy(make_list(other.path()), set.file("crl.pem")).expect("a copy");
    let _b = set.start("b");
    let a = set.start_as("a", &with_list(&set, "a"), IDENTITY);
    a.hears_of_trouble("peer.crl has no list of the authority that has signed it");
    assert!(a.is_refused().contains("cannot be reached"));
    assert_found(&set, "a", Grade::Bad, &["peer.crl", "has no list"]);
}

#[test]
fn a_list_past_its_end_is_used_on() {
    let set = Set::new(&["a", "b"]);
    write_ended_list(&set, None);
    let meets = |set: &Set| -> (Node, Node) {
        let b = set.start("b");
        (set.start_as("a", &with_list(set, "a"), IDENTITY), b)
    };
    {
        let (a, _b) = meets(&set);
        a.hears_from("b");
    }
    assert_found(&set, "a", Grade::Doubtful, &["peer.crl", "is used on"]);
    let set = Set::new(&["a", "b"]);
    write_ended_list(&set, Some("b"));
    let (a, _b) = meets(&set);
    a.hears_of_trouble("its certificate is revoked");
    assert!(a.is_refused().contains("cannot be reached"));
}

#[test]
fn a_node_whose_own_certificate_is_revoked_is_told_before_it_starts() {
    let set = Set::new(&["a", "b"]);
    pki::revoke(set.dir.path(), "a").expect("a list");
    let words = [
        "peer.cert",
        "revokes it",
        "supervisor pki add a --dir DIR --renew",
    ];
    assert_found(&set, "a", Grade::Bad, &words);
    pki::add(set.dir.path(), "a", &[], true).expect("a renewal");
    assert_found(&set, "a", Grade::Good, &["b keeps the record as well"]);
}

#[track_caller]
fn assert_found(set: &Set, name: &str, grade: Grade, words: &[&str]) {
    let found = inspect::files(&with_list(set, name), &NodeName(name.into()));
    let fits = |(of, text): &&(Grade, String)| {
        *of == grade && words.iter().all(|word| text.contains(word))
    };
    assert!(found.iter().any(|one| fits(&one)), "{found:?}");
}

/// Of the year 2001.
fn write_ended_list(set: &Set, node: Option<&str>) {
    let read = |name: &str| std::fs::read_to_string(set.file(name)).expect("a file");
    let key = KeyPair::from_pem(&read("ca-key.pem")).expect("a key");
    let issuer = Issuer::from_ca_cert_pem(&read("ca.pem"), key).expect("an authority");
    let serial = |name: &str| {
        let text = read(&format!("{name}.pem"));
        let pem = Pem::iter_from_buffer(text.as_bytes()).next();
        let pem = pem.expect("a certificate").expect("a certificate");
        let certificate = pem.parse_x509().expect("a certificate");
        certificate.raw_serial().to_vec()
    };
    let (from, to) = (date_time_ymd(2000, 1, 1), date_time_ymd(2001, 1, 1));
    let revoked = node.map(|name| RevokedCertParams {
        serial_number: SerialNumber::from(serial(name)),
        revocation_time: from,
        reason_code: None,
        invalidity_date: None,
    });
    let list = CertificateRevocationListParams {
        this_update: from,
        next_update: to,
        crl_number: SerialNumber::from(1u64),
        issuing_distribution_point: None,
        revoked_certs: revoked.into_iter().collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    let list = list.signed_by(&issuer).expect("a list");
    std::fs::write(set.file("crl.pem"), list.pem().expect("a list")).expect("a file");
}
