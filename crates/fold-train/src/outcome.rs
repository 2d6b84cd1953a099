//! What a run and an evaluation end with: values that serialise to the documented JSON.

use std::path::PathBuf;

use fold_ops::Int;
use serde::{Serialize, Serializer};

use crate::record::EpochMetrics;

/// Held-out accuracies of the learned layer and of its controls, each in [0, 1].
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Accuracies {
    /// The spikes of the layer after its last epoch, under the readout.
    pub learned: f64,
    /// The same layer with learning switched off.
    pub frozen: f64,
    /// The same spikes by a vote of the neurons, each in proportion to how often it fires for a class; nothing is fitted.
    pub vote: f64,
    /// The layer's potentials, summed over an image and its shifts by one pixel, under the readout.
    pub potentials: f64,
    /// The potentials of the layer with learning switched off.
    pub potentials_frozen: f64,
    /// Rectified random projections.
    pub random_features: f64,
    /// k-means features.
    pub kmeans_features: f64,
    /// Nearest neighbours of the pixels.
    pub nearest_neighbours: f64,
    /// The pixels themselves.
    pub ridge_pixels: f64,
}

impl Accuracies {
    fn each(all: &[Self], statistic: impl Fn(&[f64]) -> f64) -> Self {
        let of = |field: fn(&Self) -> f64| statistic(&all.iter().map(field).collect::<Vec<_>>());
        Self {
            learned: of(|a| a.learned),
            frozen: of(|a| a.frozen),
            vote: of(|a| a.vote),
            potentials: of(|a| a.potentials),
            potentials_frozen: of(|a| a.potentials_frozen),
            random_features: of(|a| a.random_features),
            kmeans_features: of(|a| a.kmeans_features),
            nearest_neighbours: of(|a| a.nearest_neighbours),
            ridge_pixels: of(|a| a.ridge_pixels),
        }
    }

    /// The mean over the seeds.
    #[must_use]
    pub fn mean(all: &[Self]) -> Self {
        Self::each(all, mean)
    }

    /// The sample standard deviation over the seeds; 0 for one seed.
    #[must_use]
    pub fn spread(all: &[Self]) -> Self {
        Self::each(all, |values| {
            let centre = mean(values);
            let squares: f64 = values.iter().map(|v| (v - centre) * (v - centre)).sum();
            if values.len() > 1 {
                (squares / (values.len() - 1) as f64).sqrt()
            } else {
                0.0
            }
        })
    }
}

/// A seed as reports write integers.
fn int<S: Serializer>(seed: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    Int(*seed).serialize(serializer)
}

/// As [`int`], each.
fn ints<S: Serializer>(seeds: &[u64], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(seeds.iter().map(|&seed| Int(seed)))
}

/// Taken from the first value on, so that equal values have exactly that mean, and no spread.
fn mean(values: &[f64]) -> f64 {
    let first = values.first().copied().unwrap_or(0.0);
    first + values.iter().map(|value| value - first).sum::<f64>() / values.len().max(1) as f64
}

/// One seed of a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct SeedOutcome {
    /// The seed.
    #[serde(serialize_with = "int")]
    pub seed: u64,
    /// Its accuracies.
    pub accuracy: Accuracies,
}

/// What a run ends with; serialises to `fold.train/1`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct TrainOutcome {
    /// `fold.train/1`.
    pub schema: &'static str,
    /// 0: a run that fails ends with an error instead.
    pub exit_code: u8,
    /// The data set.
    pub data: &'static str,
    /// Width of the layer.
    pub neurons: u32,
    /// Epochs the layer has seen.
    pub epochs: u32,
    /// The seeds; checkpoints and figures are those of the first.
    #[serde(serialize_with = "ints")]
    pub seeds: Vec<u64>,
    /// Images learned from.
    pub train_images: usize,
    /// Images held out.
    pub test_images: usize,
    /// Means over the seeds.
    pub accuracy: Accuracies,
    /// Sample standard deviations over the seeds; 0 for one seed.
    pub accuracy_spread: Accuracies,
    /// Each seed alone.
    pub per_seed: Vec<SeedOutcome>,
    /// Epochs of the first seed, from 0 (the layer as drawn).
    pub history: Vec<EpochMetrics>,
    /// Presentations per second while the learned layers were trained in this call; 0 where there was nothing left to train.
    pub images_per_second: f64,
    /// Checkpoints in the directory, oldest first.
    pub checkpoints: Vec<PathBuf>,
    /// The newest of them.
    pub final_checkpoint: PathBuf,
    /// Figures written.
    pub figures: Vec<PathBuf>,
}

/// What an evaluation ends with; serialises to `fold.eval/1`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct EvalOutcome {
    /// `fold.eval/1`.
    pub schema: &'static str,
    /// Always 0.
    pub exit_code: u8,
    /// The data set.
    pub data: &'static str,
    /// The checkpoint's file.
    pub checkpoint: PathBuf,
    /// Epochs that it has seen.
    pub epoch: u64,
    /// Its seed.
    #[serde(serialize_with = "int")]
    pub seed: u64,
    /// Width of its layer.
    pub neurons: u32,
    /// Images learned from.
    pub train_images: usize,
    /// Images held out.
    pub test_images: usize,
    /// Accuracy on the held-out images, in [0, 1].
    pub accuracy: f64,
    /// Accuracy on the training images, in [0, 1].
    pub train_accuracy: f64,
    /// Held-out accuracy as recorded when the checkpoint was written.
    pub recorded_accuracy: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spread_is_the_sample_standard_deviation() {
        let one = |learned| Accuracies {
            learned,
            frozen: 0.5,
            vote: 0.0,
            potentials: 0.0,
            potentials_frozen: 0.0,
            nearest_neighbours: 0.0,
            random_features: 0.0,
            kmeans_features: 0.0,
            ridge_pixels: 0.0,
        };
        let all = [one(0.9), one(0.94)];
        assert!((Accuracies::mean(&all).learned - 0.92).abs() < 1e-12);
        assert!((Accuracies::spread(&all).learned - 0.0008f64.sqrt()).abs() < 1e-12);
        assert_eq!(Accuracies::spread(&all).frozen, 0.0);
        assert_eq!(Accuracies::spread(&all[..1]).learned, 0.0);
        assert_eq!(Accuracies::spread(&[one(0.8); 3]).learned, 0.0);
    }
}
