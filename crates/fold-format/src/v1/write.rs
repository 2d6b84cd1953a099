//! Writing a version 1.2.0 file, as PyFolds 1.0 writes it, so that PyFolds 1.0 reads it.
//!
//! Bare digests, `chunk_hashes` and `manifest_hash` over the metadata. Parity is written in blocks where a chunk is one
//! block alone: for longer chunks PyFolds 1.0 stores bytes that it cannot read itself, so none are written.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use std::borrow::Cow;
use std::collections::HashSet;
use std::io::{self, Write};

use super::digest::sha256_hex;
use super::layout::{CHUNK_HEADER_LEN, ChunkHeader, FILE_HEADER_LEN, FileHeader};
use super::parity;
use super::rs::Code;
use crate::json::{Form, Value};
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
    /// Its payload.
    pub payload: Cow<'a, [u8]>,
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
/// A compressed chunk is in memory beside its payload.
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
        if len_u64(chunk.payload.len()) > MAX_PAYLOAD {
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
        out.write_all(&chunk.bytes)?;
        out.write_all(&chunk.parity)?;
    }
    out.write_all(index.as_bytes())
}

/// A chunk as it will lie in the file.
struct Stored<'a> {
    name: &'a str,
    ctype: &'a str,
    offset: u64,
    header: ChunkHeader,
    bytes: Cow<'a, [u8]>,
    parity: Vec<u8>,
    sha256: String,
    ecc_algo: String,
}

impl<'a> Stored<'a> {
    fn of(chunk: &'a Chunk<'a>, file: &Version1<'_>, offset: u64) -> io::Result<Self> {
        let bytes = match file.compression {
            Compression::Stored => Cow::Borrowed(&*chunk.payload),
            Compression::Zstd => Cow::Owned(zstd::bulk::compress(&chunk.payload, zstd::DEFAULT_COMPRESSION_LEVEL)?),
        };
        let code =
            Code::new(file.protection.parity_len()).filter(|code| bytes.len() <= code.data_len() && !bytes.is_empty());
        let parity = code
            .as_ref()
            .map(|code| parity::encode(code, &bytes))
            .unwrap_or_default();
        let ctype = chunk
            .ctype
            .as_bytes()
            .try_into()
            .map_err(|_| io::ErrorKind::InvalidInput)?;
        Ok(Self {
            name: chunk.name,
            ctype: chunk.ctype,
            offset,
            header: ChunkHeader {
                ctype,
                flags: u32::from(file.compression == Compression::Zstd),
                uncomp_len: len_u64(chunk.payload.len()),
                comp_len: len_u64(bytes.len()),
                crc32c: crc32c::crc32c(&bytes),
                ecc_len: u32::try_from(parity.len()).map_err(|_| io::ErrorKind::InvalidInput)?,
            },
            sha256: sha256_hex(&bytes),
            ecc_algo: code.map_or("none".into(), |code| format!("rs({})", code.parity_len())),
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
