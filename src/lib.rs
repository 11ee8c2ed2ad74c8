//! The supervisor of a Solana validator.

pub mod engine;
