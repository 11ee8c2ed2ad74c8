//! Who may speak with whom: certificates, passwords, and servers that are none.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::node::{Node, SOON_MS, WITHIN, config, key};
use testkit::certificates::{Authority, Flaw};
use testkit::etcd::{Etcd, Options, Tls, possible_hosts};
use testkit::relay::{Direction, Message, Relay};
use testkit::stand_in::until;
use validator_supervisor::authority::etcd::inspect::{self, Grade};
use validator_supervisor::authority::news::News;
use validator_supervisor::authority::{CommitError, Fault};
use validator_supervisor::config::EtcdConfig;
use validator_supervisor::engine::AuthorityNews;
use validator_supervisor::engine::values::NodeName;
use validator_supervisor::pki;

const TOKEN_TTL: Duration = Duration::from_secs(2);

/// Over TLS, with a client's certificate of `clients`.
fn over_tls(etcd: &Etcd, servers: &Authority, clients: &Authority, flaw: Flaw) -> EtcdConfig {
    let files = clients.client("a", flaw).expect("a certificate");
    EtcdConfig {
        ca: Some(servers.file().to_owned()),
        cert: Some(files.certificate),
        key: Some(files.key),
        ..config(etcd.endpoints())
    }
}

fn two_authorities() -> [Authority; 2] {
    ["etcd", "others"].map(|name| Authority::new(name).expect("an authority"))
}

fn etcd_with(servers: &Authority, flaw: Flaw) -> Etcd {
    Etcd::start(&Options {
        tls: Some(Tls {
            flaw,
            ..Tls::mutual(servers)
        }),
        ..Options::default()
    })
    .expect("etcd")
}

/// What `supervisor check` would say.
#[track_caller]
fn is_found(config: &EtcdConfig, words: &str) {
    let dir = tempfile::tempdir().expect("a directory");
    let mut found = inspect::files(config);
    found.extend(inspect::servers(config, dir.path()));
    let named = |(grade, text): &(Grade, String)| *grade > Grade::Good && text.contains(words);
    assert!(found.iter().any(named), "no `{words}` in {found:#?}");
}

#[test]
fn client_and_server_know_each_other_by_their_certificates() {
    let authority = Authority::new("etcd").expect("an authority");
    let etcd = etcd_with(&authority, Flaw::None);
    let config = over_tls(&etcd, &authority, &authority, Flaw::None);
    let node = Node::configured("a", &config);
    let (term, _) = node.acquires();
    node.commits_well(term, 1, b"one");
    let dir = tempfile::tempdir().expect("a directory");
    let found = inspect::servers(&config, dir.path());
    assert!(
        found.iter().all(|(grade, _)| *grade == Grade::Good),
        "{found:#?}"
    );
}

#[test]
fn certificates_of_our_own_making_are_good_for_both_sides() {
    let dir = tempfile::tempdir().expect("a directory");
    let made =
        |name: &str| pki::add(dir.path(), name, &possible_hosts(), false).expect("a certificate");
    let [ca, ..] = pki::init(dir.path()).expect("an authority");
    let ([server, server_key], [cert, key]) = (made("etcd-1"), made("a"));
    let flag = |name: &str, path: &Path| format!("--{name}={}", path.display());
    // The last of each counts.
    let etcd = Etcd::start(&Options {
        tls: Some(Tls::mutual(
            &Authority::new("unused").expect("an authority"),
        )),
        more: vec![
            flag("cert-file", &server),
            flag("key-file", &server_key),
            flag("trusted-ca-file", &ca),
        ],
        ..Options::default()
    })
    .expect("etcd");
    let config = EtcdConfig {
        ca: Some(ca),
        cert: Some(cert),
        key: Some(key),
        ..config(etcd.endpoints())
    };
    assert_eq!(inspect::files(&config), []);
    let node = Node::configured("a", &config);
    let (term, _) = node.acquires();
    node.commits_well(term, 1, b"one");
}

#[test]
fn what_is_renewed_is_used_without_a_restart() {
    let [servers, others] = two_authorities();
    let etcd = etcd_with(&servers, Flaw::None);
    let config = over_tls(&etcd, &servers, &others, Flaw::None);
    let node = Node::configured("a", &config);
    node.hears_of_trouble("etcd at https://");
    let renewed = servers
        .client("a-renewed", Flaw::None)
        .expect("a certificate");
    for (new, old) in [
        (renewed.certificate, config.cert),
        (renewed.key, config.key),
    ] {
        std::fs::copy(new, old.expect("a path")).expect("a renewal");
    }
    let (term, _) = node.acquires();
    node.commits_well(term, 1, b"one");
}

#[test]
fn a_server_of_another_authority_is_not_spoken_to() {
    let [servers, others] = two_authorities();
    let etcd = etcd_with(&servers, Flaw::None);
    let config = over_tls(&etcd, &others, &servers, Flaw::None);
    Node::configured("a", &config).hears_of_trouble("authority.etcd.ca");
    is_found(&config, "authority.etcd.ca");
}

#[test]
fn a_server_whose_certificate_has_expired_is_not_spoken_to() {
    let authority = Authority::new("etcd").expect("an authority");
    let etcd = etcd_with(&authority, Flaw::Expired);
    let config = over_tls(&etcd, &authority, &authority, Flaw::None);
    Node::configured("a", &config).hears_of_trouble("expired");
    is_found(&config, "expired");
}

#[test]
fn a_server_under_another_name_is_not_spoken_to() {
    let authority = Authority::new("etcd").expect("an authority");
    let etcd = etcd_with(&authority, Flaw::OtherHost);
    let config = over_tls(&etcd, &authority, &authority, Flaw::None);
    Node::configured("a", &config).hears_of_trouble("another host name");
    is_found(&config, "another host name");
}

#[test]
fn a_client_without_the_right_certificate_gets_no_term() {
    let [servers, others] = two_authorities();
    let etcd = etcd_with(&servers, Flaw::None);
    let none = EtcdConfig {
        cert: None,
        key: None,
        ..over_tls(&etcd, &servers, &servers, Flaw::None)
    };
    for config in [
        none,
        over_tls(&etcd, &servers, &others, Flaw::None),
        over_tls(&etcd, &servers, &servers, Flaw::Expired),
    ] {
        let node = Node::configured("a", &config);
        let why = node.hears_of_trouble("etcd at https://");
        assert!(
            why.contains("certificate") || why.contains("alert") || why.contains("transport"),
            "{why}"
        );
    }
}

#[test]
fn a_certificate_of_ours_that_has_expired_is_found_before_the_start() {
    let authority = Authority::new("etcd").expect("an authority");
    let files = authority.client("a", Flaw::Expired).expect("a certificate");
    let config = EtcdConfig {
        cert: Some(files.certificate),
        key: Some(files.key),
        ..config(vec!["https://127.0.0.1:1".into()])
    };
    let found = inspect::files(&config);
    assert!(
        matches!(&found[..], [(Grade::Bad, text)] if text.contains("authority.etcd.cert") && text.contains("expired")),
        "{found:#?}"
    );
}

fn with_password(etcd: &Etcd, dir: &tempfile::TempDir, password: &str) -> EtcdConfig {
    let path = dir.path().join("password");
    std::fs::write(&path, password).expect("a password");
    EtcdConfig {
        user: Some("sol".into()),
        password_file: Some(path),
        ..config(etcd.endpoints())
    }
}

#[test]
fn a_user_with_a_password_gets_a_term_and_outlives_a_server_that_forgets_its_tokens() {
    let mut etcd = Etcd::start(&Options {
        user: Some(("sol".into(), "secret".into())),
        ..Options::default()
    })
    .expect("etcd");
    let dir = tempfile::tempdir().expect("a directory");
    let right = EtcdConfig {
        ttl: Duration::from_secs(20),
        ..with_password(&etcd, &dir, "secret\n")
    };
    let node = Node::configured("a", &right);
    let (term, _) = node.acquires();
    node.commits_well(term, 1, b"one");
    etcd.member(0).kill().expect("a kill");
    etcd.member(0).restart().expect("a restart");
    node.commits_well(term, 2, b"two");
}

/// Tokens of the kind that carries its own end: etcd forgets none, and takes none that is over.
#[test]
fn tokens_that_end_by_time_cost_neither_term_nor_vote_nor_watch() {
    let dir = tempfile::tempdir().expect("a directory");
    let secret = dir.path().join("token-key");
    std::fs::write(&secret, [7; 32]).expect("a key");
    let tokens = format!("jwt,priv-key={},sign-method=HS256", secret.display());
    let etcd = Etcd::start(&Options {
        user: Some(("sol".into(), "secret".into())),
        more: vec![format!(
            "--auth-token={tokens},ttl={}s",
            TOKEN_TTL.as_secs()
        )],
        ..Options::default()
    })
    .expect("etcd");
    let config = with_password(&etcd, &dir, "secret");
    let (node, other) = (
        Node::configured("a", &config),
        Node::configured("b", &config),
    );
    let (term, _) = node.acquires();
    let (begun, mut seq) = (Instant::now(), 0);
    while begun.elapsed() < 4 * TOKEN_TTL {
        seq += 1;
        node.commits_well(term, seq, format!("vote {seq}").as_bytes());
    }
    assert_eq!(node.authority.confirm(term, TOKEN_TTL), Ok(true));
    let followed = until(SOON_MS, || {
        let newest = other.authority.newest_mark();
        newest.is_some_and(|mark| mark.seq == seq)
    });
    assert!(followed, "the other node's watch has stopped");
}

#[test]
fn a_wrong_password_or_none_is_named() {
    let etcd = Etcd::start(&Options {
        user: Some(("sol".into(), "secret".into())),
        ..Options::default()
    })
    .expect("etcd");
    let dir = tempfile::tempdir().expect("a directory");
    let wrong = with_password(&etcd, &dir, "guess");
    let why = Node::configured("a", &wrong).hears_of_trouble("password_file");
    assert!(!why.contains("guess"), "{why}");
    is_found(&wrong, "password_file");
    Node::start("a", etcd.endpoints()).hears_of_trouble("authority.etcd.user");
}

#[test]
fn a_user_that_may_only_read_votes_no_more_and_overwrites_nothing() {
    let etcd = Etcd::start(&Options {
        user: Some(("sol".into(), "secret".into())),
        ..Options::default()
    })
    .expect("etcd");
    let dir = tempfile::tempdir().expect("a directory");
    let config = with_password(&etcd, &dir, "secret");
    let found = inspect::servers(&config, dir.path());
    assert!(
        found.iter().all(|(grade, _)| *grade == Grade::Good),
        "{found:#?}"
    );
    let node = Node::configured("a", &config);
    let (term, _) = node.acquires();
    node.commits_well(term, 1, b"one");
    let stored = |name: &str| etcd.get(&key(name)).expect("etcd").map(|kv| kv.bytes);
    let before = stored("record");
    etcd.permit("READ").expect("a change of rights");
    let remedy = "read and write on authority.etcd.prefix";
    let refused = node.commits(term, 2, b"two");
    assert!(
        matches!(&refused, Err(error) if error.to_string().contains(remedy)),
        "{refused:?}"
    );
    is_found(&config, remedy);
    let other = Node::configured("b", &config);
    other.hears_of_trouble(remedy);
    assert!(other.authority.acquire(WITHIN).is_err());
    assert_eq!((stored("record"), stored("members/b")), (before, None));
    etcd.permit("READWRITE").expect("a change of rights");
    node.commits_well(term, 2, b"two");
}

/// What was sent before may have been applied, whatever comes of the tries after it.
#[test]
fn a_term_whose_passing_was_not_answered_is_not_known_to_have_stayed() {
    let etcd = Etcd::start(&Options {
        user: Some(("sol".into(), "secret".into())),
        ..Options::default()
    })
    .expect("etcd");
    let server = etcd.endpoints()[0].replace("http://", "");
    let relay = Relay::to(server.parse().expect("an address")).expect("a relay");
    let dir = tempfile::tempdir().expect("a directory");
    let config = with_password(&etcd, &dir, "secret");
    let over_relay = EtcdConfig {
        endpoints: vec![format!("http://{}", relay.address())],
        ..config.clone()
    };
    let password = config.password_file.clone().expect("a file");
    let a = Node::configured("a", &over_relay);
    let other_dir = tempfile::tempdir().expect("a directory");
    let b = Node::configured("b", &with_password(&etcd, &other_dir, "secret"));
    let (term, _) = a.acquires();
    let to = NodeName("b".into());
    a.hears(
        "member b",
        |news| matches!(news, News::Member { node, member: Some(_) } if *node == to),
    );
    relay.hold(Message {
        direction: Direction::ToServer,
        text: "\"from\":\"a\"".into(),
        let_through: true,
    });
    let passed = std::thread::scope(|scope| {
        let passed = scope.spawn(|| a.authority.pass(term, &to, WITHIN));
        assert!(until(SOON_MS, || relay.is_reached()));
        std::fs::remove_file(&password).expect("no file to connect with");
        passed.join().expect("an outcome")
    });
    let why = "authority.etcd.password_file";
    assert!(
        matches!(&passed, Err(Fault::Unknown(text)) if text.contains(why)),
        "{passed:?}"
    );
    b.hears("the term", |news| {
        matches!(news, News::Term(AuthorityNews::Passed { .. }))
    });
}

/// etcd itself, but for the version that it gives.
fn as_an_older(etcd: &Etcd) -> String {
    let server = etcd.endpoints()[0].replace("http://", "");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let server = TcpStream::connect(&server).expect("etcd");
            let ways = [
                (client.try_clone(), server.try_clone(), false),
                (server.try_clone(), client.try_clone(), true),
            ];
            for (from, to, is_answer) in ways {
                let (from, to) = (from.expect("a socket"), to.expect("a socket"));
                std::thread::spawn(move || pass_on(from, to, is_answer));
            }
        }
    });
    format!("http://{address}")
}

fn pass_on(mut from: TcpStream, mut to: TcpStream, is_answer: bool) {
    let mut bytes = [0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        let bytes = &mut bytes[..count];
        let versions = |bytes: &[u8]| {
            bytes
                .windows(3)
                .position(|text| text == b"3.4" || text == b"3.5")
        };
        while let (true, Some(at)) = (is_answer, versions(bytes)) {
            bytes[at + 2] = b'3';
        }
        if to.write_all(bytes).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}

#[test]
fn an_etcd_that_is_too_old_gets_no_lease_and_no_record() {
    let etcd = Etcd::single().expect("etcd");
    let config = config(vec![as_an_older(&etcd)]);
    let node = Node::configured("a", &config);
    let why = node.hears_of_trouble("is too old");
    assert!(
        why.contains("etcd 3.3.") && why.contains("3.4 or newer"),
        "{why}"
    );
    is_found(&config, "is too old");
    assert!(node.authority.acquire(WITHIN).is_err());
    let kept =
        [key("holder"), key("record"), key("members/a")].map(|key| etcd.get(&key).expect("etcd"));
    assert_eq!(kept, [None, None, None]);
}

#[test]
fn a_server_that_is_no_etcd_is_named_by_its_address() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut asked = [0; 512];
            let _ = stream.read(&mut asked);
            let _ = stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let config = config(vec![format!("http://{address}")]);
    let node = Node::configured("a", &config);
    node.hears_of_trouble(&address.to_string());
    is_found(&config, &address.to_string());
}

#[test]
fn a_full_database_stops_votes_by_name_and_lets_them_go_on_when_there_is_room() {
    let etcd = Etcd::start(&Options {
        quota_bytes: Some(4 << 20),
        ..Options::default()
    })
    .expect("etcd");
    let node = Node::start("a", etcd.endpoints());
    let (term, _) = node.acquires();
    node.commits_well(term, 1, b"one");
    etcd.fill().expect("a full database");
    let mut refused = Ok(());
    let named = until(SOON_MS, || {
        refused = node.commits(term, 2, &[7; 2_000]);
        matches!(&refused, Err(CommitError::Unsettled(why)) if why.contains("compact and defragment"))
    });
    assert!(named, "{refused:?}");
    is_found(&config(etcd.endpoints()), "alarm");
    etcd.drain().expect("room");
    let outcome = node.settles(term, 2, b"two");
    let (anew, _) = if outcome.is_ok() {
        (term, None)
    } else {
        node.acquires()
    };
    node.commits_well(anew, 3, b"three");
}
