//! Counter-based random numbers: Philox4x32-10.
//!
//! A number is a pure function of (seed, stream, unit, step), so it depends neither on the order of evaluation nor on the
//! number of threads, and the generator's whole position is the seed and the step clock.
//!
//! # Source
//! Salmon, Moraes, Dror, Shaw 2011, *Parallel random numbers: as easy as 1, 2, 3*, SC'11, doi:10.1145/2063384.2063405;
//! checked against the known answers of Random123. Not cryptographic.

const MULTIPLIER: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];
const ROUNDS: usize = 10;

/// The Philox4x32-10 bijection: 128 bits of `counter` under a 64-bit `key`.
#[must_use]
pub fn philox4x32(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    let [mut c0, mut c1, mut c2, mut c3] = counter;
    let [mut k0, mut k1] = key;
    for _ in 0..ROUNDS {
        let a = u64::from(MULTIPLIER[0]) * u64::from(c0);
        let b = u64::from(MULTIPLIER[1]) * u64::from(c2);
        (c0, c1, c2, c3) = (high(b) ^ c1 ^ k0, low(b), high(a) ^ c3 ^ k1, low(a));
        k0 = k0.wrapping_add(WEYL[0]);
        k1 = k1.wrapping_add(WEYL[1]);
    }
    [c0, c1, c2, c3]
}

fn high(x: u64) -> u32 {
    (x >> 32) as u32
}

fn low(x: u64) -> u32 {
    x as u32
}

/// What a random number is for. Streams of one seed are independent of each other.
///
/// Numbers below 256 belong to this crate and to `fold-advanced`; callers with a use of their own take one above.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stream(pub u32);

impl Stream {
    /// The number of filaments each synapse starts with; unit = synapse / 4.
    pub const FILAMENTS: Self = Self(1);
    /// Escape noise; unit = (sample, neuron / 4).
    pub const ESCAPE: Self = Self(2);
}

/// The random numbers of one (seed, stream).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Random {
    key: [u32; 2],
}

impl Random {
    /// The numbers of `stream` under `seed`.
    #[must_use]
    pub fn new(seed: u64, stream: Stream) -> Self {
        // The stream is mixed into the key, so that unit and step have the whole counter to themselves.
        let [k0, k1, _, _] = philox4x32([stream.0, 0, 0, 0], [low(seed), high(seed)]);
        Self { key: [k0, k1] }
    }

    /// Four words for (unit, step).
    #[must_use]
    pub fn block(&self, unit: u64, step: u64) -> [u32; 4] {
        philox4x32([low(unit), high(unit), low(step), high(step)], self.key)
    }
}

/// A uniform number of the open interval (0, 1): one of the 2^23 odd multiples of 2^-24. Never 0, never 1.
#[must_use]
pub fn uniform(word: u32) -> f32 {
    ((word >> 9) as f32 + 0.5) * (1.0 / 8_388_608.0)
}

/// A uniform integer of [0, bound), with a bias below bound / 2^32. `bound` = 0 gives 0.
#[must_use]
pub fn below(word: u32, bound: u32) -> u32 {
    high(u64::from(word) * u64::from(bound))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The known answers that come with Random123 (kat_vectors, philox4x32 with 10 rounds).
    #[test]
    fn known_answers() {
        assert_eq!(
            philox4x32([0; 4], [0; 2]),
            [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]
        );
        assert_eq!(
            philox4x32([u32::MAX; 4], [u32::MAX; 2]),
            [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]
        );
        assert_eq!(
            philox4x32(
                [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
                [0xa409_3822, 0x299f_31d0]
            ),
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
        );
    }

    #[test]
    fn uniform_never_reaches_its_ends() {
        assert_eq!(uniform(0), 1.0 / 16_777_216.0);
        assert!(uniform(u32::MAX) < 1.0);
        assert_eq!(1.0 - uniform(u32::MAX), uniform(0));
    }

    #[test]
    fn below_covers_its_range_and_nothing_else() {
        assert_eq!(below(u32::MAX, 7), 6);
        assert_eq!(below(0, 7), 0);
        assert_eq!(below(u32::MAX, 0), 0);
        let random = Random::new(1, Stream(1000));
        let mut seen = [0u32; 7];
        for step in 0..7000 {
            seen[below(random.block(0, step)[0], 7) as usize] += 1;
        }
        assert!(seen.iter().all(|&k| (850..1150).contains(&k)), "{seen:?}");
    }

    #[test]
    fn seed_stream_unit_and_step_all_matter() {
        let base = Random::new(1, Stream(1)).block(2, 3);
        assert_ne!(base, Random::new(1 << 32, Stream(1)).block(2, 3));
        assert_ne!(base, Random::new(1, Stream(2)).block(2, 3));
        assert_ne!(base, Random::new(1, Stream(1)).block(2 << 32, 3));
        assert_ne!(base, Random::new(1, Stream(1)).block(2, 3 << 32));
        // Neither half of a number stands for the whole of it: nothing repeats after 2^32 steps or units.
        assert_ne!(base, Random::new(1, Stream(1)).block(2, 3 | 1 << 32));
        assert_ne!(base, Random::new(1, Stream(1)).block(2 | 1 << 32, 3));
    }

    /// Value stability: these bits change only with an ADR and a changelog entry.
    #[test]
    fn pinned_block() {
        assert_eq!(
            Random::new(7, Stream::ESCAPE).block(5, 11),
            [0xfc08_102a, 0x459f_08f6, 0x13ae_ca1c, 0x8daa_c441]
        );
    }
}
