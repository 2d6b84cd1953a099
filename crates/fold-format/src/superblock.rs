//! The superblock: encoded, and decoded with every field checked.
//!
//! A [`Superblock`] exists only where magic, own digest, version, features, root digest and every length agree. Any
//! 4096 bytes may be passed; nothing panics.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use crate::digest::{Digest, Hasher, superblock_digest};
use crate::finding::{Cause, Digested, Foreign};
use crate::geometry::Geometry;
use crate::index::must_be;
use crate::layout::{
    BLOCK_LOG2_RANGE, DIGEST_XXH3, Field, LEAF_DIGEST_LEN, MAGIC, NODE_DIGEST_LEN, PAGE_LEN, ROOT_COVERS,
    SELF_DIGEST_COVERS, SUPERBLOCK_LEN, VERSION_1_MAGIC, VERSION_MAJOR, VERSION_MINOR, index_header,
    superblock as field,
};
use crate::wire::len_u64;

/// What a superblock says; see SPEC.md for the fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Superblock {
    pub(crate) version_minor: u16,
    pub(crate) optional_features: u64,
    pub(crate) uuid: [u8; 16],
    pub(crate) created_unix_ns: u64,
    pub(crate) block_log2: u8,
    pub(crate) block_count: u64,
    pub(crate) geometry: Geometry,
    pub(crate) index_digest: Digest,
    pub(crate) digests_digest: Digest,
    pub(crate) root: Digest,
}

/// What to put into a superblock; its digests are computed while encoding.
pub(crate) struct Draft<'a> {
    pub(crate) uuid: [u8; 16],
    pub(crate) created_unix_ns: u64,
    pub(crate) block_log2: u8,
    pub(crate) block_count: u64,
    pub(crate) geometry: &'a Geometry,
    pub(crate) index_digest: Digest,
    pub(crate) digests_digest: Digest,
}

impl Draft<'_> {
    /// The superblock's bytes and the root digest.
    pub(crate) fn encode(&self) -> (Vec<u8>, Digest) {
        let mut bytes = vec![0; SUPERBLOCK_LEN];
        let mut put = |field: &Field, value: &[u8]| field.put(&mut bytes, value);
        put(&field::MAGIC, &MAGIC);
        put(&field::VERSION_MAJOR, &VERSION_MAJOR.to_le_bytes());
        put(&field::VERSION_MINOR, &VERSION_MINOR.to_le_bytes());
        put(&field::SUPERBLOCK_LEN, &low_bytes::<4>(len_u64(SUPERBLOCK_LEN)));
        put(&field::UUID, &self.uuid);
        put(&field::CREATED, &self.created_unix_ns.to_le_bytes());
        put(&field::BLOCK_LOG2, &[self.block_log2]);
        put(&field::DIGEST_KIND, &[DIGEST_XXH3]);
        put(&field::LEAF_LEN, &low_bytes::<1>(LEAF_DIGEST_LEN));
        put(&field::NODE_LEN, &low_bytes::<1>(NODE_DIGEST_LEN));
        for (field, value) in sized_fields(self.geometry, self.block_count) {
            put(&field, &value.to_le_bytes());
        }
        put(&field::INDEX_DIGEST, self.index_digest.as_bytes());
        put(&field::DIGESTS_DIGEST, self.digests_digest.as_bytes());
        let root = Hasher::new(self.uuid).root(bytes.get(..ROOT_COVERS).unwrap_or(&[]));
        field::ROOT.put(&mut bytes, root.as_bytes());
        let own = superblock_digest(bytes.get(..SELF_DIGEST_COVERS).unwrap_or(&[]));
        field::SELF_DIGEST.put(&mut bytes, own.as_bytes());
        (bytes, root)
    }
}

/// The fields that follow from the regions, with the values that they must have.
fn sized_fields(geometry: &Geometry, block_count: u64) -> [(Field, u64); 10] {
    let len = |region: &std::ops::Range<u64>| region.end.saturating_sub(region.start);
    [
        (field::FILE_LEN, geometry.file_len()),
        (field::BLOCK_COUNT, block_count),
        (field::PAYLOAD_OFFSET, geometry.payload.start),
        (field::PAYLOAD_LEN, len(&geometry.payload)),
        (field::INDEX_OFFSET, geometry.index_1.start),
        (field::INDEX_MIRROR, geometry.index_2.start),
        (field::INDEX_LEN, len(&geometry.index_1)),
        (field::DIGESTS_OFFSET, geometry.digests_1.start),
        (field::DIGESTS_MIRROR, geometry.digests_2.start),
        (field::DIGESTS_LEN, len(&geometry.digests_1)),
    ]
}

/// Whether a cause speaks about the bytes of one copy, so that the other copy may still be good; every other cause is
/// what the writer wrote, and the other copy says the same.
pub(crate) const fn concerns_one_copy(cause: &Cause) -> bool {
    matches!(
        cause,
        Cause::NotContainer(_)
            | Cause::Digest {
                of: Digested::Superblock,
                ..
            }
            | Cause::Unreadable { .. }
            | Cause::Length { .. }
    )
}

impl Superblock {
    /// Decodes 4096 bytes.
    ///
    /// # Errors
    /// The first rule that they break, in the order magic, own digest, version, features, root digest, fields.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Cause> {
        let found = field::MAGIC
            .u64(bytes)
            .ok_or(Cause::NotContainer(Foreign::Empty))?
            .to_le_bytes();
        if found == VERSION_1_MAGIC {
            return Err(Cause::NotContainer(Foreign::Version1));
        }
        if found != MAGIC {
            return Err(Cause::NotContainer(Foreign::Magic { found }));
        }
        // Every field lies inside 4096 bytes (asserted when compiling), so a missing one only means fewer bytes.
        let short = || Cause::Length {
            expected: len_u64(SUPERBLOCK_LEN),
            actual: len_u64(bytes.len()),
        };
        let covered = bytes.get(..SELF_DIGEST_COVERS).ok_or_else(short)?;
        let stored = Digest::node(u128::from_le_bytes(
            field::SELF_DIGEST.array16(bytes).ok_or_else(short)?,
        ));
        let computed = superblock_digest(covered);
        if stored != computed {
            return Err(Cause::Digest {
                of: Digested::Superblock,
                stored,
                computed,
            });
        }
        let u64_of = |field: &Field| field.u64(bytes).ok_or_else(short);
        let u8_of = |field: &Field| field.u8(bytes).ok_or_else(short);

        let version_major = field::VERSION_MAJOR.u16(bytes).ok_or_else(short)?;
        let version_minor = field::VERSION_MINOR.u16(bytes).ok_or_else(short)?;
        if version_major > VERSION_MAJOR {
            return Err(Cause::NewerVersion {
                major: version_major,
                minor: version_minor,
            });
        }
        must_be(
            &field::VERSION_MAJOR,
            u64::from(version_major),
            u64::from(VERSION_MAJOR),
        )?;
        let superblock_len = u64::from(field::SUPERBLOCK_LEN.u32(bytes).ok_or_else(short)?);
        must_be(&field::SUPERBLOCK_LEN, superblock_len, len_u64(SUPERBLOCK_LEN))?;
        let required = u64_of(&field::REQUIRED)?;
        if required != 0 {
            return Err(Cause::UnknownFeatures { bits: required });
        }
        let optional_features = u64_of(&field::OPTIONAL)?;

        let uuid = field::UUID.array16(bytes).ok_or_else(short)?;
        let root = digest_field(&field::ROOT, bytes)?;
        let computed = Hasher::new(uuid).root(bytes.get(..ROOT_COVERS).ok_or_else(short)?);
        if root != computed {
            return Err(Cause::Digest {
                of: Digested::Root,
                stored: root,
                computed,
            });
        }

        must_be(
            &field::DIGEST_KIND,
            u64::from(u8_of(&field::DIGEST_KIND)?),
            u64::from(DIGEST_XXH3),
        )?;
        must_be(&field::LEAF_LEN, u64::from(u8_of(&field::LEAF_LEN)?), LEAF_DIGEST_LEN)?;
        must_be(&field::NODE_LEN, u64::from(u8_of(&field::NODE_LEN)?), NODE_DIGEST_LEN)?;
        let block_log2 = u8_of(&field::BLOCK_LOG2)?;
        if !BLOCK_LOG2_RANGE.contains(&block_log2) {
            return Err(Cause::Field {
                field: field::BLOCK_LOG2.name,
                value: u64::from(block_log2),
            });
        }
        for absent in ABSENT {
            if !absent.is_zero(bytes) {
                return Err(Cause::Field {
                    field: absent.name,
                    value: low_bits(absent, bytes),
                });
            }
        }
        if reserved_is_zero(version_minor, optional_features) {
            for reserved in RESERVED {
                if !reserved.is_zero(bytes) {
                    return Err(Cause::Field {
                        field: reserved.name,
                        value: low_bits(reserved, bytes),
                    });
                }
            }
        }

        let out = |field: &Field, value: u64| Cause::OutOfBounds {
            field: field.name,
            value,
        };
        let block_count = u64_of(&field::BLOCK_COUNT)?;
        let digests_len = block_count
            .checked_mul(LEAF_DIGEST_LEN)
            .ok_or_else(|| out(&field::BLOCK_COUNT, block_count))?;
        let payload_len = u64_of(&field::PAYLOAD_LEN)?;
        if !payload_len.is_multiple_of(PAGE_LEN) {
            return Err(Cause::Field {
                field: field::PAYLOAD_LEN.name,
                value: payload_len,
            });
        }
        let index_len = u64_of(&field::INDEX_LEN)?;
        if index_len < len_u64(index_header::RECORD_LEN) {
            return Err(out(&field::INDEX_LEN, index_len));
        }
        let geometry = Geometry::new(index_len, digests_len, payload_len)
            .ok_or_else(|| out(&field::FILE_LEN, u64_of(&field::FILE_LEN).unwrap_or(u64::MAX)))?;
        for (field, expected) in sized_fields(&geometry, block_count) {
            must_be(&field, u64_of(&field)?, expected)?;
        }
        Ok(Self {
            version_minor,
            optional_features,
            uuid,
            created_unix_ns: u64_of(&field::CREATED)?,
            block_log2,
            block_count,
            geometry,
            index_digest: digest_field(&field::INDEX_DIGEST, bytes)?,
            digests_digest: digest_field(&field::DIGESTS_DIGEST, bytes)?,
            root,
        })
    }

    /// Bytes of a whole block.
    pub(crate) fn block_len(&self) -> u64 {
        // The range of block_log2 was checked when decoding: the fallback is never taken.
        1_u64.checked_shl(u32::from(self.block_log2)).unwrap_or(PAGE_LEN)
    }

    /// Whether reserved bytes must be zero: not when something newer may have given them a meaning.
    pub(crate) const fn reserved_is_zero(&self) -> bool {
        reserved_is_zero(self.version_minor, self.optional_features)
    }
}

/// A later minor version or an optional feature may give a meaning to what is reserved today.
const fn reserved_is_zero(version_minor: u16, optional_features: u64) -> bool {
    version_minor == VERSION_MINOR && optional_features == 0
}

/// Fields of features that need a required bit, which a file read here does not have.
const ABSENT: &[Field] = &[
    field::PARITY_OFFSET,
    field::PARITY_LEN,
    field::PARITY_KIND,
    field::PARITY_LEVEL,
    field::PARITY_GROUP_DATA,
    field::PARITY_GROUP_PARITY,
    field::PARITY_GROUPS,
    field::PARITY_BLOCKS,
    field::SIGNATURE_OFFSET,
    field::SIGNATURE_LEN,
    field::SIGNATURE_KIND,
];

/// Bytes without a meaning yet.
const RESERVED: &[Field] = &[
    field::RESERVED_1,
    field::RESERVED_2,
    field::RESERVED_3,
    field::RESERVED_4,
];

/// A digest field; bytes past the digest's length must be zero.
pub(crate) fn digest_field(field: &Field, record: &[u8]) -> Result<Digest, Cause> {
    field
        .array32(record)
        .and_then(Digest::from_field)
        .ok_or_else(|| Cause::Field {
            field: field.name,
            value: low_bits(field, record),
        })
}

/// The `N` low bytes of a constant that fits them.
fn low_bytes<const N: usize>(value: u64) -> [u8; N] {
    value.to_le_bytes().first_chunk().copied().unwrap_or([0; N])
}

/// The field's first eight bytes as a number, for a message.
pub(crate) fn low_bits(field: &Field, record: &[u8]) -> u64 {
    let mut bytes = [0; 8];
    for (slot, &byte) in bytes.iter_mut().zip(field.bytes(record).unwrap_or(&[])) {
        *slot = byte;
    }
    u64::from_le_bytes(bytes)
}

#[cfg(test)]
#[allow(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    reason = "tests may panic"
)]
mod tests {
    use super::*;

    fn sample() -> Vec<u8> {
        Draft {
            uuid: *b"0123456789abcdef",
            created_unix_ns: 7,
            block_log2: 16,
            block_count: 3,
            geometry: &Geometry::new(64, 24, 4096 * 40).unwrap(),
            index_digest: Digest::node(1),
            digests_digest: Digest::node(2),
        }
        .encode()
        .0
    }

    /// Changes a field and makes every digest right again, as a hostile writer would.
    fn forged(field: &Field, value: &[u8]) -> Vec<u8> {
        let mut bytes = sample();
        field.put(&mut bytes, value);
        let uuid = field::UUID.array16(&bytes).unwrap();
        if field.offset < ROOT_COVERS {
            let root = Hasher::new(uuid).root(&bytes[..ROOT_COVERS]);
            field::ROOT.put(&mut bytes, root.as_bytes());
        }
        let own = superblock_digest(&bytes[..SELF_DIGEST_COVERS]);
        field::SELF_DIGEST.put(&mut bytes, own.as_bytes());
        bytes
    }

    #[test]
    fn goes_round() {
        let superblock = Superblock::decode(&sample()).unwrap();
        assert_eq!(superblock.uuid, *b"0123456789abcdef");
        assert_eq!((superblock.block_count, superblock.block_len()), (3, 65536));
        assert_eq!(superblock.geometry.payload, 12288..12288 + 4096 * 40);
    }

    #[test]
    fn every_value_of_every_byte_is_noticed() {
        let good = sample();
        for at in 0..SUPERBLOCK_LEN {
            let mut bytes = good.clone();
            for value in 0..=255 {
                bytes[at] = value;
                assert_eq!(
                    Superblock::decode(&bytes).is_ok(),
                    value == good[at],
                    "byte {at} = {value}"
                );
            }
        }
    }

    #[test]
    fn every_pair_of_flips_in_the_fields_is_noticed() {
        let good = sample();
        let bits = (0..320 * 8).chain(4080 * 8..4096 * 8).collect::<Vec<_>>();
        let mut bytes = good;
        for (position, &one) in bits.iter().enumerate() {
            bytes[one / 8] ^= 1 << (one % 8);
            // Every bit with its 40 neighbours and with a stride through the rest.
            for &other in bits[position + 1..]
                .iter()
                .take(40)
                .chain(bits[position + 1..].iter().step_by(97))
            {
                bytes[other / 8] ^= 1 << (other % 8);
                assert!(Superblock::decode(&bytes).is_err(), "bits {one} and {other}");
                bytes[other / 8] ^= 1 << (other % 8);
            }
            bytes[one / 8] ^= 1 << (one % 8);
        }
    }

    #[test]
    fn forged_fields_are_refused_by_name() {
        use crate::Code;
        let expect = |field: &Field, value: &[u8], code: Code| {
            let cause = Superblock::decode(&forged(field, value)).expect_err(field.name);
            assert_eq!(cause.code(), code, "{}: {cause}", field.name);
        };
        expect(&field::VERSION_MAJOR, &3_u16.to_le_bytes(), Code::NewerVersion);
        expect(&field::VERSION_MAJOR, &1_u16.to_le_bytes(), Code::Malformed);
        expect(&field::REQUIRED, &[4], Code::UnknownFeature);
        expect(&field::BLOCK_LOG2, &[11], Code::Malformed);
        expect(&field::BLOCK_LOG2, &[21], Code::Malformed);
        expect(&field::BLOCK_LOG2, &[255], Code::Malformed);
        expect(&field::DIGEST_KIND, &[2], Code::Malformed);
        expect(&field::LEAF_LEN, &[0], Code::Malformed);
        expect(&field::NODE_LEN, &[32], Code::Malformed);
        for huge in [&field::INDEX_LEN, &field::BLOCK_COUNT, &field::PAYLOAD_LEN] {
            expect(huge, &(!4095_u64).to_le_bytes(), Code::OutOfBounds);
        }
        expect(&field::INDEX_LEN, &63_u64.to_le_bytes(), Code::OutOfBounds);
        expect(&field::PAYLOAD_LEN, &4095_u64.to_le_bytes(), Code::Malformed);
        for moved in [
            &field::FILE_LEN,
            &field::PAYLOAD_OFFSET,
            &field::INDEX_OFFSET,
            &field::INDEX_MIRROR,
            &field::DIGESTS_OFFSET,
            &field::DIGESTS_MIRROR,
            &field::DIGESTS_LEN,
        ] {
            expect(moved, &u64::MAX.to_le_bytes(), Code::Malformed);
            expect(moved, &[0; 8], Code::Malformed);
        }
        for zero in ABSENT.iter().chain(RESERVED) {
            expect(zero, &[1], Code::Malformed);
        }
        let mut root = forged(&field::VERSION_MINOR, &[0]);
        field::ROOT.put(&mut root, &[0; 16]);
        let own = superblock_digest(&root[..SELF_DIGEST_COVERS]);
        field::SELF_DIGEST.put(&mut root, own.as_bytes());
        assert_eq!(Superblock::decode(&root).unwrap_err().code(), Code::RootDigest);
    }

    #[test]
    fn newer_minor_and_optional_features_are_read() {
        assert!(Superblock::decode(&forged(&field::VERSION_MINOR, &[9])).is_ok());
        assert!(Superblock::decode(&forged(&field::OPTIONAL, &[1])).is_ok());
    }
}
