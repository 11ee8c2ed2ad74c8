//! The vote records on the disks of the two machines, as the supervisors keep them.

use std::path::Path;

use testkit::stand_in::until;
use validator_supervisor::authority::stored::{StoredRecord, read_record};

use crate::machine::SOON;
use crate::stage::{Failure, Stage, millis};

/// The newest record of `voter`, once `other` has the same. Each vote makes a new one meanwhile.
pub(crate) fn same_record(
    stage: &dyn Stage,
    voter: &str,
    other: &str,
) -> Result<StoredRecord, Failure> {
    let on_disk = |name: &str| records(&stage.machine(name).state_dir());
    let mut same = None;
    let _ = until(millis(SOON), || {
        let newest = on_disk(voter).into_iter().max_by_key(|it| it.mark.seq);
        same = newest.filter(|newest| on_disk(other).contains(newest));
        same.is_some()
    });
    same.ok_or_else(|| Failure(format!("{other} does not have the records of {voter}")))
}

/// The newest one and the one before, of which one may be half written.
fn records(state_dir: &Path) -> Vec<StoredRecord> {
    let files = ["record", "record.older"].map(|name| std::fs::read(state_dir.join(name)));
    let forms = files.iter().flatten();
    forms.filter_map(|form| read_record(form).ok()).collect()
}
