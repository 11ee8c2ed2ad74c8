//! What `supervisor ctl status` says of two nodes, side by side.

use crate::narrator::{short_key, wrapped};

/// As wide as the names of the lines are printed.
const LABEL_WIDTH: usize = 11;
const CELL_WIDTH: usize = 40;
const LONG_WORD: usize = 24;
/// The lines that differ between the two, or change.
const SHOWN: [&str; 7] = ["", "why", "authority", "record", "gate", "carries", "peers"];

/// Both texts cut to what tells the nodes apart, the left one's lines in order.
pub(crate) fn beside(left: &str, right: &str) -> String {
    let (left, right) = (lines(left), lines(right));
    let mut text = String::new();
    for label in SHOWN {
        let cell = |lines: &[(String, String)]| {
            let of_it = lines.iter().filter(|(name, _)| name == label);
            let of_it =
                of_it.flat_map(|(_, value)| wrapped(&without_long_words(value), CELL_WIDTH));
            of_it.collect::<Vec<_>>()
        };
        let (left, right) = (cell(&left), cell(&right));
        for at in 0..left.len().max(right.len()) {
            let name = if at == 0 { label } else { "" };
            let of = |cell: &[String]| cell.get(at).cloned().unwrap_or_default();
            let row = format!(
                "{name:LABEL_WIDTH$}{:CELL_WIDTH$}   {}",
                of(&left),
                of(&right)
            );
            text.push_str(row.trim_end());
            text.push('\n');
        }
    }
    text
}

/// The lines of one status with their names; the first one and problems have none.
fn lines(status: &str) -> Vec<(String, String)> {
    let lines = status.lines().filter(|line| !line.is_empty());
    let named = |line: &str| {
        let (label, value) = line.split_at_checked(LABEL_WIDTH)?;
        let is_label = label.ends_with(' ') && SHOWN.contains(&label.trim_end());
        is_label.then(|| (label.trim_end().to_owned(), value.to_owned()))
    };
    let mut found = Vec::new();
    for (at, line) in lines.enumerate() {
        match named(line) {
            Some(line) => found.push(line),
            None if at == 0 || line.starts_with('!') => found.push((String::new(), line.into())),
            None => {}
        }
    }
    found
}

/// Keys are too long for a cell, and told apart by their beginnings.
fn without_long_words(value: &str) -> String {
    let words = value.split(' ').map(|word| match word.chars().count() {
        LONG_WORD.. => short_key(word),
        _ => word.to_owned(),
    });
    words.collect::<Vec<_>>().join(" ")
}
