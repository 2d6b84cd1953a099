//! Verifying a file: every byte that the depth asks for is read, and what is wrong is located.
//!
//! Positioned reads into bounded buffers, never a mapping. Damage is what a verification is for, so it goes on behind it
//! as far as the metadata carry; only what stops it altogether is an error.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;

use rayon::prelude::*;

use crate::checkpoint::open_regular;
use crate::copies::{Mirrored, SuperblockCopy, Superblocks, check_limits, differing, length_finding, read_range};
use crate::directory::Directory;
use crate::error::{Error, IoFault, Operation};
use crate::finding::{Cause, Digested, Finding, Region};
use crate::index::Chunk;
use crate::layout::{LEAF_DIGEST_LEN, PROLOGUE_LEN};
use crate::prologue::Prologue;
use crate::report::{Depth, Progress, ProgressCallback, Report, Verdict, VerifyOptions};
use crate::residents::Residents;
use crate::source::ReadAt;
use crate::superblock::Superblock;
use crate::task::{Task, non_zero};
use crate::wire::len_u64;

/// Bytes that one task reads and hashes.
const TASK_LEN: u64 = 1 << 20;

/// Tasks per thread between two calls of the progress callback.
const TASKS_PER_THREAD: usize = 4;

/// Verifies a file with positioned reads and bounded buffers, never through a mapping.
///
/// What is wrong with the file is in the report, whatever it is; only what stops the verification itself is an error.
/// Beside the metadata, about 4 MiB per thread of rayon's global pool are allocated, however large the file is.
///
/// # Errors
/// The path is absent, no regular file or cannot be opened; the requested chunk or tensor does not exist; the callback
/// broke off; there is no memory for the metadata.
pub fn verify(path: impl AsRef<Path>, depth: Depth<'_>, options: VerifyOptions<'_>) -> Result<Report, Error> {
    verify_source(&open_regular(path.as_ref())?, depth, options)
}

/// As [`verify`], for any source of positioned reads.
///
/// # Errors
/// As [`verify`].
pub fn verify_source(
    source: &(impl ReadAt + ?Sized),
    depth: Depth<'_>,
    options: VerifyOptions<'_>,
) -> Result<Report, Error> {
    let source_len = source
        .len()
        .map_err(|error| IoFault::new(Operation::Metadata, None, error))?;
    let mut walk = Walk {
        source,
        source_len,
        max_findings: options.max_findings,
        progress: options.progress,
        report: Report {
            verdict: Verdict::Unreadable,
            info: None,
            findings: Vec::new(),
            findings_total: 0,
            damaged_tensors: Vec::new(),
            blocks_total: 0,
            blocks_checked: 0,
            blocks_bad: 0,
            bytes_total: source_len,
            bytes_read: 0,
        },
        damaged: BTreeSet::new(),
        lost: false,
    };
    let reached = match walk.superblocks() {
        Some(superblock) if depth == Depth::Superblock => {
            walk.report.blocks_total = superblock.block_count;
            Some(Verdict::HeaderOk)
        }
        Some(superblock) => match walk.metadata(superblock, &options.limits)? {
            Some(directory) => Some(walk.content(&directory, depth)?),
            None => None,
        },
        None => None,
    };
    Ok(walk.finish(reached))
}

/// A verification under way.
struct Walk<'s, 'o, S: ?Sized> {
    source: &'s S,
    source_len: u64,
    max_findings: usize,
    progress: Option<ProgressCallback<'o>>,
    report: Report,
    damaged: BTreeSet<Box<str>>,
    /// Whether something is wrong that no second copy makes good.
    lost: bool,
}

impl<S: ReadAt + ?Sized> Walk<'_, '_, S> {
    fn note(&mut self, finding: Finding) {
        self.lost |= !finding.repairable;
        self.report.findings_total = self.report.findings_total.saturating_add(1);
        if self.report.findings.len() < self.max_findings {
            self.report.findings.push(finding);
        }
    }

    fn count_read(&mut self, range: &Range<u64>) {
        let read = range.end.min(self.source_len).saturating_sub(range.start);
        self.report.bytes_read = self.report.bytes_read.saturating_add(read);
    }

    /// The report; `reached` is the verdict of a verification that could be carried through, were nothing found.
    fn finish(mut self, reached: Option<Verdict>) -> Report {
        self.report.verdict = match reached {
            None => Verdict::Unreadable,
            Some(_) if self.lost => Verdict::Damaged,
            Some(_) if self.report.findings_total > 0 => Verdict::Corrected,
            Some(verdict) => verdict,
        };
        self.report
            .findings
            .sort_by_key(|finding| (finding.byte_range.start, finding.byte_range.end));
        self.report.damaged_tensors = self.damaged.into_iter().collect();
        self.report
    }

    /// Both superblocks and the length. `None`: no superblock can be used.
    fn superblocks(&mut self) -> Option<Superblock> {
        let mut copies = Superblocks::read(self.source, self.source_len);
        self.count_read(&copies.a.range.clone());
        if let Ok(superblock) = &copies.a.decoded {
            let expected = superblock.geometry.superblock_b.clone();
            // One that is cut off is reported with the length.
            copies.b = (expected.end <= self.source_len)
                .then(|| SuperblockCopy::read(self.source, Region::SuperblockB, expected.start));
        }
        if let Some(b) = &copies.b {
            self.count_read(&b.range.clone());
        }
        let superblock = match copies.choose() {
            Ok((superblock, finding)) => {
                if let Some(finding) = finding {
                    self.note(finding);
                }
                superblock.clone()
            }
            Err(finding) => {
                self.note(*finding);
                return None;
            }
        };
        if let (Ok(_), Some(b)) = (&copies.a.decoded, &copies.b) {
            match &b.decoded {
                Err(cause) => self.note(b.finding(cause.clone(), Some(&copies.a.bytes))),
                Ok(_) if b.bytes != copies.a.bytes => self.note(b.finding(Cause::CopiesDiffer, Some(&copies.a.bytes))),
                Ok(_) => {}
            }
        }
        if let Some(finding) = length_finding(&superblock, self.source_len) {
            self.note(finding);
        }
        Some(superblock)
    }

    /// Both copies of index and digest table, the padding around them, and every record. `None`: no copy can be used.
    fn metadata(&mut self, superblock: Superblock, limits: &crate::Limits) -> Result<Option<Directory>, Error> {
        self.report.blocks_total = superblock.block_count;
        if let Err(finding) = check_limits(&superblock, limits) {
            self.note(*finding);
            return Ok(None);
        }
        let hasher = crate::digest::Hasher::new(superblock.uuid);
        let mut loaded = Vec::new();
        for mirrored in [Mirrored::index(&superblock), Mirrored::digest_table(&superblock)] {
            let copies = mirrored.load(self.source, self.source_len, &hasher, true)?;
            copies.findings.into_iter().for_each(|finding| self.note(finding));
            loaded.extend(copies.whole);
        }
        let geometry = superblock.geometry.clone();
        for range in [
            &geometry.index_1,
            &geometry.index_2,
            &geometry.digests_1,
            &geometry.digests_2,
        ] {
            self.count_read(range);
        }
        for padding in geometry.paddings() {
            self.padding(&padding)?;
        }
        let mut loaded = loaded.into_iter();
        let (Some((region, index)), Some((_, digests))) = (loaded.next(), loaded.next()) else {
            return Ok(None);
        };
        let directory = match Directory::assemble(superblock, region, index, digests, limits) {
            Ok(directory) => directory,
            Err(finding) => {
                self.note(*finding);
                return Ok(None);
            }
        };
        if let Err(finding) = directory.check_tensors() {
            self.note(*finding);
        }
        for (number, chunk) in (0_u32..).zip(&directory.index.chunks) {
            let computed = directory.chunk_digest(number, chunk);
            if computed != chunk.digest {
                let cause = Cause::Digest {
                    of: Digested::Chunk,
                    stored: chunk.digest,
                    computed,
                };
                let table = geometry.digests_1.start;
                let entry = |block: u64| block.saturating_mul(LEAF_DIGEST_LEN).saturating_add(table);
                let range = entry(chunk.blocks().start)..entry(chunk.blocks().end);
                self.note(Finding::new(cause, Region::Digests1, range).chunk(directory.index.chunk_name(chunk)));
            }
        }
        self.report.info = Some(directory.info.clone());
        Ok(Some(directory))
    }

    /// Zeros between two regions of the metadata; what is cut off is reported with the length.
    fn padding(&mut self, range: &Range<u64>) -> Result<(), Error> {
        let range = range.start..range.end.min(self.source_len);
        if range.is_empty() {
            return Ok(());
        }
        self.count_read(&range);
        match read_range(self.source, &range)? {
            Ok(bytes) => {
                if let Some(bad) = non_zero(&bytes, range.start) {
                    self.note(Finding::new(Cause::NonZeroPadding, Region::Padding, bad).repairable(true));
                }
            }
            Err(cause) => self.note(Finding::new(cause, Region::Padding, range).repairable(true)),
        }
        Ok(())
    }

    /// Prologues and blocks, as the depth asks. Returns the verdict of this depth, were nothing found.
    fn content(&mut self, directory: &Directory, depth: Depth<'_>) -> Result<Verdict, Error> {
        let block_len = directory.superblock.block_len();
        let chunks = &directory.index.chunks;
        let mut prologues = Vec::new();
        let mut wanted: Vec<(usize, &Chunk, Range<u64>)> = Vec::new();
        match depth {
            Depth::Superblock | Depth::Index => return Ok(Verdict::StructureOk),
            Depth::Chunk(name) => {
                let (number, chunk) = directory.chunk(name)?;
                prologues.push((number, chunk));
                wanted.push((number, chunk, chunk.blocks()));
            }
            Depth::Tensor(name) => {
                let entry = directory.tensor(name)?;
                if let Some((chunk, range)) = directory.tensor_place(&entry) {
                    wanted.push((entry.chunk, chunk, chunk.blocks_of(&range, block_len)));
                }
            }
            Depth::All => {
                prologues.extend(chunks.iter().enumerate());
                wanted.extend(
                    chunks
                        .iter()
                        .enumerate()
                        .map(|(number, chunk)| (number, chunk, chunk.blocks())),
                );
            }
        }
        for (number, chunk) in prologues {
            self.prologue(directory, number, chunk)?;
        }
        let residents = Residents::new(&directory.index);
        let step = TASK_LEN.checked_div(block_len).unwrap_or(1).max(1);
        let mut tasks = wanted.iter().flat_map(|(number, chunk, blocks)| {
            let starts = (0..blocks.end.saturating_sub(blocks.start).div_ceil(step)).map(move |position| {
                let start = position.saturating_mul(step).saturating_add(blocks.start);
                start..start.saturating_add(step).min(blocks.end)
            });
            starts.map(|blocks| Task {
                number: *number,
                chunk,
                blocks,
            })
        });
        let total = wanted.iter().fold(self.report.bytes_read, |sum, (_, chunk, blocks)| {
            let last = blocks.end.saturating_sub(1).max(blocks.start);
            let len = match blocks.is_empty() {
                true => 0,
                false => chunk
                    .block_bytes(last, block_len)
                    .end
                    .saturating_sub(chunk.block_bytes(blocks.start, block_len).start),
            };
            sum.saturating_add(len)
        });
        let mut buffers = vec![Vec::new(); rayon::current_num_threads().saturating_mul(TASKS_PER_THREAD).max(1)];
        loop {
            self.tell(total)?;
            let round = tasks.by_ref().take(buffers.len()).collect::<Vec<_>>();
            if round.is_empty() {
                break;
            }
            let source = self.source;
            let check = |(task, buffer): (&Task<'_>, &mut Vec<u8>)| task.check(directory, &residents, source, buffer);
            // One task alone is not worth waking a thread for.
            let checked: Vec<_> = match round.len() {
                1 => round.iter().zip(&mut buffers).map(check).collect(),
                _ => round.par_iter().zip(&mut buffers).map(check).collect(),
            };
            for (task, bad) in round.iter().zip(checked) {
                let first = task.chunk.block_bytes(task.blocks.start, block_len).start;
                let end = task.chunk.block_bytes(task.blocks.end.saturating_sub(1), block_len).end;
                self.count_read(&(first..end));
                let count = task.blocks.end.saturating_sub(task.blocks.start);
                self.report.blocks_checked = self.report.blocks_checked.saturating_add(count);
                for finding in bad {
                    self.bad_block(directory, &residents, task, finding);
                }
            }
        }
        Ok(if depth == Depth::All {
            Verdict::Ok
        } else {
            Verdict::StructureOk
        })
    }

    /// Notes a finding in a block, with the tensors that lie on it.
    fn bad_block(&mut self, directory: &Directory, residents: &Residents, task: &Task<'_>, mut finding: Finding) {
        if finding.cause == Cause::NonZeroPadding {
            self.note(finding);
            return;
        }
        self.report.blocks_bad = self.report.blocks_bad.saturating_add(1);
        let content = task.chunk.content_offset();
        let inside = finding.byte_range.start.saturating_sub(content)..finding.byte_range.end.saturating_sub(content);
        let mut names = residents
            .on(&directory.index, task.number, &inside)
            .map(|tensor| tensor.name);
        if let Some(first) = names.next() {
            finding = finding.tensor(first);
            self.damaged.insert(first.into());
        }
        for name in names {
            finding.more_tensors = finding.more_tensors.saturating_add(1);
            self.damaged.insert(name.into());
        }
        self.note(finding);
    }

    fn tell(&mut self, bytes_total: u64) -> Result<(), Error> {
        let progress = Progress {
            bytes_done: self.report.bytes_read,
            bytes_total,
        };
        match self.progress.as_mut().map(|callback| callback(progress)) {
            Some(std::ops::ControlFlow::Break(())) => Err(Error::Cancelled),
            _ => Ok(()),
        }
    }

    /// Compares a prologue with the one that the index makes.
    fn prologue(&mut self, directory: &Directory, number: usize, chunk: &Chunk) -> Result<(), Error> {
        let superblock = &directory.superblock;
        let name = directory.index.chunk_name(chunk);
        let expected = Prologue {
            uuid: superblock.uuid,
            number: u32::try_from(number).unwrap_or(u32::MAX),
            name,
            kind: chunk.kind,
            encoding: chunk.encoding,
            block_log2: superblock.block_log2,
            stored_len: chunk.stored_len,
            content_len: chunk.content_len,
            first_block: chunk.first_block,
            block_count: chunk.block_count,
            tensor_count: chunk.tensor_count,
            digest: chunk.digest,
        }
        .encode();
        let range = chunk.offset..chunk.offset.saturating_add(len_u64(PROLOGUE_LEN));
        self.count_read(&range);
        let (cause, bad) = match read_range(self.source, &range)? {
            Ok(bytes) if bytes == expected => return Ok(()),
            Ok(bytes) => (Cause::Prologue, differing(&bytes, &expected, range.start)),
            Err(cause) => (cause, range),
        };
        self.note(Finding::new(cause, Region::Prologue, bad).chunk(name).repairable(true));
        Ok(())
    }
}
