//! Tests against a real cluster of unmodified agave-validator processes, in Tower BFT and in Alpenglow.
//!
//! Run by `make test-real`, which builds the validator once and sets `SUPERVISOR_AGAVE_BIN`; without that variable
//! every test here fails. Each test starts its own cluster; clusters run one after the other.

mod admin;
mod bare_node;
mod capture;
mod chain;
mod cluster;
mod genesis;
mod launch;
mod node;
mod process;
mod rpc;
mod supervised;
mod until;
mod vote_log;
