//! The two copies of everything in the metadata: reading them, choosing, and saying what is wrong with the other one.
//!
//! Where one copy is whole, the damage of the other is located to the byte by comparing them. What the metadata mean is
//! looked at in `superblock` and `index`.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use std::io;
use std::ops::Range;

use crate::digest::{Digest, Hasher, superblock_digest};
use crate::error::Error;
use crate::finding::{Cause, Digested, Finding, Foreign, Region};
use crate::geometry::{MIN_FILE_LEN, SUPERBLOCK_BYTES};
use crate::layout::{MAGIC, SELF_DIGEST_COVERS, SUPERBLOCK_LEN, superblock as field};
use crate::limits::Limits;
use crate::memory::zeros;
use crate::source::{ReadAt, read_full};
use crate::superblock::{Superblock, concerns_one_copy, low_bits};
use crate::wire::len_u64;

/// The cause of bytes that the system did not deliver.
pub(crate) fn unreadable(error: &io::Error) -> Cause {
    Cause::Unreadable {
        kind: error.kind(),
        errno: error.raw_os_error(),
    }
}

/// Fills the buffer from `start` of the source on; the cause where the bytes are not there.
pub(crate) fn fill(source: &(impl ReadAt + ?Sized), buffer: &mut [u8], start: u64) -> Result<(), Cause> {
    match read_full(source, buffer, start) {
        Ok(true) => Ok(()),
        Ok(false) => Err(Cause::Length {
            expected: start.saturating_add(len_u64(buffer.len())),
            actual: source.len().unwrap_or(start),
        }),
        Err(error) => Err(unreadable(&error)),
    }
}

/// Fills memory of its own with the bytes `range` of the source; the cause where they are not there.
///
/// The caller has compared the range with the source's length: no more is allocated than the source is long.
///
/// # Errors
/// Only a lack of memory.
pub(crate) fn read_range(source: &(impl ReadAt + ?Sized), range: &Range<u64>) -> Result<Result<Vec<u8>, Cause>, Error> {
    let mut bytes = zeros(range.end.saturating_sub(range.start))?;
    Ok(fill(source, &mut bytes, range.start).map(|()| bytes))
}

/// The span of the file in which two copies differ, the copy under suspicion beginning at `offset`.
pub(crate) fn differing(suspect: &[u8], good: &[u8], offset: u64) -> Range<u64> {
    let pairs = || suspect.iter().zip(good);
    let first = pairs().position(|(one, other)| one != other).unwrap_or(0);
    let last = pairs()
        .rposition(|(one, other)| one != other)
        .map_or(suspect.len(), |last| last.saturating_add(1));
    let shift = |at: usize| offset.saturating_add(len_u64(at));
    shift(first)..shift(last)
}

/// One copy of a superblock: its bytes where they could be read, and what they say.
pub(crate) struct SuperblockCopy {
    pub(crate) region: Region,
    pub(crate) range: Range<u64>,
    pub(crate) bytes: Vec<u8>,
    pub(crate) decoded: Result<Superblock, Cause>,
}

impl SuperblockCopy {
    /// Reads and decodes the copy at `offset`; a file that is too short for it has none.
    pub(crate) fn read(source: &(impl ReadAt + ?Sized), region: Region, offset: u64) -> Self {
        let range = offset..offset.saturating_add(SUPERBLOCK_BYTES);
        let mut bytes = vec![0; SUPERBLOCK_LEN];
        let decoded = match read_full(source, &mut bytes, offset) {
            Ok(true) => Superblock::decode(&bytes),
            Ok(false) => Err(short_file(&bytes, offset, source.len().unwrap_or(0))),
            Err(error) => Err(unreadable(&error)),
        };
        Self {
            region,
            range,
            bytes,
            decoded,
        }
    }

    /// What is wrong with this copy, given the other one where that is whole.
    pub(crate) fn finding(&self, cause: Cause, whole: Option<&[u8]>) -> Finding {
        let cause = match cause {
            // The other copy proves that this is a container, and that this copy's magic is damaged.
            Cause::NotContainer(_) if whole.is_some() => self.own_digest_cause(),
            cause => cause,
        };
        let range = match whole {
            Some(whole) if !matches!(cause, Cause::Unreadable { .. }) => {
                differing(&self.bytes, whole, self.range.start)
            }
            _ => self.range.clone(),
        };
        Finding::new(cause, self.region, range).repairable(whole.is_some())
    }
}

impl SuperblockCopy {
    /// The damage of a copy whose magic is not one.
    fn own_digest_cause(&self) -> Cause {
        let magic = low_bits(&field::MAGIC, &self.bytes);
        let covered = self.bytes.get(..SELF_DIGEST_COVERS).unwrap_or(&[]);
        let stored = field::SELF_DIGEST.bytes(&self.bytes).map(Digest::from_entry);
        match (stored, superblock_digest(covered)) {
            (Some(stored), computed) if stored != computed => Cause::Digest {
                of: Digested::Superblock,
                stored,
                computed,
            },
            _ => Cause::Field {
                field: field::MAGIC.name,
                value: magic,
            },
        }
    }
}

/// Why fewer than 4096 bytes, zero behind the `actual` ones of the source, are no superblock: cut off, or never one.
fn short_file(bytes: &[u8], offset: u64, actual: u64) -> Cause {
    let there = usize::try_from(actual.saturating_sub(offset))
        .unwrap_or(usize::MAX)
        .min(MAGIC.len());
    if bytes.get(..there) == MAGIC.get(..there) && actual > 0 {
        return Cause::Length {
            expected: MIN_FILE_LEN,
            actual,
        };
    }
    match Superblock::decode(bytes) {
        Err(cause @ Cause::NotContainer(_)) if actual > 0 => cause,
        _ => Cause::NotContainer(Foreign::Empty),
    }
}

/// Both copies of the superblock, the second one read only where it is asked for or needed.
pub(crate) struct Superblocks {
    pub(crate) a: SuperblockCopy,
    pub(crate) b: Option<SuperblockCopy>,
}

impl Superblocks {
    pub(crate) fn read(source: &(impl ReadAt + ?Sized), source_len: u64) -> Self {
        let a = SuperblockCopy::read(source, Region::SuperblockA, 0);
        let needed = a.decoded.as_ref().err().is_some_and(concerns_one_copy);
        let b = needed.then(|| Self::last(source, source_len)).flatten();
        Self { a, b }
    }

    /// The superblock at the end of the source as it is, where that is not the first one.
    pub(crate) fn last(source: &(impl ReadAt + ?Sized), source_len: u64) -> Option<SuperblockCopy> {
        let offset = source_len
            .checked_sub(SUPERBLOCK_BYTES)
            .filter(|&offset| offset >= SUPERBLOCK_BYTES)?;
        Some(SuperblockCopy::read(source, Region::SuperblockB, offset))
    }

    /// Takes copy A for damaged where it is whole, but that of another file or an older one: a write that was lost, or went
    /// astray. The file's length, index and digest table are then not those that it names, but those that copy B names.
    /// Returns whether that is so.
    ///
    /// Loads the metadata again, so it is asked only where copy A has led nowhere.
    ///
    /// # Errors
    /// Only a lack of memory.
    pub(crate) fn distrust_a(
        &mut self,
        source: &(impl ReadAt + ?Sized),
        source_len: u64,
        limits: &Limits,
    ) -> Result<bool, Error> {
        let fits = |superblock: &Superblock| -> Result<bool, Error> {
            let fitting = superblock.geometry.file_len() == source_len && check_limits(superblock, limits).is_ok();
            let hasher = superblock.hasher();
            let load = |mirrored: Mirrored<'_>| {
                Ok::<_, Error>(mirrored.load(source, source_len, &hasher, false)?.whole.is_some())
            };
            Ok(fitting && load(Mirrored::index(superblock))? && load(Mirrored::digest_table(superblock))?)
        };
        match &self.a.decoded {
            Ok(a) if !fits(a)? => {}
            _ => return Ok(false),
        }
        let Some(b) = Self::last(source, source_len) else {
            return Ok(false);
        };
        let trusted = match &b.decoded {
            Ok(decoded) => b.bytes != self.a.bytes && fits(decoded)?,
            Err(_) => false,
        };
        if trusted {
            self.a.decoded = Err(Cause::CopiesDiffer);
            self.b = Some(b);
        }
        Ok(trusted)
    }

    /// The superblock to go by, and what is wrong with copy A where it is B's.
    ///
    /// # Errors
    /// No copy can be used: the finding that says most about why.
    pub(crate) fn choose(&self) -> Result<(&Superblock, Option<Finding>), Box<Finding>> {
        let cause = match &self.a.decoded {
            Ok(superblock) => return Ok((superblock, None)),
            Err(cause) => cause,
        };
        let finding = || {
            let finding = self.a.finding(cause.clone(), None);
            match cause {
                // What is missing has no bytes; what is foreign is so from the first byte on.
                Cause::Length { expected, actual } => Finding {
                    byte_range: *actual..*expected,
                    ..finding
                },
                _ => finding,
            }
        };
        let Some(b) = &self.b else {
            return Err(Box::new(finding()));
        };
        match &b.decoded {
            Ok(superblock) => Ok((superblock, Some(self.a.finding(cause.clone(), Some(&b.bytes))))),
            // A is damaged beyond recognition, B is recognised: the file is a container, and B says what is wrong.
            Err(cause_b) if matches!(cause, Cause::NotContainer(_)) && !matches!(cause_b, Cause::NotContainer(_)) => {
                Err(Box::new(b.finding(cause_b.clone(), None)))
            }
            Err(_) => Err(Box::new(finding())),
        }
    }
}

/// What is wrong with the length of a source, if anything.
pub(crate) fn length_finding(superblock: &Superblock, actual: u64) -> Option<Finding> {
    let expected = superblock.geometry.file_len();
    let range = match actual.cmp(&expected) {
        std::cmp::Ordering::Equal => return None,
        std::cmp::Ordering::Less => actual..expected,
        std::cmp::Ordering::Greater => expected..actual,
    };
    // Behind the payload lie only second copies; what follows the end was never part of the file.
    let repairable = actual >= superblock.geometry.payload.end;
    Some(Finding::new(Cause::Length { expected, actual }, Region::File, range).repairable(repairable))
}

/// Compares a file's sizes with the limits before anything of them is allocated.
pub(crate) fn check_limits(superblock: &Superblock, limits: &Limits) -> Result<(), Box<Finding>> {
    let geometry = &superblock.geometry;
    for (limit, region, range, max) in [
        (
            "max_index_bytes",
            Region::Index1,
            &geometry.index_1,
            limits.max_index_bytes,
        ),
        (
            "max_digest_table_bytes",
            Region::Digests1,
            &geometry.digests_1,
            limits.max_digest_table_bytes,
        ),
    ] {
        let value = range.end.saturating_sub(range.start);
        if value > max {
            return Err(Box::new(Finding::new(
                Cause::OverLimit { limit, value, max },
                region,
                range.clone(),
            )));
        }
    }
    Ok(())
}

/// One copy that was read: whole, or what is wrong with it and the bytes where there were any.
enum OneCopy {
    Whole(Vec<u8>),
    Bad(Cause, Vec<u8>),
}

/// What became of loading an index or a digest table.
pub(crate) struct Loaded {
    /// A whole copy and which one, where there is one.
    pub(crate) whole: Option<(Region, Vec<u8>)>,
    /// What is wrong with copies that were looked at.
    pub(crate) findings: Vec<Finding>,
}

impl Loaded {
    /// Why no copy is whole: what is wrong with the first.
    pub(crate) fn into_error(self) -> Error {
        let none = || Finding::new(Cause::CopiesDiffer, Region::File, 0..0);
        self.findings.into_iter().next().unwrap_or_else(none).into()
    }
}

/// What a medium loses at once; two damaged copies are merged in pieces of this size.
const SECTOR_LEN: usize = 512;

/// Most bytes that merging two damaged copies may hash; copies that would need more are left as they are. This bounds
/// the time that a hostile file can take.
const MERGE_BYTES: u64 = 32 << 20;

/// Index or digest table: where its two copies lie and what its digest must be.
pub(crate) struct Mirrored<'s> {
    copies: [(Region, &'s Range<u64>); 2],
    of: Digested,
    stored: Digest,
}

impl<'s> Mirrored<'s> {
    pub(crate) fn index(superblock: &'s Superblock) -> Self {
        let geometry = &superblock.geometry;
        Self {
            copies: [(Region::Index1, &geometry.index_1), (Region::Index2, &geometry.index_2)],
            of: Digested::Index,
            stored: superblock.index_digest,
        }
    }

    pub(crate) fn digest_table(superblock: &'s Superblock) -> Self {
        let geometry = &superblock.geometry;
        Self {
            copies: [
                (Region::Digests1, &geometry.digests_1),
                (Region::Digests2, &geometry.digests_2),
            ],
            of: Digested::DigestTable,
            stored: superblock.digests_digest,
        }
    }

    /// Reads one copy and compares its digest; the bytes are returned with the cause where they are wrong.
    fn read(
        &self,
        source: &(impl ReadAt + ?Sized),
        source_len: u64,
        range: &Range<u64>,
        hasher: &Hasher,
    ) -> Result<OneCopy, Error> {
        if range.end > source_len {
            return Ok(OneCopy::Bad(
                Cause::Length {
                    expected: range.end,
                    actual: source_len,
                },
                Vec::new(),
            ));
        }
        let bytes = match read_range(source, range)? {
            Ok(bytes) => bytes,
            Err(cause) => return Ok(OneCopy::Bad(cause, Vec::new())),
        };
        let computed = self.digest(&bytes, hasher);
        if computed == self.stored {
            return Ok(OneCopy::Whole(bytes));
        }
        Ok(OneCopy::Bad(
            Cause::Digest {
                of: self.of,
                stored: self.stored,
                computed,
            },
            bytes,
        ))
    }

    fn digest(&self, bytes: &[u8], hasher: &Hasher) -> Digest {
        match self.of {
            Digested::Index => hasher.index(bytes),
            _ => hasher.digest_table(bytes),
        }
    }

    /// Puts a whole copy together from two damaged ones, sector by sector, where the digest proves one combination.
    ///
    /// `None` where a sector is damaged in both, or where n sectors differ and 2^n copies are more than [`MERGE_BYTES`].
    fn merge(&self, one: &[u8], other: &[u8], hasher: &Hasher) -> Option<Vec<u8>> {
        if one.is_empty() || one.len() != other.len() {
            return None;
        }
        let sectors = one.chunks(SECTOR_LEN).zip(other.chunks(SECTOR_LEN));
        let differing = sectors
            .enumerate()
            .filter(|(_, (one, other))| one != other)
            .map(|(sector, _)| sector)
            .collect::<Vec<_>>();
        let choices = 1_u32.checked_shl(u32::try_from(differing.len()).ok()?)?;
        if u64::from(choices).saturating_mul(len_u64(one.len())) > MERGE_BYTES {
            return None;
        }
        // The first and the last choice are the two copies as they are, which do not match.
        let mut merged = one.to_vec();
        let proved = (1..choices.saturating_sub(1)).any(|choice| {
            for (bit, sector) in (0_u32..).zip(&differing) {
                let of_other = choice.checked_shr(bit).is_some_and(|rest| rest & 1 == 1);
                let source = if of_other { other } else { one };
                let start = sector.saturating_mul(SECTOR_LEN);
                let range = start..start.saturating_add(SECTOR_LEN).min(one.len());
                if let (Some(own), Some(taken)) = (merged.get_mut(range.clone()), source.get(range)) {
                    own.copy_from_slice(taken);
                }
            }
            self.digest(&merged, hasher) == self.stored
        });
        proved.then_some(merged)
    }

    /// A whole copy, where there is one or two damaged ones make one, and what is wrong with the others: with copy 1
    /// only, unless `both` are to be looked at.
    ///
    /// # Errors
    /// Only a lack of memory.
    pub(crate) fn load(
        &self,
        source: &(impl ReadAt + ?Sized),
        source_len: u64,
        hasher: &Hasher,
        both: bool,
    ) -> Result<Loaded, Error> {
        let mut whole: Option<(Region, Vec<u8>)> = None;
        let mut broken = Vec::new();
        for (region, range) in &self.copies {
            if whole.is_some() && !both {
                break;
            }
            match self.read(source, source_len, range, hasher)? {
                OneCopy::Whole(bytes) => whole = whole.or(Some((*region, bytes))),
                OneCopy::Bad(cause, bytes) => broken.push((*region, *range, cause, bytes)),
            }
        }
        if let (None, [(region, _, _, one), (_, _, _, other)]) = (&whole, broken.as_slice()) {
            whole = self.merge(one, other, hasher).map(|merged| (*region, merged));
        }
        let good = whole.as_ref().map(|(_, bytes)| bytes.as_slice());
        let findings = broken.into_iter().map(|(region, range, cause, bytes)| {
            let narrow = match good {
                Some(good) if bytes.len() == good.len() => differing(&bytes, good, range.start),
                _ => range.clone(),
            };
            Finding::new(cause, region, narrow).repairable(good.is_some())
        });
        let findings = findings.collect();
        Ok(Loaded { whole, findings })
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
    use std::path::Path;

    use super::*;
    use crate::storage::SimDisk;
    use crate::{Content, Durability, SaveOptions, save};

    const PAGE: usize = SUPERBLOCK_LEN;

    /// A file of one chunk of that many equal bytes, written at the time `created`.
    fn file(byte: u8, len: usize, created: u64) -> Vec<u8> {
        let (disk, path) = (SimDisk::new(), Path::new("/d/a.fold"));
        let bytes = vec![byte; len];
        let options = SaveOptions::new(Durability::Full)
            .block_log2(12)
            .created_unix_ns(created);
        save(&disk, path, &Content::new().bytes("x", &bytes), &options).unwrap();
        disk.read(path).unwrap()
    }

    /// The file with another one's first page.
    fn headed(by: &[u8], file: &[u8]) -> Vec<u8> {
        [&by[..PAGE], &file[PAGE..]].concat()
    }

    fn superblock(bytes: &[u8]) -> Superblock {
        Superblock::decode(&bytes[..PAGE]).unwrap()
    }

    fn distrusts(bytes: &[u8], limits: &Limits) -> bool {
        let source_len = len_u64(bytes.len());
        let mut copies = Superblocks::read(bytes, source_len);
        let distrusted = copies.distrust_a(bytes, source_len, limits).unwrap();
        assert_eq!(copies.a.decoded.is_err(), distrusted);
        distrusted
    }

    #[test]
    fn superblock_a_is_distrusted_only_where_b_names_all_that_is_there() {
        let (newer, older) = (file(1, 9000, 1), file(2, 9000, 1));
        let mixed = headed(&older, &newer);
        let distrusted = |bytes: &[u8]| distrusts(bytes, &Limits::DEFAULT);
        assert!(distrusted(&mixed));
        assert!(!distrusted(&newer), "A names what is there");
        assert!(
            !distrusted(&headed(&file(1, 9000, 2), &newer)),
            "both name what is there, and are of different times"
        );

        // Both copies of the index, or of the digest table, are not what B names.
        let geometry = superblock(&newer).geometry;
        for copies in [
            [&geometry.index_1, &geometry.index_2],
            [&geometry.digests_1, &geometry.digests_2],
        ] {
            let mut damaged = mixed.clone();
            for copy in copies {
                damaged[copy.start as usize] ^= 1;
            }
            assert!(!distrusted(&damaged));
        }

        // B names another length than the file has: a page of the payload is gone.
        let gone = geometry.payload.start as usize + PAGE;
        let short = [&mixed[..gone], &mixed[gone + PAGE..]].concat();
        assert!(!distrusted(&short));

        // What B names is more than the limits allow.
        for limits in [
            Limits {
                max_index_bytes: 1,
                ..Limits::DEFAULT
            },
            Limits {
                max_digest_table_bytes: 1,
                ..Limits::DEFAULT
            },
        ] {
            assert!(!distrusts(&mixed, &limits));
        }
    }

    #[test]
    fn a_shorter_file_written_over_the_beginning_of_a_longer_one_does_not_name_its_length() {
        let (longer, shorter) = (file(1, 90_000, 1), file(2, 9000, 1));
        let mut over = longer.clone();
        over[..shorter.len()].copy_from_slice(&shorter);
        assert!(distrusts(&over, &Limits::DEFAULT));
    }

    #[test]
    fn a_wrong_length_is_mended_unless_payload_is_missing() {
        let bytes = file(1, 9000, 1);
        let superblock = superblock(&bytes);
        let (end, len) = (superblock.geometry.payload.end, len_u64(bytes.len()));
        assert_eq!(length_finding(&superblock, len), None);
        for (actual, range, repairable) in [
            (0, 0..len, false),
            (end - 1, end - 1..len, false),
            (end, end..len, true),
            (len - 1, len - 1..len, true),
            (len + 1, len..len + 1, true),
        ] {
            let finding = length_finding(&superblock, actual).unwrap();
            assert_eq!(
                (finding.byte_range, finding.repairable),
                (range, repairable),
                "{actual}"
            );
        }
    }
}
