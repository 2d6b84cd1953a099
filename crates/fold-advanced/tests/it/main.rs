//! Integration tests of the layer and its mechanisms: what a step promises, mechanism by mechanism and together.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod composition;
mod defects;
mod determinism;
mod docs;
mod figures;
mod hostile;
mod limits;
mod mechanisms;
mod reach;
mod reference;
mod regulation;
mod stdp;

use fold_advanced::adaptation::AdaptationParams;
use fold_advanced::bap::BapParams;
use fold_advanced::consolidation::ConsolidationParams;
use fold_advanced::feedback::FeedbackParams;
use fold_advanced::homeostasis::HomeostasisParams;
use fold_advanced::inhibition::{Contenders, InhibitionParams, Winners};
use fold_advanced::neuromodulation::{NeuromodulationParams, Signal};
use fold_advanced::pruning::PruningParams;
use fold_advanced::refractory::RefractoryParams;
use fold_advanced::short_term::ShortTermParams;
use fold_advanced::stdp::StdpParams;
use fold_advanced::{Layer, LayerConfig};
use fold_core::params::{DendriteParams, Integration, SpikeParams};
use fold_core::random::{Random, Stream, uniform};
use fold_core::three_factor::ThreeFactorParams;
use fold_core::{Shape, Wiring};

/// Every mechanism at once, with noise, on a small layer of 5 x 2 x 3 over 6 lines.
fn everything(seed: u64) -> LayerConfig {
    LayerConfig {
        dendrite: DendriteParams {
            threshold: 1.0,
            integration: Integration::WtaSoft,
            ..DendriteParams::default()
        },
        short_term: Some(ShortTermParams {
            u_rest: 0.6,
            tau_recovery_ms: 8.0,
            ..ShortTermParams::default()
        }),
        bap: Some(BapParams::default()),
        neuromodulation: Some(NeuromodulationParams {
            signal: Signal::Surprise,
            tau_ms: 20.0,
            ..NeuromodulationParams::default()
        }),
        consolidation: Some(ConsolidationParams {
            share: 0.5,
            ..ConsolidationParams::default()
        }),
        pruning: Some(PruningParams {
            below: 6,
            patience: 3,
            interval_ms: 4.0,
            ..PruningParams::default()
        }),
        adaptation: Some(AdaptationParams {
            strength: 0.4,
            tau_ms: 15.0,
        }),
        feedback: Some(FeedbackParams {
            cells: 2,
            strength: 0.4,
            ..FeedbackParams::default()
        }),
        ..most(seed)
    }
}

/// The mechanisms that the first trajectories were pinned with.
fn most(seed: u64) -> LayerConfig {
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
