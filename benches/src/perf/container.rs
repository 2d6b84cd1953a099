//! Loading, opening, saving, and every form of the file, beside the safetensors crate and plain reads and writes.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::Path;

use anyhow::{Context, ensure};
use fold_benches::{model, noise, tensor_name, weights};
use fold_format::parity::Level;
use fold_format::{
    Checkpoint, Depth, DigestKind, Disk, Durability, Encoding, Existing, Mapping, SaveOptions, Verdict, VerifyOptions,
    repair, save, verify,
};
use memmap2::Mmap;
use rayon::prelude::*;

use crate::{Case, Scale, measure, measure_saves};

/// Bytes of one tensor of the large model.
const TENSOR_BYTES: usize = 1 << 20;

pub(crate) fn options(durability: Durability) -> SaveOptions {
    SaveOptions::new(durability).existing(Existing::Replace)
}

#[allow(unsafe_code, reason = "mapping is what is measured")]
pub(crate) fn map(path: &Path) -> anyhow::Result<Mmap> {
    let file = File::open(path)?;
    // SAFETY: this program wrote the file into a folder of its own and changes it no more while it is mapped.
    Ok(unsafe { Mmap::map(&file)? })
}

#[allow(unsafe_code, reason = "mapping is what is measured")]
pub(crate) fn map_checkpoint(path: &Path) -> anyhow::Result<Checkpoint<Mapping>> {
    // SAFETY: as for `map`.
    Ok(unsafe { Checkpoint::map(path)? })
}

/// Takes notice of every byte, as fast as the memory delivers them.
pub(crate) fn touch(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let sum = words
        .iter()
        .fold(0_u64, |sum, word| sum.wrapping_add(u64::from_le_bytes(*word)));
    rest.iter().fold(sum, |sum, &byte| sum.wrapping_add(u64::from(byte)))
}

/// Opens a file and reads one tensor of it, verified.
pub(crate) fn open_one(path: &Path, name: &str) -> anyhow::Result<u64> {
    Ok(touch(Checkpoint::open(path)?.tensor(name)?.as_bytes()))
}

/// Maps a safetensors file and reads one tensor of it.
pub(crate) fn map_one_of_safetensors(path: &Path, name: &str) -> anyhow::Result<u64> {
    let map = map(path)?;
    Ok(touch(safetensors::SafeTensors::deserialize(&map)?.tensor(name)?.data()))
}

/// The ways to one tensor of a model that is in a file of each kind.
pub(crate) fn one_tensor<'c>(fold: &'c Path, peer: &'c Path, name: &'c str) -> Vec<Case<'c>> {
    vec![
        (
            "fold: map, one tensor verified",
            Box::new(move || Ok(touch(map_checkpoint(fold)?.tensor_view(name)?.as_bytes()))),
        ),
        (
            "fold: open, one tensor verified",
            Box::new(move || open_one(fold, name)),
        ),
        (
            "safetensors: map, one tensor (unverified)",
            Box::new(move || map_one_of_safetensors(peer, name)),
        ),
    ]
}

/// Reads a file through one buffer of a mebibyte.
pub(crate) fn read_through(path: &Path, buffer: &mut [u8]) -> anyhow::Result<u64> {
    let mut file = File::open(path)?;
    let mut total = 0;
    loop {
        match file.read(buffer)? {
            0 => return Ok(total),
            count => total += count as u64,
        }
    }
}

/// Memory that begins at a page, inside `room`.
fn aligned(room: &mut [u8]) -> &mut [u8] {
    let start = room.as_ptr().align_offset(4096).min(room.len());
    &mut room[start..]
}

fn views<'b>(bytes: &'b [u8], each: usize) -> anyhow::Result<Vec<(String, safetensors::tensor::TensorView<'b>)>> {
    let numbered = bytes.chunks_exact(each).enumerate();
    numbered
        .map(|(index, data)| {
            let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![each / 4], data)?;
            Ok((tensor_name(index), view))
        })
        .collect()
}

pub(crate) fn save_safetensors(bytes: &[u8], each: usize, path: &Path) -> anyhow::Result<()> {
    Ok(safetensors::serialize_to_file(views(bytes, each)?, None, path)?)
}

pub(crate) fn read_at_a_time(
    checkpoint: &Checkpoint<impl fold_format::ReadAt>,
    buffer: &mut [u8],
    count: usize,
) -> anyhow::Result<u64> {
    for index in 0..count {
        checkpoint.read_tensor_into(&tensor_name(index), buffer)?;
    }
    Ok(count as u64)
}

/// A large model, page cache warm: all of it, and one tensor of it.
pub(crate) fn loading(dir: &Path, scale: Scale) -> anyhow::Result<()> {
    let count = scale.large / TENSOR_BYTES;
    let (fold, tensors) = (dir.join("large.fold"), dir.join("large.safetensors"));
    let bytes = noise(scale.large, 1);
    save(&Disk, &fold, &model(&bytes, count)?, &options(Durability::Full))?;
    save_safetensors(&bytes, TENSOR_BYTES, &tensors)?;
    drop(bytes);
    let mut room = vec![0; TENSOR_BYTES + 4096];
    let buffer = &mut aligned(&mut room)[..TENSOR_BYTES];
    let mut second = vec![0; TENSOR_BYTES + 4096];
    let second = &mut aligned(&mut second)[..TENSOR_BYTES];
    let one_thread = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
    let view_all = || {
        let checkpoint = map_checkpoint(&fold)?;
        let view = |index| checkpoint.tensor_view(&tensor_name(index)).map(drop);
        (0..count).into_par_iter().try_for_each(view)?;
        Ok(count as u64)
    };
    let mut cases: Vec<Case<'_>> = vec![
        (
            "limit: map and read every byte once",
            Box::new(|| Ok(touch(&map(&fold)?))),
        ),
        (
            "limit: the same on all threads",
            Box::new(|| {
                let map = map(&fold)?;
                Ok(map.par_chunks(TENSOR_BYTES).map(touch).reduce(|| 0, u64::wrapping_add))
            }),
        ),
        (
            "limit: read through one buffer",
            Box::new(|| read_through(&fold, buffer)),
        ),
        ("fold: map and verify every tensor", Box::new(view_all)),
        (
            "fold: the same on one thread",
            Box::new(|| one_thread.install(view_all)),
        ),
        (
            "fold: verify the file",
            Box::new(|| {
                let report = verify(&fold, Depth::All, VerifyOptions::default())?;
                ensure!(report.verdict == Verdict::Ok, "{}", report.verdict);
                Ok(report.bytes_read)
            }),
        ),
        (
            "fold: read every tensor, verified",
            Box::new(|| read_at_a_time(&Checkpoint::open(&fold)?, second, count)),
        ),
        (
            "safetensors: map and BLAKE3 of the file",
            Box::new(|| {
                let map = map(&tensors)?;
                let digest = blake3::Hasher::new().update_rayon(&map).finalize();
                let names = safetensors::SafeTensors::deserialize(&map)?.len();
                Ok(names as u64 + u64::from(digest.as_bytes()[0]))
            }),
        ),
        (
            "safetensors: map and read every byte (unverified)",
            Box::new(|| {
                let map = map(&tensors)?;
                Ok(safetensors::SafeTensors::deserialize(&map)?.len() as u64 + touch(&map))
            }),
        ),
    ];
    measure("load all", scale.large as u64, scale.rounds, &mut cases)?;
    drop(cases);

    let name = tensor_name(count / 2);
    let mut cases = one_tensor(&fold, &tensors, &name);
    measure("load one tensor", TENSOR_BYTES as u64, scale.rounds * 5, &mut cases)?;
    drop(cases);
    std::fs::remove_file(&fold)?;
    std::fs::remove_file(&tensors)?;
    Ok(())
}

/// A model of many small tensors: opening it.
pub(crate) fn many(dir: &Path, scale: Scale) -> anyhow::Result<()> {
    const EACH: usize = 64;
    let (fold, tensors) = (dir.join("many.fold"), dir.join("many.safetensors"));
    let bytes = noise(scale.tensors * EACH, 1);
    save(&Disk, &fold, &model(&bytes, scale.tensors)?, &options(Durability::None))?;
    save_safetensors(&bytes, EACH, &tensors)?;
    let name = tensor_name(scale.tensors / 2);
    let mut cases: Vec<Case<'_>> = vec![
        ("fold: open, one tensor verified", Box::new(|| open_one(&fold, &name))),
        (
            "safetensors: map, one tensor (unverified)",
            Box::new(|| map_one_of_safetensors(&tensors, &name)),
        ),
        (
            "fold: read all tensors, verified",
            Box::new(|| {
                let mut buffer = [0; EACH];
                read_at_a_time(&Checkpoint::open(&fold)?, &mut buffer, scale.tensors)
            }),
        ),
        (
            "safetensors: read all tensors (unverified)",
            Box::new(|| {
                let map = map(&tensors)?;
                let views = safetensors::SafeTensors::deserialize(&map)?;
                let mut sum = 0_u64;
                for index in 0..scale.tensors {
                    sum = sum.wrapping_add(touch(views.tensor(&tensor_name(index))?.data()));
                }
                Ok(sum)
            }),
        ),
    ];
    measure("many small tensors", bytes.len() as u64, scale.rounds, &mut cases)
}

/// Writes whole pages past the page cache, 4 MiB at a time, and flushes: what the disk takes at most.
#[cfg(target_os = "linux")]
fn write_direct(path: &Path, pages: &[u8]) -> anyhow::Result<u64> {
    use fold_format::storage::StorageFile as _;
    let file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(path)?;
    file.reserve(pages.len() as u64)?;
    let direct = file.past_cache().context("the file system has no direct I/O")?;
    for (number, piece) in pages.chunks(4 << 20).enumerate() {
        let count = direct.write_at(piece, (number * (4 << 20)) as u64)?;
        ensure!(count == piece.len(), "a short write");
    }
    file.sync_all()?;
    Ok(pages.len() as u64)
}

/// Elsewhere nothing is known about a limit.
#[cfg(not(target_os = "linux"))]
fn write_direct(_: &Path, _: &[u8]) -> anyhow::Result<u64> {
    anyhow::bail!("direct I/O is measured on Linux only")
}

/// A large model, durable: new files each time.
pub(crate) fn saving(dir: &Path, scale: Scale) -> anyhow::Result<()> {
    let count = scale.large / TENSOR_BYTES;
    let mut room = noise(scale.large + 4096, 2);
    let bytes: &[u8] = &aligned(&mut room)[..scale.large];
    let content = model(bytes, count)?;
    let path = dir.join("saved");
    let removed = |path: &Path| std::fs::remove_file(path);
    let fold = |options: SaveOptions| -> Box<dyn FnMut() -> anyhow::Result<u64> + '_> {
        let (path, content) = (&path, &content);
        Box::new(move || {
            let saved = save(&Disk, path, content, &options)?;
            removed(path)?;
            Ok(saved.bytes)
        })
    };
    let direct_io = write_direct(&path, &bytes[..4096]).is_ok();
    let _ = removed(&path);
    let mut cases: Vec<Case<'_>> = vec![
        (
            "plain write and flush",
            Box::new(|| {
                let mut file = File::create_new(&path)?;
                file.write_all(bytes)?;
                file.sync_all()?;
                removed(&path)?;
                Ok(bytes.len() as u64)
            }),
        ),
        ("fold: durable", fold(options(Durability::Full))),
        (
            "fold: durable, parity low",
            fold(options(Durability::Full).parity(Some(Level::Low))),
        ),
        ("fold: not durable", fold(options(Durability::None))),
        (
            "safetensors: flushed",
            Box::new(|| {
                save_safetensors(bytes, TENSOR_BYTES, &path)?;
                File::open(&path)?.sync_all()?;
                removed(&path)?;
                Ok(bytes.len() as u64)
            }),
        ),
        (
            "safetensors: not flushed",
            Box::new(|| {
                save_safetensors(bytes, TENSOR_BYTES, &path)?;
                removed(&path)?;
                Ok(bytes.len() as u64)
            }),
        ),
    ];
    if direct_io {
        cases.push((
            "limit: direct write and flush",
            Box::new(|| {
                let written = write_direct(&path, bytes)?;
                removed(&path)?;
                Ok(written)
            }),
        ));
    }
    measure("save", scale.large as u64, scale.rounds, &mut cases)
}

/// Every form of the file: written (not durable), verified, read; what it takes beside the raw content; what repairing all
/// that its parity can restore takes.
pub(crate) fn forms(dir: &Path, scale: Scale) -> anyhow::Result<()> {
    let each = TENSOR_BYTES.min(scale.forms);
    let count = scale.forms / each;
    let bytes = weights(scale.forms);
    let content = model(&bytes, count)?;
    let plain = options(Durability::None);
    let forms = [
        ("raw", plain.clone()),
        ("raw BLAKE3", plain.clone().digest_kind(DigestKind::Blake3)),
        ("parity low", plain.clone().parity(Some(Level::Low))),
        ("parity med", plain.clone().parity(Some(Level::Medium))),
        ("parity high", plain.clone().parity(Some(Level::High))),
        ("zstd", plain.clone().encoding(Encoding::Zstd)),
        ("shuffle-zstd", plain.clone().encoding(Encoding::ShuffleZstd)),
        (
            "shuffle-zstd parity low",
            plain.clone().encoding(Encoding::ShuffleZstd).parity(Some(Level::Low)),
        ),
    ];
    let path = |name: &str| dir.join(format!("{name}.fold"));
    let mut cases: Vec<Case<'_>> = Vec::new();
    for (name, options) in &forms {
        let (path, content) = (path(name), &content);
        cases.push((*name, Box::new(move || Ok(save(&Disk, &path, content, options)?.bytes))));
    }
    measure_saves("form: save", scale.forms as u64, scale.rounds, &mut cases)?;
    drop(cases);
    let mut cases: Vec<Case<'_>> = Vec::new();
    for (name, _) in &forms {
        let path = path(name);
        cases.push((
            *name,
            Box::new(move || {
                let report = verify(&path, Depth::All, VerifyOptions::default())?;
                ensure!(report.verdict == Verdict::Ok, "{}", report.verdict);
                Ok(report.bytes_read)
            }),
        ));
    }
    measure("form: verify", scale.forms as u64, scale.rounds, &mut cases)?;
    drop(cases);
    let mut cases: Vec<Case<'_>> = Vec::new();
    for (name, _) in &forms {
        let path = path(name);
        let mut buffer = vec![0; each];
        cases.push((
            *name,
            Box::new(move || read_at_a_time(&Checkpoint::open(&path)?, &mut buffer, count)),
        ));
    }
    measure("form: read", scale.forms as u64, scale.rounds, &mut cases)?;
    drop(cases);
    let mut out = std::io::stdout();
    for (name, _) in &forms {
        let stored = std::fs::metadata(path(name))?.len();
        // No time: the size of the file stands where the median does.
        writeln!(out, "form: size,{name},{},1,{stored},{stored},{stored}", scale.forms)?;
    }
    let mut cases: Vec<Case<'_>> = Vec::new();
    for name in ["parity low", "parity med", "parity high"] {
        let (path, new) = (path(name), dir.join("repaired.fold"));
        lose_what_parity_restores(&path)?;
        cases.push((
            name,
            Box::new(move || {
                let repair = repair(&Disk, &File::open(&path)?, &new, &fold_format::Limits::DEFAULT)?;
                std::fs::remove_file(&new)?;
                ensure!(repair.blocks_repaired > 0, "nothing was restored");
                Ok(repair.blocks_repaired)
            }),
        ));
    }
    measure("form: repair", scale.forms as u64, scale.rounds.min(3), &mut cases)
}

/// Overwrites as many neighbouring blocks of content as there are parity blocks: neighbours belong to different groups, so that
/// each group loses as many as it can restore.
fn lose_what_parity_restores(path: &Path) -> anyhow::Result<()> {
    use std::io::Seek as _;
    let checkpoint = Checkpoint::open(path)?;
    let info = checkpoint.info();
    let grouping = info.parity.context("the file has no parity")?.grouping;
    let chunk = checkpoint.chunks().next().context("the file has no chunk")?;
    let lost = grouping.parity_blocks().min(chunk.block_count);
    let mut file = File::options().write(true).open(path)?;
    file.seek(std::io::SeekFrom::Start(chunk.offset))?;
    file.write_all(&vec![0xa5; usize::try_from(lost * info.block_bytes)?])?;
    Ok(())
}
