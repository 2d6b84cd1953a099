//! Short-term plasticity: facilitation u and depression R of each synapse, shared by the batch (defects F1 to F4).
//!
//! ```text
//! p = mean_b [x > spike_threshold]
//! u' = clip(u e^(-dt/tau_f) + U (1 - u) p, 0, 1)
//! R' = clip(R e^(-dt/tau_r) + (1 - R)(1 - e^(-dt/tau_r)) - u' R p, 0, 1)         x~ = x u' R'
//! ```

use super::parameters::Parameters;
use super::scalar::{clip, count, decay, mask, single, sum};

/// u and R, each [D, S].
#[derive(Debug, Clone, PartialEq)]
pub struct ShortTerm {
    /// Release probability.
    pub u: Vec<f32>,
    /// Resources.
    pub r: Vec<f32>,
}

impl ShortTerm {
    /// At their initial values.
    #[must_use]
    pub fn new(p: &Parameters) -> Self {
        Self {
            u: vec![single(p.u0); p.synapse_count()],
            r: vec![single(p.R0); p.synapse_count()],
        }
    }

    /// Moves u and R by one step and transmits `x` [B, D, S] into `transmitted`, of the same shape.
    pub fn transmit(&mut self, p: &Parameters, x: &[f32], dt: f64, transmitted: &mut Vec<f32>) {
        let row = self.u.len();
        let samples = x.len() / row;
        let threshold = single(p.spike_threshold);
        let (keep_u, keep_r) = (decay(dt, p.tau_fac), decay(dt, p.tau_rec));
        let recover = single(1.0 - fold_core::math::exp(-dt / p.tau_rec));
        for (k, (u, r)) in self.u.iter_mut().zip(&mut self.r).enumerate() {
            let events = sum((0..samples).map(|b| mask(x[b * row + k] > threshold))) / count(samples);
            *u = clip(*u * keep_u + (single(p.U) * (1.0 - *u)) * events, 0.0, 1.0);
            *r = clip((*r * keep_r + (1.0 - *r) * recover) - (*u * *r) * events, 0.0, 1.0);
        }
        transmitted.clear();
        for x in x.chunks_exact(row) {
            transmitted.extend(x.iter().zip(self.u.iter().zip(&self.r)).map(|(x, (u, r))| x * (u * r)));
        }
    }
}
