//! Finding lost blocks and restoring them from their parity groups.
//!
//! Blocks are lost by the word of their digests alone; what comes out of the parity is compared with its digest before
//! anybody sees it.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use std::collections::BTreeMap;
use std::io;

use rayon::prelude::*;

use crate::copies::fill;
use crate::directory::Directory;
use crate::finding::Cause;
use crate::parity::{self, Block, Grouping, Losses, RESTORE_MEMORY_BYTES};
use crate::source::{ReadAt, read_or_zeros};
use crate::wire::len_u64;

/// Restored blocks of content by their numbers.
pub(crate) type RestoredBlocks = BTreeMap<u64, Vec<u8>>;

/// Reads a block into `buffer`, cut to its length, and compares it with its digest.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn read_block(
    directory: &Directory,
    source: &(impl ReadAt + ?Sized),
    number: u64,
    buffer: &mut Vec<u8>,
) -> Result<(), Cause> {
    let range = directory.block_range(number);
    buffer.resize(usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(0), 0);
    fill(source, buffer, range.start).and_then(|()| directory.check_block(number, buffer))
}

/// Those of the numbered blocks that are lost, in order, and why.
pub(crate) fn lost_blocks(
    directory: &Directory,
    source: &(impl ReadAt + ?Sized),
    numbers: impl IndexedParallelIterator<Item = u64>,
) -> Vec<(u64, Cause)> {
    numbers
        .map_init(Vec::new, |buffer, number| {
            read_block(directory, source, number, buffer)
                .err()
                .map(|cause| (number, cause))
        })
        .flatten_iter()
        .collect()
}

/// A block by its number in the file, as the parity code names it.
pub(crate) fn parity_name(directory: &Directory, number: u64) -> Block {
    match number.checked_sub(directory.superblock.block_count) {
        Some(position) => Block::Parity(position),
        None => Block::Data(number),
    }
}

/// The reverse of [`parity_name`].
pub(crate) fn number_of(directory: &Directory, block: Block) -> u64 {
    match block {
        Block::Data(number) => number,
        Block::Parity(position) => directory.superblock.block_count.saturating_add(position),
    }
}

/// Fills `buffer` with a block's bytes from a column on; behind its end are zeros.
pub(crate) fn read_column(
    directory: &Directory,
    source: &(impl ReadAt + ?Sized),
    block: Block,
    column: usize,
    buffer: &mut [u8],
) -> io::Result<()> {
    let range = directory.block_range(number_of(directory, block));
    let start = range.start.saturating_add(len_u64(column)).min(range.end);
    read_or_zeros(source, buffer, start, range.end)
}

/// The lost blocks of content of one group, restored; `None` where the group lost too many or the source changed.
pub(crate) fn restore_group(
    directory: &Directory,
    source: &(impl ReadAt + ?Sized),
    grouping: &Grouping,
    group: u32,
) -> Option<RestoredBlocks> {
    let groups = u64::from(grouping.groups());
    let members = |count: u64| count.saturating_sub(u64::from(group)).div_ceil(groups.max(1));
    let data = members(grouping.data_blocks());
    let count = usize::try_from(data.saturating_add(members(grouping.parity_blocks()))).ok()?;
    let number = |position: usize| {
        let position = len_u64(position);
        let (block, first) = match position.checked_sub(data) {
            Some(position) => (position, grouping.data_blocks()),
            None => (position, 0),
        };
        block
            .saturating_mul(groups)
            .saturating_add(u64::from(group))
            .saturating_add(first)
    };
    let lost = lost_blocks(directory, source, (0..count).into_par_iter().map(number));
    let lost = lost.into_iter().map(|(number, _)| parity_name(directory, number));
    let losses = Losses::new(grouping, lost).ok()?;
    if !losses.shortages().is_empty() {
        return None;
    }
    let mut restored = RestoredBlocks::new();
    let read = |block: Block, column: usize, buffer: &mut [u8]| read_column(directory, source, block, column, buffer);
    let write = |block: Block, _: usize, bytes: &[u8]| {
        if let Block::Data(number) = block {
            restored.entry(number).or_default().extend_from_slice(bytes);
        }
        Ok(())
    };
    parity::restore(&losses, RESTORE_MEMORY_BYTES, read, write).ok()?;
    for (number, bytes) in &mut restored {
        let range = directory.block_range(*number);
        bytes.truncate(usize::try_from(range.end.saturating_sub(range.start)).ok()?);
        directory.check_block(*number, bytes).ok()?;
    }
    Some(restored)
}
