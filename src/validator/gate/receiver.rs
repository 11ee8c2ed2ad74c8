//! Takes the child's questions, and answers at once whatever is no vote; never waits for a commit.

use std::ffi::OsStr;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::committer::{Carries, Vote};
use super::listener::{PathBuffer, Question, Wish};
use super::turns::Offered;
use super::{GateEvent, SIGN_OF_LIFE, Shared, WAITING_MAX, lock};
use crate::engine::values::RecordKind;

/// The threads that load the record of a new identity: solana-core `replay_stage.rs`, agave-votor `event_handler.rs`.
const SWITCHING_THREADS: [(&[u8], RecordKind); 2] = [
    (b"solReplayStage", RecordKind::Tower),
    (b"solVotorEvLoop", RecordKind::VoteHistory),
];

/// Before the next try, after a question that could not be taken.
const PAUSE: Duration = Duration::from_millis(5);

/// Serves until a vote comes that this thread is to commit. `None`: the gate is dropped, or the child has ended.
pub(super) fn listen(shared: &Shared, buffer: &mut PathBuffer) -> Option<Vote> {
    while !shared.ended() {
        shared.reports.meter.receiver_is_alive();
        if !shared.turns.somebody_commits() {
            shared.reports.meter.committer_is_alive();
        }
        shared.refuse_overdue();
        match ready(shared) {
            Ready::Yes => {}
            Ready::NotYet => continue,
            Ready::Never => return None,
        }
        match shared.listener.take() {
            Ok(Some(question)) => {
                let own = serve(shared, question, buffer);
                if own.is_some() {
                    return own;
                }
            }
            Ok(None) => {}
            // One that lasts would be met again at once.
            Err(_) => std::thread::sleep(PAUSE),
        }
    }
    None
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

fn serve(shared: &Shared, question: Question, buffer: &mut PathBuffer) -> Option<Vote> {
    match question.wish() {
        Some(Wish::Rename) => return serve_rename(shared, question, buffer),
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
    None
}

fn serve_rename(shared: &Shared, question: Question, buffer: &mut PathBuffer) -> Option<Vote> {
    let arrived = Instant::now();
    let carries = match question.target_text(buffer) {
        Ok(target) => carries(shared, target),
        Err(error) => {
            refuse_unread(shared, &question, &error.to_string());
            return None;
        }
    };
    let Some(carries) = carries else {
        shared.listener.allow(&question);
        return None;
    };
    shared.reports.meter.arrived();
    let source = match question.source_path(buffer) {
        Ok(source) if shared.listener.still_asks(&question) => source,
        Ok(_) => {
            shared.reports.meter.refused();
            return None;
        }
        Err(error) => {
            shared.reports.meter.refused();
            refuse_unread(shared, &question, &error.to_string());
            return None;
        }
    };
    let vote = Vote {
        question,
        carries,
        source,
        arrived,
    };
    shared.expect_answer(&vote);
    match shared.turns.offer(vote) {
        Offered::Own(vote) => return Some(vote),
        Offered::Waits => {}
        Offered::Refused if shared.may_answer(&question) => {
            shared.listener.refuse(&question);
            shared.reports.meter.refused();
            shared.report(GateEvent::Refused {
                slot: None,
                why: format!("votes come faster than they are served: {WAITING_MAX} wait already"),
            });
        }
        Offered::Refused => {}
    }
    None
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
