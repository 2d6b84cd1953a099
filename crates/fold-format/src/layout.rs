//! The container's bytes as constants: every record's fields with offset, size, type and meaning.
//!
//! This module is the one place where an offset is written down. Encoders and decoders take their offsets from these
//! fields, `docs/format/SPEC.md` holds the same tables (a test compares them), and the asserts at the end refuse to
//! compile a table with a gap or an overlap. What the values must be is checked elsewhere (`superblock`, `index`).

/// The first eight bytes of a container: a high bit, a name, and line ends that a text transfer would mangle.
pub const MAGIC: [u8; 8] = *b"\x89FOLD\r\n\x1a";
/// The first eight bytes of an index.
pub const INDEX_MAGIC: [u8; 8] = *b"FOLDidx2";
/// The first eight bytes of a chunk's prologue.
pub const PROLOGUE_MAGIC: [u8; 8] = *b"FOLDchk2";
/// The first eight bytes of a PyFolds container, version 1: recognised to say so, not read by this module.
pub const VERSION_1_MAGIC: [u8; 8] = *b"FOLDv1\0\0";

/// A reader of this version refuses a file with a higher major number.
pub const VERSION_MAJOR: u16 = 2;
/// A higher minor number only adds what an older reader may ignore.
pub const VERSION_MINOR: u16 = 0;

/// Alignment of every region of the file: superblocks, index, digest table, chunks.
pub const PAGE_LEN: u64 = 4096;
/// Bytes of one superblock.
pub const SUPERBLOCK_LEN: usize = 4096;
/// Bytes of a chunk's prologue; its content begins right behind.
pub const PROLOGUE_LEN: usize = 4096;
/// Alignment of a tensor inside a chunk's content.
pub const TENSOR_ALIGN: u64 = 64;
/// Most dimensions that a tensor may have.
pub const MAX_RANK: usize = 8;
/// Most bytes that a name may have.
pub const MAX_NAME_LEN: usize = 255;
/// Smallest and largest block size, as a power of two.
pub const BLOCK_LOG2_RANGE: std::ops::RangeInclusive<u8> = 12..=20;
/// The block size that a save uses unless told otherwise: 64 KiB.
pub const BLOCK_LOG2_DEFAULT: u8 = 16;
/// The superblock's own digest covers the bytes before this offset.
pub const SELF_DIGEST_COVERS: usize = 4080;
/// The root digest covers the superblock's bytes before this offset.
pub const ROOT_COVERS: usize = 256;

/// `digest_kind`: xxh3, 64 bits for blocks, 128 bits above. Against accidents, not against tampering.
pub const DIGEST_XXH3: u8 = 1;
/// `digest_kind`: BLAKE3 in its keyed mode, 256 bits everywhere: a sealed file. What a signature needs.
pub const DIGEST_BLAKE3: u8 = 2;
/// `encoding`: the stored bytes are the content.
pub const ENCODING_RAW: u8 = 0;
/// `encoding`: frames of zstd.
pub const ENCODING_ZSTD: u8 = 1;
/// `encoding`: frames of zstd over shuffled bytes.
pub const ENCODING_SHUFFLE_ZSTD: u8 = 2;
/// Smallest and largest frame, as a power of two.
pub const FRAME_LOG2_RANGE: std::ops::RangeInclusive<u8> = 12..=20;
/// Bytes of content per frame that a save uses, as a power of two: 256 KiB.
pub const FRAME_LOG2_DEFAULT: u8 = 18;
/// Bytes of one entry of a frame table.
pub const FRAME_ENTRY_LEN: u64 = 8;
/// Set in an entry of a frame table: the frame holds its content as it is.
pub const FRAME_STORED_RAW: u64 = 1 << 63;
/// No frame decodes to more than this many times its stored bytes: a decompression bomb cannot be written down.
pub const MAX_EXPANSION: u64 = 64;

/// `parity_kind`: Reed-Solomon over GF(2^16), as `docs/format/SPEC.md` describes it.
pub const PARITY_REED_SOLOMON: u8 = 1;
/// `signature_kind`: ed25519 over a context string and the root digest.
pub const SIGNATURE_ED25519: u8 = 1;

/// Seed domain of a block's digest; its position is the block's number in the file.
pub const DOMAIN_BLOCK: u64 = 1;
/// Seed domain of a chunk's digest; its position is the chunk's number.
pub const DOMAIN_CHUNK: u64 = 2;
/// Seed domain of the index digest; position 0.
pub const DOMAIN_INDEX: u64 = 3;
/// Seed domain of the digest table's digest; position 0.
pub const DOMAIN_DIGESTS: u64 = 4;
/// Seed domain of the root digest; position 0.
pub const DOMAIN_ROOT: u64 = 5;
/// Seed domain of a prologue's own digest; its position is the chunk's number.
pub const DOMAIN_PROLOGUE: u64 = 6;

/// Required feature: chunks may be compressed, and zeros may lie between digest table 1 and the payload.
pub const FEATURE_COMPRESSED: u64 = 1 << 0;
/// Required feature: parity blocks lie between the payload and index 2.
pub const FEATURE_PARITY: u64 = 1 << 1;
/// Required feature: `digest_kind` is BLAKE3.
pub const FEATURE_SEALED: u64 = 1 << 2;
/// Required feature: the superblock holds a signature of the root.
pub const FEATURE_SIGNED: u64 = 1 << 3;

/// Names of the required feature bits, by number. A reader refuses a file with a bit that it does not know.
pub const REQUIRED_FEATURES: &[(u32, &str)] = &[
    (0, "compressed chunks"),
    (1, "parity"),
    (2, "sealed with BLAKE3"),
    (3, "signed root"),
];
/// The required features that this reader knows.
pub const KNOWN_FEATURES: u64 = FEATURE_COMPRESSED | FEATURE_PARITY | FEATURE_SEALED | FEATURE_SIGNED;

/// One field of a fixed record.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// The field's name, as SPEC.md and the findings give it.
    pub name: &'static str,
    /// Bytes from the record's start.
    pub offset: usize,
    /// Bytes of the field.
    pub size: usize,
    /// `u8`..`u64` (little-endian), `bytes`, `digest`, `uuid` or `zero`.
    pub kind: &'static str,
    /// What it says, in one line.
    pub meaning: &'static str,
}

/// One line per field: constant, name, offset, size, type, meaning.
macro_rules! record {
    ($(#[$doc:meta])* $module:ident, $len:expr; $($constant:ident $name:literal $offset:literal $size:literal $kind:literal $meaning:literal;)+) => {
        $(#[$doc])*
        pub mod $module {
            use super::Field;

            /// Bytes of the record.
            pub const RECORD_LEN: usize = $len;

            $(#[doc = concat!("`", $name, "`: ", $meaning, ".")]
            pub const $constant: Field = Field { name: $name, offset: $offset, size: $size, kind: $kind, meaning: $meaning };)+

            /// Every field, in the order of their offsets, without a gap.
            pub const FIELDS: &[Field] = &[$($constant,)+];

            const _: () = super::assert_gapless(FIELDS, RECORD_LEN);
        }
    };
}

record! {
    /// The superblock, at offset 0 (copy A) and in the last 4096 bytes (copy B), byte-identical.
    superblock, super::SUPERBLOCK_LEN;
    MAGIC "magic" 0 8 "bytes" "89 46 4F 4C 44 0D 0A 1A";
    VERSION_MAJOR "version_major" 8 2 "u16" "2";
    VERSION_MINOR "version_minor" 10 2 "u16" "0";
    SUPERBLOCK_LEN "superblock_len" 12 4 "u32" "4096";
    REQUIRED "required_features" 16 8 "u64" "bits that a reader must know, or refuse the file";
    OPTIONAL "optional_features" 24 8 "u64" "bits that a reader may ignore";
    FILE_LEN "file_len" 32 8 "u64" "bytes of the whole file, both superblocks included";
    UUID "uuid" 40 16 "uuid" "chosen by the writer, all zero where none was; enters the digest seeds";
    CREATED "created_unix_ns" 56 8 "u64" "nanoseconds since 1970-01-01 UTC; 0: not stated";
    BLOCK_LOG2 "block_log2" 64 1 "u8" "block size as a power of two, 12 to 20";
    DIGEST_KIND "digest_kind" 65 1 "u8" "1 xxh3; 2 BLAKE3";
    LEAF_LEN "leaf_digest_len" 66 1 "u8" "bytes of a block's digest: 8 for xxh3, 32 for BLAKE3";
    NODE_LEN "node_digest_len" 67 1 "u8" "bytes used of every digest field: 16 for xxh3, the rest zero; 32 for BLAKE3";
    RESERVED_1 "reserved" 68 4 "zero" "zero";
    BLOCK_COUNT "block_count" 72 8 "u64" "blocks of all chunks; their digests come first in the digest table";
    PAYLOAD_OFFSET "payload_offset" 80 8 "u64" "where the first chunk's prologue begins";
    PAYLOAD_LEN "payload_len" 88 8 "u64" "bytes of all chunks, a multiple of 4096";
    INDEX_OFFSET "index_offset" 96 8 "u64" "index, copy 1: 4096";
    INDEX_MIRROR "index_mirror_offset" 104 8 "u64" "index, copy 2";
    INDEX_LEN "index_len" 112 8 "u64" "bytes of one copy, padding not counted";
    DIGESTS_OFFSET "digests_offset" 120 8 "u64" "digest table, copy 1";
    DIGESTS_MIRROR "digests_mirror_offset" 128 8 "u64" "digest table, copy 2";
    DIGESTS_LEN "digests_len" 136 8 "u64" "bytes of one copy: (block_count + parity_blocks) x leaf_digest_len";
    INDEX_DIGEST "index_digest" 144 32 "digest" "of the index";
    DIGESTS_DIGEST "digests_digest" 176 32 "digest" "of the digest table";
    PARITY_OFFSET "parity_offset" 208 8 "u64" "where the first parity block begins: the end of the payload; 0: no parity";
    PARITY_LEN "parity_len" 216 8 "u64" "bytes of all parity blocks; 0: no parity";
    PARITY_KIND "parity_kind" 224 1 "u8" "1 Reed-Solomon over GF(2^16); 0: no parity";
    PARITY_LEVEL "parity_level" 225 1 "u8" "what the writer was asked for: 1 low, 2 med, 3 high, 4 a number of blocks; 0: no parity";
    RESERVED_2 "reserved" 226 2 "zero" "zero";
    PARITY_GROUP_DATA "parity_group_data" 228 4 "u32" "data blocks of the largest group; 0: no parity";
    PARITY_GROUP_PARITY "parity_group_parity" 232 4 "u32" "parity blocks per group; 0: no parity";
    PARITY_GROUPS "parity_groups" 236 4 "u32" "groups; 0: no parity";
    PARITY_BLOCKS "parity_blocks" 240 8 "u64" "parity blocks of all groups, whose digests follow those of the chunks; 0: no parity";
    RESERVED_3 "reserved" 248 8 "zero" "zero";
    ROOT "root_digest" 256 32 "digest" "of the superblock's bytes 0 to 255";
    SIGNATURE_KIND "signature_kind" 288 1 "u8" "1 ed25519; 0: not signed";
    RESERVED_4 "reserved" 289 7 "zero" "zero";
    PUBLIC_KEY "public_key" 296 32 "bytes" "the signer's; zero: not signed";
    SIGNATURE "signature" 328 64 "bytes" "of the context string and the root digest; zero: not signed";
    RESERVED_5 "reserved" 392 3688 "zero" "zero";
    SELF_DIGEST "superblock_digest" 4080 16 "digest" "of the superblock's bytes 0 to 4079, seed 0";
}

record! {
    /// The index header; chunk records, tensor records, strings and metadata follow without a gap.
    index_header, 64;
    MAGIC "magic" 0 8 "bytes" "46 4F 4C 44 69 64 78 32 (FOLDidx2)";
    CHUNK_COUNT "chunk_count" 8 4 "u32" "chunk records";
    RESERVED_1 "reserved" 12 4 "zero" "zero";
    TENSOR_COUNT "tensor_count" 16 8 "u64" "tensor records";
    STRINGS_LEN "strings_len" 24 8 "u64" "bytes of the string table";
    METADATA_LEN "metadata_len" 32 8 "u64" "bytes of the metadata";
    RESERVED_2 "reserved" 40 24 "zero" "zero";
}

record! {
    /// One chunk. Records are sorted by name, and the chunks lie in the file in the same order.
    chunk_record, 128;
    NAME_OFFSET "name_offset" 0 4 "u32" "where the name begins in the string table";
    NAME_LEN "name_len" 4 2 "u16" "bytes of the name, 1 to 255";
    KIND "kind" 6 1 "u8" "1 TENS, 2 JSON, 3 BYTE";
    ENCODING "encoding" 7 1 "u8" "0 raw, 1 zstd, 2 shuffled bytes and zstd";
    OFFSET "offset" 8 8 "u64" "of the prologue, in the file; the content begins 4096 bytes later";
    STORED_LEN "stored_len" 16 8 "u64" "bytes as stored: content or frames, frame table, tensor directory; padding not counted";
    CONTENT_LEN "content_len" 24 8 "u64" "bytes of the decoded content; raw: the same";
    FIRST_BLOCK "first_block" 32 8 "u64" "number of the chunk's first block";
    BLOCK_COUNT "block_count" 40 8 "u64" "blocks of the chunk";
    TENSOR_COUNT "tensor_count" 48 8 "u64" "tensors that lie in the chunk; 0 unless TENS";
    DIGEST "chunk_digest" 56 32 "digest" "of the chunk's entries in the digest table";
    FRAME_LOG2 "frame_log2" 88 1 "u8" "bytes of content per frame as a power of two, 12 to 20; raw: 0";
    SHUFFLE_WIDTH "shuffle_width" 89 1 "u8" "bytes of the elements that were shuffled, 2, 4 or 8; else 0";
    RESERVED_1 "reserved" 90 6 "zero" "zero";
    FRAME_COUNT "frame_count" 96 8 "u64" "frames; raw: 0";
    DIRECTORY_LEN "directory_len" 104 8 "u64" "bytes of the tensor directory at the end of the stored bytes; 0: none";
    RESERVED_2 "reserved" 112 16 "zero" "zero";
}

record! {
    /// One tensor. Records are sorted by name; tensors of one chunk lie in it in the same order.
    tensor_record, 128;
    NAME_OFFSET "name_offset" 0 4 "u32" "where the name begins in the string table";
    NAME_LEN "name_len" 4 2 "u16" "bytes of the name, 1 to 255";
    DTYPE "dtype" 6 1 "u8" "see the table of dtypes";
    RANK "rank" 7 1 "u8" "dimensions, 0 to 8";
    CHUNK "chunk" 8 4 "u32" "number of the chunk record";
    RESERVED_1 "reserved" 12 4 "zero" "zero";
    OFFSET "offset" 16 8 "u64" "from the beginning of the chunk's content, a multiple of 64";
    LEN_BYTES "len" 24 8 "u64" "bytes: the product of the extents and the dtype's size";
    SHAPE "shape" 32 64 "8 x u64" "extents, slowest first; those past the rank are zero";
    RESERVED_2 "reserved" 96 32 "zero" "zero";
}

record! {
    /// A chunk's prologue: enough to carve the chunk out of a file that lost both copies of its metadata.
    prologue, super::PROLOGUE_LEN;
    MAGIC "magic" 0 8 "bytes" "46 4F 4C 44 63 68 6B 32 (FOLDchk2)";
    UUID "uuid" 8 16 "uuid" "as in the superblock";
    CHUNK "chunk" 24 4 "u32" "number of the chunk";
    KIND "kind" 28 1 "u8" "as in the chunk record";
    ENCODING "encoding" 29 1 "u8" "as in the chunk record";
    BLOCK_LOG2 "block_log2" 30 1 "u8" "as in the superblock";
    DIGEST_KIND "digest_kind" 31 1 "u8" "as in the superblock";
    STORED_LEN "stored_len" 32 8 "u64" "as in the chunk record";
    CONTENT_LEN "content_len" 40 8 "u64" "as in the chunk record";
    FIRST_BLOCK "first_block" 48 8 "u64" "as in the chunk record";
    BLOCK_COUNT "block_count" 56 8 "u64" "as in the chunk record";
    TENSOR_COUNT "tensor_count" 64 8 "u64" "as in the chunk record";
    DIGEST "chunk_digest" 72 32 "digest" "as in the chunk record";
    NAME_LEN "name_len" 104 2 "u16" "bytes of the name";
    NAME "name" 106 255 "bytes" "the chunk's name, then zeros";
    RESERVED_1 "reserved" 361 7 "zero" "zero";
    FRAME_LOG2 "frame_log2" 368 1 "u8" "as in the chunk record";
    SHUFFLE_WIDTH "shuffle_width" 369 1 "u8" "as in the chunk record";
    RESERVED_2 "reserved" 370 6 "zero" "zero";
    FRAME_COUNT "frame_count" 376 8 "u64" "as in the chunk record";
    DIRECTORY_LEN "directory_len" 384 8 "u64" "as in the chunk record";
    RESERVED_3 "reserved" 392 3672 "zero" "zero";
    SELF_DIGEST "prologue_digest" 4064 32 "digest" "of the prologue's bytes 0 to 4063";
}

/// Refuses to compile a record whose fields do not follow each other from 0 to `len` without a gap or an overlap.
const fn assert_gapless(fields: &[Field], len: usize) {
    let mut end = 0;
    let mut at = 0;
    while at < fields.len() {
        assert!(
            fields[at].offset == end,
            "a field does not begin where the one before it ends"
        );
        end += fields[at].size;
        at += 1;
    }
    assert!(end == len, "the fields do not fill the record");
}

const _: () = {
    assert!(superblock::SELF_DIGEST.offset == SELF_DIGEST_COVERS);
    assert!(superblock::ROOT.offset == ROOT_COVERS);
    assert!(superblock::RECORD_LEN as u64 == PAGE_LEN && prologue::RECORD_LEN as u64 == PAGE_LEN);
    assert!(prologue::NAME.size == MAX_NAME_LEN);
    assert!(tensor_record::SHAPE.size == MAX_RANK * 8);
    assert!(PAGE_LEN.is_multiple_of(TENSOR_ALIGN));
};
