//! `ctl status`: a header, the problems, then one aligned line a subject, and all nodes side by side.

use std::fmt::Write;

use super::problems::problems;
use super::side_by_side::side_by_side;
use super::style::{Ink, Style, clean, ink_of, or_unknown};
use super::units::{count, latency, span, span_ms};
use crate::ctl::status::{LatencyStatus, Status};
use crate::ctl::time::Timestamp;
use crate::engine::values::Role;

const SEPARATOR: &str = " · ";
const LABEL_WIDTH: usize = 11;
/// Hex digits of a checksum that tell records apart at a glance.
const DIGEST_SHOWN: usize = 12;

/// The whole picture, for a terminal. Ends in a newline.
#[must_use]
pub fn status(status: &Status, now: Timestamp, style: Style) -> String {
    let mut text = header(status, now, style);
    text.push_str("\n\n");
    let problems = problems(status);
    for problem in &problems {
        let _ = writeln!(text, "{}", style.paint(Ink::Red, &format!("! {problem}")));
    }
    if !problems.is_empty() {
        text.push('\n');
    }
    let (own, all_nodes) = (lines(status, now), side_by_side(status));
    text.push_str(&labelled(&own, style));
    if !all_nodes.is_empty() {
        text.push('\n');
    }
    text.push_str(&labelled(&all_nodes, style));
    text
}

fn labelled(lines: &[(&str, String)], style: Style) -> String {
    let lines = lines.iter().map(|(label, value)| {
        let label = style.paint(Ink::Dim, &format!("{label:LABEL_WIDTH$}"));
        format!("{label}{value}\n")
    });
    lines.collect()
}

/// What matters, without anything that changes by itself from second to second: two equal lines mean
/// that nothing happened.
#[must_use]
pub fn one_line(status: &Status) -> String {
    let mut parts = vec![
        format!("node {}", clean(&status.node)),
        status.role.to_string(),
        term(status),
        voting(status).into(),
    ];
    parts.extend(paused(status));
    parts.extend(problems(&without_ages(status)));
    parts.join(SEPARATOR)
}

/// Slot counts and ages come and go by themselves.
fn without_ages(status: &Status) -> Status {
    let mut still = status.clone();
    still.validator.slots_behind = None;
    for peer in &mut still.peers {
        peer.seen_ms = peer.seen_ms.map(|_| 0);
    }
    still
}

fn header(status: &Status, now: Timestamp, style: Style) -> String {
    let node = style.paint(Ink::Bold, &clean(&status.node));
    let role = style.paint(ink_of(status.role), status.role.name());
    let since = span(now.since(status.since));
    [
        format!("node {node}"),
        format!("{role} for {since}"),
        term(status),
        voting(status).into(),
    ]
    .join(SEPARATOR)
}

fn term(status: &Status) -> String {
    status
        .term
        .map_or_else(|| "no term".into(), |term| format!("term {term}"))
}

/// Only `active` votes: everywhere else the validator is muted or about to be.
fn voting(status: &Status) -> &'static str {
    if status.role == Role::Active {
        "voting"
    } else {
        "not voting"
    }
}

fn lines(status: &Status, now: Timestamp) -> Vec<(&'static str, String)> {
    let mut lines = vec![
        ("why", clean(&status.reason)),
        ("identity", or_unknown(status.identity.as_deref())),
        ("vote acct", or_unknown(status.vote_account.as_deref())),
        ("authority", authority(status)),
        ("record", record(status)),
        ("gate", gate(status)),
        ("validator", validator(status)),
        ("carries", carries(status)),
    ];
    lines.push(("leads", leads(status)));
    if let Some(until) = status.paused_until {
        lines.push((
            "paused",
            format!("until {until}, {} left", span(until.since(now))),
        ));
    }
    lines
}

fn authority(status: &Status) -> String {
    let authority = &status.authority;
    let holder = authority.holder.as_deref();
    let mut parts = vec![
        clean(&authority.kind),
        holder.map_or_else(
            || "holder unknown".into(),
            |node| format!("held by {}", clean(node)),
        ),
        health(authority.healthy).into(),
    ];
    parts.extend(
        authority
            .lease_left_ms
            .map(|ms| format!("lease {} left", span_ms(ms))),
    );
    parts.join(SEPARATOR)
}

fn record(status: &Status) -> String {
    let record = &status.record;
    let Some(kind) = &record.kind else {
        return "none known".into();
    };
    let mut parts = vec![
        clean(kind),
        number("slot", record.slot),
        number("seq", record.seq),
    ];
    parts.extend(record.sha256.as_deref().map(|digest| {
        let shown: String = clean(digest).chars().take(DIGEST_SHOWN).collect();
        format!("sha256 {shown}…")
    }));
    parts.join(SEPARATOR)
}

fn gate(status: &Status) -> String {
    let gate = &status.gate;
    let mut parts = vec![
        count(gate.commits, "commit"),
        format!("{} refused", gate.refused),
        format!("{} waiting", gate.waiting),
    ];
    parts.extend(latencies(&gate.latency_us));
    parts.join(SEPARATOR)
}

fn latencies(us: &LatencyStatus) -> Option<String> {
    let named = [("p50", us.p50), ("p99", us.p99), ("max", us.max)];
    let known = named
        .iter()
        .filter_map(|(name, us)| Some(format!("{name} {}", latency((*us)?))));
    let text = known.collect::<Vec<_>>().join(", ");
    (!text.is_empty()).then_some(text)
}

fn validator(status: &Status) -> String {
    let child = &status.validator;
    let Some(pid) = child.pid else {
        return ["not running".into(), count(child.restarts, "restart")].join(SEPARATOR);
    };
    let client = [child.client.as_deref(), child.version.as_deref()]
        .into_iter()
        .flatten()
        .map(clean);
    let client = client.collect::<Vec<_>>().join(" ");
    let mut parts = vec![];
    parts.extend((!client.is_empty()).then_some(client));
    parts.extend([
        format!("pid {pid}"),
        health(child.healthy).into(),
        number("slot", child.slot),
        child.slots_behind.map_or_else(
            || "distance to the tip unknown".into(),
            |n| format!("{n} behind"),
        ),
        count(child.restarts, "restart"),
    ]);
    parts.join(SEPARATOR)
}

fn carries(status: &Status) -> String {
    let carried = status.validator.identity.as_deref();
    match (carried, status.identity.as_deref()) {
        (Some(carried), Some(staked)) if carried == staked => "the staked identity".into(),
        (Some(carried), Some(_)) => format!("{}, not the staked one", clean(carried)),
        _ => or_unknown(carried),
    }
}

fn leads(status: &Status) -> String {
    match (status.next_leader_slot, status.validator.slot) {
        (None, _) => "unknown".into(),
        (Some(next), Some(slot)) if next >= slot => format!("slot {next}, {} ahead", next - slot),
        (Some(next), _) => format!("slot {next}"),
    }
}

fn paused(status: &Status) -> Option<String> {
    status
        .paused_until
        .map(|until| format!("paused until {until}"))
}

pub(super) fn health(healthy: Option<bool>) -> &'static str {
    match healthy {
        Some(true) => "healthy",
        Some(false) => "NOT HEALTHY",
        None => "health unknown",
    }
}

fn number(name: &str, value: Option<u64>) -> String {
    value.map_or_else(
        || format!("{name} unknown"),
        |value| format!("{name} {value}"),
    )
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
