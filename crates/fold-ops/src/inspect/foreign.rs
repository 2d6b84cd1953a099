//! What files of other programs say about themselves: version 1 containers, safetensors, npz.
//!
//! Version 1 and npz describe their tensors inside what holds them, so that is read, and verified as far as it can be: in
//! pieces, but for chunks of version 1 that are compressed or encrypted.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, BufReader};
use std::ops::Range;
use std::path::Path;

use fold_format::interchange::{npz, safetensors};
use fold_format::json::Value;
use fold_format::v1::{self, Content};
use fold_format::{Dtype, Limits, Misuse, ReadAt, Shape};

use super::{ChunkReport, FileInspection, InspectOptions, Stats, Sum, TensorReport, Version1Facts};
use crate::check::{FileKind, FindingReport, MAX_ARRAY_BYTES, read_range};
use crate::error::Error;
use crate::exchange::{Naming, number};
use crate::json::Int;

/// Bytes of a tensor that are in memory at a time for its statistics: a multiple of every element's length.
const WINDOW_LEN: u64 = 1 << 20;

/// Describes a file of another program.
pub(super) fn describe(kind: FileKind, path: &Path, options: &InspectOptions) -> Result<FileInspection, Error> {
    let mut inspection = match kind {
        FileKind::Version1 => version_1(path, options)?,
        FileKind::Npz => npz(path, options)?,
        _ => safetensors(path, options)?,
    };
    if let Some(name) = &options.tensor {
        inspection.tensors.retain(|tensor| tensor.name == *name);
        if inspection.tensors.is_empty() {
            let error = Misuse::NoSuchTensor {
                name: name.as_str().into(),
            };
            return Err(Error::of(path, error.into()));
        }
    }
    Ok(inspection)
}

fn version_1(path: &Path, options: &InspectOptions) -> Result<FileInspection, Error> {
    let failed = |error| Error::of(path, error);
    let file = v1::File::open(path, options.keys.clone(), Limits::DEFAULT).map_err(failed)?;
    let info = file.info();
    let mut inspection = FileInspection {
        path: path.into(),
        format: Some("fold-v1"),
        version: Some(info.version.to_string()),
        bytes: Int(info.file_bytes),
        digest: Some(info.digest),
        parity: match &*info.parity {
            "none" => "off",
            "rs(16)" => "low",
            "rs(32)" => "med",
            "rs(64)" => "high",
            _ => "rs",
        }
        .to_owned(),
        signed: info.signed || info.trust_block,
        metadata: file.metadata().map_or(serde_json::Value::Null, plain),
        version_1: Some(Version1Facts {
            dialect: info.dialect.as_str(),
            mind: info.is_mind,
            encrypted: info.encrypted,
            merkle: info.merkle,
            signed_fields: info.signed,
            trust_block: info.trust_block,
        }),
        ..FileInspection::default()
    };
    let naming = Naming::of(file.metadata());
    for entry in file.chunks() {
        inspection.chunks.push(ChunkReport {
            name: entry.name.to_string(),
            kind: Cow::Owned(entry.ctype.to_string()),
            offset: Int(entry.content_offset()),
            stored_bytes: Int(entry.comp_len),
            bytes: Int(entry.uncomp_len),
            encoding: if entry.flags == 1 { "zstd" } else { "raw" },
            digest: entry.sha256.to_string(),
        });
        if !matches!(&*entry.ctype, "TSAV" | "STEN" | "NPZ0") {
            continue;
        }
        match chunk_tensors(path, &file, entry, &naming, options) {
            Ok(tensors) => inspection.tensors.extend(tensors),
            Err(fold_format::Error::Content(fault)) => inspection
                .findings
                .push(FindingReport::of_content(&fault, Some(&entry.name))),
            Err(error) => inspection.findings.push(FindingReport::of_error(&error, path)),
        }
    }
    Ok(inspection)
}

/// The tensors of a chunk: where they lie, if they lie in the file as they are; decoded otherwise.
fn chunk_tensors(
    path: &Path,
    file: &v1::File,
    entry: &v1::Entry,
    naming: &Naming<'_>,
    options: &InspectOptions,
) -> Result<Vec<TensorReport>, fold_format::Error> {
    if let Some(located) = file.locate(&entry.name)? {
        let source = match options.stats {
            true => Some(File::open(path).map_err(|error| unread(path, error))?),
            false => None,
        };
        let described = located.tensors.iter().map(|(name, dtype, shape, place)| {
            let stats = source.as_ref().map(|source| stats_of(source, *dtype, place));
            Ok(Described {
                name,
                dtype: *dtype,
                shape: *shape,
                offset: place.start,
                stats: stats.transpose().map_err(|error| unread(path, error))?,
            })
        });
        let described: Vec<_> = described.collect::<Result<_, fold_format::Error>>()?;
        return Ok(reports(naming, &entry.name, &described));
    }
    let payload = file.payload(&entry.name)?;
    let content = Content::read(&entry.ctype, &payload, Limits::DEFAULT.max_v1_chunk_bytes)?;
    let described = content.tensors().iter().map(|array| {
        let mut sum = Sum::default();
        if options.stats {
            add(&mut sum, array.dtype, &array.bytes);
        }
        Described {
            name: &array.name,
            dtype: array.dtype,
            shape: array.shape,
            offset: entry.content_offset(),
            stats: options.stats.then(|| sum.stats()),
        }
    });
    let described: Vec<_> = described.collect();
    Ok(reports(naming, &entry.name, &described))
}

/// The reports of a chunk's tensors, under the names that these have in their file.
fn reports(naming: &Naming<'_>, chunk: &str, described: &[Described<'_>]) -> Vec<TensorReport> {
    let report = |tensor: &Described<'_>| tensor.report(&naming.tensor(chunk, tensor.name), chunk);
    described.iter().map(report).collect()
}

/// What is known of a tensor.
struct Described<'a> {
    name: &'a str,
    dtype: Dtype,
    shape: Shape,
    /// Where it begins in the file, or what holds it where it does not lie there as it is.
    offset: u64,
    stats: Option<Stats>,
}

impl Described<'_> {
    fn report(&self, name: &str, chunk: &str) -> TensorReport {
        TensorReport {
            name: name.to_owned(),
            dtype: self.dtype.as_str(),
            shape: self.shape.extents().iter().copied().map(Int).collect(),
            chunk: chunk.to_owned(),
            offset: Int(self.offset),
            bytes: Int(self.shape.byte_len(self.dtype).unwrap_or(0)),
            stats: self.stats,
        }
    }
}

/// Adds elements, whole ones.
fn add(sum: &mut Sum, dtype: Dtype, elements: &[u8]) {
    let size = usize::try_from(dtype.size_bytes()).unwrap_or(1);
    elements.chunks(size).for_each(|bytes| sum.add(number(dtype, bytes)));
}

/// The statistics of elements that lie in a file as they are.
fn stats_of(file: &File, dtype: Dtype, place: &Range<u64>) -> io::Result<Stats> {
    let mut sum = Sum::default();
    let mut at = place.start;
    while at < place.end {
        let window = read_range(file, at, (place.end - at).min(WINDOW_LEN))?;
        if window.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        add(&mut sum, dtype, &window);
        at += window.len() as u64;
    }
    Ok(sum.stats())
}

fn unread(path: &Path, error: io::Error) -> fold_format::Error {
    fold_format::IoFault::new(fold_format::Operation::Read, Some(path.into()), error).into()
}

/// A header, with the places of the tensors in the file.
fn safetensors(path: &Path, options: &InspectOptions) -> Result<FileInspection, Error> {
    let unread = |error| crate::exchange::read_fault(path, error);
    let fault = |fault: fold_format::interchange::Fault| Error::of(path, fault.into());
    let file = File::open(path).map_err(unread)?;
    let file_len = ReadAt::len(&file).map_err(unread)?;
    let start = read_range(&file, 0, 8).map_err(unread)?;
    let len = safetensors::header_len(&start, file_len).map_err(fault)?;
    let header = read_range(&file, 8, len).map_err(unread)?;
    let header = safetensors::read_header(&header, file_len).map_err(fault)?;
    let texts = header
        .metadata
        .iter()
        .map(|(key, text)| (key.to_string(), serde_json::Value::from(&**text)));
    let tensors = header.entries.iter().map(|entry| {
        let place = entry.offset..entry.offset.saturating_add(entry.len);
        let stats = options.stats.then(|| stats_of(&file, entry.dtype, &place));
        let described = Described {
            name: &entry.name,
            dtype: entry.dtype,
            shape: entry.shape,
            offset: entry.offset,
            stats: stats.transpose().map_err(unread)?,
        };
        Ok(described.report(&entry.name, "tensors"))
    });
    Ok(FileInspection {
        path: path.into(),
        format: Some("safetensors"),
        bytes: Int(file_len),
        parity: "off".to_owned(),
        tensors: tensors.collect::<Result<_, Error>>()?,
        metadata: serde_json::Value::Object(texts.collect()),
        ..FileInspection::default()
    })
}

/// The arrays of an archive, each read to its end.
fn npz(path: &Path, options: &InspectOptions) -> Result<FileInspection, Error> {
    let unread = |error| crate::exchange::read_fault(path, error);
    let fault = |fault: fold_format::interchange::Fault| Error::of(path, fault.into());
    let file = File::open(path).map_err(unread)?;
    let file_len = ReadAt::len(&file).map_err(unread)?;
    let mut npz = npz::Npz::open(BufReader::new(file), MAX_ARRAY_BYTES).map_err(fault)?;
    let mut tensors = Vec::new();
    for name in npz.names().to_vec() {
        let Some(located) = npz.check(&name).map_err(fault)? else {
            continue;
        };
        let mut sum = Sum::default();
        if options.stats {
            let add = |piece: &[u8]| add(&mut sum, located.dtype, piece);
            npz.elements(&name, add).map_err(fault)?;
        }
        let described = Described {
            name: &name,
            dtype: located.dtype,
            shape: located.shape,
            // What has to be decoded has no place of its own.
            offset: located.place.map_or(0, |place| place.start),
            stats: options.stats.then(|| sum.stats()),
        };
        tensors.push(described.report(&name, "tensors"));
    }
    Ok(FileInspection {
        path: path.into(),
        format: Some("npz"),
        bytes: Int(file_len),
        parity: "off".to_owned(),
        tensors,
        ..FileInspection::default()
    })
}

/// A value as the reports write it: integers above 2^53, NaN and infinities are strings.
fn plain(value: &Value) -> serde_json::Value {
    use serde_json::Value as Json;
    match value {
        Value::Null => Json::Null,
        Value::Bool(value) => Json::Bool(*value),
        Value::Int(digits) => match digits.parse::<i64>() {
            Ok(number) if number.unsigned_abs() <= 1 << 53 => Json::from(number),
            _ => Json::from(&**digits),
        },
        Value::Float(number) => serde_json::Number::from_f64(*number)
            .map_or_else(|| Json::from(fold_format::json::float_repr(*number)), Json::Number),
        Value::String(text) => Json::from(&**text),
        Value::Array(items) => Json::Array(items.iter().map(plain).collect()),
        Value::Object(entries) => Json::Object(
            entries
                .iter()
                .map(|(key, value)| (key.to_string(), plain(value)))
                .collect(),
        ),
    }
}
