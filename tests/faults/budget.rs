//! Measured gaps beside what the design allows. They are printed, not judged: the machine of a test is too busy for that.

use crate::lab::TTL_MS;

const SLOT_MS: u64 = 50;
/// The child is killed: to the first vote of the standby.
pub(crate) const CHILD_KILLED_MS: u64 = 1_000 + SLOT_MS;
/// The host is cut off, or dead.
pub(crate) const CUT_OFF_MS: u64 = TTL_MS + 1_500 + SLOT_MS;

pub(crate) fn print(what: &str, gap_ms: u64, budget_ms: u64) {
    println!("{what}: {gap_ms} ms without a vote (budget {budget_ms} ms)");
}
