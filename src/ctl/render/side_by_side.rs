//! This node and the others, a column each: what one looks at before a handover.

use super::status::health;
use super::style::clean;
use super::units::span_ms;
use crate::ctl::status::{PeerStatus, Status};
use crate::engine::values::Role;

const BETWEEN: usize = 2;
const LABELS: [&str; 9] = [
    "node",
    "role",
    "health",
    "version",
    "behind",
    "record at",
    "in step",
    "seen",
    "paused",
];
type Column = [String; LABELS.len()];

/// Labels with what follows them; nothing for a node that is alone.
pub(super) fn side_by_side(status: &Status) -> Vec<(&'static str, String)> {
    if status.peers.is_empty() {
        return Vec::new();
    }
    let votes = status.role == Role::Active;
    let others = status.peers.iter().map(|peer| other(peer, votes));
    let columns: Vec<Column> = std::iter::once(own(status)).chain(others).collect();
    let rows = LABELS.into_iter().enumerate();
    rows.filter(|(row, _)| columns.iter().any(|column| !column[*row].is_empty()))
        .map(|(row, label)| (label, line(&columns, row)))
        .collect()
}

fn line(columns: &[Column], row: usize) -> String {
    let width = |column: &Column| column.iter().map(|cell| cell.chars().count()).max();
    let cells = columns.iter().map(|column| {
        let width = width(column).unwrap_or_default() + BETWEEN;
        format!("{:width$}", column[row])
    });
    cells.collect::<String>().trim_end().to_owned()
}

fn own(status: &Status) -> Column {
    let child = &status.validator;
    [
        clean(&status.node),
        status.role.to_string(),
        health(child.healthy).into(),
        text(child.version.as_deref().map(clean)),
        text(child.slots_behind),
        text(status.record.slot),
        String::new(),
        "this node".into(),
        text(status.paused_until.map(|until| format!("until {until}"))),
    ]
}

/// Whether it is in step tells something of a node whose records the others keep: one that votes.
fn other(peer: &PeerStatus, votes: bool) -> Column {
    let is_gone = peer.role.is_none() && peer.seen_ms.is_some();
    let role = match peer.role {
        Some(role) => role.name(),
        None if is_gone => "unreachable",
        None => "unknown",
    };
    let in_step = peer.in_step.filter(|_| votes);
    let seen = match peer.seen_ms {
        Some(ms) if is_gone => format!("last {} ago", span_ms(ms)),
        Some(ms) => format!("{} ago", span_ms(ms)),
        None => "never".into(),
    };
    [
        clean(&peer.node),
        role.into(),
        health(peer.healthy).into(),
        text(peer.version.as_deref().map(clean)),
        text(peer.slots_behind),
        text(peer.record_slot),
        text(in_step.map(|it| if it { "yes" } else { "NO" })),
        seen,
        text(peer.paused_until.map(|until| format!("until {until}"))),
    ]
}

fn text(value: Option<impl ToString>) -> String {
    value.map_or_else(String::new, |value| value.to_string())
}
