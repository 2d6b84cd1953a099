//! Streams a plan into a file: blocks hashed in parallel while the blocks before them are written.
//!
//! A block that lies inside one of the caller's slices is hashed and written from there; only blocks that span tensors
//! or padding are put together in one of two bounded buffers. A durable file that can be written past the page cache is
//! put together there as a whole: nothing else is page-aligned. What is on the medium afterwards is `save`'s business.

mod parity;
mod raw;

use std::io;

use rayon::prelude::*;

use self::raw::{Hashed, batches, gather, write_pages};
use crate::digest::{Digest, Hasher, table_entries};
use crate::frames::{Encoded, Encoder, Framing};
use crate::geometry::{Geometry, Lengths};
use crate::info::Parity;
use crate::layout::{FRAME_STORED_RAW, PAGE_LEN};
use crate::memory::{Aligned, PAGE, Spares};
use crate::options::{Durability, SaveOptions};
use crate::parity::Grouping;
use crate::plan::{Placed, Plan, PlannedChunk};
use crate::prologue::Prologue;
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

/// Writes the whole file.
///
/// # Errors
/// What the storage says.
pub(crate) fn write_plan<F: StorageFile>(plan: &Plan<'_>, options: &SaveOptions, file: &F) -> io::Result<Written> {
    let hasher = Hasher::new(options.digest_kind, options.uuid);
    let block_len = 1_usize.checked_shl(u32::from(options.block_log2)).unwrap_or(BATCH_LEN);
    let mut writer = Writer {
        file,
        hasher,
        options,
        past_cache: match options.durability {
            Durability::Full => file.past_cache(),
            Durability::None => None,
        },
        block_len,
        at: plan.most.payload.start,
        blocks: 0,
        table: Vec::with_capacity(
            usize::try_from(plan.most.digests_2.end.saturating_sub(plan.most.digests_2.start)).unwrap_or(0),
        ),
    };
    let in_memory = plan
        .chunks
        .iter()
        .map(PlannedChunk::is_raw_in_memory)
        .collect::<Vec<_>>();
    let encode = |level, placed: &[Placed], start| -> io::Result<Option<(Parity, Vec<u8>)>> {
        let blocks = placed
            .iter()
            .fold(0_u64, |sum, chunk| sum.saturating_add(chunk.block_count));
        if blocks == 0 {
            return Ok(None);
        }
        let grouping = Grouping::new(blocks, options.block_log2, level).map_err(io::Error::other)?;
        let entries = parity::Encoding {
            file,
            hasher,
            block_len,
            grouping: &grouping,
            chunks: &plan.chunks,
            in_memory: &in_memory,
            placed,
            start,
        }
        .write()?;
        Ok(Some((Parity::new(level, grouping), entries)))
    };
    let (placed, parity) = match options.parity {
        None => (writer.chunks(&plan.chunks)?, None),
        Some(level) if in_memory.contains(&false) => {
            let placed = writer.chunks(&plan.chunks)?;
            let parity = encode(level, &placed, writer.at)?;
            (placed, parity)
        }
        // Where everything will lie is known, and what it will be is in memory: both at once.
        Some(level) => {
            let planned = plan.raw_places(len_u64(block_len), &hasher);
            let (placed, parity) = rayon::join(
                || writer.chunks(&plan.chunks),
                || encode(level, &planned, plan.most.parity.start),
            );
            (placed?, parity?)
        }
    };
    let (payload_end, block_count) = (writer.at, writer.blocks);
    let mut table = writer.table;
    let parity = parity.map(|(parity, entries)| {
        table.extend(entries);
        parity
    });
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
    /// The same file, for whole pages.
    past_cache: Option<F>,
    block_len: usize,
    /// In the file.
    at: u64,
    blocks: u64,
    table: Vec<u8>,
}

impl<F: StorageFile> Writer<'_, F> {
    /// Writes all chunks.
    fn chunks(&mut self, chunks: &[PlannedChunk<'_>]) -> io::Result<Vec<Placed>> {
        let numbered = (0_u32..).zip(chunks);
        numbered.map(|(number, chunk)| self.chunk(number, chunk)).collect()
    }

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
        let past_cache = self.past_cache.as_ref();
        let mut ready: Option<Hashed<'_>> = None;
        let mut spare = Aligned::new();
        for batch in batches(chunk, placed, block_len, past_cache.is_some()) {
            let buffer = std::mem::take(&mut spare);
            let (written, hashed) = rayon::join(
                || {
                    ready
                        .take()
                        .map(|ready| ready.write(file, past_cache, block_len))
                        .transpose()
                },
                || batch.hash(buffer, block_len, &hasher),
            );
            let hashed = hashed?;
            spare = written?.unwrap_or_default();
            for (digest, _) in &hashed.blocks {
                self.table.extend_from_slice(digest.as_bytes());
            }
            ready = Some(hashed);
        }
        if let Some(ready) = ready {
            ready.write(file, past_cache, block_len)?;
        }
        Ok(())
    }

    /// Writes a compressed chunk, each batch of frames while the next one is compressed; returns the stored length.
    fn frames(&mut self, chunk: &PlannedChunk<'_>, framing: &Framing, placed: &Placed) -> io::Result<u64> {
        let mut stream = Stream {
            file: self.file,
            // Parity will read it again.
            past_cache: self.past_cache.as_ref().filter(|_| self.options.parity.is_none()),
            hasher: self.hasher,
            block_len: self.block_len,
            at: placed.content_offset(),
            next_block: placed.first_block,
            pending: Aligned::new(),
            written: 0,
            spare: Aligned::new(),
            table: &mut self.table,
        };
        let per_batch = len_u64(BATCH_LEN).checked_div(framing.frame_len()).unwrap_or(1).max(1);
        let level = self.options.compression_level;
        let spares = Spares::new();
        let mut frame_table = Vec::with_capacity(usize::try_from(framing.table_len()).unwrap_or(0));
        let mut stored_len = 0_u64;
        let mut first = 0_u64;
        loop {
            let batch = first..first.saturating_add(per_batch).min(framing.count);
            let (written, encoded) = rayon::join(
                || stream.write_whole_blocks(),
                || encode(chunk, framing, batch.clone(), level, &spares),
            );
            written?;
            let encoded = encoded?;
            let mut frames = Vec::with_capacity(encoded.len());
            for frame in &encoded {
                stored_len = stored_len.saturating_add(len_u64(frame.bytes.len()));
                let flag = if frame.stored_raw { FRAME_STORED_RAW } else { 0 };
                frame_table.extend_from_slice(&(stored_len | flag).to_le_bytes());
                frames.push(frame.bytes.as_slice());
            }
            stream.append(&frames)?;
            if batch.end == framing.count {
                break;
            }
            first = batch.end;
        }
        for tail in [&frame_table, &chunk.trailer] {
            stored_len = stored_len.saturating_add(len_u64(tail.len()));
        }
        let padded = align_up(stored_len, PAGE_LEN).unwrap_or(stored_len);
        let padding = vec![0; usize::try_from(padded.saturating_sub(stored_len)).unwrap_or(0)];
        stream.append(&[&frame_table, &chunk.trailer, &padding])?;
        stream.finish()?;
        Ok(stored_len)
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
    spares: &Spares<(Encoder, Vec<u8>)>,
) -> io::Result<Vec<Encoded>> {
    frames
        .into_par_iter()
        .map(|frame| {
            let (mut encoder, mut buffer) = spares.take(|| Ok::<_, io::Error>((Encoder::new(level)?, Vec::new())))?;
            let content = framing.content_of(frame, chunk.content_len);
            buffer.resize(
                usize::try_from(content.end.saturating_sub(content.start)).unwrap_or(0),
                0,
            );
            let (_, bytes) = gather(&chunk.segments, content.start, &mut buffer)?;
            let encoded = encoder.encode(bytes, framing.shuffle_width);
            spares.put((encoder, buffer));
            encoded
        })
        .collect()
}

/// The stored bytes of one compressed chunk on their way into the file: cut into blocks as they come.
struct Stream<'f, F> {
    file: &'f F,
    past_cache: Option<&'f F>,
    hasher: Hasher,
    block_len: usize,
    /// Where `pending` belongs in the file, but for what of it is written.
    at: u64,
    next_block: u64,
    pending: Aligned<PAGE>,
    /// The first bytes of `pending` that are in the file.
    written: usize,
    /// What `pending` was before.
    spare: Aligned<PAGE>,
    table: &'f mut Vec<u8>,
}

impl<F: StorageFile> Stream<'_, F> {
    /// Puts what is not written yet, and these bytes behind it, where the next block begins.
    fn append(&mut self, parts: &[&[u8]]) -> io::Result<()> {
        let rest = self.pending.get(self.written..).unwrap_or(&[]);
        let parts = || std::iter::once(&rest).chain(parts);
        let len = parts().fold(0_usize, |sum, part| sum.saturating_add(part.len()));
        self.spare.set_len(len).map_err(|fault| fault.source)?;
        let mut free = &mut *self.spare;
        for part in parts() {
            let (place, behind) = free.split_at_mut_checked(part.len()).unwrap_or_default();
            place.copy_from_slice(part);
            free = behind;
        }
        std::mem::swap(&mut self.pending, &mut self.spare);
        self.written = 0;
        Ok(())
    }

    fn write_whole_blocks(&mut self) -> io::Result<()> {
        let blocks = self.pending.len().checked_div(self.block_len).unwrap_or(0);
        self.write(blocks.saturating_mul(self.block_len))
    }

    /// Writes what is left: whole pages.
    fn finish(mut self) -> io::Result<()> {
        self.write(self.pending.len())
    }

    /// Hashes and writes the first `len` bytes of what is pending: whole blocks, or all there is.
    fn write(&mut self, len: usize) -> io::Result<()> {
        let bytes = self.pending.get(..len).unwrap_or(&[]);
        self.table
            .extend(hash_blocks(&self.hasher, self.next_block, bytes, self.block_len));
        match self.past_cache {
            Some(past_cache) => write_pages(past_cache, self.file, bytes, self.at)?,
            None => write_full(self.file, bytes, self.at)?,
        }
        self.at = self.at.saturating_add(len_u64(len));
        self.next_block = self.next_block.saturating_add(len_u64(len.div_ceil(self.block_len)));
        self.written = len;
        Ok(())
    }
}
