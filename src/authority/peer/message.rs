//! What two supervisors say to each other, and how it looks on the link.
//!
//! `length (u32, of what follows) | kind (u8) | payload`, big-endian. A payload is JSON, but for records, which are in their stored
//! form: checksummed, and written to the other disk as they came. A message is a fact, a question about a term, or a record;
//! none is a command. Until the other side has said who it is, it may say little.

use serde::{Deserialize, Serialize};

use crate::authority::news::Member;
use crate::authority::stored::{self, FormError, StoredRecord};
use crate::engine::ballot::Ballot;
use crate::engine::values::{NodeName, RecordMark, Term};

/// The version of this protocol. A node that speaks another one is not spoken to.
pub(super) const VERSION: u32 = 1;
/// Of everything that is no record.
const WORDS_MAX: usize = 64 * 1024;
/// A record, and the frame around it.
const RECORD_MAX: usize = (8 << 20) + 1024;
const HEAD: usize = 4;
/// The kinds that hold a record.
const RECORD: u8 = 3;
const COMMIT: u8 = 4;

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Message {
    /// The first one, in both directions.
    Hello(Hello),
    /// What the sender has promised, and how it is; also as a sign of life.
    State(State),
    /// A record that the receiver may lack.
    Record(StoredRecord),
    /// A record under the sender's term, for a vote that waits.
    Commit(StoredRecord),
    /// That record, or a newer one, is on the sender's disk, under the promise of its term.
    Kept(Place),
    /// It is not, because a higher term is promised here.
    Fenced(Claim),
    /// Will you promise me this term?
    Ask(Asked),
    /// I have.
    Promised(Answered),
    /// I will not.
    Refused(Refused),
}

/// Who speaks, for whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Hello {
    pub(super) version: u32,
    pub(super) node: String,
    /// The staked identity, in base58.
    pub(super) identity: String,
    /// Where the newest record on the sender's disk stands.
    pub(super) record: Option<Place>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    pub(super) claim: Claim,
    pub(super) member: Member,
    /// The heir is asked to take the term now.
    #[serde(default)]
    pub(super) hands_over: bool,
    /// The receiver is to say how it is, too.
    #[serde(default)]
    pub(super) asks: bool,
    /// The receiver has asked.
    #[serde(default)]
    pub(super) answers: bool,
}

/// A ballot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Claim {
    pub(super) term: u64,
    pub(super) holder: Option<String>,
    pub(super) ended: bool,
    pub(super) heir: Option<String>,
    #[serde(default)]
    pub(super) void: bool,
}

/// Which of all records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Place {
    pub(super) term: u64,
    pub(super) seq: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Asked {
    pub(super) term: u64,
    /// Where the newest record on the sender's disk stands: a newer one comes before the promise.
    pub(super) record: Option<Place>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Answered {
    pub(super) term: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Refused {
    pub(super) term: u64,
    pub(super) why: String,
    pub(super) claim: Claim,
}

/// Why bytes are no message. The link they came over is closed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum MessageError {
    #[error("a message of {len} bytes, and {max} are the most")]
    TooLong { len: usize, max: usize },
    #[error("a message of kind {0}, which is none")]
    Kind(u8),
    #[error("a message that is empty")]
    Empty,
    #[error("a record that is none: {0}")]
    Record(#[from] FormError),
    #[error("a message of kind {kind} that cannot be read: {why}")]
    Words { kind: u8, why: String },
}

impl Message {
    fn kind(&self) -> u8 {
        match self {
            Self::Hello(_) => 1,
            Self::State(_) => 2,
            Self::Record(_) => RECORD,
            Self::Commit(_) => COMMIT,
            Self::Kept(_) => 5,
            Self::Fenced(_) => 6,
            Self::Ask(_) => 7,
            Self::Promised(_) => 8,
            Self::Refused(_) => 9,
        }
    }

    /// Appends the message as it goes over the link.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Hello(hello) => words(out, self.kind(), hello),
            Self::State(state) => words(out, self.kind(), state),
            Self::Record(record) | Self::Commit(record) => {
                let form = stored::record_form(record.mark, &record.identity, &record.bytes);
                frame(out, self.kind(), &form);
            }
            Self::Kept(place) => words(out, self.kind(), place),
            Self::Fenced(claim) => words(out, self.kind(), claim),
            Self::Ask(asked) => words(out, self.kind(), asked),
            Self::Promised(answered) => words(out, self.kind(), answered),
            Self::Refused(refused) => words(out, self.kind(), refused),
        }
    }

    /// Reads what follows the length.
    pub(super) fn read(body: &[u8]) -> Result<Self, MessageError> {
        let (kind, payload) = body.split_first().ok_or(MessageError::Empty)?;
        Ok(match kind {
            1 => Self::Hello(read_words(*kind, payload)?),
            2 => Self::State(read_words(*kind, payload)?),
            &RECORD => Self::Record(stored::read_record(payload)?),
            &COMMIT => Self::Commit(stored::read_record(payload)?),
            5 => Self::Kept(read_words(*kind, payload)?),
            6 => Self::Fenced(read_words(*kind, payload)?),
            7 => Self::Ask(read_words(*kind, payload)?),
            8 => Self::Promised(read_words(*kind, payload)?),
            9 => Self::Refused(read_words(*kind, payload)?),
            other => return Err(MessageError::Kind(*other)),
        })
    }
}

/// A record for a vote that waits, from its stored form: as [`Message::Commit`].
pub(super) fn write_commit(out: &mut Vec<u8>, form: &[u8]) {
    frame(out, COMMIT, form);
}

fn words(out: &mut Vec<u8>, kind: u8, value: &impl Serialize) {
    // Plain fields always become JSON; were they not, the other side would refuse the empty payload.
    let json = serde_json::to_vec(value).unwrap_or_default();
    frame(out, kind, &json);
}

fn frame(out: &mut Vec<u8>, kind: u8, payload: &[u8]) {
    let len = u32::try_from(payload.len() + 1).unwrap_or(u32::MAX);
    out.extend_from_slice(&len.to_be_bytes());
    out.push(kind);
    out.extend_from_slice(payload);
}

fn read_words<T: for<'a> Deserialize<'a>>(kind: u8, payload: &[u8]) -> Result<T, MessageError> {
    serde_json::from_slice(payload).map_err(|error| MessageError::Words {
        kind,
        why: error.to_string(),
    })
}

/// Puts messages together from what comes in, in pieces of any size. Never holds more than the longest message.
#[derive(Debug)]
pub(super) struct Incoming {
    bytes: Vec<u8>,
    /// Before the other side has said who it is.
    is_stranger: bool,
}

impl Incoming {
    pub(super) fn from_stranger() -> Self {
        Self {
            bytes: Vec::new(),
            is_stranger: true,
        }
    }

    /// It has said who it is: it may send records.
    pub(super) fn is_known(&mut self) {
        self.is_stranger = false;
    }

    pub(super) fn take(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole message.
    ///
    /// # Errors
    /// What came is none. Nothing after it can be understood.
    pub(super) fn next(&mut self) -> Result<Option<Message>, MessageError> {
        let Some(head) = self.bytes.first_chunk::<HEAD>() else {
            return Ok(None);
        };
        let len = u32::from_be_bytes(*head) as usize;
        let kind = self.bytes.get(HEAD).copied();
        let max = match kind {
            Some(RECORD | COMMIT) if !self.is_stranger => RECORD_MAX,
            _ => WORDS_MAX,
        };
        // Until its kind is there, the longest of all could still be right.
        let at_most = if kind.is_some() { max } else { RECORD_MAX };
        if len > at_most {
            return Err(MessageError::TooLong { len, max: at_most });
        }
        if self.bytes.len() < HEAD + len {
            return Ok(None);
        }
        let message = Message::read(&self.bytes[HEAD..HEAD + len])?;
        self.bytes.drain(..HEAD + len);
        Ok(Some(message))
    }
}

impl From<&Ballot> for Claim {
    fn from(ballot: &Ballot) -> Self {
        let name = |node: &Option<NodeName>| node.as_ref().map(|node| node.0.clone());
        Self {
            term: ballot.term.0,
            holder: name(&ballot.holder),
            ended: ballot.ended,
            heir: name(&ballot.heir),
            void: ballot.void,
        }
    }
}

impl Claim {
    pub(super) fn ballot(&self) -> Ballot {
        Ballot {
            term: Term(self.term),
            holder: self.holder.clone().map(NodeName),
            ended: self.ended,
            heir: self.heir.clone().map(NodeName),
            void: self.void,
        }
    }
}

impl Place {
    /// Whether a node that has this record has the one at `place` with it. One of a higher term has another holder, which may
    /// never have heard of that one: it is no answer to it.
    pub(super) fn covers(self, place: Self) -> bool {
        self.term == place.term && self.seq >= place.seq
    }
}

impl From<RecordMark> for Place {
    fn from(mark: RecordMark) -> Self {
        Self {
            term: mark.term.0,
            seq: mark.seq,
        }
    }
}

/// As the fuzzer and the tests call it: reads whatever it is given, and writes again what it understood.
#[doc(hidden)]
pub fn read_and_write(bytes: &[u8], is_known: bool) -> Vec<Vec<u8>> {
    let mut incoming = Incoming::from_stranger();
    if is_known {
        incoming.is_known();
    }
    incoming.take(bytes);
    let mut again = Vec::new();
    while let Ok(Some(message)) = incoming.next() {
        let mut out = Vec::new();
        message.write(&mut out);
        again.push(out);
    }
    again
}

#[cfg(test)]
mod tests;
