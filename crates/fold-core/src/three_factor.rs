//! The three-factor synapse: eligibility now, credit when the modulator comes.
//!
//! ```text
//! e <- e exp(-dt / tau_e) + hebb          dI = eta M e
//! ```
//!
//! # Properties
//! |e| <= hebb_max / (1 - exp(-dt / tau_e)); dI is odd in M and linear in e; two silent steps of dt/2 equal one of dt.
//!
//! # Source
//! Fremaux and Gerstner 2016, doi:10.3389/fncir.2015.00085; Legenstein, Pecevski, Maass 2008,
//! doi:10.1371/journal.pcbi.1000180; Izhikevich 2007, doi:10.1093/cercor/bhl152. Not here: where the Hebbian drive comes
//! from, and how a reward becomes a modulator (M = R - mean R is the caller's).

use crate::math;
use crate::params::{Range, Violations};

crate::parameters! {
    /// Eligibility and its conversion.
    pub struct ThreeFactorParams in "three_factor" {
        /// Time constant tau_e of the eligibility.
        tau_e_ms: f32 = 1000.0, Range::above(0.0, 1e7), "ms";
        /// Gain eta from modulated eligibility to drive.
        eta: f32 = 1.0, Range::above(0.0, 1.0), "1 / step";
    }
}

/// Steps within which a maximal drive must move one filament: over more of them the residual could not resolve it.
const EVENTS_MAX: f64 = 65_536.0;

impl ThreeFactorParams {
    /// Notes every violation, single and joint.
    ///
    /// - `amplitude`: the largest |hebb| of one step, filaments.
    pub fn check(&self, dt_ms: f32, amplitude: f64, violations: &mut Violations) {
        self.check_ranges(violations);
        // Sum over so many steps of e, which is hebb (1 - keep^t) / (1 - keep) after t of them.
        let rate = f64::from(dt_ms) / f64::from(self.tau_e_ms);
        let (keep, lost) = (math::exp(-rate), 1.0 - math::exp(-rate));
        let ramp = keep * (1.0 - math::exp(-rate * EVENTS_MAX)) / lost;
        let least = lost / (amplitude * (EVENTS_MAX - ramp));
        let eta = f64::from(self.eta);
        let rule = "must be large enough that a maximal drive, fully rewarded, promotes within 65536 steps";
        violations.joint(eta >= least, "three_factor.eta", eta, rule, least);
    }
}

/// The law with its constants worked out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ThreeFactor {
    tau_e_ms: f32,
    keep: f32,
    eta: f32,
    bound: f32,
}

impl ThreeFactor {
    /// - `dt_ms`: > 0.   - `hebb_max`: the largest |hebb| of one step, > 0.
    #[must_use]
    pub fn new(params: &ThreeFactorParams, dt_ms: f32, hebb_max: f32) -> Self {
        let lost = 1.0 - math::exp(-f64::from(dt_ms) / f64::from(params.tau_e_ms));
        Self {
            tau_e_ms: params.tau_e_ms,
            keep: math::decay(dt_ms, params.tau_e_ms),
            eta: params.eta,
            bound: (f64::from(hebb_max) / lost).min(f64::from(f32::MAX)) as f32,
        }
    }

    /// The largest |e| that can arise.
    #[must_use]
    pub fn bound(&self) -> f32 {
        self.bound
    }

    /// Lets the eligibility decay and adds this step's Hebbian drive.
    ///
    /// - `eligibility`, `hebb`: of equal length, in drive units, |e| <= bound.
    pub fn advance(&self, eligibility: &mut [f32], hebb: &[f32]) {
        for (e, h) in eligibility.iter_mut().zip(hebb) {
            *e = self.next(*e, *h);
        }
    }

    /// Lets the eligibility decay over `duration_ms` > 0 without a drive.
    pub fn forget(&self, eligibility: &mut [f32], duration_ms: f32) {
        let keep = math::decay(duration_ms, self.tau_e_ms);
        for e in eligibility {
            *e *= keep;
            if e.abs() < f32::MIN_POSITIVE {
                *e = 0.0;
            }
        }
    }

    fn next(&self, e: f32, hebb: f32) -> f32 {
        let e = e * self.keep + hebb;
        // Below the smallest normal number nothing can be learned from it any more, and arithmetic turns slow.
        if e.abs() < f32::MIN_POSITIVE {
            0.0
        } else {
            e.clamp(-self.bound, self.bound)
        }
    }

    /// The drive eta M e that the modulator releases from each eligibility, into `drive`.
    ///
    /// - `modulator`: M in [-1, 1].
    pub fn release(&self, eligibility: &[f32], modulator: f32, drive: &mut [f32]) {
        let gain = self.eta * modulator;
        for (d, e) in drive.iter_mut().zip(eligibility) {
            *d = gain * e;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quickcheck::quickcheck;

    fn law(dt_ms: f32) -> ThreeFactor {
        ThreeFactor::new(
            &ThreeFactorParams {
                tau_e_ms: 50.0,
                eta: 0.5,
            },
            dt_ms,
            2.0,
        )
    }

    quickcheck! {
        fn eligibility_never_exceeds_its_bound(hebb: Vec<i8>) -> bool {
            let law = law(1.0);
            let mut e = [0.0];
            hebb.into_iter().all(|h| {
                law.advance(&mut e, &[f32::from(h) / 64.0]);
                e[0].abs() <= law.bound()
            })
        }

        fn the_drive_is_odd_in_the_modulator_and_has_the_sign_of_their_product(e: i16, m: i8) -> bool {
            let (e, m) = (f32::from(e) / 4096.0, f32::from(m) / 128.0);
            let (mut plus, mut minus) = ([9.0], [9.0]);
            law(1.0).release(&[e], m, &mut plus);
            law(1.0).release(&[e], -m, &mut minus);
            plus[0] == -minus[0] && (plus[0] == 0.5 * m * e)
        }
    }

    #[test]
    fn the_bound_is_reached_by_a_lasting_maximal_drive() {
        let law = law(1.0);
        let mut e = [0.0];
        (0..2000).for_each(|_| law.advance(&mut e, &[2.0]));
        assert!((e[0] / law.bound() - 1.0).abs() < 1e-4);
        assert!((f64::from(law.bound()) - 2.0 / (1.0 - (-1.0f64 / 50.0).exp())).abs() < 1e-4);
    }

    #[test]
    fn two_silent_half_steps_are_one_whole() {
        let (mut whole, mut half) = ([1.0], [1.0]);
        law(1.0).advance(&mut whole, &[0.0]);
        law(0.5).advance(&mut half, &[0.0]);
        law(0.5).advance(&mut half, &[0.0]);
        assert!((whole[0] - half[0]).abs() < 1e-6);
    }

    #[test]
    fn a_delayed_reward_finds_the_synapse_that_earned_it() {
        let law = law(1.0);
        let mut e = [0.0, 0.0];
        law.advance(&mut e, &[1.0, 0.0]);
        (0..49).for_each(|_| law.advance(&mut e, &[0.0, 0.0]));
        let mut drive = [0.0; 2];
        law.release(&e, 1.0, &mut drive);
        assert!((drive[0] - 0.5 * (-49.0f32 / 50.0).exp()).abs() < 1e-5);
        assert_eq!(drive[1], 0.0);
    }

    /// Value stability: these bits change only with an ADR and a changelog entry.
    #[test]
    fn pinned_bits() {
        let mut e = [1.0];
        law(1.0).advance(&mut e, &[0.25]);
        assert_eq!([e[0].to_bits(), law(1.0).bound().to_bits()], [0x3f9d_7726, 0x42ca_01b5]);
    }
}
