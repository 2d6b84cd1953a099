//! The seam of transcendental functions: the only place of the workspace's numerics that calls them.
//!
//! `std`'s `exp`, `ln` and `powf` are whatever the platform's C library makes of them, and differ in the last bit between
//! platforms. Here they come from the `libm` crate (a port of musl's and FreeBSD's code: IEEE additions, multiplications and
//! divisions in a fixed order), or are IEEE operations written out, so that a trajectory has the same bits everywhere. Where a
//! multiplication and an addition are fused, `mul_add` says so: one rounding, by an instruction on processors that have it, else by the
//! function `fmaf`, of which some platforms' libraries round a few results twice (musl's those below the smallest normal number, that
//! of mingw and of old Microsoft libraries others too). The bits are therefore the same on processors with FMA and with a correct `fmaf`.
//!
//! Not here: anything with state, and any choice of formula (that belongs to the law that uses it).

/// e^x in double precision, error below 1 ulp.
#[must_use]
pub fn exp(x: f64) -> f64 {
    libm::exp(x)
}

/// e^x in single precision, error below 1.02 ulp. Never decreasing: both were found for every x there is. Total: -inf gives 0, +inf
/// gives +inf; only NaN gives NaN.
///
/// x = k ln 2 + r with |r| <= ln 2 / 2 (Cody and Waite 1980, "Software Manual for the Elementary Functions"), and e^r = 1 + r + r^2 q(r),
/// where q is the polynomial of degree 4 whose largest relative error of e^r is smallest (2^-28). Without a branch: the compiler
/// makes vector code of it.
#[inline(always)]
#[must_use]
pub fn exp_single(x: f32) -> f32 {
    /// ln 2 in two parts. k times the first is exact to the last bit that x - k ln 2 has.
    const LN2_HIGH: f32 = f32::from_bits(0x3f31_7218);
    const LN2_LOW: f32 = f32::from_bits(0xb102_e308);
    const PER_LN2: f32 = std::f32::consts::LOG2_E;
    /// Added to a small number, it rounds that to an integer and leaves the integer in the low bits.
    const TO_BITS: f32 = 12_582_912.0;
    const Q: [f32; 5] = [
        f32::from_bits(0x3eff_fffe),
        f32::from_bits(0x3e2a_aa49),
        f32::from_bits(0x3d2a_ac58),
        f32::from_bits(0x3c09_1cc3),
        f32::from_bits(0x3ab5_265a),
    ];
    // Beyond these the result is +inf or 0 anyway. NaN stays NaN.
    let x = if x > 89.0 { 89.0 } else { x };
    let x = if x < -104.0 { -104.0 } else { x };
    let shifted = x.mul_add(PER_LN2, TO_BITS);
    let k = shifted - TO_BITS;
    let r = (-k).mul_add(LN2_LOW, (-k).mul_add(LN2_HIGH, x));
    let q = r.mul_add(Q[4], Q[3]);
    let q = r.mul_add(q, Q[2]);
    let q = r.mul_add(q, Q[1]);
    let q = r.mul_add(q, Q[0]);
    // Put together in this way no result is below that of a smaller x.
    let y = (r * r).mul_add(q, r) + 1.0;
    // y 2^k in two factors, since 2^k alone may leave the range of the exponent.
    let k = shifted.to_bits().wrapping_sub(TO_BITS.to_bits()) as i32;
    let half = k >> 1;
    let power = |k: i32| f32::from_bits(((k + 127) as u32) << 23);
    y * power(half) * power(k - half)
}

/// ln(x) in single precision, error below 1 ulp.
#[must_use]
pub fn ln_single(x: f32) -> f32 {
    libm::logf(x)
}

/// log2(x) in double precision, error below 1 ulp.
#[must_use]
pub fn log2(x: f64) -> f64 {
    libm::log2(x)
}

/// ln(x) in double precision, error below 1 ulp.
#[must_use]
pub fn ln(x: f64) -> f64 {
    libm::log(x)
}

/// base^exponent in double precision, error below 1 ulp; 0^0 = 1.
#[must_use]
pub fn pow(base: f64, exponent: f64) -> f64 {
    libm::pow(base, exponent)
}

/// The logistic function 1 / (1 + e^-z), error below 3 ulp. Never decreasing, and total: -inf gives 0, +inf gives 1; only NaN gives NaN.
#[inline(always)]
#[must_use]
pub fn sigmoid(z: f32) -> f32 {
    1.0 / (1.0 + exp_single(-z))
}

/// ln(p / (1 - p)), the inverse of [`sigmoid`], for p in (0, 1); error below 3 ulp of the larger of |ln p| and the result.
///
/// A standard logistic variate when `p` is uniform in (0, 1).
#[must_use]
pub fn logit(p: f32) -> f32 {
    libm::logf(p / (1.0 - p))
}

/// Steps that a time constant may have: tau <= 2^20 dt. [`decay`] is a number below 1 with a spacing of 2^-24, so that from there on the
/// rate of a decay, 1 - exp(-dt/tau), is off by more than 3 %, and from tau = 2^25 dt on nothing decays at all.
pub const TAU_STEPS_MAX: f64 = 1_048_576.0;

/// How far roundings take a trace x <- x keep + (1 - keep) s in [0, 1] from its law at most: two of 2^-25 in each step, over 1 / (1 - keep)
/// of them.
#[must_use]
pub fn rounding_of_a_trace(keep: f64) -> f64 {
    1.0 / 16_777_216.0 / (1.0 - keep)
}

/// exp(-dt / tau): what an exponential trace keeps over one step. `tau_ms` = 0 keeps nothing.
///
/// - `dt_ms`: milliseconds, > 0.   - `tau_ms`: milliseconds, >= 0.
#[must_use]
pub fn decay(dt_ms: f32, tau_ms: f32) -> f32 {
    exp(-f64::from(dt_ms) / f64::from(tau_ms)) as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use rayon::prelude::*;

    fn ulps(a: f32, b: f64) -> f64 {
        let unit = f64::from(f32::from_bits((b as f32).to_bits() + 1)) - f64::from(b as f32);
        (f64::from(a) - b).abs() / unit
    }

    /// The largest error in ulp of e^x and of the logistic function of x over some numbers that follow each other, and whether both
    /// keep their order.
    ///
    /// - `bits`: of the numbers, which all have one sign.
    fn walk(bits: std::ops::Range<u32>) -> (f64, f64) {
        let x: Vec<f32> = bits.map(f32::from_bits).collect();
        let (mut e, mut s) = (vec![0.0; x.len()], vec![0.0; x.len()]);
        pulp::Arch::new().dispatch(|| {
            for ((e, s), x) in e.iter_mut().zip(&mut s).zip(&x) {
                (*e, *s) = (exp_single(*x), sigmoid(*x));
            }
        });
        let falls = x[0].is_sign_negative();
        for ((x, e), s) in x.windows(2).zip(e.windows(2)).zip(s.windows(2)) {
            let keeps_order = |y: &[f32]| if falls { y[1] <= y[0] } else { y[1] >= y[0] };
            assert!(keeps_order(e) && keeps_order(s), "from {} to {}", x[0], x[1]);
        }
        let mut worst = (0.0f64, 0.0f64);
        for ((x, e), s) in x.iter().zip(&e).zip(&s) {
            let exact = f64::from(*x).exp();
            // What lies beyond the largest f32 is infinite, within half an ulp of it either is right.
            if exact < f64::from(f32::MAX) {
                worst.0 = worst.0.max(ulps(*e, exact));
            } else {
                assert!(*e == f32::INFINITY || ulps(*e, f64::from(f32::MAX)) < 1.0);
            }
            // Below -88 the sum 1 + e^-x is infinite, and the result 0 instead of a subnormal number.
            if *x > -88.0 {
                worst.1 = worst.1.max(ulps(*s, 1.0 / (1.0 + (-f64::from(*x)).exp())));
            }
        }
        worst
    }

    /// All numbers for which e^x is neither 0 nor infinite, in runs of `len` of which one of `every` is walked.
    fn walk_all(len: u32, every: u32) -> (f64, f64) {
        let ends = [89.5f32, -104.5].map(f32::to_bits);
        let starts = ends.map(|end| (end & 0x8000_0000..end).step_by((len * every) as usize));
        let starts: Vec<u32> = starts.into_iter().flatten().collect();
        let walks = starts.into_par_iter().map(|start| walk(start..start + len + 1));
        walks.reduce(|| (0.0, 0.0), |a, b| (a.0.max(b.0), a.1.max(b.1)))
    }

    fn assert_bounds((exp, sigmoid): (f64, f64)) {
        assert!(exp < 1.02 && sigmoid < 3.0, "{exp} ulp, {sigmoid} ulp");
    }

    #[test]
    fn exp_and_sigmoid_keep_their_bounds_and_their_order_in_many_runs_of_numbers() {
        assert_bounds(walk_all(1 << 8, 1 << 9));
    }

    #[test]
    #[ignore = "every number there is takes half a minute of optimised code; an item of release-check"]
    fn exp_and_sigmoid_keep_their_bounds_and_their_order_for_every_number() {
        assert_bounds(walk_all(1 << 16, 1));
    }

    /// A mutant: the polynomial put together with one rounding less has a smaller error, and results below those of smaller numbers.
    #[test]
    fn another_way_to_put_the_polynomial_together_does_not_keep_the_order() {
        let other = |r: f32| {
            let q = [0x3ab5_265a, 0x3c09_1cc3, 0x3d2a_ac58, 0x3e2a_aa49, 0x3eff_fffe].map(f32::from_bits);
            let q = q.into_iter().reduce(|sum, next| r.mul_add(sum, next)).unwrap();
            r.mul_add(r.mul_add(q, 1.0), 1.0)
        };
        let x = |at: u32| f32::from_bits(0xbe80_0000 - at);
        let (falls, falls_otherwise) = (0..100_000).fold((0, 0), |(falls, otherwise), at| {
            (
                falls + u32::from(exp_single(x(at + 1)) < exp_single(x(at))),
                otherwise + u32::from(other(x(at + 1)) < other(x(at))),
            )
        });
        assert_eq!(falls, 0);
        assert!(falls_otherwise > 0);
    }

    #[test]
    fn exp_and_sigmoid_are_total() {
        let infinite = [f32::NEG_INFINITY, f32::INFINITY];
        assert_eq!(infinite.map(exp_single), [0.0, f32::INFINITY]);
        assert_eq!([-f32::MAX, f32::MAX].map(exp_single), [0.0, f32::INFINITY]);
        assert_eq!(infinite.map(sigmoid), [0.0, 1.0]);
        assert_eq!([-0.0, 0.0].map(exp_single), [1.0, 1.0]);
        assert!(exp_single(f32::NAN).is_nan() && sigmoid(f32::NAN).is_nan());
        assert_eq!(
            [88.722_84, 88.722_83].map(exp_single),
            [f32::INFINITY, f32::from_bits(0x7f7f_ff84)]
        );
        assert_eq!([-103.98, -103.97].map(exp_single), [0.0, f32::from_bits(1)]);
    }

    #[test]
    fn logit_inverts_sigmoid() {
        for k in 1..1000 {
            let p = k as f32 / 1000.0;
            assert!((sigmoid(logit(p)) - p).abs() < 2e-7);
        }
    }

    #[test]
    fn two_half_steps_of_decay_are_one_whole() {
        let whole = f64::from(decay(1.0, 20.0));
        let half = f64::from(decay(0.5, 20.0));
        assert!((half * half - whole).abs() < 2e-7);
        assert_eq!(decay(1.0, 0.0), 0.0);
    }

    /// Value stability: these bits change only with an ADR and a changelog entry.
    #[test]
    fn pinned_bits() {
        assert_eq!(exp(1.0).to_bits(), 0x4005_bf0a_8b14_576a);
        assert_eq!(log2(3.0).to_bits(), 0x3ff9_5c01_a39f_bd68);
        assert_eq!(sigmoid(0.3).to_bits(), 0x3f13_0eaa);
        assert_eq!(logit(0.3).to_bits(), 0xbf58_e882);
    }

    #[test]
    fn powers_are_those_of_arithmetic() {
        for (base, exponent, power) in [
            (0.0, 0.0, 1.0),
            (0.0, 0.5, 0.0),
            (0.25, 0.5, 0.5),
            (0.75, 2.0, 0.5625),
            (2.0, 10.0, 1024.0),
        ] {
            assert_eq!(pow(base, exponent), power);
        }
    }
}
