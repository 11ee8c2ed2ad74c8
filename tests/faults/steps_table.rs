//! What is to come of a handover in which something fails, for every step and every failure.

use crate::hold::Step::{
    self, End, Ended, FirstVote, Heard, Identity, Install, LastVote, Mute, Pass, Passed, Promise,
    Take, Unmute, Unstake, Wait,
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
    /// The same, and the handover goes on before anybody has noticed.
    UnheardCut,
    /// The way to etcd of the node that hands over.
    EtcdFrom,
    /// The same, of the node that is to vote.
    EtcdTo,
    /// Nothing but that the step takes longer than anybody waits for it.
    Late,
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
    /// Nobody, until the two hear each other again, or a disk goes on: neither can know whether the other one votes.
    Nobody,
}

/// What comes of it in each step, a column for each fault.
#[derive(Debug)]
pub(crate) struct Table<const STEPS: usize, const FAULTS: usize> {
    faults: [Fault; FAULTS],
    rows: [(Step, [Fate; FAULTS]); STEPS],
}

#[rustfmt::skip]
pub(crate) const BETWEEN_PEERS: Table<13, 5> = Table {
    faults: [Fault::SupervisorFrom, Fault::SupervisorTo, Fault::ValidatorFrom, Fault::ValidatorTo, Fault::Cable],
    rows: [
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
    ],
};

/// Up to the end of the term, which is written only once the other side has answered.
#[rustfmt::skip]
pub(crate) const UNHEARD_BETWEEN_PEERS: Table<4, 1> = Table {
    faults: [Fault::UnheardCut],
    rows: [
        (Wait,      [From]),
        (Mute,      [From]),
        (Unstake,   [From]),
        (LastVote,  [From]),
    ],
};

/// Where each can switch the other one off, the death of the heir leaves the term to nobody no longer.
#[rustfmt::skip]
pub(crate) const WITH_A_SWITCH: Table<9, 1> = Table {
    faults: [Fault::SupervisorTo],
    rows: [
        (End,       [From]),
        (Ended,     [From]),
        (Heard,     [From]),
        (Promise,   [From]),
        (Take,      [From]),
        (Install,   [From]),
        (Identity,  [From]),
        (Unmute,    [From]),
        (FirstVote, [From]),
    ],
};

/// etcd ends the lease of whoever says nothing: there is always somebody who votes.
#[rustfmt::skip]
pub(crate) const OVER_ETCD: Table<11, 6> = Table {
    faults: [Fault::SupervisorFrom, Fault::SupervisorTo, Fault::ValidatorFrom, Fault::ValidatorTo, Fault::EtcdFrom, Fault::EtcdTo],
    rows: [
        //            supervisor    validator      way to etcd
        //            from  to      from  to       from  to
        (Wait,      [To,   From,   To,   From,    To,   From]),
        (Mute,      [To,   From,   To,   Either,  To,   From]),
        (Unstake,   [To,   From,   To,   Either,  To,   From]),
        (LastVote,  [To,   From,   To,   Either,  To,   From]),
        (Pass,      [To,   From,   To,   Either,  To,   From]),
        (Passed,    [To,   From,   To,   Either,  To,   From]),
        (Heard,     [To,   From,   To,   Either,  To,   From]),
        (Install,   [To,   From,   To,   Either,  To,   From]),
        (Identity,  [To,   From,   To,   Either,  To,   From]),
        (Unmute,    [To,   From,   To,   Either,  To,   From]),
        (FirstVote, [To,   From,   To,   Either,  To,   From]),
    ],
};

/// A validator that does not answer is killed, and a successor that does not come to vote gives the term back. What a disk that hangs
/// keeps from being written, of a ballot, nobody knows until it goes on.
#[rustfmt::skip]
pub(crate) const LATE_BETWEEN_PEERS: Table<12, 1> = Table {
    faults: [Fault::Late],
    rows: [
        (Mute,      [To]),
        (Unstake,   [To]),
        (LastVote,  [To]),
        (End,       [Nobody]),
        (Ended,     [Nobody]),
        (Heard,     [Nobody]),
        (Promise,   [To]),
        (Take,      [Nobody]),
        (Install,   [From]),
        (Identity,  [From]),
        (Unmute,    [From]),
        (FirstVote, [From]),
    ],
};

#[rustfmt::skip]
pub(crate) const LATE_OVER_ETCD: Table<10, 1> = Table {
    faults: [Fault::Late],
    rows: [
        (Mute,      [To]),
        (Unstake,   [To]),
        (LastVote,  [To]),
        (Pass,      [To]),
        (Passed,    [To]),
        (Heard,     [From]),
        (Install,   [From]),
        (Identity,  [From]),
        (Unmute,    [From]),
        (FirstVote, [From]),
    ],
};

impl<const STEPS: usize, const FAULTS: usize> Table<STEPS, FAULTS> {
    /// One step in so many under that fault, others under the next one and from the next one on.
    pub(crate) fn one_in(&self, so_many: usize, from: usize, fault: Fault) -> Vec<(Step, Fate)> {
        let column = self.faults.iter().position(|other| *other == fault);
        let column = column.expect("a fault of this table");
        let rows = self
            .rows
            .iter()
            .skip((column + from) % so_many)
            .step_by(so_many);
        rows.map(|(step, fates)| (*step, fates[column])).collect()
    }
}
