//! A wall clock that is stepped under a running program.

use std::io::{BufRead, BufReader, Write, stdin};
use std::process::{Command, Stdio};
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use testkit::wall_clock::WallClock;

const HOUR_MS: i64 = 3_600_000;
/// A busy machine between two looks at the time.
const NEAR_MS: i64 = 60_000;

#[test]
fn a_step_meets_the_wall_clock_of_a_running_program_alone() {
    let clock = WallClock::new().expect("a clock");
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args([
        "--exact",
        "clock::tells_the_time",
        "--ignored",
        "--nocapture",
    ]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    clock.govern(&mut command);
    let mut program = command.spawn().expect("this program once more");
    let mut asks = program.stdin.take().expect("a pipe");
    let mut told = BufReader::new(program.stdout.take().expect("a pipe")).lines();
    let mut look = || {
        writeln!(asks).expect("a question");
        let line = told
            .by_ref()
            .map(|line| line.expect("a line"))
            .find(|line| line.starts_with("time "));
        let line = line.expect("an answer");
        let times: Vec<i64> = line
            .split(' ')
            .skip(1)
            .map(|time| time.parse().expect("a time"))
            .collect();
        (times[0] - wall_ms(), times[1])
    };
    for offset_ms in [0, HOUR_MS, -HOUR_MS, -1500, 0] {
        clock.set(offset_ms).expect("a step");
        let (wall_ms, running_ms) = look();
        assert!(
            (wall_ms - offset_ms).abs() < NEAR_MS,
            "{wall_ms} ms instead of {offset_ms} ms"
        );
        assert!(
            running_ms < NEAR_MS,
            "the monotonic clock is stepped too: {running_ms} ms"
        );
    }
    drop(asks);
    assert!(program.wait().expect("an end").success());
}

#[test]
#[ignore = "the program of the test above"]
fn tells_the_time() {
    let start = Instant::now();
    for _ in stdin().lines() {
        println!("time {} {}", wall_ms(), start.elapsed().as_millis());
    }
}

fn wall_ms() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("a time after 1970");
    i64::try_from(since.as_millis()).expect("a time before the end")
}
