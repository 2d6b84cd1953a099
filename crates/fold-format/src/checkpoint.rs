//! Opening a container and reading verified content with positioned reads.
//!
//! Opening reads the superblock, one copy of the index and one of the digest table, and verifies them. Reading a tensor
//! reads and verifies exactly the blocks it lies on, every time: bytes are compared in the memory that they are handed
//! out from. Only the last block that was needed in part is remembered, so that small neighbours do not read it again.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use std::fmt;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::{Mutex, OnceLock, PoisonError};

use rayon::prelude::*;

use crate::copies::{read_range, unreadable};
use crate::directory::{Directory, OpenMode};
use crate::error::{Error, IoFault, Misuse, Operation};
use crate::finding::{Cause, Finding, Foreign, Region};
use crate::index::Chunk;
use crate::info::{ChunkInfo, Info, TensorInfo};
use crate::limits::Limits;
use crate::source::{ReadAt, read_full};
use crate::tensor::Tensor;
use crate::tensor_records::TensorEntry;
use crate::wire::len_u64;

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
/// Any bytes may be opened: never panics; time and memory stay within a small constant of the metadata's length, which
/// is compared with the source's length and the limits first. A matching xxh3 speaks against accidents, it says nothing
/// about who wrote the file.
pub struct Checkpoint<S = File> {
    pub(crate) source: S,
    pub(crate) directory: Directory,
    findings: Vec<Finding>,
    /// Whether every tensor record was checked, and what is wrong with them.
    structure: OnceLock<Result<(), Box<Finding>>>,
    /// The last block that was read for a part of it: its number and verified bytes.
    edge: Mutex<Option<(u64, Vec<u8>)>>,
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

/// Fewer bytes than this are read and hashed by the calling thread: waking others would take longer.
pub(crate) const PARALLEL_LEN: usize = 1 << 20;

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

fn regular_only(metadata: &std::fs::Metadata) -> Result<(), Error> {
    if metadata.is_file() {
        return Ok(());
    }
    Err(Finding::new(Cause::NotContainer(Foreign::NotRegularFile), Region::File, 0..0).into())
}

/// Opens a regular file for reading; a directory, pipe or device is refused before it could block.
pub(crate) fn open_regular(path: &Path) -> Result<File, Error> {
    let fault = |operation, error| IoFault::new(operation, Some(path.into()), error);
    regular_only(&std::fs::metadata(path).map_err(|error| fault(Operation::Metadata, error))?)?;
    let file = File::open(path).map_err(|error| fault(Operation::Open, error))?;
    regular_only(&file.metadata().map_err(|error| fault(Operation::Metadata, error))?)?;
    Ok(file)
}

impl Checkpoint<File> {
    /// Opens a file for positioned reads and verifies superblock, index and digest table, falling back to the mirror.
    ///
    /// # Errors
    /// - [`Error::Finding`]: not a container, not for this reader, of another length than it says, or both copies of
    ///   superblock, index or digest table are damaged.
    /// - [`Error::Io`]: the file is absent (`FOLD-E0103`) or cannot be opened.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        Self::open_with(path, &OpenOptions::default())
    }

    /// As [`Checkpoint::open`], with options.
    ///
    /// # Errors
    /// As [`Checkpoint::open`].
    pub fn open_with(path: impl AsRef<Path>, options: &OpenOptions) -> Result<Self, Error> {
        Self::open_source(open_regular(path.as_ref())?, options)
    }
}

impl<S: ReadAt> Checkpoint<S> {
    /// Opens any source of positioned reads.
    ///
    /// # Errors
    /// As [`Checkpoint::open`].
    pub fn open_source(source: S, options: &OpenOptions) -> Result<Self, Error> {
        let (directory, findings) = Directory::open(&source, &options.limits, options.mode)?;
        Ok(Self {
            source,
            directory,
            findings,
            structure: OnceLock::new(),
            edge: Mutex::new(None),
        })
    }

    /// What was wrong with copies of the metadata that opening got around, or with the length in
    /// [`OpenMode::Degraded`]. Not empty means: rewrite the file.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        &self.findings
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
        self.structure.get_or_init(|| self.directory.check_tensors()).clone()?;
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
        self.directory
            .tensor(name)
            .map(|tensor| self.directory.tensor_info(&tensor))
    }

    /// Reads one tensor into memory of its own and verifies exactly the blocks it lies on.
    ///
    /// # Errors
    /// `FOLD-E0301` with the place of the first block that does not match; [`Misuse::NoSuchTensor`]; the record breaks a
    /// rule; the bytes cannot be read or there is no memory for them.
    pub fn tensor(&self, name: &str) -> Result<Tensor, Error> {
        let entry = self.directory.tensor(name)?;
        let (reading, range) = self.locate(&entry)?;
        self.require(&range)?;
        let out_of_memory = || IoFault::new(Operation::Allocate, None, io::ErrorKind::OutOfMemory.into());
        let len = usize::try_from(entry.len).map_err(|_| out_of_memory())?;
        let mut tensor = Tensor::zeroed(entry.dtype, entry.shape, len).map_err(|_| out_of_memory())?;
        self.read_content(reading, range.start, tensor.bytes_mut())?;
        Ok(tensor)
    }

    /// What a finding about a tensor names, and where in the file the tensor lies.
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
    }

    /// Reads and verifies a chunk's decoded content.
    ///
    /// # Errors
    /// As [`Checkpoint::tensor`]; [`Misuse::NoSuchChunk`].
    pub fn chunk(&self, name: &str) -> Result<Vec<u8>, Error> {
        let (_, chunk) = self.directory.chunk(name)?;
        let start = chunk.content_offset();
        let range = start..start.saturating_add(chunk.stored_len);
        self.require(&range)?;
        let out_of_memory = || IoFault::new(Operation::Allocate, None, io::ErrorKind::OutOfMemory.into());
        let len = usize::try_from(chunk.stored_len).map_err(|_| out_of_memory())?;
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(len).map_err(|_| out_of_memory())?;
        bytes.resize(len, 0);
        self.read_content(
            Reading {
                chunk,
                chunk_name: name,
                tensor: None,
            },
            start,
            &mut bytes,
        )?;
        Ok(bytes)
    }

    /// Refuses a range that the source does not have, before memory is taken for it.
    fn require(&self, range: &Range<u64>) -> Result<(), Error> {
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

    /// Fills `buffer` with the content from the file offset `start` on, every block of it verified: whole blocks in
    /// place and in parallel, the two at the edges by way of the remembered block.
    fn read_content(&self, reading: Reading<'_>, start: u64, buffer: &mut [u8]) -> Result<(), Error> {
        let block_len = self.directory.superblock.block_len();
        let blocks = reading
            .chunk
            .blocks_of(&(start..start.saturating_add(len_u64(buffer.len()))), block_len);
        let mut rest = buffer;
        let mut at = start;
        let mut number = blocks.start;
        while !rest.is_empty() {
            let block = reading.chunk.block_bytes(number, block_len);
            let whole_blocks = usize::try_from(block_len)
                .ok()
                .and_then(|len| rest.len().checked_div(len))
                .unwrap_or(0);
            let taken = if at == block.start && whole_blocks > 0 {
                let len = usize::try_from(len_u64(whole_blocks).saturating_mul(block_len)).unwrap_or(rest.len());
                let (whole, behind) = std::mem::take(&mut rest).split_at_mut_checked(len).unwrap_or_default();
                self.read_whole_blocks(reading, number, whole)?;
                rest = behind;
                number = number.saturating_add(len_u64(whole_blocks));
                len
            } else {
                let len = usize::try_from(block.end.saturating_sub(at)).map_or(rest.len(), |len| len.min(rest.len()));
                let (part, behind) = std::mem::take(&mut rest).split_at_mut_checked(len).unwrap_or_default();
                self.read_part_of_block(reading, number, at, part)?;
                rest = behind;
                number = number.saturating_add(1);
                len
            };
            at = at.saturating_add(len_u64(taken));
        }
        Ok(())
    }

    /// Reads and verifies whole blocks from block `first` on; of several bad ones, the first is reported.
    fn read_whole_blocks(&self, reading: Reading<'_>, first: u64, buffer: &mut [u8]) -> Result<(), Error> {
        let block_len = self.directory.superblock.block_len();
        let step = usize::try_from(block_len).unwrap_or(usize::MAX);
        let read = |(position, block): (usize, &mut [u8])| {
            let number = first.saturating_add(len_u64(position));
            self.read_block(reading, number, block)
                .err()
                .map(|finding| (number, finding))
        };
        let bad = if buffer.len() < PARALLEL_LEN {
            buffer.chunks_mut(step).enumerate().find_map(read)
        } else {
            buffer
                .par_chunks_mut(step)
                .enumerate()
                .filter_map(read)
                .min_by_key(|(number, _)| *number)
        };
        bad.map_or(Ok(()), |(_, finding)| Err(finding.into()))
    }

    /// Reads and verifies one block into memory of its length.
    fn read_block(&self, reading: Reading<'_>, number: u64, buffer: &mut [u8]) -> Result<(), Box<Finding>> {
        let bytes = reading.chunk.block_bytes(number, self.directory.superblock.block_len());
        let checked = match read_full(&self.source, buffer, bytes.start) {
            Ok(true) => self.directory.check_block(number, buffer),
            Ok(false) => Err(Cause::Length {
                expected: bytes.end,
                actual: self.source.len().unwrap_or(bytes.start),
            }),
            Err(error) => Err(unreadable(&error)),
        };
        checked.map_err(|cause| Box::new(reading.finding(number, bytes, cause)))
    }

    /// Copies a part of a block, from the remembered block where it is that one. Nothing is locked while reading.
    fn read_part_of_block(&self, reading: Reading<'_>, number: u64, at: u64, part: &mut [u8]) -> Result<(), Error> {
        let bytes = reading.chunk.block_bytes(number, self.directory.superblock.block_len());
        let edge = || self.edge.lock().unwrap_or_else(PoisonError::into_inner);
        let remembered = edge().take_if(|(remembered, _)| *remembered == number);
        let block = match remembered {
            Some((_, block)) => block,
            None => {
                let read = read_range(&self.source, &bytes)?;
                let checked = read.and_then(|block| self.directory.check_block(number, &block).map(|()| block));
                checked.map_err(|cause| reading.finding(number, bytes.clone(), cause))?
            }
        };
        let from = usize::try_from(at.saturating_sub(bytes.start)).unwrap_or(usize::MAX);
        if let Some(source) = from.checked_add(part.len()).and_then(|to| block.get(from..to)) {
            part.copy_from_slice(source);
        }
        *edge() = Some((number, block));
        Ok(())
    }
}
