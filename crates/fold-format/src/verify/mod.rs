//! Verifying a file: every byte that the depth asks for is read, and what is wrong is located.
//!
//! Positioned reads into bounded buffers, never a mapping. Damage is what a verification is for, so it goes on behind it
//! as far as the metadata carry; only what stops it altogether is an error. The metadata are walked here, blocks in
//! `content`, what chunks hold beside their content in `inside`; what parity makes good is weighed in `losses`.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

mod content;
mod inside;
mod losses;

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;

use crate::checkpoint::{Checkpoint, open_regular};
use crate::copies::{Mirrored, SuperblockCopy, Superblocks, check_limits, length_finding, read_range};
use crate::directory::Directory;
use crate::error::{Error, IoFault, Operation};
use crate::finding::{Cause, Digested, Finding, Region};
use crate::report::{Depth, ProgressCallback, Report, Verdict, VerifyOptions};
use crate::seal::PublicKey;
use crate::sign::signature_finding;
use crate::source::ReadAt;
use crate::superblock::Superblock;
use crate::task::non_zero;

use inside::{Frames, OnContent};
use losses::Losses;

/// Bytes that one task reads and hashes.
const TASK_LEN: u64 = 256 << 10;

/// Verifies a file with positioned reads and bounded buffers, never through a mapping.
///
/// What is wrong with the file is in the report, whatever it is; only what stops the verification itself is an error.
/// Beside the metadata, about 4 MiB per thread of rayon's global pool are allocated, however large the file is.
///
/// # Errors
/// The path is absent, no regular file or cannot be opened; the requested chunk or tensor does not exist; the callback
/// broke off; there is no memory for the metadata.
pub fn verify(path: impl AsRef<Path>, depth: Depth<'_>, options: VerifyOptions<'_>) -> Result<Report, Error> {
    let path = path.as_ref();
    verify_source(&open_regular(path)?, depth, options).map_err(|error| error.about(Some(path)))
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
        public_key: options.public_key,
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
        bad_chunks: BTreeSet::new(),
        records_agree: true,
        lost: false,
        losses: None,
        last_frames: None,
        last_tensors: None,
    };
    let reached = match walk.superblocks(depth, &options.limits)? {
        Some(superblock) if depth == Depth::Superblock => {
            walk.report.blocks_total = superblock.digested_blocks();
            Some(Verdict::HeaderOk)
        }
        Some(superblock) => match walk.metadata(superblock, &options.limits)? {
            Some(directory) => Some(walk.content(&Checkpoint::of(source, directory), depth)?),
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
    public_key: Option<PublicKey>,
    progress: Option<ProgressCallback<'o>>,
    report: Report,
    damaged: BTreeSet<Box<str>>,
    /// Numbers of the chunks that lost blocks.
    bad_chunks: BTreeSet<usize>,
    /// Whether every tensor record keeps the rules.
    records_agree: bool,
    /// Whether something is wrong that nothing in the file makes good, lost blocks not counted.
    lost: bool,
    /// Lost blocks, where the file has parity and all of it is looked at.
    losses: Option<Losses>,
    /// Of the last compressed chunk whose damage was looked at.
    last_frames: Option<Frames>,
    /// On the last damaged block.
    last_tensors: Option<OnContent>,
}

impl<S: ReadAt + ?Sized> Walk<'_, '_, S> {
    /// Keeps a finding. What parity may make good is weighed at the end, see [`Losses`](losses::Losses).
    fn note(&mut self, finding: Finding) {
        let weighed = self.losses.as_mut().is_some_and(|losses| losses.take(&finding));
        self.lost |= !finding.repairable && !weighed;
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
        if let Some(losses) = &self.losses {
            self.lost |= losses.beyond_parity();
            for finding in &mut self.report.findings {
                finding.repairable |= losses.makes_good(finding);
            }
        }
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
    ///
    /// # Errors
    /// Only a lack of memory.
    fn superblocks(&mut self, depth: Depth<'_>, limits: &crate::Limits) -> Result<Option<Superblock>, Error> {
        let mut copies = Superblocks::read(self.source, self.source_len);
        self.count_read(&copies.a.range.clone());
        if let Ok(superblock) = &copies.a.decoded {
            let expected = superblock.geometry.superblock_b.clone();
            // One that is cut off is reported with the length.
            copies.b = (expected.end <= self.source_len)
                .then(|| SuperblockCopy::read(self.source, Region::SuperblockB, expected.start));
        }
        let differ = match (&copies.a.decoded, &copies.b) {
            (Ok(_), Some(b)) => b.bytes != copies.a.bytes,
            (decoded, None) => decoded.is_ok(),
            (Err(_), Some(_)) => false,
        };
        if differ {
            copies.distrust_a(self.source, self.source_len, limits)?;
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
                return Ok(None);
            }
        };
        if depth == Depth::All {
            self.losses = superblock
                .parity
                .map(|parity| Losses::new(superblock.block_count, parity.grouping));
        }
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
        if let Some(finding) = signature_finding(&superblock, self.public_key.as_ref()) {
            self.note(finding);
        }
        Ok(Some(superblock))
    }

    /// Both copies of index and digest table, the padding around them, and every record. `None`: no copy can be used.
    fn metadata(&mut self, superblock: Superblock, limits: &crate::Limits) -> Result<Option<Directory>, Error> {
        self.report.blocks_total = superblock.digested_blocks();
        if let Err(finding) = check_limits(&superblock, limits) {
            self.note(*finding);
            return Ok(None);
        }
        let hasher = superblock.hasher();
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
            self.records_agree = false;
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
                let leaf_len = u64::from(hasher.kind.leaf_len());
                let entry = |block: u64| block.saturating_mul(leaf_len).saturating_add(table);
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
        let mut piece = range.start..range.start;
        while piece.end < range.end {
            piece = piece.end..piece.end.saturating_add(TASK_LEN).min(range.end);
            match read_range(self.source, &piece)? {
                Ok(bytes) => {
                    if let Some(bad) = non_zero(&bytes, piece.start) {
                        self.note(Finding::new(Cause::NonZeroPadding, Region::Padding, bad).repairable(true));
                    }
                }
                Err(cause) => self.note(Finding::new(cause, Region::Padding, piece.clone()).repairable(true)),
            }
        }
        Ok(())
    }
}
