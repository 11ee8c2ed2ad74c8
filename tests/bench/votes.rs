//! What the gate adds to a vote: a child behind the filter stores and renames towers, as a validator does, and times its
//! rename; against a bare write, fsync and rename of the same bytes in the same directory.

use std::ffi::OsString;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::{Duration, Instant};

use ed25519_dalek::SigningKey;
use testkit::keys;
use testkit::record::{State, file_name, to_bytes};
use testkit::tower::Tower;
use validator_supervisor::authority::Authority;
use validator_supervisor::authority::local::Local;
use validator_supervisor::engine::values::{RecordKind, RecordMark};
use validator_supervisor::validator::gate::{Keeper, Kept};

use crate::AnyError;
use crate::gated::Gated;
use crate::helper::{serve, word};
use crate::samples::Samples;
use crate::table::{Table, show};

pub(crate) const CHILD: &str = "child-votes";

const VOTES: usize = 1_500;
/// Votes before the first that is measured: the tower is full, the files exist.
pub(crate) const WARM_UP: usize = 50;
/// Before each of what is compared: votes come one by one, to a machine that does something else in between.
pub(crate) const REST: Duration = Duration::from_millis(10);
const SETTLED_WITHIN: Duration = Duration::from_secs(60);
const P50_BUDGET: f64 = 1.3;
/// The design gives no p99 for authority local; that of etcd is taken.
const P99_BUDGET: f64 = 1.5;

/// Votes for slots in a row.
pub(crate) struct Votes {
    pub(crate) key: SigningKey,
    tower: Tower,
    pub(crate) slot: u64,
}

impl Votes {
    pub(crate) fn new() -> Self {
        Self {
            key: keys::from_seed("the voter of the bench"),
            tower: Tower::default(),
            slot: 1_000,
        }
    }

    pub(crate) fn next(&mut self) -> Vec<u8> {
        self.slot += 1;
        let _ = self.tower.vote(self.slot);
        to_bytes(&self.key, &State::Tower(self.tower.clone()))
    }
}

/// Commits as the daemon's own keeper does, and tells when it is done with a vote.
pub(crate) struct TellingKeeper {
    pub(crate) authority: Authority,
    pub(crate) done: SyncSender<()>,
}

impl Keeper for TellingKeeper {
    fn keep(&mut self, mark: RecordMark, bytes: &[u8]) -> Kept {
        self.authority.commit(mark, bytes).map_or_else(
            |error| Kept::Unsettled(error.to_string()),
            |()| Kept::Committed,
        )
    }

    fn rest(&mut self) {
        let _ = self.authority.settle();
        let _ = self.done.send(());
    }
}

/// Stores and renames one vote whenever it is asked; answers what the rename took.
pub(crate) fn child(mut args: impl Iterator<Item = OsString>) -> Result<(), AnyError> {
    let (socket, dir) = (
        PathBuf::from(word(&mut args)?),
        PathBuf::from(word(&mut args)?),
    );
    let mut votes = Votes::new();
    let path = dir.join(file_name(false, &keys::address(&votes.key)));
    let fresh = path.with_extension("bin.new");
    serve(&socket, || {
        std::fs::write(&fresh, votes.next())?;
        let from = Instant::now();
        std::fs::rename(&fresh, &path)?;
        Ok([from.elapsed().as_nanos() as u64])
    })
}

pub(crate) fn measure(dir: &Path, table: &mut Table) -> Result<(), AnyError> {
    let state = dir.join("state");
    std::fs::create_dir(&state)?;
    let mut bare = Bare::new(&state);
    let mut commits = Commits::new(&dir.join("commits"), &bare.votes.key)?;
    let identity = bare.votes.key.verifying_key().to_bytes();
    let authority = Local::open(&state, identity)?;
    let term = authority.acquire()?;
    let (done, settled) = sync_channel(1);
    let authority = Authority::Local(Arc::new(authority));
    let keeper = Box::new(TellingKeeper { authority, done });
    let mut gated = Gated::start(dir, identity, term, keeper)?;
    let directories = [File::open(dir.join("ledger"))?, File::open(&state)?];
    let mut gated_times = Samples::default();
    let [mut bare_times, mut own_times, mut commit_times]: [Samples; 3] = Default::default();
    for number in 0..WARM_UP + VOTES {
        // Each leaves the disk something to do, as a rename leaves its data to be written: the next one does not pay for that, nor
        // for what the keeper does once a vote is out. Between two votes there is most of a slot.
        for turn in 0..4 {
            for directory in &directories {
                directory.sync_all()?;
            }
            std::thread::sleep(REST);
            let (samples, time) = match (number + turn) % 4 {
                0 => {
                    let took = gated.vote()?;
                    settled.recv_timeout(SETTLED_WITHIN)?;
                    (&mut gated_times, took)
                }
                1 => (&mut bare_times, bare.once()?),
                2 => (&mut own_times, bare.ungated()?),
                _ => (&mut commit_times, commits.once()?),
            };
            if number >= WARM_UP {
                samples.add(time);
            }
        }
    }
    let inside = gated.end()?;
    for (name, percent, budget) in [("p50", 50, P50_BUDGET), ("p99", 99, P99_BUDGET)] {
        let what = format!("gated vote, authority local, {name}");
        table.ratio(
            &what,
            gated_times.quantile(percent),
            bare_times.quantile(percent),
            budget,
        );
    }
    table.aside(&format!(
        "against write + fsync + rename of the same {} bytes; {} of each in turns",
        bare.bytes,
        gated_times.len(),
    ));
    table.aside(&format!(
        "of it between its arrival at the gate and the answer: p50 {}",
        show(inside)
    ));
    table.aside(&format!(
        "of that the commit: p50 {}, p99 {}",
        show(commit_times.median()),
        show(commit_times.quantile(99)),
    ));
    table.aside(&format!(
        "and the validator's own rename, which costs this without a gate: p50 {}, p99 {}",
        show(own_times.median()),
        show(own_times.quantile(99)),
    ));
    Ok(())
}

/// What the vote is compared with.
struct Bare {
    votes: Votes,
    path: PathBuf,
    fresh: PathBuf,
    bytes: usize,
}

impl Bare {
    fn new(dir: &Path) -> Self {
        Self {
            votes: Votes::new(),
            path: dir.join("bare"),
            fresh: dir.join("bare.new"),
            bytes: 0,
        }
    }

    fn once(&mut self) -> std::io::Result<Duration> {
        let bytes = self.votes.next();
        self.bytes = bytes.len();
        let from = Instant::now();
        let mut file = File::create(&self.fresh)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        std::fs::rename(&self.fresh, &self.path)?;
        Ok(from.elapsed())
    }

    /// What a validator does without a supervisor: it replaces its record and syncs nothing.
    fn ungated(&mut self) -> std::io::Result<Duration> {
        let fresh = self.path.with_extension("ungated.new");
        std::fs::write(&fresh, self.votes.next())?;
        let from = Instant::now();
        std::fs::rename(&fresh, self.path.with_extension("ungated"))?;
        Ok(from.elapsed())
    }
}

/// Commits without a gate: what of a gated vote is the disk's.
struct Commits {
    votes: Votes,
    authority: Local,
    mark: RecordMark,
}

impl Commits {
    fn new(dir: &Path, key: &SigningKey) -> Result<Self, AnyError> {
        std::fs::create_dir(dir)?;
        let authority = Local::open(dir, key.verifying_key().to_bytes())?;
        let term = authority.acquire()?;
        let mark = RecordMark {
            term,
            seq: 0,
            slot: 0,
            kind: RecordKind::Tower,
        };
        Ok(Self {
            votes: Votes::new(),
            authority,
            mark,
        })
    }

    fn once(&mut self) -> Result<Duration, AnyError> {
        let bytes = self.votes.next();
        self.mark.seq += 1;
        self.mark.slot = self.votes.slot;
        let from = Instant::now();
        self.authority.commit(self.mark, &bytes)?;
        let took = from.elapsed();
        self.authority.settle()?;
        Ok(took)
    }
}
