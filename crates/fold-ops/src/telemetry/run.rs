//! What a training run reports: a small state file that its directory keeps, so that counters go on after a resumption, and
//! that one need not be told where its data lie and how long it is to be.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    BUILD_INFO, COMMIT_BYTES, COMMIT_ERRORS, COMMIT_LAST_SECONDS, COMMIT_SECONDS, COMMIT_TIME, COMMITS, NEURON_BOUND,
    NEURON_BREACHES, NEURON_DEAD, NEURON_QUARANTINED, NEURON_RATE, NEURON_SATURATED, NEURON_THETA, TRAIN_ACCURACY,
    TRAIN_EPOCH, TRAIN_EPOCHS, TRAIN_IMAGES, TRAIN_NON_FINITE, TRAIN_RESUMES, TRAIN_RUNNING, TRAIN_SECONDS,
    TRAIN_UPDATED, counter, counter_f64, gauge, rendered, unix_seconds,
};
use crate::code::Code;
use crate::error::Error;
use crate::input_file;

/// The name of the state file in the run's directory.
pub const RUN_STATE_FILE_NAME: &str = ".fold-run.json";

/// The longest state that is read; it has a few hundred bytes.
const STATE_BYTES_MAX: u64 = 1 << 20;

/// The codes that a failed save can have.
const COMMIT_CODES: [Code; 4] = [
    Code::Format(fold_format::Code::TargetExists),
    Code::Format(fold_format::Code::SyncFailed),
    Code::Format(fold_format::Code::NoSpace),
    Code::Format(fold_format::Code::Io),
];

/// How the layer fared over the last sweep of its health monitor. Ratios in [0, 1].
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NeuronHealth {
    /// Neurons that never fired.
    pub dead: f64,
    /// Neurons at or above the rate that counts as saturated.
    pub saturated: f64,
    /// Synapses with the smallest number of filaments.
    pub at_n_min: f64,
    /// Synapses with the largest number of filaments.
    pub at_n_max: f64,
    /// Spikes per neuron and sample.
    pub rate: f64,
    /// Mean threshold, dimensionless.
    pub theta_mean: f64,
    /// Neurons in quarantine.
    pub quarantined: u64,
}

/// What a run has reported so far. Counters never go down; times are the machine's.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RunState {
    /// What it learns from, as `fold train --data` takes it: `digits`, or an absolute path.
    pub data: Option<String>,
    /// Epochs that it is to have.
    pub epochs_wanted: Option<u32>,
    /// Whether the run is training.
    pub running: bool,
    /// When this was written.
    pub updated: Option<Timestamp>,
    /// Epochs that the newest state has seen.
    pub epoch: u64,
    /// Epochs trained.
    pub epochs: u64,
    /// Images presented.
    pub images: u64,
    /// Seconds spent presenting.
    pub seconds: f64,
    /// Held-out accuracy, in [0, 1].
    pub held_out_accuracy: Option<f64>,
    /// Accuracy on the training images, in [0, 1].
    pub training_accuracy: Option<f64>,
    /// Resumptions from the newest checkpoint.
    pub resumed_newest: u64,
    /// Resumptions that passed over damaged ones.
    pub resumed_older: u64,
    /// Times that a number of the state was not finite.
    pub non_finite: u64,
    /// Breaches of invariants.
    pub breaches: u64,
    /// The last sweep.
    pub health: Option<NeuronHealth>,
    /// Checkpoints saved.
    pub commits: u64,
    /// Failures to save, by code.
    pub commit_errors: BTreeMap<String, u64>,
    /// Seconds spent saving.
    pub commit_seconds: f64,
    /// Bytes saved.
    pub commit_bytes: u64,
    /// Seconds that the last saving took.
    pub last_commit_seconds: f64,
    /// When the last checkpoint was saved.
    pub last_commit: Option<Timestamp>,
}

impl RunState {
    /// Where the state of the run in `dir` lies.
    #[must_use]
    pub fn path(dir: &Path) -> PathBuf {
        dir.join(RUN_STATE_FILE_NAME)
    }

    /// The state of the run in `dir`; none where it has never reported. A file that is something else counts as none:
    /// metrics are never a reason not to train.
    #[must_use]
    pub fn load(dir: &Path) -> Option<Self> {
        let path = Self::path(dir);
        match input_file::read(&path, STATE_BYTES_MAX) {
            Ok(text) => match serde_json::from_slice(&text) {
                Ok(state) => Some(state),
                Err(error) => {
                    log::warn!("{}: {error}; the run's counters begin anew", crate::error::shown(&path));
                    None
                }
            },
            Err(Error::Directory { source, .. }) if source.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                log::warn!("{error}; the run's counters begin anew");
                None
            }
        }
    }

    /// Replaces the state file of the run in `dir` at once.
    ///
    /// # Errors
    /// The system refuses; the file is then as before.
    pub fn save(&self, dir: &Path) -> Result<(), Error> {
        let path = Self::path(dir);
        let text = serde_json::to_vec(self).map_err(|source| Error::ScrubState {
            path: path.clone(),
            source,
        })?;
        crate::new_file::replace(&path, &text)
    }

    /// Counts a failure to save.
    pub fn commit_failed(&mut self, code: &str) {
        *self.commit_errors.entry(code.to_owned()).or_default() += 1;
    }

    /// The state of the run in `dir` in the text format.
    #[must_use]
    pub fn render(&self, dir: &Path) -> String {
        rendered(|| {
            let run = dir.to_string_lossy();
            gauge(&BUILD_INFO, &[("run", &run), ("kind", env!("CARGO_PKG_VERSION"))], 1.0);
            self.record(&run);
        })
    }

    pub(super) fn record(&self, run: &str) {
        let labels = [("run", run)];
        gauge(&TRAIN_RUNNING, &labels, if self.running { 1.0 } else { 0.0 });
        gauge(&TRAIN_UPDATED, &labels, unix_seconds(self.updated));
        gauge(&TRAIN_EPOCH, &labels, self.epoch as f64);
        counter(&TRAIN_EPOCHS, &labels, self.epochs);
        counter(&TRAIN_IMAGES, &labels, self.images);
        counter_f64(&TRAIN_SECONDS, &labels, self.seconds);
        counter(&TRAIN_NON_FINITE, &labels, self.non_finite);
        counter(&NEURON_BREACHES, &labels, self.breaches);
        for (kind, value) in [
            ("held_out", self.held_out_accuracy),
            ("training", self.training_accuracy),
        ] {
            if let Some(value) = value {
                gauge(&TRAIN_ACCURACY, &[("run", run), ("kind", kind)], value);
            }
        }
        for (result, value) in [("newest", self.resumed_newest), ("older", self.resumed_older)] {
            counter(&TRAIN_RESUMES, &[("run", run), ("result", result)], value);
        }
        if let Some(health) = &self.health {
            gauge(&NEURON_DEAD, &labels, health.dead);
            gauge(&NEURON_SATURATED, &labels, health.saturated);
            gauge(&NEURON_BOUND, &[("run", run), ("kind", "n_min")], health.at_n_min);
            gauge(&NEURON_BOUND, &[("run", run), ("kind", "n_max")], health.at_n_max);
            gauge(&NEURON_RATE, &labels, health.rate);
            gauge(&NEURON_THETA, &labels, health.theta_mean);
            gauge(&NEURON_QUARANTINED, &labels, health.quarantined as f64);
        }
        let failed = self.commit_errors.values().copied().fold(0, u64::saturating_add);
        for (result, value) in [("ok", self.commits), ("error", failed)] {
            counter(&COMMITS, &[("run", run), ("result", result)], value);
        }
        for code in COMMIT_CODES {
            let value = self.commit_errors.get(code.as_str()).copied().unwrap_or(0);
            counter(&COMMIT_ERRORS, &[("run", run), ("code", code.as_str())], value);
        }
        counter_f64(&COMMIT_SECONDS, &labels, self.commit_seconds);
        counter(&COMMIT_BYTES, &labels, self.commit_bytes);
        gauge(&COMMIT_LAST_SECONDS, &labels, self.last_commit_seconds);
        gauge(&COMMIT_TIME, &labels, unix_seconds(self.last_commit));
    }
}
