//! The 87 parameters of a PyFolds 1.0.2 neuron, under their own names and with their own defaults.
//!
//! A parameter that PyFolds keeps and no neuron reads is here too, so that a configuration written by it is accepted whole;
//! its meaning says so, and a word that PyFolds does not look at may be any. What is checked is what PyFolds checks, and besides that no number is infinite and no time constant
//! that it would divide by is zero (it raises on the first step then). Its defects are not checked away: that the default
//! promotion threshold can never be reached is part of what this module reproduces.

use fold_core::params::Violations;
use serde::{Deserialize, Serialize};

/// The largest number of filaments, 2^30.
pub const FILAMENTS_MAX: i64 = 1 << 30;

/// How dendrites make a potential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IntegrationMode {
    /// Sigmoids per dendrite, divided by their own sum.
    NmdaShunting,
    /// The sum of sigmoids.
    WtaSoft,
    /// The largest dendrite alone.
    WtaHard,
}

/// Where the modulator R comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NeuromodulationMode {
    /// The reward that the caller gives.
    External,
    /// Free capacity against a deviation of the rate.
    Capacity,
    /// The deviation of the rate from its moving average.
    Surprise,
}

/// Whether STDP acts in the advanced neuron. The Hebbian rule does not look at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlasticityMode {
    /// STDP acts.
    Both,
    /// STDP acts.
    Stdp,
    /// It does not.
    Hebbian,
    /// It does not.
    None,
}

/// Words for parameters that are kept and never read. Any other one is `other`.
macro_rules! kept_words {
    ($($(#[$meta:meta])* $name:ident { $($variant:ident = $text:literal),+ $(,)? })+) => { $(
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        #[expect(missing_docs, reason = "the words are PyFolds' and nothing here depends on them")]
        pub enum $name {
            $( #[serde(rename = $text)] $variant, )+
            #[serde(other)]
            Other,
        }
    )+ };
}

kept_words! {
    /// Which refractory windows act; kept only: both always do.
    RefractoryMode { Absolute = "absolute", Relative = "relative", Both = "both", None = "none" }
    /// Inhibition at the level of a layer; kept only.
    InhibitionMode { Lateral = "lateral", Feedback = "feedback", Both = "both", None = "none" }
    /// Where tensors live; kept only.
    Device { Auto = "auto", Cpu = "cpu", Cuda = "cuda" }
}

/// Precision of tensors; kept only: arrays are f32. PyFolds takes no other word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FloatPrecision {
    /// Single.
    Float32,
    /// Double.
    Float64,
}

/// Declares the struct, its defaults, the list of its names and the list of its numbers.
macro_rules! parameters {
    ($($kind:ident { $( #[doc = $doc:literal] $field:ident : $ty:ty = $default:expr; )+ })+) => {
        /// The parameters, as PyFolds names them. Times are in milliseconds; the rest is dimensionless.
        #[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        #[expect(non_snake_case, reason = "the names are PyFolds', so that its configurations are read as they are")]
        pub struct Parameters { $($( #[doc = $doc] pub $field: $ty, )+)+ }

        impl Default for Parameters {
            fn default() -> Self {
                Self { $($( $field: $default, )+)+ }
            }
        }

        impl Parameters {
            /// Every name, in the order of PyFolds' configuration.
            pub const NAMES: &'static [&'static str] = &[ $($( stringify!($field), )+)+ ];

            /// Whether there is a parameter of this name.
            #[must_use]
            pub fn knows(name: &str) -> bool {
                Self::NAMES.contains(&name)
            }

            /// Every real number with its name; none in the place of a parameter that is something else.
            fn numbers(&self) -> impl Iterator<Item = (&'static str, f64)> {
                [ $($( parameters!(@number $kind self $field), )+)+ ].into_iter().flatten()
            }
        }
    };
    (@number numbers $self:ident $field:ident) => {
        Some((stringify!($field), $self.$field))
    };
    (@number words $self:ident $field:ident) => {
        None
    };
}

parameters! {
    words {
        /// D, dendrites.
        n_dendrites: u32 = 4;
        /// S, synapses per dendrite.
        n_synapses_per_dendrite: u32 = 32;
        /// Fewest filaments.
        n_min: i64 = 0;
        /// Most filaments.
        n_max: i64 = 31;
    }
    numbers {
        /// Divisor of the weight, > 0.
        w_scale: f64 = 5.0;
        /// Learning rate.
        i_eta: f64 = 0.01;
        /// Decay of I per update, whatever its dt.
        i_gamma: f64 = 0.99;
        /// Weight-dependent gain.
        beta_w: f64 = 0.0;
        /// Scale of Hebbian depression, >= 0.
        hebbian_ltd_ratio: f64 = 1.0;
        /// I that promotes.
        i_ltp_th: f64 = 5.0;
        /// I that demotes.
        i_ltd_th: f64 = -5.0;
        /// I that demotes a protected synapse.
        ltd_threshold_saturated: f64 = -10.0;
        /// Lower clamp of I.
        i_min: f64 = -20.0;
        /// Upper clamp of I.
        i_max: f64 = 50.0;
        /// Factor on I at consolidation.
        i_decay_sleep: f64 = 0.99;
        /// Initial release probability u.
        u0: f64 = 0.2;
        /// Initial resources R.
        R0: f64 = 1.0;
        /// Facilitation increment.
        U: f64 = 0.3;
        /// Time constant of facilitation, > 0.
        tau_fac: f64 = 100.0;
        /// Time constant of recovery, > 0.
        tau_rec: f64 = 800.0;
        /// Protection ends after this time; never by time where <= 0.
        saturation_recovery_time: f64 = 60.0;
        /// Initial threshold.
        theta_init: f64 = 1.5;
        /// Lower clamp of theta.
        theta_min: f64 = 0.5;
        /// Upper clamp of theta.
        theta_max: f64 = 6.0;
        /// Weight of the moving average of the rate.
        homeostasis_alpha: f64 = 0.1;
        /// Gain of the controller.
        homeostasis_eta: f64 = 0.1;
        /// Target rate, and the initial moving average.
        target_spike_rate: f64 = 0.1;
        /// Below this rate a neuron is rescued.
        dead_neuron_threshold: f64 = 0.01;
        /// Factor of the rescue.
        dead_neuron_penalty: f64 = 1.0;
        /// Presynaptic activity counts above this, > 0.
        activity_threshold: f64 = 0.01;
        /// Tolerance of the check of the rate, > 0.
        homeostasis_eps: f64 = 1e-7;
    }
    words {
        /// How dendrites make a potential.
        dendrite_integration_mode: IntegrationMode = IntegrationMode::NmdaShunting;
    }
    numbers {
        /// Slope of the dendritic sigmoid, > 0.
        dendrite_gain: f64 = 2.0;
        /// Local threshold as a part of theta, in (0, 1).
        theta_dend_ratio: f64 = 0.25;
        /// Floor of the divisive normalisation, > 0.
        shunting_eps: f64 = 0.1;
        /// Strength of the divisive normalisation, >= 0.
        shunting_strength: f64 = 1.0;
    }
    words {
        /// Whether a back-propagating event is weighted by the dendrites' contributions.
        bap_proportional: bool = true;
        /// Kept only.
        backprop_enabled: bool = true;
    }
    numbers {
        /// Delay of a back-propagating event.
        backprop_delay: f64 = 2.0;
        /// Size of a back-propagating event.
        backprop_signal: f64 = 0.5;
        /// Decay of the amplification.
        backprop_amp_tau: f64 = 20.0;
        /// Decay of the back-propagation trace.
        backprop_trace_tau: f64 = 10.0;
        /// Cap of one event's amplification.
        backprop_max_amp: f64 = 0.4;
        /// Kept only.
        backprop_max_gain: f64 = 2.0;
        /// A dendrite above it gets the trace.
        backprop_active_threshold: f64 = 0.1;
    }
    words {
        /// Kept only.
        adaptation_enabled: bool = true;
    }
    numbers {
        /// Adaptation current of a spike.
        adaptation_increment: f64 = 0.8;
        /// Kept only.
        adaptation_decay: f64 = 0.99;
        /// Cap of the adaptation current.
        adaptation_max: f64 = 5.0;
        /// Decay of the adaptation current.
        adaptation_tau: f64 = 50.0;
    }
    words {
        /// Kept only.
        refrac_mode: RefractoryMode = RefractoryMode::Both;
    }
    numbers {
        /// Absolute refractory window.
        t_refrac_abs: f64 = 2.0;
        /// Relative refractory window.
        t_refrac_rel: f64 = 5.0;
        /// Boost of the threshold in the relative window.
        refrac_rel_strength: f64 = 3.0;
    }
    words {
        /// Kept only.
        inhibition_mode: InhibitionMode = InhibitionMode::Both;
    }
    numbers {
        /// Kept only.
        lateral_strength: f64 = 0.3;
        /// Kept only.
        feedback_strength: f64 = 0.5;
        /// Kept only.
        inhibition_sigma: f64 = 2.0;
    }
    words {
        /// Kept only.
        n_excitatory: i64 = 100;
        /// Kept only.
        n_inhibitory: i64 = 25;
    }
    numbers {
        /// Kept only.
        target_sparsity: f64 = 0.03;
    }
    words {
        /// Whether STDP acts.
        plasticity_mode: PlasticityMode = PlasticityMode::Both;
    }
    numbers {
        /// Decay of the presynaptic trace.
        tau_pre: f64 = 20.0;
        /// Decay of the postsynaptic trace.
        tau_post: f64 = 20.0;
        /// Amplitude of potentiation, of the Hebbian rule and of STDP.
        A_plus: f64 = 0.01;
        /// Amplitude of depression, of the Hebbian rule and of STDP.
        A_minus: f64 = 0.012;
        /// Traces below are ignored.
        stdp_trace_threshold: f64 = 0.01;
        /// A presynaptic event is an input above this.
        spike_threshold: f64 = 0.5;
    }
    words {
        /// Kept only.
        random_seed: Option<i64> = None;
    }
    numbers {
        /// Kept only, in (0, 1].
        active_synapses_ratio: f64 = 0.25;
    }
    words {
        /// Kept only.
        inhibition_trainable_i2e: bool = false;
        /// Where the modulator comes from.
        neuromod_mode: NeuromodulationMode = NeuromodulationMode::Surprise;
    }
    numbers {
        /// Gain before tanh, > 0.
        neuromod_scale: f64 = 1.0;
        /// Capacity: weight of the free synapses.
        cap_k_sat: f64 = 1.2;
        /// Capacity: weight of the rate's deviation.
        cap_k_rate: f64 = 0.8;
        /// Capacity: offset.
        cap_bias: f64 = 0.0;
        /// Surprise: gain.
        sup_k: f64 = 2.0;
        /// Surprise: offset.
        sup_bias: f64 = 0.0;
    }
    words {
        /// Whether the Hebbian rule acts.
        plastic: bool = true;
        /// True: BATCH accumulates and ONLINE does nothing; false: ONLINE updates at once.
        defer_updates: bool = true;
    }
    numbers {
        /// Eligibility to filaments.
        consolidation_rate: f64 = 0.1;
        /// Floor of the sum that contributions are divided by.
        eps: f64 = 1e-8;
        /// Step of homeostasis alone; the other mechanisms take the step's own.
        dt: f64 = 1.0;
    }
    words {
        /// Kept only.
        device: Device = Device::Auto;
    }
    numbers {
        /// Cap of W in the weight-dependent gain, > 0.
        max_log_weight: f64 = 10.0;
    }
    words {
        /// Kept only.
        float_precision: FloatPrecision = FloatPrecision::Float32;
        /// Kept only.
        numerical_stability_checks: bool = true;
    }
}

impl Parameters {
    /// Checks what PyFolds checks, and what it would stumble over.
    ///
    /// # Errors
    /// [`fold_core::Error::Parameters`] with every violation.
    pub fn check(&self) -> crate::Result<()> {
        let mut violations = Violations::new();
        let v = &mut violations;
        for (name, value) in self.numbers() {
            v.joint(value.is_finite(), name, value, "must be finite", f64::MAX);
        }
        let synapses = u64::from(self.n_dendrites) * u64::from(self.n_synapses_per_dendrite);
        let rule = "times n_synapses_per_dendrite must be in [1, 2^31]";
        let most = fold_core::shape::MAX_SYNAPSES;
        v.joint(
            (1..=most).contains(&synapses),
            "n_dendrites",
            self.n_dendrites.into(),
            rule,
            most as f64,
        );
        let (n_min, n_max, limit) = (self.n_min as f64, self.n_max as f64, FILAMENTS_MAX as f64);
        v.joint(self.n_min < self.n_max, "n_min", n_min, "must be below n_max", n_max);
        v.joint(
            self.n_max <= FILAMENTS_MAX,
            "n_max",
            n_max,
            "must be at most 2^30",
            limit,
        );
        v.joint(
            self.n_min >= -FILAMENTS_MAX,
            "n_min",
            n_min,
            "must be at least -2^30",
            -limit,
        );
        v.joint(
            self.i_min < self.i_max,
            "i_min",
            self.i_min,
            "must be below i_max",
            self.i_max,
        );
        let (low, high) = (self.theta_min, self.theta_max);
        v.joint(low < high, "theta_min", low, "must be below theta_max", high);
        for (name, value) in [
            ("w_scale", self.w_scale),
            ("tau_fac", self.tau_fac),
            ("tau_rec", self.tau_rec),
            ("activity_threshold", self.activity_threshold),
            ("homeostasis_eps", self.homeostasis_eps),
            ("dendrite_gain", self.dendrite_gain),
            ("shunting_eps", self.shunting_eps),
            ("neuromod_scale", self.neuromod_scale),
            ("max_log_weight", self.max_log_weight),
        ] {
            v.joint(value > 0.0, name, value, "must be above 0", 0.0);
        }
        for (name, value) in [
            ("hebbian_ltd_ratio", self.hebbian_ltd_ratio),
            ("shunting_strength", self.shunting_strength),
        ] {
            v.joint(value >= 0.0, name, value, "must be at least 0", 0.0);
        }
        for (name, value) in [
            ("backprop_amp_tau", self.backprop_amp_tau),
            ("backprop_trace_tau", self.backprop_trace_tau),
            ("adaptation_tau", self.adaptation_tau),
            ("tau_pre", self.tau_pre),
            ("tau_post", self.tau_post),
        ] {
            v.joint(value != 0.0, name, value, "must not be 0: PyFolds divides by it", 0.0);
        }
        let ratio = self.theta_dend_ratio;
        v.joint(
            ratio > 0.0 && ratio < 1.0,
            "theta_dend_ratio",
            ratio,
            "must be above 0 and below 1",
            1.0,
        );
        let ratio = self.active_synapses_ratio;
        v.joint(
            ratio > 0.0 && ratio <= 1.0,
            "active_synapses_ratio",
            ratio,
            "must be above 0 and at most 1",
            1.0,
        );
        if self.homeostasis_eta > 0.1 {
            log::warn!("homeostasis_eta = {}: PyFolds warns above 0.1", self.homeostasis_eta);
        }
        Ok(violations.into_result()?)
    }

    /// D as a length.
    #[must_use]
    pub fn dendrites(&self) -> usize {
        self.n_dendrites as usize
    }

    /// S as a length.
    #[must_use]
    pub fn synapses(&self) -> usize {
        self.n_synapses_per_dendrite as usize
    }

    /// D * S.
    #[must_use]
    pub fn synapse_count(&self) -> usize {
        self.dendrites() * self.synapses()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn violations(change: impl FnOnce(&mut Parameters)) -> String {
        let mut parameters = Parameters::default();
        change(&mut parameters);
        parameters
            .check()
            .map_or_else(|error| error.to_string(), |()| String::new())
    }

    #[test]
    fn there_are_87_and_the_defaults_are_valid() {
        assert_eq!(Parameters::NAMES.len(), 87);
        assert_eq!(Parameters::default().check(), Ok(()));
        assert!(Parameters::knows("A_plus") && !Parameters::knows("a_plus"));
    }

    #[test]
    fn an_unknown_name_is_refused_and_says_so() {
        let refused = serde_json::from_str::<Parameters>(r#"{"i_etta": 1.0}"#).unwrap_err();
        assert!(refused.to_string().contains("i_etta"), "{refused}");
    }

    #[test]
    fn every_check_is_there_and_all_findings_are_reported() {
        type Change = fn(&mut Parameters);
        let changes: [(&str, Change); 26] = [
            ("n_dendrites", |p| p.n_dendrites = 0),
            ("n_min", |p| p.n_min = 31),
            ("n_min", |p| p.n_min = i64::MIN),
            ("n_max", |p| p.n_max = FILAMENTS_MAX + 1),
            ("w_scale", |p| p.w_scale = 0.0),
            ("hebbian_ltd_ratio", |p| p.hebbian_ltd_ratio = -0.5),
            ("i_min", |p| p.i_min = 50.0),
            ("tau_fac", |p| p.tau_fac = 0.0),
            ("tau_rec", |p| p.tau_rec = -1.0),
            ("theta_min", |p| p.theta_min = 6.0),
            ("activity_threshold", |p| p.activity_threshold = 0.0),
            ("homeostasis_eps", |p| p.homeostasis_eps = 0.0),
            ("dendrite_gain", |p| p.dendrite_gain = 0.0),
            ("theta_dend_ratio", |p| p.theta_dend_ratio = 1.0),
            ("theta_dend_ratio", |p| p.theta_dend_ratio = 0.0),
            ("shunting_eps", |p| p.shunting_eps = 0.0),
            ("shunting_strength", |p| p.shunting_strength = -1.0),
            ("active_synapses_ratio", |p| p.active_synapses_ratio = 0.0),
            ("neuromod_scale", |p| p.neuromod_scale = 0.0),
            ("max_log_weight", |p| p.max_log_weight = 0.0),
            ("backprop_amp_tau", |p| p.backprop_amp_tau = 0.0),
            ("backprop_trace_tau", |p| p.backprop_trace_tau = 0.0),
            ("adaptation_tau", |p| p.adaptation_tau = 0.0),
            ("tau_pre", |p| p.tau_pre = 0.0),
            ("tau_post", |p| p.tau_post = 0.0),
            ("sup_k", |p| p.sup_k = f64::NAN),
        ];
        for (name, change) in changes {
            let text = violations(change);
            assert!(text.contains(&format!("{name} = ")), "{name}: {text}");
        }
        let both = violations(|p| {
            p.w_scale = -1.0;
            p.tau_pre = 0.0;
        });
        assert!(both.contains("w_scale") && both.contains("tau_pre"), "{both}");
        assert_eq!(violations(|p| p.active_synapses_ratio = 1.0), "");
    }
}
