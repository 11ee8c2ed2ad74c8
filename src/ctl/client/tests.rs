//! The client against supervisors that answer, refuse, hang, leave, or are not there.

mod watching;

use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::AsFd as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Arc, Mutex};
use std::thread;

use tempfile::TempDir;

use super::*;
use crate::ctl::status::{AuthorityStatus, GateStatus, RecordStatus, Status, ValidatorStatus};
use crate::ctl::wire;
use crate::engine::values::{self, Role};

const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(500);

/// What was written to one of the two outputs.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Written {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A pipe that nobody reads.
struct BrokenPipe;

impl Write for BrokenPipe {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A supervisor that serves the n-th connection with the n-th script, and none after the last.
fn supervisor(scripts: Vec<Box<dyn FnOnce(Request, UnixStream) + Send>>) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ctl.sock");
    let listener = UnixListener::bind(&path).unwrap();
    thread::spawn(move || {
        for script in scripts {
            let (stream, _) = listener.accept().unwrap();
            let mut line = String::new();
            BufReader::new(&stream).read_line(&mut line).unwrap();
            script(wire::parse_request(line.as_bytes()).unwrap(), stream);
        }
    });
    (dir, path)
}

fn answering(replies: Vec<Reply>) -> Box<dyn FnOnce(Request, UnixStream) + Send> {
    Box::new(move |_, mut stream| {
        for reply in replies {
            // A client that has its answer may be gone.
            let _ = stream.write_all(wire::reply_line(&reply).as_bytes());
        }
    })
}

/// Sends `replies` and then nothing, with the connection open until the client leaves.
fn hanging(replies: Vec<Reply>) -> Box<dyn FnOnce(Request, UnixStream) + Send> {
    Box::new(move |request, stream| {
        answering(replies)(request, stream.try_clone().unwrap());
        let _ = io::copy(&mut &stream, &mut io::sink());
    })
}

struct Ran {
    outcome: Outcome,
    out: String,
    err: String,
}

/// As [`run`] does it, with the outputs and the patience of a test.
fn run_with(socket: PathBuf, json: bool, ask: Ask, answer_within: Duration) -> Ran {
    let (interrupt, _tell) = Interrupt::by_hand();
    let (out, err) = (Written::default(), Written::default());
    let mut output = Output::to(json, false, Box::new(out.clone()), Box::new(err.clone()));
    let options = Options { socket, json, ask };
    let client = Client {
        options: &options,
        interrupt,
        answer_within,
        watch_every: SHORT,
    };
    let outcome = client.run(&mut output).unwrap_or_else(|error| {
        output.complain(&error.to_string());
        Outcome::Refused
    });
    Ran {
        outcome,
        out: out.text(),
        err: err.text(),
    }
}

fn demote(wait: Option<Duration>) -> Ask {
    Ask::Command {
        request: Request::Demote { now: false },
        wait,
    }
}

pub(super) fn status_of(role: Role) -> Status {
    Status {
        node: "fra-1".into(),
        identity: None,
        vote_account: None,
        role,
        since: Timestamp::from_unix_ms(0),
        term: Some(7),
        reason: "r".into(),
        authority: AuthorityStatus {
            kind: "local".into(),
            holder: None,
            healthy: Some(true),
            lease_left_ms: None,
        },
        record: RecordStatus::default(),
        gate: GateStatus::default(),
        validator: ValidatorStatus {
            pid: Some(1),
            healthy: Some(true),
            ..ValidatorStatus::default()
        },
        peers: vec![],
        paused_until: None,
        next_leader_slot: None,
    }
}

fn status_reply(role: Role) -> Reply {
    Reply::Status {
        status: Box::new(status_of(role)),
    }
}

#[test]
fn a_command_prints_its_steps_and_ends_with_the_code_of_its_verdict() {
    for (verdict, outcome) in [
        (values::Verdict::Done, Outcome::Done),
        (values::Verdict::Refused, Outcome::Refused),
        (values::Verdict::Unsafe, Outcome::Unsafe),
    ] {
        let replies = vec![Reply::progress("muted"), Reply::end(verdict, "the end")];
        let (_dir, path) = supervisor(vec![answering(replies)]);
        let ran = run_with(path, false, demote(Some(LONG)), LONG);
        assert_eq!(ran.outcome, outcome);
        if outcome == Outcome::Done {
            assert_eq!((&*ran.out, &*ran.err), ("muted\nthe end\n", ""));
        } else {
            assert_eq!(
                (&*ran.out, &*ran.err),
                ("muted\n", "supervisor ctl: the end\n")
            );
        }
    }
}

#[test]
fn exit_codes_are_the_documented_ones() {
    let codes = [
        Outcome::Done,
        Outcome::Refused,
        Outcome::StillRunning,
        Outcome::Unsafe,
    ]
    .map(|o| o as u8);
    assert_eq!(codes, [0, 1, 3, 4]);
}

#[test]
fn json_prints_the_replies_and_the_bare_status() {
    let replies = vec![
        Reply::progress("muted"),
        Reply::end(values::Verdict::Refused, "no"),
    ];
    let (_dir, path) = supervisor(vec![answering(replies)]);
    let ran = run_with(path, true, demote(Some(LONG)), LONG);
    let expected = "{\"reply\":\"progress\",\"text\":\"muted\"}\n{\"reply\":\"final\",\"verdict\":\"refused\",\"text\":\"no\"}\n";
    assert_eq!(ran.out, expected);
    let (_dir, path) = supervisor(vec![answering(vec![status_reply(Role::Active)])]);
    let ran = run_with(path, true, Ask::Status { watch: false }, LONG);
    assert_eq!(
        serde_json::from_str::<Status>(&ran.out).unwrap(),
        status_of(Role::Active)
    );
    assert_eq!((ran.out.lines().count(), ran.outcome), (1, Outcome::Done));
}

#[test]
fn the_requests_are_those_asked_for() {
    for (ask, expected) in [
        (Ask::Status { watch: false }, Request::Status {}),
        (Ask::Explain, Request::Explain {}),
        (Ask::History, Request::History { limit: None }),
        (demote(Some(LONG)), Request::Demote { now: false }),
    ] {
        let (_dir, path) = supervisor(vec![Box::new(move |request, stream| {
            let text = format!("{}", request == expected);
            answering(vec![Reply::Error { text }])(request, stream);
        })]);
        let ran = run_with(path, false, ask, LONG);
        assert_eq!(
            (ran.outcome, &*ran.err),
            (Outcome::Refused, "supervisor ctl: true\n")
        );
    }
}

#[test]
fn without_waiting_it_returns_when_the_command_is_admitted() {
    let (_dir, path) = supervisor(vec![hanging(vec![Reply::progress("admitted")])]);
    let ran = run_with(path, false, demote(None), LONG);
    assert_eq!((ran.outcome, &*ran.out), (Outcome::Done, "admitted\n"));
    let (_dir, path) = supervisor(vec![answering(vec![Reply::end(
        values::Verdict::Refused,
        "no",
    )])]);
    assert_eq!(
        run_with(path, false, demote(None), LONG).outcome,
        Outcome::Refused
    );
}

#[test]
fn a_command_that_outlasts_its_timeout_is_still_running() {
    let (_dir, path) = supervisor(vec![hanging(vec![Reply::progress("admitted")])]);
    let ran = run_with(path, false, demote(Some(SHORT)), LONG);
    assert_eq!(ran.outcome, Outcome::StillRunning);
    assert!(ran.err.contains("still running after 0."), "{}", ran.err);
    let (_dir, path) = supervisor(vec![hanging(vec![])]);
    let ran = run_with(path, false, demote(Some(SHORT)), LONG);
    assert_eq!(ran.outcome, Outcome::StillRunning);
    assert!(ran.err.contains("not answered yet"), "{}", ran.err);
}

#[test]
fn an_admitted_command_may_take_longer_than_an_answer_may() {
    let (_dir, path) = supervisor(vec![Box::new(|request, stream| {
        answering(vec![Reply::progress("admitted")])(request.clone(), stream.try_clone().unwrap());
        // Longer than the first answer was given.
        let (wait, _tell) = Interrupt::by_hand();
        let until = Instant::now() + SHORT * 3;
        wait.wait(stream.as_fd(), nix::poll::PollFlags::empty(), Some(until))
            .unwrap();
        answering(vec![Reply::end(values::Verdict::Done, "done")])(request, stream);
    })]);
    let ran = run_with(path, false, demote(Some(LONG)), SHORT);
    assert_eq!(
        (ran.outcome, &*ran.out),
        (Outcome::Done, "admitted\ndone\n")
    );
}

#[test]
fn a_supervisor_that_hangs_is_reported_with_the_time_waited() {
    for ask in [
        Ask::Status { watch: false },
        demote(Some(LONG)),
        demote(None),
    ] {
        let (_dir, path) = supervisor(vec![hanging(vec![])]);
        let ran = run_with(path, false, ask, SHORT);
        assert_eq!(ran.outcome, Outcome::Refused);
        assert!(
            ran.err.contains("has not answered for 500ms"),
            "{}",
            ran.err
        );
        assert!(ran.err.contains("journalctl"), "{}", ran.err);
    }
}

#[test]
fn a_supervisor_with_a_full_queue_is_not_waited_for_forever() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ctl.sock");
    let listener = UnixListener::bind(&path).unwrap();
    nix::sys::socket::listen(&listener, nix::sys::socket::Backlog::new(0).unwrap()).unwrap();
    let _waiting = UnixStream::connect(&path).unwrap();
    let ran = run_with(path, false, Ask::Explain, SHORT);
    assert!(
        ran.err.contains("has not answered for 500ms"),
        "{}",
        ran.err
    );
}

#[test]
fn a_missing_a_dead_and_an_impossible_socket_each_get_a_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let ran = |path: PathBuf| run_with(path, false, Ask::Status { watch: false }, LONG);
    let missing = ran(dir.path().join("none"));
    assert_eq!(missing.outcome, Outcome::Refused);
    assert!(
        missing.err.contains("no such socket") && missing.err.contains("--socket"),
        "{}",
        missing.err
    );
    let path = dir.path().join("dead");
    drop(UnixListener::bind(&path).unwrap());
    let dead = ran(path);
    assert!(
        dead.err.contains("is gone") && dead.err.contains("systemctl status"),
        "{}",
        dead.err
    );
    let long = ran(dir.path().join("x".repeat(200)));
    assert!(long.err.contains("bytes long"), "{}", long.err);
}

#[test]
fn a_refused_permission_names_the_group_that_has_it() {
    let denied = |group: Option<&str>| ClientError::Denied {
        path: "/s".into(),
        group: group.map(Into::into),
    };
    let text = denied(Some("operators")).to_string();
    assert_eq!(
        text,
        "permission denied on /s: run it with sudo, or as a member of group `operators`"
    );
    assert_eq!(
        denied(None).to_string(),
        "permission denied on /s: run it with sudo"
    );
}

#[test]
fn a_supervisor_that_leaves_is_told_apart_from_one_that_refuses() {
    let (_dir, path) = supervisor(vec![answering(vec![])]);
    let ran = run_with(path, false, Ask::Explain, LONG);
    assert!(
        ran.err.contains("closed the connection without an answer"),
        "{}",
        ran.err
    );
    let (_dir, path) = supervisor(vec![answering(vec![Reply::progress("muted")])]);
    let ran = run_with(path, false, demote(Some(LONG)), LONG);
    assert_eq!((ran.outcome, &*ran.out), (Outcome::Refused, "muted\n"));
    assert!(ran.err.contains("may be half done"), "{}", ran.err);
    let refusal = Reply::Error {
        text: "uid 7 may not\x1b[2J".into(),
    };
    let (_dir, path) = supervisor(vec![answering(vec![refusal])]);
    let ran = run_with(path, false, Ask::Explain, LONG);
    assert_eq!(ran.err, "supervisor ctl: uid 7 may not\u{fffd}[2J\n");
}

#[test]
fn answers_that_are_none_are_reported() {
    let raw = |bytes: Vec<u8>| -> Box<dyn FnOnce(Request, UnixStream) + Send> {
        Box::new(move |_, mut stream| {
            let _ = stream.write_all(&bytes);
        })
    };
    for (bytes, part) in [
        (b"hello\n".to_vec(), "not understood"),
        (b"{\"v\":2}\n".to_vec(), "`v` is 2"),
        (
            b"{\"v\":1,\"reply\":\"final\",\"verdict\":\"done\",\"text\":\"\"}\n".to_vec(),
            "not one to this request",
        ),
        (
            b"{\"v\":1,\"reply\":\"stat".to_vec(),
            "closed the connection",
        ),
        (vec![b'x'; wire::REPLY_BYTES_MAX + 100_000], "longer than"),
    ] {
        let (_dir, path) = supervisor(vec![raw(bytes)]);
        let ran = run_with(path, false, Ask::Status { watch: false }, LONG);
        assert_eq!(ran.outcome, Outcome::Refused);
        assert!(ran.err.contains(part), "{part}: {}", ran.err);
    }
}

#[test]
fn ctrl_c_ends_the_wait_and_says_that_the_command_goes_on() {
    let (interrupt, mut tell) = Interrupt::by_hand();
    let (_dir, path) = supervisor(vec![Box::new(move |request, stream| {
        answering(vec![Reply::progress("muted")])(request, stream.try_clone().unwrap());
        tell.write_all(b"x").unwrap();
        let _ = io::copy(&mut &stream, &mut io::sink());
    })]);
    let err = Written::default();
    let mut output = Output::to(
        false,
        false,
        Box::new(Written::default()),
        Box::new(err.clone()),
    );
    let options = Options {
        socket: path,
        json: false,
        ask: demote(Some(LONG)),
    };
    let client = Client {
        options: &options,
        interrupt,
        answer_within: LONG,
        watch_every: SHORT,
    };
    assert_eq!(client.run(&mut output).unwrap(), Outcome::StillRunning);
    assert!(
        err.text().contains("goes on in the supervisor"),
        "{}",
        err.text()
    );
}

#[test]
fn nobody_reading_the_output_is_no_failure_and_no_panic() {
    let end = Reply::end(values::Verdict::Unsafe, "no");
    for (reply, ask, outcome) in [
        (
            status_reply(Role::Active),
            Ask::Status { watch: false },
            Outcome::Done,
        ),
        (
            status_reply(Role::Active),
            Ask::Status { watch: true },
            Outcome::Done,
        ),
        (end, demote(Some(LONG)), Outcome::Unsafe),
    ] {
        let (_dir, path) = supervisor(vec![answering(vec![reply])]);
        let (interrupt, _tell) = Interrupt::by_hand();
        let mut output = Output::to(false, false, Box::new(BrokenPipe), Box::new(BrokenPipe));
        let options = Options {
            socket: path,
            json: false,
            ask,
        };
        let client = Client {
            options: &options,
            interrupt,
            answer_within: LONG,
            watch_every: SHORT,
        };
        assert_eq!(client.run(&mut output).unwrap(), outcome);
    }
}
