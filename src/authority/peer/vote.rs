//! The path of a vote: its record to the other nodes and to this disk, at once; then it waits for the slowest of them.
//!
//! It waits for every node that is in step. One that is late is let go of, by its link, and the rest decides what happens then
//! ([`OnLoss`]); it gets the record when it is back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::link::Link;
use super::message::{self, Place};
use super::node::{Inner, Node};
use crate::authority::{CommitError, stored};
use crate::config::OnLoss;
use crate::engine::values::{NodeName, RecordMark};

/// A node that takes longer is let go of. Below a slot or two of waiting; above what a disk at its limit takes.
const KEPT_WITHIN: Duration = Duration::from_millis(1_000);

impl Node {
    /// Makes a record durable under its term. Blocks, for as long as the slowest node that is in step may take.
    pub(super) fn commit(&self, mark: RecordMark, bytes: &[u8]) -> Result<(), CommitError> {
        let links = {
            let state = self.state();
            self.expect_term(&state, mark)?;
            all_links(&state)
        };
        // One form for all disks.
        let form = stored::record_form(mark, &self.identity, bytes);
        links.iter().for_each(|link| send(link, &form));
        let here = self.record.write_form(mark, &form);
        here.map_err(|error| {
            CommitError::Unsettled(format!("{}: {error}", self.record.path().display()))
        })?;
        // From here on: one node that does not read holds up what is sent to the next.
        self.await_others(mark, &form, links, Instant::now() + KEPT_WITHIN)
    }

    fn expect_term(&self, state: &Inner, mark: RecordMark) -> Result<(), CommitError> {
        if state.pact.may_commit(mark.term) {
            return Ok(());
        }
        let ballot = state.pact.ballot();
        let now = match &ballot.holder {
            Some(holder) if !ballot.ended => format!("{holder} has term {}", ballot.term),
            _ => "nobody has one".to_owned(),
        };
        Err(CommitError::TermLost(format!(
            "term {} is over; {now}",
            mark.term
        )))
    }

    fn await_others(
        &self,
        mark: RecordMark,
        form: &[u8],
        mut sent: Vec<Arc<Link>>,
        until: Instant,
    ) -> Result<(), CommitError> {
        let place = Place::from(mark);
        let mut state = self.state();
        loop {
            self.expect_term(&state, mark)?;
            // Who is being brought up to date has missed nothing only when this one is there too.
            for other in state.others.values_mut() {
                if !other.in_step.get() {
                    other.due = other.due.max(Some(place));
                }
            }
            for (_, link) in state.links_of(|other| !other.has(place)) {
                // One that came up meanwhile.
                if !sent.iter().any(|sent| Arc::ptr_eq(sent, &link)) {
                    send(&link, form);
                    sent.push(link);
                }
            }
            let late = late(&state, place);
            if late.is_empty() {
                break;
            }
            if Instant::now() >= until {
                for (name, link) in late {
                    tracing::warn!(
                        "{name} has not kept a record within {} ms: its link is closed",
                        KEPT_WITHIN.as_millis()
                    );
                    link.close();
                    if let Some(other) = state.others.get_mut(&name) {
                        self.put_in_step(&name, other, false);
                    }
                }
                continue;
            }
            state = self.wait(state, until);
        }
        if self.config.on_loss == OnLoss::Hold && is_here_alone(&state, place) {
            return Err(CommitError::Unsettled(
                "no other node has the record, and peer.on_loss = \"hold\": it waits until one is back; where all of them are certainly off: `supervisor ctl demote`, and then `supervisor ctl promote --accept-double-vote-risk`".into(),
            ));
        }
        Ok(())
    }
}

fn send(link: &Link, form: &[u8]) {
    // One that fails ends, and its reader says so.
    let _ = link.send_written(|out| message::write_commit(out, form));
}

/// Also of those that are being brought up to date: they miss nothing then.
fn all_links(state: &Inner) -> Vec<Arc<Link>> {
    let links = state.others.values().filter_map(|other| other.link.clone());
    links.collect()
}

/// A node that may be alive lacks it, and none has it.
fn is_here_alone(state: &Inner, place: Place) -> bool {
    let others = || state.others.values();
    let is_elsewhere = others().any(|other| other.in_step.get() && other.has(place));
    !is_elsewhere && !others().all(|other| other.is_dead)
}

/// Those in step that have not kept it.
fn late(state: &Inner, place: Place) -> Vec<(NodeName, Arc<Link>)> {
    state.links_of(|other| other.in_step.get() && !other.has(place))
}
