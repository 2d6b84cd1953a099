//! A single neuron whose synapses listen to lines that follow one by one: there are no others to share what is read, so its
//! dendrites lie side by side.

use pulp::{Scalar256b, Simd, WithSimd};

use super::{FEW, GROUP, Rows, STRETCH, Task, accumulate, some};
use crate::lanes::{LANES, Lane, turn};

/// What a task of one neuron reads row by row: few samples, or whole blocks.
pub(super) struct Alone<'a, 't>(pub(super) &'a mut Task<'t>);

impl WithSimd for Alone<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        if self.0.input.rows.len() / self.0.input.lines < FEW {
            return self.sample_by_sample();
        }
        match S::F32_LANES {
            8 => self.block_by_block::<S, 1>(simd),
            4 => self.block_by_block::<S, 2>(simd),
            _ => self.block_by_block::<Scalar256b, 1>(Scalar256b),
        }
    }
}

impl Alone<'_, '_> {
    #[inline(always)]
    fn sample_by_sample(self) {
        let Self(task) = self;
        let rows = &task.rows;
        for (sample, events) in task.input.rows.chunks_exact(task.input.lines).enumerate() {
            let mut u = [0.0; LANES];
            for first in (0..rows.dendrites).step_by(LANES) {
                let count = LANES.min(rows.dendrites - first);
                let mut a = [0.0; LANES];
                let (groups, _) = a.as_chunks_mut();
                for (v, from) in groups.iter_mut().zip((first..first + count).step_by(GROUP)) {
                    *v = drives(rows, events, some(from, first + count));
                }
                task.dendrite.activate(&mut a);
                for (d, &a) in (first..).zip(&a[..count]) {
                    if let Some(kept) = task.activations.get_mut(d) {
                        kept[sample] = a;
                    }
                    task.dendrite.add(&mut u, &[a; LANES]);
                }
            }
            task.dendrite.finish(&mut u, rows.dendrites);
            task.potential[0][sample] = u[0];
        }
    }

    /// - `R`: registers that hold a block's value.
    #[inline(always)]
    fn block_by_block<S: Simd, const R: usize>(self, simd: S) {
        let Self(task) = self;
        let (rows, blocks, lines) = (&task.rows, task.input.blocks(), task.input.lines);
        let mut room = [[[0.0; LANES]; STRETCH]; GROUP];
        let events = task.input.rows.chunks_exact(LANES * lines);
        for (at, (events, u)) in events.zip(task.potential.iter_mut()).enumerate() {
            for first in (0..rows.dendrites).step_by(GROUP) {
                let mut a = block_drives::<S, R>(simd, rows, events, some(first, rows.dendrites), &mut room);
                task.dendrite.activate(a.as_flattened_mut());
                for (d, a) in (first..rows.dendrites).zip(&a) {
                    if let Some(kept) = task.activations.get_mut(d * blocks + at) {
                        *kept = *a;
                    }
                    task.dendrite.add(u, a);
                }
            }
            task.dendrite.finish(u, rows.dendrites);
        }
    }
}

/// v of the dendrites `some` for the `events` of one sample, \[M\]. Four names instead of an array: so they stay in registers.
#[inline(always)]
fn drives(rows: &Rows<'_>, events: &[f32], some: [usize; GROUP]) -> [f32; GROUP] {
    let [mut v0, mut v1, mut v2, mut v3] = [0.0f32; GROUP];
    let pairs = |d: usize| {
        let first = rows.lines(0, d)[0] as usize;
        rows.weights(0, d).iter().zip(&events[first..first + rows.synapses])
    };
    let [d0, d1, d2, d3] = some;
    for (((w0, x0), (w1, x1)), ((w2, x2), (w3, x3))) in pairs(d0).zip(pairs(d1)).zip(pairs(d2).zip(pairs(d3))) {
        v0 = w0[0].mul_add(*x0, v0);
        v1 = w1[0].mul_add(*x1, v1);
        v2 = w2[0].mul_add(*x2, v2);
        v3 = w3[0].mul_add(*x3, v3);
    }
    [v0, v1, v2, v3]
}

/// v of the dendrites `some` for a block of samples, [LANES, M].
#[inline(always)]
fn block_drives<S: Simd, const R: usize>(
    simd: S,
    rows: &Rows<'_>,
    events: &[f32],
    some: [usize; GROUP],
    room: &mut [[Lane; STRETCH]; GROUP],
) -> [Lane; GROUP] {
    let [mut v0, mut v1, mut v2, mut v3] = [[simd.splat_f32s(0.0); R]; GROUP];
    for start in (0..rows.synapses).step_by(STRETCH) {
        let len = STRETCH.min(rows.synapses - start);
        for (x, d) in room.iter_mut().zip(some) {
            let first = rows.lines(0, d)[start] as usize;
            let row = |lane: usize| &events[lane * (events.len() / LANES) + first..][..len];
            turn(std::array::from_fn(row), &mut x[..len], |x| x);
        }
        let [x0, x1, x2, x3] = &*room;
        let [w0, w1, w2, w3] = some.map(|d| &rows.weights(0, d)[start..][..len]);
        let first = w0.iter().zip(x0).zip(w1.iter().zip(x1));
        let last = w2.iter().zip(x2).zip(w3.iter().zip(x3));
        for (((w0, x0), (w1, x1)), ((w2, x2), (w3, x3))) in first.zip(last) {
            accumulate(simd, &mut v0, w0[0], x0);
            accumulate(simd, &mut v1, w1[0], x1);
            accumulate(simd, &mut v2, w2[0], x2);
            accumulate(simd, &mut v3, w3[0], x3);
        }
    }
    [v0, v1, v2, v3].map(|sums| {
        let mut v = [0.0; LANES];
        S::as_mut_simd_f32s(&mut v).0.copy_from_slice(&sums);
        v
    })
}
