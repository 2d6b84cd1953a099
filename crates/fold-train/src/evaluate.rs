//! Asking a saved network: its accuracy by its own readout on its own spikes, and the settings it was trained with.

use std::path::Path;

use fold_ops::{Checkpoint, CheckpointStore, ParityLevel};

use crate::Error;
use crate::config::TrainConfig;
use crate::data::DataSet;
use crate::observer::Asking;
use crate::outcome::EvalOutcome;
use crate::record::{Record, Restored, data_digest};

/// The accuracy of a checkpoint on data.
///
/// - `path`: a checkpoint, or a directory of which the newest valid one is taken.
/// - `data`: loads it; asked once the checkpoint has been read, so that a file that is none costs no data set.
///
/// # Errors
/// The file is absent, damaged or no training checkpoint; what `data` fails with; it was trained on other data
/// ([`Error::OtherData`]).
pub fn evaluate(path: &Path, data: impl FnOnce() -> Result<DataSet, Error>) -> Result<EvalOutcome, Error> {
    let (checkpoint, path) = if path.is_dir() {
        let latest = CheckpointStore::open(path).latest_valid()?;
        let count = latest.skipped.len();
        let chosen = latest.chosen.ok_or_else(|| match count {
            0 => Error::NoCheckpoint { dir: path.into() },
            _ => Error::NoValidCheckpoint {
                dir: path.into(),
                count,
            },
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
    let data = data()?;
    let given = data_digest(&data);
    if record.data_digest != given {
        let named = |name: &str, digest: &str| format!("{name} with digest {digest}").into();
        return Err(Error::OtherData {
            trained: named(&record.data, &record.data_digest),
            given: named(data.name, &given),
        });
    }
    let asking = &mut Asking::nobody();
    let mut accuracy = |images: &crate::data::Images| -> Result<f64, Error> {
        Ok(readout.accuracy(&session.spikes(images.pixels(), asking)?, images.labels()))
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

/// What a saved run was started with.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Recorded {
    /// The name of its data set: `digits`, `idx` or `npz`; empty where nothing is recorded.
    pub data: String,
    /// Its settings.
    pub config: TrainConfig,
    /// Its seed.
    pub seed: u64,
    /// How much parity its checkpoints have.
    pub parity: Option<ParityLevel>,
}

/// Reads settings, and the seed where they have one: a JSON object of the fields that differ from their defaults; or the
/// chunk `training` of a checkpoint, which has all of them. Its number of epochs is then what the checkpoint has seen.
///
/// # Errors
/// As [`TrainConfig::from_json`]; [`Error::Chunk`] where the chunk is not what this release writes.
pub fn settings(text: &[u8]) -> Result<(TrainConfig, Option<u64>), Error> {
    let Some(record) = Record::of_chunk(text)? else {
        return Ok((TrainConfig::from_json(text)?, None));
    };
    let mut config = record.settings()?;
    config.epochs = u32::try_from(record.epoch.max(1)).unwrap_or(u32::MAX);
    config.check()?;
    Ok((config, Some(record.seed()?)))
}

/// What a saved run was started with; none where `path` does not exist or holds no checkpoint.
///
/// All checkpoints of a run agree on them, so the newest one whose record can be read and verified is asked, whatever its
/// other content is worth. The number of epochs is no setting of a run: it is the default, or as many as the run's newest
/// file has seen.
///
/// - `path`: a checkpoint, or a directory of them.
///
/// # Errors
/// The checkpoint is damaged or no training checkpoint; the directory holds checkpoints and none can be asked.
pub fn recorded(path: &Path) -> Result<Option<Recorded>, Error> {
    let asked = |path: &Path| -> Result<Recorded, Error> {
        let checkpoint = Checkpoint::open(path).map_err(fold_ops::Error::from)?;
        let record = Record::read(&checkpoint)?;
        Ok(Recorded {
            config: record.settings()?,
            seed: record.seed()?,
            data: record.data,
            parity: checkpoint.info().parity.map(|parity| parity.level),
        })
    };
    if !path.exists() {
        return Ok(None);
    }
    if !path.is_dir() {
        return asked(path).map(Some);
    }
    let store = CheckpointStore::open(path);
    let steps = store.steps()?;
    let Some(&newest) = steps.last() else {
        return Ok(None);
    };
    let mut answers = steps.iter().rev().filter_map(|&step| asked(&store.path_of(step)).ok());
    let mut recorded = answers.next().ok_or_else(|| Error::NoValidCheckpoint {
        dir: path.into(),
        count: steps.len(),
    })?;
    let seen = u32::try_from(newest).unwrap_or(u32::MAX);
    recorded.config.epochs = recorded.config.epochs.max(seen);
    Ok(Some(recorded))
}
