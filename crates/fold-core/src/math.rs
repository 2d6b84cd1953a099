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
