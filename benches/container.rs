//! Loading, verifying and saving one model of 64 MiB in 64 tensors, beside plain reads and safetensors.
//!
//! Ratios within one run are what to read: the machine's speed drifts, the ratios do not. The page cache is warm.

use std::hint::black_box;
use std::io::Write as _;
use std::path::Path;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use fold_benches::{model, noise, tensor_name};
use fold_format::{Checkpoint, Depth, Disk, Durability, Existing, SaveOptions, VerifyOptions, save, verify};

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

criterion_group!(benches, loading, saving);
criterion_main!(benches);
