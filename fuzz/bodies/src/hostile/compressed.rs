//! Files with frames and with parity whose digests are right and whose content lies.

use std::path::Path;

use fold_format::parity::Level;
use fold_format::{Code, Content, Encoding, SaveOptions, save};

use super::{Files, le};
use crate::layouts::{noise, options};
use crate::mutate::{number, seal};
use crate::slow::PAGE;
use crate::writer::Memory;

/// Bytes of content per frame.
const FRAME: u64 = 4096;

/// One chunk of bytes in a file of its own.
struct OneChunk {
    bytes: Vec<u8>,
    /// Where its record and its stored bytes begin.
    record: usize,
    stored: usize,
}

impl OneChunk {
    fn new(content: &[u8], options: &SaveOptions) -> Self {
        let (memory, path) = (Memory::default(), Path::new("hostile.fold"));
        let content = Content::new().bytes("b", content);
        save(&memory, path, &content, options).unwrap_or_else(|error| panic!("the base is not written: {error}"));
        let bytes = memory.get(path).unwrap_or_default();
        let record = PAGE + 64;
        let stored = number(&bytes, record + 8, 8).unwrap_or(0) as usize + PAGE;
        Self { bytes, record, stored }
    }

    fn field(&self, at: usize) -> usize {
        number(&self.bytes, self.record + at, 8).unwrap_or(0) as usize
    }

    /// Where the frame table begins, from the beginning of the stored bytes.
    fn table(&self) -> usize {
        self.field(16) - 8 * self.field(96)
    }

    /// The entry of a frame.
    fn entry(&self, frame: usize) -> u64 {
        number(&self.bytes, self.stored + self.table() + 8 * frame, 8).unwrap_or(0)
    }

    /// The file with some of the chunk's stored bytes changed and every digest right.
    fn with(&self, at: usize, value: &[u8]) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        bytes[self.stored + at..][..value.len()].copy_from_slice(value);
        seal(&mut bytes);
        bytes
    }

    /// The file with some fields of the record changed, in index and prologue, and every digest right.
    fn with_record(&self, fields: &[(usize, &[u8])]) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        for (at, value) in fields {
            bytes[self.record + at..][..value.len()].copy_from_slice(value);
        }
        seal(&mut bytes);
        bytes
    }
}

/// A frame of zstd that declares so much content and holds runs of zeros of these lengths (RFC 8878, 3.1.1).
fn runs(declared: Option<u64>, lengths: &[u32]) -> Vec<u8> {
    let mut frame = 0xfd2f_b528_u32.to_le_bytes().to_vec();
    match declared {
        Some(declared) => {
            frame.push(0b1110_0000);
            frame.extend(declared.to_le_bytes());
        }
        // No content size; a window of 8 KiB.
        None => frame.extend([0, 0x18]),
    }
    for (position, len) in lengths.iter().enumerate() {
        let last = u32::from(position + 1 == lengths.len());
        frame.extend(&(len << 3 | 1 << 1 | last).to_le_bytes()[..3]);
        frame.push(0);
    }
    frame
}

/// The frame followed by a skippable one, `len` bytes together.
fn padded(mut frame: Vec<u8>, len: usize) -> Vec<u8> {
    let skipped = (len - frame.len() - 8) as u32;
    frame.extend(0x184d_2a50_u32.to_le_bytes());
    frame.extend(skipped.to_le_bytes());
    frame.resize(len, 0);
    frame
}

pub(super) fn files(files: &mut Files) {
    let waves = (0..3072_u32)
        .flat_map(|at| (at as f32 * 1e-3).sin().to_le_bytes())
        .collect::<Vec<_>>();
    let compressed = options().frame_log2(12).encoding(Encoding::Zstd);
    let base = OneChunk::new(&waves, &compressed);
    let first = base.entry(0) as usize;
    let bomb_of = |frames: &[u8]| base.with(0, &padded(frames.to_vec(), first));
    let bomb = |declared, lengths: &[u32]| bomb_of(&runs(declared, lengths));
    for (name, bytes) in [
        ("frame-declares-a-tebibyte", bomb(Some(1 << 40), &[4096])),
        ("frame-declares-nothing", bomb(None, &[4096])),
        ("frame-holds-more-than-it-declares", bomb(Some(FRAME), &[4096; 200])),
        ("frame-holds-less-than-it-declares", bomb(Some(FRAME), &[4000])),
        ("frame-is-skipped-altogether", base.with(0, &padded(Vec::new(), first))),
        (
            "frame-with-an-empty-one-behind",
            bomb_of(&[runs(Some(FRAME), &[4096]), runs(Some(0), &[0])].concat()),
        ),
        (
            "frame-ends-behind-the-frames",
            base.with(base.table(), &le(u64::MAX >> 1)),
        ),
        ("frame-ends-before-it-begins", base.with(base.table() + 8, &le(1))),
        (
            "frame-of-compressed-bytes-said-to-be-raw",
            base.with(base.table(), &le(first as u64 | 1 << 63)),
        ),
    ] {
        files.add(15, name, Code::Decompression, bytes);
    }
    // One frame of 1 MiB at most instead of three of 4 KiB: the table gets shorter, and the frames longer.
    let frames_len = base.field(16) as u64 - 8;
    let one_frame = |content_len: u64| base.with_record(&[(24, &le(content_len)), (88, &[20]), (96, &le(1))]);
    files.add(
        15,
        "content-of-65-times-its-frames",
        Code::OutOfBounds,
        one_frame(65 * frames_len),
    );
    files.add(
        15,
        "content-of-64-times-frames-that-hold-less",
        Code::Decompression,
        one_frame(64 * frames_len),
    );
    files.add(
        15,
        "content-of-a-tebibyte-in-frames",
        Code::OutOfBounds,
        base.with_record(&[(24, &le(1 << 40)), (96, &le(1 << 28))]),
    );

    let (start, end) = (base.entry(1) as usize, base.entry(2) as usize);
    let mut gap = base.bytes.clone();
    let frame = padded(runs(Some(FRAME), &[4096]), end - start - 16);
    gap[base.stored + start..][..frame.len()].copy_from_slice(&frame);
    gap[base.stored + base.table() + 16..][..8].copy_from_slice(&le(end as u64 - 16));
    seal(&mut gap);
    files.add(13, "gap-behind-the-last-frame", Code::Decompression, gap);

    let with_parity = OneChunk::new(&noise(6 * PAGE), &options().parity(Some(Level::Blocks(2))));
    let parity = number(&with_parity.bytes, 208, 8).unwrap_or(0) as usize;
    let mut other = with_parity.bytes.clone();
    other[parity..parity + PAGE].fill(0x77);
    seal(&mut other);
    // What the digests speak for is all there: that the parity is of other data shows when it is needed.
    files.add(29, "parity-of-other-data", None, other.clone());
    for byte in &mut other[with_parity.stored..][..2 * PAGE] {
        *byte ^= 1;
    }
    files.add(
        29,
        "parity-of-other-data-where-blocks-are-lost",
        Code::BlockDigest,
        other,
    );
}
