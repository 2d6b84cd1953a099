//! The soak: a long run on hostile inputs that keeps every invariant, or says which broke.
//!
//! Used by this crate's tests with a small number of steps, by `examples/soak.rs` with as many as wanted, and by the release
//! check. Inputs are a pure function of the seed, so a failure can be replayed. [`at_edges`] makes layers whose parameters are at the ends of
//! their ranges.

use fold_core::health::HealthParams;
use fold_core::invariants::Breach;
use fold_core::params::{DendriteParams, FilamentParams, Integration, SpikeParams};
use fold_core::random::{Random, Stream, below, uniform};
use fold_core::three_factor::ThreeFactorParams;

use crate::adaptation::AdaptationParams;
use crate::bap::BapParams;
use crate::config::DT_MS;
use crate::consolidation::ConsolidationParams;
use crate::feedback::FeedbackParams;
use crate::homeostasis::HomeostasisParams;
use crate::mechanism::{StepOptions, Thresholds};
use crate::neuromodulation::{NeuromodulationParams, Signal};
use crate::pruning::PruningParams;
use crate::refractory::RefractoryParams;
use crate::short_term::ShortTermParams;
use crate::stdp::{Pairing, StdpParams};
use crate::{Error, Layer, LayerConfig, Result};

const STREAM: Stream = Stream(64);

/// The choices of [`at_edges`].
const EDGES: Stream = Stream(65);

/// Draws of a section until its rules and those of the sections before it are content.
const DRAWS: usize = 256;

/// Values that no step may accept.
const HOSTILE: [f32; 8] = [
    f32::NAN,
    f32::INFINITY,
    f32::NEG_INFINITY,
    -1.0,
    -f32::MIN_POSITIVE,
    1.000_000_1,
    3e38,
    -3e38,
];

/// What a soak did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Steps taken.
    pub steps: u64,
    /// Hostile inputs offered, every one of which was refused.
    pub refused: u64,
    /// Spikes emitted.
    pub spikes: u64,
}

/// How a soak can fail.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// A hostile value was accepted.
    #[error("step {step}: input value {value} was accepted")]
    Accepted {
        /// The step.
        step: u64,
        /// The value.
        value: f32,
    },
    /// A hostile value was refused, but the state moved.
    #[error("step {step}: input value {value} was refused, but the state changed")]
    Moved {
        /// The step.
        step: u64,
        /// The value.
        value: f32,
    },
    /// A valid input was refused.
    #[error("step {step}: a valid input was refused: {source}")]
    Refused {
        /// The step.
        step: u64,
        /// Why.
        source: Error,
    },
    /// An invariant broke.
    #[error("step {step}: {breach}")]
    Broken {
        /// The step.
        step: u64,
        /// Which.
        breach: Breach,
    },
}

/// Runs `steps` steps on `layer` with inputs between the extremes, every seventh one preceded by a hostile one. Every thousand steps the layer
/// sleeps, or rests where it cannot.
///
/// The whole state is checked every `check_every` steps and at the end (0 = only at the end), and compared around every 64th
/// refused input.
///
/// # Errors
/// The first [`Failure`].
pub fn soak(layer: &mut Layer, steps: u64, check_every: u64, seed: u64) -> std::result::Result<Outcome, Failure> {
    let random = Random::new(seed, STREAM);
    let mut x = vec![0.0; layer.samples() * layer.config().lines as usize];
    let mut outcome = Outcome {
        steps: 0,
        refused: 0,
        spikes: 0,
    };
    for step in 0..steps {
        let options = draw_input(&random, step, &mut x);
        if step % 7 == 3 {
            offer_hostile(layer, &random, step, &mut x, options, &mut outcome)?;
        }
        let samples = layer.samples();
        let taken = layer
            .step(&x, samples, options)
            .map_err(|source| Failure::Refused { step, source })?;
        outcome.spikes += taken.counts.iter().map(|&k| u64::from(k)).sum::<u64>();
        outcome.steps += 1;
        if step % 1000 == 999 {
            if layer.config().consolidation.is_some() {
                layer.sleep(1e5).map_err(|source| Failure::Refused { step, source })?;
            } else {
                layer.rest();
            }
        }
        if check_every > 0 && step % check_every == check_every - 1 {
            check(layer, step)?;
        }
    }
    check(layer, steps)?;
    Ok(outcome)
}

/// `config` with every parameter of the mechanisms it has at one of the ends of its range, as far as the rules that tie parameters together
/// allow: section by section, a section that they refuse in every draw stays as it was. A function of `config` and `seed`.
#[must_use]
pub fn at_edges(config: &LayerConfig, seed: u64) -> LayerConfig {
    let random = Random::new(seed, EDGES);
    let mut drawn = 0;
    let mut word = || {
        drawn += 1;
        random.block(drawn, 0)[0]
    };
    let mut edged = config.clone();
    let mut section = |set: &dyn Fn(&mut LayerConfig, &mut dyn FnMut() -> u32)| {
        for _ in 0..DRAWS {
            let mut candidate = edged.clone();
            set(&mut candidate, &mut word);
            let longest = candidate.tau_max() as f32;
            for (_, tau) in candidate.time_constants() {
                *tau = tau.min(longest);
            }
            if candidate.check().is_ok() {
                edged = candidate;
                break;
            }
        }
    };
    /// Sections that may be absent.
    macro_rules! sections {
        ($($field:ident: $params:ident),+) => { $(
            section(&|c, word| if c.$field.is_some() {
                c.$field = Some($params::from_fractions(|| end(word())));
            });
        )+ };
    }
    section(&|c, word| c.dt_ms = DT_MS.range.at(end(word())) as f32);
    section(&|c, word| c.filaments = FilamentParams::from_fractions(|| end(word())));
    section(&|c, word| {
        let integration = [
            Integration::Sum,
            Integration::NmdaShunting,
            Integration::WtaSoft,
            Integration::WtaHard,
        ];
        c.dendrite = DendriteParams {
            integration: integration[below(word(), 4) as usize],
            ..DendriteParams::from_fractions(|| end(word()))
        };
    });
    section(&|c, word| c.spike = SpikeParams::from_fractions(|| end(word())));
    section(&|c, word| c.health = HealthParams::from_fractions(|| end(word())));
    section(&|c, word| {
        if c.stdp.is_some() {
            c.stdp = Some(StdpParams {
                pairing: [Pairing::AllToAll, Pairing::Nearest][below(word(), 2) as usize],
                ..StdpParams::from_fractions(|| end(word()))
            });
        }
    });
    section(&|c, word| {
        if c.neuromodulation.is_some() {
            let signal = [Signal::External, Signal::Capacity, Signal::Surprise];
            c.neuromodulation = Some(NeuromodulationParams {
                signal: signal[below(word(), 3) as usize],
                ..NeuromodulationParams::from_fractions(|| end(word()))
            });
        }
    });
    sections!(
        refractory: RefractoryParams, three_factor: ThreeFactorParams, homeostasis: HomeostasisParams,
        short_term: ShortTermParams, bap: BapParams, consolidation: ConsolidationParams, pruning: PruningParams,
        adaptation: AdaptationParams, feedback: FeedbackParams
    );
    edged
}

/// One end of a range, as a fraction of it.
fn end(word: u32) -> f64 {
    f64::from(word % 2)
}

fn check(layer: &Layer, step: u64) -> std::result::Result<(), Failure> {
    match layer.check().first() {
        Some(&breach) => Err(Failure::Broken { step, breach }),
        None => Ok(()),
    }
}

/// Silence, full drive, rate codes or sparse spikes, with options at and between their ends.
fn draw_input(random: &Random, step: u64, x: &mut [f32]) -> StepOptions {
    let [kind, plasticity, modulator, homeostasis] = random.block(u64::MAX, step);
    for (unit, values) in (0u64..).zip(x.chunks_mut(4)) {
        for (x, word) in values.iter_mut().zip(random.block(unit, step)) {
            *x = match kind % 5 {
                0 => 0.0,
                1 => 1.0,
                2 => uniform(word),
                3 => f32::from(u8::from(below(word, 10) == 0)),
                _ => f32::from_bits(below(word, f32::MIN_POSITIVE.to_bits())),
            };
        }
    }
    StepOptions {
        plasticity: [0.0, 1.0, uniform(plasticity)][below(plasticity, 3) as usize],
        modulator: [-1.0, 1.0, 2.0 * uniform(modulator) - 1.0][below(modulator, 3) as usize],
        thresholds: if below(modulator.rotate_left(7), 8) == 0 {
            Thresholds::Hold
        } else {
            Thresholds::Adapt
        },
        homeostasis: [0.0, 1.0, uniform(homeostasis)][below(homeostasis, 3) as usize],
    }
}

fn offer_hostile(
    layer: &mut Layer,
    random: &Random,
    step: u64,
    x: &mut [f32],
    options: StepOptions,
    outcome: &mut Outcome,
) -> std::result::Result<(), Failure> {
    let [which, place, _, _] = random.block(u64::MAX - 1, step);
    let value = HOSTILE[below(which, HOSTILE.len() as u32) as usize];
    let place = below(place, x.len() as u32) as usize;
    let before = outcome.refused.is_multiple_of(64).then(|| fingerprint(layer));
    let good = std::mem::replace(&mut x[place], value);
    let samples = layer.samples();
    let refused: Result<()> = layer.step(x, samples, options).map(|_| ());
    match refused {
        Err(Error::Core(fold_core::Error::Input { .. })) => outcome.refused += 1,
        Err(source) => return Err(Failure::Refused { step, source }),
        Ok(()) => return Err(Failure::Accepted { step, value }),
    }
    x[place] = good;
    if before.is_some_and(|before| before != fingerprint(layer)) {
        return Err(Failure::Moved { step, value });
    }
    Ok(())
}

/// A 64-bit FNV-1a over every array of the dynamic state: for comparing two states, not for guarding against damage.
#[must_use]
pub fn fingerprint(layer: &Layer) -> u64 {
    use crate::StateSlice;
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    let mut eat = |bytes: &[u8]| {
        for &byte in bytes {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    };
    layer.visit_state(&mut |name, shape, values| {
        eat(name.as_bytes());
        shape.iter().for_each(|&dim| eat(&(dim as u64).to_le_bytes()));
        match values {
            StateSlice::U8(values) => eat(values),
            StateSlice::U32(values) => values.iter().for_each(|v| eat(&v.to_le_bytes())),
            StateSlice::U64(values) => values.iter().for_each(|v| eat(&v.to_le_bytes())),
            StateSlice::F32(values) => values.iter().for_each(|v| eat(&v.to_bits().to_le_bytes())),
        }
    });
    hash
}
