//! The supervisor of a Solana validator. It runs the validator as its child, decides which identity it carries, and lets
//! no vote out before the vote's record is safe where the next holder will find it.
//!
//! # The layers
//!
//! ```text
//! main ──> cli                 the command line
//!   ├────> ctl::client         `supervisor ctl`
//!   ├────> pki                 `supervisor pki`: certificates
//!   └────> daemon              `supervisor run` and `supervisor check`: the loop, the clock, signals, logs
//!             │
//!             ├──> engine      decides everything; pure: no clock, no IO, no threads
//!             ├──> validator   the child: process, vote gate, admin RPC, record files, keys, identity link
//!             ├──> authority   who may vote, and where the record is kept
//!             ├──> probe       observes; never judges
//!             ├──> ctl         control socket: wire types, server, texts
//!             └──> config      one strict TOML file
//! ```
//!
//! `validator`, `authority`, `probe` and `ctl` import the engine's value types and their own section of the
//! configuration, never each other and never `daemon`. `engine` imports nothing but `std`. A test holds these arrows.
//!
//! # One turn of the loop
//!
//! ```text
//! signal, ctl, gate, probe, outcome ──Event──> daemon ──Input──> Engine::step ──Effect──> daemon performs it
//!                                                 ^                                          │
//!                                                 └──────────────── its outcome ─────────────┘
//! ```
//!
//! The promise rests on the order in which things are *completed*: the effect that gives the child the staked identity
//! exists only after "term held" and "record durable here" have come back as inputs.
//!
//! A vote is not on this path. The gate has two threads of its own and asks the authority directly, so that nothing else
//! that the supervisor does can delay a vote.
//!
//! # Where to start reading
//!
//! 1. [`engine::table`]: every role, every transition, and the sentence for each
//! 2. [`engine::Engine::step`]: how a transition comes about
//! 3. [`validator::gate`]: where a vote waits, and why it fails closed
//! 4. [`authority::local`]: what "committed" means
//! 5. [`daemon`]: how the parts are joined

pub mod authority;
pub mod cli;
pub mod config;
pub mod ctl;
pub mod daemon;
pub mod engine;
pub mod pki;
pub mod probe;
pub mod validator;
