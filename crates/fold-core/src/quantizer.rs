//! The sigma-delta quantiser: from a continuous drive to whole filaments, losing nothing.
//!
//! ```text
//! I += dI        k = trunc(I / Th)        N <- clamp(N + k, n_min, n_max)        I <- I - k Th
//! ```
//!
//! The residual I stays in (-Th, Th) and is carried over, so a drive too small to move a filament now still counts later.
//! At a bound the part of the drive that would leave the range is dropped, in the same way at both ends.
//!
//! # Properties
//! - conservation (A8): while N is inside its bounds, Th * dN + dI(residual) = sum of the drive; the remainder is exact in
//!   floating point, so the only rounding is that of `I + dI`.
//! - mirror (A7): N -> n_min + n_max - N, I -> -I, dI -> -dI commutes with a step.
//!
//! # Source
//! First-order sigma-delta modulation: Inose and Yasuda 1963, doi:10.1109/PROC.1963.2622. ADR 0023 says why it replaces
//! PyFolds' "zero I at a promotion".

use crate::params::FilamentParams;

/// The quantiser's constants.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quantizer {
    threshold: f32,
    n_min: u8,
    n_max: u8,
}

impl Quantizer {
    /// For `params`, which must have passed its check.
    #[must_use]
    pub fn new(params: &FilamentParams) -> Self {
        Self {
            threshold: params.threshold,
            n_min: params.n_min,
            n_max: params.n_max,
        }
    }

    /// Adds `drive` to the residual and turns whole thresholds into filaments.
    ///
    /// - `filaments`: in [n_min, n_max].   - `internal`: |I| <= Th.   - `drive`: finite.
    ///
    /// Returns whether the number of filaments changed.
    pub fn absorb(&self, filaments: &mut u8, internal: &mut f32, drive: f32) -> bool {
        let sum = *internal + drive;
        if sum.abs() < self.threshold {
            *internal = sum;
            return false;
        }
        // In double precision the quotient of two f32 cannot round across an integer below 2^28, and `%` is exact.
        let steps = (f64::from(sum) / f64::from(self.threshold)).clamp(-256.0, 256.0) as i32;
        let target = (i32::from(*filaments) + steps).clamp(i32::from(self.n_min), i32::from(self.n_max));
        *internal = sum % self.threshold;
        let target = target as u8;
        let moved = target != *filaments;
        *filaments = target;
        moved
    }

    /// [`Quantizer::absorb`] for neighbouring synapses, where none of them reaches the threshold; else nothing, and `false`.
    #[inline]
    pub fn absorb_below_threshold(&self, internal: &mut [f32], drives: &[f32]) -> bool {
        let below = |(&i, &d): (&f32, &f32)| (i + d).abs() < self.threshold;
        // No short cut: so it is one comparison of many values.
        let all = internal
            .iter()
            .zip(drives)
            .map(below)
            .fold(true, |all, below| all & below);
        if all {
            internal.iter_mut().zip(drives).for_each(|(i, d)| *i += d);
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quickcheck::quickcheck;

    fn quantizer(threshold: f32) -> Quantizer {
        Quantizer {
            threshold,
            n_min: 3,
            n_max: 20,
        }
    }

    /// A drive that is a multiple of 2^-10, so that sums are exact.
    fn exact(k: i16) -> f32 {
        f32::from(k) / 1024.0
    }

    quickcheck! {
        fn many_below_the_threshold_are_absorbed_as_one_by_one(state: Vec<(i16, i16)>) -> bool {
            let q = quantizer(0.3);
            let (before, drives): (Vec<f32>, Vec<f32>) = state.iter().map(|(i, d)| (exact(i % 307), exact(d % 64))).unzip();
            let mut one_by_one = before.clone();
            let moved = one_by_one.iter_mut().zip(&drives).any(|(i, &d)| {
                let sum = *i + d;
                q.absorb(&mut 10, i, d) || sum.abs() >= 0.3
            });
            let mut together = before.clone();
            let absorbed = q.absorb_below_threshold(&mut together, &drives);
            absorbed != moved && together == if absorbed { one_by_one } else { before }
        }

        fn residual_stays_below_the_threshold_and_n_in_range(drives: Vec<i16>, scale: u8) -> bool {
            let q = quantizer(0.3);
            let (mut n, mut i) = (10u8, 0.0f32);
            drives.into_iter().all(|k| {
                q.absorb(&mut n, &mut i, exact(k) * f32::from(scale));
                (3..=20).contains(&n) && i.abs() < 0.3
            })
        }

        fn the_drive_is_conserved_exactly_while_unsaturated(drives: Vec<i16>) -> bool {
            let q = Quantizer { threshold: 0.5, n_min: 0, n_max: 255 };
            let (mut n, mut i, mut sum) = (128u8, 0.0f32, 0.0f64);
            for k in drives {
                let drive = exact(k % 512);
                q.absorb(&mut n, &mut i, drive);
                sum += f64::from(drive);
                if n == 0 || n == 255 {
                    return true;
                }
                if f64::from(n) * 0.5 - 64.0 + f64::from(i) != sum {
                    return false;
                }
            }
            true
        }

        fn mirrored_drives_give_mirrored_states(drives: Vec<i16>) -> bool {
            let q = quantizer(0.75);
            let (mut n, mut i) = (5u8, 0.25f32);
            let (mut m, mut j) = (18u8, -0.25f32);
            drives.into_iter().all(|k| {
                q.absorb(&mut n, &mut i, exact(k));
                q.absorb(&mut m, &mut j, -exact(k));
                n + m == 23 && i == -j
            })
        }

        fn splitting_a_drive_changes_nothing(k: i16, parts: u8) -> bool {
            let parts = i16::from(parts % 7) + 1;
            let q = Quantizer { threshold: 1.0, n_min: 0, n_max: 255 };
            let (mut n, mut i) = (128u8, 0.0f32);
            let (mut m, mut j) = (128u8, 0.0f32);
            q.absorb(&mut n, &mut i, exact(k) * f32::from(parts));
            (0..parts).for_each(|_| { q.absorb(&mut m, &mut j, exact(k)); });
            f32::from(n) + i == f32::from(m) + j
        }
    }

    #[test]
    fn a_drive_of_several_thresholds_moves_several_filaments() {
        let (mut n, mut i) = (10u8, 0.0f32);
        assert!(quantizer(0.5).absorb(&mut n, &mut i, 1.75));
        assert_eq!((n, i), (13, 0.25));
        assert!(!quantizer(0.5).absorb(&mut n, &mut i, 0.125));
        assert!(
            quantizer(0.5).absorb(&mut n, &mut i, 0.125),
            "the threshold itself promotes"
        );
        assert_eq!((n, i), (14, 0.0));
    }

    #[test]
    fn one_drive_goes_from_one_end_of_a_byte_to_the_other() {
        let q = Quantizer {
            threshold: 0.5,
            n_min: 0,
            n_max: 255,
        };
        let (mut n, mut i) = (0u8, 0.0f32);
        assert!(q.absorb(&mut n, &mut i, 255.5 * 0.5));
        assert_eq!((n, i), (255, 0.25));
        assert!(q.absorb(&mut n, &mut i, -255.5 * 0.5));
        assert_eq!((n, i), (0, 0.0));
    }

    #[test]
    fn a_huge_drive_saturates_without_wrapping() {
        let (mut n, mut i) = (10u8, 0.0f32);
        quantizer(0.5).absorb(&mut n, &mut i, f32::MAX);
        assert_eq!(n, 20);
        quantizer(0.5).absorb(&mut n, &mut i, f32::MIN);
        assert_eq!((n, i.abs() < 0.5), (3, true));
    }
}
