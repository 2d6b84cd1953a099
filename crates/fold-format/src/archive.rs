//! Zip archives, as numpy and torch write them: members by name and place, bounded, checksums checked.
//!
//! The central directory alone is believed; the local headers that torch writes hold neither sizes nor checksums.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use std::borrow::Cow;
use std::io::{Cursor, Read, Seek};
use std::ops::Range;

use indexmap::IndexSet;
use zip::read::ZipReadOptions;
use zip::result::ZipError;
use zip::{CompressionMethod, ZipArchive};

use crate::interchange::Fault;
use crate::wire::len_u64;

/// The most members that an archive may have.
pub(crate) const MAX_MEMBERS: usize = 1 << 20;

/// An archive whose directory has been read: no name twice, no two members on the same bytes.
pub(crate) struct Archive<R> {
    zip: ZipArchive<R>,
    /// Names in the order of the directory.
    members: IndexSet<Box<str>>,
}

fn broken(error: &ZipError) -> Fault {
    Fault::Zip {
        what: match error {
            ZipError::UnsupportedArchive(_) => "it uses what is not supported",
            ZipError::FileNotFound => "a member is missing",
            ZipError::InvalidPassword => "it is encrypted",
            ZipError::Io(_) => "it is cut off, or a checksum does not match",
            _ => "its directory is damaged",
        },
    }
}

impl<R: Read + Seek> Archive<R> {
    /// Reads the directory.
    pub(crate) fn open(reader: R) -> Result<Self, Fault> {
        let mut zip = ZipArchive::new(reader).map_err(|error| broken(&error))?;
        if zip.len() > MAX_MEMBERS {
            return Err(Fault::over("zip members", len_u64(zip.len()), len_u64(MAX_MEMBERS)));
        }
        if zip.has_overlapping_files().map_err(|error| broken(&error))? {
            return Err(Fault::Zip {
                what: "two members lie on the same bytes",
            });
        }
        let mut members = IndexSet::with_capacity(zip.len());
        for name in zip.file_names() {
            members.insert(Box::from(name.map_err(|error| broken(&error))?));
        }
        // The same bytes twice, or different ones that mean the same in their encodings.
        if zip.has_duplicate_names() || members.len() != zip.len() {
            return Err(Fault::Zip {
                what: "two members have the same name",
            });
        }
        Ok(Self { zip, members })
    }

    /// The members' names, in the order of the directory.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.members.iter().map(|name| &**name)
    }

    /// A member's place in the directory. None where there is no such member.
    pub(crate) fn find(&self, name: &str) -> Option<usize> {
        self.members.get_index_of(name)
    }

    /// Bytes of a member when decompressed, as the directory says.
    pub(crate) fn size(&self, at: usize) -> Result<u64, Fault> {
        Ok(self.zip.by_index_data(at).map_err(|error| broken(&error))?.size())
    }

    /// Whether a member has to be decompressed.
    pub(crate) fn is_compressed(&self, at: usize) -> Result<bool, Fault> {
        let member = self.zip.by_index_data(at).map_err(|error| broken(&error))?;
        Ok(member.compression() != CompressionMethod::Stored)
    }

    /// Where a member's bytes lie in the archive, where they are stored without compression. None where it has to be decoded.
    pub(crate) fn place(&mut self, at: usize) -> Result<Option<Range<u64>>, Fault> {
        let member = self.zip.by_index_raw(at).map_err(|error| broken(&error))?;
        let as_is = member.compression() == CompressionMethod::Stored && !member.encrypted();
        let (start, len) = (member.data_start(), member.size());
        let range = start.and_then(|start| Some(start..start.checked_add(len)?));
        Ok(range.filter(|_| as_is && member.compressed_size() == len))
    }

    /// Reads a member to its end in bounded memory, its checksum checked, and hands its pieces to `each`.
    pub(crate) fn walk(&mut self, at: usize, max: u64, mut each: impl FnMut(&[u8])) -> Result<(), Fault> {
        let wrong = self.wrong_size(at);
        let mut member = self.zip.by_index(at).map_err(|error| broken(&error))?;
        let size = member.size();
        if size > max {
            return Err(Fault::over("bytes of a zip member", size, max));
        }
        let mut buffer = [0; 1 << 13];
        let mut left = size;
        loop {
            let count = match member.read(&mut buffer) {
                Ok(count) => count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(_) => {
                    return Err(Fault::Zip {
                        what: "a member is cut off, or its checksum does not match",
                    });
                }
            };
            match left.checked_sub(len_u64(count)) {
                Some(0) if count == 0 => return Ok(()),
                Some(_) if count == 0 => return Err(wrong),
                Some(rest) => left = rest,
                None => return Err(wrong),
            }
            each(buffer.get(..count).unwrap_or_default());
        }
    }

    fn wrong_size(&self, at: usize) -> Fault {
        Fault::Member {
            member: self.members.get_index(at).cloned().unwrap_or_default(),
            what: "it does not have the size that the directory says",
        }
    }

    /// A member's bytes. A digest has spoken for the archive: a checksum of zero counts as none, since torch can be told to
    /// write none.
    ///
    /// - `max`: more bytes than these are refused before any is decompressed.
    pub(crate) fn read_digested(&mut self, at: usize, max: u64) -> Result<Vec<u8>, Fault> {
        let entry = self.zip.by_index_data(at).map_err(|error| broken(&error))?;
        let options = ZipReadOptions::new().ignore_crc32(entry.crc32() == 0);
        let member = self.zip.by_index_with_options(at, options);
        let mut member = member.map_err(|error| broken(&error))?;
        let size = member.size();
        if size > max {
            return Err(Fault::over("bytes of a zip member", size, max));
        }
        let mut bytes = Vec::new();
        // One byte more than was claimed is enough to notice that there are more; the buffer grows with what is there.
        let read = member.by_ref().take(size.saturating_add(1)).read_to_end(&mut bytes);
        match read {
            Ok(count) if len_u64(count) == size => Ok(bytes),
            Ok(_) => {
                drop(member);
                Err(self.wrong_size(at))
            }
            Err(_) => Err(Fault::Zip {
                what: "a member is cut off, or its checksum does not match",
            }),
        }
    }
}

impl<'a> Archive<Cursor<&'a [u8]>> {
    /// A member's bytes: borrowed where they are stored without compression.
    ///
    /// - `whole`: the archive's bytes, for which a digest has spoken: see [`Archive::read_digested`].
    pub(crate) fn view(&mut self, whole: &'a [u8], at: usize, max: u64) -> Result<Cow<'a, [u8]>, Fault> {
        let options = ZipReadOptions::new().ignore_crc32(true);
        let member = self
            .zip
            .by_index_with_options(at, options)
            .map_err(|error| broken(&error))?;
        if member.compression() != CompressionMethod::Stored || member.encrypted() {
            drop(member);
            return Ok(Cow::Owned(self.read_digested(at, max)?));
        }
        let range = member
            .data_start()
            .and_then(|start| usize::try_from(start).ok())
            .zip(usize::try_from(member.size()).ok())
            .and_then(|(start, len)| whole.get(start..start.checked_add(len)?));
        match range {
            Some(bytes) if member.compressed_size() == member.size() => {
                if member.crc32() != 0 && crc32fast::hash(bytes) != member.crc32() {
                    return Err(Fault::Zip {
                        what: "a member's checksum does not match",
                    });
                }
                Ok(Cow::Borrowed(bytes))
            }
            _ => Err(Fault::Zip {
                what: "a member lies outside of it",
            }),
        }
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
    use std::io::Write;
    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    fn archive(members: &[(&str, &[u8], CompressionMethod)]) -> Vec<u8> {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, bytes, method) in members {
            let options = SimpleFileOptions::default().compression_method(*method);
            writer.start_file(*name, options).unwrap();
            writer.write_all(bytes).unwrap();
        }
        writer.finish().unwrap().into_inner()
    }

    #[test]
    fn members_come_back_by_name_and_within_their_bound() {
        let bytes = archive(&[
            ("a", b"stored", CompressionMethod::Stored),
            ("b", &[7; 5000], CompressionMethod::Deflated),
        ]);
        let mut archive = Archive::open(Cursor::new(bytes.as_slice())).unwrap();
        assert_eq!(archive.names().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!([archive.find("b"), archive.find("c")], [Some(1), None]);
        assert_eq!([archive.size(0).unwrap(), archive.size(1).unwrap()], [6, 5000]);
        assert_eq!(archive.view(&bytes, 0, 0).unwrap(), Cow::Borrowed(&b"stored"[..]));
        assert_eq!(archive.read_digested(1, 5000).unwrap(), [7; 5000]);
        assert_eq!(
            archive.view(&bytes, 1, 5000).unwrap(),
            Cow::<[u8]>::Owned(vec![7; 5000])
        );
        assert!(matches!(
            archive.read_digested(1, 4999),
            Err(Fault::OverLimit { value: 5000, .. })
        ));
    }

    #[test]
    fn a_checksum_of_zero_is_none_where_a_digest_has_spoken() {
        let mut bytes = archive(&[
            ("a", b"stored", CompressionMethod::Stored),
            ("b", &[7; 5000], CompressionMethod::Deflated),
        ]);
        for (signature, crc) in [(b"PK\x01\x02", 16), (b"PK\x03\x04", 14)] {
            for at in 0..bytes.len() - 4 {
                if bytes[at..].starts_with(signature) {
                    bytes[at + crc..at + crc + 4].fill(0);
                }
            }
        }
        let mut archive = Archive::open(Cursor::new(bytes.as_slice())).unwrap();
        for (at, content) in [(0, b"stored".to_vec()), (1, vec![7; 5000])] {
            assert_eq!(archive.read_digested(at, 5000).unwrap(), content);
            assert_eq!(*archive.view(&bytes, at, 5000).unwrap(), content);
        }
        // One that is not zero is checked all the same.
        let at = bytes.windows(6).position(|bytes| bytes == b"stored").unwrap();
        let mut altered = self::archive(&[("a", b"stored", CompressionMethod::Stored)]);
        altered[at] ^= 1;
        let mut archive = Archive::open(Cursor::new(altered.as_slice())).unwrap();
        assert!(matches!(archive.read_digested(0, 5000), Err(Fault::Zip { .. })));
    }

    #[test]
    fn every_prefix_and_every_flipped_bit_gets_an_answer() {
        let whole = archive(&[
            ("a", b"stored bytes", CompressionMethod::Stored),
            ("b", &[7; 300], CompressionMethod::Deflated),
        ]);
        let all = |bytes: &[u8]| -> Result<Vec<Vec<u8>>, Fault> {
            let mut archive = Archive::open(Cursor::new(bytes))?;
            (0..archive.names().count())
                .map(|at| Ok(archive.view(bytes, at, 1 << 20)?.into_owned()))
                .collect()
        };
        assert_eq!(all(&whole).unwrap(), [b"stored bytes".to_vec(), vec![7; 300]]);
        for len in 0..whole.len() {
            assert!(all(&whole[..len]).is_err(), "{len}");
        }
        for bit in 0..whole.len() * 8 {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let _ = all(&flipped);
        }
    }
}
