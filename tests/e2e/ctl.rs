//! The operator's side: many at once, again and again, gone half-way, and talking nonsense.

use crate::lab::{Lab, SOON_MS, said};
use serde_json::Value;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::Duration;
use testkit::stand_in::{Protocol, until};

#[test]
fn twenty_demotions_at_once_all_succeed() {
    let lab = Lab::voting(Protocol::Tower);
    let codes: Vec<_> = std::thread::scope(|scope| {
        let asking: Vec<_> = (0..20)
            .map(|_| scope.spawn(|| lab.ctl(&["demote"])))
            .collect();
        asking
            .into_iter()
            .map(|asking| asking.join().expect("a client"))
            .map(|output| (output.status.code(), said(&output)))
            .collect()
    });
    lab.chain.demoted(&lab.identity, Some("a"));
    for (code, text) in codes {
        assert_eq!(code, Some(0), "{text}");
        assert!(text.contains("nobody votes from here"), "{text}");
    }
    lab.must(&["demote"]);
    lab.chain.let_slots_pass(10);
    lab.end();
}

#[test]
fn the_last_word_is_with_the_demotion() {
    let lab = Lab::voting(Protocol::Tower);
    // Repeating what is so already is no failure.
    lab.must(&["promote"]);
    lab.must(&["demote"]);
    for _ in 0..3 {
        // While it is promoted, it is demoted; the promotion is answered too.
        let promoted = std::thread::scope(|scope| {
            let promoting = scope.spawn(|| lab.ctl(&["promote"]));
            assert!(
                until(SOON_MS, || matches!(
                    lab.role().as_deref(),
                    Some("promoting" | "active")
                )),
                "{}",
                lab.log()
            );
            lab.must(&["demote"]);
            lab.chain.demoted(&lab.identity, Some("a"));
            promoting.join().expect("a client")
        });
        assert!(
            matches!(promoted.status.code(), Some(0 | 1)),
            "{}",
            said(&promoted)
        );
        lab.chain.let_slots_pass(5);
        assert!(
            until(SOON_MS, || lab.role().as_deref() == Some("parked")),
            "{}",
            lab.log()
        );
        lab.chain.settle();
        lab.chain.promoted(&lab.identity, "a");
    }
    // A promotion while it is being demoted is refused with the reason, and changes nothing.
    lab.must(&["promote"]);
    let demoting = lab.ctl(&["demote", "--no-wait"]);
    assert_eq!(demoting.status.code(), Some(0), "{}", said(&demoting));
    let refused = lab.ctl(&["promote"]);
    let text = said(&refused);
    assert!(
        refused.status.code() == Some(0) || text.contains("try again when it has ended"),
        "{text}"
    );
    lab.must(&["demote"]);
    lab.chain.demoted(&lab.identity, Some("a"));
    lab.chain.let_slots_pass(10);
    lab.end();
}

#[test]
fn a_command_goes_on_when_its_client_is_killed_gives_up_or_does_not_wait() {
    let lab = Lab::voting(Protocol::Tower);
    // The demotion takes the two seconds of an admin call that hangs.
    lab.node
        .faults(&[("admin_hang", "setIdentityFromBytes")])
        .expect("a fault");
    let mut client = Command::new(env!("CARGO_BIN_EXE_supervisor"))
        .args(["ctl", "demote", "--socket"])
        .arg(lab.path("ctl.sock"))
        .stdout(Stdio::piped())
        .spawn()
        .expect("a client");
    assert!(until(SOON_MS, || lab.role().as_deref() == Some("demoting")));
    client.kill().expect("a kill");
    client.wait().expect("its end");
    let late = lab.ctl(&["demote", "--timeout", "200ms"]);
    assert_eq!(late.status.code(), Some(3), "{}", said(&late));
    assert!(said(&late).contains("still running"), "{}", said(&late));
    assert!(until(SOON_MS, || lab.role().as_deref() != Some("demoting")));
    lab.chain.demoted(&lab.identity, Some("a"));
    lab.node.faults(&[]).expect("no fault");
    lab.await_role("parked");
    lab.chain.let_slots_pass(5);
    lab.chain.settle();
    lab.chain.promoted(&lab.identity, "a");
    let began = std::time::Instant::now();
    assert_eq!(lab.ctl(&["promote", "--no-wait"]).status.code(), Some(0));
    assert!(began.elapsed() < Duration::from_secs(5));
    lab.await_role("active");
    lab.end();
}

#[test]
fn garbage_and_huge_requests_get_an_answer_and_do_no_harm() {
    let lab = Lab::voting(Protocol::Tower);
    let say = |bytes: &[u8]| {
        let mut stream = UnixStream::connect(lab.path("ctl.sock")).expect("the socket");
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .expect("a timeout");
        // A refusal may come before all is sent.
        let _ = stream.write_all(bytes);
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        answer
    };
    for bytes in [
        &b"\n"[..],
        b"GET / HTTP/1.1\r\n\r\n",
        b"{\"v\":1,\"request\":\"explode\"}\n",
        b"{\"v\":2,\"request\":\"status\"}\n",
        b"{\"v\":1,\"request\":\"promote\",\"first_vote\":\"maybe\"}\n",
        b"{\"v\":1,\"request\":\"demote\",\"later\":true}\n",
        b"\xff\xfe\x00\n",
        &[b'['; 200_000],
        &[b'x'; 3_000_000],
    ] {
        let answer = say(bytes);
        let line: Value =
            serde_json::from_str(answer.lines().next().unwrap_or_default()).unwrap_or_default();
        assert_eq!(line["reply"], "error", "{answer} to {} bytes", bytes.len());
    }
    // Clients that say nothing hold no place for long, and others are served meanwhile.
    let idle: Vec<_> = (0..20)
        .map(|_| UnixStream::connect(lab.path("ctl.sock")).expect("the socket"))
        .collect();
    assert_eq!(lab.role().as_deref(), Some("active"));
    drop(idle);
    lab.await_votes(3);
    lab.end();
}

/// Every field of the design is there, `null` where nothing is known, and nothing else is.
#[test]
fn status_as_json_has_every_field_of_its_contract() {
    let lab = Lab::voting(Protocol::Tower);
    // What is asked for once a minute comes a moment after the start.
    assert!(until(SOON_MS, || lab.status().is_some_and(|status| status
        ["validator"]["version"]
        .is_string())));
    let status = lab.status().expect("a status");
    let fields = |value: &Value| {
        let mut names: Vec<String> = value
            .as_object()
            .map(|object| object.keys().cloned().collect())
            .unwrap_or_default();
        names.sort();
        names.join(" ")
    };
    assert_eq!(
        fields(&status),
        "authority gate identity next_leader_slot node paused_until peers reason record role since term validator vote_account"
    );
    assert_eq!(
        fields(&status["authority"]),
        "healthy holder kind lease_left_ms"
    );
    assert_eq!(fields(&status["record"]), "kind seq sha256 slot");
    assert_eq!(
        fields(&status["gate"]),
        "commits latency_us refused waiting"
    );
    assert_eq!(fields(&status["gate"]["latency_us"]), "max p50 p99");
    assert_eq!(
        fields(&status["validator"]),
        "client healthy identity pid restarts rpc_trouble slot slots_behind version"
    );
    assert_eq!(status["node"], "a");
    assert_eq!(status["identity"], lab.identity);
    assert_eq!(status["vote_account"], lab.node.vote_account);
    assert_eq!(status["role"], "active");
    assert_eq!(status["term"], 1);
    assert_eq!(status["authority"]["kind"], "local");
    assert_eq!(status["authority"]["holder"], "a");
    assert_eq!(status["record"]["kind"], "tower");
    assert_eq!(status["record"]["sha256"].as_str().map(str::len), Some(64));
    assert!(status["gate"]["commits"].as_u64() >= Some(5), "{status}");
    assert_eq!(status["gate"]["refused"], 0);
    assert!(status["gate"]["latency_us"]["p99"].is_u64(), "{status}");
    assert_eq!(status["validator"]["identity"], lab.identity);
    assert_eq!(status["validator"]["healthy"], true);
    assert_eq!(status["validator"]["restarts"], 0);
    assert!(
        status["validator"]["slot"].is_u64() && status["validator"]["slots_behind"].is_u64(),
        "{status}"
    );
    lab.end();
}

#[test]
fn explain_and_history_say_what_happened_in_sentences() {
    let lab = Lab::voting(Protocol::Tower);
    let explained = lab.must(&["explain"]);
    assert!(
        explained.contains("node a has been active since")
            && explained.contains("The first vote was committed and let out."),
        "{explained}"
    );
    lab.must(&["demote"]);
    lab.chain.demoted(&lab.identity, Some("a"));
    let explained = lab.must(&["explain"]);
    assert!(
        explained.contains("node a has been parked")
            && explained.contains("the record ends at slot"),
        "{explained}"
    );
    let history = lab.must(&["history"]);
    for sentence in [
        "The validator answers and is muted.",
        "The validator is healthy and near the tip.",
        "An operator wants this node to vote.",
        "An operator wants this node to stop voting.",
        "the node is parked",
    ] {
        assert!(history.contains(sentence), "no `{sentence}` in {history}");
    }
    let status = lab.must(&["status"]);
    assert!(
        status.contains("parked") && status.contains(&lab.identity),
        "{status}"
    );
    lab.end();
}
