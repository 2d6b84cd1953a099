//! Many samples: a tile of blocks is taken through one dendrite of many neurons, which find it in the cache.
//!
//! Where every neuron listens to the same lines, the tile is first laid out in the order of the synapses; then no synapse has to look up its
//! line, and several neurons share what is read. Where those lines follow one by one, it is laid out from the rows of the input.

use pulp::{Scalar256b, Simd, WithSimd};

use super::{MOST_NEURONS, Rows, STRETCH, TILE, Task, accumulate};
use crate::lanes::{LANES, Lane, turn};

/// Fewer neurons look up their lines: what is laid out is read too seldom.
const SHARING: usize = 2;

/// One value of a tile's samples.
type Tile = [Lane; TILE];

/// What a tile is laid out from.
#[derive(Clone, Copy)]
enum Source<'t> {
    /// A stretch of M from each of its rows.
    Rows(&'t [f32]),
    /// Its blocks.
    Lanes([&'t [Lane]; TILE]),
}

/// The whole tiles of a task.
pub(super) struct Tiles<'a, 't>(pub(super) &'a mut Task<'t>);

impl WithSimd for Tiles<'_, '_> {
    type Output = ();

    /// Sums of eight registers go on at once: fewer would wait for each other, more would not find room in sixteen.
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match S::F32_LANES {
            16 => self.visit::<S, 2, 4>(simd),
            8 => self.visit::<S, 4, 2>(simd),
            4 => self.visit::<S, 8, 2>(simd),
            _ => self.visit::<Scalar256b, 4, 2>(Scalar256b),
        }
    }
}

impl Tiles<'_, '_> {
    /// - `R`: registers that hold a tile's value.   - `N`: neurons that share what is read.
    #[inline(always)]
    fn visit<S: Simd, const R: usize, const N: usize>(self, simd: S) {
        let Self(task) = self;
        let Task {
            dendrite,
            ref rows,
            input,
            ref mut potential,
            ref mut activations,
        } = *task;
        let (blocks, lines) = (input.blocks(), input.lines);
        let mut drives = [[[0.0; LANES]; TILE]; MOST_NEURONS];
        let mut room = [[[0.0; LANES]; TILE]; STRETCH];
        let from_rows = input.rows.chunks_exact(TILE * LANES * lines).map(Source::Rows);
        let from_lanes = input.lanes.values().chunks_exact(TILE * lines).map(|tile| {
            let block = |at: usize| &tile[at * lines..][..lines];
            Source::Lanes(std::array::from_fn(block))
        });
        for (tile, first) in from_rows.chain(from_lanes).zip((0..).step_by(TILE)) {
            for d in 0..rows.dendrites {
                for (part, potential) in potential.chunks_mut(MOST_NEURONS * blocks).enumerate() {
                    let from = part * MOST_NEURONS;
                    let neurons = potential.len() / blocks;
                    let drives = &mut drives[..neurons.next_multiple_of(LANES)];
                    drives.fill([[0.0; LANES]; TILE]);
                    match tile {
                        Source::Lanes(tile) if !rows.uniform || neurons < SHARING => {
                            for (v, neuron) in drives.iter_mut().zip(from..from + neurons) {
                                let weights = rows.weights(neuron / LANES, d);
                                *v = looked_up(weights, neuron % LANES, rows.lines(neuron, d), tile);
                            }
                        }
                        _ => laid_out::<S, R, N>(simd, rows, (from, d), tile, &mut room, drives, neurons),
                    }
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
            for u in potential.chunks_exact_mut(blocks) {
                for u in &mut u[first..first + TILE] {
                    dendrite.finish(u, rows.dendrites);
                }
            }
        }
    }
}

/// v of dendrite `d` of `neurons` neurons from `from` on, which listen to the same lines; `drives` holds zeros. The drives behind them, up to
/// a group, may be written too.
#[inline(always)]
fn laid_out<S: Simd, const R: usize, const N: usize>(
    simd: S,
    rows: &Rows<'_>,
    (from, d): (usize, usize),
    tile: Source<'_>,
    room: &mut [Tile; STRETCH],
    drives: &mut [Tile],
    neurons: usize,
) {
    for (stretch, lines) in rows.lines(from, d).chunks(STRETCH).enumerate() {
        let laid_out = &mut room[..lines.len()];
        match tile {
            Source::Rows(tile) => {
                let width = tile.len() / (TILE * LANES);
                for (at, block) in tile.chunks_exact(LANES * width).enumerate() {
                    let row = |lane: usize| &block[lane * width + lines[0] as usize..][..lines.len()];
                    turn(std::array::from_fn(row), laid_out, |x| &mut x[at]);
                }
            }
            Source::Lanes(tile) => {
                for (at, block) in tile.into_iter().enumerate() {
                    for (x, &line) in laid_out.iter_mut().zip(lines) {
                        x[at] = block[line as usize];
                    }
                }
            }
        }
        let (groups, _) = drives.as_chunks_mut::<LANES>();
        for (group, drives) in groups.iter_mut().enumerate().take(neurons.div_ceil(LANES)) {
            let weights = &rows.weights(from / LANES + group, d)[stretch * STRETCH..][..lines.len()];
            let (shares, _) = drives.as_chunks_mut::<N>();
            for (share, first) in shares.iter_mut().zip((0..neurons - group * LANES).step_by(N)) {
                if neurons - group * LANES - first == 1 {
                    let (one, _) = share.as_chunks_mut::<1>();
                    add::<S, R, 1>(simd, weights, first, laid_out, &mut one[0]);
                } else {
                    add::<S, R, N>(simd, weights, first, laid_out, share);
                }
            }
        }
    }
}

/// Adds to v of the neurons in lanes `first` to `first + N` what a stretch of synapses brings.
#[inline(always)]
fn add<S: Simd, const R: usize, const N: usize>(
    simd: S,
    weights: &[Lane],
    first: usize,
    x: &[Tile],
    drives: &mut [Tile; N],
) {
    let mut sums = [[simd.splat_f32s(0.0); R]; N];
    for (sum, v) in sums.iter_mut().zip(&*drives) {
        sum.copy_from_slice(S::as_simd_f32s(v.as_flattened()).0);
    }
    for (w, x) in weights.iter().zip(x) {
        for (sum, &w) in sums.iter_mut().zip(&w[first..first + N]) {
            accumulate(simd, sum, w, x.as_flattened());
        }
    }
    for (v, sum) in drives.iter_mut().zip(sums) {
        S::as_mut_simd_f32s(v.as_flattened_mut()).0.copy_from_slice(&sum);
    }
}

/// v of one dendrite of the neuron in `lane` for a tile, line by line. Four names instead of an array: so they stay in registers.
#[inline(always)]
fn looked_up(weights: &[Lane], lane: usize, index: &[u32], [b0, b1, b2, b3]: [&[Lane]; TILE]) -> Tile {
    let [mut v0, mut v1, mut v2, mut v3] = [[0.0; LANES]; TILE];
    let accumulate = |v: &mut Lane, w: f32, x: &Lane| v.iter_mut().zip(x).for_each(|(v, x)| *v = w.mul_add(*x, *v));
    for (w, &line) in weights.iter().zip(index) {
        let (w, line) = (w[lane], line as usize);
        accumulate(&mut v0, w, &b0[line]);
        accumulate(&mut v1, w, &b1[line]);
        accumulate(&mut v2, w, &b2[line]);
        accumulate(&mut v3, w, &b3[line]);
    }
    [v0, v1, v2, v3]
}
