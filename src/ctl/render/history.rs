//! `ctl history`: a table of the changes of role, oldest first, in local time.

use std::fmt::Write;

use super::style::{Ink, Style, clean, ink_of};
use crate::ctl::time::Timestamp;
use crate::ctl::wire::HistoryEntry;

/// The table; `offset_s` is the local time's distance from UTC at a moment. Ends in a newline.
#[must_use]
pub fn history(
    entries: &[HistoryEntry],
    offset_s: &dyn Fn(Timestamp) -> i32,
    style: Style,
) -> String {
    if entries.is_empty() {
        return "no change of role so far\n".into();
    }
    let change = |entry: &HistoryEntry| format!("{} -> {}", entry.from, entry.to);
    let term = |entry: &HistoryEntry| {
        entry
            .term
            .map_or_else(|| "-".into(), |term| term.to_string())
    };
    let cause = |entry: &HistoryEntry| clean(&entry.cause);
    let changes = width("CHANGE", entries, change);
    let terms = width("TERM", entries, term);
    let causes = width("CAUSE", entries, cause);

    let head = format!(
        "{:19}  {:changes$}  {:>terms$}  {:causes$}  WHY",
        "TIME", "CHANGE", "TERM", "CAUSE"
    );
    let mut text = format!("{}\n", style.paint(Ink::Bold, &head));
    for entry in entries {
        let time = entry.at.clock_text(offset_s(entry.at));
        let change = style.paint(ink_of(entry.to), &format!("{:changes$}", change(entry)));
        let (term, cause, why) = (term(entry), cause(entry), clean(&entry.text));
        let _ = writeln!(
            text,
            "{time}  {change}  {term:>terms$}  {cause:causes$}  {why}"
        );
    }
    text
}

fn width(head: &str, entries: &[HistoryEntry], cell: impl Fn(&HistoryEntry) -> String) -> usize {
    let cells = entries.iter().map(|entry| cell(entry).chars().count());
    cells.chain([head.len()]).max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::values::Role;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let entry = |ms, from, to, term, cause: &str, text: &str| HistoryEntry {
            at: Timestamp::from_unix_ms(ms),
            from,
            to,
            term,
            cause: cause.into(),
            text: text.into(),
        };
        let entries = [
            entry(
                1_772_323_200_000,
                Role::Starting,
                Role::CatchingUp,
                None,
                "child-up",
                "The validator answers and is muted.",
            ),
            entry(
                1_772_323_261_500,
                Role::Promoting,
                Role::Active,
                Some(1207),
                "first-vote",
                "The first vote was committed.",
            ),
        ];
        assert_eq!(
            history(&entries, &|_| 7200, Style::default()),
            "\
TIME                 CHANGE                   TERM  CAUSE       WHY
2026-03-01 02:00:00  starting -> catching-up     -  child-up    The validator answers and is muted.
2026-03-01 02:01:01  promoting -> active      1207  first-vote  The first vote was committed.
"
        );
    }

    #[test]
    fn an_empty_history_says_so() {
        assert_eq!(
            history(&[], &|_| 0, Style::default()),
            "no change of role so far\n"
        );
    }
}
