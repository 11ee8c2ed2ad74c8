//! Where the client prints. A reader that goes away is reported, never a panic.

use std::io::{self, IsTerminal, Write};
use std::os::fd::{AsFd, BorrowedFd};

use serde::Serialize;

use crate::ctl::render::Style;

/// Nobody reads any more.
#[derive(Debug)]
pub(super) struct Closed;

pub(super) struct Output {
    pub(super) json: bool,
    pub(super) style: Style,
    /// Whether the picture can be drawn again over itself.
    pub(super) is_terminal: bool,
    out: Box<dyn Write>,
    err: Box<dyn Write>,
}

impl Output {
    pub(super) fn of_process(json: bool) -> Self {
        let is_terminal = io::stdout().is_terminal();
        // https://no-color.org: set and not empty.
        let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let style = Style {
            colour: is_terminal && !no_colour,
        };
        Self {
            json,
            style,
            is_terminal,
            out: Box::new(io::stdout()),
            err: Box::new(io::stderr()),
        }
    }

    #[cfg(test)]
    pub(super) fn to(
        json: bool,
        is_terminal: bool,
        out: Box<dyn Write>,
        err: Box<dyn Write>,
    ) -> Self {
        Self {
            json,
            style: Style::default(),
            is_terminal,
            out,
            err,
        }
    }

    pub(super) fn text(&mut self, text: &str) -> Result<(), Closed> {
        let written = self
            .out
            .write_all(text.as_bytes())
            .and_then(|()| self.out.flush());
        written.map_err(|_| Closed)
    }

    /// One line that came from the supervisor.
    pub(super) fn text_line(&mut self, text: &str) -> Result<(), Closed> {
        self.text(&format!("{}\n", crate::ctl::render::clean(text)))
    }

    pub(super) fn json_line<T: Serialize>(&mut self, value: &T) -> Result<(), Closed> {
        let line = serde_json::to_string(value).map_err(|_| Closed)?;
        self.text(&format!("{line}\n"))
    }

    /// To stderr. One that is closed cannot be complained about.
    pub(super) fn complain(&mut self, text: &str) {
        let _ = writeln!(
            self.err,
            "supervisor ctl: {}",
            crate::ctl::render::clean(text)
        );
    }
}

/// What can be watched for the reader of stdout going away.
pub(super) fn stdout_fd(stdout: &io::Stdout) -> BorrowedFd<'_> {
    stdout.as_fd()
}
