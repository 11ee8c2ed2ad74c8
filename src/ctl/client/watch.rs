//! `ctl status --watch`: on a terminal the picture is drawn over itself every second; elsewhere a
//! line is printed when something changes. Ends on Ctrl-C, or when nobody reads any more.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::Instant;

use nix::poll::PollFlags;

use super::link::Woken;
use super::output::{Closed, Output, stdout_fd};
use super::{Client, ClientError, Outcome};
use crate::ctl::render;
use crate::ctl::status::Status;
use crate::ctl::time::Timestamp;

/// Cursor home (ECMA-48 CUP), and erase to the end of the line (EL) and of the screen (ED).
const HOME: &str = "\x1b[H";
const END_LINE: &str = "\x1b[K\n";
const END_SCREEN: &str = "\x1b[J";

pub(super) fn run(client: &Client<'_>, output: &mut Output) -> Result<Outcome, ClientError> {
    let stdout = io::stdout();
    repeat(client, output, stdout_fd(&stdout))
}

/// `reader` is the descriptor whose hang-up means that nobody reads.
pub(super) fn repeat(
    client: &Client<'_>,
    output: &mut Output,
    reader: BorrowedFd<'_>,
) -> Result<Outcome, ClientError> {
    let mut last = None;
    loop {
        let seen = match client.status() {
            Ok(status) => Ok(status),
            Err(ClientError::Unexpected) => return Err(ClientError::Unexpected),
            Err(ClientError::Interrupted) => return Ok(Outcome::Done),
            // Nothing to watch to begin with. Later on it may come back.
            Err(error) if last.is_none() => return Err(error),
            Err(error) => Err(error.to_string()),
        };
        let shown = draw(&seen, last.as_deref(), output);
        let Ok(line) = shown else {
            return Ok(Outcome::Done);
        };
        last = Some(line);
        let next = Some(Instant::now() + client.watch_every);
        match client.interrupt.wait(reader, PollFlags::empty(), next) {
            Ok(Woken::TimeUp) => {}
            Ok(Woken::Ready | Woken::Interrupted) => return Ok(Outcome::Done),
            Err(error) => return Err(ClientError::Signals(error)),
        }
    }
}

/// Draws or prints; the text by which the next change is noticed.
fn draw(
    seen: &Result<Status, String>,
    last: Option<&str>,
    output: &mut Output,
) -> Result<String, Closed> {
    let now = Timestamp::now();
    let line = match seen {
        Ok(status) if output.json => serde_json::to_string(status).map_err(|_| Closed)?,
        Ok(status) => render::one_line(status),
        Err(error) => error.clone(),
    };
    if output.is_terminal && !output.json {
        let picture = match seen {
            Ok(status) => render::status(status, now, output.style),
            Err(error) => format!("{error}\n"),
        };
        output.text(&over_itself(&picture))?;
    } else if last != Some(line.as_str()) {
        match seen {
            Ok(_) if output.json => output.text(&format!("{line}\n"))?,
            Ok(_) => output.text(&format!("{now} {line}\n"))?,
            Err(error) => output.complain(error),
        }
    }
    Ok(line)
}

/// Erasing line by line instead of the whole screen first keeps the picture from flickering.
fn over_itself(picture: &str) -> String {
    format!("{HOME}{}{END_SCREEN}", picture.replace('\n', END_LINE))
}
