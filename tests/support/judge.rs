//! Judges a stream of sent votes: what did a node send that it may not have sent?
//!
//! Pure: it takes events and gives a verdict, the same one for the same events in any order, as every
//! event carries its time. It knows the rules of the two protocols and nothing of the supervisor, of
//! terms or of records, except those that a test hands it.
//!
//! ```text
//! let mut judge = Judge::new();
//! judge.vote(vote);                                  // every vote, of every instance
//! judge.demoted("identity", Some("node-a"), now_us()); // node-a sends nothing from here on …
//! judge.promoted("identity", "node-a", now_us());      // … until here
//! judge.committed("identity", now_us(), record);       // optional, see below
//! judge.verdict()                                    // Ok(Summary) or Err(findings), each a sentence
//! ```
//!
//! What it finds, in the merged stream of all instances with one identity:
//! - Tower BFT (`tower_rules`): a malformed tower, a vote at or below the last one, two different
//!   votes for a slot, a lockout or a root given up, one slot voted by two instances
//! - Alpenglow (`alpenglow_rules`): two votes for a slot that exclude each other
//! - votes of an identity in both protocols
//! - a vote after the demotion of its node
//! - two nodes that take turns without having been told to, if [`Judge::turns_are_marked`]
//! - a vote that no record committed before it contains, if any commit of the identity is given

mod alpenglow_rules;
mod tower_rules;
mod trial;

use crate::record::State;
use crate::wire::SentVote;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use trial::Trial;

/// What a finding is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// A tower that no sequence of votes gives.
    MalformedTower,
    /// A vote for a slot below the last one voted for.
    OldSlot,
    /// Two different votes for one slot.
    SecondVote,
    /// A vote that is still binding was left out of a later tower.
    LockoutViolation,
    /// A vote lost confirmations.
    ConfirmationRollback,
    /// The root went back.
    RootRollback,
    /// Two Alpenglow votes for a slot that exclude each other.
    Conflict,
    /// Both protocols at once.
    MixedProtocols,
    /// A vote of a node that had been demoted.
    AfterDemotion,
    /// Two instances voted at once.
    TwoVoters,
    /// A vote that was not committed before it was sent.
    Uncommitted,
}

/// One thing wrong with the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub rule: Rule,
    pub at_us: u64,
    pub identity: String,
    /// A sentence with the values.
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            rule,
            at_us,
            identity,
            what,
        } = self;
        let (seconds, micros) = (at_us / 1_000_000, at_us % 1_000_000);
        write!(
            f,
            "{rule:?} at {seconds}.{micros:06} s, identity {identity}: {what}"
        )
    }
}

/// What a stream without findings held.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// By identity.
    pub identities: BTreeMap<String, Tally>,
}

/// The votes of one identity.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub votes: usize,
    pub first_slot: u64,
    pub last_slot: u64,
    /// Most slots in a row between two votes without one.
    pub longest_gap_slots: u64,
    /// Votes by node and process.
    pub by_instance: BTreeMap<(String, u32), usize>,
}

impl Summary {
    #[must_use]
    pub fn votes(&self) -> usize {
        self.identities.values().map(|tally| tally.votes).sum()
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} votes judged, nothing wrong with them", self.votes())?;
        for (identity, tally) in &self.identities {
            let Tally {
                votes,
                first_slot,
                last_slot,
                longest_gap_slots,
                by_instance,
            } = tally;
            write!(
                f,
                "\n  {identity}: {votes} votes for slots {first_slot} to {last_slot}, "
            )?;
            write!(f, "longest gap {longest_gap_slots} slots;")?;
            for ((node, pid), count) in by_instance {
                write!(f, " {count} by {node} (pid {pid})")?;
            }
        }
        Ok(())
    }
}

/// One thing that happened, with its time in microseconds of `CLOCK_MONOTONIC`.
#[derive(Clone, Debug)]
enum Event {
    Committed {
        at_us: u64,
        identity: String,
        record: State,
    },
    Promoted {
        at_us: u64,
        identity: String,
        node: String,
    },
    Vote(SentVote),
    Demoted {
        at_us: u64,
        identity: String,
        node: Option<String>,
    },
}

impl Event {
    /// Time, then for one and the same time what lets a vote pass before the votes before what bars them.
    fn order(&self) -> (u64, u8) {
        match self {
            Self::Committed { at_us, .. } => (*at_us, 0),
            Self::Promoted { at_us, .. } => (*at_us, 1),
            Self::Vote(vote) => (vote.sent_us, 2),
            Self::Demoted { at_us, .. } => (*at_us, 3),
        }
    }

    fn identity(&self) -> &str {
        match self {
            Self::Vote(vote) => &vote.identity,
            Self::Committed { identity, .. }
            | Self::Promoted { identity, .. }
            | Self::Demoted { identity, .. } => identity,
        }
    }
}

/// Takes events in any order; see the module.
#[derive(Clone, Debug, Default)]
pub struct Judge {
    events: Vec<Event>,
    turns_are_marked: bool,
}

impl Judge {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Every change of the voting node after the first is preceded by a [`Judge::promoted`]: a node
    /// that votes again after another did, without one, is a finding.
    pub fn turns_are_marked(&mut self) {
        self.turns_are_marked = true;
    }

    pub fn vote(&mut self, vote: SentVote) {
        self.events.push(Event::Vote(vote));
    }

    /// From `at_us` on, `node` (or every node, if none is named) may send no vote of `identity`.
    pub fn demoted(&mut self, identity: &str, node: Option<&str>, at_us: u64) {
        let (identity, node) = (identity.to_owned(), node.map(str::to_owned));
        self.events.push(Event::Demoted {
            at_us,
            identity,
            node,
        });
    }

    /// From `at_us` on, `node` may send votes of `identity` again.
    pub fn promoted(&mut self, identity: &str, node: &str, at_us: u64) {
        let (identity, node) = (identity.to_owned(), node.to_owned());
        self.events.push(Event::Promoted {
            at_us,
            identity,
            node,
        });
    }

    /// `record` was durable at `at_us`. With the first one given, each vote of `identity` must be
    /// contained in a record committed before it was sent.
    pub fn committed(&mut self, identity: &str, at_us: u64, record: State) {
        self.events.push(Event::Committed {
            at_us,
            identity: identity.to_owned(),
            record,
        });
    }

    /// The verdict on everything taken so far.
    ///
    /// # Errors
    /// What is wrong, in the order in which it happened.
    pub fn verdict(&self) -> Result<Summary, Vec<Finding>> {
        let mut events: Vec<&Event> = self.events.iter().collect();
        events.sort_by_key(|event| event.order());
        let identities: BTreeSet<&str> = events.iter().map(|event| event.identity()).collect();
        let mut findings = Vec::new();
        let mut summary = Summary::default();
        for identity in identities {
            let of_it: Vec<&Event> = events
                .iter()
                .copied()
                .filter(|event| event.identity() == identity)
                .collect();
            let mut trial = Trial::new(identity, &of_it, self.turns_are_marked);
            of_it.iter().for_each(|event| trial.take(event));
            findings.append(&mut trial.findings);
            if trial.tally.votes > 0 {
                summary.identities.insert(identity.to_owned(), trial.tally);
            }
        }
        findings.sort_by_key(|finding| finding.at_us);
        if findings.is_empty() {
            Ok(summary)
        } else {
            Err(findings)
        }
    }
}

/// The findings as one text, a line each.
#[must_use]
pub fn report(findings: &[Finding]) -> String {
    let lines: Vec<String> = findings.iter().map(ToString::to_string).collect();
    format!("{} findings:\n  {}", findings.len(), lines.join("\n  "))
}
