//! What a container says about itself: facts of the file, its chunks and its tensors.
//!
//! Values only. They exist where the digests of superblock and index matched; the content is not verified by them.

use std::fmt;

use crate::digest::Digest;
use crate::dtype::{Dtype, Shape};
use crate::layout::{DIGEST_BLAKE3, DIGEST_XXH3, ENCODING_RAW, ENCODING_SHUFFLE_ZSTD, ENCODING_ZSTD};
use crate::parity::{Grouping, Level};

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

impl fmt::Display for ChunkKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How a chunk's bytes are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Encoding {
    /// As they are: a tensor is a slice of the file.
    Raw,
    /// In independent frames of zstd.
    Zstd,
    /// In independent frames of zstd, the bytes of the elements shuffled first: all lowest bytes, then all second ones, and
    /// so on. What is exponent in floating-point numbers lies together and compresses better.
    ShuffleZstd,
}

impl Encoding {
    /// Every encoding.
    pub const ALL: &'static [Self] = &[Self::Raw, Self::Zstd, Self::ShuffleZstd];

    pub(crate) const fn to_byte(self) -> u8 {
        match self {
            Self::Raw => ENCODING_RAW,
            Self::Zstd => ENCODING_ZSTD,
            Self::ShuffleZstd => ENCODING_SHUFFLE_ZSTD,
        }
    }

    pub(crate) const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            ENCODING_RAW => Some(Self::Raw),
            ENCODING_ZSTD => Some(Self::Zstd),
            ENCODING_SHUFFLE_ZSTD => Some(Self::ShuffleZstd),
            _ => None,
        }
    }

    /// `raw`, `zstd` or `shuffle-zstd`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Zstd => "zstd",
            Self::ShuffleZstd => "shuffle-zstd",
        }
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How a file's digests are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DigestKind {
    /// xxh3, 64 bits a block, 128 bits above: against accidents.
    Xxh3,
    /// BLAKE3, 256 bits: also against content made to match. A file of this kind is called sealed and can be signed.
    Blake3,
}

impl DigestKind {
    /// Every kind.
    pub const ALL: &'static [Self] = &[Self::Xxh3, Self::Blake3];

    pub(crate) const fn to_byte(self) -> u8 {
        match self {
            Self::Xxh3 => DIGEST_XXH3,
            Self::Blake3 => DIGEST_BLAKE3,
        }
    }

    pub(crate) const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            DIGEST_XXH3 => Some(Self::Xxh3),
            DIGEST_BLAKE3 => Some(Self::Blake3),
            _ => None,
        }
    }

    /// Bytes of a block's digest.
    pub(crate) const fn leaf_len(self) -> u8 {
        match self {
            Self::Xxh3 => 8,
            Self::Blake3 => 32,
        }
    }

    /// Bytes of every other digest.
    pub(crate) const fn node_len(self) -> u8 {
        match self {
            Self::Xxh3 => 16,
            Self::Blake3 => 32,
        }
    }

    /// `xxh3` or `blake3`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Xxh3 => "xxh3",
            Self::Blake3 => "blake3",
        }
    }
}

impl fmt::Display for DigestKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The parity of a file: what its writer was asked for, and the groups that this made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Parity {
    /// What the writer was asked for.
    pub level: Level,
    /// Which blocks share which parity blocks, and how many of a group may be lost.
    pub grouping: Grouping,
}

impl Parity {
    pub(crate) const fn new(level: Level, grouping: Grouping) -> Self {
        Self { level, grouping }
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
    /// What the file can be repaired from, where it has parity.
    pub parity: Option<Parity>,
    /// The public key of an ed25519 signature, where the file has one: as recorded, not checked.
    pub signed_by: Option<[u8; 32]>,
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
    /// Bytes as stored: content or frames, frame table and tensor directory.
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
    /// Where it begins in the file; in a compressed chunk, in the decoded content.
    pub offset: u64,
    /// Its bytes.
    pub bytes: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_shown_by_their_names() {
        let shown = format!("{} {} {}", ChunkKind::Json, Encoding::ShuffleZstd, DigestKind::Blake3);
        assert_eq!(shown, "JSON shuffle-zstd blake3");
    }
}
