//! Digests: xxh3 seeded by the file's uuid, what is hashed, and where it lies.
//!
//! The seed binds a digest to its place: a block that was written to another block's place, or that comes from another
//! file, does not match although its bytes are whole. The digest of a block is kept outside the block. xxh3 speaks
//! against accidents; it says nothing about who wrote the file.

use std::fmt;

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed, xxh3_128, xxh3_128_with_seed};

use crate::layout::{
    DOMAIN_BLOCK, DOMAIN_CHUNK, DOMAIN_DIGESTS, DOMAIN_INDEX, DOMAIN_PROLOGUE, DOMAIN_ROOT, LEAF_DIGEST_LEN,
    NODE_DIGEST_LEN,
};

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

    pub(crate) fn leaf(value: u64) -> Self {
        Self::new(&value.to_le_bytes())
    }

    pub(crate) fn node(value: u128) -> Self {
        Self::new(&value.to_le_bytes())
    }

    /// The digest in a 32-byte field; `None` when the bytes past the digest's length are not zero.
    pub(crate) fn from_field(field: [u8; 32]) -> Option<Self> {
        let (used, rest) = field.split_at_checked(usize::try_from(NODE_DIGEST_LEN).ok()?)?;
        rest.iter().all(|&byte| byte == 0).then(|| Self::new(used))
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

/// Computes the digests of one file: everything is seeded by the file's uuid.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hasher {
    uuid: [u8; 16],
}

impl Hasher {
    pub(crate) const fn new(uuid: [u8; 16]) -> Self {
        Self { uuid }
    }

    /// `XXH3_64(uuid | domain | position)`, both numbers as 8 little-endian bytes.
    fn seed(&self, domain: u64, position: u64) -> u64 {
        let mut input = [0_u8; 32];
        let parts = [&self.uuid[..], &domain.to_le_bytes(), &position.to_le_bytes()];
        for (slot, &byte) in input.iter_mut().zip(parts.into_iter().flatten()) {
            *slot = byte;
        }
        xxh3_64(&input)
    }

    /// Of the `number`-th block of the file: its bytes, padding included.
    pub(crate) fn block(&self, number: u64, bytes: &[u8]) -> u64 {
        xxh3_64_with_seed(bytes, self.seed(DOMAIN_BLOCK, number))
    }

    /// Of the `number`-th chunk: its entries in the digest table.
    pub(crate) fn chunk(&self, number: u32, entries: &[u8]) -> Digest {
        Digest::node(xxh3_128_with_seed(entries, self.seed(DOMAIN_CHUNK, u64::from(number))))
    }

    pub(crate) fn index(&self, bytes: &[u8]) -> Digest {
        Digest::node(xxh3_128_with_seed(bytes, self.seed(DOMAIN_INDEX, 0)))
    }

    pub(crate) fn digest_table(&self, bytes: &[u8]) -> Digest {
        Digest::node(xxh3_128_with_seed(bytes, self.seed(DOMAIN_DIGESTS, 0)))
    }

    pub(crate) fn root(&self, covered: &[u8]) -> Digest {
        Digest::node(xxh3_128_with_seed(covered, self.seed(DOMAIN_ROOT, 0)))
    }

    pub(crate) fn prologue(&self, number: u32, covered: &[u8]) -> Digest {
        Digest::node(xxh3_128_with_seed(
            covered,
            self.seed(DOMAIN_PROLOGUE, u64::from(number)),
        ))
    }
}

/// The superblock's own digest: seed 0, since the uuid is not known before it is read.
pub(crate) fn superblock_digest(covered: &[u8]) -> Digest {
    Digest::node(xxh3_128(covered))
}

/// The `number`-th entry of a digest table.
pub(crate) fn table_entry(table: &[u8], number: u64) -> Option<u64> {
    let start = usize::try_from(number.checked_mul(LEAF_DIGEST_LEN)?).ok()?;
    let end = start.checked_add(usize::try_from(LEAF_DIGEST_LEN).ok()?)?;
    table.get(start..end)?.try_into().ok().map(u64::from_le_bytes)
}

/// The entries `first..first + count` of a digest table, as bytes.
pub(crate) fn table_entries(table: &[u8], first: u64, count: u64) -> Option<&[u8]> {
    let start = usize::try_from(first.checked_mul(LEAF_DIGEST_LEN)?).ok()?;
    let len = usize::try_from(count.checked_mul(LEAF_DIGEST_LEN)?).ok()?;
    table.get(start..start.checked_add(len)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_depends_on_bytes_place_kind_and_file() {
        let (one, other) = (Hasher::new([1; 16]), Hasher::new([2; 16]));
        let bytes = [7_u8; 5000];
        assert_eq!(one.block(3, &bytes), one.block(3, &bytes));
        assert_ne!(one.block(3, &bytes), one.block(4, &bytes), "position");
        assert_ne!(one.block(3, &bytes), other.block(3, &bytes), "file");
        assert_ne!(one.block(3, &bytes), one.block(3, &bytes[1..]), "length");
        assert_ne!(one.index(&bytes), one.digest_table(&bytes), "domain");
        assert_ne!(one.chunk(0, &bytes), one.prologue(0, &bytes), "domain");
    }

    #[test]
    fn the_seed_is_the_documented_one() {
        let uuid: [u8; 16] = *b"0123456789abcdef";
        let mut input = uuid.to_vec();
        input.extend_from_slice(&1_u64.to_le_bytes());
        input.extend_from_slice(&9_u64.to_le_bytes());
        assert_eq!(
            Hasher::new(uuid).block(9, b"abc"),
            xxh3_64_with_seed(b"abc", xxh3_64(&input))
        );
    }

    #[test]
    fn shown_in_the_order_of_the_file() {
        assert_eq!(Digest::leaf(0x0102_0304_0506_0708).to_string(), "0807060504030201");
        let mut field = [0; 32];
        field[0] = 0xab;
        assert_eq!(
            Digest::from_field(field).unwrap().to_string(),
            format!("ab{}", "0".repeat(30))
        );
        field[16] = 1;
        assert!(Digest::from_field(field).is_none());
    }
}
