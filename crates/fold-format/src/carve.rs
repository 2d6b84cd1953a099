//! Chunks of a file that lost its metadata: found by their prologues, told by their tensor directories.
//!
//! A prologue carries its own digest and that of its chunk. From it and the tensor directory an index of one chunk is put
//! together, and then read by the same rules as any other: nothing here decides what a record may say.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use std::ops::{ControlFlow, Range};

use crate::checkpoint::{Checkpoint, Reading};
use crate::copies::{Mirrored, Superblocks, read_range};
use crate::digest::{Digest, Hasher, table_entries};
use crate::directory::Directory;
use crate::error::Error;
use crate::finding::{Cause, Digested, Finding, Region};
use crate::geometry::{Geometry, Lengths};
use crate::info::{ChunkKind, DigestKind, Encoding};
use crate::layout::{
    BLOCK_LOG2_RANGE, FEATURE_COMPRESSED, Field, INDEX_MAGIC, PAGE_LEN, PROLOGUE_LEN, PROLOGUE_MAGIC, chunk_record,
    index_header, prologue as field, tensor_record,
};
use crate::limits::Limits;
use crate::name;
use crate::salvage::go_on;
use crate::source::ReadAt;
use crate::superblock::{Superblock, digest_field};
use crate::wire::{align_up, len_u64};

/// Bytes that are searched for prologues at once.
const WINDOW_LEN: u64 = 1 << 20;

/// A prologue whose own digest matched.
struct Found {
    offset: u64,
    bytes: Vec<u8>,
    uuid: [u8; 16],
    number: u32,
    name: String,
    kind: ChunkKind,
    block_log2: u8,
    digest_kind: DigestKind,
    stored_len: u64,
    first_block: u64,
    block_count: u64,
    directory_len: u64,
    digest: Digest,
}

impl Found {
    /// Decodes a prologue; `None` where it is not one, or not whole.
    fn decode(bytes: Vec<u8>, offset: u64) -> Option<Self> {
        if field::MAGIC.u64(&bytes)?.to_le_bytes() != PROLOGUE_MAGIC {
            return None;
        }
        let uuid = field::UUID.array16(&bytes)?;
        let number = field::CHUNK.u32(&bytes)?;
        let digest_kind = DigestKind::from_byte(field::DIGEST_KIND.u8(&bytes)?)?;
        let own = digest_field(&field::SELF_DIGEST, &bytes, digest_kind).ok()?;
        let covered = bytes.get(..field::SELF_DIGEST.offset)?;
        if Hasher::new(digest_kind, uuid).prologue(number, covered) != own {
            return None;
        }
        let block_log2 = field::BLOCK_LOG2
            .u8(&bytes)
            .filter(|log2| BLOCK_LOG2_RANGE.contains(log2))?;
        let name_len = usize::from(field::NAME_LEN.u16(&bytes)?);
        let name = name::checked(field::NAME.bytes(&bytes)?.get(..name_len)?)?.to_owned();
        let stored_len = field::STORED_LEN.u64(&bytes)?;
        let block_count = field::BLOCK_COUNT.u64(&bytes)?;
        let padded = align_up(stored_len, PAGE_LEN)?;
        if padded.div_ceil(1_u64.checked_shl(u32::from(block_log2))?) != block_count {
            return None;
        }
        let directory_len = field::DIRECTORY_LEN.u64(&bytes)?;
        Some(Self {
            offset,
            uuid,
            number,
            name,
            kind: ChunkKind::from_byte(field::KIND.u8(&bytes)?)?,
            block_log2,
            digest_kind,
            stored_len,
            first_block: field::FIRST_BLOCK.u64(&bytes)?,
            block_count,
            directory_len: (directory_len <= stored_len).then_some(directory_len)?,
            digest: digest_field(&field::DIGEST, &bytes, digest_kind).ok()?,
            bytes,
        })
    }

    fn hasher(&self) -> Hasher {
        Hasher::new(self.digest_kind, self.uuid)
    }

    /// Where the chunk ends in the file.
    fn end(&self) -> Option<u64> {
        self.offset
            .checked_add(len_u64(PROLOGUE_LEN))?
            .checked_add(align_up(self.stored_len, PAGE_LEN)?)
    }

    /// A superblock that would describe a file of this chunk alone.
    fn superblock(&self) -> Option<Superblock> {
        let mut geometry = Geometry::new(Lengths {
            index: len_u64(index_header::RECORD_LEN),
            digests: 0,
            digests_reserved: 0,
            payload: 0,
            parity: 0,
        })?;
        geometry.payload = self.offset..self.end()?;
        let none = self.hasher().root(&[]);
        Some(Superblock {
            version_minor: crate::layout::VERSION_MINOR,
            required_features: FEATURE_COMPRESSED,
            optional_features: 0,
            uuid: self.uuid,
            created_unix_ns: 0,
            block_log2: self.block_log2,
            digest_kind: self.digest_kind,
            block_count: self.first_block.checked_add(self.block_count)?,
            geometry,
            parity: None,
            index_digest: none,
            digests_digest: none,
            root: none,
            signature: None,
        })
    }

    /// An index of this chunk alone: with the tensors of its directory, or with its stored bytes as they are.
    fn index(&self, tensors: Option<&[u8]>) -> Option<Vec<u8>> {
        let (records, names) = match tensors {
            Some(directory) => {
                let count = usize::try_from(field::TENSOR_COUNT.u64(&self.bytes)?).ok()?;
                directory.split_at_checked(count.checked_mul(tensor_record::RECORD_LEN)?)?
            }
            None => (&[][..], &[][..]),
        };
        let strings_len = len_u64(self.name.len()).checked_add(len_u64(names.len()))?;
        let mut header = vec![0; index_header::RECORD_LEN];
        let mut put = |field: &Field, value: &[u8]| field.put(&mut header, value);
        put(&index_header::MAGIC, &INDEX_MAGIC);
        put(&index_header::CHUNK_COUNT, &1_u32.to_le_bytes());
        let tensor_count = len_u64(records.len()).checked_div(len_u64(tensor_record::RECORD_LEN))?;
        put(&index_header::TENSOR_COUNT, &tensor_count.to_le_bytes());
        put(&index_header::STRINGS_LEN, &strings_len.to_le_bytes());

        let mut record = vec![0; chunk_record::RECORD_LEN];
        let mut copy = |to: &Field, from: &Field| to.put(&mut record, from.bytes(&self.bytes).unwrap_or(&[]));
        copy(&chunk_record::NAME_LEN, &field::NAME_LEN);
        copy(&chunk_record::STORED_LEN, &field::STORED_LEN);
        copy(&chunk_record::FIRST_BLOCK, &field::FIRST_BLOCK);
        copy(&chunk_record::BLOCK_COUNT, &field::BLOCK_COUNT);
        copy(&chunk_record::DIGEST, &field::DIGEST);
        if tensors.is_some() || self.kind != ChunkKind::Tensors {
            copy(&chunk_record::KIND, &field::KIND);
            copy(&chunk_record::ENCODING, &field::ENCODING);
            copy(&chunk_record::CONTENT_LEN, &field::CONTENT_LEN);
            copy(&chunk_record::TENSOR_COUNT, &field::TENSOR_COUNT);
            copy(&chunk_record::FRAME_LOG2, &field::FRAME_LOG2);
            copy(&chunk_record::SHUFFLE_WIDTH, &field::SHUFFLE_WIDTH);
            copy(&chunk_record::FRAME_COUNT, &field::FRAME_COUNT);
            copy(&chunk_record::DIRECTORY_LEN, &field::DIRECTORY_LEN);
        } else {
            copy(&chunk_record::CONTENT_LEN, &field::STORED_LEN);
            chunk_record::KIND.put(&mut record, &[ChunkKind::Bytes.to_byte()]);
            chunk_record::ENCODING.put(&mut record, &[Encoding::Raw.to_byte()]);
        }
        chunk_record::OFFSET.put(&mut record, &self.offset.to_le_bytes());

        let mut bytes = header;
        bytes.extend_from_slice(&record);
        let mut name_offset = u32::try_from(self.name.len()).ok()?;
        for record in records.chunks_exact(tensor_record::RECORD_LEN) {
            let mut record = record.to_vec();
            tensor_record::NAME_OFFSET.put(&mut record, &name_offset.to_le_bytes());
            tensor_record::CHUNK.put(&mut record, &0_u32.to_le_bytes());
            name_offset = name_offset.checked_add(u32::from(tensor_record::NAME_LEN.u16(&record)?))?;
            bytes.extend_from_slice(&record);
        }
        bytes.extend_from_slice(self.name.as_bytes());
        bytes.extend_from_slice(names);
        Some(bytes)
    }

    fn finding(&self, cause: Cause) -> Box<Finding> {
        let end = self.end().unwrap_or(self.offset);
        Box::new(Finding::new(cause, Region::Content, self.offset..end).chunk(&self.name))
    }
}

/// A chunk that was found: its name, and what can be read of it.
pub(crate) struct Carved<'s, S: ?Sized> {
    pub(crate) name: String,
    pub(crate) kind: ChunkKind,
    /// A checkpoint of this chunk alone, or why there is none. Without a tensor directory, its stored bytes.
    pub(crate) checkpoint: Result<Checkpoint<&'s S>, Box<Finding>>,
    /// Whether the tensors are known by name.
    pub(crate) named: bool,
}

/// What is left of the metadata for carving: the uuid to look for, and the digest table.
struct Remains {
    uuid: Option<[u8; 16]>,
    table: Option<Vec<u8>>,
}

impl Remains {
    fn of(source: &(impl ReadAt + ?Sized), source_len: u64, limits: &Limits) -> Result<Self, Error> {
        let superblocks = Superblocks::read(source, source_len);
        let Ok((superblock, _)) = superblocks.choose() else {
            return Ok(Self {
                uuid: None,
                table: None,
            });
        };
        let table = match crate::copies::check_limits(superblock, limits) {
            Ok(()) => {
                Mirrored::digest_table(superblock)
                    .load(source, source_len, &superblock.hasher(), false)?
                    .whole
            }
            Err(_) => None,
        };
        Ok(Self {
            uuid: Some(superblock.uuid),
            table: table.map(|(_, table)| table),
        })
    }
}

/// Finds every chunk of a file by its prologue, in the order of the file.
///
/// # Errors
/// A lack of memory; the source's length cannot be had; `stop` broke off; what `found` fails with.
pub(crate) fn carve<S: ReadAt + ?Sized, E: From<Error>>(
    source: &S,
    source_len: u64,
    limits: &Limits,
    stop: &dyn Fn() -> ControlFlow<()>,
    found: &mut dyn FnMut(Carved<'_, S>) -> Result<(), E>,
) -> Result<(), E> {
    let remains = Remains::of(source, source_len, limits)?;
    let mut uuid = remains.uuid;
    let mut pages = Pages {
        source,
        source_len,
        window: 0..0,
        bytes: None,
        stop,
    };
    let mut at = 0_u64;
    while let Some(prologue) = pages.next_prologue(at)? {
        at = prologue.offset.saturating_add(PAGE_LEN);
        if uuid.is_some_and(|uuid| uuid != prologue.uuid) {
            continue;
        }
        uuid = Some(prologue.uuid);
        // What lies inside a chunk is its content, also where that is a container itself.
        at = prologue.end().unwrap_or(u64::MAX).max(at);
        found(open(
            source,
            source_len,
            limits,
            stop,
            &prologue,
            remains.table.as_deref(),
        )?)?;
    }
    Ok(())
}

/// A file's pages, which are read once however many prologues they hold.
struct Pages<'s, S: ?Sized> {
    source: &'s S,
    source_len: u64,
    /// What was read last.
    window: Range<u64>,
    /// Its bytes; none where they cannot be read as a whole.
    bytes: Option<Vec<u8>>,
    stop: &'s dyn Fn() -> ControlFlow<()>,
}

impl<S: ReadAt + ?Sized> Pages<'_, S> {
    /// The next whole prologue at a page from `from` on.
    fn next_prologue(&mut self, from: u64) -> Result<Option<Found>, Error> {
        let mut at = from;
        loop {
            go_on(self.stop)?;
            let page = at..at.saturating_add(PAGE_LEN);
            if page.end > self.source_len {
                return Ok(None);
            }
            if !self.window.contains(&at) {
                self.window = at..at.saturating_add(WINDOW_LEN).min(self.source_len);
                self.bytes = read_range(self.source, &self.window)?.ok();
            }
            if let Some(bytes) = self.page(&page)?
                && let Some(found) = Found::decode(bytes, at)
            {
                return Ok(Some(found));
            }
            at = page.end;
        }
    }

    /// A page that begins like a prologue. Where the window cannot be read as a whole, pages are read one by one.
    fn page(&self, page: &Range<u64>) -> Result<Option<Vec<u8>>, Error> {
        let Some(bytes) = &self.bytes else {
            return Ok(read_range(self.source, page)?.ok());
        };
        let inside = |at: u64| usize::try_from(at.saturating_sub(self.window.start)).unwrap_or(usize::MAX);
        let bytes = bytes.get(inside(page.start)..inside(page.end)).unwrap_or(&[]);
        Ok(bytes.starts_with(&PROLOGUE_MAGIC).then(|| bytes.to_vec()))
    }
}

/// What can be read of a chunk that was found.
fn open<'s, S: ReadAt + ?Sized>(
    source: &'s S,
    source_len: u64,
    limits: &Limits,
    stop: &dyn Fn() -> ControlFlow<()>,
    found: &Found,
    table: Option<&[u8]>,
) -> Result<Carved<'s, S>, Error> {
    let carved = |checkpoint, named| Carved {
        name: found.name.clone(),
        kind: found.kind,
        checkpoint,
        named,
    };
    let entries = match entries(source, source_len, stop, found, table)? {
        Ok(entries) => entries,
        Err(finding) => return Ok(carved(Err(finding), false)),
    };
    let assemble = |tensors: Option<&[u8]>| -> Result<Checkpoint<&'s S>, Box<Finding>> {
        let parts = found.superblock().zip(found.index(tensors));
        let flaw = || found.finding(Cause::TensorDirectory);
        let (superblock, index) = parts.ok_or_else(flaw)?;
        let digests = (found.first_block, entries.clone());
        let directory = Directory::assemble_from(superblock, Region::Prologue, index, digests, limits);
        let directory = directory.map_err(|finding| found.finding(finding.cause))?;
        directory
            .check_tensors()
            .map_err(|finding| found.finding(finding.cause))?;
        Ok(Checkpoint::of(source, directory))
    };
    if found.kind != ChunkKind::Tensors {
        return Ok(carved(assemble(None), true));
    }
    let bytes = assemble(None);
    let directory = match &bytes {
        Ok(bytes) if found.directory_len > 0 => tensor_directory(bytes, found, source_len)?,
        _ => None,
    };
    Ok(match directory {
        Some(directory) => carved(assemble(Some(&directory)), true),
        None => carved(bytes, false),
    })
}

/// The verified tensor directory of a chunk; `None` where its blocks are damaged.
fn tensor_directory<S: ReadAt + ?Sized>(
    bytes: &Checkpoint<&S>,
    found: &Found,
    source_len: u64,
) -> Result<Option<Vec<u8>>, Error> {
    let Some(chunk) = bytes.directory.index.chunks.first() else {
        return Ok(None);
    };
    let range = found.stored_len.saturating_sub(found.directory_len)..found.stored_len;
    let place: Range<u64> = chunk.in_file(&range);
    if place.end > source_len {
        return Ok(None);
    }
    let mut directory = vec![0; usize::try_from(found.directory_len).unwrap_or(0)];
    let reading = Reading {
        chunk,
        chunk_name: &found.name,
        tensor: None,
    };
    match bytes.read_stored(reading, place.start, &mut directory) {
        Ok(()) => Ok(Some(directory)),
        Err(Error::Finding(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The digests of a chunk's blocks: from the digest table where that is left, else computed and proved by the chunk's
/// digest, which then speaks for the chunk as a whole or not at all.
fn entries(
    source: &(impl ReadAt + ?Sized),
    source_len: u64,
    stop: &dyn Fn() -> ControlFlow<()>,
    found: &Found,
    table: Option<&[u8]>,
) -> Result<Result<Vec<u8>, Box<Finding>>, Error> {
    let hasher = found.hasher();
    let leaf_len = hasher.kind.leaf_len();
    let known = table.and_then(|table| table_entries(table, leaf_len, found.first_block, found.block_count));
    if let Some(entries) = known.filter(|entries| hasher.chunk(found.number, entries) == found.digest) {
        return Ok(Ok(entries.to_vec()));
    }
    let end = found.end().unwrap_or(u64::MAX);
    if end > source_len {
        let cause = Cause::Length {
            expected: end,
            actual: source_len,
        };
        return Ok(Err(found.finding(cause)));
    }
    let block_len = 1_u64.checked_shl(u32::from(found.block_log2)).unwrap_or(PAGE_LEN);
    let mut start = found.offset.saturating_add(len_u64(PROLOGUE_LEN));
    let mut entries = Vec::new();
    let mut number = found.first_block;
    while start < end {
        go_on(stop)?;
        let range = start..start.saturating_add(block_len).min(end);
        start = range.end;
        match read_range(source, &range)? {
            Ok(block) => entries.extend_from_slice(hasher.block(number, &block).as_bytes()),
            Err(cause) => return Ok(Err(found.finding(cause))),
        }
        number = number.saturating_add(1);
    }
    let computed = hasher.chunk(found.number, &entries);
    if computed == found.digest {
        return Ok(Ok(entries));
    }
    Ok(Err(found.finding(Cause::Digest {
        of: Digested::Chunk,
        stored: found.digest,
        computed,
    })))
}
