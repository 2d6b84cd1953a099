//! The spike decision: a threshold with escape noise.
//!
//! ```text
//! fire  iff  u - theta + w logit(U) >= 0,   U uniform in (0, 1)        so  P(fire) = s((u - theta) / w)
//! ```
//!
//! With w = 0 the threshold is sharp. Noise is a pure function of (seed, sample, neuron, step).
//!
//! # Source
//! Escape noise: Gerstner and Kistler 2002, *Spiking Neuron Models*, section 5.3, with a logistic escape rate.

use crate::math;
use crate::random::{Random, Stream, uniform};

/// The escape noise of one layer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EscapeNoise {
    width: f32,
    random: Random,
}

impl EscapeNoise {
    /// Noise of `width` >= 0 under `seed`.
    #[must_use]
    pub fn new(width: f32, seed: u64) -> Self {
        Self {
            width,
            random: Random::new(seed, Stream::ESCAPE),
        }
    }

    /// Writes u - theta + w logit(U) of one sample's neurons.
    ///
    /// - `potential`, `theta`, `score`: \[n\].   - `sample`: b, below 2^32.   - `step`: the step clock.
    pub fn score(&self, potential: &[f32], theta: &[f32], sample: u64, step: u64, score: &mut [f32]) {
        for ((s, &u), &t) in score.iter_mut().zip(potential).zip(theta) {
            *s = u - t;
        }
        if self.width > 0.0 {
            for (group, scores) in (0u64..).zip(score.chunks_mut(4)) {
                let words = self.random.block(sample << 32 | group, step);
                for (s, word) in scores.iter_mut().zip(words) {
                    *s += self.width * math::logit(uniform(word));
                }
            }
        }
    }
}

/// The probability that a neuron fires, s((u - theta) / w); with w = 0 it is 1 from u = theta on and 0 below.
#[must_use]
pub fn rate(potential: f32, theta: f32, width: f32) -> f32 {
    if width > 0.0 {
        math::sigmoid((potential - theta) / width)
    } else if potential >= theta {
        1.0
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_noise_the_threshold_itself_fires() {
        let mut score = [9.0; 3];
        EscapeNoise::new(0.0, 1).score(&[0.9, 1.0, 1.1], &[1.0; 3], 0, 0, &mut score);
        assert_eq!(score.map(|s| s >= 0.0), [false, true, true]);
        assert_eq!([rate(0.9, 1.0, 0.0), rate(1.0, 1.0, 0.0)], [0.0, 1.0]);
    }

    #[test]
    fn the_frequency_of_spikes_is_the_closed_form() {
        let noise = EscapeNoise::new(0.3, 42);
        let (u, theta) = ([0.2f32, 0.7, 1.0, 1.4, 2.0], [1.0f32; 5]);
        let mut fired = [0u32; 5];
        let steps = 40_000;
        let mut score = [0.0; 5];
        for step in 0..steps {
            noise.score(&u, &theta, 3, step, &mut score);
            for (f, s) in fired.iter_mut().zip(score) {
                *f += u32::from(s >= 0.0);
            }
        }
        for k in 0..5 {
            let p = f64::from(rate(u[k], theta[k], 0.3));
            let sigma = (p * (1.0 - p) / steps as f64).sqrt();
            let seen = f64::from(fired[k]) / steps as f64;
            assert!((seen - p).abs() < 4.0 * sigma, "neuron {k}: {seen} against {p}");
        }
    }

    #[test]
    fn samples_and_neurons_draw_apart() {
        let noise = EscapeNoise::new(1.0, 42);
        let (mut a, mut b) = ([0.0; 9], [0.0; 9]);
        noise.score(&[0.0; 9], &[1.0; 9], 0, 5, &mut a);
        noise.score(&[0.0; 9], &[1.0; 9], 1, 5, &mut b);
        for k in 0..9 {
            assert_ne!(a[k], b[k]);
            assert_ne!(a[k], a[(k + 1) % 9]);
        }
    }

    /// Value stability: these bits change only with an ADR and a changelog entry.
    #[test]
    fn pinned_bits() {
        let mut score = [0.0; 2];
        EscapeNoise::new(0.5, 7).score(&[1.0; 2], &[0.5; 2], 2, 9, &mut score);
        assert_eq!(score.map(f32::to_bits), [0xbfb5_9960, 0x3f6c_8d09]);
    }
}
