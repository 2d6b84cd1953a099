//! What is left of the samples when all whole tiles are taken: one neuron, one block, several dendrites at once.

use pulp::{Simd, WithSimd};

use super::{GROUP, TILE, Task};
use crate::dendrite::Dendrite;
use crate::lanes::{LANES, Lane};

/// The blocks of a task that make no whole tile.
pub(super) struct Blocks<'a, 't>(pub(super) &'a mut Task<'t>);

impl WithSimd for Blocks<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        self.run();
    }
}

impl Blocks<'_, '_> {
    #[inline(always)]
    pub(super) fn run(self) {
        let Self(task) = self;
        let (input, blocks) = (task.input.lanes, task.input.blocks());
        let left = input.blocks().len() % TILE;
        let potential = std::mem::take(&mut task.potential);
        for (neuron, u) in potential.chunks_exact_mut(blocks).enumerate() {
            let last = input.blocks().skip(input.blocks().len() - left);
            for (at, (u, block)) in (blocks - left..).zip(u[blocks - left..].iter_mut().zip(last)) {
                let at = Place { neuron, at, blocks };
                match input.rows() {
                    1 => one::<1>(task, block, at, u),
                    2..=4 => one::<4>(task, block, at, u),
                    _ => one::<LANES>(task, block, at, u),
                }
            }
        }
    }
}

/// A neuron, and which one of the blocks.
#[derive(Clone, Copy)]
struct Place {
    neuron: usize,
    at: usize,
    blocks: usize,
}

/// One block of the input, \[M\], with samples in its first `LIVE` lanes.
#[inline(always)]
fn one<const LIVE: usize>(task: &mut Task<'_>, block: &[Lane], at: Place, u: &mut Lane) {
    let Place { neuron, at, blocks } = at;
    let dendrites = task.rows.dendrites;
    let dendrite: &Dendrite = task.dendrite;
    let lane = neuron % LANES;
    for first in (0..dendrites).step_by(GROUP) {
        let count = GROUP.min(dendrites - first);
        let rows = &task.rows;
        let mut v = [[0.0; LIVE]; GROUP];
        let pairs = |d: usize| {
            let weights = rows.weights(neuron / LANES, first + d);
            weights.iter().zip(rows.lines(neuron, first + d))
        };
        if count == GROUP {
            let [mut v0, mut v1, mut v2, mut v3] = v;
            let together = pairs(0).zip(pairs(1)).zip(pairs(2).zip(pairs(3)));
            for (((w0, l0), (w1, l1)), ((w2, l2), (w3, l3))) in together {
                accumulate(&mut v0, w0[lane], &block[*l0 as usize]);
                accumulate(&mut v1, w1[lane], &block[*l1 as usize]);
                accumulate(&mut v2, w2[lane], &block[*l2 as usize]);
                accumulate(&mut v3, w3[lane], &block[*l3 as usize]);
            }
            v = [v0, v1, v2, v3];
        } else {
            for (d, v) in v.iter_mut().enumerate().take(count) {
                for (w, &line) in pairs(d) {
                    accumulate(v, w[lane], &block[line as usize]);
                }
            }
        }
        dendrite.activate(v.as_flattened_mut());
        for (d, v) in v.iter().enumerate().take(count) {
            let mut a = [0.0; LANES];
            for (a, &v) in a.iter_mut().zip(v) {
                *a = v;
            }
            if let Some(kept) = task.activations.get_mut((neuron * dendrites + first + d) * blocks + at) {
                *kept = a;
            }
            dendrite.add(u, &a);
        }
    }
    dendrite.finish(u, dendrites);
}

/// v <- v + w x, rounded once, in the first lanes.
#[inline(always)]
fn accumulate<const LIVE: usize>(v: &mut [f32; LIVE], w: f32, x: &Lane) {
    for (v, x) in v.iter_mut().zip(x) {
        *v = w.mul_add(*x, *v);
    }
}
