//! Dendritic integration: from the input and the weights to the somatic potential.
//!
//! ```text
//! v_d = sum_s W[d,s] x[line(d,s)]
//! u   = sum_d (s(g (v_d - th_d)) - s(-g th_d)) / (1 - s(-g th_d))          s(z) = 1 / (1 + e^-z)
//! ```
//!
//! Each dendrite is a sigmoidal unit of its own, shifted and scaled such that no input gives 0 and an endless one 1.
//!
//! # Properties
//! u = 0 without input; 0 <= u <= D; u does not decrease with any v_d (strictly increases, up to the resolution of f32).
//! Sums run in the order of s, then d, for each sample alone: neither the batch nor the threads can change a bit.
//!
//! # Source
//! Two-layer neuron: Poirazi, Brannon, Mel 2003, doi:10.1016/S0896-6273(03)00149-1. The shift to u(0) = 0 and the scale to 1
//! are ours: without them a neuron fires on no input at all.

use rayon::prelude::*;

use crate::lanes::{LANES, Lane, Lanes};
use crate::params::DendriteParams;
use crate::{Wiring, math};

/// Below this many multiplications a step is not worth a second thread.
const SERIAL_WORK: usize = 1 << 17;

/// Neurons that one task computes.
const NEURONS_PER_TASK: usize = 16;

/// The dendritic nonlinearity.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dendrite {
    gain: f32,
    threshold: f32,
    rest: f32,
    scale: f32,
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
        }
    }

    /// One dendrite's contribution to u, in [0, 1]; 0 at v = 0.
    #[must_use]
    pub fn activation(&self, v: f32) -> f32 {
        let open = math::sigmoid(self.gain * (v - self.threshold));
        ((open - self.rest) * self.scale).min(1.0)
    }

    /// Computes the potential of every neuron for every sample.
    ///
    /// - `weights`: [n, D, S], finite, >= 0.   - `input`: B samples over M lines, in [0, 1].
    /// - `potential`: [n, ceil(B / LANES)], written in full; lanes beyond B get u(0) = 0.
    pub fn integrate(&self, wiring: &Wiring, weights: &[f32], input: &Lanes, potential: &mut [Lane]) {
        let shape = wiring.shape();
        let blocks = input.samples().div_ceil(LANES).max(1);
        let row = shape.row_len();
        let run = |first: usize, potential: &mut [Lane]| {
            for (k, lanes) in potential.chunks_mut(blocks).enumerate() {
                let span = (first + k) * row..(first + k + 1) * row;
                let (weights, index) = (&weights[span.clone()], &wiring.index()[span]);
                for (u, block) in lanes.iter_mut().zip(input.blocks()) {
                    *u = self.neuron(weights, index, shape.synapses_per_dendrite(), block);
                }
            }
        };
        if shape.synapse_count() * input.samples() < SERIAL_WORK {
            run(0, potential);
        } else {
            let tasks = potential.par_chunks_mut(NEURONS_PER_TASK * blocks).enumerate();
            tasks.for_each(|(task, potential)| run(task * NEURONS_PER_TASK, potential));
        }
    }

    /// One neuron, one block of samples.
    fn neuron(&self, weights: &[f32], index: &[u32], synapses: usize, block: &[Lane]) -> Lane {
        let mut u = [0.0; LANES];
        for (weights, index) in weights.chunks_exact(synapses).zip(index.chunks_exact(synapses)) {
            let mut v = [0.0; LANES];
            for (&w, &line) in weights.iter().zip(index) {
                let x = &block[line as usize];
                for (v, x) in v.iter_mut().zip(x) {
                    *v += w * x;
                }
            }
            for (u, v) in u.iter_mut().zip(v) {
                *u += self.activation(v);
            }
        }
        u
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
mod tests {
    use super::*;
    use crate::Shape;
    use crate::random::{Random, Stream, uniform};
    use quickcheck::quickcheck;

    /// The equations above, term by term in double precision, for one sample.
    fn reference(params: &DendriteParams, shape: Shape, weights: &[f32], index: &[u32], x: &[f32]) -> Vec<f64> {
        let s = |z: f64| 1.0 / (1.0 + (-z).exp());
        let (g, th) = (f64::from(params.gain), f64::from(params.threshold));
        let [n, dendrites, synapses] = shape.dims();
        let mut u = vec![0.0; n];
        for (i, u) in u.iter_mut().enumerate() {
            for d in 0..dendrites {
                let mut v = 0.0;
                for k in 0..synapses {
                    let at = (i * dendrites + d) * synapses + k;
                    v += f64::from(weights[at]) * f64::from(x[index[at] as usize]);
                }
                *u += (s(g * (v - th)) - s(-g * th)) / (1.0 - s(-g * th));
            }
        }
        u
    }

    fn numbers(seed: u64, count: usize, scale: f32) -> Vec<f32> {
        let random = Random::new(seed, Stream(900));
        (0..count)
            .map(|k| uniform(random.block(k as u64, 0)[0]) * scale)
            .collect()
    }

    fn potential(params: &DendriteParams, wiring: &Wiring, weights: &[f32], x: &[f32], samples: usize) -> Vec<f32> {
        let mut lanes = Lanes::zeros(samples, wiring.lines() as usize);
        lanes.fill(x);
        let mut u = vec![[9.0; LANES]; wiring.shape().neuron_count() * samples.div_ceil(LANES)];
        Dendrite::new(params).integrate(wiring, weights, &lanes, &mut u);
        let mut rows = vec![0.0; samples * wiring.shape().neuron_count()];
        to_sample_rows(&u, samples, &mut rows);
        rows
    }

    quickcheck! {
        fn agrees_with_the_slow_reference_for_any_wiring(seed: u64, n: u8, d: u8, s: u8, samples: u8) -> bool {
            let shape = Shape { neurons: u32::from(n % 20) + 1, dendrites: u32::from(d % 4) + 1, synapses: u32::from(s % 40) + 1 };
            let lines = 17;
            let index = numbers(seed, shape.synapse_count(), 17.0).iter().map(|&k| k as u32).collect();
            let wiring = Wiring::new(shape, lines, index).unwrap();
            let samples = usize::from(samples % 20) + 1;
            let weights = numbers(seed ^ 1, shape.synapse_count(), 1.0);
            let x = numbers(seed ^ 2, samples * 17, 1.0);
            let params = DendriteParams { gain: 0.7, threshold: 3.0 };
            let fast = potential(&params, &wiring, &weights, &x, samples);
            x.chunks(17).zip(fast.chunks(shape.neuron_count())).all(|(x, fast)| {
                let slow = reference(&params, shape, &weights, wiring.index(), x);
                slow.iter().zip(fast).all(|(a, &b)| (a - f64::from(b)).abs() < 1e-5)
            })
        }

        fn potential_is_bounded_zero_at_rest_and_never_decreasing(gain: u8, threshold: u8, v: u16, more: u16) -> bool {
            let params = DendriteParams { gain: f32::from(gain) / 16.0 + 0.01, threshold: f32::from(threshold) / 8.0 };
            let dendrite = Dendrite::new(&params);
            let (v, w) = (f32::from(v) / 256.0, f32::from(v.saturating_add(more)) / 256.0);
            let (a, b) = (dendrite.activation(v), dendrite.activation(w));
            dendrite.activation(0.0) == 0.0 && 0.0 <= a && a <= b && b <= 1.0
        }
    }

    #[test]
    fn a_stronger_input_gives_a_strictly_larger_potential_where_f32_can_tell() {
        let dendrite = Dendrite::new(&DendriteParams {
            gain: 1.0,
            threshold: 4.0,
        });
        let values: Vec<f32> = (0..100).map(|k| dendrite.activation(k as f32 * 0.1)).collect();
        assert!(values.windows(2).all(|w| w[0] < w[1]));
    }

    #[test]
    fn neither_batch_nor_threads_change_a_bit() {
        let shape = Shape {
            neurons: 90,
            dendrites: 3,
            synapses: 50,
        };
        let wiring = Wiring::shared(shape).unwrap();
        let weights = numbers(1, shape.synapse_count(), 1.0);
        let x = numbers(2, 19 * 150, 1.0);
        let params = DendriteParams::default();
        let all = potential(&params, &wiring, &weights, &x, 19);
        for threads in [1, 2, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            assert_eq!(pool.install(|| potential(&params, &wiring, &weights, &x, 19)), all);
        }
        for (x, all) in x.chunks(150).zip(all.chunks(90)) {
            assert_eq!(potential(&params, &wiring, &weights, x, 1), all);
        }
    }

    /// Value stability: these bits change only with an ADR and a changelog entry.
    #[test]
    fn pinned_bits() {
        let dendrite = Dendrite::new(&DendriteParams::default());
        assert_eq!(
            [0.5, 4.0, 9.0].map(|v| dendrite.activation(v).to_bits()),
            [0x3c3c_f6db, 0x3efb_4fab, 0x3f7e_4158]
        );
    }
}
