//! Everything about the validator process that is not a decision: its records, its identity, its
//! admin socket, the process itself and the gate in it.

pub mod admin_rpc;
pub mod pubkey;
pub mod record;
