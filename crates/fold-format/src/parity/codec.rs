//! Encoding and restoring in tiles of columns.
//!
//! A tile is the same few columns of every block of one group. Several are worked on at once, in the caller's rayon
//! pool; the results are handed out in order by one thread: by group, then column, then block. Neither the number of
//! threads nor the memory changes a byte.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use std::io;
use std::ops::Range;

use rayon::prelude::*;
use reed_solomon_simd::engine::{DefaultEngine, Engine, ShardsRefMut, utils};
use reed_solomon_simd::rate::{HighRateDecoder, RateDecoder};

use super::grouping::Grouping;
use super::losses::{Block, GroupLosses, Losses, Shortage};

/// The memory at which [`encode`] is fastest: what a tile works on then stays in a core's cache.
pub const ENCODE_MEMORY_BYTES: usize = 4 << 20;
/// Memory from which on [`restore`] does not get faster.
pub const RESTORE_MEMORY_BYTES: usize = 32 << 20;

/// The least width of a tile: the code is laid out in cells of 64 bytes.
const CELL_BYTES: usize = 64;

/// Why parity was not computed, or blocks were not restored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// Groups that lost more than they can make up for. Nothing was read or written.
    #[error("{}", DisplayShortages(.0))]
    TooManyLost(Vec<Shortage>),
    /// The reader failed on a block.
    #[error("{block} could not be read: {source}")]
    Read {
        /// The block.
        block: Block,
        /// The reader's answer.
        source: io::Error,
    },
    /// The writer failed on a block.
    #[error("{block} could not be written: {source}")]
    Write {
        /// The block.
        block: Block,
        /// The writer's answer.
        source: io::Error,
    },
    /// The library that computes the code refused what this module gave it: a defect of this module.
    #[error("the parity code failed: {0}")]
    Code(reed_solomon_simd::Error),
}

/// The shortages, first the number of groups where there are several.
struct DisplayShortages<'a>(&'a [Shortage]);

impl std::fmt::Display for DisplayShortages<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            [only] => write!(f, "{only}"),
            [first, rest @ ..] => write!(f, "{first}, and {} more groups lost too many", rest.len()),
            [] => f.write_str("no group lost too many blocks"),
        }
    }
}

/// Computes all parity blocks.
///
/// - `read(block, column, buffer)` fills the buffer with the bytes of a data block from a column on; behind the end of a
///   short block it fills in zeros. It is called from several threads, for all columns of all blocks once each.
/// - `write(parity block, column, bytes)` is called by the calling thread alone. The columns of one parity block come
///   in ascending order without a gap, so that a digest of it can be computed as they come.
/// - `memory_bytes` bounds the memory, whatever the number of blocks, down to the least that a tile needs (less than
///   7 MiB) and beside the code's tables (9 MiB, computed at the first use in a process). See [`ENCODE_MEMORY_BYTES`].
///
/// # Errors
/// [`Fault::Read`] or [`Fault::Write`]. What was written until then is to be thrown away.
pub fn encode<R, W>(grouping: &Grouping, memory_bytes: usize, read: R, mut write: W) -> Result<(), Fault>
where
    R: Fn(u64, usize, &mut [u8]) -> io::Result<()> + Sync,
    W: FnMut(u64, usize, &[u8]) -> io::Result<()>,
{
    let blocks = (0..grouping.group_parity()).map(Position::Parity).collect::<Vec<_>>();
    let groups = (0..grouping.groups()).map(|group| (group, &*blocks));
    let read = |block, column, buffer: &mut [u8]| match block {
        Block::Data(number) => read(number, column, buffer),
        // Not asked for: parity is the outcome.
        Block::Parity(_) => Err(io::ErrorKind::Unsupported.into()),
    };
    let write = |block, column, bytes: &[u8]| match block {
        Block::Parity(number) => write(number, column, bytes),
        Block::Data(_) => Err(io::ErrorKind::Unsupported.into()),
    };
    let rows = encoder_rows(grouping).saturating_add(blocks.len());
    in_tiles(
        grouping,
        groups,
        rows,
        memory_bytes,
        Encoder::new,
        write,
        |encoder, tile| {
            encoder.encode(grouping, tile, |position, row| {
                read_row(&read, Block::Data(grouping.block(tile.group, position)), tile, row)
            })?;
            Ok(encoder.parity(grouping.group_parity(), tile).to_vec())
        },
    )
}

/// Restores all lost blocks of a file: data from any whole blocks of its group, parity by computing it again.
///
/// - `read(block, column, buffer)` fills the buffer with the bytes of a block that is not lost from a column on; behind
///   the end of a short block it fills in zeros. It is called from several threads.
/// - `write(block, column, bytes)` gets the bytes of lost blocks, from the calling thread alone; the columns of one
///   block come in ascending order without a gap.
/// - `memory_bytes` is as in [`encode`], the least that a tile needs being less than 12 MiB. See
///   [`RESTORE_MEMORY_BYTES`].
///
/// # Errors
/// [`Fault::TooManyLost`] with every group that cannot be restored; nothing was read or written then. See
/// [`Losses::restorable`] for leaving these out. [`Fault::Read`] or [`Fault::Write`]: what was written until then is to
/// be thrown away.
pub fn restore<R, W>(losses: &Losses, memory_bytes: usize, read: R, write: W) -> Result<(), Fault>
where
    R: Fn(Block, usize, &mut [u8]) -> io::Result<()> + Sync,
    W: FnMut(Block, usize, &[u8]) -> io::Result<()>,
{
    let grouping = losses.grouping();
    let shortages = losses.shortages();
    if !shortages.is_empty() {
        return Err(Fault::TooManyLost(shortages));
    }
    let plans = losses
        .groups()
        .map(|(group, losses)| (group, positions(losses)))
        .collect::<Vec<_>>();
    let groups = plans.iter().map(|(group, positions)| (*group, &**positions));
    let most_lost = plans.iter().map(|(_, positions)| positions.len()).max().unwrap_or(0);
    let rows = decoder_rows(grouping)
        .saturating_add(encoder_rows(grouping))
        .saturating_add(most_lost);
    in_tiles(
        grouping,
        groups,
        rows,
        memory_bytes,
        Decoder::new,
        write,
        |decoder, tile| decoder.restore(grouping, tile, &read),
    )
}

/// A lost block by its position in the group.
#[derive(Clone, Copy)]
enum Position {
    Data(u32),
    Parity(u32),
}

impl Position {
    fn block(self, grouping: &Grouping, group: u32) -> Block {
        match self {
            Self::Data(position) => Block::Data(grouping.block(group, position)),
            Self::Parity(position) => Block::Parity(grouping.block(group, position)),
        }
    }
}

/// What a group lost: data ascending, then parity ascending.
fn positions(losses: &GroupLosses) -> Vec<Position> {
    let data = losses.data.iter().map(|&position| Position::Data(position));
    data.chain(losses.parity.iter().map(|&position| Position::Parity(position)))
        .collect()
}

/// Some columns of all blocks of a group, and the blocks that are to come out.
struct Tile<'a> {
    group: u32,
    wanted: &'a [Position],
    columns: Range<usize>,
}

impl Tile<'_> {
    fn width(&self) -> usize {
        self.columns.len()
    }
}

/// Cells of a tile's row, and rows of so many cells each.
fn cells(bytes: usize) -> usize {
    bytes.div_ceil(CELL_BYTES)
}

/// Goes over the tiles of all groups: several at once are computed, then their rows are written in order.
fn in_tiles<'a, T: Send>(
    grouping: &Grouping,
    groups: impl Iterator<Item = (u32, &'a [Position])>,
    rows: usize,
    memory_bytes: usize,
    worker: impl Fn() -> T,
    mut write: impl FnMut(Block, usize, &[u8]) -> io::Result<()>,
    compute: impl Fn(&mut T, &Tile<'a>) -> Result<Vec<u8>, Fault> + Sync,
) -> Result<(), Fault> {
    let Measure { at_once, width } = Measure::new(rows, memory_bytes, grouping.block_len());
    let block_len = grouping.block_len();
    let mut tiles = groups.flat_map(|(group, wanted)| {
        (0..block_len).step_by(width).map(move |start| Tile {
            group,
            wanted,
            columns: start..start.saturating_add(width).min(block_len),
        })
    });
    let mut workers = (0..at_once).map(|_| worker()).collect::<Vec<_>>();
    loop {
        let wave = tiles.by_ref().take(at_once).collect::<Vec<_>>();
        if wave.is_empty() {
            return Ok(());
        }
        let computed = wave
            .par_iter()
            .zip(&mut workers)
            .map(|(tile, worker)| compute(worker, tile))
            .collect::<Vec<_>>();
        for (tile, rows) in wave.iter().zip(computed) {
            for (position, row) in tile.wanted.iter().zip(rows?.chunks_exact(tile.width())) {
                let block = position.block(grouping, tile.group);
                write(block, tile.columns.start, row).map_err(|source| Fault::Write { block, source })?;
            }
        }
    }
}

/// How many tiles are worked on at once, and how wide they are.
#[derive(Debug, PartialEq, Eq)]
struct Measure {
    at_once: usize,
    width: usize,
}

impl Measure {
    /// Tiles of `rows` rows in that much memory, for every thread of the pool one where there are columns enough.
    fn new(rows: usize, memory_bytes: usize, block_len: usize) -> Self {
        let least = rows.saturating_mul(CELL_BYTES).max(1);
        let threads = rayon::current_num_threads().max(1);
        let at_once = memory_bytes.checked_div(least).unwrap_or(1).clamp(1, threads);
        let cells_each = memory_bytes
            .checked_div(least.saturating_mul(at_once))
            .unwrap_or(1)
            .min(cells(block_len).div_ceil(at_once));
        Self {
            at_once,
            width: cells_each.max(1).saturating_mul(CELL_BYTES),
        }
    }
}

fn read_row(
    read: &(impl Fn(Block, usize, &mut [u8]) -> io::Result<()> + Sync),
    block: Block,
    tile: &Tile<'_>,
    row: &mut [u8],
) -> Result<(), Fault> {
    read(block, tile.columns.start, row).map_err(|source| Fault::Read { block, source })
}

/// As a position in memory: at most 2^16, which every `usize` of a target of this crate holds.
fn index(position: u32) -> usize {
    usize::try_from(position).unwrap_or(usize::MAX)
}

/// Rows that an encoder holds: a sum of transforms, and the transform of as many blocks.
fn encoder_rows(grouping: &Grouping) -> usize {
    index(grouping.transform_rows()).saturating_mul(2)
}

/// Rows that a decoder holds: one for every element that stands for a block, and the row that is read.
fn decoder_rows(grouping: &Grouping) -> usize {
    let elements = grouping.transform_rows().saturating_add(grouping.group_data());
    index(elements.next_power_of_two()).saturating_add(1)
}

/// Computes the parity rows of one tile after another.
///
/// The parity is the sum, over runs of m data blocks, of the inverse transforms of the runs, transformed once. So two
/// buffers of m rows are enough, whatever the number of data blocks.
struct Encoder {
    engine: DefaultEngine,
    sum: Vec<[u8; CELL_BYTES]>,
    run: Vec<[u8; CELL_BYTES]>,
}

impl Encoder {
    fn new() -> Self {
        Self {
            engine: DefaultEngine::new(),
            sum: Vec::new(),
            run: Vec::new(),
        }
    }

    /// `read(position, row)` delivers the tile's columns of a data block.
    fn encode(
        &mut self,
        grouping: &Grouping,
        tile: &Tile<'_>,
        mut read: impl FnMut(u32, &mut [u8]) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let row_cells = cells(tile.width());
        let rows = index(grouping.transform_rows());
        let len = rows.saturating_mul(row_cells);
        self.sum.clear();
        self.sum.resize(len, [0; CELL_BYTES]);
        self.run.resize(len, [0; CELL_BYTES]);
        let mut positions = grouping.data_positions(tile.group);
        let mut skew = rows;
        while !positions.is_empty() {
            let mut count = 0_usize;
            for (row, position) in self.run.chunks_exact_mut(row_cells).zip(positions.by_ref().take(rows)) {
                read(position, row.as_flattened_mut())?;
                count = count.saturating_add(1);
            }
            if let Some(rest) = self.run.get_mut(count.saturating_mul(row_cells)..) {
                rest.fill([0; CELL_BYTES]);
            }
            let mut run = ShardsRefMut::new(rows, row_cells, &mut self.run);
            self.engine.ifft(&mut run, 0, rows, count, skew);
            utils::xor(&mut self.sum, &self.run);
            skew = skew.saturating_add(rows);
        }
        let mut sum = ShardsRefMut::new(rows, row_cells, &mut self.sum);
        self.engine.fft(&mut sum, 0, rows, index(grouping.group_parity()), 0);
        Ok(())
    }

    /// The parity rows of the tile that was encoded last.
    fn parity(&self, group_parity: u32, tile: &Tile<'_>) -> &[u8] {
        let len = index(group_parity).saturating_mul(tile.width());
        self.sum.as_flattened().get(..len).unwrap_or(&[])
    }
}

/// Restores the lost rows of one tile after another.
struct Decoder {
    /// None until the first tile, and after a failure.
    library: Option<HighRateDecoder<DefaultEngine>>,
    encoder: Encoder,
    row: Vec<u8>,
}

impl Decoder {
    fn new() -> Self {
        Self {
            library: None,
            encoder: Encoder::new(),
            row: Vec::new(),
        }
    }

    /// The rows of the lost blocks, as the tile lists them.
    fn restore(
        &mut self,
        grouping: &Grouping,
        tile: &Tile<'_>,
        read: &(impl Fn(Block, usize, &mut [u8]) -> io::Result<()> + Sync),
    ) -> Result<Vec<u8>, Fault> {
        let lost = |wanted: fn(&Position) -> Option<u32>| tile.wanted.iter().filter_map(wanted).collect::<Vec<_>>();
        let lost_data = lost(|position| match position {
            Position::Data(position) => Some(*position),
            Position::Parity(_) => None,
        });
        let lost_parity = lost(|position| match position {
            Position::Parity(position) => Some(*position),
            Position::Data(_) => None,
        });
        let mut restored = Vec::with_capacity(tile.wanted.len().saturating_mul(tile.width()));
        if !lost_data.is_empty() {
            self.decode(grouping, tile, &lost_data, &lost_parity, read, &mut restored)?;
        }
        if lost_parity.is_empty() {
            return Ok(restored);
        }
        self.encoder.encode(grouping, tile, |position, row| {
            match lost_data.binary_search(&position) {
                Ok(number) => {
                    if let Some(known) = restored.chunks_exact(tile.width()).nth(number) {
                        row.copy_from_slice(known);
                    }
                    Ok(())
                }
                Err(_) => read_row(read, Block::Data(grouping.block(tile.group, position)), tile, row),
            }
        })?;
        let parity = self.encoder.parity(grouping.group_parity(), tile);
        for &position in &lost_parity {
            restored.extend_from_slice(parity.chunks_exact(tile.width()).nth(index(position)).unwrap_or(&[]));
        }
        Ok(restored)
    }

    /// Appends the rows of the lost data blocks, from the data that is there and as many parity blocks as are needed.
    fn decode(
        &mut self,
        grouping: &Grouping,
        tile: &Tile<'_>,
        lost_data: &[u32],
        lost_parity: &[u32],
        read: &(impl Fn(Block, usize, &mut [u8]) -> io::Result<()> + Sync),
        restored: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        let data = grouping.data_positions(tile.group);
        let (data_count, parity_count) = (data.len(), index(grouping.group_parity()));
        let mut library = match self.library.take() {
            Some(mut library) => {
                library
                    .reset(data_count, parity_count, tile.width())
                    .map_err(Fault::Code)?;
                library
            }
            None => HighRateDecoder::new(data_count, parity_count, tile.width(), DefaultEngine::new(), None)
                .map_err(Fault::Code)?,
        };
        self.row.resize(tile.width(), 0);
        for position in data.filter(|position| lost_data.binary_search(position).is_err()) {
            read_row(
                read,
                Block::Data(grouping.block(tile.group, position)),
                tile,
                &mut self.row,
            )?;
            library
                .add_original_shard(index(position), &self.row)
                .map_err(Fault::Code)?;
        }
        let whole_parity = (0..grouping.group_parity()).filter(|position| lost_parity.binary_search(position).is_err());
        for position in whole_parity.take(lost_data.len()) {
            read_row(
                read,
                Block::Parity(grouping.block(tile.group, position)),
                tile,
                &mut self.row,
            )?;
            library
                .add_recovery_shard(index(position), &self.row)
                .map_err(Fault::Code)?;
        }
        let result = library.decode().map_err(Fault::Code)?;
        for &position in lost_data {
            restored.extend_from_slice(result.restored_original(index(position)).unwrap_or(&[]));
        }
        drop(result);
        self.library = Some(library);
        Ok(())
    }
}
