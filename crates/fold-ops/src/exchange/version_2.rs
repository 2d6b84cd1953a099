//! Version 2 files as documents, and documents as version 2 files.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use fold_format::json;
use fold_format::{Checkpoint, ChunkKind, Content, DigestKind, Disk, ReadAt, SaveOptions, Saved};

use super::document::{Body, Document, Guard, Guards, Part};
use super::envelope;
use super::tensor::{Bytes, Tensor};
use crate::error::Error;

pub(super) fn load(path: &Path) -> Result<Document, Error> {
    let failed = |error| Error::of(path, error);
    let checkpoint = Arc::new(Checkpoint::open(path).map_err(failed)?);
    let text = checkpoint.metadata();
    let metadata = json::parse(text.as_bytes())
        .ok()
        .filter(|metadata| metadata.as_object().is_some());
    let mut tensors: HashMap<&str, Vec<Tensor>> = HashMap::new();
    for info in checkpoint.tensors().map_err(failed)? {
        let source = Verified::Tensor {
            checkpoint: Arc::clone(&checkpoint),
            name: info.name.into(),
        };
        tensors.entry(info.chunk).or_default().push(Tensor {
            name: info.name.to_owned(),
            dtype: info.dtype,
            shape: info.shape,
            bytes: Bytes::within(Arc::new(source), 0..info.bytes),
        });
    }
    let mut parts = Vec::new();
    for chunk in checkpoint.chunks() {
        let bytes = || {
            let source = Verified::Chunk {
                checkpoint: Arc::clone(&checkpoint),
                name: chunk.name.into(),
            };
            Bytes::within(Arc::new(source), 0..chunk.bytes)
        };
        let body = match chunk.kind {
            ChunkKind::Tensors => Body::tensors(tensors.remove(chunk.name).unwrap_or_default()),
            ChunkKind::Json => match String::from_utf8(checkpoint.chunk(chunk.name).map_err(failed)?) {
                Ok(text) => Body::Text(text),
                Err(_) => Body::Bytes(bytes()),
            },
            _ => Body::Bytes(bytes()),
        };
        parts.push(Part {
            name: chunk.name.to_owned(),
            ctype: None,
            body,
        });
    }
    // No writer that keeps the rules leaves other metadata: they are kept as what they are, bytes.
    let unread_metadata = metadata.is_none().then(|| free_name(&parts));
    if let Some(name) = &unread_metadata {
        parts.push(Part {
            name: name.clone(),
            ctype: None,
            body: Body::Bytes(Bytes::of(text.as_bytes().to_vec())),
        });
    }
    let document = envelope::unpack("fold-v2", metadata, parts)?;
    let info = checkpoint.info();
    Ok(Document {
        guards: Guards::of([
            (Guard::Signature, info.signed_by.is_some()),
            (Guard::Seal, info.digest_kind == DigestKind::Blake3),
            (Guard::Parity, info.parity.is_some()),
        ]),
        unread_metadata,
        ..document
    })
}

/// `metadata`, or what no chunk is called yet.
fn free_name(parts: &[Part]) -> String {
    let mut name = "metadata".to_owned();
    while parts.iter().any(|part| part.name == name) {
        name.push('_');
    }
    name
}

/// A tensor or chunk of a container, every byte of it verified when it is read.
enum Verified {
    Tensor {
        checkpoint: Arc<Checkpoint>,
        name: Box<str>,
    },
    Chunk {
        checkpoint: Arc<Checkpoint>,
        name: Box<str>,
    },
}

impl ReadAt for Verified {
    fn len(&self) -> io::Result<u64> {
        let len = match self {
            Self::Tensor { checkpoint, name } => checkpoint.tensor_info(name).map(|info| info.bytes),
            Self::Chunk { checkpoint, name } => checkpoint.chunk_info(name).map(|info| info.bytes),
        };
        len.map_err(io::Error::other)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let left = usize::try_from(self.len()?.saturating_sub(offset)).unwrap_or(usize::MAX);
        let count = left.min(buffer.len());
        let buffer = buffer.get_mut(..count).unwrap_or_default();
        let read = match self {
            Self::Tensor { checkpoint, name } => checkpoint.read_tensor_part(name, offset, buffer),
            Self::Chunk { checkpoint, name } => checkpoint.read_chunk_part(name, offset, buffer),
        };
        read.map(|()| count).map_err(io::Error::other)
    }
}

/// Whether every reader of JSON takes the text: no NaN, no infinity.
fn is_strict(text: &str) -> bool {
    serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

pub(super) fn write(path: &Path, document: &Document, options: &SaveOptions) -> Result<Saved, Error> {
    let text = envelope::pack(document)?;
    let mut content = Content::new().metadata(&text);
    for part in &document.parts {
        content = match &part.body {
            Body::Tensors { tensors, .. } => {
                let sources: Result<Vec<_>, _> = tensors.iter().map(|tensor| tensor.source(&tensor.name)).collect();
                content.tensors(&*part.name, sources?)
            }
            Body::Text(text) if is_strict(text) => content.json(&*part.name, text),
            Body::Text(text) => content.bytes(&*part.name, text.as_bytes()),
            Body::Bytes(bytes) => content.span(&*part.name, bytes.span()),
        };
    }
    fold_format::save(&Disk, path, &content, options).map_err(|error| match error {
        fold_format::Error::Misuse(
            misuse @ (fold_format::Misuse::InvalidName { .. } | fold_format::Misuse::DuplicateName { .. }),
        ) => Error::Unheld {
            what: misuse.to_string().into(),
            instead: "safetensors and version 1 take any name".into(),
        },
        other => Error::of(path, other),
    })
}
