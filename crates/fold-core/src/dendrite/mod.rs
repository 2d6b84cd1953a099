//! Dendritic integration: from the input and the weights to the somatic potential.
//!
//! ```text
//! v_d = sum_s W[d,s] x[line(d,s)]
//! a_d = (s(g (v_d - th_d)) - s(-g th_d)) / (1 - s(-g th_d))          s(z) = 1 / (1 + e^-z)
//!
//! sum             u = sum_d a_d
//! nmda_shunting   u_i = U_i / (1 + k mean_{j != i} U_j),   U = sum_d a_d
//! wta_soft        u = (D / beta) ln(mean_d exp(beta a_d))
//! wta_hard        u = D max_d a_d
//! ```
//!
//! Each dendrite is a sigmoidal unit of its own, shifted and scaled such that no input gives 0 and an endless one 1. The
//! sigmoid is the input-output curve of a dendrite with NMDA spikes. Shunting divides by the activity of the *other* neurons: a
//! neuron that divides by its own is saturated from the start. The soft maximum lies between the sum (beta -> 0) and the
//! hard one (beta -> infinity).
//!
//! # Properties
//! u = 0 without input; 0 <= u <= D; u does not decrease with any v_d (strictly increases, up to the resolution of f32; under
//! `wta_hard` only with that of the strongest dendrite). Under `nmda_shunting` u_i does not increase with the input of another neuron.
//! Sums run in the order of s, then d, then i, for each sample alone: neither the batch nor the threads can change a bit.
//!
//! # Source
//! Two-layer neuron: Poirazi, Brannon, Mel 2003, doi:10.1016/S0896-6273(03)00149-1; NMDA spikes: Schiller, Major, Koester, Schiller
//! 2000, doi:10.1038/35005094; division: Carandini and Heeger 2012, doi:10.1038/nrn3136; competition of dendrites: Polsky, Mel,
//! Schiller 2004, doi:10.1038/nn1253. The shift to u(0) = 0, the scale to 1, and leaving the neuron itself out of its pool are
//! ours: without them a neuron fires on no input at all.

mod walk;

use rayon::prelude::*;

use crate::lanes::{LANES, Lane, Lanes};
use crate::params::{DendriteParams, Integration};
use crate::{Wiring, math, threads};
use walk::{Input, Rows, Task, neurons_per_task};

/// Below this many multiplications a step is not worth a second thread.
const SERIAL_WORK: usize = 1 << 20;

/// The dendritic nonlinearity.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dendrite {
    gain: f32,
    threshold: f32,
    rest: f32,
    scale: f32,
    shunting: f32,
    sharpness: f32,
    integration: Integration,
}

impl Dendrite {
    /// For `params`, which must have passed its check.
    #[must_use]
    pub fn new(params: &DendriteParams) -> Self {
        let rest = math::sigmoid(params.gain * (0.0 - params.threshold));
        Self {
            gain: params.gain,
            threshold: params.threshold,
            rest,
            scale: 1.0 / (1.0 - rest),
            shunting: params.shunting,
            sharpness: params.sharpness,
            integration: params.integration,
        }
    }

    /// One dendrite's activation a_d, in [0, 1]; 0 at v = 0.
    #[inline(always)]
    #[must_use]
    pub fn activation(&self, v: f32) -> f32 {
        let open = math::sigmoid(self.gain * (v - self.threshold));
        ((open - self.rest) * self.scale).min(1.0)
    }

    /// Computes the potential of every neuron for every sample.
    ///
    /// - `weights`: [n, D * S], finite, >= 0.   - `input`: [B, M], in [0, 1].
    /// - `scratch`: memory for samples that are laid out side by side; what it holds does not matter.
    /// - `potential`: [n, ceil(B / LANES)], written in full; lanes beyond B get u(0) = 0.
    /// - `activations`: [n, D, ceil(B / LANES)], gets every a_d; empty when nobody asks.
    pub fn integrate(
        &self,
        wiring: &Wiring,
        weights: &Lanes,
        input: &[f32],
        scratch: &mut Lanes,
        potential: &mut [Lane],
        activations: &mut [Lane],
    ) {
        if potential.is_empty() {
            return;
        }
        let shape = wiring.shape();
        let lines = wiring.lines() as usize;
        let samples = input.len() / lines;
        let blocks = samples.div_ceil(LANES);
        let row = shape.row_len();
        let (rows, others) = input.split_at(walk::samples_by_row(samples, wiring) * lines);
        scratch.lay_out(others, lines);
        let input = Input {
            rows,
            lines,
            lanes: scratch,
        };
        // What is not asked for has rows of length 0.
        let local = activations.len() / shape.neuron_count();
        let run = |first: usize, potential: &mut [Lane], activations: &mut [Lane]| {
            let last = first + potential.len() / blocks;
            let rows = Rows {
                weights: &weights.values()[first / LANES * row..last.div_ceil(LANES) * row],
                index: &wiring.index()[first * row..last * row],
                uniform: wiring.is_uniform(),
                in_order: wiring.is_in_order(),
                dendrites: shape.dendrite_count(),
                synapses: shape.synapses_per_dendrite(),
            };
            let task = Task {
                dendrite: self,
                rows,
                input,
                potential,
                activations,
            };
            task.run();
        };
        let neurons = neurons_per_task(shape.neuron_count());
        if !threads::pay(shape.synapse_count() * samples, SERIAL_WORK) {
            run(0, potential, activations);
        } else if local == 0 {
            let tasks = potential.par_chunks_mut(neurons * blocks).enumerate();
            tasks.for_each(|(task, potential)| run(task * neurons, potential, &mut []));
        } else {
            let tasks = potential
                .par_chunks_mut(neurons * blocks)
                .zip(activations.par_chunks_mut(neurons * local))
                .enumerate();
            tasks.for_each(|(task, (potential, activations))| run(task * neurons, potential, activations));
        }
        if self.integration == Integration::NmdaShunting {
            self.shunt(blocks, potential);
        }
    }

    /// [`Dendrite::activation`] of every value.
    #[inline(always)]
    fn activate(&self, v: &mut [f32]) {
        for v in v {
            *v = self.activation(*v);
        }
    }

    /// Takes one more dendrite into the potential of one neuron.
    #[inline(always)]
    fn add(&self, u: &mut Lane, a: &Lane) {
        match self.integration {
            Integration::Sum | Integration::NmdaShunting => *u = std::array::from_fn(|at| u[at] + a[at]),
            Integration::WtaSoft => {
                for (u, a) in u.iter_mut().zip(a) {
                    *u += math::exp_single(self.sharpness * a);
                }
            }
            Integration::WtaHard => u.iter_mut().zip(a).for_each(|(u, a)| *u = u.max(*a)),
        }
    }

    /// Makes the potential of what the dendrites have added up to.
    #[inline(always)]
    fn finish(&self, u: &mut Lane, dendrites: usize) {
        let dendrites = dendrites as f32;
        match self.integration {
            Integration::Sum | Integration::NmdaShunting => {}
            Integration::WtaSoft => {
                let scale = dendrites / self.sharpness;
                for u in u {
                    *u = (scale * math::ln_single(*u / dendrites)).min(dendrites);
                }
            }
            Integration::WtaHard => {
                for u in u {
                    *u *= dendrites;
                }
            }
        }
    }

    /// Divides each neuron's potential by the mean of the others', in each sample.
    fn shunt(&self, blocks: usize, potential: &mut [Lane]) {
        let others = potential.len() / blocks - 1;
        let strength = f64::from(self.shunting) / others.max(1) as f64;
        for block in 0..blocks {
            let mut total = [0.0f64; LANES];
            for u in potential.iter().skip(block).step_by(blocks) {
                for (total, &u) in total.iter_mut().zip(u) {
                    *total += f64::from(u);
                }
            }
            for u in potential.iter_mut().skip(block).step_by(blocks) {
                for (u, total) in u.iter_mut().zip(total) {
                    let own = f64::from(*u);
                    *u = (own / (1.0 + strength * (total - own).max(0.0))) as f32;
                }
            }
        }
    }
}

/// Turns potentials [n, ceil(B / LANES)] in lanes into rows [B, n].
pub fn to_sample_rows(potential: &[Lane], samples: usize, rows: &mut [f32]) {
    let blocks = samples.div_ceil(LANES).max(1);
    let neurons = potential.len() / blocks;
    for (sample, row) in rows.chunks_exact_mut(neurons.max(1)).enumerate() {
        let (block, lane) = (sample / LANES, sample % LANES);
        for (u, lanes) in row.iter_mut().zip(potential.chunks_exact(blocks)) {
            *u = lanes[block][lane];
        }
    }
}

#[cfg(test)]
mod tests;
