//! How an operator talks to a running supervisor: the words on the wire, the unix socket that
//! takes them, the client that sends them, and the text a person reads.
//!
//! It decides nothing about roles or votes: a request becomes a [`server::Call`] for the daemon's
//! loop, and the answer is whatever the loop sends back. A client that is slow, hostile or gone
//! costs the daemon nothing: every hand-over to it is a bounded channel that is never waited for.
//!
//! ```text
//! operator -> client ~~ ctl.sock ~~ access -> connection -> server::Event -> daemon's loop
//!                <- render <- wire::Reply <- connection <- bounded channel <-'
//! ```

pub mod access;
pub mod client;
mod connection;
pub mod http;
pub mod metrics;
pub mod render;
pub mod server;
pub mod socket;
pub mod status;
pub mod time;
pub mod wire;
