//! What the threads of a stand-in share: identity, voters, progress, and the latest news of the chain.

use crate::flags::Flags;
use crate::log::Log;
use ed25519_dalek::SigningKey;
use nix::fcntl::{Flock, FlockArg};
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use testkit::faults::Faults;
use testkit::keys;
use testkit::wire::{ClusterState, Instance, Peer, now_us};

/// One stand-in.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) flags: Flags,
    pub(crate) log: Log,
    pub(crate) instance: Instance,
    pub(crate) started: std::time::SystemTime,
    shared: Mutex<Shared>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    /// What gossip shows. The voting thread follows later.
    pub(crate) identity: SigningKey,
    pub(crate) identity_since: Instant,
    /// Of the identity: taking one makes this the newest instance of it (solana-gossip, `hot_swap_pubkey`).
    pub(crate) outset_us: u64,
    /// None: muted.
    pub(crate) voters: Vec<SigningKey>,
    pub(crate) running: bool,
    pub(crate) cluster: Option<ClusterState>,
}

impl Node {
    pub(crate) fn new(flags: Flags) -> Result<Self, String> {
        let read = |path: &Path| {
            keys::read(path).map_err(|error| format!("keypair {}: {error}", path.display()))
        };
        let identity = read(&flags.identity)?;
        let voters: Result<Vec<_>, _> = flags
            .authorized_voters
            .iter()
            .map(|path| read(path))
            .collect();
        let mut voters = voters?;
        if voters.is_empty() {
            voters.push(identity.clone());
        }
        let log = Log::open(flags.log.clone()).map_err(|error| format!("log: {error}"))?;
        let instance = Instance {
            node: flags.node.clone(),
            pid: std::process::id(),
            outset_us: now_us(),
        };
        let shared = Shared {
            identity,
            identity_since: Instant::now(),
            outset_us: instance.outset_us,
            voters,
            running: false,
            cluster: None,
        };
        let started = std::time::SystemTime::now();
        Ok(Self {
            flags,
            log,
            instance,
            started,
            shared: Mutex::new(shared),
        })
    }

    pub(crate) fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_running(&self) {
        self.shared().running = true;
    }

    /// A faults file with a mistake ends the stand-in: a test must not go on without its fault.
    pub(crate) fn faults(&self) -> Faults {
        match self.flags.faults() {
            Ok(faults) => faults,
            Err(problem) => {
                self.log.line("ERROR", &format!("faults: {problem}"));
                std::process::exit(2);
            }
        }
    }

    pub(crate) fn start_up(&self) -> Duration {
        Duration::from_millis(self.faults().number("start_ms").unwrap_or(0))
    }

    /// As gossip shows it. The gossip port is made up: every process has its own pid.
    pub(crate) fn peer(&self) -> Peer {
        let port = 1_024 + (self.instance.pid % 60_000) as u16;
        let shared = self.shared();
        let instance = Instance {
            outset_us: shared.outset_us,
            ..self.instance.clone()
        };
        Peer {
            identity: keys::address(&shared.identity),
            instance,
            gossip: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            rpc: self.flags.rpc,
            version: self.version().to_owned(),
        }
    }

    pub(crate) fn version(&self) -> &'static str {
        if self.flags.old_admin {
            "2.3.0"
        } else {
            "4.2.2"
        }
    }
}

/// Takes the lock that every validator of this ledger takes; it is held as long as the value lives.
pub(crate) fn lock_ledger(ledger: &Path) -> Result<Flock<File>, String> {
    let path = ledger.join("ledger.lock");
    std::fs::create_dir_all(ledger).map_err(|error| format!("{}: {error}", ledger.display()))?;
    let file = File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path);
    let file = file.map_err(|error| format!("{}: {error}", path.display()))?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|_| {
        let ledger = ledger.display();
        format!("Unable to lock {ledger} directory. Check if another validator is running")
    })
}
