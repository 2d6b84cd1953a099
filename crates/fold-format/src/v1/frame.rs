//! The zstd frame of a compressed chunk, decoded piece by piece as it is read.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use zstd::zstd_safe::{self, DCtx, DParameter, InBuffer, OutBuffer};

use super::fault::Kind;
use crate::memory::Room;
use crate::wire::len_u64;

/// The base-two logarithm of the largest window that a frame may have whose content is as long as the index says: the window
/// takes no more memory than that content. zstd's own default holds for others.
const WINDOW_LOG_MAX: u32 = 30;

/// What becomes of the content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    All,
    /// It is decoded to see that it can be, in little memory.
    Nothing,
}

/// Bytes of content in memory where it is not kept: they stay in the second-level cache.
const WINDOW_LEN: u64 = 1 << 17;

/// One whole frame of exactly as many bytes of content as the index says.
pub(super) struct Frame {
    len: u64,
    keep: Keep,
    /// The content, or what it passes through.
    content: Room,
    /// Bytes of content so far.
    at: u64,
    /// None before the first piece.
    context: Option<DCtx<'static>>,
    ended: bool,
    fault: Option<Kind>,
}

impl Frame {
    /// - `len`: the bytes of content.
    pub(super) fn new(len: u64, keep: Keep) -> Self {
        Self {
            len,
            keep,
            content: Room::default(),
            at: 0,
            context: None,
            ended: false,
            fault: None,
        }
    }

    /// Decodes what follows. What is wrong with it comes out at the end.
    ///
    /// - `piece`: the first one holds the frame's whole header.
    pub(super) fn decode(&mut self, piece: &[u8]) {
        if self.fault.is_none() {
            self.fault = self.advance(piece).err();
        }
    }

    fn advance(&mut self, piece: &[u8]) -> Result<(), Kind> {
        let context = match &mut self.context {
            Some(context) => context,
            none => {
                // What it claims is compared before anything is allocated.
                let claimed = zstd_safe::get_frame_content_size(piece).map_err(|_| Kind::BadCompression)?;
                if claimed.is_some_and(|claimed| claimed != self.len) {
                    return Err(Kind::SizeMismatch);
                }
                let mut context = DCtx::try_create().ok_or(Kind::ChunkTooLarge)?;
                if claimed.is_some() {
                    let set = context.set_parameter(DParameter::WindowLogMax(WINDOW_LOG_MAX));
                    set.map_err(|_| Kind::BadCompression)?;
                }
                let room = match self.keep {
                    Keep::All => self.len,
                    Keep::Nothing => self.len.min(WINDOW_LEN),
                };
                self.content = Room::zeroed(room).map_err(|_| Kind::ChunkTooLarge)?;
                none.insert(context)
            }
        };
        let mut input = InBuffer::around(piece);
        while input.pos() < piece.len() {
            // Bytes behind the frame.
            if self.ended {
                return Err(Kind::BadCompression);
            }
            let before = input.pos();
            let left = usize::try_from(self.len.saturating_sub(self.at)).unwrap_or(usize::MAX);
            let room = match self.keep {
                Keep::All => self.content.len().saturating_sub(left)..self.content.len(),
                Keep::Nothing => 0..left.min(self.content.len()),
            };
            let mut output = OutBuffer::around(self.content.get_mut(room).unwrap_or_default());
            let left = context
                .decompress_stream(&mut output, &mut input)
                .map_err(|_| Kind::BadCompression)?;
            self.ended = left == 0;
            let decoded = output.pos();
            self.at = self.at.saturating_add(len_u64(decoded));
            if !self.ended && decoded == 0 && input.pos() == before {
                return Err(Kind::SizeMismatch);
            }
        }
        Ok(())
    }

    /// The content, where it was kept.
    ///
    /// # Errors
    /// [`Kind::BadCompression`] where the pieces were not one whole frame, [`Kind::SizeMismatch`] where its content is longer
    /// or shorter, [`Kind::ChunkTooLarge`] where there is no memory for it.
    pub(super) fn finish(mut self) -> Result<Room, Kind> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        if !self.ended {
            // It is cut off, or there is more content than room.
            let mut more = [0];
            let mut output = OutBuffer::around(&mut more[..]);
            let drained = self
                .context
                .as_mut()
                .map(|context| context.decompress_stream(&mut output, &mut InBuffer::around(&[])));
            return Err(match drained {
                Some(Ok(_)) if output.pos() > 0 => Kind::SizeMismatch,
                _ => Kind::BadCompression,
            });
        }
        match self.at == self.len {
            true => Ok(self.content),
            false => Err(Kind::SizeMismatch),
        }
    }
}

#[cfg(test)]
#[allow(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    reason = "tests may panic"
)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn decoded(frame: &[u8], len: usize, piece_len: usize) -> Result<Vec<u8>, Kind> {
        let decoder = |keep| {
            let mut decoder = Frame::new(len as u64, keep);
            frame.chunks(piece_len).for_each(|piece| decoder.decode(piece));
            decoder
        };
        let passed = decoder(Keep::Nothing);
        assert!(passed.content.len() as u64 <= WINDOW_LEN);
        let (passed, kept) = (passed.finish(), decoder(Keep::All).finish());
        assert_eq!(passed.err(), kept.as_ref().err().copied());
        kept.map(|content| content.to_vec())
    }

    /// Frames with and without the length of their content, with a window as long as the content and a shorter one.
    fn frames(content: &[u8]) -> Vec<Vec<u8>> {
        let streamed = |window_log: u32| {
            let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
            encoder.window_log(window_log).unwrap();
            encoder.write_all(content).unwrap();
            encoder.finish().unwrap()
        };
        vec![zstd::bulk::compress(content, 3).unwrap(), streamed(10), streamed(20)]
    }

    fn content(len: usize) -> Vec<u8> {
        (0..len as u64).map(|at| (at * at / 7 % 251) as u8).collect()
    }

    #[test]
    fn a_frame_decodes_to_its_content_however_it_is_cut() {
        for len in [0, 1, 1000, 300_000] {
            let content = content(len);
            for frame in frames(&content) {
                for piece_len in [18, 1000, frame.len().max(1)] {
                    assert_eq!(
                        decoded(&frame, len, piece_len),
                        Ok(content.clone()),
                        "{len} {piece_len}"
                    );
                }
            }
        }
    }

    #[test]
    fn what_is_not_one_whole_frame_of_that_length_is_refused_by_name() {
        let content = content(300_000);
        for frame in frames(&content) {
            for piece_len in [1000, frame.len() + 100] {
                for other in [0, 299_999, 300_001, 1 << 24] {
                    let fault = decoded(&frame, other, piece_len).unwrap_err();
                    assert_eq!(fault, Kind::SizeMismatch, "{other} {piece_len}");
                }
                for cut in [0, 3, 20, 1000, frame.len() - 1] {
                    let fault = decoded(&frame[..cut], content.len(), piece_len).unwrap_err();
                    assert_eq!(fault, Kind::BadCompression, "{cut} {piece_len}");
                }
                for behind in [&b"\0"[..], &frame] {
                    let longer = [&frame[..], behind].concat();
                    let fault = decoded(&longer, content.len(), piece_len).unwrap_err();
                    assert_eq!(fault, Kind::BadCompression, "{piece_len}");
                }
            }
        }
        assert_eq!(decoded(b"", 0, 1), Err(Kind::BadCompression));
        assert_eq!(decoded(b"no frame", 8, 8), Err(Kind::BadCompression));
    }
}
