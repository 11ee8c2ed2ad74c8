//! A cluster of real validators on this machine: a bootstrap and a relay that are always on, and the material for
//! our own nodes, which the tests start themselves, bare or under the supervisor.
//!
//! Everything lies in one temporary directory of this cluster alone, and listens on ports of this process. The nodes are on
//! loopback addresses of the machine, or each on a host of a network of the test's own, which can be cut. At the end, also by
//! panic, every process that names the directory is killed by its id, and the directory is removed.

use std::ffi::OsString;
use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::fcntl::{Flock, FlockArg};
use tempfile::TempDir;
use testkit::netns::{Namespace, Network};

use crate::admin;
use crate::chain::Chain;
use crate::genesis::{self, Genesis, Protocol, Tools, Voter};
use crate::launch::{Launch, Ports};
use crate::node::Node;
use crate::process::{Process, kill_all_naming};
use crate::rpc::Rpc;
use crate::until::until;

/// The open-file limit that agave-validator insists on.
const OPEN_FILES_WANTED: u64 = 1_000_000;

const START_WITHIN: Duration = Duration::from_secs(120);
const LOG_TAIL_LINES: usize = 40;

/// A running cluster. Dropping it ends all its processes; after a panic it prints the end of every log first.
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) protocol: Protocol,
    genesis: Genesis,
    tools: Tools,
    ports: Ports,
    preload: Option<PathBuf>,
    always_on: Vec<Process>,
    dir: TempDir,
    network: Option<Network>,
    _turn: Flock<File>,
}

impl Cluster {
    /// Starts bootstrap and relay and returns once the relay's votes are on the chain.
    pub(crate) fn start(protocol: Protocol) -> Self {
        Self::start_where(protocol, None)
    }

    /// The same on a network with a host for each of [`HOSTS`]. Call it, and all else, from a thread inside the host "test".
    pub(crate) fn start_on(network: Network, protocol: Protocol) -> Self {
        Self::start_where(protocol, Some(network))
    }

    fn start_where(protocol: Protocol, network: Option<Network>) -> Self {
        let turn = wait_for_turn();
        let tools = Tools::from_env();
        let dir = tempfile::Builder::new()
            .prefix("supervisor-real-")
            .tempdir()
            .expect("make a temporary directory");
        fs::create_dir(dir.path().join("logs")).expect("make the log directory");
        // The demo shares this file and brings a supervisor of its own.
        if let Some(supervisor) = option_env!("CARGO_BIN_EXE_supervisor") {
            fs::copy(supervisor, dir.path().join(SUPERVISOR)).expect("copy the supervisor");
        }
        let mut cluster = Self {
            protocol,
            genesis: genesis::make(&tools, dir.path(), protocol),
            preload: preload_where_needed(dir.path()),
            tools,
            ports: Ports::of_this_process(),
            always_on: Vec::new(),
            dir,
            network,
            _turn: turn,
        };
        cluster.start_always_on("bootstrap", cluster.genesis.bootstrap.clone(), None);
        cluster.await_bootstrap();
        cluster.start_always_on(
            "relay",
            cluster.genesis.relay.clone(),
            Some(cluster.address("bootstrap")),
        );
        cluster.await_relay_votes();
        // A leader's scheduler polls without a pause: a whole core in the node that nearly always leads.
        for process in &cluster.always_on {
            process.lower_priority_of_threads("solBnkTxSched");
        }
        cluster
    }

    /// The material for one of our nodes: "a" or "b". Its link names its unstaked key at first.
    pub(crate) fn node(&self, name: &str) -> Node {
        let dir = self.dir.path().join(name);
        fs::create_dir(&dir).expect("make the directory of a node");
        let node = Node {
            name: name.to_owned(),
            protocol: self.protocol,
            staked: self.genesis.ours.identity.clone(),
            unstaked: self.tools.new_key(&dir, "unstaked"),
            launch: Launch {
                identity: dir.join("identity.json"),
                ..self.launch(name, &self.genesis.ours, Some(self.address("bootstrap")))
            },
        };
        node.point_link_at(&node.unstaked.path);
        node
    }

    /// The supervisor that this test tries. A copy, so that no build meanwhile replaces what runs.
    pub(crate) fn supervisor(&self) -> PathBuf {
        self.dir.path().join(SUPERVISOR)
    }

    /// Starts any command as a process of this cluster, on the host of that name, its output in `<name>.log`.
    ///
    /// The process is killed when the calling thread ends, so call it from the thread that runs the test.
    pub(crate) fn spawn(
        &self,
        name: &str,
        argv: &[OsString],
        env: &[(OsString, OsString)],
    ) -> Process {
        Process::spawn(name, argv, env, &self.log(name), self.namespace(name))
    }

    /// Starts a node without a supervisor, with whatever identity its link names.
    pub(crate) fn start_bare(&self, node: &Node) -> Process {
        self.spawn(&node.name, &node.argv(), &node.env())
    }

    /// The chain and our votes on it, seen from the bootstrap.
    pub(crate) fn chain(&self) -> Chain {
        self.chain_with_votes_of(&self.genesis.ours)
    }

    /// The same with the votes of the relay, a validator that nobody touches.
    pub(crate) fn chain_of_relay(&self) -> Chain {
        self.chain_with_votes_of(&self.genesis.relay)
    }

    fn chain_with_votes_of(&self, voter: &Voter) -> Chain {
        let rpc = Rpc::new(self.address("bootstrap"), self.ports.rpc());
        Chain::new(rpc, &voter.vote_account, self.protocol)
    }

    /// The vote account of our identity, in base58.
    pub(crate) fn vote_account(&self) -> &str {
        &self.genesis.ours.vote_account
    }

    /// The network of a cluster that has one.
    pub(crate) fn network(&self) -> &Network {
        self.network.as_ref().expect("a cluster on hosts")
    }

    fn namespace(&self, name: &str) -> Option<&Namespace> {
        Some(self.network.as_ref()?.host(name).namespace())
    }

    fn address(&self, name: &str) -> Ipv4Addr {
        match &self.network {
            Some(network) => network.host(name).address(),
            None => loopback(name),
        }
    }

    /// The ledger directories of bootstrap and relay.
    pub(crate) fn ledgers_always_on(&self) -> [PathBuf; 2] {
        ["bootstrap", "relay"].map(|name| self.dir.path().join(name).join("ledger"))
    }

    /// The URLs of the RPC of bootstrap and relay.
    pub(crate) fn rpc_urls(&self) -> [String; 2] {
        let port = self.ports.rpc();
        ["bootstrap", "relay"].map(|name| format!("http://{}:{port}", self.address(name)))
    }

    /// What bootstrap and relay have printed.
    pub(crate) fn logs_always_on(&self) -> [String; 2] {
        ["bootstrap", "relay"].map(|name| fs::read_to_string(self.log(name)).unwrap_or_default())
    }

    fn log(&self, name: &str) -> PathBuf {
        self.dir.path().join("logs").join(format!("{name}.log"))
    }

    fn launch(&self, name: &str, voter: &Voter, entrypoint: Option<Ipv4Addr>) -> Launch {
        let ledger = self.dir.path().join(name).join("ledger");
        copy_tree(&self.genesis.ledger, &ledger);
        Launch {
            validator: self.tools.path("agave-validator"),
            address: self.address(name),
            ports: self.ports,
            ledger,
            identity: voter.identity.path.clone(),
            voter: voter.identity.path.clone(),
            vote_account: voter.vote_account.clone(),
            entrypoint,
            preload: self.preload.clone(),
        }
    }

    fn start_always_on(&mut self, name: &str, voter: Voter, entrypoint: Option<Ipv4Addr>) {
        let launch = self.launch(name, &voter, entrypoint);
        let process = self.spawn(name, &launch.argv(), &launch.env());
        self.always_on.push(process);
    }

    /// The RPC answers before the server that tells a joining node its address does.
    fn await_bootstrap(&mut self) {
        let [ledger, _] = self.ledgers_always_on();
        self.await_up("the bootstrap has started", |_| {
            admin::has_started(&ledger).then_some(())
        });
    }

    fn await_relay_votes(&mut self) {
        let chain = self.chain();
        let vote_account = self.genesis.relay.vote_account.clone();
        self.await_up("the relay's votes land", |_| {
            chain.last_vote_of(&vote_account).filter(|&slot| slot > 0)
        });
    }

    fn await_up<T>(&mut self, what: &str, mut probe: impl FnMut(&Self) -> Option<T>) -> T {
        until(what, START_WITHIN, || {
            for process in &mut self.always_on {
                assert!(!process.has_ended(), "{}: a node ended first", what);
            }
            probe(self)
        })
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            print_log_tails(&self.dir.path().join("logs"));
            let keeps = std::env::var_os("REAL_KEEP").is_some();
            self.dir.disable_cleanup(keeps);
        }
        self.always_on.clear();
        kill_all_naming(self.dir.path());
    }
}

/// Where the copy of the supervisor lies in the cluster's directory.
const SUPERVISOR: &str = "supervisor";

/// The machines of a cluster on a network of its own: the nodes, all etcd servers, and the test itself.
pub(crate) const HOSTS: [&str; 6] = ["bootstrap", "relay", "a", "b", "etcd", "test"];

/// Four validators take all of a small machine, so the tests, also those of another run, have it one after the other.
fn wait_for_turn() -> Flock<File> {
    let path = std::env::temp_dir().join("supervisor-real.lock");
    let file = File::create(&path).unwrap_or_else(|e| panic!("create {}: {e}", path.display()));
    Flock::lock(file, FlockArg::LockExclusive)
        .unwrap_or_else(|(_, e)| panic!("lock {}: {e}", path.display()))
}

/// Turbine counts nodes by address, so every node has its own.
fn loopback(name: &str) -> Ipv4Addr {
    let host = match name {
        "bootstrap" => 1,
        "relay" => 2,
        "a" => 3,
        "b" => 4,
        _ => panic!("no address is set aside for a node {name}"),
    };
    Ipv4Addr::new(127, 0, 0, host)
}

/// Compiles the library that answers for the open-file limit, where the limit cannot be raised.
fn preload_where_needed(dir: &Path) -> Option<PathBuf> {
    let (_, hard) = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE)
        .expect("read the open-file limit");
    if hard >= OPEN_FILES_WANTED {
        return None;
    }
    let library = dir.join("preload.so");
    let status = Command::new("cc")
        .args(["-O1", "-shared", "-fPIC", "-o"])
        .arg(&library)
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/real/preload.c"))
        .status()
        .expect("run cc");
    assert!(status.success(), "cc: {status}");
    Some(library)
}

fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap_or_else(|e| panic!("make {}: {e}", to.display()));
    for entry in fs::read_dir(from).unwrap_or_else(|e| panic!("read {}: {e}", from.display())) {
        let source = entry.expect("read a directory entry").path();
        let target = to.join(source.file_name().expect("an entry has a name"));
        if source.is_dir() {
            copy_tree(&source, &target);
        } else {
            fs::copy(&source, &target).unwrap_or_else(|e| panic!("copy {}: {e}", source.display()));
        }
    }
}

fn print_log_tails(logs: &Path) {
    let Ok(entries) = fs::read_dir(logs) else {
        return;
    };
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        let text = fs::read(&path).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        // A validator says much more than its supervisor.
        let own: Vec<&str> = lines
            .iter()
            .filter(|line| line.starts_with("20"))
            .copied()
            .collect();
        for (what, lines) in [("lines", lines), ("of a supervisor's own", own)] {
            let tail = &lines[lines.len().saturating_sub(LOG_TAIL_LINES)..];
            if !tail.is_empty() {
                eprintln!("== {} (last {} {what})", path.display(), tail.len());
            }
            tail.iter().for_each(|line| eprintln!("{line}"));
        }
    }
}
