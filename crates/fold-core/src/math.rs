//! The seam of transcendental functions: the only place of the workspace's numerics that calls them.
//!
//! `std`'s `exp`, `ln` and `powf` are whatever the platform's C library makes of them, and differ in the last bit between
//! platforms. Here they come from the `libm` crate (a port of musl's and FreeBSD's code: IEEE additions, multiplications and
//! divisions in a fixed order), so that a trajectory has the same bits everywhere. No fused multiply-add is used.
//!
//! Not here: anything with state, and any choice of formula (that belongs to the law that uses it).

/// e^x in double precision, error below 1 ulp.
#[must_use]
pub fn exp(x: f64) -> f64 {
    libm::exp(x)
}

/// e^x in single precision, error below 1 ulp.
#[must_use]
pub fn exp_single(x: f32) -> f32 {
    libm::expf(x)
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

/// The logistic function 1 / (1 + e^-z), error below 3 ulp. Total: -inf gives 0, +inf gives 1; only NaN gives NaN.
#[must_use]
pub fn sigmoid(z: f32) -> f32 {
    1.0 / (1.0 + libm::expf(-z))
}

/// [`exp_single`] of every value, in the same bits, without a branch: the compiler makes vector code of it.
#[inline(always)]
pub fn exp_each(x: &mut [f32]) {
    for x in x {
        *x = exp_branchless(*x);
    }
}

/// [`sigmoid`] of every value, in the same bits.
#[inline(always)]
pub fn sigmoid_each(z: &mut [f32]) {
    for z in z {
        *z = 1.0 / (1.0 + exp_branchless(-*z));
    }
}

/// e^x by the operations that `libm::expf` performs (the method of FreeBSD's msun, e_expf.c: x = k ln 2 + r with |r| <= ln 2 / 2 and a
/// rational approximation of e^r), its cases chosen by selection instead of branches. Equal to it for every x.
#[inline(always)]
fn exp_branchless(x: f32) -> f32 {
    const LN2_HIGH: f32 = f32::from_bits(0x3f31_7200);
    const LN2_LOW: f32 = f32::from_bits(0x35bf_be8e);
    const PER_LN2: f32 = f32::from_bits(0x3fb8_aa3b);
    const P1: f32 = 1.666_662_5e-1;
    const P2: f32 = -2.766_733_3e-3;
    /// Adding and subtracting it rounds a number of [0, 2^22] to an integer.
    const TO_INTEGER: f32 = 8_388_608.0;
    /// Added to a small integer, it leaves the integer in the low bits.
    const TO_BITS: f32 = 12_582_912.0;
    let size = x.abs();
    // k, as a whole number in f32: x / ln 2 rounded, but exactly 1 up to 1.5 ln 2 and 0 up to 0.5 ln 2.
    let scaled = (PER_LN2 * x + 0.5f32.copysign(x)).abs();
    let rounded = (scaled + TO_INTEGER) - TO_INTEGER;
    let whole = if rounded > scaled { rounded - 1.0 } else { rounded };
    let whole = if size > f32::from_bits(0x3f85_1592) { whole } else { 1.0 };
    let k = if size > f32::from_bits(0x3eb1_7218) {
        whole.copysign(x)
    } else {
        0.0
    };
    let high = x - k * LN2_HIGH;
    let low = k * LN2_LOW;
    let r = high - low;
    let square = r * r;
    let c = r - square * (P1 + square * P2);
    let y = 1.0 + (r * c / (2.0 - c) - low + high);
    // y 2^k, in two factors where one would leave the range of the exponent.
    let bits = (k + TO_BITS).to_bits().wrapping_sub(TO_BITS.to_bits()) as i32;
    let (first, bits) = if k < -126.0 {
        (f32::from_bits(25 << 23), bits + 102)
    } else if k > 127.0 {
        (f32::from_bits(254 << 23), bits - 127)
    } else {
        (1.0, bits)
    };
    let y = y * first * f32::from_bits(((bits + 127) as u32) << 23);
    let y = if size > f32::from_bits(0x3900_0000) { y } else { 1.0 + x };
    let y = if x >= f32::from_bits(0x42b1_7218) {
        f32::INFINITY
    } else {
        y
    };
    let y = if x <= f32::from_bits(0xc2cf_f1b5) { 0.0 } else { y };
    if x.is_nan() { x } else { y }
}

/// ln(p / (1 - p)), the inverse of [`sigmoid`], for p in (0, 1); error below 3 ulp of the larger of |ln p| and the result.
///
/// A standard logistic variate when `p` is uniform in (0, 1).
#[must_use]
pub fn logit(p: f32) -> f32 {
    libm::logf(p / (1.0 - p))
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

    fn ulps(a: f32, b: f64) -> f64 {
        let unit = f64::from(f32::from_bits((b as f32).to_bits() + 1)) - f64::from(b as f32);
        (f64::from(a) - b).abs() / unit
    }

    #[test]
    fn sigmoid_stays_within_its_stated_bound() {
        for k in -80_000..80_000 {
            let z = k as f32 * 1e-3;
            let exact = 1.0 / (1.0 + (-f64::from(z)).exp());
            assert!(ulps(sigmoid(z), exact) < 3.0, "sigmoid({z})");
        }
    }

    #[test]
    fn sigmoid_is_total_and_monotone_on_a_dense_grid() {
        assert_eq!(sigmoid(f32::NEG_INFINITY), 0.0);
        assert_eq!(sigmoid(f32::INFINITY), 1.0);
        let mut last = 0.0;
        for k in -2_000_000..2_000_000 {
            let now = sigmoid(k as f32 * 1e-5);
            assert!(now >= last);
            last = now;
        }
    }

    /// Every 997th bit pattern and the edges of every case; the whole space was compared once.
    #[test]
    fn the_branchless_exponential_has_the_bits_of_the_other() {
        let edges = [
            0u32,
            0x8000_0000,
            0x3900_0000,
            0x3eb1_7218,
            0x3f85_1592,
            0x42ae_ac50,
            0x42b1_7218,
            0x42cf_f1b5,
            0x7f80_0000,
        ];
        let near = edges
            .into_iter()
            .flat_map(|bits| (0..5).map(move |k| bits.wrapping_add(k).wrapping_sub(2)));
        let signs = near.flat_map(|bits| [bits, bits ^ 0x8000_0000]);
        for bits in signs.chain((0..u32::MAX).step_by(997)) {
            let x = f32::from_bits(bits);
            let (mut fast, slow) = ([x], exp_single(x));
            exp_each(&mut fast);
            assert!(
                fast[0].to_bits() == slow.to_bits() || (fast[0].is_nan() && slow.is_nan()),
                "exp({x}) = {} instead of {slow}",
                fast[0]
            );
        }
        let mut z = [-3.0, 0.0, 0.7, 12.5];
        sigmoid_each(&mut z);
        assert_eq!(z, [-3.0, 0.0, 0.7, 12.5].map(sigmoid));
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
}
