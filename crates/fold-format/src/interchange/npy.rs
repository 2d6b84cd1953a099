//! One array as NumPy's `.npy`, format 1.0 to 3.0 (NEP 1): magic, a header that is a Python dict literal, the elements.
//!
//! Read: both byte orders, C and Fortran order; the result is little-endian and row-major. Structured types, strings and
//! object arrays are refused, the last since reading one means running a pickle. Written: format 1.0, little-endian, C
//! order, the data on a multiple of 64 bytes. NumPy has no bf16: such an array is written as `<u2`, its bits unchanged,
//! and [`keeps_dtype`] says so beforehand.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use std::borrow::Cow;
use std::io::{self, Write};

use crate::dtype::{Dtype, Shape};
use crate::interchange::Fault;
use crate::span::Span;
use crate::wire::len_u64;

/// What a `.npy` file begins with.
pub const MAGIC: &[u8; 6] = b"\x93NUMPY";

/// The longest header that is read: NumPy's own are below 200 bytes.
const MAX_HEADER_LEN: u64 = 1 << 16;

/// What the header's length, its own ten bytes included, is a multiple of.
const ALIGN: usize = 64;

/// One array out of a `.npy` file; borrowed where the bytes are already as they must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Npy<'a> {
    /// Its elements' type.
    pub dtype: Dtype,
    /// Its extents, slowest first.
    pub shape: Shape,
    /// Its elements, little-endian, row-major.
    pub bytes: Cow<'a, [u8]>,
}

/// Whether NumPy has this dtype: false for bf16 alone, which is written as u16.
#[must_use]
pub const fn keeps_dtype(dtype: Dtype) -> bool {
    !matches!(dtype, Dtype::Bf16)
}

/// Writes one array: header, then the bytes as they are.
///
/// - `bytes`: little-endian, row-major, as many as `dtype` and `shape` say; `InvalidInput` otherwise.
///
/// # Errors
/// What `out` says.
pub fn write(out: &mut impl Write, dtype: Dtype, shape: &[u64], bytes: &[u8]) -> io::Result<()> {
    write_span(out, dtype, shape, bytes.into())
}

/// As [`write()`], the bytes wherever they are: they are read while they are written.
///
/// # Errors
/// As [`write()`]; what the source says.
pub fn write_span(out: &mut impl Write, dtype: Dtype, shape: &[u64], bytes: Span<'_>) -> io::Result<()> {
    let shape = Shape::new(shape).filter(|shape| shape.byte_len(dtype) == Some(bytes.len()));
    let shape = shape.ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::InvalidInput,
            "the bytes are not as many as dtype and shape say",
        )
    })?;
    out.write_all(&header(dtype, &shape))?;
    bytes.copy_to(out)
}

/// The header in front of an array's bytes: a multiple of 64 bytes, magic included.
#[must_use]
pub fn header(dtype: Dtype, shape: &Shape) -> Vec<u8> {
    let extents = shape.extents();
    let listed: String = extents.iter().map(|extent| format!("{extent}, ")).collect();
    // A tuple of one has its comma, one of more has none at its end.
    let tuple = match extents.len() {
        1 => listed.trim_end(),
        _ => listed.trim_end_matches(", "),
    };
    let mut text = format!(
        "{{'descr': '{}', 'fortran_order': False, 'shape': ({tuple}), }}",
        descr(dtype)
    );
    let prefix = MAGIC.len().saturating_add(4);
    let total = prefix
        .saturating_add(text.len())
        .saturating_add(1)
        .next_multiple_of(ALIGN);
    while prefix.saturating_add(text.len()).saturating_add(1) < total {
        text.push(' ');
    }
    text.push('\n');
    let mut header = MAGIC.to_vec();
    header.extend_from_slice(&[1, 0]);
    // A shape has at most eight extents, of at most twenty digits: far below the 64 KiB that format 1.0 can say.
    header.extend_from_slice(&u16::try_from(text.len()).unwrap_or(u16::MAX).to_le_bytes());
    header.extend_from_slice(text.as_bytes());
    header
}

const fn descr(dtype: Dtype) -> &'static str {
    match dtype {
        Dtype::Bool => "|b1",
        Dtype::U8 => "|u1",
        Dtype::I8 => "|i1",
        Dtype::U16 | Dtype::Bf16 => "<u2",
        Dtype::I16 => "<i2",
        Dtype::U32 => "<u4",
        Dtype::I32 => "<i4",
        Dtype::U64 => "<u8",
        Dtype::I64 => "<i8",
        Dtype::F16 => "<f2",
        Dtype::F32 => "<f4",
        Dtype::F64 => "<f8",
    }
}

/// What a header says of the elements behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Described {
    pub(crate) dtype: Dtype,
    pub(crate) shape: Shape,
    /// Bytes of the header, magic included.
    pub(crate) header_len: usize,
    /// Whether the elements have the other byte order.
    pub(crate) swapped: bool,
    /// Whether the first dimension varies fastest.
    pub(crate) column_major: bool,
}

impl Described {
    /// Whether the bytes behind the header are already little-endian and row-major.
    pub(crate) fn as_is(&self) -> bool {
        !self.swapped && !self.column_major
    }
}

/// The most bytes that [`describe`] looks at.
pub(crate) const MAX_START_LEN: usize = 12 + (1 << 16);

/// Reads the header that a `.npy` file begins with.
pub(crate) fn describe(start: &[u8]) -> Result<Described, Fault> {
    let broken = |what| Fault::NpyHeader { what };
    let rest = start.strip_prefix(MAGIC).ok_or(broken("no npy magic"))?;
    let (&[major, _], rest) = rest.split_first_chunk().ok_or(broken("cut off"))?;
    let (len, rest) = match major {
        1 => {
            let (len, rest) = rest.split_first_chunk().ok_or(broken("cut off"))?;
            (u64::from(u16::from_le_bytes(*len)), rest)
        }
        2 | 3 => {
            let (len, rest) = rest.split_first_chunk().ok_or(broken("cut off"))?;
            (u64::from(u32::from_le_bytes(*len)), rest)
        }
        _ => return Err(broken("an unknown format version")),
    };
    if len > MAX_HEADER_LEN {
        return Err(Fault::over("npy header bytes", len, MAX_HEADER_LEN));
    }
    let len = usize::try_from(len).unwrap_or(usize::MAX);
    let (text, data) = rest.split_at_checked(len).ok_or(broken("the header is cut off"))?;
    let text = std::str::from_utf8(text).map_err(|_| broken("the header is not text"))?;
    let header = Literal::new(text).header()?;
    let (dtype, swapped) = dtype_of(&header.descr)?;
    let shape = Shape::new(&header.shape).ok_or(Fault::Rank {
        name: "".into(),
        rank: header.shape.len(),
    })?;
    Ok(Described {
        dtype,
        shape,
        header_len: start.len().saturating_sub(data.len()),
        swapped,
        column_major: header.fortran_order && shape.extents().len() > 1,
    })
}

/// Reads one array. Any bytes may be passed; memory stays within a small constant of `bytes.len()`.
///
/// # Errors
/// [`Fault::NpyHeader`], [`Fault::NpyDtype`], [`Fault::Rank`]; [`Fault::Unreadable`] for want of memory.
pub fn read(bytes: &[u8]) -> Result<Npy<'_>, Fault> {
    let described = describe(bytes)?;
    let Described { dtype, shape, .. } = described;
    let data = bytes.get(described.header_len..).unwrap_or_default();
    check_len(&described, len_u64(data.len()))?;
    let mut bytes = Cow::Borrowed(data);
    let size = usize::try_from(dtype.size_bytes()).unwrap_or(1);
    if described.swapped {
        for element in bytes.to_mut().chunks_exact_mut(size) {
            element.reverse();
        }
    }
    if described.column_major {
        bytes = Cow::Owned(row_major(&bytes, shape.extents(), size)?);
    }
    Ok(Npy { dtype, shape, bytes })
}

/// The bytes behind a header are as many as it says.
pub(crate) fn check_len(described: &Described, len: u64) -> Result<(), Fault> {
    match described.shape.byte_len(described.dtype) == Some(len) {
        true => Ok(()),
        false => Err(Fault::NpyHeader {
            what: "the data are not as many bytes as the header says",
        }),
    }
}

/// The dtype of a `descr`, and whether its bytes have the other order.
fn dtype_of(descr: &str) -> Result<(Dtype, bool), Fault> {
    let unsupported = || Fault::NpyDtype { descr: descr.into() };
    let mut characters = descr.chars();
    let order = characters.next().ok_or_else(unsupported)?;
    let dtype = match characters.as_str() {
        "b1" => Dtype::Bool,
        "u1" => Dtype::U8,
        "i1" => Dtype::I8,
        "u2" => Dtype::U16,
        "i2" => Dtype::I16,
        "u4" => Dtype::U32,
        "i4" => Dtype::I32,
        "u8" => Dtype::U64,
        "i8" => Dtype::I64,
        "f2" => Dtype::F16,
        "f4" => Dtype::F32,
        "f8" => Dtype::F64,
        _ => return Err(unsupported()),
    };
    match order {
        '<' | '=' => Ok((dtype, false)),
        '|' if dtype.size_bytes() == 1 => Ok((dtype, false)),
        '>' => Ok((dtype, true)),
        _ => Err(unsupported()),
    }
}

/// Elements of `size` bytes from column-major to row-major order.
///
/// # Errors
/// There is no memory for them.
pub(crate) fn row_major(bytes: &[u8], extents: &[u64], size: usize) -> Result<Vec<u8>, Fault> {
    let mut out = Vec::new();
    out.try_reserve_exact(bytes.len()).map_err(|_| Fault::out_of_memory())?;
    // Where an element lies in the column-major source: its index times the strides 1, e0, e0 e1, ...
    let mut strides = Vec::with_capacity(extents.len());
    let mut stride = 1_u64;
    for &extent in extents {
        strides.push(stride);
        // The product of the extents is the number of elements: it does not overflow.
        stride = stride.saturating_mul(extent);
    }
    let mut index = vec![0_u64; extents.len()];
    for _ in 0..stride {
        let element = index.iter().zip(&strides).fold(0_u64, |sum, (at, stride)| {
            sum.saturating_add(at.saturating_mul(*stride))
        });
        let start = usize::try_from(element).unwrap_or(usize::MAX).saturating_mul(size);
        out.extend_from_slice(bytes.get(start..start.saturating_add(size)).unwrap_or_default());
        for (at, extent) in index.iter_mut().zip(extents).rev() {
            *at = at.saturating_add(1);
            if *at < *extent {
                break;
            }
            *at = 0;
        }
    }
    Ok(out)
}

/// The three entries of a header.
struct Header {
    descr: String,
    fortran_order: bool,
    shape: Vec<u64>,
}

/// The subset of Python literals that npy headers are written in.
struct Literal<'a> {
    rest: &'a str,
}

impl<'a> Literal<'a> {
    fn new(text: &'a str) -> Self {
        Self { rest: text }
    }

    fn header(mut self) -> Result<Header, Fault> {
        let broken = Fault::NpyHeader {
            what: "the header is not the dict that it must be",
        };
        self.entries()?.ok_or(broken)
    }

    /// None where the text is not such a dict.
    fn entries(&mut self) -> Result<Option<Header>, Fault> {
        let (mut descr, mut fortran_order, mut shape) = (None, None, None);
        if !self.takes("{") {
            return Ok(None);
        }
        while !self.takes("}") {
            let Some(key) = self.string() else { return Ok(None) };
            if !self.takes(":") {
                return Ok(None);
            }
            let taken = match key {
                "descr" if self.peeks('[') => {
                    return Err(Fault::NpyDtype {
                        descr: "a structured type".into(),
                    });
                }
                "descr" => descr.replace(self.string()).is_some(),
                "fortran_order" => fortran_order.replace(self.boolean()).is_some(),
                "shape" => shape.replace(self.tuple()).is_some(),
                _ => true,
            };
            if taken || !(self.takes(",") || self.peeks('}')) {
                return Ok(None);
            }
        }
        let ended = self.rest.trim_matches([' ', '\n', '\0']).is_empty();
        Ok(match (descr.flatten(), fortran_order.flatten(), shape.flatten()) {
            (Some(descr), Some(fortran_order), Some(shape)) if ended => Some(Header {
                descr: descr.to_owned(),
                fortran_order,
                shape,
            }),
            _ => None,
        })
    }

    fn space(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n']);
    }

    fn takes(&mut self, token: &str) -> bool {
        self.space();
        let rest = self.rest.strip_prefix(token);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn peeks(&mut self, token: char) -> bool {
        self.space();
        self.rest.starts_with(token)
    }

    /// A string in either quotes, without escapes: no dtype and no key has any.
    fn string(&mut self) -> Option<&'a str> {
        let quote = if self.takes("'") {
            '\''
        } else if self.takes("\"") {
            '"'
        } else {
            return None;
        };
        let (string, rest) = self.rest.split_once(quote)?;
        self.rest = rest;
        (!string.contains('\\')).then_some(string)
    }

    fn boolean(&mut self) -> Option<bool> {
        if self.takes("True") {
            Some(true)
        } else {
            self.takes("False").then_some(false)
        }
    }

    fn tuple(&mut self) -> Option<Vec<u64>> {
        if !self.takes("(") {
            return None;
        }
        let mut extents = Vec::new();
        while !self.takes(")") {
            self.space();
            let digits = self.rest.bytes().take_while(u8::is_ascii_digit).count();
            let (number, rest) = self.rest.split_at_checked(digits)?;
            extents.push(number.parse().ok()?);
            // NumPy of Python 2 wrote long integers.
            self.rest = rest.strip_prefix('L').unwrap_or(rest);
            if !(self.takes(",") || self.peeks(')')) {
                return None;
            }
        }
        Some(extents)
    }
}

#[cfg(test)]
#[allow(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    reason = "a test that goes out of bounds has failed"
)]
mod tests {
    use super::*;

    fn written(dtype: Dtype, shape: &[u64], bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        write(&mut out, dtype, shape, bytes).unwrap();
        out
    }

    #[test]
    fn every_dtype_and_rank_goes_round() {
        for &dtype in Dtype::ALL {
            for shape in [&[][..], &[3], &[2, 3], &[0], &[4, 0, 2], &[1; 8]] {
                let len = Shape::new(shape).unwrap().byte_len(dtype).unwrap();
                let bytes: Vec<u8> = (0..len).map(|at| at as u8).collect();
                let file = written(dtype, shape, &bytes);
                let read = read(&file).unwrap();
                let expected = if keeps_dtype(dtype) { dtype } else { Dtype::U16 };
                assert_eq!((read.dtype, read.shape.extents()), (expected, shape));
                assert_eq!(*read.bytes, *bytes);
                assert_eq!((file.len() - bytes.len()) % 64, 0, "the data are aligned");
            }
        }
    }

    #[test]
    fn the_header_is_the_one_that_numpy_writes() {
        let expected = b"\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }";
        let header = |dtype, shape: &[u64]| header(dtype, &Shape::new(shape).unwrap());
        assert!(header(Dtype::F32, &[3, 4]).starts_with(expected));
        let text = |shape: &[u64]| String::from_utf8_lossy(&header(Dtype::Bool, shape)).into_owned();
        assert!(text(&[]).contains("'shape': ()"));
        assert!(text(&[7]).contains("'shape': (7,)"));
        assert!(text(&[7, 1]).ends_with(" \n"));
    }

    #[test]
    fn the_longest_header_says_its_length_and_a_longer_one_cannot_be_asked_for() {
        let shape = Shape::new(&[u64::MAX; 8]).unwrap();
        let longest = header(Dtype::F32, &shape);
        let described = describe(&longest).unwrap();
        assert_eq!((described.header_len, described.shape), (longest.len(), shape));
        assert!(longest.len() <= 256 && Shape::new(&[0; 9]).is_none());
        let refused = write(&mut Vec::new(), Dtype::F32, &[0; 9], &[]).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::InvalidInput);
    }

    fn file(descr: &str, fortran: &str, shape: &str, data: &[u8]) -> Vec<u8> {
        let text = format!("{{\"shape\": {shape}, 'fortran_order': {fortran}, 'descr': {descr}}}\n");
        let mut file = b"\x93NUMPY\x02\x00".to_vec();
        file.extend_from_slice(&(text.len() as u32).to_le_bytes());
        file.extend_from_slice(text.as_bytes());
        file.extend_from_slice(data);
        file
    }

    #[test]
    fn other_byte_orders_and_column_major_arrays_are_turned() {
        let swapped = file("'>i2'", "False", "(2,)", &[0x01, 0x02, 0x03, 0x04]);
        assert_eq!(*read(&swapped).unwrap().bytes, [0x02, 0x01, 0x04, 0x03]);
        // [[0, 1, 2], [3, 4, 5]] column by column.
        let fortran = file("'|u1'", "True", "(2, 3)", &[0, 3, 1, 4, 2, 5]);
        assert_eq!(*read(&fortran).unwrap().bytes, [0, 1, 2, 3, 4, 5]);
        let three = file("'|u1'", "True", "(2L, 2L, 2L)", &[0, 4, 2, 6, 1, 5, 3, 7]);
        assert_eq!(*read(&three).unwrap().bytes, [0, 1, 2, 3, 4, 5, 6, 7]);
        assert!(read(&file("'<f4'", "True", "(2, 0)", &[])).unwrap().bytes.is_empty());
    }

    #[test]
    fn objects_and_structures_are_refused_by_name() {
        let refused = |descr: &str| read(&file(descr, "False", "(1,)", &[0; 8])).unwrap_err();
        assert_eq!(refused("'|O'"), Fault::NpyDtype { descr: "|O".into() });
        assert_eq!(refused("'<c8'"), Fault::NpyDtype { descr: "<c8".into() });
        assert!(matches!(refused("[('a', '<f4')]"), Fault::NpyDtype { .. }));
    }

    #[test]
    fn every_prefix_and_every_flipped_bit_gets_an_answer() {
        let whole = written(Dtype::I32, &[2, 2], &[7; 16]);
        for len in 0..whole.len() {
            assert!(read(&whole[..len]).is_err(), "{len}");
        }
        for bit in 0..whole.len() * 8 {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            if let Ok(read) = read(&flipped) {
                assert_eq!(read.shape.byte_len(read.dtype), Some(16), "bit {bit}");
            }
        }
    }

    #[test]
    fn a_claim_of_many_elements_allocates_nothing() {
        for shape in [
            "(18446744073709551615,)",
            "(4294967296, 4294967296)",
            "(1000000000000,)",
        ] {
            assert!(matches!(
                read(&file("'<f8'", "False", shape, &[0; 16])).unwrap_err(),
                Fault::NpyHeader { .. }
            ));
        }
    }
}
