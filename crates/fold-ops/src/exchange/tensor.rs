//! A tensor of a document: described in memory, its bytes left where they lie until somebody needs them.

use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use fold_format::interchange::Array;
use fold_format::{Dtype, ReadAt, Shape, Span, TensorSource};

/// A named tensor: little-endian, row-major.
#[derive(Clone, Debug)]
pub(crate) struct Tensor {
    pub(crate) name: String,
    pub(crate) dtype: Dtype,
    pub(crate) shape: Shape,
    pub(crate) bytes: Bytes,
}

impl From<Array<'_>> for Tensor {
    fn from(array: Array<'_>) -> Self {
        Self {
            name: array.name.into_owned(),
            dtype: array.dtype,
            shape: array.shape,
            bytes: Bytes::of(array.bytes.into_owned()),
        }
    }
}

impl Tensor {
    /// The tensor with all of its bytes in memory.
    pub(crate) fn array(&self) -> io::Result<Array<'_>> {
        Ok(Array {
            name: self.name.as_str().into(),
            dtype: self.dtype,
            shape: self.shape,
            bytes: self.bytes.to_vec()?.into(),
        })
    }

    /// The tensor as a writer takes it, under a name of the caller's.
    pub(crate) fn source<'a>(&'a self, name: &'a str) -> Result<TensorSource<'a>, crate::Error> {
        let extents = self.shape.extents();
        Ok(TensorSource::of_span(name, self.dtype, extents, self.bytes.span())?)
    }
}

/// A range of a source that many tensors share: a file, a verified container, memory.
#[derive(Clone)]
pub(crate) struct Bytes {
    source: Arc<dyn ReadAt>,
    range: Range<u64>,
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bytes({:?})", self.range)
    }
}

impl Bytes {
    /// Bytes in memory.
    pub(crate) fn of(bytes: Vec<u8>) -> Self {
        let len = bytes.len() as u64;
        Self::within(Arc::new(bytes), 0..len)
    }

    /// Bytes of a source, which has them.
    pub(crate) fn within(source: Arc<dyn ReadAt>, range: Range<u64>) -> Self {
        Self { source, range }
    }

    pub(crate) fn len(&self) -> u64 {
        self.range.end.saturating_sub(self.range.start)
    }

    /// As a writer takes them.
    pub(crate) fn span(&self) -> Span<'_> {
        Span::within(&*self.source, self.range.clone())
    }

    /// A part of these bytes; what reaches out of them cannot be read.
    pub(crate) fn part(&self, part: Range<u64>) -> Self {
        let start = self.range.start.saturating_add(part.start);
        let end = self.range.start.saturating_add(part.end);
        Self::within(Arc::clone(&self.source), start..end)
    }

    /// Fills `buffer` from `at` on.
    ///
    /// # Errors
    /// What the source says; `UnexpectedEof` where it has fewer bytes.
    pub(crate) fn read(&self, at: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.span().read(at, buffer)
    }

    /// All of them.
    ///
    /// # Errors
    /// As [`Bytes::read`]; there is no memory for them.
    pub(crate) fn to_vec(&self) -> io::Result<Vec<u8>> {
        let len = usize::try_from(self.len()).map_err(|_| io::ErrorKind::OutOfMemory)?;
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(len).map_err(|_| io::ErrorKind::OutOfMemory)?;
        bytes.resize(len, 0);
        self.read(0, &mut bytes)?;
        Ok(bytes)
    }
}

/// Bytes of a tensor that are in memory at a time while two are compared: a multiple of every element's length.
const WINDOW_LEN: u64 = 1 << 20;

/// Hands `each` two strings of bytes side by side, piece by piece, until it says that it has seen enough. What one has
/// more than the other is not looked at.
///
/// # Errors
/// As [`Bytes::read`].
pub(crate) fn windows(a: &Bytes, b: &Bytes, mut each: impl FnMut(&[u8], &[u8]) -> bool) -> io::Result<()> {
    let len = a.len().min(b.len());
    let (mut first, mut second) = (Vec::new(), Vec::new());
    let mut at = 0;
    while at < len {
        let count = (len - at).min(WINDOW_LEN);
        for (bytes, buffer) in [(a, &mut first), (b, &mut second)] {
            buffer.resize(usize::try_from(count).unwrap_or(0), 0);
            bytes.read(at, buffer)?;
        }
        if !each(&first, &second) {
            break;
        }
        at += count;
    }
    Ok(())
}

/// Whether two strings of bytes are the same.
///
/// # Errors
/// As [`Bytes::read`].
pub(crate) fn same_bytes(a: &Bytes, b: &Bytes) -> io::Result<bool> {
    let mut same = a.len() == b.len();
    if same {
        windows(a, b, |a, b| {
            same = a == b;
            same
        })?;
    }
    Ok(same)
}
