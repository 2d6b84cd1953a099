//! Prologues and blocks: read, hashed, and what is wrong located.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use std::ops::Range;

use rayon::prelude::*;

use super::{TASK_LEN, Walk};
use crate::checkpoint::{Checkpoint, Reading};
use crate::copies::{differing, read_range};
use crate::directory::Directory;
use crate::error::Error;
use crate::finding::{Cause, Finding, Region};
use crate::index::Chunk;
use crate::layout::PROLOGUE_LEN;
use crate::report::{Depth, Progress, Verdict};
use crate::residents::Residents;
use crate::source::ReadAt;
use crate::task::Task;
use crate::wire::len_u64;

/// Tasks per thread between two calls of the progress callback.
const TASKS_PER_THREAD: usize = 4;

impl<S: ReadAt + ?Sized> Walk<'_, '_, S> {
    /// Prologues and blocks, as the depth asks. Returns the verdict of this depth, were nothing found.
    pub(super) fn content(&mut self, checkpoint: &Checkpoint<&S>, depth: Depth<'_>) -> Result<Verdict, Error> {
        let directory = &checkpoint.directory;
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
                    let stored = match &chunk.framing {
                        None => range,
                        // Where its frames lie says the frame table: the chunk is checked as a whole.
                        Some(_) if range.is_empty() => 0..0,
                        Some(_) => 0..chunk.stored_len,
                    };
                    wanted.push((entry.chunk, chunk, chunk.blocks_of(&chunk.in_file(&stored), block_len)));
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
        for (number, chunk) in &prologues {
            self.prologue(directory, *number, chunk)?;
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
                    self.bad_block(checkpoint, &residents, task, finding);
                }
            }
        }
        if depth == Depth::All {
            self.parity(directory)?;
        }
        for (number, chunk) in prologues {
            self.inside(checkpoint, &residents, number, chunk)?;
        }
        Ok(if depth == Depth::All {
            Verdict::Ok
        } else {
            Verdict::StructureOk
        })
    }

    /// Every parity block.
    fn parity(&mut self, directory: &Directory) -> Result<(), Error> {
        let region = directory.superblock.geometry.parity.clone();
        let block_len = directory.superblock.block_len();
        let mut number = directory.superblock.block_count;
        let mut piece = region.start..region.start;
        while piece.end < region.end {
            piece = piece.end..piece.end.saturating_add(TASK_LEN.max(block_len)).min(region.end);
            let there = piece.start..piece.end.min(self.source_len.max(piece.start));
            self.count_read(&there);
            let read = match there == piece {
                true => read_range(self.source, &piece)?.ok(),
                false => None,
            };
            let starts = (0..piece.end.saturating_sub(piece.start).div_ceil(block_len))
                .map(|position| piece.start.saturating_add(position.saturating_mul(block_len)));
            for start in starts {
                let range = start..start.saturating_add(block_len);
                let inside = |at: u64| usize::try_from(at.saturating_sub(piece.start)).unwrap_or(usize::MAX);
                let checked = match &read {
                    Some(bytes) => {
                        let block = bytes.get(inside(range.start)..inside(range.end)).unwrap_or(&[]);
                        directory.check_block(number, block)
                    }
                    // What cannot be read as a whole is read block by block.
                    None if range.end > self.source_len => Err(Cause::Length {
                        expected: range.end,
                        actual: self.source_len,
                    }),
                    None => read_range(self.source, &range)?.and_then(|block| directory.check_block(number, &block)),
                };
                if let Err(cause) = checked {
                    self.report.blocks_bad = self.report.blocks_bad.saturating_add(1);
                    self.note(Finding::new(cause, Region::Parity, range).block(number));
                }
                self.report.blocks_checked = self.report.blocks_checked.saturating_add(1);
                number = number.saturating_add(1);
            }
        }
        Ok(())
    }

    /// Notes a finding in a block, with the tensors that lie on it.
    fn bad_block(&mut self, checkpoint: &Checkpoint<&S>, residents: &Residents, task: &Task<'_>, mut finding: Finding) {
        if finding.cause == Cause::NonZeroPadding {
            self.note(finding);
            return;
        }
        self.report.blocks_bad = self.report.blocks_bad.saturating_add(1);
        self.bad_chunks.insert(task.number);
        let directory = &checkpoint.directory;
        let reading = Reading {
            chunk: task.chunk,
            chunk_name: directory.index.chunk_name(task.chunk),
            tensor: None,
        };
        let inside = self.content_on(checkpoint, reading, &finding.byte_range);
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
        let name = directory.index.chunk_name(chunk);
        let expected = directory.prologue(number, chunk);
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
