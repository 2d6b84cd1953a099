//! Steps of a layer: whole ones over batch, shape and neurons; one mechanism at a time; the drive alone; the health monitor's share.
//!
//! Throughput is in synapse updates: n x D x S x B of a step. `RAYON_NUM_THREADS=1` measures one thread.
//! Inputs repeat after 16 batches (4 where they are large).

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use fold_advanced::adaptation::AdaptationParams;
use fold_advanced::bap::BapParams;
use fold_advanced::consolidation::ConsolidationParams;
use fold_advanced::feedback::FeedbackParams;
use fold_advanced::neuromodulation::{NeuromodulationParams, Signal};
use fold_advanced::pruning::PruningParams;
use fold_advanced::refractory::RefractoryParams;
use fold_advanced::short_term::ShortTermParams;
use fold_advanced::stdp::StdpParams;
use fold_advanced::{LayerConfig, Response, Scratch, StepOptions};
use fold_benches::{base, layer, rates};
use fold_core::Shape;
use fold_core::health::HealthParams;
use fold_core::params::{DendriteParams, Integration, SpikeParams};
use fold_core::three_factor::ThreeFactorParams;

/// The shape that the goals speak of: 100 neurons at (8, 64).
const GOAL: Shape = shape(100, 8, 64);
const BATCHES: [usize; 4] = [1, 32, 256, 1024];

const fn shape(neurons: u32, dendrites: u32, synapses: u32) -> Shape {
    Shape {
        neurons,
        dendrites,
        synapses,
    }
}

fn inputs(config: &LayerConfig, samples: usize) -> Vec<Vec<f32>> {
    let lines = config.lines as usize;
    let count = if samples * lines > 1 << 16 { 4 } else { 16 };
    (0..count).map(|seed| rates(samples, lines, seed)).collect()
}

fn updates(config: &LayerConfig, samples: usize) -> Throughput {
    Throughput::Elements((config.shape.synapse_count() * samples) as u64)
}

fn bench_step(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, config: LayerConfig, samples: usize) {
    let inputs = inputs(&config, samples);
    let mut turn = inputs.iter().cycle();
    group.throughput(updates(&config, samples));
    let mut layer = layer(config, samples).expect("a valid configuration");
    group.bench_function(name, |b| {
        b.iter(|| {
            let x = turn.next().expect("the cycle never ends");
            let step = layer.step(x, samples, StepOptions::default());
            step.expect("valid input").spikes.len()
        });
    });
}

/// The drive and nothing else: from the input to every potential.
fn bench_drive(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, config: LayerConfig, samples: usize) {
    let inputs = inputs(&config, samples);
    let mut turn = inputs.iter().cycle();
    group.throughput(updates(&config, samples));
    let mut out = vec![0.0; samples * config.shape.neuron_count()];
    let layer = layer(config, samples).expect("a valid configuration");
    let mut scratch = Scratch::default();
    group.bench_function(name, |b| {
        b.iter(|| {
            let x = turn.next().expect("the cycle never ends");
            layer
                .respond(x, samples, Response::Potential, &mut scratch, &mut out)
                .expect("valid input");
            out.len()
        });
    });
}

fn goal(c: &mut Criterion) {
    let mut group = c.benchmark_group("goal");
    group.sample_size(20);
    for samples in [1, 32, 256] {
        bench_drive(&mut group, &format!("drive_B{samples}"), base(GOAL), samples);
        bench_step(&mut group, &format!("step_B{samples}"), base(GOAL), samples);
        let dense = StdpParams {
            a_minus: 0.1,
            ..StdpParams::default()
        };
        let dense = LayerConfig {
            stdp: Some(dense),
            ..base(GOAL)
        };
        bench_step(&mut group, &format!("step_with_depression_B{samples}"), dense, samples);
    }
    group.finish();
}

fn whole(c: &mut Criterion) {
    let mut group = c.benchmark_group("whole_step");
    group.sample_size(10);
    for (dendrites, synapses) in [(4, 32), (8, 64), (16, 128)] {
        for neurons in [1, 100, 1000] {
            for samples in BATCHES {
                let name = format!("n{neurons}_D{dendrites}_S{synapses}_B{samples}");
                bench_step(&mut group, &name, base(shape(neurons, dendrites, synapses)), samples);
            }
        }
    }
    group.finish();
}

fn mechanisms(c: &mut Criterion) {
    let mut group = c.benchmark_group("mechanism");
    group.sample_size(20);
    let with = |edit: fn(&mut LayerConfig)| {
        let mut config = base(GOAL);
        edit(&mut config);
        config
    };
    let dendrite = |integration| LayerConfig {
        dendrite: DendriteParams {
            integration,
            ..base(GOAL).dendrite
        },
        ..base(GOAL)
    };
    let configs = [
        ("none_but_drive", {
            LayerConfig {
                dendrite: base(GOAL).dendrite,
                spike: SpikeParams {
                    width: 0.2,
                    ..base(GOAL).spike
                },
                ..LayerConfig::new(GOAL, 512, 1)
            }
        }),
        ("base", base(GOAL)),
        ("nmda_shunting", dendrite(Integration::NmdaShunting)),
        ("wta_soft", dendrite(Integration::WtaSoft)),
        ("wta_hard", dendrite(Integration::WtaHard)),
        ("refractory", with(|c| c.refractory = Some(RefractoryParams::default()))),
        ("short_term", with(|c| c.short_term = Some(ShortTermParams::default()))),
        ("bap", with(|c| c.bap = Some(BapParams::default()))),
        (
            "three_factor",
            with(|c| c.three_factor = Some(ThreeFactorParams::default())),
        ),
        (
            "three_factor_and_surprise",
            with(|c| {
                c.three_factor = Some(ThreeFactorParams::default());
                c.neuromodulation = Some(NeuromodulationParams {
                    signal: Signal::Surprise,
                    ..NeuromodulationParams::default()
                });
            }),
        ),
        (
            "consolidation",
            with(|c| c.consolidation = Some(ConsolidationParams::default())),
        ),
        ("pruning", with(|c| c.pruning = Some(PruningParams::default()))),
        ("adaptation", with(|c| c.adaptation = Some(AdaptationParams::default()))),
        (
            "feedback",
            // Four winners of a hundred bring a cell to 0.007.
            with(|c| {
                c.feedback = Some(FeedbackParams {
                    threshold: 0.005,
                    ..FeedbackParams::default()
                });
            }),
        ),
    ];
    for (name, config) in configs {
        bench_step(&mut group, name, config, 32);
    }
    group.finish();
}

/// The default monitor beside one that checks 4096 times less: the difference is its share.
fn health(c: &mut Criterion) {
    let mut group = c.benchmark_group("health");
    for (name, sweep_steps) in [("default", HealthParams::default().sweep_steps), ("hardly", 1 << 20)] {
        let mut config = base(GOAL);
        config.health.sweep_steps = sweep_steps;
        bench_step(&mut group, name, config, 32);
    }
    group.finish();
}

criterion_group!(benches, goal, mechanisms, health, whole);
criterion_main!(benches);
