//! The operator's side of the control socket: sends one request, prints what comes back, and says
//! how it ended.
//!
//! A command that the supervisor has taken goes on there whatever happens here: this program only
//! watches it.

mod error;
mod link;
mod output;
mod rolling;
mod watch;
mod zone;

use std::path::PathBuf;
use std::time::{Duration, Instant};

pub use self::error::ClientError;
use self::link::{Interrupt, Link};
use self::output::{Closed, Output};
use super::render;
use super::status::Status;
use super::time::Timestamp;
use super::wire::{Reply, Request, Verdict};

/// A supervisor that is well answers within milliseconds; one that says nothing for this long hangs.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(10);
const WATCH_EVERY: Duration = Duration::from_secs(1);

/// One run of `supervisor ctl`.
#[derive(Clone, Debug)]
pub struct Options {
    /// The supervisor's control socket.
    pub socket: PathBuf,
    /// JSON lines instead of text.
    pub json: bool,
    pub ask: Ask,
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    Status {
        /// Again and again, until interrupted.
        watch: bool,
    },
    Explain,
    History,
    /// A request that changes something.
    Command {
        request: Request,
        /// How long to wait for its end; `None` returns when it is admitted.
        wait: Option<Duration>,
    },
    /// Restart the validators of both nodes, one after the other, within this time.
    Rolling {
        wait: Duration,
        /// Next to leader slots too.
        now: bool,
    },
}

/// How it ended. The values are the exit codes; 2, usage, is found before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Done = 0,
    /// Refused, failed, or nobody there.
    Refused = 1,
    /// Not finished when the wait was over.
    StillRunning = 3,
    /// Refused because it needs an explicit flag.
    Unsafe = 4,
}

/// Asks, prints to stdout and stderr, and reports how it ended. Blocks the calling thread.
#[must_use]
pub fn run(options: &Options) -> Outcome {
    let mut output = Output::of_process(options.json);
    let outcome = Interrupt::on_signals()
        .map_err(ClientError::Signals)
        .and_then(|interrupt| {
            Client {
                options,
                interrupt,
                answer_within: ANSWER_WITHIN,
                watch_every: WATCH_EVERY,
            }
            .run(&mut output)
        });
    outcome.unwrap_or_else(|error| {
        output.complain(&error.to_string());
        Outcome::Refused
    })
}

/// One run and what it depends on besides its options.
struct Client<'a> {
    options: &'a Options,
    interrupt: Interrupt,
    answer_within: Duration,
    watch_every: Duration,
}

impl Client<'_> {
    fn run(&self, output: &mut Output) -> Result<Outcome, ClientError> {
        match &self.options.ask {
            Ask::Status { watch: true } => watch::run(self, output),
            Ask::Status { watch: false } => self.read(&Request::Status {}, output),
            Ask::Explain => self.read(&Request::Explain {}, output),
            Ask::History => self.read(&Request::History { limit: None }, output),
            Ask::Command { request, wait } => self.command(request, *wait, output),
            Ask::Rolling { wait, now } => rolling::run(self, *wait, *now, output),
        }
    }

    /// A request that is answered at once with what it asks for.
    fn read(&self, request: &Request, output: &mut Output) -> Result<Outcome, ClientError> {
        let reply = self.ask(request)?;
        // A reader that has seen enough, such as `head`, is no failure.
        let _: Result<(), Closed> = show(&reply, output);
        Ok(Outcome::Done)
    }

    fn ask(&self, request: &Request) -> Result<Reply, ClientError> {
        let deadline = Instant::now() + self.answer_within;
        let mut link = Link::open(&self.options.socket, &self.interrupt, self.answer_within)?;
        link.send(request)?;
        match link.reply_until(Some(deadline), self.answer_within)? {
            Reply::Error { text } => Err(ClientError::Answered(text)),
            Reply::Progress { .. } | Reply::Final { .. } => Err(ClientError::Unexpected),
            reply => Ok(reply),
        }
    }

    fn status(&self) -> Result<Status, ClientError> {
        match self.ask(&Request::Status {})? {
            Reply::Status { status } => Ok(*status),
            _ => Err(ClientError::Unexpected),
        }
    }

    fn command(
        &self,
        request: &Request,
        wait: Option<Duration>,
        output: &mut Output,
    ) -> Result<Outcome, ClientError> {
        let started = Instant::now();
        let mut link = Link::open(&self.options.socket, &self.interrupt, self.answer_within)?;
        link.send(request)?;
        let mut admitted = false;
        loop {
            let within = match wait {
                Some(wait) if admitted => wait,
                Some(wait) => wait.min(self.answer_within),
                None => self.answer_within,
            };
            let reply = match link.reply_until(started.checked_add(within), within) {
                Err(ClientError::Hangs { .. }) if admitted || Some(within) == wait => {
                    output.complain(&still_running(admitted, started.elapsed()));
                    return Ok(Outcome::StillRunning);
                }
                Err(ClientError::Interrupted) => {
                    output.complain(&still_running(admitted, started.elapsed()));
                    return Ok(Outcome::StillRunning);
                }
                Err(ClientError::Closed { .. }) if admitted => {
                    return Err(ClientError::ClosedUnderWay);
                }
                other => other?,
            };
            admitted = true;
            if let Some(outcome) = ended(&reply, output)? {
                return Ok(outcome);
            }
            if wait.is_none() {
                return Ok(Outcome::Done);
            }
        }
    }
}

fn still_running(admitted: bool, waited: Duration) -> String {
    let state = if admitted {
        "still running"
    } else {
        "sent, and not answered yet"
    };
    let waited = waited.as_secs_f32();
    format!("{state} after {waited:.1}s; it goes on in the supervisor, see `supervisor ctl status`")
}

/// Prints one reply to a command; its outcome if it is the last.
fn ended(reply: &Reply, output: &mut Output) -> Result<Option<Outcome>, ClientError> {
    let outcome = match reply {
        Reply::Progress { .. } => None,
        Reply::Final { verdict, .. } => Some(match verdict {
            Verdict::Done => Outcome::Done,
            Verdict::Refused => Outcome::Refused,
            Verdict::Unsafe => Outcome::Unsafe,
        }),
        Reply::Error { text } => return Err(ClientError::Answered(text.clone())),
        _ => return Err(ClientError::Unexpected),
    };
    // With nobody reading, the exit code still tells.
    let _: Result<(), Closed> = show(reply, output);
    Ok(outcome)
}

fn show(reply: &Reply, output: &mut Output) -> Result<(), Closed> {
    if output.json {
        return match reply {
            Reply::Status { status } => output.json_line(status),
            Reply::Explain { explain } => output.json_line(explain),
            Reply::History { entries } => {
                entries.iter().try_for_each(|entry| output.json_line(entry))
            }
            other => output.json_line(other),
        };
    }
    let (now, style) = (Timestamp::now(), output.style);
    match reply {
        Reply::Progress { text } => output.text_line(text),
        Reply::Final {
            verdict: Verdict::Done,
            text,
        } => output.text_line(text),
        Reply::Final { text, .. } | Reply::Error { text } => {
            output.complain(text);
            Ok(())
        }
        Reply::Status { status } => output.text(&render::status(status, now, style)),
        Reply::Explain { explain } => {
            output.text(&render::explain(explain, now, &zone::offset_s, style))
        }
        Reply::History { entries } => {
            output.text(&render::history(entries, &zone::offset_s, style))
        }
    }
}

#[cfg(test)]
mod tests;
