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

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use crate::lanes::{LANES, Lane, Lanes};
use crate::params::{DendriteParams, Integration};
use crate::{Wiring, math};

/// Below this many multiplications a step is not worth a second thread.
const SERIAL_WORK: usize = 1 << 17;

/// Neurons that one task computes.
const NEURONS_PER_TASK: usize = 16;

/// Blocks of samples that are computed together.
const TILE: usize = 4;

/// Samples from which on wide instructions pay.
const NARROW: usize = 5;

/// Dendrites that are computed together where there is less than a tile.
const GROUP: usize = 4;

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
    #[must_use]
    pub fn activation(&self, v: f32) -> f32 {
        let open = math::sigmoid(self.gain * (v - self.threshold));
        ((open - self.rest) * self.scale).min(1.0)
    }

    /// Computes the potential of every neuron for every sample.
    ///
    /// - `weights`: [n, D, S], finite, >= 0.   - `input`: B samples over M lines, in [0, 1].
    /// - `potential`: [n, ceil(B / LANES)], written in full; lanes beyond B get u(0) = 0.
    /// - `activations`: [n, D, ceil(B / LANES)], gets every a_d; empty when nobody asks.
    pub fn integrate(
        &self,
        wiring: &Wiring,
        weights: &[f32],
        input: &Lanes,
        potential: &mut [Lane],
        activations: &mut [Lane],
    ) {
        if potential.is_empty() {
            return;
        }
        let shape = wiring.shape();
        let blocks = input.samples().div_ceil(LANES);
        let row = shape.row_len();
        // What is not asked for has rows of length 0.
        let local = activations.len() / shape.neuron_count();
        let run = |first: usize, potential: &mut [Lane], activations: &mut [Lane]| {
            let span = first * row..(first + potential.len() / blocks) * row;
            let rows = Rows {
                weights: &weights[span.clone()],
                index: &wiring.index()[span],
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
            // Few samples fill no wide register; gathering them from several lines takes longer than one after the other.
            match input.samples() {
                0..NARROW => task.run(),
                _ => Arch::new().dispatch(task),
            }
        };
        if shape.synapse_count() * input.samples() < SERIAL_WORK {
            run(0, potential, activations);
        } else if local == 0 {
            let tasks = potential.par_chunks_mut(NEURONS_PER_TASK * blocks).enumerate();
            tasks.for_each(|(task, potential)| run(task * NEURONS_PER_TASK, potential, &mut []));
        } else {
            let tasks = potential
                .par_chunks_mut(NEURONS_PER_TASK * blocks)
                .zip(activations.par_chunks_mut(NEURONS_PER_TASK * local))
                .enumerate();
            tasks.for_each(|(task, (potential, activations))| run(task * NEURONS_PER_TASK, potential, activations));
        }
        if self.integration == Integration::NmdaShunting {
            self.shunt(blocks, potential);
        }
    }

    /// Some neurons, every block of samples: tile by tile and dendrite by dendrite, so that what a dendrite of one neuron has read is
    /// still in the cache when the next neuron reads it.
    #[inline(always)]
    fn neurons(&self, rows: &Rows<'_>, input: &Lanes, potential: &mut [Lane], activations: &mut [Lane]) {
        let blocks = input.samples().div_ceil(LANES);
        let lines = input.width();
        let block = |at: usize| &input.values()[at * lines..(at + 1) * lines];
        let tiled = blocks / TILE * TILE;
        potential.fill([0.0; LANES]);
        // A tile of blocks has enough independent sums to hide the latency of an addition.
        for first in (0..tiled).step_by(TILE) {
            let tile = std::array::from_fn(|at| block(first + at));
            for d in 0..rows.dendrites {
                for (neuron, u) in potential.chunks_exact_mut(blocks).enumerate() {
                    let at = (neuron * rows.dendrites + d) * blocks + first;
                    let mut a = rows.drive(neuron, d, tile);
                    self.activate(a.as_flattened_mut());
                    if let Some(kept) = activations.get_mut(at..at + TILE) {
                        kept.copy_from_slice(&a);
                    }
                    for (u, a) in u[first..first + TILE].iter_mut().zip(&a) {
                        self.add(u, a);
                    }
                }
            }
        }
        for (neuron, u) in potential.chunks_exact_mut(blocks).enumerate() {
            for (at, u) in u.iter_mut().enumerate().skip(tiled) {
                let mut keep = |d: usize, a: &Lane| {
                    if let Some(kept) = activations.get_mut((neuron * rows.dendrites + d) * blocks + at) {
                        *kept = *a;
                    }
                };
                match input.samples() {
                    1 => self.narrow::<1>(rows, neuron, block(at), u, &mut keep),
                    2..=4 => self.narrow::<4>(rows, neuron, block(at), u, &mut keep),
                    _ => self.narrow::<LANES>(rows, neuron, block(at), u, &mut keep),
                }
            }
            for u in u {
                self.finish(u, rows.dendrites);
            }
        }
    }

    /// One neuron, one block with samples in its first `LIVE` lanes: several dendrites at once.
    #[inline(always)]
    fn narrow<const LIVE: usize>(
        &self,
        rows: &Rows<'_>,
        neuron: usize,
        block: &[Lane],
        u: &mut Lane,
        keep: &mut impl FnMut(usize, &Lane),
    ) {
        for first in (0..rows.dendrites).step_by(GROUP) {
            let group = GROUP.min(rows.dendrites - first);
            let mut v = [[0.0; LIVE]; GROUP];
            if group == GROUP {
                let pairs = |d: usize| {
                    let (weights, index) = rows.dendrite(neuron, first + d);
                    weights.iter().zip(index)
                };
                let [mut v0, mut v1, mut v2, mut v3] = v;
                let together = pairs(0).zip(pairs(1)).zip(pairs(2).zip(pairs(3)));
                for (((w0, l0), (w1, l1)), ((w2, l2), (w3, l3))) in together {
                    accumulate(&mut v0, *w0, &block[*l0 as usize]);
                    accumulate(&mut v1, *w1, &block[*l1 as usize]);
                    accumulate(&mut v2, *w2, &block[*l2 as usize]);
                    accumulate(&mut v3, *w3, &block[*l3 as usize]);
                }
                v = [v0, v1, v2, v3];
            } else {
                for (d, v) in v.iter_mut().enumerate().take(group) {
                    let (weights, index) = rows.dendrite(neuron, first + d);
                    for (&w, &line) in weights.iter().zip(index) {
                        accumulate(v, w, &block[line as usize]);
                    }
                }
            }
            self.activate(v.as_flattened_mut());
            for (d, v) in v.iter().enumerate().take(group) {
                let mut a = [0.0; LANES];
                for (a, &v) in a.iter_mut().zip(v) {
                    *a = v;
                }
                keep(first + d, &a);
                self.add(u, &a);
            }
        }
    }

    /// [`Dendrite::activation`] of every value.
    #[inline(always)]
    fn activate(&self, v: &mut [f32]) {
        for v in v.iter_mut() {
            *v = self.gain * (*v - self.threshold);
        }
        math::sigmoid_each(v);
        for v in v {
            *v = ((*v - self.rest) * self.scale).min(1.0);
        }
    }

    /// Takes one more dendrite into the potential of one neuron.
    #[inline(always)]
    fn add(&self, u: &mut Lane, a: &Lane) {
        match self.integration {
            Integration::Sum | Integration::NmdaShunting => u.iter_mut().zip(a).for_each(|(u, a)| *u += a),
            Integration::WtaSoft => {
                let mut e = a.map(|a| self.sharpness * a);
                math::exp_each(&mut e);
                u.iter_mut().zip(e).for_each(|(u, e)| *u += e);
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

/// Some neurons to compute, by the widest instructions that the processor has.
///
/// What it calls is inlined, so that the compiler vectorises all of it for those instructions. Products and sums stay
/// separate operations: every processor computes the same bits.
struct Task<'t> {
    dendrite: &'t Dendrite,
    rows: Rows<'t>,
    input: &'t Lanes,
    potential: &'t mut [Lane],
    activations: &'t mut [Lane],
}

impl Task<'_> {
    #[inline(always)]
    fn run(self) {
        self.dendrite
            .neurons(&self.rows, self.input, self.potential, self.activations);
    }
}

impl WithSimd for Task<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        self.run();
    }
}

/// v <- v + w x, in the first lanes.
#[inline(always)]
fn accumulate<const LIVE: usize>(v: &mut [f32; LIVE], w: f32, x: &Lane) {
    for (v, x) in v.iter_mut().zip(x) {
        *v += w * x;
    }
}

/// Weights and lines of some neurons, [neurons, D, S].
struct Rows<'a> {
    weights: &'a [f32],
    index: &'a [u32],
    dendrites: usize,
    synapses: usize,
}

impl<'a> Rows<'a> {
    /// Those of one dendrite.
    #[inline(always)]
    fn dendrite(&self, neuron: usize, d: usize) -> (&'a [f32], &'a [u32]) {
        let first = (neuron * self.dendrites + d) * self.synapses;
        let span = first..first + self.synapses;
        (&self.weights[span.clone()], &self.index[span])
    }

    /// v of one dendrite for a tile of blocks. Four names instead of an array: so they stay in registers.
    #[inline(always)]
    fn drive(&self, neuron: usize, d: usize, [b0, b1, b2, b3]: [&[Lane]; TILE]) -> [Lane; TILE] {
        let [mut v0, mut v1, mut v2, mut v3] = [[0.0; LANES]; TILE];
        let (weights, index) = self.dendrite(neuron, d);
        for (&w, &line) in weights.iter().zip(index) {
            let line = line as usize;
            accumulate(&mut v0, w, &b0[line]);
            accumulate(&mut v1, w, &b1[line]);
            accumulate(&mut v2, w, &b2[line]);
            accumulate(&mut v3, w, &b3[line]);
        }
        [v0, v1, v2, v3]
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

    const MODES: [Integration; 4] = [
        Integration::Sum,
        Integration::NmdaShunting,
        Integration::WtaSoft,
        Integration::WtaHard,
    ];

    /// The equations above, term by term in double precision, for one sample.
    fn reference(params: &DendriteParams, shape: Shape, weights: &[f32], index: &[u32], x: &[f32]) -> Vec<f64> {
        let s = |z: f64| 1.0 / (1.0 + (-z).exp());
        let (g, th) = (f64::from(params.gain), f64::from(params.threshold));
        let (k, beta) = (f64::from(params.shunting), f64::from(params.sharpness));
        let [n, dendrites, synapses] = shape.dims();
        let activations = |i: usize| -> Vec<f64> {
            let dendrite = |d: usize| {
                let first = (i * dendrites + d) * synapses;
                let synapse = |at: usize| f64::from(weights[at]) * f64::from(x[index[at] as usize]);
                let v: f64 = (first..first + synapses).map(synapse).sum();
                (s(g * (v - th)) - s(-g * th)) / (1.0 - s(-g * th))
            };
            (0..dendrites).map(dendrite).collect()
        };
        let sums: Vec<f64> = (0..n).map(|i| activations(i).iter().sum()).collect();
        let d = dendrites as f64;
        let neuron = |i: usize| match params.integration {
            Integration::Sum => sums[i],
            Integration::NmdaShunting => {
                let others: f64 = (0..n).filter(|&j| j != i).map(|j| sums[j]).sum();
                sums[i] / (1.0 + k * others / (n as f64 - 1.0).max(1.0))
            }
            Integration::WtaSoft => d / beta * (activations(i).iter().map(|a| (beta * a).exp()).sum::<f64>() / d).ln(),
            Integration::WtaHard => d * activations(i).into_iter().fold(0.0, f64::max),
        };
        (0..n).map(neuron).collect()
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
        Dendrite::new(params).integrate(wiring, weights, &lanes, &mut u, &mut []);
        let mut rows = vec![0.0; samples * wiring.shape().neuron_count()];
        to_sample_rows(&u, samples, &mut rows);
        rows
    }

    /// A small layer and an input drawn from `seed`: shape [n, D, S] over 17 lines.
    fn drawn(seed: u64, [n, d, s]: [u8; 3]) -> (Wiring, Vec<f32>) {
        let shape = Shape {
            neurons: u32::from(n % 20) + 1,
            dendrites: u32::from(d % 6) + 1,
            synapses: u32::from(s % 40) + 1,
        };
        let index = numbers(seed, shape.synapse_count(), 17.0)
            .iter()
            .map(|&k| k as u32)
            .collect();
        let weights = numbers(seed ^ 1, shape.synapse_count(), 1.0);
        (Wiring::new(shape, 17, index).unwrap(), weights)
    }

    /// Whether a potential function is 0 at rest, within [0, D], and does not fall when one line is driven harder.
    fn sound(u: impl Fn(&[f32]) -> Vec<f64>, dendrites: f64, x: &[f32], line: usize) -> bool {
        let mut more = x.to_vec();
        more[line] = 1.0;
        let (before, after) = (u(x), u(&more));
        u(&[0.0; 17]).iter().all(|&u| u == 0.0)
            && before.iter().all(|u| (0.0..=dendrites).contains(u))
            && before.iter().zip(&after).all(|(a, b)| a <= b)
    }

    quickcheck! {
        fn agrees_with_the_slow_reference_for_any_wiring(seed: u64, shape: (u8, u8, u8), samples: u8) -> bool {
            let (wiring, weights) = drawn(seed, shape.into());
            let samples = usize::from(samples % 40) + 1;
            let x = numbers(seed ^ 2, samples * 17, 1.0);
            MODES.into_iter().all(|integration| {
                let params = DendriteParams { gain: 0.7, threshold: 3.0, integration, ..DendriteParams::default() };
                let fast = potential(&params, &wiring, &weights, &x, samples);
                x.chunks(17).zip(fast.chunks(wiring.shape().neuron_count())).all(|(x, fast)| {
                    let slow = reference(&params, wiring.shape(), &weights, wiring.index(), x);
                    slow.iter().zip(fast).all(|(a, &b)| (a - f64::from(b)).abs() < 1e-5)
                })
            })
        }

        fn one_dendrite_is_bounded_zero_at_rest_and_never_decreasing(gain: u8, threshold: u8, v: u16, more: u16) -> bool {
            let params = DendriteParams {
                gain: f32::from(gain) / 16.0 + 0.01, threshold: f32::from(threshold) / 8.0, ..DendriteParams::default()
            };
            let dendrite = Dendrite::new(&params);
            let (v, w) = (f32::from(v) / 256.0, f32::from(v.saturating_add(more)) / 256.0);
            let (a, b) = (dendrite.activation(v), dendrite.activation(w));
            dendrite.activation(0.0) == 0.0 && 0.0 <= a && a <= b && b <= 1.0
        }

        /// One neuron: no mode may answer less to more input. Other neurons of the layer come in the next property.
        fn potential_is_bounded_zero_at_rest_and_never_decreasing(seed: u64, shape: (u8, u8), line: u8) -> bool {
            let (wiring, weights) = drawn(seed, [0, shape.0, shape.1]);
            let x = numbers(seed ^ 2, 17, 1.0);
            MODES.into_iter().all(|integration| {
                let params = DendriteParams { threshold: 2.0, integration, ..DendriteParams::default() };
                let u = |x: &[f32]| potential(&params, &wiring, &weights, x, 1).into_iter().map(f64::from).collect();
                sound(u, wiring.shape().dendrites.into(), &x, usize::from(line % 17))
            })
        }

        fn shunting_answers_to_its_own_input_and_against_that_of_the_others(seed: u64, n: u8, own: u8) -> bool {
            // Every neuron has a line of its own.
            let neurons = u32::from(n % 12) + 2;
            let shape = Shape { neurons, dendrites: 2, synapses: 1 };
            let wiring = Wiring::new(shape, neurons, (0..neurons).flat_map(|i| [i, i]).collect()).unwrap();
            let params = DendriteParams { threshold: 0.3, integration: Integration::NmdaShunting, ..DendriteParams::default() };
            let mut x = numbers(seed, neurons as usize, 0.9);
            let weights = vec![1.0; shape.synapse_count()];
            let before = potential(&params, &wiring, &weights, &x, 1);
            let own = usize::from(own) % neurons as usize;
            x[own] += 0.05;
            let after = potential(&params, &wiring, &weights, &x, 1);
            (0..neurons as usize).all(|i| if i == own { after[i] > before[i] } else { after[i] <= before[i] })
        }
    }

    /// The property above must be able to fail: the division that E1 found in PyFolds, whose pool holds the divided itself and
    /// whose sigmoids are not shifted, fires on silence; a mean weighted by softmax falls when a weak dendrite rises.
    #[test]
    fn unsound_integrations_fail_the_property() {
        let s = |z: f64| 1.0 / (1.0 + (-z).exp());
        let x = [0.9, 0.5, 0.1, 0.3].repeat(5)[..17].to_vec();
        let gates = |x: &[f32]| -> Vec<f64> { x[..4].iter().map(|&x| s(2.0 * (f64::from(x) - 0.4))).collect() };
        let divided_by_itself = |x: &[f32]| {
            let pool: f64 = gates(x).iter().sum();
            vec![4.0 * gates(x).iter().map(|g| g / (0.1 + pool)).sum::<f64>()]
        };
        assert!(!sound(divided_by_itself, 4.0, &x, 0));
        let softmax_mean = |x: &[f32]| {
            let (strong, weak) = (f64::from(x[0]), 0.6 * f64::from(x[1]));
            let (e, f) = ((8.0 * strong).exp(), (8.0 * weak).exp());
            vec![(strong * e + weak * f) / (e + f)]
        };
        let mut one = [0.0; 17];
        one[0] = 0.95;
        assert!(!sound(softmax_mean, 4.0, &one, 1));
    }

    #[test]
    fn a_stronger_input_gives_a_strictly_larger_potential_where_f32_can_tell() {
        let dendrite = Dendrite::new(&DendriteParams {
            gain: 1.0,
            threshold: 4.0,
            ..DendriteParams::default()
        });
        let values: Vec<f32> = (0..100).map(|k| dendrite.activation(k as f32 * 0.1)).collect();
        assert!(values.windows(2).all(|w| w[0] < w[1]));
    }

    #[test]
    fn the_soft_maximum_lies_between_the_sum_and_the_hard_one() {
        let (wiring, weights) = drawn(5, [9, 5, 30]);
        let x = numbers(6, 17, 1.0);
        let u = |integration, sharpness| {
            let params = DendriteParams {
                threshold: 3.0,
                integration,
                sharpness,
                ..DendriteParams::default()
            };
            potential(&params, &wiring, &weights, &x, 1)
        };
        let (sum, hard) = (u(Integration::Sum, 8.0), u(Integration::WtaHard, 8.0));
        let mut last = sum.clone();
        for sharpness in [0.5, 4.0, 16.0, 64.0] {
            let soft = u(Integration::WtaSoft, sharpness);
            for i in 0..soft.len() {
                assert!(last[i] - 1e-4 <= soft[i] && soft[i] <= hard[i] + 1e-4);
            }
            last = soft;
        }
        assert!(sum.iter().zip(&hard).all(|(s, h)| s < h));
    }

    #[test]
    fn the_activations_that_are_asked_for_are_those_of_the_equation() {
        let (wiring, weights) = drawn(8, [3, 2, 11]);
        let x = numbers(9, 11 * 17, 1.0);
        let mut lanes = Lanes::zeros(11, 17);
        lanes.fill(&x);
        let [n, d, s] = wiring.shape().dims();
        let (mut u, mut a) = (vec![[0.0; LANES]; n * 2], vec![[9.0; LANES]; n * d * 2]);
        let dendrite = Dendrite::new(&DendriteParams::default());
        dendrite.integrate(&wiring, &weights, &lanes, &mut u, &mut a);
        for (sample, x) in x.chunks(17).enumerate() {
            for row in 0..n * d {
                let synapses = row * s..(row + 1) * s;
                let v = synapses.fold(0.0, |v, k| v + weights[k] * x[wiring.index()[k] as usize]);
                assert_eq!(a[row * 2 + sample / LANES][sample % LANES], dendrite.activation(v));
            }
        }
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
        let x = numbers(2, 43 * 150, 1.0);
        for integration in MODES {
            let params = DendriteParams {
                integration,
                ..DendriteParams::default()
            };
            let all = potential(&params, &wiring, &weights, &x, 43);
            for threads in [1, 2, 3] {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                assert_eq!(pool.install(|| potential(&params, &wiring, &weights, &x, 43)), all);
            }
            for (x, all) in x.chunks(150).zip(all.chunks(90)) {
                assert_eq!(potential(&params, &wiring, &weights, x, 1), all);
            }
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
        let wiring = Wiring::shared(Shape {
            neurons: 2,
            dendrites: 3,
            synapses: 1,
        })
        .unwrap();
        let weights = [1.0, 0.5, 0.25, 0.125, 1.0, 0.75];
        let bits = MODES.map(|integration| {
            let params = DendriteParams {
                threshold: 0.5,
                integration,
                ..DendriteParams::default()
            };
            potential(&params, &wiring, &weights, &[0.9, 0.7, 0.8], 1)[0].to_bits()
        });
        assert_eq!(bits, PINNED);
    }

    /// In the order of `MODES`.
    const PINNED: [u32; 4] = [0x3f11ab74, 0x3ebb2788, 0x3f3f3b29, 0x3f886d63];
}
