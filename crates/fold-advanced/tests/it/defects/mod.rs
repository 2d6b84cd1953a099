//! The defects of PyFolds 1.0.2, each reproduced with its number under `Semantics::PyFolds102` and shown to be absent under
//! `Semantics::Sound`.
//!
//! `docs/numerics/PYFOLDS-DEFECTS.md` lists them. Where another test already proves the sound law for all inputs, the test here shows the
//! one case that the defect is about.

mod dynamics;
mod learning;
mod regulation;
mod stdp;

use fold_advanced::pyfolds::neuron::NeuronState;
use fold_advanced::pyfolds::plasticity::{Factors, Rule, Synapses};
use fold_advanced::pyfolds::{AdvancedNeuron, Forward, Mode, Neuron, Parameters, advanced::AdvancedState};
use fold_advanced::stdp::StdpParams;
use fold_advanced::{Layer, LayerConfig, StateData, StepOptions};
use fold_core::params::{FilamentParams, SpikeParams};
use fold_core::{Shape, Wiring};

/// PyFolds' defaults, but for the shape and for updates at once.
fn defaults(dendrites: u32, synapses: u32) -> Parameters {
    Parameters {
        n_dendrites: dendrites,
        n_synapses_per_dendrite: synapses,
        defer_updates: false,
        ..Parameters::default()
    }
}

/// One synapse with `filaments` filaments.
fn synapse(filaments: i32) -> Synapses {
    Synapses::new(vec![filaments])
}

/// One update of one synapse.
fn update(p: &Parameters, s: &mut Synapses, pre: f32, post: f64, modulator: f64) {
    let factors = Factors {
        post,
        modulator,
        dt: 1.0,
        mode: Mode::Online,
    };
    Rule::new(p, factors).apply(s, &[pre]).unwrap();
}

/// A base neuron with the same number of filaments everywhere.
fn neuron(p: Parameters, filaments: i32) -> Neuron {
    Neuron::new(p, state(&p, filaments)).unwrap()
}

fn state(p: &Parameters, filaments: i32) -> NeuronState {
    let mut state = NeuronState::new(p, 0);
    state.synapses.filaments.fill(filaments);
    state
}

/// An advanced neuron with the same number of filaments everywhere.
fn advanced(p: Parameters, filaments: i32) -> AdvancedNeuron {
    let state = AdvancedState {
        neuron: state(&p, filaments),
        ..AdvancedState::new(&p, 0)
    };
    AdvancedNeuron::new(p, state).unwrap()
}

fn rewarded(reward: f64) -> Forward {
    Forward {
        reward: Some(reward),
        ..Forward::default()
    }
}

/// A sound neuron on two lines: line 0 reaches one synapse, line 1 makes the neuron fire.
fn sound(edit: impl FnOnce(&mut LayerConfig)) -> Layer {
    let shape = Shape {
        neurons: 1,
        dendrites: 2,
        synapses: 40,
    };
    let mut index = vec![1; 80];
    index[0] = 0;
    let mut config = LayerConfig {
        filaments: FilamentParams {
            init_low: 16,
            init_high: 16,
            ..FilamentParams::default()
        },
        spike: SpikeParams {
            theta_init: 1.0,
            ..SpikeParams::default()
        },
        stdp: Some(StdpParams {
            a_plus: 0.5,
            a_minus: 0.4,
            mu: 0.0,
            ..StdpParams::default()
        }),
        ..LayerConfig::new(shape, 2, 1)
    };
    edit(&mut config);
    Layer::new(config, Wiring::new(shape, 2, index).unwrap()).unwrap()
}

/// One step of it: whether line 0 has an event, and whether the neuron is made to fire.
fn step(layer: &mut Layer, pre: bool, post: bool, modulator: f32) {
    let x = [f32::from(u8::from(pre)), f32::from(u8::from(post))];
    let options = StepOptions {
        modulator,
        ..StepOptions::default()
    };
    let fired = layer.step(&x, 1, options).unwrap().spikes[0];
    assert_eq!(fired != 0, post);
}

/// N + I of the synapse on line 0, in filaments.
fn level(layer: &Layer) -> f64 {
    f64::from(layer.state().filaments()[0]) + f64::from(layer.state().internal()[0])
}

/// The layer that goes on from the saved state of `layer`, with the filaments as `edit` leaves them.
fn restored(layer: &Layer, edit: impl FnOnce(&mut [u8])) -> Layer {
    let mut arrays = layer.state_arrays();
    if let Some(StateData::U8(filaments)) = arrays.get_mut("filaments").map(|array| &mut array.data) {
        edit(filaments);
    }
    Layer::restore(layer.config().clone(), |name| arrays.remove(name)).unwrap()
}
