//! Repairing a version 1 file: the bytes that its parity restores, or nothing.
//!
//! Exact or refused: every restored byte is one that the chunk's CRC-32C and SHA-256 speak for. The result is a new file;
//! the source is never touched.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use std::io::{self, Write};
use std::ops::Range;

use super::chunk::Standing;
use super::fault::{Finding, Kind};
use super::file::File;
use super::frame::Keep;
use super::layout::CHUNK_HEADER_LEN;
use super::parity;
use super::rs::Code;
use crate::code::Severity;
use crate::error::{Error, IoFault, Operation};
use crate::source::{ReadAt, read_full};
use crate::wire::len_u64;

/// Bytes that are copied at once.
const COPY_LEN: u64 = 1 << 20;

/// What a repair has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Repair {
    /// Chunks whose stored bytes were restored.
    pub chunks: u64,
    /// Chunk headers that were written anew from the index.
    pub headers: u64,
    /// Parity areas that were written anew.
    pub parities: u64,
    /// Bytes that differ from the source.
    pub bytes_changed: u64,
}

impl Repair {
    /// Whether the file was whole before.
    #[must_use]
    pub const fn is_nothing(&self) -> bool {
        self.bytes_changed == 0
    }
}

/// Bytes to be put at a place of the copy.
struct Patch {
    at: u64,
    bytes: Vec<u8>,
}

impl Patch {
    fn end(&self) -> u64 {
        self.at.saturating_add(len_u64(self.bytes.len()))
    }
}

/// Writes `file` to `out` with everything restored that its parity, and the second copy of each chunk's header, restore.
///
/// The chunks that are restored are in memory together.
///
/// # Errors
/// [`Error::Version1`] with the first damage that cannot be restored: nothing was written. Reading or writing failed.
pub fn repair<S: ReadAt>(file: &File<S>, out: &mut impl Write) -> Result<Repair, Error> {
    let (repair, patches) = plan(file)?;
    let failed = |source: io::Error| Error::from(IoFault::new(Operation::Write, None, source));
    let examiner = file.examiner();
    let mut at = 0;
    for patch in &patches {
        copy(examiner.source, at..patch.at, out)?;
        out.write_all(&patch.bytes).map_err(failed)?;
        at = patch.end();
    }
    copy(examiner.source, at..file.info().file_bytes, out)?;
    Ok(repair)
}

fn copy(source: &(impl ReadAt + ?Sized), range: Range<u64>, out: &mut impl Write) -> Result<(), Error> {
    let mut buffer = Vec::new();
    let mut at = range.start;
    while at < range.end {
        let len = range.end.saturating_sub(at).min(COPY_LEN);
        buffer.resize(usize::try_from(len).unwrap_or(0), 0);
        match read_full(source, &mut buffer, at) {
            Ok(true) => {}
            Ok(false) => return Err(IoFault::new(Operation::Read, None, io::ErrorKind::UnexpectedEof.into()).into()),
            Err(error) => return Err(IoFault::new(Operation::Read, None, error).into()),
        }
        out.write_all(&buffer)
            .map_err(|error| IoFault::new(Operation::Write, None, error))?;
        at = at.saturating_add(len);
    }
    Ok(())
}

/// Every patch, by place; or the first damage that cannot be restored.
fn plan<S: ReadAt>(file: &File<S>) -> Result<(Repair, Vec<Patch>), Error> {
    let lost = |finding: &Finding| finding.severity() == Severity::Error && !finding.repairable;
    if let Some(finding) = file.findings().into_iter().find(lost) {
        return Err(Error::Version1(Box::new(finding)));
    }
    let examiner = file.examiner();
    let mut repair = Repair::default();
    let mut patches = Vec::new();
    for entry in file.chunks() {
        let examined = examiner.examine(entry, Keep::Nothing);
        if let Some(finding) = examined.findings.iter().find(|finding| lost(finding)) {
            return Err(Error::Version1(Box::new(finding.clone())));
        }
        let unreadable = |error| Error::from(IoFault::new(Operation::Read, None, error));
        let is = |kind| {
            examined
                .findings
                .iter()
                .any(|finding| finding.kind == kind && finding.repairable)
        };
        if let Some(header) = entry.header().filter(|_| is(Kind::HeaderIndexMismatch)) {
            repair.headers = repair.headers.saturating_add(1);
            patches.push(Patch {
                at: entry.offset,
                bytes: header.encode(),
            });
        }
        let start = entry.offset.saturating_add(CHUNK_HEADER_LEN);
        let end = start.saturating_add(entry.comp_len);
        if examined.standing == Standing::Repaired || is(Kind::ParityDamaged) {
            let parity_place = end..end.saturating_add(entry.ecc_len);
            let parity = examiner.read(&parity_place).map_err(unreadable)?;
            let read;
            let data = match &examined.restored {
                Some(restored) => restored.as_slice(),
                None => {
                    read = examiner.read(&(start..end)).map_err(unreadable)?;
                    &read
                }
            };
            let code = parity::parse_algorithm(&entry.ecc_algo).flatten().and_then(Code::new);
            if let Some(code) = code.filter(|code| !parity::is_whole(code, data, &parity)) {
                repair.parities = repair.parities.saturating_add(1);
                patches.push(Patch {
                    at: end,
                    bytes: parity::rewrite(&code, data, &parity),
                });
            }
        }
        if let Some(restored) = examined.restored {
            repair.chunks = repair.chunks.saturating_add(1);
            patches.push(Patch {
                at: start,
                bytes: restored,
            });
        }
    }
    patches.sort_by_key(|patch| patch.at);
    for patch in &patches {
        let before = examiner
            .read(&(patch.at..patch.end()))
            .map_err(|error| IoFault::new(Operation::Read, None, error))?;
        let changed = before.iter().zip(&patch.bytes).filter(|(a, b)| a != b).count();
        repair.bytes_changed = repair.bytes_changed.saturating_add(len_u64(changed));
    }
    Ok((repair, patches))
}
