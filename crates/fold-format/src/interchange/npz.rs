//! Arrays as NumPy's `.npz`: a zip archive with one `.npy` per array.
//!
//! Read: stored or deflated members, one at a time, each within the caller's bound. Written: stored, so that an array of
//! a file can be read in place; members beyond 4 GiB get their 64-bit fields. A name is not a path: whoever makes a file
//! of it has to look at it again.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use std::borrow::Cow;
use std::io::{self, Read, Seek, Write};
use std::ops::Range;

use zip::result::ZipError;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use crate::archive::Archive;
use crate::content::TensorSource;
use crate::dtype::{Dtype, Shape};
use crate::interchange::{Array, Fault, npy};
use crate::span::Span;
use crate::wire::len_u64;

/// What a member's name ends with.
const SUFFIX: &str = ".npy";

/// An open archive of arrays.
pub struct Npz<R> {
    archive: Archive<R>,
    names: Vec<Box<str>>,
    max_array_bytes: u64,
}

impl<R> std::fmt::Debug for Npz<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Npz")
            .field("names", &self.names)
            .finish_non_exhaustive()
    }
}

impl<R: Read + Seek> Npz<R> {
    /// Reads the directory of an archive. Any bytes may be passed.
    ///
    /// - `max_array_bytes`: the largest member, header included, that will be decompressed.
    ///
    /// # Errors
    /// [`Fault::Zip`]; [`Fault::Member`] for a member that is no `.npy`.
    pub fn open(reader: R, max_array_bytes: u64) -> Result<Self, Fault> {
        let archive = Archive::open(reader)?;
        let mut names = Vec::new();
        for member in archive.names() {
            let name = member.strip_suffix(SUFFIX).ok_or_else(|| Fault::Member {
                member: member.into(),
                what: "a member of an npz archive is called .npy",
            })?;
            names.push(name.into());
        }
        Ok(Self {
            archive,
            names,
            max_array_bytes,
        })
    }

    /// The arrays' names, in the order of the archive.
    pub fn names(&self) -> &[Box<str>] {
        &self.names
    }

    /// Checks one array in bounded memory: its header, and its member's length and checksum. None where there is none of
    /// that name.
    ///
    /// # Errors
    /// What is wrong with the member: [`Fault`].
    pub fn check(&mut self, name: &str) -> Result<Option<Located>, Fault> {
        let Some(member) = self.archive.find(&format!("{name}{SUFFIX}")) else {
            return Ok(None);
        };
        let size = self.archive.size(member)?;
        let mut start = Vec::new();
        self.archive.walk(member, self.max_array_bytes, |piece| {
            let wanted = npy::MAX_START_LEN.saturating_sub(start.len()).min(piece.len());
            start.extend_from_slice(piece.get(..wanted).unwrap_or_default());
        })?;
        let described = npy::describe(&start)?;
        let header_len = len_u64(described.header_len);
        npy::check_len(&described, size.saturating_sub(header_len))?;
        let place = self.archive.place(member)?.filter(|_| described.as_is());
        Ok(Some(Located {
            name: name.into(),
            dtype: described.dtype,
            shape: described.shape,
            place: place.map(|place| place.start.saturating_add(header_len)..place.end),
        }))
    }

    /// One array. None where there is none of that name.
    ///
    /// # Errors
    /// What is wrong with the member: [`Fault`].
    pub fn array(&mut self, name: &str) -> Result<Option<Array<'static>>, Fault> {
        let Some(member) = self.archive.find(&format!("{name}{SUFFIX}")) else {
            return Ok(None);
        };
        let bytes = self.archive.read(member, self.max_array_bytes)?;
        let npy = npy::read(&bytes)?;
        let (dtype, shape) = (npy.dtype, npy.shape);
        let bytes = match npy.bytes {
            Cow::Owned(turned) => turned,
            Cow::Borrowed(data) => {
                // The elements are the end of the member: the header is moved out, nothing is copied anew.
                let header = bytes.len().saturating_sub(data.len());
                let mut bytes = bytes;
                bytes.drain(..header);
                bytes
            }
        };
        Ok(Some(Array {
            name: name.to_owned().into(),
            dtype,
            shape,
            bytes: bytes.into(),
        }))
    }
}

/// An array that was checked, and where it lies.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Located {
    /// Its name.
    pub name: Box<str>,
    /// Its elements' type.
    pub dtype: Dtype,
    /// Its extents, slowest first.
    pub shape: Shape,
    /// Its bytes in the archive's, little-endian and row-major; none where they have to be decoded or turned round.
    pub place: Option<Range<u64>>,
}

/// Every array of an archive in memory.
///
/// # Errors
/// As [`Npz::open`] and [`Npz::array`]; [`Fault::OverLimit`] when all of them together are more than `max_bytes`.
pub fn read_all(bytes: &[u8], max_bytes: u64) -> Result<Vec<Array<'static>>, Fault> {
    let mut npz = Npz::open(io::Cursor::new(bytes), max_bytes)?;
    let mut arrays = Vec::new();
    let mut left = max_bytes;
    for name in npz.names().to_vec() {
        npz.max_array_bytes = left;
        arrays.extend(
            npz.array(&name)?
                .inspect(|array| left = left.saturating_sub(len_u64(array.bytes.len()))),
        );
    }
    Ok(arrays)
}

/// Writes an archive, array by array.
pub struct Writer<W: Write + Seek> {
    zip: ZipWriter<W>,
}

impl<W: Write + Seek> std::fmt::Debug for Writer<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").finish_non_exhaustive()
    }
}

fn failed(error: ZipError) -> io::Error {
    match error {
        ZipError::Io(error) => error,
        other => io::Error::new(io::ErrorKind::InvalidInput, other),
    }
}

impl<W: Write + Seek> Writer<W> {
    /// An archive without arrays yet.
    pub fn new(out: W) -> Self {
        Self {
            zip: ZipWriter::new(out),
        }
    }

    /// Adds one array. The same arrays give the same bytes: members carry no time.
    ///
    /// # Errors
    /// What the output says; `InvalidInput` for a name that is there already, and where the bytes are not as many as
    /// dtype and shape say.
    pub fn add(&mut self, name: &str, dtype: Dtype, shape: &Shape, bytes: &[u8]) -> io::Result<()> {
        self.add_span(name, dtype, shape, bytes.into())
    }

    /// As [`Writer::add`], the bytes wherever they are: they are read while they are written.
    ///
    /// # Errors
    /// As [`Writer::add`]; what the source says.
    pub fn add_source(&mut self, tensor: &TensorSource<'_>) -> io::Result<()> {
        self.add_span(&tensor.name, tensor.dtype, &tensor.shape, tensor.bytes)
    }

    fn add_span(&mut self, name: &str, dtype: Dtype, shape: &Shape, bytes: Span<'_>) -> io::Result<()> {
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Stored)
            .last_modified_time(DateTime::default())
            .large_file(bytes.len() > u64::from(u32::MAX >> 1));
        self.zip
            .start_file(format!("{name}{SUFFIX}"), options)
            .map_err(failed)?;
        npy::write_span(&mut self.zip, dtype, shape.extents(), bytes)
    }

    /// Writes the directory and gives the output back.
    ///
    /// # Errors
    /// What the output says.
    pub fn finish(self) -> io::Result<W> {
        self.zip.finish().map_err(failed)
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
    use std::io::Cursor;

    #[test]
    fn arrays_go_round_and_the_same_arrays_give_the_same_bytes() {
        let shape = Shape::new(&[2, 3]).unwrap();
        let file = || {
            let mut writer = Writer::new(Cursor::new(Vec::new()));
            writer.add("step.spikes", Dtype::F32, &shape, &[1; 24]).unwrap();
            writer.add("x/y", Dtype::Bool, &shape, &[1; 6]).unwrap();
            writer.add("half", Dtype::Bf16, &shape, &[3; 12]).unwrap();
            writer.finish().unwrap().into_inner()
        };
        let bytes = file();
        assert_eq!(bytes, file());
        let arrays = read_all(&bytes, 1 << 20).unwrap();
        let summary: Vec<_> = arrays
            .iter()
            .map(|array| (&*array.name, array.dtype, array.bytes.len()))
            .collect();
        assert_eq!(
            summary,
            [
                ("step.spikes", Dtype::F32, 24),
                ("x/y", Dtype::Bool, 6),
                ("half", Dtype::U16, 12)
            ]
        );
        assert!(arrays.iter().all(|array| array.shape == shape));
        assert!(matches!(read_all(&bytes, 100), Err(Fault::OverLimit { .. })));
    }

    #[test]
    fn a_name_twice_and_wrong_bytes_are_refused() {
        let shape = Shape::new(&[2]).unwrap();
        let mut writer = Writer::new(Cursor::new(Vec::new()));
        writer.add("a", Dtype::U8, &shape, &[1; 2]).unwrap();
        assert!(writer.add("a", Dtype::U8, &shape, &[1; 2]).is_err());
        assert!(writer.add("b", Dtype::U8, &shape, &[1; 3]).is_err());
    }

    #[test]
    fn what_is_no_npz_is_refused() {
        assert!(matches!(Npz::open(Cursor::new(b"PK"), 10), Err(Fault::Zip { .. })));
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        zip.start_file("readme.txt", SimpleFileOptions::default()).unwrap();
        let bytes = zip.finish().unwrap().into_inner();
        assert!(matches!(Npz::open(Cursor::new(bytes), 10), Err(Fault::Member { .. })));
    }
}
