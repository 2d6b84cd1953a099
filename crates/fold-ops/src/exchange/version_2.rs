//! Version 2 files as documents, and documents as version 2 files.
//!
//! What a version 1 file has and version 2 has no place for goes under the key `pyfolds` of the metadata, from where it
//! comes back: the index's metadata, the chunks' types and order, and what stood beside a state's tensors.

use std::path::Path;

use fold_format::interchange::Array;
use fold_format::json::{self, Form, Value};
use fold_format::{Checkpoint, ChunkKind, Content, Disk, SaveOptions, Saved, TensorSource};

use super::document::{Body, Document, Part};
use crate::error::Error;

/// The key of the metadata under which what a version 1 file had is kept.
const PYFOLDS: &str = "pyfolds";

pub(super) fn load(path: &Path) -> Result<Document, Error> {
    let failed = |error| Error::of(path, error);
    let checkpoint = Checkpoint::open(path).map_err(failed)?;
    let metadata = json::parse(checkpoint.metadata().as_bytes()).ok();
    let kept = metadata.as_ref().and_then(|metadata| metadata.get(PYFOLDS));
    let mut parts = Vec::new();
    for chunk in checkpoint.chunks() {
        let body = match chunk.kind {
            ChunkKind::Tensors => {
                let mut arrays = Vec::new();
                for info in checkpoint
                    .tensors()
                    .map_err(failed)?
                    .filter(|info| info.chunk == chunk.name)
                {
                    arrays.push(Array {
                        name: info.name.to_owned().into(),
                        dtype: info.dtype,
                        shape: info.shape,
                        bytes: checkpoint.tensor(info.name).map_err(failed)?.as_bytes().to_vec().into(),
                    });
                }
                Body::Tensors {
                    arrays,
                    others: Vec::new(),
                }
            }
            ChunkKind::Json => {
                let bytes = checkpoint.chunk(chunk.name).map_err(failed)?;
                match String::from_utf8(bytes) {
                    Ok(text) => Body::Text(text),
                    Err(error) => Body::Bytes(error.into_bytes()),
                }
            }
            _ => Body::Bytes(checkpoint.chunk(chunk.name).map_err(failed)?),
        };
        parts.push(Part {
            name: chunk.name.to_owned(),
            ctype: None,
            body,
        });
    }
    let Some(kept) = kept else {
        return Ok(Document {
            format: "fold-v2",
            metadata,
            parts,
        });
    };
    // A file that came from version 1 is that file again.
    Ok(Document {
        format: "fold-v1",
        metadata: Some(kept.without("chunks")),
        parts: restored(parts, kept),
    })
}

/// Parts in their first order, with their first types.
fn restored(mut parts: Vec<Part>, kept: &Value) -> Vec<Part> {
    let chunks = kept.get("chunks").and_then(Value::as_array).unwrap_or_default();
    let mut ordered = Vec::new();
    for chunk in chunks {
        let name = chunk.get("name").and_then(Value::as_str);
        let Some(at) = parts.iter().position(|part| Some(part.name.as_str()) == name) else {
            continue;
        };
        let mut part = parts.swap_remove(at);
        part.ctype = chunk.get("ctype").and_then(Value::as_str).map(str::to_owned);
        if let Body::Tensors { arrays, others } = &mut part.body {
            if let Some(kept) = chunk.get("others").and_then(Value::as_object) {
                *others = kept.to_vec();
            }
            // The container sorts by name; a state_dict has an order.
            let order = chunk.get("tensors").and_then(Value::as_array).unwrap_or_default();
            let place: std::collections::HashMap<&str, usize> =
                order.iter().filter_map(Value::as_str).zip(0..).collect();
            arrays.sort_by_key(|array| place.get(&*array.name).copied().unwrap_or(usize::MAX));
        }
        if part.ctype.as_deref() == Some("JSON")
            && let Body::Bytes(bytes) = &part.body
            && let Ok(text) = String::from_utf8(bytes.clone())
        {
            part.body = Body::Text(text);
        }
        ordered.push(part);
    }
    ordered.extend(parts);
    ordered
}

/// What of a document goes into the metadata.
fn metadata(document: &Document) -> Value {
    let own = document.metadata.clone().unwrap_or(Value::Object(Vec::new()));
    match document.format {
        "fold-v2" => own,
        "fold-v1" => {
            let chunks = document.parts.iter().map(|part| {
                let mut entry = vec![
                    ("name", Value::from(&*part.name)),
                    ("ctype", Value::from(part.ctype.as_deref().unwrap_or("BYTE"))),
                ];
                if let Body::Tensors { arrays, others } = &part.body {
                    let names = arrays.iter().map(|array| Value::from(&*array.name));
                    entry.push(("tensors", Value::Array(names.collect())));
                    if !others.is_empty() {
                        entry.push(("others", Value::Object(others.clone())));
                    }
                }
                Value::object(entry)
            });
            let mut kept = own.as_object().unwrap_or_default().to_vec();
            kept.push(("chunks".into(), Value::Array(chunks.collect())));
            Value::object([(PYFOLDS, Value::Object(kept))])
        }
        format => Value::object([(format, own)]),
    }
}

/// Whether every reader of JSON takes the text: no NaN, no infinity.
fn is_strict(text: &str) -> bool {
    serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

/// Infinities and NaN, which strict JSON lacks, as text.
fn strict(value: &Value) -> Value {
    match value {
        Value::Float(number) if !number.is_finite() => Value::from(&*json::float_repr(*number)),
        Value::Array(items) => Value::Array(items.iter().map(strict).collect()),
        Value::Object(entries) => Value::object(entries.iter().map(|(key, value)| (key.clone(), strict(value)))),
        other => other.clone(),
    }
}

pub(super) fn write(path: &Path, document: &Document, options: &SaveOptions) -> Result<Saved, Error> {
    let text = strict(&metadata(document)).print(Form::Stored);
    let mut content = Content::new().metadata(&text);
    for part in &document.parts {
        content = match &part.body {
            Body::Tensors { arrays, .. } => {
                let tensors = arrays
                    .iter()
                    .map(|array| TensorSource::new(&*array.name, array.dtype, array.shape.extents(), &array.bytes));
                content.tensors(&*part.name, tensors.collect::<Result<Vec<_>, _>>()?)
            }
            Body::Text(text) if is_strict(text) => content.json(&*part.name, text),
            Body::Text(text) => content.bytes(&*part.name, text.as_bytes()),
            Body::Bytes(bytes) => content.bytes(&*part.name, bytes),
        };
    }
    fold_format::save(&Disk, path, &content, options).map_err(|error| match error {
        fold_format::Error::Misuse(
            misuse @ (fold_format::Misuse::InvalidName { .. } | fold_format::Misuse::DuplicateName { .. }),
        ) => Error::LossyRefused {
            what: misuse.to_string().into(),
        },
        other => Error::of(path, other),
    })
}
