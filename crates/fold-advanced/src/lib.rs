//! Plasticity and regulation mechanisms, composed in one checked order into a [`Layer`].
//!
//! A step runs through the phases
//!
//! ```text
//! transmit -> (dendrites integrate) -> compete -> gate -> backpropagate -> learn -> modulate -> credit -> consolidate -> prune
//!          -> (filaments settle) -> regulate
//! ```
//!
//! | mechanism | phase | what it does | source |
//! |---|---|---|---|
//! | [`short_term`] | transmit | facilitation and depression of transmission | Tsodyks, Pawelzik, Markram 1998 |
//! | [`inhibition`] | compete | k winners take all | Maass 2000 |
//! | [`refractory`] | gate (last word on a spike) | absolute and relative refractory period | Gerstner and Kistler 2002 |
//! | [`bap`] | backpropagate | how much of a spike each dendrite sees | Stuart and Hausser 2001 |
//! | [`stdp`] | learn | pair rule with soft bounds, optional heterosynaptic term | Morrison, Diesmann, Gerstner 2008 |
//! | [`neuromodulation`] | modulate | the modulator from reward, capacity or surprise | Schultz, Dayan, Montague 1997 |
//! | [`credit`] | credit | eligibility x modulator (the three-factor law of fold-core) | Fremaux and Gerstner 2016 |
//! | [`consolidation`] | consolidate | drive waits for sleep | Frey and Morris 1997 |
//! | [`pruning`] | prune | weak synapses are taken out | Chechik, Meilijson, Ruppin 1998 |
//! | [`adaptation`] | regulate | a recent rate raises the threshold | Benda and Herz 2003 |
//! | [`feedback`] | regulate | E -> I -> E inhibition | Wilson and Cowan 1972 |
//! | [`homeostasis`] | regulate | theta follows the firing rate, without wind-up | docs/numerics/homeostasis.md |
//!
//! # What this crate does not do
//! It never opens a file, prints, or reads a clock. It logs one `info` record per mechanism when a layer is built.
//! It does not encode images, read out classes or train: that is `fold-train`.
#![forbid(unsafe_code)]

mod config;
mod error;
mod layer;
mod per_sample;
mod semantics;

pub mod adaptation;
pub mod bap;
pub mod consolidation;
pub mod credit;
pub mod feedback;
pub mod homeostasis;
pub mod inhibition;
pub mod mechanism;
pub mod neuromodulation;
pub mod pruning;
pub mod pyfolds;
pub mod refractory;
pub mod short_term;
pub mod soak;
pub mod stateful;
pub mod stdp;

pub use config::{DT_MS, LayerConfig};
pub use error::Error;
pub use layer::{Layer, LayerBuilder, MAX_SAMPLES, Response, Scratch, Step};
pub use mechanism::{Mechanism, Phase, StepOptions, Thresholds};
pub use semantics::{Semantics, UnknownSemantics};
pub use stateful::{Dtype, StateArray, StateData, StateSlice};

/// The result of a fallible operation of this crate.
pub type Result<T> = std::result::Result<T, Error>;
