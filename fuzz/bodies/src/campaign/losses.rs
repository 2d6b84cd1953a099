//! Lost blocks, sectors and pages: with parity at its bound and one beyond, without parity no more than what they hold.

use std::ops::Range;
use std::time::Instant;

use fold_format::parity::Level;
use fold_format::{Content, Dtype, TensorSource};

use super::judge::{mend, noticed, overlap, read};
use super::sample::{PAGE, Sample};
use super::{Settings, Tally, sweep};
use crate::layouts::{noise, options};
use crate::random::Random;

/// Blocks of the small file: every set of them is tried.
const SMALL_BLOCKS: usize = 10;
const SMALL_PARITY: u32 = 4;

/// Blocks of the large file, of which `med` gives 10 parity blocks.
const LARGE_BLOCKS: usize = 200;

fn tensors(name: &str, blocks: usize, level: Level) -> Sample {
    let data = noise(blocks * PAGE);
    let (one, other) = data.split_at(blocks / 2 * PAGE);
    let tensor = |name, bytes| TensorSource::new(name, Dtype::U8, &[bytes_len(bytes)], bytes).expect("a byte each");
    let content = Content::new()
        .tensors("one", [tensor("a", one)])
        .tensors("two", [tensor("b", other)]);
    Sample::saved(name, &content, &options().parity(Some(level)))
}

const fn bytes_len(bytes: &[u8]) -> u64 {
    bytes.len() as u64
}

/// Overwrites blocks by something that is not what they hold.
fn kill(sample: &Sample, bytes: &mut [u8], blocks: &[usize]) {
    for &block in blocks {
        bytes[sample.blocks[block].clone()]
            .iter_mut()
            .for_each(|byte| *byte ^= 0xa5);
    }
}

/// Loses the blocks, judges, and puts them back.
fn lose(sample: &Sample, bytes: &mut [u8], blocks: &[usize], tally: &mut Tally) {
    kill(sample, bytes, blocks);
    let context = format!("blocks {blocks:?} lost");
    let firsts = blocks.iter().map(|&block| sample.blocks[block].start);
    noticed(sample, bytes, firsts, &context, tally);
    let possible = Some(blocks.len()) <= sample.parity;
    let refused = read(sample, bytes, &context, tally);
    if possible && !refused.is_empty() {
        tally.wrong(|| {
            format!(
                "{}: {context}: {} things are not read through parity",
                sample.name,
                refused.len()
            )
        });
    }
    mend(sample, bytes, Some(possible), &context, tally);
    kill(sample, bytes, blocks);
}

/// Every set of 1 to r + 1 blocks of a small file with r parity blocks.
pub(super) fn every_set(settings: &Settings, end: Option<Instant>) -> (usize, u64, Tally) {
    let sample = tensors("small with parity", SMALL_BLOCKS, Level::Blocks(SMALL_PARITY));
    let sets = (1_usize..1 << sample.blocks.len()).filter(|set| set.count_ones() <= SMALL_PARITY + 1);
    let sets = sets.step_by(settings.stride.div_ceil(100)).collect::<Vec<_>>();
    let tally = sweep(
        0..sets.len(),
        end,
        || sample.bytes.clone(),
        |bytes, case, tally| {
            let blocks = (0..sample.blocks.len()).filter(|block| sets[case] >> block & 1 == 1);
            lose(&sample, bytes, &blocks.collect::<Vec<_>>(), tally);
        },
    );
    (1, sets.len() as u64, tally)
}

/// Random sets of r + `beyond` blocks of a file with 200 blocks and `med` parity.
pub(super) fn random_sets(settings: &Settings, beyond: usize, end: Option<Instant>) -> (usize, u64, Tally) {
    let sample = tensors("large with parity", LARGE_BLOCKS, Level::Medium);
    let count = sample.parity.expect("it has parity") + beyond;
    let tally = sweep(
        0..settings.random_cases,
        end,
        || sample.bytes.clone(),
        |bytes, case, tally| {
            let mut random = Random::new(settings.seed ^ (case as u64) << 8 ^ beyond as u64);
            let mut all = (0..sample.blocks.len()).collect::<Vec<_>>();
            for place in 0..count {
                let other = place + random.below(all.len() - place);
                all.swap(place, other);
            }
            lose(&sample, bytes, &all[..count], tally);
        },
    );
    (1, settings.random_cases as u64, tally)
}

/// A burst from every sector on, as long as the parity restores wherever it lies; it may take a copy of the metadata too.
pub(super) fn bursts(settings: &Settings, end: Option<Instant>) -> (usize, u64, Tally) {
    let sample = tensors("large with parity", LARGE_BLOCKS, Level::Medium);
    let len = (sample.parity.expect("it has parity") - 1) * PAGE + 512;
    let cases = (sample.bytes.len() / 512).div_ceil(settings.stride.div_ceil(100));
    let tally = sweep(
        0..cases,
        end,
        || sample.bytes.clone(),
        |bytes, case, tally| {
            let start = case * settings.stride.div_ceil(100) * 512;
            let burst = start..(start + len).min(bytes.len());
            bytes[burst.clone()].iter_mut().for_each(|byte| *byte ^= 0x5a);
            let context = format!("bytes {burst:?} lost");
            noticed(&sample, bytes, burst.clone(), &context, tally);
            mend(&sample, bytes, Some(true), &context, tally);
            bytes[burst].iter_mut().for_each(|byte| *byte ^= 0x5a);
        },
    );
    (1, cases as u64, tally)
}

/// What a lost sector or page holds afterwards.
#[derive(Clone, Copy, Debug)]
pub(super) enum Filler {
    Zeros,
    Ones,
    Noise,
    /// What stands elsewhere in the file: a write that went astray.
    Elsewhere,
    /// What an older file of the same uuid, time and layout had there.
    Stale,
}

pub(super) const FILLERS: [Filler; 5] = [
    Filler::Zeros,
    Filler::Ones,
    Filler::Noise,
    Filler::Elsewhere,
    Filler::Stale,
];

/// Every sector of 512 bytes, and every page of 4096, lost in five ways: no more is lost than the blocks that it lies on.
pub(super) fn sectors(samples: &[Sample], settings: &Settings, end: Option<Instant>) -> (usize, u64, Tally) {
    let stride = settings.stride.div_ceil(500);
    let (mut planned, mut tally) = (0, Tally::default());
    for sample in samples {
        let older = older(sample);
        let all = places(&sample.bytes) * FILLERS.len();
        let cases = all.div_ceil(stride);
        planned += cases as u64;
        tally += sweep(
            0..cases,
            end,
            || sample.bytes.clone(),
            |bytes, case, tally| {
                let (range, filler) = loss(bytes, &older, case * stride, settings.seed);
                lost(sample, bytes, range.clone(), filler, tally);
                bytes[range.clone()].copy_from_slice(&sample.bytes[range]);
            },
        );
    }
    (samples.len(), planned, tally)
}

/// How many sectors and pages a file has.
pub(super) const fn places(bytes: &[u8]) -> usize {
    bytes.len() / 512 + bytes.len() / PAGE
}

/// Loses one sector or page: of every place in turn, with every filler. Says which bytes, and how.
pub(super) fn loss(bytes: &mut [u8], older: &[u8], case: usize, seed: u64) -> (Range<usize>, Filler) {
    let (place, filler) = (case / FILLERS.len(), FILLERS[case % FILLERS.len()]);
    let (start, len) = match place.checked_sub(bytes.len() / 512) {
        None => (place * 512, 512),
        Some(page) => (page * PAGE, PAGE),
    };
    let elsewhere = Random::new(seed ^ case as u64).below(bytes.len() / len) * len;
    let range = start..start + len;
    match filler {
        Filler::Zeros => bytes[range.clone()].fill(0),
        Filler::Ones => bytes[range.clone()].fill(0xff),
        Filler::Noise => bytes[range.clone()].copy_from_slice(&noise(len)),
        Filler::Elsewhere => bytes.copy_within(elsewhere..elsewhere + len, start),
        Filler::Stale => bytes[range.clone()].copy_from_slice(&older[range.clone()]),
    }
    (range, filler)
}

/// A file as an older save of the same layout would be: every byte of content another one.
fn older(sample: &Sample) -> Vec<u8> {
    let mut bytes = sample.bytes.clone();
    for block in &sample.blocks[..sample.data_blocks] {
        bytes[block.clone()]
            .iter_mut()
            .for_each(|byte| *byte = byte.wrapping_add(1));
    }
    crate::mutate::seal(&mut bytes);
    bytes
}

fn lost(sample: &Sample, bytes: &[u8], range: Range<usize>, filler: Filler, tally: &mut Tally) {
    let changed = range
        .clone()
        .filter(|&at| bytes[at] != sample.bytes[at])
        .collect::<Vec<_>>();
    let context = format!("{filler:?} in bytes {range:?}");
    if changed.is_empty() {
        // Zeros for zeros: nothing happened.
        tally.harmless += 1;
        return;
    }
    let report = noticed(sample, bytes, changed.iter().copied(), &context, tally);
    let on = sample.blocks.iter().filter(|block| overlap(block, &range)).count() as u64;
    if report.blocks_bad > on {
        tally.wrong(|| {
            format!(
                "{}: {context}: {} blocks are bad, not {on}",
                sample.name, report.blocks_bad
            )
        });
    }
    let refused = read(sample, bytes, &context, tally);
    if let Some(item) = refused.iter().find(|item| !overlap(&item.needs, &range)) {
        tally.wrong(|| format!("{}: {context}: {} is refused, which is whole", sample.name, item.chunk));
    }
    let possible = sample.parity.is_some_and(|parity| on <= parity as u64) || on == 0;
    // Without parity it depends on whether what changed lies in the block or is padding that follows from the index.
    mend(sample, bytes, possible.then_some(true), &context, tally);
}
