//! Commits votes: reads the record, verifies it, orders it after the last one, has it kept, answers.

use std::fs::OpenOptions;
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::listener::Question;
use super::{GateEvent, Keeper, Kept, REST, Shared};
use crate::engine::values::{RecordKind, RecordMark, Term};
use crate::engine::vote_gate::Refusal;
use crate::validator::record::{self, VoteRecord, len_max};

/// Between two tries of an unsettled commit.
const RETRY_MIN: Duration = Duration::from_millis(5);
const RETRY_MAX: Duration = Duration::from_millis(200);

/// What the validator stores before it sends the vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Carries {
    Record(RecordKind),
    /// An empty vote history of nobody: there is nothing to commit.
    Nothing,
}

/// A vote that waits.
#[derive(Debug)]
pub(super) struct Vote {
    pub(super) question: Question,
    pub(super) carries: Carries,
    /// The file with the new record.
    pub(super) source: PathBuf,
    pub(super) arrived: Instant,
}

/// A vote that may not go out.
struct Refused {
    slot: Option<u64>,
    why: String,
    /// This term was found to be lost.
    term_lost: Option<Term>,
}

/// What it takes to commit; of the thread whose turn it is.
pub(super) struct Committer {
    keeper: Box<dyn Keeper>,
    /// Keeps its room from vote to vote.
    bytes: Vec<u8>,
}

impl Committer {
    pub(super) fn new(keeper: Box<dyn Keeper>) -> Self {
        Self {
            keeper,
            bytes: Vec::new(),
        }
    }

    /// Commits this vote and what comes meanwhile, until none waits and what may come after them is done.
    pub(super) fn serve(&mut self, shared: &Shared, vote: Vote) {
        let mut next = Some(vote);
        while let Some(vote) = next {
            shared.reports.meter.committer_is_alive();
            serve(shared, &vote, self.keeper.as_mut(), &mut self.bytes);
            next = shared.turns.next(REST).or_else(|| {
                shared.reports.meter.committer_is_alive();
                self.keeper.rest();
                shared.turns.next_or_end()
            });
        }
    }
}

fn serve(shared: &Shared, vote: &Vote, keeper: &mut dyn Keeper, bytes: &mut Vec<u8>) {
    if !shared.is_unanswered(vote) {
        // It was refused while what came before it hung.
        return shared.report_facts();
    }
    let outcome = commit(shared, vote, keeper, bytes);
    if !shared.may_answer(&vote.question) {
        // It was refused meanwhile, because its commit hung.
        return shared.report_facts();
    }
    match outcome {
        Ok(()) => {
            shared.note_committed();
            shared.listener.allow(&vote.question);
            match vote.carries {
                Carries::Record(_) => shared.reports.meter.committed(vote.arrived.elapsed()),
                Carries::Nothing => shared.reports.meter.passed(),
            }
        }
        Err(refused) => {
            shared.listener.refuse(&vote.question);
            shared.reports.meter.refused();
            if let Some(term) = refused.term_lost {
                shared.report(GateEvent::TermLost {
                    term,
                    why: refused.why.clone(),
                });
            }
            shared.report(GateEvent::Refused {
                slot: refused.slot,
                why: refused.why,
            });
        }
    }
    shared.report_facts();
}

fn commit(
    shared: &Shared,
    vote: &Vote,
    keeper: &mut dyn Keeper,
    bytes: &mut Vec<u8>,
) -> Result<(), Refused> {
    let refuse = |why: String| Refused {
        slot: None,
        why,
        term_lost: None,
    };
    if shared.state().holding {
        settle(shared, vote, None, || opened(shared))?;
    }
    let Carries::Record(kind) = vote.carries else {
        settle(shared, vote, None, || Kept::Committed)?;
        let open = shared.state().gate.term().is_some();
        return open
            .then_some(())
            .ok_or_else(|| refuse(Refusal::Closed.to_string()));
    };
    read(&vote.source, len_max(kind), bytes)
        .map_err(|error| refuse(format!("{}: {error}", vote.source.display())))?;
    let record = record::parse(kind, bytes, &shared.identity)
        .map_err(|error| refuse(format!("{}: {error}", vote.source.display())))?;
    let mark = admit(shared, &record)?;
    settle(shared, vote, Some(mark), || keeper.keep(mark, bytes))?;
    let mut state = shared.state();
    state.gate.committed(mark);
    // A commit that hung may return when the gate is open again from a newer record.
    if state.gate.last() == Some(mark) {
        state.last = Some(record);
        state.committed = Some(mark);
    }
    // This process, or the machine, may have stood still.
    if let Some(lease) = keeper.lease() {
        state.gate.lease(lease.until);
        state.gate.may_leave(lease.now).map_err(|refusal| Refused {
            slot: Some(mark.slot),
            why: refusal.to_string(),
            term_lost: None,
        })?;
    }
    Ok(())
}

/// For a gate that holds what comes.
fn opened(shared: &Shared) -> Kept {
    if shared.state().holding {
        Kept::Unsettled("the gate is not open yet".into())
    } else {
        Kept::Committed
    }
}

fn admit(shared: &Shared, record: &VoteRecord) -> Result<RecordMark, Refused> {
    let slot = Some(record.last_slot);
    let refuse = |why: String| Refused {
        slot,
        why,
        term_lost: None,
    };
    let mut state = shared.state();
    let mark = state
        .gate
        .admit(record.kind, record.last_slot)
        .map_err(|refusal| refuse(refusal.to_string()))?;
    if let Some(last) = &state.last {
        record::may_follow(record, last).map_err(|error| refuse(error.to_string()))?;
    }
    Ok(mark)
}

/// Tries, while the daemon's loop lives, until the outcome is certain, the caller is gone, the gate is closed on it, or
/// `hold_max` is over.
fn settle(
    shared: &Shared,
    vote: &Vote,
    mark: Option<RecordMark>,
    mut attempt: impl FnMut() -> Kept,
) -> Result<(), Refused> {
    let slot = mark.map(|mark| mark.slot);
    let refuse = |why: String| Refused {
        slot,
        why,
        term_lost: None,
    };
    let (mut pause, mut at) = (RETRY_MIN, vote.arrived);
    loop {
        let outcome = if shared.reports.meter.loop_hangs(at) {
            Kept::Unsettled("the supervisor's own loop hangs".into())
        } else {
            attempt()
        };
        let why = match outcome {
            Kept::Committed => return Ok(()),
            Kept::TermLost(why) => {
                return Err(Refused {
                    term_lost: mark.map(|mark| mark.term),
                    ..refuse(why)
                });
            }
            Kept::Unsettled(why) => why,
        };
        shared.reports.meter.committer_is_alive();
        if let (RETRY_MIN, Some(slot)) = (pause, slot) {
            shared.report(GateEvent::Waiting {
                slot,
                why: why.clone(),
            });
        }
        let hold_max = shared.hold_max();
        let left = hold_max.saturating_sub(vote.arrived.elapsed());
        if left.is_zero() {
            return Err(refuse(format!(
                "not committed within gate.hold_max ({} ms): {why}",
                hold_max.as_millis()
            )));
        }
        if !wait(shared, pause.min(left)) {
            return Err(refuse(format!(
                "the gate was closed on a vote that waited: {why}"
            )));
        }
        if !shared.listener.still_asks(&vote.question) {
            return Err(refuse("the validator ended while its vote waited".into()));
        }
        at = Instant::now();
        pause = (pause * 2).min(RETRY_MAX);
    }
}

/// Waits, and says whether what waits may go on waiting.
fn wait(shared: &Shared, pause: Duration) -> bool {
    let state = shared.state();
    if state.refusing {
        return false;
    }
    match shared.changed.wait_timeout(state, pause) {
        Ok((state, _)) => !state.refusing,
        Err(_) => false,
    }
}

/// Reads at most `max` bytes and one more, which tells that there are too many. A pipe would never end.
fn read(path: &Path, max: usize, bytes: &mut Vec<u8>) -> io::Result<()> {
    bytes.clear();
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    file.take(max as u64 + 1).read_to_end(bytes)?;
    Ok(())
}
