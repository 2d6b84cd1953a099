//! Checking neighbouring blocks: read together, hashed, and the padding between tensors and behind them looked at.
//!
//! What a finding means for the whole file is decided in `verify`.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use std::ops::Range;

use crate::checkpoint::Reading;
use crate::copies::fill;
use crate::directory::Directory;
use crate::error::Error;
use crate::finding::{Cause, Finding};
use crate::index::Chunk;
use crate::info::ChunkKind;
use crate::memory::{Aligned, PAGE, out_of_memory};
use crate::residents::Residents;
use crate::source::{ReadAt, read_full};
use crate::wire::{is_zero, len_u64};

/// Neighbouring blocks of one chunk, read and hashed together.
pub(crate) struct Task<'d> {
    /// The chunk's number.
    pub(crate) number: usize,
    pub(crate) chunk: &'d Chunk,
    /// At least one, counted over the file.
    pub(crate) blocks: Range<u64>,
}

impl Task<'_> {
    /// Reads the blocks and says what is wrong with them, in their order.
    ///
    /// # Errors
    /// Only a lack of memory.
    pub(crate) fn check(
        &self,
        directory: &Directory,
        residents: &Residents,
        source: &(impl ReadAt + ?Sized),
        buffer: &mut Aligned<PAGE>,
    ) -> Result<Vec<Finding>, Error> {
        let block_len = directory.superblock.block_len();
        let reading = Reading {
            chunk: self.chunk,
            chunk_name: directory.index.chunk_name(self.chunk),
            tensor: None,
        };
        let mut bad = Vec::new();
        let bytes_of = |number| self.chunk.block_bytes(number, block_len);
        check_blocks(
            directory,
            source,
            &self.blocks,
            bytes_of,
            buffer,
            |number, range, block| match block {
                Err(cause) => bad.push(reading.finding(number, range, cause)),
                Ok(block) => {
                    if let Some(padding) = self.non_zero_padding(directory, residents, block, range.start) {
                        bad.push(reading.finding(number, padding, Cause::NonZeroPadding));
                    }
                }
            },
        )?;
        Ok(bad)
    }

    /// The span of non-zero bytes between and behind tensors, or behind text or bytes, in a block that begins at
    /// `offset` of the file.
    fn non_zero_padding(
        &self,
        directory: &Directory,
        residents: &Residents,
        block: &[u8],
        offset: u64,
    ) -> Option<Range<u64>> {
        let start = offset.saturating_sub(self.chunk.content_offset());
        let end = start.saturating_add(len_u64(block.len()));
        let gap = |from: u64, to: u64| {
            let inside = |at: u64| usize::try_from(at.saturating_sub(start)).unwrap_or(usize::MAX);
            non_zero(
                block.get(inside(from)..inside(to))?,
                offset.saturating_add(from.saturating_sub(start)),
            )
        };
        let mut bad: Option<Range<u64>> = None;
        let mut add = |span: Option<Range<u64>>| {
            if let Some(span) = span {
                bad = Some(bad.as_ref().map_or(span.start, |bad| bad.start)..span.end);
            }
        };
        let mut filled = start;
        if self.chunk.kind == ChunkKind::Tensors && self.chunk.framing.is_none() {
            for tensor in residents.on(&directory.index, self.number, &(start..end)) {
                if filled < tensor.offset {
                    add(gap(filled, tensor.offset.min(end)));
                }
                filled = filled.max(tensor.offset.saturating_add(tensor.len)).min(end);
            }
            let tensor_directory = self.chunk.directory();
            if filled < tensor_directory.start {
                add(gap(filled, tensor_directory.start.min(end)));
            }
        }
        filled = filled.max(self.chunk.stored_len.min(end));
        add(gap(filled, end));
        bad
    }
}

/// Reads neighbouring blocks, at least one, and compares each with its digest; `say` hears of every one, in their order.
///
/// # Errors
/// Only a lack of memory.
pub(crate) fn check_blocks(
    directory: &Directory,
    source: &(impl ReadAt + ?Sized),
    blocks: &Range<u64>,
    bytes_of: impl Fn(u64) -> Range<u64>,
    buffer: &mut Aligned<PAGE>,
    mut say: impl FnMut(u64, Range<u64>, Result<&[u8], Cause>),
) -> Result<(), Error> {
    let start = bytes_of(blocks.start).start;
    let len = bytes_of(blocks.end.saturating_sub(1)).end.saturating_sub(start);
    buffer.set_len(usize::try_from(len).map_err(|_| out_of_memory())?)?;
    let at_once = matches!(read_full(source, buffer, start), Ok(true));
    let step = usize::try_from(directory.superblock.block_len()).unwrap_or(usize::MAX);
    for (number, block) in blocks.clone().zip(buffer.chunks_mut(step)) {
        let range = bytes_of(number);
        // What cannot be read as a whole is read block by block: the bad ones are named, the others checked.
        let read = match at_once {
            true => Ok(()),
            false => fill(source, block, range.start),
        };
        let checked = read.and_then(|()| directory.check_block(number, block));
        say(number, range, checked.map(|()| &*block));
    }
    Ok(())
}

/// The span from the first to the last byte that is not zero, the bytes beginning at `offset` of the file.
pub(crate) fn non_zero(bytes: &[u8], offset: u64) -> Option<Range<u64>> {
    if is_zero(bytes) {
        return None;
    }
    let first = bytes.iter().position(|&byte| byte != 0)?;
    let last = bytes.iter().rposition(|&byte| byte != 0)?;
    Some(offset.saturating_add(len_u64(first))..offset.saturating_add(len_u64(last)).saturating_add(1))
}
