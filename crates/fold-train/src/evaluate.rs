//! Evaluating a saved network: its own readout on its own spikes, nothing fitted anew.

use std::path::Path;

use fold_ops::{Checkpoint, CheckpointStore};

use crate::Error;
use crate::data::DataSet;
use crate::encode::encode_all;
use crate::outcome::EvalOutcome;
use crate::record::{Restored, data_digest};

/// The accuracy of a checkpoint on `data`.
///
/// - `path`: a checkpoint, or a directory of which the newest valid one is taken.
///
/// # Errors
/// The file is absent, damaged or no training checkpoint; it was trained on other data ([`Error::OtherData`]).
pub fn evaluate(path: &Path, data: &DataSet) -> Result<EvalOutcome, Error> {
    let (checkpoint, path) = if path.is_dir() {
        let latest = CheckpointStore::open(path).latest_valid()?;
        let count = latest.skipped.len();
        let chosen = latest.chosen.ok_or_else(|| Error::NoValidCheckpoint {
            dir: path.into(),
            count,
        })?;
        (chosen.checkpoint, chosen.path)
    } else {
        (Checkpoint::open(path).map_err(fold_ops::Error::from)?, path.into())
    };
    let Restored {
        session,
        readout,
        record,
        seed,
    } = Restored::read(&checkpoint)?;
    if record.data_digest != data_digest(data) {
        return Err(Error::OtherData {
            trained: record.data.into(),
            given: data.name,
        });
    }
    let accuracy = |images: &crate::data::Images| -> Result<f64, Error> {
        Ok(readout.accuracy(&session.spikes(&encode_all(images.pixels()))?, images.labels()))
    };
    Ok(EvalOutcome {
        schema: "fold.eval/1",
        exit_code: 0,
        data: data.name,
        epoch: session.epoch,
        seed,
        neurons: session.layer.config().shape.neurons,
        train_images: data.train.count(),
        test_images: data.test.count(),
        accuracy: accuracy(&data.test)?,
        train_accuracy: accuracy(&data.train)?,
        recorded_accuracy: record.history.last().map_or(0.0, |metrics| metrics.test_accuracy),
        checkpoint: path,
    })
}
