//! The local authority under the worst that a machine can do: killed at every system call, a full disk, a disk that turns
//! read-only, damaged files. What was reported as committed is there; what was there stays, or what was to come is there.

#[path = "local_authority/damage.rs"]
mod damage;
#[path = "local_authority/disk.rs"]
mod disk;
#[path = "local_authority/kill.rs"]
mod kill;
#[path = "local_authority/order.rs"]
mod order;
#[path = "local_authority/step.rs"]
mod step;

use std::path::Path;
use validator_supervisor::authority::local::Local;
use validator_supervisor::engine::values::{RecordKind, RecordMark, Term};

const IDENTITY: [u8; 32] = [7; 32];

fn open(dir: &Path) -> Local {
    Local::open(dir, IDENTITY).unwrap_or_else(|error| panic!("{}: {error}", dir.display()))
}

fn mark(term: Term, slot: u64) -> RecordMark {
    RecordMark {
        term,
        seq: slot,
        slot,
        kind: RecordKind::Tower,
    }
}

/// A record that is as long as its slot says, so that lengths grow and shrink.
fn bytes(slot: u64) -> Vec<u8> {
    vec![slot as u8; 100 + (slot as usize * 37) % 300]
}

/// With what the gate has it do after the vote.
fn commit(local: &Local, term: Term, slot: u64) {
    commit_alone(local, term, slot);
    local.settle().expect("a disk that is well");
}

/// The newest record is left with the older name.
fn commit_alone(local: &Local, term: Term, slot: u64) {
    local
        .commit(mark(term, slot), &bytes(slot))
        .expect("a commit on a disk that is well");
}

/// Slot of the newest record, whose bytes are checked.
fn newest(local: &Local) -> Option<u64> {
    let record = local.record().expect("a whole record")?;
    assert_eq!(
        record.bytes,
        bytes(record.mark.slot),
        "the bytes of slot {}",
        record.mark.slot
    );
    Some(record.mark.slot)
}
