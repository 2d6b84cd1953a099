//! PyFolds 1.0.2: what its neurons compute, step for step, so that old results can be replayed, compared and examined.
//!
//! This is a compatibility mode. It reproduces single-precision roundings and known defects on purpose
//! (`docs/numerics/PYFOLDS-DEFECTS.md`); [`crate::Layer`] is the neuron for new work. [`crate::Semantics`] names the two.
//!
//! | module | what |
//! |---|---|
//! | [`parameters`] | the 87 parameters, their checks |
//! | [`integration`] | weights, dendrites, effective threshold, the three integration modes |
//! | [`homeostasis`] | PID on theta with a rescue of silent neurons |
//! | [`neuromodulation`] | the modulator R |
//! | [`plasticity`] | the three-factor update of a synapse |
//! | [`consolidation`] | sleep: eligibility to filaments |
//! | [`neuron`] | `MPJRDNeuron`: the forward step, batches, modes |
//! | [`bap`], [`short_term`], [`refractory`], [`adaptation`], [`stdp`] | the five mechanisms of the advanced neuron |
//! | [`advanced`] | `MPJRDNeuronAdvanced`: their order |
//!
//! # Precision
//! An array is f32 and every operation on it rounds to f32; a parameter is f64 and is rounded to f32 when it meets an array,
//! also in a comparison; expressions of parameters alone stay in f64 until then. Sums run in index order. PyFolds leaves
//! their order and the last bits of its transcendental functions open, so agreement is to a tolerance: 1e-5 in potentials and
//! traces, relative to them from 1 on, 2e-5 relative in I and eligibility, none in spikes, filaments and counters.
//!
//! # Source
//! pyfolds 1.0.2 (PyPI). The equations were read off trajectories and its documentation; nothing of its code is here.
//! `testdata/pyfolds-1.0.2` holds trajectories that the tests replay.
//!
//! # What is not here
//! Layers, networks, file formats, PyFolds' random generator: initial filaments follow its distribution with our numbers.

pub mod adaptation;
pub mod advanced;
pub mod bap;
pub mod consolidation;
pub mod homeostasis;
pub mod integration;
pub mod neuromodulation;
pub mod neuron;
pub mod parameters;
pub mod plasticity;
pub mod refractory;
mod scalar;
pub mod short_term;
pub mod stdp;

pub use advanced::{AdvancedNeuron, AdvancedStep};
pub use neuron::{Forward, Mode, Neuron, NeuronState, Step};
pub use parameters::Parameters;
