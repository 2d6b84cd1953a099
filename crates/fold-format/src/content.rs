//! What is to be saved: metadata, tensors and chunks, all borrowed from the caller.
//!
//! Nothing is checked against the file's layout here; see `plan` for order and offsets.

use std::borrow::Cow;

use crate::dtype::{Dtype, Element, Shape};
use crate::error::Misuse;
use crate::span::Span;

/// A tensor to be saved, borrowing its bytes.
#[derive(Clone, Debug)]
pub struct TensorSource<'a> {
    pub(crate) name: Cow<'a, str>,
    pub(crate) dtype: Dtype,
    pub(crate) shape: Shape,
    pub(crate) bytes: Span<'a>,
}

impl<'a> TensorSource<'a> {
    /// A tensor from its little-endian bytes, row-major (the last dimension varies fastest).
    ///
    /// - `shape`: extents, slowest first; at most eight; an extent may be zero, no extents at all is a scalar.
    ///
    /// # Errors
    /// [`Misuse::RankTooHigh`]; [`Misuse::ByteLength`] when `bytes` are not as many as shape and dtype say. The name is
    /// checked when the content is saved.
    pub fn new(
        name: impl Into<Cow<'a, str>>,
        dtype: Dtype,
        shape: &[u64],
        bytes: &'a [u8],
    ) -> Result<Self, crate::Error> {
        Self::of_span(name, dtype, shape, bytes.into())
    }

    /// As [`TensorSource::new`], the bytes wherever they are. What is not in memory is read while it is written, in
    /// pieces of a few MiB.
    ///
    /// # Errors
    /// As [`TensorSource::new`].
    pub fn of_span(
        name: impl Into<Cow<'a, str>>,
        dtype: Dtype,
        shape: &[u64],
        bytes: Span<'a>,
    ) -> Result<Self, crate::Error> {
        let name = name.into();
        let Some(own_shape) = Shape::new(shape) else {
            return Err(Misuse::RankTooHigh {
                name: name.into(),
                rank: shape.len(),
            }
            .into());
        };
        let (expected, actual) = (own_shape.byte_len(dtype), bytes.len());
        if expected != Some(actual) {
            return Err(Misuse::ByteLength {
                name: name.into(),
                expected,
                actual,
            }
            .into());
        }
        Ok(Self {
            name,
            dtype,
            shape: own_shape,
            bytes,
        })
    }

    /// A tensor from a typed slice; the dtype follows from the element's type.
    ///
    /// # Errors
    /// As [`TensorSource::new`].
    pub fn of<T: Element>(
        name: impl Into<Cow<'a, str>>,
        shape: &[u64],
        elements: &'a [T],
    ) -> Result<Self, crate::Error> {
        Self::new(name, T::DTYPE, shape, bytemuck::cast_slice(elements))
    }
}

/// What a chunk holds.
#[derive(Clone, Debug)]
pub(crate) enum Payload<'a> {
    Tensors(Vec<TensorSource<'a>>),
    Json(&'a str),
    Bytes(Span<'a>),
}

/// Everything that one file is to hold. The order of the calls does not matter: the file is sorted by name.
#[derive(Clone, Debug, Default)]
pub struct Content<'a> {
    pub(crate) metadata: Option<&'a str>,
    pub(crate) chunks: Vec<(Cow<'a, str>, Payload<'a>)>,
}

impl<'a> Content<'a> {
    /// Nothing yet: a file without chunks whose metadata is `{}`.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the metadata: the text of a JSON object, kept byte for byte.
    #[must_use]
    pub fn metadata(mut self, json_object: &'a str) -> Self {
        self.metadata = Some(json_object);
        self
    }

    /// Adds a chunk of tensors. Tensor names are unique over the whole file, not only in their chunk.
    #[must_use]
    pub fn tensors(
        mut self,
        chunk: impl Into<Cow<'a, str>>,
        tensors: impl IntoIterator<Item = TensorSource<'a>>,
    ) -> Self {
        self.chunks
            .push((chunk.into(), Payload::Tensors(tensors.into_iter().collect())));
        self
    }

    /// Adds a chunk of JSON text, kept byte for byte.
    #[must_use]
    pub fn json(mut self, chunk: impl Into<Cow<'a, str>>, text: &'a str) -> Self {
        self.chunks.push((chunk.into(), Payload::Json(text)));
        self
    }

    /// Adds a chunk of arbitrary bytes.
    #[must_use]
    pub fn bytes(self, chunk: impl Into<Cow<'a, str>>, bytes: &'a [u8]) -> Self {
        self.span(chunk, bytes.into())
    }

    /// Adds a chunk of arbitrary bytes, wherever they are.
    #[must_use]
    pub fn span(mut self, chunk: impl Into<Cow<'a, str>>, bytes: Span<'a>) -> Self {
        self.chunks.push((chunk.into(), Payload::Bytes(bytes)));
        self
    }
}
