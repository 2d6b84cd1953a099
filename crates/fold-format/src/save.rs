//! Saving, atomically (signatures; being filled in).

use std::path::Path;

use crate::content::Content;
use crate::digest::Digest;
use crate::error::Error;
use crate::layout::BLOCK_LOG2_DEFAULT;
use crate::storage::Storage;

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
}

impl SaveOptions {
    /// Refuses an existing target; no uuid, no time, blocks of 64 KiB.
    pub const fn new(durability: Durability) -> Self {
        Self {
            durability,
            existing: Existing::Refuse,
            uuid: [0; 16],
            created_unix_ns: 0,
            block_log2: BLOCK_LOG2_DEFAULT,
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
}

/// What a save has written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Saved {
    /// Bytes of the file.
    pub bytes: u64,
    /// The root digest: it stands for the whole content, the uuid and the time.
    pub root: Digest,
    /// Blocks of content.
    pub blocks: u64,
}

/// Saves `content` under `path`: into a temporary file in the same directory, flushed, renamed, the directory flushed.
///
/// # Errors
/// To be written.
pub fn save<S: Storage>(
    _storage: &S,
    _path: &Path,
    _content: &Content<'_>,
    _options: &SaveOptions,
) -> Result<Saved, Error> {
    Err(Error::Cancelled)
}

/// Whether a file name is that of a temporary file of [`save`]: one that a killed process left behind, when no save is
/// running.
#[must_use]
pub fn is_temporary_name(name: &std::ffi::OsStr) -> bool {
    name.to_str().is_some_and(|name| name.starts_with(".fold-tmp-"))
}
