//! Tensor records: looked up by name where they lie, checked one by one or all together.
//!
//! Opening does not touch them, so that it costs no more for a hundred thousand tensors than for one, apart from hashing
//! the index.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use std::cmp::Ordering;
use std::ops::Range;

use crate::dtype::{Dtype, Shape};
use crate::finding::Cause;
use crate::index::{Flaw, Index, ascends, must_be, present, table_len};
use crate::info::ChunkKind;
use crate::layout::{Field, MAX_RANK, TENSOR_ALIGN, chunk_record, index_header, tensor_record};
use crate::superblock::low_bits;
use crate::wire::{align_up, len_u64};

/// One tensor whose record was checked, the name borrowed from the index.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TensorEntry<'a> {
    pub(crate) name: &'a str,
    pub(crate) dtype: Dtype,
    pub(crate) shape: Shape,
    /// Number of the chunk that holds it.
    pub(crate) chunk: usize,
    /// From the beginning of the chunk's content.
    pub(crate) offset: u64,
    pub(crate) len: u64,
}

/// What the tensor records seen so far make of one chunk.
#[derive(Clone, Copy, Default)]
struct Filled {
    /// Where the last tensor ends in the content.
    end: u64,
    count: u64,
    directory_len: u64,
}

impl Index {
    /// The bytes of a tensor's record and of its name, as a tensor directory repeats them.
    pub(crate) fn directory_parts(&self, number: u64) -> Option<(&[u8], &[u8])> {
        let record = self.bytes.get(self.tensor_record_bytes(number)?)?;
        Some((record, self.tensor_name_bytes(number)?))
    }

    fn tensor_record_bytes(&self, number: u64) -> Option<Range<usize>> {
        let skipped = usize::try_from(table_len(number, tensor_record::RECORD_LEN)?).ok()?;
        let start = self.tensors.start.checked_add(skipped)?;
        let end = start.checked_add(tensor_record::RECORD_LEN)?;
        (end <= self.tensors.end).then_some(start..end)
    }

    /// The name in a tensor record, not checked to be a valid one.
    fn tensor_name_bytes(&self, number: u64) -> Option<&[u8]> {
        let record = self.bytes.get(self.tensor_record_bytes(number)?)?;
        let offset = usize::try_from(tensor_record::NAME_OFFSET.u32(record)?).ok()?;
        let start = self.strings.start.checked_add(offset)?;
        let end = start.checked_add(usize::from(tensor_record::NAME_LEN.u16(record)?))?;
        (end <= self.strings.end).then(|| self.bytes.get(start..end)).flatten()
    }

    /// The number of the tensor record with this name, by binary search; touches about log2(count) records.
    pub(crate) fn find_tensor(&self, name: &str) -> Option<u64> {
        let (mut low, mut high) = (0, self.tensor_count);
        while low < high {
            let middle = low.midpoint(high);
            // A name outside the string table ends the search on one side; whoever reads that record is told.
            match self.tensor_name_bytes(middle).unwrap_or(&[]).cmp(name.as_bytes()) {
                Ordering::Less => low = middle.saturating_add(1),
                Ordering::Greater => high = middle,
                Ordering::Equal => return Some(middle),
            }
        }
        None
    }

    /// One tensor's record, checked.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub(crate) fn tensor(&self, number: u64) -> Result<TensorEntry<'_>, Flaw> {
        let range = self.tensor_record_bytes(number).unwrap_or(0..0);
        let record = self.bytes.get(range.clone()).unwrap_or(&[]);
        let flaw = |cause, tensor: Option<&str>| Flaw {
            cause,
            bytes: len_u64(range.start)..len_u64(range.end),
            chunk: None,
            tensor: tensor.map(Into::into),
        };
        let name = self
            .record_name(&tensor_record::NAME_OFFSET, &tensor_record::NAME_LEN, record)
            .map_err(|cause| flaw(cause, None))?;
        let name = self.text(&name).unwrap_or("");
        self.parse_tensor(record, name).map_err(|cause| flaw(cause, Some(name)))
    }

    fn parse_tensor<'a>(&'a self, record: &[u8], name: &'a str) -> Result<TensorEntry<'a>, Cause> {
        use tensor_record as field;
        let refused = |field: &Field| Cause::Field {
            field: field.name,
            value: low_bits(field, record),
        };
        let dtype = Dtype::from_byte(present(&field::DTYPE, field::DTYPE.u8(record))?);
        let dtype = dtype.ok_or_else(|| refused(&field::DTYPE))?;
        let rank = usize::from(present(&field::RANK, field::RANK.u8(record))?);
        let mut extents = [0; MAX_RANK];
        let shape_bytes = present(&field::SHAPE, field::SHAPE.bytes(record))?;
        for (extent, bytes) in extents.iter_mut().zip(shape_bytes.as_chunks::<8>().0) {
            *extent = u64::from_le_bytes(*bytes);
        }
        let (used, unused) = extents.split_at_checked(rank).ok_or_else(|| refused(&field::RANK))?;
        if unused.iter().any(|&extent| extent != 0) {
            return Err(refused(&field::SHAPE));
        }
        let shape = Shape::new(used).ok_or_else(|| refused(&field::RANK))?;
        if self.reserved_is_zero {
            for reserved in [&field::RESERVED_1, &field::RESERVED_2] {
                if !reserved.is_zero(record) {
                    return Err(refused(reserved));
                }
            }
        }
        let len = present(&field::LEN_BYTES, field::LEN_BYTES.u64(record))?;
        let by_shape = shape.byte_len(dtype).ok_or(Cause::OutOfBounds {
            field: field::SHAPE.name,
            value: len,
        })?;
        must_be(&field::LEN_BYTES, len, by_shape)?;
        let chunk_number = present(&field::CHUNK, field::CHUNK.u32(record))?;
        let chunk = usize::try_from(chunk_number).ok();
        let holder = chunk.and_then(|chunk| Some((chunk, self.chunks.get(chunk)?)));
        let (chunk, holder) = holder.ok_or_else(|| refused(&field::CHUNK))?;
        if holder.kind != ChunkKind::Tensors {
            return Err(refused(&field::CHUNK));
        }
        let offset = present(&field::OFFSET, field::OFFSET.u64(record))?;
        if !offset.is_multiple_of(TENSOR_ALIGN) {
            return Err(refused(&field::OFFSET));
        }
        if offset.checked_add(len).is_none_or(|end| end > holder.content_len) {
            return Err(Cause::OutOfBounds {
                field: field::OFFSET.name,
                value: offset,
            });
        }
        Ok(TensorEntry {
            name,
            dtype,
            shape,
            chunk,
            offset,
            len,
        })
    }

    /// Checks every tensor record and how they fit together: names unique and sorted, the string table without a gap,
    /// the tensors of a chunk behind each other with less than 64 bytes between them, and nothing behind the last.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub(crate) fn check_tensors(&self) -> Result<(), Flaw> {
        let chunk_names = self.chunks.iter().map(|chunk| len_u64(chunk.name.len()));
        let mut name_offset = chunk_names.fold(0, u64::saturating_add);
        let mut previous: Option<&str> = None;
        let mut filled = vec![Filled::default(); self.chunks.len()];
        for number in 0..self.tensor_count {
            let tensor = self.tensor(number)?;
            let range = self.tensor_record_bytes(number).unwrap_or(0..0);
            let flaw = |cause| Flaw {
                cause,
                bytes: len_u64(range.start)..len_u64(range.end),
                chunk: None,
                tensor: Some(tensor.name.into()),
            };
            ascends(previous.map(str::as_bytes), tensor.name.as_bytes()).map_err(flaw)?;
            let record = self.bytes.get(range.clone()).unwrap_or(&[]);
            let stored = tensor_record::NAME_OFFSET.u32(record).map_or(u64::MAX, u64::from);
            must_be(&tensor_record::NAME_OFFSET, stored, name_offset).map_err(flaw)?;
            if let Some(filled) = filled.get_mut(tensor.chunk) {
                if tensor.offset < filled.end {
                    return Err(flaw(Cause::Overlap {
                        previous_end: filled.end,
                        begin: tensor.offset,
                    }));
                }
                let next = align_up(filled.end, TENSOR_ALIGN).unwrap_or(u64::MAX);
                must_be(&tensor_record::OFFSET, tensor.offset, next).map_err(flaw)?;
                filled.end = tensor.offset.saturating_add(tensor.len);
                filled.count = filled.count.saturating_add(1);
                let entry = len_u64(tensor_record::RECORD_LEN).saturating_add(len_u64(tensor.name.len()));
                filled.directory_len = filled.directory_len.saturating_add(entry);
            }
            name_offset = name_offset.saturating_add(len_u64(tensor.name.len()));
            previous = Some(tensor.name);
        }
        let header = |cause| Flaw {
            cause,
            bytes: 0..len_u64(index_header::RECORD_LEN),
            chunk: None,
            tensor: None,
        };
        must_be(&index_header::STRINGS_LEN, len_u64(self.strings.len()), name_offset).map_err(header)?;
        for (chunk, filled) in self.chunks.iter().zip(filled) {
            if chunk.kind == ChunkKind::Tensors {
                let directory = match chunk.directory_len {
                    0 => Ok(()),
                    len => must_be(&chunk_record::DIRECTORY_LEN, len, filled.directory_len),
                };
                let fits = must_be(&chunk_record::CONTENT_LEN, chunk.content_len, filled.end)
                    .and_then(|()| must_be(&chunk_record::TENSOR_COUNT, chunk.tensor_count, filled.count))
                    .and(directory);
                fits.map_err(|cause| Flaw {
                    chunk: Some(self.chunk_name(chunk).into()),
                    ..header(cause)
                })?;
            }
        }
        Ok(())
    }

    /// Every tensor, the checked records of [`Index::check_tensors`]; one that breaks a rule ends the iteration.
    pub(crate) fn tensors(&self) -> impl Iterator<Item = (u64, TensorEntry<'_>)> {
        (0..self.tensor_count).map_while(|number| Some((number, self.tensor(number).ok()?)))
    }
}
