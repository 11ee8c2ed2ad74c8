//! The authority `peer`: nodes on loopback that keep each other's record and promise each other terms.

mod access;
#[path = "../etcd_authority/ears.rs"]
mod ears;
mod node;
mod protocol;
