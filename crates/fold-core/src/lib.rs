//! The numerics core: the state of a layer of MPJRD neurons and the laws that move it.
//!
//! A layer has `n` neurons with `D` dendrites of `S` synapses. A synapse's weight is a small number of filaments `N`,
//! `W = log2(1 + N) / w_scale`. One step takes the input `x` [B, M] of `B` samples over `M` lines and runs
//! input check -> [`dendrite`] (drive) -> [`spike`] (decision); learning rules add to a drive that [`quantizer`] turns into
//! filaments; [`health`] watches the [`invariants`] while all this runs.
//!
//! # What this crate does not do
//! It never opens a file, reads a clock, prints, or draws from a global random generator, and it holds no unsafe code.
//! It knows no mechanism beyond the ones named above: plasticity rules and regulation live in `fold-advanced`.
//!
//! # Promises
//! - Equal state, input and seed give equal bits, whatever the number of threads and the platform (see [`math`], [`random`]).
//! - No input can put a NaN or an infinity into the state: [`input`] rejects what is not in [0, 1] before anything moves.
//! - Every range is stated once, in the table of its parameter struct (see [`params`]).
#![forbid(unsafe_code)]

mod error;

pub mod dendrite;
pub mod health;
pub mod input;
pub mod invariants;
pub mod lanes;
pub mod math;
pub mod params;
pub mod quantizer;
pub mod random;
pub mod shape;
pub mod spike;
pub mod state;
pub mod threads;
pub mod three_factor;
pub mod weight;
pub mod wiring;

pub use error::Error;
pub use shape::Shape;
pub use state::LayerState;
pub use wiring::Wiring;

/// The result of a fallible operation of this crate.
pub type Result<T> = std::result::Result<T, Error>;
