//! Plasticity and regulation mechanisms, composed in one checked order into a [`Layer`].
//!
//! A step runs through the phases
//!
//! ```text
//! drive (core) -> compete -> gate -> learn -> credit -> (filaments settle) -> regulate
//! ```
//!
//! | mechanism | phase | what it does | source |
//! |---|---|---|---|
//! | [`inhibition`] | compete | k winners take all | Maass 2000 |
//! | [`refractory`] | gate (last word on a spike) | absolute and relative refractory period | Gerstner and Kistler 2002 |
//! | [`stdp`] | learn | pair rule with soft bounds, optional heterosynaptic term | Morrison, Diesmann, Gerstner 2008 |
//! | [`credit`] | credit | eligibility x modulator (the three-factor law of fold-core) | Fremaux and Gerstner 2016 |
//! | [`homeostasis`] | regulate | theta follows the firing rate, without wind-up | docs/numerics/homeostasis.md |
//!
//! # What this crate does not do
//! It never opens a file, prints, or reads a clock. It logs one `info` record per mechanism when a layer is built.
//! It does not encode images, read out classes or train: that is `fold-train`.
#![forbid(unsafe_code)]

mod config;
mod error;
mod layer;

pub mod credit;
pub mod homeostasis;
pub mod inhibition;
pub mod mechanism;
pub mod refractory;
pub mod soak;
pub mod stateful;
pub mod stdp;

pub use config::{DT_MS, LayerConfig};
pub use error::Error;
pub use layer::{Layer, LayerBuilder, MAX_SAMPLES, Response, Scratch, Step};
pub use mechanism::{Mechanism, Phase, StepOptions, Thresholds};
pub use stateful::{Dtype, StateArray, StateData, StateSlice};

/// The result of a fallible operation of this crate.
pub type Result<T> = std::result::Result<T, Error>;
