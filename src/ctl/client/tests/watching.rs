//! `status --watch`: what is printed from one answer to the next, and what ends it.

use std::os::fd::AsFd as _;

use super::*;

/// Watches through `replies`, one at a time; then the interrupt comes.
fn watched(replies: Vec<Reply>, json: bool, is_terminal: bool) -> (String, String) {
    let (interrupt, mut tell) = Interrupt::by_hand();
    let mut scripts: Vec<Box<dyn FnOnce(Request, UnixStream) + Send>> = replies
        .into_iter()
        .map(|reply| answering(vec![reply]))
        .collect();
    let last = scripts.pop().unwrap();
    scripts.push(Box::new(move |request, stream| {
        last(request, stream);
        tell.write_all(b"x").unwrap();
    }));
    let (_dir, path) = supervisor(scripts);
    let (out, err) = (Written::default(), Written::default());
    let mut output = Output::to(
        json,
        is_terminal,
        Box::new(out.clone()),
        Box::new(err.clone()),
    );
    let options = Options {
        socket: path,
        json,
        ask: Ask::Status { watch: true },
    };
    let client = Client {
        options: &options,
        interrupt,
        answer_within: LONG,
        watch_every: SHORT,
    };
    // The reader stays: its other end is open.
    let (reader, _other) = UnixStream::pair().unwrap();
    let outcome = watch::repeat(&client, &mut output, reader.as_fd()).unwrap();
    assert_eq!(outcome, Outcome::Done);
    (out.text(), err.text())
}

#[test]
fn watching_without_a_terminal_prints_a_line_a_change() {
    let replies = [Role::Standby, Role::Standby, Role::Promoting]
        .map(status_reply)
        .to_vec();
    let (out, _) = watched(replies, false, false);
    // The interrupt may come before the last answer is drawn.
    let lines: Vec<&str> = out.lines().collect();
    assert!(
        lines[0].ends_with("Z node fra-1 · standby · term 7 · not voting"),
        "{out}"
    );
    assert!(lines.len() <= 2, "{out}");
    assert!(
        lines.get(1).is_none_or(|line| line.contains("promoting")),
        "{out}"
    );
}

#[test]
fn watching_as_json_prints_whole_statuses() {
    let (out, _) = watched(
        vec![status_reply(Role::Standby), status_reply(Role::Active)],
        true,
        true,
    );
    let first: Status = serde_json::from_str(out.lines().next().unwrap()).unwrap();
    assert_eq!(first, status_of(Role::Standby));
}

#[test]
fn watching_on_a_terminal_draws_over_itself() {
    let (out, _) = watched(
        vec![status_reply(Role::Standby), status_reply(Role::Standby)],
        false,
        true,
    );
    let first = out.split("\x1b[J").next().unwrap();
    assert!(
        first.starts_with("\x1b[Hnode fra-1 · standby for "),
        "{first:?}"
    );
    assert!(
        first
            .lines()
            .all(|line| line.ends_with("\x1b[K") || line.is_empty()),
        "{first:?}"
    );
}

#[test]
fn watching_goes_on_over_an_answer_that_fails_and_says_so_once() {
    let lost = || Reply::Error {
        text: "busy".into(),
    };
    let replies = vec![
        status_reply(Role::Standby),
        lost(),
        lost(),
        status_reply(Role::Standby),
    ];
    let (out, err) = watched(replies, false, false);
    assert_eq!(err, "supervisor ctl: busy\n");
    assert!((1..=2).contains(&out.lines().count()), "{out}");
}

#[test]
fn watching_nothing_fails_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let ran = run_with(
        dir.path().join("none"),
        false,
        Ask::Status { watch: true },
        LONG,
    );
    assert_eq!(ran.outcome, Outcome::Refused);
    assert!(ran.err.contains("no such socket"), "{}", ran.err);
}

#[test]
fn watching_ends_when_its_reader_goes_away_between_two_changes() {
    let answers = (0..60)
        .map(|_| answering(vec![status_reply(Role::Standby)]))
        .collect();
    let (_dir, path) = supervisor(answers);
    let (interrupt, _tell) = Interrupt::by_hand();
    let mut output = Output::to(
        false,
        false,
        Box::new(Written::default()),
        Box::new(Written::default()),
    );
    let options = Options {
        socket: path,
        json: false,
        ask: Ask::Status { watch: true },
    };
    let client = Client {
        options: &options,
        interrupt,
        answer_within: LONG,
        watch_every: SHORT,
    };
    let (reader, writer) = nix::unistd::pipe().unwrap();
    drop(reader);
    assert_eq!(
        watch::repeat(&client, &mut output, writer.as_fd()).unwrap(),
        Outcome::Done
    );
}
