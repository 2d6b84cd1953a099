//! C: homeostasis.

use fold_advanced::homeostasis::HomeostasisParams;
use fold_advanced::pyfolds::Parameters;
use fold_advanced::pyfolds::homeostasis::Homeostasis;
use fold_core::math;
use fold_core::random::{Random, Stream, uniform};

use super::sound;

/// The mean rate on the plant r = s(-4 (theta - 2.5)), spikes drawn for each of `samples` samples.
fn settled(samples: u64) -> f64 {
    let p = Parameters::default();
    let mut h = Homeostasis::new(&p);
    let random = Random::new(5, Stream(3000));
    let (mut fired, steps) = (0.0, 40_000 / samples.min(4));
    for t in 0..steps {
        let rate = math::sigmoid(-4.0 * (h.theta - 2.5));
        let spikes = (0..samples).filter(|&b| uniform(random.block(b, t)[0]) < rate).count();
        let mean = spikes as f64 / samples as f64;
        h.update(&p, mean);
        if t >= steps / 4 {
            fired += mean;
        }
    }
    fired / (steps - steps / 4) as f64
}

#[test]
fn c1_the_rescue_on_the_instantaneous_rate_moves_the_fixed_point_with_the_batch() {
    let [one, eight] = [1, 8].map(settled);
    assert!((one - 0.419).abs() < 0.01, "B = 1: {one}");
    assert!((eight - 0.171).abs() < 0.01, "B = 8: {eight}");
}

/// The step at which theta leaves its upper bound after the error has turned to `error`.
fn leaves(error: f64, dt: f64) -> usize {
    let p = Parameters {
        dt,
        ..Parameters::default()
    };
    let mut h = Homeostasis::new(&p);
    (0..100_000).for_each(|_| h.update(&p, p.target_spike_rate + 0.05));
    assert_eq!((h.theta, h.integral_error), (6.0, 1.0));
    let mut theta = || {
        h.update(&p, p.target_spike_rate + error);
        h.theta
    };
    (1..10_000).find(|_| theta() < 6.0).unwrap()
}

#[test]
fn c2_the_integral_winds_up_behind_the_clamp() {
    assert_eq!([-0.05, -0.01].map(|error| leaves(error, 1.0)), [11, 91]);
}

#[test]
fn c3_how_long_depends_on_a_dt_that_no_step_has() {
    assert_eq!([0.1, 1.0, 2.0].map(|dt| leaves(-1.0 / 70.0, dt)), [601, 61, 31]);
}

#[test]
fn c4_a_target_beyond_every_rate_is_accepted() {
    assert!(
        Parameters {
            target_spike_rate: 3.0,
            ..Parameters::default()
        }
        .check()
        .is_ok()
    );
}

#[test]
fn c_sound_leaves_a_bound_at_once_and_refuses_an_unreachable_target() {
    let mut layer = sound(|config| {
        config.stdp = None;
        config.homeostasis = Some(HomeostasisParams {
            rate_target: 0.5,
            ..HomeostasisParams::default()
        });
    });
    let mut step = |x: f32| {
        layer.step(&[x, x], 1, Default::default()).unwrap();
        layer.state().theta()[0]
    };
    (0..5000).for_each(|_| {
        step(0.0);
    });
    assert_eq!(step(0.0), 0.05, "at its lower bound");
    assert!(step(1.0) > 0.05);

    let mut config = sound(|_| ()).config().clone();
    config.homeostasis = Some(HomeostasisParams {
        rate_target: 0.5,
        ..HomeostasisParams::default()
    });
    config.refractory = Some(Default::default());
    assert!(
        config
            .check()
            .unwrap_err()
            .to_string()
            .contains("homeostasis.rate_target")
    );
}
