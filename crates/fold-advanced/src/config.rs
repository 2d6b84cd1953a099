//! What a layer is made of: the one configuration struct, and the rules that tie its parts together.

use fold_core::dendrite::Dendrite;
use fold_core::health::HealthParams;
use fold_core::params::{DendriteParams, FilamentParams, Parameter, Range, SpikeParams, Violations, weight_max};
use fold_core::three_factor::ThreeFactorParams;
use fold_core::{Shape, math};
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::adaptation::AdaptationParams;
use crate::bap::BapParams;
use crate::consolidation::ConsolidationParams;
use crate::feedback::FeedbackParams;
use crate::homeostasis::HomeostasisParams;
use crate::inhibition::{Contenders, InhibitionParams};
use crate::neuromodulation::NeuromodulationParams;
use crate::pruning::PruningParams;
use crate::refractory::RefractoryParams;
use crate::short_term::ShortTermParams;
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
    /// Short-term plasticity of transmission.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub short_term: Option<ShortTermParams>,
    /// Back-propagating action potential.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bap: Option<BapParams>,
    /// Where the modulator of the three-factor rule comes from; absent, it is the caller's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub neuromodulation: Option<NeuromodulationParams>,
    /// Consolidation in sleep.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consolidation: Option<ConsolidationParams>,
    /// Pruning of weak synapses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pruning: Option<PruningParams>,
    /// Spike-frequency adaptation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adaptation: Option<AdaptationParams>,
    /// Feedback inhibition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feedback: Option<FeedbackParams>,
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
            short_term: None,
            bap: None,
            neuromodulation: None,
            consolidation: None,
            pruning: None,
            adaptation: None,
            feedback: None,
        }
    }

    /// sup u = D a(S W(n_max) r): the largest potential, when every line is active and every synapse has n_max filaments, whether
    /// it has learned them or its state was stored with them; r is what short-term plasticity transmits at most, 1 without it.
    #[must_use]
    pub fn potential_max(&self) -> f64 {
        let open = Dendrite::new(&self.dendrite).activation(self.drive_max() as f32);
        f64::from(self.shape.dendrites) * f64::from(open)
    }

    /// sup v_d = S W(n_max) r: the largest drive of a dendrite.
    fn drive_max(&self) -> f64 {
        let transmitted = self.short_term.map_or(1.0, |p| p.transmitted_max(self.dt_ms));
        f64::from(self.shape.synapses) * weight_max(&self.filaments) * transmitted
    }

    /// What adaptation and feedback together add to the threshold at least, on average over the spikes of neurons that fire at `rate`.
    fn rise_at(&self, rate: f64) -> f64 {
        let (neurons, winners) = (self.shape.neurons, self.winners());
        let adaptation = self.adaptation.map_or(0.0, |p| p.rise_at(self.dt_ms, rate));
        let feedback = self
            .feedback
            .map_or(0.0, |p| p.rise_at(self.dt_ms, neurons, winners, rate));
        adaptation + feedback
    }

    /// The most neurons that fire in one step and sample.
    fn winners(&self) -> u32 {
        let neurons = self.shape.neurons;
        self.inhibition.map_or(neurons, |p| p.winner_count(neurons))
    }

    /// The largest rise of a threshold that an input overcomes.
    fn room(&self) -> f64 {
        self.potential_max() - f64::from(self.spike.theta_min)
    }

    /// Whether a neuron may fire whatever its threshold is: noise has no bound, and of those that are driven most, `winners` fire.
    fn fires_anyhow(&self) -> bool {
        self.spike.width > 0.0 || self.is_driven()
    }

    /// Every time constant of a decay from step to step, with its parameter's name.
    pub(crate) fn time_constants(&mut self) -> Vec<(&'static str, &mut f32)> {
        let mut all = Vec::new();
        macro_rules! push {
            ($($section:ident: $($tau:ident),+;)+) => { $(
                if let Some(params) = &mut self.$section {
                    $( all.push((concat!(stringify!($section), ".", stringify!($tau)), &mut params.$tau)); )+
                }
            )+ };
        }
        push! {
            refractory: tau_ms;
            stdp: tau_plus_ms, tau_minus_ms;
            three_factor: tau_e_ms;
            homeostasis: tau_rate_ms;
            short_term: tau_facilitation_ms, tau_recovery_ms;
            bap: tau_recovery_ms;
            neuromodulation: tau_ms;
            adaptation: tau_ms;
            feedback: tau_excitation_ms, tau_inhibition_ms;
        }
        all
    }

    /// The longest time constant that a step leaves possible, ms.
    pub(crate) fn tau_max(&self) -> f64 {
        math::TAU_STEPS_MAX * f64::from(self.dt_ms)
    }

    /// The largest mean firing rate that inhibition and refractoriness leave possible, in spikes per step. With noise, or where
    /// as many fire as there are winners in any case, a boost of the threshold makes no spike impossible.
    #[must_use]
    pub fn rate_max(&self) -> f64 {
        let winners = self.inhibition.map_or(1.0, |p| {
            f64::from(p.winner_count(self.shape.neurons)) / f64::from(self.shape.neurons)
        });
        let Some(refractory) = &self.refractory else {
            return winners;
        };
        let boosted = if self.fires_anyhow() {
            1.0
        } else {
            refractory.boosted_steps(self.dt_ms, self.room())
        };
        winners.min(1.0 / boosted.max(f64::from(refractory.blocked_steps(self.dt_ms)) + 1.0))
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
        self.dendrite.check(self.drive_max(), v);
        self.spike
            .check(f64::from(self.shape.dendrites), self.potential_max(), v);
        self.health.check(v);
        if let Some(params) = &self.inhibition {
            params.check(self.shape.neurons, v);
        }
        if let Some(params) = &self.refractory {
            params.check(self.dt_ms, v);
        }
        if let Some(params) = &self.stdp {
            params.check(self.dt_ms, &self.filaments, v);
        }
        let longest = self.tau_max();
        for (name, tau) in self.clone().time_constants() {
            let (tau, rule) = (
                f64::from(*tau),
                "must be at most 2^20 dt, or its decay over one step is lost in rounding",
            );
            v.joint(tau <= longest, name, tau, rule, longest);
        }
        if let Some(params) = &self.three_factor {
            params.check(
                self.dt_ms,
                self.stdp.as_ref().map_or(f64::INFINITY, StdpParams::amplitude_max),
                v,
            );
        }
        self.check_more(v);
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
            if !self.fires_anyhow() {
                let (rise, room) = (self.rise_at(target), self.room());
                let rule =
                    "what adaptation and feedback add to the threshold at the target must be at most sup u - theta_min";
                // Sums in single precision may be that much above sup u.
                let within = rise <= room + 1e-5 * self.potential_max();
                v.joint(within, "homeostasis.rate_target", rise, rule, room);
            }
            if self.is_driven() {
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

    /// The mechanisms whose parameters are tied to nothing but the spike and the competition.
    fn check_more(&self, v: &mut Violations) {
        let room = self.room();
        if let Some(params) = &self.short_term {
            params.check(v);
        }
        if let Some(params) = &self.bap {
            params.check(v);
        }
        if let Some(params) = &self.neuromodulation {
            params.check(v);
        }
        if let Some(params) = &self.consolidation {
            params.check(v);
        }
        if let Some(params) = &self.pruning {
            params.check(&self.filaments, v);
        }
        if let Some(params) = &self.adaptation {
            params.check(self.dt_ms, room, v);
        }
        if let Some(params) = &self.feedback {
            let neurons = self.shape.neurons;
            let blocked = self.refractory.map_or(0, |p| p.blocked_steps(self.dt_ms));
            let reachable = params.potential_max(self.dt_ms, neurons, self.winners(), blocked);
            params.check(self.dt_ms, neurons, reachable, room, v);
        }
        let fires_at_all = self.homeostasis.is_some() || self.fires_anyhow();
        let (theta, limit) = (f64::from(self.spike.theta_init), self.potential_max());
        let rule = "without homeostasis and noise it must be below sup u, or the neuron can never fire";
        v.joint(fires_at_all || theta < limit, "spike.theta_init", theta, rule, limit);
    }

    /// Whether those fire that are driven most, whatever their thresholds.
    fn is_driven(&self) -> bool {
        self.inhibition.is_some_and(|p| p.contenders == Contenders::Driven)
    }
}
