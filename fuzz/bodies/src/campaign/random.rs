//! Random damage: many bits, sectors and lengths at once; and changes after which every digest is made right.

use std::time::Instant;

use super::judge::{mend, noticed, read, salvaged};
use super::sample::Sample;
use super::{Settings, Tally, sweep};
use crate::random::Random;
use crate::{differential, fold_reader, mutate};

/// One to sixteen faults of a medium at once in a random layout.
pub(super) fn damage(samples: &[Sample], settings: &Settings, end: Option<Instant>) -> (usize, u64, Tally) {
    let tally = sweep(
        0..settings.random_cases,
        end,
        || (),
        |(), case, tally| {
            let mut random = Random::new(settings.seed.rotate_left(32) ^ case as u64);
            let sample = &samples[random.below(samples.len())];
            let mut bytes = sample.bytes.clone();
            for _ in 0..1 + random.below(16) {
                break_something(&mut bytes, &mut random);
            }
            if bytes == sample.bytes {
                tally.harmless += 1;
                return;
            }
            let context = format!("random damage {case}");
            noticed(sample, &bytes, [], &context, tally);
            read(sample, &bytes, &context, tally);
            mend(sample, &bytes, None, &context, tally);
            drop(salvaged(sample, &bytes, &context, tally));
        },
    );
    (samples.len(), settings.random_cases as u64, tally)
}

fn break_something(bytes: &mut Vec<u8>, random: &mut Random) {
    let unit = random.of(&[1, 1, 512, 4096]);
    let places = (bytes.len() / unit).max(1);
    let (at, from) = (random.below(places) * unit, random.below(places) * unit);
    let range = at..(at + unit).min(bytes.len());
    match random.below(16) {
        0 => bytes.truncate(at),
        1 => bytes.extend_from_slice(&random.any().to_le_bytes()),
        2 if from + range.len() <= bytes.len() => bytes.copy_within(from..from + range.len(), at),
        3..=5 => bytes[range].fill(random.of(&[0, 0xff])),
        6 => bytes[range].iter_mut().for_each(|byte| *byte = random.any() as u8),
        _ => bytes[range]
            .iter_mut()
            .take(1)
            .for_each(|byte| *byte ^= 1 << random.below(8)),
    }
}

/// Random changes of records with right digests, through both readers: the bodies of the fuzz targets panic where a promise
/// is broken.
pub(super) fn mutations(samples: &[Sample], settings: &Settings, end: Option<Instant>) -> (usize, u64, Tally) {
    let tally = sweep(
        0..settings.mutations,
        end,
        || (),
        |(), case, tally| {
            let mut random = Random::new(settings.seed.rotate_left(16) ^ case as u64);
            let mut bytes = samples[random.below(samples.len())].bytes.clone();
            mutate(&mut bytes, 1 << 17, &mut random);
            tally.detected += 1;
            fold_reader(&bytes);
            differential(&bytes);
        },
    );
    (samples.len(), settings.mutations as u64, tally)
}
