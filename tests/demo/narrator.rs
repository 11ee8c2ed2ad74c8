//! What the demo prints: when, how long it took, what happened. Colours only on a terminal and without `NO_COLOR`.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

/// What is the same whoever plays the validators: a line of the title.
pub(crate) const NODES: (&str, &str) = (
    "nodes",
    "a and b, on this machine; each is the other one's authority (`[peer]`), and there is no third",
);
/// Two statuses fit beside each other.
const QUOTE_WIDTH: usize = 96;

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
                "validator-supervisor: two machines, one validator that never votes twice"
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
        for line in text.lines().flat_map(|line| wrapped(line, QUOTE_WIDTH)) {
            println!("  {:10}{}", "", self.paint(Ink::Dim, &format!("│ {line}")));
        }
    }

    /// What the next quotation is of.
    pub(crate) fn aside(&self, what: &str) {
        println!("  {:10}{what}", "");
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

/// Broken between words, so that no piece is wider than `width` where that can be.
pub(crate) fn wrapped(line: &str, width: usize) -> Vec<String> {
    let mut pieces: Vec<String> = Vec::new();
    for word in line.split(' ') {
        match pieces.last_mut() {
            Some(piece) if piece.chars().count() + 1 + word.chars().count() <= width => {
                piece.push(' ');
                piece.push_str(word);
            }
            _ => pieces.push(word.to_owned()),
        }
    }
    pieces
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
