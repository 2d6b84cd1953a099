//! How to save: durability, identity, and the form of the file.

use crate::info::{DigestKind, Encoding};
use crate::layout::{BLOCK_LOG2_DEFAULT, FRAME_LOG2_DEFAULT};
use crate::parity::Level;

/// What must have happened when a save returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Durability {
    /// The file and its name are on the medium: they survive a power cut.
    Full,
    /// The file is whole under its name for every process, but nothing is flushed: a power cut may lose or tear it.
    None,
}

/// What to do with a file that has the target's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Existing {
    /// Leave it and fail.
    Refuse,
    /// Put the new file in its place, at once.
    Replace,
}

/// How to save. `uuid` and `created_unix_ns` are inputs: the same content and options give the same bytes.
#[derive(Clone, Debug)]
#[must_use]
pub struct SaveOptions {
    pub(crate) durability: Durability,
    pub(crate) existing: Existing,
    pub(crate) uuid: [u8; 16],
    pub(crate) created_unix_ns: u64,
    pub(crate) block_log2: u8,
    pub(crate) digest_kind: DigestKind,
    pub(crate) encoding: Encoding,
    pub(crate) compression_level: i32,
    pub(crate) frame_log2: u8,
    pub(crate) parity: Option<Level>,
}

impl SaveOptions {
    /// Refuses an existing target; no uuid, no time, blocks of 64 KiB, xxh3, not compressed, no parity.
    pub const fn new(durability: Durability) -> Self {
        Self {
            durability,
            existing: Existing::Refuse,
            uuid: [0; 16],
            created_unix_ns: 0,
            block_log2: BLOCK_LOG2_DEFAULT,
            digest_kind: DigestKind::Xxh3,
            encoding: Encoding::Raw,
            compression_level: 1,
            frame_log2: FRAME_LOG2_DEFAULT,
            parity: None,
        }
    }

    /// What to do with a file that has the target's name.
    pub const fn existing(mut self, existing: Existing) -> Self {
        self.existing = existing;
        self
    }

    /// The file's uuid; it enters every digest. All zero: none.
    pub const fn uuid(mut self, uuid: [u8; 16]) -> Self {
        self.uuid = uuid;
        self
    }

    /// Nanoseconds since 1970-01-01 UTC; 0: not stated.
    pub const fn created_unix_ns(mut self, created_unix_ns: u64) -> Self {
        self.created_unix_ns = created_unix_ns;
        self
    }

    /// Block size as a power of two, 12 to 20. Smaller blocks locate damage more narrowly and cost more digests.
    pub const fn block_log2(mut self, block_log2: u8) -> Self {
        self.block_log2 = block_log2;
        self
    }

    /// How digests are computed. A file that is to be signed needs [`DigestKind::Blake3`].
    pub const fn digest_kind(mut self, kind: DigestKind) -> Self {
        self.digest_kind = kind;
        self
    }

    /// How chunks are stored. Text and bytes have no elements to shuffle and are then stored as [`Encoding::Zstd`].
    ///
    /// A tensor of a compressed chunk cannot be viewed in a mapping, it is decoded into memory.
    pub const fn encoding(mut self, encoding: Encoding) -> Self {
        self.encoding = encoding;
        self
    }

    /// zstd's level, 1 to 22; the default 1 is the fastest. Has no effect on raw chunks.
    pub const fn compression_level(mut self, level: i32) -> Self {
        self.compression_level = level;
        self
    }

    /// Bytes of content per frame of a compressed chunk as a power of two, 12 to 20. What a read of a few bytes decodes.
    pub const fn frame_log2(mut self, frame_log2: u8) -> Self {
        self.frame_log2 = frame_log2;
        self
    }

    /// Parity from which [`repair`](crate::repair) restores lost blocks. A file without content has none.
    pub const fn parity(mut self, level: Option<Level>) -> Self {
        self.parity = level;
        self
    }
}
