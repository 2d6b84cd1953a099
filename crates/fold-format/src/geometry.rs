//! Where every region of a file lies, from three lengths.
//!
//! Writer and reader compute the same regions; a reader takes no offset from a file that it does not expect. The first
//! copy of the metadata lies in front of the payload and the second behind it, so that no burst shorter than the
//! payload takes both, and a file that lost its tail still has an index.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use std::ops::Range;

use crate::layout::{PAGE_LEN, SUPERBLOCK_LEN};
use crate::wire::{align_up, len_u64};

/// The shortest container: both superblocks and two copies of an index without records.
pub(crate) const MIN_FILE_LEN: u64 = 4 * PAGE_LEN;

/// Bytes of a superblock, as a position in the file.
pub(crate) const SUPERBLOCK_BYTES: u64 = len_u64(SUPERBLOCK_LEN);

/// The regions of one file, as file offsets. They follow each other without a gap; what an index or a digest table
/// leaves of its last page is padding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Geometry {
    pub(crate) index_1: Range<u64>,
    pub(crate) digests_1: Range<u64>,
    pub(crate) payload: Range<u64>,
    pub(crate) index_2: Range<u64>,
    pub(crate) digests_2: Range<u64>,
    pub(crate) superblock_b: Range<u64>,
}

impl Geometry {
    /// The regions for an index and a digest table of these lengths and a payload of whole pages; `None` on overflow.
    pub(crate) fn new(index_len: u64, digests_len: u64, payload_len: u64) -> Option<Self> {
        let region = |start: u64, len: u64| Some(start..start.checked_add(len)?);
        let after = |region: &Range<u64>| align_up(region.end, PAGE_LEN);
        let index_1 = region(SUPERBLOCK_BYTES, index_len)?;
        let digests_1 = region(after(&index_1)?, digests_len)?;
        let payload = region(after(&digests_1)?, payload_len)?;
        let index_2 = region(after(&payload)?, index_len)?;
        let digests_2 = region(after(&index_2)?, digests_len)?;
        let superblock_b = region(after(&digests_2)?, SUPERBLOCK_BYTES)?;
        Some(Self {
            index_1,
            digests_1,
            payload,
            index_2,
            digests_2,
            superblock_b,
        })
    }

    /// Bytes of the whole file.
    pub(crate) const fn file_len(&self) -> u64 {
        self.superblock_b.end
    }

    /// The zeros behind index 1, digest table 1, index 2 and digest table 2; each may be empty.
    pub(crate) const fn paddings(&self) -> [Range<u64>; 4] {
        [
            self.index_1.end..self.digests_1.start,
            self.digests_1.end..self.payload.start,
            self.index_2.end..self.digests_2.start,
            self.digests_2.end..self.superblock_b.start,
        ]
    }
}

#[cfg(test)]
#[allow(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    reason = "tests may panic"
)]
mod tests {
    use super::*;

    #[test]
    fn regions_fill_the_file_and_the_smallest_is_the_smallest() {
        let least = Geometry::new(64, 0, 0).unwrap();
        assert_eq!(least.file_len(), MIN_FILE_LEN);
        for (index, digests, payload) in [(64, 0, 0), (4096, 8, 8192), (4097, 4096, 4096), (12_345, 4104, 1 << 20)] {
            let geometry = Geometry::new(index, digests, payload).unwrap();
            let mut regions = vec![0..4096, geometry.superblock_b.clone(), geometry.payload.clone()];
            regions.extend(
                [
                    &geometry.index_1,
                    &geometry.index_2,
                    &geometry.digests_1,
                    &geometry.digests_2,
                ]
                .map(Clone::clone),
            );
            regions.extend(geometry.paddings());
            regions.retain(|region| !region.is_empty());
            regions.sort_by_key(|region| region.start);
            let mut end = 0;
            for region in regions {
                assert_eq!(region.start, end);
                end = region.end;
            }
            assert_eq!(end, geometry.file_len());
        }
    }

    #[test]
    fn overflow_is_none() {
        assert!(Geometry::new(u64::MAX, 0, 0).is_none());
        assert!(Geometry::new(u64::MAX - 8191, 0, 0).is_none());
        assert!(Geometry::new(64, u64::MAX - 8192, 0).is_none());
        assert!(Geometry::new(64, 0, !4095_u64).is_none());
    }
}
