//! Short-term plasticity: a synapse transmits more or less of an event according to what came before.
//!
//! Per sample and input line, with events s in [0, 1], utilisation u = U0 + e and resources R = 1 - z:
//!
//! ```text
//! e- = e exp(-dt/tau_f)        z- = z exp(-dt/tau_r)
//! u+ = u- + s U (1 - u-)       release = s u+ R-        e+ = u+ - U0       z+ = z- + release
//! ```
//!
//! The release is what the dendrites integrate. With s = 1 this is the exact solution of the model between spikes; a fraction s
//! is the expected event of a rate code, taken as a mean field. The state is kept as distances from rest, so that rest is exact.
//! Learning rules read the events, not the release (B3).
//!
//! # Properties
//! u and R in [0, 1]; rest is u = U0, R = 1 and silence stays there; R- - R+ = release, so the sum of the releases is at most R at the
//! start plus what has recovered; two silent steps of dt/2 are one of dt.
//!
//! # Source
//! Tsodyks, Pawelzik, Markram 1998, doi:10.1162/089976698300017502, in the form of Maass and Markram 2002,
//! doi:10.1016/S0893-6080(01)00144-7.

use std::fmt;

use fold_core::invariants::{Breach, Part, Place};
use fold_core::math;
use fold_core::params::{Range, Violations};

use crate::Result;
use crate::mechanism::{Mechanism, Phase, StepContext};
use crate::per_sample::PerSample;
use crate::stateful::{StateSlice, Stored};

fold_core::parameters! {
    /// Short-term plasticity.
    pub struct ShortTermParams in "short_term" {
        /// Utilisation U0 at rest.
        u_rest: f32 = 0.2, Range::closed(0.0, 1.0), "1";
        /// Facilitation U of one event.
        u_step: f32 = 0.3, Range::closed(0.0, 1.0), "1";
        /// Time constant tau_f of facilitation.
        tau_facilitation_ms: f32 = 100.0, Range::closed(0.0, 10000000.0), "ms";
        /// Time constant tau_r of the recovery of resources.
        tau_recovery_ms: f32 = 800.0, Range::closed(0.0, 10000000.0), "ms";
    }
}

impl ShortTermParams {
    /// Notes every violation.
    pub fn check(&self, violations: &mut Violations) {
        self.check_ranges(violations);
        let most = f64::from(self.u_rest.max(self.u_step));
        let rule = "u_rest or u_step must exceed 0, or nothing is ever transmitted";
        violations.joint(most > 0.0, "short_term.u_rest", most, rule, 0.0);
    }

    /// The release of a lone event at rest, U0 + U (1 - U0): how much weaker the drive becomes.
    #[must_use]
    pub fn release_at_rest(&self) -> f32 {
        self.u_rest + self.u_step * (1.0 - self.u_rest)
    }

    /// A bound on u+ R-, the share of an event that is transmitted: the utilisation under events in every step, and full resources.
    #[must_use]
    pub fn transmitted_max(&self, dt_ms: f32) -> f64 {
        let [u_rest, u_step] = [self.u_rest, self.u_step].map(f64::from);
        let keep = f64::from(math::decay(dt_ms, self.tau_facilitation_ms));
        let risen = u_step * (1.0 - u_rest);
        let lost = 1.0 - keep * (1.0 - u_step);
        // Without facilitation nothing rises.
        (u_rest + if risen > 0.0 { risen / lost } else { 0.0 }).min(1.0)
    }
}

/// Facilitation and depletion of each line in each sample.
#[derive(Debug, Clone, PartialEq)]
pub struct ShortTerm {
    params: ShortTermParams,
    keep: [f32; 2],
    facilitation: PerSample,
    depletion: PerSample,
}

impl ShortTerm {
    /// The mechanism's name.
    pub const NAME: &'static str = "short_term";

    /// At rest, for parameters that have passed their check.
    #[must_use]
    pub fn new(params: &ShortTermParams, dt_ms: f32, lines: u32) -> Self {
        Self {
            params: *params,
            keep: [params.tau_facilitation_ms, params.tau_recovery_ms].map(|tau| math::decay(dt_ms, tau)),
            facilitation: PerSample::new("short_term.facilitation", lines as usize, 1.0 - params.u_rest),
            depletion: PerSample::new("short_term.depletion", lines as usize, 1.0),
        }
    }
}

/// One line in one sample: the new (e, z) and the release for the event s.
fn release(params: &ShortTermParams, keep: [f32; 2], (e, z): (f32, f32), s: f32) -> (f32, f32, f32) {
    let [e, z] = [e * keep[0], z * keep[1]].map(|x| if x < f32::MIN_POSITIVE { 0.0 } else { x });
    let u_rest = params.u_rest;
    let e = (e + s * params.u_step * (1.0 - (u_rest + e)).max(0.0)).min(1.0 - u_rest);
    let release = s * (u_rest + e).min(1.0) * (1.0 - z);
    (e, (z + release).min(1.0), release)
}

impl Mechanism for ShortTerm {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn boxed(&self) -> Box<dyn Mechanism> {
        Box::new(self.clone())
    }

    fn phase(&self) -> Phase {
        Phase::Transmit
    }

    fn parameters(&self) -> &dyn fmt::Debug {
        &self.params
    }

    fn transmit(&mut self, events: &[f32], transmitted: &mut [f32]) {
        let (params, keep) = (self.params, self.keep);
        let state = self.facilitation.values_mut().iter_mut();
        let state = state.zip(self.depletion.values_mut());
        for ((e, z), (&s, x)) in state.zip(events.iter().zip(transmitted)) {
            (*e, *z, *x) = release(&params, keep, (*e, *z), s);
        }
    }

    fn act(&mut self, _context: &mut StepContext<'_>) {}

    fn rest(&mut self, samples: usize) {
        self.facilitation.rest(samples);
        self.depletion.rest(samples);
    }

    fn reset_neuron(&mut self, _neuron: usize) {}

    fn check(&self, part: Part, found: &mut Vec<Breach>) {
        let place = |sample, line| Place::SampleLine { sample, line };
        self.facilitation.check(part, place, found);
        self.depletion.check(part, place, found);
    }

    fn visit_state(&self, visit: &mut dyn FnMut(&'static str, &[usize], StateSlice<'_>)) {
        self.facilitation.visit(visit);
        self.depletion.visit(visit);
    }

    fn restore(&mut self, samples: usize, stored: &mut Stored<'_>) -> Result<()> {
        self.facilitation.restore(samples, stored)?;
        self.depletion.restore(samples, stored)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quickcheck::quickcheck;

    /// The equations in double precision, as the papers write them: (u, R) instead of distances from rest.
    struct Reference {
        u: f64,
        r: f64,
    }

    impl Reference {
        fn step(&mut self, params: &ShortTermParams, dt_ms: f64, s: f64) -> f64 {
            let [u0, du, tau_f, tau_r] = [
                params.u_rest,
                params.u_step,
                params.tau_facilitation_ms,
                params.tau_recovery_ms,
            ]
            .map(f64::from);
            let u = u0 + (self.u - u0) * (-dt_ms / tau_f).exp();
            let r = 1.0 - (1.0 - self.r) * (-dt_ms / tau_r).exp();
            self.u = u + s * du * (1.0 - u);
            let release = s * self.u * r;
            self.r = r - release;
            release
        }
    }

    const PARAMS: ShortTermParams = ShortTermParams {
        u_rest: 0.2,
        u_step: 0.3,
        tau_facilitation_ms: 30.0,
        tau_recovery_ms: 80.0,
    };

    /// What a law must keep on a train of events: bounds, and releases that are paid for by what was there and what recovered.
    ///
    /// - `keep`: exp(-dt/tau_r).   - `law`: from an event to (u, R, release) after it.
    fn sound(keep: f64, mut law: impl FnMut(f64) -> (f64, f64, f64), events: &[u8]) -> bool {
        let mut last = 1.0;
        events.iter().all(|&s| {
            let (u, r, release) = law(f64::from(s) / 255.0);
            let available = 1.0 - (1.0 - last) * keep;
            last = r;
            let unit = -1e-6..=1.0 + 1e-6;
            unit.contains(&u) && unit.contains(&r) && release >= 0.0 && release <= available - r + 1e-6
        })
    }

    quickcheck! {
        fn bounded_and_never_releasing_what_is_not_there(events: Vec<u8>, params: (u8, u8, u8, u8)) -> bool {
            let unit = |k: u8| f32::from(k) / 255.0;
            let params = ShortTermParams {
                u_rest: unit(params.0), u_step: unit(params.1),
                tau_facilitation_ms: f32::from(params.2), tau_recovery_ms: f32::from(params.3),
            };
            let law = ShortTerm::new(&params, 1.0, 1);
            let mut state = (0.0, 0.0);
            sound((-1.0 / f64::from(params.tau_recovery_ms)).exp(), |s| {
                let (e, z, release) = release(&law.params, law.keep, state, s as f32);
                state = (e, z);
                (f64::from(params.u_rest + e), 1.0 - f64::from(z), f64::from(release))
            }, &events)
        }

        fn the_fast_path_follows_the_papers(events: Vec<u8>) -> bool {
            let law = ShortTerm::new(&PARAMS, 0.5, 1);
            let mut reference = Reference { u: f64::from(PARAMS.u_rest), r: 1.0 };
            let mut state = (0.0, 0.0);
            events.into_iter().all(|s| {
                let s = f32::from(s) / 255.0;
                let (e, z, release) = release(&law.params, law.keep, state, s);
                state = (e, z);
                (f64::from(release) - reference.step(&PARAMS, 0.5, s.into())).abs() < 1e-5
            })
        }
    }

    /// F2: releasing with the utilisation or the resources of after the event pays for more than there is.
    #[test]
    fn a_law_that_does_not_pay_for_its_release_fails_the_property() {
        let (mut u, mut r) = (0.5, 1.0);
        let unpaid = |s: f64| {
            u += s * 0.5 * (1.0 - u);
            let release = s * u * r;
            r = (r - 0.5 * release).max(0.0);
            (u, r, release)
        };
        assert!(!sound(1.0, unpaid, &[255; 50]));
    }

    #[test]
    fn rest_is_exact_and_silence_stays_there() {
        let law = ShortTerm::new(&PARAMS, 1.0, 1);
        assert_eq!(release(&law.params, law.keep, (0.0, 0.0), 0.0), (0.0, 0.0, 0.0));
        let (mut e, mut z, first) = release(&law.params, law.keep, (0.0, 0.0), 1.0);
        assert!((first - PARAMS.release_at_rest()).abs() < 1e-7);
        for _ in 0..20_000 {
            (e, z, _) = release(&law.params, law.keep, (e, z), 0.0);
        }
        assert_eq!((e, z), (0.0, 0.0));
    }

    #[test]
    fn two_silent_half_steps_are_one_whole() {
        let (whole, half) = (ShortTerm::new(&PARAMS, 1.0, 1), ShortTerm::new(&PARAMS, 0.5, 1));
        let (e, z, _) = release(&whole.params, whole.keep, (0.6, 0.7), 0.0);
        let (f, y, _) = release(&half.params, half.keep, (0.6, 0.7), 0.0);
        let (f, y, _) = release(&half.params, half.keep, (f, y), 0.0);
        assert!((e - f).abs() < 1e-6 && (z - y).abs() < 1e-6);
    }

    #[test]
    fn a_strong_synapse_depresses_and_a_weak_one_facilitates() {
        let run = |u_rest, u_step| {
            let params = ShortTermParams {
                u_rest,
                u_step,
                ..ShortTermParams::default()
            };
            let law = ShortTerm::new(&params, 1.0, 1);
            let (e, z, first) = release(&law.params, law.keep, (0.0, 0.0), 1.0);
            let (.., second) = release(&law.params, law.keep, (e, z), 1.0);
            second / first
        };
        assert!(run(0.8, 0.0) < 0.25 && run(0.02, 0.02) > 1.4);
    }
}
