//! What is refused, at its limit and a thousandth beyond it, and why: each limit is one that the law itself shows.

use fold_advanced::consolidation::ConsolidationParams;
use fold_advanced::refractory::RefractoryParams;
use fold_advanced::short_term::{ShortTerm, ShortTermParams};
use fold_advanced::{Error, LayerConfig, Mechanism as _, StateArray, StateData, StepOptions};
use fold_core::math::{self, TAU_STEPS_MAX};
use fold_core::params::{SpikeParams, Violation};
use fold_core::three_factor::{ThreeFactor, ThreeFactorParams};
use quickcheck::quickcheck;

use super::{build, everything};

/// What `config` is refused for: parameters by name.
pub(super) fn refused(config: &LayerConfig) -> Vec<&'static str> {
    match config.check() {
        Ok(()) => Vec::new(),
        Err(Error::Core(fold_core::Error::Parameters { violations })) => violations
            .as_slice()
            .iter()
            .map(|violation| match violation {
                Violation::Range { parameter, .. } => parameter.name,
                Violation::Joint { parameter, .. } => parameter,
                other => panic!("{other}"),
            })
            .collect(),
        Err(other) => panic!("{other}"),
    }
}

/// Every time constant of a decay from step to step.
const TIME_CONSTANTS: [&str; 12] = [
    "refractory.tau_ms",
    "stdp.tau_plus_ms",
    "stdp.tau_minus_ms",
    "three_factor.tau_e_ms",
    "homeostasis.tau_rate_ms",
    "short_term.tau_facilitation_ms",
    "short_term.tau_recovery_ms",
    "bap.tau_recovery_ms",
    "neuromodulation.tau_ms",
    "adaptation.tau_ms",
    "feedback.tau_excitation_ms",
    "feedback.tau_inhibition_ms",
];

/// `config` with another time constant.
fn with_tau(config: &LayerConfig, name: &str, tau_ms: f32) -> LayerConfig {
    let mut json = serde_json::to_value(config).unwrap();
    *json.pointer_mut(&format!("/{}", name.replace('.', "/"))).unwrap() = tau_ms.into();
    serde_json::from_value(json).unwrap()
}

#[test]
fn a_time_constant_whose_decay_is_lost_in_rounding_is_refused() {
    // So short a step that the limit is within every range.
    let dt_ms = 1.0 / 128.0;
    let short = LayerConfig {
        dt_ms,
        refractory: Some(RefractoryParams {
            absolute_ms: dt_ms,
            boost: 0.5,
            tau_ms: 4.0 * dt_ms,
        }),
        ..everything(1)
    };
    let longest = (TAU_STEPS_MAX / 128.0) as f32;
    assert_eq!(refused(&short), [""; 0]);
    for name in TIME_CONSTANTS {
        for (factor, is_refused) in [(1.0, false), (1.001, true)] {
            let config = with_tau(&short, name, longest * factor);
            assert_eq!(
                refused(&config).contains(&name),
                is_refused,
                "{name}: {:?}",
                refused(&config)
            );
        }
    }
}

/// The law behind that limit: what decays in single precision at the longest time constant, after as many steps.
#[test]
fn what_decays_as_slowly_as_is_allowed_still_decays() {
    let keep = math::decay(1.0, TAU_STEPS_MAX as f32);
    let steps = TAU_STEPS_MAX as u32;
    let left = (0..steps).fold(1.0_f32, |x, _| x * keep);
    assert!((f64::from(left) / (-1.0_f64).exp() - 1.0).abs() < 0.04, "{left}");
    // The mutant: 32 times as slow, and nothing decays for ever.
    assert_eq!(math::decay(1.0, 32.0 * TAU_STEPS_MAX as f32), 1.0);
    for rate in [1.0_f32, 0.3] {
        let risen = (0..8 * steps).fold(0.0_f32, |x, _| x * keep + (1.0 - keep) * rate);
        let off = f64::from(risen - rate).abs();
        assert!(off <= math::rounding_of_a_trace(keep.into()), "{rate}: {risen}");
    }
}

/// That law in a layer: over an eighth of the longest time constant every array loses what it is to lose, within a tenth.
#[test]
fn every_mechanism_decays_at_the_longest_time_constant() {
    const DT_MS: f32 = 1.0 / 128.0;
    const TAU_MS: f32 = TAU_STEPS_MAX as f32 * DT_MS;
    let faded = |duration_ms| {
        super::mechanisms::fade(duration_ms, DT_MS, |c| {
            // A cell so slow comes to its threshold only if its neurons may fire often.
            c.refractory.as_mut().unwrap().absolute_ms = DT_MS;
            for name in TIME_CONSTANTS {
                *c = with_tau(c, name, TAU_MS);
            }
        })
    };
    let (fresh, late) = (faded(0.0), faded(TAU_MS / 8.0));
    for (name, fresh) in fresh {
        let mut values = fresh
            .iter()
            .zip(&late[&name])
            .filter(|(fresh, _)| **fresh != 0.0)
            .peekable();
        assert!(values.peek().is_some(), "{name} has nothing to decay");
        for (fresh, late) in values {
            let lost = -(f64::from(*late) / f64::from(*fresh)).ln();
            assert!((lost - 0.125).abs() < 0.0125, "{name}: {fresh} {late}");
        }
    }
}

quickcheck! {
    /// What short-term plasticity transmits of an event in every step is what reaches a dendrite at most.
    fn no_event_is_transmitted_beyond_the_bound(rest: u8, step: u8, tau: u8) -> bool {
        let params = ShortTermParams {
            u_rest: f32::from(rest) / 255.0,
            u_step: f32::from(step.max(1)) / 255.0,
            tau_facilitation_ms: f32::from(tau),
            tau_recovery_ms: 0.0,
        };
        let bound = params.transmitted_max(1.0);
        let mut law = ShortTerm::new(&params, 1.0, 1);
        law.rest(1);
        let highest = (0..2000).fold(0.0_f64, |highest, _| {
            let mut transmitted = [0.0];
            law.transmit(&[1.0], &mut transmitted);
            highest.max(transmitted[0].into())
        });
        highest <= bound * (1.0 + 1e-5) && highest >= 0.99 * bound
    }
}

/// B2: what can never fire is no neuron.
#[test]
fn a_threshold_beyond_what_is_transmitted_is_refused() {
    let weak = |u_rest| LayerConfig {
        short_term: Some(ShortTermParams {
            u_rest,
            u_step: 0.0,
            ..ShortTermParams::default()
        }),
        spike: SpikeParams {
            theta_init: 0.5,
            theta_min: 0.3,
            ..SpikeParams::default()
        },
        homeostasis: None,
        adaptation: None,
        feedback: None,
        refractory: None,
        ..everything(1)
    };
    assert_eq!(refused(&weak(1.0)), [""; 0]);
    let refused = refused(&weak(0.001));
    assert!(
        !refused.is_empty() && refused.iter().all(|name| name.starts_with("spike.")),
        "{refused:?}"
    );
}

/// What a maximal drive, fully rewarded, brings at the limit of eta: one filament within 65,536 steps, and none just below.
#[test]
fn an_eta_at_its_limit_promotes_in_time() {
    for tau_e_ms in [1.0, 1e3, 1e5, 1e6] {
        let eta = |factor: f64| {
            let mut violations = fold_core::params::Violations::new();
            let least = ThreeFactorParams {
                tau_e_ms,
                eta: f32::MIN_POSITIVE,
            };
            least.check(1.0, 0.1, &mut violations);
            let [Violation::Joint { limit, .. }] = violations.as_slice() else {
                panic!("{violations}")
            };
            ThreeFactorParams {
                tau_e_ms,
                eta: (limit * factor) as f32,
            }
        };
        let moved = |params: ThreeFactorParams| {
            let (law, mut e) = (ThreeFactor::new(&params, 1.0, 0.1), [0.0]);
            (0..65_536)
                .map(|_| {
                    law.advance(&mut e, &[0.1]);
                    let mut drive = [0.0];
                    law.release(&e, 1.0, &mut drive);
                    f64::from(drive[0])
                })
                .sum::<f64>()
        };
        // Single precision holds the sum within some thousandths where e grows for all of the time.
        assert!(moved(eta(1.01)) > 1.0, "{tau_e_ms}: {}", moved(eta(1.01)));
        assert!(moved(eta(0.99)) < 1.0, "{tau_e_ms}: {}", moved(eta(0.99)));
        for (factor, fits) in [(1.001, true), (0.999, false)] {
            let mut violations = fold_core::params::Violations::new();
            eta(factor).check(1.0, 0.1, &mut violations);
            assert_eq!(violations.as_slice().is_empty(), fits, "{violations}");
        }
    }
}

#[test]
fn a_depression_that_never_acts_or_acts_twice_is_refused() {
    let with = |a_minus: f32, a_het: f32, tau_minus_ms: f32| {
        let mut config = LayerConfig {
            three_factor: None,
            neuromodulation: None,
            ..everything(1)
        };
        let stdp = config.stdp.as_mut().unwrap();
        (stdp.a_minus, stdp.a_het, stdp.tau_minus_ms) = (a_minus, a_het, tau_minus_ms);
        refused(&config)
    };
    assert_eq!(with(31.0, 0.0, 20.0), [""; 0]);
    // Nothing of a post spike is left when the next pre event comes.
    assert_eq!(with(31.0, 0.0, 0.0), ["stdp.a_minus"]);
    assert_eq!(with(1.0, 0.0, 1.0 / 11.0), [""; 0]);
    assert_eq!(with(1.0, 0.0, 1.0 / 11.2), ["stdp.a_minus"]);
    assert_eq!(with(15.0, 16.0, 20.0), [""; 0]);
    assert_eq!(with(15.1, 16.0, 20.0), ["stdp.a_minus"]);
}

/// A10: a sleep that is too short to move anything says so, and those that are not add up.
#[test]
fn sleeps_as_short_as_is_allowed_add_up() {
    let tau = 1000.0_f32;
    let config = LayerConfig {
        three_factor: None,
        neuromodulation: None,
        pruning: None,
        consolidation: Some(ConsolidationParams {
            share: 1.0,
            tau_sleep_ms: tau,
        }),
        ..everything(3)
    };
    let mut once = build(config, 1);
    for t in 0..40 {
        once.step(&super::input(1, 6, t), 1, StepOptions::default()).unwrap();
    }
    let labile = |layer: &fold_advanced::Layer| match layer.state_arrays().remove("consolidation.labile") {
        Some(StateArray {
            data: StateData::F32(values),
            ..
        }) => values,
        other => panic!("{other:?}"),
    };
    let before = labile(&once);
    let largest = before.iter().fold(0.0_f32, |most, l| most.max(l.abs()));
    assert!(largest > 0.2, "{before:?}");
    let mut often = once.clone();
    let least = tau / TAU_STEPS_MAX as f32;
    let short = often.sleep(0.99 * least);
    assert!(
        matches!(short, Err(Error::OptionRange { low, .. }) if low == least),
        "{short:?}"
    );
    assert_eq!(labile(&often), before);
    let times = 1 << 18;
    for _ in 0..times {
        often.sleep(least).unwrap();
    }
    once.sleep(least * times as f32).unwrap();
    for ((a, b), before) in labile(&once).iter().zip(labile(&often)).zip(before) {
        let moved = (before - a).abs();
        assert!((a - b).abs() <= 0.04 * moved, "{before}: {a} {b}");
    }
}

/// A checkpoint may hold anything: counts that cannot be are refused before a step counts on from them.
#[test]
fn stored_counts_that_cannot_be_are_refused() {
    let mut layer = build(everything(7), 3);
    for t in 0..20 {
        layer.step(&super::input(3, 6, t), 3, StepOptions::default()).unwrap();
    }
    let arrays = layer.state_arrays();
    let restored = |name: &str, change: &dyn Fn(&mut StateArray)| {
        let mut arrays = arrays.clone();
        change(arrays.get_mut(name).unwrap());
        fold_advanced::Layer::restore(everything(7), |name| arrays.get(name).cloned())
    };
    restored("clock", &|_| {}).unwrap();
    let most = 1_u64 << 63;
    let u64s = |values: [u64; 3]| {
        move |array: &mut StateArray| {
            let len = array.shape[0];
            array.data = StateData::U64(values[..len].to_vec());
        }
    };
    let mut late = restored("clock", &u64s([most, 0, 0])).unwrap();
    late.step(&[0.5; 18], 3, StepOptions::default()).unwrap();
    assert_eq!(late.clock(), most + 1);
    // Neurons have fired, so there were samples.
    let cases: [(&str, [u64; 3]); 4] = [
        ("clock", [most + 1, 0, 0]),
        ("health.counters", [most + 1, 0, 0]),
        ("health.counters", [60, 31, 0]),
        ("health.counters", [60, 0, 31]),
    ];
    for (name, values) in cases {
        let refused = restored(name, &u64s(values));
        assert!(
            matches!(refused, Err(Error::StateInvalid { breach }) if breach.array == name),
            "{name} {values:?}"
        );
    }
    let refused = restored("health.spikes", &|array| array.data = StateData::U32(vec![u32::MAX; 5]));
    assert!(matches!(refused, Err(Error::StateInvalid { breach }) if breach.array == "health.spikes"));
    // A pruned synapse has nothing to transmit with.
    let refused = restored("pruning.age", &|array| array.data = StateData::U8(vec![255; 30]));
    assert!(matches!(refused, Err(Error::StateInvalid { breach }) if breach.array == "pruning.age"));
}
