//! Random settings of a layer: every mechanism in or out, parameters over the part of their range in which something happens.

use fold_advanced::LayerConfig;
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
use fold_advanced::stdp::{Pairing, StdpParams};
use fold_core::Shape;
use fold_core::params::{DendriteParams, FilamentParams, Integration, SpikeParams};
use fold_core::random::{Random, Stream, below, uniform};
use fold_core::three_factor::ThreeFactorParams;

/// One number after another.
struct Draw {
    random: Random,
    next: u64,
}

impl Draw {
    fn word(&mut self) -> u32 {
        self.next += 1;
        self.random.block(self.next, 0)[0]
    }

    fn below(&mut self, bound: u32) -> u32 {
        below(self.word(), bound)
    }

    fn between(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * uniform(self.word())
    }

    /// A time constant, each octave of [0.5, 128] ms as often as another.
    fn tau_ms(&mut self) -> f32 {
        let octave = self.between(-1.0, 7.0);
        octave.exp2()
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u32) as usize]
    }

    /// `value` two times of three.
    fn maybe<T>(&mut self, value: impl FnOnce(&mut Self) -> T) -> Option<T> {
        (self.below(3) > 0).then(|| value(self))
    }
}

/// The settings and the batch of `seed`: the first that pass the check.
pub(super) fn drawn(seed: u64) -> (LayerConfig, usize) {
    let mut draw = Draw {
        random: Random::new(seed, Stream(4002)),
        next: 0,
    };
    loop {
        let config = config(&mut draw, seed);
        let samples = draw.below(19) as usize + 1;
        if config.check().is_ok() {
            return (config, samples);
        }
    }
}

/// Which line each synapse listens to: any.
pub(super) fn wiring(config: &LayerConfig, seed: u64) -> Vec<u32> {
    let random = Random::new(seed, Stream(4003));
    (0..config.shape.synapse_count() as u64)
        .map(|k| below(random.block(k, 0)[0], config.lines))
        .collect()
}

fn config(draw: &mut Draw, seed: u64) -> LayerConfig {
    let shape = Shape {
        neurons: draw.below(9) + 2,
        dendrites: draw.below(5) + 1,
        synapses: draw.below(12) + 1,
    };
    let n_min = draw.one_of(&[0, 0, 3]);
    let stdp = draw.maybe(|draw| StdpParams {
        a_plus: draw.between(0.1, 3.0),
        a_minus: draw.maybe(|draw| draw.between(0.1, 2.0)).unwrap_or(0.0),
        a_het: draw.maybe(|draw| draw.between(0.1, 2.0)).unwrap_or(0.0),
        mu: draw.one_of(&[0.0, 0.3, 1.0]),
        tau_plus_ms: draw.tau_ms(),
        tau_minus_ms: draw.tau_ms(),
        pairing: draw.one_of(&[Pairing::AllToAll, Pairing::Nearest]),
    });
    let learns = stdp.is_some();
    let three_factor = draw.maybe(|draw| ThreeFactorParams {
        tau_e_ms: draw.tau_ms(),
        eta: draw.between(0.1, 1.0),
    });
    let three_factor = three_factor.filter(|_| learns);
    let neuromodulation = draw.maybe(|draw| NeuromodulationParams {
        tau_ms: draw.tau_ms(),
        capacity_target: draw.between(0.0, 1.0),
        signal: draw.one_of(&[Signal::External, Signal::Capacity, Signal::Surprise]),
    });
    let integration = [
        Integration::Sum,
        Integration::NmdaShunting,
        Integration::WtaSoft,
        Integration::WtaHard,
    ];
    LayerConfig {
        dt_ms: draw.one_of(&[0.5, 1.0, 2.0]),
        filaments: FilamentParams {
            n_min,
            n_max: draw.one_of(&[24, 31, 255]),
            threshold: draw.between(0.5, 2.0),
            w_scale: draw.between(3.0, 8.0),
            ..FilamentParams::default()
        },
        dendrite: DendriteParams {
            gain: draw.between(0.3, 3.0),
            threshold: draw.between(0.0, 2.0),
            shunting: draw.between(0.0, 2.0),
            sharpness: draw.between(0.5, 12.0),
            integration: draw.one_of(&integration),
        },
        spike: SpikeParams {
            theta_init: draw.between(0.1, 0.6) * shape.dendrites as f32,
            theta_min: 0.05,
            // As low as it may be, so that theta comes there.
            theta_max: shape.dendrites as f32 + 0.01,
            width: draw.maybe(|draw| draw.between(0.05, 0.5)).unwrap_or(0.0),
        },
        inhibition: draw.maybe(|draw| InhibitionParams {
            winners: Winners::Count(draw.below(shape.neurons) + 1),
            contenders: draw.one_of(&[Contenders::AboveThreshold, Contenders::Driven]),
        }),
        refractory: draw.maybe(|draw| RefractoryParams {
            absolute_ms: draw.between(0.0, 4.0),
            boost: draw.between(0.0, 1.0),
            tau_ms: draw.tau_ms(),
        }),
        stdp,
        three_factor,
        homeostasis: draw.maybe(|draw| HomeostasisParams {
            rate_target: draw.between(0.02, 0.2),
            ki: draw.between(0.001, 0.2),
            kp: draw.between(0.0, 0.1),
            tau_rate_ms: draw.maybe(Draw::tau_ms).unwrap_or(0.0),
        }),
        short_term: draw.maybe(|draw| ShortTermParams {
            u_rest: draw.between(0.3, 0.9),
            u_step: draw.between(0.0, 0.5),
            tau_facilitation_ms: draw.tau_ms(),
            tau_recovery_ms: draw.tau_ms(),
        }),
        bap: draw
            .maybe(|draw| BapParams {
                floor: draw.between(0.0, 1.0),
                fatigue: draw.between(0.0, 0.5),
                tau_recovery_ms: draw.tau_ms(),
            })
            .filter(|_| learns),
        neuromodulation: neuromodulation.filter(|_| three_factor.is_some()),
        consolidation: draw
            .maybe(|draw| ConsolidationParams {
                share: draw.between(0.1, 1.0),
                tau_sleep_ms: draw.between(1e4, 1e5),
            })
            .filter(|_| learns),
        pruning: draw
            .maybe(|draw| PruningParams {
                below: draw.below(12) as u8 + 1,
                patience: draw.below(4) as u8 + 1,
                interval_ms: draw.between(1.0, 8.0),
                keep: draw.below(6),
            })
            .filter(|_| n_min == 0),
        adaptation: draw.maybe(|draw| AdaptationParams {
            strength: draw.between(0.1, 0.5),
            tau_ms: draw.tau_ms(),
        }),
        feedback: draw.maybe(|draw| FeedbackParams {
            cells: draw.below(3) + 1,
            threshold: draw.between(0.01, 0.2),
            tau_excitation_ms: draw.tau_ms(),
            tau_inhibition_ms: draw.tau_ms(),
            strength: draw.between(0.1, 0.5),
        }),
        ..LayerConfig::new(shape, draw.below(20) + 1, seed)
    }
}

/// What [`present`] may name.
pub(super) const EVERYTHING: [&str; 24] = [
    "inhibition",
    "refractory",
    "stdp",
    "three_factor",
    "homeostasis",
    "short_term",
    "bap",
    "neuromodulation",
    "consolidation",
    "pruning",
    "adaptation",
    "feedback",
    "noise",
    "Sum",
    "NmdaShunting",
    "WtaSoft",
    "WtaHard",
    "AllToAll",
    "Nearest",
    "AboveThreshold",
    "Driven",
    "External",
    "Capacity",
    "Surprise",
];

/// The mechanisms and choices of `config`.
pub(super) fn present(config: &LayerConfig) -> Vec<String> {
    let parts = [
        ("inhibition", config.inhibition.is_some()),
        ("refractory", config.refractory.is_some()),
        ("stdp", config.stdp.is_some()),
        ("three_factor", config.three_factor.is_some()),
        ("homeostasis", config.homeostasis.is_some()),
        ("short_term", config.short_term.is_some()),
        ("bap", config.bap.is_some()),
        ("neuromodulation", config.neuromodulation.is_some()),
        ("consolidation", config.consolidation.is_some()),
        ("pruning", config.pruning.is_some()),
        ("adaptation", config.adaptation.is_some()),
        ("feedback", config.feedback.is_some()),
        ("noise", config.spike.width > 0.0),
    ];
    let mut names: Vec<String> = parts
        .iter()
        .filter(|(_, is)| *is)
        .map(|(name, _)| (*name).to_owned())
        .collect();
    names.push(format!("{:?}", config.dendrite.integration));
    names.extend(config.stdp.map(|p| format!("{:?}", p.pairing)));
    names.extend(config.inhibition.map(|p| format!("{:?}", p.contenders)));
    names.extend(config.neuromodulation.map(|p| format!("{:?}", p.signal)));
    names
}

/// A law with one parameter a tenth off; a layer without that mechanism is left as it is.
type Mutant = (&'static str, fn(&mut LayerConfig));

macro_rules! mutants {
    ($($section:ident . $field:ident),+ ; $($core:ident . $core_field:ident),+ $(,)?) => {
        &[
            $( (concat!(stringify!($section), ".", stringify!($field)), |c| {
                if let Some(p) = c.$section.as_mut() { p.$field *= 1.1; }
            }), )+
            $( (concat!(stringify!($core), ".", stringify!($core_field)), |c| c.$core.$core_field *= 1.1), )+
            ("dt_ms", |c| c.dt_ms *= 1.1),
            ("filaments.n_min", |c| c.filaments.n_min += 1),
            ("filaments.n_max", |c| c.filaments.n_max = c.filaments.n_max.saturating_sub(2)),
            ("pruning.below", |c| if let Some(p) = c.pruning.as_mut() { p.below += 1; }),
            ("pruning.patience", |c| if let Some(p) = c.pruning.as_mut() { p.patience += 1; }),
            ("pruning.keep", |c| if let Some(p) = c.pruning.as_mut() { p.keep += 1; }),
            ("feedback.cells", |c| if let Some(p) = c.feedback.as_mut() { p.cells = (p.cells - 1).max(1); }),
            ("inhibition.winners", |c| if let Some(p) = c.inhibition.as_mut() {
                p.winners = Winners::Count(p.winner_count(c.shape.neurons) % c.shape.neurons + 1);
            }),
        ]
    };
}

pub(super) const MUTANTS: &[Mutant] = mutants![
    refractory.absolute_ms, refractory.boost, refractory.tau_ms,
    stdp.a_plus, stdp.a_minus, stdp.a_het, stdp.mu, stdp.tau_plus_ms, stdp.tau_minus_ms,
    three_factor.tau_e_ms, three_factor.eta,
    homeostasis.rate_target, homeostasis.ki, homeostasis.kp, homeostasis.tau_rate_ms,
    short_term.u_rest, short_term.u_step, short_term.tau_facilitation_ms, short_term.tau_recovery_ms,
    bap.floor, bap.fatigue, bap.tau_recovery_ms,
    neuromodulation.tau_ms, neuromodulation.capacity_target,
    consolidation.share, consolidation.tau_sleep_ms,
    pruning.interval_ms,
    adaptation.strength, adaptation.tau_ms,
    feedback.threshold, feedback.tau_excitation_ms, feedback.tau_inhibition_ms, feedback.strength;
    dendrite.gain, dendrite.threshold, dendrite.shunting, dendrite.sharpness,
    spike.theta_init, spike.theta_min, spike.theta_max, spike.width, filaments.threshold, filaments.w_scale,
];
