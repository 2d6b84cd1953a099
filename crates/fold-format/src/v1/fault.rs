//! What is wrong with a version 1 file: one kind per fault, under the names that the format's description uses.

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::Path;

use crate::code::{Class, Code, Severity};
use crate::name::Escaped;

/// One row per kind: the variant, its name, its code and what it means.
macro_rules! kinds {
    ($($variant:ident $name:literal $code:ident $meaning:literal;)+) => {
        /// What is wrong, by kind.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Kind {
            $(#[doc = concat!("`", $name, "`: ", $meaning, ".")] $variant,)+
        }

        impl Kind {
            /// The kind's name in the format's description, for example `crc_mismatch`.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// The stable code.
            #[must_use]
            pub const fn code(self) -> Code {
                match self { $(Self::$variant => Code::$code,)+ }
            }

            /// What it means, in one line.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning,)+ }
            }
        }
    };
}

kinds! {
    TruncatedHeader "truncated_header" WrongLength "the file ends inside its header";
    BadMagic "bad_magic" NotContainer "the file does not begin like a version 1 container";
    BadHeaderLen "bad_header_len" Malformed "the header's length is not 28";
    BadIndexOffset "bad_index_offset" OutOfBounds "the index begins inside the header; a writer that stopped before its end leaves such a file";
    IndexTooLarge "index_too_large" OverLimit "the index is longer than the limit";
    IndexTruncated "index_truncated" WrongLength "the index lies beyond the end of the file";
    IndexNotUtf8 "index_not_utf8" Malformed "the index is not UTF-8";
    IndexTooDeep "index_too_deep" OverLimit "the index is nested too deeply";
    IndexNotJson "index_not_json" Malformed "the index is not JSON";
    IndexDuplicateKey "index_duplicate_key" Malformed "an object of the index has a key twice";
    IndexBadString "index_bad_string" Malformed "a string of the index holds half a surrogate pair";
    IndexShape "index_shape" Malformed "a field of the index is missing or has the wrong type";
    BadFormat "bad_format" Malformed "the index says another format than fold";
    TooManyChunks "too_many_chunks" OverLimit "the index lists more chunks than the limit";
    DuplicateName "duplicate_name" DuplicateName "two chunks have the same name";
    ChunkOverlap "chunk_overlap" Overlap "two chunks lie on the same bytes";
    ChunkOutOfBounds "chunk_out_of_bounds" OutOfBounds "the chunk does not lie between header and index";
    HeaderIndexMismatch "header_index_mismatch" Prologue "the chunk's header and its entry in the index differ";
    ChunkTooLarge "chunk_too_large" OverLimit "the chunk is larger than the limit";
    UnknownFlags "unknown_flags" Malformed "the chunk's flags are neither stored nor zstd";
    UnknownEcc "unknown_ecc" Malformed "the chunk's parity is neither none nor rs(1) to rs(254)";
    CrcMismatch "crc_mismatch" BlockDigest "the stored bytes do not match their CRC-32C";
    Sha256Mismatch "sha256_mismatch" BlockDigest "the stored bytes do not match their SHA-256";
    EccUncorrectable "ecc_uncorrectable" BeyondParity "the chunk's parity does not suffice to restore it";
    ReadThroughParity "repaired" ReadThroughParity "the stored bytes are damaged, and its parity restores them exactly";
    ChunkHashAbsent "chunk_hash_absent" IndexDigest "the metadata's chunk_hashes do not have the chunk";
    ChunkHashMismatch "chunk_hash_mismatch" IndexDigest "the metadata's chunk_hashes and the index say different digests";
    ChunkMissing "chunk_missing" MissingChunk "the metadata's chunk_hashes have a chunk that the index lacks";
    MissingKey "missing_key" KeyNeeded "the chunk is encrypted and no key was given";
    BadNonce "bad_nonce" Malformed "the nonce is not 12 bytes in hex";
    AadMismatch "aad_mismatch" Malformed "the chunk's aad is not its name";
    DecryptFailed "decrypt_failed" Decryption "the chunk does not decrypt: another key, or altered";
    UnverifiableHmac "unverifiable_hmac" KeyNeeded "the digest needs the integrity key and none was given";
    HmacRequired "hmac_required" Unkeyed "an integrity key was given and the digest is made without one";
    BadCompression "bad_compression" Decompression "the stored bytes are not one whole zstd frame";
    SizeMismatch "size_mismatch" Decompression "the payload is not as long as the index says";
    Unreadable "unreadable" Io "the system did not deliver the bytes";
    ManifestMismatch "manifest_mismatch" IndexDigest "the metadata do not match their manifest_hash";
    MerkleMismatch "merkle_mismatch" RootDigest "the chunk table does not match its merkle_root";
    MerkleMissing "merkle_missing" RootDigest "the metadata promise a merkle_root and there is none";
    SignatureInvalid "signature_invalid" Signature "the signature over the four signed metadata fields is not that of the given key";
    TrustBlockInvalid "trust_block_invalid" Signature "the trust block's signature is not that of the given key";
    TrustBlockMismatch "trust_block_mismatch" Signature "the trust block is genuine, and of another file";
    ProvenanceInvalid "provenance_invalid" IndexDigest "an entry of the provenance chain does not match its hash";
    ManifestHashAbsent "manifest_hash_absent" HashAbsent "no manifest_hash: nothing speaks for the metadata";
    UnknownVersion "unknown_version" UnknownMinor "the index says a version that no PyFolds wrote; it was read as 1.2.0";
    TrailingBytes "trailing_bytes" UnclaimedBytes "bytes follow the index";
    GapBytes "gap_bytes" UnclaimedBytes "bytes between the chunks belong to none";
    ParityDamaged "parity_damaged" ParityDamaged "the chunk is whole, its parity is not";
}

/// One thing that is wrong, located.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// The file, where it was opened by its path.
    pub path: Option<Box<Path>>,
    /// What is wrong.
    pub kind: Kind,
    /// The chunk concerned, where one is.
    pub chunk: Option<Box<str>>,
    /// File offsets, half-open: covers everything that may be damaged, as narrowly as the digests allow.
    pub byte_range: Range<u64>,
    /// Whether the file itself holds what is needed to restore these bytes exactly.
    pub repairable: bool,
    /// Whether the chunk's payload is whole all the same: its digests match by the other copy of its header.
    pub salvageable: bool,
    /// What the system said, where it did not deliver.
    pub io: Option<io::ErrorKind>,
}

impl Finding {
    pub(crate) fn new(kind: Kind, byte_range: Range<u64>) -> Self {
        Self {
            path: None,
            kind,
            chunk: None,
            byte_range,
            repairable: false,
            salvageable: false,
            io: None,
        }
    }

    pub(crate) fn chunk(mut self, name: &str) -> Self {
        self.chunk = Some(name.into());
        self
    }

    pub(crate) fn repairable(mut self, repairable: bool) -> Self {
        self.repairable = repairable;
        self
    }

    pub(crate) fn unreadable(error: &io::Error, byte_range: Range<u64>) -> Self {
        Self {
            io: Some(error.kind()),
            ..Self::new(Kind::Unreadable, byte_range)
        }
    }

    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> Code {
        self.kind.code()
    }

    /// How bad it is.
    #[must_use]
    pub const fn severity(&self) -> Severity {
        self.code().severity()
    }

    /// Whose move it is.
    #[must_use]
    pub const fn class(&self) -> Class {
        self.code().class()
    }
}

/// `FOLD-E0301 damaged: chunk `torch_state`, bytes 60..124: the stored bytes do not match their CRC-32C`
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: ", self.code(), self.class())?;
        if let Some(path) = &self.path {
            write!(f, "{}, ", Escaped(&path.to_string_lossy()))?;
        }
        if let Some(chunk) = &self.chunk {
            write!(f, "chunk {}, ", Escaped(chunk))?;
        }
        let range = &self.byte_range;
        write!(f, "bytes {}..{}: {}", range.start, range.end, self.kind.meaning())?;
        match self.io {
            Some(kind) => write!(f, ": {kind}"),
            None => Ok(()),
        }
    }
}
