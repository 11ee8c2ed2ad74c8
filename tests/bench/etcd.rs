//! What authority `etcd` costs: a gated vote against a bare put of the same bytes over a connection of the same kind; and
//! how a commit grows with the identities that share one etcd, and with the size of the record.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use etcd_client::Client;
use testkit::etcd::Etcd as Servers;
use tokio::runtime::Runtime;
use validator_supervisor::authority::CommitError;
use validator_supervisor::authority::etcd::Etcd;
use validator_supervisor::authority::news::Surroundings;
use validator_supervisor::config::EtcdConfig;
use validator_supervisor::engine::values::{Millis, NodeName, RecordKind, RecordMark, Term};
use validator_supervisor::validator::gate::{Keeper, Kept};

use crate::AnyError;
use crate::gated::Gated;
use crate::samples::Samples;
use crate::table::{Table, show};
use crate::votes::{REST, Votes, WARM_UP};

const VOTES: usize = 600;
const P50_BUDGET: f64 = 1.25;
const P99_BUDGET: f64 = 1.5;
const ACQUIRED_WITHIN: Duration = Duration::from_secs(20);
/// Between two votes of one identity.
const SLOT: Duration = Duration::from_millis(400);
const IDENTITIES: [usize; 3] = [1, 10, 100];
const SIZES: [usize; 4] = [1 << 10, 16 << 10, 128 << 10, 512 << 10];

/// One identity's authority, and the term that it holds.
struct Holder {
    authority: Arc<Etcd>,
    mark: RecordMark,
}

impl Holder {
    fn start(dir: PathBuf, endpoints: Vec<String>, identity: [u8; 32]) -> Result<Self, AnyError> {
        std::fs::create_dir_all(&dir)?;
        let config = EtcdConfig {
            endpoints,
            prefix: "/bench".into(),
            ttl: Duration::from_secs(30),
            margin: Duration::from_secs(5),
            interval: Duration::from_secs(3),
            ca: None,
            cert: None,
            key: None,
            user: None,
            password_file: None,
        };
        let surroundings = Surroundings {
            clock: || Millis(0),
            state_dir: dir,
            tell: Box::new(|_| {}),
        };
        let authority = Etcd::start(&config, identity, NodeName("bench".into()), surroundings)?;
        let term = acquire(&authority)?;
        let mark = RecordMark {
            term,
            seq: 0,
            slot: 0,
            kind: RecordKind::Tower,
        };
        Ok(Self {
            authority: Arc::new(authority),
            mark,
        })
    }

    fn commit(&mut self, bytes: &[u8]) -> Result<Duration, CommitError> {
        self.mark.seq += 1;
        self.mark.slot += 1;
        let from = Instant::now();
        // As the gate does, on a machine that is too busy for an answer in time.
        while let Err(error) = self.authority.commit(self.mark, bytes) {
            if let CommitError::TermLost(_) = error {
                return Err(error);
            }
        }
        Ok(from.elapsed())
    }
}

/// The first lease has to be granted before.
fn acquire(authority: &Etcd) -> Result<Term, AnyError> {
    let until = Instant::now() + ACQUIRED_WITHIN;
    loop {
        match authority.acquire(Duration::from_secs(4)) {
            Ok((term, _)) => return Ok(term),
            Err(fault) if Instant::now() > until => return Err(fault.into()),
            Err(_) => std::thread::sleep(Duration::from_millis(10)),
        }
    }
}

struct EtcdKeeper(Arc<Etcd>);

impl Keeper for EtcdKeeper {
    fn keep(&mut self, mark: RecordMark, bytes: &[u8]) -> Kept {
        match self.0.commit(mark, bytes) {
            Ok(()) => Kept::Committed,
            Err(error) => Kept::Unsettled(error.to_string()),
        }
    }
}

/// Puts without comparing anything.
struct Bare {
    runtime: Runtime,
    client: Client,
}

impl Bare {
    fn connect(endpoint: &str) -> Result<Self, AnyError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let client = runtime.block_on(Client::connect([endpoint], None))?;
        Ok(Self { runtime, client })
    }

    fn put(&mut self, bytes: Vec<u8>) -> Result<Duration, AnyError> {
        let from = Instant::now();
        self.runtime
            .block_on(self.client.put("bare", bytes, None))?;
        Ok(from.elapsed())
    }
}

pub(crate) fn measure_votes(dir: &Path, members: usize, table: &mut Table) -> Result<(), AnyError> {
    let servers = Servers::cluster(members)?;
    // On one disk, what the validator has just written would have to be synced before what etcd writes: they do not share one.
    let memory = Path::new("/dev/shm");
    let ledger = tempfile::tempdir_in(if memory.is_dir() { memory } else { dir })?;
    let mut votes = Votes::new();
    let identity = votes.key.verifying_key().to_bytes();
    let holder = Holder::start(dir.join("state"), servers.endpoints(), identity)?;
    let mut other = Holder::start(dir.join("other"), servers.endpoints(), [7; 32])?;
    let keeper = Box::new(EtcdKeeper(Arc::clone(&holder.authority)));
    let mut gated = Gated::start(ledger.path(), identity, holder.mark.term, keeper)?;
    let mut bare = Bare::connect(servers.endpoint())?;
    let [mut gated_times, mut bare_times, mut commit_times]: [Samples; 3] = Default::default();
    for number in 0..WARM_UP + VOTES {
        // None always comes first, and each comes to a machine at rest: between two votes there is most of a slot.
        for turn in 0..3 {
            std::thread::sleep(REST);
            let (samples, time) = match (number + turn) % 3 {
                0 => (&mut gated_times, gated.vote()?),
                1 => (&mut bare_times, bare.put(votes.next())?),
                _ => (&mut commit_times, other.commit(&votes.next())?),
            };
            if number >= WARM_UP {
                samples.add(time);
            }
        }
    }
    let inside = gated.end()?;
    for (name, percent, budget) in [("p50", 50, P50_BUDGET), ("p99", 99, P99_BUDGET)] {
        table.ratio(
            &format!("gated vote, authority etcd, {members} member(s), {name}"),
            gated_times.quantile(percent),
            bare_times.quantile(percent),
            budget,
        );
    }
    table.aside(&format!(
        "against a bare put of the same bytes, {} of each in turns; of it between its arrival at the gate and the answer: p50 {}",
        gated_times.len(),
        show(inside)
    ));
    table.aside(&format!(
        "of that the commit: p50 {}, p99 {}",
        show(commit_times.median()),
        show(commit_times.quantile(99)),
    ));
    Ok(())
}

/// Others vote once a slot meanwhile, as validators do.
pub(crate) fn measure_identities(dir: &Path, table: &mut Table) -> Result<(), AnyError> {
    let servers = Servers::cluster(1)?;
    let bytes = Votes::new().next();
    let mut lines = Vec::new();
    let mut holders = Vec::new();
    for count in IDENTITIES {
        while holders.len() < count {
            let number = holders.len() as u8 + 1;
            let state = dir.join(number.to_string());
            holders.push(Holder::start(state, servers.endpoints(), [number; 32])?);
        }
        let (first, others) = holders.split_at_mut(1);
        let over = AtomicBool::new(false);
        let mut times = Samples::default();
        std::thread::scope(|scope| {
            for other in others {
                let (over, bytes) = (&over, &bytes);
                scope.spawn(move || {
                    while !over.load(Ordering::Relaxed) {
                        let _ = other.commit(bytes);
                        std::thread::sleep(SLOT);
                    }
                });
            }
            let measured = (0..VOTES / 3)
                .try_for_each(|_| first[0].commit(&bytes).map(|time| times.add(time)));
            over.store(true, Ordering::Relaxed);
            measured
        })?;
        lines.push(format!(
            "{count}: {} / {}",
            show(times.median()),
            show(times.quantile(99))
        ));
    }
    table.aside(&format!(
        "a commit with this many identities voting on one etcd, p50 / p99: {}",
        lines.join(", ")
    ));
    Ok(())
}

pub(crate) fn measure_sizes(dir: &Path, table: &mut Table) -> Result<(), AnyError> {
    let servers = Servers::cluster(1)?;
    let mut holder = Holder::start(dir.join("state"), servers.endpoints(), [7; 32])?;
    let mut bare = Bare::connect(servers.endpoint())?;
    let mut lines = Vec::new();
    for size in SIZES {
        let bytes = vec![7; size];
        let [mut commits, mut puts]: [Samples; 2] = Default::default();
        for _ in 0..VOTES / 10 {
            commits.add(holder.commit(&bytes)?);
            puts.add(bare.put(bytes.clone())?);
        }
        let ratio = commits.median().as_secs_f64() / puts.median().as_secs_f64();
        lines.push(format!(
            "{} KiB: {} ({ratio:.2} x)",
            size >> 10,
            show(commits.median())
        ));
    }
    table.aside(&format!(
        "a commit by size of the record, p50 (against a bare put): {}",
        lines.join(", ")
    ));
    Ok(())
}
