//! What a scraper gets, and what it cannot do.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

use crate::lab::Lab;
use testkit::node::free_port;
use testkit::stand_in::Protocol;

/// One request, to its end.
fn ask(port: u16, request: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("a connection");
    stream.write_all(request.as_bytes()).expect("a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

#[test]
fn a_scraper_reads_the_figures_and_nothing_else_is_served() {
    let port = free_port().expect("a port");
    let mut lab = Lab::new(Protocol::Tower);
    lab.configure(&format!("http = \"127.0.0.1:{port}\"\n"));
    lab.start();
    lab.promote_first();
    let page = ask(port, "GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n");
    assert!(page.starts_with("HTTP/1.1 200 OK\r\n"), "{page}");
    for line in [
        "validator_supervisor_role{node=\"a\",role=\"active\"} 1",
        "validator_supervisor_role{node=\"a\",role=\"standby\"} 0",
        "validator_supervisor_term{node=\"a\"} 1",
        "validator_supervisor_gate_refused_total 0",
        "validator_supervisor_authority_healthy{kind=\"local\"} 1",
    ] {
        assert!(
            page.lines().any(|found| found == line),
            "no {line} in\n{page}"
        );
    }
    let commits = |page: &str| -> u64 {
        let value = page
            .lines()
            .find_map(|line| line.strip_prefix("validator_supervisor_gate_commits_total "));
        value
            .and_then(|value| value.parse().ok())
            .unwrap_or_default()
    };
    assert!(commits(&page) >= 5, "{page}");
    lab.must(&["pause", "--for", "1h"]);
    let page = ask(port, "GET /metrics HTTP/1.0\r\n\r\n");
    assert!(
        page.contains("validator_supervisor_paused_until_seconds{node=\"a\"} "),
        "{page}"
    );
    assert!(ask(port, "GET / HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 404 "));
    assert!(ask(port, "POST /metrics HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 400 "));
    assert!(
        ask(port, &format!("GET /{} HTTP/1.1\r\n", "x".repeat(9_000))).starts_with("HTTP/1.1 400 ")
    );
    // Those who say nothing are many and hold up nobody.
    let _silent: Vec<_> = (0..20)
        .map(|_| TcpStream::connect(("127.0.0.1", port)))
        .collect();
    lab.await_votes(5);
    lab.end();
}

#[test]
fn a_port_that_is_taken_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address");
    let lab = Lab::new(Protocol::Tower);
    lab.configure(&format!("http = \"{address}\"\n"));
    let output = lab.to_the_end(&["run"], &lab.words());
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(!output.status.success());
    assert!(
        said.contains(&address.to_string()) && said.contains("control.http"),
        "{said}"
    );
}
