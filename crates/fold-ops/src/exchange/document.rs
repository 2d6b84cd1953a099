//! A file of any format as parts: tensors, text, bytes. What conversions and comparisons work on.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, BufReader};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use fold_format::interchange::{Fault, npz, safetensors};
use fold_format::json::Value;
use fold_format::v1::Keys;
use fold_format::{Escaped, IoFault, Limits, Operation, ReadAt, Verdict};

use super::envelope;
use super::neurons::Layout;
use super::spool::Spool;
use super::tensor::{Bytes, Tensor};
use super::{version_1, version_2};
use crate::check::{self, FileKind, Level, sniff};
use crate::error::Error;
use crate::input_file;

/// What a file holds.
#[derive(Clone, Debug)]
pub(crate) struct Document {
    /// `fold-v2`, `fold-v1`, `safetensors` or `npz`.
    pub(crate) format: &'static str,
    /// The format that the metadata are of: `fold-v1` for a file that came from version 1, whatever it is now.
    pub(crate) origin: &'static str,
    /// The metadata: an object; none where the format has none.
    pub(crate) metadata: Option<Value>,
    /// The chunks, in the order of the file.
    pub(crate) parts: Vec<Part>,
    /// The chunk of bytes that holds the metadata, where they are not JSON that is read here.
    pub(crate) unread_metadata: Option<String>,
    /// What guards the file.
    pub(super) guards: Guards,
}

/// What guards a file beside the digests that every file of its format has, and what of it no copy has.
#[derive(Clone, Debug, Default)]
pub(super) struct Guards {
    guards: Vec<Guard>,
    /// What of chunks was not read, and is in no copy.
    pub(super) unread: Vec<String>,
}

/// What a copy may lack, and what a version 1 file says of itself that holds of no copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Guard {
    Signature,
    Seal,
    Parity,
    Encryption,
    KeyedDigests,
    MerkleRoot,
    TrustBlock,
    SecurityLevel,
    SecurityFeatures,
    Provenance,
    Sharding,
}

impl Guard {
    const fn what(self) -> &'static str {
        match self {
            Self::Signature => "the signature: it is over the source's bytes",
            Self::Seal => "the BLAKE3 digests, which version 2 has with --digest blake3",
            Self::Parity => "the parity, which version 2 has with --parity",
            Self::Encryption => "the encryption: the content is in the clear",
            Self::KeyedDigests => "the keyed digests: no digest is authenticated by the integrity key",
            Self::MerkleRoot => "the Merkle root: it is over the source's chunk table",
            Self::TrustBlock => "the trust block: it is over the source's index",
            Self::SecurityLevel => "`security_level` of the metadata, which is the source's",
            Self::SecurityFeatures => "`security_features` of the metadata, which are the source's",
            Self::Provenance => "`provenance` of the metadata, which is the source's",
            Self::Sharding => "`sharding` of the metadata, which is the source's",
        }
    }
}

impl Guards {
    /// Those that are there.
    pub(super) fn of(guards: impl IntoIterator<Item = (Guard, bool)>) -> Self {
        Self {
            guards: guards
                .into_iter()
                .filter_map(|(guard, is)| is.then_some(guard))
                .collect(),
            unread: Vec::new(),
        }
    }

    /// What of these another file does not have.
    pub(super) fn without(&self, other: &Self) -> impl Iterator<Item = &str> {
        let guards = self.guards.iter().filter(|guard| !other.guards.contains(guard));
        let guards = guards.map(|guard| guard.what());
        guards.chain(self.unread.iter().map(String::as_str))
    }
}

/// A chunk.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    /// Its name.
    pub(crate) name: String,
    /// Its type where version 1 has one, for example `TSAV`.
    pub(crate) ctype: Option<String>,
    /// What it holds.
    pub(crate) body: Body,
}

/// What a chunk holds.
#[derive(Clone, Debug)]
pub(crate) enum Body {
    /// Tensors under names that are unique in the file, and what a saved state of torch holds beside them.
    Tensors {
        tensors: Vec<Tensor>,
        /// For example `config`, `mode`, `step_id`; of `STEN` the texts of its `__metadata__`; empty elsewhere.
        others: Vec<(Box<str>, Value)>,
        /// How the state dict was that these are the arrays of.
        layout: Option<Layout>,
    },
    /// Text that is UTF-8: JSON.
    Text(String),
    /// Any bytes.
    Bytes(Bytes),
}

impl Body {
    /// Tensors alone.
    pub(super) fn tensors(tensors: impl IntoIterator<Item = impl Into<Tensor>>) -> Self {
        Self::Tensors {
            tensors: tensors.into_iter().map(Into::into).collect(),
            others: Vec::new(),
            layout: None,
        }
    }
}

impl Document {
    /// Every tensor, in the order of the file.
    pub(crate) fn tensors(&self) -> impl Iterator<Item = &Tensor> {
        self.parts.iter().flat_map(|part| match &part.body {
            Body::Tensors { tensors, .. } => tensors.as_slice(),
            _ => &[],
        })
    }

    /// No two tensors have the same name: what chunks of version 1 keep apart, one table of names does not.
    ///
    /// - `path`: the document's. - `matters`: the names that are looked at.
    ///
    /// # Errors
    /// [`Error::Unheld`] with the first name that is there twice.
    pub(super) fn unique(&self, path: &Path, matters: impl Fn(&str) -> bool) -> Result<(), Error> {
        let mut chunks: HashMap<&str, &str> = HashMap::new();
        for part in &self.parts {
            let Body::Tensors { tensors, .. } = &part.body else {
                continue;
            };
            for tensor in tensors.iter().filter(|tensor| matters(&tensor.name)) {
                if let Some(other) = chunks.insert(&tensor.name, &part.name) {
                    let path = path.to_string_lossy();
                    let [path, name, first, second] = [&path, &*tensor.name, other, &part.name].map(Escaped);
                    return Err(Error::Unheld {
                        what: format!(
                            "of {path}, two tensors would be called {name}: of chunk {first} and of chunk {second}"
                        )
                        .into(),
                        instead: "version 1 keeps them apart, and `fold extract --chunk` takes one chunk out".into(),
                    });
                }
            }
        }
        Ok(())
    }

    /// Verifies a file in full and reads all of it.
    ///
    /// # Errors
    /// [`Error::SourceDamaged`] with the first thing that is wrong; `FOLD-E0804` and the like for what is inside a chunk.
    pub(crate) fn load(path: &Path, keys: &Keys) -> Result<Self, Error> {
        verified(path, keys)?;
        match sniff(path) {
            FileKind::Version1 => version_1::load(path, keys),
            FileKind::Other => version_2::load(path),
            FileKind::Safetensors => {
                let read = |error| read_fault(path, error);
                let file = File::open(path).map_err(read)?;
                let header = safetensors_header(&file).map_err(read)?;
                let header = header.map_err(|fault| of_content(path, fault))?;
                let file: Arc<dyn ReadAt> = Arc::new(file);
                let tensors = header.entries.iter().map(|entry| Tensor {
                    name: entry.name.to_string(),
                    dtype: entry.dtype,
                    shape: entry.shape,
                    bytes: Bytes::within(file.clone(), entry.offset..entry.offset.saturating_add(entry.len)),
                });
                safetensors_document(path, tensors.collect(), &header.metadata)
            }
            FileKind::Npz => {
                let read = |error| read_fault(path, error);
                let file = File::open(path).map_err(read)?;
                let max = ReadLen::of(&file);
                let fault = |fault| of_content(path, fault);
                let source: Arc<dyn ReadAt> = Arc::new(file.try_clone().map_err(read)?);
                let mut npz = npz::Npz::open(BufReader::new(file), max).map_err(fault)?;
                let mut spool = Spool::default();
                let mut tensors: Vec<Tensor> = Vec::new();
                for name in npz.names().to_vec() {
                    let Some(located) = npz.check(&name).map_err(fault)? else {
                        continue;
                    };
                    let in_pieces = located.row_major && located.shape.byte_len(located.dtype) > Some(PIECES_LEN);
                    let bytes = match located.place {
                        Some(place) => Bytes::within(source.clone(), place),
                        None if in_pieces => {
                            let mut filling = spool.fill().map_err(super::unread)?;
                            npz.elements(&name, |piece| filling.add(piece)).map_err(fault)?;
                            filling.finish().map_err(super::unread)?
                        }
                        None => {
                            let array = npz.array(&name).map_err(fault)?;
                            let bytes = array.map(|array| array.bytes.into_owned()).unwrap_or_default();
                            spool.keep(bytes).map_err(super::unread)?
                        }
                    };
                    tensors.push(Tensor {
                        name: located.name.into(),
                        dtype: located.dtype,
                        shape: located.shape,
                        bytes,
                    });
                }
                Ok(Self {
                    format: "npz",
                    origin: "npz",
                    metadata: None,
                    parts: tensors_part(Body::tensors(tensors)),
                    unread_metadata: None,
                    guards: Guards::default(),
                })
            }
        }
    }
}

/// The header of a safetensors file, read without the rest; or what is wrong with it.
fn safetensors_header(file: &File) -> io::Result<Result<safetensors::Header, Fault>> {
    let file_len = ReadAt::len(file)?;
    let start = check::read_range(file, 0, 8)?;
    let len = match safetensors::header_len(&start, file_len) {
        Ok(len) => len,
        Err(fault) => return Ok(Err(fault)),
    };
    Ok(safetensors::read_header(&check::read_range(file, 8, len)?, file_len))
}

/// From this length on, an array that has to be decoded is so in pieces, unless its dimensions have to be turned round.
const PIECES_LEN: u64 = 1 << 20;

/// How much an array of an npz file may decompress to: deflate does not exceed a thousandfold.
struct ReadLen;

impl ReadLen {
    fn of(file: &File) -> u64 {
        let len = file.metadata().map_or(0, |metadata| metadata.len());
        len.saturating_mul(1032).saturating_add(1 << 16)
    }
}

/// What a safetensors file was, where it says so: the texts are metadata otherwise.
fn safetensors_document(path: &Path, tensors: Vec<Tensor>, texts: &[(Box<str>, Box<str>)]) -> Result<Document, Error> {
    let Some(kept) = envelope::of_texts(texts) else {
        let texts = texts.iter().map(|(key, text)| (key.clone(), Value::from(&**text)));
        let texts: Vec<_> = texts.collect();
        return Ok(Document {
            format: "safetensors",
            origin: "safetensors",
            metadata: (!texts.is_empty()).then(|| Value::object(texts)),
            parts: tensors_part(Body::tensors(tensors)),
            unread_metadata: None,
            guards: Guards::default(),
        });
    };
    let chunks = kept
        .tensors
        .as_ref()
        .map_or(0, Vec::len)
        .saturating_add(kept.texts.len()) as u64;
    let max = Limits::DEFAULT.max_chunks;
    if chunks > max {
        let fault = Fault::OverLimit {
            limit: "max_chunks",
            value: chunks,
            max,
        };
        return Err(of_content(path, fault));
    }
    let mut left: BTreeMap<String, Tensor> = tensors
        .into_iter()
        .map(|tensor| (tensor.name.clone(), tensor))
        .collect();
    let mut parts = Vec::new();
    let all_in_one = kept.tensors.is_none();
    for (name, names) in kept.tensors.into_iter().flatten() {
        let own: Vec<Tensor> = names.iter().filter_map(|name| left.remove(name)).collect();
        parts.push(Part {
            name,
            ctype: None,
            body: Body::tensors(own),
        });
    }
    parts.extend(kept.texts.into_iter().map(|(name, text)| Part {
        name,
        ctype: None,
        body: Body::Text(text),
    }));
    if !left.is_empty() || all_in_one {
        parts.extend(tensors_part(Body::tensors(left.into_values())));
    }
    envelope::unpack("safetensors", Some(kept.metadata), parts)
}

/// The one chunk of a file that has tensors alone.
fn tensors_part(body: Body) -> Vec<Part> {
    vec![Part {
        name: envelope::TENSORS.to_owned(),
        ctype: None,
        body,
    }]
}

pub(crate) fn read_fault(path: &Path, error: io::Error) -> Error {
    Error::Format(IoFault::new(Operation::Read, Some(path.into()), error).into())
}

pub(super) fn of_content(path: &Path, fault: Fault) -> Error {
    Error::of(path, fault.into())
}

/// The file verifies as whole, as far as its format can tell.
pub(super) fn verified(path: &Path, keys: &Keys) -> Result<(), Error> {
    // What is not there, or cannot be opened, is not damaged.
    drop(input_file::open_container(path)?);
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
