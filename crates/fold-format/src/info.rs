//! What a container says about itself: facts of the file, its chunks and its tensors.
//!
//! Values only. They exist where the digests of superblock and index matched; the content is not verified by them.

use crate::digest::Digest;
use crate::dtype::{Dtype, Shape};
use crate::layout::{DIGEST_XXH3, ENCODING_RAW};

/// What a chunk holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ChunkKind {
    /// Tensors, each at a multiple of 64 bytes.
    Tensors,
    /// JSON text.
    Json,
    /// Bytes.
    Bytes,
}

impl ChunkKind {
    /// The number that records hold.
    pub(crate) const fn to_byte(self) -> u8 {
        match self {
            Self::Tensors => 1,
            Self::Json => 2,
            Self::Bytes => 3,
        }
    }

    pub(crate) const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Tensors),
            2 => Some(Self::Json),
            3 => Some(Self::Bytes),
            _ => None,
        }
    }

    /// `TENS`, `JSON` or `BYTE`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tensors => "TENS",
            Self::Json => "JSON",
            Self::Bytes => "BYTE",
        }
    }
}

/// How a chunk's bytes are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Encoding {
    /// As they are.
    Raw,
}

impl Encoding {
    pub(crate) const fn to_byte(self) -> u8 {
        match self {
            Self::Raw => ENCODING_RAW,
        }
    }

    pub(crate) const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            ENCODING_RAW => Some(Self::Raw),
            _ => None,
        }
    }

    /// `raw`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Raw => "raw",
        }
    }
}

/// How a file's digests are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DigestKind {
    /// xxh3: against accidents.
    Xxh3,
}

impl DigestKind {
    pub(crate) const fn to_byte(self) -> u8 {
        match self {
            Self::Xxh3 => DIGEST_XXH3,
        }
    }

    /// `xxh3`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Xxh3 => "xxh3",
        }
    }
}

/// Facts about the whole file, from a superblock that matches its digests.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Info {
    /// Major version: 2.
    pub version_major: u16,
    /// Minor version.
    pub version_minor: u16,
    /// Chosen by the writer; all zero where none was.
    pub uuid: [u8; 16],
    /// Nanoseconds since 1970-01-01 UTC; 0: not stated.
    pub created_unix_ns: u64,
    /// How the digests are computed.
    pub digest_kind: DigestKind,
    /// Feature bits that a reader must know.
    pub required_features: u64,
    /// Feature bits that a reader may ignore.
    pub optional_features: u64,
    /// Bytes of a block.
    pub block_bytes: u64,
    /// Blocks of content.
    pub block_count: u64,
    /// Bytes of the file.
    pub file_bytes: u64,
    /// Bytes of one copy of the index.
    pub index_bytes: u64,
    /// Chunks.
    pub chunk_count: u64,
    /// Tensors.
    pub tensor_count: u64,
    /// The root digest.
    pub root: Digest,
}

/// One chunk, as the index describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChunkInfo<'a> {
    /// Its name.
    pub name: &'a str,
    /// What it holds.
    pub kind: ChunkKind,
    /// How it is stored.
    pub encoding: Encoding,
    /// Where its content begins in the file.
    pub offset: u64,
    /// Bytes of the content as stored.
    pub stored_bytes: u64,
    /// Bytes of the decoded content.
    pub bytes: u64,
    /// Number of its first block.
    pub first_block: u64,
    /// Its blocks.
    pub block_count: u64,
    /// Tensors that lie in it.
    pub tensor_count: u64,
    /// Its digest, as recorded: reading it verifies nothing.
    pub digest: Digest,
}

/// One tensor, as the index describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TensorInfo<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its elements' type.
    pub dtype: Dtype,
    /// Its extents, slowest first.
    pub shape: Shape,
    /// The name of the chunk that holds it.
    pub chunk: &'a str,
    /// Where it begins in the file.
    pub offset: u64,
    /// Its bytes.
    pub bytes: u64,
}
