//! What the fuzz targets do with their input, apart from libFuzzer, so that `cargo test` replays every committed input.
//!
//! A body panics when a promise is broken; a typed error is a good answer to any bytes.
#![forbid(unsafe_code)]

use fold_format::{Checkpoint, ChunkKind, Depth, OpenOptions, Verdict, VerifyOptions, verify_source};

/// Opens any bytes, reads every tensor and chunk, and verifies them all.
///
/// # Panics
/// When a file that verifies as whole does not open or has a tensor or chunk that cannot be read, or when a tensor has
/// another length than its description: the two ways of reading must not disagree.
pub fn fold_reader(bytes: &[u8]) {
    let report = verify_source(bytes, Depth::All, VerifyOptions::default());
    let whole = report.as_ref().is_ok_and(|report| report.verdict == Verdict::Ok);
    let checkpoint = match Checkpoint::open_source(bytes, &OpenOptions::default()) {
        Ok(checkpoint) => checkpoint,
        Err(error) => {
            assert!(!whole, "verified as whole, yet it does not open: {error}");
            return;
        }
    };
    let tensors: Vec<(String, u64)> = match checkpoint.tensors() {
        Ok(tensors) => tensors.map(|tensor| (tensor.name.to_owned(), tensor.bytes)).collect(),
        Err(error) => {
            assert!(!whole, "verified as whole, yet its tensors cannot be listed: {error}");
            return;
        }
    };
    for (name, len) in tensors {
        match checkpoint.tensor(&name) {
            Ok(tensor) => assert_eq!(tensor.as_bytes().len() as u64, len, "{name}"),
            Err(error) => assert!(!whole, "verified as whole, yet {name} cannot be read: {error}"),
        }
    }
    let chunks = checkpoint.chunks().filter(|chunk| chunk.kind != ChunkKind::Tensors);
    for name in chunks.map(|chunk| chunk.name.to_owned()).collect::<Vec<_>>() {
        if let Err(error) = checkpoint.chunk(&name) {
            assert!(!whole, "verified as whole, yet chunk {name} cannot be read: {error}");
        }
    }
}
