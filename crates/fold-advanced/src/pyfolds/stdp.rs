//! STDP as PyFolds has it: depression at the post spike with the post trace, summed over the batch, straight into I.
//!
//! ```text
//! x <- x e^(-dt/tau+) + [x~ > spike_threshold]        y <- y e^(-dt/tau-)
//! dI = sum_b post_b (A+ x [x > thr] - A- y [y > thr])        I <- clip(I + dI, i_min, i_max)        y <- y + post
//! ```
//!
//! The input is the transmitted one, x~. Defects B1, B2, B3.

use super::parameters::Parameters;
use super::scalar::{clip, decay, mask, single};

/// The traces, each [B, D, S]; empty until the first step that uses them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Stdp {
    /// x, presynaptic.
    pub pre: Vec<f32>,
    /// y, postsynaptic.
    pub post: Vec<f32>,
}

impl Stdp {
    /// One step: traces, and I of every synapse [D, S].
    ///
    /// - `x`: the transmitted input, [B, D, S].   - `spikes`: those that the neuron reports, \[B\].
    pub fn learn(&mut self, p: &Parameters, x: &[f32], spikes: &[u8], dt: f64, internal: &mut [f32]) {
        if self.pre.len() != x.len() {
            for trace in [&mut self.pre, &mut self.post] {
                trace.clear();
                trace.resize(x.len(), 0.0);
            }
        }
        let (keep_pre, keep_post) = (decay(dt, p.tau_pre), decay(dt, p.tau_post));
        let event = single(p.spike_threshold);
        for ((pre, post), x) in self.pre.iter_mut().zip(&mut self.post).zip(x) {
            *pre = *pre * keep_pre + mask(*x > event);
            *post *= keep_post;
        }
        let row = internal.len();
        let threshold = single(p.stdp_trace_threshold);
        let (plus, minus) = (single(p.A_plus), single(-p.A_minus));
        for (k, i) in internal.iter_mut().enumerate() {
            let mut change = 0.0;
            for (b, &spike) in spikes.iter().enumerate() {
                let (pre, post) = (self.pre[b * row + k], self.post[b * row + k]);
                let s = f32::from(spike);
                let depression = ((minus * post) * mask(post > threshold)) * s;
                let potentiation = ((plus * pre) * mask(pre > threshold)) * s;
                change += depression + potentiation;
            }
            *i = clip(*i + change, single(p.i_min), single(p.i_max));
        }
        for (post, &spike) in self.post.chunks_exact_mut(row).zip(spikes) {
            post.iter_mut().for_each(|y| *y += f32::from(spike));
        }
    }
}
