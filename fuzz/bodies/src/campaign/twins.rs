//! Planted bugs in a container: what the losses of the campaign do to a model that keeps its digests in the wrong place.
//!
//! [`super::crash::Lie`] plants bugs into a storage. These cannot be planted there: where a digest lies is a matter of the
//! format. The model is pages with a digest each, lost as those of a real file are in T5, and counted alike:
//! with the digests outside, by position, nothing may be silent; with each inside its page something must be.

use std::fmt;

use xxhash_rust::xxh3::xxh3_128_with_seed;

use super::losses::{FILLERS, loss, places};
use super::sample::PAGE;
use super::{Tally, sweep};
use crate::layouts::noise;

/// Pages of the model.
const PAGES: usize = 32;

/// Bytes of a digest.
const DIGEST: usize = 16;

/// Where the model keeps the digests of its pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Digests {
    /// Outside of what they cover, by position: no bug.
    Outside,
    /// At the end of the page that each covers: a page that is whole, but another one, passes.
    Inside,
}

impl fmt::Display for Digests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Outside => "digests outside of the blocks",
            Self::Inside => "a digest inside the block that it covers",
        })
    }
}

/// Pages, and what speaks for them.
struct Model {
    bytes: Vec<u8>,
    digests: Digests,
    /// By position, outside.
    table: Vec<u128>,
}

impl Model {
    fn new(mut bytes: Vec<u8>, digests: Digests) -> Self {
        let mut table = Vec::new();
        for (position, page) in bytes.chunks_mut(PAGE).enumerate() {
            match digests {
                Digests::Outside => table.push(xxh3_128_with_seed(page, position as u64)),
                Digests::Inside => {
                    let (content, digest) = page.split_at_mut(PAGE - DIGEST);
                    digest.copy_from_slice(&xxh3_128_with_seed(content, 0).to_le_bytes());
                }
            }
        }
        Self { bytes, digests, table }
    }

    /// Whether bytes in the place of this file's pass for it.
    fn accepts(&self, bytes: &[u8]) -> bool {
        let mut pages = bytes.chunks(PAGE).enumerate();
        pages.all(|(position, page)| match self.digests {
            Digests::Outside => xxh3_128_with_seed(page, position as u64) == self.table[position],
            Digests::Inside => {
                let (content, digest) = page.split_at(PAGE - DIGEST);
                xxh3_128_with_seed(content, 0).to_le_bytes() == digest
            }
        })
    }
}

/// Every sector and every page of the model lost in every way. How many losses are silent, of how many: none means, of
/// digests inside, that the campaign would not find them there.
#[must_use]
pub fn silent_losses(digests: Digests, seed: u64) -> (u64, u64) {
    let model = Model::new(noise(PAGES * PAGE), digests);
    let older = Model::new(noise((PAGES + 1) * PAGE)[PAGE..].to_vec(), digests).bytes;
    let cases = places(&model.bytes) * FILLERS.len();
    let tally: Tally = sweep(
        0..cases,
        None,
        || model.bytes.clone(),
        |bytes, case, tally| {
            let (range, filler) = loss(bytes, &older, case, seed);
            match (bytes[range.clone()] == model.bytes[range.clone()], model.accepts(bytes)) {
                (true, _) => tally.harmless += 1,
                (false, false) => tally.detected += 1,
                (false, true) => tally.wrong(|| format!("{digests}: {filler:?} in bytes {range:?}")),
            }
            bytes[range.clone()].copy_from_slice(&model.bytes[range]);
        },
    );
    (tally.silent, tally.cases)
}
