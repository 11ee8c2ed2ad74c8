//! Tests against a real cluster of unmodified agave-validator processes, in Tower BFT and in Alpenglow.
//!
//! Run by `make test-real`, which builds the validator once and sets `SUPERVISOR_AGAVE_BIN`; without that variable
//! every test here fails. Each test starts its own cluster; clusters run one after the other.

mod admin;
mod capture;
mod chain;
mod cluster;
mod commits;
mod failover;
mod genesis;
mod handover;
mod launch;
mod manual;
mod node;
mod pair;
mod process;
mod rpc;
mod score;
mod supervised;
mod supervisor;
mod until;
mod verdict;
mod vote_log;
