//! STDP against a slow reference in double precision, and its properties.

use fold_advanced::stdp::{Pairing, StdpParams};
use fold_advanced::{Layer, LayerConfig, StateData, StepOptions};
use fold_core::params::{FilamentParams, SpikeParams};
use fold_core::random::{Random, Stream, uniform};
use fold_core::{Shape, Wiring};
use quickcheck::quickcheck;

use super::input;

/// One neuron on two lines: line 0 is under test, line 1 makes the neuron fire.
pub(super) fn pair_layer(params: StdpParams, start: u8) -> Layer {
    let shape = Shape {
        neurons: 1,
        dendrites: 2,
        synapses: 40,
    };
    let mut index = vec![1; 80];
    index[0] = 0;
    let filaments = FilamentParams {
        init_low: start,
        init_high: start,
        ..FilamentParams::default()
    };
    let spike = SpikeParams {
        theta_init: 1.0,
        ..SpikeParams::default()
    };
    let config = LayerConfig {
        stdp: Some(params),
        filaments,
        spike,
        ..LayerConfig::new(shape, 2, 1)
    };
    Layer::new(config, Wiring::new(shape, 2, index).unwrap()).unwrap()
}

/// N + I of the synapse under test, in filaments.
fn level(layer: &Layer) -> f64 {
    f64::from(layer.state().filaments()[0]) + f64::from(layer.state().internal()[0])
}

/// The change of the synapse when pre fires at step `pre` and post at step `post`.
pub(super) fn pair(params: StdpParams, pre: usize, post: usize) -> f64 {
    let mut layer = pair_layer(params, 16);
    let before = level(&layer);
    for t in 0..60 {
        let x = [f32::from(u8::from(t == pre)), f32::from(u8::from(t == post))];
        let fired = layer.step(&x, 1, StepOptions::default()).unwrap().spikes[0];
        assert_eq!(fired != 0, t == post);
    }
    level(&layer) - before
}

pub(super) const PAIR: StdpParams = StdpParams {
    a_plus: 0.8,
    a_minus: 0.5,
    a_het: 0.0,
    mu: 1.0,
    tau_plus_ms: 15.0,
    tau_minus_ms: 25.0,
    pairing: Pairing::AllToAll,
};

#[test]
fn one_pair_gives_the_exponential_window_and_a_tie_counts_as_pre_before_post() {
    let w = 16.0 / 31.0;
    for dt in [0, 1, 2, 5, 20, 40] {
        let norm = 1.0 - (-1.0f64 / 15.0).exp();
        let expected = f64::from(0.8f32) * (1.0 - w) * norm * (-(dt as f64) / 15.0).exp();
        assert!(
            (pair(PAIR, 5, 5 + dt) - expected).abs() < 2e-6,
            "pre before post by {dt}"
        );
    }
    for dt in [1, 2, 5, 20, 40] {
        let norm = 1.0 - (-1.0f64 / 25.0).exp();
        let expected = -f64::from(0.5f32) * w * norm * (-(dt as f64) / 25.0).exp();
        assert!(
            (pair(PAIR, 5 + dt, 5) - expected).abs() < 2e-6,
            "post before pre by {dt}"
        );
    }
}

/// The change of the synapse under test, in filaments, by one step of a neuron that fires: from `start` filaments, with traces x and y of
/// what came before and an event of weight `s`; and what the equations ask for.
fn moved(params: StdpParams, start: u8, [x, y, s]: [f32; 3]) -> [f64; 2] {
    let layer = pair_layer(params, start);
    let mut arrays = layer.state_arrays();
    for (name, value) in [("stdp.trace_pre", x), ("stdp.trace_post", y)] {
        let array = arrays.get_mut(name).unwrap();
        array.data = StateData::F32(vec![value; array.shape.iter().product()]);
    }
    // The others have enough to fire with, whatever the one under test has.
    let filaments = arrays.get_mut("filaments").unwrap();
    filaments.data = StateData::U8([&[start][..], &[16; 79]].concat());
    let mut layer = Layer::restore(layer.config().clone(), |name| arrays.get(name).cloned()).unwrap();
    let fired = layer.step(&[s, 1.0], 1, StepOptions::default()).unwrap().spikes[0];
    assert_eq!(fired, 1);
    let f = |value: f32| f64::from(value);
    let keep = |tau_ms: f32| (-1.0 / f(tau_ms)).exp();
    let (x, y) = (
        f(x) * keep(params.tau_plus_ms) + (1.0 - keep(params.tau_plus_ms)) * f(s),
        f(y) * keep(params.tau_minus_ms),
    );
    let [w, mu] = [f64::from(start) / 31.0, f(params.mu)];
    let asked = f(params.a_plus) * (1.0 - w).powf(mu) * x
        - (f(params.a_het) * (1.0 - x) + f(params.a_minus) * y * f(s)) * w.powf(mu);
    [level(&layer) - f64::from(start), asked]
}

/// The rule at the largest amplitudes that are accepted, and a smaller mu.
fn at_the_limit(mu: f32, het: u8) -> StdpParams {
    let a_het = 31.0 * f32::from(het) / 256.0;
    StdpParams {
        a_plus: 31.0,
        a_minus: 31.0 - a_het,
        a_het,
        mu,
        tau_plus_ms: 2.0,
        tau_minus_ms: 1000.0,
        ..PAIR
    }
}

quickcheck! {
    /// With mu = 1 and at every N the filaments and the residual take up all of the drive: nothing is clamped.
    fn the_soft_bounds_leave_nothing_to_clamp(traces: (u8, u8, u8), het: u8) -> bool {
        let traces = [traces.0, traces.1, traces.2].map(|k| f32::from(k) / 255.0);
        (0..=31).all(|start| {
            let [moved, asked] = moved(at_the_limit(1.0, het), start, traces);
            (moved - asked).abs() < 1e-4
        })
    }
}

/// A smaller mu asks for more than there is.
#[test]
fn other_bounds_than_those_of_mu_1_are_clamped() {
    let clamped = |mu| {
        let [moved, asked] = moved(at_the_limit(mu, 0), 30, [1.0, 0.0, 1.0]);
        (moved - asked).abs() > 1.0
    };
    assert!(!clamped(1.0) && clamped(0.5) && clamped(0.0));
}

/// What a train of spikes at given milliseconds teaches in steps of `dt` ms, filaments.
fn taught(params: StdpParams, dt: f32) -> f64 {
    let one = pair_layer(params, 16);
    let config = LayerConfig {
        dt_ms: dt,
        ..one.config().clone()
    };
    let mut layer = Layer::new(config, one.wiring().clone()).unwrap();
    let before = level(&layer);
    let at = |spikes: &[f32], t: usize| f32::from(u8::from(spikes.contains(&(t as f32 * dt))));
    for t in 0..(50.0 / dt) as usize {
        let x = [at(&[3.0, 10.0, 17.0, 40.0], t), at(&[5.0, 12.0, 30.0], t)];
        layer.step(&x, 1, StepOptions::default()).unwrap();
    }
    level(&layer) - before
}

/// An amplitude belongs to a step (ADR 0030).
#[test]
fn a_train_of_spikes_teaches_the_same_in_steps_of_any_duration_once_amplitudes_are_scaled() {
    let rise = |dt: f32, tau: f32| 1.0 - (-f64::from(dt) / f64::from(tau)).exp();
    let expected = taught(PAIR, 1.0);
    assert!(expected > 0.01, "{expected}");
    for dt in [0.5, 0.25, 0.125] {
        let scaled = |a: f32, tau: f32| (f64::from(a) * rise(1.0, tau) / rise(dt, tau)) as f32;
        let params = StdpParams {
            a_plus: scaled(PAIR.a_plus, PAIR.tau_plus_ms),
            a_minus: scaled(PAIR.a_minus, PAIR.tau_minus_ms),
            ..PAIR
        };
        let error = taught(params, dt) / expected - 1.0;
        assert!(error.abs() < 1e-4, "{dt}: {error}");
        // As they are, they teach less: in proportion to the duration, to the first order.
        let unscaled = taught(PAIR, dt) / expected;
        assert!((unscaled / f64::from(dt) - 1.0).abs() < 0.1, "{dt}: {unscaled}");
    }
}

/// B1: in PyFolds two post spikes depress synapses that were never active.
#[test]
fn a_silent_line_changes_nothing_without_the_heterosynaptic_term_and_falls_with_it() {
    assert_eq!(pair(PAIR, 999, 5), 0.0);
    let fall = pair(StdpParams { a_het: 0.25, ..PAIR }, 999, 5);
    assert!((fall + 0.25 * 16.0 / 31.0).abs() < 1e-6, "{fall}");
}

#[test]
fn frozen_weights_do_not_move_but_traces_do() {
    let mut layer = pair_layer(PAIR, 16);
    let frozen = StepOptions {
        plasticity: 0.0,
        ..StepOptions::default()
    };
    let state = layer.state().clone();
    layer.step(&[1.0, 1.0], 1, frozen).unwrap();
    assert_eq!(layer.state(), &state);
    layer.step(&[0.0, 1.0], 1, StepOptions::default()).unwrap();
    assert!(level(&layer) > 16.0, "the trace of the frozen step is there");
}

/// A1: a maximal drive promotes within ceil(1 / (A+ (1 - w))) events.
#[test]
fn a_maximal_drive_promotes_within_the_computed_number_of_steps() {
    let params = StdpParams {
        a_plus: 0.01,
        tau_plus_ms: 0.0,
        a_minus: 0.0,
        ..PAIR
    };
    let mut layer = pair_layer(params, 10);
    let steps = (1.0f64 / (0.01 * (21.0 / 31.0))).ceil() as usize;
    for t in 0..steps {
        assert_eq!(layer.state().filaments()[0], 10, "step {t}");
        layer.step(&[1.0, 1.0], 1, StepOptions::default()).unwrap();
    }
    assert_eq!(layer.state().filaments()[0], 11);
}

/// With A_het = A+ and mu = 1 a synapse settles at w = E[x | post spike]: here the rate of its line.
#[test]
fn the_heterosynaptic_fixed_point_is_the_conditional_mean_of_the_input() {
    for rate in [0.1f32, 0.4, 0.8] {
        let params = StdpParams {
            a_plus: 0.1,
            a_het: 0.1,
            a_minus: 0.0,
            mu: 1.0,
            tau_plus_ms: 0.0,
            tau_minus_ms: 0.0,
            ..StdpParams::default()
        };
        let mut layer = pair_layer(params, 16);
        let random = Random::new(5, Stream(3000));
        let (mut sum, mut count) = (0.0, 0.0);
        for t in 0..30_000 {
            let s = f32::from(u8::from(uniform(random.block(0, t)[0]) < rate));
            // Line 1 falls off where it must not starve its own synapses below threshold: it is always on.
            layer.step(&[s, 1.0], 1, StepOptions::default()).unwrap();
            if t > 5000 {
                sum += level(&layer) / 31.0;
                count += 1.0;
            }
        }
        assert!(
            (sum / count - f64::from(rate)).abs() < 0.01,
            "{} against {rate}",
            sum / count
        );
    }
}

/// The equations of the module's header for all synapses and samples, term by term in double precision.
struct Reference {
    params: StdpParams,
    x: Vec<f64>,
    y: Vec<f64>,
}

impl Reference {
    fn step(&mut self, layer: &Layer, input: &[f32], spikes: &[u8], samples: usize) -> Vec<f64> {
        let shape = layer.config().shape;
        let (lines, n, row) = (layer.config().lines as usize, shape.neuron_count(), shape.row_len());
        let [keep_plus, keep_minus] =
            [self.params.tau_plus_ms, self.params.tau_minus_ms].map(|t| (-1.0 / f64::from(t)).exp());
        let nearest = self.params.pairing == Pairing::Nearest;
        for (x, s) in self.x.iter_mut().zip(input.iter().map(|&s| f64::from(s))) {
            *x *= keep_plus;
            *x += s * (1.0 - keep_plus - if nearest { *x } else { 0.0 });
        }
        self.y.iter_mut().for_each(|y| *y *= keep_minus);
        let [a_plus, a_minus, a_het, mu] = [
            self.params.a_plus,
            self.params.a_minus,
            self.params.a_het,
            self.params.mu,
        ]
        .map(f64::from);
        let mut drive = vec![0.0; shape.synapse_count()];
        for (k, drive) in drive.iter_mut().enumerate() {
            let (i, line) = (k / row, layer.wiring().index()[k] as usize);
            let w = f64::from(layer.state().filaments()[k]) / 31.0;
            for b in 0..samples {
                let (x, y, s) = (
                    self.x[b * lines + line],
                    self.y[b * n + i],
                    f64::from(input[b * lines + line]),
                );
                *drive -= a_minus * y * s * w.powf(mu);
                if spikes[b * n + i] != 0 {
                    *drive += a_plus * x * (1.0 - w).powf(mu) - a_het * (1.0 - x) * w.powf(mu);
                }
            }
            *drive /= samples as f64;
        }
        for (y, &s) in self.y.iter_mut().zip(spikes) {
            *y += f64::from(s) * (1.0 - keep_minus - if nearest { *y } else { 0.0 });
        }
        drive
    }
}

quickcheck! {
    fn the_fast_path_follows_the_reference(seed: u64, samples: u8, mu: u8, nearest: bool) -> bool {
        let samples = usize::from(samples % 18) + 1;
        let params = StdpParams {
            a_plus: 0.4, a_minus: 0.3, a_het: 0.2, mu: f32::from(mu % 5) / 4.0, tau_plus_ms: 7.0, tau_minus_ms: 11.0,
            pairing: if nearest { Pairing::Nearest } else { Pairing::AllToAll },
        };
        let shape = Shape { neurons: 4, dendrites: 2, synapses: 5 };
        let index = input(1, 40, seed).iter().map(|x| (x * 7.0) as u32).collect();
        let spike = SpikeParams { theta_init: 0.1, width: 0.3, ..SpikeParams::default() };
        let config = LayerConfig { stdp: Some(params), spike, ..LayerConfig::new(shape, 7, seed) };
        let mut layer = Layer::new(config, Wiring::new(shape, 7, index).unwrap()).unwrap();
        layer.set_samples(samples).unwrap();
        let mut reference = Reference { params, x: vec![0.0; samples * 7], y: vec![0.0; samples * 4] };
        (0..40).all(|t| {
            let x: Vec<f32> = input(samples, 7, seed ^ (t << 20)).iter().map(|x| if *x < 0.5 { 0.0 } else { *x }).collect();
            let mut stored = layer.state_arrays();
            let mut before = Layer::restore(layer.config().clone(), |name| stored.remove(name)).unwrap();
            std::mem::swap(&mut before, &mut layer);
            let spikes = layer.step(&x, samples, StepOptions::default()).unwrap().spikes.to_vec();
            let drive = reference.step(&before, &x, &spikes, samples);
            let level = |l: &Layer, k: usize| f64::from(l.state().filaments()[k]) + f64::from(l.state().internal()[k]);
            (0..shape.synapse_count()).all(|k| {
                let at_bound = [0, 31].contains(&layer.state().filaments()[k]);
                at_bound || (level(&layer, k) - level(&before, k) - drive[k]).abs() < 1e-5
            })
        })
    }
}
