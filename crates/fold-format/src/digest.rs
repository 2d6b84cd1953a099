//! Digests: xxh3 or BLAKE3, bound to the file's uuid, to what is hashed, and to where it lies.
//!
//! The binding catches a block that was written to another block's place, or that comes from another file, although its
//! bytes are whole. The digest of a block is kept outside the block. xxh3 speaks against accidents; it says nothing about
//! who wrote the file. Under BLAKE3 nobody can make other content with the same root; that the root is the right one only
//! a signature or a root known from elsewhere says.

use std::fmt;
use std::hash::Hasher as _;

use twox_hash::xxhash3_64::{RawHasher, SecretBuffer};
use twox_hash::{XxHash3_64, XxHash3_128};

use crate::info::DigestKind;
use crate::layout::{DOMAIN_BLOCK, DOMAIN_CHUNK, DOMAIN_DIGESTS, DOMAIN_INDEX, DOMAIN_PROLOGUE, DOMAIN_ROOT};

/// A digest's bytes in the order in which the file holds them, shown as lower-case hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest {
    bytes: [u8; 32],
    len: u8,
}

impl Digest {
    fn new(source: &[u8]) -> Self {
        let mut bytes = [0; 32];
        let len = source.len().min(32);
        if let (Some(own), Some(source)) = (bytes.get_mut(..len), source.get(..len)) {
            own.copy_from_slice(source);
        }
        Self {
            bytes,
            len: u8::try_from(len).unwrap_or(32),
        }
    }

    /// The bytes: 8 for a block under xxh3, 16 for everything above, 32 under BLAKE3.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or(&self.bytes)
    }

    /// The digest in a 32-byte field; `None` when the bytes past the digest's length are not zero.
    pub(crate) fn from_field(field: [u8; 32], kind: DigestKind) -> Option<Self> {
        let (used, rest) = field.split_at_checked(usize::from(kind.node_len()))?;
        rest.iter().all(|&byte| byte == 0).then(|| Self::new(used))
    }

    /// The entry of a digest table.
    pub(crate) fn from_entry(entry: &[u8]) -> Self {
        Self::new(entry)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_bytes().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

/// Bytes that [`Hasher::block_ahead`] hashes at a time: the library copies some 256 of every call, so fewer calls copy less, and too
/// few ask for memory in bursts.
pub(crate) const STRIDE: usize = 1536;

/// Computes the digests of one file: everything is bound to the file's uuid.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hasher {
    pub(crate) kind: DigestKind,
    uuid: [u8; 16],
}

impl Hasher {
    pub(crate) const fn new(kind: DigestKind, uuid: [u8; 16]) -> Self {
        Self { kind, uuid }
    }

    /// `uuid | domain | position`, both numbers as 8 little-endian bytes: BLAKE3's key, and what xxh3's seed is made of.
    fn binding(&self, domain: u64, position: u64) -> [u8; 32] {
        let mut input = [0_u8; 32];
        let parts = [&self.uuid[..], &domain.to_le_bytes(), &position.to_le_bytes()];
        for (slot, &byte) in input.iter_mut().zip(parts.into_iter().flatten()) {
            *slot = byte;
        }
        input
    }

    fn node(&self, domain: u64, position: u64, bytes: &[u8]) -> Digest {
        let binding = self.binding(domain, position);
        match self.kind {
            DigestKind::Xxh3 => {
                let seed = XxHash3_64::oneshot(&binding);
                Digest::new(&XxHash3_128::oneshot_with_seed(seed, bytes).to_le_bytes())
            }
            DigestKind::Blake3 => Digest::new(blake3::keyed_hash(&binding, bytes).as_bytes()),
        }
    }

    /// Of the `number`-th block of the file: its bytes, padding included. Parity blocks count on behind those of chunks.
    pub(crate) fn block(&self, number: u64, bytes: &[u8]) -> Digest {
        match self.kind {
            DigestKind::Xxh3 => {
                let seed = XxHash3_64::oneshot(&self.binding(DOMAIN_BLOCK, number));
                Digest::new(&XxHash3_64::oneshot_with_seed(seed, bytes).to_le_bytes())
            }
            DigestKind::Blake3 => self.node(DOMAIN_BLOCK, number, bytes),
        }
    }

    /// As [`Hasher::block`], for bytes that are not in the cache: before each stride, `ahead` hears where it begins and may fetch
    /// what comes behind it.
    pub(crate) fn block_ahead(&self, number: u64, bytes: &[u8], ahead: impl Fn(usize)) -> Digest {
        let seed = match self.kind {
            DigestKind::Xxh3 => XxHash3_64::oneshot(&self.binding(DOMAIN_BLOCK, number)),
            DigestKind::Blake3 => return self.block(number, bytes),
        };
        // The secret is of the length that the library asks for.
        let Ok(secret) = SecretBuffer::with_seed(seed, [0; 192]) else {
            return self.block(number, bytes);
        };
        let mut hasher = RawHasher::new(secret);
        for (stride, bytes) in bytes.chunks(STRIDE).enumerate() {
            ahead(stride.saturating_mul(STRIDE));
            hasher.write(bytes);
        }
        Digest::new(&hasher.finish().to_le_bytes())
    }

    /// Of the `number`-th chunk: its entries in the digest table.
    pub(crate) fn chunk(&self, number: u32, entries: &[u8]) -> Digest {
        self.node(DOMAIN_CHUNK, u64::from(number), entries)
    }

    pub(crate) fn index(&self, bytes: &[u8]) -> Digest {
        self.node(DOMAIN_INDEX, 0, bytes)
    }

    pub(crate) fn digest_table(&self, bytes: &[u8]) -> Digest {
        self.node(DOMAIN_DIGESTS, 0, bytes)
    }

    pub(crate) fn root(&self, covered: &[u8]) -> Digest {
        self.node(DOMAIN_ROOT, 0, covered)
    }

    pub(crate) fn prologue(&self, number: u32, covered: &[u8]) -> Digest {
        self.node(DOMAIN_PROLOGUE, u64::from(number), covered)
    }
}

/// The superblock's own digest: xxh3 with seed 0 whatever the file's kind, since nothing is known before it is read. It
/// speaks against accidents; the root, which it covers, is of the file's kind.
pub(crate) fn superblock_digest(covered: &[u8]) -> Digest {
    Digest::new(&XxHash3_128::oneshot(covered).to_le_bytes())
}

/// The entries `first..first + count` of a digest table with entries of `leaf_len` bytes.
pub(crate) fn table_entries(table: &[u8], leaf_len: u8, first: u64, count: u64) -> Option<&[u8]> {
    let start = usize::try_from(first.checked_mul(u64::from(leaf_len))?).ok()?;
    let len = usize::try_from(count.checked_mul(u64::from(leaf_len))?).ok()?;
    table.get(start..start.checked_add(len)?)
}

#[cfg(test)]
mod tests {
    use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed, xxh3_128, xxh3_128_with_seed};

    use super::*;

    const KINDS: [DigestKind; 2] = [DigestKind::Xxh3, DigestKind::Blake3];

    #[test]
    fn a_digest_depends_on_bytes_place_kind_and_file() {
        for kind in KINDS {
            let (one, other) = (Hasher::new(kind, [1; 16]), Hasher::new(kind, [2; 16]));
            let bytes = [7_u8; 5000];
            assert_eq!(one.block(3, &bytes), one.block(3, &bytes));
            assert_ne!(one.block(3, &bytes), one.block(4, &bytes), "position");
            assert_ne!(one.block(3, &bytes), other.block(3, &bytes), "file");
            assert_ne!(one.block(3, &bytes), one.block(3, &bytes[1..]), "length");
            assert_ne!(one.index(&bytes), one.digest_table(&bytes), "domain");
            assert_ne!(one.chunk(0, &bytes), one.prologue(0, &bytes), "domain");
            assert_eq!(one.block(3, &bytes).as_bytes().len(), usize::from(kind.leaf_len()));
            assert_eq!(one.index(&bytes).as_bytes().len(), usize::from(kind.node_len()));
        }
    }

    #[test]
    fn hashing_with_a_look_ahead_gives_the_same_digest_and_looks_at_every_stride() {
        let bytes = (0..(64 << 10) + 1_u32).map(|at| (at % 251) as u8).collect::<Vec<_>>();
        for kind in KINDS {
            let hasher = Hasher::new(kind, [3; 16]);
            for len in (0..=300).chain([STRIDE - 1, STRIDE, STRIDE + 1, 4096, 65_536, 65_537]) {
                let looked = std::cell::RefCell::new(Vec::new());
                let digest = hasher.block_ahead(7, &bytes[..len], |at| looked.borrow_mut().push(at));
                assert_eq!(digest, hasher.block(7, &bytes[..len]), "{len}");
                if kind == DigestKind::Xxh3 {
                    assert_eq!(looked.into_inner(), (0..len).step_by(STRIDE).collect::<Vec<_>>());
                }
            }
        }
    }

    #[test]
    fn the_binding_is_the_documented_one() {
        let uuid: [u8; 16] = *b"0123456789abcdef";
        let mut input = uuid.to_vec();
        input.extend_from_slice(&1_u64.to_le_bytes());
        input.extend_from_slice(&9_u64.to_le_bytes());
        assert_eq!(
            Hasher::new(DigestKind::Xxh3, uuid).block(9, b"abc").as_bytes(),
            xxh3_64_with_seed(b"abc", xxh3_64(&input)).to_le_bytes()
        );
        let key = input.try_into().unwrap();
        assert_eq!(
            Hasher::new(DigestKind::Blake3, uuid).block(9, b"abc").as_bytes(),
            blake3::keyed_hash(&key, b"abc").as_bytes()
        );
    }

    /// The widest instructions of this processor against another implementation, which chose its own when it was compiled.
    #[test]
    fn every_length_has_the_value_of_another_implementation() {
        let bytes = (0..(64 << 10) + 1_u32)
            .map(|at| (at.wrapping_mul(0x9e37_79b1) >> 23) as u8)
            .collect::<Vec<_>>();
        // Every branch for short bytes, ends and beginnings of stripes and of blocks of 1 KiB, whole blocks of ours.
        let lens = (0..=1200).chain([2047, 2048, 2049, 4080, 8191, 65_535, 65_536, 65_537]);
        for len in lens {
            let bytes = &bytes[..len];
            assert_eq!(XxHash3_64::oneshot(bytes), xxh3_64(bytes), "{len}");
            assert_eq!(XxHash3_128::oneshot(bytes), xxh3_128(bytes), "{len}");
            for seed in [1, 0x0123_4567_89ab_cdef, u64::MAX] {
                let (short, long) = (xxh3_64_with_seed(bytes, seed), xxh3_128_with_seed(bytes, seed));
                assert_eq!(XxHash3_64::oneshot_with_seed(seed, bytes), short, "{len} {seed}");
                assert_eq!(XxHash3_128::oneshot_with_seed(seed, bytes), long, "{len} {seed}");
            }
        }
    }

    #[test]
    fn shown_in_the_order_of_the_file() {
        let mut field = [0; 32];
        field[0] = 0xab;
        let shown = |field, kind| Digest::from_field(field, kind).map(|digest| digest.to_string());
        assert_eq!(shown(field, DigestKind::Xxh3), Some(format!("ab{}", "0".repeat(30))));
        field[16] = 1;
        assert_eq!(shown(field, DigestKind::Xxh3), None, "16 bytes are used");
        assert_eq!(shown(field, DigestKind::Blake3).map(|text| text.len()), Some(64));
    }
}
