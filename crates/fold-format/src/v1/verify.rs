//! Verifying a version 1 file: header, index, what the index says about itself, every chunk, and what the chunks hold.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use std::ops::ControlFlow;
use std::path::Path;

use rayon::prelude::*;

use super::chunk::{Examined, Examiner, Standing, is_bearable};
use super::content;
use super::fault::{Finding, Kind};
use super::file::Info;
use super::index::{Entry, Index};
use super::keys::Keys;
use super::layout::{FILE_HEADER_LEN, FileHeader};
use super::trust;
use crate::checkpoint::open_regular;
use crate::error::{Error, IoFault, Operation};
use crate::interchange::Fault;
use crate::limits::Limits;
use crate::report::{Depth, Progress, Verdict, VerifyOptions};
use crate::source::{ReadAt, read_full};

/// Chunks with more payload than this are looked at one after the other: only one at a time is in memory.
const ALONE_BYTES: u64 = 256 << 20;

/// What is known of one chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChunkReport {
    /// Its name.
    pub name: Box<str>,
    /// Its type.
    pub ctype: Box<str>,
    /// What it is worth.
    pub standing: Standing,
    /// Whether a payload of a known type is what its type says, and how many tensors it holds. None where the chunk is
    /// not whole, or nothing is known of its type.
    pub content: Option<Result<Option<u64>, Fault>>,
}

/// What a verification of a version 1 file found.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Report {
    /// The answer.
    pub verdict: Verdict,
    /// What the index says; none where it could not be read.
    pub info: Option<Info>,
    /// What is wrong; at most as many as the options allow.
    pub findings: Vec<Finding>,
    /// How many there were in all.
    pub findings_total: u64,
    /// The chunks that were looked at, in the order of the table.
    pub chunks: Vec<ChunkReport>,
    /// What nothing in this file protects, in plain words.
    pub unprotected: Vec<&'static str>,
    /// Chunks in the table.
    pub chunks_total: u64,
    /// Bytes of the file.
    pub bytes_total: u64,
    /// Bytes read.
    pub bytes_read: u64,
}

/// Verifies a version 1 file.
///
/// What is wrong with the file is in the report, whatever it is. Stored chunks are read in pieces; of those that are
/// compressed or encrypted, one per thread is in memory, and of those beyond 256 MiB one alone.
///
/// - `depth`: [`Depth::Superblock`] is the file's header, [`Depth::Index`] also the index and every chunk's header.
///
/// # Errors
/// The path is absent, no regular file or cannot be opened; the requested chunk does not exist; a tensor was asked for,
/// which version 1 cannot verify by itself; the callback broke off.
pub fn verify(
    path: impl AsRef<Path>,
    depth: Depth<'_>,
    keys: &Keys,
    options: VerifyOptions<'_>,
) -> Result<Report, Error> {
    let path = path.as_ref();
    verify_source(&open_regular(path)?, depth, keys, options).map_err(|error| error.about(Some(path)))
}

/// As [`verify`], for any source of positioned reads.
///
/// # Errors
/// As [`verify`].
pub fn verify_source(
    source: &(impl ReadAt + ?Sized),
    depth: Depth<'_>,
    keys: &Keys,
    mut options: VerifyOptions<'_>,
) -> Result<Report, Error> {
    let bytes_total = source
        .len()
        .map_err(|error| IoFault::new(Operation::Metadata, None, error))?;
    let mut walk = Walk {
        max_findings: options.max_findings,
        lost: false,
        report: Report {
            verdict: Verdict::Unreadable,
            info: None,
            findings: Vec::new(),
            findings_total: 0,
            chunks: Vec::new(),
            unprotected: Vec::new(),
            chunks_total: 0,
            bytes_total,
            bytes_read: 0,
        },
    };
    if depth == Depth::Superblock {
        match read_header(source, bytes_total, &options.limits) {
            Ok(_) => walk.report.verdict = Verdict::HeaderOk,
            Err(finding) => walk.note(*finding),
        }
        walk.report.bytes_read = FILE_HEADER_LEN.min(bytes_total);
        return Ok(walk.report);
    }
    let index = match read_index(source, bytes_total, &options.limits) {
        Ok(index) => index,
        Err(finding) => {
            walk.note(*finding);
            return Ok(walk.report);
        }
    };
    let info = Info::of(&index, bytes_total);
    walk.report.unprotected = info.unprotected(keys);
    walk.report.info = Some(info);
    walk.report.chunks_total = crate::wire::len_u64(index.entries.len());
    walk.report.bytes_read = FILE_HEADER_LEN.saturating_add(index.range.end.saturating_sub(index.range.start));
    trust::findings(&index, keys)
        .into_iter()
        .for_each(|finding| walk.note(finding));
    for gap in index.gaps() {
        walk.note(Finding::new(Kind::GapBytes, gap));
    }
    if index.range.end < bytes_total {
        walk.note(Finding::new(Kind::TrailingBytes, index.range.end..bytes_total));
    }
    let examiner = Examiner {
        source,
        index: &index,
        keys,
        limits: &options.limits,
    };
    let chosen: Vec<&Entry> = match depth {
        Depth::Chunk(name) => vec![super::file::entry(&index, name)?],
        Depth::Tensor(name) => return Err(crate::Misuse::NoSuchTensor { name: name.into() }.into()),
        _ => index.entries.iter().collect(),
    };
    let headers_alone = depth == Depth::Index;
    let check = |entry: &&Entry| {
        let examined = match headers_alone {
            true => examiner.header(entry),
            false => examiner.examine(entry, content::needed(&entry.ctype)),
        };
        let payload = examined.payload.as_ref();
        let max = options.limits.max_v1_chunk_bytes;
        let content = payload.map(|payload| content::check(&entry.ctype, payload, source, max));
        (
            Examined {
                payload: None,
                restored: None,
                ..examined
            },
            content,
        )
    };
    // In groups, so that a caller is told how far it is, and that little is in memory at a time.
    let mut rest = chosen.as_slice();
    while !rest.is_empty() {
        let total = walk.report.bytes_total;
        let told = Progress {
            bytes_done: walk.report.bytes_read.min(total),
            bytes_total: total,
        };
        if let Some(callback) = options.progress.as_mut()
            && let ControlFlow::Break(()) = callback(told)
        {
            return Err(Error::Cancelled);
        }
        let small = rest.iter().take_while(|entry| entry.uncomp_len <= ALONE_BYTES).count();
        let count = small.clamp(1, rayon::current_num_threads().saturating_mul(4).max(1));
        let (group, later) = rest.split_at_checked(count).unwrap_or((rest, &[]));
        rest = later;
        let checked: Vec<_> = match group {
            // One alone is not worth waking a thread for; its digests are computed on two anyway.
            [one] => vec![check(one)],
            _ => group.par_iter().map(check).collect(),
        };
        for (entry, (examined, content)) in group.iter().zip(checked) {
            walk.chunk(entry, examined, content);
        }
    }
    let reached = match depth {
        Depth::All => Verdict::Ok,
        _ => Verdict::StructureOk,
    };
    Ok(walk.finish(reached))
}

struct Walk {
    report: Report,
    max_findings: usize,
    /// Whether something is wrong that parity does not make good.
    lost: bool,
}

impl Walk {
    fn note(&mut self, finding: Finding) {
        let warns = finding.severity() == crate::Severity::Warning;
        self.lost |= !(is_bearable(finding.kind) || warns);
        self.report.findings_total = self.report.findings_total.saturating_add(1);
        if self.report.findings.len() < self.max_findings {
            self.report.findings.push(finding);
        }
    }

    fn chunk(&mut self, entry: &Entry, examined: Examined, content: Option<Result<Option<u64>, Fault>>) {
        self.report.bytes_read = self.report.bytes_read.saturating_add(examined.bytes_read);
        self.report.chunks.push(ChunkReport {
            name: entry.name.clone(),
            ctype: entry.ctype.clone(),
            standing: examined.standing,
            content,
        });
        examined.findings.into_iter().for_each(|finding| self.note(finding));
    }

    fn finish(mut self, reached: Verdict) -> Report {
        let repaired = self
            .report
            .chunks
            .iter()
            .any(|chunk| chunk.standing == Standing::Repaired);
        self.report.verdict = match (self.lost, repaired) {
            (true, _) => Verdict::Damaged,
            (false, true) => Verdict::Corrected,
            (false, false) => reached,
        };
        self.report
            .findings
            .sort_by_key(|finding| (finding.byte_range.start, finding.byte_range.end));
        self.report
    }
}

/// The file's header.
pub(crate) fn read_header(
    source: &(impl ReadAt + ?Sized),
    file_len: u64,
    limits: &Limits,
) -> Result<FileHeader, Box<Finding>> {
    let place = 0..FILE_HEADER_LEN.min(file_len);
    let mut bytes = vec![0; usize::try_from(place.end).unwrap_or(0)];
    match read_full(source, &mut bytes, 0) {
        Ok(true) => {}
        Ok(false) => return Err(Box::new(Finding::new(Kind::TruncatedHeader, place))),
        Err(error) => return Err(Box::new(Finding::unreadable(&error, place))),
    }
    FileHeader::parse(&bytes, file_len, limits.max_v1_index_bytes).map_err(|kind| Box::new(Finding::new(kind, place)))
}

/// Header and index.
pub(crate) fn read_index(
    source: &(impl ReadAt + ?Sized),
    file_len: u64,
    limits: &Limits,
) -> Result<Index, Box<Finding>> {
    let header = read_header(source, file_len, limits)?;
    let place = header.index_offset..header.index_offset.saturating_add(header.index_len);
    // Within the limit and within the file.
    let mut text = vec![0; usize::try_from(header.index_len).unwrap_or(0)];
    match read_full(source, &mut text, header.index_offset) {
        Ok(true) => Index::parse(&text, header, limits.max_chunks),
        Ok(false) => Err(Box::new(Finding::new(Kind::IndexTruncated, place))),
        Err(error) => Err(Box::new(Finding::unreadable(&error, place))),
    }
}
