//! Training: images in, a layer that learns by local rules, a linear readout, and checkpoints that a run resumes from.
//!
//! - [`train`]: [`TrainRequest`] in, [`TrainOutcome`] out, [`Event`]s to an [`Observer`] on the way.
//! - [`evaluate()`]: the accuracy of a saved network.
//! - [`data`], [`idx`], [`npz`], [`encode`], [`readout`]: images, what neurons see of them, what is read from their spikes.
//!
//! Rule, protocol, sources and numbers: `docs/learning/README.md`.
//!
//! # What this crate does not do
//! It prints nothing, opens no network connection and knows no gradients. It looks at a label in [`readout`] and nowhere before.
//!
//! # Promises
//! Equal data, configuration and seed give byte-identical checkpoints, whatever the number of threads and however often the
//! run was interrupted and resumed.
#![forbid(unsafe_code)]

mod config;
mod controls;
pub mod data;
mod draw;
pub mod encode;
mod error;
mod evaluate;
mod figures;
pub mod idx;
pub mod npz;
mod observer;
mod outcome;
pub mod readout;
mod record;
mod run;
mod session;
mod telemetry;
mod vote;

pub use config::TrainConfig;
pub use controls::Control;
pub use data::DataSet;
pub use error::{Error, KeyDifference};
pub use evaluate::{Recorded, evaluate, recorded, settings};
pub use observer::{Event, Observer, Silent};
pub use outcome::{Accuracies, EvalOutcome, SeedOutcome, TrainOutcome};
pub use record::EpochMetrics;
pub use run::{Resume, TrainRequest, train};
pub use telemetry::Recorder;
