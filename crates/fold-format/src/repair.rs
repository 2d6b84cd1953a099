//! Repairing a damaged file: every byte as it was, or nothing is written.
//!
//! The source is never changed. Metadata come from whichever copy is whole, prologues and padding follow from them, lost
//! blocks come from parity. The new file is verified in full before it gets its name.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use std::path::Path;

use rayon::prelude::*;

use crate::atomic::{Failure, write_atomically};
use crate::copies::Superblocks;
use crate::directory::{Directory, OpenMode};
use crate::error::{Error, IoFault, Operation};
use crate::finding::{Cause, Finding, Region};
use crate::limits::Limits;
use crate::options::{Durability, Existing};
use crate::parity::{self, Losses, RESTORE_MEMORY_BYTES, Shortage};
use crate::report::{Depth, Report, Verdict, VerifyOptions};
use crate::restore::{lost_blocks, number_of, parity_name, read_block, read_column};
use crate::source::ReadAt;
use crate::storage::{Storage, StorageFile, write_full};
use crate::verify::verify_source;
use crate::wire::len_u64;
use crate::write::write_zeros;

/// What a repair found and did.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Repair {
    /// [`Verdict::Ok`]: nothing was wrong. [`Verdict::Corrected`]: all of it can be made good. [`Verdict::Damaged`]: some
    /// of it cannot, and nothing was written.
    pub verdict: Verdict,
    /// What is wrong with the file, as a full verification finds it.
    pub findings: Vec<Finding>,
    /// How many findings there were in all.
    pub findings_total: u64,
    /// Lost blocks that were restored, or would be: of content and of parity.
    pub blocks_repaired: u64,
    /// How many whole blocks more it would take: 0 where all can be restored.
    pub blocks_missing: u64,
    /// Whole parity blocks in the file.
    pub parity_available: u64,
    /// The groups that lost more than their parity can restore.
    pub shortages: Vec<Shortage>,
    /// Bytes of the new file; 0 where none was written.
    pub bytes_written: u64,
}

/// Whether to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode<'p> {
    Plan,
    Write(&'p Path),
}

/// Says what [`repair`] would do, and writes nothing.
///
/// # Errors
/// As [`repair`], but for those of writing.
pub fn plan_repair<R: ReadAt + ?Sized>(source: &R, limits: &Limits) -> Result<Repair, Error> {
    run(&crate::Disk, source, limits, Mode::Plan)
}

/// Writes a whole copy of a damaged file under a new name: byte for byte the file as it was saved, or nothing.
///
/// The copy is written as by [`save`](crate::save()) with [`Durability::Full`], and verified in full before it gets its
/// name. Where nothing is wrong it is a plain copy. Memory: metadata, 4 MiB a thread, and 32 MiB for restoring.
///
/// # Errors
/// - [`Error::Finding`]: no superblock, index or digest table is whole, not even put together from both copies; or what
///   the writer wrote breaks a rule of the format, which no repair mends. Salvage takes what is intact.
/// - [`Misuse::TargetExists`](crate::Misuse::TargetExists), an [`IoFault`] of reading or writing: as for a save.
pub fn repair<S: Storage, R: ReadAt + ?Sized>(
    storage: &S,
    source: &R,
    target: impl AsRef<Path>,
    limits: &Limits,
) -> Result<Repair, Error> {
    run(storage, source, limits, Mode::Write(target.as_ref()))
}

fn run<S: Storage, R: ReadAt + ?Sized>(
    storage: &S,
    source: &R,
    limits: &Limits,
    mode: Mode<'_>,
) -> Result<Repair, Error> {
    let (directory, _) = Directory::open(source, None, limits, OpenMode::Degraded)?;
    let report = verify_source(source, Depth::All, VerifyOptions::new().limits(*limits))?;
    let lost = lost_numbers(&directory, source, &report)?;
    let mut repair = weigh(&directory, report, &lost);
    if repair.verdict == Verdict::Damaged {
        return Ok(repair);
    }
    if let Mode::Write(target) = mode {
        let superblock = superblock_bytes(source, limits)?;
        let like = source
            .permissions()
            .map_err(|error| IoFault::new(Operation::Metadata, None, error))?;
        write_atomically(storage, target, Existing::Refuse, Durability::Full, like, |file| {
            write_whole(&directory, &superblock, source, &lost, file)?;
            let report = verify_source(file, Depth::All, VerifyOptions::new().limits(*limits));
            match report.map_err(Failure::Other)? {
                Report {
                    verdict: Verdict::Ok, ..
                } => Ok(()),
                report => Err(Failure::Other(unproved(report))),
            }
        })?;
        repair.bytes_written = directory.superblock.geometry.file_len();
    }
    Ok(repair)
}

/// The numbers of the lost blocks. The report may hold only the first of its findings; then the blocks are looked at again.
fn lost_numbers<R: ReadAt + ?Sized>(directory: &Directory, source: &R, report: &Report) -> Result<Vec<u64>, Error> {
    if report.blocks_bad == 0 {
        return Ok(Vec::new());
    }
    let count = usize::try_from(directory.superblock.digested_blocks()).map_err(|_| crate::Misuse::TooLarge)?;
    let lost = lost_blocks(directory, source, (0..count).into_par_iter().map(len_u64));
    Ok(lost.into_iter().map(|(number, _)| number).collect())
}

/// What can be made good of what was found.
fn weigh(directory: &Directory, report: Report, lost: &[u64]) -> Repair {
    let superblock = &directory.superblock;
    let lost_count = len_u64(lost.len());
    let mut shortages = Vec::new();
    let (blocks_missing, parity_available) = match &superblock.parity {
        Some(parity) => {
            let lost_parity = lost.iter().filter(|&&number| number >= superblock.block_count).count();
            let names = lost.iter().map(|&number| parity_name(directory, number));
            if let Ok(losses) = Losses::new(&parity.grouping, names) {
                shortages = losses.shortages();
            }
            let missing = shortages.iter().fold(0_u64, |sum, shortage| {
                let lost = shortage.lost_data.saturating_add(shortage.lost_parity);
                sum.saturating_add(u64::from(lost.saturating_sub(shortage.group_parity)))
            });
            (
                missing,
                parity.grouping.parity_blocks().saturating_sub(len_u64(lost_parity)),
            )
        }
        None => (lost_count, 0),
    };
    Repair {
        verdict: report.verdict,
        blocks_repaired: if blocks_missing == 0 { lost_count } else { 0 },
        blocks_missing,
        parity_available,
        shortages,
        findings_total: report.findings_total,
        findings: report.findings,
        bytes_written: 0,
    }
}

/// The bytes of a superblock that is whole.
fn superblock_bytes<R: ReadAt + ?Sized>(source: &R, limits: &Limits) -> Result<Vec<u8>, Error> {
    let source_len = source
        .len()
        .map_err(|error| IoFault::new(Operation::Metadata, None, error))?;
    let mut copies = Superblocks::read(source, source_len);
    copies.distrust_a(source, source_len, limits)?;
    copies.choose()?;
    let whole = match (&copies.a.decoded, copies.b) {
        (Err(_), Some(b)) => b.bytes,
        _ => copies.a.bytes,
    };
    Ok(whole)
}

/// Why a copy that was written does not get its name.
fn unproved(report: Report) -> Error {
    let none = || Finding::new(Cause::CopiesDiffer, Region::File, 0..0);
    report.findings.into_iter().next().unwrap_or_else(none).into()
}

/// Writes every byte of the file into `file`: metadata, prologues and padding as they must be, whole blocks from the
/// source, lost ones from parity.
fn write_whole<R: ReadAt + ?Sized>(
    directory: &Directory,
    superblock: &[u8],
    source: &R,
    lost: &[u64],
    file: &impl StorageFile,
) -> Result<(), Failure> {
    let geometry = &directory.superblock.geometry;
    file.set_len(geometry.file_len())
        .map_err(|error| Failure::Io(Operation::SetLength, error))?;
    let write = |bytes: &[u8], offset: u64| {
        write_full(file, bytes, offset).map_err(|error| Failure::Io(Operation::Write, error))
    };
    for (copies, bytes) in [
        ([&geometry.index_1, &geometry.index_2], directory.index.bytes.as_slice()),
        ([&geometry.digests_1, &geometry.digests_2], directory.digest_table()),
    ] {
        for copy in copies {
            write(bytes, copy.start)?;
        }
    }
    for padding in geometry.paddings() {
        write_zeros(file, &padding).map_err(|error| Failure::Io(Operation::Write, error))?;
    }
    for (number, chunk) in directory.index.chunks.iter().enumerate() {
        write(&directory.prologue(number, chunk), chunk.offset)?;
    }
    let mut lost_ahead = lost.iter().copied().peekable();
    let mut buffer = Vec::new();
    for number in 0..directory.superblock.digested_blocks() {
        if lost_ahead.next_if_eq(&number).is_some() {
            continue;
        }
        // It was whole a moment ago; a source that changes meanwhile is not repaired.
        read_block(directory, source, number, &mut buffer).map_err(|cause| {
            let range = directory.block_range(number);
            Failure::Other(Finding::new(cause, Region::Content, range).block(number).into())
        })?;
        write(&buffer, directory.block_range(number).start)?;
    }
    let names = lost.iter().map(|&number| parity_name(directory, number));
    // Every number is that of a block of the file.
    if let (Some(parity), false) = (&directory.superblock.parity, lost.is_empty())
        && let Ok(losses) = Losses::new(&parity.grouping, names)
    {
        parity::restore(
            &losses,
            RESTORE_MEMORY_BYTES,
            |block, column, buffer| read_column(directory, file, block, column, buffer),
            |block, column, bytes| {
                let range = directory.block_range(number_of(directory, block));
                let start = range.start.saturating_add(len_u64(column)).min(range.end);
                let len = usize::try_from(range.end.saturating_sub(start))
                    .unwrap_or(0)
                    .min(bytes.len());
                write_full(file, bytes.get(..len).unwrap_or(&[]), start)
            },
        )
        .map_err(|fault| match fault {
            parity::Fault::Read { source, .. } => Failure::Io(Operation::Read, source),
            parity::Fault::Write { source, .. } => Failure::Io(Operation::Write, source),
            fault => Failure::Io(Operation::Read, std::io::Error::other(fault)),
        })?;
    }
    write(superblock, geometry.superblock_b.start)?;
    write(superblock, 0)
}
