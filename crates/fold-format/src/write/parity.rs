//! Parity of the payload: encoded from the caller's memory, or from the file what is compressed or is not in memory.

use std::io;

use super::raw::put_together;
use super::{BATCH_LEN, hash_blocks};
use crate::digest::Hasher;
use crate::layout::PAGE_LEN;
use crate::memory::{Aligned, PAGE};
use crate::parity::{self, Grouping};
use crate::plan::{Placed, PlannedChunk};
use crate::source::{read_full, read_or_zeros};
use crate::storage::{StorageFile, write_full};
use crate::wire::{align_up, len_u64};

/// Memory for encoding what may have to be read from a disk again for every column: columns are some kilobytes wide then.
const FILE_MEMORY_BYTES: usize = 64 << 20;

/// Content up to this is taken to be in memory where the caller's slices hold it. More may be a mapped file that is not.
const IN_MEMORY_MAX: u64 = 1 << 30;

/// Parity up to this is held in memory until all of it is there.
const HELD_MAX: u64 = 32 << 20;

/// What parity is computed from, and where it goes.
pub(super) struct Encoding<'e, F> {
    pub(super) file: &'e F,
    pub(super) hasher: Hasher,
    pub(super) block_len: usize,
    pub(super) grouping: &'e Grouping,
    pub(super) chunks: &'e [PlannedChunk<'e>],
    /// Which chunks are raw and can be taken from memory again and again.
    pub(super) in_memory: &'e [bool],
    /// Where the chunks lie; of one that is not in memory, its stored bytes are in the file.
    pub(super) placed: &'e [Placed],
    /// Of the first parity block, in the file.
    pub(super) start: u64,
}

impl<F: StorageFile> Encoding<'_, F> {
    /// Computes and writes all parity blocks; returns their entries of the digest table.
    pub(super) fn write(&self) -> io::Result<Vec<u8>> {
        let len = self.grouping.data_blocks().saturating_mul(len_u64(self.block_len));
        match len <= IN_MEMORY_MAX && !self.in_memory.contains(&false) {
            true if self.grouping.parity_len() <= HELD_MAX => self.write_at_once(),
            true => self.write_as_it_comes(parity::ENCODE_MEMORY_BYTES),
            false => self.write_as_it_comes(FILE_MEMORY_BYTES),
        }
    }

    /// Holds the parity until it is whole: its rows, written one by one, would each wait until the content beside them
    /// has been written for a while.
    fn write_at_once(&self) -> io::Result<Vec<u8>> {
        let mut held = Aligned::<PAGE>::zeroed(self.grouping.parity_len()).map_err(|fault| fault.source)?;
        self.encode(parity::ENCODE_MEMORY_BYTES, |block, column, bytes| {
            let start = usize::try_from(self.inside(block, column)).unwrap_or(usize::MAX);
            let place = start.checked_add(bytes.len()).and_then(|end| held.get_mut(start..end));
            place.ok_or(io::ErrorKind::UnexpectedEof)?.copy_from_slice(bytes);
            Ok(())
        })?;
        write_full(self.file, &held, self.start)?;
        let first = self.grouping.data_blocks();
        Ok(hash_blocks(&self.hasher, first, &held, self.block_len))
    }

    /// Writes the parity row by row, and reads it again for its digests.
    fn write_as_it_comes(&self, memory: usize) -> io::Result<Vec<u8>> {
        self.encode(memory, |block, column, bytes| {
            write_full(self.file, bytes, self.place(block, column))
        })?;
        let blocks = self.grouping.parity_blocks();
        let per_batch = BATCH_LEN.checked_div(self.block_len).unwrap_or(1).max(1);
        let mut buffer = Aligned::<PAGE>::new();
        let mut table = Vec::new();
        let mut block = 0_u64;
        while block < blocks {
            let count = blocks.saturating_sub(block).min(len_u64(per_batch));
            let len = usize::try_from(count)
                .unwrap_or(per_batch)
                .saturating_mul(self.block_len);
            buffer.set_len(len).map_err(|fault| fault.source)?;
            if !read_full(self.file, &mut buffer, self.place(block, 0))? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let first = self.grouping.data_blocks().saturating_add(block);
            table.extend(hash_blocks(&self.hasher, first, &buffer, self.block_len));
            block = block.saturating_add(count);
        }
        Ok(table)
    }

    fn encode(&self, memory: usize, write: impl FnMut(u64, usize, &[u8]) -> io::Result<()>) -> io::Result<()> {
        let read = |block: u64, column: usize, buffer: &mut [u8]| self.data(block, column, buffer);
        parity::encode(self.grouping, memory, read, write).map_err(|fault| match fault {
            parity::Fault::Read { source, .. } | parity::Fault::Write { source, .. } => source,
            fault => io::Error::other(fault),
        })
    }

    /// In the file.
    fn place(&self, block: u64, column: usize) -> u64 {
        self.inside(block, column).saturating_add(self.start)
    }

    /// In the parity.
    fn inside(&self, block: u64, column: usize) -> u64 {
        len_u64(self.block_len)
            .saturating_mul(block)
            .saturating_add(len_u64(column))
    }

    /// Fills the buffer with the bytes of a block of content from a column on, with zeros behind its end.
    fn data(&self, block: u64, column: usize, buffer: &mut [u8]) -> io::Result<()> {
        let number = self
            .placed
            .partition_point(|chunk| chunk.first_block.saturating_add(chunk.block_count) <= block);
        let (Some(chunk), Some(planned)) = (self.placed.get(number), self.chunks.get(number)) else {
            return Err(io::ErrorKind::UnexpectedEof.into());
        };
        let inside = len_u64(self.block_len)
            .saturating_mul(block.saturating_sub(chunk.first_block))
            .saturating_add(len_u64(column));
        if self.in_memory.get(number) == Some(&true) {
            put_together(&planned.segments, inside, buffer)?;
            return Ok(());
        }
        let end = align_up(chunk.stored_len, PAGE_LEN).unwrap_or(u64::MAX);
        let in_file = |at: u64| chunk.content_offset().saturating_add(at);
        read_or_zeros(self.file, buffer, in_file(inside), in_file(end))
    }
}
