//! Keys and the genesis ledger of a cluster of three staked validators: bootstrap, relay and ours.
//!
//! Starts nothing. Stakes are such that the bootstrap alone is a supermajority, so that the chain goes on whatever
//! happens to our nodes, and such that our identity leads less than one slot in a hundred.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Which consensus the genesis ledger switches on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    TowerBft,
    Alpenglow,
}

/// A keypair file and its public key in base58.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub(crate) path: PathBuf,
    pub(crate) pubkey: String,
}

/// A validator that genesis gives stake.
#[derive(Clone, Debug)]
pub(crate) struct Voter {
    pub(crate) identity: Key,
    pub(crate) vote_account: String,
    stake_account: String,
    bls_pubkey: Option<String>,
}

/// The directory of the agave binaries, with what they are used for here.
#[derive(Debug)]
pub(crate) struct Tools {
    bin: PathBuf,
}

/// A ledger that holds genesis and nothing else, and who votes in it.
#[derive(Debug)]
pub(crate) struct Genesis {
    pub(crate) ledger: PathBuf,
    pub(crate) bootstrap: Voter,
    pub(crate) relay: Voter,
    pub(crate) ours: Voter,
}

const LAMPORTS_PER_SOL: u64 = 1_000_000_000;
const BOOTSTRAP_STAKE_SOL: u64 = 1000;
const RELAY_STAKE_SOL: u64 = 150;
const OUR_STAKE_SOL: u64 = 10;
const BALANCE_SOL: u64 = 500;
const FAUCET_LAMPORTS: u64 = 500 * LAMPORTS_PER_SOL;

impl Tools {
    /// Takes the directory from `SUPERVISOR_AGAVE_BIN`; a test without it fails, it is never skipped.
    pub(crate) fn from_env() -> Self {
        let bin = std::env::var_os("SUPERVISOR_AGAVE_BIN").unwrap_or_else(|| {
            panic!(
                "SUPERVISOR_AGAVE_BIN is not set: it names the directory of agave-validator, solana-genesis and \
                 solana-keygen. Run these tests by `make test-real`, which builds them once"
            )
        });
        let tools = Self { bin: bin.into() };
        for name in ["agave-validator", "solana-genesis", "solana-keygen"] {
            let path = tools.path(name);
            assert!(
                path.is_file(),
                "{} does not exist: run tests/real/build-agave",
                path.display()
            );
        }
        tools
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.bin.join(name)
    }

    /// Makes a keypair file `<dir>/<name>.json`, readable by its owner only.
    pub(crate) fn new_key(&self, dir: &Path, name: &str) -> Key {
        let path = dir.join(format!("{name}.json"));
        self.run(
            Command::new(self.path("solana-keygen"))
                .args(["new", "--no-bip39-passphrase", "--silent", "--outfile"])
                .arg(&path),
        );
        let pubkey = self.run(
            Command::new(self.path("solana-keygen"))
                .arg("pubkey")
                .arg(&path),
        );
        Key { path, pubkey }
    }

    fn new_voter(&self, dir: &Path, name: &str, protocol: Protocol) -> Voter {
        let identity = self.new_key(dir, &format!("{name}-identity"));
        // An Alpenglow vote is signed with a key that the validator derives from its authorized voter.
        let bls_pubkey = (protocol == Protocol::Alpenglow).then(|| {
            self.run(
                Command::new(self.path("solana-keygen"))
                    .arg("bls_pubkey")
                    .arg(&identity.path),
            )
        });
        Voter {
            vote_account: self.new_key(dir, &format!("{name}-vote")).pubkey,
            stake_account: self.new_key(dir, &format!("{name}-stake")).pubkey,
            identity,
            bls_pubkey,
        }
    }

    /// Runs one tool to its end and gives its trimmed output.
    fn run(&self, command: &mut Command) -> String {
        let output = command
            .env("RUST_LOG", "error")
            .output()
            .unwrap_or_else(|e| panic!("run {command:?}: {e}"));
        assert!(
            output.status.success(),
            "{command:?}: {}\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }
}

/// Makes all keys under `<dir>/keys` and the ledger under `<dir>/genesis`.
pub(crate) fn make(tools: &Tools, dir: &Path, protocol: Protocol) -> Genesis {
    let keys = dir.join("keys");
    fs::create_dir(&keys).expect("make the key directory");
    let genesis = Genesis {
        ledger: dir.join("genesis"),
        bootstrap: tools.new_voter(&keys, "bootstrap", protocol),
        relay: tools.new_voter(&keys, "relay", protocol),
        ours: tools.new_voter(&keys, "staked", protocol),
    };
    let accounts = dir.join("validator-accounts.yml");
    fs::write(&accounts, accounts_file(&genesis)).expect("write the validator accounts");

    let bootstrap = &genesis.bootstrap;
    let mut command = Command::new(tools.path("solana-genesis"));
    command
        .args(["--cluster-type", "development"])
        .args(["--hashes-per-tick", "sleep"])
        .arg("--bootstrap-validator")
        .args([
            &bootstrap.identity.pubkey,
            &bootstrap.vote_account,
            &bootstrap.stake_account,
        ])
        .args([
            "--bootstrap-validator-stake-lamports",
            &(BOOTSTRAP_STAKE_SOL * LAMPORTS_PER_SOL).to_string(),
        ])
        .arg("--validator-accounts-file")
        .arg(&accounts)
        // Without these two the tool reads the keypair of the user's own wallet, and fails where there is none.
        .args(["--faucet-pubkey", &bootstrap.identity.pubkey])
        .args(["--faucet-lamports", &FAUCET_LAMPORTS.to_string()])
        .arg("--ledger")
        .arg(&genesis.ledger);
    if let Some(bls_pubkey) = &bootstrap.bls_pubkey {
        command.args([
            "--alpenglow",
            "--bootstrap-validator-bls-pubkey",
            bls_pubkey,
        ]);
    }
    tools.run(&mut command);
    genesis
}

fn accounts_file(genesis: &Genesis) -> String {
    let voters = [
        (&genesis.relay, RELAY_STAKE_SOL),
        (&genesis.ours, OUR_STAKE_SOL),
    ];
    let entries = voters.map(|(voter, stake_sol)| {
        let mut entry = format!(
            "- balance_lamports: {}\n  stake_lamports: {}\n  identity_account: {}\n  vote_account: {}\n  stake_account: {}\n",
            BALANCE_SOL * LAMPORTS_PER_SOL,
            stake_sol * LAMPORTS_PER_SOL,
            voter.identity.pubkey,
            voter.vote_account,
            voter.stake_account,
        );
        if let Some(bls_pubkey) = &voter.bls_pubkey {
            entry.push_str(&format!("  bls_pubkey: {bls_pubkey}\n"));
        }
        entry
    });
    format!("validator_accounts:\n{}", entries.concat())
}
