//! What an operator and a scraper see of a pair: both nodes from either, and the one that is gone as it was seen last.

use crate::SOON_MS;
use crate::pair::Pair;
use nix::sys::signal::Signal;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use testkit::children::signal;
use testkit::node::{free_port, said};
use testkit::stand_in::{Protocol, until};
use testkit::wall_clock::WallClock;

/// `ctl status --watch` of a node, with nobody at a terminal.
struct Watch {
    client: Child,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Watch {
    fn of(pair: &Pair, name: &str) -> Self {
        let mut command = pair.node(name).ctl_command(&["status", "--watch"]);
        let mut client = command.stdout(Stdio::piped()).spawn().expect("ctl");
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (from, to) = (client.stdout.take().expect("a pipe"), Arc::clone(&lines));
        std::thread::spawn(move || {
            for line in BufReader::new(from).lines().map_while(Result::ok) {
                to.lock().expect("the lines").push(line);
            }
        });
        Self { client, lines }
    }

    /// The last line comes to be so.
    #[track_caller]
    fn comes_to(&self, what: &str, is_so: impl Fn(&str) -> bool) {
        let lines = || self.lines.lock().expect("the lines").clone();
        let came = until(SOON_MS, || lines().last().is_some_and(|line| is_so(line)));
        assert!(came, "{what}: {:#?}", lines());
    }

    /// As by Ctrl-C.
    fn ends(mut self) {
        signal(self.client.id().cast_signed(), Signal::SIGINT);
        let ended = self.client.wait().expect("an end");
        assert_eq!(ended.code(), Some(0));
    }
}

/// The supervisor runs for years, and its certificate for two.
#[test]
fn a_certificate_that_comes_to_its_end_is_told_of_while_the_supervisor_runs() {
    let mut pair = Pair::new(Protocol::Tower, false, "");
    for name in ["a", "b"] {
        pair.node_mut(name).clock = Some(WallClock::new().expect("a clock"));
    }
    pair.begin();
    let told = || {
        let log = pair.node("a").log();
        log.contains("EVENT=\"page\"") && log.contains("peer.cert") && log.contains(": renew it")
    };
    assert!(!told(), "{}", pair.node("a").log());
    pair.step_clock("a", 715 * 86_400_000);
    assert!(until(SOON_MS, told), "{}", pair.node("a").log());
    // The link is as old as it was, and votes go on over it.
    pair.await_votes_of("a", 5, SOON_MS);
    pair.end();
}

#[test]
fn who_watches_one_node_is_told_when_the_other_goes_and_comes_back() {
    let mut pair = Pair::voting(Protocol::Tower, false, "");
    let watch = Watch::of(&pair, "a");
    watch.comes_to("both are there", |line| {
        line.contains("node a · active") && !line.contains("peer b")
    });
    pair.node_mut("b").kill();
    watch.comes_to("b is gone", |line| {
        line.contains("voting") && line.contains("peer b is unreachable, last seen ")
    });
    pair.node_mut("b").start();
    watch.comes_to("b is back", |line| !line.contains("peer b"));
    watch.ends();
    for (name, columns) in [("a", "active standby"), ("b", "standby active")] {
        let text = pair.node(name).must(&["status"]);
        let mut lines = text.lines();
        let roles = lines
            .find(|line| line.starts_with("role "))
            .unwrap_or_default();
        let roles: Vec<&str> = roles.split_whitespace().skip(1).collect();
        assert_eq!(roles.join(" "), columns, "{text}");
    }
    pair.end();
}

/// The figures of one node, as a scraper gets them.
fn scraped(port: u16) -> String {
    let mut page = String::new();
    let read = TcpStream::connect(("127.0.0.1", port)).and_then(|mut stream| {
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")?;
        stream.read_to_string(&mut page)
    });
    read.map_or_else(|error| error.to_string(), |_| page)
}

#[track_caller]
fn shows(port: u16, figures: &[&str]) {
    let has = |page: &str, figure: &str| {
        let line = format!("validator_supervisor_{figure}");
        page.lines().any(|found| found == line)
    };
    let mut page = String::new();
    let came = until(SOON_MS, || {
        page = scraped(port);
        figures.iter().all(|figure| has(&page, figure))
    });
    assert!(came, "{figures:?} are not all in\n{page}");
}

#[test]
fn a_scraper_sees_the_peer_go_and_come_back() {
    let port = free_port().expect("a port");
    let mut pair = Pair::new(Protocol::Tower, false, "");
    let config = pair.node("a").config();
    let text = std::fs::read_to_string(&config).expect("a configuration");
    let http = format!("[control]\nhttp = \"127.0.0.1:{port}\"");
    std::fs::write(&config, text.replace("[control]", &http)).expect("a configuration");
    pair.begin();
    let together = [
        "peer_connected{node=\"b\"} 1",
        "peer_in_step{node=\"b\"} 1",
        "peer_healthy{node=\"b\"} 1",
        "authority_healthy{kind=\"peer\"} 1",
        "role{node=\"a\",role=\"active\"} 1",
    ];
    shows(port, &together);
    pair.node_mut("b").kill();
    let alone = [
        "peer_connected{node=\"b\"} 0",
        "peer_in_step{node=\"b\"} 0",
        "authority_healthy{kind=\"peer\"} 0",
        "role{node=\"a\",role=\"active\"} 1",
    ];
    shows(port, &alone);
    pair.await_votes_of("a", 5, SOON_MS);
    pair.node_mut("b").start();
    shows(port, &together);
    pair.end();
}

/// It is there still, and says nothing.
#[test]
fn a_drill_does_not_wait_for_ever_for_the_other_part() {
    let pair = Pair::voting(Protocol::Tower, false, "");
    let supervisor = pair.node("b").supervisor();
    let drill = || {
        pair.await_ready();
        signal(supervisor, Signal::SIGSTOP);
        let output = pair.node("a").ctl(&["drill"]);
        signal(supervisor, Signal::SIGCONT);
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        said(&output)
    };
    // On a busy machine it is gone before the drill begins.
    let mut texts = std::iter::repeat_with(drill).take(3);
    let text = texts.find(|text| text.contains("b has not rehearsed its part in time"));
    let text = text.expect("a drill with a node that is there");
    assert!(text.contains("have the term confirmed"), "{text}");
    pair.await_votes_of("a", 5, SOON_MS);
    pair.end();
}
