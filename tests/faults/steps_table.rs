//! What is to come of a handover between peers in which something fails, for every step and every failure.

use crate::hold::Step::{
    self, End, Ended, FirstVote, Heard, Identity, Install, LastVote, Mute, Promise, Take, Unmute,
    Unstake, Wait,
};
use Fate::{Either, From, Nobody, To};

/// What fails, while the handover is held at a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// `kill -9` of the supervisor of the node that hands over. Its validator ends with it.
    SupervisorFrom,
    /// The same, of the node that is to vote.
    SupervisorTo,
    /// `kill -9` of the validator.
    ValidatorFrom,
    ValidatorTo,
    /// The cable between the two. Where the end of the term has not been written yet, this is noticed before the handover goes on.
    Cable,
}

/// Who votes before anything is mended, without anybody's help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// The node that was to hand over votes on, or again.
    From,
    /// The other one, as it was to.
    To,
    /// One of the two: the other one was given the term, and its validator is gone.
    Either,
    /// Nobody, until the two hear each other again: neither can know whether the other one votes.
    Nobody,
}

/// In the order of the faults above.
#[rustfmt::skip]
pub(crate) const TABLE: [(Step, [Fate; 5]); 13] = [
    //            supervisor        validator         cable
    //            from    to        from  to
    (Wait,      [Nobody, From,     To,   From,       From]),
    (Mute,      [Nobody, From,     To,   Either,     From]),
    (Unstake,   [Nobody, From,     To,   Either,     From]),
    (LastVote,  [Nobody, From,     To,   Either,     From]),
    (End,       [Nobody, Nobody,   To,   Either,     Nobody]),
    (Ended,     [Nobody, Nobody,   To,   Either,     Nobody]),
    (Heard,     [To,     Nobody,   To,   Either,     To]),
    (Promise,   [To,     Nobody,   To,   Either,     To]),
    (Take,      [To,     Nobody,   To,   Either,     To]),
    (Install,   [To,     Nobody,   To,   Either,     To]),
    (Identity,  [To,     Nobody,   To,   Either,     To]),
    (Unmute,    [To,     Nobody,   To,   Either,     To]),
    (FirstVote, [To,     Nobody,   To,   Either,     To]),
];

/// The column of a fault.
pub(crate) fn fates(fault: Fault) -> impl Iterator<Item = (Step, Fate)> {
    let column = fault as usize;
    TABLE
        .iter()
        .map(move |(step, fates)| (*step, fates[column]))
}
