//! What etcd had, in order: who held the term, and every record committed under it. Votes are accounted for with it.
//!
//! It reads the history of the keys, so nothing may be compacted before it is read, and it sees nothing of the supervisor but
//! what stands there.

use crate::lab::Lab;
use etcd_client::{Client, Error, EventType, WatchOptions};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};
use testkit::record::{self, State};
use testkit::wire::{Content, SentVote};
use validator_supervisor::authority::stored;

/// Before and after the JSON of a stored form.
const HEAD: usize = 10;
const CHECKSUM: usize = 32;
const WITHIN: Duration = Duration::from_secs(10);
/// What fills an etcd comes along.
const MESSAGE_BYTES_MAX: usize = 64 * 1024 * 1024;
const PAUSE: Duration = Duration::from_millis(50);

/// One record that was committed.
#[derive(Debug)]
struct Commit {
    term: u64,
    slot: u64,
    state: State,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// In the order of etcd's revisions.
    commits: Vec<Commit>,
    /// The node of each term.
    holders: BTreeMap<u64, String>,
    /// The newest revision that was read.
    upto: i64,
}

impl Ledger {
    /// Takes in everything that etcd has seen since the last call.
    pub(crate) fn read(&mut self, lab: &Lab) {
        let mut read = || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime
                .expect("a runtime")
                .block_on(self.follow_patiently(lab));
        };
        let host = lab.network.as_ref().map(|network| network.host("chain"));
        match host {
            Some(host) => host.namespace().within(read).expect("a host"),
            None => read(),
        }
    }

    /// Each vote is the newest of a record committed under a term of the node that sent it, and votes leave in the order of
    /// their commits: so none of an old holder comes after one of the next.
    ///
    /// # Errors
    /// The first vote of which that is not so.
    pub(crate) fn account_for(&self, votes: &[SentVote]) -> Result<(), String> {
        let mut votes: Vec<&SentVote> = votes.iter().collect();
        votes.sort_by_key(|vote| vote.sent_us);
        let mut newest = 0;
        for vote in votes {
            let (node, slot) = (vote.instance.node.as_str(), vote.content.slot());
            let of_node =
                |commit: &&Commit| self.holders.get(&commit.term).map(String::as_str) == Some(node);
            let mut commits = self.commits.iter().filter(|commit| commit.is_of(vote));
            let Some(Commit { term, .. }) = commits.find(of_node) else {
                return Err(format!(
                    "{node} sent a vote for slot {slot} that was committed under no term of its own"
                ));
            };
            if *term < newest {
                return Err(format!(
                    "{node} sent a vote for slot {slot} of term {term} after one of term {newest}"
                ));
            }
            newest = *term;
        }
        Ok(())
    }

    /// Under how many terms there were commits.
    pub(crate) fn terms(&self) -> usize {
        let terms: BTreeSet<u64> = self.commits.iter().map(|commit| commit.term).collect();
        terms.len()
    }
}

impl Commit {
    fn is_of(&self, vote: &SentVote) -> bool {
        match (&vote.content, &self.state) {
            (Content::Tower { tower, .. }, State::Tower(committed)) => tower == committed,
            (Content::Alpenglow(cast), State::History(history)) => {
                self.slot == cast.slot()
                    && history
                        .cast
                        .get(&cast.slot())
                        .is_some_and(|votes| votes.contains(cast))
            }
            _ => false,
        }
    }
}

impl Ledger {
    /// An etcd that has just been healed may change its leader once more.
    async fn follow_patiently(&mut self, lab: &Lab) {
        let until = Instant::now() + WITHIN;
        while let Err(error) = self.follow(lab).await {
            assert!(Instant::now() < until, "the history of etcd: {error}");
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn follow(&mut self, lab: &Lab) -> Result<(), Error> {
        let mut client = Client::connect(lab.etcd.endpoints(), None).await?;
        let newest = client.get("none", None).await?;
        let newest = newest.header().map_or(0, |header| header.revision());
        if self.upto >= newest {
            return Ok(());
        }
        // Every revision is of some key.
        let options = WatchOptions::new()
            .with_all_keys()
            .with_start_revision(self.upto + 1);
        let mut watching = client
            .watch_client()
            .max_decoding_message_size(MESSAGE_BYTES_MAX);
        let mut stream = watching.watch("", Some(options)).await?;
        while self.upto < newest {
            let message = tokio::time::timeout(WITHIN, stream.message()).await;
            let message = message.expect("the history within 10 s")?;
            let message = message.expect("a watch that goes on");
            assert!(!message.canceled(), "{}", message.cancel_reason());
            for event in message.events() {
                let Some(kv) = event.kv() else { continue };
                if event.event_type() == EventType::Put {
                    self.take(lab, kv.key(), kv.mod_revision(), kv.value());
                }
                self.upto = self.upto.max(kv.mod_revision());
            }
        }
        Ok(())
    }

    /// What a test has put there itself says nothing.
    fn take(&mut self, lab: &Lab, key: &[u8], revision: i64, value: &[u8]) {
        if key == lab.key("record").as_bytes() {
            let Ok(stored) = stored::read_record(value) else {
                return;
            };
            let alpenglow = lab.protocol.is_alpenglow();
            let state = record::from_bytes(alpenglow, &lab.identity, &stored.bytes);
            self.commits.push(Commit {
                term: stored.mark.term.0,
                slot: stored.mark.slot,
                state: state.expect("a record that was committed"),
            });
        } else if key == lab.key("holder").as_bytes()
            && let Some(payload) = value.get(HEAD..value.len().saturating_sub(CHECKSUM))
            && let Ok(holder) = serde_json::from_slice::<serde_json::Value>(payload)
            && let (Ok(term), Some(node)) = (u64::try_from(revision), holder["node"].as_str())
        {
            self.holders.insert(term, node.to_owned());
        }
    }
}
