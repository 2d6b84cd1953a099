//! The soak from the command line: `cargo run --release -p fold-advanced --example soak -- 1000000 [SEED]`.
//!
//! A quarter of the steps with every mechanism but the three-factor rule and its neuromodulation, a quarter with these too, and half over
//! layers whose parameters are at the ends of their ranges. Ends with exit code 1 and the failure on stderr when an invariant breaks.

use std::io::Write as _;

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
use fold_advanced::{Layer, LayerConfig, soak};
use fold_core::params::{DendriteParams, Integration, SpikeParams};
use fold_core::three_factor::ThreeFactorParams;
use fold_core::{Shape, Wiring};

fn config(with_credit: bool, seed: u64) -> LayerConfig {
    let shape = Shape {
        neurons: 16,
        dendrites: 3,
        synapses: 8,
    };
    LayerConfig {
        spike: SpikeParams {
            width: 0.2,
            theta_min: 0.01,
            ..SpikeParams::default()
        },
        inhibition: Some(InhibitionParams {
            winners: Winners::Count(5),
            contenders: Contenders::AboveThreshold,
        }),
        refractory: Some(RefractoryParams {
            absolute_ms: 2.0,
            boost: 1.0,
            tau_ms: 5.0,
        }),
        stdp: Some(StdpParams {
            a_plus: 1.0,
            a_minus: 1.0,
            a_het: 0.5,
            ..StdpParams::default()
        }),
        three_factor: with_credit.then(ThreeFactorParams::default),
        homeostasis: Some(HomeostasisParams {
            kp: 0.1,
            tau_rate_ms: 10.0,
            ..HomeostasisParams::default()
        }),
        short_term: Some(ShortTermParams::default()),
        bap: Some(BapParams::default()),
        neuromodulation: with_credit.then(|| NeuromodulationParams {
            signal: Signal::Surprise,
            ..NeuromodulationParams::default()
        }),
        consolidation: Some(ConsolidationParams {
            share: 0.5,
            ..ConsolidationParams::default()
        }),
        pruning: Some(PruningParams {
            keep: 4,
            ..PruningParams::default()
        }),
        adaptation: Some(AdaptationParams::default()),
        feedback: Some(FeedbackParams {
            cells: 2,
            ..FeedbackParams::default()
        }),
        dendrite: DendriteParams {
            threshold: 1.0,
            integration: if with_credit {
                Integration::WtaSoft
            } else {
                Integration::NmdaShunting
            },
            ..DendriteParams::default()
        },
        ..LayerConfig::new(shape, 24, seed)
    }
}

/// Layers whose parameters are at the ends of their ranges.
const EDGED: u64 = 48;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let steps = arguments.next().map_or(Ok(100_000), |text| text.parse::<u64>())?;
    let seed = arguments.next().map_or(Ok(1), |text| text.parse::<u64>())?;
    let mut out = std::io::stdout();
    let run = |config: LayerConfig, steps, seed| -> Result<(soak::Outcome, u64), Box<dyn std::error::Error>> {
        let wiring = Wiring::shared(config.shape)?;
        let mut layer = Layer::new(config, wiring)?;
        layer.set_samples(3)?;
        let outcome = soak::soak(&mut layer, steps, 100, seed)?;
        Ok((outcome, soak::fingerprint(&layer)))
    };
    for with_credit in [false, true] {
        let (outcome, state) = run(config(with_credit, seed), steps / 4, seed)?;
        writeln!(out, "{outcome:?}, state {state:016x}")?;
    }
    let mut sum = soak::Outcome::default();
    for edge in 0..EDGED {
        let base = config(edge % 2 == 0, seed);
        let (outcome, _) = run(soak::at_edges(&base, edge), steps / 2 / EDGED, seed + edge)?;
        sum.steps += outcome.steps;
        sum.refused += outcome.refused;
        sum.spikes += outcome.spikes;
    }
    writeln!(
        out,
        "{sum:?} over {EDGED} layers with parameters at the ends of their ranges"
    )?;
    Ok(())
}
