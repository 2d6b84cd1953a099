//! Operations on checkpoints: which one to trust, how a layer becomes a file and back, and what to do when one is bad.
//!
//! - [`CheckpointStore`], [`StoreWriter`]: a directory of checkpoints, one writer, retention that cannot lose the last
//!   valid one.
//! - [`bridge`]: a layer's whole dynamic state to a chunk of tensors and back, bit for bit.
//! - [`check`], [`mod@inspect`]: answers about a file or a directory as values that serialise to the documented JSON.
//! - [`mod@simulate`]: a neuron replayed over an input, its trajectory as arrays.
//! - [`Code`], [`ExitCode`]: one table of every code that this release can raise, and the exit code that it ends a command
//!   with.
//!
//! What this crate does not do: it prints nothing, it parses no arguments, it has no numerics of its own, and it never
//! changes or deletes a file that it has not verified as superseded.
#![forbid(unsafe_code)]

pub mod bridge;
pub mod check;
mod code;
mod error;
mod exit;
pub mod inspect;
mod json;
pub mod simulate;
mod store;

pub use code::Code;
pub use error::{DirectoryOperation, Error, Mismatch};
pub use exit::ExitCode;
/// Which arithmetic a neuron follows.
pub use fold_advanced::Semantics;
/// The container's types that a layer above needs to save and read checkpoints through this crate.
pub use fold_format::{Checkpoint, Class, Content, Disk, Escaped, Saved, Severity, TensorSource};
pub use json::Int;
pub use store::{
    CheckpointStore, Chosen, Fate, Latest, PruneItem, PrunePlan, Pruned, Retention, SCORE_KEY, Skipped, StoreWriter,
    step_of,
};
