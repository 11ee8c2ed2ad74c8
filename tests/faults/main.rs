//! Whole supervisors with their validators on real etcd, and everything that can go wrong between them.
//!
//! Each test is one fault, or one kind of it, and can be run alone: `cargo test --test faults -- --list`. All end with
//! [`lab::Lab::end`]: one node votes within a stated time after healing, the judge of the chain finds no conflict in the votes
//! of all nodes, and each vote is the one that etcd had before it ([`ledger`]). Those with a network of their own take root, and so do
//! those that hold a supervisor where it opens a file ([`hold`]).

mod budget;
mod choice;
mod etcd_pair;
mod etcd_servers;
mod fence;
mod found_out;
mod handover;
mod hold;
mod lab;
mod ledger;
mod lost_thread;
mod network;
mod pair;
mod pause;
mod peer;
mod peer_again;
mod peer_gone;
mod processes;
mod rolling;
mod scene;
mod seen;
mod silence;
mod small_disk;
mod steps;
mod steps_table;
mod stopped;
mod storm;

use testkit::node::SOON_MS;
