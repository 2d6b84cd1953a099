//! Frames: how a compressed chunk's content is cut, encoded and decoded.
//!
//! Every frame stands alone: it holds a fixed number of bytes of content (the last one less) as one zstd frame, or as
//! they are where zstd gains nothing. A frame is decoded only after the digests of the blocks it lies on have matched,
//! into memory whose size follows from the chunk record; what the frame says about itself is compared first.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use std::fmt;
use std::io;
use std::ops::Range;

use zstd::bulk::Decompressor;
use zstd::zstd_safe::zstd_sys::ZSTD_EndDirective;
use zstd::zstd_safe::{self, CCtx, CParameter, InBuffer, OutBuffer, ResetDirective};

use crate::info::Encoding;
use crate::layout::{FRAME_ENTRY_LEN, FRAME_STORED_RAW, MAX_EXPANSION};
use crate::shuffle::{shuffle, unshuffle};
use crate::wire::len_u64;

/// How a chunk is cut into frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Framing {
    /// Bytes of content per frame, as a power of two.
    pub(crate) log2: u8,
    /// Bytes of the elements whose bytes were shuffled: 2, 4 or 8; 0 where they were not.
    pub(crate) shuffle_width: u8,
    pub(crate) count: u64,
}

impl Framing {
    /// Frames for that much content; `None` where a length is not in range.
    pub(crate) fn new(log2: u8, shuffle_width: u8, content_len: u64) -> Option<Self> {
        let frame_len = 1_u64.checked_shl(u32::from(log2))?;
        Some(Self {
            log2,
            shuffle_width,
            count: content_len.div_ceil(frame_len),
        })
    }

    pub(crate) const fn encoding(&self) -> Encoding {
        if self.shuffle_width == 0 {
            Encoding::Zstd
        } else {
            Encoding::ShuffleZstd
        }
    }

    /// Bytes of content of every frame but the last.
    pub(crate) fn frame_len(&self) -> u64 {
        1_u64.checked_shl(u32::from(self.log2)).unwrap_or(u64::MAX)
    }

    /// Bytes of the frame table.
    pub(crate) const fn table_len(&self) -> u64 {
        self.count.saturating_mul(FRAME_ENTRY_LEN)
    }

    /// The content of a frame, as a range of the chunk's content.
    pub(crate) fn content_of(&self, frame: u64, content_len: u64) -> Range<u64> {
        let start = frame.saturating_mul(self.frame_len()).min(content_len);
        start..start.saturating_add(self.frame_len()).min(content_len)
    }

    /// The frames that a range of the chunk's content lies in.
    pub(crate) fn frames_of(&self, range: &Range<u64>) -> Range<u64> {
        let number = |at: u64| at.checked_shr(u32::from(self.log2)).unwrap_or(0);
        if range.is_empty() {
            return number(range.start)..number(range.start);
        }
        number(range.start)..number(range.end.saturating_sub(1)).saturating_add(1)
    }
}

/// What is wrong with a frame whose bytes match their digests: its writer did not keep the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FrameFault {
    /// The frame table does not ascend to the end of the frames, or gives the frame a length it cannot have.
    Table,
    /// The frame says that it decodes to another length than the chunk record makes of it.
    Length {
        /// What it says; none where it says nothing.
        declared: Option<u64>,
        /// What it must be.
        expected: u64,
    },
    /// The decoder refused the bytes.
    Decoder,
    /// Something else than skippable frames lies behind the zstd frame.
    Behind,
}

impl fmt::Display for FrameFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Table => f.write_str("the frame table gives it a place that it cannot have"),
            Self::Length {
                declared: Some(declared),
                expected,
            } => write!(f, "it declares {declared} bytes of content instead of {expected}"),
            Self::Length {
                declared: None,
                expected,
            } => write!(f, "it does not declare its {expected} bytes of content"),
            Self::Decoder => f.write_str("it cannot be decoded"),
            Self::Behind => f.write_str("something else than skippable frames lies behind its zstd frame"),
        }
    }
}

/// Where one frame lies and how it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FramePlace {
    /// From the beginning of the chunk's stored bytes.
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) stored_raw: bool,
}

/// The places of neighbouring frames from their entries of the frame table, `start` being where the first one begins.
///
/// # Errors
/// The number of the first frame, counted from the first entry, whose place breaks a rule.
pub(crate) fn places(
    entries: &[u8],
    start: u64,
    frames_len: u64,
    content_lens: impl Iterator<Item = u64>,
) -> Result<Vec<FramePlace>, u64> {
    let entries = entries.as_chunks::<8>().0;
    let mut places = Vec::with_capacity(entries.len());
    let mut start = start;
    for ((number, entry), content_len) in (0_u64..).zip(entries).zip(content_lens) {
        let entry = u64::from_le_bytes(*entry);
        let place = FramePlace {
            start,
            end: entry & !FRAME_STORED_RAW,
            stored_raw: entry & FRAME_STORED_RAW != 0,
        };
        let len = place.end.saturating_sub(start);
        let fits = if place.stored_raw {
            len == content_len
        } else {
            // zstd is used where it gains something, and never gains more than this.
            len < content_len && len.saturating_mul(MAX_EXPANSION) >= content_len
        };
        if len == 0 || place.end > frames_len || !fits {
            return Err(number);
        }
        start = place.end;
        places.push(place);
    }
    Ok(places)
}

/// One frame, encoded.
pub(crate) struct Encoded {
    pub(crate) bytes: Vec<u8>,
    pub(crate) stored_raw: bool,
}

/// Encodes frames one after another, with its own zstd contexts.
pub(crate) struct Encoder {
    /// Looks for repeats as the level asks for.
    repeats: CCtx<'static>,
    /// Hardly looks for any: what shuffled numbers have is bytes that are more frequent than others, and runs.
    frequencies: CCtx<'static>,
    level: i32,
    shuffled: Vec<u8>,
}

impl Encoder {
    /// # Errors
    /// The level is out of zstd's range, or there is no memory.
    pub(crate) fn new(level: i32) -> io::Result<Self> {
        /// No match below 7 bytes, zstd's longest such bound, and its smallest table to find matches by, 2^6 places.
        const FREQUENCIES: [CParameter; 3] = [
            CParameter::CompressionLevel(1),
            CParameter::MinMatch(7),
            CParameter::HashLog(6),
        ];
        Ok(Self {
            repeats: context(&[CParameter::CompressionLevel(level)])?,
            frequencies: context(&FREQUENCIES)?,
            level,
            shuffled: Vec::new(),
        })
    }

    /// One frame of not more than 2^20 bytes of content.
    ///
    /// A level above 1 searches shuffled content for repeats too, and keeps what is shorter.
    ///
    /// # Errors
    /// zstd fails, which it does not unless there is no memory.
    pub(crate) fn encode(&mut self, content: &[u8], shuffle_width: u8) -> io::Result<Encoded> {
        let mut bytes = if shuffle_width == 0 {
            compress(&mut self.repeats, content, content.len())?
        } else {
            let width = usize::from(shuffle_width);
            self.shuffled.resize(content.len(), 0);
            shuffle(content, &mut self.shuffled, width);
            let plane_len = content.len().checked_div(width).unwrap_or(0);
            let bytes = compress(&mut self.frequencies, &self.shuffled, plane_len)?;
            match self.level {
                ..=1 => bytes,
                _ => {
                    let other = compress(&mut self.repeats, &self.shuffled, plane_len)?;
                    if other.len() < bytes.len() { other } else { bytes }
                }
            }
        };
        pad(&mut bytes, content.len());
        let stored_raw = bytes.len() >= content.len();
        if stored_raw {
            bytes = content.to_vec();
        }
        Ok(Encoded { bytes, stored_raw })
    }
}

fn context(parameters: &[CParameter]) -> io::Result<CCtx<'static>> {
    let mut context = CCtx::try_create().ok_or(io::ErrorKind::OutOfMemory)?;
    for &parameter in parameters {
        context.set_parameter(parameter).map_err(zstd_error)?;
    }
    Ok(context)
}

fn zstd_error(code: zstd_safe::ErrorCode) -> io::Error {
    io::Error::other(zstd_safe::get_error_name(code))
}

/// One zstd frame whose blocks end where parts of that length do, so that each part has a code of its own, and one
/// that nothing can be gained from is copied by the decoder.
fn compress(context: &mut CCtx<'_>, input: &[u8], part_len: usize) -> io::Result<Vec<u8>> {
    /// Bytes of a block that are not content.
    const BLOCK_HEADER_LEN: usize = 3;
    context.reset(ResetDirective::SessionOnly).map_err(zstd_error)?;
    context
        .set_pledged_src_size(Some(len_u64(input.len())))
        .map_err(zstd_error)?;
    let mut parts = input.chunks(part_len.max(1)).peekable();
    let headers = parts.len().saturating_mul(BLOCK_HEADER_LEN);
    let mut bytes = Vec::with_capacity(zstd_safe::compress_bound(input.len()).saturating_add(headers));
    let mut out = OutBuffer::around(&mut bytes);
    while let Some(part) = parts.next() {
        let directive = match parts.peek() {
            Some(_) => ZSTD_EndDirective::ZSTD_e_flush,
            None => ZSTD_EndDirective::ZSTD_e_end,
        };
        let left = context
            .compress_stream2(&mut out, &mut InBuffer::around(part), directive)
            .map_err(zstd_error)?;
        if left != 0 {
            return Err(io::Error::other("zstd wrote more than its bound"));
        }
    }
    Ok(bytes)
}

/// The magic number of zstd's skippable frames; the lowest four bits are the writer's. A length follows it, as it four bytes,
/// little-endian.
const SKIPPABLE_MAGIC: u32 = 0x184D_2A50;

/// Brings a frame to the least length that its content allows, by one of zstd's skippable frames.
fn pad(bytes: &mut Vec<u8>, content_len: usize) {
    const HEADER_LEN: usize = 8;
    let least = len_u64(content_len).div_ceil(MAX_EXPANSION);
    let missing = usize::try_from(least).unwrap_or(0).saturating_sub(bytes.len());
    if missing == 0 {
        return;
    }
    let skipped = missing.saturating_sub(HEADER_LEN);
    bytes.extend_from_slice(&SKIPPABLE_MAGIC.to_le_bytes());
    bytes.extend_from_slice(&u32::try_from(skipped).unwrap_or(0).to_le_bytes());
    bytes.resize(bytes.len().saturating_add(skipped), 0);
}

/// Whether nothing but skippable frames lies behind the zstd frame that the bytes begin with.
fn is_alone(bytes: &[u8]) -> bool {
    let len = zstd_safe::find_frame_compressed_size(bytes);
    let mut rest = len.ok().and_then(|len| bytes.get(len..));
    loop {
        match rest {
            None => return false,
            Some([]) => return true,
            Some(bytes) => {
                rest = bytes.split_first_chunk::<4>().and_then(|(magic, bytes)| {
                    let (len, bytes) = bytes.split_first_chunk::<4>()?;
                    let skippable = u32::from_le_bytes(*magic) & !0xF == SKIPPABLE_MAGIC;
                    let len = usize::try_from(u32::from_le_bytes(*len)).ok()?;
                    bytes.get(len..).filter(|_| skippable)
                });
            }
        }
    }
}

/// Decodes frames one after another, with its own zstd context.
pub(crate) struct Decoder {
    decompressor: Decompressor<'static>,
    shuffled: Vec<u8>,
}

impl Decoder {
    /// # Errors
    /// There is no memory.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            decompressor: Decompressor::new()?,
            shuffled: Vec::new(),
        })
    }

    /// Decodes one verified frame into exactly the memory of its content.
    ///
    /// # Errors
    /// What is wrong with the frame; `content` then holds nothing of use.
    pub(crate) fn decode(
        &mut self,
        stored: &[u8],
        stored_raw: bool,
        shuffle_width: u8,
        content: &mut [u8],
    ) -> Result<(), FrameFault> {
        if stored_raw {
            if stored.len() != content.len() {
                return Err(FrameFault::Table);
            }
            content.copy_from_slice(stored);
            return Ok(());
        }
        let expected = len_u64(content.len());
        let declared = zstd_safe::get_frame_content_size(stored).unwrap_or(None);
        if declared != Some(expected) {
            return Err(FrameFault::Length { declared, expected });
        }
        let target = if shuffle_width == 0 {
            &mut *content
        } else {
            self.shuffled.resize(content.len(), 0);
            self.shuffled.as_mut_slice()
        };
        match self.decompressor.decompress_to_buffer(stored, target) {
            Ok(len) if len_u64(len) == expected => {}
            _ => return Err(FrameFault::Decoder),
        }
        if !is_alone(stored) {
            return Err(FrameFault::Behind);
        }
        if shuffle_width != 0 {
            unshuffle(&self.shuffled, content, usize::from(shuffle_width));
        }
        Ok(())
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

    fn weights(len: usize) -> Vec<u8> {
        // A quiet mantissa, so that there is something to gain.
        (0..len / 4)
            .flat_map(|at| ((at as f32).sin() * 0.02 + 1.0).to_le_bytes())
            .collect()
    }

    fn round_trip(content: &[u8], width: u8) -> Encoded {
        let encoded = Encoder::new(3).unwrap().encode(content, width).unwrap();
        let mut decoded = vec![0xee; content.len()];
        let decode = Decoder::new()
            .unwrap()
            .decode(&encoded.bytes, encoded.stored_raw, width, &mut decoded);
        assert_eq!(decode, Ok(()));
        assert!(decoded == content, "width {width}, {} bytes", content.len());
        encoded
    }

    #[test]
    fn every_width_and_length_goes_round() {
        let content = weights(4096);
        for width in [0, 2, 4, 8] {
            for len in [1, 2, 3, 5, 7, 8, 9, 15, 63, 64, 1000, 4095, 4096] {
                round_trip(&content[..len], width);
            }
        }
    }

    #[test]
    fn shuffling_helps() {
        let content = weights(1 << 18);
        assert!(round_trip(&content, 4).bytes.len() < round_trip(&content, 0).bytes.len());
    }

    #[test]
    fn a_higher_level_finds_repeats_and_never_makes_more_of_a_frame() {
        let len = |level, content: &[u8]| Encoder::new(level).unwrap().encode(content, 4).unwrap().bytes.len();
        let noisy = (0..65_536_u64)
            .map(|at| twox_hash::XxHash3_64::oneshot(&at.to_le_bytes()) as f64 / u64::MAX as f64)
            .flat_map(|uniform| ((uniform - 0.5) as f32).to_le_bytes())
            .collect::<Vec<_>>();
        // Drawn with repetition: nothing is periodic.
        let rows = (0..256_u64)
            .map(|at| twox_hash::XxHash3_64::oneshot(&at.to_le_bytes()) as usize % 32)
            .flat_map(|row| noisy[row * 1024..][..1024].iter().copied())
            .collect::<Vec<_>>();
        for content in [&noisy, &rows, &weights(1 << 18)] {
            let first = len(1, content);
            assert!([2, 3, 9].into_iter().all(|level| len(level, content) <= first));
        }
        assert!(len(3, &rows) * 2 < len(1, &rows), "{} {}", len(3, &rows), len(1, &rows));
    }

    #[test]
    fn a_plane_of_few_values_is_not_coded_with_noise() {
        // Three planes of noise and one of two values: a bit for each of its bytes, were nothing lost.
        let content = (0..65_536_u64)
            .map(|at| twox_hash::XxHash3_64::oneshot(&at.to_le_bytes()) as u32)
            .flat_map(|noise| {
                [
                    noise as u8,
                    (noise >> 8) as u8,
                    (noise >> 16) as u8,
                    60 + (noise >> 31) as u8,
                ]
            })
            .collect::<Vec<_>>();
        let least = content.len() * 25 / 32;
        let encoded = round_trip(&content, 4);
        assert!(
            encoded.bytes.len() < least + least / 25,
            "{} of {least}",
            encoded.bytes.len()
        );
    }

    #[test]
    fn noise_is_stored_as_it_is_and_zeros_are_no_bomb() {
        let noise = (0..65_536_u64)
            .flat_map(|at| twox_hash::XxHash3_64::oneshot(&at.to_le_bytes()).to_le_bytes())
            .collect::<Vec<_>>();
        let encoded = round_trip(&noise, 0);
        assert!(encoded.stored_raw && encoded.bytes.len() == noise.len());
        for len in [64, 100, 4096, 1 << 18, 1 << 20] {
            let encoded = round_trip(&vec![0; len], 4);
            assert!(encoded.bytes.len() as u64 * MAX_EXPANSION >= len as u64, "{len}");
            assert!(!encoded.stored_raw || len < 4096);
        }
    }

    #[test]
    fn lying_frames_are_refused() {
        let content = vec![7; 5000];
        let encoded = Encoder::new(3).unwrap().encode(&content, 0).unwrap();
        let mut decoder = Decoder::new().unwrap();
        let mut decode = |stored: &[u8], raw, len| decoder.decode(stored, raw, 0, &mut vec![0; len]);
        let lies = |declared, expected| Err(FrameFault::Length { declared, expected });
        assert_eq!(decode(&encoded.bytes, false, 4999), lies(Some(5000), 4999));
        assert_eq!(decode(&encoded.bytes, false, 5001), lies(Some(5000), 5001));
        assert_eq!(decode(&encoded.bytes, true, 5000), Err(FrameFault::Table));
        assert_eq!(decode(b"not zstd at all", false, 5), lies(None, 5));
        let cut = &encoded.bytes[..12];
        assert_eq!(decode(cut, false, 5000), Err(FrameFault::Decoder));
        let twice = [&encoded.bytes[..], &encoded.bytes[..]].concat();
        assert_eq!(decode(&twice, false, 5000), Err(FrameFault::Decoder));
        let empty = zstd::bulk::compress(&[], 3).unwrap();
        let behind = [&encoded.bytes[..], &empty].concat();
        assert_eq!(decode(&behind, false, 5000), Err(FrameFault::Behind));
        let skipped = [&encoded.bytes[..], &[0x5f, 0x2a, 0x4d, 0x18, 1, 0, 0, 0, 1]].concat();
        assert_eq!(decode(&skipped, false, 5000), Ok(()));
    }

    #[test]
    fn tables_that_cannot_be_are_refused() {
        let table = |ends: &[u64]| ends.iter().flat_map(|end| end.to_le_bytes()).collect::<Vec<_>>();
        let places_of = |ends: &[u64]| places(&table(ends), 0, 1000, [4096, 4096, 100].into_iter()).map(|_| ());
        assert_eq!(places_of(&[400, 900, 1000 | FRAME_STORED_RAW]), Ok(()));
        assert_eq!(places_of(&[400, 400, 500]), Err(1), "empty");
        assert_eq!(places_of(&[400, 300, 500]), Err(1), "descends");
        assert_eq!(places_of(&[400, 1001, 1002]), Err(1), "behind the frames");
        assert_eq!(
            places_of(&[400, 900, 999 | FRAME_STORED_RAW]),
            Err(2),
            "raw and shorter"
        );
        assert_eq!(places_of(&[63, 900, 950]), Err(0), "expands more than 64 times");
        assert_eq!(places_of(&[u64::MAX >> 1, 0, 0]), Err(0));
        // As long as its content, a frame is stored as it is; one of no bytes is none, whatever it stands for.
        assert_eq!(places_of(&[400, 900, 999]), Ok(()));
        assert_eq!(places_of(&[400, 900, 1000]), Err(2), "nothing is gained");
        assert_eq!(
            places(&table(&[FRAME_STORED_RAW]), 0, 1000, std::iter::once(0)),
            Err(0),
            "empty and raw"
        );
    }
}
