//! One whole step of a layer with competition, STDP and homeostasis: D = 4, S = 32, over neurons n and batch B.
//!
//! Throughput is in synapses: n x D x S x B of a step.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use fold_advanced::StepOptions;
use fold_benches::{layer, rates};

fn step(c: &mut Criterion) {
    let mut group = c.benchmark_group("layer_step");
    group.sample_size(20);
    for (neurons, samples) in [(100, 1), (100, 32), (400, 8), (1000, 32)] {
        let mut layer = layer(neurons, samples).expect("a valid configuration");
        let inputs: Vec<Vec<f32>> = (0..16).map(|seed| rates(samples, seed)).collect();
        let mut turn = inputs.iter().cycle();
        group.throughput(Throughput::Elements(u64::from(neurons) * 128 * samples as u64));
        group.bench_function(BenchmarkId::from_parameter(format!("n{neurons}_B{samples}")), |b| {
            b.iter(|| {
                let x = turn.next().expect("the cycle never ends");
                layer
                    .step(x, samples, StepOptions::default())
                    .expect("valid input")
                    .spikes
                    .len()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, step);
criterion_main!(benches);
