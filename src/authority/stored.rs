//! The stored form of what an authority keeps: versioned, checksummed, the same on every disk and in every store.
//!
//! `magic (8) | version (u16) | payload | sha256 of all before (32)`, little-endian. A damaged form is refused by name and
//! never replaced silently. What follows a higher version may have any form, a checksum of another kind too, so the version is
//! looked at first. It interprets no vote record.

use sha2::{Digest as _, Sha256};

use crate::engine::values::{RecordKind, RecordMark, Term};

const VERSION: u16 = 1;
const HEAD: usize = 10;
const CHECKSUM: usize = 32;
/// How a record begins.
pub const RECORD_MAGIC: &[u8; 8] = b"VSRECORD";
/// How a holding begins.
pub const HOLDING_MAGIC: &[u8; 8] = b"VSHOLDNG";
/// Term, sequence, slot, kind, identity.
const RECORD_FIELDS: usize = 8 + 8 + 8 + 1 + 32;
const HOLDING_FIELDS: usize = 8 + 1 + 32;

/// Why bytes are not a stored form.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    #[error("it is cut off: {len} bytes")]
    Truncated { len: usize },
    #[error("it is not a file of this program")]
    Magic,
    #[error(
        "it was written by a newer supervisor, in version {found} of its form, and this one reads version {VERSION}: run the newer one (where none ever ran, the file is damaged)"
    )]
    Version { found: u16 },
    #[error("its checksum does not match its content")]
    Checksum,
    #[error("its fields make no sense")]
    Fields,
}

/// A vote record as committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRecord {
    pub mark: RecordMark,
    pub identity: [u8; 32],
    pub bytes: Vec<u8>,
}

/// Who holds the right to vote, as this disk knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holding {
    /// The newest term this node has ever seen.
    pub term: Term,
    /// This node holds it.
    pub holds: bool,
    pub identity: [u8; 32],
}

/// Writes the stored form of a record into `out`, which keeps its room from vote to vote.
pub fn write_record(out: &mut Vec<u8>, mark: RecordMark, identity: &[u8; 32], bytes: &[u8]) {
    begin(out, RECORD_MAGIC);
    out.extend_from_slice(&mark.term.0.to_le_bytes());
    out.extend_from_slice(&mark.seq.to_le_bytes());
    out.extend_from_slice(&mark.slot.to_le_bytes());
    out.push(kind_byte(mark.kind));
    out.extend_from_slice(identity);
    out.extend_from_slice(bytes);
    seal(out);
}

/// The same, where its room is not kept.
#[must_use]
pub fn record_form(mark: RecordMark, identity: &[u8; 32], bytes: &[u8]) -> Vec<u8> {
    let mut form = Vec::with_capacity(HEAD + RECORD_FIELDS + bytes.len() + CHECKSUM);
    write_record(&mut form, mark, identity, bytes);
    form
}

/// Reads it back.
///
/// # Errors
/// Anything that was not written by [`write_record`], whole and unchanged.
pub fn read_record(form: &[u8]) -> Result<StoredRecord, FormError> {
    let payload = open(form, RECORD_MAGIC)?;
    let (fields, bytes) = payload
        .split_at_checked(RECORD_FIELDS)
        .ok_or(FormError::Fields)?;
    let mark = RecordMark {
        term: Term(u64_at(fields, 0)?),
        seq: u64_at(fields, 8)?,
        slot: u64_at(fields, 16)?,
        kind: kind_of(fields[24])?,
    };
    Ok(StoredRecord {
        mark,
        identity: identity_at(fields, 25)?,
        bytes: bytes.to_vec(),
    })
}

/// The stored form of a holding.
#[must_use]
pub fn holding_form(holding: &Holding) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEAD + HOLDING_FIELDS + CHECKSUM);
    begin(&mut out, HOLDING_MAGIC);
    out.extend_from_slice(&holding.term.0.to_le_bytes());
    out.push(u8::from(holding.holds));
    out.extend_from_slice(&holding.identity);
    seal(&mut out);
    out
}

/// Reads it back.
///
/// # Errors
/// Anything that was not written by [`holding_form`], whole and unchanged.
pub fn read_holding(form: &[u8]) -> Result<Holding, FormError> {
    let fields = open(form, HOLDING_MAGIC)?;
    if fields.len() != HOLDING_FIELDS || fields[8] > 1 {
        return Err(FormError::Fields);
    }
    Ok(Holding {
        term: Term(u64_at(fields, 0)?),
        holds: fields[8] == 1,
        identity: identity_at(fields, 9)?,
    })
}

/// A payload in the frame.
#[must_use]
pub fn frame(magic: &[u8; 8], payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEAD + payload.len() + CHECKSUM);
    begin(&mut out, magic);
    out.extend_from_slice(payload);
    seal(&mut out);
    out
}

fn begin(out: &mut Vec<u8>, magic: &[u8; 8]) {
    out.clear();
    out.extend_from_slice(magic);
    out.extend_from_slice(&VERSION.to_le_bytes());
}

fn seal(out: &mut Vec<u8>) {
    let checksum = Sha256::digest(&out[..]);
    out.extend_from_slice(&checksum);
}

/// The payload of a frame.
///
/// # Errors
/// It is not whole, not of this kind or not of this version.
pub(super) fn open<'a>(form: &'a [u8], magic: &[u8; 8]) -> Result<&'a [u8], FormError> {
    if form.len() < HEAD + CHECKSUM {
        return Err(FormError::Truncated { len: form.len() });
    }
    if form[..8] != magic[..] {
        return Err(FormError::Magic);
    }
    let found = u16::from_le_bytes([form[8], form[9]]);
    if found > VERSION {
        return Err(FormError::Version { found });
    }
    let (content, checksum) = form.split_at(form.len() - CHECKSUM);
    if Sha256::digest(content)[..] != checksum[..] {
        return Err(FormError::Checksum);
    }
    if found != VERSION {
        return Err(FormError::Fields);
    }
    Ok(&content[HEAD..])
}

fn u64_at(fields: &[u8], at: usize) -> Result<u64, FormError> {
    let bytes = fields
        .get(at..at + 8)
        .and_then(|bytes| bytes.try_into().ok());
    bytes.map(u64::from_le_bytes).ok_or(FormError::Fields)
}

fn identity_at(fields: &[u8], at: usize) -> Result<[u8; 32], FormError> {
    fields
        .get(at..at + 32)
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or(FormError::Fields)
}

fn kind_byte(kind: RecordKind) -> u8 {
    match kind {
        RecordKind::Tower => 1,
        RecordKind::VoteHistory => 2,
    }
}

fn kind_of(byte: u8) -> Result<RecordKind, FormError> {
    match byte {
        1 => Ok(RecordKind::Tower),
        2 => Ok(RecordKind::VoteHistory),
        _ => Err(FormError::Fields),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn form(bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        write_record(
            &mut out,
            RecordMark {
                term: Term(7),
                seq: 9,
                slot: 11,
                kind: RecordKind::VoteHistory,
            },
            &[3; 32],
            bytes,
        );
        out
    }

    #[test]
    fn a_higher_version_is_named_whatever_follows_it() {
        let sealed = |version: u8| {
            let mut out = form(b"x");
            out[8] = version;
            out.truncate(out.len() - CHECKSUM);
            seal(&mut out);
            out
        };
        let newer = Err(FormError::Version { found: 2 });
        assert_eq!(read_record(&sealed(2)), newer);
        let mut of_another_form = sealed(2);
        of_another_form.extend_from_slice(b"a checksum of another kind");
        assert_eq!(read_record(&of_another_form), newer);
        assert_eq!(read_record(&sealed(0)), Err(FormError::Fields));
    }

    #[test]
    fn a_holding_comes_back_as_it_was() {
        let holding = Holding {
            term: Term(u64::MAX),
            holds: true,
            identity: [8; 32],
        };
        assert_eq!(read_holding(&holding_form(&holding)), Ok(holding));
        assert_eq!(read_record(&holding_form(&holding)), Err(FormError::Magic));
    }

    proptest! {
        #[test]
        fn a_record_comes_back_as_it_was(term: u64, seq: u64, slot: u64, tower: bool, identity: [u8; 32], bytes: Vec<u8>) {
            let kind = if tower { RecordKind::Tower } else { RecordKind::VoteHistory };
            let mark = RecordMark { term: Term(term), seq, slot, kind };
            let mut out = b"what was there before".to_vec();
            write_record(&mut out, mark, &identity, &bytes);
            prop_assert_eq!(read_record(&out), Ok(StoredRecord { mark, identity, bytes }));
        }

        #[test]
        fn a_flipped_bit_is_refused(bytes: Vec<u8>, at: prop::sample::Index, bit in 0..8u8) {
            let mut out = form(&bytes);
            let at = at.index(out.len());
            out[at] ^= 1 << bit;
            prop_assert!(read_record(&out).is_err());
        }

        #[test]
        fn a_cut_off_form_is_refused(bytes: Vec<u8>, len: prop::sample::Index) {
            let out = form(&bytes);
            prop_assert!(read_record(&out[..len.index(out.len())]).is_err());
        }

        #[test]
        fn arbitrary_bytes_are_refused(bytes: Vec<u8>) {
            prop_assert!(read_record(&bytes).is_err() && read_holding(&bytes).is_err());
        }
    }
}
