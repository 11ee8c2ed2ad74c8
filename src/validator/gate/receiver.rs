//! The thread that takes the child's questions. It answers at once whatever is no vote, and never waits for a commit.

use std::ffi::OsStr;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::committer::{Carries, Vote};
use super::listener::{PathBuffer, Question, Wish};
use super::{GateEvent, SIGN_OF_LIFE, Shared, lock};
use crate::engine::values::RecordKind;

/// The threads that load the record of a new identity: solana-core `replay_stage.rs`, agave-votor `event_handler.rs`.
const SWITCHING_THREADS: [(&[u8], RecordKind); 2] = [
    (b"solReplayStage", RecordKind::Tower),
    (b"solVotorEvLoop", RecordKind::VoteHistory),
];

/// Before the next try, after a question that could not be taken.
const PAUSE: Duration = Duration::from_millis(5);

/// Serves until the gate is dropped or the child has ended.
pub(super) fn run(shared: &Shared, votes: &SyncSender<Vote>) {
    let mut buffer = PathBuffer::new();
    while !shared.ended() {
        shared.reports.meter.receiver_is_alive();
        shared.refuse_overdue();
        match ready(shared) {
            Ready::Yes => {}
            Ready::NotYet => continue,
            Ready::Never => return,
        }
        match shared.listener.take() {
            Ok(Some(question)) => serve(shared, votes, question, &mut buffer),
            Ok(None) => {}
            // One that lasts would be met again at once.
            Err(_) => std::thread::sleep(PAUSE),
        }
    }
}

enum Ready {
    Yes,
    NotYet,
    Never,
}

fn ready(shared: &Shared) -> Ready {
    let mut fds = [PollFd::new(shared.listener.as_fd(), PollFlags::POLLIN)];
    let timeout = PollTimeout::try_from(SIGN_OF_LIFE).unwrap_or(PollTimeout::ZERO);
    let events = poll(&mut fds, timeout).ok().and_then(|_| fds[0].revents());
    match events {
        Some(events) if events.contains(PollFlags::POLLIN) => Ready::Yes,
        // The last process behind the filter has ended.
        Some(events) if events.contains(PollFlags::POLLHUP) => Ready::Never,
        _ => Ready::NotYet,
    }
}

fn serve(shared: &Shared, votes: &SyncSender<Vote>, question: Question, buffer: &mut PathBuffer) {
    match question.wish() {
        Some(Wish::Rename) => serve_rename(shared, votes, question, buffer),
        Some(Wish::MakeDirectory) => {
            let switched = switched(shared, &question, buffer);
            shared.listener.allow(&question);
            if let Some(kind) = switched {
                let gate = shared.id;
                shared.report(GateEvent::Switched { gate, kind });
            }
        }
        None => shared.listener.allow(&question),
    }
}

fn serve_rename(
    shared: &Shared,
    votes: &SyncSender<Vote>,
    question: Question,
    buffer: &mut PathBuffer,
) {
    let arrived = Instant::now();
    let carries = match question.target_text(buffer) {
        Ok(target) => carries(shared, target),
        Err(error) => return refuse_unread(shared, &question, &error.to_string()),
    };
    let Some(carries) = carries else {
        return shared.listener.allow(&question);
    };
    shared.reports.meter.arrived();
    let source = match question.source_path(buffer) {
        Ok(source) if shared.listener.still_asks(&question) => source,
        Ok(_) => return shared.reports.meter.refused(),
        Err(error) => {
            shared.reports.meter.refused();
            return refuse_unread(shared, &question, &error.to_string());
        }
    };
    let vote = Vote {
        question,
        carries,
        source,
        arrived,
    };
    shared.expect_answer(&vote);
    if let Err(error) = votes.try_send(vote) {
        if !shared.may_answer(&question) {
            return;
        }
        shared.listener.refuse(&question);
        shared.reports.meter.refused();
        shared.report(GateEvent::Refused {
            slot: None,
            why: format!("votes come faster than they are served: {error}"),
        });
    }
}

/// A rename whose name cannot be read may be a vote.
fn refuse_unread(shared: &Shared, question: &Question, why: &str) {
    if !shared.listener.still_asks(question) {
        return;
    }
    shared.listener.refuse(question);
    let why =
        format!("the file names of a rename cannot be read from the validator's memory: {why}");
    shared.report(GateEvent::Refused { slot: None, why });
}

/// By its last component, in whatever directory: a record must not get past the gate through another name for its place.
fn carries(shared: &Shared, target: &Path) -> Option<Carries> {
    let name = target.file_name()?;
    if name == OsStr::new(&shared.tower_name) {
        Some(Carries::Record(RecordKind::Tower))
    } else if name == OsStr::new(&shared.history_name) {
        Some(Carries::Record(RecordKind::VoteHistory))
    } else if name == OsStr::new(&shared.nobodys_name) {
        Some(Carries::Nothing)
    } else {
        None
    }
}

/// Whether this mkdir is made by the thread that votes, of the tower directory.
fn switched(shared: &Shared, question: &Question, buffer: &mut PathBuffer) -> Option<RecordKind> {
    let name = std::fs::read(format!("/proc/{}/comm", question.thread)).ok()?;
    let (_, kind) = SWITCHING_THREADS
        .into_iter()
        .find(|(thread, _)| *thread == name.trim_ascii_end())?;
    let dirs = lock(&shared.record_dirs).clone();
    let made = question.target_path(buffer).ok()?;
    let made_real = std::fs::canonicalize(&made).ok();
    let same = dirs.iter().any(|dir| {
        *dir == made || made_real.is_some() && std::fs::canonicalize(dir).ok() == made_real
    });
    (same && shared.listener.still_asks(question)).then_some(kind)
}
