//! In which order neurons, dendrites and samples are visited, so that the drive comes from registers and from the nearest cache.
//!
//! A tile of blocks of samples is taken through one dendrite of many neurons: what these read is still in the cache. Where every
//! neuron listens to the same lines, the tile is first laid out in the order of the synapses; then no synapse has to look up its line, and
//! two neurons share what is read. Products and sums stay separate operations in the order of the synapses for each neuron and sample: neither
//! the processor nor the way taken changes a bit.
//!
//! Not here: what is computed of a drive ([`super::Dendrite`]).

use pulp::{Simd, WithSimd};

use super::Dendrite;
use crate::lanes::{LANES, Lane, Lanes};

/// Neurons that one task computes.
pub(super) const NEURONS_PER_TASK: usize = 16;

/// Blocks of samples that are computed together: enough independent sums to hide the latency of an addition.
const TILE: usize = 4;

/// Dendrites that are computed together where there is less than a tile.
const GROUP: usize = 4;

/// Synapses of a dendrite that are laid out at once.
const STRETCH: usize = 64;

/// One value of a tile's samples.
type Tile = [Lane; TILE];

/// Some neurons to compute, by the widest instructions that the processor has.
///
/// What it calls is inlined, so that the compiler vectorises all of it for those instructions.
pub(super) struct Task<'t> {
    pub(super) dendrite: &'t Dendrite,
    pub(super) rows: Rows<'t>,
    pub(super) input: &'t Lanes,
    pub(super) potential: &'t mut [Lane],
    pub(super) activations: &'t mut [Lane],
}

impl WithSimd for Task<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        self.run();
    }
}

impl Task<'_> {
    /// Every block of samples: whole tiles, then what is left.
    #[inline(always)]
    pub(super) fn run(self) {
        let Self {
            dendrite,
            rows,
            input,
            potential,
            activations,
        } = self;
        let blocks = input.samples().div_ceil(LANES);
        let lines = input.width();
        let block = |at: usize| &input.values()[at * lines..(at + 1) * lines];
        let tiled = blocks / TILE * TILE;
        potential.fill([0.0; LANES]);
        for first in (0..tiled).step_by(TILE) {
            let tile = std::array::from_fn(|at| block(first + at));
            for d in 0..rows.dendrites {
                for (group, potential) in potential.chunks_mut(NEURONS_PER_TASK * blocks).enumerate() {
                    let from = group * NEURONS_PER_TASK;
                    let mut drives = [[[0.0; LANES]; TILE]; NEURONS_PER_TASK];
                    let drives = &mut drives[..potential.len() / blocks];
                    rows.drives(from, d, tile, drives);
                    for ((a, neuron), u) in drives.iter_mut().zip(from..).zip(potential.chunks_exact_mut(blocks)) {
                        dendrite.activate(a.as_flattened_mut());
                        let at = (neuron * rows.dendrites + d) * blocks + first;
                        if let Some(kept) = activations.get_mut(at..at + TILE) {
                            kept.copy_from_slice(a);
                        }
                        for (u, a) in u[first..first + TILE].iter_mut().zip(&*a) {
                            dendrite.add(u, a);
                        }
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
                    1 => narrow::<1>(dendrite, &rows, neuron, block(at), u, &mut keep),
                    2..=4 => narrow::<4>(dendrite, &rows, neuron, block(at), u, &mut keep),
                    _ => narrow::<LANES>(dendrite, &rows, neuron, block(at), u, &mut keep),
                }
            }
            for u in u {
                dendrite.finish(u, rows.dendrites);
            }
        }
    }
}

/// One neuron, one block with samples in its first `LIVE` lanes: several dendrites at once.
#[inline(always)]
fn narrow<const LIVE: usize>(
    dendrite: &Dendrite,
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
        dendrite.activate(v.as_flattened_mut());
        for (d, v) in v.iter().enumerate().take(group) {
            let mut a = [0.0; LANES];
            for (a, &v) in a.iter_mut().zip(v) {
                *a = v;
            }
            keep(first + d, &a);
            dendrite.add(u, &a);
        }
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
pub(super) struct Rows<'a> {
    pub(super) weights: &'a [f32],
    pub(super) index: &'a [u32],
    /// Whether every neuron listens to the lines of the first.
    pub(super) uniform: bool,
    pub(super) dendrites: usize,
    pub(super) synapses: usize,
}

impl<'a> Rows<'a> {
    /// Those of one dendrite.
    #[inline(always)]
    fn dendrite(&self, neuron: usize, d: usize) -> (&'a [f32], &'a [u32]) {
        let first = (neuron * self.dendrites + d) * self.synapses;
        let span = first..first + self.synapses;
        (&self.weights[span.clone()], &self.index[span])
    }

    /// v of dendrite `d` of the neurons from `from` on, for a tile of blocks; `drives` holds zeros.
    #[inline(always)]
    fn drives(&self, from: usize, d: usize, tile: [&[Lane]; TILE], drives: &mut [Tile]) {
        if !self.uniform {
            for (v, neuron) in drives.iter_mut().zip(from..) {
                let (weights, index) = self.dendrite(neuron, d);
                *v = looked_up(weights, index, tile);
            }
            return;
        }
        let (_, index) = self.dendrite(from, d);
        let mut laid_out = [[[0.0; LANES]; TILE]; STRETCH];
        for (stretch, lines) in index.chunks(STRETCH).enumerate() {
            let laid_out = &mut laid_out[..lines.len()];
            for (x, &line) in laid_out.iter_mut().zip(lines) {
                *x = tile.map(|block| block[line as usize]);
            }
            let weights = |neuron: usize| {
                let (weights, _) = self.dendrite(neuron, d);
                &weights[stretch * STRETCH..][..lines.len()]
            };
            let (pairs, last) = drives.as_chunks_mut::<2>();
            let last_neuron = from + 2 * pairs.len();
            for (pair, neuron) in pairs.iter_mut().zip((from..).step_by(2)) {
                two(weights(neuron), weights(neuron + 1), laid_out, pair);
            }
            for v in last {
                one(weights(last_neuron), laid_out, v);
            }
        }
    }
}

/// v of one dendrite for a tile, line by line. Four names instead of an array: so they stay in registers.
#[inline(always)]
fn looked_up(weights: &[f32], index: &[u32], [b0, b1, b2, b3]: [&[Lane]; TILE]) -> Tile {
    let [mut v0, mut v1, mut v2, mut v3] = [[0.0; LANES]; TILE];
    for (&w, &line) in weights.iter().zip(index) {
        let line = line as usize;
        accumulate(&mut v0, w, &b0[line]);
        accumulate(&mut v1, w, &b1[line]);
        accumulate(&mut v2, w, &b2[line]);
        accumulate(&mut v3, w, &b3[line]);
    }
    [v0, v1, v2, v3]
}

/// Adds to v of one neuron's dendrite what a stretch of synapses brings.
#[inline(always)]
fn one(weights: &[f32], x: &[Tile], v: &mut Tile) {
    let [mut v0, mut v1, mut v2, mut v3] = *v;
    for (&w, [x0, x1, x2, x3]) in weights.iter().zip(x) {
        accumulate(&mut v0, w, x0);
        accumulate(&mut v1, w, x1);
        accumulate(&mut v2, w, x2);
        accumulate(&mut v3, w, x3);
    }
    *v = [v0, v1, v2, v3];
}

/// [`one`] for two neurons, which share what is read.
#[inline(always)]
fn two(first: &[f32], second: &[f32], x: &[Tile], pair: &mut [Tile; 2]) {
    let [[mut a0, mut a1, mut a2, mut a3], [mut b0, mut b1, mut b2, mut b3]] = *pair;
    for ((&v, &w), [x0, x1, x2, x3]) in first.iter().zip(second).zip(x) {
        accumulate(&mut a0, v, x0);
        accumulate(&mut b0, w, x0);
        accumulate(&mut a1, v, x1);
        accumulate(&mut b1, w, x1);
        accumulate(&mut a2, v, x2);
        accumulate(&mut b2, w, x2);
        accumulate(&mut a3, v, x3);
        accumulate(&mut b3, w, x3);
    }
    *pair = [[a0, a1, a2, a3], [b0, b1, b2, b3]];
}
