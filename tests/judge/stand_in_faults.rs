//! Trouble on request: each fault does what it says, and the judge sees those that are its business.

use crate::bare::{Bare, SOON_MS, done, expect_switch, identity};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use std::net::TcpListener;
use testkit::judge::Rule;
use testkit::stand_in::{Protocol, Running, until};

fn signal(running: &Running, signal: Signal) {
    let pid = i32::try_from(running.pid()).expect("a pid");
    kill(Pid::from_raw(pid), signal).expect("it is our child");
}

#[test]
fn a_muted_node_that_votes_all_the_same_is_found() {
    let bare = Bare::new(Protocol::Tower);
    let (spec, running) = bare.voting("a");
    spec.faults(&[("vote_though_muted", "true")])
        .expect("faults");
    done(&running, "removeAllAuthorizedVoters", json!([]));
    bare.chain.demoted(&bare.identity, Some("a"));
    bare.expect_votes(3);
    let findings = bare.chain.verdict().expect_err("votes after the mute");
    assert!(
        findings
            .iter()
            .all(|finding| finding.rule == Rule::AfterDemotion),
        "{findings:?}"
    );
}

#[test]
fn a_record_rolled_back_is_found() {
    let bare = Bare::new(Protocol::Tower);
    let (spec, _running) = bare.voting("a");
    bare.expect_votes(8);
    spec.faults(&[("roll_back", "5")]).expect("faults");
    assert!(until(SOON_MS, || bare.chain.verdict().is_err()));
    let findings = bare.chain.verdict().expect_err("an old vote");
    assert!(
        findings.iter().all(|finding| finding.rule == Rule::OldSlot),
        "{findings:?}"
    );
}

#[test]
fn a_stalled_replay_neither_votes_nor_switches() {
    let bare = Bare::new(Protocol::Tower);
    let (spec, running) = bare.voting("a");
    spec.faults(&[("stall_replay", "true")]).expect("faults");
    done(&running, "setIdentity", identity(&spec, "unstaked.json"));
    assert_eq!(bare.votes_for_the_next(12), []);
    assert!(!running.log().contains("Identity changed from"));
    spec.faults(&[]).expect("faults");
    expect_switch(&running);
}

#[test]
fn voting_stops_and_goes_on() {
    let bare = Bare::new(Protocol::Alpenglow);
    let (spec, _running) = bare.voting("a");
    spec.faults(&[("stop_voting", "true")]).expect("faults");
    assert_eq!(bare.votes_for_the_next(5), []);
    spec.faults(&[]).expect("faults");
    bare.expect_votes(3);
    bare.chain.expect_clean();
}

#[test]
fn an_admin_socket_can_hang_talk_nonsense_and_close_half_way() {
    let bare = Bare::new(Protocol::Tower);
    let (spec, running) = bare.voting("a");
    let socket = spec.path("ledger/admin.rpc");
    for fault in ["nonsense", "close"] {
        spec.faults(&[("admin", fault)]).expect("faults");
        assert!(
            testkit::stand_in::admin(&socket, "pid", &json!([])).is_err(),
            "{fault}"
        );
    }
    spec.faults(&[("admin_hang", "pid")]).expect("faults");
    assert!(
        running.admin("startTime", &json!([])).is_some(),
        "only one method hangs"
    );
    let mut stream = std::os::unix::net::UnixStream::connect(&socket).expect("a connection");
    let wait = std::time::Duration::from_millis(200);
    stream.set_read_timeout(Some(wait)).expect("a timeout");
    std::io::Write::write_all(&mut stream, br#"{"method":"pid","id":1}"#).expect("it listens");
    assert!(
        std::io::Read::read(&mut stream, &mut [0]).is_err(),
        "no answer and no end"
    );
}

#[test]
fn it_ends_with_the_code_it_is_told() {
    let bare = Bare::new(Protocol::Tower);
    let (spec, mut running) = bare.voting("a");
    spec.faults(&[("die", "7")]).expect("faults");
    assert_eq!(
        running.ended(SOON_MS).and_then(|status| status.code()),
        Some(7)
    );
    spec.faults(&[("exit_at_once", "9")]).expect("faults");
    let mut again = spec.start().expect("it starts");
    assert_eq!(
        again.ended(SOON_MS).and_then(|status| status.code()),
        Some(9)
    );
}

#[test]
fn signals_end_it_reopen_its_log_or_are_ignored() {
    let bare = Bare::new(Protocol::Tower);
    let (spec, mut running) = bare.voting("a");
    signal(&running, Signal::SIGUSR1);
    assert!(until(SOON_MS, || running.log().contains("log reopened")));
    spec.faults(&[("ignore_sigterm", "true")]).expect("faults");
    signal(&running, Signal::SIGTERM);
    assert!(until(SOON_MS, || running.log().contains("SIGTERM ignored")));
    assert!(running.ended(100).is_none());
    spec.faults(&[]).expect("faults");
    signal(&running, Signal::SIGTERM);
    assert_eq!(
        running.ended(SOON_MS).and_then(|status| status.code()),
        Some(0)
    );
}

#[test]
fn a_mistake_in_the_faults_ends_it() {
    let bare = Bare::new(Protocol::Tower);
    let (spec, mut running) = bare.voting("a");
    spec.faults(&[("stop_votign", "true")]).expect("faults");
    assert_eq!(
        running.ended(SOON_MS).and_then(|status| status.code()),
        Some(2)
    );
    assert!(running.log().contains("no fault is called `stop_votign`"));
}

#[test]
fn its_own_rpc_tells_identity_and_health() {
    let bare = Bare::new(Protocol::Tower);
    let mut spec = bare.node("a");
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let address = free.expect("a free port");
    spec.more = vec!["--rpc-port".to_owned(), address.port().to_string()];
    let running = spec.start().expect("it starts");
    assert!(running.is_up(SOON_MS));
    let client = solana_client::rpc_client::RpcClient::new(format!("http://{address}"));
    assert!(until(SOON_MS, || client.get_health().is_ok()));
    let identity = client.get_identity().expect("getIdentity").to_string();
    assert_eq!(identity, testkit::keys::address(&spec.unstaked));
    let nodes = client.get_cluster_nodes().expect("getClusterNodes");
    assert_eq!(nodes[0].rpc, Some(address));
    spec.faults(&[("health", "behind:7")]).expect("faults");
    assert!(client.get_health().is_err());
}
