//! One identity on trial: its events, walked through in the order of their times.

use super::{Event, Finding, Rule, Tally};
use crate::record::State;
use crate::wire::{Content, Instance, SentVote};
use std::collections::{BTreeMap, BTreeSet};

/// One identity's events, walked through in order.
pub(super) struct Trial<'a> {
    identity: &'a str,
    pub(super) findings: Vec<Finding>,
    pub(super) tally: Tally,
    tower: super::tower_rules::Reference,
    alpenglow: super::alpenglow_rules::Reference,
    last: Option<&'a SentVote>,
    /// Nodes that may not vote, and since when.
    barred: BTreeMap<&'a str, u64>,
    /// Since when no node may vote that is not in `excepted`.
    all_barred: Option<u64>,
    excepted: BTreeSet<&'a str>,
    turns_are_marked: bool,
    /// Promoted since the last vote of another node.
    may_take_over: BTreeSet<&'a str>,
    records: Vec<&'a State>,
    records_are_given: bool,
}

impl<'a> Trial<'a> {
    pub(super) fn new(identity: &'a str, events: &[&Event], turns_are_marked: bool) -> Self {
        Self {
            identity,
            findings: Vec::new(),
            tally: Tally::default(),
            tower: super::tower_rules::Reference::default(),
            alpenglow: super::alpenglow_rules::Reference::default(),
            last: None,
            barred: BTreeMap::new(),
            all_barred: None,
            excepted: BTreeSet::new(),
            turns_are_marked,
            may_take_over: BTreeSet::new(),
            records: Vec::new(),
            records_are_given: events
                .iter()
                .any(|event| matches!(event, Event::Committed { .. })),
        }
    }

    pub(super) fn take(&mut self, event: &'a Event) {
        match event {
            Event::Vote(vote) => self.vote(vote),
            Event::Committed { record, .. } => self.records.push(record),
            Event::Promoted { node, .. } => {
                self.barred.remove(node.as_str());
                self.excepted.insert(node);
                self.may_take_over.insert(node);
            }
            Event::Demoted {
                at_us,
                node: Some(node),
                ..
            } => {
                self.barred.insert(node, *at_us);
                self.may_take_over.remove(node.as_str());
            }
            Event::Demoted {
                at_us, node: None, ..
            } => {
                self.all_barred = Some(*at_us);
                self.excepted.clear();
                self.may_take_over.clear();
            }
        }
    }

    fn vote(&mut self, vote: &'a SentVote) {
        self.after_demotion(vote);
        self.turns(vote);
        self.committed_before(vote);
        let found = match &vote.content {
            Content::Tower { tower, hash } => self.tower.take(vote, tower, hash),
            Content::Alpenglow(cast) => self.alpenglow.take(vote, cast),
        };
        for (rule, what) in found {
            self.find(rule, vote, what);
        }
        if self.tower.has_votes() && self.alpenglow.has_votes() {
            let what = format!(
                "{} votes for slot {} in the other protocol",
                name(&vote.instance),
                vote.content.slot()
            );
            self.find(Rule::MixedProtocols, vote, what);
        }
        self.count(vote);
        self.last = Some(vote);
    }

    fn find(&mut self, rule: Rule, vote: &SentVote, what: String) {
        let identity = self.identity.to_owned();
        self.findings.push(Finding {
            rule,
            at_us: vote.sent_us,
            identity,
            what,
        });
    }

    fn after_demotion(&mut self, vote: &SentVote) {
        let node = vote.instance.node.as_str();
        let all = self.all_barred.filter(|_| !self.excepted.contains(node));
        let Some(since_us) = self.barred.get(node).copied().or(all) else {
            return;
        };
        let what = format!(
            "{} voted for slot {}, {} µs after it was demoted",
            name(&vote.instance),
            vote.content.slot(),
            vote.sent_us.saturating_sub(since_us)
        );
        self.find(Rule::AfterDemotion, vote, what);
    }

    fn turns(&mut self, vote: &'a SentVote) {
        let node = vote.instance.node.as_str();
        let Some(last) = self.last.filter(|last| last.instance.node != node) else {
            return;
        };
        if self.turns_are_marked && !self.may_take_over.contains(node) {
            let slot = vote.content.slot();
            let what = format!(
                "{} voted for slot {slot} while {} was voting",
                name(&vote.instance),
                name(&last.instance)
            );
            self.find(Rule::TwoVoters, vote, what);
        }
        self.may_take_over.remove(node);
    }

    fn committed_before(&mut self, vote: &SentVote) {
        let contained = |record: &&State| match (&vote.content, record) {
            (Content::Tower { tower, .. }, State::Tower(committed)) => tower == committed,
            (Content::Alpenglow(cast), State::History(history)) => history
                .cast
                .get(&cast.slot())
                .is_some_and(|votes| votes.contains(cast)),
            _ => false,
        };
        // The newest record contains the vote in all but a few cases.
        if self.records_are_given && !self.records.iter().rev().any(contained) {
            let slot = vote.content.slot();
            let what = format!(
                "{} voted for slot {slot}, which no committed record holds",
                name(&vote.instance)
            );
            self.find(Rule::Uncommitted, vote, what);
        }
    }

    fn count(&mut self, vote: &SentVote) {
        let (tally, slot) = (&mut self.tally, vote.content.slot());
        if tally.votes == 0 {
            (tally.first_slot, tally.last_slot) = (slot, slot);
        }
        let gap = slot.saturating_sub(tally.last_slot).saturating_sub(1);
        tally.longest_gap_slots = tally.longest_gap_slots.max(gap);
        tally.last_slot = tally.last_slot.max(slot);
        tally.votes += 1;
        let instance = (vote.instance.node.clone(), vote.instance.pid);
        *tally.by_instance.entry(instance).or_default() += 1;
    }
}

/// How findings call an instance.
pub(super) fn name(instance: &Instance) -> String {
    format!("{} (pid {})", instance.node, instance.pid)
}
