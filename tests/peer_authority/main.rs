//! The authority `peer`: nodes on loopback that keep each other's record and promise each other terms.

mod access;
mod node;
mod protocol;
