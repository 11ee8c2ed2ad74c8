//! What a service manager hears from the supervisor, on a `NOTIFY_SOCKET` of the test's own (sd_notify(3)).
//!
//! That systemd itself understands it is shown by the test of the package.

use std::fs::File;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;
use testkit::chain::{Chain, ChainSpec};
use testkit::keys;
use testkit::stand_in::{self, Protocol, StandIn, until};

/// Long enough for a busy machine; what comes earlier ends the wait.
const SOON: Duration = Duration::from_secs(30);
const SOON_MS: u64 = 30_000;

/// A supervisor whose service manager is the test. Dropping it kills the supervisor, and the kernel the rest.
struct Managed {
    chain: Chain,
    supervisor: Child,
    socket: UnixDatagram,
    node: StandIn,
    _dir: tempfile::TempDir,
}

impl Managed {
    fn start(faults: &[(&str, &str)], watchdog: Option<Duration>) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let at = |name: &str| dir.path().join(name);
        let staked = keys::from_seed("the staked identity");
        let account = keys::address_from_seed("the vote account");
        let chain =
            Chain::start(ChainSpec::new(50).vote_account(&account, &keys::address(&staked)))
                .expect("a chain");
        let mut node = StandIn::new(
            dir.path(),
            "a",
            chain.addr(),
            Protocol::Tower,
            &account,
            &staked,
        )
        .expect("a stand-in");
        node.more = ["--rpc-port".to_owned(), free_port().to_string()].to_vec();
        node.faults(faults).expect("the faults");
        configure(dir.path(), "");
        let socket = UnixDatagram::bind(at("notify.sock")).expect("a notify socket");
        socket.set_read_timeout(Some(SOON)).expect("a timeout");
        let log = File::create(at("supervisor.log")).expect("a log");
        let mut command = Command::new(env!("CARGO_BIN_EXE_supervisor"));
        command
            .args(["run", "--config"])
            .arg(at("config.toml"))
            .arg("--");
        command
            .arg(stand_in::binary().expect("the stand-in"))
            .args(node.args());
        command.env("NOTIFY_SOCKET", at("notify.sock"));
        if let Some(watchdog) = watchdog {
            command.env("WATCHDOG_USEC", watchdog.as_micros().to_string());
        }
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log"))
            .stderr(log);
        let supervisor = command.spawn().expect("the supervisor");
        Self {
            chain,
            supervisor,
            socket,
            node,
            _dir: dir,
        }
    }

    /// Writes the configuration anew, with `more` at its end.
    fn configure(&self, more: &str) {
        configure(&self.node.dir, more);
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.supervisor.id() as i32), signal)
            .expect("a signal to the supervisor");
    }

    /// The next datagram, its lines joined by newlines; `None` when none comes within the time.
    fn hear(&self, within: Duration) -> Option<String> {
        let mut bytes = [0; 4096];
        self.socket
            .set_read_timeout(Some(within.max(Duration::from_millis(1))))
            .expect("a timeout");
        let len = self.socket.recv(&mut bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes[..len]).into_owned())
    }

    /// Listens until a datagram fits. Answers all that came, that one last.
    #[track_caller]
    fn until(&self, what: &str, fits: impl Fn(&str) -> bool) -> Vec<String> {
        let deadline = Instant::now() + SOON;
        let mut heard = Vec::new();
        while let Some(text) = self.hear(deadline.saturating_duration_since(Instant::now())) {
            heard.push(text);
            if heard.last().is_some_and(|text| fits(text)) {
                return heard;
            }
        }
        panic!("no {what} among {heard:?}\n{}", self.log());
    }

    #[track_caller]
    fn until_ready(&self) -> Vec<String> {
        self.until("READY=1", |text| has_line(text, "READY=1"))
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.node.path("supervisor.log")).unwrap_or_default()
    }

    fn ctl(&self, words: &[&str]) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_supervisor"));
        command
            .arg("ctl")
            .arg("--socket")
            .arg(self.node.path("ctl.sock"))
            .args(words);
        let output = command.output().expect("supervisor ctl");
        assert!(
            output.status.success(),
            "ctl {words:?}: {output:?}\n{}",
            self.log()
        );
    }

    fn admin_answers(&self) -> bool {
        let socket = self.node.path("ledger/admin.rpc");
        let answer = stand_in::admin(&socket, "startProgress", &serde_json::json!([]));
        answer.is_ok_and(|answer| answer["result"] == "Running")
    }

    /// Ends the supervisor in order, and has the judge speak.
    #[track_caller]
    fn end(mut self) {
        self.signal(Signal::SIGTERM);
        let ended = until(SOON_MS, || {
            self.supervisor.try_wait().ok().flatten().is_some()
        });
        assert!(ended, "the supervisor does not end\n{}", self.log());
        self.chain.expect_clean();
    }
}

impl Drop for Managed {
    fn drop(&mut self) {
        // One that has ended needs no killing.
        let _ = self.supervisor.kill();
        let _ = self.supervisor.wait();
    }
}

fn configure(dir: &Path, more: &str) {
    let at = |name: &str| dir.join(name);
    let config = format!(
        "node = \"a\"\nstate_dir = {:?}\n[identity]\nstaked = {:?}\nunstaked = {:?}\n[control]\nsocket = {:?}\n{more}",
        at("state"),
        at("staked.json"),
        at("unstaked.json"),
        at("ctl.sock")
    );
    std::fs::write(at("config.toml"), config).expect("the configuration");
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("its address").port()
}

fn has_line(text: &str, line: &str) -> bool {
    text.lines().any(|other| other == line)
}

fn value_of<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    text.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
}

#[test]
fn ready_is_told_once_the_admin_rpc_answers_and_not_before() {
    let managed = Managed::start(&[("start_ms", "1500")], None);
    let started = Instant::now();
    managed.until_ready();
    assert!(
        started.elapsed() >= Duration::from_millis(1_000),
        "after {:?}",
        started.elapsed()
    );
    assert!(managed.admin_answers());
    managed.end();
}

#[test]
fn the_status_line_tells_role_term_and_slot() {
    let managed = Managed::start(&[], None);
    let heard = managed.until("standby", |text| {
        value_of(text, "STATUS").is_some_and(|line| line.starts_with("standby ·"))
    });
    assert!(
        heard
            .iter()
            .any(|text| value_of(text, "STATUS").is_some_and(|line| line.starts_with("starting"))),
        "{heard:?}"
    );
    managed.ctl(&["promote", "--first-vote"]);
    let heard = managed.until("active", |text| {
        value_of(text, "STATUS").is_some_and(|line| line.starts_with("active ·"))
    });
    let last = heard
        .last()
        .and_then(|text| value_of(text, "STATUS"))
        .unwrap_or_default();
    assert!(
        last.contains("· term 1 · slot ") && last.ends_with(" waiting"),
        "{last}"
    );
    managed.end();
}

#[test]
fn the_watchdog_is_fed_twice_per_interval_at_least_and_by_the_loop_only() {
    let interval = Duration::from_secs(4);
    let managed = Managed::start(&[], Some(interval));
    managed.until_ready();
    let fed = |text: &str| has_line(text, "WATCHDOG=1");
    managed.until("WATCHDOG=1", fed);
    for _ in 0..3 {
        let before = Instant::now();
        managed.until("WATCHDOG=1", fed);
        assert!(before.elapsed() < interval / 2, "{:?}", before.elapsed());
    }
    managed.signal(Signal::SIGSTOP);
    while managed.hear(Duration::from_millis(200)).is_some() {}
    assert_eq!(managed.hear(interval), None);
    managed.signal(Signal::SIGCONT);
    managed.end();
}

#[test]
fn without_a_watchdog_nothing_is_fed() {
    let managed = Managed::start(&[], None);
    managed.until_ready();
    let until = Instant::now() + Duration::from_secs(2);
    while let Some(text) = managed.hear(until.saturating_duration_since(Instant::now())) {
        assert!(!text.contains("WATCHDOG"), "{text}");
    }
    managed.end();
}

#[test]
fn a_stop_is_announced_and_asks_for_time_while_the_validator_shuts_down() {
    let managed = Managed::start(&[("exit_ms", "2500"), ("term_ms", "2500")], None);
    managed.until_ready();
    managed.signal(Signal::SIGTERM);
    managed.until("STOPPING=1", |text| has_line(text, "STOPPING=1"));
    for _ in 0..2 {
        let heard = managed.until("EXTEND_TIMEOUT_USEC", |text| {
            value_of(text, "EXTEND_TIMEOUT_USEC").is_some()
        });
        let usec = heard
            .last()
            .and_then(|text| value_of(text, "EXTEND_TIMEOUT_USEC"))
            .and_then(|usec| usec.parse().ok());
        assert!(usec.is_some_and(|usec: u64| usec >= 5_000_000), "{heard:?}");
    }
    managed.end();
}

fn monotonic_usec() -> i128 {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("a clock");
    Duration::from(now).as_micros() as i128
}

#[test]
fn a_reload_is_announced_with_the_time_of_its_begin_and_ends_with_ready() {
    let managed = Managed::start(&[], None);
    managed.until_ready();
    let before = monotonic_usec();
    managed.signal(Signal::SIGHUP);
    let heard = managed.until("RELOADING=1", |text| has_line(text, "RELOADING=1"));
    let begun = heard
        .last()
        .and_then(|text| value_of(text, "MONOTONIC_USEC"))
        .and_then(|usec| usec.parse().ok());
    assert!(
        begun.is_some_and(|begun: i128| (before..=monotonic_usec()).contains(&begun)),
        "{before} {heard:?}"
    );
    managed.until_ready();
    managed.end();
}

#[test]
fn a_reload_during_the_start_does_not_claim_to_be_ready() {
    let managed = Managed::start(&[("start_ms", "3000")], None);
    managed.until("starting", |text| value_of(text, "STATUS").is_some());
    managed.configure("[restart]\nmax = 7\n");
    managed.signal(Signal::SIGHUP);
    let read_again = until(SOON_MS, || managed.log().contains("restart.max is 7"));
    assert!(read_again, "{}", managed.log());
    let early = !managed.admin_answers();
    let quiet_until = Instant::now() + Duration::from_millis(500);
    while let Some(text) = managed.hear(quiet_until.saturating_duration_since(Instant::now())) {
        assert!(!has_line(&text, "READY=1"), "{text}");
    }
    assert!(early, "the validator was up before the reload");
    managed.until_ready();
    managed.end();
}

#[test]
fn the_validator_cannot_speak_for_the_supervisor() {
    let managed = Managed::start(&[], Some(Duration::from_secs(10)));
    managed.until_ready();
    let supervisor = managed.supervisor.id();
    let children = format!("/proc/{supervisor}/task/{supervisor}/children");
    let pid = std::fs::read_to_string(children).expect("the supervisor's children");
    let environment = std::fs::read(format!("/proc/{}/environ", pid.trim()))
        .expect("the validator's environment");
    let environment = String::from_utf8_lossy(&environment);
    assert!(!environment.is_empty());
    for name in ["NOTIFY_SOCKET=", "WATCHDOG_USEC=", "WATCHDOG_PID="] {
        assert!(!environment.contains(name), "{name} in {environment}");
    }
    managed.end();
}
