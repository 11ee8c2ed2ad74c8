//! `ctl explain`: one sentence, then why, what is under way, what follows, and until when.

use std::fmt::Write;

use super::style::{Ink, Style, clean, ink_of};
use super::units::span;
use crate::ctl::time::Timestamp;
use crate::ctl::wire::Explain;

/// The text of an explanation; `offset_s` is the local time's distance from UTC at a moment. Ends in
/// a newline.
#[must_use]
pub fn explain(
    explain: &Explain,
    now: Timestamp,
    offset_s: &dyn Fn(Timestamp) -> i32,
    style: Style,
) -> String {
    let role = style.paint(ink_of(explain.role), explain.role.name());
    let node = style.paint(Ink::Bold, &clean(&explain.node));
    let since = explain.since.clock_text(offset_s(explain.since));
    let lasted = span(now.since(explain.since));
    let mut text = format!("node {node} has been {role} since {since}, for {lasted}\n\n");
    let detail = explain.detail.iter().filter(|detail| !detail.is_empty());
    let because = std::iter::once(&explain.because)
        .chain(detail)
        .map(|part| clean(part));
    let mut put = |label: &str, value: &str| {
        let label = style.paint(Ink::Dim, &format!("{label:10}"));
        let _ = writeln!(text, "{label}{value}");
    };
    put("because", &because.collect::<Vec<_>>().join(" "));
    put("doing", &clean(&explain.doing));
    if let Some(next) = explain.next.as_deref().filter(|next| !next.is_empty()) {
        put("next", &clean(next));
    }
    put("deadline", &deadline(explain, now));
    text
}

fn deadline(explain: &Explain, now: Timestamp) -> String {
    let Some(at) = explain.deadline else {
        return "none".into();
    };
    let left = if at >= now {
        format!("in {}", span(at.since(now)))
    } else {
        format!("{} ago", span(now.since(at)))
    };
    match &explain.deadline_for {
        Some(what) => format!("{left}: {}", clean(what)),
        None => left,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::values::Role;

    fn parked() -> Explain {
        Explain {
            node: "fra-1".into(),
            role: Role::Parked,
            since: Timestamp::from_unix_ms(1_772_323_200_000),
            because: "An operator wants this node parked.".into(),
            detail: None,
            doing: "waiting for an operator".into(),
            next: Some("`supervisor ctl resume` makes it a standby".into()),
            deadline: None,
            deadline_for: None,
        }
    }

    #[test]
    fn a_parked_node_says_who_can_move_it() {
        let now = Timestamp::from_unix_ms(1_772_323_392_000);
        let text = explain(&parked(), now, &|_| 3600, Style::default());
        assert_eq!(
            text,
            "\
node fra-1 has been parked since 2026-03-01 01:00:00, for 3m 12s

because   An operator wants this node parked.
doing     waiting for an operator
next      `supervisor ctl resume` makes it a standby
deadline  none
"
        );
    }

    #[test]
    fn a_step_under_way_shows_its_deadline_and_detail() {
        let now = Timestamp::from_unix_ms(1_772_323_202_000);
        let step = Explain {
            role: Role::Demoting,
            detail: Some("slot 7 seen\x07".into()),
            doing: "muting the validator".into(),
            next: None,
            deadline: Some(Timestamp::from_unix_ms(1_772_323_203_500)),
            deadline_for: Some("the mute must have been answered".into()),
            ..parked()
        };
        let text = explain(&step, now, &|_| 0, Style::default());
        assert_eq!(
            text,
            "\
node fra-1 has been demoting since 2026-03-01 00:00:00, for 2.0s

because   An operator wants this node parked. slot 7 seen\u{fffd}
doing     muting the validator
deadline  in 1.5s: the mute must have been answered
"
        );
    }
}
