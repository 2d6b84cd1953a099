//! One chunk, or one tensor, as a file of its own.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use fold_format::interchange::npy;
use fold_format::v1::{self, Keys};
use fold_format::{Checkpoint, Limits, Misuse};
use serde::Serialize;

use super::document::{Document, read_fault};
use crate::check::{FileKind, distrusted, lossy, sniff};
use crate::error::Error;
use crate::exit::ExitCode;
use crate::json::Int;
use crate::new_file::Pending;

/// What to extract.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Wanted {
    /// The decoded payload of the chunk of this name, byte for byte.
    Chunk(String),
    /// The tensor of this name, as `.npy`.
    Tensor(String),
}

/// What was extracted, schema `fold.extract/1`.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct ExtractReport {
    /// `fold.extract/1`.
    pub schema: &'static str,
    /// `extract`.
    pub command: &'static str,
    /// What the command ends with.
    pub exit_code: ExitCode,
    /// `chunk` or `tensor`.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// The tensor's dtype; none for a chunk.
    pub dtype: Option<&'static str>,
    /// The tensor's extents; none for a chunk.
    pub shape: Option<Vec<Int>>,
    /// What to know of the new file.
    pub note: Option<&'static str>,
    /// The new file.
    #[serde(serialize_with = "lossy")]
    pub output: PathBuf,
    /// Its bytes.
    pub bytes: Int,
}

/// Writes one chunk or tensor into a new file. Only what is asked for is verified.
///
/// # Errors
/// `FOLD-E0802` a signature is asked for and is not there; `FOLD-E0005` there is nothing of that name; `FOLD-E0801` two
/// tensors have it; damage where the file's reader finds it; `FOLD-E0003` the target exists; I/O.
pub fn extract(source: &Path, wanted: &Wanted, output: &Path, keys: &Keys) -> Result<ExtractReport, Error> {
    let pending = Pending::new(output, Some(source))?;
    if let Some(finding) = distrusted(source, keys)? {
        return Err(Error::SourceDamaged {
            path: source.into(),
            finding: Box::new(finding),
        });
    }
    let mut report = ExtractReport {
        schema: "fold.extract/1",
        command: "extract",
        exit_code: ExitCode::Done,
        kind: "chunk",
        name: String::new(),
        dtype: None,
        shape: None,
        note: None,
        output: output.into(),
        bytes: Int(0),
    };
    match wanted {
        Wanted::Chunk(name) => {
            report.name.clone_from(name);
            with_chunk(source, name, keys, |payload| {
                pending.fill(|out| out.write_all(payload).map_err(|error| read_fault(output, error)))
            })?;
        }
        Wanted::Tensor(name) => {
            let array = tensor(source, name, keys)?;
            report.kind = "tensor";
            report.name.clone_from(name);
            report.dtype = Some(array.dtype.as_str());
            report.shape = Some(array.shape.extents().iter().copied().map(Int).collect());
            report.note = (!npy::keeps_dtype(array.dtype)).then_some("NumPy has no bf16: its bits are in a u16 array");
            pending.fill(|out| {
                npy::write(out, array.dtype, array.shape.extents(), &array.bytes)
                    .map_err(|error| read_fault(output, error))
            })?;
        }
    }
    report.bytes = Int(pending.publish()?);
    Ok(report)
}

/// Hands a chunk's payload to `each`.
fn with_chunk<T>(
    source: &Path,
    name: &str,
    keys: &Keys,
    each: impl FnOnce(&[u8]) -> Result<T, Error>,
) -> Result<T, Error> {
    let failed = |error| Error::of(source, error);
    match sniff(source) {
        FileKind::Version1 => {
            let file = v1::File::open(source, keys.clone(), Limits::DEFAULT).map_err(failed)?;
            each(&file.payload(name).map_err(failed)?)
        }
        FileKind::Other => {
            let checkpoint = Checkpoint::open(source).map_err(failed)?;
            // Tensors come as they lie: each on a multiple of 64 bytes, zeros between them.
            each(&checkpoint.chunk(name).map_err(failed)?)
        }
        FileKind::Safetensors | FileKind::Npz => Err(failed(Misuse::NoSuchChunk { name: name.into() }.into())),
    }
}

fn tensor(source: &Path, name: &str, keys: &Keys) -> Result<fold_format::interchange::Array<'static>, Error> {
    if sniff(source) == FileKind::Other {
        let failed = |error| Error::of(source, error);
        let checkpoint = Checkpoint::open(source).map_err(failed)?;
        let tensor = checkpoint.tensor(name).map_err(failed)?;
        return Ok(fold_format::interchange::Array {
            name: name.to_owned().into(),
            dtype: tensor.dtype(),
            shape: *tensor.shape(),
            bytes: tensor.as_bytes().to_vec().into(),
        });
    }
    let document = Document::load(source, keys)?;
    document.unique(source, |other| other == name)?;
    let found = document.tensors().find(|tensor| tensor.name == name);
    let found = found.ok_or_else(|| Error::of(source, Misuse::NoSuchTensor { name: name.into() }.into()))?;
    Ok(found.array().map_err(super::unread)?.into_owned())
}
