//! Forges files: changes anything and makes every digest right again, as a hostile or broken writer would.
//!
//! With its own offsets and arithmetic, sharing no code with the crate: a second opinion on every digest's input.

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed, xxh3_128, xxh3_128_with_seed};

#[derive(Clone)]
pub(crate) struct Forged {
    pub(crate) bytes: Vec<u8>,
}

pub(crate) const CHUNK_RECORDS: usize = 64;

impl Forged {
    pub(crate) fn new(bytes: &[u8]) -> Self {
        Self { bytes: bytes.to_vec() }
    }

    pub(crate) fn u64(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.bytes[at..at + 8].try_into().unwrap())
    }

    fn region(&self, offset_field: usize, len_field: usize) -> std::ops::Range<usize> {
        let start = self.u64(offset_field) as usize;
        start..start + self.u64(len_field) as usize
    }

    pub(crate) fn index(&self) -> std::ops::Range<usize> {
        self.region(96, 112)
    }

    pub(crate) fn digest_table(&self) -> std::ops::Range<usize> {
        self.region(120, 136)
    }

    pub(crate) fn seed(&self, domain: u64, position: u64) -> u64 {
        let mut input = self.bytes[40..56].to_vec();
        input.extend_from_slice(&domain.to_le_bytes());
        input.extend_from_slice(&position.to_le_bytes());
        xxh3_64(&input)
    }

    fn node(&self, domain: u64, position: u64, range: std::ops::Range<usize>) -> [u8; 16] {
        xxh3_128_with_seed(&self.bytes[range], self.seed(domain, position)).to_le_bytes()
    }

    pub(crate) fn chunk_record(&self, number: usize) -> usize {
        self.index().start + CHUNK_RECORDS + 128 * number
    }

    pub(crate) fn tensor_record(&self, number: usize) -> usize {
        let chunks = u32::from_le_bytes(self.bytes[self.index().start + 8..][..4].try_into().unwrap());
        self.chunk_record(chunks as usize) + 128 * number
    }

    /// Changes bytes of the index in copy 1; `seal` copies it to copy 2.
    pub(crate) fn put(mut self, at: usize, value: &[u8]) -> Self {
        self.bytes[at..at + value.len()].copy_from_slice(value);
        self
    }

    /// Recomputes block and chunk digests from the content, as the chunk records of copy 1 describe it.
    pub(crate) fn seal_content(mut self) -> Self {
        let block_len = 1_usize << self.bytes[64];
        let chunks = u32::from_le_bytes(self.bytes[self.index().start + 8..][..4].try_into().unwrap());
        for number in 0..chunks as usize {
            let record = self.chunk_record(number);
            let start = self.u64(record + 8) as usize + 4096;
            let padded = (self.u64(record + 16) as usize).next_multiple_of(4096);
            let (first, count) = (self.u64(record + 32) as usize, self.u64(record + 40) as usize);
            let table = self.digest_table().start;
            for block in 0..count {
                let range = start + block * block_len..(start + (block + 1) * block_len).min(start + padded);
                let seed = self.seed(1, (first + block) as u64);
                let digest = xxh3_64_with_seed(&self.bytes[range], seed).to_le_bytes();
                self = self.put(table + 8 * (first + block), &digest);
            }
            let digest = self.node(2, number as u64, table + 8 * first..table + 8 * (first + count));
            self = self.put(record + 56, &digest);
            self = self.put(start - 4096 + 72, &digest);
            let own = self.node(6, number as u64, start - 4096..start - 4096 + 4064);
            self = self.put(start - 4096 + 4064, &own);
        }
        self
    }

    /// Copies index and digest table to their mirrors and recomputes the digests above them.
    pub(crate) fn seal(mut self) -> Self {
        for (range, mirror, digest, domain) in [
            (self.index(), self.u64(104), 144, 3),
            (self.digest_table(), self.u64(128), 176, 4),
        ] {
            self.bytes.copy_within(range.clone(), mirror as usize);
            let node = self.node(domain, 0, range);
            self = self.put(digest, &node);
        }
        self.seal_superblock()
    }

    /// Recomputes the superblock's digests and copies it to the end.
    pub(crate) fn seal_superblock(mut self) -> Self {
        let root = self.node(5, 0, 0..256);
        self = self.put(256, &root);
        self.seal_superblock_only()
    }

    /// Recomputes the superblock's own digest, not the root, and copies it to the end.
    pub(crate) fn seal_superblock_only(mut self) -> Self {
        let own = xxh3_128(&self.bytes[..4080]).to_le_bytes();
        self = self.put(4080, &own);
        let end = self.bytes.len() - 4096;
        self.bytes.copy_within(0..4096, end);
        self
    }
}
