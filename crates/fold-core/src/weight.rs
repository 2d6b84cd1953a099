//! The weight law: from a number of filaments to a synaptic weight.
//!
//! ```text
//! W(N) = log2(1 + N) / w_scale
//! ```
//!
//! A table over all 256 values of `u8`, so the law is total: no filament count, valid or not, can give a NaN or an infinity.
//! W is strictly increasing with W(0) = 0, and lies in [0, 8 / w_scale].

use crate::math;
use crate::params::FilamentParams;

/// W for every N that a `u8` can hold.
#[derive(Debug, Clone, PartialEq)]
pub struct WeightTable([f32; 256]);

impl WeightTable {
    /// The law for `params`, which must have passed its check.
    #[must_use]
    pub fn new(params: &FilamentParams) -> Self {
        let scale = f64::from(params.w_scale);
        Self(std::array::from_fn(|n| (math::log2(1.0 + n as f64) / scale) as f32))
    }

    /// W(N).
    #[must_use]
    pub fn weight(&self, filaments: u8) -> f32 {
        self.0[usize::from(filaments)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_law_is_total_finite_and_strictly_increasing() {
        for w_scale in [0.0625, 1.0, 5.0, 1024.0] {
            let table = WeightTable::new(&FilamentParams {
                w_scale,
                ..FilamentParams::default()
            });
            assert_eq!(table.weight(0), 0.0);
            for n in 1..=u8::MAX {
                assert!(table.weight(n).is_finite() && table.weight(n) > table.weight(n - 1));
            }
            assert_eq!(table.weight(255), 8.0 / w_scale);
        }
    }

    /// Value stability: these bits change only with an ADR and a changelog entry.
    #[test]
    fn pinned_bits() {
        let table = WeightTable::new(&FilamentParams::default());
        assert_eq!(
            [1, 2, 31].map(|n| table.weight(n).to_bits()),
            [0x3e4c_cccd, 0x3ea2_4cd7, 0x3f80_0000]
        );
    }
}
