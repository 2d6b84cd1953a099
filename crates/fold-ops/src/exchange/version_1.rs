//! Version 1 files as documents, and documents as version 1 files.

use std::borrow::Cow;
use std::collections::HashSet;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use fold_format::interchange::{Fault, npz, safetensors};
use fold_format::json::{self, Value};
use fold_format::v1::torch::Unkept;
use fold_format::v1::{self, Chunk, Compression, Content, File, Keys, Protection, Version1};
use fold_format::{Code, Escaped, Limits, ReadAt, TensorSource};

use super::document::{Body, Document, Guard, Guards, Part};
use super::envelope::{NO_TYPE, depth};
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

/// The key of the metadata of such a file that says which format they are of; the metadata are under `fold`.
const ORIGIN: &str = "fold_origin";
const FOLD: &str = "fold";

/// What the metadata of such a file say: the format that they are of, and the metadata. None for other files.
fn converted(metadata: &Value) -> Option<(&'static str, Option<Value>)> {
    let origin = metadata.get(ORIGIN)?.as_str()?;
    let origin = ["fold-v2", "safetensors", "npz"]
        .into_iter()
        .find(|known| *known == origin)?;
    let ours = |key: &str| matches!(key, ORIGIN | PLAIN | FOLD);
    let alone = metadata.as_object()?.iter().all(|(key, _)| ours(key));
    let own = metadata.get(FOLD).cloned();
    let whole = own.as_ref().is_none_or(|own| own.as_object().is_some());
    (alone && whole).then_some((origin, own))
}

/// How the tensors of a file are called.
pub(crate) struct Naming<'a> {
    /// The chunks whose tensors keep their names.
    plain: HashSet<&'a str>,
}

impl<'a> Naming<'a> {
    /// - `metadata`: of the file.
    pub(crate) fn of(metadata: Option<&'a Value>) -> Self {
        let plain = metadata.and_then(|metadata| metadata.get(PLAIN)?.as_array());
        let plain = plain.unwrap_or_default().iter().filter_map(Value::as_str);
        Self {
            plain: plain.chain([STATE]).collect(),
        }
    }

    /// Whether the tensors of a chunk keep their names.
    fn keeps(&self, chunk: &str) -> bool {
        self.plain.contains(chunk)
    }

    /// The name of a chunk's tensor in its file.
    pub(crate) fn tensor<'n>(&self, chunk: &str, name: &'n str) -> Cow<'n, str> {
        match self.keeps(chunk) {
            true => Cow::Borrowed(name),
            false => Cow::Owned(format!("{chunk}.{name}")),
        }
    }
}

pub(super) fn load(path: &Path, keys: &Keys) -> Result<Document, Error> {
    let failed = |error| Error::of(path, error);
    let file = File::open(path, keys.clone(), Limits::DEFAULT).map_err(failed)?;
    let source: Arc<dyn ReadAt> = Arc::new(std::fs::File::open(path).map_err(|error| read_fault(path, error))?);
    let mut spool = Spool::default();
    let naming = Naming::of(file.metadata());
    let mut guards = guards(&file);
    let mut parts = Vec::new();
    for entry in file.chunks() {
        let body = match file.locate(&entry.name) {
            Err(fold_format::Error::Content(fault)) => unread(path, &file, entry, &source, &mut spool, *fault)?,
            Err(error) => return Err(failed(error)),
            Ok(Some(located)) => {
                guards.unread.extend(unkept(located.unkept, &entry.name));
                let tensors = located.tensors.into_iter().map(|(name, dtype, shape, place)| Tensor {
                    name: naming.tensor(&entry.name, &name).into_owned(),
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
            Ok(None) => {
                let (body, unkept_of) = decoded(path, &file, entry, &naming, &source, &mut spool)?;
                guards.unread.extend(unkept(unkept_of, &entry.name));
                body
            }
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
    if let Some((origin, metadata)) = converted(&metadata) {
        return Ok(Document {
            format: "fold-v1",
            origin,
            metadata,
            parts,
            unread_metadata: None,
            guards,
        });
    }
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
        unread_metadata: None,
        guards,
    })
}

/// What of a chunk's state is in no document.
fn unkept(unkept: Unkept, chunk: &str) -> impl Iterator<Item = String> {
    let chunk = Escaped(chunk).to_string();
    [
        (unkept.requires_grad, "that tensors require gradients"),
        (unkept.module_versions, "the versions of modules (`_metadata`)"),
    ]
    .into_iter()
    .filter(|(is, _)| *is)
    .map(move |(_, what)| format!("{what}, of chunk {chunk}"))
}

/// What guards a file. The signature over four fields is none: it goes where the metadata go.
fn guards(file: &File) -> Guards {
    let info = file.info();
    let has = |key| file.metadata().is_some_and(|metadata| metadata.get(key).is_some());
    Guards::of([
        (Guard::Parity, &*info.parity != "none"),
        (Guard::Encryption, info.encrypted),
        (Guard::KeyedDigests, info.digest == "hmac-sha256"),
        (Guard::MerkleRoot, info.merkle),
        (Guard::TrustBlock, info.trust_block),
        (Guard::SecurityLevel, has("security_level")),
        (Guard::SecurityFeatures, has("security_features")),
        (Guard::Provenance, has("provenance")),
        (Guard::Sharding, has("sharding")),
    ])
}

/// A chunk as bytes.
fn bytes_of(
    path: &Path,
    file: &File,
    entry: &v1::Entry,
    source: &Arc<dyn ReadAt>,
    spool: &mut Spool,
) -> Result<Bytes, Error> {
    let failed = |error| Error::of(path, error);
    match file.payload_place(&entry.name).map_err(failed)? {
        Some(place) => Ok(Bytes::within(source.clone(), place)),
        None => {
            let payload = file.payload(&entry.name).map_err(failed)?;
            spool.keep(payload.to_vec()).map_err(super::unread)
        }
    }
}

/// A chunk that is whole and not understood: bytes, unless it is the neuron's state, or a pickle that asks for code.
fn unread(
    path: &Path,
    file: &File,
    entry: &v1::Entry,
    source: &Arc<dyn ReadAt>,
    spool: &mut Spool,
    fault: Fault,
) -> Result<Body, Error> {
    if &*entry.name == STATE || fault.code() == Code::ForbiddenPickle {
        return Err(Error::Content {
            path: path.into(),
            chunk: entry.name.clone(),
            fault: Box::new(fault),
        });
    }
    bytes_of(path, file, entry, source, spool).map(Body::Bytes)
}

/// What a chunk holds whose tensors do not lie in the file as they are, or that has none.
fn decoded(
    path: &Path,
    file: &File,
    entry: &v1::Entry,
    naming: &Naming<'_>,
    source: &Arc<dyn ReadAt>,
    spool: &mut Spool,
) -> Result<(Body, Unkept), Error> {
    let whole = |body| (body, Unkept::default());
    if !matches!(&*entry.ctype, "TSAV" | "STEN" | "NPZ0" | "JSON") {
        return bytes_of(path, file, entry, source, spool).map(|bytes| whole(Body::Bytes(bytes)));
    }
    let payload = file.payload(&entry.name).map_err(|error| Error::of(path, error))?;
    if &*entry.ctype == "JSON" {
        // Whatever its text is: a key that is there twice, say, which PyFolds writes and reads.
        return match String::from_utf8(payload.to_vec()) {
            Ok(text) => Ok(whole(Body::Text(text))),
            Err(error) => Ok(whole(Body::Bytes(
                spool.keep(error.into_bytes()).map_err(super::unread)?,
            ))),
        };
    }
    let content = match &*entry.ctype {
        "STEN" => safetensors::read(&payload).map(|(arrays, header)| (arrays, of_header(&header), Unkept::default())),
        ctype => Content::read(ctype, &payload, Limits::DEFAULT.max_v1_chunk_bytes).map(|content| match content {
            Content::State(state) => (state.tensors, state.others, state.unkept),
            content => (content.into_tensors(), Vec::new(), Unkept::default()),
        }),
    };
    let (arrays, others, unkept) = match content {
        Ok(content) => content,
        Err(fault) => return unread(path, file, entry, source, spool, fault).map(whole),
    };
    let mut tensors = Vec::with_capacity(arrays.len());
    for array in arrays {
        tensors.push(Tensor {
            name: naming.tensor(&entry.name, &array.name).into_owned(),
            dtype: array.dtype,
            shape: array.shape,
            bytes: spool.keep(array.bytes.into_owned()).map_err(super::unread)?,
        });
    }
    let body = Body::Tensors {
        tensors,
        others,
        layout: None,
    };
    Ok((body, unkept))
}

/// The texts of a safetensors header.
fn of_header(header: &safetensors::Header) -> Vec<(Box<str>, Value)> {
    let texts = header.metadata.iter();
    texts.map(|(key, text)| (key.clone(), Value::from(&**text))).collect()
}

/// What the metadata of a document are in a version 1 file, and what of them is lost.
pub(super) fn metadata(document: &Document, protection: Protection) -> (Value, Vec<String>) {
    let mut lost = Vec::new();
    let Some(original) = original(document) else {
        let plain = document
            .parts
            .iter()
            .filter(|part| matches!(part.body, Body::Tensors { .. }));
        let plain = plain.map(|part| Value::from(&*part.name)).collect();
        let own = document.metadata.iter().map(|metadata| (FOLD, metadata.clone()));
        let ours = [(ORIGIN, Value::from(document.origin)), (PLAIN, Value::Array(plain))];
        return (Value::object(own.chain(ours)), lost);
    };
    if !matches!(original.get("created_at_unix"), Some(Value::Float(_) | Value::Int(_))) {
        lost.push("created_at_unix, which is no number".to_owned());
    }
    let mut metadata = original.get("metadata").cloned().unwrap_or(Value::Object(Vec::new()));
    if let Value::Object(entries) = &mut metadata {
        entries.retain(|(key, _)| {
            let kept = !OF_THE_FILE.contains(&&**key);
            // Hashes are made anew.
            if !kept && !matches!(&**key, "chunk_hashes" | "manifest_hash") {
                lost.push(format!("`{key}` of the metadata, which speaks of another file"));
            }
            kept
        });
        // What the file's protection was says nothing of this one's. What is none of PyFolds' is the user's.
        const KNOWN: [Protection; 4] = [Protection::Off, Protection::Low, Protection::Med, Protection::High];
        let recorded = entries.iter_mut().find(|(key, _)| &**key == "protection");
        if let Some((_, recorded)) = recorded
            && KNOWN.iter().any(|known| recorded.as_str() == Some(known.as_str()))
            && recorded.as_str() != Some(protection.as_str())
        {
            *recorded = Value::from(protection.as_str());
            let before = entries.len();
            entries.retain(|(key, _)| &**key != "signature");
            if entries.len() < before {
                lost.push("the signature: it covers the protection, which changed".to_owned());
            }
        }
    }
    (metadata, lost)
}

/// The metadata of a document that was a version 1 file.
fn original(document: &Document) -> Option<&Value> {
    document.metadata.as_ref().filter(|_| document.origin == "fold-v1")
}

/// The time at which a document's file was made.
pub(super) fn created_at_unix(document: &Document) -> f64 {
    match original(document).and_then(|metadata| metadata.get("created_at_unix")) {
        Some(Value::Float(seconds)) => *seconds,
        Some(Value::Int(digits)) => digits.parse().unwrap_or(0.0),
        _ => 0.0,
    }
}

/// The type that a chunk is written as.
pub(super) fn ctype(part: &Part) -> &str {
    match (&part.body, part.ctype.as_deref()) {
        (Body::Text(_), ctype) => ctype.unwrap_or("JSON"),
        (Body::Bytes(_), ctype) => ctype.unwrap_or(NO_TYPE),
        (Body::Tensors { .. }, Some(ctype @ ("TSAV" | "NPZ0"))) => ctype,
        (Body::Tensors { .. }, _) => "STEN",
    }
}

/// Whether a chunk is written with what stands beside its tensors.
pub(super) fn keeps_others(part: &Part) -> bool {
    let Body::Tensors { others, .. } = &part.body else {
        return true;
    };
    match ctype(part) {
        "TSAV" => true,
        "STEN" => others.iter().all(|(_, text)| text.as_str().is_some()),
        _ => others.is_empty(),
    }
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
    let of_version_1 = original(document).map(|original| Naming::of(original.get("metadata")));
    // What is from another format has names that are unique already.
    let keeps = |part: &Part| of_version_1.as_ref().is_none_or(|naming| naming.keeps(&part.name));
    let mut payloads = Vec::new();
    for part in &document.parts {
        payloads.push(payload(part, keeps(part))?);
    }
    let chunks = document.parts.iter().zip(&payloads).map(|(part, payload)| Chunk {
        name: &part.name,
        ctype: ctype(part),
        payload: payload.span(),
    });
    let metadata = metadata(document, protection).0;
    // The index that they are in is an object too.
    if depth(&metadata) >= json::MAX_DEPTH {
        return Err(unheld("the metadata, which are nested too deep".to_owned()));
    }
    let file = Version1 {
        metadata,
        created_at_unix: created_at_unix(document),
        chunks: chunks.collect(),
        compression,
        protection,
    };
    v1::write(out, &file).map_err(|error| refused(&error))
}

/// What version 1 does not take.
fn unheld(what: String) -> Error {
    Error::Unheld {
        what: what.into(),
        instead: "version 2 and safetensors may take it".into(),
    }
}

fn refused(error: &io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::InvalidInput => unheld(error.to_string()),
        kind => Error::Format(fold_format::IoFault::new(fold_format::Operation::Write, None, kind.into()).into()),
    }
}

/// A chunk's payload, of the type that [`ctype`] says.
///
/// - `keeps`: whether its tensors keep their names, or lose the chunk's in front.
fn payload(part: &Part, keeps: bool) -> Result<Bytes, Error> {
    let (tensors, others) = match &part.body {
        Body::Text(text) => return Ok(Bytes::of(text.clone().into_bytes())),
        Body::Bytes(bytes) => return Ok(bytes.clone()),
        Body::Tensors { tensors, others, .. } => (tensors, others),
    };
    let prefix = format!("{}.", part.name);
    let own = tensors.iter().map(|tensor| {
        let stripped = tensor.name.strip_prefix(&prefix).filter(|_| !keeps);
        tensor.source(stripped.unwrap_or(&tensor.name))
    });
    let own: Vec<TensorSource<'_>> = own.collect::<Result<_, _>>()?;
    let in_chunk = |what: &dyn std::fmt::Display| unheld(format!("chunk {}: {what}", Escaped(&part.name)));
    let written = |error: io::Error| match error.kind() {
        io::ErrorKind::InvalidInput => in_chunk(&error),
        _ => super::unread(error),
    };
    let assembled = match ctype(part) {
        "TSAV" => {
            let (saved, bytes) = assembled(|out| v1::torch::save_to(out, &own, others)).map_err(written)?;
            saved.map_err(|fault| in_chunk(&fault))?;
            return Ok(bytes);
        }
        "NPZ0" => assembled(|out| {
            let mut writer = npz::Writer::new(out);
            for tensor in &own {
                writer.add_source(tensor)?;
            }
            writer.finish().map(drop)
        }),
        _ => {
            let texts = others.iter().filter_map(|(key, text)| Some((&**key, text.as_str()?)));
            let texts: Vec<_> = texts.collect();
            assembled(|out| safetensors::write_sources(out, &own, &texts))
        }
    };
    assembled.map(|((), bytes)| bytes).map_err(written)
}
