//! From content to positions: the rules of the format checked, everything sorted by name and placed.
//!
//! A plan still borrows the caller's bytes and has written nothing. The order in which content was added leaves no
//! trace in it: the same content gives the same plan.

use serde::de::IgnoredAny;

use crate::content::{Content, Payload, TensorSource};
use crate::digest::{Digest, Hasher};
use crate::error::{Error, Misuse};
use crate::frames::Framing;
use crate::geometry::{Geometry, Lengths};
use crate::info::{ChunkKind, Encoding};
use crate::layout::{
    BLOCK_LOG2_RANGE, FRAME_LOG2_RANGE, Field, INDEX_MAGIC, PAGE_LEN, PROLOGUE_LEN, TENSOR_ALIGN, chunk_record,
    index_header, tensor_record,
};
use crate::name;
use crate::options::SaveOptions;
use crate::parity::{Grouping, Unsuited};
use crate::span::Span;
use crate::wire::{align_up, len_u64};

/// Bytes and where they go in the chunk's content; what lies between two segments is zero.
#[derive(Clone, Debug)]
pub(crate) struct Segment<'a> {
    pub(crate) offset: u64,
    pub(crate) bytes: SegmentBytes<'a>,
}

/// The caller's bytes, or the plan's own.
#[derive(Clone, Debug)]
pub(crate) enum SegmentBytes<'a> {
    Caller(Span<'a>),
    Own(Vec<u8>),
}

impl<'a> Segment<'a> {
    pub(crate) fn of(offset: u64, bytes: Span<'a>) -> Self {
        Self {
            offset,
            bytes: SegmentBytes::Caller(bytes),
        }
    }

    pub(crate) fn span(&self) -> Span<'_> {
        match &self.bytes {
            SegmentBytes::Caller(span) => *span,
            SegmentBytes::Own(bytes) => bytes.as_slice().into(),
        }
    }

    pub(crate) fn end(&self) -> u64 {
        self.offset.saturating_add(self.span().len())
    }
}

/// One chunk, ready to be written.
#[derive(Debug)]
pub(crate) struct PlannedChunk<'a> {
    pub(crate) name: &'a str,
    pub(crate) kind: ChunkKind,
    /// In the order of their offsets. In a raw chunk the tensor directory is the last one.
    pub(crate) segments: Vec<Segment<'a>>,
    pub(crate) content_len: u64,
    pub(crate) tensor_count: u64,
    /// Where the chunk is compressed.
    pub(crate) framing: Option<Framing>,
    /// The tensor directory of a compressed chunk: stored as it is, behind frames and table.
    pub(crate) trailer: Vec<u8>,
    pub(crate) directory_len: u64,
    /// Bytes as stored; of a compressed chunk, at most.
    pub(crate) most_stored: u64,
}

impl PlannedChunk<'_> {
    /// Whether its content, not compressed, can be taken from memory again and again.
    pub(crate) fn is_raw_in_memory(&self) -> bool {
        let in_memory = |segment: &Segment<'_>| segment.span().as_slice().is_some();
        self.framing.is_none() && self.segments.iter().all(in_memory)
    }
}

/// Where a chunk came to lie.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Placed {
    /// Of the prologue, in the file.
    pub(crate) offset: u64,
    pub(crate) stored_len: u64,
    pub(crate) first_block: u64,
    pub(crate) block_count: u64,
    pub(crate) digest: Digest,
}

impl Placed {
    /// Where the stored bytes begin in the file.
    pub(crate) const fn content_offset(&self) -> u64 {
        self.offset.saturating_add(len_u64(PROLOGUE_LEN))
    }
}

/// One tensor, placed in its chunk.
#[derive(Debug)]
struct PlannedTensor<'a> {
    source: &'a TensorSource<'a>,
    chunk: u32,
    offset: u64,
}

/// Everything that a file will hold, in order.
#[derive(Debug)]
pub(crate) struct Plan<'a> {
    pub(crate) chunks: Vec<PlannedChunk<'a>>,
    tensor_records: Vec<u8>,
    tensor_count: u64,
    /// All names, in the order of their records.
    strings: Vec<u8>,
    metadata: &'a str,
    /// Where everything lies, were no frame shorter than its content: exactly, where no chunk is compressed.
    pub(crate) most: Geometry,
}

/// What is wrong with bytes of a source that are not there.
fn misfit(name: &str, span: &Span<'_>) -> Option<Misuse> {
    let (range, len) = span.misfit()?;
    Some(Misuse::SourceRange {
        name: name.into(),
        start: range.start,
        end: range.end,
        len,
    })
}

/// Refuses a range that ends before it begins.
fn check_span(name: &str, span: &Span<'_>) -> Result<(), Misuse> {
    let wrong = if span.is_reversed() { misfit(name, span) } else { None };
    wrong.map_or(Ok(()), Err)
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
        expected: if object { "a JSON object" } else { "JSON" },
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
    /// Where the chunks will lie, none of them being compressed; their digests, those of empty chunks, are not
    /// known yet.
    pub(crate) fn raw_places(&self, block_len: u64, hasher: &Hasher) -> Vec<Placed> {
        let (mut offset, mut first_block) = (self.most.payload.start, 0_u64);
        let place = |(number, chunk): (u32, &PlannedChunk<'_>)| {
            let padded = align_up(chunk.most_stored, PAGE_LEN).unwrap_or(chunk.most_stored);
            let placed = Placed {
                offset,
                stored_len: chunk.most_stored,
                first_block,
                block_count: padded.div_ceil(block_len),
                digest: hasher.chunk(number, &[]),
            };
            offset = placed.content_offset().saturating_add(padded);
            first_block = first_block.saturating_add(placed.block_count);
            placed
        };
        (0_u32..).zip(&self.chunks).map(place).collect()
    }

    /// The chunk with bytes of a source that are not there, and which: why writing them failed.
    pub(crate) fn misfit(&self) -> Option<Misuse> {
        self.chunks.iter().find_map(|chunk| {
            chunk.segments.iter().find_map(|segment| match &segment.bytes {
                SegmentBytes::Caller(span) => misfit(chunk.name, span),
                SegmentBytes::Own(_) => None,
            })
        })
    }

    /// Checks `content` and puts it in order.
    ///
    /// # Errors
    /// [`Misuse`]: a name, JSON text or an option is not allowed, or the content is too large for the format.
    pub(crate) fn new(content: &'a Content<'a>, options: &SaveOptions) -> Result<Self, Error> {
        let log2 = options.block_log2;
        if !BLOCK_LOG2_RANGE.contains(&log2) {
            return Err(Misuse::BlockSize { log2 }.into());
        }
        let log2 = options.frame_log2;
        if !FRAME_LOG2_RANGE.contains(&log2) {
            return Err(Misuse::FrameSize { log2 }.into());
        }
        let level = options.compression_level;
        if !(1..=22).contains(&level) {
            return Err(Misuse::CompressionLevel { level }.into());
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

        let mut strings = Vec::new();
        let mut tensors = Vec::new();
        let mut chunks = Vec::with_capacity(sources.len());
        for (number, (name, payload)) in sources.into_iter().enumerate() {
            let number = u32::try_from(number).map_err(|_| TOO_LARGE)?;
            strings.extend_from_slice(checked_name(name)?.as_bytes());
            let (kind, element_bytes, segments) = match payload {
                Payload::Tensors(sources) => {
                    let segments = place_tensors(sources, number, &mut tensors)?;
                    (ChunkKind::Tensors, common_element_bytes(sources), segments)
                }
                Payload::Json(text) => {
                    check_json(name, text, false)?;
                    (ChunkKind::Json, 1, vec![Segment::of(0, text.as_bytes().into())])
                }
                Payload::Bytes(bytes) => {
                    check_span(name, bytes)?;
                    (ChunkKind::Bytes, 1, vec![Segment::of(0, *bytes)])
                }
            };
            let tensor_count = if kind == ChunkKind::Tensors {
                len_u64(segments.len())
            } else {
                0
            };
            let content_len = segments.last().map_or(0, Segment::end);
            let shuffle_width = match options.encoding {
                Encoding::ShuffleZstd if element_bytes > 1 => element_bytes,
                _ => 0,
            };
            let framing = match options.encoding {
                Encoding::Raw => None,
                _ => Framing::new(options.frame_log2, shuffle_width, content_len),
            };
            chunks.push(PlannedChunk {
                name,
                kind,
                segments,
                content_len,
                tensor_count,
                framing,
                trailer: Vec::new(),
                directory_len: 0,
                most_stored: content_len,
            });
        }
        tensors.sort_unstable_by_key(|tensor| tensor.source.name.as_ref());
        refuse_duplicates(tensors.iter().map(|tensor| tensor.source.name.as_ref()))?;

        let mut tensor_records = Vec::with_capacity(tensors.len().saturating_mul(tensor_record::RECORD_LEN));
        let mut directories = vec![Directory::default(); chunks.len()];
        for tensor in &tensors {
            let record = tensor.record(u32::try_from(strings.len()).map_err(|_| TOO_LARGE)?);
            let name = tensor.source.name.as_bytes();
            strings.extend_from_slice(name);
            tensor_records.extend_from_slice(&record);
            let directory = usize::try_from(tensor.chunk)
                .ok()
                .and_then(|chunk| directories.get_mut(chunk));
            if let Some(directory) = directory {
                directory.records.extend_from_slice(&record);
                directory.names.extend_from_slice(name);
            }
        }
        if u32::try_from(strings.len()).is_err() {
            return Err(TOO_LARGE.into());
        }
        for (chunk, directory) in chunks.iter_mut().zip(directories) {
            chunk.end_with(directory).ok_or(TOO_LARGE)?;
        }
        let tensor_count = len_u64(tensors.len());
        let (most_blocks, payload_len) = most(&chunks, options.block_log2).ok_or(TOO_LARGE)?;
        let grouping = |level| Grouping::new(most_blocks, options.block_log2, level);
        let parity = match options.parity.map(grouping).transpose() {
            // A file without content has none, whatever the level.
            Err(Unsuited::NoBlocks) => None,
            parity => parity.map_err(Misuse::Parity)?,
        };
        let index_len = len_u64(index_header::RECORD_LEN)
            .checked_add(records_len(chunks.len(), chunk_record::RECORD_LEN).ok_or(TOO_LARGE)?)
            .and_then(|len| len.checked_add(len_u64(tensor_records.len())))
            .and_then(|len| len.checked_add(len_u64(strings.len())))
            .and_then(|len| len.checked_add(len_u64(metadata.len())))
            .ok_or(TOO_LARGE)?;
        // Fewer blocks may make fewer groups, whose shares of parity are each rounded up: two blocks a group are enough.
        let rounding = match (&parity, options.encoding) {
            (None, _) | (_, Encoding::Raw) => 0,
            (Some(grouping), _) => u64::from(grouping.groups()).saturating_mul(2),
        };
        let digests = most_blocks
            .checked_add(parity.map_or(0, |grouping| grouping.parity_blocks()))
            .and_then(|blocks| blocks.checked_add(rounding))
            .and_then(|blocks| blocks.checked_mul(u64::from(options.digest_kind.leaf_len())))
            .ok_or(TOO_LARGE)?;
        let most = Geometry::new(Lengths {
            index: index_len,
            digests,
            digests_reserved: digests,
            payload: payload_len,
            parity: parity.map_or(0, |grouping| grouping.parity_len()),
        });
        Ok(Self {
            chunks,
            tensor_records,
            tensor_count,
            strings,
            metadata,
            most: most.ok_or(TOO_LARGE)?,
        })
    }

    /// Whether a chunk is compressed.
    pub(crate) fn is_compressed(&self) -> bool {
        self.chunks.iter().any(|chunk| chunk.framing.is_some())
    }

    /// The index, given where each chunk came to lie.
    pub(crate) fn index(&self, placed: &[Placed]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(usize::try_from(self.most.index_1.end).unwrap_or(0));
        let mut record = vec![0; index_header::RECORD_LEN];
        let mut put = |field: &Field, value: &[u8]| field.put(&mut record, value);
        put(&index_header::MAGIC, &INDEX_MAGIC);
        put(&index_header::CHUNK_COUNT, &count_u32(self.chunks.len()).to_le_bytes());
        put(&index_header::TENSOR_COUNT, &self.tensor_count.to_le_bytes());
        put(&index_header::STRINGS_LEN, &len_u64(self.strings.len()).to_le_bytes());
        put(&index_header::METADATA_LEN, &len_u64(self.metadata.len()).to_le_bytes());
        bytes.extend_from_slice(&record);

        let mut name_offset = 0_u32;
        for (chunk, placed) in self.chunks.iter().zip(placed) {
            use chunk_record as field;
            let mut record = vec![0; field::RECORD_LEN];
            let mut put = |field: &Field, value: &[u8]| field.put(&mut record, value);
            put(&field::NAME_OFFSET, &name_offset.to_le_bytes());
            put(&field::NAME_LEN, &count_u16(chunk.name.len()).to_le_bytes());
            name_offset = name_offset.saturating_add(count_u32(chunk.name.len()));
            put(&field::KIND, &[chunk.kind.to_byte()]);
            put(&field::OFFSET, &placed.offset.to_le_bytes());
            put(&field::STORED_LEN, &placed.stored_len.to_le_bytes());
            put(&field::CONTENT_LEN, &chunk.content_len.to_le_bytes());
            put(&field::FIRST_BLOCK, &placed.first_block.to_le_bytes());
            put(&field::BLOCK_COUNT, &placed.block_count.to_le_bytes());
            put(&field::TENSOR_COUNT, &chunk.tensor_count.to_le_bytes());
            put(&field::DIGEST, placed.digest.as_bytes());
            put(&field::DIRECTORY_LEN, &chunk.directory_len.to_le_bytes());
            if let Some(framing) = &chunk.framing {
                put(&field::ENCODING, &[framing.encoding().to_byte()]);
                put(&field::FRAME_LOG2, &[framing.log2]);
                put(&field::SHUFFLE_WIDTH, &[framing.shuffle_width]);
                put(&field::FRAME_COUNT, &framing.count.to_le_bytes());
            }
            bytes.extend_from_slice(&record);
        }
        bytes.extend_from_slice(&self.tensor_records);
        bytes.extend_from_slice(&self.strings);
        bytes.extend_from_slice(self.metadata.as_bytes());
        bytes
    }
}

fn records_len(count: usize, len: usize) -> Option<u64> {
    len_u64(count).checked_mul(len_u64(len))
}

/// Blocks and bytes of the payload, were no frame shorter than its content; `None` on overflow.
fn most(chunks: &[PlannedChunk<'_>], block_log2: u8) -> Option<(u64, u64)> {
    let block_len = 1_u64.checked_shl(u32::from(block_log2))?;
    let (mut blocks, mut payload_len) = (0_u64, 0_u64);
    for chunk in chunks {
        let padded = align_up(chunk.most_stored, PAGE_LEN)?;
        blocks = blocks.checked_add(padded.div_ceil(block_len))?;
        payload_len = payload_len.checked_add(len_u64(PROLOGUE_LEN))?.checked_add(padded)?;
    }
    Some((blocks, payload_len))
}

/// The records and names of one chunk's tensors, as they stand at the end of its stored bytes.
#[derive(Clone, Debug, Default)]
struct Directory {
    records: Vec<u8>,
    names: Vec<u8>,
}

impl PlannedChunk<'_> {
    /// Puts the tensor directory behind the content; `None` on overflow.
    fn end_with(&mut self, directory: Directory) -> Option<()> {
        let mut bytes = directory.records;
        bytes.extend_from_slice(&directory.names);
        self.directory_len = len_u64(bytes.len());
        let behind_content = match &self.framing {
            Some(framing) => {
                self.trailer = bytes;
                self.content_len.checked_add(framing.table_len())?
            }
            None if bytes.is_empty() => self.content_len,
            None => {
                let offset = align_up(self.content_len, TENSOR_ALIGN)?;
                self.segments.push(Segment {
                    offset,
                    bytes: SegmentBytes::Own(bytes),
                });
                offset
            }
        };
        self.most_stored = behind_content.checked_add(self.directory_len)?;
        Some(())
    }
}

impl PlannedTensor<'_> {
    fn record(&self, name_offset: u32) -> [u8; tensor_record::RECORD_LEN] {
        use tensor_record as field;
        let mut record = [0; field::RECORD_LEN];
        let source = self.source;
        let rank = u8::try_from(source.shape.extents().len()).unwrap_or(u8::MAX);
        let mut put = |field: &Field, value: &[u8]| field.put(&mut record, value);
        put(&field::NAME_OFFSET, &name_offset.to_le_bytes());
        put(&field::NAME_LEN, &count_u16(source.name.len()).to_le_bytes());
        put(&field::DTYPE, &[source.dtype.to_byte()]);
        put(&field::RANK, &[rank]);
        put(&field::CHUNK, &self.chunk.to_le_bytes());
        put(&field::OFFSET, &self.offset.to_le_bytes());
        put(&field::LEN_BYTES, &source.bytes.len().to_le_bytes());
        let mut at = field::SHAPE;
        for extent in source.shape.extents() {
            at.put(&mut record, &extent.to_le_bytes());
            at.offset = at.offset.saturating_add(8);
        }
        record
    }
}

/// The size of the elements that most of the chunk's bytes belong to; of two equal shares, the smaller size.
fn common_element_bytes(sources: &[TensorSource<'_>]) -> u8 {
    let bytes_of = |size: u8| {
        let of_size = sources
            .iter()
            .filter(|source| source.dtype.size_bytes() == u64::from(size));
        of_size.fold(0, |sum, source| source.bytes.len().saturating_add(sum))
    };
    let mut common = (1, bytes_of(1));
    for size in [2, 4, 8] {
        let bytes = bytes_of(size);
        if bytes > common.1 {
            common = (size, bytes);
        }
    }
    common.0
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
) -> Result<Vec<Segment<'a>>, Misuse> {
    let mut sorted = sources.iter().collect::<Vec<_>>();
    sorted.sort_unstable_by_key(|source| source.name.as_ref());
    let mut end = 0_u64;
    let mut segments = Vec::with_capacity(sorted.len());
    for source in sorted {
        checked_name(&source.name)?;
        check_span(&source.name, &source.bytes)?;
        let offset = align_up(end, TENSOR_ALIGN).ok_or(TOO_LARGE)?;
        end = offset.checked_add(source.bytes.len()).ok_or(TOO_LARGE)?;
        segments.push(Segment::of(offset, source.bytes));
        tensors.push(PlannedTensor { source, chunk, offset });
    }
    Ok(segments)
}
