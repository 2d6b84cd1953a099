//! An exponential trace per sample and unit, normalised to [0, 1] and kept on a grid of 2^-40.
//!
//! On the grid a sum over up to 2^12 samples is exact in double precision, hence the same in any order; and no trace ever
//! becomes subnormal: a decaying one ends at exactly zero.

use fold_core::invariants::{Breach, Part, Place};
use fold_core::math;
use pulp::Arch;

use super::Pairing;
use crate::Result;
use crate::per_sample::PerSample;
use crate::stateful::{StateSlice, Stored};

/// Adding and subtracting this in double precision rounds a number of [-1, 1] to a multiple of 2^-40.
const TO_GRID: f64 = 1.5 * 4096.0;

/// 2^-17: from here on every number of single precision is on the grid. Adding and subtracting it rounds a smaller one, >= 0, to
/// the grid.
const FINE: f32 = 1.0 / 131_072.0;

/// Half a step of the grid, 2^-41: taken off before rounding it makes a decaying trace fall until it is zero.
const HALF: f32 = FINE / 16_777_216.0;

/// Rounds `value`, in [-1, 1], to the nearest multiple of 2^-40.
#[inline(always)]
pub(super) fn on_grid(value: f64) -> f64 {
    (value + TO_GRID) - TO_GRID
}

/// Traces [B, K].
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Trace {
    /// 1 - exp(-dt / tau): what a trace loses in a step, and what an event adds.
    gain: f32,
    pairing: Pairing,
    values: PerSample,
}

impl Trace {
    /// At rest, without samples, under the name it has in a checkpoint. `tau_ms` = 0 keeps nothing: the trace is this step's events.
    pub(super) fn new(name: &'static str, dt_ms: f32, tau_ms: f32, pairing: Pairing, width: usize) -> Self {
        Self {
            gain: (1.0 - math::exp(-f64::from(dt_ms) / f64::from(tau_ms))) as f32,
            pairing,
            values: PerSample::new(name, width, 1.0),
        }
    }

    /// Row-major.
    pub(super) fn values(&self) -> &[f32] {
        self.values.values()
    }

    pub(super) fn rest(&mut self, samples: usize) {
        self.values.rest(samples);
    }

    pub(super) fn decay(&mut self) {
        let (values, gain) = (self.values.values_mut(), self.gain);
        Arch::new().dispatch(move || values.iter_mut().for_each(|x| *x = rounded(left(*x, gain))));
    }

    /// Decays, and adds `events` [B, K], each of weight s in [0, 1].
    pub(super) fn decay_and_add(&mut self, events: &[f32]) {
        let (gain, pairing) = (self.gain, self.pairing);
        let events = self.values.values_mut().iter_mut().zip(events);
        Arch::new().dispatch(move || match pairing {
            Pairing::AllToAll => events.for_each(|(x, s)| *x = raised(left(*x, gain), gain, *s)),
            Pairing::Nearest => events.for_each(|(x, s)| *x = replaced(left(*x, gain), gain, *s)),
        });
    }

    /// Adds the spikes [B, K].
    pub(super) fn add_spikes(&mut self, spikes: &[u8]) {
        let values = self.values.values_mut().iter_mut();
        for (x, _) in values.zip(spikes).filter(|(_, s)| **s != 0) {
            *x = match self.pairing {
                Pairing::AllToAll => raised(*x, self.gain, 1.0),
                Pairing::Nearest => replaced(*x, self.gain, 1.0),
            };
        }
    }

    pub(super) fn reset_unit(&mut self, unit: usize) {
        self.values.reset_unit(unit);
    }

    /// The traces unit by unit, [K, B], into `units`.
    pub(super) fn by_unit(&self, units: &mut Vec<f32>) {
        self.values.by_unit(units);
    }

    pub(super) fn visit(&self, visit: &mut dyn FnMut(&'static str, &[usize], StateSlice<'_>)) {
        self.values.visit(visit);
    }

    pub(super) fn restore(&mut self, samples: usize, stored: &mut Stored<'_>) -> Result<()> {
        self.values.restore(samples, stored)
    }

    /// Notes every value outside [0, 1] in `part`.
    pub(super) fn check(&self, part: Part, place: impl Fn(usize, usize) -> Place, found: &mut Vec<Breach>) {
        self.values.check(part, place, found);
    }
}

/// `value`, in [0, 1], on the grid.
#[inline(always)]
fn rounded(value: f32) -> f32 {
    let small = (value + FINE) - FINE;
    if value < FINE { small } else { value }
}

/// What is left of `trace` after a step, not yet on the grid.
#[inline(always)]
fn left(trace: f32, gain: f32) -> f32 {
    (gain.mul_add(-trace, trace) - HALF).max(0.0)
}

/// `trace` and an event of weight `s` and this `height`, at most 1 and on the grid.
#[inline(always)]
fn raised(trace: f32, height: f32, s: f32) -> f32 {
    rounded(height.mul_add(s, trace).min(1.0))
}

/// The share `s` of `trace` replaced by a lone event's `height`, on the grid.
#[inline(always)]
fn replaced(trace: f32, height: f32, s: f32) -> f32 {
    rounded(s.mul_add(height, s.mul_add(-trace, trace)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use quickcheck::quickcheck;

    fn one(tau_ms: f32) -> Trace {
        paired(tau_ms, Pairing::AllToAll)
    }

    fn paired(tau_ms: f32, pairing: Pairing) -> Trace {
        let mut trace = Trace::new("trace", 1.0, tau_ms, pairing, 1);
        trace.rest(1);
        trace
    }

    quickcheck! {
        fn a_trace_stays_in_the_unit_interval_and_on_the_grid(events: Vec<u8>, tau: u8, nearest: bool) -> bool {
            let mut trace = paired(f32::from(tau), if nearest { Pairing::Nearest } else { Pairing::AllToAll });
            events.into_iter().all(|s| {
                trace.decay_and_add(&[f32::from(s) / 255.0]);
                let x = f64::from(trace.values()[0]);
                (0.0..=1.0).contains(&x) && (x * 1_099_511_627_776.0).fract() == 0.0
            })
        }
    }

    #[test]
    fn a_nearest_trace_knows_the_last_event_only() {
        let (mut often, mut once) = (paired(20.0, Pairing::Nearest), paired(20.0, Pairing::Nearest));
        for step in 0..10 {
            often.decay();
            once.decay();
            often.add_spikes(&[1]);
            if step == 9 {
                once.add_spikes(&[1]);
            }
        }
        assert_eq!(often.values(), once.values());
    }

    #[test]
    fn one_event_decays_exponentially_from_its_normalised_height() {
        let mut trace = one(20.0);
        trace.add_spikes(&[1]);
        for step in 1..100 {
            trace.decay();
            let exact = (1.0 - (-1.0f64 / 20.0).exp()) * (-f64::from(step) / 20.0).exp();
            assert!((f64::from(trace.values()[0]) / exact - 1.0).abs() < 2e-6);
        }
    }

    /// The longest time constant that a step of one millisecond allows.
    #[test]
    fn the_slowest_trace_comes_to_its_rate() {
        let mut trace = one(math::TAU_STEPS_MAX as f32);
        for _ in 0..8 * math::TAU_STEPS_MAX as u32 {
            trace.decay_and_add(&[1.0]);
        }
        assert!((trace.values()[0] - 1.0).abs() < 1.0 / 32.0, "{:?}", trace.values());
    }

    /// A long time constant and a weak rate: each step adds less than the finest trace of f32 that is on the grid by itself.
    #[test]
    fn a_slow_trace_of_a_weak_rate_comes_to_the_rate() {
        let mut trace = one(100_000.0);
        let gain = 1.0 - (-1.0f64 / 100_000.0).exp();
        let mut exact = 0.0;
        for step in 0..600_000 {
            trace.decay_and_add(&[0.3]);
            exact += gain * (0.3 - exact);
            let error = f64::from(trace.values()[0]) - exact;
            assert!(error.abs() < 1e-9 + 5e-3 * exact, "step {step}: {error} off {exact}");
        }
        assert!((trace.values()[0] - 0.3).abs() < 1e-3);
    }

    #[test]
    fn an_event_in_every_step_saturates_at_exactly_one() {
        for tau in [0.0, 0.5, 1.0, 20.0, 1000.0] {
            let mut trace = one(tau);
            for _ in 0..200_000 {
                trace.decay();
                trace.add_spikes(&[1]);
            }
            assert!(
                (trace.values()[0] - 1.0).abs() < 1e-4,
                "tau {tau}: {:?}",
                trace.values()
            );
        }
    }

    #[test]
    fn a_silent_trace_reaches_zero_without_subnormals() {
        let mut trace = one(20.0);
        trace.add_spikes(&[1]);
        for _ in 0..2000 {
            trace.decay();
            let x = trace.values()[0];
            assert!(x == 0.0 || x.is_normal());
            assert_eq!((f64::from(x) * 1_099_511_627_776.0).fract(), 0.0, "on the grid");
        }
        assert_eq!(trace.values(), [0.0]);
    }
}
