//! Votes made by hand, to put before the judge.

use testkit::history::Vote;
use testkit::judge::{Judge, Rule};
use testkit::tower::{Lockout, Tower};
use testkit::wire::{Content, Instance, SentVote};

/// The identity of every crafted vote.
pub(crate) const IDENTITY: &str = "staked";

/// Collects crafted votes, each one sent a millisecond after the one before.
#[derive(Default)]
pub(crate) struct Stream {
    pub(crate) judge: Judge,
    pub(crate) now_us: u64,
}

impl Stream {
    fn send(&mut self, node: &str, content: Content) {
        self.now_us += 1_000;
        self.judge.vote(SentVote {
            identity: IDENTITY.to_owned(),
            vote_account: "account".to_owned(),
            instance: Instance {
                node: node.to_owned(),
                pid: 1,
                outset_us: 0,
            },
            sent_us: self.now_us,
            content,
        });
    }

    pub(crate) fn tower(&mut self, node: &str, tower: &Tower) {
        self.tower_on(node, tower, "block");
    }

    pub(crate) fn tower_on(&mut self, node: &str, tower: &Tower, hash: &str) {
        self.send(
            node,
            Content::Tower {
                tower: tower.clone(),
                hash: hash.to_owned(),
            },
        );
    }

    pub(crate) fn alpenglow(&mut self, node: &str, vote: Vote) {
        self.send(node, Content::Alpenglow(vote));
    }

    /// The rules that were broken, in order.
    pub(crate) fn broken(&self) -> Vec<Rule> {
        let findings = self.judge.verdict().err().unwrap_or_default();
        findings.iter().map(|finding| finding.rule).collect()
    }
}

/// The tower after voting for `slots` in turn.
pub(crate) fn after(slots: impl IntoIterator<Item = u64>) -> Tower {
    let mut tower = Tower::default();
    for slot in slots {
        assert!(tower.vote(slot), "slot {slot} ascends");
    }
    tower
}

/// A tower of exactly these votes: slot and confirmations, oldest first.
pub(crate) fn exactly(votes: &[(u64, u32)], root: Option<u64>) -> Tower {
    let votes = votes.iter().map(|&(slot, confirmations)| Lockout {
        slot,
        confirmations,
    });
    Tower {
        votes: votes.collect(),
        root,
    }
}
