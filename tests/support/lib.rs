//! What the end-to-end tests stand on: a chain that takes in votes, and the judge of those votes.
//!
//! It is a crate of its own so that a test, the demo and the stand-in validator share it compiled once.
//! Nothing here is shipped, and nothing here knows the supervisor: what it says about a vote comes
//! from the vote alone.
//!
//! - [`chain`]: the chain, with its cluster JSON-RPC
//! - [`judge`]: pure; what is wrong with a stream of sent votes
//! - [`wire`]: what a stand-in and the chain tell each other
//! - [`tower`], [`history`]: the state behind each kind of vote
//! - [`encode`], [`record`]: vote records as bytes, and back
//! - [`keys`]: keypair files
//! - [`faults`]: the trouble that a stand-in can be asked for
//! - [`stand_in`]: starting stand-ins
//! - [`held`]: programs held where they open a file
//! - [`node`]: starting supervisors around them
//! - [`flight`]: what a supervisor recorded of its steps
//! - [`http`], [`rpc`]: JSON-RPC over HTTP, and its answers
//! - [`children`]: programs that end with the test
//! - [`lone_rpc`]: an RPC node that says what it is told
//! - [`etcd`]: real etcd servers
//! - [`certificates`]: sound and flawed ones
//! - [`netns`]: networks of the test's own
//! - [`relay`]: a way to a server that a test holds and cuts
//! - [`wall_clock`]: the wall clock of chosen programs

pub mod certificates;
pub mod chain;
mod chain_link;
mod chain_shared;
mod chain_state;
pub mod children;
pub mod encode;
pub mod etcd;
mod etcd_faults;
mod etcd_gateway;
mod etcd_member;
mod etcd_options;
pub mod faults;
pub mod flight;
pub mod held;
pub mod history;
pub mod http;
pub mod judge;
pub mod keys;
pub mod lone_rpc;
mod net_switch;
pub mod netns;
mod network;
pub mod node;
pub mod record;
pub mod relay;
pub mod rpc;
pub mod stand_in;
pub mod tower;
mod tun;
pub mod wall_clock;
pub mod wire;
