//! Time of a whole step on one core: `cargo run --release -p fold-advanced --example step_time`.
//!
//! n = 400, D = 4, S = 32, B = 8, with competition, STDP and homeostasis, for the learning rules one by one; then n = 100, D = 8, S = 64
//! over B, with synapse updates per second. What is printed is the tenth percentile of many steps.

use std::io::Write as _;
use std::time::Instant;

use fold_advanced::homeostasis::HomeostasisParams;
use fold_advanced::inhibition::{Contenders, InhibitionParams, Winners};
use fold_advanced::refractory::RefractoryParams;
use fold_advanced::stdp::StdpParams;
use fold_advanced::{Layer, LayerConfig, Response, Scratch, StepOptions};
use fold_core::health::HealthParams;
use fold_core::params::{DendriteParams, SpikeParams};
use fold_core::random::{Random, Stream, uniform};
use fold_core::three_factor::ThreeFactorParams;
use fold_core::{Shape, Wiring};

const SAMPLES: usize = 8;
const STEPS: usize = 2000;

fn base() -> LayerConfig {
    LayerConfig {
        inhibition: Some(InhibitionParams {
            winners: Winners::Count(8),
            contenders: Contenders::AboveThreshold,
        }),
        homeostasis: Some(HomeostasisParams {
            rate_target: 0.02,
            ..HomeostasisParams::default()
        }),
        ..LayerConfig::new(
            Shape {
                neurons: 400,
                dendrites: 4,
                synapses: 32,
            },
            128,
            1,
        )
    }
}

/// The fastest tenth of `times` ends here: on a busy machine the median measures the neighbours.
fn typical(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 10]
}

fn step_us(config: LayerConfig, samples: usize) -> Result<f64, fold_advanced::Error> {
    let lines = config.lines as usize;
    let wiring = Wiring::shared(config.shape)?;
    let mut layer = Layer::new(config, wiring)?;
    layer.set_samples(samples)?;
    let inputs: Vec<Vec<f32>> = (0..16).map(|t| input(samples, lines, t)).collect();
    let steps = STEPS * SAMPLES / samples.max(SAMPLES);
    let mut times = Vec::with_capacity(steps);
    for x in inputs.iter().cycle().take(steps) {
        let start = Instant::now();
        layer.step(x, samples, StepOptions::default())?;
        times.push(start.elapsed().as_secs_f64() * 1e6);
    }
    Ok(typical(times))
}

/// From the input to every potential, and nothing else.
fn drive_us(config: LayerConfig, samples: usize) -> Result<f64, fold_advanced::Error> {
    let mut out = vec![0.0; samples * config.shape.neuron_count()];
    let x = input(samples, config.lines as usize, 0);
    let layer = Layer::new(config.clone(), Wiring::shared(config.shape)?)?;
    let mut scratch = Scratch::default();
    let mut times = Vec::with_capacity(200);
    for _ in 0..200 {
        let start = Instant::now();
        layer.respond(&x, samples, Response::Potential, &mut scratch, &mut out)?;
        times.push(start.elapsed().as_secs_f64() * 1e6);
    }
    Ok(typical(times))
}

fn input(samples: usize, lines: usize, step: u64) -> Vec<f32> {
    let random = Random::new(1, Stream(1000));
    (0..samples * lines)
        .map(|k| uniform(random.block(k as u64, step)[0]).powi(2))
        .collect()
}

/// 100 neurons at (8, 64): without learning, with potentiation where a neuron fires, and with depression at every pre event.
fn goals() -> [(&'static str, LayerConfig); 3] {
    let shape = Shape {
        neurons: 100,
        dendrites: 8,
        synapses: 64,
    };
    let of = |stdp| LayerConfig {
        dendrite: DendriteParams {
            threshold: 16.0,
            ..DendriteParams::default()
        },
        spike: SpikeParams {
            theta_max: 9.0,
            ..SpikeParams::default()
        },
        inhibition: Some(InhibitionParams {
            winners: Winners::Count(4),
            contenders: Contenders::AboveThreshold,
        }),
        stdp,
        ..LayerConfig {
            lines: 512,
            shape,
            ..base()
        }
    };
    let potentiation = StdpParams {
        a_het: 0.1,
        ..StdpParams::default()
    };
    let depression = StdpParams {
        a_minus: 0.05,
        ..potentiation
    };
    [
        ("drive, competition, homeostasis", of(None)),
        ("+ STDP, event-driven", of(Some(potentiation))),
        ("+ STDP with depression", of(Some(depression))),
    ]
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
    let stdp = StdpParams {
        a_het: 0.1,
        ..StdpParams::default()
    };
    let noisy = SpikeParams {
        width: 0.2,
        ..SpikeParams::default()
    };
    let rare = HealthParams {
        sweep_steps: 1 << 20,
        ..HealthParams::default()
    };
    let configs = [
        ("drive, competition, homeostasis", base()),
        (
            "+ STDP, event-driven",
            LayerConfig {
                stdp: Some(stdp),
                ..base()
            },
        ),
        (
            "  the same without health monitor",
            LayerConfig {
                stdp: Some(stdp),
                health: rare,
                ..base()
            },
        ),
        (
            "  the same with escape noise",
            LayerConfig {
                stdp: Some(stdp),
                spike: noisy,
                ..base()
            },
        ),
        ("  the same with refractory period", {
            LayerConfig {
                stdp: Some(stdp),
                refractory: Some(RefractoryParams::default()),
                ..base()
            }
        }),
        ("+ STDP with depression at pre events", {
            LayerConfig {
                stdp: Some(StdpParams { a_minus: 0.05, ..stdp }),
                ..base()
            }
        }),
        ("+ STDP through eligibility", {
            LayerConfig {
                stdp: Some(stdp),
                three_factor: Some(ThreeFactorParams::default()),
                ..base()
            }
        }),
    ];
    let mut out = std::io::stdout();
    for (name, config) in configs {
        let us = pool.install(|| step_us(config, SAMPLES))?;
        writeln!(out, "{us:9.1} us  {name}")?;
    }
    for samples in [1, 32, 256] {
        let mut line = |us: f64, name: &str| {
            let updates = (100 * 512 * samples) as f64;
            writeln!(
                out,
                "{us:9.1} us  {:6.2} G/s  (8, 64), B = {samples}: {name}",
                updates / us / 1e3
            )
        };
        let [(_, plain), ..] = goals();
        line(pool.install(|| drive_us(plain, samples))?, "drive alone")?;
        for (name, config) in goals() {
            line(pool.install(|| step_us(config, samples))?, name)?;
        }
    }
    Ok(())
}
