//! Feedback inhibition: excitatory neurons drive inhibitory cells, which hold them back in the next steps (E -> I -> E).
//!
//! The layer's n neurons (E) form `cells` groups of neighbours, each with one inhibitory cell (I). Per sample and cell, f is the share of
//! its group that fired in this step:
//!
//! ```text
//! v <- v exp(-dt/tau_e) + (1 - exp(-dt/tau_e)) f        the cell fires and v <- 0 where v >= threshold
//! y- = y exp(-dt/tau_i)                                 theta_effective = theta + strength mean over the cells of y-
//! y <- y- + (1 - exp(-dt/tau_i)) spike_I
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
use fold_core::params::{Range, Violations};
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
        /// Rise of the threshold per mean inhibition; cells that fire in every step hold back by exp(-dt/tau_i) times this.
        strength: f32 = 1.0, Range::closed(0.0, 65536.0), "1";
    }
}

impl FeedbackParams {
    /// sup v: the largest potential that a cell can reach. As many of its group as may fire in each of the last steps, the latest
    /// first, until all have fired; and so again in every period of the refractory time.
    ///
    /// - `neurons`: n.   - `winners`: the most spikes of one step.   - `blocked_steps`: steps between two spikes of a neuron.
    #[must_use]
    pub fn potential_max(&self, dt_ms: f32, neurons: u32, winners: u32, blocked_steps: u32) -> f64 {
        let per_step = f64::from(dt_ms) / f64::from(self.tau_excitation_ms);
        let lost = |steps: f64| 1.0 - math::exp(-per_step * steps);
        let period = f64::from(blocked_steps) + 1.0;
        let of_group = |group: u32| {
            let (group, most) = (f64::from(group), f64::from(winners.min(group)));
            let full = (group / most).floor().min(period);
            let rest = if full < period { group - full * most } else { 0.0 };
            let sum = most * lost(full) + rest * math::exp(-per_step * full) * lost(1.0);
            sum / (group * lost(period))
        };
        let [smallest, largest] = self.group_sizes(neurons).map(of_group);
        smallest.max(largest)
    }

    /// Neurons of the smallest and of the largest group.
    fn group_sizes(&self, neurons: u32) -> [u32; 2] {
        let cells = self.cells.clamp(1, neurons.max(1));
        [neurons / cells, neurons.div_ceil(cells)].map(|size| size.max(1))
    }

    /// What the threshold of neurons that all fire at the mean rate `rate` is raised by at least, on average over the spikes of each of
    /// them, whenever they come.
    ///
    /// What a cell takes up and does not lose by its decay it loses by firing, of which each time takes at most all it can have then; that is
    /// how often it fires. The steps in which a neuron is silent can have at most all of the inhibition.
    ///
    /// - `neurons`: n.   - `winners`: the most spikes of one step.
    #[must_use]
    pub fn rise_at(&self, dt_ms: f32, neurons: u32, winners: u32, rate: f64) -> f64 {
        let [taken, read] =
            [self.tau_excitation_ms, self.tau_inhibition_ms].map(|tau| f64::from(math::decay(dt_ms, tau)));
        let threshold = f64::from(self.threshold);
        let [group, _] = self.group_sizes(neurons);
        let share = f64::from(winners.min(group)) / f64::from(group);
        let lost = (1.0 - taken) * (rate - threshold - math::rounding_of_a_trace(taken));
        let fires = lost / (taken * threshold + (1.0 - taken) * share) - math::rounding_of_a_trace(read);
        f64::from(self.strength) * read * ((fires - (1.0 - rate)) / rate).max(0.0)
    }

    /// Notes every violation.
    ///
    /// - `reachable`: what [`FeedbackParams::potential_max`] says.   - `room`: sup u - theta_min, see [`LayerConfig::potential_max`](crate::LayerConfig::potential_max).
    pub fn check(&self, dt_ms: f32, neurons: u32, reachable: f64, room: f64, violations: &mut Violations) {
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
        let limit = room / f(math::decay(dt_ms, self.tau_inhibition_ms));
        let rule = "must be below (sup u - theta_min) / exp(-dt/tau_i), or inhibition could hold any input down";
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

    /// The largest potential that the recursion reaches in `steps` steps, over all ways in which at most `winners` of `group` neurons fire
    /// in a step and none twice within `blocked` + 1.
    fn reached(tau_ms: f32, [group, winners, blocked]: [u32; 3], steps: usize) -> f64 {
        fn further(v: f64, fired: &mut Vec<u32>, keep: f64, limits: [u32; 3], steps: usize) -> f64 {
            let [group, winners, blocked] = limits;
            if fired.len() == steps {
                return v;
            }
            let lately: u32 = fired.iter().rev().take(blocked as usize).sum();
            (0..=winners.min(group - lately.min(group)))
                .map(|count| {
                    let next = v * keep + (1.0 - keep) * f64::from(count) / f64::from(group);
                    fired.push(count);
                    let most = further(next, fired, keep, limits, steps);
                    fired.pop();
                    most
                })
                .fold(v, f64::max)
        }
        let keep = (-1.0 / f64::from(tau_ms)).exp();
        further(0.0, &mut Vec::new(), keep, [group, winners, blocked], steps)
    }

    quickcheck! {
        /// G2: the supremum that decides whether a threshold is within reach is the one that is reached, however the group fires.
        fn the_largest_potential_is_that_of_the_recursion(tau: u8, group: u8, winners: u8, blocked: u8) -> bool {
            let (group, winners, blocked) = (u32::from(group % 4) + 1, u32::from(winners % 3) + 1, u32::from(blocked % 4));
            // So short that nothing is left of what came before the steps that are tried.
            let params = FeedbackParams { tau_excitation_ms: f32::from(tau) / 512.0 + 0.1, ..FeedbackParams::default() };
            let stated = params.potential_max(1.0, group, winners, blocked);
            let reached = reached(params.tau_excitation_ms, [group, winners, blocked], 7);
            reached <= stated * (1.0 + 1e-12) && reached >= stated * (1.0 - 1e-4)
        }
    }

    /// A group whose neurons fire one after the other reaches more than one that fires as one; groups differ in size by one.
    #[test]
    fn a_supremum_that_forgets_who_is_left_fails_the_property() {
        let params = FeedbackParams {
            tau_excitation_ms: 0.5,
            ..FeedbackParams::default()
        };
        let together = 0.25 * (1.0 - (-2.0_f64).exp()) / (1.0 - (-8.0_f64).exp());
        assert!(reached(0.5, [4, 1, 3], 7) > 1.1 * together);
        let two = FeedbackParams { cells: 2, ..params };
        assert_eq!(two.potential_max(1.0, 3, 1, 0), 1.0, "the smaller group has one neuron");
    }
}
