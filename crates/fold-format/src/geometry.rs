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
    /// Whole blocks; empty where there is no parity.
    pub(crate) parity: Range<u64>,
    pub(crate) index_2: Range<u64>,
    pub(crate) digests_2: Range<u64>,
    pub(crate) superblock_b: Range<u64>,
}

/// The lengths that decide where everything lies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lengths {
    pub(crate) index: u64,
    pub(crate) digests: u64,
    /// Bytes kept for digest table 1: as many as the table has, or more where the chunks' sizes were not known when the
    /// payload's place had to be.
    pub(crate) digests_reserved: u64,
    /// Whole pages.
    pub(crate) payload: u64,
    pub(crate) parity: u64,
}

impl Geometry {
    /// The regions for these lengths; `None` on overflow.
    pub(crate) fn new(lengths: Lengths) -> Option<Self> {
        let region = |start: u64, len: u64| Some(start..start.checked_add(len)?);
        let after = |region: &Range<u64>| align_up(region.end, PAGE_LEN);
        let index_1 = region(SUPERBLOCK_BYTES, lengths.index)?;
        let digests_1 = region(after(&index_1)?, lengths.digests)?;
        let reserved = region(digests_1.start, lengths.digests_reserved.max(lengths.digests))?;
        let payload = region(after(&reserved)?, lengths.payload)?;
        let parity = region(after(&payload)?, lengths.parity)?;
        let index_2 = region(after(&parity)?, lengths.index)?;
        let digests_2 = region(after(&index_2)?, lengths.digests)?;
        let superblock_b = region(after(&digests_2)?, SUPERBLOCK_BYTES)?;
        Some(Self {
            index_1,
            digests_1,
            payload,
            parity,
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

    fn geometry(index: u64, digests: u64, slack: u64, payload: u64, parity: u64) -> Option<Geometry> {
        Geometry::new(Lengths {
            index,
            digests,
            digests_reserved: digests.saturating_add(slack),
            payload,
            parity,
        })
    }

    #[test]
    fn regions_fill_the_file_and_the_smallest_is_the_smallest() {
        assert_eq!(geometry(64, 0, 0, 0, 0).unwrap().file_len(), MIN_FILE_LEN);
        for (index, digests, slack, payload, parity) in [
            (64, 0, 0, 0, 0),
            (4096, 8, 0, 8192, 4096),
            (4097, 4096, 9000, 4096, 0),
            (12_345, 4104, 1, 1 << 20, 1 << 16),
        ] {
            let geometry = geometry(index, digests, slack, payload, parity).unwrap();
            let mut regions = vec![0..4096, geometry.superblock_b.clone(), geometry.payload.clone()];
            regions.extend(
                [
                    &geometry.parity,
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
        assert!(geometry(u64::MAX, 0, 0, 0, 0).is_none());
        assert!(geometry(u64::MAX - 8191, 0, 0, 0, 0).is_none());
        assert!(geometry(64, u64::MAX - 8192, 0, 0, 0).is_none());
        assert!(geometry(64, 8, u64::MAX, 0, 0).is_none());
        assert!(geometry(64, 0, 0, !4095_u64, 0).is_none());
        assert!(geometry(64, 0, 0, 0, !4095_u64).is_none());
    }
}
