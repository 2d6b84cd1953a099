//! What a training run is set up with: one table of defaults and ranges, and the layer that follows from it.
//!
//! Not here: where a run writes, which seeds it has, and how many threads. They change no result of a seed.

use fold_advanced::LayerConfig;
use fold_advanced::homeostasis::HomeostasisParams;
use fold_advanced::inhibition::{Contenders, InhibitionParams, Winners};
use fold_advanced::stdp::{self, StdpParams};
use fold_core::Shape;
use fold_core::math;
use fold_core::params::{FilamentParams, Range, Violations};
use fold_ops::Object;

use crate::Error;
use crate::encode::{Encoding, SYNAPSES};

/// Theta of a new neuron, per dendrite: only differences count in the competition, and this leaves room below and above.
const THETA_INIT: f32 = 0.5;
/// The largest theta, per dendrite.
const THETA_MAX: f32 = 2.0;

/// The smallest amplitude but 0 that the layer takes, in filaments: a power of two, exact in single precision.
const AMPLITUDE_MIN: f32 = stdp::AMPLITUDE_MIN as f32;

fold_core::parameters! {
    /// The configuration of a training run. The defaults were chosen on folds of the training part (docs/learning).
    pub struct TrainConfig in "train" {
        /// Neurons n of the layer, and width of the controls' features.
        neurons: u32 = 400, Range::closed(2.0, 16384.0), "neurons";
        /// Neurons k that fire for an image.
        winners: u32 = 4, Range::closed(1.0, 16384.0), "neurons";
        /// Passes over the training images.
        epochs: u32 = 8, Range::closed(1.0, 10000.0), "epochs";
        /// Images B between two changes of the weights; learning_rate * batch * max(1, heterosynaptic) is at most 1, so 10 at the defaults.
        batch: u32 = 8, Range::closed(1.0, 256.0), "images";
        /// Learning rate eta of the first epoch: the step of a winner's w = N / n_max towards an image. See batch: 0.0625 at the defaults.
        learning_rate: f32 = 0.05, Range::above(0.0, 1.0), "1";
        /// Factor on the learning rate from epoch to epoch.
        learning_decay: f32 = 0.85, Range::above(0.0, 1.0), "1";
        /// Strength h of heterosynaptic depression relative to potentiation. See batch: 2.5 at the defaults.
        heterosynaptic: f32 = 2.0, Range::closed(0.0, 16.0), "1";
        /// Change of theta per image and per spike above or below the target rate k / n, for four dendrites; in proportion for more. 0: off.
        homeostasis_rate: f32 = 0.02, Range::closed(0.0, 1.0), "1";
        /// Slope g of the dendritic sigmoid.
        dendrite_gain: f32 = 0.6, Range::closed(0.01, 16.0), "1";
        /// Half-activation th_d of the dendritic sigmoid; 0.8 of 16 synapses at half of n_max.
        dendrite_threshold: f32 = 10.35, Range::closed(0.0, 32.0), "1";
    }
}

impl TrainConfig {
    /// Reads a configuration: a JSON object of the fields that differ from their defaults.
    ///
    /// # Errors
    /// [`Error::ConfigText`] with line and column, also for a key that does not exist; [`Error::Config`] with every violation.
    pub fn from_json(text: impl AsRef<[u8]>) -> Result<Self, Error> {
        let Object(config) = serde_json::from_slice::<Object<Self>>(text.as_ref()).map_err(|source| {
            let unknown_key = source.to_string().starts_with("unknown field");
            Error::ConfigText { source, unknown_key }
        })?;
        config.check()?;
        Ok(config)
    }

    /// Checks each setting alone and all together.
    ///
    /// # Errors
    /// [`Error::Config`] with every violation; [`Error::Layer`] with those that only the layer knows.
    pub fn check(&self) -> Result<(), Error> {
        let mut violations = Violations::new();
        self.check_ranges(&mut violations);
        violations.joint(
            self.winners <= self.neurons,
            "train.winners",
            self.winners.into(),
            "must be at most train.neurons",
            self.neurons.into(),
        );
        if violations.as_slice().is_empty() {
            self.check_steps(&mut violations);
        }
        if !violations.as_slice().is_empty() {
            return Err(Error::Config { violations });
        }
        Ok(self.layer(Encoding::DIGITS, 0).check()?)
    }

    /// Notes where a batch would move a synapse beyond its bounds, or too little to count: what the layer says of its amplitudes, in the
    /// settings that they are made of.
    fn check_steps(&self, violations: &mut Violations) {
        const MOST: &str =
            "learning_rate * batch * max(1, heterosynaptic) must be at most 1: lower this or another of them";
        const LEAST: &str = "too small: 65536 batches that all ask for it would not move a synapse";
        let fits = |config: Self| {
            let [plus, het] = config.amplitudes();
            plus.max(het) <= config.span()
        };
        if !fits(*self) {
            let batch = |&batch: &u32| fits(Self { batch, ..*self });
            if let Some(limit) = (1..self.batch).rev().find(batch) {
                violations.joint(false, "train.batch", self.batch.into(), MOST, limit.into());
            }
            let most = 1.0 / self.batch as f32;
            let (value, limit) = (self.learning_rate, most / self.heterosynaptic.max(1.0));
            violations.joint(false, "train.learning_rate", decimal(value), MOST, decimal(limit));
            let (value, limit) = (self.heterosynaptic, most / self.learning_rate);
            violations.joint(
                limit < 1.0,
                "train.heterosynaptic",
                decimal(value),
                MOST,
                decimal(limit),
            );
        }
        let [plus, het] = self.amplitudes();
        // Roundings do not take the limits below what is allowed.
        let least = AMPLITUDE_MIN * (1.0 + 4.0 * f32::EPSILON);
        let (rate, limit) = (decimal(self.learning_rate), least / self.span() / self.batch as f32);
        violations.joint(
            plus >= AMPLITUDE_MIN,
            "train.learning_rate",
            rate,
            LEAST,
            decimal(limit),
        );
        if plus >= AMPLITUDE_MIN {
            let moves = het == 0.0 || het >= AMPLITUDE_MIN;
            let value = decimal(self.heterosynaptic);
            violations.joint(moves, "train.heterosynaptic", value, LEAST, decimal(least / plus));
        }
    }

    /// n_max - n_min of a synapse.
    fn span(&self) -> f32 {
        let filaments = FilamentParams::default();
        f32::from(filaments.n_max) - f32::from(filaments.n_min)
    }

    /// A+ and A_het of the layer, in filaments: the rates are per image and the layer's rules means over the batch, so they are multiplied
    /// by B. What is larger than the span by roundings alone is the span.
    fn amplitudes(&self) -> [f32; 2] {
        let span = self.span();
        let a_plus = self.learning_rate * self.batch as f32 * f32::from(FilamentParams::default().n_max);
        let rounded = |a: f32| {
            if a <= span * (1.0 + 4.0 * f32::EPSILON) {
                a.min(span)
            } else {
                a
            }
        };
        [rounded(a_plus), rounded(a_plus * self.heterosynaptic)]
    }

    /// The layer of this configuration for images of this encoding.
    ///
    #[must_use]
    pub fn layer(&self, encoding: Encoding, seed: u64) -> LayerConfig {
        let shape = Shape {
            neurons: self.neurons,
            dendrites: encoding.dendrites(),
            synapses: SYNAPSES,
        };
        let mut layer = LayerConfig::new(shape, encoding.lines() as u32, seed);
        let (batch, dendrites) = (self.batch as f32, encoding.dendrites() as f32);
        let [a_plus, a_het] = self.amplitudes();
        layer.dendrite.gain = self.dendrite_gain;
        layer.dendrite.threshold = self.dendrite_threshold;
        layer.spike.theta_init = THETA_INIT * dendrites;
        layer.spike.theta_max = THETA_MAX * dendrites;
        layer.inhibition = Some(InhibitionParams {
            winners: Winners::Count(self.winners),
            contenders: Contenders::Driven,
        });
        // An image is one step long and nothing outlives it: tau = 0.
        layer.stdp = Some(StdpParams {
            a_plus,
            a_het,
            tau_plus_ms: 0.0,
            tau_minus_ms: 0.0,
            ..StdpParams::default()
        });
        layer.homeostasis = (self.homeostasis_rate > 0.0).then(|| HomeostasisParams {
            rate_target: self.winners as f32 / self.neurons as f32,
            ki: self.homeostasis_rate * (dendrites / 4.0) * batch,
            ..HomeostasisParams::default()
        });
        layer
    }

    /// The factor on the plastic drive in `epoch`, counted from 1.
    #[must_use]
    pub fn plasticity(&self, epoch: u64) -> f32 {
        math::pow(f64::from(self.learning_decay), epoch.saturating_sub(1) as f64) as f32
    }
}

/// The number that a person would write for it: 0.05 and not 0.05000000074505806.
fn decimal(value: f32) -> f64 {
    value.to_string().parse().unwrap_or_else(|_| value.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_valid_and_survive_the_text() {
        let config = TrainConfig::default();
        config.check().unwrap();
        let text = serde_json::to_string(&config).unwrap();
        assert_eq!(TrainConfig::from_json(&text).unwrap(), config);
        assert_eq!(TrainConfig::from_json("{}").unwrap(), config);
    }

    #[test]
    fn every_violation_is_named_at_once() {
        let error =
            TrainConfig::from_json(r#"{"neurons": 10, "winners": 11, "epochs": 0, "learning_rate": 0}"#).unwrap_err();
        let text = error.to_string();
        assert_eq!(error.code(), "FOLD-E0001");
        for part in [
            "train.epochs = 0",
            "train.learning_rate = 0: must be in (0, 1]",
            "train.winners = 11: must be at most",
        ] {
            assert!(text.contains(part), "{text}");
        }
    }

    #[test]
    fn an_unknown_key_has_its_own_code_and_names_the_known_ones() {
        let error = TrainConfig::from_json(r#"{"neuron": 10}"#).unwrap_err();
        assert_eq!(error.code(), "FOLD-E0002");
        assert!(
            error.to_string().contains("`neuron`") && error.to_string().contains("`neurons`"),
            "{error}"
        );
        assert_eq!(TrainConfig::from_json("{").unwrap_err().code(), "FOLD-E0001");
    }

    #[test]
    fn settings_have_names_and_are_not_counted_off() {
        for text in ["[10]", "[]", "10", "null", "\"neurons\""] {
            let error = TrainConfig::from_json(text).unwrap_err();
            assert_eq!(error.code(), "FOLD-E0001", "{text}");
            assert!(error.to_string().contains("a JSON object"), "{text}: {error}");
        }
        let error = TrainConfig::from_json("{\"neurons\": 10,\n\"neurons\": 11}").unwrap_err();
        assert!(error.to_string().contains("line 2"), "{error}");
    }

    #[test]
    fn a_step_beyond_the_bounds_is_refused_in_the_settings_that_make_it_and_the_limits_named_are_allowed() {
        for (text, named) in [
            (
                r#"{"batch": 256}"#,
                &[
                    "train.batch = 256",
                    "limit 10)",
                    "train.learning_rate = 0.05",
                    "limit 0.001953125)",
                ][..],
            ),
            (
                r#"{"heterosynaptic": 16}"#,
                &["train.heterosynaptic = 16", "limit 2.5)", "train.batch = 8", "limit 1)"],
            ),
            (
                r#"{"learning_rate": 0.5, "heterosynaptic": 3}"#,
                &["train.learning_rate = 0.5", "limit 0.041666"],
            ),
            (
                r#"{"learning_rate": 1e-9}"#,
                &["train.learning_rate = 0.000000001", "too small"],
            ),
            (
                r#"{"heterosynaptic": 1e-7}"#,
                &["train.heterosynaptic = 0.0000001", "too small"],
            ),
        ] {
            let error = TrainConfig::from_json(text).unwrap_err();
            let said = error.to_string();
            assert!(said.starts_with("FOLD-E0001 misuse: train."), "{said}");
            assert!(named.iter().all(|part| said.contains(part)), "{said}");
            assert!(!said.contains("stdp"), "{said}");
            limits_are_allowed(serde_json::from_str(text).unwrap());
        }
        for batch in 1..=256 {
            for learning_rate in [1.0, 0.3, 0.05, 0.007, 1e-8, 1e-10] {
                for heterosynaptic in [0.0, 1e-7, 0.7, 1.0, 3.0, 16.0] {
                    limits_are_allowed(TrainConfig {
                        batch,
                        learning_rate,
                        heterosynaptic,
                        ..TrainConfig::default()
                    });
                }
            }
        }
    }

    /// What is said to be the limit of a setting is allowed, the others as they are.
    fn limits_are_allowed(config: TrainConfig) {
        let violations = match config.check() {
            Ok(()) => return,
            Err(Error::Config { violations }) => violations,
            Err(other) => panic!("{other}"),
        };
        for violation in violations.as_slice() {
            let fold_core::params::Violation::Joint { parameter, limit, .. } = *violation else {
                panic!("{violation}")
            };
            let mut mended = config;
            match parameter {
                "train.batch" => mended.batch = limit as u32,
                "train.learning_rate" => mended.learning_rate = limit as f32,
                _ => mended.heterosynaptic = limit as f32,
            }
            let left = mended
                .check()
                .map_or_else(|error| error.to_string(), |()| String::new());
            // What is too large together is mended by one of them; another setting may still be too small.
            let together = violation.to_string().contains("at most") && left.contains("at most");
            assert!(!left.contains(parameter) && !together, "{mended:?}: {left}");
        }
    }

    #[test]
    fn the_documented_limits_at_the_defaults_are_the_limits() {
        let at = |change: fn(&mut TrainConfig)| {
            let mut config = TrainConfig::default();
            change(&mut config);
            config.check().is_ok()
        };
        assert!(at(|c| c.batch = 10) && !at(|c| c.batch = 11));
        assert!(at(|c| c.learning_rate = 0.0625) && !at(|c| c.learning_rate = 0.0626));
        assert!(at(|c| c.heterosynaptic = 2.5) && !at(|c| c.heterosynaptic = 2.51));
    }

    #[test]
    fn what_only_the_layer_refuses_has_its_code_and_class() {
        let parameters = fold_core::Error::Parameters {
            violations: Violations::new(),
        };
        let text = Error::from(fold_advanced::Error::from(parameters)).to_string();
        assert!(text.starts_with("FOLD-E0001 misuse: parameters"), "{text}");
    }

    #[test]
    fn the_learning_rate_decays_from_the_second_epoch_on() {
        let config = TrainConfig {
            learning_decay: 0.5,
            ..TrainConfig::default()
        };
        assert_eq!([1, 2, 4].map(|epoch| config.plasticity(epoch)), [1.0, 0.5, 0.125]);
    }
}
