//! Mistakes put into the protocol around the engine on purpose. The model has to find a counterexample for every one of them.

use crate::bound::Bound;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Mistake {
    TermNotCompared,
    RecordNotCompared,
    HolderNotCompared,
    RecordReadBeforeTheFence,
    StaleReadTrusted,
    TermNotTakenAnew,
    TermTakenFromTheAnswer,
    PassedWithoutTheLease,
    UnknownTakenAsSuccess,
    UnknownTakenAsFailure,
    VoteBeforeTheAnswer,
    LateAnswerAccepted,
    LeaseCountedFromTheAnswer,
    LeaseForgottenAtTheGate,
    GateOpenOverALostTerm,
    DeathBelievedTooEarly,
    GateOpenWithoutSupervisor,
    RecordNotInstalled,
}

impl Mistake {
    pub(crate) const ALL: [Self; 18] = [
        Self::TermNotCompared,
        Self::RecordNotCompared,
        Self::HolderNotCompared,
        Self::RecordReadBeforeTheFence,
        Self::StaleReadTrusted,
        Self::TermNotTakenAnew,
        Self::TermTakenFromTheAnswer,
        Self::PassedWithoutTheLease,
        Self::UnknownTakenAsSuccess,
        Self::UnknownTakenAsFailure,
        Self::VoteBeforeTheAnswer,
        Self::LateAnswerAccepted,
        Self::LeaseCountedFromTheAnswer,
        Self::LeaseForgottenAtTheGate,
        Self::GateOpenOverALostTerm,
        Self::DeathBelievedTooEarly,
        Self::GateOpenWithoutSupervisor,
        Self::RecordNotInstalled,
    ];

    /// What is wrong.
    pub(crate) fn sentence(self) -> &'static str {
        match self {
            Self::TermNotCompared => "a commit does not compare mod_revision(holder) with its term",
            Self::RecordNotCompared => {
                "a commit does not compare mod_revision(record) with the last one known"
            }
            Self::HolderNotCompared => "an acquisition does not wait until nobody holds the term",
            Self::RecordReadBeforeTheFence => {
                "the record is read before the holder is put, not in the same transaction"
            }
            Self::StaleReadTrusted => {
                "the record of an acquisition is read from a member that lags"
            }
            Self::TermNotTakenAnew => {
                "a term that the node has already is taken up under its old number"
            }
            Self::TermTakenFromTheAnswer => {
                "the term is the revision of the answer's header, not mod_revision(holder)"
            }
            Self::PassedWithoutTheLease => "a handover puts the holder on no lease",
            Self::UnknownTakenAsSuccess => "a commit without an answer counts as committed",
            Self::UnknownTakenAsFailure => {
                "an acquisition without an answer counts as refused, and its own holding as that of another"
            }
            Self::VoteBeforeTheAnswer => "the gate lets a vote go when its commit is sent",
            Self::LateAnswerAccepted => "the answer to any commit lets go whatever vote waits",
            Self::LeaseCountedFromTheAnswer => {
                "a lease is counted from the answer of its renewal, not from the request"
            }
            Self::LeaseForgottenAtTheGate => {
                "a vote leaves when its commit is answered, however late that is seen"
            }
            Self::GateOpenOverALostTerm => "a gate that is told to close stays open",
            Self::DeathBelievedTooEarly => {
                "a validator counts as dead when SIGKILL is sent, not when it is reaped"
            }
            Self::GateOpenWithoutSupervisor => "a vote at a gate that nobody serves goes on",
            Self::RecordNotInstalled => "the record that came with the term is not installed",
        }
    }

    /// A bound within which it shows.
    pub(crate) fn bound(self) -> Bound {
        match self {
            Self::TermNotCompared | Self::StaleReadTrusted | Self::UnknownTakenAsSuccess => {
                Bound::new(2, 1, 1, 0, 0)
            }
            Self::RecordNotCompared | Self::LateAnswerAccepted => Bound::new(2, 2, 1, 0, 0),
            Self::HolderNotCompared => Bound::new(2, 0, 0, 0, 1),
            Self::RecordReadBeforeTheFence => Bound::new(2, 1, 1, 0, 1),
            Self::TermNotTakenAnew => Bound::new(2, 0, 2, 0, 1),
            Self::TermTakenFromTheAnswer => Bound::new(2, 2, 0, 0, 1),
            Self::PassedWithoutTheLease => Bound::new(2, 0, 1, 0, 1),
            Self::UnknownTakenAsFailure => Bound::new(2, 0, 2, 0, 0),
            Self::VoteBeforeTheAnswer => Bound::new(2, 1, 0, 0, 0),
            Self::LeaseCountedFromTheAnswer => Bound::new(2, 0, 1, 2, 0),
            Self::LeaseForgottenAtTheGate | Self::GateOpenWithoutSupervisor => {
                Bound::new(2, 1, 2, 0, 0)
            }
            Self::GateOpenOverALostTerm => Bound::new(2, 0, 0, 3, 0),
            Self::DeathBelievedTooEarly | Self::RecordNotInstalled => Bound::new(2, 0, 1, 0, 0),
        }
    }
}
