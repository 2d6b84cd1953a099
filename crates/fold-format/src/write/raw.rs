//! A raw chunk in batches: every block found in the caller's memory or put together, hashed, and written.

use std::io;

use rayon::prelude::*;

use super::BATCH_LEN;
use crate::digest::{Digest, Hasher};
use crate::layout::PAGE_LEN;
use crate::memory::{Aligned, PAGE};
use crate::plan::{Placed, PlannedChunk, Segment};
use crate::storage::{StorageFile, write_full};
use crate::wire::{align_up, len_u64};

/// Blocks of one raw chunk that are hashed together.
pub(super) struct Batch<'p> {
    segments: &'p [Segment<'p>],
    first_block: u64,
    /// Where the chunk's content begins in the file.
    content_offset: u64,
    /// In the chunk's content.
    offset: u64,
    len: usize,
    /// Whether every block is put together in the buffer, to be written past the page cache.
    past_cache: bool,
}

/// Where a block's bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Inside the caller's segment of this number.
    Segment(usize),
    /// In the batch's buffer, at the block's place.
    Buffer,
}

/// A hashed batch, ready to be written.
pub(super) struct Hashed<'p> {
    batch: Batch<'p>,
    pub(super) blocks: Vec<(Digest, Place)>,
    buffer: Aligned<PAGE>,
}

/// Cuts a raw chunk's stored bytes, padding included, into batches of whole blocks.
pub(super) fn batches<'p>(
    chunk: &'p PlannedChunk<'p>,
    placed: &Placed,
    block_len: usize,
    past_cache: bool,
) -> impl Iterator<Item = Batch<'p>> + use<'p> {
    let padded = align_up(placed.stored_len, PAGE_LEN).unwrap_or(placed.stored_len);
    let (first_block, content_offset) = (placed.first_block, placed.content_offset());
    let step = len_u64(BATCH_LEN.max(block_len));
    let count = padded.div_ceil(step);
    (0..count).map(move |number| {
        let offset = number.saturating_mul(step);
        let len = padded.saturating_sub(offset).min(step);
        let skipped_blocks = offset.checked_div(len_u64(block_len)).unwrap_or(0);
        Batch {
            segments: &chunk.segments,
            first_block: first_block.saturating_add(skipped_blocks),
            content_offset,
            offset,
            len: usize::try_from(len).unwrap_or(BATCH_LEN),
            past_cache,
        }
    })
}

impl<'p> Batch<'p> {
    /// Finds or puts together the bytes of every block and hashes them.
    pub(super) fn hash(self, mut buffer: Aligned<PAGE>, block_len: usize, hasher: &Hasher) -> io::Result<Hashed<'p>> {
        buffer.set_len(self.len).map_err(|fault| fault.source)?;
        let block = |position: usize| {
            let position = len_u64(position);
            let start = self.offset.saturating_add(position.saturating_mul(len_u64(block_len)));
            (self.first_block.saturating_add(position), start)
        };
        // What has to be read is read at once: a source may decode, or wait for a disk.
        let end = self.offset.saturating_add(len_u64(self.len));
        let in_memory = touching(self.segments, self.offset, end).all(|segment| segment.span().as_slice().is_some());
        let blocks = if in_memory {
            let blocks = buffer.par_chunks_mut(block_len).enumerate().map(|(position, slot)| {
                let (number, start) = block(position);
                let (place, bytes) = match self.past_cache {
                    true => (Place::Buffer, &*put_together(self.segments, start, slot)?),
                    false => gather(self.segments, start, slot)?,
                };
                Ok((hasher.block(number, bytes), place))
            });
            blocks.collect::<io::Result<_>>()?
        } else {
            put_together(self.segments, self.offset, &mut buffer)?;
            let blocks = buffer.par_chunks(block_len).enumerate();
            blocks
                .map(|(position, bytes)| (hasher.block(block(position).0, bytes), Place::Buffer))
                .collect()
        };
        Ok(Hashed {
            batch: self,
            blocks,
            buffer,
        })
    }
}

/// The segments that have bytes between two positions of the content, and perhaps empty ones between them.
fn touching<'a, 'p>(segments: &'a [Segment<'p>], start: u64, end: u64) -> impl Iterator<Item = &'a Segment<'p>> {
    let first = segments.partition_point(|segment| segment.end() <= start);
    let touching = segments.get(first..).unwrap_or(&[]).iter();
    touching.take_while(move |segment| segment.offset < end)
}

/// The bytes of the block that begins at `start` of a chunk's content and is as long as `slot`: inside one segment, or
/// put together in `slot` with zeros between the segments.
///
/// # Errors
/// What a source says from which bytes are read.
pub(super) fn gather<'a>(segments: &'a [Segment<'_>], start: u64, slot: &'a mut [u8]) -> io::Result<(Place, &'a [u8])> {
    let end = start.saturating_add(len_u64(slot.len()));
    let first = segments.partition_point(|segment| segment.end() <= start);
    if let Some(bytes) = segments.get(first).and_then(|segment| part(segment, start, end)) {
        return Ok((Place::Segment(first), bytes));
    }
    Ok((Place::Buffer, put_together(segments, start, slot)?))
}

/// Fills `slot` with a chunk's content from `start` on, with zeros between the segments and behind the last one.
///
/// # Errors
/// As [`gather`].
pub(super) fn put_together<'s>(segments: &[Segment<'_>], start: u64, slot: &'s mut [u8]) -> io::Result<&'s mut [u8]> {
    let end = start.saturating_add(len_u64(slot.len()));
    let inside = |at: u64| usize::try_from(at.saturating_sub(start)).unwrap_or(usize::MAX);
    let mut filled = 0;
    for segment in touching(segments, start, end) {
        let (from, to) = (segment.offset.max(start), segment.end().min(end));
        if let Some(gap) = slot.get_mut(filled..inside(from)) {
            gap.fill(0);
        }
        if let Some(place) = slot.get_mut(inside(from)..inside(to)) {
            segment.span().read(from.saturating_sub(segment.offset), place)?;
        }
        filled = inside(to);
    }
    if let Some(behind) = slot.get_mut(filled..) {
        behind.fill(0);
    }
    Ok(slot)
}

/// The bytes of a segment between two positions of the content, where they both lie inside it and it is in memory.
fn part<'p>(segment: &'p Segment<'_>, from: u64, to: u64) -> Option<&'p [u8]> {
    let from = usize::try_from(from.checked_sub(segment.offset)?).ok()?;
    let to = usize::try_from(to.checked_sub(segment.offset)?).ok()?;
    segment.span().as_slice()?.get(from..to)
}

impl Hashed<'_> {
    /// Writes the batch, neighbouring blocks of one place at once, and gives the buffer back.
    pub(super) fn write<F: StorageFile>(
        self,
        file: &F,
        past_cache: Option<&F>,
        block_len: usize,
    ) -> io::Result<Aligned<PAGE>> {
        let Self { batch, blocks, buffer } = self;
        let mut start = 0_usize;
        for run in blocks.chunk_by(|(_, one), (_, next)| one == next) {
            let end = run.len().saturating_mul(block_len).saturating_add(start).min(batch.len);
            let in_content = |at: usize| batch.offset.saturating_add(len_u64(at));
            let bytes = match run.first() {
                Some((_, Place::Segment(number))) => {
                    let segment = batch.segments.get(*number);
                    segment.and_then(|segment| part(segment, in_content(start), in_content(end)))
                }
                _ => buffer.get(start..end),
            };
            debug_assert!(bytes.is_some(), "a run lies in its segment or in the buffer");
            let offset = batch.content_offset.saturating_add(in_content(start));
            match past_cache {
                Some(past_cache) => write_pages(past_cache, file, bytes.unwrap_or(&[]), offset)?,
                None => write_full(file, bytes.unwrap_or(&[]), offset)?,
            }
            start = end;
        }
        Ok(buffer)
    }
}

/// Writes whole pages past the page cache, and through it what the system refuses there.
pub(super) fn write_pages<F: StorageFile>(past_cache: &F, file: &F, pages: &[u8], offset: u64) -> io::Result<()> {
    match write_full(past_cache, pages, offset) {
        Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => {
            write_full(file, pages, offset)
        }
        written => written,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::span::Span;

    fn segments(bytes: &[u8]) -> Vec<Segment<'_>> {
        // 0..10, 64..74, 128..128 (empty), 192..292.
        let segment = |offset, range: std::ops::Range<usize>| Segment::of(offset, bytes[range].into());
        vec![
            segment(0, 0..10),
            segment(64, 10..20),
            segment(128, 0..0),
            segment(192, 20..120),
        ]
    }

    #[test]
    fn every_window_is_the_content_with_zeros_between() {
        let bytes = (1..=120).collect::<Vec<u8>>();
        let segments = segments(&bytes);
        let mut content = vec![0_u8; 512];
        for segment in &segments {
            content[segment.offset as usize..segment.end() as usize]
                .copy_from_slice(segment.span().as_slice().unwrap());
        }
        for start in 0..400 {
            for len in [1, 7, 64, 100] {
                let mut slot = vec![0xee; len];
                let (_, gathered) = gather(&segments, start as u64, &mut slot).unwrap();
                assert_eq!(gathered, &content[start..start + len], "{start} {len}");
            }
        }
    }

    #[test]
    fn a_window_inside_a_segment_is_not_copied() {
        let bytes = (1..=120).collect::<Vec<u8>>();
        let segments = segments(&bytes);
        let mut slot = [0; 50];
        assert_eq!(gather(&segments, 200, &mut slot).unwrap().0, Place::Segment(3));
        assert_eq!(gather(&segments, 180, &mut slot).unwrap().0, Place::Buffer);
        let read = [Segment::of(0, Span::within(&bytes, 0..100))];
        let (place, gathered) = gather(&read, 25, &mut slot).unwrap();
        assert_eq!((place, gathered), (Place::Buffer, &bytes[25..75]));
    }
}
