//! Checkpoints for the other tests.

use std::path::Path;

use fold_format::storage::Storage;
use fold_format::{Content, Saved, TensorSource};
use fold_ops::{Error, StoreWriter};

pub(crate) const DIR: &str = "/run";

/// The one number that a test checkpoint is about.
pub(crate) fn weights(step: u64) -> Vec<f32> {
    vec![step as f32; 3000]
}

/// Saves a small checkpoint of two chunks.
pub(crate) fn save_step<S: Storage>(writer: &StoreWriter<S>, step: u64, score: f64) -> Result<Saved, Error> {
    let weights = weights(step);
    let metadata = format!(r#"{{"epoch":{step},"score":{score}}}"#);
    let tensors = [TensorSource::of("layer0.weights", &[30, 100], &weights).unwrap()];
    let content = Content::new()
        .metadata(&metadata)
        .tensors("state", tensors)
        .json("history", "[1,2,3]");
    writer.save(step, &content, [7; 16])
}

/// Flips one bit of a file.
pub(crate) fn flip(path: &Path, offset: usize, bit: u32) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[offset] ^= 1 << bit;
    std::fs::write(path, bytes).unwrap();
}
