//! The superblock: encoded, and decoded with every field checked.
//!
//! A [`Superblock`] exists only where magic, own digest, version, features, root digest and every length agree. Any
//! 4096 bytes may be passed; nothing panics.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use std::ops::Range;

use crate::digest::{Digest, Hasher, superblock_digest};
use crate::finding::{Cause, Digested, Foreign};
use crate::geometry::{Geometry, Lengths};
use crate::index::must_be;
use crate::info::{DigestKind, Parity};
use crate::layout::{
    BLOCK_LOG2_RANGE, FEATURE_COMPRESSED, FEATURE_PARITY, FEATURE_SEALED, FEATURE_SIGNED, Field, KNOWN_FEATURES, MAGIC,
    PAGE_LEN, PARITY_REED_SOLOMON, ROOT_COVERS, SELF_DIGEST_COVERS, SIGNATURE_ED25519, SUPERBLOCK_LEN, VERSION_1_MAGIC,
    VERSION_MAJOR, VERSION_MINOR, index_header, superblock as field,
};
use crate::parity::{Grouping, Level};
use crate::wire::len_u64;

/// What a superblock says; see SPEC.md for the fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Superblock {
    pub(crate) version_minor: u16,
    pub(crate) required_features: u64,
    pub(crate) optional_features: u64,
    pub(crate) uuid: [u8; 16],
    pub(crate) created_unix_ns: u64,
    pub(crate) block_log2: u8,
    pub(crate) digest_kind: DigestKind,
    /// Of content; parity blocks are numbered behind them.
    pub(crate) block_count: u64,
    pub(crate) geometry: Geometry,
    pub(crate) parity: Option<Parity>,
    pub(crate) index_digest: Digest,
    pub(crate) digests_digest: Digest,
    pub(crate) root: Digest,
    pub(crate) signature: Option<RecordedSignature>,
}

/// A signature as a superblock holds it, not checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecordedSignature {
    pub(crate) public_key: [u8; 32],
    pub(crate) signature: [u8; 64],
}

/// Signs a root digest.
pub(crate) type Signer<'a> = &'a dyn Fn(&Digest) -> RecordedSignature;

/// What to put into a superblock; its digests are computed while encoding.
pub(crate) struct Draft<'a> {
    pub(crate) compressed: bool,
    pub(crate) uuid: [u8; 16],
    pub(crate) created_unix_ns: u64,
    pub(crate) block_log2: u8,
    pub(crate) digest_kind: DigestKind,
    pub(crate) block_count: u64,
    pub(crate) geometry: &'a Geometry,
    pub(crate) parity: Option<Parity>,
    pub(crate) index_digest: Digest,
    pub(crate) digests_digest: Digest,
}

impl Draft<'_> {
    /// The superblock's bytes and the root digest.
    pub(crate) fn encode(&self) -> (Vec<u8>, Digest) {
        let mut bytes = vec![0; SUPERBLOCK_LEN];
        let mut put = |field: &Field, value: &[u8]| field.put(&mut bytes, value);
        let features = [
            (self.compressed, FEATURE_COMPRESSED),
            (self.parity.is_some(), FEATURE_PARITY),
            (self.digest_kind == DigestKind::Blake3, FEATURE_SEALED),
        ];
        let required = features
            .iter()
            .fold(0, |bits, (on, bit)| if *on { bits | bit } else { bits });
        put(&field::MAGIC, &MAGIC);
        put(&field::VERSION_MAJOR, &VERSION_MAJOR.to_le_bytes());
        put(&field::VERSION_MINOR, &VERSION_MINOR.to_le_bytes());
        put(&field::SUPERBLOCK_LEN, &low_bytes::<4>(len_u64(SUPERBLOCK_LEN)));
        put(&field::REQUIRED, &required.to_le_bytes());
        put(&field::UUID, &self.uuid);
        put(&field::CREATED, &self.created_unix_ns.to_le_bytes());
        put(&field::BLOCK_LOG2, &[self.block_log2]);
        put(&field::DIGEST_KIND, &[self.digest_kind.to_byte()]);
        put(&field::LEAF_LEN, &[self.digest_kind.leaf_len()]);
        put(&field::NODE_LEN, &[self.digest_kind.node_len()]);
        for (field, value) in sized_fields(self.geometry, self.block_count) {
            put(&field, &value.to_le_bytes());
        }
        if let Some(parity) = &self.parity {
            put(&field::PARITY_OFFSET, &self.geometry.parity.start.to_le_bytes());
            put(&field::PARITY_LEN, &len_of(&self.geometry.parity).to_le_bytes());
            put(&field::PARITY_KIND, &[PARITY_REED_SOLOMON]);
            put(&field::PARITY_LEVEL, &[parity.level.code()]);
            let grouping = &parity.grouping;
            put(&field::PARITY_GROUP_DATA, &grouping.group_data().to_le_bytes());
            put(&field::PARITY_GROUP_PARITY, &grouping.group_parity().to_le_bytes());
            put(&field::PARITY_GROUPS, &grouping.groups().to_le_bytes());
            put(&field::PARITY_BLOCKS, &grouping.parity_blocks().to_le_bytes());
        }
        put(&field::INDEX_DIGEST, self.index_digest.as_bytes());
        put(&field::DIGESTS_DIGEST, self.digests_digest.as_bytes());
        let root = seal(&mut bytes, self.digest_kind, self.uuid, None);
        (bytes, root)
    }
}

/// Puts root digest, signature and own digest into a superblock whose other fields are set.
fn seal(bytes: &mut [u8], kind: DigestKind, uuid: [u8; 16], signer: Option<Signer<'_>>) -> Digest {
    let root = Hasher::new(kind, uuid).root(bytes.get(..ROOT_COVERS).unwrap_or(&[]));
    field::ROOT.put(bytes, root.as_bytes());
    if let Some(signer) = signer {
        let signed = signer(&root);
        field::SIGNATURE_KIND.put(bytes, &[SIGNATURE_ED25519]);
        field::PUBLIC_KEY.put(bytes, &signed.public_key);
        field::SIGNATURE.put(bytes, &signed.signature);
    }
    let own = superblock_digest(bytes.get(..SELF_DIGEST_COVERS).unwrap_or(&[]));
    field::SELF_DIGEST.put(bytes, own.as_bytes());
    root
}

/// The bytes of a superblock with a signature, an earlier one replaced; and the new root, which the signed bit changes.
pub(crate) fn signed(whole: &[u8], superblock: &Superblock, signer: Signer<'_>) -> (Vec<u8>, Digest) {
    let mut bytes = whole.to_vec();
    let required = superblock.required_features | FEATURE_SIGNED;
    field::REQUIRED.put(&mut bytes, &required.to_le_bytes());
    let root = seal(&mut bytes, superblock.digest_kind, superblock.uuid, Some(signer));
    (bytes, root)
}

const fn len_of(region: &Range<u64>) -> u64 {
    region.end.saturating_sub(region.start)
}

/// The fields that follow from the regions, with the values that they must have.
fn sized_fields(geometry: &Geometry, block_count: u64) -> [(Field, u64); 10] {
    [
        (field::FILE_LEN, geometry.file_len()),
        (field::BLOCK_COUNT, block_count),
        (field::PAYLOAD_OFFSET, geometry.payload.start),
        (field::PAYLOAD_LEN, len_of(&geometry.payload)),
        (field::INDEX_OFFSET, geometry.index_1.start),
        (field::INDEX_MIRROR, geometry.index_2.start),
        (field::INDEX_LEN, len_of(&geometry.index_1)),
        (field::DIGESTS_OFFSET, geometry.digests_1.start),
        (field::DIGESTS_MIRROR, geometry.digests_2.start),
        (field::DIGESTS_LEN, len_of(&geometry.digests_1)),
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
        let stored = Digest::from_entry(field::SELF_DIGEST.bytes(bytes).ok_or_else(short)?);
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
        let required_features = u64_of(&field::REQUIRED)?;
        let unknown = required_features & !KNOWN_FEATURES;
        if unknown != 0 {
            return Err(Cause::UnknownFeatures { bits: unknown });
        }
        let has = |bit: u64| required_features & bit != 0;
        let optional_features = u64_of(&field::OPTIONAL)?;

        let uuid = field::UUID.array16(bytes).ok_or_else(short)?;
        let kind_byte = u8_of(&field::DIGEST_KIND)?;
        let digest_kind = DigestKind::from_byte(kind_byte).ok_or(Cause::Field {
            field: field::DIGEST_KIND.name,
            value: u64::from(kind_byte),
        })?;
        let root = digest_field(&field::ROOT, bytes, digest_kind)?;
        let computed = Hasher::new(digest_kind, uuid).root(bytes.get(..ROOT_COVERS).ok_or_else(short)?);
        if root != computed {
            return Err(Cause::Digest {
                of: Digested::Root,
                stored: root,
                computed,
            });
        }

        let sealed_kind = if has(FEATURE_SEALED) {
            DigestKind::Blake3
        } else {
            DigestKind::Xxh3
        };
        for (field, expected) in [
            (&field::DIGEST_KIND, sealed_kind.to_byte()),
            (&field::LEAF_LEN, digest_kind.leaf_len()),
            (&field::NODE_LEN, digest_kind.node_len()),
        ] {
            must_be(field, u64::from(u8_of(field)?), u64::from(expected))?;
        }
        let block_log2 = u8_of(&field::BLOCK_LOG2)?;
        if !BLOCK_LOG2_RANGE.contains(&block_log2) {
            return Err(Cause::Field {
                field: field::BLOCK_LOG2.name,
                value: u64::from(block_log2),
            });
        }
        let zero = |fields: &[Field]| match fields.iter().find(|field| !field.is_zero(bytes)) {
            Some(field) => Err(Cause::Field {
                field: field.name,
                value: low_bits(field, bytes),
            }),
            None => Ok(()),
        };
        if !has(FEATURE_PARITY) {
            zero(PARITY)?;
        }
        if !has(FEATURE_SIGNED) {
            zero(SIGNED)?;
        }
        if reserved_is_zero(version_minor, optional_features) {
            zero(RESERVED)?;
        }

        let out = |field: &Field, value: u64| Cause::OutOfBounds {
            field: field.name,
            value,
        };
        let block_count = u64_of(&field::BLOCK_COUNT)?;
        let parity = if has(FEATURE_PARITY) {
            Some(decode_parity(bytes, block_count, block_log2)?)
        } else {
            None
        };
        let parity_blocks = parity.map_or(0, |parity| parity.grouping.parity_blocks());
        let digests_len = block_count
            .checked_add(parity_blocks)
            .and_then(|blocks| blocks.checked_mul(u64::from(digest_kind.leaf_len())))
            .ok_or_else(|| out(&field::BLOCK_COUNT, block_count))?;
        let payload_len = u64_of(&field::PAYLOAD_LEN)?;
        let payload_offset = u64_of(&field::PAYLOAD_OFFSET)?;
        for (field, value) in [
            (&field::PAYLOAD_LEN, payload_len),
            (&field::PAYLOAD_OFFSET, payload_offset),
        ] {
            if !value.is_multiple_of(PAGE_LEN) {
                return Err(Cause::Field {
                    field: field.name,
                    value,
                });
            }
        }
        let index_len = u64_of(&field::INDEX_LEN)?;
        if index_len < len_u64(index_header::RECORD_LEN) {
            return Err(out(&field::INDEX_LEN, index_len));
        }
        let mut lengths = Lengths {
            index: index_len,
            digests: digests_len,
            digests_reserved: digests_len,
            payload: payload_len,
            parity: parity.map_or(0, |parity| parity.grouping.parity_len()),
        };
        let overflow = || out(&field::FILE_LEN, u64_of(&field::FILE_LEN).unwrap_or(u64::MAX));
        let mut geometry = Geometry::new(lengths).ok_or_else(overflow)?;
        // Sizes of compressed chunks are known only behind them: the table may have been given more room than it took.
        if has(FEATURE_COMPRESSED) && payload_offset > geometry.payload.start {
            lengths.digests_reserved = payload_offset.saturating_sub(geometry.digests_1.start);
            geometry = Geometry::new(lengths).ok_or_else(overflow)?;
        }
        for (field, expected) in sized_fields(&geometry, block_count) {
            must_be(&field, u64_of(&field)?, expected)?;
        }
        if parity.is_some() {
            must_be(
                &field::PARITY_OFFSET,
                u64_of(&field::PARITY_OFFSET)?,
                geometry.parity.start,
            )?;
            must_be(&field::PARITY_LEN, u64_of(&field::PARITY_LEN)?, lengths.parity)?;
        }
        let signature = if has(FEATURE_SIGNED) {
            Some(decode_signature(bytes, digest_kind)?)
        } else {
            None
        };
        Ok(Self {
            version_minor,
            required_features,
            optional_features,
            uuid,
            created_unix_ns: u64_of(&field::CREATED)?,
            block_log2,
            digest_kind,
            block_count,
            geometry,
            parity,
            index_digest: digest_field(&field::INDEX_DIGEST, bytes, digest_kind)?,
            digests_digest: digest_field(&field::DIGESTS_DIGEST, bytes, digest_kind)?,
            root,
            signature,
        })
    }

    /// Computes this file's digests.
    pub(crate) fn hasher(&self) -> Hasher {
        Hasher::new(self.digest_kind, self.uuid)
    }

    /// Whether chunks may be compressed.
    pub(crate) const fn is_compressed(&self) -> bool {
        self.required_features & FEATURE_COMPRESSED != 0
    }

    /// Blocks with an entry in the digest table: of content and of parity.
    pub(crate) fn digested_blocks(&self) -> u64 {
        let parity = self.parity.map_or(0, |parity| parity.grouping.parity_blocks());
        self.block_count.saturating_add(parity)
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

/// The parity fields, given that the file has parity: level and count decide, everything else follows from them.
fn decode_parity(bytes: &[u8], block_count: u64, block_log2: u8) -> Result<Parity, Cause> {
    let refused = |field: &Field| Cause::Field {
        field: field.name,
        value: low_bits(field, bytes),
    };
    if field::PARITY_KIND.u8(bytes) != Some(PARITY_REED_SOLOMON) {
        return Err(refused(&field::PARITY_KIND));
    }
    let group_parity = field::PARITY_GROUP_PARITY.u32(bytes).unwrap_or(0);
    let level = field::PARITY_LEVEL
        .u8(bytes)
        .and_then(|code| Level::from_code(code, group_parity))
        .ok_or_else(|| refused(&field::PARITY_LEVEL))?;
    let grouping = Grouping::new(block_count, block_log2, level).map_err(|_| refused(&field::PARITY_GROUP_PARITY))?;
    for (field, expected) in [
        (&field::PARITY_GROUP_DATA, u64::from(grouping.group_data())),
        (&field::PARITY_GROUP_PARITY, u64::from(grouping.group_parity())),
        (&field::PARITY_GROUPS, u64::from(grouping.groups())),
        (&field::PARITY_BLOCKS, grouping.parity_blocks()),
    ] {
        must_be(field, low_bits(field, bytes), expected)?;
    }
    Ok(Parity::new(level, grouping))
}

/// The signature's fields, given that the file is signed.
fn decode_signature(bytes: &[u8], kind: DigestKind) -> Result<RecordedSignature, Cause> {
    let refused = |field: &Field| Cause::Field {
        field: field.name,
        value: low_bits(field, bytes),
    };
    // A signature over xxh3 digests would prove nothing: other content with the same root is easily made.
    if kind != DigestKind::Blake3 {
        return Err(refused(&field::DIGEST_KIND));
    }
    if field::SIGNATURE_KIND.u8(bytes) != Some(SIGNATURE_ED25519) {
        return Err(refused(&field::SIGNATURE_KIND));
    }
    let public_key = field::PUBLIC_KEY.array32(bytes);
    let signature = field::SIGNATURE.array64(bytes);
    Ok(RecordedSignature {
        public_key: public_key.ok_or_else(|| refused(&field::PUBLIC_KEY))?,
        signature: signature.ok_or_else(|| refused(&field::SIGNATURE))?,
    })
}

/// Fields that are zero in a file without parity.
const PARITY: &[Field] = &[
    field::PARITY_OFFSET,
    field::PARITY_LEN,
    field::PARITY_KIND,
    field::PARITY_LEVEL,
    field::PARITY_GROUP_DATA,
    field::PARITY_GROUP_PARITY,
    field::PARITY_GROUPS,
    field::PARITY_BLOCKS,
];

/// Fields that are zero in a file without a signature.
const SIGNED: &[Field] = &[field::SIGNATURE_KIND, field::PUBLIC_KEY, field::SIGNATURE];

/// Bytes without a meaning yet.
const RESERVED: &[Field] = &[
    field::RESERVED_1,
    field::RESERVED_2,
    field::RESERVED_3,
    field::RESERVED_4,
    field::RESERVED_5,
];

/// A digest field; bytes past the digest's length must be zero.
pub(crate) fn digest_field(field: &Field, record: &[u8], kind: DigestKind) -> Result<Digest, Cause> {
    field
        .array32(record)
        .and_then(|bytes| Digest::from_field(bytes, kind))
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
        let lengths = Lengths {
            index: 64,
            digests: 24,
            digests_reserved: 24,
            payload: 4096 * 40,
            parity: 0,
        };
        Draft {
            compressed: false,
            uuid: *b"0123456789abcdef",
            created_unix_ns: 7,
            block_log2: 16,
            digest_kind: DigestKind::Xxh3,
            block_count: 3,
            geometry: &Geometry::new(lengths).unwrap(),
            parity: None,
            index_digest: Digest::from_entry(&[1; 16]),
            digests_digest: Digest::from_entry(&[2; 16]),
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
            let kind = DigestKind::from_byte(bytes[field::DIGEST_KIND.offset]).unwrap_or(DigestKind::Xxh3);
            let root = Hasher::new(kind, uuid).root(&bytes[..ROOT_COVERS]);
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
        expect(&field::REQUIRED, &[16], Code::UnknownFeature);
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
        for zero in PARITY.iter().chain(SIGNED).chain(RESERVED) {
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
