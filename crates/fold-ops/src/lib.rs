//! Operations on checkpoints: which one to trust, how a layer becomes a file and back, and what to do when one is bad.
//!
//! - [`CheckpointStore`], [`StoreWriter`]: a directory of checkpoints, one writer, retention that cannot lose the last
//!   valid one.
//! - [`bridge`]: a layer's whole dynamic state to a chunk of tensors and back, bit for bit.
//! - [`check`], [`mod@inspect`]: answers about a file or a directory as values that serialise to the documented JSON.
//! - [`mend`], [`mod@sign`]: an exact copy of a damaged file, or what is intact of it; keys and signed copies.
//! - [`mod@simulate`]: a neuron replayed over an input, its trajectory as arrays.
//! - [`scrub`], [`doctor`], [`telemetry`], [`runbook`]: reading a store in full now and then, looking at a machine, metrics
//!   and events, and what to do about each code.
//! - [`input_file`]: small files that a command line names, which need not be files at all.
//! - [`exchange`]: files of other formats in and out: conversion, comparison, extraction.
//! - [`Code`], [`ExitCode`]: one table of every code that this release can raise, and the exit code that it ends a command
//!   with.
//!
//! What this crate does not do: it prints nothing, it parses no arguments, it has no numerics of its own, and it never
//! changes or deletes a file that it has not verified as superseded.
#![forbid(unsafe_code)]

pub mod bridge;
pub mod check;
mod clock;
mod code;
pub mod doctor;
mod error;
pub mod exchange;
mod exit;
mod host;
pub mod input_file;
pub mod inspect;
mod json;
pub mod mend;
mod new_file;
pub mod runbook;
pub mod scrub;
pub mod sign;
pub mod simulate;
mod store;
pub mod telemetry;

pub use check::advice::quoted;
pub use clock::{Clock, SystemClock};
pub use code::Code;
pub use error::{DirectoryOperation, Error, Mismatch};
pub use exit::ExitCode;
/// Which arithmetic a neuron follows.
pub use fold_advanced::Semantics;
/// Arrays of other programs.
pub use fold_format::interchange;
/// How much parity a file gets.
pub use fold_format::parity::Level as ParityLevel;
/// The key that signatures are checked with.
pub use fold_format::seal::PublicKey;
/// The keys that files are read and verified with.
pub use fold_format::v1::Keys;
/// The container's types that a layer above needs to save and read checkpoints through this crate.
pub use fold_format::{
    Checkpoint, Class, Content, Disk, Dtype, Escaped, Saved, Severity, Shape, TensorSource, Verdict,
};
pub use host::Space;
/// The type of every moment in this crate's reports.
pub use jiff::{SignedDuration, Timestamp};
pub use json::{Int, Object};
pub use new_file::{abandon, replace};
pub use store::{
    CheckpointStore, Chosen, Fate, Latest, PruneItem, PrunePlan, PruneReport, Pruned, Retention, SCORE_KEY, STEP_KEY,
    Skipped, StoreWriter, step_of,
};
