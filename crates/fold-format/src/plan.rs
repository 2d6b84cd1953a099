//! From content to positions: the rules of the format checked, everything sorted by name and placed.
//!
//! A plan still borrows the caller's bytes and has written nothing. The order in which content was added leaves no
//! trace in it: the same content gives the same plan.

use serde::de::IgnoredAny;

use crate::content::{Content, Payload, TensorSource};
use crate::digest::Digest;
use crate::error::{Error, Misuse};
use crate::geometry::Geometry;
use crate::info::{ChunkKind, Encoding};
use crate::layout::{
    BLOCK_LOG2_RANGE, Field, INDEX_MAGIC, LEAF_DIGEST_LEN, PAGE_LEN, PROLOGUE_LEN, TENSOR_ALIGN, chunk_record,
    index_header, tensor_record,
};
use crate::name;
use crate::prologue::Prologue;
use crate::wire::{align_up, len_u64};

/// Bytes of the caller and where they go in the chunk's content; what lies between two segments is zero.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment<'a> {
    pub(crate) offset: u64,
    pub(crate) bytes: &'a [u8],
}

impl Segment<'_> {
    pub(crate) const fn end(&self) -> u64 {
        self.offset.saturating_add(len_u64(self.bytes.len()))
    }
}

/// One chunk, placed.
#[derive(Debug)]
pub(crate) struct PlannedChunk<'a> {
    pub(crate) name: &'a str,
    pub(crate) kind: ChunkKind,
    /// In the order of their offsets.
    pub(crate) segments: Vec<Segment<'a>>,
    /// Of the prologue, in the file.
    pub(crate) offset: u64,
    pub(crate) stored_len: u64,
    pub(crate) first_block: u64,
    pub(crate) block_count: u64,
    pub(crate) tensor_count: u64,
}

impl PlannedChunk<'_> {
    pub(crate) const fn content_offset(&self) -> u64 {
        self.offset.saturating_add(len_u64(PROLOGUE_LEN))
    }

    /// Bytes of the content with its padding.
    pub(crate) fn padded_len(&self) -> u64 {
        align_up(self.stored_len, PAGE_LEN).unwrap_or(self.stored_len)
    }

    pub(crate) fn prologue(&self, number: u32, uuid: [u8; 16], block_log2: u8, digest: Digest) -> Vec<u8> {
        Prologue {
            uuid,
            number,
            name: self.name,
            kind: self.kind,
            encoding: Encoding::Raw,
            block_log2,
            stored_len: self.stored_len,
            content_len: self.stored_len,
            first_block: self.first_block,
            block_count: self.block_count,
            tensor_count: self.tensor_count,
            digest,
        }
        .encode()
    }
}

/// One tensor, placed in its chunk.
#[derive(Debug)]
struct PlannedTensor<'a> {
    source: &'a TensorSource<'a>,
    chunk: u32,
    offset: u64,
}

/// Everything that a file will hold, placed.
#[derive(Debug)]
pub(crate) struct Plan<'a> {
    pub(crate) chunks: Vec<PlannedChunk<'a>>,
    tensors: Vec<PlannedTensor<'a>>,
    metadata: &'a str,
    strings_len: u64,
    pub(crate) block_count: u64,
    pub(crate) geometry: Geometry,
}

const TOO_LARGE: Misuse = Misuse::TooLarge;

fn checked_name(name: &str) -> Result<&str, Misuse> {
    name::checked(name.as_bytes()).ok_or_else(|| Misuse::InvalidName { name: name.into() })
}

fn refuse_duplicates<'a>(mut names: impl Iterator<Item = &'a str>) -> Result<(), Misuse> {
    let Some(mut previous) = names.next() else {
        return Ok(());
    };
    for name in names {
        if previous == name {
            return Err(Misuse::DuplicateName { name: name.into() });
        }
        previous = name;
    }
    Ok(())
}

/// Checks that `text` is JSON, and an object where one is asked for. Nothing is built from it, nesting is unlimited.
fn check_json(name: &str, text: &str, object: bool) -> Result<(), Misuse> {
    let invalid = |line, column| Misuse::InvalidJson {
        name: name.into(),
        line,
        column,
    };
    serde_json::from_str::<IgnoredAny>(text).map_err(|error| invalid(error.line(), error.column()))?;
    if object && !text.trim_start().starts_with('{') {
        return Err(invalid(1, 1));
    }
    Ok(())
}

impl<'a> Plan<'a> {
    /// Checks and places `content` in blocks of `2^block_log2` bytes.
    ///
    /// # Errors
    /// [`Misuse`]: a name, JSON text or the block size is not allowed, or the content is too large for the format.
    pub(crate) fn new(content: &'a Content<'a>, block_log2: u8) -> Result<Self, Error> {
        if !BLOCK_LOG2_RANGE.contains(&block_log2) {
            return Err(Misuse::BlockSize { log2: block_log2 }.into());
        }
        let metadata = content.metadata.unwrap_or("{}");
        check_json("metadata", metadata, true)?;

        let mut sources = content
            .chunks
            .iter()
            .map(|(name, payload)| (name.as_ref(), payload))
            .collect::<Vec<_>>();
        sources.sort_unstable_by_key(|(name, _)| *name);
        refuse_duplicates(sources.iter().map(|(name, _)| *name))?;

        let mut strings_len = 0_u64;
        let mut tensors = Vec::new();
        let mut chunks = Vec::with_capacity(sources.len());
        for (number, (name, payload)) in sources.into_iter().enumerate() {
            let number = u32::try_from(number).map_err(|_| TOO_LARGE)?;
            let name = checked_name(name)?;
            strings_len = strings_len.checked_add(len_u64(name.len())).ok_or(TOO_LARGE)?;
            let (kind, segments) = match payload {
                Payload::Tensors(sources) => (
                    ChunkKind::Tensors,
                    place_tensors(sources, number, &mut tensors, &mut strings_len)?,
                ),
                Payload::Json(text) => {
                    check_json(name, text, false)?;
                    (
                        ChunkKind::Json,
                        vec![Segment {
                            offset: 0,
                            bytes: text.as_bytes(),
                        }],
                    )
                }
                Payload::Bytes(bytes) => (ChunkKind::Bytes, vec![Segment { offset: 0, bytes }]),
            };
            let tensor_count = if kind == ChunkKind::Tensors {
                len_u64(segments.len())
            } else {
                0
            };
            let stored_len = segments.last().map_or(0, Segment::end);
            chunks.push(PlannedChunk {
                name,
                kind,
                segments,
                offset: 0,
                stored_len,
                first_block: 0,
                block_count: 0,
                tensor_count,
            });
        }
        tensors.sort_unstable_by_key(|tensor| tensor.source.name.as_ref());
        refuse_duplicates(tensors.iter().map(|tensor| tensor.source.name.as_ref()))?;
        if u32::try_from(strings_len).is_err() {
            return Err(TOO_LARGE.into());
        }
        Self::place_chunks(chunks, tensors, metadata, strings_len, block_log2).ok_or_else(|| TOO_LARGE.into())
    }

    /// Gives every chunk its blocks and its place; `None` on overflow.
    fn place_chunks(
        mut chunks: Vec<PlannedChunk<'a>>,
        tensors: Vec<PlannedTensor<'a>>,
        metadata: &'a str,
        strings_len: u64,
        block_log2: u8,
    ) -> Option<Self> {
        let block_len = 1_u64.checked_shl(u32::from(block_log2))?;
        let (mut block_count, mut payload_len) = (0_u64, 0_u64);
        for chunk in &mut chunks {
            let padded = align_up(chunk.stored_len, PAGE_LEN)?;
            chunk.first_block = block_count;
            chunk.block_count = padded.div_ceil(block_len);
            block_count = block_count.checked_add(chunk.block_count)?;
            chunk.offset = payload_len;
            payload_len = payload_len.checked_add(len_u64(PROLOGUE_LEN))?.checked_add(padded)?;
        }
        let records = |count: usize, len: usize| len_u64(count).checked_mul(len_u64(len));
        let index_len = len_u64(index_header::RECORD_LEN)
            .checked_add(records(chunks.len(), chunk_record::RECORD_LEN)?)?
            .checked_add(records(tensors.len(), tensor_record::RECORD_LEN)?)?
            .checked_add(strings_len)?
            .checked_add(len_u64(metadata.len()))?;
        let geometry = Geometry::new(index_len, block_count.checked_mul(LEAF_DIGEST_LEN)?, payload_len)?;
        for chunk in &mut chunks {
            chunk.offset = chunk.offset.checked_add(geometry.payload.start)?;
        }
        Some(Self {
            chunks,
            tensors,
            metadata,
            strings_len,
            block_count,
            geometry,
        })
    }

    /// The index, given each chunk's digest.
    pub(crate) fn index(&self, digests: &[Digest]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(usize::try_from(self.geometry.index_1.end).unwrap_or(0));
        let mut record = vec![0; index_header::RECORD_LEN];
        let mut put = |field: &Field, value: &[u8]| field.put(&mut record, value);
        put(&index_header::MAGIC, &INDEX_MAGIC);
        put(&index_header::CHUNK_COUNT, &count_u32(self.chunks.len()).to_le_bytes());
        put(&index_header::TENSOR_COUNT, &len_u64(self.tensors.len()).to_le_bytes());
        put(&index_header::STRINGS_LEN, &self.strings_len.to_le_bytes());
        put(&index_header::METADATA_LEN, &len_u64(self.metadata.len()).to_le_bytes());
        bytes.extend_from_slice(&record);

        let mut name_offset = 0_u32;
        let mut place_name = |name: &str| {
            let offset = name_offset;
            name_offset = name_offset.saturating_add(count_u32(name.len()));
            (offset.to_le_bytes(), count_u16(name.len()).to_le_bytes())
        };
        for (chunk, digest) in self.chunks.iter().zip(digests) {
            use chunk_record as field;
            let mut record = vec![0; field::RECORD_LEN];
            let mut put = |field: &Field, value: &[u8]| field.put(&mut record, value);
            let (offset, len) = place_name(chunk.name);
            put(&field::NAME_OFFSET, &offset);
            put(&field::NAME_LEN, &len);
            put(&field::KIND, &[chunk.kind.to_byte()]);
            put(&field::ENCODING, &[Encoding::Raw.to_byte()]);
            put(&field::OFFSET, &chunk.offset.to_le_bytes());
            put(&field::STORED_LEN, &chunk.stored_len.to_le_bytes());
            put(&field::CONTENT_LEN, &chunk.stored_len.to_le_bytes());
            put(&field::FIRST_BLOCK, &chunk.first_block.to_le_bytes());
            put(&field::BLOCK_COUNT, &chunk.block_count.to_le_bytes());
            put(&field::TENSOR_COUNT, &chunk.tensor_count.to_le_bytes());
            put(&field::DIGEST, digest.as_bytes());
            bytes.extend_from_slice(&record);
        }
        let mut record = [0; tensor_record::RECORD_LEN];
        for tensor in &self.tensors {
            use tensor_record as field;
            record.fill(0);
            let mut put = |field: &Field, value: &[u8]| field.put(&mut record, value);
            let source = tensor.source;
            let (offset, len) = place_name(&source.name);
            put(&field::NAME_OFFSET, &offset);
            put(&field::NAME_LEN, &len);
            put(&field::DTYPE, &[source.dtype.to_byte()]);
            put(
                &field::RANK,
                &[u8::try_from(source.shape.extents().len()).unwrap_or(u8::MAX)],
            );
            put(&field::CHUNK, &tensor.chunk.to_le_bytes());
            put(&field::OFFSET, &tensor.offset.to_le_bytes());
            put(&field::LEN_BYTES, &len_u64(source.bytes.len()).to_le_bytes());
            let mut at = field::SHAPE;
            for extent in source.shape.extents() {
                at.put(&mut record, &extent.to_le_bytes());
                at.offset = at.offset.saturating_add(8);
            }
            bytes.extend_from_slice(&record);
        }
        for chunk in &self.chunks {
            bytes.extend_from_slice(chunk.name.as_bytes());
        }
        for tensor in &self.tensors {
            bytes.extend_from_slice(tensor.source.name.as_bytes());
        }
        bytes.extend_from_slice(self.metadata.as_bytes());
        bytes
    }
}

/// A count that the plan has checked to fit.
fn count_u32(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// A name's length, which the plan has checked to fit.
fn count_u16(count: usize) -> u16 {
    u16::try_from(count).unwrap_or(u16::MAX)
}

/// Places a chunk's tensors behind each other in the order of their names.
fn place_tensors<'a>(
    sources: &'a [TensorSource<'a>],
    chunk: u32,
    tensors: &mut Vec<PlannedTensor<'a>>,
    strings_len: &mut u64,
) -> Result<Vec<Segment<'a>>, Misuse> {
    let mut sorted = sources.iter().collect::<Vec<_>>();
    sorted.sort_unstable_by_key(|source| source.name.as_ref());
    let mut end = 0_u64;
    let mut segments = Vec::with_capacity(sorted.len());
    for source in sorted {
        let name = checked_name(&source.name)?;
        *strings_len = strings_len.checked_add(len_u64(name.len())).ok_or(TOO_LARGE)?;
        let offset = align_up(end, TENSOR_ALIGN).ok_or(TOO_LARGE)?;
        end = offset.checked_add(len_u64(source.bytes.len())).ok_or(TOO_LARGE)?;
        segments.push(Segment {
            offset,
            bytes: source.bytes,
        });
        tensors.push(PlannedTensor { source, chunk, offset });
    }
    Ok(segments)
}
