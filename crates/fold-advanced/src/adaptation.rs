//! Spike-frequency adaptation: a neuron that has fired lately needs more to fire again.
//!
//! ```text
//! a- = a exp(-dt/tau)        theta_effective = theta + strength a-        a <- a- + (1 - exp(-dt/tau)) spike
//! ```
//!
//! a is the neuron's recent rate in each sample, in [0, 1], of *emitted* spikes. A silent neuron loses its adaptation, so none
//! is silenced for good; strength exp(-dt/tau) < sup u - theta_min is demanded, so that even full adaptation leaves a threshold that
//! input can reach once homeostasis has lowered theta (G1).
//!
//! # Properties
//! 0 <= a <= 1; the threshold moves by at most strength exp(-dt/tau); a neuron that fires at the mean rate r finds it raised, on average
//! over its spikes, by at least strength (r (1 + c) - (1 - c)) / 2 with c = exp(-dt/tau), because the spectrum of c^|j| is
//! nowhere negative; a neuron driven above theta fires again within a computable number of steps.
//!
//! # Source
//! Benda and Herz 2003, doi:10.1162/089976603322385063; adaptation as a moving threshold: Treves 1993,
//! doi:10.1088/0954-898X_4_3_002.

use std::fmt;

use fold_core::invariants::{Breach, Part};
use fold_core::params::{Range, Violations};
use fold_core::{Shape, math};

use crate::Result;
use crate::mechanism::{Mechanism, Phase, StepContext};
use crate::per_sample::{PerSample, of_neuron};
use crate::stateful::{StateSlice, Stored};

fold_core::parameters! {
    /// Spike-frequency adaptation.
    pub struct AdaptationParams in "adaptation" {
        /// Rise of the threshold per recent rate; a neuron that fires in every step is held back by exp(-dt/tau) times this.
        strength: f32 = 1.0, Range::closed(0.0, 65536.0), "1";
        /// Time constant tau of the neuron's recent rate.
        tau_ms: f32 = 100.0, Range::above(0.0, 10000000.0), "ms";
    }
}

impl AdaptationParams {
    /// What the threshold of a neuron that fires at the mean rate `rate` is raised by at least, on average over its spikes, whenever they
    /// come. (A layer that is put to rest in between has forgotten them.)
    #[must_use]
    pub fn rise_at(&self, dt_ms: f32, rate: f64) -> f64 {
        let keep = f64::from(math::decay(dt_ms, self.tau_ms));
        let read = 0.5 * (rate * (1.0 + keep) - (1.0 - keep)) - math::rounding_of_a_trace(keep);
        f64::from(self.strength) * read.max(0.0)
    }

    /// Notes every violation.
    ///
    /// - `room`: sup u - theta_min, see [`LayerConfig::potential_max`](crate::LayerConfig::potential_max).
    pub fn check(&self, dt_ms: f32, room: f64, violations: &mut Violations) {
        self.check_ranges(violations);
        let (strength, limit) = (
            f64::from(self.strength),
            room / f64::from(math::decay(dt_ms, self.tau_ms)),
        );
        let rule = "must be below (sup u - theta_min) / exp(-dt/tau), or adaptation could hold any input down";
        violations.joint(strength < limit, "adaptation.strength", strength, rule, limit);
    }
}

/// The recent rate of each neuron in each sample.
#[derive(Debug, Clone, PartialEq)]
pub struct Adaptation {
    params: AdaptationParams,
    keep: f32,
    gain: f32,
    rate: PerSample,
}

impl Adaptation {
    /// The mechanism's name.
    pub const NAME: &'static str = "adaptation";

    /// At rest, for parameters that have passed their check.
    #[must_use]
    pub fn new(params: &AdaptationParams, dt_ms: f32, shape: Shape) -> Self {
        let keep = math::decay(dt_ms, params.tau_ms);
        Self {
            params: *params,
            keep,
            gain: 1.0 - keep,
            rate: PerSample::new("adaptation.rate", shape.neuron_count(), 1.0),
        }
    }
}

impl Mechanism for Adaptation {
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
        self.rate.decay(self.keep);
        for (score, rate) in context.score.iter_mut().zip(self.rate.values()) {
            *score -= self.params.strength * rate;
        }
    }

    fn act(&mut self, context: &mut StepContext<'_>) {
        for (rate, &spike) in self.rate.values_mut().iter_mut().zip(context.spikes.iter()) {
            if spike != 0 {
                *rate = (*rate + self.gain).min(1.0);
            }
        }
    }

    fn rest(&mut self, samples: usize) {
        self.rate.rest(samples);
    }

    fn reset_neuron(&mut self, neuron: usize) {
        self.rate.reset_unit(neuron);
    }

    fn check(&self, part: Part, found: &mut Vec<Breach>) {
        self.rate.check(part, of_neuron, found);
    }

    fn visit_state(&self, visit: &mut dyn FnMut(&'static str, &[usize], StateSlice<'_>)) {
        self.rate.visit(visit);
    }

    fn restore(&mut self, samples: usize, stored: &mut Stored<'_>) -> Result<()> {
        self.rate.restore(samples, stored)
    }
}
