//! What can be reached: suprema, rises and intervals that the checks count on, against the laws themselves; and each check at its edge.

use fold_advanced::adaptation::AdaptationParams;
use fold_advanced::feedback::FeedbackParams;
use fold_advanced::homeostasis::HomeostasisParams;
use fold_advanced::refractory::RefractoryParams;
use fold_advanced::{Layer, LayerConfig, StateData, StepOptions};
use fold_core::params::{DendriteParams, FilamentParams, SpikeParams};
use fold_core::{Shape, math};
use quickcheck::quickcheck;

use super::build;
use super::limits::refused;

/// Four neurons of 2 dendrites with 4 synapses of n_max filaments each, which fire whenever they may: theta is theta_min.
fn eager() -> LayerConfig {
    let shape = Shape {
        neurons: 4,
        dendrites: 2,
        synapses: 4,
    };
    LayerConfig {
        filaments: FilamentParams {
            init_low: 31,
            init_high: 31,
            ..FilamentParams::default()
        },
        dendrite: DendriteParams {
            threshold: 1.0,
            ..DendriteParams::default()
        },
        spike: SpikeParams {
            theta_init: 0.05,
            ..SpikeParams::default()
        },
        ..LayerConfig::new(shape, 8, 1)
    }
}

/// sup u - theta_min.
fn room(config: &LayerConfig) -> f64 {
    config.potential_max() - f64::from(config.spike.theta_min)
}

/// Spikes per step and neuron under full drive, after `warm` steps.
fn rate(config: &LayerConfig, warm: u32, steps: u32) -> f64 {
    let mut layer = build(config.clone(), 1);
    let mut fired = 0;
    for t in 0..warm + steps {
        let counts = layer.step(&[1.0; 8], 1, StepOptions::default()).unwrap().counts;
        if t >= warm {
            fired += counts.iter().sum::<u32>();
        }
    }
    f64::from(fired) / f64::from(steps * config.shape.neurons)
}

/// The mean of a trace as it is read, before each spike of a train that repeats for ever.
fn read_at_spikes(train: &[bool], keep: f64, pulse: &[bool]) -> f64 {
    let (mut trace, mut sum, mut spikes) = (0.0, 0.0, 0.0);
    let warm = (40.0 / (1.0 - keep)) as usize / train.len() + 1;
    for round in 0..=warm {
        for (&spike, &pulse) in train.iter().zip(pulse) {
            trace *= keep;
            if round == warm && spike {
                (sum, spikes) = (sum + trace, spikes + 1.0);
            }
            trace += (1.0 - keep) * f64::from(u8::from(pulse));
        }
    }
    sum / spikes
}

/// Every train of 11 steps against the stated rise; the one that fires in every step reads exactly that.
#[test]
fn no_train_of_spikes_adapts_less_than_is_stated() {
    for tau_ms in [0.5, 3.0, 20.0] {
        let params = AdaptationParams { strength: 1.0, tau_ms };
        let keep = f64::from(math::decay(1.0, tau_ms));
        // The mutant that takes the trace for its mean: a train that waits between its spikes reads less.
        let mut naive = true;
        for word in 1..1_u32 << 11 {
            let train: Vec<bool> = (0..11).map(|k| word >> k & 1 == 1).collect();
            let rate = f64::from(word.count_ones()) / 11.0;
            let read = read_at_spikes(&train, keep, &train);
            assert!(
                read >= params.rise_at(1.0, rate) - 1e-9,
                "tau {tau_ms}, {word:b}: {read}"
            );
            naive &= read >= keep * rate;
        }
        assert!(!naive);
        let [read, stated] = [keep, params.rise_at(1.0, 1.0)];
        assert!((read - stated).abs() < 1e-5, "{read} {stated}");
    }
}

quickcheck! {
    /// Whatever train of `period` steps the neurons of a group share, each of them with a delay of its own.
    fn no_group_is_held_back_less_than_is_stated(train: (u16, u8), delays: Vec<u8>, threshold: u8, taus: (u8, u8)) -> bool {
        let period = usize::from(train.1 % 12) + 4;
        // Such trains fire often, where the bound has something to say.
        let fires = |t: usize| !t.is_multiple_of(period) && train.0 >> (t % period) & train.0 >> ((t + 3) % period) & 1 == 0;
        let delays: Vec<usize> = delays.iter().take(6).map(|&d| usize::from(d) % 3).chain([0]).collect();
        let rate = (0..period).filter(|&t| fires(t)).count() as f64 / period as f64;
        let params = FeedbackParams {
            cells: 1,
            threshold: f32::from(threshold) / 512.0 + 0.001,
            tau_excitation_ms: f32::from(taus.0) / 32.0 + 0.05,
            tau_inhibition_ms: f32::from(taus.1) / 32.0 + 0.05,
            strength: 1.0,
        };
        let [taken, read] = [params.tau_excitation_ms, params.tau_inhibition_ms].map(|tau| f64::from(math::decay(1.0, tau)));
        let (mut v, mut y, steps, warm) = (0.0, 0.0, 400 * period, 100 * period);
        let (mut sums, mut spikes) = (vec![0.0; delays.len()], 0.0);
        for t in 12..warm + steps {
            y *= read;
            let fired: Vec<bool> = delays.iter().map(|d| fires(t - d)).collect();
            if t >= warm {
                spikes += f64::from(u8::from(fired[0]));
                for (sum, _) in sums.iter_mut().zip(&fired).filter(|(_, fired)| **fired) {
                    *sum += y;
                }
            }
            v = v * taken + (1.0 - taken) * fired.iter().filter(|f| **f).count() as f64 / fired.len() as f64;
            if v >= f64::from(params.threshold) {
                (v, y) = (0.0, y + 1.0 - read);
            }
        }
        let neurons = delays.len() as u32;
        // The neurons count over the same window, shifted by their delays: two spikes more or less.
        rate == 0.0 || sums.iter().all(|sum| sum / spikes >= params.rise_at(1.0, neurons, neurons, rate) - 4.0 / spikes)
    }

    /// No rate is refused as a target that a layer has shown.
    fn a_rate_that_a_layer_shows_is_no_target_out_of_reach(adaptation: u8, feedback: u8, taus: (u8, u8)) -> bool {
        let mut config = eager();
        let room = room(&config);
        let part = |k: u8| (0.95 * room * f64::from(k) / 255.0) as f32;
        config.adaptation = Some(AdaptationParams { strength: part(adaptation), tau_ms: f32::from(taus.0) / 2.0 + 0.2 });
        config.feedback = Some(FeedbackParams {
            strength: part(feedback),
            tau_inhibition_ms: f32::from(taus.1) / 2.0 + 0.2,
            ..FeedbackParams::default()
        });
        let shown = rate(&config, 2000, 4000);
        config.homeostasis = Some(HomeostasisParams { rate_target: shown as f32, ..HomeostasisParams::default() });
        refused(&config).is_empty()
    }
}

/// Where every neuron fires in every step and a cell at once, the stated rise is the law's.
#[test]
fn a_group_that_never_stops_is_held_back_as_is_stated() {
    let params = FeedbackParams {
        threshold: 0.001,
        tau_excitation_ms: 0.01,
        ..FeedbackParams::default()
    };
    let read = f64::from(math::decay(1.0, params.tau_inhibition_ms));
    let stated = params.rise_at(1.0, 4, 4, 1.0) / read;
    assert!((0.998..=1.0).contains(&stated), "{stated}");
}

/// Both as strong as each may be alone: a neuron that fires nine times of ten is held back for longer than that leaves.
#[test]
fn a_target_that_adaptation_and_feedback_together_leave_out_of_reach_is_refused() {
    let with = |rate_target: f32| {
        let mut config = eager();
        let strength = (0.99 * room(&config)) as f32;
        config.adaptation = Some(AdaptationParams {
            strength,
            tau_ms: 100.0,
        });
        config.feedback = Some(FeedbackParams {
            strength,
            ..FeedbackParams::default()
        });
        config.homeostasis = Some(HomeostasisParams {
            rate_target,
            ..HomeostasisParams::default()
        });
        config
    };
    assert_eq!(refused(&with(0.9)), ["homeostasis.rate_target"]);
    let reached = LayerConfig {
        homeostasis: None,
        ..with(0.9)
    };
    let reached = rate(&reached, 5000, 20_000);
    assert!((0.4..0.6).contains(&reached), "{reached}");
    assert_eq!(refused(&with(reached as f32)), [""; 0]);
    // Noise has no bound: there any rate can be.
    let mut noisy = with(0.9);
    noisy.spike.width = 0.3;
    assert_eq!(refused(&noisy), [""; 0]);
}

/// The target from which both together add more than an input overcomes, a thousandth to either side.
#[test]
fn a_target_at_the_edge_of_what_both_leave_is_accepted() {
    let mut config = eager();
    let room = room(&config);
    let adaptation = AdaptationParams {
        strength: (0.9 * room) as f32,
        tau_ms: 30.0,
    };
    let feedback = FeedbackParams {
        strength: (0.5 * room) as f32,
        tau_excitation_ms: 0.01,
        ..FeedbackParams::default()
    };
    let rise_at = |rate| adaptation.rise_at(1.0, rate) + feedback.rise_at(1.0, 4, 4, rate);
    let (mut low, mut high) = (0.01, 1.0);
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if rise_at(middle) <= room {
            low = middle;
        } else {
            high = middle;
        }
    }
    assert!((0.1..0.99).contains(&low), "{low}");
    (config.adaptation, config.feedback) = (Some(adaptation), Some(feedback));
    for (factor, names) in [(0.999, vec![]), (1.001, vec!["homeostasis.rate_target"])] {
        config.homeostasis = Some(HomeostasisParams {
            rate_target: (low * factor) as f32,
            ..HomeostasisParams::default()
        });
        assert_eq!(refused(&config), names, "{factor}");
    }
}

#[test]
fn each_strength_is_accepted_up_to_what_an_input_overcomes() {
    let base = eager();
    for tau_ms in [0.5_f32, 40.0] {
        let limit = room(&base) / f64::from(math::decay(1.0, tau_ms));
        for (factor, is_refused) in [(0.999, false), (1.001, true)] {
            let strength = (limit * factor) as f32;
            let adapted = LayerConfig {
                adaptation: Some(AdaptationParams { strength, tau_ms }),
                ..base.clone()
            };
            assert_eq!(
                refused(&adapted).contains(&"adaptation.strength"),
                is_refused,
                "{tau_ms} {factor}"
            );
            let inhibited = LayerConfig {
                feedback: Some(FeedbackParams {
                    strength,
                    tau_inhibition_ms: tau_ms,
                    ..FeedbackParams::default()
                }),
                ..base.clone()
            };
            assert_eq!(
                refused(&inhibited).contains(&"feedback.strength"),
                is_refused,
                "{tau_ms} {factor}"
            );
            if !is_refused && tau_ms < 1.0 {
                // It fires for ever, if the trace as it is read is all that it has against it.
                assert_eq!(rate(&adapted, 100, 100), 1.0);
            }
        }
    }
}

/// The interval that a boost leaves, step by step, and the target that goes with it.
#[test]
fn a_boost_holds_a_neuron_down_for_as_many_steps_as_is_stated() {
    for dt_ms in [0.5_f32, 1.0, 2.0] {
        for boost in [1.0_f32, 3.0, 7.3] {
            let params = RefractoryParams {
                absolute_ms: 0.0,
                boost,
                tau_ms: 6.5,
            };
            let config = LayerConfig {
                dt_ms,
                refractory: Some(params),
                ..eager()
            };
            let stated = params.boosted_steps(dt_ms, room(&config));
            let mut layer = build(config.clone(), 1);
            let spikes: Vec<u32> = (0..200)
                .filter(|_| layer.step(&[1.0; 8], 1, StepOptions::default()).unwrap().counts[0] > 0)
                .collect();
            let intervals: Vec<u32> = spikes.windows(2).map(|pair| pair[1] - pair[0]).collect();
            assert!(intervals.len() > 2);
            assert!(
                intervals.iter().all(|&steps| f64::from(steps) == stated),
                "dt {dt_ms}, boost {boost}: {stated} {intervals:?}"
            );
            for (factor, is_refused) in [(0.999, false), (1.001, true)] {
                let target = HomeostasisParams {
                    rate_target: (factor / stated) as f32,
                    ..HomeostasisParams::default()
                };
                let config = LayerConfig {
                    homeostasis: Some(target),
                    ..config.clone()
                };
                // At a rate of 1 the range itself says no.
                assert_eq!(!refused(&config).is_empty(), is_refused, "{factor} of 1 / {stated}");
            }
        }
    }
}

/// Without STDP a layer keeps the filaments it has; they may be those that it was stored with, when it had learned.
#[test]
fn a_threshold_is_measured_by_the_most_filaments_that_a_state_may_hold() {
    let with = |factor: f64| {
        let mut config = eager();
        (config.filaments.init_low, config.filaments.init_high) = (0, 0);
        config.spike.theta_init = (factor * config.potential_max()) as f32;
        config
    };
    assert_eq!(refused(&with(1.001)), ["spike.theta_init"]);
    let mut arrays = build(with(0.999), 1).state_arrays();
    arrays.get_mut("filaments").unwrap().data = StateData::U8(vec![31; 32]);
    let mut learned = Layer::restore(with(0.999), |name| arrays.get(name).cloned()).unwrap();
    let step = learned.step(&[1.0; 8], 1, StepOptions::default()).unwrap();
    assert_eq!(step.spikes, [1; 4]);
}

#[test]
fn rules_of_the_synapse_and_the_dendrite_hold_up_to_their_edges() {
    let filaments = |init_low: u8, init_high: u8| {
        let mut config = eager();
        (config.filaments.init_low, config.filaments.init_high) = (init_low, init_high);
        refused(&config)
    };
    assert_eq!(filaments(12, 12), [""; 0]);
    assert_eq!(filaments(13, 12), ["filaments.init_high"]);
    // The largest drive of a dendrite is 4 W(31), W(31) = 5 / w_scale.
    for (factor, is_refused) in [(0.999, false), (1.001, true)] {
        let mut config = eager();
        (config.dendrite.gain, config.spike.theta_min) = (4.0, f32::MIN_POSITIVE);
        config.dendrite.threshold = ((4.0 + 16.0 / 4.0) * factor) as f32;
        let names = refused(&config);
        assert_eq!(names.contains(&"dendrite.threshold"), is_refused, "{factor}: {names:?}");
    }
}
