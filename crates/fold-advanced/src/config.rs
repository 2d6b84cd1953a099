//! What a layer is made of: the one configuration struct, and the rules that tie its parts together.

use fold_core::Shape;
use fold_core::health::HealthParams;
use fold_core::params::{DendriteParams, FilamentParams, Parameter, Range, SpikeParams, Violations, weight_max};
use fold_core::three_factor::ThreeFactorParams;
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::homeostasis::HomeostasisParams;
use crate::inhibition::{Contenders, InhibitionParams};
use crate::refractory::RefractoryParams;
use crate::stdp::StdpParams;

/// A layer: shape, seed, the neuron's parameters, and those of each mechanism (absent = not part of the layer).
///
/// Serialised, this is the configuration a checkpoint keeps. Missing sections take their defaults; unknown keys are an error.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LayerConfig {
    /// [n, D, S].
    pub shape: Shape,
    /// M, the number of input lines.
    pub lines: u32,
    /// Seed of the initial filaments and of the escape noise.
    pub seed: u64,
    /// Duration of a step, milliseconds, (0, 1000].
    #[serde(default = "default_dt_ms")]
    pub dt_ms: f32,
    /// The synapse.
    #[serde(default)]
    pub filaments: FilamentParams,
    /// The dendrite.
    #[serde(default)]
    pub dendrite: DendriteParams,
    /// The spike.
    #[serde(default)]
    pub spike: SpikeParams,
    /// The health monitor.
    #[serde(default)]
    pub health: HealthParams,
    /// Lateral inhibition.
    #[serde(default)]
    pub inhibition: Option<InhibitionParams>,
    /// Refractory period.
    #[serde(default)]
    pub refractory: Option<RefractoryParams>,
    /// Spike-timing-dependent plasticity.
    #[serde(default)]
    pub stdp: Option<StdpParams>,
    /// Eligibility and modulator between STDP and the synapses.
    #[serde(default)]
    pub three_factor: Option<ThreeFactorParams>,
    /// Homeostasis of theta.
    #[serde(default)]
    pub homeostasis: Option<HomeostasisParams>,
}

/// The table row of [`LayerConfig::dt_ms`].
pub const DT_MS: Parameter = Parameter {
    name: "dt_ms",
    default: 1.0,
    range: Range::above(0.0, 1000.0),
    unit: "ms",
    meaning: "Duration of a step.",
};

fn default_dt_ms() -> f32 {
    DT_MS.default as f32
}

impl LayerConfig {
    /// A layer of `shape` over `lines` lines with default parameters and no mechanism.
    #[must_use]
    pub fn new(shape: Shape, lines: u32, seed: u64) -> Self {
        Self {
            shape,
            lines,
            seed,
            dt_ms: default_dt_ms(),
            filaments: FilamentParams::default(),
            dendrite: DendriteParams::default(),
            spike: SpikeParams::default(),
            health: HealthParams::default(),
            inhibition: None,
            refractory: None,
            stdp: None,
            three_factor: None,
            homeostasis: None,
        }
    }

    /// sup u = D: the largest potential.
    #[must_use]
    pub fn potential_max(&self) -> f64 {
        f64::from(self.shape.dendrites)
    }

    /// The largest mean firing rate that inhibition and refractoriness leave possible, in spikes per step.
    #[must_use]
    pub fn rate_max(&self) -> f64 {
        let winners = self.inhibition.map_or(1.0, |p| {
            f64::from(p.winner_count(self.shape.neurons)) / f64::from(self.shape.neurons)
        });
        let rest = self
            .refractory
            .map_or(1.0, |p| 1.0 / (f64::from(p.blocked_steps(self.dt_ms)) + 1.0));
        winners.min(rest)
    }

    /// Checks every parameter alone and all of them together.
    ///
    /// # Errors
    /// The shape alone when it is not possible; otherwise every violation at once.
    pub fn check(&self) -> Result<()> {
        self.shape.check()?;
        let mut violations = Violations::new();
        let v = &mut violations;
        v.range(&DT_MS, self.dt_ms);
        self.filaments.check(v);
        self.dendrite
            .check(f64::from(self.shape.synapses) * weight_max(&self.filaments), v);
        self.spike.check(self.potential_max(), v);
        self.health.check(v);
        if let Some(params) = &self.inhibition {
            params.check(self.shape.neurons, v);
        }
        if let Some(params) = &self.refractory {
            params.check(self.dt_ms, v);
        }
        if let Some(params) = &self.stdp {
            params.check(&self.filaments, v);
        }
        if let Some(params) = &self.three_factor {
            params.check(v);
        }
        if let Some(params) = &self.homeostasis {
            params.check(self.dt_ms, &self.spike, v);
            let (target, max) = (f64::from(params.rate_target), self.rate_max());
            let rule = "the target must be reachable under inhibition and refractoriness";
            v.joint(
                target <= max * (1.0 + 1e-6),
                "homeostasis.rate_target",
                target,
                rule,
                max,
            );
            if self.inhibition.is_some_and(|p| p.contenders == Contenders::Driven) {
                // Exactly k spikes per sample fall whatever theta is: any other target moves all thresholds together for ever.
                let rule = "with contenders `driven` the target must be the fraction of winners";
                v.joint(
                    (target - max).abs() <= 1e-3 * max,
                    "homeostasis.rate_target",
                    target,
                    rule,
                    max,
                );
            }
        }
        Ok(violations.into_result()?)
    }
}
