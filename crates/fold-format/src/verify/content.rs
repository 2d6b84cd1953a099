//! Prologues and blocks: read, hashed, and what is wrong located.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;

use super::{TASK_LEN, Walk};
use crate::checkpoint::{Checkpoint, Reading};
use crate::copies::{differing, read_range};
use crate::directory::Directory;
use crate::error::Error;
use crate::finding::{Cause, Finding, Region};
use crate::index::Chunk;
use crate::layout::PROLOGUE_LEN;
use crate::memory::{Aligned, PAGE};
use crate::report::{Depth, Progress, Verdict};
use crate::residents::Residents;
use crate::source::ReadAt;
use crate::task::{Task, check_blocks};
use crate::wire::len_u64;

/// Tasks per thread between two calls of the progress callback.
const TASKS_PER_THREAD: usize = 32;

/// Neighbouring blocks, `step` of them at a time.
fn pieces(blocks: Range<u64>, step: u64) -> impl Iterator<Item = Range<u64>> {
    (0..blocks.end.saturating_sub(blocks.start).div_ceil(step)).map(move |position| {
        let start = position.saturating_mul(step).saturating_add(blocks.start);
        start..start.saturating_add(step).min(blocks.end)
    })
}

/// Memory for every thread. What one reads stays in its second-level cache until it is hashed.
fn buffers() -> Vec<Aligned<PAGE>> {
    vec![Aligned::new(); rayon::current_num_threads().max(1)]
}

/// Works on the tasks in whatever order the threads come to them; the answers are in the tasks' order.
fn on_all_threads<T: Sync, A: Send>(
    tasks: &[T],
    buffers: &mut [Aligned<PAGE>],
    work: impl Fn(&T, &mut Aligned<PAGE>) -> A + Sync,
) -> Vec<A> {
    let next = AtomicUsize::new(0);
    let take = |buffer: &mut Aligned<PAGE>| {
        let numbers = std::iter::repeat_with(|| next.fetch_add(1, Ordering::Relaxed));
        let answers = numbers.map_while(|number| Some((number, work(tasks.get(number)?, buffer))));
        answers.collect::<Vec<_>>()
    };
    // One task alone is not worth waking a thread for.
    let mut answers = match (tasks.len(), buffers.first_mut()) {
        (1, Some(buffer)) => take(buffer),
        _ => buffers.par_iter_mut().flat_map_iter(take).collect::<Vec<_>>(),
    };
    answers.sort_unstable_by_key(|(number, _)| *number);
    answers.into_iter().map(|(_, answer)| answer).collect()
}

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
            pieces(blocks.clone(), step).map(|blocks| Task {
                number: *number,
                chunk,
                blocks,
            })
        });
        let parity = match depth {
            Depth::All => directory
                .superblock
                .geometry
                .parity
                .end
                .saturating_sub(directory.superblock.geometry.parity.start),
            _ => 0,
        };
        let total = wanted.iter().fold(
            self.report.bytes_read.saturating_add(parity),
            |sum, (_, chunk, blocks)| {
                let last = blocks.end.saturating_sub(1).max(blocks.start);
                let len = match blocks.is_empty() {
                    true => 0,
                    false => chunk
                        .block_bytes(last, block_len)
                        .end
                        .saturating_sub(chunk.block_bytes(blocks.start, block_len).start),
                };
                sum.saturating_add(len)
            },
        );
        let mut buffers = buffers();
        loop {
            self.tell(total)?;
            let round = tasks
                .by_ref()
                .take(buffers.len().saturating_mul(TASKS_PER_THREAD))
                .collect::<Vec<_>>();
            if round.is_empty() {
                break;
            }
            let source = self.source;
            let check = |task: &Task<'_>, buffer: &mut Aligned<PAGE>| task.check(directory, &residents, source, buffer);
            for (task, bad) in round.iter().zip(on_all_threads(&round, &mut buffers, check)) {
                let first = task.chunk.block_bytes(task.blocks.start, block_len).start;
                let end = task.chunk.block_bytes(task.blocks.end.saturating_sub(1), block_len).end;
                self.count_read(&(first..end));
                let count = task.blocks.end.saturating_sub(task.blocks.start);
                self.report.blocks_checked = self.report.blocks_checked.saturating_add(count);
                for finding in bad? {
                    self.bad_block(checkpoint, &residents, task, finding);
                }
            }
        }
        if depth == Depth::All {
            self.parity(directory, total)?;
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
    fn parity(&mut self, directory: &Directory, bytes_total: u64) -> Result<(), Error> {
        let block_len = directory.superblock.block_len();
        let first = directory.superblock.block_count;
        let end = directory.superblock.digested_blocks();
        let step = TASK_LEN.checked_div(block_len).unwrap_or(1).max(1);
        let mut tasks = pieces(first..end, step);
        let mut buffers = buffers();
        loop {
            let round = tasks
                .by_ref()
                .take(buffers.len().saturating_mul(TASKS_PER_THREAD))
                .collect::<Vec<_>>();
            if round.is_empty() {
                return Ok(());
            }
            let source = self.source;
            let check = |blocks: &Range<u64>, buffer: &mut Aligned<PAGE>| {
                let mut bad = Vec::new();
                let bytes_of = |number| directory.block_range(number);
                check_blocks(directory, source, blocks, bytes_of, buffer, |number, range, block| {
                    bad.extend(
                        block
                            .err()
                            .map(|cause| Finding::new(cause, Region::Parity, range).block(number)),
                    );
                })?;
                Ok::<_, Error>(bad)
            };
            for (blocks, bad) in round.iter().zip(on_all_threads(&round, &mut buffers, check)) {
                let last = directory.block_range(blocks.end.saturating_sub(1));
                self.count_read(&(directory.block_range(blocks.start).start..last.end));
                self.report.blocks_checked = self
                    .report
                    .blocks_checked
                    .saturating_add(blocks.end.saturating_sub(blocks.start));
                for finding in bad? {
                    self.report.blocks_bad = self.report.blocks_bad.saturating_add(1);
                    self.note(finding);
                }
            }
            self.tell(bytes_total)?;
        }
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
        let inside = self.content_on(checkpoint, task.number, reading, &finding.byte_range);
        let tensors = self.tensors_on(&directory.index, residents, task.number, inside);
        if let Some(first) = &tensors.first {
            finding = finding.tensor(first);
            finding.more_tensors = tensors.more;
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
