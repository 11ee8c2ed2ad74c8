//! The records that were committed: at etcd, all of them, from the history of its key, of which nothing may be compacted before it is
//! read; between peers, those that are seen on their disks.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use etcd_client::{Client, EventType, WatchOptions};
use testkit::etcd::Etcd;
use testkit::record::{self, State};
use validator_supervisor::authority::stored;

use crate::genesis::Protocol;

const WITHIN: Duration = Duration::from_secs(60);

/// One committed record.
#[derive(Debug)]
pub(crate) struct Commit {
    pub(crate) term: u64,
    pub(crate) seq: u64,
    pub(crate) slot: u64,
    pub(crate) state: State,
}

/// All commits of `identity` so far, in the order in which etcd took them.
pub(crate) fn read(etcd: &Etcd, identity: &str, protocol: Protocol) -> Vec<Commit> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let values = runtime
        .expect("a runtime")
        .block_on(history(&etcd.endpoints(), identity));
    let values = values
        .iter()
        .map(|value| read_form(value, identity, protocol).expect("a stored record"));
    values.collect()
}

fn read_form(form: &[u8], identity: &str, protocol: Protocol) -> Option<Commit> {
    let stored = stored::read_record(form).ok()?;
    let alpenglow = protocol == Protocol::Alpenglow;
    let state = record::from_bytes(alpenglow, identity, &stored.bytes);
    Some(Commit {
        term: stored.mark.term.0,
        seq: stored.mark.seq,
        slot: stored.mark.slot,
        state: state.expect("a vote record"),
    })
}

/// Several times within a slot. A vote stays in the record for some slots, so none is missed.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Looks at the records on the disks of some nodes, until it is asked for what it has seen.
pub(crate) struct Tap {
    stop: Sender<()>,
    seen: JoinHandle<BTreeMap<(u64, u64), Commit>>,
}

impl Tap {
    pub(crate) fn on(state_dirs: Vec<PathBuf>, identity: String, protocol: Protocol) -> Self {
        let (stop, stopped) = channel();
        let seen = std::thread::spawn(move || {
            let mut seen = BTreeMap::new();
            while stopped.recv_timeout(LOOK_EVERY) == Err(RecvTimeoutError::Timeout) {
                let files = state_dirs
                    .iter()
                    .flat_map(|dir| ["record", "record.older"].map(|file| dir.join(file)));
                // One that is being written over is seen whole the next time.
                let forms = files.filter_map(|file| std::fs::read(file).ok());
                let commits = forms.filter_map(|form| read_form(&form, &identity, protocol));
                seen.extend(commits.map(|commit| ((commit.term, commit.seq), commit)));
            }
            seen
        });
        Self { stop, seen }
    }

    /// In the order of their terms and numbers.
    pub(crate) fn commits(self) -> Vec<Commit> {
        drop(self.stop);
        let seen = self.seen.join().expect("what was seen");
        seen.into_values().collect()
    }
}

/// Fails when a term, a number or a slot goes back.
pub(crate) fn expect_to_go_on(commits: &[Commit]) {
    for pair in commits.windows(2) {
        let [before, after] = pair else { continue };
        assert!(
            (after.term, after.seq) > (before.term, before.seq) && after.slot >= before.slot,
            "the commit of term {}, number {}, for slot {} came after that of term {}, number {}, for slot {}",
            after.term,
            after.seq,
            after.slot,
            before.term,
            before.seq,
            before.slot
        );
    }
}

/// The values of the record's key, from the first to the newest.
async fn history(endpoints: &[String], identity: &str) -> Vec<Vec<u8>> {
    let key = format!("/validator-supervisor/{identity}/record");
    let mut client = Client::connect(endpoints, None).await.expect("etcd");
    let newest = client.get(key.as_str(), None).await.expect("a read");
    let newest = newest.kvs().first().expect("a record").mod_revision();
    let options = WatchOptions::new().with_start_revision(1).with_fragment();
    let mut stream = client
        .watch(key.as_str(), Some(options))
        .await
        .expect("a watch");
    let mut values = Vec::new();
    loop {
        let message = tokio::time::timeout(WITHIN, stream.message()).await;
        let message = message.expect("the history in time").expect("a message");
        let message = message.expect("a watch that goes on");
        assert!(!message.canceled(), "{}", message.cancel_reason());
        for kv in message
            .events()
            .iter()
            .filter(|event| event.event_type() == EventType::Put)
            .filter_map(|event| event.kv())
        {
            values.push(kv.value().to_vec());
            if kv.mod_revision() >= newest {
                return values;
            }
        }
    }
}
