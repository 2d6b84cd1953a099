//! A chunk's prologue: 4096 bytes that follow from the index, byte for byte.
//!
//! A reader with an index does not need it and compares it only when verifying; it is there for carving a chunk out of a
//! file that lost both copies of its metadata (`carve`). It is no block and needs no entry in the digest table.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use crate::digest::{Digest, Hasher};
use crate::frames::Framing;
use crate::info::{ChunkKind, Encoding};
use crate::layout::{PROLOGUE_LEN, PROLOGUE_MAGIC, prologue as field};
use crate::wire::len_u64;

/// What a prologue says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Prologue<'a> {
    pub(crate) uuid: [u8; 16],
    pub(crate) number: u32,
    pub(crate) name: &'a str,
    pub(crate) kind: ChunkKind,
    pub(crate) framing: Option<Framing>,
    pub(crate) block_log2: u8,
    pub(crate) stored_len: u64,
    pub(crate) content_len: u64,
    pub(crate) first_block: u64,
    pub(crate) block_count: u64,
    pub(crate) tensor_count: u64,
    pub(crate) directory_len: u64,
    pub(crate) digest: Digest,
}

impl Prologue<'_> {
    /// The 4096 bytes.
    pub(crate) fn encode(&self, hasher: &Hasher) -> Vec<u8> {
        let mut bytes = vec![0; PROLOGUE_LEN];
        field::MAGIC.put(&mut bytes, &PROLOGUE_MAGIC);
        field::UUID.put(&mut bytes, &self.uuid);
        field::CHUNK.put(&mut bytes, &self.number.to_le_bytes());
        field::KIND.put(&mut bytes, &[self.kind.to_byte()]);
        let encoding = self.framing.map_or(Encoding::Raw, |framing| framing.encoding());
        field::ENCODING.put(&mut bytes, &[encoding.to_byte()]);
        field::BLOCK_LOG2.put(&mut bytes, &[self.block_log2]);
        field::DIGEST_KIND.put(&mut bytes, &[hasher.kind.to_byte()]);
        field::STORED_LEN.put(&mut bytes, &self.stored_len.to_le_bytes());
        field::CONTENT_LEN.put(&mut bytes, &self.content_len.to_le_bytes());
        field::FIRST_BLOCK.put(&mut bytes, &self.first_block.to_le_bytes());
        field::BLOCK_COUNT.put(&mut bytes, &self.block_count.to_le_bytes());
        field::TENSOR_COUNT.put(&mut bytes, &self.tensor_count.to_le_bytes());
        field::DIGEST.put(&mut bytes, self.digest.as_bytes());
        let name_len = u16::try_from(len_u64(self.name.len())).unwrap_or(0);
        field::NAME_LEN.put(&mut bytes, &name_len.to_le_bytes());
        field::NAME.put(&mut bytes, self.name.as_bytes());
        if let Some(framing) = &self.framing {
            field::FRAME_LOG2.put(&mut bytes, &[framing.log2]);
            field::SHUFFLE_WIDTH.put(&mut bytes, &[framing.shuffle_width]);
            field::FRAME_COUNT.put(&mut bytes, &framing.count.to_le_bytes());
        }
        field::DIRECTORY_LEN.put(&mut bytes, &self.directory_len.to_le_bytes());
        let covered = bytes.get(..field::SELF_DIGEST.offset).unwrap_or(&[]);
        let own = hasher.prologue(self.number, covered);
        field::SELF_DIGEST.put(&mut bytes, own.as_bytes());
        bytes
    }
}
