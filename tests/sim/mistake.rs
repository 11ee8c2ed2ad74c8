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
    /// The change to the unstaked identity is answered and not made.
    UnstakeThatLies,
    /// A handover sends the record before the mute, and keeps for itself what is committed after it.
    RecordSentBeforeTheMute,
    /// Who is told of an end, or promised a term, gets the record that it lacks afterwards.
    TermPassedBeforeTheRecord,
    /// Who has passed its term on takes the next one all the same, where the heir does not vote in time.
    BothResumeAfterAFailedHandover,
    /// A record is acknowledged before it is on the disk.
    KeptBeforeTheDisk,
    /// A record is acknowledged under a term that is not promised any more.
    KeptUnderAnOldPromise,
    /// What an earlier process held is given to a node before all others are heard.
    GivenAwayUnheard,
    /// A promise is given and not written.
    PromiseNotOnTheDisk,
    /// A holder promises a term to another node, and goes on.
    PromisedWhileHolding,
    /// A process does without the others by what an earlier one held.
    RightOutlivesItsProcess,
    /// A record is committed without the nodes in step.
    CommittedWithoutTheOthers,
    /// A node that is not heard is taken for dead.
    SilenceTakenForDeath,
    /// A link that is lost counts as a promise.
    LossTakenAsAPromise,
    /// A node that comes back, and one that is promised a term, gets no record that it has missed.
    MissedRecordsNotSent,
}

impl Mistake {
    /// Those to find in a world with a store, or with a single node.
    pub(crate) const WITH_A_STORE: [Self; 17] = [
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

    /// Those to find among nodes that have nobody above them.
    pub(crate) const AMONG_PEERS: [Self; 20] = [
        Self::RecordSentBeforeTheMute,
        Self::TermPassedBeforeTheRecord,
        Self::BothResumeAfterAFailedHandover,
        Self::KeptBeforeTheDisk,
        Self::KeptUnderAnOldPromise,
        Self::GivenAwayUnheard,
        Self::PromiseNotOnTheDisk,
        Self::PromisedWhileHolding,
        Self::RightOutlivesItsProcess,
        Self::CommittedWithoutTheOthers,
        Self::SilenceTakenForDeath,
        Self::LossTakenAsAPromise,
        Self::MissedRecordsNotSent,
        Self::VoteBeforeCommit,
        Self::UnknownCommitTakenAsDone,
        Self::InstallKeepsTheOldRecord,
        Self::DeathBelievedTooEarly,
        Self::MuteThatLies,
        Self::UnstakeThatLies,
        Self::StaleChildLeftAlone,
    ];
}
