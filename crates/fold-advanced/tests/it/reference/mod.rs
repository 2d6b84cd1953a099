//! The whole step against a slow reference in double precision ([`model`]), over random settings, inputs and programs.
//!
//! Every array of the dynamic state and the potential are compared after each step, within 1e-4 of the largest value that the array may
//! hold (at least 1). Spikes, filaments, ages and inhibitory cells are decisions: they must be the same unless the deciding number is within
//! that tolerance of its limit, which fewer than one in two hundred are.

mod model;
mod settings;

use std::collections::HashMap;

use fold_advanced::{Layer, LayerConfig, StateData, StepOptions, Thresholds};
use fold_core::Wiring;
use fold_core::random::{Random, Stream, below, uniform};
use quickcheck::quickcheck;

use model::{Model, Seen, tolerance};

/// Steps of one trajectory.
const STEPS: u64 = 60;

/// Steps after which the layer sleeps, or rests where it cannot.
const WAKE: u64 = 25;

/// What one trajectory showed.
struct Course {
    /// Decisions taken, and those too close to call.
    decisions: [u64; 2],
    spikes: u64,
}

/// Runs the layer of `config` beside the reference of `law`, which is the same unless a mutant is tried.
///
/// # Errors
/// The step and the array where they part.
fn follow(config: &LayerConfig, law: &LayerConfig, samples: usize, seed: u64) -> Result<Course, String> {
    let wiring = Wiring::new(config.shape, config.lines, settings::wiring(config, seed)).unwrap();
    let mut layer = Layer::new(config.clone(), wiring).unwrap();
    layer.set_samples(samples).unwrap();
    let (index, filaments) = (layer.wiring().index().to_vec(), layer.state().filaments().to_vec());
    let mut model = Model::new(law, &index, &filaments, samples);
    let random = Random::new(seed, Stream(4001));
    let mut course = Course {
        decisions: [0; 2],
        spikes: 0,
    };
    for t in 0..STEPS {
        let x = events(&random, t, samples * config.lines as usize);
        let options = options(&random, t);
        let step = layer.step(&x, samples, options).unwrap();
        let (spikes, potential) = (step.spikes.to_vec(), step.potential.to_vec());
        course.spikes += spikes.iter().map(|&s| u64::from(s)).sum::<u64>();
        let x: Vec<f64> = x.iter().map(|&x| x.into()).collect();
        advance(&layer, &spikes, |seen| model.step(&x, options, seen));
        let at = |what: String| format!("step {t}: {what}");
        near("potential", &potential, &model.potential, config.potential_max()).map_err(at)?;
        compare(&layer, &model).map_err(at)?;
        if t % WAKE == WAKE - 1 {
            let duration = 1e5 * uniform(random.block(u64::MAX, t)[0]);
            if config.consolidation.is_some() {
                layer.sleep(duration).unwrap();
                advance(&layer, &spikes, |seen| model.sleep(duration, seen));
            } else {
                layer.rest();
                model.rest();
            }
            compare(&layer, &model).map_err(|what| format!("sleep after step {t}: {what}"))?;
        }
    }
    course.decisions = model.decisions;
    Ok(course)
}

/// Lets the reference move with what the layer has decided in sight.
fn advance(layer: &Layer, spikes: &[u8], law: impl FnOnce(&Seen<'_>)) {
    let inhibition = match layer
        .state_arrays()
        .remove("feedback.inhibition")
        .map(|array| array.data)
    {
        Some(StateData::F32(values)) => values,
        _ => Vec::new(),
    };
    law(&Seen {
        spikes,
        filaments: layer.state().filaments(),
        internal: layer.state().internal(),
        inhibition: &inhibition,
    });
}

/// Silence, full drive, a rate code or sparse spikes.
fn events(random: &Random, step: u64, count: usize) -> Vec<f32> {
    let kind = below(random.block(u64::MAX - 1, step)[0], 6);
    (0..count as u64)
        .map(|k| {
            let word = random.block(k, step)[0];
            match kind {
                0 => 0.0,
                1 => 1.0,
                2 => f32::from(u8::from(below(word, 4) == 0)),
                _ => uniform(word),
            }
        })
        .collect()
}

fn options(random: &Random, step: u64) -> StepOptions {
    let [plasticity, modulator, hold, homeostasis] = random.block(u64::MAX - 2, step);
    StepOptions {
        plasticity: [0.0, 1.0, 1.0, uniform(plasticity)][below(plasticity, 4) as usize],
        modulator: 2.0 * uniform(modulator) - 1.0,
        thresholds: if below(hold, 4) == 0 {
            Thresholds::Hold
        } else {
            Thresholds::Adapt
        },
        homeostasis: [0.0, 1.0, 1.0, uniform(homeostasis)][below(homeostasis, 4) as usize],
    }
}

/// Every array of the dynamic state that a law moves.
fn compare(layer: &Layer, model: &Model) -> Result<(), String> {
    let c = layer.config();
    let f = &c.filaments;
    let eligible = c.three_factor.zip(c.stdp).map_or(1.0, |(p, stdp)| {
        let lost = 1.0 - (-f64::from(c.dt_ms) / f64::from(p.tau_e_ms)).exp();
        f64::from(stdp.drive_max(f)) / lost
    });
    let u_rest = c.short_term.map_or(0.0, |p| f64::from(p.u_rest));
    let boost = c.refractory.map_or(0.0, |p| f64::from(p.boost));
    let facilitation: Vec<f64> = model.utilisation.iter().map(|u| u - u_rest).collect();
    let depletion: Vec<f64> = model.resources.iter().map(|r| 1.0 - r).collect();
    let whole = |values: &[i64]| values.iter().map(|&n| n as f64).collect::<Vec<f64>>();
    let ages: Vec<f64> = model.age.iter().map(|&age| age.into()).collect();
    let expected: [(&str, &[f64], f64); 17] = [
        ("filaments", &whole(&model.filaments), 0.0),
        ("internal", &model.internal, f.threshold.into()),
        ("theta", &model.theta, c.spike.theta_max.into()),
        ("homeostasis.error", &model.error, 1.0),
        ("stdp.trace_pre", &model.trace_pre, 1.0),
        ("stdp.trace_post", &model.trace_post, 1.0),
        ("short_term.facilitation", &facilitation, 1.0),
        ("short_term.depletion", &depletion, 1.0),
        ("refractory.countdown", &model.countdown, 0.0),
        ("refractory.boost", &model.boost, boost),
        ("bap.exhaustion", &model.exhaustion, 1.0),
        ("adaptation.rate", &model.rate, 1.0),
        ("feedback.potential", &model.cell_potential, 1.0),
        ("feedback.inhibition", &model.cell_inhibition, 1.0),
        ("neuromodulation.expected", &model.expected, 1.0),
        ("three_factor.eligibility", &model.eligibility, eligible),
        ("consolidation.labile", &model.labile, model.labile_bound()),
    ];
    let mut found = layer.state_arrays();
    let pruned = found.remove("pruning.age").map(|array| numbers(&array.data));
    if let Some(found) = pruned {
        near("pruning.age", &found, &ages, 0.0)?;
    }
    for (name, values, bound) in expected {
        if let Some(array) = found.remove(name) {
            near(name, &numbers(&array.data), values, bound)?;
        }
    }
    let counted = [
        "wiring",
        "quarantined",
        "clock",
        "seed",
        "samples",
        "health.spikes",
        "health.counters",
    ];
    found.retain(|name, _| !counted.contains(&name.as_str()));
    assert!(found.is_empty(), "no law stands against {:?}", found.keys());
    Ok(())
}

fn numbers(data: &StateData) -> Vec<f32> {
    match data {
        StateData::U8(values) => values.iter().map(|&v| v.into()).collect(),
        StateData::U32(values) => values.iter().map(|&v| v as f32).collect(),
        StateData::F32(values) => values.clone(),
        other => panic!("{other:?}"),
    }
}

fn near(name: &str, found: &[f32], expected: &[f64], bound: f64) -> Result<(), String> {
    if found.len() != expected.len() {
        return Err(format!(
            "{name} has {} values, the reference {}",
            found.len(),
            expected.len()
        ));
    }
    let apart = |(f, e): (&f32, &f64)| (f64::from(*f) - e).abs() > tolerance(bound);
    match found.iter().zip(expected).position(apart) {
        Some(k) => Err(format!(
            "{name}[{k}] is {}, the reference says {}",
            found[k], expected[k]
        )),
        None => Ok(()),
    }
}

quickcheck! {
    fn a_step_follows_the_reference_whatever_the_settings(seed: u64) -> bool {
        let (config, samples) = settings::drawn(seed);
        if let Err(parted) = follow(&config, &config, samples, seed) {
            panic!("seed {seed}: {parted}\n{config:?}");
        }
        true
    }
}

/// The settings must reach what the comparison is about: over a hundred of them neurons fire, every mechanism takes part and is
/// absent, and every choice is made.
#[test]
fn the_settings_reach_every_mechanism_and_choice() {
    let mut seen: HashMap<String, usize> = HashMap::new();
    let (mut spikes, mut silent, mut decisions) = (0, 0, [0; 2]);
    for seed in 0..100 {
        let (config, samples) = settings::drawn(seed);
        let course = follow(&config, &config, samples, seed).unwrap();
        spikes += course.spikes;
        silent += usize::from(course.spikes == 0);
        decisions = [0, 1].map(|k| decisions[k] + course.decisions[k]);
        for name in settings::present(&config) {
            *seen.entry(name).or_default() += 1;
        }
    }
    let [all, close] = decisions;
    assert!(close * 200 < all, "{close} of {all} decisions too close to call");
    assert!(
        spikes > 10_000 && silent < 20,
        "{spikes} spikes, {silent} silent layers"
    );
    for name in settings::EVERYTHING {
        let count = seen.get(name).copied().unwrap_or_default();
        assert!((5..95).contains(&count), "{name}: {count} of 100");
    }
}

/// The mutants: a reference whose law is a tenth off in one parameter must part from the layer, for every parameter of every mechanism.
#[test]
fn a_law_that_is_a_tenth_off_is_noticed() {
    for (name, edit) in settings::MUTANTS {
        let noticed = (0..60).find(|&seed| {
            let (config, samples) = settings::drawn(seed);
            let mut law = config.clone();
            edit(&mut law);
            law != config && follow(&config, &law, samples, seed).is_err()
        });
        assert!(
            noticed.is_some(),
            "{name}: no layer of sixty parts from a law that is a tenth off"
        );
    }
}
