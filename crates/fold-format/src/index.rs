//! The index: a header and fixed-size records, sorted by name.
//!
//! Opening checks the header and the chunk records, of which there are few; tensor records are looked at in
//! `tensor_records` when they are needed. That the digest of an index
//! matches says nothing about whether its writer kept the rules: every field is looked at as if it were hostile.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use std::cmp::Ordering;
use std::ops::Range;

use crate::digest::Digest;
use crate::finding::{Cause, Finding, Region};
use crate::frames::Framing;
use crate::info::{ChunkKind, DigestKind, Encoding};
use crate::layout::{
    FRAME_LOG2_RANGE, Field, INDEX_MAGIC, MAX_EXPANSION, PAGE_LEN, PROLOGUE_LEN, TENSOR_ALIGN, chunk_record,
    index_header, tensor_record,
};
use crate::limits::Limits;
use crate::name;
use crate::superblock::{Superblock, digest_field, low_bits};
use crate::wire::{align_up, len_u64};

/// A broken rule: what, on which bytes of the index, and whose record.
#[derive(Debug)]
pub(crate) struct Flaw {
    pub(crate) cause: Cause,
    pub(crate) bytes: Range<u64>,
    pub(crate) chunk: Option<Box<str>>,
    pub(crate) tensor: Option<Box<str>>,
}

impl Flaw {
    /// As a finding in the copy of the index that begins at `index_offset`.
    pub(crate) fn into_finding(self, region: Region, index_offset: u64) -> Finding {
        let shift = |at: u64| at.saturating_add(index_offset);
        let mut finding = Finding::new(self.cause, region, shift(self.bytes.start)..shift(self.bytes.end));
        finding.chunk = self.chunk;
        finding.tensor = self.tensor;
        finding
    }
}

/// One chunk whose record was checked.
#[derive(Clone, Debug)]
pub(crate) struct Chunk {
    pub(crate) name: Range<usize>,
    pub(crate) kind: ChunkKind,
    /// Where the chunk is compressed.
    pub(crate) framing: Option<Framing>,
    /// Of the prologue, in the file.
    pub(crate) offset: u64,
    pub(crate) stored_len: u64,
    pub(crate) content_len: u64,
    pub(crate) first_block: u64,
    pub(crate) block_count: u64,
    pub(crate) tensor_count: u64,
    pub(crate) directory_len: u64,
    pub(crate) digest: Digest,
}

impl Chunk {
    /// Where the stored bytes begin in the file.
    pub(crate) const fn content_offset(&self) -> u64 {
        self.offset.saturating_add(len_u64(PROLOGUE_LEN))
    }

    pub(crate) fn encoding(&self) -> Encoding {
        self.framing.map_or(Encoding::Raw, |framing| framing.encoding())
    }

    /// The tensor directory, as a range of the stored bytes.
    pub(crate) const fn directory(&self) -> Range<u64> {
        self.stored_len.saturating_sub(self.directory_len)..self.stored_len
    }

    /// Bytes of all frames of a compressed chunk; its frame table begins behind them.
    pub(crate) const fn frames_len(&self) -> u64 {
        let table_len = match &self.framing {
            Some(framing) => framing.table_len(),
            None => 0,
        };
        self.directory().start.saturating_sub(table_len)
    }

    /// A range of the stored bytes, in the file.
    pub(crate) const fn in_file(&self, stored: &Range<u64>) -> Range<u64> {
        let start = self.content_offset();
        start.saturating_add(stored.start)..start.saturating_add(stored.end)
    }

    /// The stored bytes with their padding, in the file.
    pub(crate) fn extent(&self) -> Range<u64> {
        let start = self.content_offset();
        // Checked when the record was: the sum lies inside the payload.
        start..start.saturating_add(align_up(self.stored_len, PAGE_LEN).unwrap_or(u64::MAX))
    }

    /// The chunk's blocks, counted over the file.
    pub(crate) const fn blocks(&self) -> Range<u64> {
        self.first_block..self.first_block.saturating_add(self.block_count)
    }

    /// The bytes of one of the chunk's blocks, in the file.
    pub(crate) fn block_bytes(&self, number: u64, block_len: u64) -> Range<u64> {
        let extent = self.extent();
        let skipped = number.saturating_sub(self.first_block).saturating_mul(block_len);
        let start = extent.start.saturating_add(skipped).min(extent.end);
        start..start.saturating_add(block_len).min(extent.end)
    }

    /// The blocks that the bytes `range` of the file, inside the extent, lie on.
    pub(crate) fn blocks_of(&self, range: &Range<u64>, block_len: u64) -> Range<u64> {
        let number = |at: u64| {
            let inside = at.saturating_sub(self.content_offset());
            inside
                .checked_div(block_len)
                .unwrap_or(0)
                .saturating_add(self.first_block)
        };
        if range.is_empty() {
            return number(range.start)..number(range.start);
        }
        number(range.start)..number(range.end.saturating_sub(1)).saturating_add(1)
    }
}

/// An index whose digest matched and whose header and chunk records were checked.
pub(crate) struct Index {
    pub(crate) bytes: Vec<u8>,
    pub(crate) chunks: Vec<Chunk>,
    pub(crate) tensor_count: u64,
    /// Where the tensor records lie.
    pub(crate) tensors: Range<usize>,
    /// Where the string table lies.
    pub(crate) strings: Range<usize>,
    metadata: Range<usize>,
    block_len: u64,
    digest_kind: DigestKind,
    /// Whether the file may hold compressed chunks.
    compressed: bool,
    pub(crate) reserved_is_zero: bool,
}

/// Bytes of the index that the records of one table take.
pub(crate) fn table_len(count: u64, record_len: usize) -> Option<u64> {
    count.checked_mul(len_u64(record_len))
}

fn within(limit: &'static str, value: u64, max: u64) -> Result<(), Cause> {
    if value > max {
        Err(Cause::OverLimit { limit, value, max })
    } else {
        Ok(())
    }
}

/// Why a name that does not ascend is refused.
pub(crate) fn ascends(previous: Option<&[u8]>, name: &[u8]) -> Result<(), Cause> {
    match previous.map(|previous| previous.cmp(name)) {
        None | Some(Ordering::Less) => Ok(()),
        Some(Ordering::Equal) => Err(Cause::DuplicateName),
        Some(Ordering::Greater) => Err(Cause::Unsorted),
    }
}

pub(crate) fn must_be(field: &Field, value: u64, expected: u64) -> Result<(), Cause> {
    if value == expected {
        Ok(())
    } else {
        Err(Cause::Contradiction {
            field: field.name,
            value,
            expected,
        })
    }
}

/// A field of a record that is known to be long enough; the cause is never seen.
pub(crate) fn present<T>(field: &Field, value: Option<T>) -> Result<T, Cause> {
    value.ok_or(Cause::OutOfBounds {
        field: field.name,
        value: len_u64(field.offset),
    })
}

impl Index {
    /// Checks header, chunk records and metadata text of an index whose digest matched. `first_block` is the number of the
    /// first chunk's first block: 0, but for a chunk that was carved out of a file without an index.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub(crate) fn parse(
        bytes: Vec<u8>,
        superblock: &Superblock,
        first_block: u64,
        limits: &Limits,
    ) -> Result<Self, Flaw> {
        let header_bytes = 0..len_u64(index_header::RECORD_LEN);
        let mut index = Self::parse_header(bytes, superblock, limits).map_err(|cause| Flaw {
            cause,
            bytes: header_bytes,
            chunk: None,
            tensor: None,
        })?;
        if index
            .bytes
            .get(index.metadata.clone())
            .is_none_or(|text| std::str::from_utf8(text).is_err())
        {
            return Err(Flaw {
                cause: Cause::InvalidText { field: "metadata" },
                bytes: len_u64(index.metadata.start)..len_u64(index.metadata.end),
                chunk: None,
                tensor: None,
            });
        }
        index.parse_chunks(superblock, first_block)?;
        Ok(index)
    }

    fn parse_header(bytes: Vec<u8>, superblock: &Superblock, limits: &Limits) -> Result<Self, Cause> {
        use index_header as field;
        let magic = present(&field::MAGIC, field::MAGIC.u64(&bytes))?;
        if magic.to_le_bytes() != INDEX_MAGIC {
            return Err(Cause::Field {
                field: field::MAGIC.name,
                value: magic,
            });
        }
        let reserved_is_zero = superblock.reserved_is_zero();
        for reserved in [&field::RESERVED_1, &field::RESERVED_2] {
            if reserved_is_zero && !reserved.is_zero(&bytes) {
                return Err(Cause::Field {
                    field: reserved.name,
                    value: low_bits(reserved, &bytes),
                });
            }
        }
        let chunk_count = u64::from(present(&field::CHUNK_COUNT, field::CHUNK_COUNT.u32(&bytes))?);
        let tensor_count = present(&field::TENSOR_COUNT, field::TENSOR_COUNT.u64(&bytes))?;
        let strings_len = present(&field::STRINGS_LEN, field::STRINGS_LEN.u64(&bytes))?;
        let metadata_len = present(&field::METADATA_LEN, field::METADATA_LEN.u64(&bytes))?;
        within("max_chunks", chunk_count, limits.max_chunks)?;
        within("max_tensors", tensor_count, limits.max_tensors)?;
        within("max_metadata_bytes", metadata_len, limits.max_metadata_bytes)?;

        // The tables follow each other and end with the index: one sum, checked, places all of them.
        let mut end = len_u64(index_header::RECORD_LEN);
        let mut region = |len: Option<u64>, field: &Field, value: u64| {
            let out = Cause::OutOfBounds {
                field: field.name,
                value,
            };
            let start = end;
            end = len.and_then(|len| end.checked_add(len)).ok_or_else(|| out.clone())?;
            if end > len_u64(bytes.len()) {
                return Err(out);
            }
            let (start, end) = (usize::try_from(start), usize::try_from(end));
            start.ok().zip(end.ok()).map(|(start, end)| start..end).ok_or(out)
        };
        region(
            table_len(chunk_count, chunk_record::RECORD_LEN),
            &field::CHUNK_COUNT,
            chunk_count,
        )?;
        let tensors = region(
            table_len(tensor_count, tensor_record::RECORD_LEN),
            &field::TENSOR_COUNT,
            tensor_count,
        )?;
        let strings = region(Some(strings_len), &field::STRINGS_LEN, strings_len)?;
        let metadata = region(Some(metadata_len), &field::METADATA_LEN, metadata_len)?;
        must_be(&crate::layout::superblock::INDEX_LEN, len_u64(bytes.len()), end)?;
        Ok(Self {
            bytes,
            chunks: Vec::new(),
            tensor_count,
            tensors,
            strings,
            metadata,
            block_len: superblock.block_len(),
            digest_kind: superblock.digest_kind,
            compressed: superblock.is_compressed(),
            reserved_is_zero,
        })
    }

    fn parse_chunks(&mut self, superblock: &Superblock, first_block: u64) -> Result<(), Flaw> {
        let mut table = index_header::RECORD_LEN..self.tensors.start;
        let mut expected = Expected {
            name_offset: 0,
            offset: superblock.geometry.payload.start,
            payload_end: superblock.geometry.payload.end,
            block: first_block,
            tensors: 0,
        };
        let mut previous: Option<Range<usize>> = None;
        let mut chunks = Vec::new();
        while table.start < table.end {
            let start = table.start;
            table.start = start.saturating_add(chunk_record::RECORD_LEN);
            let record = start..table.start;
            let flaw = |cause, name: Option<&Range<usize>>| Flaw {
                cause,
                bytes: len_u64(record.start)..len_u64(record.end),
                chunk: name.and_then(|name| self.text(name)).map(Into::into),
                tensor: None,
            };
            let bytes = self.bytes.get(record.clone()).unwrap_or(&[]);
            let name = self
                .record_name(&chunk_record::NAME_OFFSET, &chunk_record::NAME_LEN, bytes)
                .map_err(|cause| flaw(cause, None))?;
            let before = previous.as_ref().and_then(|previous| self.bytes.get(previous.clone()));
            ascends(before, self.bytes.get(name.clone()).unwrap_or(&[])).map_err(|cause| flaw(cause, Some(&name)))?;
            let chunk = self
                .parse_chunk(bytes, name.clone(), &mut expected)
                .map_err(|cause| flaw(cause, Some(&name)))?;
            previous = Some(name);
            chunks.push(chunk);
        }
        let whole = |cause| Flaw {
            cause,
            bytes: 0..len_u64(index_header::RECORD_LEN),
            chunk: None,
            tensor: None,
        };
        let of = |field: &Field, value: u64, sum: u64| must_be(field, value, sum).map_err(whole);
        let payload = &superblock.geometry.payload;
        let chunks_len = expected.offset.saturating_sub(payload.start);
        of(
            &crate::layout::superblock::PAYLOAD_LEN,
            payload.end.saturating_sub(payload.start),
            chunks_len,
        )?;
        of(
            &crate::layout::superblock::BLOCK_COUNT,
            superblock.block_count,
            expected.block,
        )?;
        of(&index_header::TENSOR_COUNT, self.tensor_count, expected.tensors)?;
        self.chunks = chunks;
        Ok(())
    }

    fn parse_chunk(&self, record: &[u8], name: Range<usize>, expected: &mut Expected) -> Result<Chunk, Cause> {
        use chunk_record as field;
        let u64_of = |field: &Field| present(field, field.u64(record));
        let u8_of = |field: &Field| present(field, field.u8(record));
        let refused = |field: &Field| Cause::Field {
            field: field.name,
            value: low_bits(field, record),
        };
        let out = |field: &Field, value: u64| Cause::OutOfBounds {
            field: field.name,
            value,
        };

        let name_offset = u64::from(present(&field::NAME_OFFSET, field::NAME_OFFSET.u32(record))?);
        must_be(&field::NAME_OFFSET, name_offset, expected.name_offset)?;
        let kind = ChunkKind::from_byte(u8_of(&field::KIND)?).ok_or_else(|| refused(&field::KIND))?;
        let encoding = Encoding::from_byte(u8_of(&field::ENCODING)?).ok_or_else(|| refused(&field::ENCODING))?;
        for reserved in [&field::RESERVED_1, &field::RESERVED_2] {
            if self.reserved_is_zero && !reserved.is_zero(record) {
                return Err(refused(reserved));
            }
        }
        let offset = u64_of(&field::OFFSET)?;
        if offset < expected.offset {
            return Err(Cause::Overlap {
                previous_end: expected.offset,
                begin: offset,
            });
        }
        must_be(&field::OFFSET, offset, expected.offset)?;
        let stored_len = u64_of(&field::STORED_LEN)?;
        let content_len = u64_of(&field::CONTENT_LEN)?;
        let directory_len = u64_of(&field::DIRECTORY_LEN)?;
        if kind != ChunkKind::Tensors {
            must_be(&field::DIRECTORY_LEN, directory_len, 0)?;
        }
        let framing = self.parse_framing(record, encoding, content_len)?;
        match &framing {
            None => {
                let behind_content = match directory_len {
                    0 => Some(content_len),
                    _ => align_up(content_len, TENSOR_ALIGN).and_then(|start| start.checked_add(directory_len)),
                };
                let expected = behind_content.ok_or_else(|| out(&field::CONTENT_LEN, content_len))?;
                must_be(&field::STORED_LEN, stored_len, expected)?;
            }
            Some(framing) => {
                let frames_len = stored_len
                    .checked_sub(directory_len)
                    .and_then(|len| len.checked_sub(framing.table_len()))
                    .ok_or_else(|| out(&field::FRAME_COUNT, framing.count))?;
                // Nothing that this file asks for is larger than it is itself, 64-fold.
                let most = frames_len.saturating_mul(MAX_EXPANSION);
                if content_len > most || frames_len > content_len {
                    return Err(out(&field::CONTENT_LEN, content_len));
                }
            }
        }
        let padded = align_up(stored_len, PAGE_LEN).ok_or_else(|| out(&field::STORED_LEN, stored_len))?;
        let end = offset
            .checked_add(len_u64(PROLOGUE_LEN))
            .and_then(|content| content.checked_add(padded));
        let end = end
            .filter(|&end| end <= expected.payload_end)
            .ok_or_else(|| out(&field::STORED_LEN, stored_len))?;
        let first_block = u64_of(&field::FIRST_BLOCK)?;
        must_be(&field::FIRST_BLOCK, first_block, expected.block)?;
        let block_count = u64_of(&field::BLOCK_COUNT)?;
        must_be(&field::BLOCK_COUNT, block_count, padded.div_ceil(self.block_len))?;
        let tensor_count = u64_of(&field::TENSOR_COUNT)?;
        if kind != ChunkKind::Tensors {
            must_be(&field::TENSOR_COUNT, tensor_count, 0)?;
        }
        let digest = digest_field(&field::DIGEST, record, self.digest_kind)?;

        expected.name_offset = expected.name_offset.saturating_add(len_u64(name.len()));
        expected.offset = end;
        expected.block = expected
            .block
            .checked_add(block_count)
            .ok_or_else(|| out(&field::BLOCK_COUNT, block_count))?;
        expected.tensors = expected
            .tensors
            .checked_add(tensor_count)
            .ok_or_else(|| out(&field::TENSOR_COUNT, tensor_count))?;
        Ok(Chunk {
            name,
            kind,
            framing,
            offset,
            stored_len,
            content_len,
            first_block,
            block_count,
            tensor_count,
            directory_len,
            digest,
        })
    }

    /// How a chunk is cut into frames, from its record; a raw chunk is not.
    fn parse_framing(&self, record: &[u8], encoding: Encoding, content_len: u64) -> Result<Option<Framing>, Cause> {
        use chunk_record as field;
        let refused = |field: &Field| Cause::Field {
            field: field.name,
            value: low_bits(field, record),
        };
        if encoding == Encoding::Raw {
            for absent in [&field::FRAME_LOG2, &field::SHUFFLE_WIDTH, &field::FRAME_COUNT] {
                if !absent.is_zero(record) {
                    return Err(refused(absent));
                }
            }
            return Ok(None);
        }
        if !self.compressed {
            return Err(refused(&field::ENCODING));
        }
        let log2 = present(&field::FRAME_LOG2, field::FRAME_LOG2.u8(record))?;
        if !FRAME_LOG2_RANGE.contains(&log2) {
            return Err(refused(&field::FRAME_LOG2));
        }
        let width = present(&field::SHUFFLE_WIDTH, field::SHUFFLE_WIDTH.u8(record))?;
        let allowed = match encoding {
            Encoding::ShuffleZstd => matches!(width, 2 | 4 | 8),
            _ => width == 0,
        };
        if !allowed {
            return Err(refused(&field::SHUFFLE_WIDTH));
        }
        let framing = Framing::new(log2, width, content_len).ok_or_else(|| refused(&field::FRAME_LOG2))?;
        let count = present(&field::FRAME_COUNT, field::FRAME_COUNT.u64(record))?;
        must_be(&field::FRAME_COUNT, count, framing.count)?;
        Ok(Some(framing))
    }

    /// The place of a record's name in the index, when it is a valid name inside the string table.
    pub(crate) fn record_name(&self, offset: &Field, len: &Field, record: &[u8]) -> Result<Range<usize>, Cause> {
        let at = present(offset, offset.u32(record))?;
        let size = present(len, len.u16(record))?;
        let out = || Cause::OutOfBounds {
            field: offset.name,
            value: u64::from(at),
        };
        let start = usize::try_from(at)
            .ok()
            .and_then(|at| self.strings.start.checked_add(at))
            .ok_or_else(out)?;
        let end = start
            .checked_add(usize::from(size))
            .filter(|&end| end <= self.strings.end)
            .ok_or_else(out)?;
        let bytes = self.bytes.get(start..end).ok_or_else(out)?;
        name::checked(bytes).ok_or(Cause::InvalidText { field: "name" })?;
        Ok(start..end)
    }

    /// Text of the index that was checked to be UTF-8.
    pub(crate) fn text(&self, range: &Range<usize>) -> Option<&str> {
        std::str::from_utf8(self.bytes.get(range.clone())?).ok()
    }

    pub(crate) fn chunk_name(&self, chunk: &Chunk) -> &str {
        self.text(&chunk.name).unwrap_or("")
    }

    /// The chunk of this name and its number, by binary search.
    pub(crate) fn chunk(&self, name: &str) -> Option<(usize, &Chunk)> {
        let number = self
            .chunks
            .binary_search_by(|chunk| self.chunk_name(chunk).cmp(name))
            .ok()?;
        Some((number, self.chunks.get(number)?))
    }

    /// The metadata: checked to be UTF-8, nothing else.
    pub(crate) fn metadata(&self) -> &str {
        self.text(&self.metadata).unwrap_or("")
    }
}

/// What the next chunk record must say, since chunks follow each other without a gap.
struct Expected {
    name_offset: u64,
    offset: u64,
    payload_end: u64,
    block: u64,
    tensors: u64,
}
