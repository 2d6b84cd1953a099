//! B: spike-timing-dependent plasticity.

use fold_advanced::pyfolds::stdp::Stdp;
use fold_advanced::pyfolds::{Forward, Parameters};

use super::{advanced, defaults, level, sound, step};

/// I of one synapse after the given (pre, post) events, one step each.
fn pyfolds(events: &[(bool, u8)]) -> f32 {
    let p = Parameters::default();
    let mut stdp = Stdp::default();
    let mut internal = [0.0];
    for (pre, post) in events {
        stdp.learn(&p, &[f32::from(u8::from(*pre))], &[*post], 1.0, &mut internal);
    }
    internal[0]
}

/// The change of the sound synapse by the same events.
fn ours(events: &[(bool, u8)]) -> f64 {
    let mut layer = sound(|_| ());
    events
        .iter()
        .for_each(|(pre, post)| step(&mut layer, *pre, *post != 0, 1.0));
    level(&layer) - 16.0
}

const TWO_POST: [(bool, u8); 2] = [(false, 1), (false, 1)];
const POST_THEN_PRE: [(bool, u8); 2] = [(false, 1), (true, 0)];

#[test]
fn b1_two_post_spikes_depress_a_silent_synapse_and_post_before_pre_does_nothing() {
    assert!((pyfolds(&TWO_POST) + 0.012 * 0.951_23).abs() < 1e-5);
    assert_eq!(pyfolds(&POST_THEN_PRE), 0.0);
}

#[test]
fn b1_sound_leaves_a_silent_synapse_alone_and_depresses_post_before_pre() {
    assert_eq!(ours(&TWO_POST), 0.0);
    assert!(ours(&POST_THEN_PRE) < 0.0);
    assert!(ours(&[(true, 0), (false, 1)]) > 0.0);
}

#[test]
fn b2_the_change_is_a_sum_over_the_batch() {
    let p = Parameters::default();
    let change = |samples: usize| {
        let mut internal = [0.0];
        Stdp::default().learn(&p, &vec![1.0; samples], &vec![1; samples], 1.0, &mut internal);
        internal[0]
    };
    assert!(
        (change(512) / change(1) - 512.0).abs() < 0.01,
        "{}",
        change(512) / change(1)
    );
}

#[test]
fn b2_sound_is_a_mean_over_the_batch() {
    let change = |samples: usize| {
        let mut layer = sound(|_| ());
        layer.set_samples(samples).unwrap();
        layer
            .step(&vec![1.0; 2 * samples], samples, Default::default())
            .unwrap();
        level(&layer) - 16.0
    };
    assert!(change(1) > 0.0);
    assert_eq!(change(512), change(1));
}

#[test]
fn b3_no_train_of_unit_events_ever_leaves_a_presynaptic_trace() {
    let mut most = 0.0f32;
    for interval in 1..60 {
        let mut neuron = advanced(defaults(1, 1), 10);
        for t in 0..3000 {
            let x = f32::from(u8::from(t % interval == 0));
            neuron.forward(&[x], 1, Forward::default()).unwrap();
            assert_eq!(neuron.stdp().pre, [0.0]);
            let short_term = neuron.short_term();
            most = most.max(x * short_term.u[0] * short_term.r[0]);
        }
    }
    assert!(
        most > 0.2 && most <= 0.28,
        "{most} of an event of 1 is transmitted, the trace needs 0.5"
    );
}

#[test]
fn b3_sound_traces_read_events_not_what_is_transmitted() {
    let mut layer = sound(|config| config.short_term = Some(Default::default()));
    // The neuron's own drive must survive the transmission, so that only line 0 tells.
    step_silently(&mut layer);
    layer.visit_state(&mut |name: &str, _: &[usize], values: fold_advanced::StateSlice<'_>| {
        if let ("stdp.trace_pre", fold_advanced::StateSlice::F32(trace)) = (name, values) {
            let full = 1.0 - (-1.0f64 / 20.0).exp();
            assert!((f64::from(trace[0]) - full).abs() < 1e-6, "{trace:?}");
        }
    });
}

fn step_silently(layer: &mut fold_advanced::Layer) {
    step(layer, true, false, 1.0);
}
