//! How much a file may ask of its reader.

/// Upper bounds for what a file's metadata may claim, checked before anything of that size is read or allocated.
///
/// Whatever the limits, a reader's memory is a constant and a small multiple of the source's length; the content of a
/// compressed chunk, where a caller asks for all of it at once, is at most 64 times its stored bytes, and takes memory as
/// its blocks are found whole. A real file that meets a limit is reported as `FOLD-E0205`, and opens with the limit raised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of one copy of the index, metadata included. Default 256 MiB: about 1.5 million tensors.
    pub max_index_bytes: u64,
    /// Bytes of one copy of the digest table. Default 128 MiB: 1 TiB in blocks of 64 KiB.
    pub max_digest_table_bytes: u64,
    /// Chunks. Default 65,536.
    pub max_chunks: u64,
    /// Tensors. Default 2,097,152.
    pub max_tensors: u64,
    /// Bytes of the metadata text. Default 64 MiB.
    pub max_metadata_bytes: u64,
    /// Bytes of a version 1 file's index. Default 100 MiB, as PyFolds has it.
    pub max_v1_index_bytes: u64,
    /// Bytes of a version 1 chunk, as stored and as payload, and of its parity. Default 2 GiB, as PyFolds has it.
    pub max_v1_chunk_bytes: u64,
}

impl Limits {
    /// The defaults.
    pub const DEFAULT: Self = Self {
        max_index_bytes: 256 << 20,
        max_digest_table_bytes: 128 << 20,
        max_chunks: 1 << 16,
        max_tensors: 1 << 21,
        max_metadata_bytes: 64 << 20,
        max_v1_index_bytes: 100 << 20,
        max_v1_chunk_bytes: 2 << 30,
    };
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}
