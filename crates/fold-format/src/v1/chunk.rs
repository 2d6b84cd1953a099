//! One chunk: its header against its entry, its digests, what its parity restores, its payload.
//!
//! Digests come first. Parity is decoded only where they fail, and its result counts only if both then match. A chunk is
//! read in pieces; its content is held in memory where it is compressed, the stored bytes where they are encrypted or need
//! their parity. Memory is bounded by the limits and by the file.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use std::io;
use std::ops::{Deref, Range};

use sha2::{Digest as _, Sha256};

use super::digest::{check, hex};
use super::fault::{Finding, Kind};
use super::frame::{Frame, Keep};
use super::index::{Entry, Index};
use super::keys::Keys;
use super::layout::{CHUNK_HEADER_LEN, ChunkHeader};
use super::parity;
use super::rs::Code;
use crate::limits::Limits;
use crate::memory::Room;
use crate::source::{ReadAt, read_full};
use crate::wire::len_u64;

/// Bytes that are read at once while the digests of those before are computed.
const PIECE_LEN: u64 = 1 << 20;

/// Blocks whose parity is checked at once: some megabytes with PyFolds' codes.
const PARITY_PIECE_BLOCKS: u64 = 1 << 14;

/// The flags whose meaning is known: none, or 1 for compressed.
const KNOWN_FLAGS: u32 = 1;

/// What a chunk is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Standing {
    /// Its digests match.
    Ok,
    /// Its digests match after its parity restored it.
    Repaired,
    /// Something about it does not match.
    Error,
}

/// A chunk's payload in memory: bytes.
#[derive(Debug)]
pub struct Payload(pub(super) Room);

impl Deref for Payload {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

/// Where a chunk's payload is: in the file as it is, or decoded in memory.
#[derive(Debug)]
pub(crate) enum Found {
    InFile(Range<u64>),
    Memory(Room),
}

/// What looking at a chunk gave.
pub(crate) struct Examined {
    pub(crate) standing: Standing,
    pub(crate) findings: Vec<Finding>,
    /// Where nothing stood in the way.
    pub(crate) payload: Option<Found>,
    /// The stored bytes that parity restored.
    pub(crate) restored: Option<Vec<u8>>,
    pub(crate) bytes_read: u64,
}

/// What the chunks of one file are looked at with.
pub(crate) struct Examiner<'a, S: ?Sized> {
    pub(crate) source: &'a S,
    pub(crate) index: &'a Index,
    pub(crate) keys: &'a Keys,
    pub(crate) limits: &'a Limits,
}

/// The digests of stored bytes.
struct Digests {
    crc32c: u32,
    sha256: String,
}

impl Digests {
    fn of(bytes: &[u8]) -> Self {
        let (crc32c, sha256) = rayon::join(|| crc32c::crc32c(bytes), || hex(&Sha256::digest(bytes)));
        Self { crc32c, sha256 }
    }

    /// What of the two does not match.
    fn faults(&self, crc32c: u32, sha256: &str, keys: &Keys) -> Vec<Kind> {
        let mut faults = Vec::new();
        if self.crc32c != crc32c {
            faults.push(Kind::CrcMismatch);
        }
        faults.extend(check(sha256, &self.sha256, keys.integrity_key()).err());
        faults
    }
}

impl<S: ReadAt + ?Sized> Examiner<'_, S> {
    /// Bounds and header alone: what the structure says without reading the content.
    pub(crate) fn header(&self, entry: &Entry) -> Examined {
        let mut examined = Examined {
            standing: Standing::Error,
            findings: Vec::new(),
            payload: None,
            restored: None,
            bytes_read: 0,
        };
        self.checked_header(entry, &mut examined);
        if examined.findings.is_empty() {
            examined.standing = Standing::Ok;
        }
        examined
    }

    /// The header, where it agrees with the entry; a finding otherwise.
    fn checked_header(&self, entry: &Entry, examined: &mut Examined) -> Option<ChunkHeader> {
        let extent = entry.extent().filter(|_| self.index.contains(entry));
        let Some(extent) = extent else {
            let entries = self.index.range.clone();
            examined
                .findings
                .push(Finding::new(Kind::ChunkOutOfBounds, entries).chunk(&entry.name));
            return None;
        };
        let place = extent.start..extent.start.saturating_add(CHUNK_HEADER_LEN);
        let header = match self.read(&place) {
            Ok(bytes) => ChunkHeader::parse(&bytes),
            Err(error) => {
                examined
                    .findings
                    .push(Finding::unreadable(&error, place).chunk(&entry.name));
                return None;
            }
        };
        examined.bytes_read = examined.bytes_read.saturating_add(CHUNK_HEADER_LEN);
        let by_entry = entry.header();
        if header.is_none() || header != by_entry || entry.header_len != CHUNK_HEADER_LEN {
            let mut finding = Finding::new(Kind::HeaderIndexMismatch, place).chunk(&entry.name);
            let fits = |copy: Option<ChunkHeader>| copy.is_some_and(|copy| self.decoded_by(entry, copy).is_some());
            let by_index = fits(by_entry);
            finding.salvageable = by_index || fits(header);
            // Nothing speaks for a type, so a header is rewritten from the index only where the types agree.
            let same_type = header.map(|header| header.ctype) == by_entry.map(|header| header.ctype);
            // What is wrong with the index itself would only come to light behind the new header.
            let sound = entry.header_len == CHUNK_HEADER_LEN && parity::parse_algorithm(&entry.ecc_algo).is_some();
            finding.repairable = by_index && same_type && sound;
            examined.findings.push(finding);
            return None;
        }
        header
    }

    /// The payload if the chunk's header were `copy`; none where its flags mean nothing, its digests do not match then, or
    /// it does not decode.
    fn decoded_by(&self, entry: &Entry, copy: ChunkHeader) -> Option<Room> {
        let start = entry.offset.checked_add(CHUNK_HEADER_LEN)?;
        let end = start
            .checked_add(copy.comp_len)
            .filter(|&end| end <= self.index.range.start)?;
        if copy.flags > KNOWN_FLAGS || !self.within_limits(&copy) {
            return None;
        }
        let stored = self.read(&(start..end)).ok()?;
        let faults = Digests::of(&stored).faults(copy.crc32c, &entry.sha256, self.keys);
        faults.is_empty().then(|| self.decode(entry, &copy, stored).ok())?
    }

    /// The payload by whichever copy of the chunk's header its digests agree with, though the two copies differ.
    pub(crate) fn salvage(&self, entry: &Entry) -> Option<Room> {
        let end = entry.offset.checked_add(CHUNK_HEADER_LEN)?;
        let own = (end <= self.index.range.start)
            .then(|| self.read(&(entry.offset..end)).ok())
            .flatten();
        let copies = [entry.header(), own.and_then(|bytes| ChunkHeader::parse(&bytes))];
        copies
            .into_iter()
            .flatten()
            .find_map(|copy| self.decoded_by(entry, copy))
    }

    fn within_limits(&self, header: &ChunkHeader) -> bool {
        let max = self.limits.max_v1_chunk_bytes;
        header.comp_len <= max && header.uncomp_len <= max && u64::from(header.ecc_len) <= max
    }

    /// Everything about a chunk.
    ///
    /// - `keep`: what becomes of content that has to be decompressed.
    pub(crate) fn examine(&self, entry: &Entry, keep: Keep) -> Examined {
        let mut examined = self.header(entry);
        if examined.standing == Standing::Error {
            examined.findings.extend(self.chunk_hash(entry));
            return examined;
        }
        examined.standing = Standing::Error;
        let place = entry.extent().unwrap_or(0..0);
        let fault = |kind| Finding::new(kind, place.clone()).chunk(&entry.name);
        let Some(header) = entry.header() else { return examined };
        if !self.within_limits(&header) {
            examined.findings.push(fault(Kind::ChunkTooLarge));
            return examined;
        }
        if header.flags > KNOWN_FLAGS {
            examined.findings.push(fault(Kind::UnknownFlags));
        }
        let algorithm = parity::parse_algorithm(&entry.ecc_algo);
        if algorithm.is_none() {
            examined.findings.push(fault(Kind::UnknownEcc));
        }
        examined.findings.extend(self.chunk_hash(entry));
        let code = algorithm.flatten().and_then(Code::new);
        match self.content(entry, &header, code.as_ref(), keep, &mut examined) {
            Ok(payload) if examined.findings.iter().all(|finding| is_bearable(finding.kind)) => {
                let restored = examined.restored.is_some();
                examined.standing = if restored { Standing::Repaired } else { Standing::Ok };
                examined.payload = Some(payload);
            }
            Ok(_) => {}
            Err(finding) => examined.findings.push(*finding),
        }
        examined
    }

    /// The copy of the digest in the metadata.
    fn chunk_hash(&self, entry: &Entry) -> Option<Finding> {
        let kind = entry.hash_fault?;
        Some(Finding::new(kind, self.index.range.clone()).chunk(&entry.name))
    }

    /// Reads the stored bytes, holds them against the digests, restores them where they fail and can be, and decodes them.
    fn content(
        &self,
        entry: &Entry,
        header: &ChunkHeader,
        code: Option<&Code>,
        keep: Keep,
        examined: &mut Examined,
    ) -> Result<Found, Box<Finding>> {
        let start = entry.offset.saturating_add(CHUNK_HEADER_LEN);
        let place = start..start.saturating_add(header.comp_len);
        let finding = |kind| Finding::new(kind, place.clone()).chunk(&entry.name);
        let unreadable = |error| Box::new(Finding::unreadable(&error, place.clone()).chunk(&entry.name));
        examined.bytes_read = examined.bytes_read.saturating_add(header.comp_len);
        // What is compressed alone is decompressed while it is hashed, and counts only if the digests match.
        let mut frame = (header.flags == 1 && !entry.encrypted).then(|| Frame::new(header.uncomp_len, keep));
        let (digests, encrypted) = match entry.encrypted {
            false => (self.digests(&place, frame.as_mut()).map_err(unreadable)?, None),
            true => {
                let stored = self.read(&place).map_err(unreadable)?;
                (Digests::of(&stored), Some(stored))
            }
        };
        let faults = digests.faults(header.crc32c, &entry.sha256, self.keys);
        let damaged = faults
            .iter()
            .any(|kind| matches!(kind, Kind::CrcMismatch | Kind::Sha256Mismatch));
        let parity_place = place.end..place.end.saturating_add(header.ecc_len.into());
        if !damaged {
            examined.findings.extend(faults.iter().map(|&kind| finding(kind)));
            if let Some(code) = code.filter(|_| header.comp_len > 0 && faults.is_empty()) {
                self.check_parity(code, &place, &parity_place, entry, examined);
            }
            let payload = match (frame, encrypted) {
                (Some(frame), _) => frame.finish().map(Found::Memory),
                (None, Some(stored)) => self.decode(entry, header, stored).map(Found::Memory),
                (None, None) if header.uncomp_len != header.comp_len => Err(Kind::SizeMismatch),
                (None, None) => Ok(Found::InFile(place.clone())),
            };
            return payload.map_err(|kind| Box::new(finding(kind)));
        }
        // Lost unless its parity restores it.
        drop(frame);
        let stored = match encrypted {
            Some(stored) => stored,
            None => self.read(&place).map_err(unreadable)?,
        };
        let restored = code.and_then(|code| {
            let parity = self.read(&parity_place).ok()?;
            examined.bytes_read = examined.bytes_read.saturating_add(header.ecc_len.into());
            let is_right = |bytes: &[u8]| {
                Digests::of(bytes)
                    .faults(header.crc32c, &entry.sha256, self.keys)
                    .is_empty()
            };
            parity::restore(code, &stored, &parity, &is_right)
        });
        let Some(restored) = restored else {
            examined.findings.extend(faults.iter().map(|&kind| finding(kind)));
            if code.is_some() {
                examined.findings.push(finding(Kind::EccUncorrectable));
            }
            return Err(Box::new(examined.findings.pop().unwrap_or(finding(Kind::CrcMismatch))));
        };
        let bad = changed(&stored, &restored);
        let bytes = place.start.saturating_add(bad.start)..place.start.saturating_add(bad.end);
        examined.findings.push(
            Finding::new(Kind::ReadThroughParity, bytes)
                .chunk(&entry.name)
                .repairable(true),
        );
        let payload = self.decode(entry, header, Room::of(restored.clone()));
        examined.restored = Some(restored);
        payload.map(Found::Memory).map_err(|kind| Box::new(finding(kind)))
    }

    /// A finding where the parity of whole data is not what it must be.
    fn check_parity(
        &self,
        code: &Code,
        data: &Range<u64>,
        parity: &Range<u64>,
        entry: &Entry,
        examined: &mut Examined,
    ) {
        let whole = self.is_parity_of(code, data, parity);
        let read = parity.end.saturating_sub(parity.start);
        examined.bytes_read = examined.bytes_read.saturating_add(read);
        match whole {
            Ok(true) => {}
            Ok(false) => {
                // Parity of another length than the algorithm's cannot be written in its place.
                let fits = code.total_parity(entry.comp_len) == entry.ecc_len;
                let finding = Finding::new(Kind::ParityDamaged, parity.clone()).chunk(&entry.name);
                examined.findings.push(finding.repairable(fits));
            }
            Err(error) => examined
                .findings
                .push(Finding::unreadable(&error, parity.clone()).chunk(&entry.name)),
        }
    }

    /// Whether a place holds the parity of another, in either layout; in blocks, as most have it, it is read in pieces.
    fn is_parity_of(&self, code: &Code, data: &Range<u64>, parity: &Range<u64>) -> io::Result<bool> {
        let len = |range: &Range<u64>| range.end.saturating_sub(range.start);
        if code.total_parity(len(data)) != len(parity) {
            return Ok(false);
        }
        let data_len = len_u64(code.data_len()).saturating_mul(PARITY_PIECE_BLOCKS);
        let parity_len = len_u64(code.parity_len()).saturating_mul(PARITY_PIECE_BLOCKS);
        let (mut data_piece, mut parity_piece) = (Vec::new(), Vec::new());
        let (mut data_at, mut parity_at) = (data.start, parity.start);
        let mut in_blocks = true;
        while in_blocks && data_at < data.end {
            self.piece(&mut data_piece, &mut data_at, data.end, data_len)?;
            self.piece(&mut parity_piece, &mut parity_at, parity.end, parity_len)?;
            in_blocks = parity::is_of_blocks(code, &data_piece, &parity_piece);
        }
        Ok(in_blocks || parity::is_tail_copy(code, &self.read(data)?, &self.read(parity)?))
    }

    /// Stored bytes to payload: decrypted, decompressed, of the length that was stated.
    fn decode(&self, entry: &Entry, header: &ChunkHeader, stored: Room) -> Result<Room, Kind> {
        let plain = match entry.encrypted {
            false => stored,
            true => {
                if entry.aad.as_ref().is_some_and(|aad| *aad != entry.name) {
                    return Err(Kind::AadMismatch);
                }
                Room::of(self.keys.decrypt(&entry.name, entry.nonce_hex.as_deref(), &stored)?)
            }
        };
        match header.flags {
            1 => {
                let mut frame = Frame::new(header.uncomp_len, Keep::All);
                frame.decode(&plain);
                frame.finish()
            }
            _ if len_u64(plain.len()) == header.uncomp_len => Ok(plain),
            _ => Err(Kind::SizeMismatch),
        }
    }

    /// Bytes of the file, which are there by its length.
    pub(crate) fn read(&self, range: &Range<u64>) -> io::Result<Room> {
        let len = range.end.saturating_sub(range.start);
        let mut bytes = Room::zeroed(len).map_err(|fault| fault.source)?;
        match read_full(self.source, &mut bytes, range.start)? {
            true => Ok(bytes),
            false => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    /// The digests of bytes of the file, on two threads: while a piece is hashed, its checksum is taken and the next is read,
    /// and while one is decompressed, all of that is done.
    fn digests(&self, range: &Range<u64>, mut frame: Option<&mut Frame>) -> io::Result<Digests> {
        let mut sha256 = Sha256::new();
        let mut crc = 0;
        let (mut current, mut next) = (Vec::new(), Vec::new());
        let mut at = range.start;
        self.piece(&mut current, &mut at, range.end, PIECE_LEN)?;
        while !current.is_empty() {
            let mut hash = || sha256.update(&current);
            let mut rest = || {
                crc = crc32c::crc32c_append(crc, &current);
                self.piece(&mut next, &mut at, range.end, PIECE_LEN)
            };
            let ((), read) = match frame.as_deref_mut() {
                None => rayon::join(hash, rest),
                Some(frame) => rayon::join(
                    || frame.decode(&current),
                    || {
                        hash();
                        rest()
                    },
                ),
            };
            read?;
            std::mem::swap(&mut current, &mut next);
        }
        Ok(Digests {
            crc32c: crc,
            sha256: hex(&sha256.finalize()),
        })
    }

    /// Fills `buffer` with the next piece, of at most `most` bytes; empty at the end.
    fn piece(&self, buffer: &mut Vec<u8>, at: &mut u64, end: u64, most: u64) -> io::Result<()> {
        let len = end.saturating_sub(*at).min(most);
        buffer.resize(usize::try_from(len).unwrap_or(0), 0);
        if !read_full(self.source, buffer, *at)? {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        *at = at.saturating_add(len);
        Ok(())
    }
}

/// Whether a chunk with this finding can still be whole.
pub(crate) const fn is_bearable(kind: Kind) -> bool {
    matches!(kind, Kind::ParityDamaged | Kind::ReadThroughParity)
}

/// The span in which two strings of bytes differ.
fn changed(before: &[u8], after: &[u8]) -> Range<u64> {
    let differs = |(a, b): (&u8, &u8)| a != b;
    let first = before.iter().zip(after).position(differs).unwrap_or(0);
    let last = before.iter().zip(after).rposition(differs).unwrap_or(0);
    len_u64(first)..len_u64(last).saturating_add(1)
}
