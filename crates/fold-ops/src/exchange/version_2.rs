//! Version 2 files as documents, and documents as version 2 files.

use std::path::Path;

use fold_format::json;
use fold_format::{Checkpoint, ChunkKind, Content, Disk, SaveOptions, Saved, TensorSource};

use super::document::{Body, Document, Part};
use super::envelope;
use super::tensor::{Bytes, Tensor};
use crate::error::Error;

pub(super) fn load(path: &Path) -> Result<Document, Error> {
    let failed = |error| Error::of(path, error);
    let checkpoint = Checkpoint::open(path).map_err(failed)?;
    let metadata = json::parse(checkpoint.metadata().as_bytes()).ok();
    let mut parts = Vec::new();
    for chunk in checkpoint.chunks() {
        let body = match chunk.kind {
            ChunkKind::Tensors => {
                let mut arrays: Vec<Tensor> = Vec::new();
                for info in checkpoint
                    .tensors()
                    .map_err(failed)?
                    .filter(|info| info.chunk == chunk.name)
                {
                    arrays.push(Tensor {
                        name: info.name.to_owned(),
                        dtype: info.dtype,
                        shape: info.shape,
                        bytes: Bytes::of(checkpoint.tensor(info.name).map_err(failed)?.as_bytes().to_vec()),
                    });
                }
                Body::tensors(arrays)
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
    envelope::unpack("fold-v2", metadata, parts)
}

/// Whether every reader of JSON takes the text: no NaN, no infinity.
fn is_strict(text: &str) -> bool {
    serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

pub(super) fn write(path: &Path, document: &Document, options: &SaveOptions) -> Result<Saved, Error> {
    let text = envelope::pack(document);
    let mut arrays = std::collections::HashMap::new();
    for part in &document.parts {
        if let Body::Tensors { tensors, .. } = &part.body {
            let read: Result<Vec<_>, _> = tensors.iter().map(Tensor::array).collect();
            arrays.insert(&*part.name, read.map_err(super::unread)?);
        }
    }
    let mut content = Content::new().metadata(&text);
    for part in &document.parts {
        content = match &part.body {
            Body::Tensors { .. } => {
                let arrays = arrays.get(&*part.name).map(Vec::as_slice).unwrap_or_default();
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
