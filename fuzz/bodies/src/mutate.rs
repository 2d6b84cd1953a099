//! Breaks a container where it hurts, and makes its digests right again: without that, a fuzzer stops at the hash.
//!
//! Any bytes may be passed and any come out. Each kind of change stands for classes of hostile files: counts, lengths,
//! offsets and sums that overflow, aliased and duplicate entries, copies that disagree, gaps, unknown values, names with
//! control characters, lost and foreign pages.

use std::ops::Range;

use crate::random::Random;
use crate::slow::{Digests, PAGE, own_digest};

/// Where fields lie: offset and size in the record.
const SUPERBLOCK: &[(usize, usize)] = &[
    (0, 8),
    (8, 2),
    (10, 2),
    (12, 4),
    (16, 8),
    (24, 8),
    (32, 8),
    (40, 8),
    (48, 8),
    (56, 8),
    (64, 1),
    (65, 1),
    (66, 1),
    (67, 1),
    (68, 4),
    (72, 8),
    (80, 8),
    (88, 8),
    (96, 8),
    (104, 8),
    (112, 8),
    (120, 8),
    (128, 8),
    (136, 8),
    (144, 8),
    (160, 8),
    (176, 8),
    (192, 8),
    (208, 8),
    (216, 8),
    (224, 1),
    (225, 1),
    (226, 2),
    (228, 4),
    (232, 4),
    (236, 4),
    (240, 8),
    (248, 8),
    (256, 8),
    (288, 1),
    (289, 7),
    (296, 8),
    (328, 8),
    (392, 8),
    (4080, 8),
];
const INDEX_HEADER: &[(usize, usize)] = &[(0, 8), (8, 4), (12, 4), (16, 8), (24, 8), (32, 8), (40, 8), (56, 8)];
const CHUNK_RECORD: &[(usize, usize)] = &[
    (0, 4),
    (4, 2),
    (6, 1),
    (7, 1),
    (8, 8),
    (16, 8),
    (24, 8),
    (32, 8),
    (40, 8),
    (48, 8),
    (56, 8),
    (72, 8),
    (88, 1),
    (89, 1),
    (90, 6),
    (96, 8),
    (104, 8),
    (112, 8),
    (120, 8),
];
const TENSOR_RECORD: &[(usize, usize)] = &[
    (0, 4),
    (4, 2),
    (6, 1),
    (7, 1),
    (8, 4),
    (12, 4),
    (16, 8),
    (24, 8),
    (32, 8),
    (40, 8),
    (48, 8),
    (56, 8),
    (64, 8),
    (72, 8),
    (80, 8),
    (88, 8),
    (96, 8),
    (120, 8),
];
const PROLOGUE: &[(usize, usize)] = &[
    (0, 8),
    (8, 8),
    (24, 4),
    (28, 1),
    (29, 1),
    (30, 1),
    (31, 1),
    (32, 8),
    (40, 8),
    (48, 8),
    (56, 8),
    (64, 8),
    (72, 8),
    (88, 8),
    (104, 2),
    (106, 8),
    (361, 7),
    (368, 1),
    (369, 1),
    (370, 6),
    (376, 8),
    (384, 8),
    (392, 8),
    (4064, 8),
];

/// How much of the chain of digests is made right after a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Seal {
    Nothing,
    Superblock,
    Metadata,
    Everything,
}

/// Changes one to four things of a file and, mostly, makes the digests above them right. The file never gets longer than
/// `max_len`.
pub fn mutate(file: &mut Vec<u8>, max_len: usize, random: &mut Random) {
    let changes = 1 + random.below(3) * random.below(2);
    for _ in 0..changes {
        change(file, max_len, random);
    }
    let seal = random.of(&[
        Seal::Nothing,
        Seal::Superblock,
        Seal::Metadata,
        Seal::Metadata,
        Seal::Metadata,
        Seal::Everything,
        Seal::Everything,
        Seal::Everything,
    ]);
    fix(file, seal);
}

/// As [`mutate`], in a buffer of which the first `len` bytes are the file, as libFuzzer has it. Returns the new length.
pub fn mutate_in_place(buffer: &mut [u8], len: usize, max_len: usize, seed: u32) -> usize {
    let max_len = max_len.min(buffer.len());
    let mut file = buffer[..len.min(max_len)].to_vec();
    mutate(&mut file, max_len, &mut Random::new(u64::from(seed)));
    buffer[..file.len()].copy_from_slice(&file);
    file.len()
}

pub(crate) fn number(file: &[u8], at: usize, len: usize) -> Option<u64> {
    let bytes = file.get(at..at.checked_add(len)?)?;
    Some(bytes.iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte)))
}

fn put(file: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(slot) = at.checked_add(bytes.len()).and_then(|end| file.get_mut(at..end)) {
        slot.copy_from_slice(bytes);
    }
}

/// A region that two fields of the superblock name, cut to the file.
fn region(file: &[u8], offset: usize, len: usize) -> Range<usize> {
    let start = number(file, offset, 8).unwrap_or(0).min(file.len() as u64);
    let len = number(file, len, 8).unwrap_or(0).min(file.len() as u64 - start);
    start as usize..(start + len) as usize
}

fn index(file: &[u8]) -> Range<usize> {
    region(file, 96, 112)
}

fn table(file: &[u8]) -> Range<usize> {
    region(file, 120, 136)
}

/// Chunk records, tensor records, string table and metadata, cut to the index.
fn parts(file: &[u8]) -> [Range<usize>; 4] {
    let index = index(file);
    let lengths = [(8, 4, 128), (16, 8, 128), (24, 8, 1), (32, 8, 1)];
    let mut start = (index.start + 64).min(index.end);
    lengths.map(|(at, len, each)| {
        let count = number(file, index.start + at, len).unwrap_or(0).saturating_mul(each);
        let end = (start as u64).saturating_add(count).min(index.end as u64) as usize;
        let part = start..end;
        start = end;
        part
    })
}

/// The records of a part that lie in it as a whole.
fn records(part: &Range<usize>) -> usize {
    part.len() / 128
}

/// A value that has broken readers before, often one near to what stands there.
fn interesting(now: u64, file_len: usize, random: &mut Random) -> u64 {
    let near = random.of(&[1, 2, 7, 8, 63, 64, 127, 128, 4095, 4096, 8192, 65_536]);
    match random.below(12) {
        0 => 0,
        1 => 1,
        2 => u64::MAX,
        3 => u64::MAX - near,
        4 => 1 << random.below(64),
        5 => (1 << random.below(64)) - 1,
        6 => (file_len as u64).wrapping_add(near).wrapping_sub(random.of(&[0, 8192])),
        7 => random.any(),
        8 => now ^ 1 << random.below(64),
        9 => now.wrapping_sub(near),
        10 => now.wrapping_mul(random.of(&[2, 3, 64, 128])),
        _ => now.wrapping_add(near),
    }
}

/// Sets a field of a record that begins at `start`.
fn set_field(file: &mut [u8], start: usize, fields: &[(usize, usize)], random: &mut Random) {
    let (at, len) = random.of(fields);
    let now = number(file, start + at, len).unwrap_or(0);
    let value = match random.below(4) {
        // The value of another field of the same record.
        0 => {
            let (at, len) = random.of(fields);
            number(file, start + at, len).unwrap_or(0)
        }
        _ => interesting(now, file.len(), random),
    };
    put(file, start + at, &value.to_le_bytes()[..len]);
}

fn change(file: &mut Vec<u8>, max_len: usize, random: &mut Random) {
    let [chunks, tensors, strings, metadata] = parts(file);
    match random.below(16) {
        0 => set_field(file, 0, SUPERBLOCK, random),
        1 => {
            let header = index(file).start;
            set_field(file, header, INDEX_HEADER, random);
        }
        2 | 3 => {
            let record = chunks.start + 128 * random.below(records(&chunks));
            set_field(file, record, CHUNK_RECORD, random);
        }
        4..=6 => {
            let record = tensors.start + 128 * random.below(records(&tensors));
            set_field(file, record, TENSOR_RECORD, random);
        }
        7 => {
            let record = chunks.start + 128 * random.below(records(&chunks));
            let prologue = number(file, record + 8, 8).unwrap_or(0).min(file.len() as u64) as usize;
            set_field(file, prologue, PROLOGUE, random);
        }
        8 => {
            let bytes: &[u8] = random.of(&[&b"\0"[..], b"\x1b[2J", b"../", b"\xff", b"a", b"\xc2\x9b", b"zz", b"\n"]);
            let at = strings.start + random.below(strings.len());
            put(file, at, bytes);
        }
        9 => {
            let at = metadata.start + random.below(metadata.len());
            put(file, at, &[random.any() as u8]);
        }
        10 => {
            // Two records in each other's place, or one twice.
            let part = random.of(&[0, 1]);
            let part = if part == 0 { chunks } else { tensors };
            let (one, other) = (random.below(records(&part)), random.below(records(&part)));
            let (one, other) = (part.start + 128 * one, part.start + 128 * other);
            if other + 128 <= part.end {
                let kept = file[one..one + 128].to_vec();
                file.copy_within(other..other + 128, one);
                if random.below(2) == 0 {
                    put(file, other, &kept);
                }
            }
        }
        11 => {
            let table = table(file);
            let at = table.start + random.below(table.len());
            put(file, at, &random.any().to_le_bytes()[..1 + random.below(8)]);
        }
        12 => {
            // A page that was lost, written elsewhere, or comes from another place.
            let pages = file.len() / PAGE;
            let (to, from) = (PAGE * random.below(pages), PAGE * random.below(pages));
            if pages > 0 {
                match random.below(3) {
                    0 => file[to..to + PAGE].fill(random.of(&[0, 0xff])),
                    _ => file.copy_within(from..from + PAGE, to),
                }
            }
        }
        13 => {
            let len = match random.below(3) {
                0 => random.below(file.len() + 1),
                1 => file.len() + random.below(PAGE + 1),
                _ => (file.len() + PAGE * random.below(3)).saturating_sub(PAGE),
            };
            file.resize(len.min(max_len), random.of(&[0, 0xaa]));
        }
        14 => {
            // An entry of a frame table.
            let record = chunks.start + 128 * random.below(records(&chunks));
            let field = |at: usize| number(file, record + at, 8).unwrap_or(0);
            let (stored_len, count, directory_len) = (field(16), field(96), field(104));
            let table = stored_len
                .saturating_sub(directory_len)
                .saturating_sub(count.saturating_mul(8));
            let entry = random.below(count.min(64) as usize) as u64 * 8;
            let at = field(8)
                .saturating_add(4096)
                .saturating_add(table)
                .saturating_add(entry);
            let at = at.min(file.len() as u64) as usize;
            let value = match random.below(3) {
                0 => number(file, at, 8).unwrap_or(0) ^ 1 << 63,
                _ => interesting(number(file, at, 8).unwrap_or(0), file.len(), random),
            };
            put(file, at, &value.to_le_bytes());
        }
        _ => {
            let at = random.below(file.len());
            if let Some(byte) = file.get_mut(at) {
                *byte ^= 1 << random.below(8);
            }
        }
    }
}

/// Makes every digest of a file right, from its blocks to its superblocks, as far as its lengths and offsets allow.
pub fn seal(file: &mut [u8]) {
    fix(file, Seal::Everything);
}

/// Makes the digests of the superblocks right, and nothing below them.
pub(crate) fn fix_superblock(file: &mut [u8]) {
    fix(file, Seal::Superblock);
}

fn fix(file: &mut [u8], seal: Seal) {
    if seal == Seal::Nothing || file.len() < 2 * PAGE {
        return;
    }
    let digests = Digests {
        uuid: file[40..56].to_vec(),
        kind: file[65],
    };
    if seal == Seal::Everything {
        fix_content(file, &digests);
    }
    if seal >= Seal::Metadata {
        for (range, mirror, digest, domain) in [(index(file), 104, 144, 3), (table(file), 128, 176, 4)] {
            let mirror = number(file, mirror, 8).unwrap_or(u64::MAX);
            if mirror <= (file.len() - range.len()) as u64 {
                file.copy_within(range.clone(), mirror as usize);
            }
            let node = digests.node(domain, 0, &file[range]);
            put(file, digest, &node);
        }
    }
    let root = digests.node(5, 0, &file[..256]);
    put(file, 256, &root);
    let own = own_digest(&file[..PAGE]);
    put(file, 4080, &own);
    let end = file.len() - PAGE;
    file.copy_within(..PAGE, end);
}

fn fix_content(file: &mut [u8], digests: &Digests) {
    let block_len = 1_usize << file[64].clamp(12, 20);
    let [chunks, ..] = parts(file);
    let table = table(file);
    let entry_len = digests.entry_len();
    let entries = table.len() / entry_len;
    fix_parity(file, digests, &table);
    for number_of_chunk in 0..records(&chunks).min(4096) {
        let record = chunks.start + 128 * number_of_chunk;
        let field = |at: usize| number(file, record + at, 8).unwrap_or(0);
        let prologue = field(8).min(file.len() as u64) as usize;
        let content = (prologue + PAGE).min(file.len());
        let padded = field(16).min((file.len() - content) as u64).div_ceil(4096) as usize * 4096;
        let end = (content + padded).min(file.len());
        let first = field(32).min(entries as u64) as usize;
        let count = field(40).min((entries - first) as u64) as usize;
        for (position, start) in (content..end).step_by(block_len).enumerate().take(count) {
            let block = start..(start + block_len).min(end);
            let entry = digests.block((first + position) as u64, &file[block]);
            put(file, table.start + entry_len * (first + position), &entry);
        }
        let own = table.start + entry_len * first..table.start + entry_len * (first + count);
        let digest = digests.node(2, number_of_chunk as u64, &file[own]);
        put(file, record + 56, &digest);
        if file
            .get(prologue..prologue + PAGE)
            .is_some_and(|page| page[..8] == *b"FOLDchk2")
        {
            put(file, prologue + 72, &digest);
            let own = digests.node(6, number_of_chunk as u64, &file[prologue..prologue + 4064]);
            put(file, prologue + 4064, &own);
        }
    }
}

/// The digests of the parity blocks, whatever these hold.
fn fix_parity(file: &mut [u8], digests: &Digests, table: &Range<usize>) {
    let (block_len, entry_len) = (1_usize << file[64].clamp(12, 20), digests.entry_len());
    let parity = region(file, 208, 216);
    let blocks = number(file, 72, 8).unwrap_or(0).min((table.len() / entry_len) as u64) as usize;
    for (position, start) in (blocks..table.len() / entry_len).zip(parity.step_by(block_len)) {
        let end = (start + block_len).min(file.len());
        let entry = digests.block(position as u64, &file[start..end]);
        put(file, table.start + entry_len * position, &entry);
    }
}
