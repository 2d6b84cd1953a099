//! Reading a chunk's content: blocks verified in the memory that they are handed out from, frames decoded behind them.
//!
//! Nothing is decoded before the digests of the blocks that it lies on have matched. Memory is that of the caller's
//! buffer and, for compressed chunks, of one batch of frames.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use std::ops::Range;
use std::sync::PoisonError;

use rayon::prelude::*;

use crate::checkpoint::{Checkpoint, DecodedFrame, PARALLEL_LEN, Reading};
use crate::copies::{fill, read_range};
use crate::error::Error;
use crate::finding::{Cause, Finding};
use crate::frames::{Decoder, FrameFault, FramePlace, Framing, places};
use crate::layout::FRAME_ENTRY_LEN;
use crate::memory::{Aligned, PAGE, out_of_memory};
use crate::restore::restore_group;
use crate::source::{Ahead, ReadAt};
use crate::wire::len_u64;

/// Bytes of content that are decoded together.
const BATCH_LEN: u64 = 8 << 20;

/// One frame that is wanted, and where its content goes.
struct Wanted<'b> {
    number: u64,
    place: FramePlace,
    /// The frame's content, as a range of the chunk's.
    content: Range<u64>,
    /// Where in the chunk's content `buffer` begins.
    start: u64,
    buffer: &'b mut [u8],
}

impl<S: ReadAt> Checkpoint<S> {
    /// Fills `buffer` with a chunk's content from `start` on; every block that it takes is verified.
    ///
    /// # Errors
    /// The first block or frame that is not right; the buffer then holds nothing of use.
    pub(crate) fn read_content(&self, reading: Reading<'_>, start: u64, buffer: &mut [u8]) -> Result<(), Error> {
        match &reading.chunk.framing {
            None => self.read_stored(reading, reading.chunk.content_offset().saturating_add(start), buffer),
            Some(framing) => self.read_frames(reading, framing, start, buffer),
        }
    }

    /// Fills `buffer` with the stored bytes from the file offset `start` on, every block of them verified: whole blocks
    /// in place and in parallel, the two at the edges by way of the remembered block.
    pub(crate) fn read_stored(&self, reading: Reading<'_>, start: u64, buffer: &mut [u8]) -> Result<(), Error> {
        let block_len = self.directory.superblock.block_len();
        let blocks = reading
            .chunk
            .blocks_of(&(start..start.saturating_add(len_u64(buffer.len()))), block_len);
        let mut rest = buffer;
        let mut at = start;
        let mut number = blocks.start;
        while !rest.is_empty() {
            let block = reading.chunk.block_bytes(number, block_len);
            let whole_blocks = usize::try_from(block_len)
                .ok()
                .and_then(|len| rest.len().checked_div(len))
                .unwrap_or(0);
            let taken = if at == block.start && whole_blocks > 0 {
                let len = usize::try_from(len_u64(whole_blocks).saturating_mul(block_len)).unwrap_or(rest.len());
                let (whole, behind) = std::mem::take(&mut rest).split_at_mut_checked(len).unwrap_or_default();
                self.read_whole_blocks(reading, number, whole)?;
                rest = behind;
                number = number.saturating_add(len_u64(whole_blocks));
                len
            } else {
                let len = usize::try_from(block.end.saturating_sub(at)).map_or(rest.len(), |len| len.min(rest.len()));
                let (part, behind) = std::mem::take(&mut rest).split_at_mut_checked(len).unwrap_or_default();
                self.read_part_of_block(reading, number, at, part)?;
                rest = behind;
                number = number.saturating_add(1);
                len
            };
            at = at.saturating_add(len_u64(taken));
        }
        Ok(())
    }

    /// Reads and verifies whole blocks from block `first` on; of several bad ones, the first is reported.
    fn read_whole_blocks(&self, reading: Reading<'_>, first: u64, buffer: &mut [u8]) -> Result<(), Error> {
        let block_len = self.directory.superblock.block_len();
        let step = usize::try_from(block_len).unwrap_or(usize::MAX);
        let in_parallel = buffer.len() >= PARALLEL_LEN;
        let start = reading.chunk.block_bytes(first, block_len).start;
        let range = start..start.saturating_add(len_u64(buffer.len()));
        let read = |first: u64, buffer: &mut [u8]| {
            let read = |(position, block): (usize, &mut [u8])| {
                let number = first.saturating_add(len_u64(position));
                self.read_block(reading, number, block)
                    .err()
                    .map(|finding| (number, finding))
            };
            match in_parallel {
                false => buffer.chunks_mut(step).enumerate().find_map(read),
                true => buffer
                    .par_chunks_mut(step)
                    .enumerate()
                    .filter_map(read)
                    .min_by_key(|(number, _)| *number),
            }
        };
        let bad = match self.ahead.is_due(&range) {
            false => read(first, buffer),
            true => {
                let (one, others) = buffer.split_at_mut(step.min(buffer.len()));
                Ahead::look(&self.source, &range, block_len, || read(first, one))
                    .or_else(|| read(first.saturating_add(1), others))
            }
        };
        bad.map_or(Ok(()), |(_, finding)| Err(finding.into()))
    }

    /// Reads and verifies one block into memory of its length.
    fn read_block(&self, reading: Reading<'_>, number: u64, buffer: &mut [u8]) -> Result<(), Box<Finding>> {
        let bytes = reading.chunk.block_bytes(number, self.directory.superblock.block_len());
        let read = fill(&self.source, buffer, bytes.start);
        let checked = read.and_then(|()| self.directory.check_block(number, buffer));
        checked.or_else(|cause| match self.restored_block(number) {
            Some(block) if block.len() == buffer.len() => {
                buffer.copy_from_slice(&block);
                Ok(())
            }
            _ => Err(Box::new(reading.finding(number, bytes, cause))),
        })
    }

    /// A lost block, restored from its parity group, where the file has parity and the group did not lose too many.
    ///
    /// Nothing is locked while restoring: two threads may do the same work, none waits for the other.
    fn restored_block(&self, number: u64) -> Option<Vec<u8>> {
        let grouping = &self.directory.superblock.parity.as_ref()?.grouping;
        let (group, _) = grouping.place(number);
        let known = || self.restored.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(restored) = known().get(&group) {
            return restored.as_ref()?.get(&number).cloned();
        }
        let restored = restore_group(&self.directory, &self.source, grouping, group);
        let block = restored.as_ref().and_then(|blocks| blocks.get(&number)).cloned();
        if block.is_some() {
            log::warn!("block {number} could only be read through parity: repair the file");
        }
        known().insert(group, restored);
        block
    }

    /// Copies a part of a block, from the remembered block where it is that one. Nothing is locked while reading.
    fn read_part_of_block(&self, reading: Reading<'_>, number: u64, at: u64, part: &mut [u8]) -> Result<(), Error> {
        let bytes = reading.chunk.block_bytes(number, self.directory.superblock.block_len());
        let edge = || self.edge.lock().unwrap_or_else(PoisonError::into_inner);
        let remembered = edge().take_if(|(remembered, _)| *remembered == number);
        let block = match remembered {
            Some((_, block)) => block,
            None => {
                let read = read_range(&self.source, &bytes)?;
                let checked = read.and_then(|block| self.directory.check_block(number, &block).map(|()| block));
                match checked {
                    Ok(block) => block,
                    Err(cause) => self
                        .restored_block(number)
                        .ok_or_else(|| reading.finding(number, bytes.clone(), cause))?,
                }
            }
        };
        let from = usize::try_from(at.saturating_sub(bytes.start)).unwrap_or(usize::MAX);
        if let Some(source) = from.checked_add(part.len()).and_then(|to| block.get(from..to)) {
            part.copy_from_slice(source);
        }
        *edge() = Some((number, block));
        Ok(())
    }

    /// Fills `buffer` with the content of a compressed chunk from `start` on, a batch of frames at a time.
    fn read_frames(&self, reading: Reading<'_>, framing: &Framing, start: u64, buffer: &mut [u8]) -> Result<(), Error> {
        let end = start.saturating_add(len_u64(buffer.len()));
        let mut frames = framing.frames_of(&(start..end));
        let step = BATCH_LEN.checked_div(framing.frame_len()).unwrap_or(1).max(1);
        let mut rest = buffer;
        let mut at = start;
        while frames.start < frames.end {
            let batch = frames.start..frames.start.saturating_add(step).min(frames.end);
            frames.start = batch.end;
            let batch_end = framing
                .content_of(batch.end.saturating_sub(1), reading.chunk.content_len)
                .end
                .min(end);
            let len = usize::try_from(batch_end.saturating_sub(at)).unwrap_or(rest.len());
            let (part, behind) = std::mem::take(&mut rest).split_at_mut_checked(len).unwrap_or_default();
            rest = behind;
            self.read_batch(reading, framing, batch, at, part)?;
            at = batch_end;
        }
        Ok(())
    }

    /// Reads neighbouring frames and decodes them in parallel.
    fn read_batch(
        &self,
        reading: Reading<'_>,
        framing: &Framing,
        batch: Range<u64>,
        start: u64,
        buffer: &mut [u8],
    ) -> Result<(), Error> {
        let chunk = reading.chunk;
        let key = (chunk.offset, batch.start);
        // A part of one frame: a small tensor, whose neighbours will ask for the same frame.
        let whole = framing.content_of(batch.start, chunk.content_len);
        let single =
            batch.end.saturating_sub(batch.start) == 1 && whole.end.saturating_sub(whole.start) > len_u64(buffer.len());
        if single && self.copy_remembered(key, framing, start, buffer) {
            return Ok(());
        }
        let places = self.frame_places(reading, framing, &batch)?;
        let (Some(first), Some(last)) = (places.first(), places.last()) else {
            return Ok(());
        };
        let stored_range = chunk.in_file(&(first.start..last.end));
        let stored_len = stored_range.end.saturating_sub(stored_range.start);
        let mut stored = self.batches.take(|| Ok::<_, Error>(Aligned::new()))?;
        stored.set_len(usize::try_from(stored_len).map_err(|_| out_of_memory())?)?;
        self.read_stored(reading, stored_range.start, &mut stored)?;
        let base = first.start;
        let block_len = self.directory.superblock.block_len();
        if single {
            let mut decoded = Aligned::<PAGE>::zeroed(whole.end.saturating_sub(whole.start))?;
            let whole = Wanted {
                number: batch.start,
                place: *first,
                start: whole.start,
                content: whole,
                buffer: &mut decoded,
            };
            let mut decoder = self.decoders.take(decoder)?;
            decode(reading, framing, &stored, base, whole, &mut decoder, block_len)?;
            self.decoders.put(decoder);
            self.batches.put(stored);
            *self.frame.lock().unwrap_or_else(PoisonError::into_inner) = Some(DecodedFrame { key, content: decoded });
            self.copy_remembered(key, framing, start, buffer);
            return Ok(());
        }
        let mut wanted = Vec::with_capacity(places.len());
        let mut rest = buffer;
        let mut at = start;
        for (number, place) in batch.zip(places) {
            let content = framing.content_of(number, chunk.content_len);
            let len = usize::try_from(content.end.saturating_sub(at)).map_or(rest.len(), |len| len.min(rest.len()));
            let (part, behind) = std::mem::take(&mut rest).split_at_mut_checked(len).unwrap_or_default();
            rest = behind;
            let start = at;
            at = content.end;
            wanted.push(Wanted {
                number,
                place,
                content,
                start,
                buffer: part,
            });
        }
        let bad = wanted
            .into_par_iter()
            .filter_map(|wanted| {
                let number = wanted.number;
                let decoded = self.decoders.take(decoder).and_then(|mut decoder| {
                    decode(reading, framing, &stored, base, wanted, &mut decoder, block_len)?;
                    self.decoders.put(decoder);
                    Ok(())
                });
                decoded.err().map(|error| (number, error))
            })
            .min_by_key(|(number, _)| *number);
        self.batches.put(stored);
        bad.map_or(Ok(()), |(_, error)| Err(error))
    }

    /// Copies a part of the remembered frame, where it is that one.
    fn copy_remembered(&self, key: (u64, u64), framing: &Framing, start: u64, buffer: &mut [u8]) -> bool {
        let remembered = self.frame.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(frame) = remembered.as_ref().filter(|frame| frame.key == key) else {
            return false;
        };
        let inside = start.saturating_sub(key.1.saturating_mul(framing.frame_len()));
        let from = usize::try_from(inside).unwrap_or(usize::MAX);
        let part = from
            .checked_add(buffer.len())
            .and_then(|to| frame.content.get(from..to));
        let Some(part) = part else { return false };
        buffer.copy_from_slice(part);
        true
    }

    /// Where neighbouring frames lie, by their verified entries of the frame table.
    pub(crate) fn frame_places(
        &self,
        reading: Reading<'_>,
        framing: &Framing,
        frames: &Range<u64>,
    ) -> Result<Vec<FramePlace>, Error> {
        let chunk = reading.chunk;
        let table = |frame: u64| chunk.frames_len().saturating_add(frame.saturating_mul(FRAME_ENTRY_LEN));
        let before = frames.start.saturating_sub(1);
        let range = chunk.in_file(&(table(before)..table(frames.end)));
        let mut entries = Aligned::<PAGE>::zeroed(range.end.saturating_sub(range.start))?;
        self.read_stored(reading, range.start, &mut entries)?;
        let (start, entries) = match frames.start {
            0 => (0, &*entries),
            _ => match entries.split_first_chunk::<8>() {
                Some((entry, rest)) => (u64::from_le_bytes(*entry) & !crate::layout::FRAME_STORED_RAW, rest),
                None => (0, &[][..]),
            },
        };
        let content_lens = frames.clone().map(|frame| {
            let content = framing.content_of(frame, chunk.content_len);
            content.end.saturating_sub(content.start)
        });
        let last = |places: &[FramePlace]| places.last().is_none_or(|last| last.end == chunk.frames_len());
        let places = places(entries, start, chunk.frames_len(), content_lens).and_then(|places| {
            // Nothing lies between the last frame and the table.
            match frames.end < framing.count || last(&places) {
                true => Ok(places),
                false => Err(frames.end.saturating_sub(frames.start).saturating_sub(1)),
            }
        });
        places.map_err(|position| {
            let frame = frames.start.saturating_add(position);
            let entry = chunk.in_file(&(table(frame)..table(frame.saturating_add(1))));
            frame_finding(
                reading,
                frame,
                entry,
                FrameFault::Table,
                self.directory.superblock.block_len(),
            )
            .into()
        })
    }
}

fn decoder() -> Result<Decoder, Error> {
    Decoder::new().map_err(|_| out_of_memory().into())
}

pub(crate) fn frame_finding(
    reading: Reading<'_>,
    frame: u64,
    bytes: Range<u64>,
    fault: FrameFault,
    block_len: u64,
) -> Finding {
    let block = reading.chunk.blocks_of(&bytes, block_len).start;
    reading.finding(block, bytes, Cause::Frame { frame, fault })
}

/// Decodes one frame, by way of memory of its own where only a part of it is wanted.
fn decode(
    reading: Reading<'_>,
    framing: &Framing,
    stored: &[u8],
    base: u64,
    wanted: Wanted<'_>,
    decoder: &mut Decoder,
    block_len: u64,
) -> Result<(), Error> {
    let place = wanted.place;
    let inside = |at: u64| usize::try_from(at.saturating_sub(base)).unwrap_or(usize::MAX);
    let bytes = stored.get(inside(place.start)..inside(place.end)).unwrap_or(&[]);
    let content_len = wanted.content.end.saturating_sub(wanted.content.start);
    let mut decode_into = |target: &mut [u8]| {
        decoder
            .decode(bytes, place.stored_raw, framing.shuffle_width, target)
            .map_err(|fault| {
                let bytes = reading.chunk.in_file(&(place.start..place.end));
                Error::from(frame_finding(reading, wanted.number, bytes, fault, block_len))
            })
    };
    if len_u64(wanted.buffer.len()) == content_len {
        decode_into(wanted.buffer)?;
        return Ok(());
    }
    let mut whole = Aligned::<PAGE>::zeroed(content_len)?;
    decode_into(&mut whole)?;
    let from = usize::try_from(wanted.start.saturating_sub(wanted.content.start)).unwrap_or(usize::MAX);
    if let Some(part) = from.checked_add(wanted.buffer.len()).and_then(|to| whole.get(from..to)) {
        wanted.buffer.copy_from_slice(part);
    }
    Ok(())
}
