//! Random numbers one after another, for what happens once per run: shuffles, random features, seeds of clusters.
//!
//! The numbers are those of `fold_core::random` (a pure function of seed, stream and position); this only counts. Not for a
//! neuron's noise, which is keyed by sample and step.

use fold_core::math;
use fold_core::random::{Random, Stream, below, uniform};

/// The order of the images in an epoch; unit = epoch.
pub(crate) const SHUFFLE: Stream = Stream(256);
/// Weights and biases of the random features.
pub(crate) const RANDOM_FEATURES: Stream = Stream(257);
/// Seeds of the clusters.
pub(crate) const CLUSTERS: Stream = Stream(258);
#[cfg(test)]
pub(crate) const NORMAL_TEST: Stream = Stream(259);

/// A position in one stream.
#[derive(Debug, Clone)]
pub(crate) struct Draw {
    random: Random,
    unit: u64,
    block: [u32; 4],
    next: u64,
}

impl Draw {
    /// The start of unit 0 of `stream`.
    pub(crate) fn new(seed: u64, stream: Stream) -> Self {
        Self::of_unit(seed, stream, 0)
    }

    /// The start of `unit` of `stream`.
    pub(crate) fn of_unit(seed: u64, stream: Stream, unit: u64) -> Self {
        Self {
            random: Random::new(seed, stream),
            unit,
            block: [0; 4],
            next: 0,
        }
    }

    fn word(&mut self) -> u32 {
        let lane = (self.next % 4) as usize;
        if lane == 0 {
            self.block = self.random.block(self.unit, self.next / 4);
        }
        self.next += 1;
        self.block[lane]
    }

    /// Uniform in the open interval (0, 1), with 23 bits.
    pub(crate) fn uniform(&mut self) -> f64 {
        f64::from(uniform(self.word()))
    }

    /// Uniform in [0, bound); 0 for `bound` = 0.
    pub(crate) fn below(&mut self, bound: u32) -> u32 {
        below(self.word(), bound)
    }

    /// A standard normal number, by Marsaglia's polar method (Marsaglia and Bray 1964, doi:10.1137/1006063): it needs no
    /// trigonometric function.
    pub(crate) fn normal(&mut self) -> f64 {
        loop {
            let (a, b) = (2.0 * self.uniform() - 1.0, 2.0 * self.uniform() - 1.0);
            let square = a * a + b * b;
            if square > 0.0 && square < 1.0 {
                return a * (-2.0 * math::ln(square) / square).sqrt();
            }
        }
    }

    /// 0..count in random order (Fisher and Yates).
    pub(crate) fn permutation(&mut self, count: u32) -> Vec<usize> {
        let mut order: Vec<usize> = (0..count as usize).collect();
        for last in (1..count).rev() {
            order.swap(last as usize, self.below(last + 1) as usize);
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_permutation_has_everything_once_and_depends_on_the_unit() {
        let order = Draw::of_unit(1, SHUFFLE, 3).permutation(100);
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..100).collect::<Vec<_>>());
        assert_ne!(order, sorted);
        assert_ne!(order, Draw::of_unit(1, SHUFFLE, 4).permutation(100));
        assert_eq!(order, Draw::of_unit(1, SHUFFLE, 3).permutation(100));
        assert!(Draw::new(1, SHUFFLE).permutation(0).is_empty());
    }

    #[test]
    fn every_order_of_three_is_as_likely() {
        let mut seen = std::collections::BTreeMap::new();
        for unit in 0..6000 {
            *seen.entry(Draw::of_unit(7, SHUFFLE, unit).permutation(3)).or_insert(0) += 1;
        }
        assert_eq!(seen.len(), 6);
        assert!(seen.values().all(|count| (880..1120).contains(count)), "{seen:?}");
    }

    #[test]
    fn normal_numbers_have_their_moments() {
        let mut draw = Draw::new(3, NORMAL_TEST);
        let x: Vec<f64> = (0..40_000).map(|_| draw.normal()).collect();
        let moment = |k: i32| x.iter().map(|v| v.powi(k)).sum::<f64>() / x.len() as f64;
        assert!(
            moment(1).abs() < 0.02 && (moment(2) - 1.0).abs() < 0.03 && moment(3).abs() < 0.06,
            "{}",
            moment(2)
        );
        assert!((moment(4) - 3.0).abs() < 0.15, "{}", moment(4));
    }
}
