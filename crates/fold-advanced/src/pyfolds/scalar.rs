//! The rules of precision: what a Python number becomes when it meets an f32 array, and clamping that lets NaN through.

use fold_core::math;

/// A Python number rounded to the precision of the array it meets.
pub(super) fn single(x: f64) -> f32 {
    x as f32
}

/// min(max(v, low), high); a NaN stays one, and `high` wins where the bounds are crossed.
pub(super) fn clip(v: f32, low: f32, high: f32) -> f32 {
    let raised = if v < low { low } else { v };
    if raised > high { high } else { raised }
}

/// [`clip`] in double precision.
pub(super) fn clip_f64(v: f64, low: f64, high: f64) -> f64 {
    let raised = if v < low { low } else { v };
    if raised > high { high } else { raised }
}

/// max(v, low); a NaN stays one.
pub(super) fn at_least(v: f32, low: f32) -> f32 {
    if v < low { low } else { v }
}

/// min(v, high); a NaN stays one.
pub(super) fn at_most(v: f32, high: f32) -> f32 {
    if v > high { high } else { v }
}

/// 1 where `holds`, 0 elsewhere: a comparison turned into a factor. (0 times NaN or infinity is NaN, as in the original.)
pub(super) fn mask(holds: bool) -> f32 {
    f32::from(u8::from(holds))
}

/// e^x in f32, rounded once.
pub(super) fn exp(x: f32) -> f32 {
    math::exp(f64::from(x)) as f32
}

/// 1 / (1 + e^-z), every operation in f32.
pub(super) fn sigmoid(z: f32) -> f32 {
    1.0 / (1.0 + exp(-z))
}

/// tanh in f32, rounded once, for the arguments in [-1, 1] that occur here.
pub(super) fn tanh(z: f32) -> f32 {
    let e = math::exp(2.0 * f64::from(z));
    ((e - 1.0) / (e + 1.0)) as f32
}

/// exp(-dt / tau), computed in f64 and rounded once.
pub(super) fn decay(dt: f64, tau: f64) -> f32 {
    math::exp(-dt / tau) as f32
}

/// The sum in index order, in f32.
pub(super) fn sum(values: impl IntoIterator<Item = f32>) -> f32 {
    values.into_iter().fold(0.0, |sum, v| sum + v)
}

/// A length as the f32 that a mean divides by.
pub(super) fn count(n: usize) -> f32 {
    n as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clamps_let_nan_through_and_prefer_the_upper_bound() {
        assert!(clip(f32::NAN, 0.0, 1.0).is_nan());
        assert!(clip_f64(f64::NAN, 0.0, 1.0).is_nan());
        assert!(at_least(f32::NAN, 0.0).is_nan() && at_most(f32::NAN, 0.0).is_nan());
        assert_eq!(
            [clip(-1.0, 0.0, 2.0), clip(1.5, 0.0, 2.0), clip(9.0, 0.0, 2.0)],
            [0.0, 1.5, 2.0]
        );
        assert_eq!(clip(0.0, 3.0, 2.0), 2.0);
        assert_eq!(clip(f32::INFINITY, -10.0, 10.0), 10.0);
    }

    #[test]
    fn tanh_and_sigmoid_are_right_to_the_last_places() {
        for k in -1000..=1000 {
            let z = k as f32 / 1000.0;
            assert!((f64::from(tanh(z)) - f64::from(z).tanh()).abs() < 6e-8, "tanh({z})");
            let exact = 1.0 / (1.0 + (-20.0 * f64::from(z)).exp());
            assert!((f64::from(sigmoid(20.0 * z)) - exact).abs() < 2e-7, "sigmoid(20 * {z})");
        }
        assert_eq!(
            [sigmoid(f32::NEG_INFINITY), sigmoid(f32::INFINITY), sigmoid(-200.0)],
            [0.0, 1.0, 0.0]
        );
    }
}
