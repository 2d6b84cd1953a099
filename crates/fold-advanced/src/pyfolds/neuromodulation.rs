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
