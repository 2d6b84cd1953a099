//! The back-propagating action potential: how much of a spike the synapses of a dendrite get to see.
//!
//! Per sample, neuron and dendrite, with the dendrite's activation a in [0, 1] and the exhaustion z of the neuron's axon:
//!
//! ```text
//! z- = z exp(-dt/tau)        arrival_d = (1 - z-) (floor + (1 - floor) a_d)        at a spike  z+ = z- + fatigue (1 - z-)
//! ```
//!
//! Everything that STDP does at a post spike (potentiation and the heterosynaptic term) is multiplied by the arrival at the
//! synapse's own dendrite: active dendrites boost the spike that travels back into them, and spikes of a train reach less far.
//! Depression at pre events is left as it is.
//!
//! # Properties
//! arrival and z in [0, 1]; arrival does not decrease with a_d; z rests at 0, so a rested neuron's spike arrives undiminished at a fully active
//! dendrite; floor = 1 and fatigue = 0 is STDP without this mechanism, bit for bit.
//!
//! # Source
//! Stuart and Hausser 2001, doi:10.1038/82910 (boosting by local depolarisation); Sjostrom and Hausser 2006,
//! doi:10.1016/j.neuron.2006.06.017 (it decides on potentiation); Spruston, Schiller, Stuart, Sakmann 1995,
//! doi:10.1126/science.7716524 (attenuation within a train). The product of the three is ours.

use std::fmt;

use fold_core::invariants::{Breach, Part};
use fold_core::lanes::LANES;
use fold_core::params::{Range, Violations};
use fold_core::{Shape, math};

use crate::Result;
use crate::mechanism::{Mechanism, Phase, StepContext};
use crate::per_sample::{PerSample, of_neuron};
use crate::stateful::{StateSlice, Stored};
use crate::stdp::Stdp;

fold_core::parameters! {
    /// The back-propagating action potential.
    pub struct BapParams in "bap" {
        /// What arrives at a silent dendrite of a rested neuron.
        floor: f32 = 0.3, Range::closed(0.0, 1.0), "1";
        /// Share of the remaining amplitude that one spike exhausts.
        fatigue: f32 = 0.2, Range::closed(0.0, 1.0), "1";
        /// Time constant tau of the recovery from exhaustion.
        tau_recovery_ms: f32 = 50.0, Range::above(0.0, 10000000.0), "ms";
    }
}

impl BapParams {
    /// Notes every violation.
    pub fn check(&self, violations: &mut Violations) {
        self.check_ranges(violations);
    }
}

/// The exhaustion of each neuron in each sample.
#[derive(Debug, Clone, PartialEq)]
pub struct Bap {
    params: BapParams,
    keep: f32,
    dendrites: usize,
    exhaustion: PerSample,
}

impl Bap {
    /// The mechanism's name.
    pub const NAME: &'static str = "bap";

    /// At rest.
    #[must_use]
    pub fn new(params: &BapParams, dt_ms: f32, shape: Shape) -> Self {
        Self {
            params: *params,
            keep: math::decay(dt_ms, params.tau_recovery_ms),
            dendrites: shape.dendrite_count(),
            exhaustion: PerSample::new("bap.exhaustion", shape.neuron_count(), 1.0),
        }
    }

    /// What arrives at a dendrite of activation `a` of a neuron of exhaustion `z`.
    fn arrival(&self, z: f32, a: f32) -> f32 {
        (1.0 - z) * (self.params.floor + (1.0 - self.params.floor) * a).min(1.0)
    }
}

impl Mechanism for Bap {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn boxed(&self) -> Box<dyn Mechanism> {
        Box::new(self.clone())
    }

    fn phase(&self) -> Phase {
        Phase::Backpropagate
    }

    fn requires(&self) -> &'static [&'static str] {
        &[Stdp::NAME]
    }

    fn parameters(&self) -> &dyn fmt::Debug {
        &self.params
    }

    fn needs_activations(&self) -> bool {
        true
    }

    fn act(&mut self, context: &mut StepContext<'_>) {
        self.exhaustion.decay(self.keep);
        let blocks = context.samples.div_ceil(LANES);
        let neurons = context.counts.len();
        for (sample, spikes) in context.spikes.chunks_exact(neurons).enumerate() {
            let (block, lane) = (sample / LANES, sample % LANES);
            for (neuron, _) in spikes.iter().enumerate().filter(|(_, s)| **s != 0) {
                let z = &mut self.exhaustion.values_mut()[sample * neurons + neuron];
                let before = *z;
                *z += self.params.fatigue * (1.0 - before);
                for d in 0..self.dendrites {
                    let at = (neuron * self.dendrites + d) * blocks + block;
                    context.arrival[at][lane] = self.arrival(before, context.activations[at][lane]);
                }
            }
        }
    }

    fn rest(&mut self, samples: usize) {
        self.exhaustion.rest(samples);
    }

    fn reset_neuron(&mut self, neuron: usize) {
        self.exhaustion.reset_unit(neuron);
    }

    fn check(&self, part: Part, found: &mut Vec<Breach>) {
        self.exhaustion.check(part, of_neuron, found);
    }

    fn visit_state(&self, visit: &mut dyn FnMut(&'static str, &[usize], StateSlice<'_>)) {
        self.exhaustion.visit(visit);
    }

    fn restore(&mut self, samples: usize, stored: &mut Stored<'_>) -> Result<()> {
        self.exhaustion.restore(samples, stored)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quickcheck::quickcheck;

    fn bap(floor: f32, fatigue: f32) -> Bap {
        let params = BapParams {
            floor,
            fatigue,
            ..BapParams::default()
        };
        let shape = Shape {
            neurons: 1,
            dendrites: 1,
            synapses: 1,
        };
        Bap::new(&params, 1.0, shape)
    }

    fn unit(k: u8) -> f32 {
        f32::from(k) / 255.0
    }

    /// Bounded, rising with the dendrite's activation and falling with exhaustion.
    ///
    /// - `arrival`: from exhaustion z and activation a.
    fn sound(arrival: impl Fn(f32, f32) -> f32, z: u8, a: u8, more: u8) -> bool {
        let (low, high) = (
            arrival(unit(z), unit(a)),
            arrival(unit(z), unit(a.saturating_add(more))),
        );
        let tired = arrival(unit(z.saturating_add(more)), unit(a));
        (0.0..=1.0).contains(&low) && low <= high && high <= 1.0 && tired <= low
    }

    quickcheck! {
        fn arrival_is_bounded_rises_with_the_dendrite_and_falls_with_exhaustion(floor: u8, z: u8, a: u8, more: u8) -> bool {
            let bap = bap(unit(floor), 0.1);
            sound(|z, a| bap.arrival(z, a), z, a, more)
        }
    }

    /// Boosting beyond the spike itself, a dendrite that shunts it, and a spike that exhaustion makes stronger.
    #[test]
    fn unsound_arrivals_fail_the_property() {
        assert!(!sound(|z, a| (1.0 - z) * (0.3 + a), 0, 250, 5));
        assert!(!sound(|z, a| (1.0 - z) * (1.0 - 0.7 * a), 20, 100, 50));
        assert!(!sound(|z, a| (1.0 + z).min(1.5) * 0.5 * a, 20, 100, 50));
    }

    #[test]
    fn a_rested_spike_arrives_whole_at_a_fully_active_dendrite() {
        assert_eq!(
            [bap(0.3, 0.5).arrival(0.0, 1.0), bap(0.25, 0.5).arrival(0.0, 0.0)],
            [1.0, 0.25]
        );
        assert_eq!(bap(1.0, 0.0).arrival(0.0, 0.3), 1.0);
    }
}
