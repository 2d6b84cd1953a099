//! In which order neurons, dendrites and samples are visited, so that the drive comes from registers and from the nearest cache.
//!
//! Many samples go in tiles of blocks ([`tiles`]), what is left of them block by block ([`blocks`]); where samples are few and every
//! neuron listens to the same lines, neurons lie side by side instead ([`few`]), or the dendrites of a single one ([`alone`]). Every product is added in the order of the synapses for each
//! neuron and sample, and both together are rounded once: neither the processor nor the way taken changes a bit.
//!
//! Not here: what is computed of a drive ([`super::Dendrite`]).

mod alone;
mod blocks;
mod few;
mod tiles;

use pulp::{Arch, Simd, WithSimd};

use super::Dendrite;
use crate::Wiring;
use crate::lanes::{LANES, Lane, Lanes};

/// Neurons that one task computes at most: they share the input that was laid out for them, and their weights of a dendrite stay in
/// the nearest cache. Whole groups of [`LANES`].
const MOST_NEURONS: usize = 64;

/// Fewer neurons are not worth a task.
const LEAST_NEURONS: usize = 16;

/// Tasks that a thread gets at least, where there are neurons enough: so none waits long for the last.
const TASKS_PER_THREAD: usize = 4;

/// Blocks of samples that are computed together: enough independent sums to hide the latency of an addition.
const TILE: usize = 4;

/// Dendrites that are computed together where there is less than a tile.
const GROUP: usize = 4;

/// Synapses of a dendrite that are laid out at once.
const STRETCH: usize = 64;

/// Below this many samples neurons lie side by side, or nothing does.
const FEW: usize = 5;

/// How many of a layer's neurons each task computes; the last one may have fewer.
pub(super) fn neurons_per_task(neurons: usize) -> usize {
    (neurons / (rayon::current_num_threads() * TASKS_PER_THREAD))
        .next_multiple_of(LANES)
        .clamp(LEAST_NEURONS, MOST_NEURONS)
}

/// Some neurons to compute.
///
/// What its ways call is inlined, so that the compiler makes all of it of the instructions that were chosen.
pub(super) struct Task<'t> {
    pub(super) dendrite: &'t Dendrite,
    pub(super) rows: Rows<'t>,
    pub(super) input: Input<'t>,
    /// [neurons, blocks].
    pub(super) potential: &'t mut [Lane],
    /// [neurons, D, blocks], or empty.
    pub(super) activations: &'t mut [Lane],
}

impl Task<'_> {
    /// Computes the neurons.
    pub(super) fn run(mut self) {
        self.potential.fill([0.0; LANES]);
        let Input { rows, lines, lanes } = self.input;
        let left = lanes.blocks().len() % TILE;
        if self.is_alone() {
            up_to_a_lane(alone::Alone(&mut self));
        } else if (1..FEW).contains(&(rows.len() / lines)) {
            up_to_a_lane(few::Few(&mut self));
        } else if self.input.blocks() > left {
            if self.rows.uniform {
                Arch::new().dispatch(tiles::Tiles(&mut self));
            } else {
                up_to_a_lane(tiles::Tiles(&mut self));
            }
        }
        if left > 0 {
            up_to_a_lane(blocks::Blocks(&mut self));
        }
    }

    /// Whether one neuron reads rows, from lines that follow one by one. What it reads from lanes is then no whole tile.
    fn is_alone(&self) -> bool {
        self.rows.in_order && !self.input.rows.is_empty() && self.potential.len() == self.input.blocks()
    }
}

/// Presynaptic events [B, M] as a task reads them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Input<'t> {
    /// As many of the first samples as [`samples_by_row`] says, [*, M].
    pub(super) rows: &'t [f32],
    /// M.
    pub(super) lines: usize,
    /// The other samples, side by side.
    pub(super) lanes: &'t Lanes,
}

impl Input<'_> {
    /// ceil(B / LANES).
    fn blocks(&self) -> usize {
        (self.rows.len() / self.lines).div_ceil(LANES) + self.lanes.blocks().len()
    }
}

/// How many of the first samples a task reads row by row.
pub(super) fn samples_by_row(samples: usize, wiring: &Wiring) -> usize {
    if !wiring.is_uniform() {
        0
    } else if samples < FEW {
        samples
    } else if !wiring.is_in_order() {
        0
    } else if wiring.shape().neuron_count() == 1 {
        samples / LANES * LANES
    } else {
        samples / (TILE * LANES) * (TILE * LANES)
    }
}

/// Runs `operation` by the widest instructions of the processor whose registers hold no more than a [`Lane`].
fn up_to_a_lane<O: WithSimd>(operation: O) -> O::Output {
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    if let Some(simd) = pulp::x86::V3::try_new() {
        return Simd::vectorize(simd, operation);
    }
    Arch::new().dispatch(operation)
}

/// The dendrites from `first` on. Where there are fewer than are computed together, the last one is computed again.
#[inline(always)]
fn some(first: usize, dendrites: usize) -> [usize; GROUP] {
    std::array::from_fn(|at| (first + at).min(dendrites - 1))
}

/// v <- v + a b, rounded once, in as many registers as v has.
#[inline(always)]
fn accumulate<S: Simd, const R: usize>(simd: S, v: &mut [S::f32s; R], a: f32, b: &[f32]) {
    let a = simd.splat_f32s(a);
    let (b, _) = S::as_simd_f32s(b);
    for (v, &b) in v.iter_mut().zip(b) {
        *v = simd.mul_add_f32s(a, b, *v);
    }
}

/// Weights and lines of some neurons, whole groups of [`LANES`] but for the layer's last.
pub(super) struct Rows<'a> {
    /// Group by group, [D, S] of each.
    pub(super) weights: &'a [Lane],
    /// Neuron by neuron, [D, S] of each.
    pub(super) index: &'a [u32],
    /// Whether every neuron listens to the lines of the first.
    pub(super) uniform: bool,
    /// Whether the lines of each dendrite follow one by one.
    pub(super) in_order: bool,
    pub(super) dendrites: usize,
    pub(super) synapses: usize,
}

impl<'a> Rows<'a> {
    /// Weights of one dendrite of a group of neurons, \[S\].
    #[inline(always)]
    fn weights(&self, group: usize, d: usize) -> &'a [Lane] {
        &self.weights[(group * self.dendrites + d) * self.synapses..][..self.synapses]
    }

    /// Lines of one dendrite of one neuron, \[S\].
    #[inline(always)]
    fn lines(&self, neuron: usize, d: usize) -> &'a [u32] {
        &self.index[(neuron * self.dendrites + d) * self.synapses..][..self.synapses]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params::DendriteParams;
    use crate::random::{Random, Stream, uniform};
    use crate::{Shape, Wiring};

    fn numbers(seed: u64, count: usize) -> Vec<f32> {
        let random = Random::new(seed, Stream(900));
        (0..count).map(|k| uniform(random.block(k as u64, 0)[0])).collect()
    }

    fn lanes(rows: usize, width: usize, seed: u64) -> Lanes {
        let mut lanes = Lanes::default();
        lanes.lay_out(&numbers(seed, rows * width), width);
        lanes
    }

    /// Every way of a task by the instructions `simd`.
    fn by<S: Simd>(simd: S, task: &mut Task<'_>) {
        if task.is_alone() {
            Simd::vectorize(simd, alone::Alone(task));
        } else if (1..FEW).contains(&(task.input.rows.len() / task.input.lines)) {
            Simd::vectorize(simd, few::Few(task));
        } else {
            Simd::vectorize(simd, tiles::Tiles(task));
        }
        Simd::vectorize(simd, blocks::Blocks(task));
    }

    type Way = (&'static str, Box<dyn Fn(&mut Task<'_>)>);

    /// By all instructions that this processor has.
    fn ways() -> Vec<Way> {
        let mut ways: Vec<Way> = vec![
            ("plain", Box::new(|task| by(pulp::Scalar, task))),
            ("four values", Box::new(|task| by(pulp::Scalar128b, task))),
        ];
        #[cfg(target_arch = "x86_64")]
        {
            if let Some(simd) = pulp::x86::V3::try_new() {
                ways.push(("AVX2", Box::new(move |task| by(simd, task))));
            }
            if let Some(simd) = pulp::x86::V4::try_new() {
                ways.push(("AVX-512", Box::new(move |task| by(simd, task))));
            }
        }
        ways
    }

    #[test]
    fn the_instructions_change_no_bit() {
        for (neurons, dendrites) in [(21, 6), (1, 6), (1, 9), (1, 1)] {
            compare(Shape {
                neurons,
                dendrites,
                synapses: 70,
            });
        }
    }

    /// Every way, with every wiring and number of samples, against the sums written out.
    fn compare(shape: Shape) {
        let [n, dendrites, synapses] = shape.dims();
        let own: Vec<u32> = numbers(1, shape.synapse_count())
            .iter()
            .map(|x| (x * 700.0) as u32)
            .collect();
        let dendrite = Dendrite::new(&DendriteParams {
            threshold: 16.0,
            ..DendriteParams::default()
        });
        let weights = lanes(n, shape.row_len(), 2);
        // The same lines for every neuron: one by one, but the last dendrite's first; and in no order.
        let in_order: Vec<u32> = (0..shape.dendrites)
            .rev()
            .flat_map(|d| 7 + 50 * d..7 + 50 * d + shape.synapses)
            .collect();
        let alike = own[..shape.row_len()].repeat(n);
        let wirings = [
            Wiring::shared(shape).unwrap(),
            Wiring::new(shape, 700, in_order.repeat(n)).unwrap(),
            Wiring::new(shape, 700, alike).unwrap(),
            Wiring::new(shape, 700, own).unwrap(),
        ];
        for wiring in wirings {
            for samples in [1, 3, 4, 5, 8, 32, 45, 105] {
                let lines = wiring.lines() as usize;
                let rows = numbers(3, samples * lines);
                let (first, others) = rows.split_at(samples_by_row(samples, &wiring) * lines);
                let mut laid_out = Lanes::default();
                laid_out.lay_out(others, lines);
                let input = Input {
                    rows: first,
                    lines,
                    lanes: &laid_out,
                };
                let blocks = samples.div_ceil(LANES);
                for (name, run) in ways() {
                    let mut potential = vec![[0.0; LANES]; n * blocks];
                    let mut activations = vec![[0.0; LANES]; n * dendrites * blocks];
                    run(&mut Task {
                        dendrite: &dendrite,
                        rows: Rows {
                            weights: weights.values(),
                            index: wiring.index(),
                            uniform: wiring.is_uniform(),
                            in_order: wiring.is_in_order(),
                            dendrites,
                            synapses,
                        },
                        input,
                        potential: &mut potential,
                        activations: &mut activations,
                    });
                    for (sample, neuron) in (0..samples).flat_map(|sample| (0..n).map(move |neuron| (sample, neuron))) {
                        let (block, lane) = (sample / LANES, sample % LANES);
                        let x = &rows[sample * lines..][..lines];
                        let w: Vec<f32> = weights.row(neuron).collect();
                        let mut u = 0.0;
                        for d in 0..dendrites {
                            let v = (d * synapses..(d + 1) * synapses).fold(0.0, |v, k| {
                                w[k].mul_add(x[wiring.index()[neuron * shape.row_len() + k] as usize], v)
                            });
                            let a = dendrite.activation(v);
                            let kept = activations[(neuron * dendrites + d) * blocks + block][lane];
                            assert_eq!(kept.to_bits(), a.to_bits(), "{name}, {samples} samples");
                            u += a;
                        }
                        let got = potential[neuron * blocks + block][lane];
                        assert_eq!(got.to_bits(), u.to_bits(), "{name}, {samples} samples");
                    }
                }
            }
        }
    }
}
