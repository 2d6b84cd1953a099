//! Loading, verifying and saving one model of 64 MiB in 64 tensors, beside plain reads and safetensors.
//!
//! Ratios within one run are what to read: the machine's speed drifts, the ratios do not. The page cache is warm.

use std::hint::black_box;
use std::io::Write as _;
use std::path::Path;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use fold_benches::{model, noise, tensor_name, weights};
use fold_format::parity::Level;
use fold_format::{
    Checkpoint, Depth, DigestKind, Disk, Durability, Encoding, Existing, SaveOptions, VerifyOptions, save, verify,
};

const MODEL_BYTES: usize = 64 << 20;
const TENSORS: usize = 64;

fn options(durability: Durability) -> SaveOptions {
    SaveOptions::new(durability).existing(Existing::Replace)
}

fn safetensors_of(bytes: &[u8], path: &Path) {
    let each = bytes.len() / TENSORS;
    let views = bytes.chunks_exact(each).enumerate().map(|(index, data)| {
        let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![each / 4], data);
        (tensor_name(index), view.expect("a whole number of f32"))
    });
    safetensors::serialize_to_file(views, None, path).expect("the temporary directory takes it");
}

fn loading(c: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (fold, tensors) = (dir.path().join("model.fold"), dir.path().join("model.safetensors"));
    let bytes = noise(MODEL_BYTES, 1);
    save(
        &Disk,
        &fold,
        &model(&bytes, TENSORS).expect("valid"),
        &options(Durability::None),
    )
    .expect("saved");
    safetensors_of(&bytes, &tensors);

    let mut group = c.benchmark_group("load_64_MiB");
    group.sample_size(20).throughput(Throughput::Bytes(MODEL_BYTES as u64));
    group.bench_function("plain_read", |b| {
        b.iter(|| black_box(std::fs::read(&fold).expect("read")))
    });
    group.bench_function("safetensors_read_unverified", |b| {
        b.iter(|| {
            let bytes = std::fs::read(&tensors).expect("read");
            let views = safetensors::SafeTensors::deserialize(&bytes).expect("valid");
            black_box(views.len())
        });
    });
    group.bench_function("fold_verify_every_byte", |b| {
        b.iter(|| {
            verify(&fold, Depth::All, VerifyOptions::default())
                .expect("read")
                .findings
                .len()
        });
    });
    group.bench_function("fold_read_verified", |b| {
        b.iter(|| {
            let checkpoint = Checkpoint::open(&fold).expect("valid");
            for index in 0..TENSORS {
                black_box(checkpoint.tensor(&tensor_name(index)).expect("whole"));
            }
        });
    });
    group.bench_function("fold_open_and_one_tensor", |b| {
        b.iter(|| {
            black_box(
                Checkpoint::open(&fold)
                    .expect("valid")
                    .tensor(&tensor_name(7))
                    .expect("whole"),
            )
        });
    });
    group.finish();
}

fn saving(c: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let bytes = noise(MODEL_BYTES, 2);
    let mut group = c.benchmark_group("save_64_MiB");
    group.sample_size(10).throughput(Throughput::Bytes(MODEL_BYTES as u64));
    let path = dir.path().join("plain");
    group.bench_function("plain_write_and_fsync", |b| {
        b.iter(|| {
            let mut file = std::fs::File::create(&path).expect("created");
            file.write_all(&bytes).expect("written");
            file.sync_all().expect("flushed");
        });
    });
    let path = dir.path().join("model.safetensors");
    group.bench_function("safetensors_not_durable", |b| b.iter(|| safetensors_of(&bytes, &path)));
    let content = model(&bytes, TENSORS).expect("valid");
    let path = dir.path().join("model.fold");
    group.bench_function("fold_durable", |b| {
        b.iter(|| save(&Disk, &path, &content, &options(Durability::Full)).expect("saved"))
    });
    group.bench_function("fold_not_durable", |b| {
        b.iter(|| save(&Disk, &path, &content, &options(Durability::None)).expect("saved"))
    });
    group.finish();
}

/// Reads a file in pieces of 1 MiB into one buffer: what reading alone costs.
fn read_through(path: &Path, buffer: &mut [u8]) -> usize {
    let mut file = std::fs::File::open(path).expect("opened");
    let mut total = 0;
    loop {
        match std::io::Read::read(&mut file, buffer).expect("read") {
            0 => return total,
            count => total += count,
        }
    }
}

/// Every form of the file: what encodings, digests and parity cost to write, to verify and to read.
fn forms(c: &mut Criterion) {
    const FORM_BYTES: usize = 256 << 20;
    let dir = tempfile::tempdir().expect("a temporary directory");
    let bytes = weights(FORM_BYTES);
    let content = model(&bytes, TENSORS).expect("valid");
    let plain = options(Durability::None);
    let forms = [
        ("raw", plain.clone()),
        ("parity_low", plain.clone().parity(Some(Level::Low))),
        ("parity_med", plain.clone().parity(Some(Level::Medium))),
        ("parity_high", plain.clone().parity(Some(Level::High))),
        ("blake3", plain.clone().digest_kind(DigestKind::Blake3)),
        ("zstd", plain.clone().encoding(Encoding::Zstd)),
        ("shuffle_zstd", plain.clone().encoding(Encoding::ShuffleZstd)),
    ];
    let path = dir.path().join("form.fold");
    let mut group = c.benchmark_group("save_256_MiB");
    group.sample_size(10).throughput(Throughput::Bytes(FORM_BYTES as u64));
    for (name, options) in &forms {
        group.bench_function(*name, |b| {
            b.iter(|| save(&Disk, &path, &content, options).expect("saved"))
        });
    }
    for (name, level) in [("durable_raw", None), ("durable_parity_low", Some(Level::Low))] {
        let options = options(Durability::Full).parity(level);
        group.bench_function(name, |b| {
            b.iter(|| save(&Disk, &path, &content, &options).expect("saved"))
        });
    }
    group.finish();

    let mut buffer = vec![0; 1 << 20];
    for (name, options) in &forms {
        save(&Disk, &path, &content, options).expect("saved");
        let mut group = c.benchmark_group(format!("read_256_MiB/{name}"));
        group.sample_size(10).throughput(Throughput::Bytes(FORM_BYTES as u64));
        group.bench_function("plain_read", |b| b.iter(|| read_through(&path, &mut buffer)));
        group.bench_function("verify", |b| {
            b.iter(|| {
                verify(&path, Depth::All, VerifyOptions::default())
                    .expect("read")
                    .verdict
            })
        });
        let mut tensor = vec![0; FORM_BYTES / TENSORS];
        group.bench_function("read_verified_into_one_buffer", |b| {
            b.iter(|| {
                let checkpoint = Checkpoint::open(&path).expect("valid");
                for index in 0..TENSORS {
                    checkpoint
                        .read_tensor_into(&tensor_name(index), &mut tensor)
                        .expect("whole");
                }
            });
        });
        group.finish();
    }
}

criterion_group!(benches, loading, saving, forms);
criterion_main!(benches);
