//! The gate as operators and validators meet it: rolled-back records, status queries, file capabilities.

use crate::lab::{Lab, said};
use serde_json::Value;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use testkit::stand_in::{Protocol, binary};

#[test]
fn a_record_that_goes_back_is_refused_and_its_vote_is_not_sent() {
    for protocol in [Protocol::Tower, Protocol::Alpenglow] {
        let lab = Lab::voting(protocol);
        let child = lab.await_child();
        lab.node.faults(&[("roll_back", "3")]).expect("a fault");
        lab.await_log("was not let through (EIO)");
        lab.await_log("the validator ended: exit code 1");
        lab.node.faults(&[]).expect("no fault");
        lab.await_next_child_voting(child);
        lab.end();
    }
}

/// One `status` by hand: quicker than a process for each.
fn ask(socket: &Path) -> Option<Value> {
    let mut stream = UnixStream::connect(socket).ok()?;
    stream
        .write_all(b"{\"v\":1,\"request\":\"status\"}\n")
        .ok()?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).ok()?;
    serde_json::from_str(&line).ok()
}

fn p99_us_of_votes(asked_meanwhile: bool) -> u64 {
    let lab = Lab::voting(Protocol::Alpenglow);
    let socket = lab.path("ctl.sock");
    let over = AtomicBool::new(false);
    let asked = std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let mut asked = 0;
            while asked_meanwhile && !over.load(Ordering::Relaxed) {
                asked += u64::from(ask(&socket).is_some());
            }
            asked
        });
        lab.await_votes(80);
        over.store(true, Ordering::Relaxed);
        asking.join().expect("the one who asks")
    });
    assert!(!asked_meanwhile || asked > 100, "only {asked} questions");
    let status = lab.status().expect("a status");
    lab.end();
    status["gate"]["latency_us"]["p99"]
        .as_u64()
        .expect("latencies")
}

/// A bound against something gross only: this is no benchmark.
#[test]
fn status_in_a_tight_loop_does_not_delay_votes() {
    let (quiet_us, busy_us) = (p99_us_of_votes(false), p99_us_of_votes(true));
    assert!(
        busy_us < quiet_us * 10 + 100_000,
        "p99 is {quiet_us} µs, and {busy_us} µs under questions"
    );
}

#[test]
fn a_validator_with_file_capabilities_is_refused_with_the_remedy() {
    let mut lab = Lab::new(Protocol::Tower);
    let copy = lab.path("stand-in-with-capabilities");
    std::fs::copy(binary().expect("the stand-in"), &copy).expect("a copy");
    let set = Command::new("setcap")
        .arg("cap_net_raw+ep")
        .arg(&copy)
        .status();
    let set = set.expect("setcap, from the Debian package libcap2-bin");
    assert!(
        set.success(),
        "setcap needs root and a file system with extended attributes"
    );
    let mut words = lab.words();
    words[0] = copy.display().to_string();
    for what in ["run", "check"] {
        let output = lab.to_the_end(&[what], &words);
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        assert!(
            said(&output).contains("setcap -r") && said(&output).contains("AmbientCapabilities="),
            "{}",
            said(&output)
        );
    }
    // Behind a start script it shows only once it runs.
    let link = format!("link = \"{}\"\n", lab.path("identity.json").display());
    lab.configure_identity(&link, "[restart]\nmax = 0\n");
    lab.node
        .faults(&[("start_ms", "20000")])
        .expect("time to look at it");
    let quoted: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
    let script = lab.script("start.sh", &format!("exec {}", quoted.join(" ")));
    lab.run(&script);
    assert_eq!(
        lab.ended().and_then(|status| status.code()),
        Some(137),
        "{}",
        lab.log()
    );
    assert!(lab.log().contains("setcap -r"), "{}", lab.log());
    lab.end();
}
