//! A second reader of the container, plain and slow, written from `docs/format/SPEC.md` alone.
//!
//! It shares no code with `fold-format`: its own offsets, arithmetic in 128 bits instead of checked 64, whole files in
//! memory, recursion and copies where they are the obvious thing. What the two readers do not agree on is a defect of one
//! of them or of the document. Rules are answered by their text, so that a disagreement says which one it is about.
//!
//! Compressed chunks it decodes with another implementation of zstd, parity it computes by the definition, signatures it
//! checks with another implementation of ed25519.

mod frames;
mod parity;

pub use frames::DECODER;

use std::ops::Range;

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed, xxh3_128, xxh3_128_with_seed};

/// The rule that a file breaks.
pub type Broken = &'static str;

/// Bytes of a superblock, of a prologue and of a page.
pub const PAGE: usize = 4096;

/// Feature bits of `required_features`.
const COMPRESSION: u64 = 1 << 0;
const PARITY: u64 = 1 << 1;
const SEALED: u64 = 1 << 2;
const SIGNED: u64 = 1 << 3;
/// The bits that this reader knows.
const KNOWN: u64 = COMPRESSION | PARITY | SEALED | SIGNED;

/// A chunk as its record describes it.
#[derive(Clone, Debug)]
pub struct Chunk {
    /// The chunk's name.
    pub name: String,
    /// 1 TENS, 2 JSON, 3 BYTE.
    pub kind: u8,
    /// The bytes of the decoded content, padding not included.
    pub content: Result<Vec<u8>, Broken>,
    offset: usize,
    stored_len: usize,
    content_len: usize,
    directory_len: usize,
    first_block: usize,
    block_count: usize,
    tensor_count: u64,
    framing: Option<frames::Framing>,
}

/// A tensor as its record describes it.
#[derive(Clone, Debug)]
pub struct Tensor {
    /// The tensor's name.
    pub name: String,
    /// The number of its dtype.
    pub dtype: u8,
    /// Its extents.
    pub shape: Vec<u64>,
    /// Its bytes, where every block that they lie on matches its digest.
    pub bytes: Result<Vec<u8>, Broken>,
    chunk: usize,
    offset: usize,
}

/// What a file holds.
#[derive(Clone, Debug)]
pub struct Contents {
    /// The text of the metadata.
    pub metadata: String,
    /// By name.
    pub chunks: Vec<Chunk>,
    /// By name; or the rule that a record breaks.
    pub tensors: Result<Vec<Tensor>, Broken>,
}

fn need(kept: bool, rule: Broken) -> Result<(), Broken> {
    if kept { Ok(()) } else { Err(rule) }
}

/// `len` bytes, 1 to 8, as a number.
fn number(bytes: &[u8], at: usize, len: usize) -> u64 {
    let field = bytes[at..at + len].iter().rev();
    field.fold(0, |value, &byte| value << 8 | u64::from(byte))
}

fn up(value: u128) -> u128 {
    value.div_ceil(4096) * 4096
}

fn zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|&byte| byte == 0)
}

/// The digests of one file.
pub(crate) struct Digests {
    pub(crate) uuid: Vec<u8>,
    pub(crate) kind: u8,
}

impl Digests {
    fn place(&self, domain: u64, position: u64) -> [u8; 32] {
        let place = [&self.uuid[..], &domain.to_le_bytes(), &position.to_le_bytes()].concat();
        place.try_into().expect("16 + 8 + 8 bytes")
    }

    /// A digest field: what is used of it, then zeros.
    pub(crate) fn node(&self, domain: u64, position: u64, bytes: &[u8]) -> Vec<u8> {
        let place = self.place(domain, position);
        if self.kind == 2 {
            return blake3::keyed_hash(&place, bytes).as_bytes().to_vec();
        }
        let mut field = xxh3_128_with_seed(bytes, xxh3_64(&place)).to_le_bytes().to_vec();
        field.resize(32, 0);
        field
    }

    /// An entry of the digest table.
    pub(crate) fn block(&self, position: u64, bytes: &[u8]) -> Vec<u8> {
        if self.kind == 2 {
            return self.node(1, position, bytes);
        }
        xxh3_64_with_seed(bytes, xxh3_64(&self.place(1, position)))
            .to_le_bytes()
            .to_vec()
    }

    /// Bytes of an entry of the digest table.
    pub(crate) fn entry_len(&self) -> usize {
        if self.kind == 2 { 32 } else { 8 }
    }
}

/// The superblock's own digest.
pub(crate) fn own_digest(superblock: &[u8]) -> Vec<u8> {
    xxh3_128(&superblock[..4080]).to_le_bytes().to_vec()
}

/// Section 2: magic and own digest, which make a copy a whole one.
fn is_whole(superblock: &[u8]) -> bool {
    superblock.len() == PAGE && superblock[..8] == *b"\x89FOLD\r\n\x1a" && superblock[4080..] == own_digest(superblock)
}

/// The facts of a superblock that keeps all rules of sections 1 and 2.
struct Superblock {
    digests: Digests,
    block_len: usize,
    block_count: usize,
    payload: usize,
    payload_len: usize,
    compressed: bool,
    parity_blocks: usize,
    parity_groups: usize,
    index: [usize; 2],
    index_len: usize,
    table: [usize; 2],
    table_len: usize,
    index_digest: Vec<u8>,
    table_digest: Vec<u8>,
    file_len: u128,
    /// Whether reserved bytes must be zero.
    strict: bool,
}

fn superblock(bytes: &[u8]) -> Result<Superblock, Broken> {
    let field = |at: usize, len: usize| number(bytes, at, len);
    need(field(8, 2) == 2, "version_major is 2")?;
    let (required, optional) = (field(16, 8), field(24, 8));
    need(required & !KNOWN == 0, "no unknown required feature")?;
    let digests = Digests {
        uuid: bytes[40..56].to_vec(),
        kind: if required & SEALED == 0 { 1 } else { 2 },
    };
    need(bytes[256..288] == digests.node(5, 0, &bytes[..256]), "root_digest")?;
    need(
        required & SIGNED == 0 || required & SEALED != 0,
        "only a sealed file is signed",
    )?;
    let strict = field(10, 2) == 0 && optional == 0;
    need(field(12, 4) == 4096, "superblock_len is 4096")?;
    need((12..=20).contains(&bytes[64]), "block_log2 is 12 to 20")?;
    need(bytes[65] == digests.kind, "digest_kind goes with the features")?;
    need(
        usize::from(bytes[66]) == digests.entry_len(),
        "leaf_digest_len goes with the kind",
    )?;
    need(
        bytes[67] == if digests.kind == 2 { 32 } else { 16 },
        "node_digest_len goes with the kind",
    )?;
    let (with_parity, signed) = (required & PARITY != 0, required & SIGNED != 0);
    need(
        with_parity || zero(&bytes[208..226]) && zero(&bytes[228..248]),
        "no parity field without parity",
    )?;
    need(bytes[288] == u8::from(signed), "signature_kind goes with the features")?;
    need(
        signed || zero(&bytes[296..392]),
        "no key and no signature in a file that is not signed",
    )?;
    if strict {
        let reserved = [68..72, 226..228, 248..256, 289..296, 392..4080];
        need(
            reserved.into_iter().all(|range| zero(&bytes[range])),
            "reserved bytes are zero",
        )?;
    }
    if digests.kind == 1 {
        need(
            zero(&bytes[160..176]) && zero(&bytes[192..208]),
            "the rest of a digest field is zero",
        )?;
    }

    let wide = |at: usize| u128::from(field(at, 8));
    let (index_len, block_count, payload_len) = (wide(112), wide(72), wide(88));
    need(index_len >= 64, "index_len is at least 64")?;
    need(payload_len % 4096 == 0, "payload_len is a multiple of 4096")?;
    let block_len = 1_u128 << bytes[64];
    let parity_blocks = if with_parity { parity(bytes, block_count)? } else { 0 };
    let parity_len = parity_blocks * block_len;
    let digests_len = (block_count + parity_blocks) * digests.entry_len() as u128;
    let digests_offset = up(4096 + index_len);
    let mut payload_offset = up(digests_offset + digests_len);
    let compressed = required & COMPRESSION != 0;
    if compressed && wide(80) % 4096 == 0 {
        payload_offset = payload_offset.max(wide(80));
    }
    let index_mirror = payload_offset + payload_len + parity_len;
    let digests_mirror = up(index_mirror + index_len);
    let file_len = up(digests_mirror + digests_len) + 4096;
    for (at, expected) in [
        (96, 4096),
        (120, digests_offset),
        (80, payload_offset),
        (104, index_mirror),
        (128, digests_mirror),
        (32, file_len),
        (136, digests_len),
        (208, if with_parity { payload_offset + payload_len } else { 0 }),
        (216, parity_len),
    ] {
        need(wide(at) == expected, "offsets and lengths are those of section 1")?;
    }
    if signed {
        need(
            signature_matches(bytes),
            "the signature is that of the recorded key over the root",
        )?;
    }
    // Every one of them is equal to a field of 64 bits; that memory holds them is known once the file is as long.
    Ok(Superblock {
        digests,
        block_len: 1 << bytes[64],
        block_count: block_count as usize,
        payload: payload_offset as usize,
        payload_len: payload_len as usize,
        compressed,
        parity_blocks: parity_blocks as usize,
        parity_groups: if with_parity { field(236, 4) as usize } else { 0 },
        index: [4096, index_mirror as usize],
        index_len: index_len as usize,
        table: [digests_offset as usize, digests_mirror as usize],
        table_len: digests_len as usize,
        index_digest: bytes[144..176].to_vec(),
        table_digest: bytes[176..208].to_vec(),
        file_len,
        strict,
    })
}

/// Section 7.
fn signature_matches(superblock: &[u8]) -> bool {
    let message = [b"fold container: signed root, 1\0", &superblock[256..288]].concat();
    let key = ed25519_compact::PublicKey::from_slice(&superblock[296..328]);
    let signature = ed25519_compact::Signature::from_slice(&superblock[328..392]);
    key.is_ok_and(|key| signature.is_ok_and(|signature| key.verify(message, &signature).is_ok()))
}

/// Section 6: the numbers of parity follow from the blocks and the level. Returns the parity blocks.
fn parity(bytes: &[u8], block_count: u128) -> Result<u128, Broken> {
    let field = |at: usize| u128::from(number(bytes, at, 4));
    need(block_count > 0, "parity needs blocks")?;
    need(bytes[224] == 1, "parity_kind is Reed-Solomon")?;
    let groups = block_count.div_ceil(32_768);
    let group_data = block_count.div_ceil(groups);
    let share = |percent: u128| (group_data * percent).div_ceil(100).max(2);
    let group_parity = match bytes[225] {
        1 => share(2),
        2 => share(5),
        3 => share(10),
        4 => field(232),
        _ => return Err("parity_level is 1 to 4"),
    };
    need(
        (2..=32_768).contains(&group_parity),
        "a group has 2 to 32768 parity blocks",
    )?;
    let blocks = groups * group_parity;
    need(
        field(236) == groups && field(228) == group_data && field(232) == group_parity,
        "the groups follow from the blocks and the level",
    )?;
    need(
        u128::from(number(bytes, 240, 8)) == blocks,
        "parity_blocks are those of all groups",
    )?;
    Ok(blocks)
}

/// The superblock to use: A if it is whole and its file is this one, else B; and the rules, which a whole copy must keep.
fn choose_superblock(file: &[u8]) -> Result<Superblock, Broken> {
    let a = file.get(..PAGE).unwrap_or(&[]);
    let b = file.len().checked_sub(PAGE).map_or(&[][..], |start| &file[start..]);
    let mut whole = [a, b].into_iter().filter(|copy| is_whole(copy));
    let first = superblock(whole.next().ok_or("a superblock is whole")?)?;
    if metadata(file, &first).is_err()
        && let Some(Ok(second)) = whole.next().map(superblock)
        && metadata(file, &second).is_ok()
    {
        return Ok(second);
    }
    need(first.file_len == file.len() as u128, "file_len is the file's length")?;
    Ok(first)
}

/// A whole copy of the index and one of the digest table.
fn metadata<'f>(file: &'f [u8], superblock: &Superblock) -> Result<(&'f [u8], &'f [u8]), Broken> {
    need(
        superblock.file_len == file.len() as u128,
        "file_len is the file's length",
    )?;
    let digests = &superblock.digests;
    let index = choose_copy(file, superblock.index, superblock.index_len, |copy| {
        digests.node(3, 0, copy) == superblock.index_digest
    })?;
    let table = choose_copy(file, superblock.table, superblock.table_len, |copy| {
        digests.node(4, 0, copy) == superblock.table_digest
    })?;
    Ok((index, table))
}

/// The first copy that matches.
fn choose_copy(file: &[u8], copies: [usize; 2], len: usize, matches: impl Fn(&[u8]) -> bool) -> Result<&[u8], Broken> {
    let mut copies = copies.into_iter().map(|start| &file[start..start + len]);
    copies
        .find(|copy| matches(copy))
        .ok_or("a copy of index and digest table is whole")
}

/// Section 3: names are UTF-8, 1 to 255 bytes, without control characters.
fn name(bytes: &[u8]) -> Result<String, Broken> {
    let name = std::str::from_utf8(bytes).map_err(|_| "a name is UTF-8")?;
    need((1..=255).contains(&name.len()), "a name has 1 to 255 bytes")?;
    need(!name.chars().any(char::is_control), "a name has no control characters")?;
    Ok(name.to_owned())
}

/// Opens a file and reads whatever of it is whole, as section 6 says.
///
/// # Errors
/// The first rule that keeps it from being opened.
pub fn open(file: &[u8]) -> Result<Contents, Broken> {
    let superblock = choose_superblock(file)?;
    let (index, table) = metadata(file, &superblock)?;
    need(index[..8] == *b"FOLDidx2", "the index' magic")?;
    need(
        !superblock.strict || zero(&index[12..16]) && zero(&index[40..64]),
        "reserved bytes of the index header are zero",
    )?;
    let chunk_count = number(index, 8, 4) as usize;
    let (tensor_count, strings_len, metadata_len) = (number(index, 16, 8), number(index, 24, 8), number(index, 32, 8));
    let records = 128 * (chunk_count as u128 + u128::from(tensor_count));
    let total = 64 + records + u128::from(strings_len) + u128::from(metadata_len);
    need(
        total == index.len() as u128,
        "the parts of the index add up to index_len",
    )?;
    let (chunk_records, rest) = index[64..].split_at(128 * chunk_count);
    let (tensor_records, rest) = rest.split_at(128 * tensor_count as usize);
    let (strings, metadata) = rest.split_at(strings_len as usize);
    let metadata = std::str::from_utf8(metadata)
        .map_err(|_| "metadata are UTF-8")?
        .to_owned();

    let chunks = chunks(&superblock, chunk_records, strings, tensor_count)?;
    let blocks = Blocks::new(file, &superblock, table, &chunks);
    let read = |chunk: &Chunk, from: usize, to: usize| blocks.content(chunk, from, to);
    let tensors = tensors(&superblock, tensor_records, strings, &chunks, read);
    let with_content = chunks.into_iter().map(|mut chunk| {
        chunk.content = read(&chunk, 0, chunk.content_len);
        chunk
    });
    Ok(Contents {
        metadata,
        chunks: with_content.collect(),
        tensors,
    })
}

fn chunks(superblock: &Superblock, records: &[u8], strings: &[u8], tensor_count: u64) -> Result<Vec<Chunk>, Broken> {
    let mut chunks: Vec<Chunk> = Vec::new();
    let (mut names, mut offset, mut blocks, mut tensors) = (0, superblock.payload as u128, 0_u128, 0_u128);
    for record in records.chunks(128) {
        let field = |at: usize| number(record, at, 8);
        let name_len = number(record, 4, 2) as usize;
        need(
            number(record, 0, 4) == names as u64,
            "a name begins where the one before ends",
        )?;
        let name = name(
            strings
                .get(names..names + name_len)
                .ok_or("a name lies in the string table")?,
        )?;
        if let Some(before) = chunks.last() {
            need(before.name.as_bytes() < name.as_bytes(), "chunk records ascend by name")?;
        }
        let kind = record[6];
        need((1..=3).contains(&kind), "a chunk's kind is TENS, JSON or BYTE")?;
        need(
            !superblock.strict || zero(&record[90..96]) && zero(&record[112..128]),
            "reserved bytes of a chunk record are zero",
        )?;
        need(
            superblock.digests.kind == 2 || zero(&record[72..88]),
            "the rest of a digest field is zero",
        )?;
        let stored_len = u128::from(field(16));
        need(
            u128::from(field(8)) == offset,
            "a chunk begins where the one before ends",
        )?;
        offset += 4096 + up(stored_len);
        need(
            offset <= (superblock.payload + superblock.payload_len) as u128,
            "a chunk lies in the payload",
        )?;
        let (content_len, directory_len) = (u128::from(field(24)), u128::from(field(104)));
        need(kind == 1 || directory_len == 0, "directories lie in TENS chunks only")?;
        let with_directory = content_len.div_ceil(64) * 64 + directory_len;
        let framing = if record[7] == 0 {
            need(
                zero(&record[88..90]) && zero(&record[96..104]),
                "a raw chunk has no frame fields",
            )?;
            let expected = if directory_len == 0 {
                content_len
            } else {
                with_directory
            };
            need(stored_len == expected, "a raw chunk is its content and its directory")?;
            None
        } else {
            need(superblock.compressed, "compressed chunks have their feature bit")?;
            Some(frames::framing(record, content_len, stored_len, directory_len)?)
        };
        let block_count = up(stored_len).div_ceil(superblock.block_len as u128);
        need(
            u128::from(field(32)) == blocks,
            "first_block is the number of blocks before",
        )?;
        need(
            u128::from(field(40)) == block_count,
            "block_count is that of the stored bytes",
        )?;
        need(kind == 1 || field(48) == 0, "tensors lie in TENS chunks only")?;
        chunks.push(Chunk {
            name,
            kind,
            content: Err("not read yet"),
            offset: field(8) as usize,
            stored_len: stored_len as usize,
            content_len: content_len as usize,
            directory_len: directory_len as usize,
            first_block: blocks as usize,
            block_count: block_count as usize,
            tensor_count: field(48),
            framing,
        });
        names += name_len;
        blocks += block_count;
        tensors += u128::from(field(48));
    }
    need(
        offset == (superblock.payload + superblock.payload_len) as u128,
        "the last chunk ends with the payload",
    )?;
    need(
        blocks == superblock.block_count as u128,
        "the blocks of the chunks are those of the file",
    )?;
    need(
        tensors == u128::from(tensor_count),
        "the tensors of the chunks are those of the file",
    )?;
    Ok(chunks)
}

/// The numbers of dtypes and their bytes.
const DTYPE_LEN: [u128; 14] = [0, 1, 1, 1, 2, 2, 4, 4, 8, 8, 2, 2, 4, 8];

fn tensors(
    superblock: &Superblock,
    records: &[u8],
    strings: &[u8],
    chunks: &[Chunk],
    read: impl Fn(&Chunk, usize, usize) -> Result<Vec<u8>, Broken>,
) -> Result<Vec<Tensor>, Broken> {
    let mut tensors: Vec<Tensor> = Vec::new();
    let mut names = chunks.iter().map(|chunk| chunk.name.len()).sum::<usize>();
    // The end of the last tensor of every chunk, how many it has, and the bytes of their directory.
    let mut ends = vec![(0_u128, 0_u64, 0_usize); chunks.len()];
    for record in records.chunks(128) {
        let field = |at: usize| number(record, at, 8);
        let name_len = number(record, 4, 2) as usize;
        need(
            number(record, 0, 4) == names as u64,
            "a name begins where the one before ends",
        )?;
        let name = name(
            strings
                .get(names..names + name_len)
                .ok_or("a name lies in the string table")?,
        )?;
        if let Some(before) = tensors.last() {
            need(
                before.name.as_bytes() < name.as_bytes(),
                "tensor records ascend by name",
            )?;
        }
        names += name_len;
        let (dtype, rank) = (record[6], usize::from(record[7]));
        need((1..=13).contains(&dtype), "a tensor's dtype is in the table")?;
        need(rank <= 8, "a tensor has up to 8 dimensions")?;
        need(
            !superblock.strict || zero(&record[12..16]) && zero(&record[96..128]),
            "reserved bytes of a tensor record are zero",
        )?;
        need(zero(&record[32 + 8 * rank..96]), "extents past the rank are zero")?;
        let shape = (0..rank).map(|axis| field(32 + 8 * axis)).collect::<Vec<_>>();
        let extents = shape.iter().filter(|&&extent| extent != 0);
        let product = extents.fold(DTYPE_LEN[usize::from(dtype)], |product, &extent| {
            product.saturating_mul(u128::from(extent))
        });
        need(product <= u128::from(u64::MAX), "the shape does not overflow")?;
        let len = if shape.contains(&0) { 0 } else { product };
        need(u128::from(field(24)) == len, "len is that of shape and dtype")?;
        let number = number(record, 8, 4) as usize;
        let chunk = chunks.get(number).ok_or("a tensor's chunk exists")?;
        need(chunk.kind == 1, "a tensor's chunk is of kind TENS")?;
        let (end, count, directory_len) = &mut ends[number];
        let offset = u128::from(field(16));
        let expected = if *count == 0 { 0 } else { end.div_ceil(64) * 64 };
        need(
            offset == expected,
            "a tensor begins behind the one before, aligned to 64",
        )?;
        (*end, *count, *directory_len) = (offset + len, *count + 1, *directory_len + 128 + name_len);
        need(*end <= chunk.content_len as u128, "a tensor lies in its chunk")?;
        let from = offset as usize;
        tensors.push(Tensor {
            bytes: read(chunk, from, from + len as usize),
            name,
            dtype,
            shape,
            chunk: number,
            offset: from,
        });
    }
    need(names == strings.len(), "the string table ends with the last name")?;
    for (chunk, (end, count, directory_len)) in chunks.iter().zip(ends) {
        need(
            [0, directory_len].contains(&chunk.directory_len),
            "directory_len is that of the chunk's tensors",
        )?;
        need(chunk.tensor_count == count, "a chunk has the tensors that it says")?;
        need(
            chunk.kind != 1 || chunk.content_len as u128 == end,
            "the last tensor ends with the chunk",
        )?;
    }
    Ok(tensors)
}

/// The blocks of the chunks that match their digests, or could be restored to such.
struct Blocks {
    len: usize,
    /// By number; none where a block is lost.
    blocks: Vec<Option<Vec<u8>>>,
    /// Whether one of them, or of the parity, did not match as it was.
    lost: bool,
}

impl Blocks {
    fn new(file: &[u8], superblock: &Superblock, table: &[u8], chunks: &[Chunk]) -> Self {
        let len = superblock.block_len;
        let matching = |number: usize, bytes: &[u8]| {
            let entry_len = superblock.digests.entry_len();
            let entry = &table[entry_len * number..entry_len * (number + 1)];
            (superblock.digests.block(number as u64, bytes) == entry).then(|| bytes.to_vec())
        };
        let places = chunks.iter().flat_map(|chunk| {
            let start = chunk.offset + PAGE;
            let end = start + up(chunk.stored_len as u128) as usize;
            (start..end).step_by(len).map(move |at| at..(at + len).min(end))
        });
        let places = places.collect::<Vec<Range<usize>>>();
        let parity_start = superblock.payload + superblock.payload_len;
        let parity = (0..superblock.parity_blocks).map(|at| parity_start + at * len..parity_start + (at + 1) * len);
        let of = |(number, place): (usize, Range<usize>)| matching(number, &file[place]);
        let mut blocks = places.iter().cloned().enumerate().map(of).collect::<Vec<_>>();
        let parity = (blocks.len()..).zip(parity).map(of).collect::<Vec<_>>();
        let lost = blocks.iter().chain(&parity).any(Option::is_none);
        for group in 0..superblock.parity_groups {
            let own = |blocks: &[Option<Vec<u8>>]| -> Vec<Option<Vec<u8>>> {
                blocks
                    .iter()
                    .skip(group)
                    .step_by(superblock.parity_groups)
                    .cloned()
                    .collect()
            };
            let data = own(&blocks);
            if data.iter().all(Option::is_some) {
                continue;
            }
            let restored = parity::restore(&data, &own(&parity), len).unwrap_or_default();
            let restored = restored.into_iter().map(|(position, block)| {
                let number = position * superblock.parity_groups + group;
                matching(number, &block[..places[number].len()]).map(|block| (number, block))
            });
            // All of a group or none: a wrong one says that the parity is of something else.
            for (number, block) in restored.collect::<Option<Vec<_>>>().unwrap_or_default() {
                blocks[number] = Some(block);
            }
        }
        Self { len, blocks, lost }
    }

    /// Bytes `from..to` of a chunk's stored bytes, if every block that they lie on is there.
    fn stored(&self, chunk: &Chunk, from: usize, to: usize) -> Result<Vec<u8>, Broken> {
        if from == to {
            return Ok(Vec::new());
        }
        let mut bytes = Vec::new();
        let (first, last) = (from / self.len, (to - 1) / self.len);
        for number in first..=last {
            let block = self.blocks[chunk.first_block + number].as_ref();
            bytes.extend(block.ok_or("a block matches its digest")?);
        }
        Ok(bytes[from - first * self.len..to - first * self.len].to_vec())
    }

    /// Bytes `from..to` of a chunk's content.
    fn content(&self, chunk: &Chunk, from: usize, to: usize) -> Result<Vec<u8>, Broken> {
        let stored = |from, to| self.stored(chunk, from, to);
        match &chunk.framing {
            None => stored(from, to),
            Some(framing) => frames::content(framing, chunk.content_len, from, to, stored),
        }
    }
}

/// Whether the parity blocks of a file are those of its content, by the definition; none where it has no parity or does not
/// open.
#[must_use]
pub fn parity_is_right(file: &[u8]) -> Option<bool> {
    let contents = open(file).ok()?;
    let superblock = choose_superblock(file).ok()?;
    let table = &file[superblock.table[0]..][..superblock.table_len];
    let blocks = Blocks::new(file, &superblock, table, &contents.chunks).blocks;
    let blocks = blocks.into_iter().collect::<Option<Vec<_>>>()?;
    let groups = superblock.parity_groups;
    let start = superblock.payload + superblock.payload_len;
    let right = (0..superblock.parity_blocks).map(|at| {
        let data = blocks
            .iter()
            .skip(at % groups)
            .step_by(groups)
            .cloned()
            .collect::<Vec<_>>();
        let expected = parity::encode(
            &data,
            at / groups,
            superblock.parity_blocks / groups,
            superblock.block_len,
        );
        file[start + at * superblock.block_len..][..superblock.block_len] == expected
    });
    (groups > 0).then(|| right.collect::<Vec<_>>().into_iter().all(|right| right))
}

/// Reads a file of which every byte is as the document says.
///
/// # Errors
/// The first rule that is broken anywhere.
pub fn whole(file: &[u8]) -> Result<Contents, Broken> {
    let contents = open(file)?;
    let superblock = choose_superblock(file)?;
    let digests = &superblock.digests;
    need(
        file[..PAGE] == file[file.len() - PAGE..],
        "the superblocks are identical",
    )?;
    let mut covered = vec![0..PAGE, file.len() - PAGE..file.len()];
    for ([first, second], len) in [
        (superblock.index, superblock.index_len),
        (superblock.table, superblock.table_len),
    ] {
        need(
            file[first..first + len] == file[second..second + len],
            "the copies of the metadata are identical",
        )?;
        covered.extend([first..first + len, second..second + len]);
    }
    let table = &file[superblock.table[0]..][..superblock.table_len];
    let records = &file[superblock.index[0] + 64..];
    let tensors = contents.tensors.clone()?;
    let blocks = Blocks::new(file, &superblock, table, &contents.chunks);
    need(!blocks.lost, "a block matches its digest")?;
    for (number, chunk) in contents.chunks.iter().enumerate() {
        chunk.content.clone()?;
        let record = &records[128 * number..128 * (number + 1)];
        let entries =
            digests.entry_len() * chunk.first_block..digests.entry_len() * (chunk.first_block + chunk.block_count);
        need(
            digests.node(2, number as u64, &table[entries]) == record[56..88],
            "a chunk's digest is that of its entries",
        )?;
        let expected = prologue(file, &superblock, record, number, chunk);
        need(
            file[chunk.offset..chunk.offset + PAGE] == expected,
            "a prologue follows from the index",
        )?;
        covered.push(chunk.offset..chunk.offset + PAGE);
        if chunk.directory_len > 0 {
            let end = chunk.offset + PAGE + chunk.stored_len;
            let stored = end - chunk.directory_len..end;
            need(
                file[stored.clone()] == directory(records, &contents, &tensors, number),
                "a tensor directory follows from the index",
            )?;
            covered.push(stored);
        }
        let content = chunk.offset + PAGE;
        if chunk.framing.is_some() {
            if chunk.kind == 1 {
                gaps_are_zero(chunk.content.as_ref().map_err(|rule| *rule)?, number, &tensors)?;
            }
            covered.push(content..content + chunk.stored_len);
        } else if chunk.kind == 1 {
            // What no tensor covers is padding.
            let own = tensors.iter().filter(|tensor| tensor.chunk == number);
            for tensor in own {
                tensor.bytes.clone()?;
                let start = content + tensor.offset;
                covered.push(start..start + tensor.bytes.as_ref().map_or(0, Vec::len));
            }
        } else {
            covered.push(content..content + chunk.content_len);
        }
    }
    for at in 0..superblock.parity_blocks {
        let start = superblock.payload + superblock.payload_len + at * superblock.block_len;
        covered.push(start..start + superblock.block_len);
    }
    covered.sort_by_key(|range| (range.start, range.end));
    let mut end = 0;
    for range in covered {
        need(zero(&file[end.min(range.start)..range.start]), "padding is zero")?;
        end = end.max(range.end);
    }
    Ok(contents)
}

/// Between and behind the tensors of a compressed chunk, as of a raw one.
fn gaps_are_zero(content: &[u8], chunk: usize, tensors: &[Tensor]) -> Result<(), Broken> {
    let mut end = 0;
    for tensor in tensors.iter().filter(|tensor| tensor.chunk == chunk) {
        need(zero(&content[end..tensor.offset]), "padding is zero")?;
        end = tensor.offset + tensor.bytes.as_ref().map_or(0, Vec::len);
    }
    need(zero(&content[end..]), "padding is zero")
}

/// Section 4: the records of the chunk's tensors, then their names.
fn directory(records: &[u8], contents: &Contents, tensors: &[Tensor], chunk: usize) -> Vec<u8> {
    let first = 128 * contents.chunks.len();
    let own = || tensors.iter().enumerate().filter(|(_, tensor)| tensor.chunk == chunk);
    let records = own().flat_map(|(at, _)| &records[first + 128 * at..first + 128 * (at + 1)]);
    let names = own().flat_map(|(_, tensor)| tensor.name.as_bytes());
    records.chain(names).copied().collect()
}

/// Section 4: the prologue follows from the index.
fn prologue(file: &[u8], superblock: &Superblock, record: &[u8], number: usize, chunk: &Chunk) -> Vec<u8> {
    let mut bytes = b"FOLDchk2".to_vec();
    bytes.extend(&file[40..56]);
    bytes.extend((number as u32).to_le_bytes());
    bytes.extend([record[6], record[7], file[64], superblock.digests.kind]);
    // stored_len, content_len, first_block, block_count, tensor_count, chunk_digest: in the order of the record.
    bytes.extend(&record[16..88]);
    bytes.extend((chunk.name.len() as u16).to_le_bytes());
    bytes.extend(chunk.name.as_bytes());
    bytes.resize(368, 0);
    // frame_log2 and shuffle_width, frame_count and directory_len, likewise. What is reserved in the record is zero here.
    bytes.extend(&record[88..90]);
    bytes.resize(376, 0);
    bytes.extend(&record[96..112]);
    bytes.resize(4064, 0);
    let own = superblock.digests.node(6, number as u64, &bytes);
    bytes.extend(own);
    bytes
}
