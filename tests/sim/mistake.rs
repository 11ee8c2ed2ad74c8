//! Mistakes put into the world around the engine on purpose. The simulation has to notice every one of them.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mistake {
    /// The gate lets the vote go and commits it afterwards.
    VoteBeforeCommit,
    /// An unknown outcome of a commit is taken for "done".
    UnknownCommitTakenAsDone,
    /// The store compares neither the term nor the record's revision.
    StoreWithoutTermCompare,
    /// The record comes from a read before the acquisition.
    RecordReadBeforeTheFence,
    /// The record that the authority gave is not installed.
    InstallKeepsTheOldRecord,
    /// The child is reported dead when SIGKILL is sent, not when it is reaped.
    DeathBelievedTooEarly,
    /// The mute answers "done" and does nothing.
    MuteThatLies,
    /// The engine is told of a lease that lasts and lasts.
    LeaseToldTooLong,
    /// A lease is counted from the answer of a keepalive, with a bit on top.
    LeaseCountedFromTheAnswer,
    /// The marker of the admin thread is taken for that of the voting thread.
    MarkerOfTheWrongThread,
    /// A gate without a supervisor lets everything through.
    GateOpensWhenTheSupervisorDies,
    /// The parking is answered and not written.
    ParkingNotWritten,
    /// The local record is answered before it is on the disk.
    LocalRecordNotSynced,
    /// A handover loses the term.
    TermPassedToNobody,
    /// The release is answered and not sent.
    ReleaseNotSent,
    /// A commit that is answered long after the lease lets its vote go.
    GateForgetsTheLease,
    /// A restarted supervisor leaves the old child alone.
    StaleChildLeftAlone,
}

impl Mistake {
    pub(crate) const ALL: [Self; 17] = [
        Self::VoteBeforeCommit,
        Self::UnknownCommitTakenAsDone,
        Self::StoreWithoutTermCompare,
        Self::RecordReadBeforeTheFence,
        Self::InstallKeepsTheOldRecord,
        Self::DeathBelievedTooEarly,
        Self::MuteThatLies,
        Self::LeaseToldTooLong,
        Self::LeaseCountedFromTheAnswer,
        Self::MarkerOfTheWrongThread,
        Self::GateOpensWhenTheSupervisorDies,
        Self::ParkingNotWritten,
        Self::LocalRecordNotSynced,
        Self::TermPassedToNobody,
        Self::ReleaseNotSent,
        Self::GateForgetsTheLease,
        Self::StaleChildLeftAlone,
    ];
}
