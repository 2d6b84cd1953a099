//! Few samples, the same lines for every neuron: neurons lie side by side, in groups of [`LANES`], and one sample comes after the other.
//!
//! The input of a few dendrites is laid out in the order of their synapses, and some groups of neurons share it.

use std::ops::Range;

use pulp::{Scalar256b, Simd, WithSimd};

use super::{GROUP, Rows, STRETCH, Task, accumulate, some};
use crate::lanes::LANES;

/// Groups of neurons that share what is laid out.
const TOGETHER: usize = 8;

/// A task with less than a block of samples.
pub(super) struct Few<'a, 't>(pub(super) &'a mut Task<'t>);

impl WithSimd for Few<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match S::F32_LANES {
            8 => self.visit::<S, 1>(simd),
            4 => self.visit::<S, 2>(simd),
            _ => self.visit::<Scalar256b, 1>(Scalar256b),
        }
    }
}

impl Few<'_, '_> {
    /// `R`: registers that hold a group's value.
    #[inline(always)]
    fn visit<S: Simd, const R: usize>(self, simd: S) {
        let Self(task) = self;
        let Task {
            dendrite,
            ref rows,
            input,
            ref mut potential,
            ref mut activations,
        } = *task;
        for (part, potential) in potential.chunks_mut(TOGETHER * LANES).enumerate() {
            let groups = potential.len().div_ceil(LANES);
            for (sample, events) in input.rows.chunks_exact(input.lines).enumerate() {
                let mut u = [[0.0; LANES]; TOGETHER];
                for first in (0..rows.dendrites).step_by(GROUP) {
                    let count = GROUP.min(rows.dendrites - first);
                    let some = some(first, rows.dendrites);
                    let mut v = [[[simd.splat_f32s(0.0); R]; GROUP]; TOGETHER];
                    let span = part * TOGETHER..part * TOGETHER + groups;
                    drives(simd, rows, events, some, span, &mut v);
                    for (group, (v, u)) in v.iter().zip(&mut u).enumerate().take(groups) {
                        let mut a = [[0.0; LANES]; GROUP];
                        for (a, v) in a.iter_mut().zip(v) {
                            S::as_mut_simd_f32s(a).0.copy_from_slice(v);
                        }
                        dendrite.activate(a.as_flattened_mut());
                        for (d, a) in (first..).zip(&a[..count]) {
                            let neuron = (part * TOGETHER + group) * LANES;
                            let kept = activations.iter_mut().skip(neuron * rows.dendrites + d);
                            kept.step_by(rows.dendrites)
                                .zip(a)
                                .for_each(|(all, a)| all[sample] = *a);
                            dendrite.add(u, a);
                        }
                    }
                }
                for (potential, u) in potential.chunks_mut(LANES).zip(&mut u) {
                    dendrite.finish(u, rows.dendrites);
                    potential.iter_mut().zip(u).for_each(|(all, u)| all[sample] = *u);
                }
            }
        }
    }
}

/// v of the dendrites `some` of the `groups` for the `events` of one sample, \[M\]; `v` holds zeros. Two groups share what is read, where
/// there are two.
#[inline(always)]
fn drives<S: Simd, const R: usize>(
    simd: S,
    rows: &Rows<'_>,
    events: &[f32],
    some: [usize; GROUP],
    groups: Range<usize>,
    v: &mut [[[S::f32s; R]; GROUP]; TOGETHER],
) {
    let mut laid_out = [[0.0; GROUP]; STRETCH];
    for start in (0..rows.synapses).step_by(STRETCH) {
        let len = STRETCH.min(rows.synapses - start);
        let lines = |d: usize| &rows.lines(0, some[d])[start..][..len];
        let [l0, l1, l2, l3] = [lines(0), lines(1), lines(2), lines(3)];
        let lines = l0.iter().zip(l1).zip(l2.iter().zip(l3));
        for (x, ((l0, l1), (l2, l3))) in laid_out.iter_mut().zip(lines) {
            let event = |line: u32| events[line as usize];
            *x = [event(*l0), event(*l1), event(*l2), event(*l3)];
        }
        let of = |group: usize, d: usize| &rows.weights(group, some[d])[start..][..len];
        let weights = |group: usize| [of(group, 0), of(group, 1), of(group, 2), of(group, 3)];
        let (pairs, single) = v[..groups.len()].as_chunks_mut::<2>();
        for ([v, u], group) in pairs.iter_mut().zip(groups.clone().step_by(2)) {
            let [a0, a1, a2, a3] = weights(group);
            let [b0, b1, b2, b3] = weights(group + 1);
            let ([mut v0, mut v1, mut v2, mut v3], [mut u0, mut u1, mut u2, mut u3]) = (*v, *u);
            let some = a0.iter().zip(a1).zip(a2.iter().zip(a3));
            let others = b0.iter().zip(b1).zip(b2.iter().zip(b3));
            for ((x, ((a0, a1), (a2, a3))), ((b0, b1), (b2, b3))) in laid_out.iter().zip(some).zip(others) {
                accumulate(simd, &mut v0, x[0], a0);
                accumulate(simd, &mut u0, x[0], b0);
                accumulate(simd, &mut v1, x[1], a1);
                accumulate(simd, &mut u1, x[1], b1);
                accumulate(simd, &mut v2, x[2], a2);
                accumulate(simd, &mut u2, x[2], b2);
                accumulate(simd, &mut v3, x[3], a3);
                accumulate(simd, &mut u3, x[3], b3);
            }
            *v = [v0, v1, v2, v3];
            *u = [u0, u1, u2, u3];
        }
        for v in single {
            let [a0, a1, a2, a3] = weights(groups.end - 1);
            let [mut v0, mut v1, mut v2, mut v3] = *v;
            let some = a0.iter().zip(a1).zip(a2.iter().zip(a3));
            for (x, ((a0, a1), (a2, a3))) in laid_out.iter().zip(some) {
                accumulate(simd, &mut v0, x[0], a0);
                accumulate(simd, &mut v1, x[1], a1);
                accumulate(simd, &mut v2, x[2], a2);
                accumulate(simd, &mut v3, x[3], a3);
            }
            *v = [v0, v1, v2, v3];
        }
    }
}
