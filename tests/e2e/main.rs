//! The supervisor's binary as an operator runs it, around a stand-in validator, before a chain that judges every vote.
//!
//! Some of these tests mount file systems, so they need root; they say so where they do not have it.

mod admin_socket;
mod bad_input;
mod behind_gate;
mod child;
mod ctl;
mod demotion;
mod disk;
mod ending;
mod gate;
mod identity;
mod lab;
mod leftover;
mod life;
mod limits;
mod machine;
mod metrics;
mod pki;
mod probes;
mod restored;
mod script;
