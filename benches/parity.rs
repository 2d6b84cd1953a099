//! What parity costs: encoding 256 MiB and restoring as many blocks as it can, by the memory that tiles may take.
//!
//! The memory decides how wide a tile is. Wide ones read longer pieces, narrow ones stay in a core's cache.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use fold_format::parity::{Block, Grouping, Level, Losses, encode, restore};

const BLOCK_LOG2: u8 = 16;
const BLOCKS: u64 = 4096;

fn parity(criterion: &mut Criterion) {
    let block_len = 1_usize << BLOCK_LOG2;
    let data = (0..BLOCKS as usize * block_len / 8)
        .flat_map(|word| (word as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes())
        .collect::<Vec<u8>>();
    let read_data = |block: u64, column: usize, buffer: &mut [u8]| {
        let start = block as usize * block_len + column;
        buffer.copy_from_slice(&data[start..start + buffer.len()]);
        Ok(())
    };
    for (name, level) in [("low", Level::Low), ("high", Level::High)] {
        let grouping = Grouping::new(BLOCKS, BLOCK_LOG2, level).expect("the numbers are allowed");
        let mut parity = vec![0_u8; grouping.parity_len() as usize];
        encode(&grouping, 4 << 20, read_data, |block, column, bytes| {
            let start = block as usize * block_len + column;
            parity[start..start + bytes.len()].copy_from_slice(bytes);
            Ok(())
        })
        .expect("memory does not fail");
        let lost = (0..u64::from(grouping.group_parity())).map(|block| Block::Data(block * 7));
        let losses = Losses::new(&grouping, lost).expect("the blocks exist");

        let mut group = criterion.benchmark_group(format!("parity/{name}"));
        group.sample_size(10).throughput(Throughput::Bytes(data.len() as u64));
        for kib in [512, 1 << 10, 4 << 10, 16 << 10, 64 << 10] {
            group.bench_function(BenchmarkId::new("encode", format!("{kib} KiB")), |bencher| {
                bencher.iter(|| {
                    encode(&grouping, kib << 10, read_data, |_, _, bytes| {
                        black_box(bytes);
                        Ok(())
                    })
                });
            });
        }
        for kib in [4 << 10, 16 << 10, 64 << 10] {
            group.bench_function(BenchmarkId::new("restore", format!("{kib} KiB")), |bencher| {
                let read = |block, column: usize, buffer: &mut [u8]| match block {
                    Block::Data(number) => read_data(number, column, buffer),
                    Block::Parity(number) => {
                        let start = number as usize * block_len + column;
                        buffer.copy_from_slice(&parity[start..start + buffer.len()]);
                        Ok(())
                    }
                };
                bencher.iter(|| {
                    restore(&losses, kib << 10, read, |_, _, bytes| {
                        black_box(bytes);
                        Ok(())
                    })
                });
            });
        }
        group.finish();
    }
}

criterion_group!(benches, parity);
criterion_main!(benches);
