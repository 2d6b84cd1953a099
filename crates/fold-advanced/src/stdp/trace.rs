//! An exponential trace per sample and unit, normalised to [0, 1] and kept on a grid of 2^-40.
//!
//! On the grid a sum over up to 2^12 samples is exact in double precision, hence the same in any order; and no trace ever
//! becomes subnormal: a decaying one ends at exactly zero.

use fold_core::invariants::{Breach, Invariant, Part, Place, check_range};
use fold_core::lanes::{LANES, Lane, Lanes};
use fold_core::math;
use pulp::Arch;

use super::{Pairing, lane_of};

/// Adding and subtracting this in double precision rounds a number of [-1, 1] to a multiple of 2^-40.
const TO_GRID: f64 = 1.5 * 4096.0;

/// Half a step of the grid, 2^-41: taken off before rounding it makes a decaying trace fall until it is zero.
const HALF: f64 = 1.0 / 2_199_023_255_552.0;

/// Rounds `value`, in [-1, 1], to the nearest multiple of 2^-40.
#[inline(always)]
pub(super) fn on_grid(value: f64) -> f64 {
    (value + TO_GRID) - TO_GRID
}

/// Traces [B, K].
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Trace {
    keep: f64,
    gain: f32,
    pairing: Pairing,
    width: usize,
    lanes: Lanes,
}

impl Trace {
    /// At rest, without samples. `tau_ms` = 0 keeps nothing: the trace is this step's events.
    pub(super) fn new(dt_ms: f32, tau_ms: f32, pairing: Pairing, width: usize) -> Self {
        let keep = math::exp(-f64::from(dt_ms) / f64::from(tau_ms));
        Self {
            keep,
            gain: (1.0 - keep) as f32,
            pairing,
            width,
            lanes: Lanes::zeros(0, width),
        }
    }

    pub(super) fn lanes(&self) -> &Lanes {
        &self.lanes
    }

    pub(super) fn shape(&self) -> [usize; 2] {
        [self.lanes.rows(), self.width]
    }

    pub(super) fn rest(&mut self, samples: usize) {
        self.lanes.reset(samples, self.width);
    }

    pub(super) fn decay(&mut self) {
        let (values, keep) = (self.lanes.values_mut().as_flattened_mut(), self.keep);
        Arch::new().dispatch(move || values.iter_mut().for_each(|x| *x = decayed(*x, keep)));
    }

    /// Decays, and adds one event of weight s in [0, 1] per unit and sample.
    pub(super) fn decay_and_add(&mut self, events: &Lanes) {
        let (keep, gain, pairing) = (self.keep, self.gain, self.pairing);
        let values = self.lanes.values_mut().as_flattened_mut();
        let events = values.iter_mut().zip(events.values().as_flattened());
        Arch::new().dispatch(move || match pairing {
            Pairing::AllToAll => events.for_each(|(x, s)| *x = raised(decayed(*x, keep), gain * s)),
            Pairing::Nearest => events.for_each(|(x, s)| *x = replaced(decayed(*x, keep), gain, *s)),
        });
    }

    /// Adds the spikes [B, K].
    pub(super) fn add_spikes(&mut self, spikes: &[u8]) {
        for (sample, row) in spikes.chunks_exact(self.width).enumerate() {
            let (block, lane) = lane_of(sample);
            let values = &mut self.lanes.values_mut()[block * self.width..][..self.width];
            for (x, _) in values.iter_mut().zip(row).filter(|(_, s)| **s != 0) {
                x[lane] = match self.pairing {
                    Pairing::AllToAll => raised(x[lane], self.gain),
                    Pairing::Nearest => replaced(x[lane], self.gain, 1.0),
                };
            }
        }
    }

    pub(super) fn reset_unit(&mut self, unit: usize) {
        for block in self.lanes.values_mut().chunks_exact_mut(self.width) {
            block[unit].fill(0.0);
        }
    }

    /// Every unit's traces block by block, [K, blocks], into `lanes`.
    pub(super) fn by_unit(&self, lanes: &mut Vec<Lane>) {
        let blocks = self.lanes.blocks().len();
        lanes.clear();
        lanes.resize(self.width * blocks, [0.0; LANES]);
        for (at, block) in self.lanes.blocks().enumerate() {
            for (to, from) in lanes.iter_mut().skip(at).step_by(blocks).zip(block) {
                *to = *from;
            }
        }
    }

    pub(super) fn to_rows(&self) -> Vec<f32> {
        self.lanes.to_rows()
    }

    /// Takes `rows` \[samples, K\].
    pub(super) fn set_rows(&mut self, samples: usize, rows: &[f32]) {
        self.lanes.reset(samples, self.width);
        self.lanes.fill(rows);
    }

    /// Notes every value outside [0, 1] in `part`.
    pub(super) fn check(
        &self,
        breach: (Invariant, &'static str),
        part: Part,
        place: impl Fn(usize, usize) -> Place,
        found: &mut Vec<Breach>,
    ) {
        let values = self.lanes.values().as_flattened();
        let span = part.of_len(values.len());
        let at = |k: usize| {
            let (cell, lane) = (k / LANES, k % LANES);
            place(cell / self.width * LANES + lane, cell % self.width)
        };
        check_range(breach, &values[span.clone()], (0.0, 1.0), span.start, at, found);
    }
}

/// What is left of `trace` after a step, on the grid.
#[inline(always)]
fn decayed(trace: f32, keep: f64) -> f32 {
    on_grid(f64::from(trace) * keep - HALF) as f32
}

/// `trace` + `event`, at most 1 and on the grid.
#[inline(always)]
fn raised(trace: f32, event: f32) -> f32 {
    on_grid(f64::from((trace + event).min(1.0))) as f32
}

/// The share `s` of `trace` replaced by a lone event's `height`, on the grid.
#[inline(always)]
fn replaced(trace: f32, height: f32, s: f32) -> f32 {
    let (trace, height, s) = (f64::from(trace), f64::from(height), f64::from(s));
    on_grid(trace * (1.0 - s) + height * s) as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use quickcheck::quickcheck;

    fn one(tau_ms: f32) -> Trace {
        paired(tau_ms, Pairing::AllToAll)
    }

    fn paired(tau_ms: f32, pairing: Pairing) -> Trace {
        let mut trace = Trace::new(1.0, tau_ms, pairing, 1);
        trace.rest(1);
        trace
    }

    quickcheck! {
        fn a_trace_stays_in_the_unit_interval_and_on_the_grid(events: Vec<u8>, tau: u8, nearest: bool) -> bool {
            let mut trace = paired(f32::from(tau), if nearest { Pairing::Nearest } else { Pairing::AllToAll });
            events.into_iter().all(|s| {
                let mut lanes = Lanes::zeros(1, 1);
                lanes.fill(&[f32::from(s) / 255.0]);
                trace.decay_and_add(&lanes);
                let x = f64::from(trace.to_rows()[0]);
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
        assert_eq!(often.to_rows(), once.to_rows());
    }

    #[test]
    fn one_event_decays_exponentially_from_its_normalised_height() {
        let mut trace = one(20.0);
        trace.add_spikes(&[1]);
        for step in 1..100 {
            trace.decay();
            let exact = (1.0 - (-1.0f64 / 20.0).exp()) * (-f64::from(step) / 20.0).exp();
            assert!((f64::from(trace.to_rows()[0]) / exact - 1.0).abs() < 2e-6);
        }
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
                (trace.to_rows()[0] - 1.0).abs() < 1e-4,
                "tau {tau}: {:?}",
                trace.to_rows()
            );
        }
    }

    #[test]
    fn a_silent_trace_reaches_zero_without_subnormals() {
        let mut trace = one(20.0);
        trace.add_spikes(&[1]);
        for _ in 0..2000 {
            trace.decay();
            let x = trace.to_rows()[0];
            assert!(x == 0.0 || x.is_normal());
        }
        assert_eq!(trace.to_rows(), [0.0]);
    }
}
