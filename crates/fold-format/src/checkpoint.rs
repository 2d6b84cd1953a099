//! Opening and reading (signatures; being filled in).

use std::fs::File;
use std::path::Path;

use crate::digest::Digest;
use crate::dtype::{Dtype, Shape};
use crate::error::Error;
use crate::finding::Finding;
use crate::limits::Limits;
use crate::source::ReadAt;
use crate::tensor::Tensor;

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

/// What to do about a file that is longer or shorter than its superblock says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OpenMode {
    /// Fail with `FOLD-E0202`.
    Strict,
    /// Open it, note a finding, and read what is there: tensors behind the end fail one by one.
    Degraded,
}

/// How to open.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct OpenOptions {
    pub(crate) limits: Limits,
    pub(crate) mode: OpenMode,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self {
            limits: Limits::DEFAULT,
            mode: OpenMode::Strict,
        }
    }
}

impl OpenOptions {
    /// The default limits, strict.
    pub fn new() -> Self {
        Self::default()
    }

    /// What the file's metadata may ask for.
    pub const fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// What to do about a wrong length.
    pub const fn mode(mut self, mode: OpenMode) -> Self {
        self.mode = mode;
        self
    }
}

/// An open container whose metadata match their digests.
///
/// Any bytes may be opened: never panics; time and memory stay within a small constant of the index' length.
#[derive(Debug)]
pub struct Checkpoint<S = File> {
    #[allow(dead_code, reason = "being filled in")]
    source: S,
}

impl Checkpoint<File> {
    /// Opens a file for positioned reads and verifies superblock, index and digest table, falling back to the mirror.
    ///
    /// # Errors
    /// To be written.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        Self::open_with(path, &OpenOptions::default())
    }

    /// As [`Checkpoint::open`], with options.
    ///
    /// # Errors
    /// As [`Checkpoint::open`].
    pub fn open_with(_path: impl AsRef<Path>, _options: &OpenOptions) -> Result<Self, Error> {
        Err(Error::Cancelled)
    }
}

impl<S: ReadAt> Checkpoint<S> {
    /// Opens any source of positioned reads.
    ///
    /// # Errors
    /// As [`Checkpoint::open`].
    pub fn open_source(_source: S, _options: &OpenOptions) -> Result<Self, Error> {
        Err(Error::Cancelled)
    }

    /// What was wrong with copies of the metadata that opening got around by using the mirror.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        &[]
    }

    /// Facts about the whole file.
    #[must_use]
    pub fn info(&self) -> &Info {
        unreachable!()
    }

    /// The metadata: text of a JSON object, `{}` where the writer gave none.
    #[must_use]
    pub fn metadata(&self) -> &str {
        ""
    }

    /// The chunks, sorted by name.
    pub fn chunks(&self) -> impl ExactSizeIterator<Item = ChunkInfo<'_>> {
        std::iter::empty()
    }

    /// The tensors, sorted by name. The first call checks every record of the index.
    ///
    /// # Errors
    /// The first record that breaks a rule.
    pub fn tensors(&self) -> Result<impl ExactSizeIterator<Item = TensorInfo<'_>>, Error> {
        Ok(std::iter::empty())
    }

    /// One chunk's record, by binary search.
    ///
    /// # Errors
    /// [`Misuse::NoSuchChunk`](crate::Misuse).
    pub fn chunk_info(&self, _name: &str) -> Result<ChunkInfo<'_>, Error> {
        Err(Error::Cancelled)
    }

    /// One tensor's record, by binary search.
    ///
    /// # Errors
    /// [`Misuse::NoSuchTensor`](crate::Misuse); the record breaks a rule.
    pub fn tensor_info(&self, _name: &str) -> Result<TensorInfo<'_>, Error> {
        Err(Error::Cancelled)
    }

    /// Reads one tensor and verifies exactly the blocks it lies on.
    ///
    /// # Errors
    /// `FOLD-E0301` and the place of the first block that does not match; [`Misuse::NoSuchTensor`](crate::Misuse); I/O.
    pub fn tensor(&self, _name: &str) -> Result<Tensor, Error> {
        Err(Error::Cancelled)
    }

    /// As [`Checkpoint::tensor`], into the caller's memory, which must have the tensor's length.
    ///
    /// # Errors
    /// As [`Checkpoint::tensor`]; the buffer then holds nothing of use.
    pub fn read_tensor_into(&self, _name: &str, _buffer: &mut [u8]) -> Result<(), Error> {
        Err(Error::Cancelled)
    }

    /// Reads and verifies a chunk's decoded content.
    ///
    /// # Errors
    /// As [`Checkpoint::tensor`].
    pub fn chunk(&self, _name: &str) -> Result<Vec<u8>, Error> {
        Err(Error::Cancelled)
    }
}
