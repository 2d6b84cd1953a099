//! Time of a whole step on one core: `cargo run --release -p fold-advanced --example step_time`.
//!
//! n = 400, D = 4, S = 32, B = 8, with competition, STDP and homeostasis, for the learning rules one by one; median of many steps.

use std::io::Write as _;
use std::time::Instant;

use fold_advanced::homeostasis::HomeostasisParams;
use fold_advanced::inhibition::{Contenders, InhibitionParams, Winners};
use fold_advanced::refractory::RefractoryParams;
use fold_advanced::stdp::StdpParams;
use fold_advanced::{Layer, LayerConfig, StepOptions};
use fold_core::health::HealthParams;
use fold_core::params::SpikeParams;
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

fn median_us(config: LayerConfig) -> Result<f64, fold_advanced::Error> {
    let lines = config.lines as usize;
    let wiring = Wiring::shared(config.shape)?;
    let mut layer = Layer::new(config, wiring)?;
    layer.set_samples(SAMPLES)?;
    let random = Random::new(1, Stream(1000));
    let inputs: Vec<Vec<f32>> = (0..16)
        .map(|t| {
            (0..SAMPLES * lines)
                .map(|k| uniform(random.block(k as u64, t)[0]).powi(2))
                .collect()
        })
        .collect();
    let mut times = Vec::with_capacity(STEPS);
    for x in inputs.iter().cycle().take(STEPS) {
        let start = Instant::now();
        layer.step(x, SAMPLES, StepOptions::default())?;
        times.push(start.elapsed().as_secs_f64() * 1e6);
    }
    times.sort_by(f64::total_cmp);
    Ok(times[STEPS / 2])
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
        let us = pool.install(|| median_us(config))?;
        writeln!(out, "{us:9.1} us  {name}")?;
    }
    Ok(())
}
