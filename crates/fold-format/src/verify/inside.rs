//! What chunks hold beside plain content: frames that must decode, and the tensor directory.
//!
//! Looked at only where every block of the chunk matched: what is wrong here was written so.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use std::ops::Range;

use super::Walk;
use crate::checkpoint::{Checkpoint, Reading};
use crate::copies::differing;
use crate::error::Error;
use crate::finding::{Cause, Finding, Region};
use crate::frames::{FramePlace, Framing};
use crate::index::{Chunk, Index};
use crate::info::ChunkKind;
use crate::residents::Residents;
use crate::source::ReadAt;
use crate::task::non_zero;
use crate::wire::len_u64;

/// Bytes of content that are decoded together.
const BATCH_LEN: u64 = 4 << 20;

impl<S: ReadAt + ?Sized> Walk<'_, '_, S> {
    /// Decodes every frame of a chunk and compares its tensor directory with the index.
    pub(super) fn inside(
        &mut self,
        checkpoint: &Checkpoint<&S>,
        residents: &Residents,
        number: usize,
        chunk: &Chunk,
    ) -> Result<(), Error> {
        if self.bad_chunks.contains(&number) {
            return Ok(());
        }
        let reading = Reading {
            chunk,
            chunk_name: checkpoint.directory.index.chunk_name(chunk),
            tensor: None,
        };
        if let Some(framing) = &chunk.framing {
            self.frames(checkpoint, residents, number, reading, framing)?;
        }
        if chunk.directory_len > 0 && self.records_agree {
            self.tensor_directory(checkpoint, residents, number, reading)?;
        }
        Ok(())
    }

    fn frames(
        &mut self,
        checkpoint: &Checkpoint<&S>,
        residents: &Residents,
        number: usize,
        reading: Reading<'_>,
        framing: &Framing,
    ) -> Result<(), Error> {
        let chunk = reading.chunk;
        let step = BATCH_LEN.max(framing.frame_len());
        let mut buffer = Vec::new();
        let mut start = 0;
        while start < chunk.content_len {
            let end = start.saturating_add(step).min(chunk.content_len);
            buffer.resize(usize::try_from(end.saturating_sub(start)).unwrap_or(0), 0);
            match checkpoint.read_content(reading, start, &mut buffer) {
                Ok(()) => {
                    let index = &checkpoint.directory.index;
                    if chunk.kind == ChunkKind::Tensors && has_filled_gap(residents, index, number, &buffer, start) {
                        let frames = chunk.in_file(&(0..chunk.frames_len()));
                        self.note(
                            Finding::new(Cause::NonZeroPadding, Region::Content, frames).chunk(reading.chunk_name),
                        );
                    }
                }
                Err(Error::Finding(finding)) => self.note(*finding),
                Err(error) => return Err(error),
            }
            start = end;
        }
        Ok(())
    }

    fn tensor_directory(
        &mut self,
        checkpoint: &Checkpoint<&S>,
        residents: &Residents,
        number: usize,
        reading: Reading<'_>,
    ) -> Result<(), Error> {
        let index = &checkpoint.directory.index;
        let parts = || {
            residents
                .numbers(number)
                .iter()
                .filter_map(|&tensor| index.directory_parts(tensor))
        };
        let mut expected = Vec::new();
        parts().for_each(|(record, _)| expected.extend_from_slice(record));
        parts().for_each(|(_, name)| expected.extend_from_slice(name));
        // As long as its record says: the records agree with each other.
        let mut stored = vec![0; expected.len()];
        let range = reading.chunk.in_file(&reading.chunk.directory());
        match checkpoint.read_stored(reading, range.start, &mut stored) {
            Ok(()) if stored == expected => Ok(()),
            Ok(()) => {
                let bad = differing(&stored, &expected, range.start);
                self.note(Finding::new(Cause::TensorDirectory, Region::Content, bad).chunk(reading.chunk_name));
                Ok(())
            }
            Err(Error::Finding(finding)) => {
                self.note(*finding);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// The content of chunk `number` that lies on damaged bytes of the file. Where the frame table cannot be trusted either,
    /// that is all of it.
    pub(super) fn content_on(
        &mut self,
        checkpoint: &Checkpoint<&S>,
        number: usize,
        reading: Reading<'_>,
        bytes: &Range<u64>,
    ) -> Range<u64> {
        let chunk = reading.chunk;
        let stored = |at: u64| at.saturating_sub(chunk.content_offset());
        let bytes = stored(bytes.start)..stored(bytes.end);
        let Some(framing) = &chunk.framing else {
            return bytes.start.min(chunk.content_len)..bytes.end.min(chunk.content_len);
        };
        if bytes.start >= chunk.directory().start {
            return 0..0;
        }
        let all = 0..chunk.content_len;
        if bytes.end > chunk.frames_len() {
            return all;
        }
        let known = self.last_frames.take().filter(|frames| frames.chunk == number);
        let frames = known.unwrap_or_else(|| Frames {
            chunk: number,
            places: checkpoint
                .frame_places(reading, framing, &(0..framing.count))
                .unwrap_or_default(),
        });
        let first = frames.places.partition_point(|place| place.end <= bytes.start);
        let behind = frames.places.partition_point(|place| place.start < bytes.end);
        let content = match frames.places.is_empty() {
            true => all,
            false => {
                framing.content_of(len_u64(first), chunk.content_len).start
                    ..framing.content_of(len_u64(behind), chunk.content_len).start
            }
        };
        self.last_frames = Some(frames);
        content
    }

    /// The tensors of chunk `number` on a range of its content, which are damaged.
    pub(super) fn tensors_on(
        &mut self,
        index: &Index,
        residents: &Residents,
        number: usize,
        content: Range<u64>,
    ) -> &OnContent {
        let known = self.last_tensors.take();
        let known = known.filter(|tensors| tensors.chunk == number && tensors.content == content);
        let tensors = known.unwrap_or_else(|| {
            let mut first = None;
            let mut count = 0_u64;
            for tensor in residents.on(index, number, &content) {
                count = count.saturating_add(1);
                first.get_or_insert_with(|| tensor.name.into());
                self.damaged.insert(tensor.name.into());
            }
            OnContent {
                chunk: number,
                content,
                first,
                more: count.saturating_sub(1),
            }
        });
        self.last_tensors.insert(tensors)
    }
}

/// Where the frames of a compressed chunk lie. A damaged file asks for those of one chunk block by block.
pub(super) struct Frames {
    chunk: usize,
    /// None where the frame table is lost.
    places: Vec<FramePlace>,
}

/// The tensors on a range of a chunk's content. Neighbouring blocks often hold parts of one frame, and of one tensor.
pub(super) struct OnContent {
    chunk: usize,
    content: Range<u64>,
    pub(super) first: Option<Box<str>>,
    /// How many there are beside the first.
    pub(super) more: u64,
}

/// Whether something else than zeros lies between tensors in a piece of a chunk's content.
fn has_filled_gap(residents: &Residents, index: &Index, number: usize, content: &[u8], start: u64) -> bool {
    let end = start.saturating_add(len_u64(content.len()));
    let inside = |at: u64| usize::try_from(at.saturating_sub(start)).unwrap_or(usize::MAX);
    let filled = |from: u64, to: u64| {
        content
            .get(inside(from)..inside(to))
            .is_some_and(|gap| non_zero(gap, 0).is_some())
    };
    let mut at = start;
    for tensor in residents.on(index, number, &(start..end)) {
        if at < tensor.offset && filled(at, tensor.offset.min(end)) {
            return true;
        }
        at = at.max(tensor.offset.saturating_add(tensor.len)).min(end);
    }
    filled(at, end)
}
