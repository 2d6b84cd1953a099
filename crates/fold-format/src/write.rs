//! Streams a plan into a file: blocks hashed in parallel while the blocks before them are written.
//!
//! A block that lies inside one of the caller's slices is hashed and written from there; only blocks that span tensors
//! or padding are put together in one of two bounded buffers. What is on the medium afterwards is `save`'s business.

use std::io;

use rayon::prelude::*;

use crate::digest::{Digest, Hasher, table_entries};
use crate::frames::{Encoded, Encoder, Framing};
use crate::geometry::{Geometry, Lengths};
use crate::info::Parity;
use crate::layout::{FRAME_STORED_RAW, PAGE_LEN};
use crate::options::SaveOptions;
use crate::parity::{self, Grouping};
use crate::plan::{Placed, Plan, PlannedChunk, Segment};
use crate::prologue::Prologue;
use crate::source::read_full;
use crate::storage::{StorageFile, write_full};
use crate::superblock::Draft;
use crate::wire::{align_up, len_u64};

/// Bytes hashed while as many are written: two buffers of this size are all the memory that a save takes, beside the
/// index and the digest table; parity takes its own.
const BATCH_LEN: usize = 4 << 20;

/// What was written.
pub(crate) struct Written {
    pub(crate) root: Digest,
    pub(crate) file_len: u64,
    pub(crate) blocks: u64,
}

/// Blocks of one raw chunk that are hashed together.
struct Batch<'p> {
    segments: &'p [Segment<'p>],
    first_block: u64,
    /// Where the chunk's content begins in the file.
    content_offset: u64,
    /// In the chunk's content.
    offset: u64,
    len: usize,
}

/// Where a block's bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Inside the caller's segment of this number.
    Segment(usize),
    /// In the batch's buffer, at the block's place.
    Buffer,
}

/// A hashed batch, ready to be written.
struct Hashed<'p> {
    batch: Batch<'p>,
    blocks: Vec<(Digest, Place)>,
    buffer: Vec<u8>,
}

/// Writes the whole file.
///
/// # Errors
/// What the storage says.
pub(crate) fn write_plan(plan: &Plan<'_>, options: &SaveOptions, file: &impl StorageFile) -> io::Result<Written> {
    let hasher = Hasher::new(options.digest_kind, options.uuid);
    let mut writer = Writer {
        file,
        hasher,
        options,
        block_len: 1_usize.checked_shl(u32::from(options.block_log2)).unwrap_or(BATCH_LEN),
        at: plan.most.payload.start,
        blocks: 0,
        table: Vec::with_capacity(
            usize::try_from(plan.most.digests_2.end.saturating_sub(plan.most.digests_2.start)).unwrap_or(0),
        ),
    };
    let mut placed = Vec::with_capacity(plan.chunks.len());
    for (number, chunk) in (0_u32..).zip(&plan.chunks) {
        placed.push(writer.chunk(number, chunk)?);
    }
    let payload_end = writer.at;
    let block_count = writer.blocks;
    let parity = match options.parity {
        Some(level) if block_count > 0 => {
            let grouping = Grouping::new(block_count, options.block_log2, level).map_err(io::Error::other)?;
            writer.parity(&grouping, &placed)?;
            Some(Parity::new(level, grouping))
        }
        _ => None,
    };
    let table = writer.table;
    let index = plan.index(&placed);
    let geometry = Geometry::new(Lengths {
        index: len_u64(index.len()),
        digests: len_u64(table.len()),
        digests_reserved: plan.most.payload.start.saturating_sub(plan.most.digests_1.start),
        payload: payload_end.saturating_sub(plan.most.payload.start),
        parity: parity.map_or(0, |parity| parity.grouping.parity_len()),
    })
    .ok_or(io::ErrorKind::FileTooLarge)?;
    let (superblock, root) = Draft {
        compressed: plan.is_compressed(),
        uuid: options.uuid,
        created_unix_ns: options.created_unix_ns,
        block_log2: options.block_log2,
        digest_kind: options.digest_kind,
        block_count,
        geometry: &geometry,
        parity,
        index_digest: hasher.index(&index),
        digests_digest: hasher.digest_table(&table),
    }
    .encode();
    if geometry.file_len() != plan.most.file_len() {
        file.set_len(geometry.file_len())?;
    }
    for copy in [&geometry.index_1, &geometry.index_2] {
        write_full(file, &index, copy.start)?;
    }
    for copy in [&geometry.digests_1, &geometry.digests_2] {
        write_full(file, &table, copy.start)?;
    }
    for padding in geometry.paddings() {
        write_zeros(file, &padding)?;
    }
    write_full(file, &superblock, geometry.superblock_b.start)?;
    write_full(file, &superblock, 0)?;
    Ok(Written {
        root,
        file_len: geometry.file_len(),
        blocks: block_count,
    })
}

/// Zeros, a page at a time.
pub(crate) fn write_zeros(file: &impl StorageFile, range: &std::ops::Range<u64>) -> io::Result<()> {
    let page = [0; 4096];
    let mut at = range.start;
    while at < range.end {
        let len = usize::try_from(range.end.saturating_sub(at)).map_or(page.len(), |len| len.min(page.len()));
        write_full(file, page.get(..len).unwrap_or(&page), at)?;
        at = at.saturating_add(len_u64(len));
    }
    Ok(())
}

/// The payload under way: where the next chunk begins, and the digests so far.
struct Writer<'f, F> {
    file: &'f F,
    hasher: Hasher,
    options: &'f SaveOptions,
    block_len: usize,
    /// In the file.
    at: u64,
    blocks: u64,
    table: Vec<u8>,
}

impl<F: StorageFile> Writer<'_, F> {
    /// Writes one chunk, prologue last.
    fn chunk(&mut self, number: u32, chunk: &PlannedChunk<'_>) -> io::Result<Placed> {
        let mut placed = Placed {
            offset: self.at,
            stored_len: chunk.most_stored,
            first_block: self.blocks,
            block_count: 0,
            digest: self.hasher.chunk(number, &[]),
        };
        match &chunk.framing {
            None => self.raw(chunk, &placed)?,
            Some(framing) => placed.stored_len = self.frames(chunk, framing, &placed)?,
        }
        let padded = align_up(placed.stored_len, PAGE_LEN).unwrap_or(placed.stored_len);
        placed.block_count = padded.div_ceil(len_u64(self.block_len));
        let leaf_len = self.hasher.kind.leaf_len();
        let entries = table_entries(&self.table, leaf_len, placed.first_block, placed.block_count);
        placed.digest = self.hasher.chunk(number, entries.unwrap_or(&[]));
        let prologue = Prologue {
            uuid: self.options.uuid,
            number,
            name: chunk.name,
            kind: chunk.kind,
            framing: chunk.framing,
            block_log2: self.options.block_log2,
            stored_len: placed.stored_len,
            content_len: chunk.content_len,
            first_block: placed.first_block,
            block_count: placed.block_count,
            tensor_count: chunk.tensor_count,
            directory_len: chunk.directory_len,
            digest: placed.digest,
        };
        write_full(self.file, &prologue.encode(&self.hasher), placed.offset)?;
        self.blocks = self.blocks.saturating_add(placed.block_count);
        self.at = placed.content_offset().saturating_add(padded);
        Ok(placed)
    }

    /// Writes a raw chunk's content, each batch while the next one is hashed.
    fn raw(&mut self, chunk: &PlannedChunk<'_>, placed: &Placed) -> io::Result<()> {
        let (file, block_len, hasher) = (self.file, self.block_len, self.hasher);
        let mut ready: Option<Hashed<'_>> = None;
        let mut spare = Vec::new();
        for batch in batches(chunk, placed, block_len) {
            let buffer = std::mem::take(&mut spare);
            let (written, hashed) = rayon::join(
                || ready.take().map(|ready| ready.write(file, block_len)).transpose(),
                || batch.hash(buffer, block_len, &hasher),
            );
            spare = written?.unwrap_or_default();
            for (digest, _) in &hashed.blocks {
                self.table.extend_from_slice(digest.as_bytes());
            }
            ready = Some(hashed);
        }
        if let Some(ready) = ready {
            ready.write(file, block_len)?;
        }
        Ok(())
    }

    /// Writes a compressed chunk, each batch of frames while the next one is compressed; returns the stored length.
    fn frames(&mut self, chunk: &PlannedChunk<'_>, framing: &Framing, placed: &Placed) -> io::Result<u64> {
        let mut stream = Stream {
            file: self.file,
            hasher: self.hasher,
            block_len: self.block_len,
            at: placed.content_offset(),
            next_block: placed.first_block,
            pending: Vec::new(),
            table: &mut self.table,
        };
        let per_batch = len_u64(BATCH_LEN).checked_div(framing.frame_len()).unwrap_or(1).max(1);
        let level = self.options.compression_level;
        let mut frame_table = Vec::with_capacity(usize::try_from(framing.table_len()).unwrap_or(0));
        let mut stored_len = 0_u64;
        let mut first = 0_u64;
        loop {
            let batch = first..first.saturating_add(per_batch).min(framing.count);
            let (written, encoded) = rayon::join(
                || stream.write_whole_blocks(),
                || encode(chunk, framing, batch.clone(), level),
            );
            written?;
            for frame in encoded? {
                stored_len = stored_len.saturating_add(len_u64(frame.bytes.len()));
                let flag = if frame.stored_raw { FRAME_STORED_RAW } else { 0 };
                frame_table.extend_from_slice(&(stored_len | flag).to_le_bytes());
                stream.pending.extend_from_slice(&frame.bytes);
            }
            if batch.end == framing.count {
                break;
            }
            first = batch.end;
        }
        for tail in [&frame_table, &chunk.trailer] {
            stream.pending.extend_from_slice(tail);
            stored_len = stored_len.saturating_add(len_u64(tail.len()));
        }
        stream.finish(stored_len)?;
        Ok(stored_len)
    }

    /// Computes the parity of the payload that was written and writes it behind.
    fn parity(&mut self, grouping: &Grouping, placed: &[Placed]) -> io::Result<()> {
        let (file, block_len) = (self.file, self.block_len);
        let start = self.at;
        let place = |block: u64, column: usize| {
            len_u64(block_len)
                .saturating_mul(block)
                .saturating_add(start)
                .saturating_add(len_u64(column))
        };
        let read = |block: u64, column: usize, buffer: &mut [u8]| {
            let chunk = placed.partition_point(|chunk| chunk.first_block.saturating_add(chunk.block_count) <= block);
            let chunk = placed.get(chunk).ok_or(io::ErrorKind::UnexpectedEof)?;
            let end = align_up(chunk.stored_len, PAGE_LEN).unwrap_or(u64::MAX);
            let inside = len_u64(block_len)
                .saturating_mul(block.saturating_sub(chunk.first_block))
                .saturating_add(len_u64(column));
            read_or_zeros(
                file,
                buffer,
                chunk.content_offset().saturating_add(inside),
                chunk.content_offset().saturating_add(end),
            )
        };
        let write = |block: u64, column: usize, bytes: &[u8]| write_full(file, bytes, place(block, column));
        parity::encode(grouping, PARITY_MEMORY, read, write).map_err(|fault| match fault {
            parity::Fault::Read { source, .. } | parity::Fault::Write { source, .. } => source,
            fault => io::Error::other(fault),
        })?;
        let per_batch = BATCH_LEN.checked_div(block_len).unwrap_or(1).max(1);
        let mut buffer = vec![0; per_batch.saturating_mul(block_len)];
        let mut block = 0_u64;
        while block < grouping.parity_blocks() {
            let count = grouping.parity_blocks().saturating_sub(block).min(len_u64(per_batch));
            let len = usize::try_from(count).unwrap_or(per_batch).saturating_mul(block_len);
            let bytes = buffer.get_mut(..len).unwrap_or(&mut []);
            if !read_full(file, bytes, place(block, 0))? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let first = self.blocks.saturating_add(block);
            self.table.extend(hash_blocks(&self.hasher, first, bytes, block_len));
            block = block.saturating_add(count);
        }
        Ok(())
    }
}

/// Memory for encoding and restoring parity: wide enough columns that a file is read in pieces of some kilobytes.
pub(crate) const PARITY_MEMORY: usize = 64 << 20;

/// Fills the buffer from `offset` on, with zeros from `end` on.
pub(crate) fn read_or_zeros(
    file: &(impl crate::source::ReadAt + ?Sized),
    buffer: &mut [u8],
    offset: u64,
    end: u64,
) -> io::Result<()> {
    let there = usize::try_from(end.saturating_sub(offset)).map_or(buffer.len(), |len| len.min(buffer.len()));
    let (there, behind) = buffer.split_at_mut_checked(there).unwrap_or_default();
    behind.fill(0);
    if read_full(file, there, offset)? {
        Ok(())
    } else {
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}

/// The digests of neighbouring blocks, one behind the other.
fn hash_blocks(hasher: &Hasher, first: u64, bytes: &[u8], block_len: usize) -> Vec<u8> {
    let digests = bytes
        .par_chunks(block_len)
        .enumerate()
        .map(|(position, block)| hasher.block(first.saturating_add(len_u64(position)), block))
        .collect::<Vec<_>>();
    digests.iter().flat_map(|digest| digest.as_bytes().to_vec()).collect()
}

/// Encodes neighbouring frames in parallel.
fn encode(
    chunk: &PlannedChunk<'_>,
    framing: &Framing,
    frames: std::ops::Range<u64>,
    level: i32,
) -> io::Result<Vec<Encoded>> {
    frames
        .into_par_iter()
        .map_init(
            || (Encoder::new(level), Vec::new()),
            |(encoder, buffer), frame| {
                let encoder = encoder
                    .as_mut()
                    .map_err(|error| io::Error::new(error.kind(), error.to_string()))?;
                let content = framing.content_of(frame, chunk.content_len);
                buffer.resize(
                    usize::try_from(content.end.saturating_sub(content.start)).unwrap_or(0),
                    0,
                );
                let (_, bytes) = gather(&chunk.segments, content.start, buffer);
                encoder.encode(bytes, framing.shuffle_width)
            },
        )
        .collect()
}

/// The stored bytes of one compressed chunk on their way into the file: cut into blocks as they come.
struct Stream<'f, F> {
    file: &'f F,
    hasher: Hasher,
    block_len: usize,
    /// Where `pending` belongs in the file.
    at: u64,
    next_block: u64,
    pending: Vec<u8>,
    table: &'f mut Vec<u8>,
}

impl<F: StorageFile> Stream<'_, F> {
    fn write_whole_blocks(&mut self) -> io::Result<()> {
        let blocks = self.pending.len().checked_div(self.block_len).unwrap_or(0);
        self.write(blocks.saturating_mul(self.block_len))
    }

    /// Hashes and writes the first `len` bytes of what is pending: whole blocks, or all there is.
    fn write(&mut self, len: usize) -> io::Result<()> {
        let bytes = self.pending.get(..len).unwrap_or(&[]);
        self.table
            .extend(hash_blocks(&self.hasher, self.next_block, bytes, self.block_len));
        write_full(self.file, bytes, self.at)?;
        self.at = self.at.saturating_add(len_u64(len));
        self.next_block = self.next_block.saturating_add(len_u64(len.div_ceil(self.block_len)));
        self.pending.drain(..len);
        Ok(())
    }

    /// Pads the chunk to whole pages and writes what is left.
    fn finish(mut self, stored_len: u64) -> io::Result<()> {
        let padding = align_up(stored_len, PAGE_LEN)
            .unwrap_or(stored_len)
            .saturating_sub(stored_len);
        let padded = len_u64(self.pending.len()).saturating_add(padding);
        self.pending.resize(usize::try_from(padded).unwrap_or(0), 0);
        self.write(self.pending.len())
    }
}

/// Cuts a raw chunk's stored bytes, padding included, into batches of whole blocks.
fn batches<'p>(
    chunk: &'p PlannedChunk<'p>,
    placed: &Placed,
    block_len: usize,
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
        }
    })
}

impl<'p> Batch<'p> {
    /// Finds or puts together the bytes of every block and hashes them.
    fn hash(self, mut buffer: Vec<u8>, block_len: usize, hasher: &Hasher) -> Hashed<'p> {
        buffer.resize(self.len, 0);
        let blocks = buffer
            .par_chunks_mut(block_len)
            .enumerate()
            .map(|(position, slot)| {
                let position = len_u64(position);
                let start = self.offset.saturating_add(position.saturating_mul(len_u64(block_len)));
                let (place, bytes) = gather(self.segments, start, slot);
                (hasher.block(self.first_block.saturating_add(position), bytes), place)
            })
            .collect();
        Hashed {
            batch: self,
            blocks,
            buffer,
        }
    }
}

/// The bytes of the block that begins at `start` of a chunk's content and is as long as `slot`: inside one segment, or
/// put together in `slot` with zeros between the segments.
fn gather<'a>(segments: &'a [Segment<'_>], start: u64, slot: &'a mut [u8]) -> (Place, &'a [u8]) {
    let end = start.saturating_add(len_u64(slot.len()));
    let first = segments.partition_point(|segment| segment.end() <= start);
    let touching = segments.get(first..).unwrap_or(&[]);
    if let Some(bytes) = touching.first().and_then(|segment| part(segment, start, end)) {
        return (Place::Segment(first), bytes);
    }
    slot.fill(0);
    for segment in touching.iter().take_while(|segment| segment.offset < end) {
        let (from, to) = (segment.offset.max(start), segment.end().min(end));
        let at = usize::try_from(from.saturating_sub(start)).unwrap_or(usize::MAX);
        if let Some(bytes) = part(segment, from, to)
            && let Some(place) = at.checked_add(bytes.len()).and_then(|end| slot.get_mut(at..end))
        {
            place.copy_from_slice(bytes);
        }
    }
    (Place::Buffer, slot)
}

/// The bytes of a segment between two positions of the content; `None` where they do not both lie inside it.
fn part<'p>(segment: &'p Segment<'_>, from: u64, to: u64) -> Option<&'p [u8]> {
    let from = usize::try_from(from.checked_sub(segment.offset)?).ok()?;
    let to = usize::try_from(to.checked_sub(segment.offset)?).ok()?;
    segment.bytes.get(from..to)
}

impl Hashed<'_> {
    /// Writes the batch, neighbouring blocks of one place at once, and gives the buffer back.
    fn write(self, file: &impl StorageFile, block_len: usize) -> io::Result<Vec<u8>> {
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
            write_full(file, bytes.unwrap_or(&[]), offset)?;
            start = end;
        }
        Ok(buffer)
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;

    fn segments(bytes: &[u8]) -> Vec<Segment<'_>> {
        // 0..10, 64..74, 128..128 (empty), 192..292.
        vec![
            Segment {
                offset: 0,
                bytes: Cow::Borrowed(&bytes[..10]),
            },
            Segment {
                offset: 64,
                bytes: Cow::Borrowed(&bytes[10..20]),
            },
            Segment {
                offset: 128,
                bytes: Cow::Borrowed(&[]),
            },
            Segment {
                offset: 192,
                bytes: Cow::Borrowed(&bytes[20..120]),
            },
        ]
    }

    #[test]
    fn every_window_is_the_content_with_zeros_between() {
        let bytes = (1..=120).collect::<Vec<u8>>();
        let segments = segments(&bytes);
        let mut content = vec![0_u8; 512];
        for segment in &segments {
            content[segment.offset as usize..segment.end() as usize].copy_from_slice(&segment.bytes);
        }
        for start in 0..400 {
            for len in [1, 7, 64, 100] {
                let mut slot = vec![0xee; len];
                let (_, gathered) = gather(&segments, start as u64, &mut slot);
                assert_eq!(gathered, &content[start..start + len], "{start} {len}");
            }
        }
    }

    #[test]
    fn a_window_inside_a_segment_is_not_copied() {
        let bytes = (1..=120).collect::<Vec<u8>>();
        let segments = segments(&bytes);
        let mut slot = [0; 50];
        assert_eq!(gather(&segments, 200, &mut slot).0, Place::Segment(3));
        assert_eq!(gather(&segments, 180, &mut slot).0, Place::Buffer);
    }
}
