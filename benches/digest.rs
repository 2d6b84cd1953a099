//! xxh3 of one block of 64 KiB, as every verification and every save computes it, by two implementations, beside BLAKE3.
//!
//! `twox-hash`, which is used, chooses its instructions when the program runs; `xxhash-rust` when it is compiled. So the first
//! is to be as fast in a plain build as in one with `RUSTFLAGS="-C target-cpu=native"`.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use fold_benches::noise;
use twox_hash::{XxHash3_64, XxHash3_128};
use xxhash_rust::xxh3::{xxh3_64_with_seed, xxh3_128_with_seed};

const BLOCK_LEN: usize = 64 << 10;
const SEED: u64 = 0x0123_4567_89ab_cdef;

fn blocks(c: &mut Criterion) {
    let block = noise(BLOCK_LEN, 1);
    let mut group = c.benchmark_group("digest_64_KiB");
    group.throughput(Throughput::Bytes(BLOCK_LEN as u64));
    group.bench_function("twox_hash_64", |b| {
        b.iter(|| XxHash3_64::oneshot_with_seed(SEED, black_box(&block)))
    });
    group.bench_function("xxhash_rust_64", |b| {
        b.iter(|| xxh3_64_with_seed(black_box(&block), SEED))
    });
    group.bench_function("twox_hash_128", |b| {
        b.iter(|| XxHash3_128::oneshot_with_seed(SEED, black_box(&block)))
    });
    group.bench_function("xxhash_rust_128", |b| {
        b.iter(|| xxh3_128_with_seed(black_box(&block), SEED))
    });
    group.bench_function("blake3", |b| b.iter(|| blake3::hash(black_box(&block))));
    group.finish();
}

criterion_group!(benches, blocks);
criterion_main!(benches);
