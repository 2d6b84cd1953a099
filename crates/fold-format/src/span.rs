//! Bytes that a writer takes: a slice, or a range of a source that is read while it is written.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use std::fmt;
use std::io::{self, Write};
use std::ops::Range;

use crate::source::{ReadAt, read_full};
use crate::wire::len_u64;

/// Bytes that are copied at once.
const PIECE_LEN: u64 = 1 << 20;

/// Bytes to be written, wherever they are.
#[derive(Clone, Copy)]
pub struct Span<'a>(Place<'a>);

#[derive(Clone, Copy)]
enum Place<'a> {
    Slice(&'a [u8]),
    Source {
        source: &'a dyn ReadAt,
        start: u64,
        end: u64,
    },
}

impl fmt::Debug for Span<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Span({} bytes)", self.len())
    }
}

impl<'a> From<&'a [u8]> for Span<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self(Place::Slice(bytes))
    }
}

impl<'a> Span<'a> {
    /// A range of a source. A save refuses one that ends before it begins or behind the source; where the source has less when
    /// it is read, reading fails.
    pub fn within(source: &'a dyn ReadAt, range: Range<u64>) -> Self {
        Self(Place::Source {
            source,
            start: range.start,
            end: range.end,
        })
    }

    /// Whether it ends before it begins.
    pub(crate) fn is_reversed(&self) -> bool {
        matches!(self.0, Place::Source { start, end, .. } if start > end)
    }

    /// The range of the source and the source's length, where it has not all of that; none where it has, or does not say.
    pub(crate) fn misfit(&self) -> Option<(Range<u64>, u64)> {
        match self.0 {
            Place::Slice(_) => None,
            Place::Source { source, start, end } => {
                let len = source.len().ok()?;
                (start > end || end > len).then_some((start..end, len))
            }
        }
    }

    /// How many bytes it has.
    #[must_use]
    pub fn len(&self) -> u64 {
        match self.0 {
            Place::Slice(bytes) => len_u64(bytes.len()),
            Place::Source { start, end, .. } => end.saturating_sub(start),
        }
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes, where they are in memory.
    #[must_use]
    pub fn as_slice(&self) -> Option<&'a [u8]> {
        match self.0 {
            Place::Slice(bytes) => Some(bytes),
            Place::Source { .. } => None,
        }
    }

    /// Fills `buffer` from the byte `at` on.
    ///
    /// # Errors
    /// What the source says; `UnexpectedEof` where it, or the span, ends before.
    pub fn read(&self, at: u64, buffer: &mut [u8]) -> io::Result<()> {
        let end = at.checked_add(len_u64(buffer.len()));
        let cut = || io::Error::from(io::ErrorKind::UnexpectedEof);
        end.filter(|&end| end <= self.len()).ok_or_else(cut)?;
        match self.0 {
            Place::Slice(bytes) => {
                let start = usize::try_from(at).map_err(|_| cut())?;
                let from = bytes.get(start..).and_then(|rest| rest.get(..buffer.len()));
                buffer.copy_from_slice(from.ok_or_else(cut)?);
            }
            Place::Source { source, start, .. } => {
                if !read_full(source, buffer, start.saturating_add(at))? {
                    return Err(cut());
                }
            }
        }
        Ok(())
    }

    /// Hands all bytes to `each`, in their order, at most 1 MiB at a time where they are not in memory.
    ///
    /// # Errors
    /// As [`Span::read`]; what `each` says.
    pub fn pieces(&self, mut each: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        if let Some(bytes) = self.as_slice() {
            return each(bytes);
        }
        let mut buffer = Vec::new();
        let mut at = 0_u64;
        while at < self.len() {
            let count = self.len().saturating_sub(at).min(PIECE_LEN);
            buffer.resize(usize::try_from(count).unwrap_or(0), 0);
            self.read(at, &mut buffer)?;
            each(&buffer)?;
            at = at.saturating_add(count);
        }
        Ok(())
    }

    /// Writes all bytes.
    ///
    /// # Errors
    /// As [`Span::read`]; what `out` says.
    pub fn copy_to(&self, out: &mut (impl Write + ?Sized)) -> io::Result<()> {
        self.pieces(|bytes| out.write_all(bytes))
    }
}

#[cfg(test)]
#[allow(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    reason = "tests may panic"
)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_and_a_source_are_read_alike_and_never_beyond_their_end() {
        let bytes: Vec<u8> = (0..100).collect();
        let spans = [Span::from(&bytes[10..60]), Span::within(&bytes, 10..60)];
        for span in spans {
            assert_eq!((span.len(), span.is_empty()), (50, false));
            let mut buffer = [0; 7];
            span.read(43, &mut buffer).unwrap();
            assert_eq!(buffer, [53, 54, 55, 56, 57, 58, 59]);
            assert_eq!(
                span.read(44, &mut buffer).unwrap_err().kind(),
                io::ErrorKind::UnexpectedEof
            );
            assert!(span.read(u64::MAX, &mut buffer).is_err());
            let mut out = Vec::new();
            span.copy_to(&mut out).unwrap();
            assert_eq!(out, bytes[10..60]);
        }
        let beyond = Span::within(&bytes, 90..110);
        assert!(
            beyond.copy_to(&mut Vec::new()).is_err(),
            "the source is shorter than the span"
        );
    }

    #[test]
    fn a_long_source_comes_in_pieces() {
        let bytes = vec![7; (2 << 20) + 5];
        let mut lens = Vec::new();
        let span = Span::within(&bytes, 0..len_u64(bytes.len()));
        span.pieces(|piece| {
            lens.push(piece.len());
            Ok(())
        })
        .unwrap();
        assert_eq!(lens, [1 << 20, 1 << 20, 5]);
    }
}
