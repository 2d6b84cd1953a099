//! Version 1 files as documents, and documents as version 1 files.

use std::borrow::Cow;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use fold_format::interchange::{Array, Fault, npz, safetensors};
use fold_format::json::Value;
use fold_format::v1::{self, Chunk, Compression, Content, File, Keys, Protection, Version1};
use fold_format::{Limits, ReadAt, TensorSource};

use super::document::{Body, Document, Part, of_content};
use super::read_fault;
use super::spool::{Spool, assembled};
use super::tensor::{Bytes, Tensor};
use crate::error::Error;

/// The chunk whose tensors keep their names; those of other chunks get the chunk's name in front.
const STATE: &str = "torch_state";

/// Fields of the metadata that speak of a file as a whole, and are made anew or stay behind.
const OF_THE_FILE: [&str; 6] = [
    "chunk_hashes",
    "manifest_hash",
    "security_level",
    "security_features",
    "provenance",
    "sharding",
];

/// The key of the metadata under which a file that was converted from another format lists the chunks whose tensors keep
/// their names, as those of a state do.
const PLAIN: &str = "plain_chunks";

/// Whether the tensors of a chunk keep their names.
pub(crate) fn keeps_names(metadata: Option<&Value>, chunk: &str) -> bool {
    let plain = metadata.and_then(|metadata| metadata.get(PLAIN)?.as_array());
    chunk == STATE || plain.is_some_and(|plain| plain.iter().any(|name| name.as_str() == Some(chunk)))
}

/// The name of a tensor in its file.
///
/// - `keeps`: what [`keeps_names`] says of its chunk.
fn tensor_name<'a>(keeps: bool, chunk: &str, name: &'a str) -> Cow<'a, str> {
    match keeps {
        true => Cow::Borrowed(name),
        false => Cow::Owned(format!("{chunk}.{name}")),
    }
}

/// The tensors of a chunk, under the names that they have in their file.
pub(crate) fn named(metadata: Option<&Value>, chunk: &str, arrays: Vec<Array<'_>>) -> Vec<Array<'static>> {
    let keeps = keeps_names(metadata, chunk);
    let rename = |array: Array<'_>| {
        let name = tensor_name(keeps, chunk, &array.name).into_owned();
        Array {
            name: Cow::Owned(name),
            ..array.into_owned()
        }
    };
    arrays.into_iter().map(rename).collect()
}

pub(super) fn load(path: &Path, keys: &Keys) -> Result<Document, Error> {
    let failed = |error| Error::of(path, error);
    let file = File::open(path, keys.clone(), Limits::DEFAULT).map_err(failed)?;
    let source: Arc<dyn ReadAt> = Arc::new(std::fs::File::open(path).map_err(|error| read_fault(path, error))?);
    let mut spool = Spool::default();
    let mut parts = Vec::new();
    for entry in file.chunks() {
        let keeps = keeps_names(file.metadata(), &entry.name);
        let body = match file.locate(&entry.name).map_err(failed)? {
            Some(located) => {
                let tensors = located.tensors.into_iter().map(|(name, dtype, shape, place)| Tensor {
                    name: tensor_name(keeps, &entry.name, &name).into_owned(),
                    dtype,
                    shape,
                    bytes: Bytes::within(source.clone(), place),
                });
                Body::Tensors {
                    tensors: tensors.collect(),
                    others: located.others,
                    layout: None,
                }
            }
            None => decoded(path, &file, entry, &source, &mut spool)?,
        };
        parts.push(Part {
            name: entry.name.to_string(),
            ctype: Some(entry.ctype.to_string()),
            body,
        });
    }
    let kept = |key: &str| !OF_THE_FILE.contains(&key);
    let metadata = file.metadata().and_then(Value::as_object).unwrap_or_default();
    let metadata = Value::object(metadata.iter().filter(|(key, _)| kept(key)).cloned());
    let created = file
        .index()
        .get("created_at_unix")
        .cloned()
        .unwrap_or(Value::Float(0.0));
    Ok(Document {
        format: "fold-v1",
        origin: "fold-v1",
        metadata: Some(Value::object([
            ("version", Value::from(&*file.info().version)),
            ("dialect", Value::from(file.info().dialect.as_str())),
            ("created_at_unix", created),
            ("metadata", metadata),
        ])),
        parts,
    })
}

/// What a chunk holds whose tensors do not lie in the file as they are, or that has none.
fn decoded(
    path: &Path,
    file: &File,
    entry: &v1::Entry,
    source: &Arc<dyn ReadAt>,
    spool: &mut Spool,
) -> Result<Body, Error> {
    let failed = |error| Error::of(path, error);
    if !matches!(&*entry.ctype, "TSAV" | "STEN" | "NPZ0" | "JSON")
        && let Some(place) = file.payload_place(&entry.name).map_err(failed)?
    {
        return Ok(Body::Bytes(Bytes::within(source.clone(), place)));
    }
    let payload = file.payload(&entry.name).map_err(failed)?;
    let content = Content::read(&entry.ctype, &payload, Limits::DEFAULT.max_v1_chunk_bytes);
    let (arrays, others) = match content.map_err(|fault| of_content(path, fault))? {
        Content::State(state) => (state.tensors, state.others),
        Content::Safetensors(arrays) | Content::Arrays(arrays) => (arrays, Vec::new()),
        Content::Json(_) => return Ok(Body::Text(String::from_utf8_lossy(&payload).into_owned())),
        _ => return Ok(Body::Bytes(spool.keep(payload.to_vec()).map_err(super::unread)?)),
    };
    let keeps = keeps_names(file.metadata(), &entry.name);
    let mut tensors = Vec::with_capacity(arrays.len());
    for array in arrays {
        tensors.push(Tensor {
            name: tensor_name(keeps, &entry.name, &array.name).into_owned(),
            dtype: array.dtype,
            shape: array.shape,
            bytes: spool.keep(array.bytes.into_owned()).map_err(super::unread)?,
        });
    }
    Ok(Body::Tensors {
        tensors,
        others,
        layout: None,
    })
}

/// Writes a document as version 1.2.0, as PyFolds 1.0 reads it.
///
/// A state goes into `TSAV`, other tensors into the type that they came from, or `STEN`.
pub(super) fn write(
    out: &mut impl Write,
    document: &Document,
    compression: Compression,
    protection: Protection,
) -> Result<(), Error> {
    let original = document.metadata.as_ref().filter(|_| document.origin == "fold-v1");
    let field = |key| original.and_then(|metadata| metadata.get(key));
    // What is from another format has names that are unique already.
    let keeps = |part: &Part| original.is_none() || keeps_names(field("metadata"), &part.name);
    let mut payloads = Vec::new();
    for part in &document.parts {
        payloads.push(payload(part, keeps(part))?);
    }
    let chunks = document
        .parts
        .iter()
        .zip(&payloads)
        .map(|(part, (ctype, payload))| Chunk {
            name: &part.name,
            ctype,
            payload: payload.span(),
        });
    let created_at_unix = match field("created_at_unix") {
        Some(Value::Float(seconds)) => *seconds,
        Some(Value::Int(digits)) => digits.parse().unwrap_or(0.0),
        _ => 0.0,
    };
    let mut metadata = match field("metadata") {
        Some(metadata) => metadata.clone(),
        None => {
            let plain = document
                .parts
                .iter()
                .filter(|part| matches!(part.body, Body::Tensors { .. }));
            let plain = plain.map(|part| Value::from(&*part.name)).collect();
            let own = document.metadata.iter().map(|metadata| ("fold", metadata.clone()));
            Value::object(own.chain([(PLAIN, Value::Array(plain))]))
        }
    };
    if let Value::Object(entries) = &mut metadata {
        // What the file's protection was says nothing of this one's.
        entries.retain(|(key, _)| !OF_THE_FILE.contains(&&**key));
        if let Some((_, protected)) = entries.iter_mut().find(|(key, _)| &**key == "protection") {
            *protected = Value::from(protection.as_str());
        }
    }
    let file = Version1 {
        metadata,
        created_at_unix,
        chunks: chunks.collect(),
        compression,
        protection,
    };
    v1::write(out, &file).map_err(|error| refused(&error))
}

fn refused(error: &io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::InvalidInput => Error::LossyRefused {
            what: error.to_string().into(),
        },
        kind => Error::Format(fold_format::IoFault::new(fold_format::Operation::Write, None, kind.into()).into()),
    }
}

/// A chunk's type and payload.
///
/// - `keeps`: whether its tensors keep their names, or lose the chunk's in front.
fn payload(part: &Part, keeps: bool) -> Result<(String, Bytes), Error> {
    let ctype = part.ctype.as_deref();
    let (tensors, others) = match &part.body {
        Body::Text(text) => {
            return Ok((ctype.unwrap_or("JSON").to_owned(), Bytes::of(text.clone().into_bytes())));
        }
        Body::Bytes(bytes) => return Ok((ctype.unwrap_or("BYTE").to_owned(), bytes.clone())),
        Body::Tensors { tensors, others, .. } => (tensors, others),
    };
    let prefix = format!("{}.", part.name);
    let own = tensors.iter().map(|tensor| {
        let stripped = tensor.name.strip_prefix(&prefix).filter(|_| !keeps);
        tensor.source(stripped.unwrap_or(&tensor.name))
    });
    let own: Vec<TensorSource<'_>> = own.collect::<Result<_, _>>()?;
    let written = |error: io::Error| match error.kind() {
        io::ErrorKind::InvalidInput => Error::Format(Fault::from_write(&error).into()),
        _ => super::unread(error),
    };
    let (ctype, assembled) = match ctype {
        Some("TSAV") => {
            let (saved, bytes) = assembled(|out| v1::torch::save_to(out, &own, others)).map_err(written)?;
            saved.map_err(|fault| Error::Format(fault.into()))?;
            ("TSAV", Ok(bytes))
        }
        Some("NPZ0") => {
            let archive = assembled(|out| {
                let mut writer = npz::Writer::new(out);
                for tensor in &own {
                    writer.add_source(tensor)?;
                }
                writer.finish().map(drop)
            });
            ("NPZ0", archive.map(|((), bytes)| bytes))
        }
        _ => {
            let file = assembled(|out| safetensors::write_sources(out, &own, &[]));
            ("STEN", file.map(|((), bytes)| bytes))
        }
    };
    Ok((ctype.to_owned(), assembled.map_err(written)?))
}
