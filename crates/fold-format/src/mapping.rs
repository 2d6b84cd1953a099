//! Mapping a file: tensors as slices of it, verified when first touched.
//!
//! The only module with unsafe code, and all it does is to map and to prefetch: views are made by `bytemuck` elsewhere. Read the safety
//! section of [`Checkpoint::map`] before using it; [`Checkpoint::open`] is the safe way.
#![allow(
    unsafe_code,
    reason = "the one module that maps files; every other module of the workspace is free of unsafe"
)]

use std::fs::File;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use memmap2::Mmap;
use rayon::prelude::*;

use crate::checkpoint::{Checkpoint, OpenOptions, Reading, open_regular};
use crate::digest::STRIDE;
use crate::directory::Directory;
use crate::error::{Error, IoFault, Misuse, Operation};
use crate::finding::{Cause, Finding};
use crate::source::{Ahead, ReadAt};
use crate::tensor::TensorView;
use crate::wire::len_u64;

/// A file mapped for reading, with one bit per block that has been verified.
#[derive(Debug)]
pub struct Mapping {
    map: Mmap,
    verified: Vec<AtomicU64>,
}

/// Fewer bytes than this of a tensor are hashed by the calling thread: one thread takes nearly all that the memory gives.
const PARALLEL_VIEW_LEN: u64 = 8 << 20;

/// Neighbouring blocks that a thread hashes at least.
const BLOCKS_MIN: usize = 16;

/// How far ahead of what is being hashed memory is fetched: as much as arrives while one cache line is waited for.
const FETCH_AHEAD: usize = 6144;

/// Blocks per word of the bitmap.
const BITS: u64 = u64::BITS as u64;

impl Mapping {
    fn bytes(&self, range: &Range<u64>) -> Option<&[u8]> {
        self.map
            .get(usize::try_from(range.start).ok()?..usize::try_from(range.end).ok()?)
    }

    /// The word that holds a block's bit, and the bit.
    fn bit(&self, number: u64) -> Option<(&AtomicU64, u64)> {
        let word = self.verified.get(usize::try_from(number / BITS).ok()?)?;
        Some((word, 1 << (number % BITS)))
    }

    fn is_verified(&self, number: u64) -> bool {
        // Acquire and Release: whoever sees the bit also sees that the bytes were compared. They are not written, so
        // two threads that both find the bit unset only do the same work twice.
        self.bit(number)
            .is_some_and(|(word, bit)| word.load(Ordering::Acquire) & bit != 0)
    }

    fn set_verified(&self, number: u64) {
        if let Some((word, bit)) = self.bit(number) {
            word.fetch_or(bit, Ordering::Release);
        }
    }

    /// Asks for the stride that lies [`FETCH_AHEAD`] behind the one at `at`, in this block or the next. While a stride is hashed,
    /// too few of the following loads are under way to keep the memory busy.
    fn prefetch(&self, at: usize) {
        let start = at.saturating_add(FETCH_AHEAD);
        let Some(stride) = self.map.get(start..start.saturating_add(STRIDE)) else {
            return;
        };
        for line in stride.chunks(64) {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: a prefetch is a hint that reads nothing and never faults, and `line` is a slice that may be read.
            unsafe {
                std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(line.as_ptr().cast());
            }
            #[cfg(not(target_arch = "x86_64"))]
            let _ = line;
        }
    }

    /// Compares a block with its digest unless that was done before.
    fn verify_block(&self, directory: &Directory, reading: Reading<'_>, number: u64) -> Result<(), Box<Finding>> {
        if self.is_verified(number) {
            return Ok(());
        }
        let range = reading.chunk.block_bytes(number, directory.superblock.block_len());
        let checked = match self.bytes(&range) {
            Some(bytes) => {
                let start = usize::try_from(range.start).unwrap_or(usize::MAX);
                let ahead = |at: usize| self.prefetch(start.saturating_add(at));
                let computed = directory.hasher.block_ahead(number, bytes, ahead);
                directory.check_digest(number, computed)
            }
            None => Err(Cause::Length {
                expected: range.end,
                actual: len_u64(self.map.len()),
            }),
        };
        checked.map_err(|cause| Box::new(reading.finding(number, range, cause)))?;
        self.set_verified(number);
        Ok(())
    }
}

impl ReadAt for Mapping {
    fn len(&self) -> std::io::Result<u64> {
        Ok(len_u64(self.map.len()))
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> std::io::Result<usize> {
        // Before there is a bit for each block the file is being opened: its metadata may lie anywhere.
        if self.verified.is_empty() {
            let end = offset.saturating_add(len_u64(buffer.len()));
            self.will_read(&(offset..end.min(len_u64(self.map.len()))));
        }
        self.map[..].read_at(buffer, offset)
    }

    /// Left to itself the system reads around a page that is touched as much as the device is set to, however long the range is.
    #[cfg(unix)]
    fn will_read(&self, range: &Range<u64>) {
        if let Some(bytes) = self.bytes(range).filter(|_| range.start < range.end) {
            let start = usize::try_from(range.start).unwrap_or(0);
            // Where it is refused, pages are read when they are touched.
            let _ = self.map.advise_range(memmap2::Advice::WillNeed, start, bytes.len());
        }
    }
}

/// Maps a whole file for reading.
///
/// # Safety
/// Until the mapping is gone, no process may change the file's bytes or make it shorter.
unsafe fn map_file(file: &File) -> std::io::Result<Mmap> {
    // SAFETY: `Mmap::map` requires that the underlying file is not modified while it is mapped, in or out of process
    // (memmap2, section Safety). The caller of this function promises that, by its own safety section.
    unsafe { Mmap::map(file) }
}

impl Checkpoint<Mapping> {
    /// Maps a file: tensors are slices of the mapping, each block is verified when it is first touched and never again.
    ///
    /// # Safety
    /// Until this checkpoint and every view of it are gone:
    /// - no process may write into the file: a view is a `&[u8]` that Rust assumes not to change, and a block that was
    ///   verified is not looked at again;
    /// - no process may make the file shorter: touching a page behind the end raises `SIGBUS` (on Windows an exception),
    ///   which ends the process;
    /// - the file must lie where reads do not fail: a page that the disk cannot deliver raises the same signal.
    ///
    /// A file written by [`save`](crate::save) is never changed in place by this crate: replacing it by another save or
    /// removing its name leaves the mapping's file as it was, or is refused while the mapping lives, as on Windows. On file systems shared with other machines, or where others
    /// may write, use [`Checkpoint::open`].
    ///
    /// # Errors
    /// As [`Checkpoint::open`]; the mapping fails.
    pub unsafe fn map(path: impl AsRef<Path>) -> Result<Self, Error> {
        // SAFETY: the caller's promise is the one that `map_with` asks for, word by word.
        unsafe { Self::map_with(path, &OpenOptions::default()) }
    }

    /// As [`Checkpoint::map`], with options.
    ///
    /// # Safety
    /// As [`Checkpoint::map`].
    ///
    /// # Errors
    /// As [`Checkpoint::map`].
    pub unsafe fn map_with(path: impl AsRef<Path>, options: &OpenOptions) -> Result<Self, Error> {
        let path = path.as_ref();
        let file = open_regular(path)?;
        // SAFETY: the caller promises that nobody changes or shortens the file while the checkpoint lives, which owns
        // the mapping; views borrow from the checkpoint.
        let map = unsafe { map_file(&file) };
        let map = map.map_err(|error| IoFault::new(Operation::Map, Some(path.into()), error))?;
        let mut checkpoint = Self::open_named(
            Mapping {
                map,
                verified: Vec::new(),
            },
            Some(path),
            options,
        )?;
        let words = checkpoint.info().block_count.div_ceil(BITS);
        checkpoint
            .source
            .verified
            .resize_with(usize::try_from(words).unwrap_or(0), AtomicU64::default);
        Ok(checkpoint)
    }

    /// The tensor as a view into the mapping; the blocks it lies on are verified unless they were before.
    ///
    /// # Errors
    /// As [`Checkpoint::tensor`], but that a view shows what lies in the file: damage that [`Checkpoint::tensor`] reads through
    /// parity is an error here. [`Misuse::Compressed`]: it is not stored as it is, [`Checkpoint::tensor`] reads it.
    pub fn tensor_view(&self, name: &str) -> Result<TensorView<'_>, Error> {
        self.naming(|| self.view(name))
    }

    fn view(&self, name: &str) -> Result<TensorView<'_>, Error> {
        let entry = self.directory.tensor(name)?;
        let (reading, range) = self.locate(&entry)?;
        let chunk = reading.chunk;
        if chunk.framing.is_some() {
            return Err(Misuse::Compressed { name: name.into() }.into());
        }
        let range = chunk.in_file(&range);
        let mut blocks = chunk.blocks_of(&range, self.directory.superblock.block_len());
        let verify = |number| {
            let verified = self.source.verify_block(&self.directory, reading, number);
            verified.err().map(|finding| (number, finding))
        };
        let bad = if entry.len < PARALLEL_VIEW_LEN {
            self.first_block(reading, &range, &mut blocks, verify)
                .or_else(|| blocks.find_map(verify))
        } else {
            let count = usize::try_from(blocks.end.saturating_sub(blocks.start)).unwrap_or(usize::MAX);
            (0..count)
                .into_par_iter()
                .with_min_len(BLOCKS_MIN)
                .filter_map(|position| verify(blocks.start.saturating_add(len_u64(position))))
                .min_by_key(|(number, _)| *number)
        };
        if let Some((_, finding)) = bad {
            return Err(finding.into());
        }
        let bytes = self.source.bytes(&range).ok_or_else(|| {
            let cause = Cause::Length {
                expected: range.end,
                actual: len_u64(self.source.map.len()),
            };
            reading.finding(chunk.first_block, range.clone(), cause)
        })?;
        Ok(TensorView::new(entry.dtype, entry.shape, bytes))
    }

    /// Verifies the first of the `blocks` of a `range` of the file that is not; if it comes from a device, the others are asked for.
    fn first_block<F>(
        &self,
        reading: Reading<'_>,
        range: &Range<u64>,
        blocks: &mut Range<u64>,
        verify: impl Fn(u64) -> Option<F>,
    ) -> Option<F> {
        if !self.ahead.is_due(range) {
            return None;
        }
        let number = blocks.find(|&number| !self.source.is_verified(number))?;
        let first = reading.chunk.block_bytes(number, self.directory.superblock.block_len());
        self.source.will_read(&first);
        let len = first.end.saturating_sub(first.start);
        Ahead::look(&self.source, &(first.start..range.end), len, || verify(number))
    }
}
