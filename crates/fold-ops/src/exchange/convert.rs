//! Converting a file: verified, written, read back, compared, and only then under its name.

use std::io;
use std::path::{Path, PathBuf};

use fold_format::interchange::{Fault, npy, npz, safetensors};
use fold_format::v1::{Compression, Keys, Protection};
use fold_format::{Durability, Escaped, Existing, SaveOptions};
use serde::Serialize;

use super::document::{Body, Document};
use super::target::Pending;
use super::{version_1, version_2};
use crate::check::lossy;
use crate::code::Code;
use crate::error::Error;
use crate::exit::ExitCode;
use crate::json::Int;

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
    /// That the new file was verified and read back, and held what it was to hold.
    pub verified: bool,
}

/// Converts `source` into a new file.
///
/// The source's content is in memory twice at the end: as it was read, and as it was read back.
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
    let pending = Pending::new(output)?;
    let mut document = Document::load(source, &options.keys)?;
    let losses = losses(&mut document, to, options.lossy)?;
    match to {
        Target::Version2 => {
            let save = options.version_2.clone().existing(Existing::Replace);
            version_2::write(pending.path(), &document, &save)?;
        }
        Target::Version1 => {
            pending.fill(|out| version_1::write(out, &document, options.compression, options.protection))?;
        }
        Target::Safetensors => pending.fill(|out| {
            let arrays: Vec<_> = document.tensors().cloned().collect();
            let texts = texts(&document);
            let texts: Vec<_> = texts.iter().map(|(key, text)| (key.as_str(), text.as_str())).collect();
            safetensors::write(out, &arrays, &texts).map_err(|error| unwritten(&error))
        })?,
        Target::Npz => pending.fill(|out| {
            let mut writer = npz::Writer::new(out);
            for array in document.tensors() {
                let added = writer.add(&array.name, array.dtype, &array.shape, &array.bytes);
                added.map_err(|error| unwritten(&error))?;
            }
            writer.finish().map(drop).map_err(|error| unwritten(&error))
        })?,
    }
    // The temporary file goes with `pending` when this fails.
    let read = Document::load(pending.path(), &Keys::new())?;
    if !holds(&read, &document, to) {
        return Err(Error::ReadBack { path: output.into() });
    }
    let bytes = pending.publish()?;
    Ok(ConvertReport {
        schema: "fold.convert/1",
        command: "convert",
        exit_code: ExitCode::Done,
        source: source.into(),
        source_format: document.format,
        output: output.into(),
        output_format: to.as_str(),
        bytes: Int(bytes),
        tensors: Int(document.tensors().count() as u64),
        losses,
        verified: true,
    })
}

fn unwritten(error: &io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::InvalidInput => Error::Format(Fault::from_write(error).into()),
        kind => Error::Format(fold_format::IoFault::new(fold_format::Operation::Write, None, kind.into()).into()),
    }
}

/// What the target will not have; with [`Lossy::Allow`] the document is left without what cannot be written at all.
fn losses(document: &mut Document, to: Target, policy: Lossy) -> Result<Vec<Loss>, Error> {
    let mut losses = Vec::new();
    let drop = |what: String| Loss {
        code: Code::MetadataDropped,
        what,
    };
    if matches!(to, Target::Safetensors | Target::Npz) {
        for part in &document.parts {
            let name = Escaped(&part.name);
            match &part.body {
                Body::Tensors { others, .. } if to == Target::Npz && !others.is_empty() => {
                    losses.push(drop(format!("what stands beside the tensors of chunk {name}")));
                }
                Body::Text(_) if to == Target::Npz => losses.push(drop(format!("chunk {name}, which is text"))),
                Body::Bytes(_) => losses.push(drop(format!("chunk {name}, which is bytes"))),
                _ => {}
            }
        }
        if to == Target::Npz && document.metadata.is_some() {
            losses.push(drop("the metadata".to_owned()));
        }
    }
    if to == Target::Npz {
        for array in document.tensors().filter(|array| !npy::keeps_dtype(array.dtype)) {
            losses.push(Loss {
                code: Code::LossyRefused,
                what: format!(
                    "the dtype of tensor {}: NumPy has no {}, its bits go into u16",
                    Escaped(&array.name),
                    array.dtype
                ),
            });
        }
    }
    match losses.iter().find(|loss| loss.code == Code::LossyRefused) {
        Some(loss) if policy == Lossy::Deny => Err(Error::LossyRefused {
            what: format!("{} would lose {}", to.as_str(), loss.what).into(),
        }),
        _ => Ok(losses),
    }
}

/// What safetensors keeps as text: the metadata, text chunks, and what stands beside a state's tensors.
fn texts(document: &Document) -> Vec<(String, String)> {
    let mut texts = vec![("format".to_owned(), "fold".to_owned())];
    if let Some(metadata) = &document.metadata {
        texts.push(("metadata".to_owned(), version_1::text(metadata)));
    }
    for part in &document.parts {
        match &part.body {
            Body::Text(text) => texts.push((format!("chunk.{}", part.name), text.clone())),
            Body::Tensors { others, .. } if !others.is_empty() => {
                let others = fold_format::json::Value::Object(others.clone());
                texts.push((format!("beside.{}", part.name), version_1::text(&others)));
            }
            _ => {}
        }
    }
    texts
}

/// Whether what was read back is what was to be written, as far as the target can hold it.
fn holds(read: &Document, written: &Document, to: Target) -> bool {
    let sorted = |document: &Document| {
        let tensors = document.tensors().map(|array| (array.name.to_string(), array.clone()));
        tensors.collect::<std::collections::BTreeMap<_, _>>()
    };
    let (read_tensors, written_tensors) = (sorted(read), sorted(written));
    let alike = |(name, array): (&String, &fold_format::interchange::Array<'_>)| {
        read_tensors.get(name).is_some_and(|read| {
            let dtype = read.dtype == array.dtype || (to == Target::Npz && !npy::keeps_dtype(array.dtype));
            dtype && read.shape == array.shape && read.bytes == array.bytes
        })
    };
    let tensors = read_tensors.len() == written_tensors.len() && written_tensors.iter().all(alike);
    let others = || {
        written.parts.iter().all(|part| match &part.body {
            Body::Tensors { .. } => true,
            body => read
                .parts
                .iter()
                .any(|read| read.name == part.name && same(&read.body, body)),
        })
    };
    tensors && (matches!(to, Target::Safetensors | Target::Npz) || others())
}

/// Text that is no strict JSON is kept as bytes.
fn same(read: &Body, written: &Body) -> bool {
    let bytes = |body: &Body| match body {
        Body::Text(text) => Some(text.clone().into_bytes()),
        Body::Bytes(bytes) => Some(bytes.clone()),
        Body::Tensors { .. } => None,
    };
    bytes(read) == bytes(written)
}
