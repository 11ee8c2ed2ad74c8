//! A cursor over bytes that come from outside.
//!
//! It never reads past the end, and never allocates: a list length is checked against the bytes
//! that are left before anyone makes room for it.

use super::{Part, RecordError};

#[derive(Debug)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Bytes not read so far.
    pub(super) fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    pub(super) fn take(&mut self, len: usize, part: Part) -> Result<&'a [u8], RecordError> {
        let rest = &self.bytes[self.at..];
        let Some(taken) = rest.get(..len) else {
            return Err(RecordError::Truncated {
                part,
                at: self.at,
                needed: len,
                left: rest.len(),
            });
        };
        self.at += len;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self, part: Part) -> Result<[u8; N], RecordError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N, part)?);
        Ok(array)
    }

    pub(super) fn u8(&mut self, part: Part) -> Result<u8, RecordError> {
        self.array(part).map(u8::from_le_bytes)
    }

    pub(super) fn u32(&mut self, part: Part) -> Result<u32, RecordError> {
        self.array(part).map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self, part: Part) -> Result<u64, RecordError> {
        self.array(part).map(u64::from_le_bytes)
    }

    /// A list length, refused unless that many items of at least `item_len_min` bytes can follow.
    pub(super) fn count(&mut self, item_len_min: usize, part: Part) -> Result<usize, RecordError> {
        let count = self.u64(part)?;
        let max = self.left() / item_len_min.max(1);
        match usize::try_from(count) {
            Ok(count) if count <= max => Ok(count),
            _ => Err(RecordError::NonsenseCount { part, count, max }),
        }
    }
}
