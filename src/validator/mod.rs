//! Everything about the validator process that is not a decision: its records, its identity, its
//! admin socket, the process itself and the gate in it.

pub mod admin_rpc;
pub mod command_line;
pub mod gate;
pub mod identity_link;
pub mod identity_link_watch;
pub mod keypair;
pub mod ledger_lock;
pub mod limits;
pub mod paths;
pub mod process;
pub mod pubkey;
pub mod record;
