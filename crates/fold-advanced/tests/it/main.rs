//! Integration tests of the layer and its mechanisms: what a step promises, mechanism by mechanism and together.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod composition;
mod determinism;
mod docs;
mod hostile;
mod regulation;
mod stdp;

use fold_advanced::homeostasis::HomeostasisParams;
use fold_advanced::inhibition::{Contenders, InhibitionParams, Winners};
use fold_advanced::refractory::RefractoryParams;
use fold_advanced::stdp::StdpParams;
use fold_advanced::{Layer, LayerConfig};
use fold_core::params::SpikeParams;
use fold_core::random::{Random, Stream, uniform};
use fold_core::three_factor::ThreeFactorParams;
use fold_core::{Shape, Wiring};

/// Every mechanism at once, with noise, on a small layer of 5 x 2 x 3 over 6 lines.
fn everything(seed: u64) -> LayerConfig {
    LayerConfig {
        spike: SpikeParams {
            width: 0.3,
            ..SpikeParams::default()
        },
        inhibition: Some(InhibitionParams {
            winners: Winners::Count(2),
            contenders: Contenders::AboveThreshold,
        }),
        refractory: Some(RefractoryParams {
            absolute_ms: 1.0,
            boost: 0.5,
            tau_ms: 4.0,
        }),
        stdp: Some(StdpParams {
            a_plus: 0.9,
            a_minus: 0.6,
            a_het: 0.4,
            ..StdpParams::default()
        }),
        three_factor: Some(ThreeFactorParams {
            tau_e_ms: 30.0,
            eta: 0.3,
        }),
        homeostasis: Some(HomeostasisParams {
            kp: 0.05,
            tau_rate_ms: 5.0,
            ..HomeostasisParams::default()
        }),
        ..LayerConfig::new(
            Shape {
                neurons: 5,
                dendrites: 2,
                synapses: 3,
            },
            6,
            seed,
        )
    }
}

fn build(config: LayerConfig, samples: usize) -> Layer {
    let wiring = Wiring::shared(config.shape).unwrap();
    let mut layer = Layer::new(config, wiring).unwrap();
    layer.set_samples(samples).unwrap();
    layer
}

/// A rate-coded input [samples, lines]: a pure function of `step`.
fn input(samples: usize, lines: usize, step: u64) -> Vec<f32> {
    let random = Random::new(99, Stream(2000));
    (0..samples * lines)
        .map(|k| uniform(random.block(k as u64, step)[0]))
        .collect()
}
