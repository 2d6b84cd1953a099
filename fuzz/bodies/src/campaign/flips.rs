//! Flipped bits: every one of every layout, every two of the metadata, every value of a superblock's bytes.

use std::time::Instant;

use fold_format::{Content, Depth, Dtype, TensorSource};

use super::judge::{check, mend, noticed, read, reports};
use super::sample::{PAGE, Sample};
use super::{Settings, Tally, sweep};
use crate::layouts::{noise, options};

/// Every bit of every layout: noticed and located; nothing damaged is handed out; with parity, and of the metadata anyway, the
/// repair is the original. Without parity one bit of each byte is repaired, or rightly refused.
pub(super) fn every_bit(samples: &[Sample], settings: &Settings, end: Option<Instant>) -> (usize, u64, Tally) {
    let mut tally = Tally::default();
    let mut planned = 0;
    for sample in samples {
        let cases = (sample.bytes.len() * 8).div_ceil(settings.stride);
        planned += cases as u64;
        let stride = settings.stride;
        tally += sweep(
            0..cases,
            end,
            || sample.bytes.clone(),
            |bytes, case, tally| {
                let (at, bit) = (case * stride / 8, case * stride % 8);
                bytes[at] ^= 1 << bit;
                let context = format!("byte {at}, bit {bit}");
                noticed(sample, bytes, [at], &context, tally);
                let refused = read(sample, bytes, &context, tally);
                if let Some(item) = refused.iter().find(|item| !item.needs.contains(&at)) {
                    tally.wrong(|| format!("{}: {context}: refused {}, which is whole", sample.name, item.chunk));
                }
                let content = sample.block_at(at).is_some();
                if sample.parity.is_some() || bit == at % 8 {
                    let possible = sample.parity.is_some() || !content;
                    mend(sample, bytes, Some(possible), &context, tally);
                }
                bytes[at] ^= 1 << bit;
            },
        );
    }
    (samples.len(), planned, tally)
}

/// Every bit of one file of 1 MiB: noticed and located.
pub(super) fn every_bit_of_a_mebibyte(settings: &Settings, end: Option<Instant>) -> (usize, u64, Tally) {
    let data = noise((1 << 20) - 12 * PAGE);
    let tensor = TensorSource::new("w", Dtype::U8, &[data.len() as u64], &data).expect("a byte each");
    let content = Content::new().tensors("state", [tensor]);
    let sample = Sample::saved("1 MiB", &content, &options().block_log2(16));
    let (stride, cases) = (settings.stride * 16, sample.bytes.len() * 8);
    let stride = if settings.stride == 1 { 1 } else { stride };
    let cases = cases.div_ceil(stride);
    let tally = sweep(
        0..cases,
        end,
        || sample.bytes.clone(),
        |bytes, case, tally| {
            let (at, bit) = (case * stride / 8, case * stride % 8);
            bytes[at] ^= 1 << bit;
            noticed(&sample, bytes, [at], &format!("byte {at}, bit {bit}"), tally);
            bytes[at] ^= 1 << bit;
        },
    );
    (1, cases as u64, tally)
}

/// Samples that stand for the kinds of superblock: plain, sealed, with parity, with everything.
fn kinds_of_superblock(samples: &[Sample]) -> Vec<&Sample> {
    let wanted = ["mixed", "sealed", "parity", "signed"];
    let find = |name: &&str| samples.iter().find(|sample| sample.name == **name);
    wanted
        .iter()
        .map(|name| find(name).expect("the layouts have it"))
        .collect()
}

/// Every value of every byte of superblock A, in files of every kind.
pub(super) fn every_superblock_byte(
    samples: &[Sample],
    settings: &Settings,
    end: Option<Instant>,
) -> (usize, u64, Tally) {
    let samples = kinds_of_superblock(samples);
    let mut tally = Tally::default();
    let cases = (PAGE * 255).div_ceil(settings.stride);
    for sample in &samples {
        tally += sweep(
            0..cases,
            end,
            || sample.bytes.clone(),
            |bytes, case, tally| {
                let case = case * settings.stride;
                let (at, change) = (case / 255, (case % 255 + 1) as u8);
                bytes[at] ^= change;
                noticed(
                    sample,
                    bytes,
                    [at],
                    &format!("byte {at} changed by {change:#04x}"),
                    tally,
                );
                bytes[at] ^= change;
            },
        );
    }
    (samples.len(), (samples.len() * cases) as u64, tally)
}

/// The pair of numbers below `count` that comes at `place` among all pairs: by their distance around a circle.
const fn pair(place: usize, count: usize) -> (usize, usize) {
    let (distance, one) = (place / count + 1, place % count);
    (one, (one + distance) % count)
}

/// How many pairs of numbers below `count` there are.
const fn pairs(count: usize) -> usize {
    count * count.saturating_sub(1) / 2
}

/// Flips every two bits of `start..start + len`; `depth` must notice each.
fn every_pair(
    sample: &Sample,
    start: usize,
    len: usize,
    depth: Depth<'_>,
    settings: &Settings,
    end: Option<Instant>,
) -> (u64, Tally) {
    let count = len * 8;
    let stride = if settings.stride == 1 { 1 } else { settings.stride * 11 };
    let cases = pairs(count).div_ceil(stride);
    let tally = sweep(
        0..cases,
        end,
        || sample.bytes.clone(),
        |bytes, case, tally| {
            let (one, other) = pair(case * stride, count);
            let flip = |bytes: &mut Vec<u8>| {
                bytes[start + one / 8] ^= 1 << (one % 8);
                bytes[start + other / 8] ^= 1 << (other % 8);
            };
            flip(bytes);
            let report = check(bytes, depth);
            if reports(report.verdict) {
                tally.detected += 1;
            } else {
                tally.wrong(|| format!("{}: bits {one} and {other} of {start}", sample.name));
            }
            flip(bytes);
        },
    );
    (cases as u64, tally)
}

/// Every two bits of the first copy of the index, of a small file of each digest.
pub(super) fn index_pairs(samples: &[Sample], settings: &Settings, end: Option<Instant>) -> (usize, u64, Tally) {
    let (mut planned, mut tally) = (0, Tally::default());
    let names = ["scalar", "sealed-scalar"];
    for name in names {
        let sample = samples
            .iter()
            .find(|sample| sample.name == name)
            .expect("the layouts have it");
        let len = crate::mutate::number(&sample.bytes, 112, 8).expect("a superblock has index_len") as usize;
        let (cases, own) = every_pair(sample, PAGE, len, Depth::Index, settings, end);
        planned += cases;
        tally += own;
    }
    (names.len(), planned, tally)
}

/// Every two bits of superblock A.
pub(super) fn superblock_pairs(samples: &[Sample], settings: &Settings, end: Option<Instant>) -> (usize, u64, Tally) {
    let sample = samples
        .iter()
        .find(|sample| sample.name == "nothing")
        .expect("the layouts have it");
    let (planned, tally) = every_pair(sample, 0, PAGE, Depth::Superblock, settings, end);
    (1, planned, tally)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_pair_comes_once() {
        for count in 2..40 {
            let ordered = |(one, other): (usize, usize)| (one.min(other), one.max(other));
            let seen = (0..pairs(count))
                .map(|place| ordered(pair(place, count)))
                .collect::<BTreeSet<_>>();
            assert_eq!(seen.len(), pairs(count), "{count}");
            assert!(
                seen.iter().all(|&(one, other)| one < other && other < count),
                "{count}: {seen:?}"
            );
        }
    }
}
