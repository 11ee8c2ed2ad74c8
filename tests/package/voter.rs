//! A machine with the package installed and set up for a stand-in validator, as its files tell an operator to.

use std::path::PathBuf;

use serde_json::Value;
use testkit::chain::{Chain, ChainSpec};
use testkit::keys;
use testkit::node::free_port;
use testkit::stand_in::{Protocol, StandIn, binary, until};

use crate::machine::Machine;

pub(crate) const UNIT: &str = "validator-supervisor.service";
const DEB: &str = "/var/tmp/validator-supervisor.deb";
const SOON_MS: u64 = 60_000;

/// A machine on which the package is installed, and nothing else done.
pub(crate) fn installed() -> Machine {
    let deb = std::env::var_os("SUPERVISOR_DEB")
        .map(PathBuf::from)
        .expect("the package in SUPERVISOR_DEB; run `make test-package`");
    let machine = Machine::boot();
    machine.copy(&deb, DEB);
    machine.must(&["dpkg", "--install", DEB]);
    machine
}

/// Installs the same package over itself.
#[track_caller]
pub(crate) fn upgrade(machine: &Machine) -> String {
    machine.must(&["dpkg", "--install", DEB])
}

/// An installed machine with keys, ledger, start script and configuration of the user `sol`.
pub(crate) struct Voter {
    pub(crate) machine: Machine,
    pub(crate) chain: Chain,
    /// Its files lie in `/home/sol` of the machine.
    node: StandIn,
    rpc_port: u16,
}

impl Voter {
    pub(crate) fn new() -> Self {
        let machine = installed();
        let staked = keys::from_seed("the staked identity");
        let account = keys::address_from_seed("the vote account");
        let chain =
            Chain::start(ChainSpec::new(100).vote_account(&account, &keys::address(&staked)))
                .expect("a chain");
        machine.must(&["useradd", "--create-home", "sol"]);
        let home = machine.path("/home/sol");
        let mut node = StandIn::new(&home, "a", chain.addr(), Protocol::Tower, &account, &staked)
            .expect("a stand-in");
        node.dir = "/home/sol".into();
        // Named as in the package's configuration.
        for name in ["staked", "unstaked"] {
            let (from, to) = (format!("{name}.json"), format!("{name}-identity.json"));
            std::fs::rename(home.join(from), home.join(to)).expect("a renamed keypair");
        }
        let rpc_port = free_port().expect("a port");
        node.more = ["--rpc-port".to_owned(), rpc_port.to_string()].to_vec();
        let voter = Self {
            machine,
            chain,
            node,
            rpc_port,
        };
        voter.copy_validator();
        voter.configure();
        voter
    }

    fn copy_validator(&self) {
        let machine = &self.machine;
        machine.must(&["mkdir", "/home/sol/bin"]);
        machine.copy(
            &binary().expect("the stand-in"),
            "/home/sol/bin/stand-in-validator",
        );
        let script = format!(
            "#!/bin/sh\nexec /home/sol/bin/stand-in-validator {}\n",
            self.node
                .args()
                .join(" ")
                .replace("/staked.json", "/staked-identity.json")
        );
        std::fs::write(machine.path("/home/sol/bin/validator.sh"), script)
            .expect("the start script");
        machine.must(&["chmod", "755", "/home/sol/bin/validator.sh"]);
        self.point_link("unstaked-identity.json");
        self.faults(&[]);
    }

    pub(crate) fn point_link(&self, to: &str) {
        self.machine
            .must(&["ln", "-sfn", to, "/home/sol/identity.json"]);
    }

    /// The package's own files, edited where they say so.
    fn configure(&self) {
        let edit = |path: &str, from: &str, to: &str| {
            let path = self.machine.path(path);
            let text = std::fs::read_to_string(&path).expect("a file of the package");
            assert!(text.contains(from), "no {from} in {}", path.display());
            std::fs::write(path, text.replace(from, to)).expect("an edited file");
        };
        let config = "/etc/validator-supervisor/config.toml";
        edit(
            config,
            "#ledger = \"/mnt/ledger\"",
            "ledger = \"/home/sol/ledger\"",
        );
        edit(
            config,
            "#tower = \"/mnt/ledger\"",
            "tower = \"/home/sol/tower\"",
        );
        edit(
            config,
            "#rpc = \"http://127.0.0.1:8899\"",
            &format!("rpc = \"http://127.0.0.1:{}\"", self.rpc_port),
        );
        edit("/etc/default/validator-supervisor", "#COMMAND=", "COMMAND=");
    }

    pub(crate) fn faults(&self, pairs: &[(&str, &str)]) {
        testkit::faults::write(&self.machine.path("/home/sol/faults"), pairs).expect("the faults");
        self.machine.must(&["chown", "-R", "sol:sol", "/home/sol"]);
    }

    pub(crate) fn status(&self) -> Option<Value> {
        let output = self.machine.run(&["supervisor", "ctl", "--json", "status"]);
        let line: Value = serde_json::from_slice(&output.stdout).ok()?;
        Some(line.get("status").cloned().unwrap_or(line))
    }

    #[track_caller]
    pub(crate) fn await_role(&self, role: &str) {
        let came = until(SOON_MS, || {
            self.status().is_some_and(|status| status["role"] == role)
        });
        assert!(
            came,
            "not {role} but {:?}\n{}",
            self.status(),
            self.machine.journal()
        );
    }

    #[track_caller]
    pub(crate) fn await_votes(&self, more: usize) {
        let before = self.chain.votes().len();
        let came = self
            .chain
            .wait(SOON_MS, |votes| votes.len() >= before + more);
        assert!(came, "no {more} more votes\n{}", self.machine.journal());
    }

    /// Starts the unit and promotes it to its first vote.
    #[track_caller]
    pub(crate) fn vote(&self, unit: &str) {
        self.machine.must(&["systemctl", "start", unit]);
        self.await_role("standby");
        self.machine
            .must(&["supervisor", "ctl", "promote", "--first-vote"]);
        self.await_votes(3);
    }
}
