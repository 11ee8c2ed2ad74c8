//! Mistakes put around the decisions on purpose. The model has to find a counterexample for every one of them.

use crate::bound::Bound;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Mistake {
    EndedBeforeTheRecord,
    HolderKeepsTheRight,
    RightKeptAfterAPromise,
    RightKeptOverARestart,
    PromisedWhileHolding,
    PromisedBeforeTheDisk,
    RecordForgotten,
    AwayForgotten,
    LossTakenAsAPromise,
    AckBeforeTheDisk,
    VoteBeforeTheAck,
    VoteAfterTheEnd,
    TermTakenBeforeTheDisk,
    DeathBelieved,
    ProofKept,
    LeftOverGivenAway,
    HeirNamedAnew,
    MetPassedOver,
}

impl Mistake {
    pub(crate) const ALL: [Self; 18] = [
        Self::EndedBeforeTheRecord,
        Self::HolderKeepsTheRight,
        Self::RightKeptAfterAPromise,
        Self::RightKeptOverARestart,
        Self::PromisedWhileHolding,
        Self::PromisedBeforeTheDisk,
        Self::RecordForgotten,
        Self::AwayForgotten,
        Self::LossTakenAsAPromise,
        Self::AckBeforeTheDisk,
        Self::VoteBeforeTheAck,
        Self::VoteAfterTheEnd,
        Self::TermTakenBeforeTheDisk,
        Self::DeathBelieved,
        Self::ProofKept,
        Self::LeftOverGivenAway,
        Self::HeirNamedAnew,
        Self::MetPassedOver,
    ];

    /// What is wrong.
    pub(crate) fn sentence(self) -> &'static str {
        match self {
            Self::EndedBeforeTheRecord => "the heir hears of its right before it has the record",
            Self::HolderKeepsTheRight => "who has named an heir still takes the next term alone",
            Self::RightKeptAfterAPromise => {
                "who has promised a term still takes the next one alone"
            }
            Self::RightKeptOverARestart => {
                "a process takes the next term alone by what an earlier one held"
            }
            Self::PromisedWhileHolding => "a holder promises a term to another node",
            Self::PromisedBeforeTheDisk => "a promise is given before it is on the disk",
            Self::RecordForgotten => {
                "a node that comes back, and one that is promised a term, gets no record that it has missed"
            }
            Self::AwayForgotten => "a term is taken without a node that cannot be asked",
            Self::LossTakenAsAPromise => "a link that is lost counts as a promise",
            Self::AckBeforeTheDisk => "a record is acknowledged before it is on the disk",
            Self::VoteBeforeTheAck => "a vote leaves before the other disk has its record",
            Self::VoteAfterTheEnd => "a vote that waited leaves after its term was ended",
            Self::TermTakenBeforeTheDisk => "a term is used before the ballot is on the disk",
            Self::DeathBelieved => "a node that is not heard is taken for dead",
            Self::LeftOverGivenAway => {
                "what an earlier process held is given to the first node that is heard"
            }
            Self::MetPassedOver => "a node that is there and has not spoken yet is passed over",
            Self::HeirNamedAnew => "an heir that an earlier process named is named again at once",
            Self::ProofKept => {
                "the proof of a death counts on when the node is back, and for later terms"
            }
        }
    }

    /// The smallest bound that shows it.
    pub(crate) fn bound(self) -> Bound {
        match self {
            Self::PromisedBeforeTheDisk => Bound::new(2, 0, 3, 3).alone(),
            Self::EndedBeforeTheRecord => Bound::new(2, 2, 2, 2).alone(),
            Self::RecordForgotten => Bound::new(2, 1, 2, 2).alone(),
            Self::HolderKeepsTheRight
            | Self::RightKeptAfterAPromise
            | Self::RightKeptOverARestart
            | Self::PromisedWhileHolding
            | Self::TermTakenBeforeTheDisk => Bound::new(2, 0, 3, 3).alone(),
            Self::AckBeforeTheDisk | Self::VoteBeforeTheAck | Self::DeathBelieved => {
                Bound::new(2, 2, 3, 2)
            }
            Self::ProofKept => Bound::new(2, 1, 3, 2),
            Self::LeftOverGivenAway => Bound::new(3, 0, 0, 2).off(false),
            Self::MetPassedOver => Bound::new(3, 0, 0, 2).off(false),
            Self::HeirNamedAnew => Bound::new(3, 0, 0, 2).off(true),
            _ => Bound::new(2, 2, 3, 3).alone(),
        }
    }
}
