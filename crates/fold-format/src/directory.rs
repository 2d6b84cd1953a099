//! The verified metadata of an open file: superblock, index and digest table, each from whichever copy is whole.
//!
//! Everything here matched its digests. What was wrong with a copy that was not used is kept as a finding. The content
//! is not touched.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use std::io;
use std::ops::Range;

use crate::digest::{Digest, Hasher, table_entry};
use crate::error::{Error, IoFault, Misuse, Operation};
use crate::finding::{Cause, Digested, Finding, Foreign, Region};
use crate::geometry::{MIN_FILE_LEN, SUPERBLOCK_BYTES};
use crate::index::{Chunk, Index, TensorEntry};
use crate::info::{ChunkInfo, DigestKind, Info, TensorInfo};
use crate::layout::{MAGIC, SUPERBLOCK_LEN, VERSION_MAJOR};
use crate::limits::Limits;
use crate::source::{ReadAt, read_full};
use crate::superblock::{Superblock, concerns_one_copy};
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
#[derive(Debug)]
pub(crate) struct Directory {
    pub(crate) superblock: Superblock,
    pub(crate) index: Index,
    digests: Vec<u8>,
    pub(crate) hasher: Hasher,
    pub(crate) info: Info,
}

/// The cause of bytes that the system did not deliver.
pub(crate) fn unreadable(error: &io::Error) -> Cause {
    Cause::Unreadable {
        kind: error.kind(),
        errno: error.raw_os_error(),
    }
}

/// Fills memory of its own with the bytes `range` of the source; the cause where they are not there.
///
/// The caller has compared the range with the source's length: no more is allocated than the source is long.
///
/// # Errors
/// Only a lack of memory.
pub(crate) fn read_range(source: &(impl ReadAt + ?Sized), range: &Range<u64>) -> Result<Result<Vec<u8>, Cause>, Error> {
    let len = range.end.saturating_sub(range.start);
    let mut bytes = Vec::new();
    let fits = usize::try_from(len)
        .ok()
        .and_then(|len| bytes.try_reserve_exact(len).ok().map(|()| len));
    let Some(len) = fits else {
        return Err(IoFault::new(Operation::Allocate, None, io::ErrorKind::OutOfMemory.into()).into());
    };
    bytes.resize(len, 0);
    Ok(match read_full(source, &mut bytes, range.start) {
        Ok(true) => Ok(bytes),
        Ok(false) => Err(Cause::Length {
            expected: range.end,
            actual: source.len().unwrap_or(range.start),
        }),
        Err(error) => Err(unreadable(&error)),
    })
}

/// The span of the file in which two copies differ, the copy under suspicion beginning at `offset`.
pub(crate) fn differing(suspect: &[u8], good: &[u8], offset: u64) -> Range<u64> {
    let pairs = || suspect.iter().zip(good);
    let first = pairs().position(|(one, other)| one != other).unwrap_or(0);
    let last = pairs()
        .rposition(|(one, other)| one != other)
        .map_or(suspect.len(), |last| last.saturating_add(1));
    let shift = |at: usize| offset.saturating_add(len_u64(at));
    shift(first)..shift(last)
}

/// One copy of a superblock: its bytes where they could be read, and what they say.
pub(crate) struct SuperblockCopy {
    pub(crate) region: Region,
    pub(crate) range: Range<u64>,
    pub(crate) bytes: Vec<u8>,
    pub(crate) decoded: Result<Superblock, Cause>,
}

impl SuperblockCopy {
    /// Reads and decodes the copy at `offset`; a file that is too short for it has none.
    pub(crate) fn read(source: &(impl ReadAt + ?Sized), region: Region, offset: u64) -> Self {
        let range = offset..offset.saturating_add(SUPERBLOCK_BYTES);
        let mut bytes = vec![0; SUPERBLOCK_LEN];
        let decoded = match read_full(source, &mut bytes, offset) {
            Ok(true) => Superblock::decode(&bytes),
            Ok(false) => Err(short_file(&bytes, offset, source.len().unwrap_or(0))),
            Err(error) => Err(unreadable(&error)),
        };
        Self {
            region,
            range,
            bytes,
            decoded,
        }
    }

    /// What is wrong with this copy, given the other one where that is whole.
    pub(crate) fn finding(&self, cause: Cause, whole: Option<&[u8]>) -> Finding {
        let range = match whole {
            Some(whole) if !matches!(cause, Cause::Unreadable { .. }) => {
                differing(&self.bytes, whole, self.range.start)
            }
            _ => self.range.clone(),
        };
        Finding::new(cause, self.region, range).repairable(whole.is_some())
    }
}

/// Why fewer than 4096 bytes are no superblock: cut off, or never one.
fn short_file(bytes: &[u8], offset: u64, actual: u64) -> Cause {
    match bytes.first_chunk::<8>() {
        _ if actual == 0 => Cause::NotContainer(Foreign::Empty),
        Some(&found) if offset == 0 && found != MAGIC => match Superblock::decode(bytes) {
            Err(cause @ Cause::NotContainer(_)) => cause,
            _ => Cause::NotContainer(Foreign::Magic { found }),
        },
        _ => Cause::Length {
            expected: MIN_FILE_LEN,
            actual,
        },
    }
}

/// Both copies of the superblock, the second one read only where it is asked for or needed.
pub(crate) struct Superblocks {
    pub(crate) a: SuperblockCopy,
    pub(crate) b: Option<SuperblockCopy>,
}

impl Superblocks {
    pub(crate) fn read(source: &(impl ReadAt + ?Sized), source_len: u64) -> Self {
        let a = SuperblockCopy::read(source, Region::SuperblockA, 0);
        let needed = a.decoded.as_ref().err().is_some_and(concerns_one_copy);
        let b = needed.then(|| Self::last(source, source_len)).flatten();
        Self { a, b }
    }

    /// The superblock at the end of the source as it is, where that is not the first one.
    pub(crate) fn last(source: &(impl ReadAt + ?Sized), source_len: u64) -> Option<SuperblockCopy> {
        let offset = source_len
            .checked_sub(SUPERBLOCK_BYTES)
            .filter(|&offset| offset >= SUPERBLOCK_BYTES)?;
        Some(SuperblockCopy::read(source, Region::SuperblockB, offset))
    }

    /// The superblock to go by, and what is wrong with copy A where it is B's.
    ///
    /// # Errors
    /// No copy can be used: the finding that says most about why.
    pub(crate) fn choose(&self) -> Result<(&Superblock, Option<Finding>), Finding> {
        let cause = match &self.a.decoded {
            Ok(superblock) => return Ok((superblock, None)),
            Err(cause) => cause,
        };
        let finding = || {
            let finding = self.a.finding(cause.clone(), None);
            match cause {
                // What is missing has no bytes; what is foreign is so from the first byte on.
                Cause::Length { expected, actual } => Finding {
                    byte_range: *actual..*expected,
                    ..finding
                },
                _ => finding,
            }
        };
        let Some(b) = &self.b else { return Err(finding()) };
        match &b.decoded {
            Ok(superblock) => Ok((superblock, Some(self.a.finding(cause.clone(), Some(&b.bytes))))),
            // A is damaged beyond recognition, B is recognised: the file is a container, and B says what is wrong.
            Err(cause_b) if matches!(cause, Cause::NotContainer(_)) && !matches!(cause_b, Cause::NotContainer(_)) => {
                Err(b.finding(cause_b.clone(), None))
            }
            Err(_) => Err(finding()),
        }
    }
}

/// What is wrong with the length of a source, if anything.
pub(crate) fn length_finding(superblock: &Superblock, actual: u64) -> Option<Finding> {
    let expected = superblock.geometry.file_len();
    let range = match actual.cmp(&expected) {
        std::cmp::Ordering::Equal => return None,
        std::cmp::Ordering::Less => actual..expected,
        std::cmp::Ordering::Greater => expected..actual,
    };
    // Behind the payload lie only second copies; what follows the end was never part of the file.
    let repairable = actual >= superblock.geometry.payload.end;
    Some(Finding::new(Cause::Length { expected, actual }, Region::File, range).repairable(repairable))
}

/// Compares a file's sizes with the limits before anything of them is allocated.
pub(crate) fn check_limits(superblock: &Superblock, limits: &Limits) -> Result<(), Finding> {
    let geometry = &superblock.geometry;
    for (limit, region, range, max) in [
        (
            "max_index_bytes",
            Region::Index1,
            &geometry.index_1,
            limits.max_index_bytes,
        ),
        (
            "max_digest_table_bytes",
            Region::Digests1,
            &geometry.digests_1,
            limits.max_digest_table_bytes,
        ),
    ] {
        let value = range.end.saturating_sub(range.start);
        if value > max {
            return Err(Finding::new(
                Cause::OverLimit { limit, value, max },
                region,
                range.clone(),
            ));
        }
    }
    Ok(())
}

/// Index or digest table: where its two copies lie and what its digest must be.
pub(crate) struct Mirrored<'s> {
    copies: [(Region, &'s Range<u64>); 2],
    of: Digested,
    stored: Digest,
}

impl<'s> Mirrored<'s> {
    pub(crate) fn index(superblock: &'s Superblock) -> Self {
        let geometry = &superblock.geometry;
        Self {
            copies: [(Region::Index1, &geometry.index_1), (Region::Index2, &geometry.index_2)],
            of: Digested::Index,
            stored: superblock.index_digest,
        }
    }

    pub(crate) fn digest_table(superblock: &'s Superblock) -> Self {
        let geometry = &superblock.geometry;
        Self {
            copies: [
                (Region::Digests1, &geometry.digests_1),
                (Region::Digests2, &geometry.digests_2),
            ],
            of: Digested::DigestTable,
            stored: superblock.digests_digest,
        }
    }

    /// Reads one copy and compares its digest; the bytes are returned with the cause where they are wrong.
    fn read(
        &self,
        source: &(impl ReadAt + ?Sized),
        source_len: u64,
        range: &Range<u64>,
        hasher: &Hasher,
    ) -> Result<Result<Vec<u8>, (Cause, Vec<u8>)>, Error> {
        if range.end > source_len {
            return Ok(Err((
                Cause::Length {
                    expected: range.end,
                    actual: source_len,
                },
                Vec::new(),
            )));
        }
        let bytes = match read_range(source, range)? {
            Ok(bytes) => bytes,
            Err(cause) => return Ok(Err((cause, Vec::new()))),
        };
        let computed = match self.of {
            Digested::Index => hasher.index(&bytes),
            _ => hasher.digest_table(&bytes),
        };
        if computed == self.stored {
            return Ok(Ok(bytes));
        }
        Ok(Err((
            Cause::Digest {
                of: self.of,
                stored: self.stored,
                computed,
            },
            bytes,
        )))
    }

    /// A whole copy, where there is one, and what is wrong with the others: with copy 1 only, unless `both` are to be
    /// looked at.
    ///
    /// # Errors
    /// Only a lack of memory.
    pub(crate) fn load(
        &self,
        source: &(impl ReadAt + ?Sized),
        source_len: u64,
        hasher: &Hasher,
        both: bool,
    ) -> Result<(Option<(Region, Vec<u8>)>, Vec<Finding>), Error> {
        let mut whole: Option<(Region, Vec<u8>)> = None;
        let mut broken = Vec::new();
        for (region, range) in &self.copies {
            if whole.is_some() && !both {
                break;
            }
            match self.read(source, source_len, range, hasher)? {
                Ok(bytes) => whole = whole.or(Some((*region, bytes))),
                Err((cause, bytes)) => broken.push((*region, *range, cause, bytes)),
            }
        }
        let good = whole.as_ref().map(|(_, bytes)| bytes.as_slice());
        let findings = broken.into_iter().map(|(region, range, cause, bytes)| {
            let narrow = match good {
                Some(good) if bytes.len() == good.len() => differing(&bytes, good, range.start),
                _ => range.clone(),
            };
            Finding::new(cause, region, narrow).repairable(good.is_some())
        });
        let findings = findings.collect();
        Ok((whole, findings))
    }
}

impl Directory {
    /// Opens the metadata of a source, falling back to the mirror; what it got around is returned beside it.
    ///
    /// # Errors
    /// The finding that stands in the way; the source's length cannot be had; a lack of memory.
    pub(crate) fn open(
        source: &(impl ReadAt + ?Sized),
        limits: &Limits,
        mode: OpenMode,
    ) -> Result<(Self, Vec<Finding>), Error> {
        let source_len = source
            .len()
            .map_err(|error| IoFault::new(Operation::Metadata, None, error))?;
        let superblocks = Superblocks::read(source, source_len);
        let (superblock, finding) = superblocks.choose()?;
        let mut findings = Vec::from_iter(finding);
        if let Some(finding) = length_finding(superblock, source_len) {
            if mode == OpenMode::Strict {
                return Err(finding.into());
            }
            findings.push(finding);
        }
        check_limits(superblock, limits)?;
        let hasher = Hasher::new(superblock.uuid);
        let mut loaded = |mirrored: Mirrored<'_>| -> Result<(Region, Vec<u8>), Error> {
            let (whole, broken) = mirrored.load(source, source_len, &hasher, false)?;
            match (whole, broken.first()) {
                (Some(whole), _) => {
                    findings.extend(broken);
                    Ok(whole)
                }
                (None, Some(finding)) => Err(finding.clone().into()),
                (None, None) => Err(Finding::new(Cause::CopiesDiffer, Region::File, 0..source_len).into()),
            }
        };
        let (region, index) = loaded(Mirrored::index(superblock))?;
        let (_, digests) = loaded(Mirrored::digest_table(superblock))?;
        let directory = Self::assemble(superblock.clone(), region, index, digests, limits)?;
        for finding in &findings {
            log::warn!("opened with the mirror's help: {finding}");
        }
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
    ) -> Result<Self, Finding> {
        let geometry = &superblock.geometry;
        let offset = match index_region {
            Region::Index2 => geometry.index_2.start,
            _ => geometry.index_1.start,
        };
        let index_bytes = len_u64(index.len());
        let index = Index::parse(index, &superblock, limits).map_err(|flaw| flaw.into_finding(index_region, offset))?;
        let info = Info {
            version_major: VERSION_MAJOR,
            version_minor: superblock.version_minor,
            uuid: superblock.uuid,
            created_unix_ns: superblock.created_unix_ns,
            digest_kind: DigestKind::Xxh3,
            required_features: 0,
            optional_features: superblock.optional_features,
            block_bytes: superblock.block_len(),
            block_count: superblock.block_count,
            file_bytes: geometry.file_len(),
            index_bytes,
            chunk_count: len_u64(index.chunks.len()),
            tensor_count: index.tensor_count(),
            root: superblock.root,
        };
        let hasher = Hasher::new(superblock.uuid);
        Ok(Self {
            superblock,
            index,
            digests,
            hasher,
            info,
        })
    }

    /// Every tensor record and how they fit together.
    ///
    /// # Errors
    /// The first rule that is broken, placed in copy 1 of the index.
    pub(crate) fn check_tensors(&self) -> Result<(), Finding> {
        let offset = self.superblock.geometry.index_1.start;
        self.index
            .check_tensors()
            .map_err(|flaw| flaw.into_finding(Region::Index1, offset))
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

    /// Where a tensor's bytes lie: its chunk and the range of the file.
    pub(crate) fn tensor_place(&self, tensor: &TensorEntry<'_>) -> Option<(&Chunk, Range<u64>)> {
        let chunk = self.index.chunks.get(tensor.chunk)?;
        let start = chunk.content_offset().checked_add(tensor.offset)?;
        Some((chunk, start..start.checked_add(tensor.len)?))
    }

    pub(crate) fn chunk_info<'a>(&'a self, chunk: &'a Chunk) -> ChunkInfo<'a> {
        ChunkInfo {
            name: self.index.chunk_name(chunk),
            kind: chunk.kind,
            encoding: chunk.encoding,
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
            offset: place.map_or(0, |(_, range)| range.start),
            bytes: tensor.len,
        }
    }

    /// Compares the bytes of a block with its digest.
    ///
    /// # Errors
    /// The two digests.
    pub(crate) fn check_block(&self, number: u64, bytes: &[u8]) -> Result<(), Cause> {
        let computed = self.hasher.block(number, bytes);
        match table_entry(&self.digests, number) {
            Some(stored) if stored == computed => Ok(()),
            stored => Err(Cause::Digest {
                of: Digested::Block,
                stored: Digest::leaf(stored.unwrap_or(0)),
                computed: Digest::leaf(computed),
            }),
        }
    }

    /// A chunk's digest as the digest table makes it.
    pub(crate) fn chunk_digest(&self, number: u32, chunk: &Chunk) -> Digest {
        let entries = crate::digest::table_entries(&self.digests, chunk.first_block, chunk.block_count);
        self.hasher.chunk(number, entries.unwrap_or(&[]))
    }
}
