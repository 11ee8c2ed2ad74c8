//! Stores each vote's record, and only then sends the vote.

use crate::link;
use crate::node::Node;
use ed25519_dalek::SigningKey;
use std::fs::File;
use std::io::{self, Write};
use std::sync::mpsc::Receiver;
use testkit::keys;
use testkit::record::{self, State};
use testkit::wire::{Content, SentVote};

/// Records kept for [`Keeper::rolled_back`].
const KEPT_MAX: usize = 64;

/// A vote that was built, with the record that holds it.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) key: SigningKey,
    pub(crate) vote_account: String,
    pub(crate) state: State,
    /// None: the record is stored and nothing is sent.
    pub(crate) content: Option<Content>,
}

/// Serves votes one after the other. While a rename is held up, later votes wait here.
pub(crate) fn run(node: &Node, jobs: &Receiver<Job>) {
    let mut keeper = Keeper::default();
    for job in jobs {
        let wanted = node.faults().number("roll_back").unwrap_or(0);
        let job = keeper.rolled_back(job, wanted);
        if let Err(error) = store(node, &job) {
            let what = if node.flags.alpenglow {
                "vote history"
            } else {
                "tower"
            };
            node.log.line(
                "ERROR",
                &format!("Unable to save {what} to storage: {error:?}"),
            );
            std::process::exit(1);
        }
        if let Some(content) = job.content {
            let vote = SentVote {
                identity: keys::address(&job.key),
                vote_account: job.vote_account,
                instance: node.instance.clone(),
                sent_us: 0,
                content,
            };
            link::send_vote(node, vote);
        }
    }
}

/// Neither file nor directory is synced: the real one does not either.
fn store(node: &Node, job: &Job) -> io::Result<()> {
    let identity = keys::address(&job.key);
    let alpenglow = node.flags.alpenglow;
    let path = node
        .flags
        .records(alpenglow)
        .join(record::file_name(alpenglow, &identity));
    let fresh = path.with_extension("bin.new");
    File::create(&fresh)?.write_all(&record::to_bytes(&job.key, &job.state))?;
    std::fs::rename(fresh, path)
}

/// The newest jobs, for a node that goes back to an old one.
#[derive(Debug, Default)]
struct Keeper {
    kept: Vec<Job>,
    rolled_back: u64,
}

impl Keeper {
    /// `job`, or the one of `wanted` jobs ago, once for each change of the number.
    fn rolled_back(&mut self, job: Job, wanted: u64) -> Job {
        if self.kept.len() == KEPT_MAX {
            self.kept.remove(0);
        }
        self.kept.push(job.clone());
        if wanted == self.rolled_back {
            return job;
        }
        self.rolled_back = wanted;
        let back = usize::try_from(wanted).unwrap_or(usize::MAX);
        let index = (self.kept.len() - 1).saturating_sub(back);
        self.kept.get(index).cloned().unwrap_or(job)
    }
}
