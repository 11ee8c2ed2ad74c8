//! What a service manager hears from the supervisor, on a `NOTIFY_SOCKET` of the test's own (sd_notify(3)).
//!
//! That systemd itself understands it is shown by the test of the package.

mod frozen;
mod hanging;
mod hold;
mod managed;

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::time::{ClockId, clock_gettime};
use testkit::stand_in::until;

use managed::{Managed, SOON_MS, has_line, value_of};

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
    managed.must(&["promote", "--first-vote"]);
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
    let supervisor = managed.supervisor();
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
