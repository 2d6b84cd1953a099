//! The refractory decision: by comparing an f32 clock with the time of the last spike (defects D1 to D3).
//!
//! ```text
//! blocked: t - last <= t_abs        relative: t_abs < t - last <= t_rel, threshold + strength
//! ```
//!
//! Windows include their end. What is decided here moves `last` and the adaptation current; the spikes that the neuron
//! reports are decided once more by [`super::adaptation`].

use super::parameters::Parameters;
use super::scalar::single;

/// The time of a sample's last spike before there was one, ms.
const NEVER: f32 = -1000.0;

/// Times and decisions, each \[B\].
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Refractory {
    /// The time of the last spike, ms.
    pub last_spike: Vec<f32>,
    /// Whether the absolute window blocked the sample in the last step.
    pub blocked: Vec<bool>,
    /// The boost of the threshold in the last step.
    pub boost: Vec<f32>,
}

impl Refractory {
    /// Makes room for `samples` samples; all forget their last spike when their number changes.
    pub fn fit(&mut self, samples: usize) {
        if self.last_spike.len() != samples {
            self.last_spike.clear();
            self.last_spike.resize(samples, NEVER);
        }
    }

    /// Decides about potentials `u` \[B\] at `time` and writes the spikes, \[B\].
    pub fn decide(&mut self, p: &Parameters, u: &[f32], theta: f32, time: f32, spikes: &mut Vec<u8>) {
        self.blocked.clear();
        self.boost.clear();
        spikes.clear();
        for (&u, last) in u.iter().zip(&mut self.last_spike) {
            let since = time - *last;
            let blocked = since <= single(p.t_refrac_abs);
            let relative = since > single(p.t_refrac_abs) && since <= single(p.t_refrac_rel);
            let boost = if relative { single(p.refrac_rel_strength) } else { 0.0 };
            let fires = !blocked && u >= theta + boost;
            if fires {
                *last = time;
            }
            self.blocked.push(blocked);
            self.boost.push(boost);
            spikes.push(u8::from(fires));
        }
    }
}
