//! `ctl restart --rolling`: both validators anew, one after the other, the identity always on the one that runs.
//!
//! ```text
//! this node votes:      restart here (it hands over first) -> relieve the other, which restarts -> it is back
//! the other one votes:  restart here -> relieve the other, which restarts -> it is back -> hand over to it
//! ```
//!
//! Each step is a command of its own, asked for when the one before has ended well and the pair looks as it should. What stops it, a
//! fault, a timeout or Ctrl-C, leaves one node voting; nothing of it goes on in a supervisor but the step under way.

use std::time::{Duration, Instant};

use super::link::Woken;
use super::output::Output;
use super::{Client, ClientError, Outcome, show};
use crate::ctl::status::{PeerStatus, Status};
use crate::ctl::time::Timestamp;
use crate::ctl::wire::{Reply, Request};
use crate::engine::values::Role;

/// Nobody votes, or the other node is silent, for no longer than this. A handover takes seconds.
const WRONG_AFTER: Duration = Duration::from_secs(60);

/// A validator that has come back comes nearer until it follows the tip. Within failover.handover_within.
const NEAR_SLOTS: u64 = 4;

/// One part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    RestartHere,
    StandBy,
    Relieve,
    AwaitOther,
    HandBack,
}

impl Step {
    fn words(self, this: &str, other: &str) -> String {
        match self {
            Self::RestartHere => format!("{this}: restart its validator"),
            Self::StandBy => format!("{this}: catch up"),
            Self::Relieve => format!("{this} votes, and {other} restarts its validator"),
            Self::AwaitOther => format!("{other}: come back and catch up"),
            Self::HandBack => format!("{other} votes again"),
        }
    }
}

fn steps(voted: bool) -> &'static [Step] {
    const ALL: [Step; 5] = [
        Step::RestartHere,
        Step::StandBy,
        Step::Relieve,
        Step::AwaitOther,
        Step::HandBack,
    ];
    if voted { &ALL[..4] } else { &ALL }
}

/// What a look at the pair comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Look {
    Ready,
    NotYet,
    Wrong(String),
}

/// The pair as it was when it began.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Pair {
    this: String,
    other: String,
    /// This node voted.
    voted: bool,
    /// When the other node had started its validator.
    other_since: Timestamp,
    /// How often that one had been started again by itself.
    other_restarts: Option<u64>,
}

impl Pair {
    /// Fit to be restarted: two nodes, one of which votes, and both well.
    fn begin(status: &Status) -> Result<Self, String> {
        let [other] = &status.peers[..] else {
            return Err(format!(
                "--rolling is for two nodes, and this one knows {} others: restart them one by one",
                status.peers.len()
            ));
        };
        let voted = match (status.role, other.role) {
            (Role::Active, Some(Role::Standby)) => true,
            (Role::Standby, Some(Role::Active)) => false,
            (this, Some(that)) => {
                return Err(format!(
                    "{} is {this} and {} is {that}: one has to vote, and the other to stand by",
                    status.node, other.node
                ));
            }
            (_, None) => return Err(format!("{} cannot be reached", other.node)),
        };
        for (node, healthy) in [
            (&status.node, status.validator.healthy),
            (&other.node, other.healthy),
        ] {
            if healthy != Some(true) {
                return Err(format!("the validator of {node} is not healthy"));
            }
        }
        for (node, paused) in [
            (&status.node, status.paused_until),
            (&other.node, other.paused_until),
        ] {
            if paused.is_some() {
                return Err(format!("{node} is paused: `supervisor ctl resume` there"));
            }
        }
        let other_since = other.validator_since.ok_or_else(|| {
            format!(
                "{} runs an older supervisor: install the same release",
                other.node
            )
        })?;
        Ok(Self {
            this: status.node.clone(),
            other: other.node.clone(),
            voted,
            other_since,
            other_restarts: other.restarts,
        })
    }

    /// Whether a step that is waited for has come to its end.
    fn look(&self, step: Step, status: &Status) -> Look {
        let Some(other) = status.peers.iter().find(|peer| peer.node == self.other) else {
            return Look::Wrong(format!("{} is not known any more", self.other));
        };
        if status.role == Role::Parked || other.role == Some(Role::Parked) {
            return Look::Wrong("a node was parked".into());
        }
        if other.restarts.is_some() && other.restarts > self.other_restarts {
            let why = format!(
                "the validator of {} has ended by itself: see its log",
                other.node
            );
            return Look::Wrong(why);
        }
        let (voter, idle, rests) = match step {
            Step::StandBy => (other.role, Some(status.role), self.rests(status)),
            _ => (Some(status.role), other.role, self.is_back(other)),
        };
        if idle == Some(Role::Active) && voter != Some(Role::Active) {
            return Look::Wrong(
                "the two have changed places: the one that was to be idle votes".into(),
            );
        }
        if rests && voter == Some(Role::Active) {
            Look::Ready
        } else {
            Look::NotYet
        }
    }

    fn rests(&self, status: &Status) -> bool {
        status.role == Role::Standby
            && status.validator.healthy == Some(true)
            && is_near(status.validator.slots_behind)
    }

    fn is_back(&self, other: &PeerStatus) -> bool {
        other.role == Some(Role::Standby)
            && other.healthy == Some(true)
            && is_near(other.slots_behind)
            && other
                .validator_since
                .is_some_and(|since| since != self.other_since)
    }
}

/// Near enough to the tip to be handed the term.
fn is_near(slots_behind: Option<u64>) -> bool {
    slots_behind.is_some_and(|slots| slots <= NEAR_SLOTS)
}

/// Whether one of the two votes, and both are heard.
fn is_well(status: &Status) -> bool {
    let voters = [Some(status.role)]
        .into_iter()
        .chain(status.peers.iter().map(|peer| peer.role));
    let (mut votes, mut silent) = (false, false);
    for role in voters {
        votes |= role == Some(Role::Active);
        silent |= role.is_none();
    }
    votes && !silent
}

pub(super) fn run(
    client: &Client<'_>,
    wait: Duration,
    now: bool,
    output: &mut Output,
) -> Result<Outcome, ClientError> {
    let begun = Instant::now();
    let pair = match Pair::begin(&client.status()?) {
        Ok(pair) => pair,
        Err(why) => {
            output.complain(&why);
            return Ok(Outcome::Refused);
        }
    };
    let steps = steps(pair.voted);
    for (at, step) in steps.iter().enumerate() {
        let words = step.words(&pair.this, &pair.other);
        say(output, format!("{} of {}: {words}", at + 1, steps.len()));
        let left = wait.saturating_sub(begun.elapsed());
        let outcome = match step {
            Step::RestartHere => client.command(&Request::Restart { now }, Some(left), output)?,
            Step::Relieve => client.command(&Request::Relieve { now }, Some(left), output)?,
            Step::HandBack => {
                let back = Request::Handover {
                    to: Some(pair.other.clone()),
                    now,
                };
                client.command(&back, Some(left), output)?
            }
            Step::StandBy | Step::AwaitOther => await_pair(client, &pair, *step, left, output)?,
        };
        if outcome != Outcome::Done {
            let rest = steps.len() - at - 1;
            output.complain(&format!(
                "stopped at step {} of {}; {rest} more not begun: `supervisor ctl status`",
                at + 1,
                steps.len()
            ));
            return Ok(outcome);
        }
    }
    let took = begun.elapsed().as_secs();
    let voter = if pair.voted { &pair.this } else { &pair.other };
    say(
        output,
        format!("both validators restarted in {took} s; {voter} votes, as before"),
    );
    Ok(Outcome::Done)
}

/// Until the step has come to its end, the pair looks wrong, or the time is over.
fn await_pair(
    client: &Client<'_>,
    pair: &Pair,
    step: Step,
    within: Duration,
    output: &mut Output,
) -> Result<Outcome, ClientError> {
    let until = Instant::now() + within;
    let mut well_at = Instant::now();
    loop {
        let status = client.status()?;
        if is_well(&status) {
            well_at = Instant::now();
        }
        let wrong = match pair.look(step, &status) {
            Look::Ready => return Ok(Outcome::Done),
            Look::Wrong(why) => Some(why),
            Look::NotYet if well_at.elapsed() > WRONG_AFTER => Some(format!(
                "for {} s nobody was seen voting, or {} was out of reach",
                WRONG_AFTER.as_secs(),
                pair.other
            )),
            Look::NotYet => None,
        };
        if let Some(why) = wrong {
            output.complain(&why);
            return Ok(Outcome::Refused);
        }
        let next = Instant::now() + client.watch_every;
        if next > until {
            output.complain("timed out");
            return Ok(Outcome::StillRunning);
        }
        let waited = client.interrupt.rest(next);
        if waited.map_err(ClientError::Signals)? == Woken::Interrupted {
            return Ok(Outcome::StillRunning);
        }
    }
}

fn say(output: &mut Output, text: String) {
    // With nobody reading, it goes on all the same.
    let _ = show(&Reply::progress(text), output);
}

#[cfg(test)]
mod tests;
