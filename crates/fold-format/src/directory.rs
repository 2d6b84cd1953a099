//! The verified metadata of an open file: superblock, index and digest table, each from whichever copy is whole.
//!
//! Everything here matched its digests. What was wrong with a copy that was not used is kept as a finding. The content
//! is not touched.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use std::ops::Range;
use std::path::Path;

use crate::copies::{Mirrored, Superblocks, check_limits, length_finding};

use crate::digest::{Digest, Hasher, table_entries};
use crate::error::{Error, IoFault, Misuse, Operation};
use crate::finding::{Cause, Digested, Finding, Region};
use crate::index::{Chunk, Index};
use crate::info::{ChunkInfo, Info, TensorInfo};
use crate::layout::VERSION_MAJOR;
use crate::limits::Limits;
use crate::prologue::Prologue;
use crate::source::ReadAt;
use crate::superblock::Superblock;
use crate::tensor_records::TensorEntry;
use crate::wire::len_u64;

/// What to do about a file that is longer or shorter than its superblock says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OpenMode {
    /// Fail with `FOLD-E0202`.
    Strict,
    /// Open it, note a finding, and read what is there: tensors behind the end fail one by one.
    Degraded,
}

/// Superblock, index and digest table of one file.
pub(crate) struct Directory {
    pub(crate) superblock: Superblock,
    pub(crate) index: Index,
    digests: Vec<u8>,
    /// The block whose entry is the first in `digests`.
    first_block: u64,
    pub(crate) hasher: Hasher,
    pub(crate) info: Info,
}

impl Directory {
    /// Opens the metadata of a source, falling back to the mirror; what it got around is returned beside it.
    ///
    /// - `path`: where the source is a file that was opened by it.
    ///
    /// # Errors
    /// The finding that stands in the way; the source's length cannot be had; a lack of memory.
    pub(crate) fn open(
        source: &(impl ReadAt + ?Sized),
        path: Option<&Path>,
        limits: &Limits,
        mode: OpenMode,
    ) -> Result<(Self, Vec<Finding>), Error> {
        let source_len = source
            .len()
            .map_err(|error| IoFault::new(Operation::Metadata, None, error))?;
        let mut superblocks = Superblocks::read(source, source_len);
        let (directory, mut findings) = match Self::open_by(&superblocks, source, source_len, limits, mode) {
            Err(Error::Finding(_)) if superblocks.distrust_a(source, source_len, limits)? => {
                Self::open_by(&superblocks, source, source_len, limits, mode)
            }
            opened => opened,
        }?;
        for finding in &mut findings {
            finding.path = path.map(Into::into);
            log::warn!("opened in spite of {finding}");
        }
        Ok((directory, findings))
    }

    /// As [`Directory::open`], going by superblocks that were read.
    fn open_by(
        superblocks: &Superblocks,
        source: &(impl ReadAt + ?Sized),
        source_len: u64,
        limits: &Limits,
        mode: OpenMode,
    ) -> Result<(Self, Vec<Finding>), Error> {
        let (superblock, finding) = superblocks.choose()?;
        let mut findings = Vec::from_iter(finding);
        if let Some(finding) = length_finding(superblock, source_len) {
            if mode == OpenMode::Strict {
                return Err(finding.into());
            }
            findings.push(finding);
        }
        check_limits(superblock, limits)?;
        let hasher = superblock.hasher();
        let mut loaded = |mirrored: Mirrored<'_>| -> Result<(Region, Vec<u8>), Error> {
            let loaded = mirrored.load(source, source_len, &hasher, false)?;
            match loaded.whole {
                Some(whole) => {
                    findings.extend(loaded.findings);
                    Ok(whole)
                }
                None => Err(loaded.into_error()),
            }
        };
        let (region, index) = loaded(Mirrored::index(superblock))?;
        let (_, digests) = loaded(Mirrored::digest_table(superblock))?;
        let directory = Self::assemble(superblock.clone(), region, index, digests, limits)?;
        Ok((directory, findings))
    }

    /// Puts verified parts together and checks the index' header and chunk records.
    ///
    /// # Errors
    /// The first rule that they break, placed in the copy of the index that was used.
    pub(crate) fn assemble(
        superblock: Superblock,
        index_region: Region,
        index: Vec<u8>,
        digests: Vec<u8>,
        limits: &Limits,
    ) -> Result<Self, Box<Finding>> {
        Self::assemble_from(superblock, index_region, index, (0, digests), limits)
    }

    /// As [`Directory::assemble`], for blocks that are numbered from another one than 0 on.
    ///
    /// # Errors
    /// As [`Directory::assemble`].
    pub(crate) fn assemble_from(
        superblock: Superblock,
        index_region: Region,
        index: Vec<u8>,
        (first_block, digests): (u64, Vec<u8>),
        limits: &Limits,
    ) -> Result<Self, Box<Finding>> {
        let geometry = &superblock.geometry;
        let offset = match index_region {
            Region::Index2 => geometry.index_2.start,
            _ => geometry.index_1.start,
        };
        let index_bytes = len_u64(index.len());
        let index = Index::parse(index, &superblock, first_block, limits)
            .map_err(|flaw| Box::new(flaw.into_finding(index_region, offset)))?;
        let info = Info {
            version_major: VERSION_MAJOR,
            version_minor: superblock.version_minor,
            uuid: superblock.uuid,
            created_unix_ns: superblock.created_unix_ns,
            digest_kind: superblock.digest_kind,
            required_features: superblock.required_features,
            optional_features: superblock.optional_features,
            block_bytes: superblock.block_len(),
            block_count: superblock.block_count,
            file_bytes: geometry.file_len(),
            index_bytes,
            chunk_count: len_u64(index.chunks.len()),
            tensor_count: index.tensor_count,
            parity: superblock.parity,
            signed_by: superblock.signature.map(|signature| signature.public_key),
            root: superblock.root,
        };
        let hasher = superblock.hasher();
        Ok(Self {
            superblock,
            index,
            digests,
            first_block,
            hasher,
            info,
        })
    }

    /// Every tensor record and how they fit together.
    ///
    /// # Errors
    /// The first rule that is broken, placed in copy 1 of the index.
    pub(crate) fn check_tensors(&self) -> Result<(), Box<Finding>> {
        let offset = self.superblock.geometry.index_1.start;
        self.index
            .check_tensors()
            .map_err(|flaw| Box::new(flaw.into_finding(Region::Index1, offset)))
    }

    pub(crate) fn chunk(&self, name: &str) -> Result<(usize, &Chunk), Error> {
        self.index
            .chunk(name)
            .ok_or_else(|| Misuse::NoSuchChunk { name: name.into() }.into())
    }

    pub(crate) fn tensor(&self, name: &str) -> Result<TensorEntry<'_>, Error> {
        let number = self
            .index
            .find_tensor(name)
            .ok_or_else(|| Misuse::NoSuchTensor { name: name.into() })?;
        let offset = self.superblock.geometry.index_1.start;
        Ok(self
            .index
            .tensor(number)
            .map_err(|flaw| flaw.into_finding(Region::Index1, offset))?)
    }

    /// Where a tensor's bytes lie: its chunk and the range of the chunk's content.
    pub(crate) fn tensor_place(&self, tensor: &TensorEntry<'_>) -> Option<(&Chunk, Range<u64>)> {
        let chunk = self.index.chunks.get(tensor.chunk)?;
        Some((chunk, tensor.offset..tensor.offset.checked_add(tensor.len)?))
    }

    pub(crate) fn chunk_info<'a>(&'a self, chunk: &'a Chunk) -> ChunkInfo<'a> {
        ChunkInfo {
            name: self.index.chunk_name(chunk),
            kind: chunk.kind,
            encoding: chunk.encoding(),
            offset: chunk.content_offset(),
            stored_bytes: chunk.stored_len,
            bytes: chunk.content_len,
            first_block: chunk.first_block,
            block_count: chunk.block_count,
            tensor_count: chunk.tensor_count,
            digest: chunk.digest,
        }
    }

    pub(crate) fn tensor_info<'a>(&'a self, tensor: &TensorEntry<'a>) -> TensorInfo<'a> {
        let place = self.tensor_place(tensor);
        TensorInfo {
            name: tensor.name,
            dtype: tensor.dtype,
            shape: tensor.shape,
            chunk: place.as_ref().map_or("", |(chunk, _)| self.index.chunk_name(chunk)),
            offset: place.map_or(0, |(chunk, range)| match &chunk.framing {
                None => chunk.in_file(&range).start,
                Some(_) => range.start,
            }),
            bytes: tensor.len,
        }
    }

    /// Compares the bytes of a block with its digest.
    ///
    /// # Errors
    /// The two digests.
    pub(crate) fn check_block(&self, number: u64, bytes: &[u8]) -> Result<(), Cause> {
        self.check_digest(number, self.hasher.block(number, bytes))
    }

    /// Compares what was computed of a block with its digest.
    ///
    /// # Errors
    /// The two digests.
    pub(crate) fn check_digest(&self, number: u64, computed: Digest) -> Result<(), Cause> {
        let entry = number.saturating_sub(self.first_block);
        let stored = table_entries(&self.digests, self.hasher.kind.leaf_len(), entry, 1).unwrap_or(&[]);
        if stored == computed.as_bytes() {
            return Ok(());
        }
        Err(Cause::Digest {
            of: Digested::Block,
            stored: Digest::from_entry(stored),
            computed,
        })
    }

    /// The chunk that holds a block of content.
    pub(crate) fn chunk_of(&self, block: u64) -> Option<&Chunk> {
        let chunks = &self.index.chunks;
        let number = chunks.partition_point(|chunk| chunk.blocks().end <= block);
        chunks.get(number).filter(|chunk| chunk.blocks().contains(&block))
    }

    /// The bytes of a block in the file: of content, or of parity behind it. Empty where the file has no such block.
    pub(crate) fn block_range(&self, number: u64) -> Range<u64> {
        let block_len = self.superblock.block_len();
        let parity = &self.superblock.geometry.parity;
        match number.checked_sub(self.superblock.block_count) {
            Some(position) => {
                let start = position
                    .saturating_mul(block_len)
                    .saturating_add(parity.start)
                    .min(parity.end);
                start..start.saturating_add(block_len).min(parity.end)
            }
            None => self
                .chunk_of(number)
                .map_or(0..0, |chunk| chunk.block_bytes(number, block_len)),
        }
    }

    /// A chunk's prologue as the index makes it.
    pub(crate) fn prologue(&self, number: usize, chunk: &Chunk) -> Vec<u8> {
        Prologue {
            uuid: self.superblock.uuid,
            number: u32::try_from(number).unwrap_or(u32::MAX),
            name: self.index.chunk_name(chunk),
            kind: chunk.kind,
            framing: chunk.framing,
            block_log2: self.superblock.block_log2,
            stored_len: chunk.stored_len,
            content_len: chunk.content_len,
            first_block: chunk.first_block,
            block_count: chunk.block_count,
            tensor_count: chunk.tensor_count,
            directory_len: chunk.directory_len,
            digest: chunk.digest,
        }
        .encode(&self.hasher)
    }

    /// The digest table.
    pub(crate) fn digest_table(&self) -> &[u8] {
        &self.digests
    }

    /// A chunk's digest as the digest table makes it.
    pub(crate) fn chunk_digest(&self, number: u32, chunk: &Chunk) -> Digest {
        let leaf_len = self.hasher.kind.leaf_len();
        let entries = table_entries(&self.digests, leaf_len, chunk.first_block, chunk.block_count);
        self.hasher.chunk(number, entries.unwrap_or(&[]))
    }
}
