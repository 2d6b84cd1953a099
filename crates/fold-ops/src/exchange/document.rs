//! A file of any format as parts: tensors, text, bytes. What conversions and comparisons work on.

use std::fs::File;
use std::io::BufReader;
use std::ops::ControlFlow;
use std::path::Path;

use fold_format::interchange::{Array, npz, safetensors};
use fold_format::json::Value;
use fold_format::v1::Keys;
use fold_format::{IoFault, Operation, Verdict};

use super::{version_1, version_2};
use crate::check::{self, FileKind, Level, sniff};
use crate::error::Error;

/// What a file holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// `fold-v2`, `fold-v1`, `safetensors` or `npz`.
    pub format: &'static str,
    /// The metadata: an object; none where the format has none.
    pub metadata: Option<Value>,
    /// The chunks, in the order of the file.
    pub parts: Vec<Part>,
}

/// A chunk.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// Its name.
    pub name: String,
    /// Its type where version 1 has one, for example `TSAV`.
    pub ctype: Option<String>,
    /// What it holds.
    pub body: Body,
}

/// What a chunk holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// Tensors under names that are unique in the file, and what a saved state of torch holds beside them.
    Tensors {
        /// The tensors.
        arrays: Vec<Array<'static>>,
        /// For example `config`, `mode`, `step_id`; empty elsewhere.
        others: Vec<(Box<str>, Value)>,
    },
    /// Text that is UTF-8: JSON.
    Text(String),
    /// Any bytes.
    Bytes(Vec<u8>),
}

impl Document {
    /// Every tensor, in the order of the file.
    pub fn tensors(&self) -> impl Iterator<Item = &Array<'static>> {
        self.parts.iter().flat_map(|part| match &part.body {
            Body::Tensors { arrays, .. } => arrays.as_slice(),
            _ => &[],
        })
    }

    /// Verifies a file in full and reads all of it.
    ///
    /// # Errors
    /// [`Error::SourceDamaged`] with the first thing that is wrong; `FOLD-E0804` and the like for what is inside a chunk.
    pub fn load(path: &Path, keys: &Keys) -> Result<Self, Error> {
        verified(path, keys)?;
        match sniff(path) {
            FileKind::Version1 => version_1::load(path, keys),
            FileKind::Other => version_2::load(path),
            FileKind::Safetensors => {
                let bytes = std::fs::read(path).map_err(|error| read_fault(path, error))?;
                let (arrays, header) = safetensors::read(&bytes).map_err(|fault| of_content(path, fault))?;
                let texts = header
                    .metadata
                    .iter()
                    .map(|(key, text)| (key.clone(), Value::from(&**text)));
                Ok(Self {
                    format: "safetensors",
                    metadata: (!header.metadata.is_empty()).then(|| Value::object(texts)),
                    parts: tensors_part(arrays.into_iter().map(Array::into_owned).collect()),
                })
            }
            FileKind::Npz => {
                let file = File::open(path).map_err(|error| read_fault(path, error))?;
                let max = ReadLen::of(&file);
                let fault = |fault| of_content(path, fault);
                let mut npz = npz::Npz::open(BufReader::new(file), max).map_err(fault)?;
                let mut arrays = Vec::new();
                for name in npz.names().to_vec() {
                    arrays.extend(npz.array(&name).map_err(fault)?);
                }
                Ok(Self {
                    format: "npz",
                    metadata: None,
                    parts: tensors_part(arrays),
                })
            }
        }
    }
}

/// How much an array of an npz file may decompress to: deflate does not exceed a thousandfold.
struct ReadLen;

impl ReadLen {
    fn of(file: &File) -> u64 {
        let len = file.metadata().map_or(0, |metadata| metadata.len());
        len.saturating_mul(1032).saturating_add(1 << 16)
    }
}

/// The one chunk of a file that has tensors alone.
fn tensors_part(arrays: Vec<Array<'static>>) -> Vec<Part> {
    vec![Part {
        name: "tensors".to_owned(),
        ctype: None,
        body: Body::Tensors {
            arrays,
            others: Vec::new(),
        },
    }]
}

pub(crate) fn read_fault(path: &Path, error: std::io::Error) -> Error {
    Error::Format(IoFault::new(Operation::Read, Some(path.into()), error).into())
}

pub(super) fn of_content(path: &Path, fault: fold_format::interchange::Fault) -> Error {
    Error::of(path, fault.into())
}

/// The file verifies as whole, as far as its format can tell.
pub(super) fn verified(path: &Path, keys: &Keys) -> Result<(), Error> {
    let report = check::file(path, Level::Full, 1, keys, &mut |_, _| ControlFlow::Continue(()))?;
    if matches!(report.verdict, Verdict::Ok | Verdict::StructureOk) {
        return Ok(());
    }
    match report.findings.into_iter().next() {
        Some(finding) => Err(Error::SourceDamaged {
            path: path.into(),
            finding: Box::new(finding),
        }),
        None => Err(Error::ReadBack { path: path.into() }),
    }
}
