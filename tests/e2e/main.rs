//! The supervisor's binary as an operator runs it, around a stand-in validator, before a chain that judges every vote.

mod lab;
mod life;
