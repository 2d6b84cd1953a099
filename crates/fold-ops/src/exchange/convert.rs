//! Converting a file: verified, written, read back, compared, and only then under its name.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

use fold_format::interchange::{npy, npz, safetensors};
use fold_format::json::Value;
use fold_format::v1::{Compression, Keys, Protection};
use fold_format::{Durability, Escaped, Existing, SaveOptions};
use serde::Serialize;

use super::document::{Body, Document, Part};
use super::neurons::{self, StateForm, StateReport};
use super::tensor::{Bytes, Tensor, same_bytes};
use super::{envelope, version_1, version_2};
use crate::check::lossy;
use crate::code::Code;
use crate::error::Error;
use crate::exit::ExitCode;
use crate::json::Int;
use crate::new_file::Pending;

/// What to convert to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Target {
    /// The container, version 2.
    Version2,
    /// The container, version 1.2.0, as PyFolds 1.0 reads it.
    Version1,
    /// safetensors: tensors, and text as its metadata.
    Safetensors,
    /// NumPy's npz: tensors alone.
    Npz,
}

impl Target {
    /// `fold-v2`, `fold-v1`, `safetensors` or `npz`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Version2 => "fold-v2",
            Self::Version1 => "fold-v1",
            Self::Safetensors => "safetensors",
            Self::Npz => "npz",
        }
    }

    /// What a file of this name is taken to be: `.fold` and `.mind` are version 2. None for other endings.
    #[must_use]
    pub fn of_name(path: &Path) -> Option<Self> {
        Some(match path.extension()?.to_str()? {
            "fold" | "mind" => Self::Version2,
            "safetensors" => Self::Safetensors,
            "npz" => Self::Npz,
            _ => return None,
        })
    }
}

/// What to do about tensors that the target cannot hold as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Lossy {
    /// Refuse.
    Deny,
    /// Go on and say what was lost.
    Allow,
}

/// How to convert.
#[derive(Clone, Debug)]
pub struct ConvertOptions {
    /// What to; by the target's name where none is said.
    pub to: Option<Target>,
    /// What to do about loss.
    pub lossy: Lossy,
    /// What a version 1 source may need.
    pub keys: Keys,
    /// How version 2 is written; its durability is [`Durability::Full`] in any case.
    pub version_2: SaveOptions,
    /// How version 1 is compressed.
    pub compression: Compression,
    /// The parity of version 1.
    pub protection: Protection,
    /// How the state of neurons is laid out; as it is where none is said.
    pub state: Option<StateForm>,
}

impl Default for ConvertOptions {
    fn default() -> Self {
        Self {
            to: None,
            lossy: Lossy::Deny,
            keys: Keys::new(),
            version_2: SaveOptions::new(Durability::Full),
            compression: Compression::Stored,
            protection: Protection::Off,
            state: None,
        }
    }
}

/// Something of the source that the target does not have.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Loss {
    /// `FOLD-W0803` for what is no tensor, `FOLD-E0801` for tensors.
    pub code: Code,
    /// What, in one line.
    pub what: String,
}

/// What a conversion did, schema `fold.convert/1`.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct ConvertReport {
    /// `fold.convert/1`.
    pub schema: &'static str,
    /// `convert`.
    pub command: &'static str,
    /// What the command ends with.
    pub exit_code: ExitCode,
    /// The source.
    #[serde(serialize_with = "lossy")]
    pub source: PathBuf,
    /// Its format.
    pub source_format: &'static str,
    /// The new file.
    #[serde(serialize_with = "lossy")]
    pub output: PathBuf,
    /// Its format.
    pub output_format: &'static str,
    /// Its bytes.
    pub bytes: Int,
    /// Tensors that were written.
    pub tensors: Int,
    /// What the new file does not have.
    pub losses: Vec<Loss>,
    /// What became of the state of neurons; none where nothing was to become of it, or there are no neurons.
    pub state: Option<StateReport>,
    /// That the new file was verified and read back, and held what it was to hold.
    pub verified: bool,
}

/// Converts `source` into a new file.
///
/// A few MiB of the content are in memory at a time, and a description of every tensor, for the source and for the file that
/// is read back; of a version 1 chunk that is compressed or encrypted, and of an npz array that is column-major, the whole of it. State that is gathered into arrays is
/// in memory too.
///
/// # Errors
/// `FOLD-E0802` the source does not verify; `FOLD-E0804` and the like for what is inside a chunk; `FOLD-E0801` something
/// would be lost; `FOLD-E0003` the target exists; `FOLD-E0001` the target's name does not say what to convert to; I/O.
/// No file of the target's name is left behind.
pub fn convert(source: &Path, output: &Path, options: &ConvertOptions) -> Result<ConvertReport, Error> {
    let to = options
        .to
        .or_else(|| Target::of_name(output))
        .ok_or_else(|| Error::Setting {
            what: "the target's name does not say its format: give --to v2, v1, safetensors or npz".into(),
        })?;
    let mut document = Document::load(source, &options.keys)?;
    let pending = Pending::new(output, Some(source))?;
    let whole = document.clone();
    let state = match options.state {
        Some(form) => neurons::arrange(&mut document, form)?,
        None => None,
    };
    let tensors = document.tensors().count() as u64;
    if to != Target::Version1 {
        document.unique(source, |_| true)?;
    }
    let mut losses = losses(&document, to, options)?;
    match to {
        Target::Version2 => {
            let save = options.version_2.clone().existing(Existing::Replace);
            version_2::write(pending.path(), &document, &save)?;
        }
        Target::Version1 => {
            pending.fill(|out| version_1::write(out, &document, options.compression, options.protection))?;
        }
        Target::Safetensors => pending.fill(|out| {
            let sources: Result<Vec<_>, _> = document.tensors().map(|tensor| tensor.source(&tensor.name)).collect();
            let sources = sources?;
            let texts = envelope::texts(&document)?;
            let texts: Vec<_> = texts.iter().map(|(key, text)| (key.as_str(), text.as_str())).collect();
            safetensors::write_sources(out, &sources, &texts).map_err(|error| unwritten(&error))
        })?,
        Target::Npz => pending.fill(|out| {
            let mut writer = npz::Writer::new(out);
            for tensor in document.tensors() {
                let added = writer.add_source(&tensor.source(&tensor.name)?);
                added.map_err(|error| unwritten(&error))?;
            }
            writer.finish().map(drop).map_err(|error| unwritten(&error))
        })?,
    }
    // Where the file says how arrays came from a state dict, that dict is what is read back.
    let gathered = options.state == Some(StateForm::Arrays) && matches!(to, Target::Version2 | Target::Safetensors);
    let expected = if gathered { whole } else { document };
    // The temporary file goes with `pending` when this fails.
    let read = Document::load(pending.path(), &Keys::new())?;
    if !holds(&read, &expected, to, options.protection)? {
        return Err(Error::ReadBack { path: output.into() });
    }
    losses.extend(expected.guards.without(&read.guards).map(dropped));
    let bytes = pending.publish()?;
    Ok(ConvertReport {
        schema: "fold.convert/1",
        command: "convert",
        exit_code: ExitCode::Done,
        source: source.into(),
        source_format: expected.format,
        output: output.into(),
        output_format: to.as_str(),
        bytes: Int(bytes),
        tensors: Int(tensors),
        losses,
        state,
        verified: true,
    })
}

fn unwritten(error: &io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::InvalidInput => Error::Unheld {
            what: error.to_string().into(),
            instead: "another target may take it".into(),
        },
        kind => Error::Format(fold_format::IoFault::new(fold_format::Operation::Write, None, kind.into()).into()),
    }
}

/// What the target will not have.
fn losses(document: &Document, to: Target, options: &ConvertOptions) -> Result<Vec<Loss>, Error> {
    let mut losses = Vec::new();
    if to == Target::Version1 {
        losses.extend(
            version_1::metadata(document, options.protection)
                .1
                .into_iter()
                .map(dropped),
        );
        let parts = document.parts.iter().filter(|part| !version_1::keeps_others(part));
        losses.extend(parts.map(|part| dropped(beside(part))));
    }
    if let Some(chunk) = &document.unread_metadata
        && matches!(to, Target::Version1 | Target::Version2)
    {
        let chunk = Escaped(chunk);
        losses.push(dropped(format!(
            "the metadata: they are no JSON that is read here, and kept as chunk {chunk}"
        )));
    }
    if matches!(to, Target::Safetensors | Target::Npz) {
        for part in &document.parts {
            let name = Escaped(&part.name);
            match &part.body {
                Body::Tensors { others, .. } if to == Target::Npz && !others.is_empty() => {
                    losses.push(dropped(beside(part)));
                }
                Body::Text(_) if to == Target::Npz => losses.push(dropped(format!("chunk {name}, which is text"))),
                Body::Bytes(_) => losses.push(dropped(format!("chunk {name}, which is bytes"))),
                _ => {}
            }
        }
        if to == Target::Npz && document.metadata.is_some() {
            losses.push(dropped("the metadata"));
        }
    }
    if to == Target::Npz {
        for tensor in document.tensors().filter(|tensor| !npy::keeps_dtype(tensor.dtype)) {
            losses.push(Loss {
                code: Code::LossyRefused,
                what: format!(
                    "the dtype of tensor {}: NumPy has no {}, its bits go into u16",
                    Escaped(&tensor.name),
                    tensor.dtype
                ),
            });
        }
    }
    match losses.iter().find(|loss| loss.code == Code::LossyRefused) {
        Some(loss) if options.lossy == Lossy::Deny => Err(Error::LossyRefused {
            what: format!("{} would lose {}", to.as_str(), loss.what).into(),
        }),
        _ => Ok(losses),
    }
}

fn dropped(what: impl Into<String>) -> Loss {
    Loss {
        code: Code::MetadataDropped,
        what: what.into(),
    }
}

fn beside(part: &Part) -> String {
    format!("what stands beside the tensors of chunk {}", Escaped(&part.name))
}

/// Whether what was read back is what was to be written, as far as the target can hold it.
fn holds(read: &Document, written: &Document, to: Target, protection: Protection) -> Result<bool, Error> {
    if to == Target::Npz {
        let [read, written] = [read, written].map(|document| document.tensors().collect::<Vec<_>>());
        return same_tensors(&read, &written, to);
    }
    let is_held = |part: &&Part| !(to == Target::Safetensors && matches!(part.body, Body::Bytes(_)));
    let parts: Vec<&Part> = written.parts.iter().filter(is_held).collect();
    // A container sorts its chunks; a document that came from version 1 has its order, whatever format it is in.
    let ordered = to == Target::Version1 || written.origin == "fold-v1";
    let names = |parts: &[&Part]| parts.iter().map(|part| part.name.clone()).collect::<Vec<_>>();
    let read_parts: Vec<&Part> = read.parts.iter().collect();
    if parts.len() != read_parts.len() || (ordered && names(&parts) != names(&read_parts)) {
        return Ok(false);
    }
    let by_name: HashMap<&str, &Part> = read_parts.iter().map(|part| (part.name.as_str(), *part)).collect();
    for part in parts {
        match by_name.get(part.name.as_str()) {
            Some(read) if same_part(read, part, to, written.origin)? => {}
            _ => return Ok(false),
        }
    }
    Ok(same_metadata(read, written, to, protection))
}

/// - `origin`: of the document that was written.
fn same_part(read: &Part, written: &Part, to: Target, origin: &str) -> Result<bool, Error> {
    let ctype = match to {
        Target::Version1 => version_1::ctype(written),
        _ => written.ctype.as_deref().unwrap_or(envelope::NO_TYPE),
    };
    // Other documents have no types.
    let typed = to == Target::Version1 || origin == "fold-v1";
    if typed && read.ctype.as_deref() != Some(ctype) {
        return Ok(false);
    }
    let (
        Body::Tensors { tensors, others, .. },
        Body::Tensors {
            tensors: own,
            others: own_others,
            ..
        },
    ) = (&read.body, &written.body)
    else {
        return same_body(&read.body, &written.body).map_err(super::unread);
    };
    // safetensors has an order of its own for tensors and texts, as a container has for tensors.
    let sorted = match to {
        Target::Version1 => ctype == "STEN",
        _ => origin != "fold-v1",
    };
    let (tensors, own) = (in_order(tensors, sorted), in_order(own, sorted));
    let own_others = if to != Target::Version1 || version_1::keeps_others(written) {
        own_others.as_slice()
    } else {
        &[]
    };
    let order = if ctype == "STEN" { Order::Any } else { Order::Same };
    Ok(same_entries(others, own_others, order) && same_tensors(&tensors, &own, to)?)
}

/// In the order of the chunk, or by their names.
fn in_order(tensors: &[Tensor], sorted: bool) -> Vec<&Tensor> {
    let mut tensors: Vec<&Tensor> = tensors.iter().collect();
    if sorted {
        tensors.sort_by(|a, b| a.name.cmp(&b.name));
    }
    tensors
}

/// In their order.
fn same_tensors(read: &[&Tensor], written: &[&Tensor], to: Target) -> Result<bool, Error> {
    if read.len() != written.len() {
        return Ok(false);
    }
    for (read, tensor) in read.iter().zip(written) {
        let dtype = read.dtype == tensor.dtype || (to == Target::Npz && !npy::keeps_dtype(tensor.dtype));
        if read.name != tensor.name
            || !dtype
            || read.shape != tensor.shape
            || !same_bytes(&read.bytes, &tensor.bytes).map_err(super::unread)?
        {
            return Ok(false);
        }
    }
    Ok(true)
}

fn same_metadata(read: &Document, written: &Document, to: Target, protection: Protection) -> bool {
    if to == Target::Version1 && written.origin == "fold-v1" {
        let (wanted, _) = version_1::metadata(written, protection);
        let metadata = read.metadata.as_ref().and_then(|metadata| metadata.get("metadata"));
        let created = version_1::created_at_unix(read).to_bits() == version_1::created_at_unix(written).to_bits();
        return created && metadata.is_some_and(|metadata| same_value(metadata, &wanted, Order::Same));
    }
    let entries = |document: &'_ Document| -> Vec<(Box<str>, Value)> {
        let entries = document.metadata.as_ref().and_then(Value::as_object);
        entries.unwrap_or_default().to_vec()
    };
    let of_texts = to == Target::Safetensors && written.origin == "safetensors";
    let order = if of_texts { Order::Any } else { Order::Same };
    same_entries(&entries(read), &entries(written), order)
}

/// Whether the order of an object's keys counts.
#[derive(Clone, Copy, PartialEq)]
enum Order {
    Same,
    Any,
}

fn same_entries(a: &[(Box<str>, Value)], b: &[(Box<str>, Value)], order: Order) -> bool {
    let mut sides = [a, b].map(|entries| entries.iter().collect::<Vec<_>>());
    if order == Order::Any {
        for entries in &mut sides {
            entries.sort_by(|(a, _), (b, _)| a.cmp(b));
        }
    }
    let [a, b] = sides;
    a.len() == b.len()
        && a.iter()
            .zip(b)
            .all(|((key, value), (other, against))| key == other && same_value(value, against, order))
}

/// Whether two values are the same: a float to its sign, a NaN as any NaN.
fn same_value(a: &Value, b: &Value, order: Order) -> bool {
    match (a, b) {
        (Value::Float(a), Value::Float(b)) => a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan()),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_value(a, b, order))
        }
        (Value::Object(a), Value::Object(b)) => same_entries(a, b, order),
        (a, b) => a == b,
    }
}

/// Text that is no strict JSON is kept as bytes.
fn same_body(read: &Body, written: &Body) -> io::Result<bool> {
    let bytes = |body: &Body| match body {
        Body::Text(text) => Some(Bytes::of(text.clone().into_bytes())),
        Body::Bytes(bytes) => Some(bytes.clone()),
        Body::Tensors { .. } => None,
    };
    match (bytes(read), bytes(written)) {
        (Some(read), Some(written)) => same_bytes(&read, &written),
        _ => Ok(false),
    }
}

#[cfg(test)]
mod tests {
    use fold_format::{Dtype, Shape, json};

    use super::super::document::Guards;
    use super::*;

    fn value(text: &str) -> Value {
        json::parse(text.as_bytes()).unwrap()
    }

    /// A document with a state of two tensors and a text.
    fn document(origin: &'static str, metadata: &str, others: &str) -> Document {
        let tensor = |name: &str| Tensor {
            name: name.to_owned(),
            dtype: Dtype::U8,
            shape: Shape::new(&[1]).unwrap(),
            bytes: Bytes::of(vec![7]),
        };
        let part = |name: &str, ctype: &str, body| Part {
            name: name.to_owned(),
            ctype: Some(ctype.to_owned()),
            body,
        };
        let state = Body::Tensors {
            tensors: vec![tensor("b"), tensor("a")],
            others: value(others).as_object().unwrap().to_vec(),
            layout: None,
        };
        Document {
            format: "fold-v1",
            origin,
            metadata: Some(value(metadata)),
            parts: vec![
                part("torch_state", "TSAV", state),
                part("metrics", "JSON", Body::Text("{}".to_owned())),
            ],
            unread_metadata: None,
            guards: Guards::default(),
        }
    }

    const METADATA: &str = r#"{"created_at_unix":1.5,"metadata":{"a":-0.0,"b":[NaN]}}"#;

    fn held(change: impl FnOnce(&mut Document), to: Target) -> bool {
        let written = document("fold-v1", METADATA, r#"{"config":{"a":1},"mode":"x"}"#);
        let mut read = written.clone();
        change(&mut read);
        holds(&read, &written, to, Protection::Off).unwrap()
    }

    fn state(document: &mut Document) -> (&mut Vec<Tensor>, &mut Vec<(Box<str>, Value)>) {
        match &mut document.parts[0].body {
            Body::Tensors { tensors, others, .. } => (tensors, others),
            _ => unreachable!(),
        }
    }

    #[test]
    fn no_loss_passes_for_what_was_written() {
        type Change = fn(&mut Document);
        let changes: [(&str, Change); 12] = [
            ("others", |read| state(read).1.clear()),
            ("a value beside the tensors", |read| {
                state(read).1[0].1 = value(r#"{"a":true}"#)
            }),
            ("the order beside the tensors", |read| state(read).1.reverse()),
            ("the order of tensors", |read| state(read).0.reverse()),
            ("a tensor", |read| drop(state(read).0.pop())),
            ("a tensor's bytes", |read| state(read).0[0].bytes = Bytes::of(vec![8])),
            ("a type", |read| read.parts[1].ctype = Some("BYTE".to_owned())),
            ("the order of chunks", |read| read.parts.reverse()),
            ("a chunk", |read| drop(read.parts.pop())),
            ("one chunk more", |read| {
                let text = read.parts[1].clone();
                read.parts.push(text);
            }),
            ("metadata", |read| {
                read.metadata = Some(value(r#"{"created_at_unix":1.5,"metadata":{"b":[NaN]}}"#));
            }),
            ("a sign", |read| {
                read.metadata = Some(value(r#"{"created_at_unix":1.5,"metadata":{"a":0.0,"b":[NaN]}}"#));
            }),
        ];
        for to in [Target::Version1, Target::Version2, Target::Safetensors] {
            assert!(held(|_| (), to), "{}", to.as_str());
            for (what, change) in changes {
                assert!(!held(change, to), "{what} in {}", to.as_str());
            }
        }
        assert!(held(|read| drop(read.parts.pop()), Target::Npz));
        assert!(!held(|read| state(read).0.reverse(), Target::Npz));
        let made = |read: &mut Document| {
            read.metadata = Some(value(r#"{"created_at_unix":2.5,"metadata":{"a":-0.0,"b":[NaN]}}"#));
        };
        assert!(!held(made, Target::Version1));
    }

    #[test]
    fn metadata_that_are_no_json_are_kept_and_named() {
        let mut read = document("fold-v2", "{}", "{}");
        assert!(
            losses(&read, Target::Version2, &ConvertOptions::default())
                .unwrap()
                .is_empty()
        );
        read.unread_metadata = Some("metadata".to_owned());
        for to in [Target::Version1, Target::Version2] {
            let losses = losses(&read, to, &ConvertOptions::default()).unwrap();
            assert_eq!(
                losses[0].what,
                "the metadata: they are no JSON that is read here, and kept as chunk `metadata`"
            );
        }
    }
}
