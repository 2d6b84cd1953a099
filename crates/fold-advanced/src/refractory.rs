//! The refractory period: absolute by a countdown, relative by a boost of the threshold.
//!
//! ```text
//! after a spike: blocked for n_abs = round(t_abs / dt) steps      theta_effective = theta + eta0 exp(-t / tau)
//! ```
//!
//! with t the time since the last spike. The countdown is an integer per (sample, neuron) and cannot drift with the clock. A
//! blocked neuron does not compete either; the gate is the last word on a spike, so no other mechanism can undo it.
//!
//! # Property
//! The interval between two spikes of a neuron in a sample is at least n_abs + 1 steps, for every input, dt and batch.
//!
//! # Source
//! Gerstner and Kistler 2002, *Spiking Neuron Models*, section 4.2.3 (SRM0 with refractory kernel eta).

use std::fmt;

use fold_core::invariants::{Breach, Invariant, Part, Place, check_range};
use fold_core::params::{Range, Violations};
use fold_core::{Shape, math};

use crate::Result;
use crate::mechanism::{Mechanism, Phase, StepContext};
use crate::stateful::{StateSlice, Stored};

fold_core::parameters! {
    /// The refractory period.
    pub struct RefractoryParams in "refractory" {
        /// Absolute refractory period t_abs; rounded to whole steps.
        absolute_ms: f32 = 2.0, Range::closed(0.0, 1000000.0), "ms";
        /// Boost eta0 of the threshold right after a spike.
        boost: f32 = 0.0, Range::closed(0.0, 65536.0), "1";
        /// Time constant tau of the boost.
        tau_ms: f32 = 10.0, Range::above(0.0, 1000000.0), "ms";
    }
}

impl RefractoryParams {
    /// n_abs = round(t_abs / dt): steps after a spike in which the neuron cannot fire.
    #[must_use]
    pub fn blocked_steps(&self, dt_ms: f32) -> u32 {
        (f64::from(self.absolute_ms) / f64::from(dt_ms)).round() as u32
    }

    /// Steps from a spike to the first in which the boost leaves a spike possible, not fewer than one.
    ///
    /// - `room`: sup u - theta_min, the largest boost that a neuron can overcome.
    #[must_use]
    pub fn boosted_steps(&self, dt_ms: f32, room: f64) -> f64 {
        let boost = f64::from(self.boost);
        if boost <= room {
            return 1.0;
        }
        // The boost has decayed once when it is first felt.
        let decayed = f64::from(self.tau_ms) / f64::from(dt_ms) * math::ln(boost / room);
        if room > 0.0 { decayed.ceil() } else { f64::INFINITY }
    }

    /// Notes every violation.
    pub fn check(&self, dt_ms: f32, violations: &mut Violations) {
        self.check_ranges(violations);
        let steps = (f64::from(self.absolute_ms) / f64::from(dt_ms)).round();
        let limit = f64::from(u32::MAX);
        violations.joint(
            steps < limit,
            "refractory.absolute_ms",
            steps,
            "too many steps of dt_ms",
            limit,
        );
    }
}

/// Countdown and boost of each neuron in each sample.
#[derive(Debug, Clone, PartialEq)]
pub struct Refractory {
    params: RefractoryParams,
    blocked_steps: u32,
    keep: f32,
    neurons: usize,
    samples: usize,
    countdown: Vec<u32>,
    boost: Vec<f32>,
}

impl Refractory {
    /// The mechanism's name.
    pub const NAME: &'static str = "refractory";

    /// Nobody blocked, no boost.
    #[must_use]
    pub fn new(params: &RefractoryParams, dt_ms: f32, shape: Shape) -> Self {
        Self {
            params: *params,
            blocked_steps: params.blocked_steps(dt_ms),
            keep: math::decay(dt_ms, params.tau_ms),
            neurons: shape.neuron_count(),
            samples: 0,
            countdown: Vec::new(),
            boost: Vec::new(),
        }
    }

    fn shape(&self) -> [usize; 2] {
        [self.samples, self.neurons]
    }
}

impl Mechanism for Refractory {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn boxed(&self) -> Box<dyn Mechanism> {
        Box::new(self.clone())
    }

    fn phase(&self) -> Phase {
        Phase::Gate
    }

    fn parameters(&self) -> &dyn fmt::Debug {
        &self.params
    }

    fn prepare(&mut self, context: &mut StepContext<'_>) {
        let state = self.boost.iter_mut().zip(&self.countdown);
        for (score, (boost, &countdown)) in context.score.iter_mut().zip(state) {
            *boost *= self.keep;
            // A boost this small changes no decision, and arithmetic on what lies below is slow.
            if *boost < f32::MIN_POSITIVE {
                *boost = 0.0;
            }
            *score = if countdown > 0 {
                f32::NEG_INFINITY
            } else {
                *score - *boost
            };
        }
    }

    fn act(&mut self, context: &mut StepContext<'_>) {
        let state = self.boost.iter_mut().zip(&mut self.countdown);
        for (spike, (boost, countdown)) in context.spikes.iter_mut().zip(state) {
            if *countdown > 0 {
                *countdown -= 1;
                *spike = 0;
            } else if *spike != 0 {
                *countdown = self.blocked_steps;
                *boost = self.params.boost;
            }
        }
    }

    fn rest(&mut self, samples: usize) {
        self.samples = samples;
        self.countdown.clear();
        self.countdown.resize(samples * self.neurons, 0);
        self.boost.clear();
        self.boost.resize(samples * self.neurons, 0.0);
    }

    fn reset_neuron(&mut self, neuron: usize) {
        for sample in 0..self.samples {
            self.countdown[sample * self.neurons + neuron] = 0;
            self.boost[sample * self.neurons + neuron] = 0.0;
        }
    }

    fn check(&self, part: Part, found: &mut Vec<Breach>) {
        let span = part.of_len(self.boost.len());
        let place = |k: usize| Place::SampleNeuron {
            sample: k / self.neurons,
            neuron: k % self.neurons,
        };
        let bounds = (0.0, self.params.boost);
        let breach = (Invariant::Range, "refractory.boost");
        check_range(breach, &self.boost[span.clone()], bounds, span.start, place, found);
        for (k, &count) in self.countdown[span.clone()].iter().enumerate() {
            if count > self.blocked_steps {
                found.push(Breach {
                    invariant: Invariant::Count,
                    array: "refractory.countdown",
                    place: place(span.start + k),
                    value: count.into(),
                });
            }
        }
    }

    fn visit_state(&self, visit: &mut dyn FnMut(&'static str, &[usize], StateSlice<'_>)) {
        visit("refractory.countdown", &self.shape(), StateSlice::U32(&self.countdown));
        visit("refractory.boost", &self.shape(), StateSlice::F32(&self.boost));
    }

    fn restore(&mut self, samples: usize, stored: &mut Stored<'_>) -> Result<()> {
        self.samples = samples;
        self.countdown = stored.u32s("refractory.countdown", &self.shape())?;
        self.boost = stored.f32s("refractory.boost", &self.shape())?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_neuron_is_put_to_rest_in_every_sample_and_no_other() {
        let shape = Shape {
            neurons: 3,
            dendrites: 1,
            synapses: 1,
        };
        let mut refractory = Refractory::new(&RefractoryParams::default(), 1.0, shape);
        refractory.rest(2);
        refractory.countdown.fill(2);
        refractory.boost.fill(0.5);
        refractory.reset_neuron(1);
        assert_eq!(refractory.countdown, [2, 0, 2, 2, 0, 2]);
        assert_eq!(refractory.boost, [0.5, 0.0, 0.5, 0.5, 0.0, 0.5]);
    }
}
