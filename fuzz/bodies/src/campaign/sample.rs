//! A whole file and everything that is known of it: what its damaged copies are held against.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use fold_format::{Checkpoint, ChunkKind, Content, Encoding, OpenOptions, SaveOptions, save};

use crate::layouts::{Layout, layouts};
use crate::writer::Memory;

/// Bytes of a page: superblocks, prologues and the borders of chunks.
pub(super) const PAGE: usize = 4096;

/// A tensor or a chunk of something else, under its name.
#[derive(Clone, Debug)]
pub(super) struct Item {
    /// The chunk that it lies in.
    pub(super) chunk: String,
    /// What reading it gives.
    pub(super) bytes: Vec<u8>,
    /// The bytes of the file that reading it needs, whole blocks; all of its chunk's where it is compressed.
    pub(super) needs: Range<usize>,
}

/// A whole file.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    pub(super) name: String,
    pub(super) bytes: Vec<u8>,
    pub(super) tensors: BTreeMap<String, Item>,
    /// Chunks of text and bytes.
    pub(super) chunks: BTreeMap<String, Item>,
    /// The content of every chunk of tensors, as one piece.
    pub(super) tensor_chunks: BTreeMap<String, Vec<u8>>,
    /// The bytes of every block: of content first, then of parity, as they are numbered.
    pub(super) blocks: Vec<Range<usize>>,
    /// How many of them are content.
    pub(super) data_blocks: usize,
    /// Blocks of a group that parity restores; none without parity.
    pub(super) parity: Option<usize>,
    /// Where each chunk ends, padding included, by name.
    pub(super) ends: BTreeMap<String, usize>,
}

impl Sample {
    pub(super) fn new(name: impl Into<String>, bytes: Vec<u8>) -> Self {
        let opened = Checkpoint::open_source(&bytes[..], &OpenOptions::default()).expect("a whole file opens");
        let info = opened.info().clone();
        let block_len = info.block_bytes as usize;
        let mut blocks: Vec<Range<usize>> = Vec::new();
        let (mut ends, mut places) = (BTreeMap::new(), BTreeMap::new());
        // By name, which is their order in the file.
        for chunk in opened.chunks() {
            let start = chunk.offset as usize;
            let end = (start + chunk.stored_bytes as usize).next_multiple_of(PAGE);
            blocks.extend((start..end).step_by(block_len).map(|at| at..(at + block_len).min(end)));
            ends.insert(chunk.name.to_owned(), end);
            places.insert(chunk.name.to_owned(), (start, end, chunk.encoding));
        }
        let data_blocks = blocks.len();
        // Parity follows the last chunk.
        let parity = blocks.last().map_or(0, |block: &Range<usize>| block.end);
        let parity_blocks = info.parity.map_or(0, |parity| parity.grouping.parity_blocks() as usize);
        blocks.extend((0..parity_blocks).map(|number| parity + number * block_len..parity + (number + 1) * block_len));
        let needs = |chunk: &str, from: usize, len: usize| {
            let (start, end, encoding) = places[chunk];
            if encoding != Encoding::Raw || len == 0 {
                return start..if len == 0 { start } else { end };
            }
            let first = start + (from - start) / block_len * block_len;
            first..(start + (from + len - start).next_multiple_of(block_len)).min(end)
        };
        let tensors = opened.tensors().expect("a whole file lists its tensors");
        let tensors = tensors.map(|tensor| {
            let bytes = opened.tensor(tensor.name).expect("a whole file is read");
            let bytes = bytes.as_bytes().to_vec();
            let item = Item {
                chunk: tensor.chunk.to_owned(),
                needs: needs(tensor.chunk, tensor.offset as usize, bytes.len()),
                bytes,
            };
            (tensor.name.to_owned(), item)
        });
        let chunks = opened.chunks().filter(|chunk| chunk.kind != ChunkKind::Tensors);
        let chunks = chunks.map(|chunk| {
            let bytes = opened.chunk(chunk.name).expect("a whole file is read");
            let item = Item {
                chunk: chunk.name.to_owned(),
                needs: needs(chunk.name, chunk.offset as usize, bytes.len()),
                bytes,
            };
            (chunk.name.to_owned(), item)
        });
        let of_tensors = opened.chunks().filter(|chunk| chunk.kind == ChunkKind::Tensors);
        let of_tensors = of_tensors.map(|chunk| {
            let content = opened.chunk(chunk.name).expect("a whole file is read");
            (chunk.name.to_owned(), content)
        });
        Self {
            name: name.into(),
            tensor_chunks: of_tensors.collect(),
            tensors: tensors.collect(),
            chunks: chunks.collect(),
            blocks,
            data_blocks,
            parity: info.parity.map(|parity| parity.grouping.group_parity() as usize),
            ends,
            bytes,
        }
    }

    /// The file of this content.
    pub(super) fn saved(name: &str, content: &Content<'_>, options: &SaveOptions) -> Self {
        let (memory, path) = (Memory::default(), Path::new("sample.fold"));
        save(&memory, path, content, options).expect("what a campaign saves can be saved");
        Self::new(name, memory.get(path).expect("a successful save leaves the file"))
    }

    /// The block that holds a byte.
    pub(super) fn block_at(&self, at: usize) -> Option<usize> {
        self.blocks.iter().position(|block| block.contains(&at))
    }
}

/// Every layout.
pub(super) fn samples() -> Vec<Sample> {
    let sample = |Layout { name, bytes }| Sample::new(name, bytes);
    layouts().into_iter().map(sample).collect()
}
