//! Inputs and options that no step may accept, and the soak.

use std::collections::HashMap;

use fold_advanced::soak::{at_edges, fingerprint, soak};
use fold_advanced::{Error, LayerConfig, MAX_SAMPLES, StateData, StepOptions};
use fold_core::input::InputPolicy;
use fold_core::math;

use super::{build, everything, input};

#[test]
fn a_refused_step_leaves_every_bit_where_it_was() {
    let mut layer = build(everything(2), 3);
    for t in 0..20 {
        layer.step(&input(3, 6, t), 3, StepOptions::default()).unwrap();
    }
    let before = fingerprint(&layer);
    for bad in [
        f32::NAN,
        f32::INFINITY,
        f32::NEG_INFINITY,
        -1e-30,
        1.000_000_1,
        f32::MAX,
    ] {
        for place in [0, 7, 17] {
            let mut x = input(3, 6, 50);
            x[place] = bad;
            let error = layer.step(&x, 3, StepOptions::default()).unwrap_err();
            assert!(
                error
                    .to_string()
                    .starts_with(&format!("input [{}, {}]", place / 6, place % 6)),
                "{error}"
            );
            assert_eq!((error.code(), fingerprint(&layer)), ("FOLD-E0008", before));
        }
    }
    let x = input(3, 6, 50);
    assert!(layer.step(&x[1..], 3, StepOptions::default()).is_err());
    assert!(matches!(
        layer.step(&x, 2, StepOptions::default()),
        Err(Error::SampleCount { expected: 3, given: 2 })
    ));
    for options in [
        StepOptions {
            plasticity: f32::NAN,
            ..StepOptions::default()
        },
        StepOptions {
            plasticity: 1.5,
            ..StepOptions::default()
        },
        StepOptions {
            modulator: -1.5,
            ..StepOptions::default()
        },
        StepOptions {
            homeostasis: f32::NAN,
            ..StepOptions::default()
        },
        StepOptions {
            homeostasis: 1.5,
            ..StepOptions::default()
        },
    ] {
        assert!(matches!(layer.step(&x, 3, options), Err(Error::OptionRange { .. })));
    }
    assert!(matches!(layer.set_samples(0), Err(Error::Samples { given: 0, .. })));
    assert!(layer.set_samples(MAX_SAMPLES + 1).is_err());
    assert_eq!(fingerprint(&layer), before);
}

#[test]
fn a_silenced_sample_is_a_silent_one_and_is_reported() {
    let mut config = everything(2);
    config.health.input = InputPolicy::Silence;
    config.health.sweep_steps = 10;
    let (mut hostile, mut silent) = (build(config.clone(), 3), build(config.clone(), 3));
    for t in 0..40 {
        let mut x = input(3, 6, t);
        let bad = t % 4 == 1;
        if bad {
            x[6 + (t as usize % 6)] = [f32::NAN, f32::INFINITY, -1.0][t as usize % 3];
        }
        let spikes = hostile.step(&x, 3, StepOptions::default()).unwrap().spikes.to_vec();
        if bad {
            x[6..12].fill(0.0);
        }
        assert_eq!(silent.step(&x, 3, StepOptions::default()).unwrap().spikes, spikes);
        assert_eq!(hostile.state(), silent.state());
        assert!(hostile.check().is_empty());
    }
    // Steps 33 and 37 had a bad sample.
    assert_eq!(hostile.health().unwrap().silenced, 2);
    let mut array = None;
    hostile.step(&[f32::NAN; 18], 3, StepOptions::default()).unwrap();
    hostile.visit_state(&mut |name, _, values| {
        if name == "health.silenced" {
            array = Some(values.to_data());
        }
    });
    assert_eq!(array, Some(StateData::U64(vec![3])));
}

#[test]
fn a_soak_of_a_hundred_thousand_steps_keeps_every_invariant() {
    for with_credit in [false, true] {
        let mut config = everything(11);
        config.three_factor = config.three_factor.filter(|_| with_credit);
        config.neuromodulation = config.neuromodulation.filter(|_| with_credit);
        let outcome = soak(&mut build(config, 3), 50_000, 50, 11).unwrap();
        assert_eq!(outcome.steps, 50_000);
        assert!(outcome.refused > 7000 && outcome.spikes > 1000, "{outcome:?}");
    }
}

/// A layer with every mechanism and its parameters at the ends of their ranges.
fn edged(seed: u64) -> LayerConfig {
    at_edges(&everything(seed), seed)
}

#[test]
fn a_soak_at_the_edges_of_the_ranges_keeps_every_invariant() {
    let mut spikes = 0;
    for seed in 0..50 {
        let mut config = edged(seed);
        config.three_factor = config.three_factor.filter(|_| seed % 2 == 0);
        config.neuromodulation = config.neuromodulation.filter(|_| seed % 2 == 0);
        let outcome = soak(&mut build(config.clone(), 3), 2000, 20, seed);
        spikes += outcome
            .unwrap_or_else(|failure| panic!("seed {seed}: {failure}\n{config:?}"))
            .spikes;
    }
    assert!(spikes > 10_000, "{spikes}");
}

/// The ends that no layer with every mechanism can have: the rules that tie parameters together forbid them. (Winners are not drawn.)
const FORBIDDEN: [(&str, [bool; 2]); 12] = [
    ("dendrite.gain", [true, false]),
    ("dendrite.threshold", [false, true]),
    ("feedback.cells", [false, true]),
    ("feedback.threshold", [false, true]),
    ("filaments.n_max", [true, false]),
    ("filaments.n_min", [false, true]),
    ("filaments.w_scale", [false, true]),
    ("homeostasis.rate_target", [false, true]),
    ("inhibition.winners.count", [true, true]),
    ("refractory.absolute_ms", [false, true]),
    ("spike.theta_max", [true, false]),
    ("spike.theta_min", [false, true]),
];

/// What the soak above is about: over its seeds every parameter is at either end of its range.
#[test]
fn every_parameter_gets_to_both_ends_of_its_range() {
    let mut seen: HashMap<&str, [bool; 2]> = HashMap::new();
    for seed in 0..50 {
        let json = serde_json::to_value(edged(seed)).unwrap();
        for parameter in super::docs::PAGES.iter().flat_map(|(_, table)| *table) {
            let pointer = format!("/{}", parameter.name.replace('.', "/"));
            let Some(value) = json.pointer(&pointer).and_then(serde_json::Value::as_f64) else {
                continue;
            };
            let close = |end: f64| (value - end).abs() <= 1e-6 * end.abs();
            let ends = seen.entry(parameter.name).or_default();
            // A time constant goes to its end, or to that which the step leaves it; sleep has no steps.
            let of_steps = parameter.name.contains(".tau_") && parameter.name != "consolidation.tau_sleep_ms";
            let longest = math::TAU_STEPS_MAX * json["dt_ms"].as_f64().unwrap();
            let last = parameter.range.at(1.0);
            ends[0] |= close(parameter.range.at(0.0));
            ends[1] |= close(if of_steps { last.min(longest) } else { last });
        }
    }
    assert!(seen.len() > 40, "{seen:?}");
    let mut missed: Vec<(&str, [bool; 2])> = seen
        .into_iter()
        .map(|(name, ends)| (name, ends.map(|end| !end)))
        .collect();
    missed.retain(|(_, ends)| *ends != [false; 2]);
    missed.sort_unstable();
    assert_eq!(missed, FORBIDDEN);
}
