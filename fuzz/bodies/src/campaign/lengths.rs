//! Files that are too short or too long.

use std::time::Instant;

use super::judge::{noticed, read, salvaged};
use super::sample::{PAGE, Sample};
use super::{Settings, Tally, sweep};
use crate::layouts::noise;

/// Every layout cut at every length: noticed; what is read is as it was saved; a salvage returns every chunk before the cut.
pub(super) fn every_cut(samples: &[Sample], settings: &Settings, end: Option<Instant>) -> (usize, u64, Tally) {
    let (mut planned, mut tally) = (0, Tally::default());
    // A cut is a twentieth of a flipped bit's cases: thinned less, so that a thin run has some.
    let stride = settings.stride.div_ceil(8);
    for sample in samples {
        let cases = sample.bytes.len().div_ceil(stride);
        planned += cases as u64;
        tally += sweep(
            0..cases,
            end,
            || (),
            |(), case, tally| cut(sample, case * stride, tally),
        );
    }
    (samples.len(), planned, tally)
}

fn cut(sample: &Sample, len: usize, tally: &mut Tally) {
    let bytes = &sample.bytes[..len];
    let context = format!("cut at {len}");
    // Without a superblock nothing says how long the file was.
    let missing = (len >= PAGE).then(|| [len, sample.bytes.len() - 1]);
    noticed(sample, bytes, missing.into_iter().flatten(), &context, tally);
    read(sample, bytes, &context, tally);
    let (salvage, taken) = salvaged(sample, bytes, &context, tally);
    let items = sample.tensors.iter().chain(&sample.chunks);
    let before_cut = items.filter(|(_, item)| sample.ends[&item.chunk] <= len);
    for (name, _) in before_cut {
        if !taken.contains(name) {
            tally.wrong(|| {
                format!(
                    "{}: {context}: {name} was not salvaged: {:?}",
                    sample.name,
                    salvage.as_ref().err()
                )
            });
        }
    }
}

/// Junk of every length up to 4096 behind every layout: noise, and zeros.
pub(super) fn junk(samples: &[Sample], settings: &Settings, end: Option<Instant>) -> (usize, u64, Tally) {
    let stride = settings.stride.div_ceil(8);
    let cases = (2 * 4096_usize).div_ceil(stride);
    let (noise, mut tally) = (noise(4096), Tally::default());
    for sample in samples {
        tally += sweep(
            0..cases,
            end,
            || sample.bytes.clone(),
            |bytes, case, tally| {
                let case = case * stride;
                let len = case / 2 + 1;
                bytes.extend_from_slice(if case.is_multiple_of(2) {
                    &noise[..len]
                } else {
                    &[0; 4096][..len]
                });
                let changed = sample.bytes.len()..bytes.len();
                noticed(sample, bytes, changed, &format!("{len} bytes behind"), tally);
                bytes.truncate(sample.bytes.len());
            },
        );
    }
    (samples.len(), (samples.len() * cases) as u64, tally)
}
