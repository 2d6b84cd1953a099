//! Streams a plan into a file: blocks hashed in parallel while the blocks before them are written.
//!
//! A block that lies inside one of the caller's slices is hashed and written from there; only blocks that span tensors
//! or padding are put together in one of two bounded buffers. What is on the medium afterwards is `save`'s business.

use std::io;

use rayon::prelude::*;

use crate::digest::{Digest, Hasher, table_entries};
use crate::layout::LEAF_DIGEST_LEN;
use crate::plan::{Plan, PlannedChunk, Segment};
use crate::storage::{StorageFile, write_full};
use crate::superblock::Draft;
use crate::wire::len_u64;

/// Bytes hashed while as many are written: two buffers of this size are all the memory that a save takes, beside the
/// index and the digest table.
const BATCH_LEN: usize = 4 << 20;

/// What a plan does not decide.
#[derive(Clone, Copy)]
pub(crate) struct Identity {
    pub(crate) uuid: [u8; 16],
    pub(crate) created_unix_ns: u64,
    pub(crate) block_log2: u8,
}

/// Blocks of one chunk that are hashed together.
struct Batch<'p> {
    chunk: &'p PlannedChunk<'p>,
    first_block: u64,
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
    blocks: Vec<(u64, Place)>,
    buffer: Vec<u8>,
}

/// Writes the whole file and returns its root digest.
///
/// # Errors
/// What the storage says.
pub(crate) fn write_plan(plan: &Plan<'_>, identity: Identity, file: &impl StorageFile) -> io::Result<Digest> {
    let hasher = Hasher::new(identity.uuid);
    let geometry = &plan.geometry;
    let table = write_content(plan, identity.block_log2, &hasher, file)?;

    let mut chunk_digests = Vec::with_capacity(plan.chunks.len());
    for (number, chunk) in (0_u32..).zip(&plan.chunks) {
        let entries = table_entries(&table, chunk.first_block, chunk.block_count).unwrap_or(&[]);
        let digest = hasher.chunk(number, entries);
        write_full(
            file,
            &chunk.prologue(number, identity.uuid, identity.block_log2, digest),
            chunk.offset,
        )?;
        chunk_digests.push(digest);
    }
    let index = plan.index(&chunk_digests);
    let (superblock, root) = Draft {
        uuid: identity.uuid,
        created_unix_ns: identity.created_unix_ns,
        block_log2: identity.block_log2,
        block_count: plan.block_count,
        geometry,
        index_digest: hasher.index(&index),
        digests_digest: hasher.digest_table(&table),
    }
    .encode();
    for copy in [&geometry.index_1, &geometry.index_2] {
        write_full(file, &index, copy.start)?;
    }
    for copy in [&geometry.digests_1, &geometry.digests_2] {
        write_full(file, &table, copy.start)?;
    }
    for padding in geometry.paddings() {
        let len = usize::try_from(padding.end.saturating_sub(padding.start)).unwrap_or(0);
        write_full(file, &vec![0; len], padding.start)?;
    }
    write_full(file, &superblock, geometry.superblock_b.start)?;
    write_full(file, &superblock, 0)?;
    Ok(root)
}

/// Writes every chunk's content and returns the digest table.
fn write_content(plan: &Plan<'_>, block_log2: u8, hasher: &Hasher, file: &impl StorageFile) -> io::Result<Vec<u8>> {
    let block_len = 1_usize.checked_shl(u32::from(block_log2)).unwrap_or(BATCH_LEN);
    let table_len = plan.block_count.saturating_mul(LEAF_DIGEST_LEN);
    let mut table = Vec::with_capacity(usize::try_from(table_len).unwrap_or(0));
    let mut ready: Option<Hashed<'_>> = None;
    let mut spare = Vec::new();
    for batch in plan.chunks.iter().flat_map(|chunk| batches(chunk, block_len)) {
        let buffer = std::mem::take(&mut spare);
        let (written, hashed) = rayon::join(
            || ready.take().map(|ready| ready.write(file, block_len)).transpose(),
            || batch.hash(buffer, block_len, hasher),
        );
        spare = written?.unwrap_or_default();
        for (digest, _) in &hashed.blocks {
            table.extend_from_slice(&digest.to_le_bytes());
        }
        ready = Some(hashed);
    }
    if let Some(ready) = ready {
        ready.write(file, block_len)?;
    }
    Ok(table)
}

/// Cuts a chunk's content, padding included, into batches of whole blocks.
fn batches<'p>(chunk: &'p PlannedChunk<'p>, block_len: usize) -> impl Iterator<Item = Batch<'p>> {
    let padded = chunk.padded_len();
    let step = len_u64(BATCH_LEN.max(block_len));
    let count = padded.div_ceil(step);
    (0..count).map(move |number| {
        let offset = number.saturating_mul(step);
        let len = padded.saturating_sub(offset).min(step);
        let skipped_blocks = offset.checked_div(len_u64(block_len)).unwrap_or(0);
        Batch {
            chunk,
            first_block: chunk.first_block.saturating_add(skipped_blocks),
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
                let (place, bytes) = gather(&self.chunk.segments, start, slot);
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
fn gather<'a>(segments: &[Segment<'a>], start: u64, slot: &'a mut [u8]) -> (Place, &'a [u8]) {
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
fn part<'p>(segment: &Segment<'p>, from: u64, to: u64) -> Option<&'p [u8]> {
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
                    let segment = batch.chunk.segments.get(*number);
                    segment.and_then(|segment| part(segment, in_content(start), in_content(end)))
                }
                _ => buffer.get(start..end),
            };
            debug_assert!(bytes.is_some(), "a run lies in its segment or in the buffer");
            let offset = batch.chunk.content_offset().saturating_add(in_content(start));
            write_full(file, bytes.unwrap_or(&[]), offset)?;
            start = end;
        }
        Ok(buffer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segments(bytes: &[u8]) -> Vec<Segment<'_>> {
        // 0..10, 64..74, 128..128 (empty), 192..292.
        vec![
            Segment {
                offset: 0,
                bytes: &bytes[..10],
            },
            Segment {
                offset: 64,
                bytes: &bytes[10..20],
            },
            Segment {
                offset: 128,
                bytes: &[],
            },
            Segment {
                offset: 192,
                bytes: &bytes[20..120],
            },
        ]
    }

    #[test]
    fn every_window_is_the_content_with_zeros_between() {
        let bytes = (1..=120).collect::<Vec<u8>>();
        let segments = segments(&bytes);
        let mut content = vec![0_u8; 512];
        for segment in &segments {
            content[segment.offset as usize..segment.end() as usize].copy_from_slice(segment.bytes);
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
