//! A: the three-factor rule, its thresholds, and consolidation.

use fold_advanced::pyfolds::consolidation::consolidate;
use fold_advanced::pyfolds::neuromodulation::{Signals, modulator};
use fold_advanced::pyfolds::plasticity::{Factors, Rule};
use fold_advanced::pyfolds::{Forward, Mode, Parameters};
use fold_advanced::stdp::StdpParams;
use fold_core::params::{FilamentParams, Violations};
use fold_core::quantizer::Quantizer;
use fold_core::three_factor::{ThreeFactor, ThreeFactorParams};

use super::{defaults, level, neuron, restored, rewarded, sound, step, synapse, update};

/// Parameters under which a maximal drive is 0.38 an update and reaches its threshold.
fn strong() -> Parameters {
    Parameters {
        i_eta: 0.1,
        A_plus: 1.0,
        A_minus: 1.0,
        ..defaults(1, 1)
    }
}

#[test]
fn a1_no_drive_reaches_the_default_threshold() {
    let p = defaults(1, 1);
    for (mode, bound) in [(Mode::Online, 0.038), (Mode::Batch, 0.0015)] {
        let mut s = synapse(10);
        let rule = Rule::new(
            &p,
            Factors {
                post: 1.0,
                modulator: 1.0,
                dt: 1.0,
                mode,
            },
        );
        (0..20_000).for_each(|_| rule.apply(&mut s, &[1.0]).unwrap());
        let supremum = f64::from(s.internal[0]);
        assert!((supremum - bound).abs() < 0.02 * bound, "{mode:?}: {supremum}");
        assert!(supremum < p.i_ltp_th / 100.0);
        assert_eq!(s.filaments, [10]);
    }
}

#[test]
fn a1_sound_refuses_a_drive_that_could_never_promote_and_the_weakest_allowed_one_promotes() {
    let check = |a_plus| {
        let mut violations = Violations::new();
        StdpParams {
            a_plus,
            ..StdpParams::default()
        }
        .check(1.0, &FilamentParams::default(), &mut violations);
        violations.as_slice().len()
    };
    let weakest = 1.0 / 65_536.0;
    assert_eq!([check(weakest / 2.0), check(weakest)], [1, 0]);
    let weak = StdpParams {
        a_plus: 1.0 / 256.0,
        tau_plus_ms: 0.0,
        mu: 0.0,
        ..StdpParams::default()
    };
    let mut layer = sound(|config| config.stdp = Some(weak));
    (0..256).for_each(|_| step(&mut layer, true, true, 1.0));
    assert_eq!(level(&layer), 17.0);
}

#[test]
fn a2_decay_is_per_update_and_time_has_no_sign() {
    let p = defaults(1, 1);
    let after = |steps: usize, dt: f64| {
        let mut s = synapse(10);
        s.internal[0] = 1.0;
        let rule = Rule::new(
            &p,
            Factors {
                post: 0.0,
                modulator: 0.0,
                dt,
                mode: Mode::Online,
            },
        );
        (0..steps).for_each(|_| rule.apply(&mut s, &[0.0]).unwrap());
        s.internal[0]
    };
    assert_eq!((after(1, 2.0), after(2, 1.0)), (0.99, 0.99 * 0.99));
    let drive = |dt| {
        let mut s = synapse(10);
        Rule::new(
            &p,
            Factors {
                post: 1.0,
                modulator: 1.0,
                dt,
                mode: Mode::Online,
            },
        )
        .apply(&mut s, &[1.0])
        .unwrap();
        s.internal[0]
    };
    assert!(drive(-3.0) > 0.0);
    assert_eq!(drive(-3.0), drive(3.0));
}

#[test]
fn a2_sound_decays_with_time_and_refuses_a_negative_one() {
    let law = |dt| ThreeFactor::new(&ThreeFactorParams::default(), dt, 1.0);
    let (mut once, mut twice) = ([0.5], [0.5]);
    law(2.0).advance(&mut once, &[0.0]);
    (0..2).for_each(|_| law(1.0).advance(&mut twice, &[0.0]));
    assert!((once[0] - twice[0]).abs() < 1e-7 && once[0] < 0.5);
    let mut config = sound(|_| ()).config().clone();
    for dt in [0.0, -1.0, f32::NAN] {
        config.dt_ms = dt;
        assert!(config.check().is_err(), "{dt}");
    }
}

#[test]
fn a3_a_reward_that_comes_later_finds_nothing_and_eligibility_never_fades() {
    let p = strong();
    let mut s = synapse(10);
    update(&p, &mut s, 1.0, 1.0, 0.0);
    update(&p, &mut s, 0.0, 0.0, 1.0);
    assert_eq!(
        (s.internal[0], s.eligibility[0]),
        (0.0, 0.0),
        "the pairing was before the reward"
    );
    update(&p, &mut s, 1.0, 1.0, 1.0);
    let eligibility = s.eligibility[0];
    (0..100_000).for_each(|_| update(&p, &mut s, 0.0, 0.0, 0.0));
    assert_eq!(s.eligibility[0], eligibility);
}

#[test]
fn a3_sound_credits_a_delayed_reward_the_less_the_later_it_comes() {
    let credited = |delay: usize| {
        let mut layer = sound(|config| {
            config.three_factor = Some(ThreeFactorParams {
                tau_e_ms: 20.0,
                eta: 0.5,
            });
        });
        step(&mut layer, true, true, 0.0);
        (0..delay).for_each(|_| step(&mut layer, false, false, 0.0));
        step(&mut layer, false, false, 1.0);
        level(&layer) - 16.0
    };
    let (now, later) = (credited(0), credited(20));
    assert!(now > 0.0 && later > 0.0);
    assert!((later / now - (-1.0f64).exp()).abs() < 1e-3, "{}", later / now);
}

#[test]
fn a4_punishment_of_a_coincidence_does_nothing_and_reward_without_a_spike_depresses() {
    let p = strong();
    let drive = |post, modulator| {
        let mut s = synapse(10);
        update(&p, &mut s, 1.0, post, modulator);
        s.eligibility[0]
    };
    assert_eq!(drive(1.0, -1.0), 0.0);
    assert!(drive(0.0, 1.0) < 0.0);
}

#[test]
fn a4_sound_is_odd_in_the_modulator() {
    let credited = |modulator| {
        let mut layer = sound(|config| config.three_factor = Some(ThreeFactorParams::default()));
        step(&mut layer, true, true, modulator);
        level(&layer) - 16.0
    };
    assert!(credited(0.5) > 0.0);
    assert_eq!(credited(0.5), -credited(-0.5));
}

#[test]
fn a5_the_modulator_is_capped_and_surprise_reads_the_average_after_it_has_moved() {
    let p = strong();
    let mut s = synapse(10);
    update(
        &Parameters {
            neuromod_scale: 1e6,
            ..p
        },
        &mut s,
        1.0,
        1.0,
        1.0,
    );
    let r = f64::from(s.eligibility[0]) / 0.5;
    assert!((r - 1.0f64.tanh()).abs() < 1e-6, "{r}: never above 0.76");

    let p = Parameters {
        sup_k: 0.5,
        ..defaults(1, 4)
    };
    let surprise = |rate| {
        modulator(
            &p,
            Signals {
                reward: None,
                rate,
                r_hat: 0.5,
                saturation: 0.0,
            },
        )
    };
    assert_eq!(
        (surprise(0.0), surprise(1.0)),
        (0.25, 0.25),
        "a missing spike is as good as an unexpected one"
    );
    let mut neuron = neuron(p, 31);
    let step = neuron.forward(&[1.0; 4], 1, Forward::default()).unwrap();
    assert_eq!(step.spike_rate, 1.0);
    let (before, after) = (0.5 * (1.0 - 0.1), 0.5 * (1.0 - 0.19));
    assert!((step.modulator - after).abs() < 1e-6 && (step.modulator - before).abs() > 0.04);
}

#[test]
fn a6_damping_jumps_one_unit_from_the_bound_and_is_half_at_it() {
    let p = Parameters {
        i_eta: 1e-5,
        i_gamma: 1.0,
        i_max: 2.0,
        i_ltp_th: 9.0,
        A_plus: 1.0,
        ..defaults(1, 1)
    };
    let factor = |internal: f32| {
        let mut s = synapse(10);
        s.internal[0] = internal;
        update(&p, &mut s, 1.0, 1.0, 1.0);
        f64::from(s.internal[0] - internal) / f64::from(s.eligibility[0])
    };
    for (internal, expected) in [(1.0, 1.0), (1.001, 0.55), (1.9995, 0.5)] {
        assert!(
            (factor(internal) - expected).abs() < 0.01,
            "{internal}: {}",
            factor(internal)
        );
    }
}

#[test]
fn a6_sound_bounds_are_soft_down_to_zero() {
    let drive = |n: u8| {
        let layer = sound(|config| {
            config.stdp = Some(StdpParams {
                a_plus: 0.4,
                tau_plus_ms: 0.0,
                mu: 1.0,
                ..StdpParams::default()
            });
        });
        let mut layer = restored(&layer, |filaments| filaments[0] = n);
        step(&mut layer, true, true, 1.0);
        level(&layer) - f64::from(n)
    };
    // In proportion to what is left: no jump anywhere, nothing at the bound.
    let per_filament = drive(0) / 31.0;
    for n in 0..=31 {
        assert!(
            (drive(n) - per_filament * f64::from(31 - n)).abs() < 1e-5,
            "{n}: {}",
            drive(n)
        );
    }
    assert_eq!(drive(31), 0.0);
}

/// Maximal updates until the number of filaments changes.
fn updates_to_promotion(p: &Parameters, s: &mut fold_advanced::pyfolds::plasticity::Synapses) -> usize {
    let before = s.filaments[0];
    (1..1000)
        .find(|_| {
            update(p, s, 1.0, 1.0, 1.0);
            s.filaments[0] != before
        })
        .unwrap()
}

#[test]
fn a7_at_the_lower_end_the_drive_winds_up_and_at_the_upper_it_does_not() {
    let p = strong();
    assert_eq!(updates_to_promotion(&p, &mut synapse(0)), 15);
    let mut wound = synapse(0);
    let depressing = Parameters { A_minus: 2.0, ..p };
    (0..1000).for_each(|_| update(&depressing, &mut wound, 1.0, 0.0, 1.0));
    assert_eq!((wound.internal[0], wound.filaments[0]), (-20.0, 0));
    assert_eq!(updates_to_promotion(&p, &mut wound), 57);

    let mut full = synapse(31);
    (0..1000).for_each(|_| update(&p, &mut full, 1.0, 1.0, 1.0));
    assert!(full.internal[0] < 5.0, "{}", full.internal[0]);
}

#[test]
fn a7_sound_bounds_mirror_each_other() {
    let quantizer = Quantizer::new(&FilamentParams::default());
    let (mut low, mut low_rest) = (3, 0.25);
    let (mut high, mut high_rest) = (28, -0.25);
    for drive in [-2.5, -300.0, -0.9, 0.7, 0.6, 4.0, 300.0, -1.5] {
        quantizer.absorb(&mut low, &mut low_rest, drive);
        quantizer.absorb(&mut high, &mut high_rest, -drive);
        assert_eq!((low, low_rest), (31 - high, -high_rest));
        assert!(low_rest.abs() < 1.0, "nothing winds up");
    }
}

#[test]
fn a8_promotion_throws_the_excess_away() {
    let p = Parameters {
        i_eta: 10.0,
        ..strong()
    };
    let mut s = synapse(3);
    update(&p, &mut s, 1.0, 1.0, 1.0);
    assert!(s.eligibility[0] > 7.0 * 5.0, "seven thresholds and more were asked for");
    assert_eq!((s.filaments[0], s.internal[0]), (4, 0.0));
}

#[test]
fn a8_sound_pays_every_threshold_and_keeps_the_rest() {
    let quantizer = Quantizer::new(&FilamentParams::default());
    let (mut n, mut rest) = (3, 0.0);
    quantizer.absorb(&mut n, &mut rest, 7.5);
    assert_eq!((n, rest), (10, 0.5));
}

/// Compatibility only: the sound semantics has no such state.
#[test]
fn a9_protection_is_a_latch_that_success_renews() {
    let p = strong();
    let mut s = synapse(31);
    (0..15).for_each(|_| update(&p, &mut s, 1.0, 1.0, 1.0));
    assert_eq!((s.protection[0], s.sat_time[0]), (true, 1.0));
    (0..14).for_each(|_| update(&p, &mut s, 1.0, 1.0, 1.0));
    assert_eq!(s.sat_time[0], 15.0);
    update(&p, &mut s, 1.0, 1.0, 1.0);
    assert_eq!(s.sat_time[0], 1.0, "reaching the threshold again restarts the clock");
    (0..16).for_each(|_| update(&p, &mut s, 1.0, 0.0, 1.0));
    assert!(
        s.internal[0] < p.i_ltd_th as f32 && s.filaments[0] == 31,
        "what demotes others does not demote it"
    );
}

/// Filaments gained in 2,000 maximal steps with a sleep of 60 ms every so many.
fn gained(every: usize) -> i32 {
    let p = defaults(1, 1);
    let mut s = synapse(10);
    for k in 1..=2000 {
        update(&p, &mut s, 1.0, 1.0, 1.0);
        if k % every == 0 {
            consolidate(&p, &mut s, 60.0).unwrap();
        }
    }
    s.filaments[0] - 10
}

#[test]
fn a10_consolidation_rounds_away_what_short_sleeps_bring() {
    assert_eq!([50, 100, 200, 250].map(gained), [0, 0, 0, 8]);
}

/// torch adds an integer to one of 32 bits without looking; what Python's integer cannot be made into is an error there.
#[test]
fn a10_a_long_sleep_wraps_around() {
    let p = defaults(1, 1);
    let after = |n: i32, moved: f64| {
        let mut s = synapse(n);
        s.eligibility[0] = if moved < 0.0 { -1.0 } else { 1.0 };
        consolidate(&p, &mut s, moved / p.consolidation_rate).map(|()| s.filaments[0])
    };
    let two_to = |exponent| 2f64.powi(exponent);
    assert_eq!([3e9, 2_147_483_647.0, 7.0].map(|d| after(5, d)), [Ok(0), Ok(0), Ok(12)]);
    assert_eq!([-3e9, -2.0].map(|d| after(5, d)), [Ok(31), Ok(3)]);
    assert_eq!(
        [0.4, -0.4].map(|d| after(40, d)),
        [Ok(40), Ok(40)],
        "not clipped where nothing is added"
    );
    assert_eq!([two_to(62), two_to(63)].map(|d| after(5, d)), [Ok(5), Ok(5)]);
    assert!(
        [two_to(64), -two_to(64), f64::INFINITY]
            .iter()
            .all(|d| after(5, *d).is_err())
    );
}

#[test]
fn a10_sound_carries_the_rest_over_however_often_it_sleeps() {
    let gained = |every: usize| {
        let mut layer = sound(|config| {
            config.stdp = Some(StdpParams {
                a_plus: 1.0 / 128.0,
                tau_plus_ms: 0.0,
                mu: 0.0,
                ..StdpParams::default()
            });
            config.consolidation = Some(Default::default());
        });
        for k in 1..=2000 {
            step(&mut layer, true, true, 1.0);
            if k % every == 0 {
                // Long enough that nothing is left to transfer.
                layer.sleep(1e9).unwrap();
            }
        }
        level(&layer) - 16.0
    };
    for every in [1, 10, 200, 250, 2000] {
        assert!((gained(every) - 15.0).abs() < 1.0, "every {every}: {}", gained(every));
    }
}

/// G5 is about the Hebbian rule's presynaptic factor.
#[test]
fn g5_online_and_batch_average_differently() {
    let p = Parameters {
        neuromod_mode: fold_advanced::pyfolds::parameters::NeuromodulationMode::External,
        ..defaults(1, 2)
    };
    // Two samples; the first synapse is active in one of them.
    let x = [0.8, 1.0, 0.0, 1.0];
    let mut online = neuron(p, 31);
    online.forward(&x, 2, rewarded(1.0)).unwrap();
    let mut batch = neuron(
        Parameters {
            defer_updates: true,
            ..p
        },
        31,
    );
    batch
        .forward(
            &x,
            2,
            Forward {
                mode: Some(Mode::Batch),
                ..rewarded(1.0)
            },
        )
        .unwrap();
    batch.apply_plasticity(1.0, Some(1.0)).unwrap();
    let [once, gathered] = [&online, &batch].map(|n| n.state().synapses.eligibility.clone());
    assert!((once[0] / gathered[0] - 2.0).abs() < 1e-5, "0.8 online, 0.4 in a batch");
    assert_eq!(once[1], gathered[1]);
}

#[test]
fn g5_sound_has_one_mean_over_the_batch() {
    let drive = |silent: usize| {
        let mut layer = sound(|_| ());
        let samples = silent + 1;
        layer.set_samples(samples).unwrap();
        let mut x = vec![0.0; 2 * samples];
        x[..2].fill(1.0);
        layer.step(&x, samples, Default::default()).unwrap();
        level(&layer) - 16.0
    };
    assert!(drive(0) > 0.0);
    assert!((drive(0) / drive(3) - 4.0).abs() < 1e-6, "silent samples count");
}
