//! Reading and writing one little-endian field of a record, without an index that could be out of range.
//!
//! Nothing here knows what a field means.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use crate::layout::Field;

/// A length in memory as the 64 bits that the file uses.
#[allow(
    clippy::as_conversions,
    reason = "usize has at most 64 bits on every target of Rust: the widening is exact"
)]
pub(crate) const fn len_u64(len: usize) -> u64 {
    len as u64
}

/// `value` rounded up to a multiple of `align`, a power of two; `None` on overflow.
pub(crate) fn align_up(value: u64, align: u64) -> Option<u64> {
    value.checked_next_multiple_of(align)
}

impl Field {
    /// The field's bytes in `record`; `None` where the record is too short.
    pub(crate) fn bytes<'a>(&self, record: &'a [u8]) -> Option<&'a [u8]> {
        record.get(self.offset..self.offset.checked_add(self.size)?)
    }

    fn array<const N: usize>(&self, record: &[u8]) -> Option<[u8; N]> {
        self.bytes(record)?.try_into().ok()
    }

    pub(crate) fn u8(&self, record: &[u8]) -> Option<u8> {
        self.array(record).map(u8::from_le_bytes)
    }

    pub(crate) fn u16(&self, record: &[u8]) -> Option<u16> {
        self.array(record).map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&self, record: &[u8]) -> Option<u32> {
        self.array(record).map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&self, record: &[u8]) -> Option<u64> {
        self.array(record).map(u64::from_le_bytes)
    }

    pub(crate) fn array16(&self, record: &[u8]) -> Option<[u8; 16]> {
        self.array(record)
    }

    pub(crate) fn array64(&self, record: &[u8]) -> Option<[u8; 64]> {
        self.array(record)
    }

    pub(crate) fn array32(&self, record: &[u8]) -> Option<[u8; 32]> {
        self.array(record)
    }

    pub(crate) fn is_zero(&self, record: &[u8]) -> bool {
        self.bytes(record).is_some_and(is_zero)
    }

    /// Writes `value` at the field's beginning; what the value leaves of the field stays as it is (zero in a new record).
    pub(crate) fn put(&self, record: &mut [u8], value: &[u8]) {
        debug_assert!(value.len() <= self.size, "{} is wider than its field", self.name);
        let slot = self
            .offset
            .checked_add(value.len())
            .and_then(|end| record.get_mut(self.offset..end));
        debug_assert!(slot.is_some(), "{} lies outside its record", self.name);
        if let Some(slot) = slot {
            slot.copy_from_slice(value);
        }
    }
}

/// Whether every byte is zero.
pub(crate) fn is_zero(bytes: &[u8]) -> bool {
    // Or-ing words instead of stopping at the first non-zero byte lets the compiler use vectors.
    bytes
        .chunks(64)
        .all(|piece| piece.iter().fold(0_u8, |seen, &byte| seen | byte) == 0)
}
