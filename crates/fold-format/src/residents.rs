//! Which tensors lie on which bytes of a chunk.
//!
//! The index is sorted by name over all chunks; this groups the record numbers by chunk. Within a chunk the order of names
//! is the order of offsets, where the records keep the rules; where they do not, tensors may be missed but nothing
//! breaks, and the records themselves are reported.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use std::ops::Range;

use crate::index::Index;
use crate::tensor_records::TensorEntry;

/// The numbers of the tensor records of each chunk, in the order of their offsets.
#[derive(Debug)]
pub(crate) struct Residents {
    by_chunk: Vec<Vec<u64>>,
}

impl Residents {
    pub(crate) fn new(index: &Index) -> Self {
        let mut by_chunk = vec![Vec::new(); index.chunks.len()];
        for (number, tensor) in index.tensors() {
            if let Some(numbers) = by_chunk.get_mut(tensor.chunk) {
                numbers.push(number);
            }
        }
        Self { by_chunk }
    }

    /// The numbers of the tensor records of a chunk.
    pub(crate) fn numbers(&self, chunk: usize) -> &[u64] {
        self.by_chunk.get(chunk).map_or(&[][..], Vec::as_slice)
    }

    /// The tensors of a chunk that share bytes with `range` of its content, in the order of their offsets.
    pub(crate) fn on<'i>(
        &self,
        index: &'i Index,
        chunk: usize,
        range: &Range<u64>,
    ) -> impl Iterator<Item = TensorEntry<'i>> {
        let numbers = self.numbers(chunk);
        let end_of = |number: &u64| {
            index
                .tensor(*number)
                .map_or(0, |tensor| tensor.offset.saturating_add(tensor.len))
        };
        let first = numbers.partition_point(|number| end_of(number) <= range.start);
        let end = range.end;
        let behind = numbers.get(first..).unwrap_or(&[]).iter();
        behind
            .map_while(move |number| index.tensor(*number).ok().filter(|tensor| tensor.offset < end))
            .filter(|tensor| tensor.len > 0)
    }
}
