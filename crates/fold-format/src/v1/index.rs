//! The index of a version 1 file: JSON to a chunk table, with everything that contradicts itself refused.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use std::collections::HashMap;
use std::collections::hash_map::Entry as Place;
use std::ops::Range;

use super::fault::{Finding, Kind};
use super::layout::{CHUNK_HEADER_LEN, ChunkHeader, FILE_HEADER_LEN, FileHeader};
use crate::json::{self, Value};
use crate::wire::len_u64;

/// The versions that PyFolds knows; they mean the same layout.
const KNOWN_VERSIONS: [&str; 3] = ["1.0.0", "1.1.0", "1.2.0"];

/// One chunk, as the index describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry {
    /// Its name: any text, may be empty.
    pub name: Box<str>,
    /// Its type, for example `TSAV`.
    pub ctype: Box<str>,
    /// 0 stored, 1 zstd.
    pub flags: u64,
    /// Where its header begins.
    pub offset: u64,
    pub(crate) header_len: u64,
    /// Bytes as stored.
    pub comp_len: u64,
    /// Bytes of the payload.
    pub uncomp_len: u64,
    /// CRC-32C of the stored bytes, as recorded.
    pub crc32c: u64,
    /// SHA-256 of the stored bytes, as recorded.
    pub sha256: Box<str>,
    /// `none` or `rs(n)`.
    pub ecc_algo: Box<str>,
    /// Bytes of parity behind the stored bytes.
    pub ecc_len: u64,
    /// Whether the stored bytes are encrypted.
    pub encrypted: bool,
    pub(crate) nonce_hex: Option<Box<str>>,
    pub(crate) aad: Option<Box<str>>,
    /// What is wrong with the copy of its digest in the metadata.
    pub(crate) hash_fault: Option<Kind>,
}

impl Entry {
    fn read(value: &Value) -> Option<Self> {
        let text = |key| value.get(key).and_then(Value::as_str).map(Box::<str>::from);
        let number = |key| value.get(key).and_then(Value::as_u64);
        let optional = |key| match value.get(key) {
            None | Some(Value::Null) => Some(None),
            Some(value) => value.as_str().map(|text| Some(text.into())),
        };
        Some(Self {
            name: text("name")?,
            ctype: text("ctype")?,
            flags: number("flags")?,
            offset: number("offset")?,
            header_len: number("header_len")?,
            comp_len: number("comp_len")?,
            uncomp_len: number("uncomp_len")?,
            crc32c: number("crc32c")?,
            sha256: text("sha256")?,
            ecc_algo: text("ecc_algo")?,
            ecc_len: number("ecc_len")?,
            encrypted: match value.get("encrypted") {
                None | Some(Value::Null) => false,
                Some(flag) => flag.as_bool()?,
            },
            nonce_hex: optional("nonce_hex")?,
            aad: optional("aad")?,
            hash_fault: None,
        })
    }

    /// Where the stored bytes begin in the file.
    #[must_use]
    pub const fn content_offset(&self) -> u64 {
        self.offset.saturating_add(CHUNK_HEADER_LEN)
    }

    /// The bytes of header, content and parity; none where they overflow.
    pub(crate) fn extent(&self) -> Option<Range<u64>> {
        let end = self
            .offset
            .checked_add(CHUNK_HEADER_LEN)?
            .checked_add(self.comp_len)?
            .checked_add(self.ecc_len)?;
        Some(self.offset..end)
    }

    /// The chunk's header, could it be written from the entry.
    pub(crate) fn header(&self) -> Option<ChunkHeader> {
        Some(ChunkHeader {
            ctype: self.ctype.as_bytes().try_into().ok()?,
            flags: u32::try_from(self.flags).ok()?,
            uncomp_len: self.uncomp_len,
            comp_len: self.comp_len,
            crc32c: u32::try_from(self.crc32c).ok()?,
            ecc_len: u32::try_from(self.ecc_len).ok()?,
        })
    }
}

/// Holds every entry's digest against its copy in the metadata, where there are such copies.
fn check_hashes(entries: &mut [Entry], index: &Value) {
    let hashes = index.get("metadata").and_then(|metadata| metadata.get("chunk_hashes"));
    let Some(hashes) = hashes else { return };
    let named = hashes.as_object().unwrap_or_default().iter();
    let named: HashMap<&str, &Value> = named.map(|(name, hash)| (&**name, hash)).collect();
    for entry in entries {
        entry.hash_fault = match named.get(&*entry.name) {
            None => Some(Kind::ChunkHashAbsent),
            Some(Value::String(hash)) if *hash == entry.sha256 => None,
            Some(_) => Some(Kind::ChunkHashMismatch),
        };
    }
}

/// The index of a file whose structure is sound.
#[derive(Clone, Debug)]
pub(crate) struct Index {
    /// The whole text, parsed.
    pub(crate) value: Value,
    pub(crate) version: Box<str>,
    /// In the order of the table.
    pub(crate) entries: Vec<Entry>,
    /// The entries' places in the table: a file may have tens of thousands of chunks.
    places: HashMap<Box<str>, usize>,
    /// Where the index lies.
    pub(crate) range: Range<u64>,
}

impl Index {
    /// Reads the text of an index.
    pub(crate) fn parse(text: &[u8], header: FileHeader, max_chunks: u64) -> Result<Self, Box<Finding>> {
        let start = header.index_offset;
        let range = start..start.saturating_add(header.index_len);
        let whole = |kind| Box::new(Finding::new(kind, range.clone()));
        let value = json::parse(text).map_err(|fault| {
            whole(match fault {
                json::Fault::NotUtf8 { .. } => Kind::IndexNotUtf8,
                json::Fault::TooDeep { .. } => Kind::IndexTooDeep,
                json::Fault::DuplicateKey { .. } => Kind::IndexDuplicateKey,
                json::Fault::LoneSurrogate { .. } => Kind::IndexBadString,
                json::Fault::Syntax { .. } => Kind::IndexNotJson,
            })
        })?;
        if value.as_object().is_none() {
            return Err(whole(Kind::IndexShape));
        }
        match value.get("format") {
            Some(Value::String(format)) if &**format == "fold" => {}
            Some(Value::String(_)) => return Err(whole(Kind::BadFormat)),
            _ => return Err(whole(Kind::IndexShape)),
        }
        let version = match value.get("version") {
            None => "1.0.0".into(),
            Some(version) => version.as_str().ok_or_else(|| whole(Kind::IndexShape))?.into(),
        };
        if value
            .get("metadata")
            .is_some_and(|metadata| metadata.as_object().is_none())
        {
            return Err(whole(Kind::IndexShape));
        }
        let table = value
            .get("chunks")
            .and_then(Value::as_array)
            .ok_or_else(|| whole(Kind::IndexShape))?;
        if len_u64(table.len()) > max_chunks {
            return Err(whole(Kind::TooManyChunks));
        }
        let entries: Option<Vec<Entry>> = table.iter().map(Entry::read).collect();
        let mut entries = entries.ok_or_else(|| whole(Kind::IndexShape))?;
        let mut places = HashMap::with_capacity(entries.len());
        for (at, entry) in entries.iter().enumerate() {
            match places.entry(entry.name.clone()) {
                Place::Vacant(place) => place.insert(at),
                Place::Occupied(_) => {
                    return Err(Box::new(Finding::new(Kind::DuplicateName, range).chunk(&entry.name)));
                }
            };
        }
        check_hashes(&mut entries, &value);
        let index = Self {
            value,
            version,
            entries,
            places,
            range,
        };
        match index.overlap() {
            Some((name, bytes)) => Err(Box::new(Finding::new(Kind::ChunkOverlap, bytes).chunk(&name))),
            None => Ok(index),
        }
    }

    /// The caller's metadata and the hashes in them; none where the index has none.
    pub(crate) fn metadata(&self) -> Option<&Value> {
        self.value.get("metadata")
    }

    /// The entry of a name.
    pub(crate) fn entry(&self, name: &str) -> Option<&Entry> {
        self.entries.get(*self.places.get(name)?)
    }

    /// Whether the whole chunk lies between header and index.
    pub(crate) fn contains(&self, entry: &Entry) -> bool {
        let end = entry.extent().map(|extent| extent.end);
        entry.offset >= FILE_HEADER_LEN && end.is_some_and(|end| end <= self.range.start)
    }

    pub(crate) fn knows_version(&self) -> bool {
        KNOWN_VERSIONS.contains(&&*self.version)
    }

    /// The extents of the chunks inside the file, by offset.
    fn extents(&self) -> Vec<(Range<u64>, &Entry)> {
        let inside = self.entries.iter().filter(|entry| self.contains(entry));
        let mut extents: Vec<_> = inside.filter_map(|entry| Some((entry.extent()?, entry))).collect();
        extents.sort_by_key(|(extent, _)| (extent.start, extent.end));
        extents
    }

    /// The first chunk that begins inside the one before it, and the bytes that both claim.
    fn overlap(&self) -> Option<(Box<str>, Range<u64>)> {
        let extents = self.extents();
        extents
            .iter()
            .zip(extents.iter().skip(1))
            .find_map(|((before, _), (after, entry))| {
                (after.start < before.end).then(|| (entry.name.clone(), after.start..before.end.min(after.end)))
            })
    }

    /// Bytes between header and index that no chunk claims.
    pub(crate) fn gaps(&self) -> Vec<Range<u64>> {
        let mut gaps = Vec::new();
        let mut end = FILE_HEADER_LEN;
        for (extent, _) in self.extents() {
            if extent.start > end {
                gaps.push(end..extent.start);
            }
            end = extent.end;
        }
        if self.range.start > end {
            gaps.push(end..self.range.start);
        }
        gaps
    }
}
