//! Opening a container and reading verified content with positioned reads.
//!
//! Opening reads the superblock, one copy of the index and one of the digest table, and verifies them. Reading a tensor
//! reads and verifies exactly the blocks it lies on, every time: bytes are compared in the memory that they are handed
//! out from. Only the last block and the last frame that were needed in part are remembered, so that small neighbours do
//! not read them again. How content is read is in `read`.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::ops::Range;
use std::path::Path;
use std::sync::{Mutex, OnceLock, PoisonError};

use crate::directory::{Directory, OpenMode};
use crate::error::{Error, IoFault, Misuse, Operation};
use crate::finding::{Cause, Finding, Foreign, Region};
use crate::frames::Decoder;
use crate::index::Chunk;
use crate::info::{ChunkInfo, Info, TensorInfo};
use crate::limits::Limits;
use crate::memory::{Aligned, PAGE, Spares, out_of_memory};
use crate::restore::RestoredBlocks;
use crate::seal::PublicKey;
use crate::sign::signature_finding;
use crate::source::{Ahead, ReadAt};
use crate::tensor::Tensor;
use crate::tensor_records::TensorEntry;
use crate::wire::len_u64;

/// How to open.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct OpenOptions {
    pub(crate) limits: Limits,
    pub(crate) mode: OpenMode,
    pub(crate) public_key: Option<PublicKey>,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self {
            limits: Limits::DEFAULT,
            mode: OpenMode::Strict,
            public_key: None,
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

    /// Opens only what this key signed; anything else is refused with `FOLD-E0306`, in either mode.
    pub const fn public_key(mut self, key: PublicKey) -> Self {
        self.public_key = Some(key);
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
/// Any bytes may be opened: never panics; time and memory stay within a small constant of the metadata's length, which
/// is compared with the source's length and the limits first. A matching xxh3 speaks against accidents, it says nothing
/// about who wrote the file.
pub struct Checkpoint<S = File> {
    pub(crate) source: S,
    pub(crate) directory: Directory,
    findings: Vec<Finding>,
    /// Of the file, where it was opened by it: errors name it.
    path: Option<Box<Path>>,
    /// Whether every tensor record was checked, and what is wrong with them.
    structure: OnceLock<Result<(), Box<Finding>>>,
    /// The last block that was read for a part of it: its number and verified bytes.
    pub(crate) edge: Mutex<Option<(u64, Vec<u8>)>>,
    /// The last frame that was decoded for a part of it.
    pub(crate) frame: Mutex<Option<DecodedFrame>>,
    /// What decodes frames, one for each thread that ever did at the same time.
    pub(crate) decoders: Spares<Decoder>,
    /// Memory for the stored bytes of a batch of frames.
    pub(crate) batches: Spares<Aligned<PAGE>>,
    /// By parity group: the lost blocks that were restored for a read; none where the group lost too many.
    pub(crate) restored: Mutex<BTreeMap<u32, Option<RestoredBlocks>>>,
    /// Which reads the source is told of before.
    pub(crate) ahead: Ahead,
}

/// The facts; neither the source nor the index' bytes.
impl<S> fmt::Debug for Checkpoint<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Checkpoint");
        shown
            .field("info", &self.directory.info)
            .field("findings", &self.findings)
            .finish_non_exhaustive()
    }
}

/// A decoded frame of a compressed chunk.
pub(crate) struct DecodedFrame {
    /// The chunk, by the place of its prologue, and the frame's number in it.
    pub(crate) key: (u64, u64),
    pub(crate) content: Aligned<PAGE>,
}

/// Fewer bytes than this are read and hashed by the calling thread: waking others would take longer.
pub(crate) const PARALLEL_LEN: usize = 1 << 20;

/// Bytes of a chunk's content that memory is taken for at once, when all of it is read.
const PIECE_LEN: usize = 8 << 20;

/// What is being read, for a finding.
#[derive(Clone, Copy)]
pub(crate) struct Reading<'a> {
    pub(crate) chunk: &'a Chunk,
    pub(crate) chunk_name: &'a str,
    pub(crate) tensor: Option<&'a str>,
}

impl Reading<'_> {
    /// A finding about one of the chunk's blocks.
    pub(crate) fn finding(&self, number: u64, bytes: Range<u64>, cause: Cause) -> Finding {
        let finding = Finding::new(cause, Region::Content, bytes)
            .chunk(self.chunk_name)
            .block(number);
        match self.tensor {
            Some(tensor) => finding.tensor(tensor),
            None => finding,
        }
    }
}

fn regular_only(metadata: &std::fs::Metadata, path: &Path) -> Result<(), Error> {
    if metadata.is_file() {
        return Ok(());
    }
    let finding = Finding::new(Cause::NotContainer(Foreign::NotRegularFile), Region::File, 0..0);
    Err(Error::from(finding).about(Some(path)))
}

/// Opens a regular file for reading; a directory, pipe or device is refused before it could block.
pub(crate) fn open_regular(path: &Path) -> Result<File, Error> {
    let fault = |operation, error| IoFault::new(operation, Some(path.into()), error);
    regular_only(
        &std::fs::metadata(path).map_err(|error| fault(Operation::Metadata, error))?,
        path,
    )?;
    let file = File::open(path).map_err(|error| fault(Operation::Open, error))?;
    regular_only(
        &file.metadata().map_err(|error| fault(Operation::Metadata, error))?,
        path,
    )?;
    Ok(file)
}

impl Checkpoint<File> {
    /// Opens a file for positioned reads and verifies superblock, index and digest table, falling back to the mirror.
    ///
    /// # Errors
    /// - [`Error::Finding`]: not a container, not for this reader, of another length than it says, or both copies of
    ///   superblock, index or digest table are damaged.
    /// - [`Error::Finding`] with `FOLD-E0306`: a recorded signature is wrong, or not the one asked for.
    /// - [`Error::Io`]: the file is absent (`FOLD-E0103`) or cannot be opened.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        Self::open_with(path, &OpenOptions::default())
    }

    /// As [`Checkpoint::open`], with options.
    ///
    /// # Errors
    /// As [`Checkpoint::open`].
    pub fn open_with(path: impl AsRef<Path>, options: &OpenOptions) -> Result<Self, Error> {
        let path = path.as_ref();
        Self::open_named(open_regular(path)?, Some(path), options)
    }
}

impl<S: ReadAt> Checkpoint<S> {
    /// Opens any source of positioned reads.
    ///
    /// # Errors
    /// As [`Checkpoint::open`].
    pub fn open_source(source: S, options: &OpenOptions) -> Result<Self, Error> {
        Self::open_named(source, None, options)
    }

    /// Opens a source that may have a path.
    pub(crate) fn open_named(source: S, path: Option<&Path>, options: &OpenOptions) -> Result<Self, Error> {
        let opened = Directory::open(&source, path, &options.limits, options.mode).and_then(|opened| {
            match signature_finding(&opened.0.superblock, options.public_key.as_ref()) {
                Some(finding) => Err(finding.into()),
                None => Ok(opened),
            }
        });
        let (directory, findings) = opened.map_err(|error| error.about(path))?;
        Ok(Self {
            findings,
            path: path.map(Into::into),
            ..Self::of(source, directory)
        })
    }

    /// Names the file in what goes wrong with a read of it.
    pub(crate) fn naming<T>(&self, read: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
        read().map_err(|error| error.about(self.path.as_deref()))
    }

    /// A source and its verified metadata.
    pub(crate) fn of(source: S, directory: Directory) -> Self {
        Self {
            source,
            directory,
            findings: Vec::new(),
            path: None,
            structure: OnceLock::new(),
            edge: Mutex::new(None),
            frame: Mutex::new(None),
            decoders: Spares::new(),
            batches: Spares::new(),
            restored: Mutex::new(BTreeMap::new()),
            ahead: Ahead::default(),
        }
    }

    /// What was wrong with copies of the metadata that opening got around, or with the length in
    /// [`OpenMode::Degraded`]. Not empty means: rewrite the file.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// The blocks that reads so far could only have from parity, `FOLD-W0302` each. Not empty means: repair the file.
    ///
    /// A read that meets a lost block of a file with parity looks at its whole group and restores what the group lost;
    /// the restored blocks are kept. Nothing is handed out that does not match its digest.
    #[must_use]
    pub fn restored_blocks(&self) -> Vec<Finding> {
        let restored = self.restored.lock().unwrap_or_else(PoisonError::into_inner);
        let numbers = restored.values().flatten().flat_map(BTreeMap::keys);
        let findings = numbers.map(|&number| {
            let range = self.directory.block_range(number);
            let finding = Finding::new(Cause::ThroughParity, Region::Content, range).block(number);
            let chunk = self.directory.chunk_of(number);
            let name = chunk.map_or("", |chunk| self.directory.index.chunk_name(chunk));
            Finding {
                path: self.path.clone(),
                ..finding.chunk(name).repairable(true)
            }
        });
        findings.collect()
    }

    /// Facts about the whole file.
    #[must_use]
    pub const fn info(&self) -> &Info {
        &self.directory.info
    }

    /// The metadata, `{}` where the writer gave none. A writer of this crate puts a JSON object there; the reader
    /// promises UTF-8 only and parses nothing.
    #[must_use]
    pub fn metadata(&self) -> &str {
        self.directory.index.metadata()
    }

    /// The chunks, sorted by name, which is their order in the file.
    pub fn chunks(&self) -> impl ExactSizeIterator<Item = ChunkInfo<'_>> {
        self.directory
            .index
            .chunks
            .iter()
            .map(|chunk| self.directory.chunk_info(chunk))
    }

    /// The tensors, sorted by name. The first call checks every record of the index.
    ///
    /// # Errors
    /// The first record that breaks a rule: nothing is left out silently.
    pub fn tensors(&self) -> Result<impl Iterator<Item = TensorInfo<'_>>, Error> {
        self.naming(|| Ok(self.structure.get_or_init(|| self.directory.check_tensors()).clone()?))?;
        Ok(self
            .directory
            .index
            .tensors()
            .map(|(_, tensor)| self.directory.tensor_info(&tensor)))
    }

    /// One chunk's record, by binary search.
    ///
    /// # Errors
    /// [`Misuse::NoSuchChunk`].
    pub fn chunk_info(&self, name: &str) -> Result<ChunkInfo<'_>, Error> {
        self.directory
            .chunk(name)
            .map(|(_, chunk)| self.directory.chunk_info(chunk))
    }

    /// One tensor's record, by binary search.
    ///
    /// # Errors
    /// [`Misuse::NoSuchTensor`]; the record breaks a rule.
    pub fn tensor_info(&self, name: &str) -> Result<TensorInfo<'_>, Error> {
        let tensor = self.naming(|| self.directory.tensor(name))?;
        Ok(self.directory.tensor_info(&tensor))
    }

    /// Reads one tensor into memory of its own and verifies exactly the blocks it lies on.
    ///
    /// # Errors
    /// `FOLD-E0301` with the place of the first block that does not match; [`Misuse::NoSuchTensor`]; the record breaks a
    /// rule; the bytes cannot be read or there is no memory for them.
    pub fn tensor(&self, name: &str) -> Result<Tensor, Error> {
        self.naming(|| {
            let entry = self.directory.tensor(name)?;
            let (reading, range) = self.locate(&entry)?;
            self.require(reading.chunk, &range)?;
            let mut tensor = Tensor::zeroed(entry.dtype, entry.shape, entry.len)?;
            self.read_content(reading, range.start, tensor.bytes_mut())?;
            Ok(tensor)
        })
    }

    /// What a finding about a tensor names, and where in its chunk's content the tensor lies.
    pub(crate) fn locate<'a>(&'a self, entry: &TensorEntry<'a>) -> Result<(Reading<'a>, Range<u64>), Error> {
        let (chunk, range) = self.directory.tensor_place(entry).ok_or(Misuse::TooLarge)?;
        let reading = Reading {
            chunk,
            chunk_name: self.directory.index.chunk_name(chunk),
            tensor: Some(entry.name),
        };
        Ok((reading, range))
    }

    /// As [`Checkpoint::tensor`], into the caller's memory, which must have the tensor's length.
    ///
    /// # Errors
    /// As [`Checkpoint::tensor`]; the buffer then holds nothing of use. [`Misuse::BufferLength`].
    pub fn read_tensor_into(&self, name: &str, buffer: &mut [u8]) -> Result<(), Error> {
        self.naming(|| {
            let entry = self.directory.tensor(name)?;
            let actual = len_u64(buffer.len());
            if actual != entry.len {
                return Err(Misuse::BufferLength {
                    expected: entry.len,
                    actual,
                }
                .into());
            }
            let (reading, range) = self.locate(&entry)?;
            self.read_content(reading, range.start, buffer)
        })
    }

    /// Reads and verifies a chunk's decoded content.
    ///
    /// # Errors
    /// As [`Checkpoint::tensor`]; [`Misuse::NoSuchChunk`].
    pub fn chunk(&self, name: &str) -> Result<Vec<u8>, Error> {
        self.naming(|| {
            let (_, chunk) = self.directory.chunk(name)?;
            self.require(chunk, &(0..chunk.content_len))?;
            let reading = Reading {
                chunk,
                chunk_name: name,
                tensor: None,
            };
            let len = usize::try_from(chunk.content_len).map_err(|_| out_of_memory())?;
            let mut bytes = Vec::new();
            // For a chunk that is damaged, no more memory is taken than for what was whole.
            while bytes.len() < len {
                let start = bytes.len();
                let end = start.saturating_add(PIECE_LEN).min(len);
                bytes
                    .try_reserve(end.saturating_sub(start))
                    .map_err(|_| out_of_memory())?;
                bytes.resize(end, 0);
                let piece = bytes.get_mut(start..).unwrap_or(&mut []);
                self.read_content(reading, len_u64(start), piece)?;
            }
            Ok(bytes)
        })
    }

    /// Refuses content that the source does not have, before memory is taken for it. What a compressed chunk decodes to is
    /// bounded by its stored bytes; those must be there.
    fn require(&self, chunk: &Chunk, content: &Range<u64>) -> Result<(), Error> {
        let range = match &chunk.framing {
            None => chunk.in_file(content),
            Some(_) if content.is_empty() => return Ok(()),
            Some(_) => chunk.in_file(&(0..chunk.stored_len)),
        };
        let actual = self
            .source
            .len()
            .map_err(|error| IoFault::new(Operation::Metadata, None, error))?;
        if range.end > actual && !range.is_empty() {
            let cause = Cause::Length {
                expected: range.end,
                actual,
            };
            return Err(Finding::new(cause, Region::File, actual.max(range.start)..range.end).into());
        }
        Ok(())
    }
}
