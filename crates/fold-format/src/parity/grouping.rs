//! Which data blocks share which parity blocks.
//!
//! Block i belongs to group i mod groups, and so does parity block i: a burst of lost blocks spreads over all groups.
//! The numbers may come from a hostile file: everything is checked and nothing is allocated.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use std::ops::Range;

use crate::layout::BLOCK_LOG2_RANGE;

/// Most data blocks of a group: with as many parity blocks the field still has an element for each.
pub const MAX_GROUP_DATA: u32 = 32_768;
/// Most parity blocks of a group.
pub const MAX_GROUP_PARITY: u32 = 32_768;
/// Fewest parity blocks of a group: one damaged sector can lie on two blocks.
pub const MIN_GROUP_PARITY: u32 = 2;

/// How much parity a file gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Level {
    /// 2 % of the blocks.
    Low,
    /// 5 % of the blocks.
    Medium,
    /// 10 % of the blocks.
    High,
    /// This many parity blocks in every group, [`MIN_GROUP_PARITY`] to [`MAX_GROUP_PARITY`].
    Blocks(u32),
}

impl Level {
    /// The number that stands for the level in a file: 1 low, 2 medium, 3 high, 4 a count.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Low => 1,
            Self::Medium => 2,
            Self::High => 3,
            Self::Blocks(_) => 4,
        }
    }

    /// The level of a file's number and its count of parity blocks per group; `None` for a number without a meaning.
    #[must_use]
    pub const fn from_code(code: u8, group_parity: u32) -> Option<Self> {
        match code {
            1 => Some(Self::Low),
            2 => Some(Self::Medium),
            3 => Some(Self::High),
            4 => Some(Self::Blocks(group_parity)),
            _ => None,
        }
    }

    /// Parity blocks of a group with that many data blocks; a share is rounded up.
    fn group_parity(self, group_data: u32) -> u32 {
        let percent = |share: u32| group_data.saturating_mul(share).div_ceil(100).max(MIN_GROUP_PARITY);
        match self {
            Self::Low => percent(2),
            Self::Medium => percent(5),
            Self::High => percent(10),
            Self::Blocks(count) => count,
        }
    }
}

/// Why blocks cannot have the parity asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unsuited {
    /// No data blocks.
    #[error("there are no blocks to protect")]
    NoBlocks,
    /// A block size outside 2^12 to 2^20.
    #[error("a block size of 2^{0} is not allowed: 2^12 to 2^20")]
    BlockSize(u8),
    /// More blocks than the fields of the format can count.
    #[error("{0} blocks are more than parity can be given to")]
    TooManyBlocks(u64),
    /// A count of parity blocks per group outside [`MIN_GROUP_PARITY`] to [`MAX_GROUP_PARITY`].
    #[error("{0} parity blocks a group are not allowed: {MIN_GROUP_PARITY} to {MAX_GROUP_PARITY}")]
    ParityCount(u32),
}

/// The groups of one file: a function of its blocks and the level, and of nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grouping {
    data_blocks: u64,
    block_len: usize,
    groups: u32,
    group_data: u32,
    group_parity: u32,
    parity_blocks: u64,
    parity_len: u64,
}

impl Grouping {
    /// The groups for that many data blocks of 2^`block_log2` bytes.
    ///
    /// Any numbers may be passed; time and memory do not depend on them.
    ///
    /// # Errors
    /// [`Unsuited`], naming the number that does not fit.
    pub fn new(data_blocks: u64, block_log2: u8, level: Level) -> Result<Self, Unsuited> {
        if !BLOCK_LOG2_RANGE.contains(&block_log2) {
            return Err(Unsuited::BlockSize(block_log2));
        }
        let block_len = 1_usize
            .checked_shl(u32::from(block_log2))
            .ok_or(Unsuited::BlockSize(block_log2))?;
        Self::with_block_len(data_blocks, block_len, level)
    }

    /// As [`Grouping::new`], for a block of any multiple of 64 bytes: the tests of the code use short ones.
    pub(super) fn with_block_len(data_blocks: u64, block_len: usize, level: Level) -> Result<Self, Unsuited> {
        if let Level::Blocks(count) = level
            && !(MIN_GROUP_PARITY..=MAX_GROUP_PARITY).contains(&count)
        {
            return Err(Unsuited::ParityCount(count));
        }
        let too_many = Unsuited::TooManyBlocks(data_blocks);
        let groups = u32::try_from(data_blocks.div_ceil(u64::from(MAX_GROUP_DATA))).map_err(|_| too_many)?;
        let group_data = data_blocks
            .checked_add(u64::from(groups).saturating_sub(1))
            .and_then(|sum| sum.checked_div(u64::from(groups)))
            .ok_or(Unsuited::NoBlocks)?;
        let group_data = u32::try_from(group_data).map_err(|_| too_many)?;
        let group_parity = level.group_parity(group_data);
        let parity_blocks = u64::from(groups).checked_mul(u64::from(group_parity)).ok_or(too_many)?;
        let parity_len = u64::try_from(block_len)
            .ok()
            .and_then(|len| parity_blocks.checked_mul(len))
            .ok_or(too_many)?;
        Ok(Self {
            data_blocks,
            block_len,
            groups,
            group_data,
            group_parity,
            parity_blocks,
            parity_len,
        })
    }

    /// Data blocks of the file.
    #[must_use]
    pub const fn data_blocks(&self) -> u64 {
        self.data_blocks
    }

    /// Bytes of a block; a shorter one counts as followed by zeros.
    #[must_use]
    pub const fn block_len(&self) -> usize {
        self.block_len
    }

    /// Groups of the file.
    #[must_use]
    pub const fn groups(&self) -> u32 {
        self.groups
    }

    /// Data blocks of the largest group; the others have as many or one less.
    #[must_use]
    pub const fn group_data(&self) -> u32 {
        self.group_data
    }

    /// Parity blocks of every group: so many lost blocks of the group can be restored.
    #[must_use]
    pub const fn group_parity(&self) -> u32 {
        self.group_parity
    }

    /// Parity blocks of the file.
    #[must_use]
    pub const fn parity_blocks(&self) -> u64 {
        self.parity_blocks
    }

    /// Bytes of all parity blocks.
    #[must_use]
    pub const fn parity_len(&self) -> u64 {
        self.parity_len
    }

    /// Group and position in it of a data block or of a parity block: both are dealt out in turn.
    #[must_use]
    pub fn place(&self, block: u64) -> (u32, u64) {
        let groups = u64::from(self.groups);
        let group = block.checked_rem(groups).and_then(|group| u32::try_from(group).ok());
        (group.unwrap_or(0), block.checked_div(groups).unwrap_or(0))
    }

    /// The block, data or parity, at a position of a group: the reverse of [`Grouping::place`].
    #[must_use]
    pub fn block(&self, group: u32, position: u32) -> u64 {
        // Below 2^32 x 2^15 + 2^32: neither saturates.
        u64::from(position)
            .saturating_mul(u64::from(self.groups))
            .saturating_add(u64::from(group))
    }

    /// The positions of a group's data blocks.
    pub(super) fn data_positions(&self, group: u32) -> Range<u32> {
        let count = self
            .data_blocks
            .saturating_sub(u64::from(group))
            .div_ceil(u64::from(self.groups.max(1)));
        0..u32::try_from(count).unwrap_or(MAX_GROUP_DATA)
    }

    /// Rows of a transform over the parity blocks: their count rounded up to a power of two.
    pub(super) const fn transform_rows(&self) -> u32 {
        // At most 2^15, which is a power of two itself.
        self.group_parity.next_power_of_two()
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
    fn every_block_has_one_place_and_groups_differ_by_one_block_at_most() {
        for data_blocks in [1, 2, 3, 100, 32_767, 32_768, 32_769, 65_536, 65_537, 100_001] {
            let grouping = Grouping::new(data_blocks, 12, Level::Low).unwrap();
            let mut counts = vec![0_u32; grouping.groups() as usize];
            for block in 0..data_blocks {
                let (group, position) = grouping.place(block);
                assert_eq!(grouping.block(group, position as u32), block);
                assert_eq!(u64::from(counts[group as usize]), position);
                counts[group as usize] += 1;
            }
            for (group, count) in counts.iter().enumerate() {
                assert_eq!(grouping.data_positions(group as u32), 0..*count);
                assert!(*count <= MAX_GROUP_DATA && *count + 1 >= grouping.group_data());
            }
            assert_eq!(counts.iter().max(), Some(&grouping.group_data()));
        }
    }

    #[test]
    fn levels_are_shares_rounded_up_and_at_least_two() {
        let parity = |blocks, level| {
            let grouping = Grouping::new(blocks, 16, level).unwrap();
            (grouping.group_parity(), grouping.parity_blocks())
        };
        assert_eq!(parity(1, Level::Low), (2, 2));
        assert_eq!(parity(100, Level::Low), (2, 2));
        assert_eq!(parity(101, Level::Low), (3, 3));
        assert_eq!(parity(101, Level::Medium), (6, 6));
        assert_eq!(parity(101, Level::High), (11, 11));
        assert_eq!(parity(32_768, Level::High), (3277, 3277));
        assert_eq!(
            parity(32_769, Level::Low),
            (328, 656),
            "two groups of 16,385 and 16,384"
        );
        assert_eq!(parity(3, Level::Blocks(32_768)), (32_768, 32_768));
        for level in [Level::Low, Level::Medium, Level::High, Level::Blocks(7)] {
            assert_eq!(Level::from_code(level.code(), 7), Some(level));
        }
        assert_eq!(Level::from_code(0, 2), None);
        assert_eq!(Level::from_code(5, 2), None);
    }

    #[test]
    fn hostile_numbers_are_refused() {
        let new = Grouping::new;
        assert_eq!(new(0, 12, Level::Low), Err(Unsuited::NoBlocks));
        assert_eq!(new(0, 12, Level::Blocks(2)), Err(Unsuited::NoBlocks));
        assert_eq!(new(1, 11, Level::Low), Err(Unsuited::BlockSize(11)));
        assert_eq!(new(1, 21, Level::Low), Err(Unsuited::BlockSize(21)));
        assert_eq!(new(1, 255, Level::Low), Err(Unsuited::BlockSize(255)));
        for count in [0, 1, 32_769, u32::MAX] {
            for blocks in [0, 1] {
                assert_eq!(new(blocks, 12, Level::Blocks(count)), Err(Unsuited::ParityCount(count)));
            }
        }
        for blocks in [1 << 47, (1 << 47) + 1, u64::MAX - 1, u64::MAX] {
            assert_eq!(new(blocks, 12, Level::Low), Err(Unsuited::TooManyBlocks(blocks)));
        }
        let most = new((1 << 47) - 32_768, 12, Level::Low).unwrap();
        assert_eq!((most.groups(), most.group_data()), (u32::MAX, MAX_GROUP_DATA));
        // 2^32 groups x 2^15 parity blocks x 2^20 bytes is more than a file can be long.
        assert_eq!(
            new((1 << 47) - 32_768, 20, Level::Blocks(32_768)),
            Err(Unsuited::TooManyBlocks((1 << 47) - 32_768))
        );
    }
}
