//! A supervisor of which one half hangs: no vote leaves, and the watchdog is not fed.
//!
//! Threads are held through ptrace and disks are frozen, both of which take root.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::sys::ptrace::Options;
use testkit::children::lives;
use testkit::stand_in::until;

use crate::frozen::Disk;
use crate::hold::Held;
use crate::managed::{Managed, Plan, SOON_MS, has_line};

/// The unit has ten seconds; the sign comes four times in that.
const WATCHDOG: Duration = Duration::from_secs(2);
const HOLD_MAX: Duration = Duration::from_secs(2);
const CONFIG: &str = "[gate]\nhold_max = \"2s\"\n";

fn voting(plan: Plan<'_>) -> Managed {
    let managed = Managed::planned(Plan {
        watchdog: Some(WATCHDOG),
        config: CONFIG,
        ..plan
    });
    managed.vote();
    managed
}

fn fed(text: &str) -> bool {
    has_line(text, "WATCHDOG=1")
}

fn now_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_micros() as u64)
}

#[test]
fn while_the_loop_alone_hangs_the_watchdog_is_not_fed_and_votes_wait_and_are_refused() {
    let managed = voting(Plan::default());
    let validator = managed.validator().expect("a validator");
    let held = Held::stopped(managed.pid());
    managed.heard();

    let ended = until(SOON_MS, || !lives(validator.as_raw()));
    let ended_us = now_us();
    assert!(ended, "no vote was refused\n{}", managed.log());
    managed.chain.settle();
    let last_us = managed.chain.votes().last().map(|vote| vote.sent_us);
    let waited = last_us.map(|last_us| Duration::from_micros(ended_us.saturating_sub(last_us)));
    assert!(waited >= Some(HOLD_MAX), "refused after {waited:?}");
    managed.expect_silence(20);
    managed.expect_no_watchdog(WATCHDOG);

    drop(held);
    managed.until("WATCHDOG=1", fed);
    managed.await_log("gate.hold_max (2000 ms): the supervisor's own loop hangs");
    managed.await_log("Unable to save tower to storage");
    managed.await_votes(5);
    assert_ne!(managed.validator(), Some(validator));
    managed.end();
}

#[test]
fn while_the_gate_alone_hangs_the_watchdog_is_not_fed_and_no_vote_leaves() {
    let disk = Disk::new();
    let managed = voting(Plan {
        state_dir: Some(disk.path()),
        ..Plan::default()
    });
    // With its validator gone the gate would be gone too; one that has much memory to give back takes long to go.
    let validator = managed.validator().expect("a validator");
    let ending = Held::seized(validator, Options::PTRACE_O_TRACEEXIT);
    let frozen = disk.freeze();
    let begun = Instant::now();
    managed.expect_silence(20);
    assert_eq!(
        managed
            .status()
            .map(|status| status["gate"]["waiting"].clone()),
        Some(1.into())
    );
    managed.await_log("its commit did not return within gate.hold_max (2000 ms)");
    assert!(begun.elapsed() >= HOLD_MAX, "{:?}", begun.elapsed());
    ending.await_stop();

    let mut last = Instant::now();
    while last.elapsed() < 2 * WATCHDOG {
        if managed.heard().iter().any(|text| fed(text)) {
            last = Instant::now();
        }
        assert!(
            begun.elapsed() < Duration::from_millis(SOON_MS),
            "still fed\n{}",
            managed.log()
        );
    }
    let stopped = last.duration_since(begun);
    assert!(stopped < HOLD_MAX + Duration::from_secs(4), "{stopped:?}");
    assert!(managed.status().is_some(), "the loop turns");
    managed.expect_silence(20);

    drop(frozen);
    managed.until("WATCHDOG=1", fed);
    drop(ending);
    managed.await_votes(5);
    managed.end();
}

#[test]
fn a_disk_that_hangs_costs_the_validator_and_not_the_supervisor_which_votes_again_when_it_answers()
{
    let disk = Disk::new();
    let managed = voting(Plan {
        state_dir: Some(disk.path()),
        ..Plan::default()
    });
    let frozen = disk.freeze();
    managed.await_log("its commit did not return within gate.hold_max (2000 ms)");
    managed.await_log("the validator ended: exit code 1");
    managed.expect_silence(100);
    managed.heard();
    managed.until("WATCHDOG=1", fed);
    assert!(managed.status().is_some(), "the loop turns");
    drop(frozen);
    managed.await_votes(5);
    managed.end();
}

#[test]
fn a_service_manager_that_does_not_listen_holds_up_no_vote() {
    let managed = voting(Plan::default());
    managed.deafen();
    let before = managed.chain.votes().len();
    // Twice as long as a loop that does not turn lets votes out.
    managed.chain.let_slots_pass(120);
    managed.chain.settle();
    let votes = managed.chain.votes().len() - before;
    assert!(votes > 100, "{votes} votes in 120 slots\n{}", managed.log());
    managed.heard();
    managed.until("WATCHDOG=1", fed);
    managed.end();
}
