//! Neuromodulation: where the modulator M of the three-factor rule comes from.
//!
//! ```text
//! external   M = (R - E) / 2                E <- E + (1 - exp(-dt/tau)) (R - E)          R the caller's reward, one E for the layer
//! capacity   M_i = (c* - c_i) / max(c*, 1 - c*)                                          c_i = mean of (N - n_min) / (n_max - n_min)
//! surprise   M_i = r_i - E_i                E_i <- E_i + (1 - exp(-dt/tau)) (r_i - E_i)  r_i the rate of emitted spikes over the batch
//! ```
//!
//! The expectation E is the one *before* this step's value enters it. External: reward above expectation credits, below it
//! discredits. Capacity: a neuron whose synapses are emptier than c* is open for what its eligibility says, a fuller one for the opposite.
//! Surprise: unexpected activity credits, missing activity discredits.
//!
//! # Properties
//! M in [-1, 1] without a clamp; odd: mirrored reward and expectation (or mirrored filaments at c* = 1/2) give -M; M = 0 where nothing is
//! unexpected.
//!
//! # Source
//! Reward against its expectation: Schultz, Dayan, Montague 1997, doi:10.1126/science.275.5306.1593; Fremaux and Gerstner 2016,
//! doi:10.3389/fncir.2015.00085 (M = R - mean R, and novelty or surprise as third factor). Capacity is PyFolds' idea, made symmetric.

use std::fmt;

use fold_core::invariants::{Breach, Invariant, Part, Place, check_range};
use fold_core::params::{FilamentParams, Range, Violations};
use fold_core::{Shape, math};
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::credit::Credit;
use crate::mechanism::{Mechanism, Phase, StepContext};
use crate::stateful::{StateSlice, Stored};

/// What the modulator speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Signal {
    /// The caller's reward against what was to be expected.
    #[default]
    External,
    /// How full the neuron's synapses are.
    Capacity,
    /// The neuron's rate against what was to be expected.
    Surprise,
}

fold_core::parameters! {
    /// Neuromodulation.
    pub struct NeuromodulationParams in "neuromodulation" {
        /// Time constant tau of the expectation; read by `external` and `surprise`.
        tau_ms: f32 = 1000.0, Range::above(0.0, 10000000.0), "ms";
        /// Filling c* at which M = 0; read by `capacity` alone.
        capacity_target: f32 = 0.5, Range::closed(0.0, 1.0), "1";
    }
    choices {
        /// What the modulator speaks of.
        signal: Signal = Signal::External;
    }
}

impl NeuromodulationParams {
    /// Notes every violation.
    pub fn check(&self, violations: &mut Violations) {
        self.check_ranges(violations);
    }
}

/// The expectations of a layer.
#[derive(Debug, Clone, PartialEq)]
pub struct Neuromodulation {
    params: NeuromodulationParams,
    gain: f32,
    bounds: (f64, f64),
    row_len: usize,
    /// \[1\], \[0\] or \[n\], by the signal.
    expected: Vec<f32>,
}

impl Neuromodulation {
    /// The mechanism's name.
    pub const NAME: &'static str = "neuromodulation";

    /// Nothing expected so far.
    #[must_use]
    pub fn new(params: &NeuromodulationParams, dt_ms: f32, filaments: &FilamentParams, shape: Shape) -> Self {
        let expectations = match params.signal {
            Signal::External => 1,
            Signal::Capacity => 0,
            Signal::Surprise => shape.neuron_count(),
        };
        Self {
            params: *params,
            gain: 1.0 - math::decay(dt_ms, params.tau_ms),
            bounds: (filaments.n_min.into(), filaments.n_max.into()),
            row_len: shape.row_len(),
            expected: vec![0.0; expectations],
        }
    }

    /// The modulator of a neuron with these `filaments`.
    fn capacity(&self, filaments: &[u8]) -> f32 {
        let sum: u64 = filaments.iter().map(|&n| u64::from(n)).sum();
        let mean = sum as f64 / filaments.len() as f64;
        let filled = (mean - self.bounds.0) / (self.bounds.1 - self.bounds.0);
        let target = f64::from(self.params.capacity_target);
        ((target - filled) / target.max(1.0 - target)) as f32
    }
}

/// value - expected, and the expectation moved by `gain` of it.
fn surprise(value: f32, expected: &mut f32, gain: f32) -> f32 {
    let difference = value - *expected;
    *expected += gain * difference;
    difference
}

impl Mechanism for Neuromodulation {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn boxed(&self) -> Box<dyn Mechanism> {
        Box::new(self.clone())
    }

    fn phase(&self) -> Phase {
        Phase::Modulate
    }

    fn requires(&self) -> &'static [&'static str] {
        &[Credit::NAME]
    }

    fn parameters(&self) -> &dyn fmt::Debug {
        &self.params
    }

    fn act(&mut self, context: &mut StepContext<'_>) {
        match self.params.signal {
            Signal::External => {
                for expected in &mut self.expected {
                    let m = 0.5 * surprise(context.options.modulator, expected, self.gain);
                    context.modulators.fill(m);
                }
            }
            Signal::Capacity => {
                let rows = context.state.filaments().chunks_exact(self.row_len);
                for (m, filaments) in context.modulators.iter_mut().zip(rows) {
                    *m = self.capacity(filaments);
                }
            }
            Signal::Surprise => {
                let neurons = context.counts.iter().zip(&mut self.expected);
                for (m, (&count, expected)) in context.modulators.iter_mut().zip(neurons) {
                    *m = surprise(count as f32 / context.samples as f32, expected, self.gain);
                }
            }
        }
    }

    fn rest(&mut self, _samples: usize) {}

    fn reset_neuron(&mut self, neuron: usize) {
        if self.params.signal == Signal::Surprise {
            self.expected[neuron] = 0.0;
        }
    }

    fn check(&self, part: Part, found: &mut Vec<Breach>) {
        let span = part.of_len(self.expected.len());
        let layer_wide = self.params.signal == Signal::External;
        let place = |neuron| {
            if layer_wide {
                Place::Layer
            } else {
                Place::Neuron { neuron }
            }
        };
        let breach = (Invariant::Range, "neuromodulation.expected");
        let low = if layer_wide { -1.0 } else { 0.0 };
        check_range(
            breach,
            &self.expected[span.clone()],
            (low, 1.0),
            span.start,
            place,
            found,
        );
    }

    fn visit_state(&self, visit: &mut dyn FnMut(&'static str, &[usize], StateSlice<'_>)) {
        if !self.expected.is_empty() {
            let expected = StateSlice::F32(&self.expected);
            visit("neuromodulation.expected", &[self.expected.len()], expected);
        }
    }

    fn restore(&mut self, _samples: usize, stored: &mut Stored<'_>) -> Result<()> {
        if !self.expected.is_empty() {
            self.expected = stored.f32s("neuromodulation.expected", &[self.expected.len()])?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quickcheck::quickcheck;

    fn law(signal: Signal) -> Neuromodulation {
        let params = NeuromodulationParams {
            signal,
            tau_ms: 10.0,
            ..NeuromodulationParams::default()
        };
        let shape = Shape {
            neurons: 1,
            dendrites: 1,
            synapses: 4,
        };
        Neuromodulation::new(&params, 1.0, &FilamentParams::default(), shape)
    }

    /// Bounded by 1, odd in its input, and zero after a long time of the same value.
    fn sound(mut modulators: impl FnMut(&[f32]) -> Vec<f32>, values: &[i8]) -> bool {
        let values: Vec<f32> = values.iter().map(|&v| f32::from(v.max(-127)) / 127.0).collect();
        let mirrored: Vec<f32> = values.iter().map(|v| -v).collect();
        let lasting = [0.7; 400];
        let (plus, minus) = (modulators(&values), modulators(&mirrored));
        plus.iter().zip(&minus).all(|(a, b)| *a == -b && a.abs() <= 1.0)
            && modulators(&lasting).last().is_some_and(|m| m.abs() < 1e-3)
    }

    quickcheck! {
        fn external_modulation_is_bounded_odd_and_fades(rewards: Vec<i8>) -> bool {
            sound(|rewards| {
                let (mut expected, law) = (0.0, law(Signal::External));
                rewards.iter().map(|&r| 0.5 * surprise(r, &mut expected, law.gain)).collect()
            }, &rewards)
        }

        fn capacity_is_bounded_and_odd_under_mirrored_filaments(n: (u8, u8, u8, u8)) -> bool {
            let row = [n.0, n.1, n.2, n.3].map(|n| n % 32);
            let (m, mirrored) = (law(Signal::Capacity).capacity(&row), law(Signal::Capacity).capacity(&row.map(|n| 31 - n)));
            m.abs() <= 1.0 && m == -mirrored
        }
    }

    /// A5: reading the expectation after it has moved, or a modulus that never depresses.
    #[test]
    fn unsound_modulators_fail_the_property() {
        let unsigned = |rewards: &[f32]| -> Vec<f32> {
            let mut expected = 0.0;
            rewards
                .iter()
                .map(|&r| surprise(r, &mut expected, 0.1).abs() / 2.0)
                .collect()
        };
        assert!(!sound(unsigned, &[50, -20]));
        let unbounded = |rewards: &[f32]| -> Vec<f32> {
            let mut expected = 0.0;
            rewards.iter().map(|&r| surprise(r, &mut expected, 0.1)).collect()
        };
        assert!(!sound(unbounded, &[[127; 50].as_slice(), &[-127]].concat()));
        assert!(
            !sound(<[f32]>::to_vec, &[1]),
            "a reward that never comes to be expected"
        );
    }

    #[test]
    fn the_expectation_is_that_before_the_step() {
        let mut expected = 0.25;
        assert_eq!(surprise(0.75, &mut expected, 0.5), 0.5);
        assert_eq!(expected, 0.5);
    }
}
