//! What the demo prints: when, how long it took, what happened. Colours only on a terminal and without `NO_COLOR`.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

/// How a text stands out.
#[derive(Clone, Copy, Debug)]
enum Ink {
    Bold,
    Dim,
    Green,
}

/// Prints lines as things happen, and knows how long each took.
#[derive(Debug)]
pub(crate) struct Narrator {
    start: Instant,
    step: Instant,
    colours: bool,
}

impl Narrator {
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            start: now,
            step: now,
            colours: !plain && std::io::stdout().is_terminal(),
        }
    }

    /// What stands above the story: what is real and what is not.
    pub(crate) fn title(&self, facts: &[(&str, &str)]) {
        println!(
            "{}\n",
            self.paint(
                Ink::Bold,
                "validator-supervisor: what happens to one node's votes"
            )
        );
        for (name, value) in facts {
            println!("  {} {value}", self.paint(Ink::Dim, &format!("{name:<10}")));
        }
        println!(
            "\n  {}",
            self.paint(Ink::Dim, &format!("{:>8}  {:>8}", "at", "took"))
        );
    }

    /// Something is done to the node from here on; the next [`Self::then`] says how long it took.
    pub(crate) fn begin(&mut self, what: &str) {
        self.step = Instant::now();
        println!(
            "\n  {}  {}",
            self.paint(Ink::Dim, &self.at()),
            self.paint(Ink::Bold, what)
        );
    }

    /// What came of it, with the time since the last [`Self::begin`] or [`Self::then`].
    pub(crate) fn then(&mut self, what: &str) {
        let took = short(self.step.elapsed());
        let mark = self.paint(Ink::Green, "✓");
        println!(
            "  {}  {took:>8}  {mark} {what}",
            self.paint(Ink::Dim, &self.at())
        );
        self.step = Instant::now();
    }

    /// Lines that a tool printed, set off from the story.
    pub(crate) fn quote(&self, text: &str) {
        for line in text.lines() {
            println!("  {:20}{}", "", self.paint(Ink::Dim, &format!("│ {line}")));
        }
    }

    /// The last word.
    pub(crate) fn verdict(&self, text: &str) {
        println!();
        for (number, line) in text.lines().enumerate() {
            let ink = if number == 0 { Ink::Green } else { Ink::Dim };
            println!("  {}", self.paint(ink, line));
        }
        println!(
            "  {}",
            self.paint(Ink::Dim, &format!("{} in all", short(self.start.elapsed())))
        );
    }

    fn at(&self) -> String {
        format!("{:>6.1} s", self.start.elapsed().as_secs_f64())
    }

    fn paint(&self, ink: Ink, text: &str) -> String {
        let code = match ink {
            Ink::Bold => 1,
            Ink::Dim => 2,
            Ink::Green => 32,
        };
        if self.colours {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

/// Three digits are enough to compare.
pub(crate) fn short(time: Duration) -> String {
    let ms = time.as_secs_f64() * 1e3;
    if ms < 10.0 {
        format!("{ms:.1} ms")
    } else if ms < 1_000.0 {
        format!("{ms:.0} ms")
    } else {
        format!("{:.1} s", ms / 1e3)
    }
}

/// The beginning of a public key, enough to tell two apart.
pub(crate) fn short_key(key: &str) -> String {
    format!("{}…", key.chars().take(6).collect::<String>())
}
