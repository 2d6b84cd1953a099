//! The code against its definition, every erasure of small groups, random ones and bursts at real sizes.

use std::collections::BTreeMap;
use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use reed_solomon_simd::engine::{CANTOR_BASIS, DefaultEngine};
use reed_solomon_simd::rate::{HighRateEncoder, RateEncoder as _};

use super::*;

/// A small generator of reproducible numbers (xorshift64*), so that a failure names its seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| (self.next() >> 33) as u8).collect()
    }

    /// `count` different numbers below `bound`.
    fn choose(&mut self, count: usize, bound: u64) -> Vec<u64> {
        let mut chosen = std::collections::BTreeSet::new();
        while chosen.len() < count {
            chosen.insert(self.below(bound));
        }
        chosen.into_iter().collect()
    }
}

/// All blocks of a file in memory.
#[derive(Clone)]
struct Blocks {
    grouping: Grouping,
    data: Vec<Vec<u8>>,
    parity: Vec<Vec<u8>>,
}

impl Blocks {
    fn new(data_blocks: u64, block_len: usize, level: Level, random: &mut Random) -> Self {
        let grouping = Grouping::with_block_len(data_blocks, block_len, level).unwrap();
        let data = (0..data_blocks).map(|_| random.bytes(block_len)).collect();
        Self::of(grouping, data, RESTORE_MEMORY_BYTES)
    }

    fn of(grouping: Grouping, data: Vec<Vec<u8>>, memory_bytes: usize) -> Self {
        let mut parity = vec![Vec::new(); grouping.parity_blocks() as usize];
        let read = |block: u64, column: usize, buffer: &mut [u8]| {
            buffer.copy_from_slice(&data[block as usize][column..column + buffer.len()]);
            Ok(())
        };
        let write = |block: u64, column: usize, bytes: &[u8]| {
            let own: &mut Vec<u8> = &mut parity[block as usize];
            assert_eq!(own.len(), column, "the columns of a block come in order");
            own.extend_from_slice(bytes);
            Ok(())
        };
        encode(&grouping, memory_bytes, read, write).unwrap();
        assert!(parity.iter().all(|block| block.len() == grouping.block_len()));
        Self { grouping, data, parity }
    }

    fn get(&self, block: Block) -> &[u8] {
        match block {
            Block::Data(number) => &self.data[number as usize],
            Block::Parity(number) => &self.parity[number as usize],
        }
    }

    /// Restores `lost` without ever reading a lost block, and compares.
    fn check(&self, lost: &[Block], memory_bytes: usize) -> Result<(), Fault> {
        let losses = Losses::new(&self.grouping, lost.iter().copied()).unwrap();
        let calls = AtomicUsize::new(0);
        let mut restored: BTreeMap<Block, Vec<u8>> = BTreeMap::new();
        let read = |block, column: usize, buffer: &mut [u8]| {
            calls.fetch_add(1, Ordering::Relaxed);
            assert!(!lost.contains(&block), "{block} is lost");
            buffer.copy_from_slice(&self.get(block)[column..column + buffer.len()]);
            Ok(())
        };
        let outcome = restore(&losses, memory_bytes, read, |block, column, bytes| {
            let own = restored.entry(block).or_default();
            assert_eq!(own.len(), column);
            own.extend_from_slice(bytes);
            Ok(())
        });
        if outcome.is_err() {
            assert_eq!(
                (calls.into_inner(), restored.len()),
                (0, 0),
                "a refusal touches nothing"
            );
            return outcome;
        }
        let mut wanted = lost.to_vec();
        wanted.sort_unstable();
        wanted.dedup();
        assert_eq!(restored.keys().copied().collect::<Vec<_>>(), wanted);
        for (block, bytes) in restored {
            assert!(bytes == self.get(block), "{block} came back with other bytes");
        }
        Ok(())
    }

    fn all(&self) -> Vec<Block> {
        let data = (0..self.grouping.data_blocks()).map(Block::Data);
        data.chain((0..self.grouping.parity_blocks()).map(Block::Parity))
            .collect()
    }
}

/// The field by its definition: polynomials over GF(2) modulo 0x1002d, multiplied bit by bit, inverted by a power.
mod field {
    use super::CANTOR_BASIS;

    /// The polynomial that a symbol stands for.
    pub(super) fn element(symbol: u16) -> u16 {
        let bits = (0..16).filter(|bit| symbol >> bit & 1 == 1);
        bits.fold(0, |sum, bit| sum ^ CANTOR_BASIS[bit])
    }

    pub(super) fn multiply(one: u16, other: u16) -> u16 {
        let (mut product, mut shifted) = (0_u32, u32::from(one));
        for bit in 0..16 {
            if other >> bit & 1 == 1 {
                product ^= shifted;
            }
            shifted <<= 1;
            if shifted & 0x1_0000 != 0 {
                shifted ^= 0x1_002d;
            }
        }
        product as u16
    }

    pub(super) fn invert(element: u16) -> u16 {
        assert_ne!(element, 0);
        let (mut inverse, mut square) = (1, element);
        for _ in 0..15 {
            square = multiply(square, square);
            inverse = multiply(inverse, square);
        }
        inverse
    }
}

fn symbol(block: &[u8], cell: usize, column: usize) -> u16 {
    u16::from_le_bytes([block[64 * cell + column], block[64 * cell + 32 + column]])
}

#[test]
fn parity_is_what_the_documented_formula_says() {
    let mut random = Random(1);
    for (data_blocks, parity) in [(1, 2), (2, 2), (3, 3), (5, 4), (9, 5), (17, 2), (40, 13)] {
        let blocks = Blocks::new(data_blocks, 128, Level::Blocks(parity), &mut random);
        let m = parity.next_power_of_two() as u16;
        for j in 0..parity as u16 {
            let weights = (0..data_blocks as u16).map(|i| {
                (0..m).filter(|&k| k != j).fold(1, |product, k| {
                    let over = field::element(m + i) ^ field::element(k);
                    let under = field::element(j) ^ field::element(k);
                    field::multiply(product, field::multiply(over, field::invert(under)))
                })
            });
            let weights = weights.collect::<Vec<_>>();
            for (cell, column) in [(0, 0), (0, 31), (1, 7)] {
                let expected = blocks.data.iter().zip(&weights).fold(0, |sum, (block, &weight)| {
                    sum ^ field::multiply(field::element(symbol(block, cell, column)), weight)
                });
                let actual = field::element(symbol(&blocks.parity[usize::from(j)], cell, column));
                assert_eq!(
                    actual, expected,
                    "{data_blocks} + {parity}, parity {j}, {cell} {column}"
                );
            }
        }
    }
}

#[test]
fn parity_in_runs_is_the_library_s_parity() {
    let mut random = Random(2);
    for (data_blocks, parity) in [(1, 2), (2, 7), (64, 8), (65, 8), (127, 8), (1000, 20), (300, 700)] {
        let blocks = Blocks::new(data_blocks, 192, Level::Blocks(parity), &mut random);
        let mut library =
            HighRateEncoder::new(data_blocks as usize, parity as usize, 192, DefaultEngine::new(), None).unwrap();
        for block in &blocks.data {
            library.add_original_shard(block).unwrap();
        }
        let result = library.encode().unwrap();
        assert!(
            result.recovery_iter().eq(blocks.parity.iter().map(Vec::as_slice)),
            "{data_blocks} + {parity}"
        );
    }
}

#[test]
fn every_set_of_lost_blocks_of_small_groups() {
    let mut random = Random(3);
    let (mut restored, mut refused) = (0, 0);
    for (data_blocks, parity) in [(1, 2), (2, 2), (3, 3), (5, 2), (6, 4), (8, 3)] {
        let blocks = Blocks::new(data_blocks, 64, Level::Blocks(parity), &mut random);
        let all = blocks.all();
        for set in 0_u32..1 << all.len() {
            let lost = (0..all.len()).filter(|bit| set >> bit & 1 == 1).map(|bit| all[bit]);
            let lost = lost.collect::<Vec<_>>();
            let lost_data = lost.iter().filter(|block| matches!(block, Block::Data(_))).count();
            match blocks.check(&lost, RESTORE_MEMORY_BYTES) {
                Ok(()) => {
                    assert!(lost_data == 0 || lost.len() <= parity as usize, "{lost:?}");
                    restored += 1;
                }
                Err(Fault::TooManyLost(shortages)) => {
                    assert!(lost_data > 0 && lost.len() > parity as usize, "{lost:?}");
                    assert_eq!(shortages.len(), 1);
                    assert_eq!(shortages[0].lost_data as usize, lost_data);
                    assert_eq!(shortages[0].lost_parity as usize, lost.len() - lost_data);
                    refused += 1;
                }
                Err(other) => panic!("{other}"),
            }
        }
    }
    assert_eq!(restored + refused, 8 + 16 + 64 + 128 + 1024 + 2048);
    assert!(restored > 400 && refused > 1000, "{restored} {refused}");
}

#[test]
fn random_losses_of_a_real_group_up_to_its_parity_and_one_more() {
    let mut random = Random(4);
    let blocks = Blocks::new(5000, 64, Level::Low, &mut random);
    let parity = blocks.grouping.group_parity() as usize;
    assert_eq!((blocks.grouping.groups(), parity), (1, 100));
    let all = blocks.all();
    for lost in [1, 2, parity / 2, parity - 1, parity, parity, parity, parity + 1] {
        let lost = random.choose(lost, all.len() as u64);
        let mut lost = lost.into_iter().map(|at| all[at as usize]).collect::<Vec<_>>();
        // One of them is data, so that there is something to restore.
        lost[0] = Block::Data(0);
        match blocks.check(&lost, RESTORE_MEMORY_BYTES) {
            Ok(()) => assert!(lost.len() <= parity),
            Err(Fault::TooManyLost(shortages)) => {
                assert_eq!(lost.len(), parity + 1);
                let [only] = shortages[..] else { panic!() };
                assert_eq!((only.group, only.lost_data + only.lost_parity), (0, 101));
            }
            Err(other) => panic!("{other}"),
        }
    }
}

#[test]
fn the_largest_group_restores_all_its_parity_can() {
    let mut random = Random(5);
    let blocks = Blocks::new(u64::from(MAX_GROUP_DATA), 64, Level::High, &mut random);
    assert_eq!((blocks.grouping.groups(), blocks.grouping.group_parity()), (1, 3277));
    let lost = random.choose(3277, u64::from(MAX_GROUP_DATA));
    blocks
        .check(
            &lost.into_iter().map(Block::Data).collect::<Vec<_>>(),
            RESTORE_MEMORY_BYTES,
        )
        .unwrap();
}

/// A burst as long as the whole parity share, wherever it begins.
fn worst_burst(blocks: &Blocks, first: u64) -> Vec<Block> {
    let len = blocks.grouping.parity_blocks();
    (first..(first + len).min(blocks.grouping.data_blocks()))
        .map(Block::Data)
        .collect()
}

#[test]
fn a_burst_as_long_as_the_parity_share_spreads_over_all_groups() {
    let mut random = Random(6);
    let blocks = Blocks::new(32_768 * 2 + 5, 64, Level::Blocks(20), &mut random);
    assert_eq!(blocks.grouping.groups(), 3);
    for first in [0, 1, 32_767, 65_481] {
        blocks
            .check(&worst_burst(&blocks, first), RESTORE_MEMORY_BYTES)
            .unwrap();
        let mut more = worst_burst(&blocks, first);
        if first < 65_000 {
            more.push(Block::Data(first + blocks.grouping.parity_blocks()));
            let Err(Fault::TooManyLost(shortages)) = blocks.check(&more, RESTORE_MEMORY_BYTES) else {
                panic!()
            };
            assert_eq!(shortages.len(), 1, "one group has one too many: {shortages:?}");
        }
    }
    // The planted bug: groups of neighbouring blocks instead of dealt-out ones. The same burst is too much for it.
    let neighbours = |block: u64| block / u64::from(blocks.grouping.group_data());
    let in_first_group = (0..60).filter(|&block| neighbours(block) == 0).count();
    assert!(in_first_group > blocks.grouping.group_parity() as usize);
}

#[test]
fn losses_beyond_the_parity_are_refused_by_group_and_can_be_left_out() {
    let mut random = Random(7);
    let blocks = Blocks::new(32_768 + 10, 64, Level::Blocks(2), &mut random);
    let lost = [0, 2, 4, 1, 3].map(Block::Data);
    let fault = blocks.check(&lost, RESTORE_MEMORY_BYTES).unwrap_err();
    assert_eq!(
        fault.to_string(),
        "group 0 lost 3 blocks and 0 parity blocks, 2 together can be restored"
    );
    let losses = Losses::new(&blocks.grouping, lost).unwrap().restorable();
    assert_eq!(losses, Losses::new(&blocks.grouping, [1, 3].map(Block::Data)).unwrap());
    blocks.check(&[1, 3].map(Block::Data), RESTORE_MEMORY_BYTES).unwrap();
    // All parity of a group is computed again, though it is as many blocks as the group may lose.
    blocks
        .check(&[0, 1, 2, 3].map(Block::Parity), RESTORE_MEMORY_BYTES)
        .unwrap();
    assert!(Losses::new(&blocks.grouping, []).unwrap().is_empty());
    for outside in [Block::Data(32_778), Block::Data(u64::MAX), Block::Parity(4)] {
        assert_eq!(Losses::new(&blocks.grouping, [outside]), Err(outside));
    }
}

#[test]
fn neither_memory_nor_threads_change_a_byte() {
    let mut random = Random(8);
    let reference = Blocks::new(300, 4096, Level::High, &mut random);
    let lost = [3, 5, 299].map(Block::Data).into_iter().chain([Block::Parity(7)]);
    let lost = lost.collect::<Vec<_>>();
    for threads in [1, 2, 3, 7] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        for memory_bytes in [0, 1, 100_000, 1 << 20, usize::MAX] {
            pool.install(|| {
                let again = Blocks::of(reference.grouping, reference.data.clone(), memory_bytes);
                assert!(
                    again.parity == reference.parity,
                    "{threads} threads, {memory_bytes} bytes"
                );
                reference.check(&lost, memory_bytes).unwrap();
            });
        }
    }
}

#[test]
fn failures_of_reader_and_writer_name_the_block() {
    let grouping = Grouping::new(10, 12, Level::Low).unwrap();
    let broken = |block: u64, _: usize, _: &mut [u8]| match block {
        7 => Err(io::Error::from_raw_os_error(5)),
        _ => Ok(()),
    };
    let fault = encode(&grouping, RESTORE_MEMORY_BYTES, broken, |_, _, _| Ok(())).unwrap_err();
    assert!(
        matches!(fault, Fault::Read { block: Block::Data(7), ref source } if source.raw_os_error() == Some(5)),
        "{fault}"
    );
    let full = |_: u64, _: usize, _: &[u8]| Err(io::ErrorKind::StorageFull.into());
    let fault = encode(&grouping, RESTORE_MEMORY_BYTES, |_, _, _| Ok(()), full).unwrap_err();
    assert!(
        matches!(
            fault,
            Fault::Write {
                block: Block::Parity(0),
                ..
            }
        ),
        "{fault}"
    );

    let losses = Losses::new(&grouping, [Block::Data(1)]).unwrap();
    let read = Mutex::new(Vec::new());
    let fault = restore(
        &losses,
        RESTORE_MEMORY_BYTES,
        |block, _, _| {
            read.lock().unwrap().push(block);
            match block {
                Block::Parity(_) => Err(io::Error::from_raw_os_error(5)),
                Block::Data(_) => Ok(()),
            }
        },
        |_, _, _| Ok(()),
    )
    .unwrap_err();
    assert!(
        matches!(
            fault,
            Fault::Read {
                block: Block::Parity(0),
                ..
            }
        ),
        "{fault}"
    );
    assert!(!read.into_inner().unwrap().contains(&Block::Data(1)));
}

/// The planted bug of the whole file: one wrong bit in one parity block must turn the comparison red.
#[test]
#[should_panic(expected = "came back with other bytes")]
fn a_wrong_parity_bit_is_seen_by_these_tests() {
    let mut blocks = Blocks::new(20, 64, Level::Blocks(2), &mut Random(9));
    blocks.parity[0][63] ^= 0x80;
    let _ = blocks.check(&[Block::Data(3)], RESTORE_MEMORY_BYTES);
}
