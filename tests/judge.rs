//! The judge, the stand-in chain and the stand-in validator, tested by themselves: what the other
//! end-to-end tests trust.

#[path = "judge/alpenglow_streams.rs"]
mod alpenglow_streams;
#[path = "judge/bare.rs"]
mod bare;
#[path = "judge/chain_rpc.rs"]
mod chain_rpc;
#[path = "judge/crafted.rs"]
mod crafted;
#[path = "judge/marks.rs"]
mod marks;
#[path = "judge/stand_in_admin.rs"]
mod stand_in_admin;
#[path = "judge/stand_in_faults.rs"]
mod stand_in_faults;
#[path = "judge/stand_in_votes.rs"]
mod stand_in_votes;
#[path = "judge/tower_streams.rs"]
mod tower_streams;
