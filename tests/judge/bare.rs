//! A chain and stand-ins without a supervisor.

use serde_json::{Value, json};
use std::path::PathBuf;
use tempfile::TempDir;
use testkit::chain::{Chain, ChainSpec};
use testkit::keys;
use testkit::stand_in::{Protocol, Running, StandIn, until};
use testkit::wire::SentVote;

/// Milliseconds for anything that has to happen.
pub(crate) const SOON_MS: u64 = 10_000;

pub(crate) struct Bare {
    pub(crate) chain: Chain,
    pub(crate) protocol: Protocol,
    /// The staked identity.
    pub(crate) identity: String,
    pub(crate) vote_account: String,
    dir: TempDir,
}

impl Bare {
    /// A chain with slots of 40 ms.
    pub(crate) fn new(protocol: Protocol) -> Self {
        let identity = keys::address(&keys::from_seed("staked"));
        let vote_account = keys::address_from_seed("vote account");
        let spec = ChainSpec::new(40).vote_account(&vote_account, &identity);
        let chain = Chain::start(spec).expect("ports are free");
        let dir = tempfile::tempdir().expect("a directory");
        Self {
            chain,
            protocol,
            identity,
            vote_account,
            dir,
        }
    }

    /// A stand-in of that name, whose link is on the unstaked identity.
    pub(crate) fn node(&self, name: &str) -> StandIn {
        let dir: PathBuf = self.dir.path().join(name);
        let staked = keys::from_seed("staked");
        StandIn::new(
            &dir,
            name,
            self.chain.addr(),
            self.protocol,
            &self.vote_account,
            &staked,
        )
        .expect("directories can be made")
    }

    /// One that starts with the staked identity, and so votes from its first slot on.
    pub(crate) fn voting(&self, name: &str) -> (StandIn, Running) {
        let spec = self.node(name);
        spec.link("staked.json").expect("a link");
        let running = spec.start().expect("it starts");
        self.expect_votes(3);
        (spec, running)
    }

    /// Waits for `count` more votes.
    pub(crate) fn expect_votes(&self, count: usize) {
        let due = self.chain.votes().len() + count;
        assert!(
            self.chain.wait(SOON_MS, |votes| votes.len() >= due),
            "{count} more votes"
        );
    }

    /// The votes for the `slots` slots that follow, sent by then. What was built for an earlier slot
    /// and is still on its way does not count.
    pub(crate) fn votes_for_the_next(&self, slots: u64) -> Vec<SentVote> {
        let from = self.chain.slot();
        self.chain.let_slots_pass(slots + 1);
        self.chain.settle();
        let mut votes = self.chain.votes();
        votes.retain(|vote| vote.content.slot() > from);
        votes
    }
}

/// An admin call that must succeed.
pub(crate) fn done(running: &Running, method: &str, params: Value) {
    let answer = running.admin(method, &params).expect("an answer");
    assert!(answer.get("error").is_none(), "{method}: {answer}");
}

/// An admin call that must fail: its message.
pub(crate) fn refused(running: &Running, method: &str, params: Value) -> String {
    let answer = running.admin(method, &params).expect("an answer");
    assert_eq!(answer["error"]["code"], -32602, "{method}: {answer}");
    answer["error"]["message"]
        .as_str()
        .expect("a message")
        .to_owned()
}

/// Waits until the voting thread has switched to another identity.
pub(crate) fn expect_switch(running: &Running) {
    assert!(
        until(SOON_MS, || running.log().contains("Identity changed from")),
        "a switch"
    );
}

/// The parameters of setIdentity for the 4.2 form, requiring nothing.
pub(crate) fn identity(spec: &StandIn, file: &str) -> Value {
    json!([spec.path(file), false, false])
}
