//! Converting a file: verified, written, read back, compared, and only then under its name.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

use fold_format::interchange::{Fault, npy, npz, safetensors};
use fold_format::v1::{Compression, Keys, Protection};
use fold_format::{Durability, Escaped, Existing, SaveOptions};
use serde::Serialize;

use super::document::{Body, CHUNK, Document, FOLD};
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
/// is read back; of a version 1 chunk that is compressed or encrypted, the whole of it. State that is gathered into arrays is
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
    let pending = Pending::new(output)?;
    let mut document = Document::load(source, &options.keys)?;
    let whole = document.clone();
    let state = match options.state {
        Some(form) => neurons::arrange(&mut document, form)?,
        None => None,
    };
    let tensors = document.tensors().count() as u64;
    let losses = losses(&document, to, options.lossy)?;
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
            let texts = texts(&document);
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
    if !holds(&read, &expected, to)? {
        return Err(Error::ReadBack { path: output.into() });
    }
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
        io::ErrorKind::InvalidInput => Error::Format(Fault::from_write(error).into()),
        kind => Error::Format(fold_format::IoFault::new(fold_format::Operation::Write, None, kind.into()).into()),
    }
}

/// What the target will not have.
fn losses(document: &Document, to: Target, policy: Lossy) -> Result<Vec<Loss>, Error> {
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
        Some(loss) if policy == Lossy::Deny => Err(Error::LossyRefused {
            what: format!("{} would lose {}", to.as_str(), loss.what).into(),
        }),
        _ => Ok(losses),
    }
}

/// What safetensors keeps as text: what [`envelope::pack`] gives, and the chunks that are text.
fn texts(document: &Document) -> Vec<(String, String)> {
    let mut texts = vec![
        ("format".to_owned(), "fold".to_owned()),
        (FOLD.to_owned(), envelope::pack(document)),
    ];
    for part in &document.parts {
        if let Body::Text(text) = &part.body {
            texts.push((format!("{CHUNK}{}", part.name), text.clone()));
        }
    }
    texts
}

/// Whether what was read back is what was to be written, as far as the target can hold it.
fn holds(read: &Document, written: &Document, to: Target) -> Result<bool, Error> {
    let mut left: HashMap<&str, &Tensor> = read.tensors().map(|tensor| (tensor.name.as_str(), tensor)).collect();
    for tensor in written.tensors() {
        let Some(read) = left.remove(&*tensor.name) else {
            return Ok(false);
        };
        let dtype = read.dtype == tensor.dtype || (to == Target::Npz && !npy::keeps_dtype(tensor.dtype));
        if !dtype || read.shape != tensor.shape || !same_bytes(&read.bytes, &tensor.bytes).map_err(super::unread)? {
            return Ok(false);
        }
    }
    for part in &written.parts {
        let held = match &part.body {
            // These were compared above.
            Body::Tensors { .. } => false,
            Body::Text(_) => to != Target::Npz,
            Body::Bytes(_) => !matches!(to, Target::Npz | Target::Safetensors),
        };
        let found = read.parts.iter().find(|read| read.name == part.name);
        if held {
            let equal = found.map_or(Ok(false), |read| same(&read.body, &part.body));
            if !equal.map_err(super::unread)? {
                return Ok(false);
            }
        }
    }
    Ok(left.is_empty())
}

/// Text that is no strict JSON is kept as bytes.
fn same(read: &Body, written: &Body) -> io::Result<bool> {
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
