//! The modulator R, in f64, clipped to [-1, 1].
//!
//! external: the reward, 0 without one. capacity: bias + k_sat (1 - sat) - k_rate abs(rate - target). surprise:
//! bias + k abs(rate - r_hat), with r_hat as homeostasis has just left it (defect A5).

use super::parameters::{NeuromodulationMode, Parameters};

/// What a modulator can be made of.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Signals {
    /// The caller's reward.
    pub reward: Option<f64>,
    /// The batch's mean rate.
    pub rate: f64,
    /// Its moving average.
    pub r_hat: f32,
    /// The fraction of synapses at n_max.
    pub saturation: f64,
}

/// R.
#[must_use]
pub fn modulator(p: &Parameters, signals: Signals) -> f64 {
    let r = match p.neuromod_mode {
        NeuromodulationMode::External => signals.reward.unwrap_or(0.0),
        NeuromodulationMode::Capacity => {
            let deviation = (signals.rate - p.target_spike_rate).abs();
            p.cap_bias + p.cap_k_sat * (1.0 - signals.saturation) - p.cap_k_rate * deviation
        }
        NeuromodulationMode::Surprise => p.sup_bias + p.sup_k * (signals.rate - f64::from(signals.r_hat)).abs(),
    };
    // Python's max(-1, min(1, r)) makes 1 of what is not a number.
    if r.is_nan() { 1.0 } else { r.clamp(-1.0, 1.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mode_is_its_equation_and_at_most_1_in_size() {
        let parameters = |neuromod_mode| Parameters {
            neuromod_mode,
            cap_bias: 0.125,
            cap_k_sat: 0.5,
            cap_k_rate: 2.0,
            sup_bias: -0.25,
            sup_k: 4.0,
            target_spike_rate: 0.25,
            ..Parameters::default()
        };
        let signals = Signals {
            reward: Some(-0.5),
            rate: 0.375,
            r_hat: 0.25,
            saturation: 0.75,
        };
        use NeuromodulationMode::{Capacity, External, Surprise};
        assert_eq!(modulator(&parameters(External), signals), -0.5);
        assert_eq!(modulator(&parameters(Capacity), signals), 0.125 + 0.125 - 0.25);
        assert_eq!(modulator(&parameters(Surprise), signals), -0.25 + 0.5);
        for (reward, r) in [(None, 0.0), (Some(7.0), 1.0), (Some(-7.0), -1.0), (Some(f64::NAN), 1.0)] {
            assert_eq!(modulator(&parameters(External), Signals { reward, ..signals }), r);
        }
    }
}
