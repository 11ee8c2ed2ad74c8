//! One of our nodes: a validator that may carry the staked identity. Says where everything is, starts nothing.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use validator_supervisor::engine::values::RecordKind;
use validator_supervisor::validator::pubkey::Pubkey;
use validator_supervisor::validator::record;

use crate::genesis::{Key, Protocol};
use crate::launch::Launch;
use crate::rpc::Rpc;

/// What starts and observes one of our validators.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) name: String,
    /// The identity that holds the stake: the same key for every one of our nodes.
    pub(crate) staked: Key,
    /// This node's own spare identity.
    pub(crate) unstaked: Key,
    pub(super) protocol: Protocol,
    pub(super) launch: Launch,
}

impl Node {
    /// The command line of agave-validator, program first: `--identity` is the link, `--authorized-voter` the
    /// staked key.
    pub(crate) fn argv(&self) -> Vec<OsString> {
        self.launch.argv()
    }

    /// What the validator needs in its environment beside ours.
    pub(crate) fn env(&self) -> Vec<(OsString, OsString)> {
        self.launch.env()
    }

    pub(crate) fn ledger(&self) -> &Path {
        &self.launch.ledger
    }

    /// The symbolic link that the command line names as `--identity`; it names the unstaked key at first.
    pub(crate) fn identity_link(&self) -> &Path {
        &self.launch.identity
    }

    /// Makes the identity link name `keypair`, replacing it at once.
    pub(crate) fn point_link_at(&self, keypair: &Path) {
        let next = self.identity_link().with_extension("next");
        symlink(keypair, &next).expect("make the identity link");
        fs::rename(&next, self.identity_link()).expect("replace the identity link");
    }

    pub(crate) fn rpc(&self) -> Rpc {
        Rpc::new(self.launch.address, self.launch.ports.rpc())
    }

    /// The vote record of the staked identity, once there is one.
    pub(crate) fn record_file(&self) -> Option<PathBuf> {
        let name = record::file_name(self.kind(), &self.staked_pubkey());
        Some(self.ledger().join(name)).filter(|path| path.exists())
    }

    /// The highest slot that the vote record of the staked identity holds, once there is one.
    pub(crate) fn last_recorded_slot(&self) -> Option<u64> {
        let bytes = fs::read(self.record_file()?).expect("read the vote record");
        let record = record::parse(self.kind(), &bytes, &self.staked_pubkey())
            .unwrap_or_else(|e| panic!("the validator's own record: {e}"));
        Some(record.last_slot)
    }

    fn kind(&self) -> RecordKind {
        match self.protocol {
            Protocol::TowerBft => RecordKind::Tower,
            Protocol::Alpenglow => RecordKind::VoteHistory,
        }
    }

    fn staked_pubkey(&self) -> Pubkey {
        self.staked
            .pubkey
            .parse()
            .expect("solana-keygen prints a public key")
    }
}
