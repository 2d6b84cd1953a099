//! The two binary records of a version 1 file: the file's header and a chunk's. Big-endian, without padding or digest.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use super::fault::Kind;

/// What a version 1 file begins with.
pub const MAGIC: [u8; 8] = *b"FOLDv1\0\0";

/// What the unreleased draft of 2026-02-15 begins with: another format, which nothing reads.
pub const DRAFT_MAGIC: [u8; 8] = *b"FOLDSv1\0";

/// Bytes of the file's header.
pub(crate) const FILE_HEADER_LEN: u64 = 28;

/// Bytes of a chunk's header.
pub(crate) const CHUNK_HEADER_LEN: u64 = 32;

/// The file's header: where the index is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileHeader {
    pub(crate) index_offset: u64,
    pub(crate) index_len: u64,
}

/// Takes `N` bytes off the front.
fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*first)
}

impl FileHeader {
    /// Reads the header of a file of `file_len` bytes; the order of the checks is that of PyFolds.
    pub(crate) fn parse(mut bytes: &[u8], file_len: u64, max_index_len: u64) -> Result<Self, Kind> {
        let mut field = || -> Option<([u8; 8], u32, u64, u64)> {
            Some((
                take(&mut bytes)?,
                u32::from_be_bytes(take(&mut bytes)?),
                u64::from_be_bytes(take(&mut bytes)?),
                u64::from_be_bytes(take(&mut bytes)?),
            ))
        };
        let (magic, header_len, index_offset, index_len) = field().ok_or(Kind::TruncatedHeader)?;
        if magic != MAGIC {
            return Err(Kind::BadMagic);
        }
        if u64::from(header_len) != FILE_HEADER_LEN {
            return Err(Kind::BadHeaderLen);
        }
        if index_offset < FILE_HEADER_LEN {
            return Err(Kind::BadIndexOffset);
        }
        if index_len > max_index_len {
            return Err(Kind::IndexTooLarge);
        }
        match index_offset.checked_add(index_len) {
            Some(end) if end <= file_len => Ok(Self {
                index_offset,
                index_len,
            }),
            _ => Err(Kind::IndexTruncated),
        }
    }

    pub(crate) fn encode(self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&28_u32.to_be_bytes());
        bytes.extend_from_slice(&self.index_offset.to_be_bytes());
        bytes.extend_from_slice(&self.index_len.to_be_bytes());
        bytes
    }
}

/// What a chunk's header says, and its entry in the index repeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ChunkHeader {
    pub(crate) ctype: [u8; 4],
    pub(crate) flags: u32,
    pub(crate) uncomp_len: u64,
    pub(crate) comp_len: u64,
    pub(crate) crc32c: u32,
    pub(crate) ecc_len: u32,
}

impl ChunkHeader {
    pub(crate) fn parse(mut bytes: &[u8]) -> Option<Self> {
        Some(Self {
            ctype: take(&mut bytes)?,
            flags: u32::from_be_bytes(take(&mut bytes)?),
            uncomp_len: u64::from_be_bytes(take(&mut bytes)?),
            comp_len: u64::from_be_bytes(take(&mut bytes)?),
            crc32c: u32::from_be_bytes(take(&mut bytes)?),
            ecc_len: u32::from_be_bytes(take(&mut bytes)?),
        })
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = self.ctype.to_vec();
        bytes.extend_from_slice(&self.flags.to_be_bytes());
        bytes.extend_from_slice(&self.uncomp_len.to_be_bytes());
        bytes.extend_from_slice(&self.comp_len.to_be_bytes());
        bytes.extend_from_slice(&self.crc32c.to_be_bytes());
        bytes.extend_from_slice(&self.ecc_len.to_be_bytes());
        bytes
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
    fn headers_go_round() {
        let header = FileHeader {
            index_offset: 29_127,
            index_len: 2191,
        };
        let bytes = header.encode();
        assert_eq!(bytes.len(), 28);
        assert_eq!(FileHeader::parse(&bytes, 29_127 + 2191, 1 << 20), Ok(header));
        let chunk = ChunkHeader {
            ctype: *b"TSAV",
            flags: 1,
            uncomp_len: 1 << 33,
            comp_len: 7,
            crc32c: 0xDEAD_BEEF,
            ecc_len: 32,
        };
        assert_eq!(chunk.encode().len(), 32);
        assert_eq!(ChunkHeader::parse(&chunk.encode()), Some(chunk));
    }

    #[test]
    fn every_check_at_its_edge() {
        let parse = |offset, len, file_len| {
            let header = FileHeader {
                index_offset: offset,
                index_len: len,
            };
            FileHeader::parse(&header.encode(), file_len, 100).map(|_| ())
        };
        assert_eq!(parse(28, 2, 30), Ok(()));
        assert_eq!(parse(28, 3, 30), Err(Kind::IndexTruncated));
        assert_eq!(parse(27, 3, 30), Err(Kind::BadIndexOffset));
        assert_eq!(parse(28, 101, 1000), Err(Kind::IndexTooLarge));
        assert_eq!(parse(28, 100, 128), Ok(()));
        assert_eq!(parse(u64::MAX, 100, u64::MAX), Err(Kind::IndexTruncated));
        assert_eq!(FileHeader::parse(&MAGIC, 8, 100), Err(Kind::TruncatedHeader));
    }
}
