//! Feedback inhibition: excitatory neurons drive inhibitory cells, which hold them back in the next steps (E -> I -> E).
//!
//! The layer's n neurons (E) form `cells` groups of neighbours, each with one inhibitory cell (I). Per sample and cell, f is the share of
//! its group that fired in this step:
//!
//! ```text
//! v <- v exp(-dt/tau_e) + (1 - exp(-dt/tau_e)) f        the cell fires and v <- 0 where v >= threshold
//! y <- y exp(-dt/tau_i) + (1 - exp(-dt/tau_i)) spike_I  theta_effective = theta + strength mean over the cells of y
//! ```
//!
//! Inhibition arrives one step later at the earliest, at every neuron alike. (Competition within a step is [`crate::inhibition`].)
//!
//! # Properties
//! v in [0, 1), y in [0, 1]; a cell whose group fires at share f > threshold fires within ceil(ln(1 - threshold/f) / ln(exp(-dt/tau_e)))
//! steps; silence stays silent. Parameters are refused when no activity that competition and refractoriness allow reaches the threshold
//! (G2), or when the inhibition could hold any input down.
//!
//! # Source
//! Wilson and Cowan 1972, doi:10.1016/S0006-3495(72)86068-5 (coupled E and I populations); Isaacson and Scanziani 2011,
//! doi:10.1016/j.neuron.2011.09.027 (feedback inhibition of a layer). Groups of neighbours and the leaky cell are ours.

use std::fmt;

use fold_core::invariants::{Breach, Part, Place};
use fold_core::params::{Range, SpikeParams, Violations};
use fold_core::{Shape, math};

use crate::Result;
use crate::mechanism::{Mechanism, Phase, StepContext};
use crate::per_sample::PerSample;
use crate::stateful::{StateSlice, Stored};

fold_core::parameters! {
    /// Feedback inhibition.
    pub struct FeedbackParams in "feedback" {
        /// Inhibitory cells, each for one group of neighbouring neurons.
        cells: u32 = 1, Range::closed(1.0, 65536.0), "cells";
        /// Potential from which an inhibitory cell fires.
        threshold: f32 = 0.02, Range::above(0.0, 1.0), "1";
        /// Time constant tau_e of an inhibitory cell's potential.
        tau_excitation_ms: f32 = 5.0, Range::above(0.0, 10000000.0), "ms";
        /// Time constant tau_i of the inhibition.
        tau_inhibition_ms: f32 = 10.0, Range::above(0.0, 10000000.0), "ms";
        /// Rise of the threshold when every inhibitory cell fires in every step.
        strength: f32 = 1.0, Range::closed(0.0, 65536.0), "1";
    }
}

impl FeedbackParams {
    /// The largest potential that a cell can reach when its whole group, or as much of it as may, fires in rhythm.
    ///
    /// - `neurons`: n.   - `winners`: the most spikes of one step.   - `blocked_steps`: steps between two spikes of a neuron.
    #[must_use]
    pub fn potential_max(&self, dt_ms: f32, neurons: u32, winners: u32, blocked_steps: u32) -> f64 {
        let group = neurons.div_ceil(self.cells.max(1));
        let share = f64::from(winners.min(group)) / f64::from(group.max(1));
        let per_step = f64::from(dt_ms) / f64::from(self.tau_excitation_ms);
        let (gain, period) = (1.0 - math::exp(-per_step), f64::from(blocked_steps) + 1.0);
        share * gain / (1.0 - math::exp(-per_step * period))
    }

    /// Notes every violation.
    ///
    /// - `reachable`: what [`FeedbackParams::potential_max`] says.   - `potential_max`: sup u, see [`LayerConfig::potential_max`](crate::LayerConfig::potential_max).
    pub fn check(
        &self,
        neurons: u32,
        reachable: f64,
        spike: &SpikeParams,
        potential_max: f64,
        violations: &mut Violations,
    ) {
        self.check_ranges(violations);
        let f = f64::from;
        violations.joint(
            self.cells <= neurons,
            "feedback.cells",
            self.cells.into(),
            "must be at most n",
            neurons.into(),
        );
        let rule = "out of the inhibitory cells' reach under this competition and refractoriness; must be below";
        violations.joint(
            f(self.threshold) < reachable,
            "feedback.threshold",
            self.threshold.into(),
            rule,
            reachable,
        );
        let limit = potential_max - f(spike.theta_min);
        let rule = "must be below sup u - theta_min, or inhibition could hold any input down";
        violations.joint(
            f(self.strength) < limit,
            "feedback.strength",
            self.strength.into(),
            rule,
            limit,
        );
    }
}

/// The inhibitory cells of each sample.
#[derive(Debug, Clone, PartialEq)]
pub struct Feedback {
    params: FeedbackParams,
    keep: [f32; 2],
    neurons: usize,
    potential: PerSample,
    inhibition: PerSample,
}

impl Feedback {
    /// The mechanism's name.
    pub const NAME: &'static str = "feedback";

    /// At rest, for parameters that have passed their check.
    #[must_use]
    pub fn new(params: &FeedbackParams, dt_ms: f32, shape: Shape) -> Self {
        let cells = params.cells as usize;
        Self {
            params: *params,
            keep: [params.tau_excitation_ms, params.tau_inhibition_ms].map(|tau| math::decay(dt_ms, tau)),
            neurons: shape.neuron_count(),
            potential: PerSample::new("feedback.potential", cells, 1.0),
            inhibition: PerSample::new("feedback.inhibition", cells, 1.0),
        }
    }

    /// The neurons of the group of `cell`: the groups are in order and differ by at most one neuron in size.
    fn group(&self, cell: usize) -> std::ops::Range<usize> {
        let cells = self.params.cells as usize;
        cell * self.neurons / cells..(cell + 1) * self.neurons / cells
    }
}

/// Where an inhibitory cell's values are: in no neuron of the layer.
fn of_cell(sample: usize, cell: usize) -> Place {
    Place::SampleCell { sample, cell }
}

impl Mechanism for Feedback {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn boxed(&self) -> Box<dyn Mechanism> {
        Box::new(self.clone())
    }

    fn phase(&self) -> Phase {
        Phase::Regulate
    }

    fn parameters(&self) -> &dyn fmt::Debug {
        &self.params
    }

    fn prepare(&mut self, context: &mut StepContext<'_>) {
        self.inhibition.decay(self.keep[1]);
        let cells = self.params.cells as f32;
        let samples = context.score.chunks_exact_mut(self.neurons);
        for (score, inhibition) in samples.zip(self.inhibition.rows_mut()) {
            let rise = self.params.strength * (inhibition.iter().sum::<f32>() / cells);
            for score in score {
                *score -= rise;
            }
        }
    }

    fn act(&mut self, context: &mut StepContext<'_>) {
        self.potential.decay(self.keep[0]);
        for cell in 0..self.params.cells as usize {
            let group = self.group(cell);
            let size = group.len() as f32;
            let samples = context.spikes.chunks_exact(self.neurons);
            let state = self.potential.rows_mut().zip(self.inhibition.rows_mut());
            for (spikes, (potential, inhibition)) in samples.zip(state) {
                let fired: u32 = spikes[group.clone()].iter().map(|&s| u32::from(s)).sum();
                let v = &mut potential[cell];
                *v += (1.0 - self.keep[0]) * (fired as f32 / size);
                if *v >= self.params.threshold {
                    *v = 0.0;
                    let y = &mut inhibition[cell];
                    *y = (*y + (1.0 - self.keep[1])).min(1.0);
                }
            }
        }
    }

    fn rest(&mut self, samples: usize) {
        self.potential.rest(samples);
        self.inhibition.rest(samples);
    }

    fn reset_neuron(&mut self, _neuron: usize) {}

    fn check(&self, part: Part, found: &mut Vec<Breach>) {
        self.potential.check(part, of_cell, found);
        self.inhibition.check(part, of_cell, found);
    }

    fn visit_state(&self, visit: &mut dyn FnMut(&'static str, &[usize], StateSlice<'_>)) {
        self.potential.visit(visit);
        self.inhibition.visit(visit);
    }

    fn restore(&mut self, samples: usize, stored: &mut Stored<'_>) -> Result<()> {
        self.potential.restore(samples, stored)?;
        self.inhibition.restore(samples, stored)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quickcheck::quickcheck;

    #[test]
    fn groups_cover_every_neuron_once() {
        for (neurons, cells) in [(1, 1), (7, 3), (10, 10), (100, 7)] {
            let params = FeedbackParams {
                cells,
                ..FeedbackParams::default()
            };
            let shape = Shape {
                neurons,
                dendrites: 1,
                synapses: 1,
            };
            let feedback = Feedback::new(&params, 1.0, shape);
            let all: Vec<usize> = (0..cells as usize).flat_map(|cell| feedback.group(cell)).collect();
            assert_eq!(all, (0..neurons as usize).collect::<Vec<_>>());
            let sizes = (0..cells as usize).map(|cell| feedback.group(cell).len() as u32);
            assert_eq!(sizes.max(), Some(neurons.div_ceil(cells)));
        }
    }

    /// The largest potential that the recursion itself reaches when `winners` of ten fire in rhythm.
    fn reached(tau_ms: f32, winners: u32, blocked: u32) -> f64 {
        let keep = (-1.0 / f64::from(tau_ms)).exp();
        let (mut v, mut most) = (0.0f64, 0.0f64);
        for t in 0..2000 {
            let share = if t % (blocked + 1) == 0 {
                f64::from(winners) / 10.0
            } else {
                0.0
            };
            v = v * keep + (1.0 - keep) * share;
            most = most.max(v);
        }
        most
    }

    quickcheck! {
        /// G2: the supremum that decides whether a threshold is within reach is the one that is reached.
        fn the_largest_potential_is_that_of_the_recursion(tau: u8, winners: u8, blocked: u8) -> bool {
            let (winners, blocked) = (u32::from(winners % 10) + 1, u32::from(blocked % 8));
            let params = FeedbackParams { tau_excitation_ms: f32::from(tau) / 4.0 + 0.25, ..FeedbackParams::default() };
            let stated = params.potential_max(1.0, 10, winners, blocked);
            (stated - reached(params.tau_excitation_ms, winners, blocked)).abs() < 1e-9
        }
    }

    /// Stating the share alone, as if every step brought it, calls thresholds reachable that are not.
    #[test]
    fn a_supremum_that_forgets_the_rhythm_fails_the_property() {
        assert!(
            (0.3 - reached(5.0, 3, 0)).abs() < 1e-9,
            "without a refractory period the share is right"
        );
        assert!((0.3 - reached(5.0, 3, 3)).abs() > 0.1);
    }
}
