//! The supervisor of a Solana validator.

pub mod authority;
pub mod cli;
pub mod config;
pub mod ctl;
pub mod daemon;
pub mod engine;
pub mod probe;
pub mod validator;
