//! How much a reader reads of a damaged file: its time grows as the file does, and no faster.

use std::io;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};

use fold_format::{
    Content, Depth, Encoding, Error, Limits, ReadAt, Salvage, SaveOptions, Verdict, VerifyOptions, salvage,
    verify_source,
};

use crate::content::{file, options};

/// Bytes that count what is read of them.
struct Counted<'a> {
    bytes: &'a [u8],
    read: AtomicU64,
}

impl ReadAt for Counted<'_> {
    fn len(&self) -> io::Result<u64> {
        ReadAt::len(&self.bytes)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let count = self.bytes.read_at(buffer, offset)?;
        self.read.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

/// How often the bytes of a file are read, all together.
fn readings(bytes: &[u8], work: impl FnOnce(&Counted<'_>)) -> u64 {
    let counted = Counted {
        bytes,
        read: AtomicU64::new(0),
    };
    work(&counted);
    counted.read.into_inner().div_ceil(bytes.len() as u64)
}

fn small() -> SaveOptions {
    options().block_log2(12).frame_log2(12)
}

fn number(bytes: &[u8], at: usize) -> usize {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap()) as usize
}

/// A compressed chunk with a block of frame table for every eight of frames, a byte of each block of frames flipped.
fn damaged_frames() -> Vec<u8> {
    let zeros = vec![0; 16 << 20];
    let mut bytes = file(
        &Content::new().bytes("zeros", &zeros),
        &small().encoding(Encoding::Zstd),
    );
    // The only chunk record, and what it says of its prologue, its stored bytes and its frames.
    let record = number(&bytes, 96) + 64;
    let field = |at: usize| number(&bytes, record + at);
    let (stored, stored_len, frames) = (field(8) + 4096, field(16), field(96));
    assert_eq!(frames, zeros.len() >> 12);
    for block in (stored..stored + stored_len - 8 * frames).step_by(4096) {
        bytes[block] ^= 0xff;
    }
    bytes
}

#[test]
fn damage_in_every_block_of_a_compressed_chunk_is_located_in_one_pass() {
    let bytes = damaged_frames();
    let read = readings(&bytes, |source| {
        let report = verify_source(source, Depth::All, VerifyOptions::new()).unwrap();
        assert_eq!(report.verdict, Verdict::Damaged);
        assert!(report.blocks_bad > 60, "{}", report.blocks_bad);
    });
    assert!(read <= 3, "{read} times");
    let read = readings(&bytes, |source| {
        salvage::<_, Error>(source, &Limits::DEFAULT, &|| ControlFlow::Continue(()), &mut |_| Ok(())).unwrap();
    });
    assert!(read <= 3, "{read} times");
}

#[test]
fn a_file_of_many_chunks_without_metadata_is_gone_through_once() {
    let names: Vec<String> = (0..600).map(|at| format!("{at:03}")).collect();
    let content = names
        .iter()
        .fold(Content::new(), |content, name| content.bytes(name, b"some"));
    let mut bytes = file(&content, &small());
    let end = bytes.len();
    let payload = number(&bytes, 80);
    bytes[..payload].fill(0xa5);
    bytes[end - 4096..].fill(0xa5);
    let read = readings(&bytes, |source| {
        let taken: Salvage =
            salvage::<_, Error>(source, &Limits::DEFAULT, &|| ControlFlow::Continue(()), &mut |_| Ok(())).unwrap();
        assert!(taken.carved);
        assert_eq!(taken.chunks_saved.len(), names.len());
    });
    assert!(read <= 3, "{read} times");
}
