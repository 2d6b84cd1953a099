//! What the fuzz targets do with their input, apart from libFuzzer, so that `cargo test` replays every committed input.
//!
//! A body panics when a promise is broken; a typed error is a good answer to any bytes. Beside the bodies: a second
//! reader written from the specification (`slow`), and a mutator that knows the records and mends the digests (`mutate`).
#![forbid(unsafe_code)]

pub mod campaign;
mod foreign;
mod hostile;
mod layouts;
mod mend;
mod mutate;
mod random;
pub mod slow;
mod writer;

use fold_format::{
    Checkpoint, ChunkKind, Code, Depth, Error, OpenMode, OpenOptions, Report, Tensor, Verdict, VerifyOptions,
    verify_source,
};

pub use foreign::{interchange, unpickler, v1_reader};
pub use hostile::{CLASSES, Hostile, hostile};
pub use layouts::{Layout, layouts};
pub use mend::{damage, repair, salvage};
pub use mutate::{mutate, mutate_in_place, seal};
pub use random::Random;
pub use writer::{Bytes, Memory, writer};

/// Opens any bytes, reads every tensor and chunk, and verifies them all.
///
/// # Panics
/// When a file that verifies as whole does not open or has a tensor or chunk that cannot be read, or when a tensor has
/// another length than its description: the two ways of reading must not disagree.
pub fn fold_reader(bytes: &[u8]) {
    let report = verify_source(bytes, Depth::All, VerifyOptions::default());
    let whole = report.as_ref().is_ok_and(|report| report.verdict == Verdict::Ok);
    let options = OpenOptions::default().mode(if whole { OpenMode::Strict } else { OpenMode::Degraded });
    let checkpoint = match Checkpoint::open_source(bytes, &options) {
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

/// Any bytes through both readers, which must agree: on whether every byte is as the specification says, on whether the
/// file opens, and on every byte that both hand out.
///
/// # Panics
/// When they do not agree.
pub fn differential(bytes: &[u8]) {
    if let Some(what) = disagreement(bytes, slow::whole(bytes)) {
        panic!("{what}");
    }
}

/// As [`differential`], with a bug planted in the second reader: it does not look at padding. Fuzzing that does not
/// find this within a minute is not fuzzing.
///
/// # Panics
/// When the bug is found.
pub fn canary(bytes: &[u8]) {
    let blind = match slow::whole(bytes) {
        Err("padding is zero") => slow::open(bytes),
        honest => honest,
    };
    if let Some(what) = disagreement(bytes, blind) {
        panic!("{what}");
    }
}

/// Whether what one reader reads is not what the other does; a broken frame aside, about which two decoders may differ.
fn differs(fast: Result<&[u8], &Error>, slow: Result<&[u8], &slow::Broken>) -> bool {
    match (fast, slow) {
        (Ok(bytes), Ok(second)) => bytes != second,
        (Err(_), Err(_)) => false,
        (Ok(_), Err(rule)) => *rule != slow::DECODER,
        (Err(error), Ok(_)) => error.code() != Code::Decompression,
    }
}

/// In what the two readers differ.
fn disagreement(bytes: &[u8], whole: Result<slow::Contents, slow::Broken>) -> Option<String> {
    let report = verify_source(bytes, Depth::All, VerifyOptions::default()).expect("memory can be read");
    // Where a frame that is no frame begins to be broken, two decoders of zstd may differ about.
    let frames_alone = |report: &Report| {
        report
            .findings
            .iter()
            .all(|finding| finding.code() == Code::Decompression)
    };
    match (report.verdict == Verdict::Ok, &whole) {
        (true, Err(rule)) if *rule == slow::DECODER => {}
        (false, Ok(_)) if frames_alone(&report) => {}
        (true, Err(rule)) => return Some(format!("verified, but the second reader misses: {rule}")),
        (false, Ok(_)) => return Some(format!("the second reader finds nothing, but: {:?}", report.findings)),
        _ => {}
    }
    let opened = Checkpoint::open_source(bytes, &OpenOptions::default());
    let slow = slow::open(bytes);
    let (fast, slow) = match (opened, slow) {
        (Err(_), Err(_)) => return None,
        (Ok(fast), Ok(slow)) => (fast, slow),
        (Err(error), Ok(_)) => return Some(format!("the second reader opens it, but: {error}")),
        // Two damaged copies may have been put together again, which the second reader does not try.
        (Ok(fast), Err(_))
            if fast
                .findings()
                .iter()
                .any(|finding| finding.code() == Code::IndexDigest) =>
        {
            return None;
        }
        (Ok(_), Err(rule)) => return Some(format!("opened, but the second reader misses: {rule}")),
    };
    if fast.metadata() != slow.metadata
        || !fast
            .chunks()
            .map(|chunk| chunk.name)
            .eq(slow.chunks.iter().map(|c| &*c.name))
    {
        return Some("metadata or names of chunks differ".to_owned());
    }
    for chunk in slow.chunks.iter().filter(|chunk| chunk.kind != 1) {
        let read = fast.chunk(&chunk.name);
        if differs(read.as_deref(), chunk.content.as_deref()) {
            return Some(format!("chunk {:?} is read differently", chunk.name));
        }
    }
    let tensors = match (fast.tensors(), &slow.tensors) {
        (Err(_), Err(_)) => return None,
        (Ok(tensors), Ok(second)) => tensors.zip(second).collect::<Vec<_>>(),
        (Ok(_), Err(rule)) => return Some(format!("tensors are listed, but the second reader misses: {rule}")),
        (Err(error), Ok(_)) => return Some(format!("the second reader lists tensors, but: {error}")),
    };
    for (tensor, second) in tensors {
        if (tensor.name, tensor.dtype.to_byte(), tensor.shape.extents())
            != (&*second.name, second.dtype, &second.shape[..])
        {
            return Some(format!("tensor {:?} is described differently", second.name));
        }
        let read = fast.tensor(tensor.name);
        if differs(read.as_ref().map(Tensor::as_bytes), second.bytes.as_deref()) {
            return Some(format!("tensor {:?} is read differently", second.name));
        }
    }
    None
}
