//! What a training run is set up with: one table of defaults and ranges, and the layer that follows from it.
//!
//! Not here: where a run writes, which seeds it has, and how many threads. They change no result of a seed.

use fold_advanced::LayerConfig;
use fold_advanced::homeostasis::HomeostasisParams;
use fold_advanced::inhibition::{Contenders, InhibitionParams, Winners};
use fold_advanced::stdp::StdpParams;
use fold_core::Shape;
use fold_core::math;
use fold_core::params::{Range, Violations};
use fold_ops::Object;

use crate::Error;
use crate::encode::{Encoding, SYNAPSES};

/// Theta of a new neuron, per dendrite: only differences count in the competition, and this leaves room below and above.
const THETA_INIT: f32 = 0.5;
/// The largest theta, per dendrite.
const THETA_MAX: f32 = 2.0;

fold_core::parameters! {
    /// The configuration of a training run. The defaults were chosen on folds of the training part (docs/learning).
    pub struct TrainConfig in "train" {
        /// Neurons n of the layer, and width of the controls' features.
        neurons: u32 = 400, Range::closed(2.0, 16384.0), "neurons";
        /// Neurons k that fire for an image.
        winners: u32 = 4, Range::closed(1.0, 16384.0), "neurons";
        /// Passes over the training images.
        epochs: u32 = 8, Range::closed(1.0, 10000.0), "epochs";
        /// Images B between two changes of the weights.
        batch: u32 = 8, Range::closed(1.0, 256.0), "images";
        /// Learning rate eta of the first epoch: the step of a winner's w = N / n_max towards an image.
        learning_rate: f32 = 0.05, Range::above(0.0, 1.0), "1";
        /// Factor on the learning rate from epoch to epoch.
        learning_decay: f32 = 0.85, Range::above(0.0, 1.0), "1";
        /// Strength h of heterosynaptic depression relative to potentiation.
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
        if !violations.as_slice().is_empty() {
            return Err(Error::Config { violations });
        }
        Ok(self.layer(Encoding::DIGITS, 0).check()?)
    }

    /// The layer of this configuration for images of this encoding.
    ///
    /// The layer's rules are means over the batch; the rates here are per image, so they are multiplied by B.
    #[must_use]
    pub fn layer(&self, encoding: Encoding, seed: u64) -> LayerConfig {
        let shape = Shape {
            neurons: self.neurons,
            dendrites: encoding.dendrites(),
            synapses: SYNAPSES,
        };
        let mut layer = LayerConfig::new(shape, encoding.lines() as u32, seed);
        let (batch, dendrites) = (self.batch as f32, encoding.dendrites() as f32);
        let a_plus = self.learning_rate * batch * f32::from(layer.filaments.n_max);
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
            a_het: a_plus * self.heterosynaptic,
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
    fn what_only_the_layer_forbids_is_refused_too() {
        let config = TrainConfig {
            learning_rate: 0.1,
            batch: 64,
            ..TrainConfig::default()
        };
        assert!(config.check().unwrap_err().to_string().contains("stdp.a_plus"));
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
