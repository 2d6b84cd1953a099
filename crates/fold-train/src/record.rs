//! What a training checkpoint holds, and the way to the file and back.
//!
//! | chunk | content |
//! |---|---|
//! | `layer` | the layer's whole dynamic state, tensors `layer0.*` (see `fold_ops::bridge`) |
//! | `readout` | `readout.weights` f64 [n, C], `readout.mean` f64 `[n]`, `readout.intercept` f64 `[C]`: fitted after this epoch |
//! | `training` | JSON: this module's [`Record`] |
//!
//! The file is a function of configuration, seed, epoch and data alone: no clock, no host, no path. How many epochs the run
//! was to have is not in it either, so that a run can be made longer.

use fold_ops::bridge::{LayerTensors, read_array, restore_layer};
use fold_ops::{Checkpoint, Content, SCORE_KEY, STEP_KEY, Saved, StoreWriter, TensorSource};
use serde::{Deserialize, Serialize};
use twox_hash::XxHash3_128;

use crate::Error;
use crate::config::TrainConfig;
use crate::encode::Encoding;
use crate::error::KeyDifference;
use crate::readout::Readout;
use crate::session::Session;

const LAYER: &str = "layer0";
const TRAINING_CHUNK: &str = "training";
const SCHEMA: &str = "fold.training/1";

/// What was measured after an epoch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct EpochMetrics {
    /// Epochs seen; 0 is the layer as drawn.
    pub epoch: u64,
    /// Accuracy on the held-out images, in [0, 1].
    pub test_accuracy: f64,
    /// Accuracy on the training images, in [0, 1].
    pub train_accuracy: f64,
    /// Leave-one-out accuracy on the training images, in [0, 1]: what checkpoints are ranked by.
    pub leave_one_out: f64,
    /// The readout's lambda.
    pub lambda: f64,
    /// Spikes per neuron and image in the epoch, in [0, 1].
    pub mean_rate: f64,
    /// Fraction of the neurons that did not fire in the epoch.
    pub dead_fraction: f64,
}

/// The JSON of a checkpoint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Record {
    schema: String,
    /// Name of the data set.
    pub(crate) data: String,
    /// Digest of its training images and labels.
    pub(crate) data_digest: String,
    /// As decimal digits, since JSON readers round integers above 2^53.
    seed: String,
    pub(crate) epoch: u64,
    classes: u64,
    /// Pixels along the side of an image; where it is not written, those of the digits, which were the only data set then.
    #[serde(default = "side_of_digits")]
    side: usize,
    config: serde_json::Map<String, serde_json::Value>,
    readout_lambda: f64,
    readout_leave_one_out: f64,
    /// One entry per epoch from 0 on.
    pub(crate) history: Vec<EpochMetrics>,
}

fn side_of_digits() -> usize {
    Encoding::DIGITS.side()
}

/// A checkpoint's content, read back.
#[derive(Debug)]
pub(crate) struct Restored {
    pub(crate) session: Session,
    pub(crate) readout: Readout,
    pub(crate) record: Record,
    pub(crate) seed: u64,
}

/// The JSON of the record is not what this release writes.
fn fault(source: serde_json::Error) -> Error {
    Error::Chunk {
        chunk: TRAINING_CHUNK,
        source,
    }
}

/// Settings as they are compared and stored: without the number of epochs.
fn settings(config: &TrainConfig) -> Result<serde_json::Map<String, serde_json::Value>, Error> {
    let text = serde_json::to_string(config).map_err(fault)?;
    let mut settings: serde_json::Map<_, _> = serde_json::from_str(&text).map_err(fault)?;
    settings.remove("epochs");
    Ok(settings)
}

/// The identity of a data set: of what is learned and of what is held out, which the history's accuracies are of.
pub(crate) fn data_digest(data: &crate::DataSet) -> String {
    let mut digest = XxHash3_128::new();
    for images in [&data.train, &data.test] {
        digest.write(&(images.labels().len() as u64).to_le_bytes());
        for row in images.pixels().chunks(1 << 12) {
            let bytes: Vec<u8> = row.iter().flat_map(|p| p.to_le_bytes()).collect();
            digest.write(&bytes);
        }
        digest.write(images.labels());
    }
    format!("{:032x}", digest.finish_128())
}

impl Record {
    pub(crate) fn new(
        data: &crate::DataSet,
        config: &TrainConfig,
        session: &Session,
        readout: &Readout,
        history: &[EpochMetrics],
    ) -> Result<Self, Error> {
        Ok(Self {
            schema: SCHEMA.to_owned(),
            data: data.name.to_owned(),
            data_digest: data_digest(data),
            seed: session.layer.config().seed.to_string(),
            epoch: session.epoch,
            classes: data.classes as u64,
            side: data.encoding.side(),
            config: settings(config)?,
            readout_lambda: readout.lambda,
            readout_leave_one_out: readout.leave_one_out,
            history: history.to_vec(),
        })
    }

    /// Reads the record of a training checkpoint, and nothing else of it.
    pub(crate) fn read(checkpoint: &Checkpoint) -> Result<Self, Error> {
        let bytes = checkpoint.chunk(TRAINING_CHUNK).map_err(fold_ops::Error::from)?;
        serde_json::from_slice(&bytes).map_err(fault)
    }

    /// Reads a record from its JSON; none where that is something else.
    pub(crate) fn of_chunk(text: &[u8]) -> Result<Option<Self>, Error> {
        #[derive(Deserialize)]
        struct Named {
            schema: String,
        }
        match serde_json::from_slice(text) {
            Ok(Named { schema }) if schema == SCHEMA => serde_json::from_slice(text).map(Some).map_err(fault),
            _ => Ok(None),
        }
    }

    /// The seed of the run.
    pub(crate) fn seed(&self) -> Result<u64, Error> {
        serde_json::from_str(&self.seed).map_err(fault)
    }

    /// The settings of the run, with the number of epochs that the checkpoint has seen or the default, whichever is more.
    pub(crate) fn settings(&self) -> Result<TrainConfig, Error> {
        let settings = serde_json::Value::Object(self.config.clone());
        let mut config: TrainConfig = serde_json::from_value(settings).map_err(fault)?;
        config.check()?;
        config.epochs = config.epochs.max(u32::try_from(self.epoch).unwrap_or(u32::MAX));
        Ok(config)
    }

    /// Every setting in which this checkpoint's run differs from the one asked for.
    pub(crate) fn differences(
        &self,
        data: &crate::DataSet,
        config: &TrainConfig,
        seed: u64,
    ) -> Result<Vec<KeyDifference>, Error> {
        let mut asked = settings(config)?;
        asked.insert("seed".to_owned(), seed.to_string().into());
        asked.insert("data".to_owned(), data.name.into());
        asked.insert("data_digest".to_owned(), data_digest(data).into());
        let mut stored = self.config.clone();
        stored.insert("seed".to_owned(), self.seed.clone().into());
        stored.insert("data".to_owned(), self.data.clone().into());
        stored.insert("data_digest".to_owned(), self.data_digest.clone().into());
        let absent = serde_json::Value::Null;
        let mut keys: Vec<&String> = asked.keys().chain(stored.keys()).collect();
        keys.sort_unstable();
        keys.dedup();
        let differing = keys.into_iter().filter_map(|key| {
            let (stored, asked) = (stored.get(key).unwrap_or(&absent), asked.get(key).unwrap_or(&absent));
            (stored != asked).then(|| KeyDifference {
                key: key.as_str().into(),
                stored: stored.to_string().into(),
                asked: asked.to_string().into(),
            })
        });
        Ok(differing.collect())
    }

    /// Writes the checkpoint of its epoch.
    pub(crate) fn save(&self, writer: &StoreWriter, session: &Session, readout: &Readout) -> Result<Saved, Error> {
        let text = serde_json::to_string(self).map_err(fault)?;
        let metadata = serde_json::json!({
            "kind": SCHEMA, "data": self.data, "seed": self.seed, STEP_KEY: self.epoch, SCORE_KEY: readout.leave_one_out,
        })
        .to_string();
        let layer = LayerTensors::of(LAYER, &session.layer);
        let (features, classes) = (readout.mean.len() as u64, readout.intercept.len() as u64);
        let tensor = |name, shape: &[u64], values| TensorSource::of(name, shape, values).map_err(fold_ops::Error::from);
        let fitted = [
            tensor("readout.weights", &[features, classes], readout.weights.as_slice())?,
            tensor("readout.mean", &[features], readout.mean.as_slice())?,
            tensor("readout.intercept", &[classes], readout.intercept.as_slice())?,
        ];
        let content = Content::new()
            .metadata(&metadata)
            .tensors("layer", layer.tensors()?)
            .tensors("readout", fitted)
            .json(TRAINING_CHUNK, &text);
        // The same content has the same identity, whenever and wherever it is written.
        Ok(writer.save(
            self.epoch,
            &content,
            XxHash3_128::oneshot(text.as_bytes()).to_le_bytes(),
        )?)
    }
}

impl Restored {
    /// Reads a training checkpoint back; every byte that is used is verified on the way.
    pub(crate) fn read(checkpoint: &Checkpoint) -> Result<Self, Error> {
        let record = Record::read(checkpoint)?;
        let (config, seed) = (record.settings()?, record.seed()?);
        let encoding = Encoding::of_side(record.side).ok_or_else(|| {
            fault(serde::de::Error::custom(format_args!(
                "no images of side {}",
                record.side
            )))
        })?;
        let layer = restore_layer(config.layer(encoding, seed), checkpoint, LAYER).map_err(|error| match error {
            // The configuration is the checkpoint's own.
            fold_ops::Error::NoLayer { .. } | fold_ops::Error::LayerShape { .. } => fault(serde::de::Error::custom(
                "its configuration is not that of the layer beside it",
            )),
            error => error.into(),
        })?;
        let (features, classes) = (u64::from(config.neurons), record.classes);
        let readout = Readout {
            weights: read_array(checkpoint, "readout.weights", &[features, classes])?,
            mean: read_array(checkpoint, "readout.mean", &[features])?,
            intercept: read_array(checkpoint, "readout.intercept", &[classes])?,
            lambda: record.readout_lambda,
            leave_one_out: record.readout_leave_one_out,
        };
        Ok(Self {
            session: Session::resumed(&config, encoding, layer, record.epoch),
            readout,
            record,
            seed,
        })
    }
}

/// Metrics of `epoch` with one accuracy.
#[cfg(test)]
pub(crate) fn example(epoch: u64, test_accuracy: f64) -> EpochMetrics {
    EpochMetrics {
        epoch,
        test_accuracy,
        train_accuracy: test_accuracy,
        leave_one_out: test_accuracy,
        lambda: 1.0,
        mean_rate: 0.01,
        dead_fraction: 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_from_before_other_data_sets_is_of_digits() {
        let record = Record {
            schema: SCHEMA.to_owned(),
            data: "digits".to_owned(),
            data_digest: String::new(),
            seed: "1".to_owned(),
            epoch: 0,
            classes: 10,
            side: 28,
            config: serde_json::Map::new(),
            readout_lambda: 1.0,
            readout_leave_one_out: 0.5,
            history: vec![example(0, 0.5)],
        };
        let mut written = serde_json::to_value(&record).unwrap();
        assert_eq!(serde_json::from_value::<Record>(written.clone()).unwrap(), record);
        written.as_object_mut().unwrap().remove("side").unwrap();
        assert_eq!(
            serde_json::from_value::<Record>(written).unwrap(),
            Record { side: 8, ..record }
        );
    }
}
