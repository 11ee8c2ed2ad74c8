//! The authority `peer`: nodes on loopback that keep each other's record and promise each other terms.

mod access;
mod certificates;
mod claims;
#[path = "../etcd_authority/ears.rs"]
mod ears;
mod flood;
mod node;
mod protocol;
mod replay;
mod revoked;
mod rogue;
mod secrets;
