//! Worst cases: tensors of one byte, content that does not compress, a cold page cache, one thread.

use std::path::Path;

use anyhow::ensure;
use fold_benches::{forget, model, noise, tensor_name, weights};
use fold_format::parity::Level;
use fold_format::{
    Checkpoint, Content, Depth, Disk, Dtype, Durability, Encoding, SaveOptions, TensorSource, Verdict, VerifyOptions,
    save, verify,
};

use crate::container::{
    map, map_checkpoint, map_one_of_safetensors, one_tensor, open_one, options, read_at_a_time, read_through,
    save_safetensors, touch,
};
use crate::{Case, Scale, measure, measure_after, measure_saves};

/// Bytes of one tensor.
const EACH: usize = 1 << 20;

/// As many tensors of one byte as the model of small ones has: nothing but names, records and padding.
pub(crate) fn one_byte(dir: &Path, scale: Scale) -> anyhow::Result<()> {
    let (fold, tensors) = (dir.join("bytes.fold"), dir.join("bytes.safetensors"));
    let bytes = noise(scale.tensors, 1);
    let names = (0..scale.tensors).map(tensor_name).collect::<Vec<_>>();
    let content = || -> anyhow::Result<Content<'_>> {
        let sources = names.iter().zip(bytes.chunks(1));
        let sources = sources.map(|(name, byte)| TensorSource::new(name.clone(), Dtype::U8, &[1], byte));
        Ok(Content::new().tensors("state", sources.collect::<Result<Vec<_>, _>>()?))
    };
    let save_peer = || -> anyhow::Result<u64> {
        let views = names.iter().zip(bytes.chunks(1)).map(|(name, byte)| {
            let view = safetensors::tensor::TensorView::new(safetensors::Dtype::U8, vec![1], byte)?;
            Ok((name.clone(), view))
        });
        safetensors::serialize_to_file(views.collect::<anyhow::Result<Vec<_>>>()?, None, &tensors)?;
        Ok(1)
    };
    let name = tensor_name(scale.tensors / 2);
    let mut cases: Vec<Case<'_>> = vec![
        (
            "fold: save, not durable",
            Box::new(|| Ok(save(&Disk, &fold, &content()?, &options(Durability::None))?.bytes)),
        ),
        ("safetensors: save, not flushed", Box::new(save_peer)),
        ("fold: open, one tensor verified", Box::new(|| open_one(&fold, &name))),
        (
            "safetensors: map, one tensor (unverified)",
            Box::new(|| map_one_of_safetensors(&tensors, &name)),
        ),
        (
            "fold: read all tensors, verified",
            Box::new(|| read_at_a_time(&Checkpoint::open(&fold)?, &mut [0], scale.tensors)),
        ),
    ];
    measure("worst: 1-byte tensors", scale.tensors as u64, scale.rounds, &mut cases)
}

/// Bytes that no encoding makes smaller.
pub(crate) fn incompressible(dir: &Path, scale: Scale) -> anyhow::Result<()> {
    let count = scale.forms / EACH;
    let bytes = noise(scale.forms, 5);
    let content = model(&bytes, count)?;
    let plain = options(Durability::None);
    let forms = [
        ("raw", plain.clone()),
        ("zstd", plain.clone().encoding(Encoding::Zstd)),
        ("shuffle-zstd", plain.encoding(Encoding::ShuffleZstd)),
    ];
    let path = |name: &str| dir.join(format!("noise-{name}.fold"));
    let mut cases: Vec<Case<'_>> = Vec::new();
    for (name, options) in &forms {
        let (path, content) = (path(name), &content);
        cases.push((*name, Box::new(move || Ok(save(&Disk, &path, content, options)?.bytes))));
    }
    measure_saves(
        "worst: save incompressible",
        scale.forms as u64,
        scale.rounds,
        &mut cases,
    )?;
    drop(cases);
    let mut cases: Vec<Case<'_>> = Vec::new();
    for (name, _) in &forms {
        let path = path(name);
        let mut buffer = vec![0; EACH];
        cases.push((
            *name,
            Box::new(move || read_at_a_time(&Checkpoint::open(&path)?, &mut buffer, count)),
        ));
    }
    measure(
        "worst: read incompressible",
        scale.forms as u64,
        scale.rounds,
        &mut cases,
    )
}

/// Loading with nothing of the file in the page cache.
pub(crate) fn cold(dir: &Path, scale: Scale) -> anyhow::Result<()> {
    let count = scale.forms / EACH;
    let path = dir.join("cold.fold");
    let bytes = weights(scale.forms);
    save(&Disk, &path, &model(&bytes, count)?, &options(Durability::Full))?;
    if forget(&path).is_err() {
        return Ok(());
    }
    let (mut one, mut other) = (vec![0; EACH], vec![0; EACH]);
    let mut cases: Vec<Case<'_>> = vec![
        (
            "limit: read through one buffer",
            Box::new(|| read_through(&path, &mut one)),
        ),
        (
            "limit: map and read every byte once",
            Box::new(|| Ok(touch(&map(&path)?))),
        ),
        (
            "fold: map and verify every tensor",
            Box::new(|| {
                let checkpoint = map_checkpoint(&path)?;
                for index in 0..count {
                    checkpoint.tensor_view(&tensor_name(index))?;
                }
                Ok(count as u64)
            }),
        ),
        (
            "fold: read every tensor, verified",
            Box::new(|| read_at_a_time(&Checkpoint::open(&path)?, &mut other, count)),
        ),
        (
            "fold: verify the file",
            Box::new(|| {
                let report = verify(&path, Depth::All, VerifyOptions::default())?;
                ensure!(report.verdict == Verdict::Ok, "{}", report.verdict);
                Ok(report.bytes_read)
            }),
        ),
    ];
    measure_after(
        "worst: cold cache",
        scale.forms as u64,
        scale.rounds,
        &mut cases,
        || forget(&path),
    )
}

/// One tensor of a large file of which nothing is in the page cache.
pub(crate) fn one_cold(dir: &Path, scale: Scale) -> anyhow::Result<()> {
    let count = scale.forms / EACH;
    let (fold, peer) = (dir.join("one-cold.fold"), dir.join("one-cold.safetensors"));
    let bytes = weights(scale.forms);
    save(&Disk, &fold, &model(&bytes, count)?, &options(Durability::Full))?;
    save_safetensors(&bytes, EACH, &peer)?;
    let forgotten = || forget(&fold).and_then(|()| forget(&peer));
    if forgotten().is_err() {
        return Ok(());
    }
    let name = tensor_name(count / 2);
    let mut cases = one_tensor(&fold, &peer, &name);
    measure_after(
        "worst: one tensor of a cold file",
        EACH as u64,
        scale.rounds * 3,
        &mut cases,
        forgotten,
    )
}

/// Saving and verifying on one thread and on all.
pub(crate) fn one_thread(dir: &Path, scale: Scale) -> anyhow::Result<()> {
    let count = scale.forms / EACH;
    let bytes = weights(scale.forms);
    let content = model(&bytes, count)?;
    let one = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
    let path = dir.join("thread.fold");
    let written = |options: SaveOptions| {
        let (path, content) = (&path, &content);
        move || Ok(save(&Disk, path, content, &options)?.bytes)
    };
    let plain = options(Durability::None);
    let raw = written(plain.clone());
    let parity = written(plain.clone().parity(Some(Level::Low)));
    let packed = written(plain.encoding(Encoding::ShuffleZstd));
    let mut cases: Vec<Case<'_>> = vec![
        ("raw, all threads", Box::new(&raw)),
        ("raw, one thread", Box::new(|| one.install(&raw))),
        ("parity low, all threads", Box::new(&parity)),
        ("parity low, one thread", Box::new(|| one.install(&parity))),
        ("shuffle-zstd, all threads", Box::new(&packed)),
        ("shuffle-zstd, one thread", Box::new(|| one.install(&packed))),
    ];
    measure_saves(
        "worst: save on one thread",
        scale.forms as u64,
        scale.rounds,
        &mut cases,
    )
}
