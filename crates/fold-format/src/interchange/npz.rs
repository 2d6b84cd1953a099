//! Arrays as NumPy's `.npz`: a zip archive with one `.npy` per array.
//!
//! Read: stored or deflated members, one at a time, each within the caller's bound. Written: stored, so that an array of
//! a file can be read in place; members beyond 4 GiB get their 64-bit fields. A name is not a path: whoever makes a file
//! of it has to look at it again.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use std::io::{self, Read, Seek, Write};
use std::ops::Range;

use zip::result::ZipError;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipArchive, ZipWriter};

use crate::archive::{Archive, MAX_MEMBERS};
use crate::content::TensorSource;
use crate::dtype::{Dtype, Shape};
use crate::interchange::{Array, Fault, npy};
use crate::name::Escaped;
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
    /// [`Fault::Zip`]; [`Fault::MemberKind`] for a member that is no `.npy`, is encrypted, or compressed by something else
    /// than deflate.
    pub fn open(mut reader: R, max_array_bytes: u64) -> Result<Self, Fault> {
        let unread = unread_member(&mut reader);
        let archive = Archive::open(reader)?;
        if let Some(fault) = unread {
            return Err(fault);
        }
        let mut names = Vec::new();
        for member in archive.names() {
            let name = member.strip_suffix(SUFFIX).ok_or_else(|| Fault::MemberKind {
                member: member.into(),
                what: "it is no .npy, as every member of an npz archive is",
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
        self.elements(name, |_| ())
    }

    /// As [`Npz::check`], and hands the elements to `each` on the way: little-endian, in pieces of whole ones, in the order
    /// of the file. What was handed out counts only once this has returned without an error.
    ///
    /// # Errors
    /// As [`Npz::check`].
    pub fn elements(&mut self, name: &str, mut each: impl FnMut(&[u8])) -> Result<Option<Located>, Fault> {
        let Some(member) = self.archive.find(&format!("{name}{SUFFIX}")) else {
            return Ok(None);
        };
        let of_array = |fault| match fault {
            Fault::NpyDtype { descr } => Fault::NpzDtype {
                array: name.into(),
                descr,
            },
            Fault::Rank { rank, .. } => Fault::Rank {
                name: name.into(),
                rank,
            },
            other => other,
        };
        let size = self.archive.size(member)?;
        let mut reading = Reading::default();
        self.archive
            .walk(member, self.max_array_bytes, |piece| reading.take(piece, &mut each))?;
        let described = match reading.described {
            Some(described) => described,
            None => npy::describe(&reading.start).map_err(of_array)?,
        };
        let header_len = len_u64(described.header_len);
        npy::check_len(&described, size.saturating_sub(header_len))?;
        let place = self.archive.place(member)?.filter(|_| described.as_is());
        Ok(Some(Located {
            name: name.into(),
            dtype: described.dtype,
            shape: described.shape,
            row_major: !described.column_major,
            place: place.map(|place| place.start.saturating_add(header_len)..place.end),
        }))
    }

    /// One array. None where there is none of that name.
    ///
    /// # Errors
    /// What is wrong with the member: [`Fault`]; there is no memory for it.
    pub fn array(&mut self, name: &str) -> Result<Option<Array<'static>>, Fault> {
        let mut bytes = Vec::new();
        let mut room = Ok(());
        let located = self.elements(name, |piece| {
            // The buffer grows with what is there, not with what is claimed.
            if room.is_ok() {
                room = bytes.try_reserve(piece.len());
            }
            match room {
                Ok(()) => bytes.extend_from_slice(piece),
                Err(_) => bytes = Vec::new(),
            }
        })?;
        let Some(located) = located else { return Ok(None) };
        room.map_err(|_| Fault::out_of_memory())?;
        if !located.row_major {
            let size = usize::try_from(located.dtype.size_bytes()).unwrap_or(1);
            bytes = npy::row_major(&bytes, located.shape.extents(), size)?;
        }
        Ok(Some(Array {
            name: name.to_owned().into(),
            dtype: located.dtype,
            shape: located.shape,
            bytes: bytes.into(),
        }))
    }
}

/// The first member that may be sound and is compressed or encrypted in a way that is not read. A directory that cannot be
/// read is left to [`Archive::open`].
fn unread_member<R: Read + Seek>(reader: &mut R) -> Option<Fault> {
    let zip = ZipArchive::new(reader).ok().filter(|zip| zip.len() <= MAX_MEMBERS)?;
    (0..zip.len()).find_map(|at| {
        let member = zip.by_index_data(at).ok()?;
        let what = match member.compression() {
            _ if member.encrypted() => "it is encrypted",
            CompressionMethod::Stored | CompressionMethod::Deflated => return None,
            _ => "it is compressed by something else than deflate",
        };
        Some(Fault::MemberKind {
            member: member.name().ok()?.into(),
            what,
        })
    })
}

/// A member that is being read: header first, then elements.
#[derive(Default)]
struct Reading {
    /// The member's beginning, until its header is known.
    start: Vec<u8>,
    described: Option<npy::Described>,
    /// Elements of which some bytes have not come yet, or that are to be turned round.
    held: Vec<u8>,
}

impl Reading {
    fn take(&mut self, piece: &[u8], each: &mut impl FnMut(&[u8])) {
        if let Some(described) = self.described {
            return self.pass(&described, piece, each);
        }
        let wanted = npy::MAX_START_LEN.saturating_sub(self.start.len()).min(piece.len());
        let Some((head, rest)) = piece.split_at_checked(wanted).filter(|(head, _)| !head.is_empty()) else {
            return;
        };
        self.start.extend_from_slice(head);
        if let Ok(described) = npy::describe(&self.start) {
            self.described = Some(described);
            let begun = std::mem::take(&mut self.start);
            self.pass(&described, begun.get(described.header_len..).unwrap_or_default(), each);
            self.pass(&described, rest, each);
        }
    }

    fn pass(&mut self, described: &npy::Described, bytes: &[u8], each: &mut impl FnMut(&[u8])) {
        let size = usize::try_from(described.dtype.size_bytes()).unwrap_or(1);
        if self.held.is_empty() && !described.swapped && bytes.len().is_multiple_of(size) {
            return each(bytes);
        }
        self.held.extend_from_slice(bytes);
        let mut elements = self.held.chunks_exact_mut(size);
        if described.swapped {
            elements.by_ref().for_each(<[u8]>::reverse);
        }
        let whole = self
            .held
            .len()
            .saturating_sub(self.held.len().checked_rem(size).unwrap_or(0));
        each(self.held.get(..whole).unwrap_or_default());
        self.held.drain(..whole);
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
    /// Whether its elements lie in row-major order; else the first dimension varies fastest.
    pub row_major: bool,
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
    /// What the output says; `InvalidInput` for a name that is there already or holds a NUL, and where the bytes are not as
    /// many as dtype and shape say.
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
        if name.contains('\0') {
            // Python's zipfile ends a name there: NumPy would read another array in its place, or none.
            let what = format!("array {} has a NUL in its name, where NumPy ends it", Escaped(name));
            return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        }
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
        let error = writer.add("a\0b", Dtype::U8, &shape, &[1; 2]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        assert!(error.to_string().contains(r"`a\0b` has a NUL"), "{error}");
    }

    #[test]
    fn what_is_no_npz_is_refused() {
        assert!(matches!(Npz::open(Cursor::new(b"PK"), 10), Err(Fault::Zip { .. })));
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        zip.start_file("readme.txt", SimpleFileOptions::default()).unwrap();
        let bytes = zip.finish().unwrap().into_inner();
        assert!(matches!(
            Npz::open(Cursor::new(bytes), 10),
            Err(Fault::MemberKind { .. })
        ));
    }

    /// An archive of one member `a.npy`, deflated.
    fn deflated(npy: &[u8]) -> Vec<u8> {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
        zip.start_file("a.npy", options).unwrap();
        zip.write_all(npy).unwrap();
        zip.finish().unwrap().into_inner()
    }

    /// A `.npy` of a header as other programs write it, and what is behind it.
    fn npy_of(descr: &str, fortran: &str, shape: &str, data: &[u8]) -> Vec<u8> {
        let text = format!("{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}}}");
        let mut npy = b"\x93NUMPY\x01\x00".to_vec();
        npy.extend_from_slice(&(text.len() as u16).to_le_bytes());
        npy.extend_from_slice(text.as_bytes());
        npy.extend_from_slice(data);
        npy
    }

    #[test]
    fn elements_come_whole_and_little_endian_and_arrays_row_major() {
        // More than one piece of the archive's reader, which no element's end falls together with.
        let count = 20_001_u32;
        let bytes = |turn: fn(u32) -> [u8; 4]| (0..count).flat_map(turn).collect::<Vec<u8>>();
        let (little, big) = (bytes(u32::to_le_bytes), bytes(u32::to_be_bytes));
        for (descr, data) in [("'<u4'", &little), ("'>u4'", &big)] {
            for (fortran, shape) in [("False", "(20001,)"), ("True", "(20001, 1)"), ("True", "(3, 6667)")] {
                let file = deflated(&npy_of(descr, fortran, shape, data));
                let mut npz = Npz::open(Cursor::new(&file), 1 << 20).unwrap();
                let mut seen = Vec::new();
                let located = npz.elements("a", |piece| {
                    assert_eq!(piece.len() % 4, 0);
                    seen.extend_from_slice(piece);
                });
                assert!(seen == little, "{descr} {shape}");
                let row_major = located.unwrap().unwrap().row_major;
                assert_eq!(row_major, fortran == "False", "{shape}");
                assert_eq!(
                    npz.check("a").unwrap().unwrap().shape,
                    npz.array("a").unwrap().unwrap().shape
                );
                let array = npz.array("a").unwrap().unwrap();
                let second = array.bytes[4..8].to_vec();
                let wanted = if shape == "(3, 6667)" { 3_u32 } else { 1 };
                assert_eq!(second, wanted.to_le_bytes(), "{descr} {shape}");
            }
        }
    }

    #[test]
    fn what_may_be_sound_and_is_not_read_is_no_damage() {
        let fault = |bytes: &[u8]| {
            let mut npz = Npz::open(Cursor::new(bytes), 1 << 20)?;
            let by_check = npz.check("a").unwrap_err();
            assert_eq!(npz.array("a").unwrap_err(), by_check);
            Err::<(), _>(by_check)
        };
        for descr in ["'<c8'", "'<U3'", "'|S3'", "'<M8[s]'", "'|O'", "[('x', '<f4')]"] {
            let fault = fault(&deflated(&npy_of(descr, "False", "(1,)", &[0; 12]))).unwrap_err();
            assert!(
                matches!(&fault, Fault::NpzDtype { array, .. } if **array == *"a"),
                "{fault}"
            );
            assert_eq!(fault.code(), crate::Code::ForeignContent);
        }
        let rank = fault(&deflated(&npy_of("'<f4'", "False", "(1,1,1,1,1,1,1,1,1)", &[0; 4]))).unwrap_err();
        assert_eq!(
            rank,
            Fault::Rank {
                name: "a".into(),
                rank: 9
            }
        );
        // Another method in the member's two headers: 12 is bzip2; and the flag that says encrypted.
        for (in_local, in_central, value) in [(8, 10, 12), (6, 8, 1)] {
            let mut file = deflated(&npy_of("'<f4'", "False", "(1,)", &[0; 4]));
            let central = file.windows(4).position(|bytes| bytes == b"PK\x01\x02").unwrap();
            file[in_local] = value;
            file[central + in_central] = value;
            let fault = fault(&file).unwrap_err();
            assert!(matches!(fault, Fault::MemberKind { .. }), "{fault}");
            assert_eq!(fault.code(), crate::Code::ForeignContent);
        }
        let mut cut = deflated(&npy_of("'<c8'", "False", "(1,)", &[0; 12]));
        cut.truncate(60);
        assert_eq!(fault(&cut).unwrap_err().code(), crate::Code::BrokenContent);
        assert_eq!(Fault::out_of_memory().code().class(), crate::Class::Environment);
    }
}
