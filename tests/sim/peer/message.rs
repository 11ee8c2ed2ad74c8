//! What two nodes say to each other, as in the program.

use crate::record::Record;
use validator_supervisor::engine::ballot::Ballot;
use validator_supervisor::engine::values::{Plea, RecordKind, Role, Term};

/// Which of all records: its term, and its number.
pub(crate) type Place = (u64, u64);

#[derive(Clone, Debug)]
pub(crate) enum Message {
    /// The first one, in both directions.
    Hello {
        record: Option<Place>,
    },
    /// What the sender has promised, and how it is; also as a sign of life.
    State(State),
    /// A record that the receiver may lack.
    Record(Record),
    /// A record under the sender's term, for a vote that waits.
    Commit(Record),
    /// That record, or a newer one, is on the sender's disk, under the promise of its term.
    Kept(Place),
    /// It is not, because a higher term is promised there.
    Fenced(Ballot),
    Ask {
        term: Term,
        record: Option<Place>,
    },
    Promised(Term),
    Refused {
        term: Term,
        why: String,
        ballot: Ballot,
    },
    /// The sender has closed the connection, or its process has ended.
    Closed,
}

#[derive(Clone, Debug)]
pub(crate) struct State {
    pub(crate) ballot: Ballot,
    pub(crate) member: Member,
    /// The heir is asked to take the term now.
    pub(crate) hands_over: bool,
    /// The receiver is to say how it is, too.
    pub(crate) asks: bool,
}

/// What a node says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) role: Role,
    pub(crate) ready: bool,
    pub(crate) asks: Option<Plea>,
    pub(crate) record: Option<RecordKind>,
    pub(crate) active_term: Option<Term>,
}
