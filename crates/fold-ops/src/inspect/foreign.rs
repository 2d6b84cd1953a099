//! What files of other programs say about themselves: version 1 containers, safetensors, npz.
//!
//! Version 1 and npz describe their tensors inside what holds them, so that is read, and verified as far as it can be.

use std::borrow::Cow;
use std::fs::File;
use std::path::Path;

use fold_format::interchange::{Array, safetensors};
use fold_format::json::Value;
use fold_format::v1::{self, Content};
use fold_format::{Limits, Misuse, ReadAt};

use super::{ChunkReport, FileInspection, InspectOptions, Stats, TensorReport, summed};
use crate::check::{FileKind, FindingReport, read_range};
use crate::error::Error;
use crate::exchange::{Document, named, number};
use crate::json::Int;

/// Describes a file of another program.
pub(super) fn describe(kind: FileKind, path: &Path, options: &InspectOptions) -> Result<FileInspection, Error> {
    let mut inspection = match kind {
        FileKind::Version1 => version_1(path, options)?,
        FileKind::Safetensors if !options.stats => safetensors_header(path)?,
        _ => whole(kind, path, options)?,
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
        ..FileInspection::default()
    };
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
        let payload = match file.payload(&entry.name) {
            Ok(payload) => payload,
            Err(error) => {
                inspection.findings.push(FindingReport::of_error(&error, path));
                continue;
            }
        };
        match Content::read(&entry.ctype, &payload, Limits::DEFAULT.max_v1_chunk_bytes) {
            Ok(content) => {
                let offset = entry.content_offset();
                let arrays = named(file.metadata(), &entry.name, content.into_tensors());
                let reports = arrays
                    .iter()
                    .map(|array| report(array, &entry.name, offset, options.stats));
                inspection.tensors.extend(reports);
            }
            Err(fault) => inspection
                .findings
                .push(FindingReport::of_content(&fault, Some(&entry.name))),
        }
    }
    Ok(inspection)
}

/// - `offset`: where what holds the tensor begins in the file.
fn report(array: &Array<'_>, chunk: &str, offset: u64, with_stats: bool) -> TensorReport {
    TensorReport {
        name: array.name.to_string(),
        dtype: array.dtype.as_str(),
        shape: array.shape.extents().iter().copied().map(Int).collect(),
        chunk: chunk.to_owned(),
        offset: Int(offset),
        bytes: Int(array.bytes.len() as u64),
        stats: with_stats.then(|| stats(array)),
    }
}

fn stats(array: &Array<'_>) -> Stats {
    let size = usize::try_from(array.dtype.size_bytes()).unwrap_or(1);
    summed(array.bytes.chunks(size).map(|bytes| number(array.dtype, bytes)))
}

/// A header alone, with the places of the tensors in the file.
fn safetensors_header(path: &Path) -> Result<FileInspection, Error> {
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
    let tensors = header.entries.iter().map(|entry| TensorReport {
        name: entry.name.to_string(),
        dtype: entry.dtype.as_str(),
        shape: entry.shape.extents().iter().copied().map(Int).collect(),
        chunk: "tensors".to_owned(),
        offset: Int(entry.offset),
        bytes: Int(entry.len),
        stats: None,
    });
    Ok(FileInspection {
        path: path.into(),
        format: Some("safetensors"),
        bytes: Int(file_len),
        parity: "off".to_owned(),
        tensors: tensors.collect(),
        metadata: serde_json::Value::Object(texts.collect()),
        ..FileInspection::default()
    })
}

/// A file that is read as a whole.
fn whole(kind: FileKind, path: &Path, options: &InspectOptions) -> Result<FileInspection, Error> {
    let document = Document::load(path, &options.keys)?;
    let mut inspection = match kind {
        FileKind::Safetensors => safetensors_header(path)?,
        _ => FileInspection {
            path: path.into(),
            format: Some(document.format),
            bytes: Int(path.metadata().map_or(0, |metadata| metadata.len())),
            parity: "off".to_owned(),
            ..FileInspection::default()
        },
    };
    let mut tensors = Vec::new();
    for tensor in document.tensors() {
        let array = tensor
            .array()
            .map_err(|error| crate::exchange::read_fault(path, error))?;
        // A safetensors header says where a tensor lies; what is inside an archive has no place of its own.
        let place = inspection.tensors.iter().find(|known| known.name == tensor.name);
        let offset = place.map_or(0, |known| known.offset.0);
        tensors.push(report(&array, "tensors", offset, options.stats));
    }
    inspection.tensors = tensors;
    Ok(inspection)
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
