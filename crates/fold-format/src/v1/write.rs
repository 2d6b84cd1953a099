//! Writing a version 1.2.0 file, as PyFolds 1.0 writes it, so that PyFolds 1.0 reads it.
//!
//! Bare digests, `chunk_hashes` and `manifest_hash` over the metadata. Parity is written in blocks where a chunk is one
//! block alone: for longer chunks PyFolds 1.0 stores bytes that it cannot read itself, so none are written.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use std::collections::HashSet;
use std::io::{self, Write};

use sha2::{Digest as _, Sha256};

use super::digest::{hex, sha256_hex};
use super::layout::{CHUNK_HEADER_LEN, ChunkHeader, FILE_HEADER_LEN, FileHeader};
use super::parity;
use super::rs::Code;
use crate::json::{Form, Value};
use crate::span::Span;
use crate::wire::len_u64;

/// The largest payload that PyFolds reads.
const MAX_PAYLOAD: u64 = 2 << 30;

/// How a chunk is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Compression {
    /// Not at all.
    Stored,
    /// One zstd frame of level 3, PyFolds' own.
    Zstd,
}

/// Parity of the chunks that fit one block of the code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Protection {
    /// None.
    Off,
    /// rs(16).
    Low,
    /// rs(32).
    Med,
    /// rs(64).
    High,
}

impl Protection {
    /// `off`, `low`, `med` or `high`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Low => "low",
            Self::Med => "med",
            Self::High => "high",
        }
    }

    const fn parity_len(self) -> usize {
        match self {
            Self::Off => 0,
            Self::Low => 16,
            Self::Med => 32,
            Self::High => 64,
        }
    }
}

/// One chunk to be written.
#[derive(Clone, Debug)]
pub struct Chunk<'a> {
    /// Its name, unique in the file.
    pub name: &'a str,
    /// Its type: four ASCII characters.
    pub ctype: &'a str,
    /// Its payload, in memory or not.
    pub payload: Span<'a>,
}

/// Everything that a version 1 file is to hold.
#[derive(Clone, Debug)]
pub struct Version1<'a> {
    /// The caller's metadata, an object without `chunk_hashes` and `manifest_hash`: those are added.
    pub metadata: Value,
    /// Seconds since 1970-01-01 UTC.
    pub created_at_unix: f64,
    /// The chunks, in their order.
    pub chunks: Vec<Chunk<'a>>,
    /// How they are compressed.
    pub compression: Compression,
    /// Their parity.
    pub protection: Protection,
}

/// Writes a file from its beginning to its end. The same content gives the same bytes.
///
/// Payloads that are not in memory are read twice, in pieces: first for their digests, then while they are written. Up to
/// 8 MiB of a payload's compressed bytes are kept for the second time; more are compressed again.
///
/// # Errors
/// What `out` says; `InvalidInput` for a name twice, a type that is not four ASCII characters, a payload above 2 GiB, or
/// metadata that are no object.
pub fn write(out: &mut impl Write, file: &Version1<'_>) -> io::Result<()> {
    let invalid = |what: &str| io::Error::new(io::ErrorKind::InvalidInput, what);
    let mut names = HashSet::new();
    for chunk in &file.chunks {
        if !names.insert(chunk.name) {
            return Err(invalid("two chunks have the same name"));
        }
        if chunk.ctype.len() != 4 || !chunk.ctype.is_ascii() {
            return Err(invalid("a chunk's type is four ASCII characters"));
        }
        if chunk.payload.len() > MAX_PAYLOAD {
            return Err(invalid("a chunk of version 1 has at most 2 GiB"));
        }
    }
    let mut metadata = match &file.metadata {
        Value::Object(entries) => entries.clone(),
        _ => return Err(invalid("the metadata are a JSON object")),
    };
    // The header says where the index is, so everything is laid out before the first byte is written.
    let mut offset = FILE_HEADER_LEN;
    let mut stored = Vec::with_capacity(file.chunks.len());
    for chunk in &file.chunks {
        let chunk = Stored::of(chunk, file, offset)?;
        offset = chunk.end().ok_or_else(|| invalid("the file is too large"))?;
        stored.push(chunk);
    }
    let hashes = stored.iter().map(|chunk| (chunk.name, Value::from(&*chunk.sha256)));
    metadata.push(("chunk_hashes".into(), Value::object(hashes)));
    let hashed = Value::Object(metadata.clone()).print(Form::SortedAscii);
    metadata.push(("manifest_hash".into(), Value::from(&*sha256_hex(hashed.as_bytes()))));
    let index = Value::object([
        ("format", Value::from("fold")),
        ("version", Value::from("1.2.0")),
        ("created_at_unix", Value::Float(file.created_at_unix)),
        ("metadata", Value::Object(metadata)),
        ("chunks", Value::Array(stored.iter().map(Stored::entry).collect())),
    ]);
    let index = index.print(Form::Stored);
    let header = FileHeader {
        index_offset: offset,
        index_len: len_u64(index.len()),
    };
    out.write_all(&header.encode())?;
    for chunk in &stored {
        out.write_all(&chunk.header.encode())?;
        chunk.bytes.write(out)?;
        out.write_all(&chunk.parity)?;
    }
    out.write_all(index.as_bytes())
}

/// The compressed bytes of a chunk that are kept at most.
const KEPT_LEN: usize = 8 << 20;

/// The stored bytes of a chunk.
enum Bytes<'a> {
    Payload(Span<'a>),
    Compressed(Vec<u8>),
    /// To be compressed again.
    Uncompressed(Span<'a>),
}

impl Bytes<'_> {
    fn write(&self, out: &mut impl Write) -> io::Result<()> {
        match self {
            Self::Payload(payload) => payload.copy_to(out),
            Self::Compressed(bytes) => out.write_all(bytes),
            Self::Uncompressed(payload) => compress(*payload, out).map(drop),
        }
    }
}

/// One zstd frame that states its length, as PyFolds needs it.
fn compress<W: Write>(payload: Span<'_>, out: W) -> io::Result<W> {
    let mut encoder = zstd::stream::write::Encoder::new(out, zstd::DEFAULT_COMPRESSION_LEVEL)?;
    encoder.set_pledged_src_size(Some(payload.len()))?;
    payload.copy_to(&mut encoder)?;
    encoder.finish()
}

/// Takes the digests of what is written to it, and keeps the first bytes.
struct Digesting {
    crc32c: u32,
    sha256: Sha256,
    len: u64,
    kept: Vec<u8>,
    /// How many bytes are kept; none are once there are more.
    most: usize,
}

impl Digesting {
    fn new(most: usize) -> Self {
        Self {
            crc32c: 0,
            sha256: Sha256::new(),
            len: 0,
            kept: Vec::new(),
            most,
        }
    }

    /// Everything that was written; none where it was too much to keep.
    fn kept(&self) -> Option<&[u8]> {
        (len_u64(self.kept.len()) == self.len).then_some(&self.kept)
    }
}

impl Write for Digesting {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let (crc32c, ()) = rayon::join(
            || crc32c::crc32c_append(self.crc32c, bytes),
            || self.sha256.update(bytes),
        );
        self.crc32c = crc32c;
        match self.kept.len().saturating_add(bytes.len()) <= self.most && self.kept().is_some() {
            true => self.kept.extend_from_slice(bytes),
            false => self.kept = Vec::new(),
        }
        self.len = self.len.saturating_add(len_u64(bytes.len()));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A chunk as it will lie in the file.
struct Stored<'a> {
    name: &'a str,
    ctype: &'a str,
    offset: u64,
    header: ChunkHeader,
    bytes: Bytes<'a>,
    parity: Vec<u8>,
    sha256: String,
    ecc_algo: String,
}

impl<'a> Stored<'a> {
    fn of(chunk: &Chunk<'a>, file: &Version1<'_>, offset: u64) -> io::Result<Self> {
        let mut digesting = Digesting::new(KEPT_LEN);
        match file.compression {
            Compression::Stored => {
                digesting.most = 255;
                chunk.payload.copy_to(&mut digesting)?;
            }
            Compression::Zstd => {
                compress(chunk.payload, &mut digesting)?;
            }
        }
        // Parity is for what fits one block.
        let code = Code::new(file.protection.parity_len()).zip(digesting.kept());
        let code = code.filter(|(code, bytes)| bytes.len() <= code.data_len() && !bytes.is_empty());
        let parity = code.as_ref().map(|(code, bytes)| parity::encode(code, bytes));
        let ecc_algo = code.as_ref().map(|(code, _)| format!("rs({})", code.parity_len()));
        let parity = parity.unwrap_or_default();
        let ctype = chunk
            .ctype
            .as_bytes()
            .try_into()
            .map_err(|_| io::ErrorKind::InvalidInput)?;
        let header = ChunkHeader {
            ctype,
            flags: u32::from(file.compression == Compression::Zstd),
            uncomp_len: chunk.payload.len(),
            comp_len: digesting.len,
            crc32c: digesting.crc32c,
            ecc_len: u32::try_from(parity.len()).map_err(|_| io::ErrorKind::InvalidInput)?,
        };
        let bytes = match file.compression {
            Compression::Stored => Bytes::Payload(chunk.payload),
            Compression::Zstd if digesting.kept().is_some() => Bytes::Compressed(digesting.kept),
            Compression::Zstd => Bytes::Uncompressed(chunk.payload),
        };
        Ok(Self {
            name: chunk.name,
            ctype: chunk.ctype,
            offset,
            header,
            sha256: hex(&digesting.sha256.finalize()),
            ecc_algo: ecc_algo.unwrap_or("none".into()),
            bytes,
            parity,
        })
    }

    fn end(&self) -> Option<u64> {
        self.offset
            .checked_add(CHUNK_HEADER_LEN)?
            .checked_add(self.header.comp_len)?
            .checked_add(self.header.ecc_len.into())
    }

    fn entry(&self) -> Value {
        Value::object([
            ("name", Value::from(self.name)),
            ("ctype", Value::from(self.ctype)),
            ("flags", Value::from(u64::from(self.header.flags))),
            ("offset", Value::from(self.offset)),
            ("header_len", Value::from(CHUNK_HEADER_LEN)),
            ("comp_len", Value::from(self.header.comp_len)),
            ("uncomp_len", Value::from(self.header.uncomp_len)),
            ("crc32c", Value::from(u64::from(self.header.crc32c))),
            ("sha256", Value::from(&*self.sha256)),
            ("ecc_algo", Value::from(&*self.ecc_algo)),
            ("ecc_len", Value::from(u64::from(self.header.ecc_len))),
        ])
    }
}
