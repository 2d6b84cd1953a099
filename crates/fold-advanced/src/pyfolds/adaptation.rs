//! Spike-frequency adaptation: a current that spikes feed and that is subtracted from the potential.
//!
//! ```text
//! c <- min(c e^(-dt/tau) + increment spike, max)        u <- u - c        spike <- [u >= theta]
//! ```
//!
//! The last assignment overrides the refractory decision (defect D3), and c may exceed every potential (defect G1).

use super::parameters::Parameters;
use super::scalar::{at_most, decay, single};

/// The current of each sample, \[B\]; empty until the first step that uses it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Adaptation {
    /// c.
    pub current: Vec<f32>,
}

impl Adaptation {
    /// Feeds the current with `spikes` \[B\], subtracts it from `u` \[B\] and decides the spikes anew.
    pub fn adapt(&mut self, p: &Parameters, theta: f32, dt: f64, u: &mut [f32], spikes: &mut [u8]) {
        if self.current.len() != u.len() {
            self.current.clear();
            self.current.resize(u.len(), 0.0);
        }
        let keep = decay(dt, p.adaptation_tau);
        for ((c, u), spike) in self.current.iter_mut().zip(u).zip(spikes) {
            *c = at_most(
                *c * keep + single(p.adaptation_increment) * f32::from(*spike),
                single(p.adaptation_max),
            );
            *u -= *c;
            *spike = u8::from(*u >= theta);
        }
    }
}
