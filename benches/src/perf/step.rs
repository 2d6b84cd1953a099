//! Whole steps of a layer: over batch, neurons, shape and threads.

use fold_benches::Running;
use fold_core::Shape;

use crate::{Case, Scale, measure};

/// Updates that one case makes at a time, at least: many times what it takes to wake the threads of its pool.
const UPDATES: u64 = 1 << 25;

/// Competition, homeostasis, and STDP where neurons fire, as the benches' base layer has them.
pub(crate) fn steps(scale: Scale) -> anyhow::Result<()> {
    let shape = |neurons, dendrites, synapses| Shape {
        neurons,
        dendrites,
        synapses,
    };
    for (shape, samples) in [
        (shape(1, 8, 64), 1),
        (shape(1, 8, 64), 32),
        (shape(100, 8, 64), 1),
        (shape(100, 8, 64), 32),
        (shape(100, 8, 64), 128),
        (shape(100, 8, 64), 256),
        (shape(100, 8, 64), 512),
        (shape(400, 8, 64), 32),
        (shape(1000, 8, 64), 32),
        (shape(4000, 8, 64), 32),
        (shape(10_000, 8, 64), 32),
        (shape(100, 4, 32), 32),
        (shape(100, 8, 32), 32),
        (shape(100, 16, 64), 32),
        (shape(100, 16, 128), 32),
    ] {
        let Shape {
            neurons,
            dendrites,
            synapses,
        } = shape;
        let updates = shape.synapse_count() as u64 * samples as u64;
        let half = UPDATES.div_ceil(2 * updates).clamp(4, 2048);
        let steps = 2 * half;
        let (pool, mut alone, mut shared) = (
            one_thread()?,
            Running::new(shape, samples)?,
            Running::new(shape, samples)?,
        );
        let mut cases: Vec<Case<'_>> = vec![
            ("1 thread", Box::new(move || pool.install(|| alone.steps(steps)))),
            // From outside of the pool, as a program would.
            ("all threads", Box::new(move || shared.steps(steps))),
        ];
        // What the machine makes of two cores at most: two layers that know nothing of each other.
        let mut apart = [Running::new(shape, samples)?, Running::new(shape, samples)?];
        let pools = [one_thread()?, one_thread()?];
        cases.push((
            "limit: 2 layers, 1 thread each",
            Box::new(move || {
                let [one, other] = &mut apart;
                let (one, other) = rayon::join(
                    || pools[0].install(|| one.steps(half)),
                    || pools[1].install(|| other.steps(half)),
                );
                Ok(one? + other?)
            }),
        ));
        let group = format!("step: n={neurons} D={dendrites} S={synapses} B={samples}");
        measure(&group, updates * steps, scale.rounds.max(3) * 3, &mut cases)?;
    }
    Ok(())
}

fn one_thread() -> Result<rayon::ThreadPool, rayon::ThreadPoolBuildError> {
    rayon::ThreadPoolBuilder::new().num_threads(1).build()
}
